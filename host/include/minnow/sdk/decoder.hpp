// SPDX-License-Identifier: MIT
// The decoder that most small language models are: pre-norm, rotary positions, grouped-query
// attention, gated feed-forward. An architecture sets the knobs; the graph follows.
//
//   Decoder d = ReadDecoder(meta, builder.options());
//   d.rope.kind = MNW_ROPE_NEOX;
//   BuildDecoder(builder, d, info);
#pragma once

#include <cmath>
#include <map>
#include <minnow/sdk/arch.hpp>
#include <string>
#include <vector>

namespace minnow::sdk {

struct Decoder {
  uint32_t n_layers, n_embd, n_heads, n_kv_heads, k_dim, v_dim, n_ff, n_ctx_train;
  float eps;  // of every norm
  mnw_rope_params rope{};
  std::string rope_factors;  // tensor, empty: none
  float embedding_scale = 1;
  float attention_scale;         // 1/sqrt(k_dim) by default
  float attention_softcap = 0;   // 0: none
  float logit_softcap = 0;       // 0: none
  std::vector<uint32_t> window;  // by layer, 0: none
  bool qkv_bias = false, output_bias = false;
  bool fused_qkv = false;      // one tensor attn_qkv: the rows of q, then k, then v
  bool fused_gate_up = false;  // ffn_up holds the rows of the gate, then those of up
  bool post_norms = false;     // a norm on what attention and feed-forward give back
  mnw_act act = MNW_ACT_SILU;
};

// rope.scaling.*: linear and YaRN by formula; LongRoPE and Llama-3 scaling come as factors.
inline void ReadRopeScaling(Meta& meta, Decoder& d, const mnw_build_options& options) {
  mnw_rope_params& rope = d.rope;
  rope.freq_scale = 1;
  rope.attn_factor = meta.Positive("rope.scaling.attn_factor", 1);
  rope.original_context =
      meta.Count("rope.scaling.original_context_length", 1, 1u << 30, d.n_ctx_train);
  const float factor = meta.Float("rope.scaling.factor", 0);
  const std::string type = meta.String("rope.scaling.type", factor > 0 ? "linear" : "none");
  if (type == "linear" || type == "yarn") {
    if (!(factor > 0))
      meta.Bad("rope.scaling.factor", "must be positive for scaling '" + type + "'");
    rope.scaling = type == "yarn" ? MNW_ROPE_YARN : MNW_ROPE_LINEAR;
    rope.freq_scale = 1 / factor;
  } else if (type != "none" && type != "longrope") {
    meta.Bad("rope.scaling.type", "is '" + type + "'; known are none, linear, yarn, longrope",
             MNW_UNSUPPORTED);
  }
  if (rope.scaling == MNW_ROPE_YARN) {
    rope.beta_fast = meta.Float("rope.scaling.yarn_beta_fast", 32);
    rope.beta_slow = meta.Float("rope.scaling.yarn_beta_slow", 1);
    if (factor > 1) rope.attn_factor *= 0.1f * std::log(factor) + 1;  // the paper's magnitude term
  }

  const bool is_long = options.n_ctx > rope.original_context;
  const std::string by_length = is_long ? "rope_factors_long.weight" : "rope_factors_short.weight";
  for (const std::string& name : {std::string("rope_freqs.weight"), by_length}) {
    if (d.rope_factors.empty() && meta.HasTensor(name)) d.rope_factors = name;
  }
}

// The keys that all decoders share.
inline Decoder ReadDecoder(Meta& meta, const mnw_build_options& options) {
  Decoder d{};
  d.n_layers = meta.Count("block_count", 1, 1024);
  d.n_embd = meta.Count("embedding_length", 1, 1u << 20);
  d.n_heads = meta.Count("attention.head_count", 1, 1u << 12);
  d.n_kv_heads = meta.Count("attention.head_count_kv", 1, 1u << 12, d.n_heads);
  d.k_dim = meta.Count("attention.key_length", 1, 1u << 14, d.n_embd / d.n_heads);
  d.v_dim = meta.Count("attention.value_length", 1, 1u << 14, d.n_embd / d.n_heads);
  d.n_ff = meta.Count("feed_forward_length", 1, 1u << 20);
  d.n_ctx_train = meta.Count("context_length", 1, 1u << 30);
  d.eps = meta.Float("attention.layer_norm_rms_epsilon");
  d.rope.n_dims = meta.Count("rope.dimension_count", 1, 1u << 14, d.k_dim);
  d.rope.base = meta.Positive("rope.freq_base", 10000);
  ReadRopeScaling(meta, d, options);
  d.attention_scale = 1 / std::sqrt(static_cast<float>(d.k_dim));
  d.window.assign(d.n_layers, 0);
  return d;
}

class DecoderGraph {
 public:
  DecoderGraph(Builder& builder, const Decoder& decoder) : b_(builder), d_(decoder) {}

