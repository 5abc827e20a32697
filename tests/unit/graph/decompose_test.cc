#include "graph/decompose.h"

#include <algorithm>

#include "graph/op_rules.h"
#include "graph/print.h"
#include "graph/tiny_llama.h"
#include "graph/verify.h"
#include "test_util.h"

namespace minnow::graph {
namespace {

constexpr int64_t kT = MNW_DIM(MNW_SYM_N_TOKENS), kO = MNW_DIM(MNW_SYM_N_OUT);

// One fused node, its first output the graph's; decomposed, printed without the input lines.
class OneNode {
 public:
  mnw_id Input(const Dims& dims, mnw_type type = MNW_TYPE_F32) {
    auto id = draft_.AddInput(MNW_INPUT_BOUNDARY, 0, type, dims, "");
    CHECK_OK(id.status());
    return *id;
  }
  mnw_id Weight(const char* name, const Dims& dims) {
    auto id = draft_.AddWeight(name, MNW_TYPE_F32, dims);
    CHECK_OK(id.status());
    return *id;
  }
  template <class P>
  std::string Decomposed(mnw_op op, std::initializer_list<mnw_id> in, const P& params) {
    auto outs = draft_.Emit(op, 3, {in.begin(), in.size()}, params);
    CHECK_OK(outs.status());
    CHECK_OK(draft_.MarkOutput((*outs)[0], "y"));
    const Graph fused = draft_.Finish();
    const std::vector<uint8_t> selected(1, 1);
    auto result = Decompose(fused, selected);
    CHECK_OK(result.status());
    const Graph& g = result->graph;
    CHECK_OK(Verify(g.view()));
    const mnw_value &before = fused.value(fused.Output("y")), &after = g.value(g.Output("y"));
    STRCMP_EQUAL(PrintShape(before).c_str(), PrintShape(after).c_str());
    std::string text;
    for (uint32_t i = 0; i < g.nodes().size(); ++i) {
      CHECK(FindOp(g.node(i).op)->op_class == MNW_CLASS_CORE);
      LONGS_EQUAL(3, g.node(i).layer);
      LONGS_EQUAL(0, result->origin[i]);
      text += PrintNode(*g.view(), i) + "\n";
    }
    return text;
  }

 private:
  Draft draft_;
};

TEST_GROUP(Decompose) { OneNode n; };

TEST(Decompose, AddNorm) {
  STRCMP_EQUAL(
      R"(%3 f32[n_tokens,64] = add(%0, %1) layer 3
%4 f32[n_tokens,64] = rms_norm(%3, w f32[64]) {eps 0.5} layer 3
)",
      n.Decomposed(MNW_OP_add_norm,
                   {n.Input({64, kT, 1, 1}), n.Input({64, kT, 1, 1}), n.Weight("w", {64, 1, 1, 1})},
                   mnw_norm_params{0.5f, 0, 0})
          .c_str());
}

TEST(Decompose, AddNormWithLayerNorm) {
  STRCMP_EQUAL(
      R"(%4 f32[n_tokens,64] = add(%0, %1) layer 3
%5 f32[n_tokens,64] = layer_norm(%4, w f32[64], b f32[64]) {eps 0.5, weight_offset 1} layer 3
)",
      n.Decomposed(MNW_OP_add_norm,
                   {n.Input({64, kT, 1, 1}), n.Input({64, kT, 1, 1}), n.Weight("w", {64, 1, 1, 1}),
                    n.Weight("b", {64, 1, 1, 1})},
                   mnw_norm_params{0.5f, 1, 1})
          .c_str());
}

TEST(Decompose, QkvHasASitePerProjection) {
  const mnw_id x = n.Input({64, kT, 1, 1}), wq = n.Weight("wq", {64, 64, 1, 1}),
               wk = n.Weight("wk", {64, 32, 1, 1}), wv = n.Weight("wv", {64, 16, 1, 1}),
               bk = n.Weight("bk", {32, 1, 1, 1}), adapter = n.Input({kT, 1, 1, 1}, MNW_TYPE_I32);
  STRCMP_EQUAL(
      R"(%6 f32[n_tokens,64] = linear(%0, wq f32[64,64], -, %5) {site 5} layer 3
%7 f32[n_tokens,32] = linear(%0, wk f32[32,64], bk f32[32], %5) {site 6} layer 3
%8 f32[n_tokens,16] = linear(%0, wv f32[16,64], -, %5) {site 7} layer 3
)",
      n.Decomposed(MNW_OP_qkv, {x, wq, wk, wv, MNW_NONE, bk, MNW_NONE, adapter},
                   mnw_linear_params{5})
          .c_str());
}

TEST(Decompose, GluFfn) {
  STRCMP_EQUAL(R"(%4 f32[n_tokens,96] = linear(%0, gate f32[96,64]) layer 3
%5 f32[n_tokens,96] = linear(%0, up f32[96,64]) layer 3
%6 f32[n_tokens,96] = gelu(%4) layer 3
%7 f32[n_tokens,96] = mul(%6, %5) layer 3
%8 f32[n_tokens,64] = linear(%7, down f32[64,96]) layer 3
)",
               n.Decomposed(MNW_OP_glu_ffn,
                            {n.Input({64, kT, 1, 1}), n.Weight("gate", {64, 96, 1, 1}),
                             n.Weight("up", {64, 96, 1, 1}), n.Weight("down", {96, 64, 1, 1})},
                            mnw_glu_params{MNW_ACT_GELU, MNW_NONE})
                   .c_str());
}

