// An engine over the fake backend, and the answers it must give.
//
// The fake device completes late, on its own thread. MINNOW_TEST_DEVICE puts it further away still
// (fake_backend/far_backend.h): ctest runs every test here near, late and far.
#pragma once

#include <atomic>
#include <memory>
#include <minnow/sdk/graph_view.hpp>
#include <optional>
#include <thread>
#include <vector>

#include "engine/answer.h"
#include "engine/sampler.h"
#include "fake_backend/fake_backend.h"
#include "fake_backend/fake_model.h"
#include "fake_backend/far_backend.h"
#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "plugins/host_services.h"
#include "test_util.h"

namespace minnow::test {

struct FakeEngineOptions {
  FakeModelOptions model;
  FakeOptions backend;
  std::optional<FarOptions> far = FarOptions::FromEnvironment();
  model::InstanceOptions instance;
  engine::EngineOptions engine;
  // A draft model: the same, in an instance of its own, which knows nothing of adapters.
  std::optional<engine::ModelDraft::Options> draft;
  model::InstanceOptions draft_instance;
};

// The fake model placed on the fake device, without an engine.
class FakeInstance {
 public:
  explicit FakeInstance(const FakeEngineOptions& o = {}) : options(o), backend(o.backend) {
    if (o.far) far = std::make_unique<FarBackend>(*backend.table(), *o.far);
    auto device = plugins::Device::Open(far ? *far->table() : *backend.table(), 0,
                                        plugins::HostServices(), {});
    CHECK_OK(device.status());
    device_ = std::make_unique<plugins::Device>(*std::move(device));
    instance_ = Create();
  }

  // Another of the same model on the same device.
  Result<std::unique_ptr<model::Instance>> TryCreate() { return TryCreate(options.instance); }
  Result<std::unique_ptr<model::Instance>> TryCreate(const model::InstanceOptions& instance) {
    return TryCreate(instance, options.model);
  }
  // Of another model.
  Result<std::unique_ptr<model::Instance>> TryCreate(const model::InstanceOptions& instance,
                                                     const FakeModelOptions& model) {
    auto built = MakeFakeModel(model);
    CHECK_OK(built.status());
    weights_.push_back(WriteWeights(model));
    plugins::Device* const devices[] = {device_.get()};
    return model::Instance::Create(
        model::InstanceSource{std::move(built->graph), weights_.back().get(), model.n_ctx}, devices,
        instance);
  }
  std::unique_ptr<model::Instance> Create() {
    auto instance = TryCreate();
    CHECK_OK(instance.status());
    return *std::move(instance);
  }

  model::Instance& instance() { return *instance_; }

  const FakeEngineOptions options;
  FakeBackend backend;
  std::unique_ptr<FarBackend> far;  // null: near

 private:
  static std::unique_ptr<const model::Source> WriteWeights(const FakeModelOptions& model) {
    const TempDir dir;  // the mapping outlives the name
    const std::vector<std::byte> zeros(1 << 16);
    formats::GgufWriter writer;
    for (const graph::TensorInfo& t : FakeModelTensors(model)) {
      const auto n = static_cast<size_t>(t.ne[0] * t.ne[1]) * sizeof(float);
      writer.AddTensor(t.name, t.type, {t.ne[0], t.ne[1]}, std::span(zeros).first(n));
    }
    const std::string path = dir / "fake.gguf";
    CHECK_OK(writer.Write(path));
    auto file = model::Source::Open(path);
    CHECK_OK(file.status());
    return *std::move(file);
  }

  std::vector<std::unique_ptr<const model::Source>> weights_;
  std::unique_ptr<plugins::Device> device_;
  std::unique_ptr<model::Instance> instance_;
};

class FakeEngine : public FakeInstance {
 public:
  explicit FakeEngine(const FakeEngineOptions& o = {})
      : FakeInstance(o),
        executor(o.engine),
        engine_(std::make_unique<engine::Engine>(executor, instance(), MakeDraft())) {}

  ~FakeEngine() { Shutdown(); }

  engine::Engine& engine() { return *engine_; }
  // Completes what is in flight: the executor waits for it, and a test that failed left it there.
  void Shutdown() {
    std::atomic<bool> gone = false;
    std::thread shutdown([&] {
      engine_.reset();
      gone = true;
    });
    while (options.backend.manual && !gone) {
      if (backend.InFlight()) backend.CompleteNext();
      std::this_thread::yield();
    }
    shutdown.join();
  }

