/* SPDX-License-Identifier: MIT
 * What each op computes, and its parameters.
 *
 * Shapes are written outermost first: x[T,K] has T rows of K contiguous elements, so dim[0] = K and
 * dim[1] = T in mnw_value. T stands for n_tokens, S for n_seqs, O for n_out. All activations are f32;
 * weights are of any type; ids, positions and slots are i32. Inputs in [] may be MNW_NONE.
 * The order of every sum is fixed by the CPU backend's numeric recipe; other backends declare a
 * repeatability level and are compared with a bound per op.
 *
 * A parameter struct grows by appending; mnw_node.params_size tells how much of it is there. */
#ifndef MINNOW_ABI_OPS_H_
#define MINNOW_ABI_OPS_H_

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mnw_op {
#define MNW_OP(name, id, cls, min_in, max_in, n_out, params) MNW_OP_##name = id,
#include "ops.def"
#undef MNW_OP
  MNW_OP_NONE = 0
} mnw_op;

typedef enum mnw_op_class { MNW_CLASS_CORE = 0, MNW_CLASS_FUSED = 1, MNW_CLASS_STATE = 2 } mnw_op_class;

typedef struct mnw_no_params {
  uint32_t reserved;
} mnw_no_params;

/* get_rows(table[R,K], ids[n]) -> f32 [n,K]: row ids[i] of a table of any type. The table may be an
 *   activation [T,K] too: that is how the rows whose logits are wanted are picked. */

/* linear(x[..,T,K], w[N,K], [bias[N]], [adapter[T]]) -> [..,T,N]: y[t,n] = sum_k x[t,k] w[n,k] + bias[n].
 *   With `adapter`, the matrix has a site of the adapter pool: adapter[t] is the slot of row t, or -1. The
 *   delta scale * B (A x) that the slot holds for the site is added before the bias. A row without a slot,
 *   or whose slot holds nothing for the site, has the bits of the linear without adapter.
 * qkv(x[T,K], wq, wk, wv, [bq], [bk], [bv], [adapter]) -> q[T,Nq], k[T,Nk], v[T,Nv]: three linears with
 *   one input; their sites are site, site + 1, site + 2. */
typedef struct mnw_linear_params {
  uint32_t adapter_site; /* read only if `adapter` is there; each matrix of a graph has its own */
} mnw_linear_params;

/* linear_id(x[T,E,K] or x[T,1,K], w[X,N,K], ids[T,E]) -> [T,E,N]: the matrix ids[t,e] applied to row
 *   (t,e), or to row (t,0) when x has a single one. */

/* add sub mul div(a, b) -> shape of a. b has a's shape, or each of its dims is 1 (broadcast).
 * scale(x): x * scale + bias.   softcap(x): cap * tanh(x / cap).   clamp(x): min(max(x, lo), hi).
 * silu: x * sigmoid(x).  gelu: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
 * gelu_erf: x/2 (1 + erf(x/sqrt 2)).  softplus: log(1 + exp(x)). The others are what their names say. */
typedef struct mnw_scale_params {
  float scale, bias;
} mnw_scale_params;
typedef struct mnw_softcap_params {
  float cap;
} mnw_softcap_params;
typedef struct mnw_clamp_params {
  float lo, hi;
} mnw_clamp_params;

/* rms_norm(x[..,K], [w[K]]): x / sqrt(mean(x^2) + eps) * (w + weight_offset).
 * layer_norm(x[..,K], [w[K]], [b[K]]): (x - mean) / sqrt(var + eps) * (w + weight_offset) + b.
 * l2_norm(x[..,K]): x / max(|x|, eps).
 * add_norm(x[T,K], r[T,K], w[K], [b[K]]) -> sum = x + r, norm(sum). `layer` != 0: layer_norm, else rms. */
typedef struct mnw_norm_params {
  float eps;
  float weight_offset; /* 1 where the file stores w - 1 */
  uint32_t layer;
} mnw_norm_params;

/* softmax(x[..,K]): along K, maximum subtracted.  sum_row, max_row(x[..,K]) -> [..,1].
 * top_k(x[T,K]) -> values f32 [T,k] descending, ids i32 [T,k]; equal values in order of id. */
typedef struct mnw_top_k_params {
  uint32_t k;
} mnw_top_k_params;

/* rope(x[T,H,D], positions[T], [factors[n_dims/2]]) -> [T,H,D]: rotates the first n_dims of each head by
 *   angles position * theta_i, theta_i = base^(-2i/n_dims) / factors[i], interpolated as `scaling` says;
 *   the rest passes through. NORM pairs (2i, 2i+1), NEOX pairs (i, i + n_dims/2).
 *   LINEAR: theta_i * freq_scale.  YARN (arXiv:2309.00071): ramps between theta_i * freq_scale and
 *   theta_i over [beta_fast, beta_slow], and multiplies the result by attn_factor, which already holds
 *   the paper's magnitude term.  LongRoPE (arXiv:2402.13753) and Llama-3 scaling are `factors` with
 *   attn_factor; which factors, the architecture decides from the context length. */
