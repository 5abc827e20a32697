// The linear kernels as NUMERICS.md states them, in plain loops over GGUF's own rows: the truth
// that the SIMD levels must repeat bit by bit, and what a CPU without AVX2 runs. A panel is its 16
// rows, one after the other.
#include "kernels/linear.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/linear_decode.h"
#include "minnow/sdk/half.h"

namespace minnow::cpu {

const LinearKernel* LinearKernels::Find(int32_t type) const {
  switch (type) {
    case MNW_TYPE_F32:
      return &f32;
    case MNW_TYPE_F16:
      return &f16;
    case MNW_TYPE_BF16:
      return &bf16;
    case MNW_TYPE_Q8_0:
      return &q8_0;
    case MNW_TYPE_Q4_0:
      return &q4_0;
    case MNW_TYPE_Q5_0:
      return &q5_0;
    case MNW_TYPE_Q4_K:
      return &q4_k;
    case MNW_TYPE_Q5_K:
      return &q5_k;
    case MNW_TYPE_Q6_K:
      return &q6_k;
    default:
      return nullptr;
  }
}

namespace ref {
namespace {

// One block of activations.
struct Input {
  const int8_t* q;
  float scale;
  const int16_t* sum;  // of its two halves
};

// Sum of (w - offset) * q over n elements. Exact: at most 32 * 255 * 127.
int32_t Dot(const uint8_t* w, int32_t offset, const int8_t* q, int n) {
  int32_t sum = 0;
  for (int i = 0; i < n; ++i) sum += (int32_t{w[i]} - offset) * q[i];
  return sum;
}

// A format: its block of kElements weights, their values, and what each 32 of them add to a sum.
template <class B, int kOffset>
struct Scaled {
  using Block = B;
  static constexpr int kElements = 32;

  static void Dequantize(const Block& b, float* out) {
    uint8_t w[32];
    DecodeQuants(b, w);
    const float d = F16ToF32(b.d);
    for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(w[i] - kOffset);
  }
  static float Add(float acc, const Block& b, const Input* x) {
    uint8_t w[32];
    DecodeQuants(b, w);
    return std::fma(static_cast<float>(Dot(w, kOffset, x->q, 32)), F16ToF32(b.d) * x->scale, acc);
  }
};

template <class B>
struct ScaledWithMin {
  using Block = B;
  static constexpr int kElements = 256;

  static void Dequantize(const Block& b, float* out) {
    uint8_t w[256];
    DecodeQuants(b, w);
    const SubScales sub = DecodeScales(b.scales);
    for (int i = 0; i < 256; ++i) {
      const float scale = F16ToF32(b.d) * sub.scale[i / 32];  // exact, as is the next line
      const float min = F16ToF32(b.dmin) * sub.min[i / 32];
      out[i] = scale * w[i] - min;
    }
  }
  static float Add(float acc, const Block& b, const Input* x) {
    uint8_t w[256];
    DecodeQuants(b, w);
    const SubScales sub = DecodeScales(b.scales);
    for (int j = 0; j < 8; ++j) {
      const float scale = F16ToF32(b.d) * sub.scale[j];
      const float min = F16ToF32(b.dmin) * sub.min[j];
      const float x_sum = x[j].scale * static_cast<float>(x[j].sum[0] + x[j].sum[1]);
      acc = std::fma(static_cast<float>(Dot(w + 32 * j, 0, x[j].q, 32)), scale * x[j].scale, acc);
      acc = std::fma(-min, x_sum, acc);
    }
    return acc;
  }
};

struct Q6K {
  using Block = BlockQ6_K;
  static constexpr int kElements = 256;

