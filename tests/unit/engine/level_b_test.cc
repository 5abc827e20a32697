// Repeatability level B over the real CPU backend: the bits of a row's logits depend neither on
// neighbours nor on how its sequence was cut into steps, nor on threads or the CPU's level.
#include <cstring>

#include "build_paths.h"
#include "build_tree.h"
#include "cpu_levels.h"
#include "engine/answer.h"
#include "engine/replay_draft.h"
#include "engine/sampler.h"
#include "formats/gguf_writer.h"
#include "quant/quant.h"

using minnow::engine::EmbedRequest;
using minnow::engine::GenerateRequest;
using minnow::engine::GenerateResult;
using minnow::engine::LogSumExp;
using minnow::engine::Priority;
using minnow::engine::ScoreRequest;
using minnow::engine::TokenId;
using minnow::model::Model;
using minnow::test::Ask;
using minnow::test::AskedEmbed;
using minnow::test::AskedGenerate;
using minnow::test::AskedScore;
using minnow::test::BuildTreePlugins;
using minnow::test::CpuEngine;
using minnow::test::CpuOptions;
using minnow::test::GoldenPath;
using minnow::test::InSource;
using minnow::test::kCpuLevels;
using minnow::test::LoadModel;
using minnow::test::LogitsOf;
using minnow::test::ReplayDraft;
using minnow::test::TempDir;

namespace {

constexpr uint32_t kLength = 290;  // across pages, windows, and attention's blocks of 256

std::vector<TokenId> Text(size_t n, uint32_t seed) {
  std::vector<TokenId> tokens = {0};
  while (tokens.size() < n) {
    seed = seed * 1664525u + 1013904223u;
    tokens.push_back(static_cast<TokenId>(2 + (seed >> 8) % 270));
  }
  return tokens;
}

CpuOptions Options(uint32_t step_tokens = 512) {
  CpuOptions options;
  options.instance.max_out = 512;
  options.engine.step_tokens = step_tokens;
  return options;
}

std::vector<float> AllLogits(CpuEngine& cpu) {
  return LogitsOf(cpu.engine(), Text(kLength, 1), kLength);
}

void CheckSameBits(const std::vector<float>& expected, const std::vector<float>& got) {
  UNSIGNED_LONGS_EQUAL(expected.size(), got.size());
  const size_t n_vocab = expected.size() / kLength;
  for (size_t row = 0; row < kLength; ++row) {
    const size_t at = row * n_vocab;
    if (std::memcmp(&expected[at], &got[at], n_vocab * sizeof(float)) != 0)
      FAIL(fmt::format("the logits at position {} differ", row).c_str());
  }
}

// The file with its matrices in F16.
std::string HalfVersion(const std::string& path, const std::string& half) {
  auto file = minnow::formats::GgufReader::Open(path);
  CHECK_OK(file.status());
  minnow::formats::GgufWriter writer;
  for (const auto& entry : file->metadata()) writer.Set(entry);
  std::vector<std::vector<std::byte>> bytes;
  for (const auto& t : file->tensors()) {
    const std::vector<int64_t> ne(t.ne.begin(), t.ne.begin() + t.n_dims);
    if (t.n_dims < 2 || t.type != MNW_TYPE_F32) {
      writer.AddTensor(t.name, t.type, ne, t.data);
      continue;
    }
    std::vector<float> values(t.data.size() / sizeof(float));
    std::memcpy(values.data(), t.data.data(), t.data.size());
    bytes.emplace_back(values.size() * 2);
    CHECK_OK(minnow::quant::FromF32(MNW_TYPE_F16, values, bytes.back()));
    writer.AddTensor(t.name, MNW_TYPE_F16, ne, bytes.back());
  }
  CHECK_OK(writer.Write(half));
  return half;
}

}  // namespace

