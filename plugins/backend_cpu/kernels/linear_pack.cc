#include "kernels/linear_pack.h"

#include <cstring>

#include "kernels/linear_decode.h"
#include "minnow/sdk/half.h"

namespace minnow::cpu::pack {
namespace {

// The 32 elements of each of the panel's rows in one block.
using Rows32 = uint8_t[kPanel][32];

// Line g holds elements 4g..4g+3 of every row.
void FillLines(const Rows32& q, Q8Block* out) {
  for (int g = 0; g < 8; ++g) {
    for (int row = 0; row < kPanel; ++row) std::memcpy(out->line[g] + 4 * row, q[row] + 4 * g, 4);
  }
}

void FillNibbles(const Q8Block& wide, uint8_t (*line)[64]) {
  for (int g = 0; g < 4; ++g) {
    for (int i = 0; i < 64; ++i) {
      line[g][i] = static_cast<uint8_t>((wide.line[g][i] & 0x0f) | wide.line[g + 4][i] << 4);
    }
  }
}

void Fill(const Rows32& q, Q8Block* out) { FillLines(q, out); }

void Fill(const Rows32& q, Q4Block* out) {
  Q8Block wide;
  FillLines(q, &wide);
  FillNibbles(wide, out->line);
}

void Fill(const Rows32& q, Q5Block* out) {
  Q8Block wide;
  FillLines(q, &wide);
  FillNibbles(wide, out->line);
  for (int i = 0; i < 64; ++i) {
    int bits = 0;
    for (int g = 0; g < 8; ++g) bits |= (wide.line[g][i] >> 4) << g;
    out->high[i] = static_cast<uint8_t>(bits);
  }
}

void Fill(const Rows32& q, Q6Block* out) {
  Q8Block wide;
  FillLines(q, &wide);
  FillNibbles(wide, out->line);
  std::memset(out->high, 0, sizeof(out->high));
  for (int g = 0; g < 8; ++g) {
    for (int i = 0; i < 64; ++i) {
      uint8_t& high = out->high[g / 4][i];
      high = static_cast<uint8_t>(high | (wide.line[g][i] >> 4) << (2 * (g % 4)));
    }
  }
}

// Element i of a row; the inverse of Fill.
int Nibble(const uint8_t (*line)[64], int row, int i) {
  const uint8_t both = line[i / 4 % 4][4 * row + i % 4];
  return i < 16 ? both & 0x0f : both >> 4;
}

int Quant(const Q8Block& b, int row, int i) { return b.line[i / 4][4 * row + i % 4]; }
int Quant(const Q4Block& b, int row, int i) { return Nibble(b.line, row, i); }
int Quant(const Q5Block& b, int row, int i) {
  return Nibble(b.line, row, i) | (b.high[4 * row + i % 4] >> (i / 4) & 1) << 4;
}
int Quant(const Q6Block& b, int row, int i) {
  return Nibble(b.line, row, i) | (b.high[i / 16][4 * row + i % 4] >> (2 * (i / 4 % 4)) & 3) << 4;
}

// How a format lies in a panel: Group is what repeats, kElements the k that it covers.
template <class Gguf>
struct Layout;

template <class Gguf, class G, int kOffset>
struct ScaledLayout {
  using Group = G;
  static constexpr int64_t kElements = 64;

  static void Pack(const Gguf* const (&rows)[kPanel], int block, Group* out) {
    Rows32 q;
    for (int r = 0; r < kPanel; ++r) {
      DecodeQuants(*rows[r], q[r]);
      out->d[block][r] = rows[r]->d;
    }
    Fill(q, &out->block[block]);
  }
  static void Unpack(const Group& in, int block, int row, float* out) {
    const float d = F16ToF32(in.d[block][row]);
    for (int i = 0; i < 32; ++i)
      out[i] = d * static_cast<float>(Quant(in.block[block], row, i) - kOffset);
  }
};
template <>
struct Layout<BlockQ8_0> : ScaledLayout<BlockQ8_0, Q8_0Group, 128> {};
template <>
struct Layout<BlockQ4_0> : ScaledLayout<BlockQ4_0, Q4_0Group, 8> {};
template <>
struct Layout<BlockQ5_0> : ScaledLayout<BlockQ5_0, Q5_0Group, 16> {};

// Interleaves the 256 elements of 16 rows into eight blocks.
template <class Gguf, class Block>
void FillAll(const Gguf* const (&rows)[kPanel], Block (&block)[8]) {
  uint8_t q[kPanel][256];
  for (int r = 0; r < kPanel; ++r) DecodeQuants(*rows[r], q[r]);
  for (int j = 0; j < 8; ++j) {
    Rows32 part;
    for (int r = 0; r < kPanel; ++r) std::memcpy(part[r], q[r] + 32 * j, 32);
    Fill(part, &block[j]);
  }
}

template <class Gguf, class G>
struct ScaledWithMinLayout {
  using Group = G;
  static constexpr int64_t kElements = 256;

