// Opening models by name, on the build tree's plugins.
#include "engine/runtime.h"

#include <filesystem>
#include <fstream>
#include <thread>

#include "build_tree.h"

using minnow::Code;
using minnow::Result;
using minnow::engine::Engine;
using minnow::engine::Runtime;
using minnow::engine::RuntimeOptions;
using minnow::test::GoldenPath;
using minnow::test::TempDir;

namespace {

std::unique_ptr<Runtime> MakeRuntime(RuntimeOptions options = {}) {
  options.plugin_dirs = {MINNOW_BINARY_DIR "/plugins"};
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
    CHECK_ERROR(Code::kInvalid, "no name of a model", runtime->FindInFolders(name).status());
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
