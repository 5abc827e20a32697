// SPDX-License-Identifier: MIT
// StarCoder2: a decoder with layer norms, biases everywhere and a plain feed-forward, none of which
// minnow/sdk/decoder.hpp has a knob for, so the graph is written op by op.
#include <minnow/abi/plugin.h>

#include <cmath>
#include <minnow/sdk/arch.hpp>
#include <minnow/sdk/plugin.hpp>
#include <string>

namespace {

using minnow::sdk::Builder;
using minnow::sdk::Meta;
using minnow::sdk::Value;

class Starcoder2 {
 public:
  Starcoder2(Builder& builder, Meta& meta) : b_(builder) {
    n_layers_ = meta.Count("block_count", 1, 1024);
    n_embd_ = meta.Count("embedding_length", 1, 1u << 20);
    n_ff_ = meta.Count("feed_forward_length", 1, 1u << 20);
    n_heads_ = meta.Count("attention.head_count", 1, 1u << 12);
    n_kv_heads_ = meta.Count("attention.head_count_kv", 1, n_heads_, n_heads_);
    n_ctx_ = meta.Count("context_length", 1, 1u << 30);
    norm_.eps = meta.Float("attention.layer_norm_epsilon");
    norm_.layer = 1;
    if (n_embd_ % n_heads_ != 0) meta.Bad("embedding_length", "is no multiple of the heads");
    head_dim_ = n_embd_ / n_heads_;
    rope_.kind = MNW_ROPE_NEOX;
    rope_.n_dims = meta.Count("rope.dimension_count", 1, head_dim_, head_dim_);
    rope_.base = meta.Positive("rope.freq_base", 10000);
    rope_.freq_scale = rope_.attn_factor = 1;
  }

  void Build(mnw_model_info* info) {
    const Value embedding = b_.Weight("token_embd.weight", {n_embd_, 0});
    Value head = b_.OptionalWeight("output.weight", {n_embd_, b_.Dim(embedding, 1)});
    if (head == MNW_NONE) head = embedding;
    group_ = b_.StateGroup(MNW_STATE_KV, 0);

    Value x = b_.GetRows(embedding, b_.Input(MNW_INPUT_TOKENS));
    for (uint32_t layer = 0; layer < n_layers_; ++layer) {
      b_.SetLayer(static_cast<int32_t>(layer));
      prefix_ = "blk." + std::to_string(layer) + ".";
      x = Add(x, Attention(layer, Norm(x, "attn_norm")));
      x = Add(x, FeedForward(Norm(x, "ffn_norm")));
    }
    b_.SetLayer(-1);
    prefix_.clear();
    x = Norm(b_.GetRows(x, b_.Input(MNW_INPUT_OUT_ROWS)), "output_norm");
    b_.Output(b_.LmHead(x, head, 1, 0), "logits");

    info->n_layers = n_layers_;
    info->n_embd = n_embd_;
    info->n_heads = n_heads_;
    info->n_kv_heads = n_kv_heads_;
    info->n_ff = n_ff_;
    info->n_vocab = static_cast<uint32_t>(b_.Dim(head, 1));
    info->n_ctx_train = n_ctx_;
    info->rope_kind = rope_.kind;
  }

 private:
  Value Add(Value x, Value y) { return b_.Emit(MNW_OP_add, {x, y})[0]; }
  Value Bias(const char* name, int64_t n) { return b_.Weight(prefix_ + name + ".bias", {n}); }
  Value Norm(Value x, const char* name) {
    const Value w = b_.Weight(prefix_ + name + ".weight", {n_embd_});
    return b_.Emit(MNW_OP_layer_norm, {x, w, Bias(name, n_embd_)}, norm_)[0];
  }
  Value Linear(Value x, const char* name, int64_t n_in, int64_t n_out) {
    const Value w = b_.Weight(prefix_ + name + ".weight", {n_in, n_out});
    return b_.Linear(x, w, Bias(name, n_out));
  }

  Value Attention(uint32_t layer, Value x) {
    const int64_t n_kv = int64_t{n_kv_heads_} * head_dim_;
    const Value q = b_.Heads(Linear(x, "attn_q", n_embd_, n_embd_), n_heads_, head_dim_);
    const Value k = b_.Heads(Linear(x, "attn_k", n_embd_, n_kv), n_kv_heads_, head_dim_);
    const Value v = b_.Heads(Linear(x, "attn_v", n_embd_, n_kv), n_kv_heads_, head_dim_);
    Value state = b_.State(layer, group_, n_kv_heads_, head_dim_, head_dim_);
    state = b_.KvWrite(b_.Rope(k, MNW_NONE, rope_), v, state, group_);
    const float scale = 1 / std::sqrt(static_cast<float>(head_dim_));
    const Value y = b_.Attention(b_.Rope(q, MNW_NONE, rope_), state, group_, {scale, 0, 0, 0});
    return Linear(b_.Flat(y), "attn_output", n_embd_, n_embd_);
  }

  Value FeedForward(Value x) {
    const Value hidden = b_.Emit(MNW_OP_gelu, {Linear(x, "ffn_up", n_embd_, n_ff_)})[0];
    return Linear(hidden, "ffn_down", n_ff_, n_embd_);
  }

  Builder& b_;
  uint32_t n_layers_, n_embd_, n_ff_, n_heads_, n_kv_heads_, n_ctx_, head_dim_;
  uint32_t group_ = 0;
  mnw_norm_params norm_{};
  mnw_rope_params rope_{};
  std::string prefix_;  // of the names of the layer's tensors
};

int Build(const mnw_metadata* m, const mnw_build_options* o, const mnw_builder* b,
          mnw_model_info* info, mnw_error*) {
  Builder builder(*b, *o);
  Meta meta(*m, builder, "starcoder2");
  Starcoder2(builder, meta).Build(info);
  return MNW_OK;
}

constexpr mnw_arch kArch = {sizeof kArch, "starcoder2", &minnow::sdk::Guard<&Build>::Call};
constexpr const mnw_arch* kArchs[] = {&kArch};
constexpr mnw_arch_list kList = {sizeof kList, 1, kArchs};
const mnw_arch_list* Archs(uint32_t) { return &kList; }

constexpr mnw_plugin kPlugin = {sizeof kPlugin, MNW_ABI_MAJOR, MNW_ABI_MINOR, "example.starcoder2",
                                "1.0",          "MIT",         nullptr,       &Archs};

}  // namespace

extern "C" MNW_EXPORT const mnw_plugin* mnw_plugin_entry(void) { return &kPlugin; }
