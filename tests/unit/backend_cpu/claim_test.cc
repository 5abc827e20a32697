// Honesty of claims: what is claimed plans and runs, one node of every op there is; what is refused
// says why.
#include <CppUTest/TestHarness.h>

#include "graph/op_rules.h"
#include "harness.h"

using namespace minnow;
using namespace minnow::cpu::test;

namespace {

constexpr mnw_linear_params kNoSite = {MNW_NONE};

// Makes single nodes for a step of one token.
struct Node {
  Model m;
  Random random{1};

  mnw_id Rows(int64_t k = 64) { return m.Input({k, kTokens, 1, 1}); }
  mnw_id Heads() { return m.Input({32, 2, kTokens, 1}); }
  mnw_id Weight(const Dims& dims, mnw_type type = MNW_TYPE_F32) {
    return m.RandomWeight(type, dims, random);
  }
  mnw_id Vector() { return Weight({64, 1, 1, 1}); }
  mnw_id Matrix() { return Weight({64, 64, 1, 1}, MNW_TYPE_Q8_0); }
  mnw_id Experts() { return Weight({64, 64, 3, 1}, MNW_TYPE_F16); }
  mnw_id Ids() { return m.Input({kTokens, 1, 1, 1}, MNW_TYPE_I32); }

  void Emit(mnw_id id) { m.Output(id); }
  void Emit(const Outs& outs) { m.OutputAll(outs); }

  void Make(mnw_op op) {
    switch (op) {
      case MNW_OP_get_rows:
        return Emit(m.Emit(op, {Matrix(), Ids()}));
      case MNW_OP_linear:
        return Emit(m.Emit(op, {Rows(), Matrix(), Vector()}, kNoSite));
      case MNW_OP_linear_id: {
        const mnw_id x = m.Input({64, 1, kTokens, 1}),
                     ids = m.Input({2, kTokens, 1, 1}, MNW_TYPE_I32);
        return Emit(m.Emit(op, {x, Experts(), ids}));
      }
      case MNW_OP_add:
      case MNW_OP_sub:
      case MNW_OP_mul:
      case MNW_OP_div:
      case MNW_OP_concat:
        return Emit(m.Emit(op, {Rows(), Rows()}));
      case MNW_OP_scale:
        return Emit(m.Emit(op, {Rows()}, mnw_scale_params{2, 1}));
      case MNW_OP_softcap:
        return Emit(m.Emit(op, {Rows()}, mnw_softcap_params{2}));
      case MNW_OP_clamp:
        return Emit(m.Emit(op, {Rows()}, mnw_clamp_params{-1, 1}));
      case MNW_OP_rms_norm:
      case MNW_OP_layer_norm:
      case MNW_OP_l2_norm:
        return Emit(m.Emit(op, {Rows()}, mnw_norm_params{1e-5f, 0, 0}));
      case MNW_OP_rope: {
        const mnw_rope_params p = {MNW_ROPE_NORM, MNW_ROPE_PLAIN, 32, 10000, 1, 1, 0, 0, 0};
        return Emit(m.Emit(op, {Heads(), m.StepInput(MNW_INPUT_POSITIONS)}, p));
      }
      case MNW_OP_top_k:
        return Emit(m.Emit(op, {Rows()}, mnw_top_k_params{3}));
      case MNW_OP_seq_attention:
        return Emit(m.Emit(op, {Heads(), Heads(), Heads(), m.StepInput(MNW_INPUT_SEQ)},
                           mnw_attention_params{1, 0, 0, 0}));
      case MNW_OP_copy:
        return Emit(m.Emit(op, {Rows()}, mnw_copy_params{MNW_TYPE_BF16}));
      case MNW_OP_pool:
        return Emit(m.Emit(op, {Rows(), m.StepInput(MNW_INPUT_SEQ), m.StepInput(MNW_INPUT_SEQ_LEN)},
                           mnw_pool_params{}));
      case MNW_OP_add_norm:
        return Emit(m.Emit(op, {Rows(), Rows(), Vector()}, mnw_norm_params{1e-5f, 0, 0}));
      case MNW_OP_qkv:
        return Emit(m.Emit(op, {Rows(), Matrix(), Matrix(), Matrix()}, kNoSite));
      case MNW_OP_glu_ffn:
        return Emit(
            m.Emit(op, {Rows(), Matrix(), Matrix(), Matrix()}, mnw_glu_params{0, MNW_NONE}));
      case MNW_OP_moe_ffn: {
        const mnw_id router = Weight({64, 3, 1, 1});
        return Emit(m.Emit(op, {Rows(), router, Experts(), Experts(), Experts()},
                           mnw_moe_params{0, 2, 1, 1}));
      }
      case MNW_OP_lm_head:
        return Emit(
            m.Emit(op, {m.Input({64, kOut, 1, 1}), Matrix()}, mnw_lm_head_params{1, 0, MNW_NONE}));
      case MNW_OP_kv_write:
      case MNW_OP_attention:
        return Attention();
      case MNW_OP_conv_step: {
        const mnw_id state = m.State(0, m.Group(MNW_STATE_RECURRENT, 1), 1, 3, 64);
        const mnw_id w = Weight({4, 64, 1, 1}, MNW_TYPE_F16);
        return Emit(m.Emit(op, {Rows(), state, m.StepInput(MNW_INPUT_SLOTS), w}));
      }
      case MNW_OP_scan: {
        const mnw_id state = m.State(0, m.Group(MNW_STATE_RECURRENT, 1), 2, 8, 32);
        const mnw_id a = Weight({2, 1, 1, 1}), d = Weight({2, 1, 1, 1}),
                     b = m.Input({8, 1, kTokens, 1});
        return Emit(
            m.Emit(op, {Heads(), Rows(2), a, b, b, d, state, m.StepInput(MNW_INPUT_SLOTS)}));
      }
      default:  // one operand, no parameters
        return Emit(m.Emit(op, {Rows()}));
    }
  }