  // Waits until the executor has let go of everything that has ended, then checks that all pages
  // are free and that the backend saw no breach of the contract.
  void CheckAtRest() {
    executor.Call([] {});
    const engine::EngineStats stats = engine_->stats();
    UNSIGNED_LONGS_EQUAL(0, stats.pages_used);
    UNSIGNED_LONGS_EQUAL(0, stats.running);
    UNSIGNED_LONGS_EQUAL(0, stats.queued);
    if (draft_) UNSIGNED_LONGS_EQUAL(0, draft_->pages_used());
    CheckNoViolation();
  }
  void CheckNoViolation() {
    std::vector<std::string> wrong = backend.violations();
    if (far && wrong.empty()) wrong = far->violations();
    if (!wrong.empty()) FAIL(wrong[0].c_str());
  }

  const engine::ModelDraft& draft() const { return *draft_; }  // to look at between steps

  engine::Executor executor;

 private:
  std::unique_ptr<engine::ModelDraft> MakeDraft() {
    if (!options.draft) return nullptr;
    auto created = TryCreate(options.draft_instance);
    CHECK_OK(created.status());
    draft_instance_ = *std::move(created);
    auto draft = engine::ModelDraft::Create(instance(), *draft_instance_, *options.draft);
    CHECK_OK(draft.status());
    draft_ = draft->get();
    return *std::move(draft);
  }

  std::unique_ptr<model::Instance> draft_instance_;
  engine::ModelDraft* draft_ = nullptr;
  std::unique_ptr<engine::Engine> engine_;
};

// n tokens, different for each seed.
inline std::vector<engine::TokenId> Prompt(size_t n, uint32_t seed, int32_t n_vocab = 64) {
  std::vector<engine::TokenId> tokens;
  for (size_t i = 0; i < n; ++i) {
    seed = seed * 1664525u + 1013904223u;
    tokens.push_back(static_cast<int32_t>((seed >> 8) % static_cast<uint32_t>(n_vocab)));
  }
  return tokens;
}

// What the request must be answered with: the fake's answer and the sampler, token by token.
inline std::vector<engine::TokenId> Expected(const engine::GenerateRequest& request,
                                             int32_t n_vocab = 64,
                                             const FakeAnswer& answer = FavouriteAnswer) {
  std::vector<engine::TokenId> context = request.prompt;
  std::vector<float> logits(static_cast<size_t>(n_vocab));
  engine::SamplerScratch scratch;
  for (uint32_t i = 0; i < request.max_tokens; ++i) {
    answer(context, logits);
    const auto choice = engine::Choose(logits, request.sampling, context.size(), 0, scratch);
    CHECK_OK(choice.status());
    context.push_back(choice->token);
  }
  context.erase(context.begin(), context.begin() + static_cast<ptrdiff_t>(request.prompt.size()));
  return context;
}

// An adapter for the fake model: `mark` is the token that its requests stand on.
inline model::Adapter FakeAdapter(const model::Instance& instance, int32_t mark) {
  model::Adapter adapter;
  for (const mnw_node& node : instance.graph().nodes()) {
    sdk::ForEachSite(node, [&](uint32_t site, uint32_t) {
      adapter.deltas.push_back({site, 1, 0, {1}, {1}});
    });
  }
  CHECK_TEXT(adapter.deltas.size() > 1, "a fake model without sites");
  // Different parts, so that each of them counts.
  adapter.deltas[0].scale = static_cast<float>(mark - 1);
  adapter.deltas[1].scale = 1;
  return adapter;
}

// The fake's answer through that adapter.
inline FakeAnswer AnswerThrough(int32_t mark) {
  return [mark](std::span<const int32_t> context, std::span<float> out) {
    std::vector<int32_t> marked = {mark};
    marked.insert(marked.end(), context.begin(), context.end());
    FavouriteAnswer(marked, out);
  };
}

inline engine::GenerateRequest Request(std::vector<engine::TokenId> prompt, uint32_t max_tokens,
                                       engine::Priority priority = engine::Priority::kInteractive) {
  engine::GenerateRequest request;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;
  request.priority = priority;
  return request;
}

inline void CheckTokens(const std::vector<engine::TokenId>& expected,
                        const engine::GenerateResult& result) {
  if (!result.status.ok()) FAIL(result.status.message().c_str());
  const std::vector<engine::TokenId> made = TokensOf(result);
  UNSIGNED_LONGS_EQUAL(expected.size(), made.size());
  for (size_t i = 0; i < made.size(); ++i) LONGS_EQUAL(expected[i], made[i]);
}

}  // namespace minnow::test
