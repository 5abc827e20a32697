#include "engine/document_questions.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace minnow::engine {

namespace {

// Of the prompts of one request, each counted whole, as they are made.
constexpr size_t kMostTokens = 1 << 21;

// A question as a model sees it: with multi there is one for each label.
struct Put {
  std::string text;
  std::vector<std::string> labels;
  bool prior;
};

std::vector<Put> PutAll(std::span<const DocumentQuestion> questions) {
  std::vector<Put> all;
  for (const DocumentQuestion& q : questions) {
    if (!q.options.multi) {
      all.push_back({q.question, q.labels, q.options.prior});
      continue;
    }
    for (const std::string& label : q.labels) {
      all.push_back({QuestionAbout(q, label), {kYes, kNo}, q.options.prior});
    }
  }
  return all;
}

// Tokens that a document's prompt may have beside the longest label.
Result<size_t> Room(std::span<const Put> questions, const QuestionEncoder& encoder) {
  size_t answer = 0;
  for (const Put& q : questions) {
    for (const std::string& label : q.labels) {
      MNW_ASSIGN(const std::vector<TokenId> tokens, encoder.label(label));
      answer = std::max(answer, tokens.size() + 1);  // and the end of the turn
    }
  }
  MNW_ASSIGN(const uint32_t longest, encoder.longest());
  return longest - std::min<size_t>(longest, answer);
}

// What of the document fits is decided by the question that leaves it the least room.
Result<const Put*> LongestQuestion(std::span<const Put> questions, const QuestionEncoder& encoder) {
  const Put* longest = questions.data();
  size_t most = 0;
  for (const Put& q : questions) {
    if (questions.size() == 1) break;
    MNW_ASSIGN(const std::vector<TokenId> tokens, encoder.prompt("", q.text));
    if (tokens.size() > most) longest = &q;
    most = std::max(most, tokens.size());
  }
  return longest;
}

Result<std::vector<LabelQuestion>> AskAbout(std::string_view document,
                                            std::span<const Put> questions,
                                            const QuestionEncoder& encoder) {
  std::vector<LabelQuestion> asked;
  size_t n_tokens = 0;
  for (const Put& q : questions) {
    LabelQuestion& one = asked.emplace_back();
    MNW_ASSIGN(one.prompt, encoder.prompt(document, q.text));
    n_tokens += one.prompt.size();
    if (asked.size() > 1 && n_tokens > kMostTokens) {
      return Error(Code::kInvalid,
                   "{} questions about a document of this length are too many for one call (with "
                   "multi each label is one); ask in several",
                   questions.size());
    }
    one.labels = q.labels;
    if (q.prior) {
      MNW_ASSIGN(one.prior_prompt, encoder.prompt(kNoDocument, q.text));
    }
  }
  return asked;
}

// Answers may come from a recording that somebody wrote.
bool IsSound(const LabelScore& label) {
  return label.n_tokens > 0 && std::isfinite(label.logprob) && std::isfinite(label.prior_logprob);
}

}  // namespace

Result<QuestionParts> PrepareQuestions(std::string_view document, OnOverflow how,
                                       std::span<const DocumentQuestion> questions,
                                       const QuestionEncoder& encoder) {
  if (questions.empty()) return Error(Code::kInvalid, "nothing is asked");
  for (size_t i = 0; i < questions.size(); ++i) {
    Status status = Validate(questions[i]);
    if (!status.ok() && questions.size() > 1) {
      return std::move(status).Annotate(fmt::format("question {}", i + 1));
    }
    MNW_TRY(std::move(status));
  }
  const std::vector<Put> put = PutAll(questions);
  QuestionParts parts;
  std::vector<std::string> texts;
  if (how == OnOverflow::kError) {
    texts.emplace_back(document);
  } else {
    MNW_ASSIGN(const size_t room, Room(put, encoder));
    MNW_ASSIGN(const Put* const longest, LongestQuestion(put, encoder));
    const auto encode = [&](std::string_view part) { return encoder.prompt(part, longest->text); };
    if (how == OnOverflow::kChunk) {
      MNW_ASSIGN(parts.kept, ChunkDocument(document, room, encode));
      for (const ByteSpan& span : parts.kept) {
        texts.emplace_back(document.substr(span.begin, span.end - span.begin));
      }
      if (texts.size() == 1) parts.kept.clear();
    } else {
      MNW_ASSIGN(const Fitted fitted, FitDocument(document, how, room, encode));
      texts.push_back(fitted.kept.empty() ? std::string(document)
                                          : KeptText(document, fitted.kept));
      parts.kept = fitted.kept;
    }
  }
  for (const std::string& text : texts) {
    MNW_ASSIGN(parts.requests.emplace_back(), AskAbout(text, put, encoder));
    parts.weights.push_back(std::max<double>(1, static_cast<double>(text.size())));
  }
  return parts;
}

Result<Answers> ReadAnswers(std::span<const DocumentQuestion> questions,
                            std::span<const ClassifyResult> parts, std::span<const double> weights,
                            std::span<const Calibration* const> calibrations) {
  const std::vector<Put> put = PutAll(questions);
  for (const ClassifyResult& part : parts) {
    MNW_TRY(part.status);
    bool good = part.answers.size() == put.size();
    for (size_t i = 0; good && i < put.size(); ++i) {
      good = std::ranges::equal(part.answers[i], put[i].labels, {}, &LabelScore::label) &&
             std::ranges::all_of(part.answers[i], IsSound);
    }
    if (!good) return Error(Code::kCorrupt, "the model answered other questions than were asked");
  }
  double total = 0;
  for (const double weight : weights) total += weight;
  Answers answers;
  size_t first = 0;
  for (size_t q = 0; q < questions.size(); ++q) {
    const DocumentQuestion& question = questions[q];
    const size_t n = question.options.multi ? question.labels.size() : 1;
    const Calibration* const calibration = calibrations.empty() ? nullptr : calibrations[q];
    std::vector<double> mean(question.labels.size(), 0);
    for (size_t p = 0; p < parts.size(); ++p) {
      std::vector<double> scores = Scores(question, std::span(parts[p].answers).subspan(first, n));
      const std::vector<double> probabilities =
          Probabilities(question, scores, calibration ? *calibration : Calibration());
      for (size_t i = 0; i < mean.size(); ++i) mean[i] += probabilities[i] * weights[p] / total;
      if (parts.size() == 1) answers.scores.push_back(std::move(scores));
    }
    answers.choices.push_back(ChooseLabel(question, std::move(mean)));
    first += n;
  }
  return answers;
}

Usage UsageOfParts(std::span<const ClassifyResult> parts) {
  Usage all;
  for (const ClassifyResult& part : parts) {
    all.prompt_tokens += part.usage.prompt_tokens;
    all.cached_tokens += part.usage.cached_tokens;
    all.queue_seconds = std::max(all.queue_seconds, part.usage.queue_seconds);
    all.prefill_seconds = std::max(all.prefill_seconds, part.usage.prefill_seconds);
    all.decode_seconds = std::max(all.decode_seconds, part.usage.decode_seconds);
  }
  return all;
}

}  // namespace minnow::engine
