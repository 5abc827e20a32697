// Mamba-2 (arXiv:2405.21060): every layer a gated state-space recurrence behind a short
// convolution, no attention.
//
// What a sequence has seen is one block of state per layer for the convolution and one for the
// scan, both in one recurrent group.
#include <minnow/sdk/arch.hpp>
#include <minnow/sdk/plugin.hpp>

#include "models.h"

namespace minnow::models {
namespace {

using sdk::Value;

struct Sizes {
  uint32_t n_layers, n_embd, n_inner, n_heads, n_groups, n_state, width;
  float eps;
  int64_t n_conv() const { return n_inner + 2 * int64_t{n_groups} * n_state; }  // x, B and C
};

class Graph {
 public:
  Graph(sdk::Builder& builder, const Sizes& sizes) : b_(builder), s_(sizes) {}

  Value Build() {
    const Value embedding = b_.Weight("token_embd.weight", {s_.n_embd, 0});
    Value head = b_.OptionalWeight("output.weight", {s_.n_embd, b_.Dim(embedding, 1)});
    if (head == MNW_NONE) head = embedding;
    group_ = b_.StateGroup(MNW_STATE_RECURRENT, 0);
    slots_ = b_.Input(MNW_INPUT_SLOTS, group_);
    Value x = b_.GetRows(embedding, b_.Input(MNW_INPUT_TOKENS));
    for (uint32_t l = 0; l < s_.n_layers; ++l) {
      b_.SetLayer(static_cast<int32_t>(l));
      prefix_ = "blk." + std::to_string(l) + ".";
      const Value y = b_.RmsNorm(x, Weight("attn_norm.weight", {s_.n_embd}), s_.eps);
      x = b_.Add(x, Mixer(l, y));
    }
    b_.SetLayer(-1);
    x = b_.GetRows(x, b_.Input(MNW_INPUT_OUT_ROWS));
    x = b_.RmsNorm(x, b_.Weight("output_norm.weight", {s_.n_embd}), s_.eps);
    b_.Output(b_.LmHead(x, head, 1, 0), "logits");
    return head;
  }

 private:
  Value Weight(const char* part, std::initializer_list<int64_t> dims) {
    return b_.Weight(prefix_ + part, dims);
  }

  Value Mixer(uint32_t l, Value x) {
    const int64_t inner = s_.n_inner, heads = s_.n_heads, groups = s_.n_groups, n = s_.n_state;
    const Value in = Weight("ssm_in.weight", {s_.n_embd, inner + s_.n_conv() + heads});
    const Value all = b_.Linear(x, in);  // gate, then x, B and C, then dt
    const Value gate = b_.Part(all, inner, 0);
    const Value dt = b_.Part(all, heads, inner + s_.n_conv());

    const uint32_t width = s_.width, channels = static_cast<uint32_t>(s_.n_conv());
    const Value w = Weight("ssm_conv1d.weight", {width, channels});
    const Value bias = Weight("ssm_conv1d.bias", {channels});
    const Value conv =
        b_.Silu(b_.ConvStep(b_.Part(all, channels, inner),
                            b_.State(2 * l, group_, 1, width - 1, channels), slots_, w, bias));
    const uint32_t dim = s_.n_inner / s_.n_heads;
    const Value steps = b_.Softplus(b_.Add(dt, Weight("ssm_dt.bias", {heads})));
    const Value a = b_.First(Weight("ssm_a", {1, heads}), heads);
    const Value d = b_.First(Weight("ssm_d", {1, heads}), heads);
    const Value y = b_.Scan(b_.Heads(conv, heads, dim), steps, a, b_.Heads(conv, groups, n, inner),
                            b_.Heads(conv, groups, n, inner + groups * n), d,
                            b_.State(2 * l + 1, group_, s_.n_heads, s_.n_state, dim), slots_);

    // Normalized group by group, after the gate.
    const Value gated = b_.Heads(b_.Mul(b_.Flat(y), b_.Silu(gate)), groups, inner / groups);
    const Value norm = Weight("ssm_norm.weight", {inner / groups, groups});
    const Value out = Weight("ssm_out.weight", {inner, s_.n_embd});
    return b_.Linear(b_.Flat(b_.Mul(b_.RmsNorm(gated, MNW_NONE, s_.eps), norm)), out);
  }

  sdk::Builder& b_;
  const Sizes& s_;
  uint32_t group_ = 0;
  Value slots_ = MNW_NONE;
  std::string prefix_;
};

int Build(const mnw_metadata* m, const mnw_build_options* o, const mnw_builder* b,
          mnw_model_info* info, mnw_error*) {
  sdk::Builder builder(*b, *o);
  sdk::Meta meta(*m, builder, "mamba2");
  Sizes s{};
  s.n_layers = meta.Count("block_count", 1, 1024);
  s.n_embd = meta.Count("embedding_length", 1, 1u << 20);
  s.n_inner = meta.Count("ssm.inner_size", 1, 1u << 20);
  s.n_heads = meta.Count("ssm.time_step_rank", 1, 1u << 12);
  s.n_groups = meta.Count("ssm.group_count", 1, 1u << 12, 1);
  s.n_state = meta.Count("ssm.state_size", 1, 1u << 14);
  s.width = meta.Count("ssm.conv_kernel", 2, 64);
  s.eps = meta.Float("attention.layer_norm_rms_epsilon");
  if (s.n_inner % s.n_heads != 0) meta.Bad("ssm.time_step_rank", "does not divide ssm.inner_size");
  if (s.n_heads % s.n_groups != 0)
    meta.Bad("ssm.group_count", "does not divide ssm.time_step_rank");
  const Value head = Graph(builder, s).Build();

  info->n_layers = s.n_layers;
  info->n_embd = s.n_embd;
  info->n_heads = s.n_heads;
  info->n_kv_heads = s.n_groups;
  info->n_ff = s.n_inner;
  info->n_vocab = static_cast<uint32_t>(builder.Dim(head, 1));
  info->n_ctx_train = meta.Count("context_length", 1, 1u << 30);
  return MNW_OK;
}

}  // namespace

const mnw_arch kMamba2 = {sizeof(mnw_arch), "mamba2", &sdk::Guard<&Build>::Call};

}  // namespace minnow::models
