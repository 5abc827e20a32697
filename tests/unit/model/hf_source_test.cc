// Folders of Hugging Face's: the same bits as the GGUF file that holds the same weights, and
// folders that must be refused by name.
#include <sys/stat.h>

#include <cmath>
#include <cstring>
#include <functional>

#include "engine/answer.h"
#include "model/hf_folder.h"

namespace minnow::test {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint32_t kContext = 300;

std::vector<float> Logits(const std::string& path, const std::vector<engine::TokenId>& tokens) {
  CpuOptions options;
  options.instance.kv_type = MNW_TYPE_F32;
  options.instance.max_out = static_cast<uint32_t>(tokens.size());
  CpuEngine cpu(LoadModel(path, kContext), options);
  return LogitsOf(cpu.engine(), tokens, static_cast<uint32_t>(tokens.size()));
}

std::vector<engine::TokenId> GoldenTokens(const std::string& name) {
  std::ifstream json(GoldenPath(name + ".logits.json"));
  auto tokens = Json::parse(json)["cases"][0]["tokens"].get<std::vector<engine::TokenId>>();
  tokens.resize(100);
  return tokens;
}

void CheckSameBits(const std::string& name, size_t n_files = 1) {
  HfFolder folder(name);
  const std::string path = folder.Write(n_files);
  const auto tokens = GoldenTokens(name);
  const auto expected = Logits(GoldenPath(name + ".gguf"), tokens), got = Logits(path, tokens);
  LONGS_EQUAL(expected.size(), got.size());
  MEMCMP_EQUAL(expected.data(), got.data(), expected.size() * sizeof(float));
  const std::string text = "Ein café, 1984!\n\nand <s> so on";
  CHECK(*LoadModel(GoldenPath(name + ".gguf"))->EncodeText(text) ==
        *LoadModel(path)->EncodeText(text));
}

void CheckSameEmbedding(const std::string& name) {
  HfFolder folder(name);
  const auto gguf = LoadModel(GoldenPath(name + ".gguf")), ours = LoadModel(folder.Write());
  const std::string text = "Café, Zürich! naïve 東京 between letters";
  const auto tokens = *ours->EncodeText(text);
  CHECK(*gguf->EncodeText(text) == tokens);
  CpuEngine a(gguf), b(ours);
  const engine::EmbedRequest request{tokens, engine::Priority::kBatch, {}};
  const auto expected = Ask(a.engine(), request).Wait(), got = Ask(b.engine(), request).Wait();
  CHECK_OK(got.status);
  LONGS_EQUAL(expected.embedding.size(), got.embedding.size());
  MEMCMP_EQUAL(expected.embedding.data(), got.embedding.data(),
               expected.embedding.size() * sizeof(float));
}

}  // namespace

TEST_GROUP(HfFolder){};

TEST(HfFolder, LlamaHasTheBitsOfItsFile) { CheckSameBits("llama"); }
TEST(HfFolder, MistralHasTheBitsOfItsFile) { CheckSameBits("mistral"); }
TEST(HfFolder, Qwen2HasTheBitsOfItsFile) { CheckSameBits("qwen2"); }
TEST(HfFolder, Phi3HasTheBitsOfItsFile) { CheckSameBits("phi3"); }
TEST(HfFolder, Phi3WithLongRopeHasTheBitsOfItsFile) { CheckSameBits("phi3_longrope"); }
TEST(HfFolder, Gemma2HasTheBitsOfItsFile) { CheckSameBits("gemma2"); }
TEST(HfFolder, ShardsAreOneModel) { CheckSameBits("llama", 3); }
TEST(HfFolder, BertPoolsAsItsModulesSay) {
  CheckSameEmbedding("bert_mean");
  CheckSameEmbedding("bert_cls");
}

// Only the logarithm of its decay is kept, which does not come back to the bit.
TEST(HfFolder, Mamba2AnswersAsItsFile) {
  HfFolder folder("mamba2");
  const auto tokens = GoldenTokens("mamba2");
  const auto expected = Logits(GoldenPath("mamba2.gguf"), tokens);
  const auto got = Logits(folder.Write(), tokens);
  float largest = 0, error = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::fabs(expected[i]));
    error = std::max(error, std::fabs(expected[i] - got[i]));
  }
  CHECK(error <= 1e-5f * largest);
}