  static void Dequantize(const Block& b, float* out) {
    uint8_t w[256];
    DecodeQuants(b, w);
    for (int i = 0; i < 256; ++i) {
      out[i] = F16ToF32(b.d) * b.scales[i / 16] * static_cast<float>(w[i] - 32);
    }
  }
  static float Add(float acc, const Block& b, const Input* x) {
    uint8_t w[256];
    DecodeQuants(b, w);
    for (int j = 0; j < 8; ++j) {
      const int32_t sum = b.scales[2 * j] * Dot(w + 32 * j, 32, x[j].q, 16) +
                          b.scales[2 * j + 1] * Dot(w + 32 * j + 16, 32, x[j].q + 16, 16);
      acc = std::fma(static_cast<float>(sum), F16ToF32(b.d) * x[j].scale, acc);
    }
    return acc;
  }
};

struct F32 {
  using Block = float;
  static float Value(Block w) { return w; }
};
struct F16 {
  using Block = uint16_t;
  static float Value(Block w) { return F16ToF32(w); }
};
struct BF16 {
  using Block = uint16_t;
  static float Value(Block w) { return BF16ToF32(w); }
};

template <class Format>
constexpr int64_t BlockElements() {
  if constexpr (requires { Format::kElements; }) return Format::kElements;
  return 1;
}

template <class Format>
size_t RowBytes(int64_t k) {
  return static_cast<size_t>(k / BlockElements<Format>()) * sizeof(typename Format::Block);
}

template <class Format>
size_t PanelBytes(int64_t k) {
  return (kPanel * RowBytes<Format>(k) + 63) / 64 * 64;
}

template <class Format>
void Pack(const void* rows, size_t row_bytes, int64_t n_rows, int64_t k, void* dst) {
  std::memset(dst, 0, PanelBytes<Format>(k));
  for (int64_t n = 0; n < n_rows; ++n) {
    std::memcpy(static_cast<char*>(dst) + n * RowBytes<Format>(k),
                static_cast<const char*>(rows) + n * row_bytes, RowBytes<Format>(k));
  }
}

// Row n, counted from the first row of the first panel.
template <class Format>
const typename Format::Block* Row(const void* panels, int64_t n, int64_t k) {
  const char* panel = static_cast<const char*>(panels) + n / kPanel * PanelBytes<Format>(k);
  return reinterpret_cast<const typename Format::Block*>(panel + n % kPanel * RowBytes<Format>(k));
}

template <class Format>
void UnpackRow(const void* panel, int64_t n, int64_t k, float* out) {
  const auto* w = Row<Format>(panel, n, k);
  if constexpr (BlockElements<Format>() == 1) {
    for (int64_t i = 0; i < k; ++i) out[i] = Format::Value(w[i]);
  } else {
    constexpr int64_t kElements = BlockElements<Format>();
    for (int64_t b = 0; b < k / kElements; ++b) Format::Dequantize(w[b], out + b * kElements);
  }
}

template <class Format>
float FloatDot(const typename Format::Block* w, const Activations& x, int64_t t, int64_t k,
               float acc) {
  for (int64_t i = 0; i < k; ++i) acc = std::fma(Format::Value(w[i]), x.f32[t * x.ld + i], acc);
  return acc;
}

template <class Format>
float BlockDot(const typename Format::Block* w, const Activations& x, int64_t t, int64_t k) {
  constexpr int64_t kInputs = Format::kElements / kActBlock;
  float acc = 0;
  for (int64_t b = 0; b < k / Format::kElements; ++b) {
    Input in[kInputs];
    for (int64_t j = 0; j < kInputs; ++j) {
      const int64_t at = (t * k + b * Format::kElements) / kActBlock + j;
      in[j] = {x.q + at * kActBlock, x.scale[at], x.sum + 2 * at};
    }
    acc = Format::Add(acc, w[b], in);
  }
  return acc;
}

template <class Format>
void Multiply(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
              int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy) {
  for (int64_t n = p0 * kPanel; n < p1 * kPanel && n < n_total; ++n) {
    const auto* w = Row<Format>(panels, n, k);
    for (int64_t t = t0; t < t1; ++t) {
      if constexpr (BlockElements<Format>() == 1) {
        y[t * ldy + n] = FloatDot<Format>(w, x, t, k, 0);
      } else {
        y[t * ldy + n] = BlockDot<Format>(w, x, t, k);
      }
    }
  }
}

template <class Format>
void Accumulate(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
                int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy) {
  for (int64_t n = p0 * kPanel; n < p1 * kPanel && n < n_total; ++n) {
    const auto* w = Row<Format>(panels, n, k);
    for (int64_t t = t0; t < t1; ++t) {
      y[t * ldy + n] = FloatDot<Format>(w, x, t, k, y[t * ldy + n]);
    }
  }
}

void QuantizeRow(const float* x, int64_t k, int8_t* q, float* scale, int16_t* sum) {
  for (int64_t b = 0; b < k / kActBlock; ++b, x += kActBlock, q += kActBlock, sum += 2) {
    uint32_t max_bits = 0;  // as integers, |NaN| > infinity > every number
    for (int i = 0; i < kActBlock; ++i) {
      const uint32_t bits = std::bit_cast<uint32_t>(x[i]) & 0x7fffffffu;
      if (bits > max_bits) max_bits = bits;
    }
    const float max = std::bit_cast<float>(max_bits);
    const bool finite = max_bits < 0x7f800000u;
    const bool zero = max < kActTiny;
    const float inverse = finite && !zero ? 127.0f / max : 0.0f;
    scale[b] = !finite ? std::bit_cast<float>(0x7fc00000u) : zero ? 0.0f : max / 127.0f;
    sum[0] = sum[1] = 0;
    for (int i = 0; i < kActBlock; ++i) {
      q[i] = inverse == 0 ? int8_t{0} : static_cast<int8_t>(std::nearbyint(x[i] * inverse));
      sum[i / 16] = static_cast<int16_t>(sum[i / 16] + q[i]);
    }
  }
}

template <class Format>
constexpr LinearKernel Kernel() {
  LinearKernel kernel = {BlockElements<Format>() > 1, PanelBytes<Format>, Pack<Format>,
                         UnpackRow<Format>,           Multiply<Format>,   nullptr};
  if constexpr (BlockElements<Format>() == 1) kernel.accumulate = Accumulate<Format>;
  return kernel;
}

constexpr LinearKernels kKernels = {
    .quantize_row = QuantizeRow,
    .f32 = Kernel<F32>(),
    .f16 = Kernel<F16>(),
    .bf16 = Kernel<BF16>(),
    .q8_0 = Kernel<Scaled<BlockQ8_0, 128>>(),
    .q4_0 = Kernel<Scaled<BlockQ4_0, 8>>(),
    .q5_0 = Kernel<Scaled<BlockQ5_0, 16>>(),
    .q4_k = Kernel<ScaledWithMin<BlockQ4_K>>(),
    .q5_k = Kernel<ScaledWithMin<BlockQ5_K>>(),
    .q6_k = Kernel<Q6K>(),
};

}  // namespace

const LinearKernels& Linear() { return kKernels; }

}  // namespace ref
}  // namespace minnow::cpu
