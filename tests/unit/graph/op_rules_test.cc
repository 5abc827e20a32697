#include "graph/op_rules.h"

#include "graph/draft.h"
#include "test_util.h"

namespace minnow::graph {
namespace {

constexpr int64_t kT = MNW_DIM(MNW_SYM_N_TOKENS), kS = MNW_DIM(MNW_SYM_N_SEQS),
                  kO = MNW_DIM(MNW_SYM_N_OUT);

// A draft with a value of any shape on demand.
class Bench {
 public:
  mnw_id Value(const Dims& dims, mnw_type type = MNW_TYPE_F32) {
    auto id = draft_.AddInput(MNW_INPUT_BOUNDARY, 0, type, dims, "");
    CHECK_OK(id.status());
    return *id;
  }
  mnw_id Ids(const Dims& dims) { return Value(dims, MNW_TYPE_I32); }
  mnw_id State(uint32_t n_kv_heads, uint32_t k_dim, uint32_t v_dim,
               mnw_state_kind kind = MNW_STATE_KV) {
    const uint32_t group = draft_.AddStateGroup(kind, 0, 32);
    auto id = draft_.AddState(n_states_++, group, n_kv_heads, k_dim, v_dim);
    CHECK_OK(id.status());
    return *id;
  }

  template <class P>
  Status Emit(mnw_op op, std::initializer_list<mnw_id> in, const P& params) {
    return Take(draft_.Emit(op, -1, {in.begin(), in.size()}, params));
  }
  Status Emit(mnw_op op, std::initializer_list<mnw_id> in) {
    return Take(draft_.Emit(op, -1, {in.begin(), in.size()}, nullptr, 0));
  }

  // Output i of the last node.
  std::string Out(int i = 0) const {
    const mnw_value& v = draft_.value(out_[i]);
    std::string text;
    for (int64_t dim : v.dim) text += fmt::format("{} ", dim);
    return text + (v.type == MNW_TYPE_F32    ? "f32"
                   : v.type == MNW_TYPE_I32  ? "i32"
                   : v.type == MNW_TYPE_NONE ? "state"
                                             : "other");
  }

  Draft& draft() { return draft_; }

 private:
  Status Take(Result<Outs> outs) {
    if (!outs.ok()) return outs.status();
    out_ = *outs;
    return {};
  }