  void Attention() {
    const mnw_id state = m.State(0, m.Group(MNW_STATE_KV, 1), 2, 32, 32, MNW_TYPE_F16);
    const mnw_id written =
        m.Emit(MNW_OP_kv_write, {Heads(), Heads(), state, m.StepInput(MNW_INPUT_SLOTS)});
    Emit(m.Emit(MNW_OP_attention,
                {Heads(), written, m.StepInput(MNW_INPUT_POSITIONS), m.StepInput(MNW_INPUT_SEQ),
                 m.StepInput(MNW_INPUT_PARENT), m.StepInput(MNW_INPUT_SEQ_LEN),
                 m.StepInput(MNW_INPUT_PAGES, 0, 1)},
                mnw_attention_params{1, 0, 0, 0}));
  }
};

// The reason given for the last node of a finished model.
void CheckRefused(Model& m, const char* reason) {
  m.Finish();
  const Context c;
  STRCMP_CONTAINS(reason, Refusals(c, m).back().c_str());
}

}  // namespace

TEST_GROUP(Claims){};

TEST(Claims, EveryOpThereIsIsClaimedAndRuns) {
  for (const graph::OpRule& rule : graph::OpRules()) {
    Node node;
    node.Make(rule.op);
    const graph::Graph& g = node.m.Finish();
    Inputs inputs;
    const Symbols one = {1, 1, 1};
    for (const mnw_id id : g.inputs()) {
      const mnw_value& v = g.value(id);
      const int64_t n = sdk::Elements(v, one);
      inputs[id] =
          v.type == MNW_TYPE_F32 ? ToWords(node.random.Normals(n)) : Words(static_cast<size_t>(n));
      if (v.role == MNW_INPUT_PARENT) inputs[id] = ToWords(std::vector<int32_t>{-1});
    }
    for (const std::string& level : Levels()) {
      const Context c(level);
      std::optional<State> state;
      if (!g.state_groups().empty()) state.emplace(c, node.m);
      Program program(c, node.m, one, state ? &*state : nullptr);
      program.Run(one, inputs);
    }
  }
}

TEST(Claims, RefusesAdaptersItCannotFindTheRowsOf) {
  {
    Node n;
    const mnw_id slots =
        n.m.Emit(MNW_OP_copy, {n.m.StepInput(MNW_INPUT_ADAPTER)}, mnw_copy_params{MNW_TYPE_I32})[0];
    n.Emit(n.m.Emit(MNW_OP_linear, {n.Rows(), n.Matrix(), MNW_NONE, slots}, mnw_linear_params{0}));
    CheckRefused(n.m, "no input");
  }
  {
    Node n;
    const mnw_id x = n.m.Input({64, 3, 2, 1}), slots = n.m.Input({3, 1, 1, 1}, MNW_TYPE_I32);
    n.Emit(n.m.Emit(MNW_OP_linear, {x, n.Matrix(), MNW_NONE, slots}, mnw_linear_params{0}));
    CheckRefused(n.m, "more than one dim");
  }
}