TEST(Decompose, GluFfnWithOneTensorForGateAndUp) {
  STRCMP_EQUAL(
      R"(%3 f32[n_tokens,192] = linear(%0, both f32[192,64]) layer 3
%6 f32[n_tokens,96] = silu(view(%3, [n_tokens,96] strides [768,4])) layer 3
%7 f32[n_tokens,96] = mul(%6, view(%3 +384, [n_tokens,96] strides [768,4])) layer 3
%8 f32[n_tokens,64] = linear(%7, down f32[64,96]) layer 3
)",
      n.Decomposed(MNW_OP_glu_ffn,
                   {n.Input({64, kT, 1, 1}), n.Weight("both", {64, 192, 1, 1}), MNW_NONE,
                    n.Weight("down", {96, 64, 1, 1})},
                   mnw_glu_params{MNW_ACT_SILU, MNW_NONE})
          .c_str());
}

TEST(Decompose, MoeFfn) {
  STRCMP_EQUAL(
      R"(%5 f32[n_tokens,8] = linear(%0, router f32[8,64]) layer 3
%6 f32[n_tokens,8] = softmax(%5) layer 3
%7 f32[n_tokens,2], %8 i32[n_tokens,2] = top_k(%6) {k 2} layer 3
%9 f32[n_tokens,1] = sum_row(%7) layer 3
%10 f32[n_tokens,2] = div(%7, %9) layer 3
%11 f32[n_tokens,2] = scale(%10) {2.5} layer 3
%13 f32[n_tokens,2,96] = linear_id(view(%0, [n_tokens,1,64]), gate f32[8,96,64], %8) layer 3
%14 f32[n_tokens,2,96] = linear_id(view(%0, [n_tokens,1,64]), up f32[8,96,64], %8) layer 3
%15 f32[n_tokens,2,96] = silu(%13) layer 3
%16 f32[n_tokens,2,96] = mul(%15, %14) layer 3
%17 f32[n_tokens,2,64] = linear_id(%16, down f32[8,64,96], %8) layer 3
%19 f32[n_tokens,2,64] = mul(%17, view(%11, [n_tokens,2,1])) layer 3
%21 f32[n_tokens,64,2] = copy(view(%19, [n_tokens,64,2] strides [512,4,256])) {to F32} layer 3
%22 f32[n_tokens,64,1] = sum_row(%21) layer 3
%24 f32[n_tokens,64] = copy(view(%22, [n_tokens,64])) {to F32} layer 3
)",
      n.Decomposed(MNW_OP_moe_ffn,
                   {n.Input({64, kT, 1, 1}), n.Weight("router", {64, 8, 1, 1}),
                    n.Weight("gate", {64, 96, 8, 1}), n.Weight("up", {64, 96, 8, 1}),
                    n.Weight("down", {96, 64, 8, 1})},
                   mnw_moe_params{MNW_ACT_SILU, 2, 1, 2.5f})
          .c_str());
}

TEST(Decompose, LmHead) {
  STRCMP_EQUAL(
      R"(%2 f32[n_out,100] = linear(%0, w f32[100,64]) layer 3
%3 f32[n_out,100] = scale(%2) {0.5} layer 3
%4 f32[n_out,100] = softcap(%3) {30} layer 3
)",
      n.Decomposed(MNW_OP_lm_head, {n.Input({64, kO, 1, 1}), n.Weight("w", {64, 100, 1, 1})},
                   mnw_lm_head_params{0.5f, 30, MNW_NONE})
          .c_str());
}

TEST(Decompose, EveryMatrixKeepsItsSite) {
  const mnw_id slots = n.Input({kO, 1, 1, 1}, MNW_TYPE_I32), x = n.Input({64, kO, 1, 1});
  STRCMP_EQUAL("%3 f32[n_out,100] = linear(%0, w f32[100,64], -, %2) {site 7} layer 3\n",
               n.Decomposed(MNW_OP_lm_head, {x, n.Weight("w", {64, 100, 1, 1}), slots},
                            mnw_lm_head_params{1, 0, 7})
                   .c_str());
}

TEST(Decompose, AWholeModelKeepsItsMeaning) {
  const Graph fused = test::TinyLlama(1);
  const std::vector<uint8_t> all(fused.nodes().size(), 1);
  auto result = Decompose(fused, all);
  CHECK_OK(result.status());
  const Graph& g = result->graph;
  CHECK_OK(Verify(g.view()));
  for (const mnw_node& node : g.nodes()) CHECK(FindOp(node.op)->op_class != MNW_CLASS_FUSED);
  LONGS_EQUAL(g.nodes().size(), result->origin.size());
  CHECK(std::is_sorted(result->origin.begin(), result->origin.end()));
  LONGS_EQUAL(fused.weights().size(), g.weights().size());
  LONGS_EQUAL(fused.inputs().size(), g.inputs().size());
  LONGS_EQUAL(fused.state_layers().size(), g.state_layers().size());
  LONGS_EQUAL(100, g.info().n_vocab);
  CHECK(g.Output("logits") != MNW_NONE);
}

TEST(Decompose, LeavesWhatIsNotSelected) {
  const Graph fused = test::TinyLlama();
  std::vector<uint8_t> selected(fused.nodes().size(), 0);
  auto none = Decompose(fused, selected);
  CHECK_OK(none.status());
  LONGS_EQUAL(fused.nodes().size(), none->graph.nodes().size());
  selected[2] = 1;  // qkv of layer 0
  selected[0] = 1;  // get_rows is a core op and stays
  auto one = Decompose(fused, selected);
  CHECK_OK(one.status());
  CHECK_OK(Verify(one->graph.view()));
  LONGS_EQUAL(fused.nodes().size() + 2, one->graph.nodes().size());
}

}  // namespace
}  // namespace minnow::graph
