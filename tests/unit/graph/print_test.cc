#include "graph/print.h"

#include "graph/tiny_llama.h"
#include "test_util.h"

namespace minnow::graph {
namespace {

TEST_GROUP(Print){};

TEST(Print, ShowsATinyLlama) {
  const Graph g = test::TinyLlama();
  STRCMP_EQUAL(R"(input tokens i32[n_tokens]
input positions i32[n_tokens]
input slots.0 i32[n_tokens]
input seq i32[n_tokens]
input parent i32[n_tokens]
input seq_len i32[n_seqs]
input pages.0 i32[n_seqs,4]
input out_rows i32[n_out]
%2 f32[n_tokens,64] = get_rows(token_embd.weight f16[100,64], tokens)
%4 f32[n_tokens,64] = rms_norm(%2, blk.0.attn_norm.weight f32[64]) {eps 1e-05} layer 0
%8 f32[n_tokens,64], %9 f32[n_tokens,32], %10 f32[n_tokens,32] = qkv(%4, blk.0.attn_q.weight q8_0[64,64], blk.0.attn_k.weight q8_0[32,64], blk.0.attn_v.weight q8_0[32,64]) layer 0
%15 f32[n_tokens,4,16] = rope(view(%8, [n_tokens,4,16]), positions) {norm, dims 16, base 10000} layer 0
%16 f32[n_tokens,2,16] = rope(view(%9, [n_tokens,2,16]), positions) {norm, dims 16, base 10000} layer 0
%19 state.0 = kv_write(%16, view(%10, [n_tokens,2,16]), %17 state.0, slots.0) layer 0
%24 f32[n_tokens,4,16] = attention(%15, %19 state.0, positions, seq, parent, seq_len, pages.0) {scale 0.25} layer 0
%27 f32[n_tokens,64] = linear(view(%24, [n_tokens,64]), blk.0.attn_output.weight q8_0[64,64]) layer 0
%29 f32[n_tokens,64], %30 f32[n_tokens,64] = add_norm(%2, %27, blk.0.ffn_norm.weight f32[64]) {eps 1e-05} layer 0
%34 f32[n_tokens,64] = glu_ffn(%30, blk.0.ffn_gate.weight q4_0[96,64], blk.0.ffn_up.weight q4_0[96,64], blk.0.ffn_down.weight q4_0[64,96]) {silu} layer 0
%36 f32[n_tokens,64], %37 f32[n_tokens,64] = add_norm(%29, %34, blk.1.attn_norm.weight f32[64]) {eps 1e-05} layer 1
%41 f32[n_tokens,64], %42 f32[n_tokens,32], %43 f32[n_tokens,32] = qkv(%37, blk.1.attn_q.weight q8_0[64,64], blk.1.attn_k.weight q8_0[32,64], blk.1.attn_v.weight q8_0[32,64]) layer 1
%47 f32[n_tokens,4,16] = rope(view(%41, [n_tokens,4,16]), positions) {norm, dims 16, base 10000} layer 1
%48 f32[n_tokens,2,16] = rope(view(%42, [n_tokens,2,16]), positions) {norm, dims 16, base 10000} layer 1
%50 state.1 = kv_write(%48, view(%43, [n_tokens,2,16]), %49 state.1, slots.0) layer 1
%51 f32[n_tokens,4,16] = attention(%47, %50 state.1, positions, seq, parent, seq_len, pages.0) {scale 0.25} layer 1
%54 f32[n_tokens,64] = linear(view(%51, [n_tokens,64]), blk.1.attn_output.weight q8_0[64,64]) layer 1
%56 f32[n_out,64] = get_rows(%36, out_rows) layer 1
%57 f32[n_out,64] = get_rows(%54, out_rows) layer 1
%59 f32[n_out,64], %60 f32[n_out,64] = add_norm(%56, %57, blk.1.ffn_norm.weight f32[64]) {eps 1e-05} layer 1
%64 f32[n_out,64] = glu_ffn(%60, blk.1.ffn_gate.weight q4_0[96,64], blk.1.ffn_up.weight q4_0[96,64], blk.1.ffn_down.weight q4_0[64,96]) {silu} layer 1
%66 f32[n_out,64], %67 f32[n_out,64] = add_norm(%59, %64, output_norm.weight f32[64]) {eps 1e-05}
%68 f32[n_out,100] = lm_head(%67, token_embd.weight f16[100,64])
output logits %68 f32[n_out,100]
)",
               Print(*g.view()).c_str());
}

}  // namespace
}  // namespace minnow::graph
