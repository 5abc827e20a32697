// The logits of tiny models of every layout against transformers' (tests/golden/README.md).
#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "build_tree.h"
#include "engine/answer.h"

using minnow::engine::EmbedRequest;
using minnow::engine::Priority;
using minnow::engine::TokenId;
using minnow::test::Ask;
using minnow::test::AskedEmbed;
using minnow::test::CpuEngine;
using minnow::test::CpuOptions;
using minnow::test::GoldenPath;
using minnow::test::LoadModel;
using minnow::test::LogitsOf;

namespace {

struct Distance {
  double largest = 0;  // max|a-b| / max|b|
  double rms = 0;      // of a-b over that of b
};

Distance Compare(const std::vector<float>& got, const std::vector<double>& expected) {
  double largest = 0, scale = 0, square = 0, reference = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double d = std::fabs(got[i] - expected[i]);
    largest = std::max(largest, std::isnan(d) ? INFINITY : d);
    scale = std::max(scale, std::fabs(expected[i]));
    square += d * d;
    reference += expected[i] * expected[i];
  }
  return {largest / scale, std::sqrt(square / reference)};
}

// Each row of each case within these bounds.
void CheckFile(const std::string& name, double largest, double rms) {
  std::ifstream json(GoldenPath(name + ".logits.json"));
  const nlohmann::json golden = nlohmann::json::parse(json);
  CHECK(!golden["cases"].empty());
  for (const auto& c : golden["cases"]) {
    const auto tokens = c["tokens"].get<std::vector<TokenId>>();
    const auto n = static_cast<uint32_t>(tokens.size());
    CpuOptions options;
    options.instance.kv_type = MNW_TYPE_F32;
    options.instance.max_out = n;
    options.engine.step_tokens = 100;
    CpuEngine cpu(LoadModel(GoldenPath(name + ".gguf"), n), options);
    const std::vector<float> logits = LogitsOf(cpu.engine(), tokens, n);
    const size_t n_vocab = logits.size() / n;
    for (size_t i = 0; i < c["positions"].size(); ++i) {
      const auto at = c["positions"][i].get<size_t>();
      const auto expected = c["logits"][i].get<std::vector<double>>();
      UNSIGNED_LONGS_EQUAL(n_vocab, expected.size());
      const auto row = logits.begin() + static_cast<ptrdiff_t>(at * n_vocab);
      const Distance d = Compare({row, row + static_cast<ptrdiff_t>(n_vocab)}, expected);
      const auto where = fmt::format("{}, position {} of {}: {:.2g} of the largest, rms {:.2g}",
                                     name, at, n, d.largest, d.rms);
      CHECK_TEXT(d.largest <= largest && d.rms <= rms, where.c_str());
    }
  }
}

// The vectors of an encoder, whose tokenizer is checked on the way.
void CheckEncoder(const std::string& name) {
  std::ifstream json(GoldenPath(name + ".embeddings.json"));
  const nlohmann::json golden = nlohmann::json::parse(json);
  CHECK(!golden["cases"].empty());
  const auto model = LoadModel(GoldenPath(name + ".gguf"));
  CpuEngine cpu(model);
  for (const auto& c : golden["cases"]) {
    const auto tokens = c["tokens"].get<std::vector<TokenId>>();
    auto encoded = model->EncodeText(c["text"].get<std::string>());
    CHECK_OK(encoded.status());
    if (tokens.size() < model->n_ctx()) CHECK(tokens == *encoded);  // else the golden text was cut
    const AskedEmbed asked = Ask(cpu.engine(), EmbedRequest{tokens, Priority::kBatch, {}});
    CHECK_OK(asked.Wait().status);
    const auto expected = c["embedding"].get<std::vector<double>>();
    UNSIGNED_LONGS_EQUAL(expected.size(), asked.Wait().embedding.size());
    const Distance d = Compare(asked.Wait().embedding, expected);
    const auto where = fmt::format("{}, {} tokens: {:.2g}", name, tokens.size(), d.largest);
    CHECK_TEXT(d.largest <= 1e-4, where.c_str());
  }
}

}  // namespace

TEST_GROUP(Golden){};

TEST(Golden, Llama) { CheckFile("llama", 1e-4, 1e-4); }
TEST(Golden, Mistral) { CheckFile("mistral", 1e-4, 1e-4); }
TEST(Golden, Qwen2) { CheckFile("qwen2", 1e-4, 1e-4); }
TEST(Golden, Phi3) { CheckFile("phi3", 1e-4, 1e-4); }
TEST(Golden, Phi3LongRope) { CheckFile("phi3_longrope", 1e-4, 1e-4); }
TEST(Golden, Gemma2) { CheckFile("gemma2", 1e-4, 1e-4); }
TEST(Golden, Mamba2) { CheckFile("mamba2", 1e-4, 1e-4); }
TEST(Golden, BertWithMeanPooling) { CheckEncoder("bert_mean"); }
TEST(Golden, BertWithClsPooling) { CheckEncoder("bert_cls"); }
// Activations are rounded to int8, the answers are not; the bound tells that from a wrong block.
TEST(Golden, EveryTypeOfWeight) { CheckFile("quantized", 0.2, 0.04); }
