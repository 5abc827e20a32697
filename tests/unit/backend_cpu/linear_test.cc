// Every level's linear kernels against ref, bit by bit, and ref against sums in double precision
// over values that this file decodes itself.
#include "kernels/linear.h"

#include <CppUTest/TestHarness.h>

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "context.h"
#include "minnow/sdk/blocks.h"
#include "minnow/sdk/half.h"

using namespace minnow;
using namespace minnow::cpu;

namespace {

struct Level {
  const char* name;
  const LinearKernels* kernels;
};

// The levels that this CPU can run; ref is the first.
const std::vector<Level>& Levels() {
  static const std::vector<Level> levels = [] {
    std::vector<Level> out;
    size_t n;
    const Isa* all = cpu::Levels(&n);
    for (size_t i = 0; i < n; ++i) {
      if (all[i].available()) {
        out.push_back({all[i].name, &all[i].linear()});
      } else {
        std::printf("\nskipped the %s kernels, which this CPU lacks\n", all[i].name);
      }
    }
    return out;
  }();
  return levels;
}

struct Type {
  const char* name;
  int32_t id;
  int64_t elements;  // per block
  size_t bytes;
};

constexpr Type kTypes[] = {
#define MNW_TYPE(name, id, elements, bytes) {#name, id, elements, bytes},
#include "minnow/abi/types.def"
#undef MNW_TYPE
};

// A 64-byte aligned buffer of exactly this size between guard lines.
class Guarded {
 public:
  explicit Guarded(size_t bytes)
      : bytes_(bytes),
        memory_(static_cast<uint8_t*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64 + 128)),
                &std::free) {
    std::memset(memory_.get(), kGuard, (bytes + 63) / 64 * 64 + 128);
  }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(memory_.get() + 64);
  }
  bool intact() const {
    for (int i = 0; i < 64; ++i) {
      if (memory_.get()[i] != kGuard || memory_.get()[64 + bytes_ + i] != kGuard) return false;
    }
    return true;
  }

 private:
  static constexpr uint8_t kGuard = 0xa5;
  size_t bytes_;
  std::unique_ptr<uint8_t, decltype(&std::free)> memory_;
};

constexpr uint32_t kUntouched = 0xdeadbeef;

struct Random {
  std::mt19937 engine;
  explicit Random(uint32_t seed) : engine(seed) {}
  uint8_t Byte() { return static_cast<uint8_t>(engine()); }
  float Normal() { return std::normal_distribution<float>()(engine); }
  // A scale of either sign between 2^-9 and 2^-6.
  uint16_t Scale() { return static_cast<uint16_t>((engine() & 0x83ff) | (6 + engine() % 3) << 10); }
};

// Random bytes, with scales that are numbers of an ordinary size.
std::vector<uint8_t> RandomRows(const Type& type, int64_t n, int64_t k, Random* random) {
  std::vector<uint8_t> rows(static_cast<size_t>(n * k / type.elements) * type.bytes);
  for (uint8_t& b : rows) b = random->Byte();
  const auto set_half = [&](size_t at) {
    const uint16_t h = random->Scale();
    std::memcpy(&rows[at], &h, 2);
  };
  for (size_t at = 0; at < rows.size(); at += type.bytes) {
    switch (type.id) {
      case MNW_TYPE_F32: {
        const float f = random->Normal();
        std::memcpy(&rows[at], &f, 4);
        break;
      }
      case MNW_TYPE_F16: {
        const uint16_t h = F32ToF16(random->Normal());
        std::memcpy(&rows[at], &h, 2);
        break;
      }
      case MNW_TYPE_BF16: {
        const uint16_t h = F32ToBF16(random->Normal());
        std::memcpy(&rows[at], &h, 2);
        break;
      }
      case MNW_TYPE_Q4_K:
      case MNW_TYPE_Q5_K:
        set_half(at);
        set_half(at + 2);
        break;
      case MNW_TYPE_Q6_K:
        set_half(at + offsetof(BlockQ6_K, d));
        break;
      default:
        set_half(at);
    }
  }
  return rows;
}

