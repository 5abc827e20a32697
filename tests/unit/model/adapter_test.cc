// LoRA adapters: files against transformers with the adapter merged (tests/golden/README.md), and
// files that must be refused.
#include "model/adapter.h"

#include <cmath>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "build_tree.h"
#include "engine/answer.h"
#include "formats/gguf_writer.h"

using minnow::Code;
using minnow::engine::TokenId;
using minnow::formats::GgufReader;
using minnow::formats::GgufWriter;
using minnow::model::Adapter;
using minnow::test::CpuEngine;
using minnow::test::CpuOptions;
using minnow::test::GoldenPath;
using minnow::test::LoadModel;
using minnow::test::LogitsOf;
using minnow::test::TempDir;

namespace {

CpuOptions Exact(uint32_t max_out) {
  CpuOptions options;
  options.instance.kv_type = MNW_TYPE_F32;
  options.instance.max_out = max_out;
  options.engine.step_tokens = 100;
  return options;
}

// max|a-b| / max|b| over the rows of the golden answer.
double Distance(CpuEngine& cpu, const nlohmann::json& golden, minnow::engine::AdapterId adapter) {
  const auto tokens = golden["tokens"].get<std::vector<TokenId>>();
  const auto n = static_cast<uint32_t>(tokens.size());
  const std::vector<float> logits = LogitsOf(cpu.engine(), tokens, n, adapter);
  const size_t n_vocab = logits.size() / n;
  double largest = 0, scale = 0;
  for (size_t i = 0; i < golden["positions"].size(); ++i) {
    const auto at = golden["positions"][i].get<size_t>() * n_vocab;
    const auto expected = golden["logits"][i].get<std::vector<double>>();
    for (size_t j = 0; j < n_vocab; ++j) {
      largest = std::max(largest, std::fabs(logits[at + j] - expected[j]));
      scale = std::max(scale, std::fabs(expected[j]));
    }
  }
  return largest / scale;
}

void CheckGolden(const std::string& name) {
  std::ifstream json(GoldenPath(name + ".lora.logits.json"));
  const nlohmann::json golden = nlohmann::json::parse(json)["cases"][0];
  const auto n = static_cast<uint32_t>(golden["tokens"].size());
  CpuEngine cpu(LoadModel(GoldenPath(name + ".gguf"), n), Exact(n));
  const auto target = cpu.engine().instance().adapter_target();
  const auto adapter = Adapter::Load(GoldenPath(name + ".lora.gguf"), target);
  CHECK_OK(adapter.status());
  const auto id = cpu.engine().LoadAdapter(*adapter);
  CHECK_OK(id.status());
  const double distance = Distance(cpu, golden, *id);
  CHECK_TEXT(distance <= 1e-4, fmt::format("{}: {:.2g}", name, distance).c_str());
  CHECK(Distance(cpu, golden, 0) > 0.05);  // the base is another model
}

}  // namespace

TEST_GROUP(AdapterGolden){};

TEST(AdapterGolden, LlamaIsTheMergedModel) { CheckGolden("llama"); }
TEST(AdapterGolden, Phi3IsTheMergedModelThroughJointMatrices) { CheckGolden("phi3"); }

TEST_GROUP(AdapterFile) {
  struct Tensor {
    std::string name;
    std::vector<int64_t> ne;
    std::vector<float> values;
  };
  TempDir dir;
  GgufWriter writer;
  std::vector<Tensor> tensors;
  CpuEngine cpu{LoadModel(GoldenPath("llama.gguf")), Exact(1)};

  void setup() override {
    writer.SetString("general.type", "adapter");
    writer.SetString("general.architecture", "llama");
    writer.SetString("adapter.type", "lora");
    writer.SetF32("adapter.lora.alpha", 8);
    Add("blk.0.attn_q.weight", 64, 64, 2);
  }
  void Add(const std::string& matrix, int64_t k, int64_t n, int64_t rank) {
    AddHalf(matrix + ".lora_a", k, rank);
    AddHalf(matrix + ".lora_b", rank, n);
  }
  void AddHalf(const std::string& name, int64_t d0, int64_t d1) {
    tensors.push_back({name, {d0, d1}, std::vector<float>(static_cast<size_t>(d0 * d1), 0.5f)});
  }
  minnow::Result<Adapter> Load(float strength = 1) {
    for (const Tensor& t : tensors) {
      writer.AddTensor(t.name, MNW_TYPE_F32, t.ne, std::as_bytes(std::span(t.values)));
    }
    const std::string path = dir / "adapter.gguf";
    CHECK_OK(writer.Write(path));
    return Adapter::Load(path, cpu.engine().instance().adapter_target(), strength);
  }
  void CheckRefused(Code code, const char* message) {
    const minnow::Status status = Load().status();
    CHECK_ERROR(code, message, status);
    CHECK_ERROR(code, "adapter.gguf'", status);
    const std::vector<TokenId> tokens = {0, 5, 6};
    LogitsOf(cpu.engine(), tokens, 1);  // the base goes on serving
  }
};

