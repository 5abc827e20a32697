// Opening models by name, on the build tree's plugins.
#include "engine/runtime.h"

#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <thread>

#include "build_paths.h"
#include "build_tree.h"
#include "engine/answer.h"

using minnow::Code;
using minnow::Result;
using minnow::engine::AdapterHold;
using minnow::engine::AdapterId;
using minnow::engine::Engine;
using minnow::engine::GenerateRequest;
using minnow::engine::Runtime;
using minnow::engine::RuntimeOptions;
using minnow::engine::TokenId;
using minnow::test::Ask;
using minnow::test::AskedGenerate;
using minnow::test::AskedHold;
using minnow::test::GoldenPath;
using minnow::test::InBuild;
using minnow::test::TempDir;
using minnow::test::TokensOf;

namespace {

std::unique_ptr<Runtime> MakeRuntime(RuntimeOptions options = {}) {
  options.plugin_dirs = {InBuild("plugins")};
  options.n_threads = 1;
  auto runtime = Runtime::Create(options);
  CHECK_OK(runtime.status());
  return *std::move(runtime);
}

}  // namespace

TEST_GROUP(Runtime){};

TEST(Runtime, OpensAModelOnceHoweverManyAskForIt) {
  const auto runtime = MakeRuntime();
  std::vector<Engine*> engines(4);
  std::vector<std::thread> threads;
  for (Engine*& engine : engines) {
    threads.emplace_back([&] {
      const Result<Engine*> opened = runtime->Open(GoldenPath("llama.gguf"));
      if (opened.ok()) engine = *opened;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(engines[0] != nullptr);
  for (const Engine* engine : engines) POINTERS_EQUAL(engines[0], engine);
}

TEST(Runtime, AFailedOpenMayBeTriedAgain) {
  const TempDir dir;
  const std::string path = dir / "model.gguf";
  std::ofstream(path) << "no model";
  RuntimeOptions options;
  options.model_dirs = {dir.path()};
  const auto runtime = MakeRuntime(options);
  CHECK(!runtime->Open("model").ok());
  std::filesystem::copy_file(GoldenPath("llama.gguf"), path,
                             std::filesystem::copy_options::overwrite_existing);
  CHECK_OK(runtime->Open("model").status());
}

TEST(Runtime, AClosedModelMayBeOpenedAgain) {
  const auto runtime = MakeRuntime();
  const std::string path = GoldenPath("llama.gguf");
  const auto opened = runtime->Open(path);
  CHECK_OK(opened.status());
  CHECK_OK(runtime->OpenAdapter(**opened, GoldenPath("llama.lora.gguf")).status());
  const auto other = runtime->Open(GoldenPath("qwen2.gguf"));
  CHECK_OK(other.status());
  runtime->Close(**opened);
  const auto again = runtime->Open(path);
  CHECK_OK(again.status());
  CHECK_OK(runtime->OpenAdapter(**again, GoldenPath("llama.lora.gguf")).status());
  POINTERS_EQUAL(*other, *runtime->Open(GoldenPath("qwen2.gguf")));
}

TEST(Runtime, FindsNamesOfStrangersInItsFoldersOnly) {
  const TempDir dir, folder;
  RuntimeOptions options;
  options.model_dirs = {folder.path()};
  std::ofstream(dir / "outside.gguf") << "x";
  std::ofstream(folder / "inside.gguf") << "x";
  const auto runtime = MakeRuntime(options);
  CHECK_OK(runtime->FindInFolders("inside").status());
  for (const std::string& name : {dir / "outside.gguf", std::string("../outside"),
                                  std::string("a\0b", 3), std::string(), std::string("a\n")}) {
    CHECK_ERROR(Code::kInvalid, "no name: the model", runtime->FindInFolders(name).status());
  }
  CHECK_ERROR(Code::kNotFound, "there is no model '..'", runtime->FindInFolders("..").status());
}

TEST(Runtime, RefusesStepsOfNothing) {
  RuntimeOptions options;
  options.engine.step_tokens = 0;
  CHECK_ERROR(Code::kInvalid, "step_tokens", Runtime::Create(options).status());
}

TEST(Runtime, FindsASplitModelByItsNameAndThroughLinks) {
  // The parts of a split model say how many there are; one part of one is whole.
  const TempDir dir;
  const std::string part = dir / "llama.F32-00001-of-00002.gguf";
  std::filesystem::copy_file(GoldenPath("llama.gguf"), dir / "blob");
  std::filesystem::create_symlink(dir / "blob", part);
  std::ofstream(dir / "llama.F32-00002-of-00002.gguf") << "another part";
  RuntimeOptions options;
  options.model_dirs = {dir.path()};
  const auto runtime = MakeRuntime(options);
  const Result<Engine*> by_name = runtime->Open("llama");
  CHECK_OK(by_name.status());
  CHECK_OK(runtime->Open("llama.F32").status());
  POINTERS_EQUAL(*by_name, *runtime->Open(part));
  STRCMP_EQUAL(part.c_str(), (*by_name)->model().path().c_str());
}

TEST(Runtime, SaysWhatANameIsThatIsNoModelFile) {
  const TempDir dir;
  const auto runtime = MakeRuntime();
  CHECK_ERROR(Code::kNotFound, "config.json", runtime->Open(dir.path()).status());
  CHECK_ERROR(Code::kInvalid, "'/dev/zero' is not a regular file",
              runtime->Open("/dev/zero").status());
  CHECK_ERROR(Code::kNotFound, "there is no model file", runtime->Open(dir / "absent").status());
}

namespace {

// The tiny model with one token spelled otherwise.
void WriteWithToken(const std::string& path, const std::string& from, const std::string& to) {
  std::ifstream in(GoldenPath("llama.gguf"), std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  const size_t at = bytes.find(from);
  CHECK(at != std::string::npos && from.size() == to.size());
  std::ofstream(path, std::ios::binary) << bytes.replace(at, from.size(), to);
}

}  // namespace

TEST(Runtime, OpensADraftBesideItsModel) {
  RuntimeOptions options;
  options.drafts = {{GoldenPath("llama.gguf"), GoldenPath("qwen2.gguf")}};
  const auto runtime = MakeRuntime(options);
  for (int i = 0; i < 2; ++i) {
    const auto opened = runtime->Open(GoldenPath("llama.gguf"));
    CHECK_OK(opened.status());
    const auto other = runtime->Open(GoldenPath("mistral.gguf"));  // which has none
    CHECK_OK(other.status());
    runtime->Close(**opened);
  }
}

TEST(Runtime, RefusesDraftsThatDoNotFit) {
  const TempDir dir;
  const std::string spelled = dir / "spelled.gguf";
  WriteWithToken(spelled, "<s>", "<z>");
  const auto open = [](const std::string& model, const std::string& draft) {
    RuntimeOptions options;
    options.drafts = {{model, draft}};
    return MakeRuntime(options)->Open(model).status();
  };
  const std::string llama = GoldenPath("llama.gguf");
  CHECK_ERROR(Code::kUnsupported, "its token 0 is '<z>' and the model's '<s>'",
              open(llama, spelled));
  CHECK_ERROR(Code::kUnsupported, "recurrent state", open(llama, GoldenPath("mamba2.gguf")));
  CHECK_ERROR(Code::kUnsupported, "cannot check guesses", open(GoldenPath("mamba2.gguf"), llama));
  CHECK_ERROR(Code::kUnsupported, "encoder", open(llama, GoldenPath("bert_mean.gguf")));
}

TEST(Runtime, RefusesDraftsThatAreNotThereOrTheModelItself) {
  const auto create = [](const std::string& model, const std::string& draft) {
    RuntimeOptions options;
    options.drafts = {{model, draft}};
    return Runtime::Create(options).status();
  };
  const std::string llama = GoldenPath("llama.gguf");
  CHECK_ERROR(Code::kInvalid, "cannot draft for itself", create(llama, llama));
  CHECK_ERROR(Code::kNotFound, "no draft model file '/nowhere/x.gguf'",
              create(llama, "/nowhere/x.gguf"));
  CHECK_ERROR(Code::kNotFound, "no model file '/nowhere/x.gguf'", create("/nowhere/x.gguf", llama));
}

// One golden model with places for two adapters, which one file at several scales fills.
TEST_GROUP(RuntimeAdapters) {
  std::unique_ptr<Runtime> runtime;
  Engine* engine = nullptr;
  const std::string path = GoldenPath("llama.lora.gguf");

  void Open(uint32_t n_slots = 2) {
    RuntimeOptions options;
    options.instance.adapter_slots = n_slots;
    options.instance.kv_tokens = 8192;
    runtime = MakeRuntime(options);
    const auto opened = runtime->Open(GoldenPath("llama.gguf"));
    CHECK_OK(opened.status());
    engine = *opened;
  }
  void teardown() override { runtime.reset(); }

  AdapterHold Hold(float scale = 1) {
    Result<AdapterHold> hold = runtime->OpenAdapter(*engine, path, scale);
    if (!hold.ok()) FAIL(hold.status().message().c_str());
    return *std::move(hold);
  }
  bool IsLoaded(float scale) { return runtime->FindAdapter(*engine, path, scale) != nullptr; }

  GenerateRequest Through(AdapterId adapter, uint32_t n) {
    GenerateRequest request;
    request.prompt = {1, 5, 9, 11};
    request.max_tokens = n;
    request.ignore_end = true;
    request.adapter = adapter;
    return request;
  }
  // The executor frees between two steps what nobody waited for.
  void CheckNoneLoaded() {
    for (int i = 0; i < 60'000 && engine->stats().adapters > 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    UNSIGNED_LONGS_EQUAL(0, engine->stats().adapters);
    UNSIGNED_LONGS_EQUAL(0, engine->stats().adapter_bytes);
  }
};

TEST(RuntimeAdapters, AreLoadedOnceForEachScaleAndTellWhatTheyAre) {
  Open();
  const AdapterHold first = Hold(), same = Hold(), half = Hold(0.5f);
  POINTERS_EQUAL(first.get(), same.get());
  CHECK(first->id() != half->id());
  const auto list = runtime->Adapters(*engine);
  UNSIGNED_LONGS_EQUAL(2, list.size());
  DOUBLES_EQUAL(0.5, list[0].scale, 0);
  DOUBLES_EQUAL(1, list[1].scale, 0);
  CHECK(list[0].rank > 0 && list[0].bytes > 0);
  UNSIGNED_LONGS_EQUAL(engine->stats().adapter_bytes, list[0].bytes + list[1].bytes);
  UNSIGNED_LONGS_EQUAL(0, list[0].requests);
}

TEST(RuntimeAdapters, ClosingFreesThePlaceTheMemoryAndTheCache) {
  Open(1);
  AdapterHold hold = Hold();
  const AdapterId id = hold->id();
  GenerateRequest request = Through(id, 4);
  request.prompt.assign(200, 7);
  Ask(*engine, request).Wait();
  while (engine->stats().pages_kept == 0) std::this_thread::yield();  // is told after the answer
  hold.reset();
  CHECK_OK(runtime->CloseAdapter(*engine, path));
  UNSIGNED_LONGS_EQUAL(0, engine->stats().adapters);
  UNSIGNED_LONGS_EQUAL(0, engine->stats().adapter_bytes);
  UNSIGNED_LONGS_EQUAL(0, engine->stats().pages_kept);
  CHECK(!IsLoaded(1));
  CHECK_ERROR(Code::kNotFound, "is not loaded", runtime->CloseAdapter(*engine, path));
  CHECK(Hold()->id() != id);  // again, and anew
}

TEST(RuntimeAdapters, AClosedOneServesThoseWhoHoldIt) {
  Open(2);
  AdapterHold hold = Hold();
  const std::vector<TokenId> expected = TokensOf(Ask(*engine, Through(hold->id(), 300)).Wait());
  const AskedGenerate running = Ask(*engine, Through(hold->id(), 300));
  CHECK_OK(runtime->CloseAdapter(*engine, path));
  const AdapterHold other = Hold();  // what the file is now
  CHECK(other->id() != hold->id());
  // Also a request that comes late.
  CHECK(expected == TokensOf(Ask(*engine, Through(hold->id(), 300)).Wait()));
  const AdapterId id = hold->id();
  hold.reset();
  CHECK(expected == TokensOf(running.Wait()));
  CHECK_ERROR(Code::kNotFound, "is not loaded", engine->Generate(Through(id, 1)).status());
}

TEST(RuntimeAdapters, TheOneThatNobodyAskedForLongestGivesWay) {
  Open(2);
  Hold(1);
  Hold(2);
  CHECK(IsLoaded(1));  // is asked for again
  Hold(3);
  CHECK(!IsLoaded(2));
  CHECK(IsLoaded(1) && IsLoaded(3));
  const AdapterHold used = Hold(1);
  CHECK(IsLoaded(3));
  Hold(4);  // the older one is held
  CHECK(IsLoaded(1) && !IsLoaded(3));
}

TEST(RuntimeAdapters, NoneThatIsHeldGivesWay) {
  Open(2);
  AdapterHold first = Hold(1);
  const AdapterHold second = Hold(2);
  CHECK_ERROR(Code::kUnavailable, "all 2 places for adapters are in use; unload one, or make more",
              runtime->OpenAdapter(*engine, path, 3).status());
  const AdapterId id = first->id();
  first.reset();
  Hold(3);
  CHECK(!IsLoaded(1));
  CHECK_ERROR(Code::kNotFound, "is not loaded", engine->Generate(Through(id, 1)).status());
}

TEST(RuntimeAdapters, NoneThroughWhichAContextIsPinnedGivesWay) {
  Open(1);
  minnow::engine::RequestId pin = 0;
  {
    const AdapterHold hold = Hold(1);
    const AskedHold asked = minnow::test::Hold(*engine, {1, 5, 9}, hold->id());
    CHECK_OK(asked.Wait());
    pin = asked.id;
  }
  CHECK_ERROR(Code::kUnavailable, "a pinned context keeps that of its adapter",
              runtime->OpenAdapter(*engine, path, 2).status());
  CHECK(IsLoaded(1));
  engine->Cancel(pin);
  Ask(*engine, Through(0, 1)).Wait();  // what comes after a cancellation is seen after it
  Hold(2);
  CHECK(!IsLoaded(1));
}

TEST(RuntimeAdapters, ClosingOneGivesUpWhatIsPinnedThroughIt) {
  Open(1);
  const AskedHold asked = minnow::test::Hold(*engine, {1, 5, 9}, Hold(1)->id());
  CHECK_OK(asked.Wait());
  CHECK_OK(runtime->CloseAdapter(*engine, path));
  CheckNoneLoaded();
  UNSIGNED_LONGS_EQUAL(0, engine->stats().holds);
  CHECK_ERROR(Code::kNotFound, "adapter was unloaded", engine->FindHeld(asked.id).status());
}

TEST(RuntimeAdapters, NoneGivesWayToAFileThatCannotBeUsed) {
  Open(2);
  Hold(1);
  Hold(2);
  CHECK(!runtime->OpenAdapter(*engine, GoldenPath("phi3.lora.gguf")).ok());
  CHECK(!runtime->OpenAdapter(*engine, GoldenPath("qwen2.gguf")).ok());
  CHECK(!runtime->OpenAdapter(*engine, path, std::nanf("")).ok());
  CHECK(IsLoaded(1) && IsLoaded(2));
}

TEST(RuntimeAdapters, ModelsWithoutPlacesSayThatTheyTakeNone) {
  Open(0);
  CHECK_ERROR(Code::kUnsupported, "the model takes no adapters",
              runtime->OpenAdapter(*engine, path).status());
}

TEST(RuntimeAdapters, AFileThatIsGoneCanBeClosed) {
  Open(2);
  const TempDir dir;
  std::filesystem::copy_file(path, dir / "a.gguf");
  CHECK_OK(runtime->OpenAdapter(*engine, dir / "a.gguf").status());
  const std::string listed = runtime->Adapters(*engine).at(0).path;
  std::filesystem::remove(dir / "a.gguf");
  CHECK_OK(runtime->CloseAdapter(*engine, listed));
  CheckNoneLoaded();
}

TEST(RuntimeAdapters, ManyMayOpenAndCloseTheSameAtOnce) {
  Open(2);
  const std::vector<TokenId> expected = TokensOf(Ask(*engine, Through(Hold()->id(), 8)).Wait());
  std::atomic<int> wrong = 0;
  const auto client = [&](bool closes) {
    for (int i = 0; i < 40; ++i) {
      // All places may be held by what the other has closed and still uses.
      const auto hold = runtime->OpenAdapter(*engine, path);
      if (!hold.ok()) {
        wrong += hold.status().code() != Code::kUnavailable;
        continue;
      }
      const AskedGenerate asked = Ask(*engine, Through((*hold)->id(), 8));
      if (closes) {
        const minnow::Status closed = runtime->CloseAdapter(*engine, path);
        wrong += !closed.ok() && closed.code() != Code::kNotFound;
      }
      wrong += TokensOf(asked.Wait()) != expected;
    }
  };
  std::thread threads[3];
  for (int i = 0; i < 3; ++i) threads[i] = std::thread(client, i > 0);
  for (std::thread& thread : threads) thread.join();
  LONGS_EQUAL(0, wrong);
  const minnow::Status closed = runtime->CloseAdapter(*engine, path);
  CHECK(closed.ok() || closed.code() == Code::kNotFound);
  CheckNoneLoaded();
}
