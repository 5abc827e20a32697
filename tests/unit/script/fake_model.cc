#include "script/fake_model.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

namespace minnow::test {

using engine::TokenId;

namespace {

std::string TextOf(const std::vector<TokenId>& tokens) { return {tokens.begin(), tokens.end()}; }

engine::GenerateResult AnswerTo(const engine::GenerateRequest& request) {
  engine::GenerateResult result;
  const std::string prompt = TextOf(request.prompt);
  result.usage.prompt_tokens = static_cast<uint32_t>(request.prompt.size());
  if (prompt.starts_with("fail")) {
    result.status = Error(Code::kDeviceLost, "the device is gone");
    return result;
  }
  const std::string whole = "<" + prompt + ">";
  result.text = whole.substr(0, request.max_tokens);
  result.finish_reason = result.text.size() < whole.size() ? engine::FinishReason::kLength
                                                           : engine::FinishReason::kStop;
  for (const char c : result.text) {
    engine::GeneratedToken token{c, -0.5f, {}};
    for (uint32_t i = 0; i < request.n_logprobs; ++i) token.top.push_back({c + int(i), -0.5f});
    if (request.on_token) request.on_token(std::string_view(&c, 1), token);
    result.tokens.push_back(std::move(token));
  }
  result.usage.completion_tokens = static_cast<uint32_t>(result.tokens.size());
  return result;
}

engine::ClassifyResult AnswerTo(const engine::ClassifyRequest& request) {
  engine::ClassifyResult result;
  for (const engine::LabelQuestion& question : request.questions) {
    const std::string prompt = TextOf(question.prompt);
    const size_t n = question.labels.size();
    std::vector<engine::LabelScore>& labels = result.answers.emplace_back();
    bool found = false;
    for (const std::string& label : question.labels) {
      const bool is_best = !found && prompt.find(label) != std::string::npos;
      found |= is_best;
      // So that of two labels the one that is found has 0.75 to the bit.
      labels.push_back({label, is_best ? 0 : -std::log(3.0 * double(n - 1)),
                        static_cast<uint32_t>(label.size()),
                        question.prior_prompt.empty() ? 0 : std::log(1.0 / double(n))});
    }
    result.usage.prompt_tokens += static_cast<uint32_t>(question.prompt.size());
  }
  return result;
}

}  // namespace

FakeModel::FakeModel(std::string name) : name_(std::move(name)), thread_([this] { Answer(); }) {}

FakeModel::~FakeModel() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_one();
  thread_.join();
}

void FakeModel::Answer() {
  for (;;) {
    std::vector<std::function<void()>> batch;
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [this] { return stopping_ || queue_.size() >= hold_until_; });
      if (queue_.empty()) return;
      batch.swap(queue_);
      hold_until_ = 1;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::reverse(batch.begin(), batch.end());
    for (const auto& answer : batch) answer();
  }
}

void FakeModel::HoldUntil(size_t n_requests) {
  std::lock_guard lock(mutex_);
  hold_until_ = n_requests;
}

engine::RequestId FakeModel::Submit(std::function<void()> answer) {
  std::lock_guard lock(mutex_);
  queue_.push_back(std::move(answer));
  work_.notify_one();
  return ++last_id_;
}

Result<std::vector<TokenId>> FakeModel::EncodeText(std::string_view text) const {
  return std::vector<TokenId>(text.begin(), text.end());
}

Result<std::vector<TokenId>> FakeModel::EncodeContinuation(std::string_view text) const {
  return EncodeText(text);
}

Result<std::vector<TokenId>> FakeModel::EncodeChat(const nlohmann::ordered_json& chat) const {
  std::string text;
  if (chat.is_object()) text += "[tools]" + chat["tools"].dump();
  for (const auto& message : chat.is_object() ? chat["messages"] : chat) {
    text += "[" + message["role"].get<std::string>() + "]" + message.value("content", "");
  }
  return EncodeText(text);
}

Result<engine::RequestId> FakeModel::Generate(engine::GenerateRequest request) {
  const std::string prompt = TextOf(request.prompt);
  {
    std::lock_guard lock(mutex_);
    last_request_ = request;
    last_request_.on_token = nullptr;
    last_request_.on_done = nullptr;
    if (prompt.starts_with("refuse")) return Error(Code::kExhausted, "the queue is full");
    if (prompt.starts_with("hang")) {
      hanging_[++last_id_] = [request = std::move(request)] {
        engine::GenerateResult result;
        result.finish_reason = engine::FinishReason::kCancelled;
        request.on_done(result);
      };
      return last_id_;
    }
  }
  return Submit([request = std::move(request)] { request.on_done(AnswerTo(request)); });
}

Result<engine::RequestId> FakeModel::Classify(engine::ClassifyRequest request) {
  for (const engine::LabelQuestion& question : request.questions) {
    if (question.labels.size() < 2) return Error(Code::kInvalid, "at least two labels");
  }
  return Submit([request = std::move(request)] { request.on_done(AnswerTo(request)); });
}