// Element i of a row, decoded one by one from the comments of sdk/blocks.h.
float Element(const Type& type, const uint8_t* row, int64_t i) {
  const uint8_t* block = row + static_cast<size_t>(i / type.elements) * type.bytes;
  const int e = static_cast<int>(i % type.elements);
  const auto half = [](const void* p) {
    uint16_t h;
    std::memcpy(&h, p, 2);
    return h;
  };
  switch (type.id) {
    case MNW_TYPE_F32: {
      float f;
      std::memcpy(&f, block, 4);
      return f;
    }
    case MNW_TYPE_F16:
      return F16ToF32(half(block));
    case MNW_TYPE_BF16:
      return BF16ToF32(half(block));
    case MNW_TYPE_Q8_0:
      return F16ToF32(half(block)) * static_cast<float>(static_cast<int8_t>(block[2 + e]));
    case MNW_TYPE_Q4_0: {
      const int q = e < 16 ? block[2 + e] % 16 : block[2 + e - 16] / 16;
      return F16ToF32(half(block)) * static_cast<float>(q - 8);
    }
    case MNW_TYPE_Q5_0: {
      const int q = e < 16 ? block[6 + e] % 16 : block[6 + e - 16] / 16;
      const int fifth = block[2 + e / 8] >> (e % 8) & 1;
      return F16ToF32(half(block)) * static_cast<float>(q + 16 * fifth - 16);
    }
    case MNW_TYPE_Q4_K:
    case MNW_TYPE_Q5_K: {
      const bool five = type.id == MNW_TYPE_Q5_K;
      const uint8_t* scales = block + 4;
      const int j = e / 32;
      const int l = e % 32;
      const int sc = j < 4 ? scales[j] % 64 : scales[j + 4] % 16 + scales[j - 4] / 64 * 16;
      const int m = j < 4 ? scales[j + 4] % 64 : scales[j + 4] / 16 + scales[j] / 64 * 16;
      const uint8_t both = (block + (five ? 48 : 16))[j / 2 * 32 + l];
      int q = j % 2 == 0 ? both % 16 : both / 16;
      if (five) q += 16 * (block[16 + l] >> j & 1);
      return F16ToF32(half(block)) * static_cast<float>(sc) * static_cast<float>(q) -
             F16ToF32(half(block + 2)) * static_cast<float>(m);
    }
    case MNW_TYPE_Q6_K: {
      const int l = e % 128 % 32;
      const int quarter = e % 128 / 32;
      const uint8_t low = block[e / 128 * 64 + quarter % 2 * 32 + l];
      const int high = block[128 + e / 128 * 32 + l] >> (2 * quarter) & 3;
      const int q = (quarter < 2 ? low % 16 : low / 16) + 16 * high;
      const auto scale = static_cast<int8_t>(block[192 + e / 16]);
      return F16ToF32(half(block + 208)) * static_cast<float>(scale) * static_cast<float>(q - 32);
    }
    default:
      FAIL("no decoder for this type");
      return 0;
  }
}

// T rows of activations, as floats and quantized by a level.
struct Input {
  Guarded f32, q, scale, sum;
  Activations x;

  Input(int64_t t, int64_t k, int64_t ld, uint32_t seed)
      : f32(static_cast<size_t>(t * ld) * 4),
        q(static_cast<size_t>(t * k)),
        scale(static_cast<size_t>(t * k / 32) * 4),
        sum(static_cast<size_t>(t * k / 16) * 2) {
    Random random(seed);
    for (int64_t i = 0; i < t * ld; ++i) f32.as<float>()[i] = random.Normal();
    x = {f32.as<float>(), ld, q.as<int8_t>(), scale.as<float>(), sum.as<int16_t>()};
  }
  void Quantize(const LinearKernels& kernels, int64_t t, int64_t k) {
    for (int64_t r = 0; r < t; ++r) {
      kernels.quantize_row(x.f32 + r * x.ld, k, q.as<int8_t>() + r * k,
                           scale.as<float>() + r * k / 32, sum.as<int16_t>() + r * k / 16);
    }
    CHECK(q.intact() && scale.intact() && sum.intact());
  }
};

// The rows packed by one level.
struct Weights {
  const LinearKernel* kernel;
  int64_t n, k;
  size_t panel_bytes;
  Guarded panels;