TEST(HfFolder, IsOpenedByItsFilesToo) {
  HfFolder folder("qwen2");
  const std::string path = folder.Write();
  STRCMP_EQUAL("qwen2", LoadModel(path + "/model.safetensors")->architecture().c_str());
  STRCMP_EQUAL(std::filesystem::path(path).filename().c_str(),
               LoadModel(path + "/")->name().c_str());
}

TEST(HfFolder, UnchangedTensorsStayInTheMappingAndChangedOnesDoNot) {
  HfFolder folder("llama");
  const auto source = model::Source::Open(folder.Write());
  CHECK_OK(source.status());
  const auto made = [&](const char* name) {
    return (*source)->Read(*(*source)->FindTensor(name))->made != nullptr;
  };
  CHECK(made("blk.0.attn_q.weight"));
  CHECK(made("blk.0.attn_k.weight"));
  for (const char* name : {"blk.0.attn_v.weight", "blk.0.ffn_up.weight", "token_embd.weight",
                           "blk.0.attn_norm.weight", "rope_freqs.weight"}) {
    CHECK_FALSE(made(name));
  }
}

TEST(HfFolder, AHeadThatIsTheEmbeddingMayHaveEitherName) {
  HfFolder folder("llama");  // tied
  HfTensor head = folder.Find("model.embed_tokens.weight");
  head.name = "lm_head.weight";
  const auto tokens = GoldenTokens("llama");
  const auto expected = Logits(GoldenPath("llama.gguf"), tokens);
  const auto check = [&] {
    const auto got = Logits(folder.Write(), tokens);
    MEMCMP_EQUAL(expected.data(), got.data(), expected.size() * sizeof(float));
  };
  folder.Find("model.embed_tokens.weight").name = "lm_head.weight";
  check();
  folder.tensors.push_back(folder.Find("lm_head.weight"));
  folder.tensors.back().name = "model.embed_tokens.weight";
  std::fill(folder.Find("lm_head.weight").values.begin(),
            folder.Find("lm_head.weight").values.end(), 0.f);  // not looked at
  check();
}

TEST(HfFolder, AnswersEndAtTheTokensOfTheGenerationConfig) {
  HfFolder folder("qwen2");
  folder.WriteText("generation_config.json", R"({"eos_token_id": [1, 7, 100000]})");
  const auto model = LoadModel(folder.Write());
  CHECK(model->tokenizer().EndsTurn(7));
  CHECK(model->tokenizer().EndsTurn(1));
  CHECK_FALSE(model->tokenizer().EndsTurn(8));
  CHECK_FALSE(model->tokenizer().IsControl(7));  // an ordinary piece stays one
}

TEST(HfFolder, TemplatesComeFromTheirOwnFileOrTheTokenizersConfig) {
  HfFolder folder("qwen2");
  const auto chat = [&] {
    const auto model = LoadModel(folder.Write());
    CHECK(model->chat_template());
    return model->tokenizer().Decode(*model->EncodeTurn("x"));
  };
  folder.WriteText("tokenizer_config.json",
                   R"({"chat_template": [{"name": "tool", "template": "t"},
                                         {"name": "default", "template": "A"}]})");
  STRCMP_EQUAL("A", chat().c_str());
  folder.WriteText("tokenizer_config.json", R"({"chat_template": "B{{ messages[0].content }}"})");
  STRCMP_EQUAL("Bx", chat().c_str());
  folder.WriteText("chat_template.jinja", "C");
  STRCMP_EQUAL("C", chat().c_str());
}

// --- refusals