  Draft draft_;
  Outs out_{};
  uint32_t n_states_ = 0;
};

#define CHECK_OUT(expected, i) STRCMP_EQUAL(expected, b.Out(i).c_str())

TEST_GROUP(OpRules) { Bench b; };

TEST(OpRules, EveryOpHasARuleAndOnlyFusedOnesAreExpanded) {
  for (const OpRule& rule : OpRules()) {
    CHECK(rule.shape != nullptr);
    CHECK_EQUAL(rule.op_class == MNW_CLASS_FUSED, rule.expand != nullptr);
    CHECK(FindOp(rule.op) == &rule);
  }
  CHECK(FindOp(MNW_OP_NONE) == nullptr);
  CHECK(FindOp(100000) == nullptr);
}

TEST(OpRules, GetRowsTakesARowPerId) {
  CHECK_OK(
      b.Emit(MNW_OP_get_rows, {b.Value({64, 100, 1, 1}, MNW_TYPE_Q8_0), b.Ids({kT, 1, 1, 1})}));
  CHECK_OUT("64 -1 1 1 f32", 0);
  CHECK_ERROR(Code::kInvalid, "input ids is f32[n_tokens], must be i32",
              b.Emit(MNW_OP_get_rows, {b.Value({64, 100, 1, 1}), b.Value({kT, 1, 1, 1})}));
}

TEST(OpRules, LinearChecksEveryInput) {
  const mnw_linear_params p{MNW_NONE};
  const mnw_id x = b.Value({64, kT, 1, 1}), w = b.Value({64, 96, 1, 1}, MNW_TYPE_Q4_0);
  CHECK_OK(b.Emit(MNW_OP_linear, {x, w}, p));
  CHECK_OUT("96 -1 1 1 f32", 0);
  CHECK_OK(b.Emit(MNW_OP_linear, {x, w, b.Value({96, 1, 1, 1}), b.Ids({kT, 1, 1, 1})}, p));
  CHECK_ERROR(Code::kInvalid, "input w is q4_0[96,32], must be [N,K] with K = 64",
              b.Emit(MNW_OP_linear, {x, b.Value({32, 96, 1, 1}, MNW_TYPE_Q4_0)}, p));
  CHECK_ERROR(Code::kInvalid, "input bias is f32[64], must be [N] with N = 96",
              b.Emit(MNW_OP_linear, {x, w, b.Value({64, 1, 1, 1})}, p));
  CHECK_ERROR(Code::kInvalid, "input adapter is i32[n_out], must be [T] with T = n_tokens",
              b.Emit(MNW_OP_linear, {x, w, MNW_NONE, b.Ids({kO, 1, 1, 1})}, p));
  CHECK_ERROR(Code::kInvalid, "input w is absent", b.Emit(MNW_OP_linear, {x, MNW_NONE}, p));
  CHECK_ERROR(Code::kInvalid, "it has 1 inputs, needs 2 to 4", b.Emit(MNW_OP_linear, {x}, p));
  CHECK_ERROR(Code::kInvalid, "its parameters have 0 bytes, need 4", b.Emit(MNW_OP_linear, {x, w}));
}

TEST(OpRules, LinearIdTakesOneRowOrOnePerExpert) {
  const mnw_id w = b.Value({64, 96, 8, 1}), ids = b.Ids({2, kT, 1, 1});
  CHECK_OK(b.Emit(MNW_OP_linear_id, {b.Value({64, 1, kT, 1}), w, ids}));
  CHECK_OUT("96 2 -1 1 f32", 0);
  CHECK_OK(b.Emit(MNW_OP_linear_id, {b.Value({64, 2, kT, 1}), w, ids}));
  CHECK_ERROR(Code::kInvalid, "x has 3 rows per token, ids 2",
              b.Emit(MNW_OP_linear_id, {b.Value({64, 3, kT, 1}), w, ids}));
}

TEST(OpRules, BinaryRepeatsDimsOfOne) {
  const mnw_id a = b.Value({64, 4, kT, 1});
  CHECK_OK(b.Emit(MNW_OP_add, {a, a}));
  CHECK_OK(b.Emit(MNW_OP_mul, {a, b.Value({64, 1, 1, 1})}));
  CHECK_OK(b.Emit(MNW_OP_div, {a, b.Value({1, 4, kT, 1})}));
  CHECK_OUT("64 4 -1 1 f32", 0);
  CHECK_ERROR(Code::kInvalid, "input b is f32[32], does not fit a, which is f32[n_tokens,4,64]",
              b.Emit(MNW_OP_sub, {a, b.Value({32, 1, 1, 1})}));
  CHECK_ERROR(Code::kInvalid, "input b is f32[n_tokens,4,64]",
              b.Emit(MNW_OP_add, {b.Value({64, 1, 1, 1}), a}));
}

TEST(OpRules, ElementwiseOpsKeepTheShape) {
  const mnw_id x = b.Value({7, 5, 3, kT});
  for (mnw_op op :
       {MNW_OP_silu, MNW_OP_gelu, MNW_OP_gelu_erf, MNW_OP_relu, MNW_OP_sigmoid, MNW_OP_tanh,
        MNW_OP_exp, MNW_OP_softplus, MNW_OP_neg, MNW_OP_sqr, MNW_OP_sqrt, MNW_OP_softmax}) {
    CHECK_OK(b.Emit(op, {x}));
    CHECK_OUT("7 5 3 -1 f32", 0);
  }
  CHECK_OK(b.Emit(MNW_OP_scale, {x}, mnw_scale_params{2, 0}));
  CHECK_OK(b.Emit(MNW_OP_clamp, {x}, mnw_clamp_params{-1, 1}));
  CHECK_ERROR(Code::kInvalid, "1 to -1 is no range",
              b.Emit(MNW_OP_clamp, {x}, mnw_clamp_params{1, -1}));
  CHECK_ERROR(Code::kInvalid, "cap is 0", b.Emit(MNW_OP_softcap, {x}, mnw_softcap_params{0}));
  CHECK_ERROR(Code::kInvalid, "input x is i32[n_tokens], must be f32",
              b.Emit(MNW_OP_silu, {b.Ids({kT, 1, 1, 1})}));
}

TEST(OpRules, NormsTakeWeightsOfARow) {
  const mnw_norm_params p{1e-5f, 0, 0};
  const mnw_id x = b.Value({64, 4, kT, 1}), w = b.Value({64, 1, 1, 1});
  CHECK_OK(b.Emit(MNW_OP_rms_norm, {x}, p));
  CHECK_OK(b.Emit(MNW_OP_rms_norm, {x, w}, p));
  CHECK_OK(b.Emit(MNW_OP_layer_norm, {x, w, w}, p));
  CHECK_OK(b.Emit(MNW_OP_l2_norm, {x}, p));
  CHECK_OUT("64 4 -1 1 f32", 0);
  CHECK_ERROR(Code::kInvalid, "input w is f32[4], must be [K] with K = 64",
              b.Emit(MNW_OP_rms_norm, {x, b.Value({4, 1, 1, 1})}, p));
}

TEST(OpRules, AddNormGivesSumAndNorm) {
  const mnw_id x = b.Value({64, kT, 1, 1}), w = b.Value({64, 1, 1, 1});
  CHECK_OK(b.Emit(MNW_OP_add_norm, {x, x, w}, mnw_norm_params{1e-5f, 0, 0}));
  CHECK_OUT("64 -1 1 1 f32", 0);
  CHECK_OUT("64 -1 1 1 f32", 1);
  CHECK_OK(b.Emit(MNW_OP_add_norm, {x, x, w, w}, mnw_norm_params{1e-5f, 0, 1}));
  CHECK_ERROR(Code::kInvalid, "an rms_norm has no bias",
              b.Emit(MNW_OP_add_norm, {x, x, w, w}, mnw_norm_params{1e-5f, 0, 0}));
}

TEST(OpRules, RopeKnowsItsFactors) {
  mnw_rope_params p{};
  p.n_dims = 32;
  p.base = 10000;
  p.freq_scale = p.attn_factor = 1;
  const mnw_id x = b.Value({64, 4, kT, 1}), pos = b.Ids({kT, 1, 1, 1});
  CHECK_OK(b.Emit(MNW_OP_rope, {x, pos}, p));
  CHECK_OK(b.Emit(MNW_OP_rope, {x, pos, b.Value({16, 1, 1, 1})}, p));
  CHECK_OUT("64 4 -1 1 f32", 0);
  CHECK_ERROR(Code::kInvalid, "input factors is f32[32], must be [n_dims/2] with n_dims/2 = 16",
              b.Emit(MNW_OP_rope, {x, pos, b.Value({32, 1, 1, 1})}, p));
  p.n_dims = 128;
  CHECK_ERROR(Code::kInvalid, "it rotates 128 dims of heads of 64",
              b.Emit(MNW_OP_rope, {x, pos}, p));
  p.n_dims = 31;
  CHECK_ERROR(Code::kInvalid, "it rotates 31 dims", b.Emit(MNW_OP_rope, {x, pos}, p));
  p.n_dims = 64;
  p.scaling = MNW_ROPE_YARN;
  CHECK_ERROR(Code::kInvalid, "original context", b.Emit(MNW_OP_rope, {x, pos}, p));
}

TEST(OpRules, ReductionsAlongARow) {
  const mnw_id x = b.Value({64, kT, 1, 1});
  CHECK_OK(b.Emit(MNW_OP_sum_row, {x}));
  CHECK_OUT("1 -1 1 1 f32", 0);
  CHECK_OK(b.Emit(MNW_OP_max_row, {x}));
  CHECK_OK(b.Emit(MNW_OP_top_k, {x}, mnw_top_k_params{3}));
  CHECK_OUT("3 -1 1 1 f32", 0);
  CHECK_OUT("3 -1 1 1 i32", 1);
  CHECK_ERROR(Code::kInvalid, "k is 65, rows have 64 elements",
              b.Emit(MNW_OP_top_k, {x}, mnw_top_k_params{65}));
  CHECK_OK(b.Emit(MNW_OP_pool, {x, b.Ids({kT, 1, 1, 1}), b.Ids({kS, 1, 1, 1})},
                  mnw_pool_params{MNW_POOL_MEAN, 1}));
  CHECK_OUT("64 -2 1 1 f32", 0);
}

TEST(OpRules, CopyAndConcat) {
  const mnw_id x = b.Value({64, kT, 1, 1});
  CHECK_OK(b.Emit(MNW_OP_copy, {x}, mnw_copy_params{MNW_TYPE_F16}));
  CHECK_OUT("64 -1 1 1 other", 0);
  CHECK_ERROR(Code::kInvalid, "output 0: 77 is no tensor type",
              b.Emit(MNW_OP_copy, {x}, mnw_copy_params{77}));
  CHECK_OK(b.Emit(MNW_OP_concat, {x, b.Value({8, kT, 1, 1})}));
  CHECK_OUT("72 -1 1 1 f32", 0);
  CHECK_ERROR(Code::kInvalid, "input b is f32[5,8]",
              b.Emit(MNW_OP_concat, {x, b.Value({8, 5, 1, 1})}));
}

TEST(OpRules, QkvHasThreeOutputs) {
  const mnw_id x = b.Value({64, kT, 1, 1}), wq = b.Value({64, 64, 1, 1}),
               wk = b.Value({64, 32, 1, 1});
  CHECK_OK(b.Emit(MNW_OP_qkv, {x, wq, wk, wk}, mnw_linear_params{0}));
  CHECK_OUT("64 -1 1 1 f32", 0);
  CHECK_OUT("32 -1 1 1 f32", 2);
  CHECK_ERROR(
      Code::kInvalid, "input bk is f32[64], must be [Nk] with Nk = 32",
      b.Emit(MNW_OP_qkv, {x, wq, wk, wk, MNW_NONE, b.Value({64, 1, 1, 1})}, mnw_linear_params{0}));
}

TEST(OpRules, GluFfnTakesGateAndUpApartOrTogether) {
  const mnw_glu_params p{MNW_ACT_SILU, MNW_NONE};
  const mnw_id x = b.Value({64, kT, 1, 1}), w = b.Value({64, 96, 1, 1}),
               down = b.Value({96, 64, 1, 1});
  CHECK_OK(b.Emit(MNW_OP_glu_ffn, {x, w, w, down}, p));
  CHECK_OK(b.Emit(MNW_OP_glu_ffn, {x, b.Value({64, 192, 1, 1}), MNW_NONE, down}, p));
  CHECK_OUT("64 -1 1 1 f32", 0);
  CHECK_ERROR(Code::kInvalid, "input down is f32[64,96], must be [N,F] with F = 48",
              b.Emit(MNW_OP_glu_ffn, {x, w, MNW_NONE, down}, p));
  CHECK_ERROR(Code::kInvalid, "input down is absent", b.Emit(MNW_OP_glu_ffn, {x, w, w}, p));
  CHECK_ERROR(Code::kInvalid, "unknown activation",
              b.Emit(MNW_OP_glu_ffn, {x, w, w, down}, mnw_glu_params{9, 0}));
}

TEST(OpRules, MoeFfnUsesSomeOfItsExperts) {
  const mnw_id x = b.Value({64, kT, 1, 1}), router = b.Value({64, 8, 1, 1}),
               w = b.Value({64, 96, 8, 1}), down = b.Value({96, 64, 8, 1});
  CHECK_OK(b.Emit(MNW_OP_moe_ffn, {x, router, w, w, down}, mnw_moe_params{0, 2, 1, 1}));
  CHECK_OUT("64 -1 1 1 f32", 0);
  CHECK_ERROR(Code::kInvalid, "9 of 8 experts are used",
              b.Emit(MNW_OP_moe_ffn, {x, router, w, w, down}, mnw_moe_params{0, 9, 1, 1}));
  CHECK_ERROR(Code::kInvalid, "input gate is f32[4,96,64], must be [X,F,K] with X = 8",
              b.Emit(MNW_OP_moe_ffn, {x, router, b.Value({64, 96, 4, 1}), w, down},
                     mnw_moe_params{0, 2, 1, 1}));
}

TEST(OpRules, LmHeadGivesLogits) {
  CHECK_OK(b.Emit(MNW_OP_lm_head, {b.Value({64, kO, 1, 1}), b.Value({64, 100, 1, 1})},
                  mnw_lm_head_params{1, 0, MNW_NONE}));
  CHECK_OUT("100 -3 1 1 f32", 0);
}

TEST(OpRules, KvWriteGivesTheStateAfterIt) {
  const mnw_id k = b.Value({16, 2, kT, 1}), v = b.Value({24, 2, kT, 1}),
               slots = b.Ids({kT, 1, 1, 1});
  CHECK_OK(b.Emit(MNW_OP_kv_write, {k, v, b.State(2, 16, 24), slots}));
  CHECK_OUT("16 24 2 1 state", 0);
  CHECK_ERROR(Code::kInvalid, "input state is state[4,24,16], must be [Hkv,Dv,Dk] with Hkv = 2",
              b.Emit(MNW_OP_kv_write, {k, v, b.State(4, 16, 24), slots}));
  CHECK_ERROR(Code::kInvalid, "input state is no state", b.Emit(MNW_OP_kv_write, {k, v, k, slots}));
}

TEST(OpRules, AttentionSharesKeyHeads) {
  const mnw_attention_params p{0.25f, 0, 0, 0};
  const mnw_id t = b.Ids({kT, 1, 1, 1}), s = b.Ids({kS, 1, 1, 1}), pages = b.Ids({4, kS, 1, 1});
  const mnw_id q = b.Value({16, 6, kT, 1});
  CHECK_OK(b.Emit(MNW_OP_attention, {q, b.State(2, 16, 24), t, t, t, s, pages}, p));
  CHECK_OUT("24 6 -1 1 f32", 0);
  CHECK_OK(b.Emit(MNW_OP_attention,
                  {q, b.State(3, 16, 24), t, t, t, s, pages, b.Value({6, 1, 1, 1})}, p));
  CHECK_ERROR(Code::kInvalid, "6 query heads share 4 key heads",
              b.Emit(MNW_OP_attention, {q, b.State(4, 16, 24), t, t, t, s, pages}, p));
  CHECK_ERROR(
      Code::kInvalid, "input pages is i32[n_tokens,4], must be [S,P] with S = n_seqs",
      b.Emit(MNW_OP_attention, {q, b.State(2, 16, 24), t, t, t, s, b.Ids({4, kT, 1, 1})}, p));
  CHECK_OK(
      b.Emit(MNW_OP_seq_attention, {q, b.Value({16, 2, kT, 1}), b.Value({8, 2, kT, 1}), t}, p));
  CHECK_OUT("8 6 -1 1 f32", 0);
}

TEST(OpRules, RecurrentOpsFitTheirState) {
  const mnw_id slots = b.Ids({kT, 1, 1, 1}), x = b.Value({48, kT, 1, 1}),
               w = b.Value({4, 48, 1, 1});
  CHECK_OK(b.Emit(MNW_OP_conv_step, {x, b.State(1, 3, 48, MNW_STATE_RECURRENT), slots, w}));
  CHECK_OUT("48 -1 1 1 f32", 0);
  CHECK_ERROR(Code::kInvalid, "input state is state[48,4], must be [1,C,W-1] with W-1 = 3",
              b.Emit(MNW_OP_conv_step, {x, b.State(1, 4, 48, MNW_STATE_RECURRENT), slots, w}));
  const mnw_id x3 = b.Value({8, 6, kT, 1}), dt = b.Value({6, kT, 1, 1}), h = b.Value({6, 1, 1, 1}),
               bc = b.Value({16, 2, kT, 1});
  CHECK_OK(
      b.Emit(MNW_OP_scan, {x3, dt, h, bc, bc, h, b.State(6, 16, 8, MNW_STATE_RECURRENT), slots}));
  CHECK_OUT("8 6 -1 1 f32", 0);
}

TEST(OpRules, UnknownOpsAndIdsAreRefused) {
  CHECK_ERROR(Code::kInvalid, "7777 is no op", b.Emit(static_cast<mnw_op>(7777), {}));
  CHECK_ERROR(Code::kInvalid, "there is no value %99", b.Emit(MNW_OP_silu, {99}));
}

TEST(OpRules, ARefusedNodeLeavesTheDraftAsItWas) {
  const mnw_id x = b.Value({64, kT, 1, 1});
  const uint32_t n = b.draft().n_values();
  CHECK_FALSE(b.Emit(MNW_OP_copy, {x}, mnw_copy_params{77}).ok());
  CHECK_FALSE(b.Emit(MNW_OP_add, {x, MNW_NONE}).ok());
  LONGS_EQUAL(n, b.draft().n_values());
  LONGS_EQUAL(0, b.draft().n_nodes());
}

}  // namespace
}  // namespace minnow::graph
