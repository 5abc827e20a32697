// The smallest whole models: one layer, sixteen tokens, a header below 4 KB.
//
// Seeds of the fuzzers, and what tests of hostile files start from: change a key, a tensor or a
// byte, write, load. Weights are small and finite, so that an untouched model answers. Threads: one
// at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf_writer.h"

namespace minnow::test {

struct SmallTensor {
  std::string name;
  mnw_type type;
  std::vector<int64_t> ne;
  std::vector<std::byte> bytes;
};

class SmallModel {
 public:
  // "llama", "qwen2", "phi3" or "gemma2". Byte-level or SentencePiece vocabulary.
  explicit SmallModel(const std::string& arch = "llama", bool byte_level = false) : arch_(arch) {
    SetHyperparameters();
    byte_level ? SetByteLevel() : SetSentencePiece();
    writer.SetString("tokenizer.chat_template",
                     "{% for m in messages %}<s>{{ m['role'] }}{{ m['content'] }}{% endfor %}");
    AddTensors();
  }

  formats::GgufWriter writer;  // metadata alone, until Write
  std::vector<SmallTensor> tensors;

  SmallTensor& tensor(std::string_view name) {
    for (SmallTensor& t : tensors) {
      if (t.name == name) return t;
    }
    return tensors.front();
  }
  void SetKey(std::string_view name, uint32_t value) {
    writer.SetU32(arch_ + std::string(name), value);
  }

  Status Write(const std::string& path) const {
    formats::GgufWriter whole = writer;
    for (const SmallTensor& t : tensors) whole.AddTensor(t.name, t.type, t.ne, t.bytes);
    return whole.Write(path);
  }

 private:
  static constexpr uint32_t kEmbd = 32, kHeads = 2, kKvHeads = 1, kHeadDim = 16, kFf = 32;

  void SetHyperparameters() {
    writer.SetString("general.architecture", arch_);
    SetKey(".context_length", 64);
    SetKey(".embedding_length", kEmbd);
    SetKey(".block_count", 1);
    SetKey(".feed_forward_length", kFf);
    SetKey(".attention.head_count", kHeads);
    SetKey(".attention.head_count_kv", kKvHeads);
    writer.SetF32(arch_ + ".attention.layer_norm_rms_epsilon", 1e-5f);
    if (arch_ == "gemma2") SetKey(".attention.sliding_window", 40);
  }

  void SetSentencePiece() {
    const std::vector<std::string> tokens = {"<unk>",
                                             "<s>",
                                             "</s>",
                                             "<0x41>",
                                             "\xE2\x96\x81",
                                             "a",
                                             "b",
                                             "ab",
                                             "abab",
                                             "\xE2\x96\x81"
                                             "a",
                                             "u",
                                             "s",
                                             "e",
                                             "r",
                                             "us",
                                             "er"};
    std::vector<float> scores;
    for (size_t i = 0; i < tokens.size(); ++i) scores.push_back(-static_cast<float>(i));
    writer.SetString("tokenizer.ggml.model", "llama");
    writer.SetStrings("tokenizer.ggml.tokens", tokens);
    writer.SetF32s("tokenizer.ggml.scores", scores);
    writer.SetI32s("tokenizer.ggml.token_type", {2, 3, 3, 6, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1});
    writer.SetU32("tokenizer.ggml.bos_token_id", 1);
    writer.SetU32("tokenizer.ggml.eos_token_id", 2);
  }

  void SetByteLevel() {
    writer.SetString("tokenizer.ggml.model", "gpt2");
    writer.SetString("tokenizer.ggml.pre", "qwen2");
    writer.SetStrings("tokenizer.ggml.tokens", {"<s>", "</s>", "a", "b", "ab", "abab", "u", "s",
                                                "e", "r", "us", "er", "user", "\xC4\xA0",
                                                "\xC4\xA0"
                                                "a",
                                                "\xC3\xA9"});
    writer.SetI32s("tokenizer.ggml.token_type", {3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1});
    writer.SetStrings("tokenizer.ggml.merges",
                      {"a b", "ab ab", "u s", "e r", "us er", "\xC4\xA0 a"});
    writer.SetU32("tokenizer.ggml.bos_token_id", 0);
    writer.SetU32("tokenizer.ggml.eos_token_id", 1);
  }

  void AddTensors() {
    constexpr int64_t q = kHeads * kHeadDim, kv = kKvHeads * kHeadDim;
    const bool fused = arch_ == "phi3";
    Add("token_embd.weight", {kEmbd, 16});
    Norm("output_norm.weight", kEmbd);
    Norm("blk.0.attn_norm.weight", kEmbd);
    if (fused) {
      Add("blk.0.attn_qkv.weight", {kEmbd, q + 2 * kv});
    } else {
      Add("blk.0.attn_q.weight", {kEmbd, q});
      Add("blk.0.attn_k.weight", {kEmbd, kv});
      Add("blk.0.attn_v.weight", {kEmbd, kv});
    }
    if (arch_ == "qwen2") {
      Norm("blk.0.attn_q.bias", q);
      Norm("blk.0.attn_k.bias", kv);
      Norm("blk.0.attn_v.bias", kv);
    }
    Add("blk.0.attn_output.weight", {q, kEmbd});
    Norm("blk.0.ffn_norm.weight", kEmbd);
    if (!fused) Add("blk.0.ffn_gate.weight", {kEmbd, kFf});
    Add("blk.0.ffn_up.weight", {kEmbd, fused ? 2 * kFf : kFf});
    Add("blk.0.ffn_down.weight", {kFf, kEmbd});
    if (arch_ == "gemma2") {
      Norm("blk.0.post_attention_norm.weight", kEmbd);
      Norm("blk.0.post_ffw_norm.weight", kEmbd);
    }
  }

  // Q8_0: scale and 32 integers. Scale 2^-7, integers of any sign.
  void Add(const std::string& name, std::vector<int64_t> ne) {
    SmallTensor t{name, MNW_TYPE_Q8_0, std::move(ne), {}};
    const int64_t blocks = t.ne[0] / 32 * t.ne[1];
    for (int64_t b = 0; b < blocks; ++b) {
      t.bytes.push_back(std::byte{0x00});
      t.bytes.push_back(std::byte{0x20});
      for (int i = 0; i < 32; ++i) {
        noise_ = noise_ * 1664525 + 1013904223;
        t.bytes.push_back(static_cast<std::byte>(noise_ >> 24));
      }
    }
    tensors.push_back(std::move(t));
  }

  void Norm(const std::string& name, int64_t n) {
    const std::vector<float> ones(static_cast<size_t>(n), 1.0f);
    const auto bytes = std::as_bytes(std::span(ones));
    tensors.push_back({name, MNW_TYPE_F32, {n}, {bytes.begin(), bytes.end()}});
  }

  const std::string arch_;
  uint32_t noise_ = 1;
};

}  // namespace minnow::test