TEST_GROUP(HostileHfFolder) {
  std::unique_ptr<HfFolder> folder = std::make_unique<HfFolder>("llama");

  Status Load() {
    return model::Model::Load(folder->Write(), BuildTreePlugins(), {kContext}).status();
  }
  void CheckRefused(Code code, const char* message) {
    const Status status = Load();
    CHECK_ERROR(code, message, status);
    STRCMP_CONTAINS(folder->dir.path().c_str(), status.message().c_str());
    folder = std::make_unique<HfFolder>("llama");
  }
  void CheckConfig(const char* key, Json value, Code code, const char* message) {
    folder->config[key] = std::move(value);
    CheckRefused(code, message);
  }
};

TEST(HostileHfFolder, UntouchedOneLoads) { CHECK_OK(Load()); }

TEST(HostileHfFolder, OtherArchitecturesAreRefusedWithTheKnownOnes) {
  CheckConfig("architectures", {"T5ForConditionalGeneration"}, Code::kUnsupported,
              "'architectures' is [\"T5ForConditionalGeneration\"]; known are LlamaForCausalLM, "
              "MistralForCausalLM, Qwen2ForCausalLM, Phi3ForCausalLM, Gemma2ForCausalLM, "
              "Mamba2ForCausalLM, BertModel");
  CheckConfig("architectures", 7, Code::kUnsupported, "'architectures' is 7; known are");
  CheckConfig("architectures", Json(), Code::kUnsupported, "'architectures' is null; known are");
}

TEST(HostileHfFolder, ValuesOfTheWrongKindAreNamed) {
  const struct {
    const char* key;
    Json value;
    Code code;
    const char* message;
  } kCases[] = {
      {"hidden_size", "64", Code::kCorrupt, "config.json: 'hidden_size' is \"64\", must be an int"},
      {"hidden_size", -1, Code::kCorrupt, "'hidden_size' is -1"},
      {"hidden_size", 64.5, Code::kCorrupt, "'hidden_size' is 64.5"},
      {"hidden_size", Json(), Code::kCorrupt, "'hidden_size' is missing"},
      {"hidden_size", 1e300, Code::kCorrupt, "'hidden_size' is 1e+300"},
      {"num_attention_heads", 0, Code::kCorrupt, "'num_attention_heads' is 0"},
      {"num_hidden_layers", 3, Code::kCorrupt, "lacks the tensor 'model.layers.2.self_attn.o_proj"},
      {"num_hidden_layers", 1 << 29, Code::kCorrupt, "lacks the tensor 'model.layers.2."},
      {"rms_norm_eps", "1e-5", Code::kCorrupt, "'rms_norm_eps' is \"1e-5\", must be a number"},
      {"rms_norm_eps", 1e300, Code::kCorrupt, "'rms_norm_eps' is"},
      {"head_dim", 1 << 20, Code::kCorrupt, "'head_dim' is 1048576"},
      {"rope_theta", 0.5, Code::kCorrupt, "'rope_theta' is 0.5"},
      {"tie_word_embeddings", "yes", Code::kCorrupt, "'tie_word_embeddings' is \"yes\""},
      {"tie_word_embeddings", false, Code::kCorrupt, "lacks the tensor 'lm_head.weight'"},
      {"hidden_act", "relu", Code::kUnsupported, "'hidden_act' is \"relu\"; only \"silu\""},
      {"mlp_bias", true, Code::kUnsupported, "'mlp_bias' is true"},
      {"partial_rotary_factor", 0.5, Code::kUnsupported, "'partial_rotary_factor' 0.5"},
      {"quantization_config", {{"bits", 4}}, Code::kUnsupported, "'quantization_config'"},
      {"vocab_size", 273, Code::kCorrupt, "'vocab_size' is 273, but the embedding has 272 rows"},
      {"rope_scaling", 7, Code::kCorrupt, "'rope_scaling' is 7, must be an object"},
      {"rope_scaling", {{"type", "dynamic"}}, Code::kUnsupported, "'dynamic' is not supported"},
      {"rope_scaling", {{"type", "linear"}}, Code::kCorrupt, "'factor' is missing"},
      {"rope_scaling", {{"mrope_section", {1}}}, Code::kUnsupported, "'mrope_section'"},
      {"rope_scaling",
       {{"type", "longrope"}, {"short_factor", {1, -1}}},
       Code::kCorrupt,
       "'short_factor' is [1,-1], must be a list of positive numbers"},
  };
  for (const auto& c : kCases) CheckConfig(c.key, c.value, c.code, c.message);
}

