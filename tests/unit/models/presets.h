// Real models as files of metadata and shapes: what the GGUF files of these names hold.
#pragma once

#include <string>

#include "graph/fake_file.h"

namespace minnow::test {

struct Preset {
  const char* arch;
  int n_layers, n_embd, n_heads, n_kv_heads, head_dim, n_ff, n_vocab, n_ctx_train;
  double rope_base, eps;
  int window = 0;
  bool tied = true, qkv_bias = false, rope_freqs = false;
  int rope_factors = 0;  // length of the LongRoPE tensors
};

inline constexpr Preset kLlama32_1B = {.arch = "llama",
                                       .n_layers = 16,
                                       .n_embd = 2048,
                                       .n_heads = 32,
                                       .n_kv_heads = 8,
                                       .head_dim = 64,
                                       .n_ff = 8192,
                                       .n_vocab = 128256,
                                       .n_ctx_train = 131072,
                                       .rope_base = 5e5,
                                       .eps = 1e-5,
                                       .rope_freqs = true};
inline constexpr Preset kMistral7B = {.arch = "llama",
                                      .n_layers = 32,
                                      .n_embd = 4096,
                                      .n_heads = 32,
                                      .n_kv_heads = 8,
                                      .head_dim = 128,
                                      .n_ff = 14336,
                                      .n_vocab = 32000,
                                      .n_ctx_train = 32768,
                                      .rope_base = 1e4,
                                      .eps = 1e-5,
                                      .window = 4096,
                                      .tied = false};
inline constexpr Preset kQwen25_05B = {.arch = "qwen2",
                                       .n_layers = 24,
                                       .n_embd = 896,
                                       .n_heads = 14,
                                       .n_kv_heads = 2,
                                       .head_dim = 64,
                                       .n_ff = 4864,
                                       .n_vocab = 151936,
                                       .n_ctx_train = 32768,
                                       .rope_base = 1e6,
                                       .eps = 1e-6,
                                       .qkv_bias = true};
inline constexpr Preset kPhi3Mini = {.arch = "phi3",
                                     .n_layers = 32,
                                     .n_embd = 3072,
                                     .n_heads = 32,
                                     .n_kv_heads = 32,
                                     .head_dim = 96,
                                     .n_ff = 8192,
                                     .n_vocab = 32064,
                                     .n_ctx_train = 4096,
                                     .rope_base = 1e4,
                                     .eps = 1e-5,
                                     .window = 2047,
                                     .tied = false};
inline constexpr Preset kPhi35Mini = {.arch = "phi3",
                                      .n_layers = 32,
                                      .n_embd = 3072,
                                      .n_heads = 32,
                                      .n_kv_heads = 32,
                                      .head_dim = 96,
                                      .n_ff = 8192,
                                      .n_vocab = 32064,
                                      .n_ctx_train = 131072,
                                      .rope_base = 1e4,
                                      .eps = 1e-5,
                                      .window = 262144,
                                      .tied = false,
                                      .rope_factors = 48};
inline constexpr Preset kGemma2_2B = {.arch = "gemma2",
                                      .n_layers = 26,
                                      .n_embd = 2304,
                                      .n_heads = 8,
                                      .n_kv_heads = 4,
                                      .head_dim = 256,
                                      .n_ff = 9216,
                                      .n_vocab = 256000,
                                      .n_ctx_train = 8192,
                                      .rope_base = 1e4,
                                      .eps = 1e-6,
                                      .window = 4096};

inline FakeFile MakeFile(const Preset& p) {
  FakeFile f;
  const std::string arch = p.arch;
  const auto set = [&](const char* key, auto value) { f.Set(arch + "." + key, value); };
  set("block_count", p.n_layers);
  set("context_length", p.n_ctx_train);
  set("embedding_length", p.n_embd);
  set("feed_forward_length", p.n_ff);
  set("attention.head_count", p.n_heads);
  set("attention.head_count_kv", p.n_kv_heads);
  set("attention.key_length", p.head_dim);
  set("attention.value_length", p.head_dim);
  set("attention.layer_norm_rms_epsilon", p.eps);
  set("rope.dimension_count", p.head_dim);
  set("rope.freq_base", p.rope_base);
  if (p.window) set("attention.sliding_window", p.window);

  const int64_t d = p.n_embd, q = int64_t{p.n_heads} * p.head_dim,
                kv = int64_t{p.n_kv_heads} * p.head_dim, ff = p.n_ff;
  const mnw_type w = MNW_TYPE_F16;
  f.Add("token_embd.weight", {d, p.n_vocab}, w);
  if (!p.tied) f.Add("output.weight", {d, p.n_vocab}, w);
  f.Add("output_norm.weight", {d});
  if (p.rope_freqs) f.Add("rope_freqs.weight", {p.head_dim / 2});
  if (p.rope_factors) {
    f.Add("rope_factors_long.weight", {p.rope_factors});
    f.Add("rope_factors_short.weight", {p.rope_factors});
  }
  for (int l = 0; l < p.n_layers; ++l) {
    const auto add = [&](const char* name, std::initializer_list<int64_t> dims, mnw_type type) {
      f.Add("blk." + std::to_string(l) + "." + name, dims, type);
    };
    add("attn_norm.weight", {d}, MNW_TYPE_F32);
    add("ffn_norm.weight", {d}, MNW_TYPE_F32);
    if (arch == "gemma2") {
      add("post_attention_norm.weight", {d}, MNW_TYPE_F32);
      add("post_ffw_norm.weight", {d}, MNW_TYPE_F32);
    }
    if (arch == "phi3") {
      add("attn_qkv.weight", {d, q + 2 * kv}, w);
      add("ffn_up.weight", {d, 2 * ff}, w);
    } else {
      add("attn_q.weight", {d, q}, w);
      add("attn_k.weight", {d, kv}, w);
      add("attn_v.weight", {d, kv}, w);
      add("ffn_gate.weight", {d, ff}, w);
      add("ffn_up.weight", {d, ff}, w);
    }
    if (p.qkv_bias) {
      add("attn_q.bias", {q}, MNW_TYPE_F32);
      add("attn_k.bias", {kv}, MNW_TYPE_F32);
      add("attn_v.bias", {kv}, MNW_TYPE_F32);
    }
    add("attn_output.weight", {q, d}, w);
    add("ffn_down.weight", {ff, d}, w);
  }
  return f;
}

inline FakeFile Mamba2Of130M() {
  FakeFile f;
  for (const auto& [key, n] : {std::pair{"block_count", 24},
                               {"context_length", 1 << 20},
                               {"embedding_length", 768},
                               {"ssm.conv_kernel", 4},
                               {"ssm.inner_size", 1536},
                               {"ssm.state_size", 128},
                               {"ssm.time_step_rank", 24},
                               {"ssm.group_count", 1}}) {
    f.Set(std::string("mamba2.") + key, n);
  }
  f.Set("mamba2.attention.layer_norm_rms_epsilon", 1e-5);
  f.Add("token_embd.weight", {768, 50288}, MNW_TYPE_F16);
  f.Add("output_norm.weight", {768});
  for (int l = 0; l < 24; ++l) {
    const std::string block = "blk." + std::to_string(l) + ".";
    f.Add(block + "attn_norm.weight", {768});
    f.Add(block + "ssm_in.weight", {768, 2 * 1536 + 2 * 128 + 24}, MNW_TYPE_F16);
    f.Add(block + "ssm_conv1d.weight", {4, 1536 + 2 * 128});
    f.Add(block + "ssm_conv1d.bias", {1536 + 2 * 128});
    f.Add(block + "ssm_dt.bias", {24});
    f.Add(block + "ssm_a", {1, 24});
    f.Add(block + "ssm_d", {1, 24});
    f.Add(block + "ssm_norm.weight", {1536, 1});
    f.Add(block + "ssm_out.weight", {1536, 768}, MNW_TYPE_F16);
  }
  return f;
}

inline FakeFile MiniLm() {
  FakeFile f;
  for (const auto& [key, n] : {std::pair{"block_count", 6},
                               {"context_length", 512},
                               {"embedding_length", 384},
                               {"feed_forward_length", 1536},
                               {"attention.head_count", 12},
                               {"pooling_type", 1}}) {
    f.Set(std::string("bert.") + key, n);
  }
  f.Set("bert.attention.layer_norm_epsilon", 1e-12);
  f.Add("token_embd.weight", {384, 30522}, MNW_TYPE_F16);
  f.Add("token_types.weight", {384, 2});
  f.Add("position_embd.weight", {384, 512});
  const auto norm = [&](const std::string& name) {
    f.Add(name + ".weight", {384});
    f.Add(name + ".bias", {384});
  };
  norm("token_embd_norm");
  for (int l = 0; l < 6; ++l) {
    const std::string block = "blk." + std::to_string(l) + ".";
    const auto linear = [&](const char* name, int64_t in, int64_t out) {
      f.Add(block + name + ".weight", {in, out}, MNW_TYPE_F16);
      f.Add(block + name + ".bias", {out});
    };
    for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"}) linear(name, 384, 384);
    linear("ffn_up", 384, 1536);
    linear("ffn_down", 1536, 384);
    norm(block + "attn_output_norm");
    norm(block + "layer_output_norm");
  }
  return f;
}

}  // namespace minnow::test
