// BERT (arXiv:1810.04805) and the sentence encoders made of it: learned positions, attention in
// both directions, a norm behind each block instead of before it, one vector for a text.
#include <cmath>
#include <minnow/sdk/arch.hpp>
#include <minnow/sdk/plugin.hpp>

#include "models.h"

namespace minnow::models {
namespace {

using sdk::Value;

struct Sizes {
  uint32_t n_layers, n_embd, n_heads, n_ff, n_ctx;
  float eps;
  mnw_pool_kind pooling;
};

class Graph {
 public:
  Graph(sdk::Builder& builder, const Sizes& sizes) : b_(builder), s_(sizes) {}

  Value Build() {
    const Value tokens = b_.Weight("token_embd.weight", {s_.n_embd, 0});
    const Value types = b_.Weight("token_types.weight", {s_.n_embd, 0});
    const Value positions = b_.Weight("position_embd.weight", {s_.n_embd, s_.n_ctx});
    // Every token is of the first type: the second is for pairs of texts.
    Value x = b_.Add(b_.GetRows(tokens, b_.Input(MNW_INPUT_TOKENS)), b_.First(types, s_.n_embd));
    x = b_.Add(x, b_.GetRows(positions, b_.Input(MNW_INPUT_POSITIONS)));
    prefix_ = "";
    const Value w = Norm("token_embd_norm.weight"), bias = Norm("token_embd_norm.bias");
    x = b_.LayerNorm(x, w, bias, s_.eps);
    for (uint32_t l = 0; l < s_.n_layers; ++l) {
      b_.SetLayer(static_cast<int32_t>(l));
      prefix_ = "blk." + std::to_string(l) + ".";
      x = AddNorm(x, Attention(x), "attn_output_norm");
      const Value up = b_.GeluErf(Linear("ffn_up", x, s_.n_embd, s_.n_ff));
      x = AddNorm(x, Linear("ffn_down", up, s_.n_ff, s_.n_embd), "layer_output_norm");
    }
    b_.SetLayer(-1);
    b_.Output(b_.Pool(x, s_.pooling, true), "embedding");
    return tokens;
  }

 private:
  Value Norm(const std::string& part) { return b_.Weight(prefix_ + part, {s_.n_embd}); }

  Value AddNorm(Value x, Value y, const std::string& part) {
    const Value w = Norm(part + ".weight"), bias = Norm(part + ".bias");
    return b_.LayerNorm(b_.Add(y, x), w, bias, s_.eps);
  }

  Value Linear(const std::string& part, Value x, int64_t in, int64_t out) {
    const Value w = b_.Weight(prefix_ + part + ".weight", {in, out});
    return b_.Linear(x, w, b_.Weight(prefix_ + part + ".bias", {out}));
  }

  Value Attention(Value x) {
    const int64_t dim = s_.n_embd / s_.n_heads;
    const auto heads = [&](const char* part) {
      return b_.Heads(Linear(part, x, s_.n_embd, s_.n_embd), s_.n_heads, dim);
    };
    const Value q = heads("attn_q"), k = heads("attn_k"), v = heads("attn_v");
    const float scale = 1 / std::sqrt(static_cast<float>(dim));
    const Value y = b_.SeqAttention(q, k, v, mnw_attention_params{scale, 0, 0, 0});
    return Linear("attn_output", b_.Flat(y), s_.n_embd, s_.n_embd);
  }

  sdk::Builder& b_;
  const Sizes& s_;
  std::string prefix_;
};

mnw_pool_kind ReadPooling(sdk::Meta& meta) {
  switch (const uint32_t type = meta.Count("pooling_type", 0, 1000, 1)) {
    case 1:
      return MNW_POOL_MEAN;
    case 2:
      return MNW_POOL_FIRST;
    case 3:
      return MNW_POOL_LAST;
    default:
      meta.Bad("pooling_type",
               "is " + std::to_string(type) + "; known are 1 (mean), 2 (first token), 3 (last)",
               MNW_UNSUPPORTED);
      return MNW_POOL_MEAN;
  }
}

int Build(const mnw_metadata* m, const mnw_build_options* o, const mnw_builder* b,
          mnw_model_info* info, mnw_error*) {
  sdk::Builder builder(*b, *o);
  sdk::Meta meta(*m, builder, "bert");
  Sizes s{};
  s.n_layers = meta.Count("block_count", 1, 1024);
  s.n_embd = meta.Count("embedding_length", 1, 1u << 20);
  s.n_heads = meta.Count("attention.head_count", 1, 1u << 12);
  s.n_ff = meta.Count("feed_forward_length", 1, 1u << 20);
  s.n_ctx = meta.Count("context_length", 1, 1u << 24);
  s.eps = meta.Float("attention.layer_norm_epsilon");
  s.pooling = ReadPooling(meta);
  if (s.n_embd % s.n_heads != 0) {
    meta.Bad("attention.head_count", "does not divide embedding_length");
  }
  if (o->n_ctx > s.n_ctx) {
    meta.Bad("context_length", "is " + std::to_string(s.n_ctx) + ", too short for " +
                                   std::to_string(o->n_ctx) + " tokens: positions are learned");
  }
  const Value table = Graph(builder, s).Build();

  info->n_layers = s.n_layers;
  info->n_embd = s.n_embd;
  info->n_heads = info->n_kv_heads = s.n_heads;
  info->n_ff = s.n_ff;
  info->n_vocab = static_cast<uint32_t>(builder.Dim(table, 1));
  info->n_ctx_train = s.n_ctx;
  info->is_encoder = 1;
  return MNW_OK;
}

}  // namespace

const mnw_arch kBert = {sizeof(mnw_arch), "bert", &sdk::Guard<&Build>::Call};

}  // namespace minnow::models