TEST(HostileHfFolder, EveryTruncationOfTheConfigIsRefused) {
  folder->Write();
  const std::string text = folder->config.dump();
  for (size_t n = 0; n < text.size(); ++n) {
    folder->WriteText("config.json", text.substr(0, n));
    CHECK_ERROR(Code::kCorrupt, "config.json: is no JSON",
                model::Source::Open(folder->dir.path()).status());
  }
}

TEST(HostileHfFolder, DepthIsBounded) {
  folder->Write();
  const std::string deep(100000, '[');
  folder->WriteText("config.json", deep);
  CHECK_ERROR(Code::kCorrupt, "nested deeper than 64 levels",
              model::Source::Open(folder->dir.path()).status());
  folder->Write();
  folder->WriteText("tokenizer.json", R"({"normalizer": )" + deep);
  CHECK_ERROR(Code::kInvalid, "nested deeper than 64 levels",
              model::Model::Load(folder->dir.path(), BuildTreePlugins()).status());
}

TEST(HostileHfFolder, TensorsThatDoNotFitAreNamed) {
  folder->Find("model.layers.1.mlp.up_proj.weight").name = "model.layers.1.mlp.down_proj.bias";
  CheckRefused(Code::kUnsupported, "tensor 'model.layers.1.mlp.down_proj.bias' has no place");
  folder->tensors.erase(folder->tensors.begin() + 3);
  CheckRefused(Code::kCorrupt, "model.safetensors lacks the tensor 'model.layers.");
  HfTensor& q = folder->Find("model.layers.0.self_attn.q_proj.weight");
  q.shape = {32, 128};
  CheckRefused(Code::kCorrupt, "'blk.0.attn_q.weight' is [32,128], must be [64,64]");
  folder->Find("model.layers.0.self_attn.q_proj.weight").shape = {4, 1024};
  CheckRefused(Code::kCorrupt, "q_proj.weight' has 4 rows, which are not pairs for 4 heads");
  folder->Find("model.norm.weight").dtype = "I32";
  CheckRefused(Code::kUnsupported, "tensor 'model.norm.weight' is neither F32 nor F16 nor BF16");
  folder->Find("model.norm.weight").shape = {};
  folder->Find("model.norm.weight").values.resize(1);
  CheckRefused(Code::kCorrupt, "tensor 'model.norm.weight' has 0 dimensions");
}

