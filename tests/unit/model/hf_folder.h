// A golden model (tests/golden/models) as the folder that transformers would save: the names,
// shapes and values of its GGUF file turned back. For tests.
#pragma once

#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "build_tree.h"
#include "formats/gguf.h"

namespace minnow::test {

struct HfTensor {
  std::string name, dtype = "F32";
  std::vector<int64_t> shape;
  std::vector<float> values;  // written as they are, whatever dtype says
};

class HfFolder {
 public:
  using Json = nlohmann::ordered_json;

  explicit HfFolder(const std::string& golden)
      : gguf_(*formats::GgufReader::Open(GoldenPath(golden + ".gguf"))) {
    arch_ = std::string(**gguf_.FindString("general.architecture"));
    sliding_ = golden == "mistral";
    if (arch_ == "bert") {
      SetBert();
    } else if (arch_ == "mamba2") {
      SetMamba2();
    } else {
      SetDecoder();
    }
    config["vocab_size"] = gguf_.FindTensor("token_embd.weight")->ne[1];
    for (const formats::GgufTensor& t : gguf_.tensors()) AddTensor(t);
    if (arch_ == "bert") {
      SetWordPieces();
    } else {
      SetByteLevel();
    }
  }

  // Writes it, the tensors over so many files, and says where.
  std::string Write(size_t n_files = 1) {
    if (!config.is_null()) WriteText("config.json", config.dump());
    if (!tokenizer.is_null()) WriteText("tokenizer.json", tokenizer.dump());
    if (n_files == 1) {
      WriteTensors("model.safetensors", tensors);
      return dir.path();
    }
    Json map = Json::object();
    for (size_t i = 0; i < n_files; ++i) {
      std::vector<HfTensor> part;
      const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, n_files);
      for (size_t j = i; j < tensors.size(); j += n_files) {
        part.push_back(tensors[j]);
        map[tensors[j].name] = name;
      }
      WriteTensors(name, part);
    }
    WriteText("model.safetensors.index.json", Json{{"weight_map", map}}.dump());
    return dir.path();
  }
  void WriteText(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(dir / name).parent_path());
    std::ofstream(dir / name, std::ios::binary) << text;
  }
  HfTensor& Find(const std::string& name) {
    for (HfTensor& t : tensors) {
      if (t.name == name) return t;
    }
    FAIL(name.c_str());
    return tensors[0];
  }

  TempDir dir;
  Json config, tokenizer;
  std::vector<HfTensor> tensors;

 private:
  int64_t Int(const std::string& key) { return **gguf_.FindI64(arch_ + "." + key); }
  double Real(const std::string& key) { return **gguf_.FindF64(arch_ + "." + key); }
  std::vector<float> Values(const std::string& name) { return Values(*gguf_.FindTensor(name)); }
  static std::vector<float> Values(const formats::GgufTensor& t) {
    std::vector<float> values(t.data.size() / sizeof(float));
    std::memcpy(values.data(), t.data.data(), t.data.size());
    return values;
  }

  void SetDecoder() {
    static const std::map<std::string, std::string> kClass = {{"llama", "LlamaForCausalLM"},
                                                              {"qwen2", "Qwen2ForCausalLM"},
                                                              {"phi3", "Phi3ForCausalLM"},
                                                              {"gemma2", "Gemma2ForCausalLM"}};
    config = {{"architectures", {sliding_ ? "MistralForCausalLM" : kClass.at(arch_)}},
              {"hidden_size", Int("embedding_length")},
              {"num_hidden_layers", Int("block_count")},
              {"num_attention_heads", Int("attention.head_count")},
              {"num_key_value_heads", Int("attention.head_count_kv")},
              {"intermediate_size", Int("feed_forward_length")},
              {"max_position_embeddings", Int("context_length")},
              {"rms_norm_eps", Real("attention.layer_norm_rms_epsilon")},
              {"tie_word_embeddings", gguf_.FindTensor("output.weight") == nullptr},
              {"rope_theta", arch_ == "gemma2" ? 10000 : Real("rope.freq_base")}};
    if (gguf_.Find(arch_ + ".attention.key_length"))
      config["head_dim"] = Int("attention.key_length");
    const bool window = gguf_.Find(arch_ + ".attention.sliding_window") != nullptr;
    config["sliding_window"] = window ? Json(Int("attention.sliding_window")) : Json();
    if (arch_ == "gemma2") {
      config["query_pre_attn_scalar"] = Int("attention.key_length");
      config["attn_logit_softcapping"] = Real("attn_logit_softcapping");
      config["final_logit_softcapping"] = Real("final_logit_softcapping");
    }
    if (gguf_.FindTensor("rope_freqs.weight")) {  // as tests/golden/tiny_models.py has it
      config["rope_scaling"] = {{"rope_type", "llama3"},
                                {"factor", 8.0},
                                {"low_freq_factor", 1.0},
                                {"high_freq_factor", 4.0},
                                {"original_max_position_embeddings", 256}};
    }
    if (gguf_.FindTensor("rope_factors_long.weight")) {
      config["original_max_position_embeddings"] = Int("rope.scaling.original_context_length");
      config["rope_scaling"] = {{"type", "longrope"},
                                {"short_factor", Values("rope_factors_short.weight")},
                                {"long_factor", Values("rope_factors_long.weight")}};
    }
  }

  void SetMamba2() {
    const int64_t inner = Int("ssm.inner_size"), heads = Int("ssm.time_step_rank");
    config = {{"architectures", {"Mamba2ForCausalLM"}},
              {"hidden_size", Int("embedding_length")},
              {"num_hidden_layers", Int("block_count")},
              {"expand", inner / Int("embedding_length")},
              {"num_heads", heads},
              {"head_dim", inner / heads},
              {"n_groups", Int("ssm.group_count")},
              {"state_size", Int("ssm.state_size")},
              {"conv_kernel", Int("ssm.conv_kernel")},
              {"layer_norm_epsilon", Real("attention.layer_norm_rms_epsilon")}};
  }

  void SetBert() {
    config = {{"architectures", {"BertModel"}},
              {"hidden_size", Int("embedding_length")},
              {"num_hidden_layers", Int("block_count")},
              {"num_attention_heads", Int("attention.head_count")},
              {"intermediate_size", Int("feed_forward_length")},
              {"max_position_embeddings", Int("context_length")},
              {"layer_norm_eps", Real("attention.layer_norm_epsilon")}};
    const bool mean = Int("pooling_type") == 1;
    WriteText("modules.json",
              R"([{"type":"sentence_transformers.models.Transformer","path":""},)"
              R"({"type":"sentence_transformers.models.Pooling","path":"1_Pooling"},)"
              R"({"type":"sentence_transformers.models.Normalize","path":"2"}])");
    WriteText("1_Pooling/config.json", Json{{"word_embedding_dimension", 32},
                                            {"pooling_mode_cls_token", !mean},
                                            {"pooling_mode_mean_tokens", mean},
                                            {"pooling_mode_max_tokens", false}}
                                           .dump());
  }

  std::string HfName(const std::string& name) const {
    static const std::map<std::string, std::string> kOuter = {
        {"token_embd.weight", "model.embed_tokens.weight"},
        {"output_norm.weight", "model.norm.weight"},
        {"output.weight", "lm_head.weight"}};
    static const std::map<std::string, std::string> kMamba2 = {
        {"token_embd.weight", "backbone.embeddings.weight"},
        {"output_norm.weight", "backbone.norm_f.weight"},
        {"attn_norm.weight", "norm.weight"},
        {"ssm_in.weight", "mixer.in_proj.weight"},
        {"ssm_conv1d.weight", "mixer.conv1d.weight"},
        {"ssm_conv1d.bias", "mixer.conv1d.bias"},
        {"ssm_dt.bias", "mixer.dt_bias"},
        {"ssm_a", "mixer.A_log"},
        {"ssm_d", "mixer.D"},
        {"ssm_norm.weight", "mixer.norm.weight"},
        {"ssm_out.weight", "mixer.out_proj.weight"}};
    static const std::map<std::string, std::string> kBert = {
        {"token_embd", "embeddings.word_embeddings"},
        {"token_types", "embeddings.token_type_embeddings"},
        {"position_embd", "embeddings.position_embeddings"},
        {"token_embd_norm", "embeddings.LayerNorm"},
        {"attn_q", "attention.self.query"},
        {"attn_k", "attention.self.key"},
        {"attn_v", "attention.self.value"},
        {"attn_output", "attention.output.dense"},
        {"attn_output_norm", "attention.output.LayerNorm"},
        {"ffn_up", "intermediate.dense"},
        {"ffn_down", "output.dense"},
        {"layer_output_norm", "output.LayerNorm"}};
    std::map<std::string, std::string> blocks = {
        {"attn_norm", "input_layernorm"},    {"ffn_norm", "post_attention_layernorm"},
        {"attn_q", "self_attn.q_proj"},      {"attn_k", "self_attn.k_proj"},
        {"attn_v", "self_attn.v_proj"},      {"attn_qkv", "self_attn.qkv_proj"},
        {"attn_output", "self_attn.o_proj"}, {"ffn_gate", "mlp.gate_proj"},
        {"ffn_up", "mlp.up_proj"},           {"ffn_down", "mlp.down_proj"}};
    if (arch_ == "phi3") blocks["ffn_up"] = "mlp.gate_up_proj";
    if (arch_ == "gemma2") {
      blocks["ffn_norm"] = "pre_feedforward_layernorm";
      blocks["post_attention_norm"] = "post_attention_layernorm";
      blocks["post_ffw_norm"] = "post_feedforward_layernorm";
    }
    const size_t dot = name.rfind('.');
    if (!name.starts_with("blk.")) {
      if (arch_ == "bert") return kBert.at(name.substr(0, dot)) + name.substr(dot);
      return arch_ == "mamba2" ? kMamba2.at(name) : kOuter.at(name);
    }
    const size_t second = name.find('.', 4);
    const std::string layer = name.substr(4, second - 4), rest = name.substr(second + 1);
    if (arch_ == "mamba2") return "backbone.layers." + layer + "." + kMamba2.at(rest);
    const std::string stem = rest.substr(0, rest.rfind('.')), kind = name.substr(dot);
    if (arch_ == "bert") return "encoder.layer." + layer + "." + kBert.at(stem) + kind;
    return "model.layers." + layer + "." + blocks.at(stem) + kind;
  }

  void AddTensor(const formats::GgufTensor& t) {
    const std::string name(t.name);
    if (name.starts_with("rope_")) return;  // config.json says them
    HfTensor out{HfName(name), "F32", {}, Values(t)};
    for (int i = t.n_dims - 1; i >= 0; --i) out.shape.push_back(t.ne[static_cast<size_t>(i)]);
    if (arch_ == "gemma2" && name.ends_with("norm.weight")) {
      for (float& x : out.values) x -= 1;
    }
    if (arch_ == "llama" && name.find(".attn_q.") != name.npos) {
      SplitHeads(out, Int("attention.head_count"));
    }
    if (arch_ == "llama" && name.find(".attn_k.") != name.npos) {
      SplitHeads(out, Int("attention.head_count_kv"));
    }
    if (name.ends_with("ssm_a")) {
      for (float& x : out.values) x = std::log(-x);
    }
    if (name.ends_with("ssm_a") || name.ends_with("ssm_d") || name.ends_with("ssm_norm.weight")) {
      out.shape = {static_cast<int64_t>(out.values.size())};
    }
    if (name.ends_with("conv1d.weight")) out.shape = {t.ne[1], 1, t.ne[0]};
    tensors.push_back(std::move(out));
  }

  // Pairs of rows back to halves: even rows of a head first, then the odd ones.
  static void SplitHeads(HfTensor& t, int64_t heads) {
    const int64_t dim = t.shape[0] / heads, width = t.shape[1];
    const std::vector<float> paired = t.values;
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t i = 0; i < dim; ++i) {
        const auto from = paired.begin() + (h * dim + i) * width;
        std::copy(from, from + width,
                  t.values.begin() + (h * dim + i % 2 * (dim / 2) + i / 2) * width);
      }
    }
  }

  static Json Added(const std::string& text, size_t id) {
    return {{"id", id},        {"content", text},     {"single_word", false}, {"lstrip", false},
            {"rstrip", false}, {"normalized", false}, {"special", true}};
  }
  static Json Around(std::initializer_list<const char*> parts) {
    Json single = Json::array();
    for (const std::string part : parts) {
      single.push_back(part == "A" ? Json{{"Sequence", {{"id", "A"}}}}
                                   : Json{{"SpecialToken", {{"id", part}}}});
    }
    return {{"type", "TemplateProcessing"}, {"single", single}};
  }

  void SetByteLevel() {
    const auto tokens = **gguf_.FindStrings("tokenizer.ggml.tokens");
    Json vocab = Json::object();
    for (size_t i = 0; i < tokens.size(); ++i) vocab[std::string(tokens[i])] = i;
    Json merges = Json::array();
    const auto lines = **gguf_.FindStrings("tokenizer.ggml.merges");
    for (const std::string_view line : lines) merges.push_back(std::string(line));
    tokenizer = {{"added_tokens", {Added("<s>", 0), Added("</s>", 1)}},
                 {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
                 {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}};
    if (**gguf_.FindBool("tokenizer.ggml.add_bos_token")) {
      tokenizer["post_processor"] = Around({"<s>", "A"});
    }
  }

  void SetWordPieces() {
    const auto tokens = **gguf_.FindStrings("tokenizer.ggml.tokens");
    Json vocab = Json::object(), added = Json::array();
    constexpr std::string_view kBegin = "\xE2\x96\x81";
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::string text(tokens[i]);
      if (text.starts_with('[') && text.size() > 2) {
        added.push_back(Added(text, i));
      } else {
        text = text.starts_with(kBegin) ? text.substr(kBegin.size()) : "##" + text;
      }
      vocab[text] = i;
    }
    tokenizer = {{"added_tokens", added},
                 {"normalizer",
                  {{"type", "BertNormalizer"},
                   {"clean_text", true},
                   {"handle_chinese_chars", true},
                   {"strip_accents", nullptr},
                   {"lowercase", true}}},
                 {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
                 {"post_processor", Around({"[CLS]", "A", "[SEP]"})},
                 {"model",
                  {{"type", "WordPiece"},
                   {"unk_token", "[UNK]"},
                   {"continuing_subword_prefix", "##"},
                   {"max_input_chars_per_word", 100},
                   {"vocab", vocab}}}};
  }

  void WriteTensors(const std::string& name, const std::vector<HfTensor>& part) const {
    Json header = Json::object();
    std::string data;
    for (const HfTensor& t : part) {
      const size_t begin = data.size(), n = t.values.size() * sizeof(float);
      data.append(reinterpret_cast<const char*>(t.values.data()), n);
      header[t.name] = {
          {"dtype", t.dtype}, {"shape", t.shape}, {"data_offsets", {begin, begin + n}}};
    }
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const uint64_t size = text.size();
    std::string file(reinterpret_cast<const char*>(&size), sizeof size);
    WriteText(name, file + text + data);
  }

  formats::GgufReader gguf_;
  std::string arch_;
  bool sliding_ = false;
};

}  // namespace minnow::test
