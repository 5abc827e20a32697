// LoRA adapters: files against transformers with the adapter merged (tests/golden/README.md), and
// files that must be refused.
#include "model/adapter.h"

#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
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

// The golden adapters as PEFT saves them: names and rows turned back.
TEST_GROUP(PeftAdapter) {
  static constexpr int64_t kRank = 4;
  TempDir dir;
  nlohmann::ordered_json config = {{"peft_type", "LORA"},
                                   {"r", 4},
                                   {"lora_alpha", 12},
                                   {"bias", "none"},
                                   {"target_modules", {"q_proj"}}};
  struct Tensor {
    std::string name;
    std::vector<int64_t> shape;
    std::vector<float> values;
  };
  std::vector<Tensor> tensors;
  CpuEngine cpu{LoadModel(GoldenPath("llama.gguf"), 300), Exact(300)};

  void Add(const std::string& module, std::vector<int64_t> shape, float value = 0.5f) {
    const auto n = static_cast<size_t>(shape[0] * shape[1]);
    tensors.push_back(
        {"base_model.model." + module + ".weight", std::move(shape), std::vector<float>(n, value)});
  }
  minnow::Result<Adapter> Load() {
    nlohmann::ordered_json header = nlohmann::ordered_json::object();
    std::string data;
    for (const Tensor& t : tensors) {
      const size_t begin = data.size();
      data.append(reinterpret_cast<const char*>(t.values.data()), t.values.size() * sizeof(float));
      header[t.name] = {
          {"dtype", "F32"}, {"shape", t.shape}, {"data_offsets", {begin, data.size()}}};
    }
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const uint64_t size = text.size();
    std::ofstream file(dir / "adapter_model.safetensors", std::ios::binary);
    file.write(reinterpret_cast<const char*>(&size), sizeof size) << text << data;
    file.close();
    std::ofstream(dir / "adapter_config.json") << config.dump();
    return Adapter::Load(dir.path(), cpu.engine().instance().adapter_target());
  }
  void CheckRefused(Code code, const char* message) { CHECK_ERROR(code, message, Load().status()); }
  void AddQuery() {
    Add("model.layers.0.self_attn.q_proj.lora_A", {kRank, 64});
    Add("model.layers.0.self_attn.q_proj.lora_B", {64, kRank});
  }
};

TEST(PeftAdapter, IsTheGoldenOneBitForBit) {
  const auto gguf = GgufReader::Open(GoldenPath("llama.lora.gguf"));
  CHECK_OK(gguf.status());
  const std::map<std::string, std::string> names = {
      {"attn_q", "self_attn.q_proj"}, {"attn_k", "self_attn.k_proj"},
      {"attn_v", "self_attn.v_proj"}, {"attn_output", "self_attn.o_proj"},
      {"ffn_gate", "mlp.gate_proj"},  {"ffn_up", "mlp.up_proj"},
      {"ffn_down", "mlp.down_proj"}};
  config["rank_pattern"] = nlohmann::ordered_json::object();
  for (const auto& t : gguf->tensors()) {
    const std::string name(t.name);  // blk.N.STEM.weight.lora_a
    const std::string layer = name.substr(4, 1), stem = name.substr(6, name.find('.', 6) - 6);
    const std::string module = "model.layers." + layer + "." + names.at(stem);
    const bool is_a = name.ends_with("lora_a");
    std::vector<float> values(t.data.size() / sizeof(float));
    std::memcpy(values.data(), t.data.data(), t.data.size());
    const int64_t heads = stem == "attn_q" ? 4 : stem == "attn_k" ? 2 : 0;
    if (!is_a && heads > 0) {  // pairs back to halves
      const std::vector<float> paired = values;
      const int64_t dim = t.ne[1] / heads, rank = t.ne[0];
      for (int64_t row = 0; row < t.ne[1]; ++row) {
        const int64_t i = row % dim, to = row - i + i % 2 * (dim / 2) + i / 2;
        std::copy_n(paired.begin() + row * rank, rank, values.begin() + to * rank);
      }
    }
    if (is_a) config["rank_pattern"][module] = t.ne[1];
    tensors.push_back({"base_model.model." + module + (is_a ? ".lora_A" : ".lora_B") + ".weight",
                       {t.ne[1], t.ne[0]},
                       values});
  }
  const auto got = Load();
  CHECK_OK(got.status());
  const auto expected =
      Adapter::Load(GoldenPath("llama.lora.gguf"), cpu.engine().instance().adapter_target());
  LONGS_EQUAL(expected->deltas.size(), got->deltas.size());
  for (size_t i = 0; i < got->deltas.size(); ++i) {
    const auto &e = expected->deltas[i], &g = got->deltas[i];
    LONGS_EQUAL(e.site, g.site);
    DOUBLES_EQUAL(e.scale, g.scale, 0);
    CHECK(e.a == g.a);
    CHECK(e.b == g.b);
  }
}

TEST(PeftAdapter, ScalesByRankOrItsRootAndByPatterns) {
  AddQuery();
  DOUBLES_EQUAL(3, Load()->deltas[0].scale, 0);
  config["use_rslora"] = true;
  DOUBLES_EQUAL(6, Load()->deltas[0].scale, 0);
  config["alpha_pattern"] = {{"q_proj", 2}};
  DOUBLES_EQUAL(1, Load()->deltas[0].scale, 0);
}

TEST(PeftAdapter, IsNothingButPairsOfMatrices) {
  AddQuery();
  const std::pair<const char*, nlohmann::ordered_json> kCases[] = {
      {"peft_type", "IA3"},
      {"bias", "all"},
      {"use_dora", true},
      {"modules_to_save", {"lm_head"}},
      {"fan_in_fan_out", true},
      {"init_lora_weights", "pissa"},
      {"lora_bias", true},
      {"layer_replication", {{0, 1}}},
      {"alora_invocation_tokens", {1, 2}}};
  const auto untouched = config;
  for (const auto& [key, value] : kCases) {
    config = untouched;
    config[key] = value;
    CheckRefused(Code::kUnsupported, fmt::format("adapter_config.json: '{}' is", key).c_str());
  }
}

TEST(PeftAdapter, MustFitItsConfigAndItsBase) {
  AddQuery();
  config["r"] = 8;
  CheckRefused(Code::kCorrupt, "q_proj.lora_A.weight' has rank 4, but adapter_config.json says 8");
  config["r"] = -1;
  CheckRefused(Code::kCorrupt, "'r' is -1, must be a positive number");
  config["r"] = 4;
  config["rank_pattern"] = {{"layers\\.[01]", 4}};
  CheckRefused(Code::kUnsupported, "only ends of names are supported");
  config["rank_pattern"] = nlohmann::ordered_json::object();
  tensors.pop_back();
  CheckRefused(Code::kCorrupt, "'blk.0.attn_q.weight' has no lora_b");
  Add("model.layers.0.self_attn.q_proj.lora_B", {32, kRank});
  CheckRefused(Code::kPrecondition, "is it for another base?");
  tensors.clear();
  Add("model.layers.9.self_attn.v_proj.lora_A", {kRank, 64});
  Add("model.layers.9.self_attn.v_proj.lora_B", {32, kRank});
  CheckRefused(Code::kPrecondition, "no matrix 'blk.9.attn_v.weight' that takes an adapter");
  tensors.clear();
  Add("transformer.h.0.attn.lora_A", {kRank, 64});
  CheckRefused(Code::kUnsupported,
               "is no lora_A and no lora_B of a matrix of architecture 'llama'");
  tensors.clear();
  CheckRefused(Code::kCorrupt, "it has no tensors");
}