TEST_GROUP(LevelB) {
  TempDir dir;

  void CheckModel(const std::string& path) {
    const std::shared_ptr<const Model> model = LoadModel(path);
    std::vector<float> alone;
    {
      CpuEngine cpu(model, Options());
      alone = AllLogits(cpu);
      CheckSameBits(alone, AmongOthers(cpu));
      CheckTree(cpu, alone);
      CheckGuesses(cpu);
    }
    for (uint32_t step_tokens : {64u, 7u, 1u}) {
      CpuEngine cpu(model, Options(step_tokens));
      CheckSameBits(alone, AllLogits(cpu));
    }
    {
      CpuOptions options = Options(64);
      options.n_threads = 2;
      CpuEngine cpu(model, options);
      CheckSameBits(alone, AllLogits(cpu));
      CheckSameBits(alone, AmongOthers(cpu));
    }
    for (const char* isa : kCpuLevels) {
      CpuOptions options = Options(100);
      options.device = std::string("cpu:isa=") + isa;
      const auto device = BuildTreePlugins().OpenDevice(options.device, 1);
      if (!device.ok()) {
        std::printf("\nskipped %s: %s\n", isa, device.status().message().c_str());
        continue;
      }
      CpuEngine cpu(model, options);
      CheckSameBits(alone, AllLogits(cpu));
    }
  }

  // While 64 generations of many lengths run.
  std::vector<float> AmongOthers(CpuEngine & cpu) {
    std::vector<AskedGenerate> others;
    for (uint32_t i = 0; i < 64; ++i) {
      GenerateRequest request;
      request.prompt = Text(1 + i * 3, i);
      request.max_tokens = 12;
      request.ignore_end = true;
      others.push_back(Ask(cpu.engine(), std::move(request)));
    }
    std::vector<float> logits = AllLogits(cpu);
    for (const AskedGenerate& other : others) CHECK_OK(other.Wait().status);
    return logits;
  }

  // Generation with guesses, many of which are right and committed after their step, across pages,
  // windows and attention's blocks: tokens and log-probabilities are those of generation without.
  void CheckGuesses(CpuEngine & cpu) {
    for (const float temperature : {0.0f, 1.0f}) {
      GenerateRequest request;
      request.prompt = Text(225, 3);
      // Repeated text, from which the engine's own guesses come.
      request.prompt.insert(request.prompt.end(), request.prompt.begin() + 1,
                            request.prompt.begin() + 11);
      request.max_tokens = 64;
      request.ignore_end = true;
      request.n_logprobs = 3;
      request.sampling = {.temperature = temperature, .seed = 5};
      request.speculate = false;
      const GenerateResult plain = Ask(cpu.engine(), request).Wait();
      ReplayDraft::Options options{.prompt = request.prompt.size(), .acceptance = 0.8};
      for (const minnow::engine::GeneratedToken& t : plain.tokens) {
        options.answer.push_back(t.token);
      }
      request.speculate = true;
      const AskedGenerate own = Ask(cpu.engine(), request);
      request.draft = std::make_shared<ReplayDraft>(options);
      options.tree = true;
      const AskedGenerate chain = Ask(cpu.engine(), request);
      request.draft = std::make_shared<ReplayDraft>(options);
      for (const AskedGenerate& asked : {own, chain, Ask(cpu.engine(), request)}) {
        const GenerateResult& result = asked.Wait();
        CHECK_OK(result.status);
        UNSIGNED_LONGS_EQUAL(plain.tokens.size(), result.tokens.size());
        for (size_t i = 0; i < plain.tokens.size(); ++i) {
          const auto &a = plain.tokens[i], &b = result.tokens[i];
          LONGS_EQUAL(a.token, b.token);
          CHECK(a.logprob == b.logprob);
          for (size_t k = 0; k < 3; ++k) CHECK(a.top[k].logprob == b.top[k].logprob);
        }
      }
      const bool recurrent = !cpu.engine().instance().can_speculate();
      CHECK(recurrent == (chain.Wait().usage.accepted_tokens == 0));
    }
  }

  // The same continuation as rows of a tree, beside a second branch, never committed.
  void CheckTree(CpuEngine & cpu, const std::vector<float>& alone) {
    const std::vector<TokenId> text = Text(kLength, 1);
    const size_t start = 250, n_vocab = alone.size() / kLength;
    ScoreRequest request;
    request.prompt.assign(text.begin(), text.begin() + start);
    for (size_t i = start; i < kLength; ++i) {
      const auto parent = static_cast<int32_t>(request.tree.size()) - (i == start ? 1 : 2);
      request.tree.push_back({parent, text[i]});
      request.tree.push_back({parent, 5});
    }
    const AskedScore asked = Ask(cpu.engine(), request);
    CHECK_OK(asked.Wait().status);
    for (size_t i = start; i < kLength; ++i) {
      const auto row = std::span(alone).subspan((i - 1) * n_vocab, n_vocab);
      const float expected = static_cast<float>(row[static_cast<size_t>(text[i])] - LogSumExp(row));
      CHECK(expected == asked.Wait().logprobs[2 * (i - start)]);
    }
  }
};

