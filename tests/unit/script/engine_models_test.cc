// Adapters of scripts that have fewer places than there are adapters.
#include "script/engine_models.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "build_paths.h"
#include "script/pipeline.h"
#include "test_util.h"

namespace minnow::test {
namespace {

namespace fs = std::filesystem;
using engine::GenerateResult;
using script::EngineModels;
using script::ModelApi;

TEST_GROUP(EngineModels) {
  const std::string golden = InSource("tests/golden/models/");
  TempDir dir;
  std::unique_ptr<engine::Runtime> runtime;
  std::unique_ptr<EngineModels> models;
  ModelApi* base = nullptr;

  void setup() override {
    for (const char* name : {"a", "b"}) {
      fs::copy_file(golden + "llama.lora.gguf", dir / (std::string(name) + ".gguf"));
    }
    Start();
  }
  void Start() {
    engine::RuntimeOptions options;
    options.plugin_dirs = {InBuild("plugins")};
    options.n_threads = 1;
    options.model_dirs = {golden, dir.path()};
    options.instance.adapter_slots = 1;
    options.instance.kv_tokens = 8192;
    auto created = engine::Runtime::Create(options);
    CHECK_OK(created.status());
    runtime = *std::move(created);
    models = std::make_unique<EngineModels>(*runtime);
    auto opened = models->Open("llama");
    CHECK_OK(opened.status());
    base = *opened;
  }
  void Stop() {
    models.reset();
    runtime.reset();
  }
  void teardown() override { Stop(); }

  ModelApi& Adapter(const std::string& name, float scale = 1) {
    auto opened = models->OpenAdapter(*base, name, scale);
    if (!opened.ok()) FAIL(opened.status().message().c_str());
    return **opened;
  }
  // Keeps the only place.
  engine::AdapterHold Hold(const std::string& name) {
    auto hold = runtime->OpenAdapter(**runtime->Open("llama"), name);
    if (!hold.ok()) FAIL(hold.status().message().c_str());
    return *std::move(hold);
  }

  struct Call {
    engine::RequestId id = 0;
    std::shared_ptr<std::promise<GenerateResult>> promise =
        std::make_shared<std::promise<GenerateResult>>();
    std::future<GenerateResult> answer = promise->get_future();
  };
  Call Send(ModelApi & model, uint32_t n = 8) {
    Call call;
    engine::GenerateRequest request;
    request.prompt = {1, 5, 9, 11};
    request.max_tokens = n;
    request.ignore_end = true;
    request.on_done = [promise = call.promise](GenerateResult r) {
      promise->set_value(std::move(r));
    };
    auto id = model.Generate(std::move(request));
    CHECK_OK(id.status());
    call.id = *id;
    return call;
  }
  engine::RequestId Pin(ModelApi & model) {
    std::promise<std::pair<Status, engine::RequestId>> promise;
    engine::HoldRequest request;
    request.tokens = {1, 5, 9, 11};
    request.on_done = [&](Status status, engine::RequestId hold, engine::Usage) {
      promise.set_value({std::move(status), hold});
    };
    CHECK_OK(model.Hold(std::move(request)).status());
    const auto [status, hold] = promise.get_future().get();
    CHECK_OK(status);
    return hold;
  }
  std::string Text(Call call) {
    const GenerateResult result = call.answer.get();
    CHECK_OK(result.status);
    return result.text;
  }
};

TEST(EngineModels, AdaptersTakeTurnsWhereThereIsOnePlace) {
  ModelApi &a = Adapter("a"), &weak = Adapter("a", 0.25f), &b = Adapter("b");
  POINTERS_EQUAL(&a, &Adapter("a"));
  CHECK(&a != &b && &a != &weak);
  const std::string plain = Text(Send(*base)), strong = Text(Send(a)), little = Text(Send(weak));
  CHECK(plain != strong && strong != little);
  for (int round = 0; round < 3; ++round) {
    Call calls[] = {Send(a), Send(weak), Send(*base), Send(b)};  // at the same time
    STRCMP_EQUAL(strong.c_str(), Text(std::move(calls[0])).c_str());
    STRCMP_EQUAL(little.c_str(), Text(std::move(calls[1])).c_str());
    STRCMP_EQUAL(plain.c_str(), Text(std::move(calls[2])).c_str());
    STRCMP_EQUAL(strong.c_str(), Text(std::move(calls[3])).c_str());
  }
  UNSIGNED_LONGS_EQUAL(1, runtime->Adapters(**runtime->Open("llama")).size());
}

TEST(EngineModels, ClassifyAndScoreFindTheirAdaptersToo) {
  ModelApi& a = Adapter("a");
  const auto score = [&](ModelApi& model) {
    std::promise<engine::ScoreResult> promise;
    engine::ContinuationsRequest request;
    request.prompt = {1, 5, 9};
    request.continuations = {{7, 8}};
    request.on_done = [&](engine::ScoreResult r) { promise.set_value(std::move(r)); };
    CHECK_OK(model.Score(std::move(request)).status());
    const engine::ScoreResult result = promise.get_future().get();
    CHECK_OK(result.status);
    return result.continuations.at(0).logprob;
  };
  const auto classify = [&](ModelApi& model) {
    std::promise<engine::ClassifyResult> promise;
    engine::ClassifyRequest request;
    request.questions = {{{1, 5, 9}, {"a", "b"}}};
    request.on_done = [&](engine::ClassifyResult r) { promise.set_value(std::move(r)); };
    CHECK_OK(model.Classify(std::move(request)).status());
    const engine::ClassifyResult result = promise.get_future().get();
    CHECK_OK(result.status);
    return result.answers.at(0).at(0).logprob;
  };
  const auto scored = score(a);
  const auto classified = classify(a);
  CHECK(scored != score(*base) && classified != classify(*base));
  Adapter("b");
  CHECK(scored == score(a));
  Adapter("b");
  CHECK(classified == classify(a));
}

TEST(EngineModels, ACallWaitsForAPlaceThatOthersUse) {
  ModelApi& a = Adapter("a");
  const std::string expected = Text(Send(a));
  engine::AdapterHold hold = Hold("b");
  Call first = Send(a), second = Send(a);
  CHECK(first.id != second.id);
  CHECK(Text(Send(*base)) != expected);  // nobody waits for those two
  CHECK(first.answer.wait_for(std::chrono::seconds(0)) == std::future_status::timeout);
  hold.reset();
  STRCMP_EQUAL(expected.c_str(), Text(std::move(first)).c_str());
  STRCMP_EQUAL(expected.c_str(), Text(std::move(second)).c_str());
}

TEST(EngineModels, APinnedContextKeepsThePlaceOfItsAdapter) {
  ModelApi& a = Adapter("a");
  const std::string expected = Text(Send(a));
  ModelApi& b = Adapter("b");  // a has lost its place, and finds it again for the pin
  const engine::RequestId pin = Pin(a);
  Call call = Send(b);
  CHECK(call.answer.wait_for(std::chrono::milliseconds(50)) == std::future_status::timeout);
  STRCMP_EQUAL(expected.c_str(), Text(Send(a)).c_str());
  a.Cancel(pin);
  CHECK_OK(call.answer.get().status);
}

TEST(EngineModels, AContextThroughAnAdapterIsSavedAndRestoredThroughIt) {
  ModelApi &a = Adapter("a"), &weak = Adapter("a", 0.25f);
  const engine::RequestId pin = Pin(a);
  const std::string path = dir / "x.ctx";
  CHECK_OK(a.SaveContext(pin, "the document", path));
  a.Cancel(pin);
  CHECK_ERROR(Code::kPrecondition, "another model, adapter", base->RestoreContext(path).status());
  CHECK_ERROR(Code::kPrecondition, "another model, adapter", weak.RestoreContext(path).status());
  const auto restored = a.RestoreContext(path);
  CHECK_OK(restored.status());
  STRCMP_EQUAL("the document", restored->document.c_str());
  // Its adapter is unloaded: the pin goes with it.
  CHECK_OK(runtime->CloseAdapter(**runtime->Open("llama"), "a"));
  CHECK_ERROR(Code::kNotFound, "adapter was unloaded",
              a.SaveContext(restored->hold, "the document", path));
  CHECK_OK(Send(a).answer.get().status);
}

TEST(EngineModels, AWaitingCallCanBeCancelled) {
  ModelApi& a = Adapter("a");
  const engine::AdapterHold hold = Hold("b");
  Call call = Send(a);
  a.Cancel(call.id);
  a.Cancel(call.id);
  CHECK(call.answer.get().finish_reason == engine::FinishReason::kCancelled);
  a.Cancel(call.id);  // which has ended
}

TEST(EngineModels, ACallThatCameLateCanBeCancelledWhenItRuns) {
  ModelApi& a = Adapter("a");
  const auto runs = [&] {  // none is there while one gives its place to the other
    const auto list = runtime->Adapters(**runtime->Open("llama"));
    return std::ranges::any_of(list, [](const auto& adapter) { return adapter.requests > 0; });
  };
  engine::FinishReason reason = engine::FinishReason::kLength;
  for (int i = 0; i < 50 && reason == engine::FinishReason::kLength; ++i) {  // it may be too quick
    Adapter("b");
    Call call = Send(a, 1500);
    const auto ended = [&] {
      return call.answer.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    };
    while (!runs() && !ended()) std::this_thread::yield();
    a.Cancel(call.id);
    reason = call.answer.get().finish_reason;
  }
  CHECK(reason == engine::FinishReason::kCancelled);
}

// What a run is known by, and what answers are kept under, names adapters by what the script and
// the files say, and not by where they lie in memory.
TEST(EngineModels, APipelineWithAdaptersIsTheSameAfterARestart) {
  std::ofstream(dir / "p.lua") << R"(
    local minnow = require "minnow"
    local m = minnow.model "llama"
    local weak = m:adapter("a", { scale = 0.25 })
    return minnow.pipeline { name = "p", run = function(doc)
      local late = m:adapter "b"
      local options = { max_tokens = 6, temperature = 0.8, seed = 3, logprobs = 1 }
      return { m:generate(doc.text, options), weak:generate(doc.text, options),
               late:generate(doc.text, options), late:score(doc.text, { "x", "yz" }) }
    end })";
  const auto run = [&](bool untrusted) {
    auto loop = *script::Loop::Create();
    script::PipelineOptions options;
    if (untrusted) options.untrusted.emplace();
    script::FolderModels folders(*models, *runtime);
    auto pipeline = script::Pipeline::Load(
        dir / "p.lua", untrusted ? static_cast<script::Models&>(folders) : *models, *loop, options);
    CHECK_OK(pipeline.status());
    std::string all;
    (*pipeline)->Run({"1", "", "abc", {}}, [&](const script::DocumentResult& result) {
      CHECK_OK(result.status);
      all = result.value.dump();
      loop->Stop();
    });
    loop->Run();
    const auto parts = (*pipeline)->Parts();
    CHECK_OK(parts.status());
    for (const auto& [name, hash] : *parts) all += "\n" + name + " " + hash;
    return all;
  };
  const std::string first = run(false);
  STRCMP_CONTAINS("model \nllama\n0.25\na ", first.c_str());
  STRCMP_CONTAINS("model \nllama\n1\nb ", first.c_str());
  Stop();
  std::vector<std::string> elsewhere(1000, std::string(300, 'x'));  // so that addresses differ
  Start();
  Hold("b").reset();  // and the adapters' numbers
  STRCMP_EQUAL(first.c_str(), run(false).c_str());
  if (!::getenv("MINNOW_SANITIZED")) STRCMP_EQUAL(first.c_str(), run(true).c_str());
}

TEST(EngineModels, AnAdapterWhoseFileIsGoneFailsTheCall) {
  ModelApi& a = Adapter("a");
  fs::remove(dir / "a.gguf");
  CHECK_OK(Send(a).answer.get().status);  // it is in memory
  Adapter("b");
  const Status status = Send(a).answer.get().status;
  CHECK_ERROR(Code::kNotFound, "a.gguf", status);
}

TEST(EngineModels, WaitingCallsEndWithTheirModels) {
  ModelApi& a = Adapter("a");
  const engine::AdapterHold hold = Hold("b");
  Call call = Send(a);
  models.reset();
  CHECK_ERROR(Code::kUnavailable, "shutting down", call.answer.get().status);
}

}  // namespace
}  // namespace minnow::test