TEST(HostileHfFolder, TheTokenizerMustBeThereAndFit) {
  folder->tokenizer = Json();
  CheckRefused(Code::kNotFound, "tokenizer.json'; transformers' save_pretrained writes one");
  folder->tokenizer["model"]["vocab"]["more"] = 272;
  CheckRefused(Code::kCorrupt, "the tokenizer has 273 tokens, the model's table 272 rows");
  folder->WriteText("generation_config.json", R"({"eos_token_id": "</s>"})");
  CheckRefused(Code::kCorrupt, "eos_token_id is neither an id nor a list of ids");
  folder->WriteText("tokenizer_config.json", R"({"chat_template": 7})");
  CheckRefused(Code::kUnsupported, "chat_template is neither");
  folder->WriteText("tokenizer_config.json", R"({"chat_template": "{% if"})");
  CheckRefused(Code::kInvalid, "its chat template");
}

TEST(HostileHfFolder, FilesOutsideTheFolderAndPipesAreRefused) {
  folder->Write(2);
  for (const char* name : {"../x.safetensors", "/etc/x.safetensors", "a/b.safetensors"}) {
    folder->WriteText("model.safetensors.index.json",
                      Json{{"weight_map", {{"model.norm.weight", name}}}}.dump());
    CHECK_ERROR(Code::kCorrupt, "does not name a .safetensors file beside it",
                model::Source::Open(folder->dir.path()).status());
  }
  std::filesystem::remove(folder->dir / "config.json");
  CHECK_ERROR(Code::kNotFound, "there is no config.json in",
              model::Source::Open(folder->dir.path()).status());
  LONGS_EQUAL(0, ::mkfifo((folder->dir / "config.json").c_str(), 0600));
  CHECK_ERROR(Code::kInvalid, "not a regular file",
              model::Source::Open(folder->dir.path()).status());
}

TEST(HostileHfFolder, WeightsInOtherFormatsAreNotRead) {
  folder->Write();
  std::filesystem::rename(folder->dir / "model.safetensors", folder->dir / "pytorch_model.bin");
  CHECK_ERROR(Code::kNotFound, "weights are read from safetensors alone",
              model::Source::Open(folder->dir.path()).status());
}

TEST(HostileHfFolder, WhatTheGraphsOfOtherLayoutsCannotHonourIsRefused) {
  const struct {
    const char *golden, *key;
    Json value;
    const char* message;
  } kCases[] = {
      {"qwen2", "use_sliding_window", true, "'use_sliding_window' is true"},
      {"gemma2", "query_pre_attn_scalar", 64, "'query_pre_attn_scalar' is 64; only 48"},
      {"gemma2", "layer_types", {"full_attention", "full_attention"}, "at layer 0"},
      {"gemma2", "use_bidirectional_attention", true, "'use_bidirectional_attention'"},
      {"mamba2", "time_step_limit", {0.001, 0.1}, "'time_step_limit' is [0.001,0.1]"},
      {"mamba2", "use_bias", true, "'use_bias' is true"},
      {"bert_mean", "hidden_act", "gelu_new", "'hidden_act' is \"gelu_new\""},
      {"bert_mean", "position_embedding_type", "relative_key", "'position_embedding_type'"},
  };
  for (const auto& c : kCases) {
    HfFolder other(c.golden);
    other.config[c.key] = c.value;
    CHECK_ERROR(Code::kUnsupported, c.message, model::Source::Open(other.Write()).status());
  }
}

TEST(HostileHfFolder, PythonsInfinityIsNoTimeLimit) {
  HfFolder mamba("mamba2");
  mamba.Write();
  std::string text = mamba.config.dump();
  text.replace(0, 1, R"({"time_step_limit":[0.0,Infinity],)");
  mamba.WriteText("config.json", text);
  CHECK_OK(model::Source::Open(mamba.dir.path()).status());
}

TEST(HostileHfFolder, ModulesThatAreNotUnderstoodAreRefused) {
  const std::pair<const char*, const char*> kCases[] = {
      {R"([{"type":"a.b.Transformer"},{"type":"a.b.Dense","path":"2_Dense"}])", "Dense"},
      {R"([{"type":"a.b.Pooling","path":"../1_Pooling"}])", "no folder beside it"},
      {R"([{"type":"a.b.Pooling"}])", "no folder beside it"},
      {R"([{"type":"a.b.Pooling","path":"elsewhere"}])", "cannot open"},
      {R"([7])", "the module 7 is not supported"},
      {R"([])", "it lists no Pooling"},
      {R"(7)", "is not supported"},
  };
  HfFolder bert("bert_mean");
  bert.Write();
  for (const auto& [modules, message] : kCases) {
    bert.WriteText("modules.json", modules);
    const Status status = model::Source::Open(bert.dir.path()).status();
    CHECK_FALSE(status.ok());
    STRCMP_CONTAINS(message, status.message().c_str());
  }
  bert.WriteText("modules.json", R"([{"type":"a.b.Pooling","path":"1_Pooling"}])");
  for (const auto& [config, message] :
       {std::pair{R"({"pooling_mode_max_tokens": true})", "'pooling_mode_max_tokens'"},
        std::pair{R"({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true})",
                  "'pooling_mode_cls_token'"},
        std::pair{R"({"pooling_mode": "weightedmean"})", "weightedmean"},
        std::pair{R"({})", "names no kind of pooling"}}) {
    bert.WriteText("1_Pooling/config.json", config);
    const Status status = model::Source::Open(bert.dir.path()).status();
    CHECK_FALSE(status.ok());
    STRCMP_CONTAINS(message, status.message().c_str());
  }
}

}  // namespace minnow::test