  Weights(const LinearKernel* kernel_in, const Type& type, const std::vector<uint8_t>& rows,
          int64_t n_in, int64_t k_in)
      : kernel(kernel_in),
        n(n_in),
        k(k_in),
        panel_bytes(kernel->panel_bytes(k)),
        panels(panel_bytes * static_cast<size_t>(Panels())) {
    const size_t row_bytes = static_cast<size_t>(k / type.elements) * type.bytes;
    for (int64_t p = 0; p < Panels(); ++p) {
      kernel->pack(rows.data() + static_cast<size_t>(p * kPanel) * row_bytes, row_bytes,
                   std::min(kPanel, n - p * kPanel), k, Panel(p));
    }
    CHECK(panels.intact());
  }
  int64_t Panels() const { return (n + kPanel - 1) / kPanel; }
  void* Panel(int64_t p) const {
    return panels.as<uint8_t>() + static_cast<size_t>(p) * panel_bytes;
  }
};

// y[t][n] for rows [0,t), with three untouched columns behind each row.
struct Result {
  int64_t rows, n, ld;
  Guarded memory;

  Result(int64_t t, int64_t n_in)
      : rows(t), n(n_in), ld(n_in + 3), memory(static_cast<size_t>(t * ld) * 4) {
    for (int64_t i = 0; i < t * ld; ++i) memory.as<uint32_t>()[i] = kUntouched;
  }
  float* y() const { return memory.as<float>(); }
  const float* Row(int64_t t) const { return y() + t * ld; }
  bool OnlyColumnsWritten() const {
    for (int64_t t = 0; t < rows; ++t) {
      for (int64_t c = n; c < ld; ++c) {
        if (memory.as<uint32_t>()[t * ld + c] != kUntouched) return false;
      }
    }
    return memory.intact();
  }
};

bool SameBits(const float* a, const float* b, int64_t n) {
  return std::memcmp(a, b, static_cast<size_t>(n) * sizeof(float)) == 0;
}

std::string Describe(const Level& level, const Type& type, int64_t n, int64_t k, int64_t t) {
  char text[128];
  std::snprintf(text, sizeof(text), "%s %s N=%d K=%d T=%d", level.name, type.name,
                static_cast<int>(n), static_cast<int>(k), static_cast<int>(t));
  return text;
}

std::vector<int64_t> Depths(const Type& type) {
  if (type.elements == 256) return {256, 768, 1280};
  if (type.elements == 32) return {32, 96, 160, 1120};  // the last: a widened chunk and a rest
  return {1, 32, 131, 352};
}

template <class F>
void ForEachKernel(F body) {
  for (const Type& type : kTypes) {
    if (ref::Linear().Find(type.id)) body(type);
  }
}

}  // namespace

TEST_GROUP(Linear){};

TEST(Linear, EveryLevelGivesTheBitsOfRefAtEveryRowCount) {
  constexpr int64_t kMost = 101;
  ForEachKernel([](const Type& type) {
    for (const int64_t k : Depths(type)) {
      for (const int64_t n : {1, 16, 37, 53}) {
        Random random(static_cast<uint32_t>(type.id * 1000 + k + n));
        const auto rows = RandomRows(type, n, k, &random);
        Input in(kMost, k, k + 5, 7);
        if (type.elements > 1) in.Quantize(ref::Linear(), kMost, k);
        Result truth(kMost, n);
        const Weights plain(ref::Linear().Find(type.id), type, rows, n, k);
        plain.kernel->multiply(plain.Panel(0), k, in.x, 0, kMost, 0, plain.Panels(), n, truth.y(),
                               truth.ld);
        CHECK(truth.OnlyColumnsWritten());
        for (const Level& level : Levels()) {
          const Weights w(level.kernels->Find(type.id), type, rows, n, k);
          for (const int64_t t : {1, 2, 3, 4, 5, 6, 7, 8, 13, 16, 20, 23, 31, 64, 65, 101}) {
            Result got(t, n);
            w.kernel->multiply(w.Panel(0), k, in.x, 0, t, 0, w.Panels(), n, got.y(), got.ld);
            const std::string what = Describe(level, type, n, k, t);
            CHECK_TEXT(got.OnlyColumnsWritten(), what.c_str());
            for (int64_t r = 0; r < t; ++r) {
              CHECK_TEXT(SameBits(truth.Row(r), got.Row(r), n), what.c_str());
            }
          }
        }
      }
    }
  });
}