TEST(LevelB, F32Weights) { CheckModel(GoldenPath("llama.gguf")); }

TEST(LevelB, QuantizedWeights) { CheckModel(GoldenPath("quantized.gguf")); }

TEST(LevelB, F16Weights) { CheckModel(HalfVersion(GoldenPath("llama.gguf"), dir / "half.gguf")); }

TEST(LevelB, WindowsAndSoftCaps) { CheckModel(GoldenPath("gemma2.gguf")); }

TEST(LevelB, RecurrentState) { CheckModel(GoldenPath("mamba2.gguf")); }

TEST(LevelB, DemoModel) {
  const std::string path = InSource("models/minnow-demo.Q8_0.gguf");
  if (!std::filesystem::exists(path)) {
    std::printf("\nskipped LevelB, DemoModel: no %s\n", path.c_str());
    return;
  }
  CheckModel(path);
}

TEST(LevelB, EmbeddingsOfMixedLengths) {
  const std::shared_ptr<const Model> model = LoadModel(GoldenPath("bert_mean.gguf"));
  std::vector<std::vector<TokenId>> texts;
  for (uint32_t i = 0; i < 40; ++i) {
    texts.push_back(Text(1 + i * 37 % 320, i));
    for (TokenId& token : texts.back()) token %= 200;
  }
  std::vector<std::vector<float>> alone;
  CpuEngine cpu(model, Options());
  for (const auto& text : texts) {
    alone.push_back(Ask(cpu.engine(), EmbedRequest{text, Priority::kBatch, {}}).Wait().embedding);
  }
  const auto check = [&](CpuEngine& together) {
    std::vector<AskedEmbed> asked;
    for (const auto& text : texts) {
      asked.push_back(Ask(together.engine(), EmbedRequest{text, Priority::kBatch, {}}));
    }
    for (size_t i = 0; i < texts.size(); ++i) {
      CHECK_OK(asked[i].Wait().status);
      CHECK(alone[i] == asked[i].Wait().embedding);
    }
  };
  check(cpu);
  CpuOptions options = Options();
  options.n_threads = 2;
  CpuEngine threads(model, options);
  check(threads);
  options.device = "cpu:isa=ref";
  CpuEngine reference(model, options);
  check(reference);
}

TEST(LevelB, EveryTypeOfCache) {
  const std::shared_ptr<const Model> model = LoadModel(GoldenPath("quantized.gguf"));
  for (mnw_type type : {MNW_TYPE_F32, MNW_TYPE_F16, MNW_TYPE_Q8_0}) {
    CpuOptions options = Options();
    options.instance.kv_type = type;
    CpuEngine whole(model, options);
    const std::vector<float> alone = AllLogits(whole);
    CheckSameBits(alone, AmongOthers(whole));
    CheckTree(whole, alone);
    CheckGuesses(whole);
    options.engine.step_tokens = 7;
    options.n_threads = 2;
    CpuEngine chunked(model, options);
    CheckSameBits(alone, AllLogits(chunked));
  }
}
