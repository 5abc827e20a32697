// Generation: one token a step until the model ends its turn, a stop string shows, or the budget is
// spent.
#include <algorithm>
#include <optional>
#include <utility>

#include "constrain/tool_calls.h"
#include "engine/constrained.h"
#include "engine/job.h"
#include "engine/ngram_draft.h"
#include "engine/sampler.h"

namespace minnow::engine {

namespace {

// Text that may still become part of a stop string is held back.
class StopStrings {
 public:
  explicit StopStrings(std::vector<std::string> strings) : strings_(std::move(strings)) {}

  // Adds text. Returns what is safe to show; sets `met` if a stop string is complete, which is
  // where the text then ends.
  std::string Push(std::string_view text, const std::string** met) {
    held_ += text;
    size_t at = std::string::npos;
    for (const std::string& s : strings_) {
      const size_t found = held_.find(s);
      if (found < at) {
        at = found;
        *met = &s;
      }
    }
    if (*met) return held_.substr(0, at);
    size_t keep = 0;
    for (const std::string& s : strings_) keep = std::max(keep, Overlap(s));
    std::string out = held_.substr(0, held_.size() - keep);
    held_.erase(0, out.size());
    return out;
  }
  std::string Finish() { return std::exchange(held_, {}); }

 private:
  // The longest end of held_ that is a beginning of s.
  size_t Overlap(std::string_view s) const {
    for (size_t n = std::min(s.size() - 1, held_.size()); n > 0; --n) {
      if (std::string_view(held_).substr(held_.size() - n) == s.substr(0, n)) return n;
    }
    return 0;
  }

  std::vector<std::string> strings_;
  std::string held_;
};

// What a grammar expects, and else what another source thinks.
class ExpectedDraft final : public DraftSource {
 public:
  ExpectedDraft(std::shared_ptr<DraftSource> other, const Constrained& answer)
      : other_(std::move(other)), answer_(answer) {}

  std::vector<DraftNode> Propose(std::span<const TokenId> tokens, size_t most) override {
    std::vector<DraftNode> nodes = other_->Propose(tokens, most);  // which sees all tokens
    if (answer_.likely().empty()) return nodes;
    nodes.clear();
    for (TokenId token : answer_.likely()) {
      if (nodes.size() == most) break;
      nodes.push_back({static_cast<int32_t>(nodes.size()) - 1, token, DraftKind::kOther});
    }
    return nodes;
  }
  bool insists() const override { return other_->insists(); }

 private:
  std::shared_ptr<DraftSource> other_;
  const Constrained& answer_;
};

class GenerateJob final : public Job {
 public:
  GenerateJob(GenerateRequest request, const model::Model* model,
              std::shared_ptr<constrain::Grammar> grammar)
      : Job(std::move(request.prompt), request.priority, request.max_tokens),
        request_(std::move(request)),
        model_(model),
        stop_(request_.stop) {
    if (model_) decoder_.emplace(model_->tokenizer(), text::DecodeOptions{}, tokens);
    if (grammar) {
      constrained_.emplace(std::move(grammar));
      // What the answer certainly begins with is computed with the prompt.
      if (auto forced = constrained_->Force(request_.max_tokens); forced.ok())
        beginning_ = *std::move(forced);
      tokens.insert(tokens.end(), beginning_.begin(), beginning_.end());
    }
    if (!request_.speculate) return;
    std::shared_ptr<DraftSource> source =
        request_.draft ? request_.draft : std::make_shared<NgramDraft>();
    if (constrained_) source = std::make_shared<ExpectedDraft>(std::move(source), *constrained_);
    drafts = request_.draft ? std::make_unique<Drafts>(std::move(source))
                            : std::make_unique<Drafts>(std::move(source), request_.sampling);
  }

  bool WantsLogits(size_t position) const override { return position + 1 == tokens.size(); }

  Status OnLogits(size_t position, std::span<const float> logits) override {
    if (first_token.time_since_epoch().count() == 0) first_token = Clock::now();
    for (TokenId token : std::exchange(beginning_, {})) Take({token, 0, {}, true});
    if (constrained_ && constrained_->finished()) {
      Stop(FinishReason::kStop);
      return Status();
    }
    MNW_ASSIGN(Choice choice, Draw(position, logits));
    const bool ends = model_ && model_->tokenizer().EndsTurn(choice.token) && !request_.ignore_end;
    if (ends) {  // it is no part of the answer
      Stop(FinishReason::kStop);
      return Status();
    }
    tokens.push_back(choice.token);
    Take({choice.token, choice.logprob, std::move(choice.top)});
    if (constrained_) MNW_TRY(Constrain(choice.token));
    if (!finished_ && Left() == 0) Stop(WasCut() ? FinishReason::kLength : FinishReason::kStop);
    return Status();
  }