  static void Pack(const Gguf* const (&rows)[kPanel], int, Group* out) {
    FillAll(rows, out->block);
    for (int r = 0; r < kPanel; ++r) {
      out->d[r] = rows[r]->d;
      out->dmin[r] = rows[r]->dmin;
      const SubScales sub = DecodeScales(rows[r]->scales);
      for (int j = 0; j < 8; ++j) {
        out->scale[j][r] = sub.scale[j];
        out->min[j][r] = sub.min[j];
      }
    }
  }
  static void Unpack(const Group& in, int, int row, float* out) {
    for (int i = 0; i < 256; ++i) {
      const int j = i / 32;
      const float scale = F16ToF32(in.d[row]) * in.scale[j][row];  // exact, as is the next line
      const float min = F16ToF32(in.dmin[row]) * in.min[j][row];
      out[i] = scale * static_cast<float>(Quant(in.block[j], row, i % 32)) - min;
    }
  }
};
template <>
struct Layout<BlockQ4_K> : ScaledWithMinLayout<BlockQ4_K, Q4_KGroup> {};
template <>
struct Layout<BlockQ5_K> : ScaledWithMinLayout<BlockQ5_K, Q5_KGroup> {};

template <>
struct Layout<BlockQ6_K> {
  using Group = Q6_KGroup;
  static constexpr int64_t kElements = 256;

  static void Pack(const BlockQ6_K* const (&rows)[kPanel], int, Group* out) {
    FillAll(rows, out->block);
    for (int r = 0; r < kPanel; ++r) {
      for (int j = 0; j < 16; ++j) out->scale[j / 2][j % 2][r] = rows[r]->scales[j];
      out->d[r] = rows[r]->d;
    }
  }
  static void Unpack(const Group& in, int, int row, float* out) {
    for (int i = 0; i < 256; ++i) {
      const int j = i / 32;
      const float scale = F16ToF32(in.d[row]) * in.scale[j][i / 16 % 2][row];  // exact
      out[i] = scale * static_cast<float>(Quant(in.block[j], row, i % 32) - 32);
    }
  }
};

float Value(float w) { return w; }
float Value(F16 w) { return F16ToF32(w.bits); }
float Value(BF16 w) { return BF16ToF32(w.bits); }

template <class T>
struct PlainLayout {
  using Group = T[kPanel];
  static constexpr int64_t kElements = 1;

  static void Pack(const T* const (&rows)[kPanel], int, Group* out) {
    for (int r = 0; r < kPanel; ++r) (*out)[r] = *rows[r];
  }
  static void Unpack(const Group& in, int, int row, float* out) { *out = Value(in[row]); }
};
template <>
struct Layout<float> : PlainLayout<float> {};
template <>
struct Layout<F16> : PlainLayout<F16> {};
template <>
struct Layout<BF16> : PlainLayout<BF16> {};

template <class Gguf>
constexpr int64_t GgufElements() {
  return requires(Gguf g) { g.scales; }
  ? 256 : requires(Gguf g) { g.d; }
  ? 32 : 1;
}

}  // namespace

template <class Gguf>
size_t PanelBytes(int64_t k) {
  using L = Layout<Gguf>;
  const size_t groups = static_cast<size_t>((k + L::kElements - 1) / L::kElements);
  return (groups * sizeof(typename L::Group) + 63) / 64 * 64;
}

template <class Gguf>
void Pack(const void* rows, size_t row_bytes, int64_t n_rows, int64_t k, void* dst) {
  using L = Layout<Gguf>;
  static constexpr Gguf kZero = {};
  constexpr int64_t kPerGroup = L::kElements / GgufElements<Gguf>();
  std::memset(dst, 0, PanelBytes<Gguf>(k));
  auto* out = static_cast<typename L::Group*>(dst);
  for (int64_t b = 0; b < k / GgufElements<Gguf>(); ++b) {
    const Gguf* block[kPanel];
    for (int64_t r = 0; r < kPanel; ++r) {
      const char* row = static_cast<const char*>(rows) + static_cast<size_t>(r) * row_bytes;
      block[r] = r < n_rows ? reinterpret_cast<const Gguf*>(row) + b : &kZero;
    }
    L::Pack(block, static_cast<int>(b % kPerGroup), out + b / kPerGroup);
  }
}

template <class Gguf>
void UnpackRow(const void* panel, int64_t n, int64_t k, float* out) {
  using L = Layout<Gguf>;
  constexpr int64_t kPerGroup = L::kElements / GgufElements<Gguf>();
  const auto* in = static_cast<const typename L::Group*>(panel);
  for (int64_t b = 0; b < k / GgufElements<Gguf>(); ++b) {
    L::Unpack(in[b / kPerGroup], static_cast<int>(b % kPerGroup), static_cast<int>(n),
              out + b * GgufElements<Gguf>());
  }
}

#define MINNOW_PACKING(Gguf)                                              \
  template size_t PanelBytes<Gguf>(int64_t);                              \
  template void Pack<Gguf>(const void*, size_t, int64_t, int64_t, void*); \
  template void UnpackRow<Gguf>(const void*, int64_t, int64_t, float*);
MINNOW_PACKING(float)
MINNOW_PACKING(F16)
MINNOW_PACKING(BF16)
MINNOW_PACKING(BlockQ8_0)
MINNOW_PACKING(BlockQ4_0)
MINNOW_PACKING(BlockQ5_0)
MINNOW_PACKING(BlockQ4_K)
MINNOW_PACKING(BlockQ5_K)
MINNOW_PACKING(BlockQ6_K)
#undef MINNOW_PACKING

}  // namespace minnow::cpu::pack
