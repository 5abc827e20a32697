// Everything of the CPU backend that is not a linear layer: the interface that each ISA fills in.
//
// One source (vector_impl.h) is compiled per ISA over a 16-lane vector type whose operations are
// all exactly rounded, so every level gives the same bits: reductions run in 16 fixed lanes and one
// fixed tree, transcendental functions are our own polynomials, the same in bodies and tails
// (NUMERICS.md). Threads: pure over the arguments. Pointers need no alignment; lengths need no
// multiple.
#pragma once

#include <cstddef>
#include <cstdint>

namespace minnow::cpu {

inline constexpr int64_t kPageTokens = 32;       // positions of a KV page
inline constexpr int64_t kAttentionBlock = 256;  // positions whose softmax is one partial result

enum class Unary {
  kSilu,
  kGelu,
  kGeluErf,
  kRelu,
  kSigmoid,
  kTanh,
  kExp,
  kSoftplus,
  kNeg,
  kSqr,
  kSqrt
};
enum class Binary { kAdd, kSub, kMul, kDiv };

// How one layer's keys and values lie in a page, per key head. K is transposed, so that 16
// positions are the lanes of a score: [k_dim][32]; V is [32][v_dim]. q8_0: int8 in the same order,
// followed by f32 scales, K: [k_dim/32][32], V: [32][v_dim/32].
enum class KvType { kF32, kF16, kQ8 };

// A (row, head) pair of attention. Positions [first, last) are readable; the row's own is last - 1.
struct AttentionPair {
  const float* q;  // [k_dim], already multiplied by the scale
  float*
      out;  // [v_dim]: what the blocks so far add up to, relative to max and not yet divided by sum
  int64_t first, last;
  float slope;  // ALiBi: score -= slope * distance; 0 for none
  float max;    // of the scores so far, -inf at the beginning
  float sum;    // of exp(score - max) so far
};

struct VectorKernels {
  void (*unary)(Unary op, const float* x, int64_t n, float* y);
  void (*binary)(Binary op, const float* a, const float* b, int64_t n, float* y);
  void (*binary_scalar)(Binary op, const float* a, float b, int64_t n, float* y);
  void (*scale)(const float* x, float scale, float bias, int64_t n,
                float* y);  // fma(x, scale, bias)
  void (*clamp)(const float* x, float lo, float hi, int64_t n, float* y);
  void (*softcap)(const float* x, float cap, int64_t n, float* y);
  // y = act(gate) * up
  void (*gated)(Unary act, const float* gate, const float* up, int64_t n, float* y);

  // w, b may be null. See ops.h.
  void (*rms_norm)(const float* x, const float* w, float weight_offset, float eps, int64_t k,
                   float* y);
  void (*layer_norm)(const float* x, const float* w, const float* b, float weight_offset, float eps,
                     int64_t k, float* y);
  void (*l2_norm)(const float* x, float eps, int64_t k, float* y);
  void (*softmax)(const float* x, int64_t k, float* y);
  float (*sum)(const float* x, int64_t k);
  float (*max)(const float* x, int64_t k);

  // Rotates one head in place out of place: cos, sin [n_dims/2]; neox pairs (i, i + n_dims/2), else
  // (2i, 2i+1). The elements from n_dims to d are copied.
  void (*rope)(const float* x, const float* cos, const float* sin, int64_t n_dims, int64_t d,
               bool neox, float* y);

  // One page of one key head to f32, same order.
  void (*load_k)(KvType type, const void* page, int64_t k_dim, float* out);
  void (*load_v)(KvType type, const void* page, int64_t v_dim, float* out);
  // scores[p * kAttentionBlock + j] = q_p . k[.][j] for j in 0..31.  k: f32 [k_dim][32].
  void (*scores)(const AttentionPair* pairs, int64_t n_pairs, const float* k, int64_t k_dim,
                 float* scores);
  // The block of kAttentionBlock positions from `base`: soft cap (0: none), ALiBi and masks, then
  // scores become exp(score - block maximum), 0 where not readable. Returns the block's maximum,
  // -inf if nothing of it is readable, and its sum.
  float (*softmax_block)(const AttentionPair& pair, float softcap, int64_t base, float* scores,
                         float* sum);
  // partial[p * v_dim + d] += sum_j scores[p * kAttentionBlock + j] * v[j][d], j in 0..31
  // ascending.
  void (*accumulate)(int64_t n_pairs, const float* v, int64_t v_dim, const float* scores,
                     float* partial);
  // Adds a block (maximum, sum, partial) to the pair's running (max, sum, out).
  void (*merge)(AttentionPair* pair, float max, float sum, const float* partial, int64_t v_dim);

  // n channels of one row of conv_step: y = bias + sum of past inputs, oldest first, and x, each
  // times its weight; then x joins the past. w [width] and past [width - 1] lie `stride` floats
  // apart, the channels of each side by side. bias may be null.
  void (*conv)(const float* x, const float* w, const float* bias, int64_t width, int64_t stride,
               int64_t n, float* past, float* y);
  // One row of one head of scan: state[j][i] = fma(state, decay, step * x[i] * b[j]) and
  // y[i] = skip * x[i] + sum_j state[j][i] * c[j], j ascending. state [n][d], x and y [d].
  void (*scan)(const float* x, const float* b, const float* c, float step, float decay, float skip,
               int64_t n, int64_t d, float* state, float* y);
};

namespace ref {
const VectorKernels& Vector();
}
namespace avx2 {
const VectorKernels& Vector();
}
namespace avx512vnni {
const VectorKernels& Vector();
}
namespace neon {
const VectorKernels& Vector();
}

}  // namespace minnow::cpu