  bool finished() const override { return finished_; }

  void End(Status status) override {
    StopClock();
    if (!status.ok()) {
      result_.finish_reason =
          status.code() == Code::kCancelled ? FinishReason::kCancelled : FinishReason::kError;
      if (result_.finish_reason == FinishReason::kError) result_.status = std::move(status);
    }
    result_.usage = usage;
    if (request_.on_done) request_.on_done(std::move(result_));
  }

 private:
  // Of an answer that had all its tokens. A grammar's is complete then, but for words in place of
  // calls.
  bool WasCut() const {
    if (!constrained_) return true;
    if (request_.constraint.kind != constrain::Constraint::Kind::kToolCalls) return false;
    const auto calls = constrain::CallsOf(result_.text);
    return calls.ok() && calls->empty();
  }

  // Tokens that the answer may still have.
  uint32_t Left() const { return request_.max_tokens - usage.completion_tokens; }

  Result<Choice> Draw(size_t position, std::span<const float> logits) {
    if (!constrained_)
      return Choose(logits, request_.sampling, position + 1, request_.n_logprobs, scratch_);
    return constrained_->Choose(logits, request_.sampling, position + 1, request_.n_logprobs,
                                Left(), scratch_);
  }

  // The grammar's part of a token that was drawn: what has to follow, and the end.
  Status Constrain(TokenId token) {
    MNW_TRY(constrained_->Accept(token));
    MNW_ASSIGN(const std::vector<TokenId> forced, constrained_->Force(Left()));
    for (TokenId next : forced) {
      tokens.push_back(next);
      Take({next, 0, {}, true});
    }
    if (constrained_->finished()) Stop(FinishReason::kStop);
    return Status();
  }

  void Take(GeneratedToken token) {
    ++usage.completion_tokens;
    Show(token);
    result_.tokens.push_back(std::move(token));
  }

  void Show(const GeneratedToken& token) {
    if (!decoder_) return;
    const std::string* met = nullptr;
    const std::string text = stop_.Push(decoder_->Push(token.token), &met);
    result_.text += text;
    if (request_.on_token) request_.on_token(text, token);
    if (met) {
      result_.stop_string = *met;
      finished_ = true;
      result_.finish_reason = FinishReason::kStop;
    }
  }

  // Ends the answer and shows the text that was held back.
  void Stop(FinishReason reason) {
    finished_ = true;
    result_.finish_reason = reason;
    if (!decoder_) return;
    const std::string* met = nullptr;
    std::string text = stop_.Push(decoder_->Finish(), &met);
    if (met) {
      result_.stop_string = *met;
      result_.finish_reason = FinishReason::kStop;
    } else {
      text += stop_.Finish();
    }
    result_.text += text;
    if (request_.on_token && !text.empty())
      request_.on_token(text, GeneratedToken{text::kNoToken, 0, {}});
  }

  GenerateRequest request_;
  const model::Model* model_;  // null in tests without a file: no text, no end of turn
  StopStrings stop_;
  std::optional<text::StreamDecoder> decoder_;
  std::optional<Constrained> constrained_;  // the answer obeys a grammar
  std::vector<TokenId> beginning_;          // that it forces, until it is shown
  SamplerScratch scratch_;
  GenerateResult result_;
  bool finished_ = false;
};

}  // namespace

void Job::StopClock() {
  const auto seconds = [](Clock::time_point from, Clock::time_point to) {
    return from.time_since_epoch().count() == 0 || to < from
               ? 0.0
               : std::chrono::duration<double>(to - from).count();
  };
  const Clock::time_point now = Clock::now();
  const bool ran = started.time_since_epoch().count() != 0;
  const bool spoke = first_token.time_since_epoch().count() != 0;
  usage.queue_seconds = seconds(submitted, ran ? started : now);
  usage.prefill_seconds = ran ? seconds(started, spoke ? first_token : now) : 0;
  usage.decode_seconds = spoke ? seconds(first_token, now) : 0;
}

std::unique_ptr<Job> MakeGenerateJob(GenerateRequest request, const model::Model* model,
                                     std::shared_ptr<constrain::Grammar> grammar) {
  return std::make_unique<GenerateJob>(std::move(request), model, std::move(grammar));
}

}  // namespace minnow::engine