TEST(AdapterFile, IsWidenedAndScaledByAlphaRankAndStrength) {
  const auto adapter = Load(0.25f);
  CHECK_OK(adapter.status());
  UNSIGNED_LONGS_EQUAL(1, adapter->deltas.size());
  const auto& delta = adapter->deltas[0];
  UNSIGNED_LONGS_EQUAL(2, delta.rank);
  DOUBLES_EQUAL(0.25 * 8 / 2, delta.scale, 0);
  UNSIGNED_LONGS_EQUAL(128, delta.a.size());
  DOUBLES_EQUAL(0.5, delta.b[127], 0);
}

TEST(AdapterFile, WithoutAlphaTheProductStaysAsItIs) {
  writer.SetF32("adapter.lora.alpha", 0);
  const auto adapter = Load();
  CHECK_OK(adapter.status());
  DOUBLES_EQUAL(1, adapter->deltas[0].scale, 0);
}

TEST(AdapterFile, MustBeAnAdapter) {
  writer.SetString("general.type", "model");
  CheckRefused(Code::kCorrupt, "'general.type' is 'model', must be 'adapter'");
}

TEST(AdapterFile, MustBeLora) {
  writer.SetString("adapter.type", "ia3");
  CheckRefused(Code::kUnsupported, "'adapter.type' is 'ia3', must be 'lora'");
}

TEST(AdapterFile, MustBeForThisArchitecture) {
  writer.SetString("general.architecture", "qwen2");
  CheckRefused(Code::kPrecondition, "'general.architecture' is 'qwen2', must be 'llama'");
}

TEST(AdapterFile, MayNotWaitForTokens) {
  writer.SetI32s("adapter.alora.invocation_tokens", {1, 2});
  CheckRefused(Code::kUnsupported, "acts only after certain tokens");
}

TEST(AdapterFile, NeedsANumberForAlpha) {
  writer.SetF32("adapter.lora.alpha", NAN);
  CheckRefused(Code::kCorrupt, "'adapter.lora.alpha' is no number");
}

TEST(AdapterFile, NeedsAMatrixOfTheModel) {
  Add("blk.7.attn_q.weight", 64, 64, 2);
  CheckRefused(Code::kPrecondition, "no matrix 'blk.7.attn_q.weight' that takes an adapter");
}

TEST(AdapterFile, CannotChangeATiedEmbedding) {
  Add("token_embd.weight", 64, 272, 2);
  CheckRefused(Code::kPrecondition, "no matrix 'token_embd.weight' that takes an adapter");
}

TEST(AdapterFile, HasNothingButPairs) {
  AddHalf("blk.0.attn_norm.weight", 64, 1);
  CheckRefused(Code::kUnsupported, "tensor 'blk.0.attn_norm.weight' is no lora_a and no lora_b");
}

TEST(AdapterFile, NeedsBothHalves) {
  AddHalf("blk.1.attn_v.weight.lora_a", 64, 2);
  CheckRefused(Code::kCorrupt, "'blk.1.attn_v.weight' has no lora_b");
}

TEST(AdapterFile, NeedsTheShapesOfTheMatrix) {
  Add("blk.0.attn_k.weight", 64, 64, 2);  // 32 rows in the model
  CheckRefused(Code::kPrecondition,
               "'blk.0.attn_k.weight' has lora_a [64, 2] and lora_b [2, 64], must be [64, rank] "
               "and [rank, 32]");
}

TEST(AdapterFile, NeedsOneRank) {
  AddHalf("blk.0.attn_k.weight.lora_a", 64, 2);
  AddHalf("blk.0.attn_k.weight.lora_b", 3, 32);
  CheckRefused(Code::kPrecondition, "lora_a [64, 2] and lora_b [3, 32]");
}

TEST(AdapterFile, HasALimitToItsRank) {
  Add("blk.0.attn_k.weight", 64, 32, 257);
  CheckRefused(Code::kUnsupported, "'blk.0.attn_k.weight' has rank 257, at most 256");
}

TEST(AdapterFile, HasNumbersOnly) {
  for (const float bad : {NAN, INFINITY}) {
    tensors[1].values[5] = bad;
    CheckRefused(Code::kCorrupt, "'blk.0.attn_q.weight.lora_b' has values that are no numbers");
    writer = GgufWriter();
    tensors.clear();
    setup();
  }
}

TEST(AdapterFile, NeedsTensorsAndAFiniteStrength) {
  CHECK_ERROR(Code::kInvalid, "the scale of an adapter must be a number", Load(NAN).status());
  tensors.clear();
  writer = GgufWriter();
  setup();
  tensors.clear();
  CheckRefused(Code::kCorrupt, "it has no tensors");
}

TEST(AdapterFile, NeedsAModelWithSites) {
  CpuOptions options = Exact(1);
  options.instance.adapter_slots = 0;
  CpuEngine without(LoadModel(GoldenPath("llama.gguf")), options);
  CHECK_ERROR(
      Code::kUnsupported, "takes no adapters on the devices it runs on",
      Adapter::Load(GoldenPath("llama.lora.gguf"), without.engine().instance().adapter_target())
          .status());
}