typedef enum mnw_rope_kind { MNW_ROPE_NORM = 0, MNW_ROPE_NEOX = 1 } mnw_rope_kind;
typedef enum mnw_rope_scaling { MNW_ROPE_PLAIN = 0, MNW_ROPE_LINEAR = 1, MNW_ROPE_YARN = 2 } mnw_rope_scaling;
typedef struct mnw_rope_params {
  uint32_t kind, scaling, n_dims;
  float base, freq_scale, attn_factor;
  float beta_fast, beta_slow;
  uint32_t original_context;
} mnw_rope_params;

/* copy(x) -> packed tensor of type `type` with x's shape (a strided view is gathered).
 * concat(a[..,A], b[..,B]) -> [..,A+B]. */
typedef struct mnw_copy_params {
  int32_t type;
} mnw_copy_params;

typedef enum mnw_act {
  MNW_ACT_SILU = 0,
  MNW_ACT_GELU = 1,
  MNW_ACT_GELU_ERF = 2,
  MNW_ACT_RELU = 3
} mnw_act;

/* glu_ffn(x[T,K], gate[F,K], up[F,K], down[N,F], [adapter]): down(act(gate x) * (up x)).
 *   up == MNW_NONE: gate is [2F,K] and holds the rows of the gate, then those of up.
 *   Sites of gate, up, down: site, site + 1, site + 2. */
typedef struct mnw_glu_params {
  uint32_t act;
  uint32_t adapter_site;
} mnw_glu_params;

/* moe_ffn(x[T,K], router[X,K], gate[X,F,K], up[X,F,K], down[X,N,F]): the n_used experts with the largest
 *   router scores (softmax over all experts, renormalized over the chosen ones if asked), each a glu_ffn,
 *   weighted, times `scale`, and summed in ascending order of expert id. */
typedef struct mnw_moe_params {
  uint32_t act, n_used, renormalize;
  float scale;
} mnw_moe_params;

/* lm_head(x[O,K], w[V,K], [adapter[O]]) -> logits[O,V]: softcap(logit_scale * linear(x, w)); cap 0 means
 *   none. */
typedef struct mnw_lm_head_params {
  float logit_scale, softcap;
  uint32_t adapter_site;
} mnw_lm_head_params;

/* pool(x[T,K], seq[T], seq_len[S]) -> [S,K]: one vector per sequence from its rows of this step;
 *   seq_len only tells how many sequences there are. */
typedef enum mnw_pool_kind { MNW_POOL_MEAN = 0, MNW_POOL_FIRST = 1, MNW_POOL_LAST = 2 } mnw_pool_kind;
typedef struct mnw_pool_params {
  uint32_t kind;
  uint32_t l2_normalize;
} mnw_pool_params;

/* kv_write(k[T,Hkv,Dk], v[T,Hkv,Dv], state, slots[T]) -> state: keeps row t as a row of this step, and
 *   where slots[t] >= 0 writes it to that slot (page * page_tokens + offset) of the group's pages.
 *   A row without a slot becomes permanent only by state_commit.
 * attention(q[T,H,Dk], state, positions[T], seq[T], parent[T], seq_len[S], pages[S,P], [sinks[H]])
 *   -> [T,H,Dv]. Row t of sequence s = seq[t] reads two sources: the positions 0 .. seq_len[s]-1 committed
 *   before this step, position p in page pages[s, p / page_tokens] at offset p % page_tokens; and its
 *   ancestors in this step: t, parent[t], parent[parent[t]] .. until -1. positions[] counts both:
 *   a row without a parent has position seq_len[s]. Causal by construction; with `window` w > 0 only
 *   positions above positions[t] - w are read; a page wholly outside may be -1. Score: scale * q.k, then
 *   softcap if > 0, then - slope_h * distance if alibi_max_bias > 0, then softmax (with sinks[h] as one
 *   more logit without a value). Query head h reads key head h / (H / Hkv).
 * seq_attention(q[T,H,Dk], k[T,Hkv,Dk], v[T,Hkv,Dv], seq[T]) -> [T,H,Dv]: without a cache and in both
 *   directions, every row of the same sequence in this step (encoders; a sequence is one step). */
typedef struct mnw_attention_params {
  float scale, softcap, alibi_max_bias;
  uint32_t window;
} mnw_attention_params;

/* Recurrent layers: slots[t] of the group names the block of row t's sequence, and is never -1; rows with
 * the same block follow one another in row order, and the block holds the state after the last of them.
 * There is no tree: the rows of a block form one chain. A new sequence finds its block filled with zeros.
 * conv_step(x[T,C], state, slots[T], w[C,W], [bias[C]]) -> [T,C]: causal depthwise convolution,
 *   y[t,c] = sum_i w[c,i] x[t-W+1+i,c] + bias[c]. The state [1,C,W-1] is the last W-1 inputs, oldest first.
 * scan(x[T,H,D], dt[T,H], a[H], b[T,G,N], c[T,G,N], d[H], state, slots[T]) -> [T,H,D]: the selective
 *   state-space recurrence of Mamba-2 (arXiv:2405.21060), one [D,N] state s per head and sequence:
 *   s = exp(dt a) s + dt x b^T, y = s c + d x. Head h has group h / (H / G) of b and c. */

#ifdef __cplusplus
}
#endif

#endif /* MINNOW_ABI_OPS_H_ */