TEST(Linear, RangesOfRowsAndPanelsAddUpToTheWhole) {
  constexpr int64_t kRows = 145;
  constexpr int64_t kN = 85;  // six panels
  ForEachKernel([](const Type& type) {
    const int64_t k = type.elements == 256 ? 512 : 288;
    Random random(static_cast<uint32_t>(type.id));
    const auto rows = RandomRows(type, kN, k, &random);
    Input in(kRows, k, k, 11);
    if (type.elements > 1) in.Quantize(ref::Linear(), kRows, k);
    for (const Level& level : Levels()) {
      const Weights w(level.kernels->Find(type.id), type, rows, kN, k);
      Result whole(kRows, kN);
      w.kernel->multiply(w.Panel(0), k, in.x, 0, kRows, 0, 6, kN, whole.y(), whole.ld);
      Result parts(kRows, kN);
      const int64_t t_cuts[] = {0, 1, 24, 44, kRows};
      const int64_t p_cuts[] = {0, 3, 4, 6};
      for (int i = 0; i < 4; ++i) {
        for (int j = 0; j < 3; ++j) {
          w.kernel->multiply(w.Panel(0), k, in.x, t_cuts[i], t_cuts[i + 1], p_cuts[j],
                             p_cuts[j + 1], kN, parts.y(), parts.ld);
        }
      }
      const std::string what = Describe(level, type, kN, k, kRows);
      CHECK_TEXT(SameBits(whole.y(), parts.y(), kRows * whole.ld), what.c_str());
    }
  });
}

// All weights and activations as large as they get: sums in too few bits would overflow.
TEST(Linear, TheLargestValuesKeepTheirSumsExact) {
  constexpr int64_t kRows = 96;
  ForEachKernel([](const Type& type) {
    if (type.elements == 1) return;
    const int64_t k = 512;
    Input in(kRows, k, k, 19);
    for (int64_t i = 0; i < kRows * k; ++i) {
      const int64_t t = i / k;
      in.f32.as<float>()[i] = t % 3 == 0 ? 127.0f : t % 3 == 1 ? -127.0f : i % 2 ? 127.0f : -127.0f;
    }
    in.Quantize(ref::Linear(), kRows, k);
    for (const int fill : {0x00, 0x7f, 0x80, 0xff}) {
      std::vector<uint8_t> rows(static_cast<size_t>(16 * k / type.elements) * type.bytes,
                                static_cast<uint8_t>(fill));
      const size_t d = type.id == MNW_TYPE_Q6_K ? offsetof(BlockQ6_K, d) : 0;
      const size_t d_bytes = type.id == MNW_TYPE_Q4_K || type.id == MNW_TYPE_Q5_K ? 4 : 2;
      for (size_t at = 0; at < rows.size(); at += type.bytes) {
        std::memset(&rows[at + d], 0x2c, d_bytes);  // about 1/15
      }
      Result truth(kRows, 16);
      const Weights plain(ref::Linear().Find(type.id), type, rows, 16, k);
      plain.kernel->multiply(plain.Panel(0), k, in.x, 0, kRows, 0, 1, 16, truth.y(), truth.ld);
      for (const Level& level : Levels()) {
        const Weights w(level.kernels->Find(type.id), type, rows, 16, k);
        const std::string what = Describe(level, type, 16, k, fill);
        Result got(kRows, 16);
        w.kernel->multiply(w.Panel(0), k, in.x, 0, kRows, 0, 1, 16, got.y(), got.ld);
        CHECK_TEXT(SameBits(truth.y(), got.y(), kRows * truth.ld), what.c_str());
        for (int64_t t = 0; t < 3; ++t) {
          Result alone(kRows, 16);
          w.kernel->multiply(w.Panel(0), k, in.x, t, t + 1, 0, 1, 16, alone.y(), alone.ld);
          CHECK_TEXT(SameBits(truth.Row(t), alone.Row(t), 16), what.c_str());
        }
      }
    }
  });
}

