// minnow.v1.Inference.Classify: about a whole document, or about its parts.
#include "engine/classify.h"

#include <algorithm>
#include <set>

#include "engine/document_questions.h"
#include "service/inference_work.h"

namespace minnow::service {

namespace {

using engine::DocumentQuestion;

using Violations = std::vector<Violation>;

engine::ChoiceOptions ToOptions(const v1::ClassifyOptions& options) {
  engine::ChoiceOptions o;
  o.top_k = options.top_k();
  o.abstain = options.abstain();
  o.multi = options.multi();
  if (options.has_threshold()) o.threshold = options.threshold();
  if (options.length() == v1::LABEL_LENGTH_MEAN) o.length = "mean";
  o.prior = options.prior();
  return o;
}

// `path`: of the question's message, with a dot, or "".
template <class Labels>
void CheckLabels(const Labels& labels, bool multi, const std::string& path, Violations* out) {
  if (labels.size() < 2 && !multi) {
    out->push_back({path + "labels", fmt::format("needs at least 2 items, has {}", labels.size())});
  }
  std::set<std::string_view> seen;
  for (int i = 0; i < labels.size(); ++i) {
    if (seen.insert(labels[i]).second) continue;
    out->push_back(
        {fmt::format("{}labels[{}]", path, i), fmt::format("'{}' is given twice", labels[i])});
    return;
  }
}

std::vector<DocumentQuestion> ToQuestions(const v1::ClassifyRequest& request, Violations* out) {
  std::vector<DocumentQuestion> questions;
  const auto add = [&](const std::string& question, const auto& labels,
                       const v1::ClassifyOptions& options, const std::string& path) {
    CheckLabels(labels, options.multi(), path, out);
    questions.push_back({question, {labels.begin(), labels.end()}, ToOptions(options)});
    const Status status = Validate(questions.back());
    if (!status.ok() && out->empty()) out->push_back({path + "question", status.message()});
  };
  if (request.questions().empty()) {
    if (request.question().empty()) out->push_back({"question", "must not be empty"});
    add(request.question(), request.labels(), request.options(), "");
    return questions;
  }
  if (!request.question().empty() || !request.labels().empty()) {
    out->push_back({"questions", "stand in place of question and labels"});
  }
  for (int i = 0; i < request.questions_size(); ++i) {
    const v1::LabelQuestion& q = request.questions(i);
    add(q.question(), q.labels(), q.has_options() ? q.options() : request.options(),
        fmt::format("questions[{}].", i));
  }
  return questions;
}

// The answers about the parts of one document, as they come.
struct PartAnswers {
  std::mutex mutex;
  std::vector<engine::ClassifyResult> results;
  size_t left;
  std::vector<DocumentQuestion> questions;
  std::vector<double> weights;
  v1::Overflow overflow;
};

// Of a label, weighed over the parts. `answer`: with multi, of the first label.
double MeanLogprob(const PartAnswers& parts, const DocumentQuestion& question, size_t answer,
                   size_t label) {
  double sum = 0, total = 0;
  const bool multi = question.options.multi;
  for (size_t p = 0; p < parts.results.size(); ++p) {
    const auto& answers = parts.results[p].answers;
    const double logprob =
        multi ? answers[answer + label][0].logprob : answers[answer][label].logprob;
    sum += logprob * parts.weights[p];
    total += parts.weights[p];
  }
  return sum / total;
}

// Into a ClassifyResponse or a LabelAnswer.
template <class Out>
void FillAnswer(const PartAnswers& parts, const DocumentQuestion& question, size_t answer,
                const engine::LabelChoice& choice, Out* out) {
  const size_t best = choice.ranking[0];
  if (choice.label) out->set_label(question.labels[best]);
  out->set_abstained(!choice.label && !question.options.multi);
  for (const size_t i : choice.yes) out->add_yes(question.labels[i]);
  std::vector<size_t> order = choice.ranking;
  if (question.options.top_k == 0) std::sort(order.begin(), order.end());
  for (const size_t i : order) {
    v1::LabelScore* score = out->add_labels();
    score->set_label(question.labels[i]);
    score->set_probability(choice.probabilities[i]);
    score->set_logprob(MeanLogprob(parts, question, answer, i));
  }
}

Result<v1::ClassifyResponse> ToResponse(const PartAnswers& parts, bool is_list) {
  MNW_ASSIGN(const engine::Answers answers,
             engine::ReadAnswers(parts.questions, parts.results, parts.weights));
  v1::ClassifyResponse response;
  size_t answer = 0;
  for (size_t q = 0; q < parts.questions.size(); ++q) {
    const DocumentQuestion& question = parts.questions[q];
    if (is_list) {
      FillAnswer(parts, question, answer, answers.choices[q], response.add_answers());
    } else {
      FillAnswer(parts, question, answer, answers.choices[q], &response);
    }
    answer += question.options.multi ? question.labels.size() : 1;
  }
  const engine::Usage usage = engine::UsageOfParts(parts.results);
  Fill(usage, response.mutable_usage());
  Fill(usage, response.mutable_timings());
  response.set_fingerprint(parts.results[0].fingerprint);
  if (parts.overflow.kept_size() > 0) *response.mutable_overflow() = parts.overflow;
  return response;
}

}  // namespace

Failure Classify(ModelTable& models, Metrics& metrics, ContextTable& contexts, const CallPtr& call,
                 const v1::ClassifyRequest& request) {
  if (request.document().empty() == request.context().empty()) {
    return Violations{{"document", "must be there, or a context: one of the two"}};
  }
  Violations violations;
  const auto answers = std::make_shared<PartAnswers>();
  answers->questions = ToQuestions(request, &violations);
  if (!violations.empty()) return violations;
  const About taken = TakeAbout(models, contexts, request.context(), request.model());
  if (!taken.use) return taken.failure;
  const std::string& document = taken.document ? *taken.document : request.document();
  const model::Model& model = taken.use->model();
  const engine::QuestionEncoder encoder{
      [&](std::string_view part, std::string_view question) {
        return model.EncodeTurn(engine::DocumentTurn(part, question));
      },
      [&](std::string_view label) { return model.EncodeContinuation(label); },
      [&]() -> Result<uint32_t> { return taken.use->engine().longest(); }};
  auto parts = engine::PrepareQuestions(document, ToOnOverflow(request.on_overflow()),
                                        answers->questions, encoder);
  if (!parts.ok() && parts.status().code() == Code::kOutOfRange) return parts.status();
  if (!parts.ok()) return Failure::AtField("document", parts.status());
  if (!parts->kept.empty()) {
    Fill(request.on_overflow(), document.size(), parts->kept, &answers->overflow);
  }
  answers->weights = std::move(parts->weights);
  answers->left = parts->requests.size();
  answers->results.resize(answers->left);
  engine::ClassifyRequest ask;
  ask.priority = ToPriority(request.priority());
  ask.deadline = call->info().deadline;
  ask.adapter = taken.use->adapter();
  const auto work = std::make_shared<Work>(call, taken.use, ask.priority, metrics);
  const bool is_list = !request.questions().empty();
  const auto end_one = [work, answers, is_list](size_t part, engine::ClassifyResult result) {
    {
      const std::lock_guard lock(answers->mutex);
      answers->results[part] = std::move(result);
      if (--answers->left > 0) return;
    }
    const engine::Usage usage = engine::UsageOfParts(answers->results);
    const auto response = ToResponse(*answers, is_list);
    if (!response.ok()) {
      return work->Finish(Refused(work->rate, work->use->engine(), response.status()), usage);
    }
    work->call->Send(*response);
    work->Finish({}, usage);
  };
  if (parts->requests.size() == 1) {
    ask.questions = std::move(parts->requests[0]);
    ask.on_done = [end_one](engine::ClassifyResult result) { end_one(0, std::move(result)); };
    return Taken(work, taken.use, engine::Classify(taken.use->engine(), std::move(ask)));
  }
  std::vector<engine::RequestId> ids;
  Status refused;
  for (size_t i = 0; i < parts->requests.size(); ++i) {
    engine::ClassifyRequest one = ask;
    one.questions = std::move(parts->requests[i]);
    one.on_done = [end_one, i](engine::ClassifyResult result) { end_one(i, std::move(result)); };
    const auto id = refused.ok() ? engine::Classify(taken.use->engine(), std::move(one)) : refused;
    if (id.ok()) {
      ids.push_back(*id);
      continue;
    }
    if (refused.ok()) {  // all or none: what was taken is not wanted any more
      refused = id.status();
      for (const engine::RequestId taken_id : ids) taken.use->engine().Cancel(taken_id);
    }
    engine::ClassifyResult result;
    result.status = refused;
    end_one(i, std::move(result));
  }
  call->CancelWith([use = taken.use, ids] {
    for (const engine::RequestId id : ids) use->engine().Cancel(id);
  });
  return {};
}

}  // namespace minnow::service