  void Build(mnw_model_info* info) {
    const Value embedding = b_.Weight("token_embd.weight", {d_.n_embd, 0});
    Value head = b_.OptionalWeight("output.weight", {d_.n_embd, b_.Dim(embedding, 1)});
    if (head == MNW_NONE) head = embedding;
    if (!d_.rope_factors.empty()) {
      rope_factors_ = b_.Weight(d_.rope_factors, {d_.rope.n_dims / 2});
    }
    MakeStateGroups();

    Value x = b_.GetRows(embedding, b_.Input(MNW_INPUT_TOKENS));
    if (d_.embedding_scale != 1) x = b_.Scale(x, d_.embedding_scale);
    Value delta = MNW_NONE;  // what the block before gave, not added yet
    for (uint32_t l = 0; l < d_.n_layers; ++l) AddLayer(l, &x, &delta);
    b_.SetLayer(-1);
    const Value y = b_.AddNorm(x, delta, b_.Weight("output_norm.weight", {d_.n_embd}), d_.eps).norm;
    b_.Output(b_.LmHead(y, head, 1, d_.logit_softcap), "logits");

    info->n_layers = d_.n_layers;
    info->n_embd = d_.n_embd;
    info->n_heads = d_.n_heads;
    info->n_kv_heads = d_.n_kv_heads;
    info->n_ff = d_.n_ff;
    info->n_vocab = static_cast<uint32_t>(b_.Dim(head, 1));
    info->n_ctx_train = d_.n_ctx_train;
    info->rope_kind = d_.rope.kind;
    info->is_encoder = 0;
  }

 private:
  std::string Name(uint32_t layer, const char* part) const {
    return "blk." + std::to_string(layer) + "." + part;
  }
  Value Norm(uint32_t layer, const char* part) { return b_.Weight(Name(layer, part), {d_.n_embd}); }

  // A window that no context can leave is none, and shares the pages of full attention.
  uint32_t Window(uint32_t layer) const {
    return d_.window[layer] < b_.options().n_ctx ? d_.window[layer] : 0;
  }

  void MakeStateGroups() {
    for (uint32_t l = 0; l < d_.n_layers; ++l) groups_[Window(l)] = 0;
    for (auto& [window, group] : groups_) group = b_.StateGroup(MNW_STATE_KV, window);
  }

  // Only rows whose logits are wanted go on.
  void ChooseRows(Value* x, Value* delta) {
    const Value rows = b_.Input(MNW_INPUT_OUT_ROWS);
    *x = b_.GetRows(*x, rows);
    *delta = b_.GetRows(*delta, rows);
  }

  void AddLayer(uint32_t l, Value* x, Value* delta) {
    b_.SetLayer(static_cast<int32_t>(l));
    Value y;
    if (*delta == MNW_NONE) {
      y = b_.RmsNorm(*x, Norm(l, "attn_norm.weight"), d_.eps);
    } else {
      const auto added = b_.AddNorm(*x, *delta, Norm(l, "attn_norm.weight"), d_.eps);
      *x = added.sum;
      y = added.norm;
    }
    *delta = Attention(l, y);
    if (d_.post_norms) *delta = b_.RmsNorm(*delta, Norm(l, "post_attention_norm.weight"), d_.eps);

    // The last feed-forward is the first work that other rows do not need.
    if (l + 1 == d_.n_layers) ChooseRows(x, delta);
    const auto added = b_.AddNorm(*x, *delta, Norm(l, "ffn_norm.weight"), d_.eps);
    *x = added.sum;
    *delta = FeedForward(l, added.norm);
    if (d_.post_norms) *delta = b_.RmsNorm(*delta, Norm(l, "post_ffw_norm.weight"), d_.eps);
  }