TEST(Claims, RefusesWhatItWouldReadWrongly) {
  {
    Node n;
    const mnw_id w = n.Weight({64, 64, 1, 1}), half = n.m.Reshape(w, {64, 32, 1, 1});
    n.Emit(n.m.Emit(MNW_OP_linear, {n.Rows(), half}, kNoSite));
    CheckRefused(n.m, "view of a matrix");
  }
  {
    Node n;
    n.Emit(n.m.Emit(MNW_OP_linear, {n.m.Input({64, 3, 1, 1}), n.m.Input({64, 5, 1, 1})}, kNoSite));
    CheckRefused(n.m, "no weight");
  }
  {
    Node n;
    const mnw_id m = n.Matrix();
    n.Emit(n.m.Emit(MNW_OP_glu_ffn, {n.Rows(), m, m, n.m.Input({64, 5, 1, 1})},
                    mnw_glu_params{0, MNW_NONE}));
    CheckRefused(n.m, "no weight");
  }
  {
    Node n;
    const mnw_rope_params p = {MNW_ROPE_NORM, MNW_ROPE_PLAIN, 32, 10000, 1, 1, 0, 0, 0};
    n.Emit(n.m.Emit(MNW_OP_rope,
                    {n.Heads(), n.m.StepInput(MNW_INPUT_POSITIONS), n.m.Input({16, 1, 1, 1})}, p));
    CheckRefused(n.m, "rope factors");
  }
  {
    Node n;
    const mnw_id x = n.m.Input({64, 4, 1, 1}), turned = n.m.View(x, {4, 64, 1, 1}, {256, 4, 4, 4});
    n.Emit(n.m.Emit(MNW_OP_neg, {turned}));
    CheckRefused(n.m, "not adjacent");
  }
  {
    Node n;
    const mnw_id x = n.m.Input({64, 4, 3, 1}), gaps = n.m.View(x, {64, 2, 3, 1}, {4, 256, 1024, 4});
    n.Emit(n.m.Emit(MNW_OP_linear, {gaps, n.Matrix()}, kNoSite));
    CheckRefused(n.m, "uneven");
  }
  {
    Node n;
    n.Emit(n.m.Emit(MNW_OP_get_rows, {n.m.Input({4, 4, 1, 1}, MNW_TYPE_I32), n.Ids()}));
    CheckRefused(n.m, "integers");
  }
  {
    Node n;
    n.Emit(n.m.Emit(MNW_OP_copy, {n.Ids()}, mnw_copy_params{MNW_TYPE_F32}));
    CheckRefused(n.m, "integers and floats");
  }
  {
    Node n;
    n.Emit(n.m.Emit(MNW_OP_copy, {n.Rows()}, mnw_copy_params{MNW_TYPE_Q8_0}));
    CheckRefused(n.m, "f32");
  }
  {
    Node n;
    n.Emit(n.m.Emit(MNW_OP_copy, {n.Matrix()}, mnw_copy_params{MNW_TYPE_F32}));
    CheckRefused(n.m, "weight");
  }
  {
    Node n;
    const mnw_id half = n.m.Emit(MNW_OP_copy, {n.Rows()}, mnw_copy_params{MNW_TYPE_F16})[0];
    n.Emit(n.m.Emit(MNW_OP_copy, {half}, mnw_copy_params{MNW_TYPE_F32}));
    CheckRefused(n.m, "other than f32");
  }
  for (const mnw_attention_params& p :
       {mnw_attention_params{1, 2, 0, 0}, mnw_attention_params{1, 0, 8, 0},
        mnw_attention_params{1, 0, 0, 9}}) {
    Node n;
    n.Emit(n.m.Emit(MNW_OP_seq_attention,
                    {n.Heads(), n.Heads(), n.Heads(), n.m.StepInput(MNW_INPUT_SEQ)}, p));
    CheckRefused(n.m, "without a cache");
  }
}
