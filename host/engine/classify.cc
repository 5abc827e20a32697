#include "engine/classify.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

#include "engine/continuations.h"
#include "engine/engine.h"
#include "engine/priors.h"

namespace minnow::engine {

namespace {

Result<std::vector<std::vector<TokenId>>> EncodeLabels(const model::Model& model,
                                                       const std::vector<std::string>& labels) {
  if (labels.size() < 2) return Error(Code::kInvalid, "classify needs at least two labels");
  const text::Vocabulary& vocabulary = model.tokenizer().vocabulary();
  const TokenId end = vocabulary.eot != text::kNoToken ? vocabulary.eot : vocabulary.eos;
  std::vector<std::vector<TokenId>> all;
  std::set<std::string_view> seen;
  for (const std::string& label : labels) {
    if (!seen.insert(label).second)
      return Error(Code::kInvalid, "label '{}' is given twice", label);
    MNW_ASSIGN(std::vector<TokenId> tokens, model.EncodeContinuation(label));
    if (tokens.empty()) return Error(Code::kInvalid, "label '{}' has no tokens", label);
    if (end != text::kNoToken) tokens.push_back(end);
    all.push_back(std::move(tokens));
  }
  return all;
}

// What all prompts begin with.
size_t Common(const std::vector<LabelQuestion>& questions) {
  size_t common = questions[0].prompt.size();
  for (const LabelQuestion& question : questions) {
    const auto [mine, theirs] = std::mismatch(
        questions[0].prompt.begin(), questions[0].prompt.begin() + static_cast<ptrdiff_t>(common),
        question.prompt.begin(), question.prompt.end());
    common = static_cast<size_t>(mine - questions[0].prompt.begin());
  }
  return common;
}

struct Asked {
  std::vector<LabelQuestion> questions;
  Continuations tree;  // the labels of all questions, one after another

  std::vector<std::vector<LabelScore>> Collect(const std::vector<float>& logprobs) const {
    std::vector<std::vector<LabelScore>> answers;
    size_t path = 0;
    for (const LabelQuestion& question : questions) {
      std::vector<LabelScore>& answer = answers.emplace_back();
      for (const std::string& label : question.labels) {
        const std::vector<size_t>& nodes = tree.paths[path++];
        answer.push_back({label, 0, static_cast<uint32_t>(nodes.size())});
        for (const size_t node : nodes) answer.back().logprob += logprobs[node];
      }
    }
    return answers;
  }
};

// Refuses what is bad.
Result<ScoreRequest> Build(Engine& engine, ClassifyRequest request) {
  if (request.questions.empty()) return Error(Code::kInvalid, "nothing is asked");
  const auto asked = std::make_shared<Asked>();
  asked->questions = std::move(request.questions);
  const size_t common = Common(asked->questions);
  if (common == 0 && !asked->questions[0].prompt.empty()) {
    return Error(Code::kInvalid, "the questions of one call have to begin alike");
  }
  for (size_t i = 0; i < asked->questions.size(); ++i) {
    const LabelQuestion& question = asked->questions[i];
    auto labels = EncodeLabels(engine.model(), question.labels);
    if (!labels.ok() && asked->questions.size() > 1) {
      return std::move(labels).status().Annotate(fmt::format("question {}", i + 1));
    }
    MNW_TRY(labels.status());
    for (const std::vector<TokenId>& label : *labels) {
      asked->tree.Add(label, std::span(question.prompt).subspan(common));
    }
  }
  ScoreRequest score;
  score.prompt = asked->questions[0].prompt;
  score.prompt.resize(common);
  score.tree = asked->tree.nodes;
  score.priority = request.priority;
  score.deadline = request.deadline;
  score.adapter = request.adapter;
  score.on_done = [asked, done = std::move(request.on_done),
                   identity = engine.identity(request.adapter)](
                      Status status, const std::vector<float>& logprobs, Usage usage) {
    ClassifyResult result;
    if (status.ok()) result.answers = asked->Collect(logprobs);
    result.status = std::move(status);
    result.fingerprint = identity;
    result.usage = usage;
    for (const ScoreRequest::Node& node : asked->tree.nodes) {
      result.usage.prompt_tokens += !node.scored;
    }
    done(std::move(result));
  };
  return score;
}

// A request whose answer is complete when what its labels score without a document is there too.
class WithPriors {
 public:
  explicit WithPriors(size_t n) : left_(n + 1), priors_(n) {}