TEST(Linear, RefIsTheSumOfDequantizedProducts) {
  constexpr int64_t kRows = 4;
  constexpr int64_t kN = 48;
  constexpr int64_t kDepth = 1024;
  ForEachKernel([](const Type& type) {
    Random random(static_cast<uint32_t>(type.id) + 1);
    const auto rows = RandomRows(type, kN, kDepth, &random);
    const size_t row_bytes = rows.size() / kN;
    Input in(kRows, kDepth, kDepth, 13);
    in.Quantize(ref::Linear(), kRows, kDepth);
    const Weights w(ref::Linear().Find(type.id), type, rows, kN, kDepth);
    Result got(kRows, kN);
    w.kernel->multiply(w.Panel(0), kDepth, in.x, 0, kRows, 0, w.Panels(), kN, got.y(), got.ld);

    double power = 0, error = 0, error_of_input = 0;
    for (int64_t t = 0; t < kRows; ++t) {
      for (int64_t n = 0; n < kN; ++n) {
        double exact = 0, quantized = 0;  // with x, and with x as the kernel reads it
        for (int64_t i = 0; i < kDepth; ++i) {
          const double value = Element(type, rows.data() + static_cast<size_t>(n) * row_bytes, i);
          const double x = in.x.f32[t * kDepth + i];
          exact += value * x;
          quantized += value * (type.elements == 1
                                    ? x
                                    : in.x.q[t * kDepth + i] *
                                          static_cast<double>(in.x.scale[(t * kDepth + i) / 32]));
        }
        const double y = got.Row(t)[n];
        power += exact * exact;
        error += (y - quantized) * (y - quantized);
        error_of_input += (y - exact) * (y - exact);
      }
    }
    CHECK_TEXT(error <= 1e-11 * power, type.name);
    CHECK_TEXT(error_of_input <= 1e-4 * power, type.name);
  });
}

TEST(Linear, UnpackedRowsHaveTheBitsOfTheDequantization) {
  constexpr int64_t kN = 21;  // a whole panel and a part of one
  ForEachKernel([](const Type& type) {
    for (const int64_t k : Depths(type)) {
      Random random(static_cast<uint32_t>(type.id + k));
      const auto rows = RandomRows(type, kN, k, &random);
      const size_t row_bytes = rows.size() / kN;
      for (const Level& level : Levels()) {
        const Weights w(level.kernels->Find(type.id), type, rows, kN, k);
        for (int64_t n = 0; n < kN; ++n) {
          Guarded out(static_cast<size_t>(k) * 4);
          w.kernel->unpack_row(w.Panel(n / kPanel), n % kPanel, k, out.as<float>());
          CHECK(out.intact());
          for (int64_t i = 0; i < k; ++i) {
            const float expected =
                Element(type, rows.data() + static_cast<size_t>(n) * row_bytes, i);
            CHECK_TEXT(SameBits(&expected, out.as<float>() + i, 1),
                       Describe(level, type, kN, k, n).c_str());
          }
        }
      }
    }
  });
}

TEST(Linear, PanelsGrowByAtMostThreePercent) {
  ForEachKernel([](const Type& type) {
    for (const Level& level : Levels()) {
      const int64_t k = 2048;
      const size_t gguf = static_cast<size_t>(kPanel * k / type.elements) * type.bytes;
      const size_t packed = level.kernels->Find(type.id)->panel_bytes(k);
      CHECK_EQUAL(0u, packed % 64);
      CHECK_TEXT(packed >= gguf && static_cast<double>(packed) <= 1.03 * static_cast<double>(gguf),
                 type.name);
    }
  });
}

TEST(Linear, FindKnowsWeightTypesOnly) {
  for (const Level& level : Levels()) {
    ForEachKernel([&](const Type& type) {
      CHECK(level.kernels->Find(type.id) != nullptr);
      CHECK_EQUAL(type.elements > 1, level.kernels->Find(type.id)->quantized_input);
    });
    CHECK(level.kernels->Find(MNW_TYPE_I32) == nullptr);
    CHECK(level.kernels->Find(-1) == nullptr);
  }
}

