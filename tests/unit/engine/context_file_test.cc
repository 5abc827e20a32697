// Saved contexts over the real CPU backend: what comes back has the bits of what was saved, and
// files that were cut, changed or are of something else are refused.
#include "engine/context_file.h"

#include <cstring>
#include <filesystem>
#include <fstream>

#include "build_paths.h"
#include "build_tree.h"
#include "engine/answer.h"
#include "engine/random_adapter.h"

using minnow::Code;
using minnow::engine::AdapterId;
using minnow::engine::Engine;
using minnow::engine::GenerateRequest;
using minnow::engine::RestoreContext;
using minnow::engine::SaveContext;
using minnow::engine::TokenId;
using minnow::test::Ask;
using minnow::test::AskedHold;
using minnow::test::CpuEngine;
using minnow::test::CpuOptions;
using minnow::test::GoldenPath;
using minnow::test::Hold;
using minnow::test::InSource;
using minnow::test::LoadModel;
using minnow::test::LogitsOf;
using minnow::test::RandomAdapter;
using minnow::test::TempDir;

namespace {

using Tokens = std::vector<TokenId>;

Tokens Text(size_t n, uint32_t seed) {
  Tokens tokens = {0};
  while (tokens.size() < n) {
    seed = seed * 1664525u + 1013904223u;
    tokens.push_back(static_cast<TokenId>(2 + (seed >> 8) % 270));
  }
  return tokens;
}

CpuOptions Options(int32_t kv_type = MNW_TYPE_F16) {
  CpuOptions options;
  options.instance.kv_type = kv_type;
  return options;
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

void WriteAll(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace

TEST_GROUP(ContextFile) {
  TempDir dir;
  const std::string path = dir / "saved.ctx";
  const Tokens document = Text(77, 1);

  void Save(Engine & engine, const Tokens& tokens, AdapterId adapter = 0) {
    const AskedHold hold = Hold(engine, tokens, adapter);
    CHECK_OK(hold.Wait());
    CHECK_OK(SaveContext(engine, hold.id, "the document", path));
    engine.Cancel(hold.id);
  }
};

TEST(ContextFile, ComesBackWithItsBits) {
  const std::string demo = InSource("models/minnow-demo.Q8_0.gguf");
  // gemma2 has windows; the heads of the golden models are too small for Q8_0.
  for (const std::string& file : {GoldenPath("llama.gguf"), GoldenPath("gemma2.gguf"), demo}) {
    for (const int32_t type : {MNW_TYPE_F32, MNW_TYPE_F16, MNW_TYPE_Q8_0}) {
      if (type == MNW_TYPE_Q8_0 && file != demo) continue;
      const auto model = LoadModel(file);
      Tokens asked = document;
      const Tokens question = Text(20, 2);
      asked.insert(asked.end(), question.begin() + 1, question.end());
      std::vector<float> expected;
      {
        CpuEngine cpu(model, Options(type));
        cpu.engine().SetIdentity(0, "same");
        expected = LogitsOf(cpu.engine(), asked, 19);
        Save(cpu.engine(), document);
      }
      CpuEngine cpu(model, Options(type));
      cpu.engine().SetIdentity(0, "same");
      const auto back = RestoreContext(cpu.engine(), 0, path);
      CHECK_OK(back.status());
      STRCMP_EQUAL("the document", back->document.c_str());
      UNSIGNED_LONGS_EQUAL(77, back->n_tokens);
      GenerateRequest request;
      request.prompt = asked;
      request.max_tokens = 1;
      UNSIGNED_LONGS_EQUAL(77, Ask(cpu.engine(), request).Wait().usage.cached_tokens);
      const std::vector<float> got = LogitsOf(cpu.engine(), asked, 19);
      UNSIGNED_LONGS_EQUAL(expected.size(), got.size());
      CHECK(std::memcmp(expected.data(), got.data(), got.size() * sizeof(float)) == 0);
    }
  }
}

TEST(ContextFile, ThroughAnAdapterComesBackThroughThatOneAlone) {
  const auto model = LoadModel(GoldenPath("llama.gguf"));
  Tokens asked = document;
  const Tokens question = Text(20, 2);
  asked.insert(asked.end(), question.begin() + 1, question.end());
  const auto load = [](Engine& engine, uint32_t seed, const char* identity) {
    const auto id = engine.LoadAdapter(RandomAdapter(engine.instance(), seed));
    CHECK_OK(id.status());
    engine.SetIdentity(*id, identity);
    return *id;
  };
  std::vector<float> expected;
  {
    CpuEngine cpu(model, Options());
    const AdapterId adapter = load(cpu.engine(), 1, "one");
    expected = LogitsOf(cpu.engine(), asked, 19, adapter);
    Save(cpu.engine(), document, adapter);
  }
  CpuEngine cpu(model, Options());
  cpu.engine().SetIdentity(0, "base");
  const AdapterId other = load(cpu.engine(), 2, "two"), adapter = load(cpu.engine(), 1, "one");
  for (const AdapterId wrong : {AdapterId{0}, other}) {
    CHECK_ERROR(Code::kPrecondition, "as one, and this is",
                RestoreContext(cpu.engine(), wrong, path).status());
  }
  CHECK_OK(RestoreContext(cpu.engine(), adapter, path).status());
  GenerateRequest request;
  request.prompt = asked;
  request.max_tokens = 1;
  UNSIGNED_LONGS_EQUAL(0, Ask(cpu.engine(), request).Wait().usage.cached_tokens);
  request.adapter = adapter;
  UNSIGNED_LONGS_EQUAL(77, Ask(cpu.engine(), request).Wait().usage.cached_tokens);
  const std::vector<float> got = LogitsOf(cpu.engine(), asked, 19, adapter);
  UNSIGNED_LONGS_EQUAL(expected.size(), got.size());
  CHECK(std::memcmp(expected.data(), got.data(), got.size() * sizeof(float)) == 0);
}

TEST(ContextFile, OfAnAdapterThatWasUnloadedIsNotWritten) {
  CpuEngine cpu(LoadModel(GoldenPath("llama.gguf")), Options());
  const auto adapter = cpu.engine().LoadAdapter(RandomAdapter(cpu.engine().instance(), 1));
  CHECK_OK(adapter.status());
  cpu.engine().SetIdentity(*adapter, "one");
  const AskedHold hold = Hold(cpu.engine(), document, *adapter);
  CHECK_OK(hold.Wait());
  CHECK_OK(cpu.engine().UnloadAdapter(*adapter));
  CHECK_ERROR(Code::kNotFound, "adapter was unloaded",
              SaveContext(cpu.engine(), hold.id, "", path));
  CHECK(!std::filesystem::exists(path));
}

TEST(ContextFile, IsRefusedWhenItWasCutOrChanged) {
  CpuEngine cpu(LoadModel(GoldenPath("llama.gguf")), Options());
  cpu.engine().SetIdentity(0, "same");
  Save(cpu.engine(), document);
  const std::string whole = ReadAll(path);
  for (size_t i = 0; i < whole.size(); i += i < 400 ? 1 : 97) {
    WriteAll(path, std::string_view(whole).substr(0, i));
    CHECK_ERROR(Code::kCorrupt, path.c_str(), RestoreContext(cpu.engine(), 0, path).status());
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 0x10);
    WriteAll(path, changed);
    CHECK_ERROR(Code::kCorrupt, path.c_str(), RestoreContext(cpu.engine(), 0, path).status());
  }
  WriteAll(path, whole + "x");
  CHECK_ERROR(Code::kCorrupt, "cut or changed", RestoreContext(cpu.engine(), 0, path).status());
  WriteAll(path, "not a context");
  CHECK_ERROR(Code::kCorrupt, "no saved context", RestoreContext(cpu.engine(), 0, path).status());
  UNSIGNED_LONGS_EQUAL(0, cpu.engine().stats().holds);
  UNSIGNED_LONGS_EQUAL(0, cpu.engine().stats().pages_used);
  WriteAll(path, whole);
  CHECK_OK(RestoreContext(cpu.engine(), 0, path).status());
}

TEST(ContextFile, IsRefusedByAnotherModelAndOtherShapes) {
  {
    CpuEngine cpu(LoadModel(GoldenPath("llama.gguf")), Options());
    cpu.engine().SetIdentity(0, "one");
    Save(cpu.engine(), document);
  }
  CpuEngine other(LoadModel(GoldenPath("qwen2.gguf")), Options());
  other.engine().SetIdentity(0, "two");
  CHECK_ERROR(Code::kPrecondition, "as one, and this is",
              RestoreContext(other.engine(), 0, path).status());
  // One that lies about what it is of.
  other.engine().SetIdentity(0, "one");
  CHECK_ERROR(Code::kCorrupt, "the state has", RestoreContext(other.engine(), 0, path).status());
  CHECK_ERROR(Code::kNotFound, "nothing.ctx",
              RestoreContext(other.engine(), 0, dir / "nothing.ctx").status());
}

TEST(ContextFile, IsItsOwnersAloneAndWrittenAsAWhole) {
  CpuEngine cpu(LoadModel(GoldenPath("llama.gguf")), Options());
  Save(cpu.engine(), document);
  const auto permissions = std::filesystem::status(path).permissions();
  CHECK(permissions == (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
  const AskedHold hold = Hold(cpu.engine(), document);
  CHECK_OK(hold.Wait());
  CHECK_ERROR(Code::kInvalid, "cannot write",
              SaveContext(cpu.engine(), hold.id, "", dir / "no/such/folder"));
  cpu.engine().Cancel(hold.id);
  CHECK_ERROR(Code::kNotFound, "gone", SaveContext(cpu.engine(), hold.id, "", path));
}