// Each token costs what its byte says.
Result<engine::RequestId> FakeModel::Score(engine::ContinuationsRequest request) {
  return Submit([request = std::move(request)] {
    engine::ScoreResult result;
    result.usage.prompt_tokens = static_cast<uint32_t>(request.prompt.size());
    for (const std::vector<TokenId>& tokens : request.continuations) {
      engine::ContinuationScore score;
      score.tokens = tokens;
      for (const TokenId token : tokens) score.token_logprobs.push_back(-float(token));
      for (const float logprob : score.token_logprobs) score.logprob += logprob;
      result.continuations.push_back(std::move(score));
    }
    if (request.continuations.empty()) {
      engine::ContinuationScore score{0, request.prompt, {std::nanf("")}};
      for (size_t i = 1; i < score.tokens.size(); ++i) {
        score.token_logprobs.push_back(-float(score.tokens[i]));
        score.logprob += score.token_logprobs.back();
      }
      score.tokens.push_back(0);
      score.token_logprobs.push_back(-1);
      result.continuations.push_back(std::move(score));
    }
    request.on_done(std::move(result));
  });
}

Result<engine::RequestId> FakeModel::Extract(engine::ExtractRequest request) {
  {
    std::lock_guard lock(mutex_);
    last_extract_ = request;
    last_extract_.on_done = nullptr;
  }
  const std::string prompt = TextOf(request.prompt);
  if (prompt.find("refuse") != std::string::npos)
    return Error(Code::kInvalid, "/properties/x: 'not' cannot be enforced");
  return Submit([prompt, request = std::move(request)] {
    engine::ExtractResult result;
    result.json =
        nlohmann::ordered_json{
            {"z", prompt}, {"a", {1, nullptr}}, {"n", nlohmann::ordered_json::object()}}
            .dump();
    result.fields = {{"/z", 0.25, {{0, 4, 1}, {7, 11, 3}}, R"({"year":2024})"},
                     {"/a/0", 1, {}, ""},
                     {"/a/1", 0.5, {}, "null"},
                     {"/n", 1, {}, ""}};
    result.usage.prompt_tokens = static_cast<uint32_t>(request.prompt.size());
    result.usage.completion_tokens = static_cast<uint32_t>(result.json.size());
    request.on_done(std::move(result));
  });
}

// The vector is the text's bytes.
Result<engine::RequestId> FakeModel::Embed(engine::EmbedRequest request) {
  if (request.tokens.empty()) return Error(Code::kInvalid, "the prompt is empty");
  return Submit([request = std::move(request)] {
    std::vector<float> vector(request.tokens.begin(), request.tokens.end());
    request.on_done(Status(), std::move(vector), {});
  });
}

// The end of what was cancelled comes late, too.
void FakeModel::Cancel(engine::RequestId id) {
  std::lock_guard lock(mutex_);
  ++cancelled_;
  held_.erase(id);
  auto node = hanging_.extract(id);
  if (!node) return;
  queue_.push_back(std::move(node.mapped()));
  work_.notify_one();
}

Result<std::vector<TokenId>> FakeModel::DocumentPrefix(std::string_view document) const {
  return EncodeText(document);
}

Result<engine::RequestId> FakeModel::Hold(engine::HoldRequest request) {
  std::lock_guard lock(mutex_);
  const engine::RequestId id = ++last_id_;
  held_.insert(id);
  queue_.push_back([id, request = std::move(request)] {
    engine::Usage usage;
    usage.prompt_tokens = static_cast<uint32_t>(request.tokens.size());
    request.on_done(Status(), id, usage);
  });
  work_.notify_one();
  return id;
}

Status FakeModel::SaveContext(engine::RequestId hold, std::string_view document,
                              const std::string& path) {
  std::lock_guard lock(mutex_);
  if (!held_.contains(hold)) return Error(Code::kNotFound, "nothing is held");
  std::ofstream(path) << document;
  return {};
}

Result<engine::RestoredContext> FakeModel::RestoreContext(const std::string& path) {
  std::ifstream file(path);
  if (!file) return Error(Code::kNotFound, "no context '{}'", path);
  std::lock_guard lock(mutex_);
  held_.insert(++last_id_);
  return engine::RestoredContext{std::string(std::istreambuf_iterator<char>(file), {}), 1,
                                 last_id_};
}

size_t FakeModel::held() const {
  std::lock_guard lock(mutex_);
  return held_.size();
}

size_t FakeModel::cancelled() const {
  std::lock_guard lock(mutex_);
  return cancelled_;
}

engine::GenerateRequest FakeModel::last_request() const {
  std::lock_guard lock(mutex_);
  return last_request_;
}

engine::ExtractRequest FakeModel::last_extract() const {
  std::lock_guard lock(mutex_);
  return last_extract_;
}

Result<script::ModelApi*> FakeModels::Open(const std::string& name) {
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  if (name == "fake") return &fake_;
  if (name == "other") return &other_;
  return Error(Code::kNotFound, "no model '{}'", name);
}

Result<script::ModelApi*> FakeModels::OpenAdapter(script::ModelApi& model, const std::string& name,
                                                  float scale) {
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  if (&model != &fake_ || name != "lora") {
    return Error(Code::kNotFound, "no adapter '{}' for '{}'", name, model.name());
  }
  ++adapters_opened_;
  scale_ = scale;
  return &adapted_;
}

}  // namespace minnow::test