  // Heads of q, k and v: [T,H,D].
  Builder::QkvValues Project(uint32_t l, Value x) {
    const int64_t q = int64_t{d_.n_heads} * d_.k_dim, k = int64_t{d_.n_kv_heads} * d_.k_dim,
                  v = int64_t{d_.n_kv_heads} * d_.v_dim;
    if (d_.fused_qkv) {
      const Value w = b_.Weight(Name(l, "attn_qkv.weight"), {d_.n_embd, q + k + v});
      const Value bias = d_.qkv_bias ? b_.Weight(Name(l, "attn_qkv.bias"), {q + k + v}) : MNW_NONE;
      const Value all = b_.Linear(x, w, bias);
      return {b_.Heads(all, d_.n_heads, d_.k_dim), b_.Heads(all, d_.n_kv_heads, d_.k_dim, q),
              b_.Heads(all, d_.n_kv_heads, d_.v_dim, q + k)};
    }
    const auto weight = [&](const char* part, int64_t n) {
      return b_.Weight(Name(l, part), {d_.n_embd, n});
    };
    const auto bias = [&](const char* part, int64_t n) {
      return d_.qkv_bias ? b_.Weight(Name(l, part), {n}) : MNW_NONE;
    };
    // Named one by one: the order of arguments is any, and the graph must be the same everywhere.
    const Value wq = weight("attn_q.weight", q), bq = bias("attn_q.bias", q);
    const Value wk = weight("attn_k.weight", k), bk = bias("attn_k.bias", k);
    const Value wv = weight("attn_v.weight", v), bv = bias("attn_v.bias", v);
    const Builder::QkvValues all = b_.Qkv(x, wq, wk, wv, bq, bk, bv);
    return {b_.Heads(all.q, d_.n_heads, d_.k_dim), b_.Heads(all.k, d_.n_kv_heads, d_.k_dim),
            b_.Heads(all.v, d_.n_kv_heads, d_.v_dim)};
  }

  Value Attention(uint32_t l, Value x) {
    const uint32_t window = Window(l), group = groups_[window];
    const Builder::QkvValues heads = Project(l, x);
    const Value q = b_.Rope(heads.q, rope_factors_, d_.rope);
    const Value k = b_.Rope(heads.k, rope_factors_, d_.rope);
    Value state = b_.State(l, group, d_.n_kv_heads, d_.k_dim, d_.v_dim);
    state = b_.KvWrite(k, heads.v, state, group);
    const Value y = b_.Attention(
        q, state, group, mnw_attention_params{d_.attention_scale, d_.attention_softcap, 0, window});
    const Value w =
        b_.Weight(Name(l, "attn_output.weight"), {int64_t{d_.n_heads} * d_.v_dim, d_.n_embd});
    const Value bias =
        d_.output_bias ? b_.Weight(Name(l, "attn_output.bias"), {d_.n_embd}) : MNW_NONE;
    return b_.Linear(b_.Flat(y), w, bias);
  }

  Value FeedForward(uint32_t l, Value x) {
    const int64_t ff = d_.n_ff;
    const Value down = b_.Weight(Name(l, "ffn_down.weight"), {ff, d_.n_embd});
    if (d_.fused_gate_up) {
      const Value both = b_.Weight(Name(l, "ffn_up.weight"), {d_.n_embd, 2 * ff});
      return b_.GluFfn(x, both, MNW_NONE, down, d_.act);
    }
    const Value gate = b_.Weight(Name(l, "ffn_gate.weight"), {d_.n_embd, ff});
    const Value up = b_.Weight(Name(l, "ffn_up.weight"), {d_.n_embd, ff});
    return b_.GluFfn(x, gate, up, down, d_.act);
  }

  Builder& b_;
  const Decoder& d_;
  Value rope_factors_ = MNW_NONE;
  std::map<uint32_t, uint32_t> groups_;  // state group by window, full attention first
};

inline void BuildDecoder(Builder& builder, const Decoder& decoder, mnw_model_info* info) {
  DecoderGraph(builder, decoder).Build(info);
}

}  // namespace minnow::sdk