TEST(Linear, BlocksWithoutANumberMakeTheirRowNaNAndNoOther) {
  ForEachKernel([](const Type& type) {
    if (type.elements == 1) return;
    constexpr int64_t kRows = 98;
    const int64_t k = 512;
    Random random(3);
    const auto rows = RandomRows(type, 32, k, &random);
    for (const Level& level : Levels()) {
      Input in(kRows, k, k, 17);
      in.f32.as<float>()[3 * k + 100] = std::numeric_limits<float>::quiet_NaN();
      in.f32.as<float>()[9 * k + 300] = -std::numeric_limits<float>::infinity();
      in.Quantize(*level.kernels, kRows, k);
      const Weights w(level.kernels->Find(type.id), type, rows, 32, k);
      Result got(kRows, 32);
      w.kernel->multiply(w.Panel(0), k, in.x, 0, kRows, 0, 2, 32, got.y(), got.ld);
      for (int64_t t = 0; t < kRows; ++t) {
        for (int64_t n = 0; n < 32; ++n) CHECK_EQUAL(t == 3 || t == 9, std::isnan(got.Row(t)[n]));
      }
    }
  });
}

TEST_GROUP(QuantizeRow) {
  static constexpr int64_t kLength = 32;
  struct Block {
    int8_t q[kLength];
    float scale;
    int16_t sum[2];
  };
  // One block, the same bits on every level.
  static Block Quantize(const float* x) {
    Block truth = {};
    for (const Level& level : Levels()) {
      Block b = {};
      level.kernels->quantize_row(x, kLength, b.q, &b.scale, b.sum);
      if (&level == &Levels().front()) truth = b;
      CHECK_TEXT(std::memcmp(&truth, &b, sizeof(b)) == 0, level.name);
    }
    return truth;
  }
};

TEST(QuantizeRow, RoundsToTheNearestStep) {
  Random random(5);
  for (int round = 0; round < 2000; ++round) {
    float x[kLength];
    double max = 0;
    const float size = std::ldexp(1.0f, round % 200 - 100);
    for (float& v : x) {
      v = random.Normal() * size;
      max = std::max(max, std::fabs(static_cast<double>(v)));
    }
    const Block b = Quantize(x);
    if (max < kActTiny) continue;
    DOUBLES_EQUAL(max / 127, b.scale, 1e-7 * max);
    int sum[2] = {};
    for (int i = 0; i < kLength; ++i) {
      DOUBLES_EQUAL(x[i], b.q[i] * static_cast<double>(b.scale), 0.500001 * b.scale);
      sum[i / 16] += b.q[i];
    }
    CHECK_EQUAL(sum[0], b.sum[0]);
    CHECK_EQUAL(sum[1], b.sum[1]);
  }
}

TEST(QuantizeRow, TiesGoToEven) {
  float x[kLength] = {127.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f};
  const Block b = Quantize(x);
  DOUBLES_EQUAL(1.0, b.scale, 0);
  const int8_t expected[] = {127, 0, 2, 2, 0, -2, -2};
  for (int i = 0; i < 7; ++i) CHECK_EQUAL(expected[i], b.q[i]);
}

TEST(QuantizeRow, ZerosAndBlocksBelowTheTiniestAreZero) {
  for (const float size : {0.0f, -0.0f, 1e-45f, 1e-38f, 0x0.ffffffp-100f}) {
    float x[kLength];
    for (int i = 0; i < kLength; ++i) x[i] = i % 2 ? size : -size;
    const Block b = Quantize(x);
    CHECK_EQUAL(0u, std::bit_cast<uint32_t>(b.scale));
    for (const int8_t q : b.q) CHECK_EQUAL(0, q);
    CHECK_EQUAL(0, b.sum[0] | b.sum[1]);
  }
  float x[kLength] = {kActTiny};
  CHECK_EQUAL(127, Quantize(x).q[0]);
}

TEST(QuantizeRow, TheLargestNumbersStayInRange) {
  float x[kLength];
  for (int i = 0; i < kLength; ++i)
    x[i] = std::numeric_limits<float>::max() * (i % 3 ? 1.0f : -1.0f);
  const Block b = Quantize(x);
  for (int i = 0; i < kLength; ++i) CHECK_EQUAL(i % 3 ? 127 : -127, b.q[i]);
  CHECK(std::isfinite(b.scale));
}

TEST(QuantizeRow, NoNumberMeansNoScale) {
  for (const float bad :
       {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN()}) {
    float x[kLength] = {1, 2, 3, bad, 5};
    const Block b = Quantize(x);
    CHECK(std::isnan(b.scale));
    for (const int8_t q : b.q) CHECK_EQUAL(0, q);
    CHECK_EQUAL(0, b.sum[0] | b.sum[1]);
  }
}
