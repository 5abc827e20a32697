// What a request's callbacks bring, for the thread that waits for it.
//
// Counts the calls of on_done and keeps the first. Threads: any.
#pragma once

#include <CppUTest/TestHarness.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>

#include "engine/engine.h"

namespace minnow::test {

template <class T>
class Answer {
 public:
  void Set(T value) {
    const std::lock_guard lock(mutex_);
    if (++count_ == 1) value_ = std::move(value);
    changed_.notify_all();
  }

  // Fails the test if nothing comes within ten minutes: sanitizers and busy machines take their
  // time.
  const T& Wait() {
    std::unique_lock lock(mutex_);
    const auto done = [this] { return count_ > 0; };
    CHECK_TEXT(changed_.wait_for(lock, std::chrono::minutes(10), done), "on_done was not called");
    return *value_;
  }

  int count() const {
    const std::lock_guard lock(mutex_);
    return count_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<T> value_;
  int count_ = 0;
};

struct ScoreResult {
  Status status;
  std::vector<float> logprobs;
};

// A request that was taken: its number, and where its answer comes. Copies share the answer, which
// the callbacks keep alive.
template <class T>
struct Asked {
  engine::RequestId id = 0;
  std::shared_ptr<Answer<T>> answer = std::make_shared<Answer<T>>();

  const T& Wait() const { return answer->Wait(); }
};
using AskedGenerate = Asked<engine::GenerateResult>;
using AskedScore = Asked<ScoreResult>;

struct EmbedResult {
  Status status;
  std::vector<float> embedding;
};
using AskedEmbed = Asked<EmbedResult>;

inline engine::RequestId Taken(Result<engine::RequestId> id) {
  if (!id.ok()) FAIL(id.status().message().c_str());
  return *id;
}

inline AskedGenerate Ask(engine::Engine& engine, engine::GenerateRequest request) {
  AskedGenerate asked;
  request.on_done = [answer = asked.answer](engine::GenerateResult r) {
    answer->Set(std::move(r));
  };
  asked.id = Taken(engine.Generate(std::move(request)));
  return asked;
}

inline AskedScore Ask(engine::Engine& engine, engine::ScoreRequest request) {
  AskedScore asked;
  request.on_done = [answer = asked.answer](Status status, std::vector<float> logprobs,
                                            engine::Usage) {
    answer->Set({std::move(status), std::move(logprobs)});
  };
  asked.id = Taken(engine.Score(std::move(request)));
  return asked;
}

inline AskedEmbed Ask(engine::Engine& engine, engine::EmbedRequest request) {
  AskedEmbed asked;
  request.on_done = [answer = asked.answer](Status status, std::vector<float> embedding,
                                            engine::Usage) {
    answer->Set({std::move(status), std::move(embedding)});
  };
  asked.id = Taken(engine.Embed(std::move(request)));
  return asked;
}

using AskedHold = Asked<Status>;

inline AskedHold Hold(engine::Engine& engine, std::vector<engine::TokenId> tokens,
                      engine::AdapterId adapter = 0) {
  AskedHold asked;
  engine::HoldRequest request;
  request.tokens = std::move(tokens);
  request.adapter = adapter;
  request.on_done = [answer = asked.answer](Status status, engine::RequestId, engine::Usage) {
    answer->Set(std::move(status));
  };
  asked.id = Taken(engine.Hold(std::move(request)));
  return asked;
}

inline std::vector<engine::TokenId> TokensOf(const engine::GenerateResult& result) {
  std::vector<engine::TokenId> tokens;
  for (const engine::GeneratedToken& t : result.tokens) tokens.push_back(t.token);
  return tokens;
}

// The logits of the last n_last tokens, row after row.
inline std::vector<float> LogitsOf(engine::Engine& engine, std::vector<engine::TokenId> tokens,
                                   uint32_t n_last, engine::AdapterId adapter = 0) {
  Asked<Status> asked;
  const auto logits = std::make_shared<std::vector<float>>();
  engine::LogitsRequest request;
  request.tokens = std::move(tokens);
  request.n_last = n_last;
  request.adapter = adapter;
  request.on_logits = [logits](size_t, std::span<const float> row) {
    logits->insert(logits->end(), row.begin(), row.end());
  };
  request.on_done = [answer = asked.answer](Status status, engine::Usage) {
    answer->Set(std::move(status));
  };
  Taken(engine.Logits(std::move(request)));
  if (!asked.Wait().ok()) FAIL(asked.Wait().message().c_str());
  return *logits;
}

}  // namespace minnow::test