  // From now on somebody is told.
  void Arm(std::function<void(ClassifyResult)> on_done) {
    const std::lock_guard lock(mutex_);
    on_done_ = std::move(on_done);
  }
  void Disarm() { Arm(nullptr); }

  void Scored(ClassifyResult result) {
    std::unique_lock lock(mutex_);
    if (status_.ok()) status_ = result.status;
    result_ = std::move(result);
    Arrived(lock);
  }
  void HasPrior(size_t question, const Status& status, const std::vector<LabelScore>& labels) {
    std::unique_lock lock(mutex_);
    if (status_.ok()) status_ = status;
    priors_[question] = labels;
    Arrived(lock);
  }

 private:
  void Arrived(std::unique_lock<std::mutex>& lock) {
    --left_;
    if (!on_done_ || (left_ > 0 && status_.ok())) return;
    const auto done = std::exchange(on_done_, nullptr);
    ClassifyResult result = std::move(result_);
    result.status = status_;
    if (!result.status.ok()) result.answers.clear();
    for (size_t q = 0; q < result.answers.size(); ++q) {
      for (size_t i = 0; i < priors_[q].size(); ++i) {
        result.answers[q][i].prior_logprob = priors_[q][i].logprob;
      }
    }
    lock.unlock();
    done(std::move(result));
  }

  std::mutex mutex_;  // guards all below
  size_t left_;
  Status status_;  // the first failure
  std::vector<std::vector<LabelScore>> priors_;
  ClassifyResult result_;
  std::function<void(ClassifyResult)> on_done_;
};

// Finds out for all who wait, whatever becomes of the request that asked first.
Status AskForPriors(Engine& engine, const ClassifyRequest& request,
                    const std::vector<PriorTable::Key>& keys) {
  const auto tell = [&table = engine.priors(), keys](ClassifyResult result) {
    result.answers.resize(keys.size());
    for (size_t i = 0; i < keys.size(); ++i) {
      table.Set(keys[i], result.status, std::move(result.answers[i]));
    }
  };
  const auto ask = [&]() -> Status {
    ClassifyRequest about;
    for (const PriorTable::Key& key : keys) about.questions.push_back({key.prompt, key.labels});
    about.priority = request.priority;
    about.adapter = request.adapter;
    about.on_done = tell;
    MNW_ASSIGN(ScoreRequest score, Build(engine, std::move(about)));
    return engine.Score(std::move(score)).status();
  };
  Status status = ask();
  if (!status.ok()) tell({status, {}, {}});
  return status;
}

}  // namespace

Result<RequestId> Classify(Engine& engine, ClassifyRequest request) {
  const bool plain = std::ranges::all_of(
      request.questions, [](const LabelQuestion& q) { return q.prior_prompt.empty(); });
  if (plain) {
    MNW_ASSIGN(ScoreRequest score, Build(engine, std::move(request)));
    return engine.Score(std::move(score));
  }
  const auto joined = std::make_shared<WithPriors>(request.questions.size());
  const auto on_done =
      std::exchange(request.on_done, [joined](ClassifyResult r) { joined->Scored(std::move(r)); });
  MNW_ASSIGN(ScoreRequest score, Build(engine, request));
  std::vector<PriorTable::Key> unknown;
  for (size_t i = 0; i < request.questions.size(); ++i) {
    const LabelQuestion& question = request.questions[i];
    const auto has_prior = [joined, i](const Status& status, const std::vector<LabelScore>& l) {
      joined->HasPrior(i, status, l);
    };
    PriorTable::Key key{request.adapter, question.prior_prompt, question.labels};
    if (question.prior_prompt.empty()) {
      has_prior({}, {});
    } else if (engine.priors().Get(key, has_prior)) {
      unknown.push_back(std::move(key));
    }
  }
  if (!unknown.empty()) MNW_TRY(AskForPriors(engine, request, unknown));
  joined->Arm(on_done);
  auto id = engine.Score(std::move(score));
  if (!id.ok()) joined->Disarm();
  return id;
}

}  // namespace minnow::engine
