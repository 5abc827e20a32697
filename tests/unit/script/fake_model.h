// A model for tests of scripts: it answers from a thread of its own, late and in another order than
// it was asked. Tokens are bytes; what it answers follows from the prompt:
//   "fail ..."   the request ends with kDeviceLost
//   "refuse ..." the request is not taken: kExhausted
//   "hang ..."   no answer until it is cancelled
//   other        "<prompt>", of which max_tokens bytes are written
// classify finds the first label that stands in the prompt, extract the record
// {"z": <prompt>, "a": [1, null], "n": {}}.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "script/model_api.h"

namespace minnow::test {

class FakeModel : public script::ModelApi {
 public:
  explicit FakeModel(std::string name);
  ~FakeModel() override;  // answers what is still asked

  const std::string& name() const override { return name_; }
  Result<std::string> Fingerprint() const override { return "fake " + name_; }
  Result<uint32_t> Longest() const override { return longest_.load(); }
  void set_longest(uint32_t tokens) { longest_ = tokens; }
  Result<std::vector<engine::TokenId>> EncodeText(std::string_view text) const override;
  Result<std::vector<engine::TokenId>> EncodeChat(
      const nlohmann::ordered_json& chat) const override;
  Result<std::vector<engine::TokenId>> EncodeContinuation(std::string_view text) const override;
  Result<engine::RequestId> Generate(engine::GenerateRequest request) override;
  Result<engine::RequestId> Classify(engine::ClassifyRequest request) override;
  Result<engine::RequestId> Score(engine::ContinuationsRequest request) override;
  Result<engine::RequestId> Extract(engine::ExtractRequest request) override;
  Result<engine::RequestId> Embed(engine::EmbedRequest request) override;
  void Cancel(engine::RequestId id) override;

  // A saved context is its document.
  Result<std::vector<engine::TokenId>> DocumentPrefix(std::string_view document) const override;
  Result<engine::RequestId> Hold(engine::HoldRequest request) override;
  Status SaveContext(engine::RequestId hold, std::string_view document,
                     const std::string& path) override;
  Result<engine::RestoredContext> RestoreContext(const std::string& path) override;

  // Gives no answer until that many have been asked for at the same time.
  void HoldUntil(size_t n_requests);

  // What has been seen so far.
  size_t cancelled() const;
  size_t held() const;
  engine::GenerateRequest last_request() const;  // without its callbacks
  engine::ExtractRequest last_extract() const;   // likewise

 private:
  engine::RequestId Submit(std::function<void()> answer);
  void Answer();

  const std::string name_;
  std::atomic<uint32_t> longest_ = 1 << 20;
  mutable std::mutex mutex_;  // guards all below
  std::condition_variable work_;
  std::vector<std::function<void()>> queue_;
  std::map<engine::RequestId, std::function<void()>> hanging_;  // how to end them
  engine::RequestId last_id_ = 0;
  std::set<engine::RequestId> held_;
  size_t hold_until_ = 1, cancelled_ = 0;
  engine::GenerateRequest last_request_;
  engine::ExtractRequest last_extract_;
  bool stopping_ = false;
  std::thread thread_;
};

// Knows "fake" and "other", and for "fake" the adapter "lora"; opening takes a while.
class FakeModels : public script::Models {
 public:
  Result<script::ModelApi*> Open(const std::string& name) override;
  Result<script::ModelApi*> OpenAdapter(script::ModelApi& model, const std::string& name,
                                        float scale) override;

  FakeModel& fake() { return fake_; }
  FakeModel& adapted() { return adapted_; }
  float scale() const { return scale_; }  // of the adapter opened last
  int adapters_opened() const { return adapters_opened_; }

 private:
  FakeModel fake_{"fake"}, other_{"other"}, adapted_{"adapted"};
  std::atomic<float> scale_ = 0;
  std::atomic<int> adapters_opened_ = 0;
};

}  // namespace minnow::test
