#include "quant/quant.h"

#include <minnow/sdk/blocks.h>
#include <minnow/sdk/half.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>
#include <vector>

#include "base/tensor_type.h"
#include "build_paths.h"
#include "test_util.h"

namespace minnow::quant {
namespace {

using Bytes = std::vector<std::byte>;

mnw_type TypeNamed(const std::string& name) {
  for (const TypeTraits& traits : TensorTypes()) {
    if (name == traits.name) return traits.type;
  }
  FAIL(("no type " + name).c_str());
  return MNW_TYPE_NONE;
}

Bytes BytesFromHex(const std::string& hex) {
  Bytes out;
  for (size_t i = 0; i < hex.size(); i += 2) {
    out.push_back(static_cast<std::byte>(std::stoul(hex.substr(i, 2), nullptr, 16)));
  }
  return out;
}

std::vector<float> FloatsFromHex(const std::string& hex) {
  std::vector<float> out;
  for (size_t i = 0; i < hex.size(); i += 8) {
    const auto bits = static_cast<uint32_t>(std::stoul(hex.substr(i, 8), nullptr, 16));
    out.push_back(std::bit_cast<float>(bits));
  }
  return out;
}

struct GoldenLine {
  std::string verb, type, input, expected;
};

std::vector<GoldenLine> ReadGolden(const std::string& verb) {
  std::ifstream file(minnow::test::InSource("tests/golden/quant/quant.txt"));
  CHECK(file.good());
  std::vector<GoldenLine> out;
  std::string line;
  while (std::getline(file, line)) {
    GoldenLine golden;
    std::istringstream(line) >> golden.verb >> golden.type >> golden.input >> golden.expected;
    if (golden.verb == verb) out.push_back(golden);
  }
  return out;
}

Bytes SplitMix64(size_t n) {
  Bytes out(n);
  for (size_t i = 0; i < n; i += 8) {
    uint64_t x = (i / 8 + 1) * 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    x ^= x >> 31;
    std::memcpy(&out[i], &x, std::min<size_t>(8, n - i));
  }
  return out;
}

std::vector<float> Gaussian(size_t n, float sigma, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, sigma);
  std::vector<float> x(n);
  for (float& v : x) v = normal(random);
  return x;
}

Result<std::vector<float>> RoundTrip(mnw_type type, const std::vector<float>& x) {
  Bytes bytes(RowBytes(type, x.size()));
  MNW_TRY(FromF32(type, x, bytes));
  std::vector<float> y(x.size());
  MNW_TRY(ToF32(type, bytes, y));
  return y;
}

// Squared error of the round trip over squared signal.
double Nmse(mnw_type type, const std::vector<float>& x) {
  const auto y = RoundTrip(type, x);
  CHECK_OK(y.status());
  double error = 0, signal = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double e = static_cast<double>((*y)[i]) - x[i];
    error += e * e;
    signal += static_cast<double>(x[i]) * x[i];
  }
  return error / signal;
}

bool HoldsIntegers(mnw_type type) {
  return type == MNW_TYPE_I8 || type == MNW_TYPE_I16 || type == MNW_TYPE_I32 ||
         type == MNW_TYPE_I64;
}

TEST_GROUP(Half){};

TEST(Half, F16SurvivesTheWayThroughF32) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const float f = F16ToF32(static_cast<uint16_t>(h));
    LONGS_EQUAL(h, F32ToF16(f));
    CHECK_EQUAL((h & 0x7fff) > 0x7c00, std::isnan(f));
  }
}

TEST(Half, F16RoundsToNearestAndTiesToEven) {
  for (uint32_t h = 0; h < 0x7bff; ++h) {  // each neighbouring pair of finite values
    const float low = F16ToF32(static_cast<uint16_t>(h));
    const float high = F16ToF32(static_cast<uint16_t>(h + 1));
    const float middle = low + (high - low) / 2;  // exact
    LONGS_EQUAL(h % 2 ? h + 1 : h, F32ToF16(middle));
    LONGS_EQUAL(h, F32ToF16(std::nextafter(middle, 0.0f)));
    LONGS_EQUAL(h + 1, F32ToF16(std::nextafter(middle, 1e9f)));
    LONGS_EQUAL(0x8000 | (h + 1), F32ToF16(-std::nextafter(middle, 1e9f)));
  }
}

TEST(Half, F16OverflowsToInfinityFrom65520) {
  LONGS_EQUAL(0x7bff, F32ToF16(std::nextafter(65520.0f, 0.0f)));
  LONGS_EQUAL(0x7c00, F32ToF16(65520.0f));
  LONGS_EQUAL(0xfc00, F32ToF16(-INFINITY));
}

TEST(Half, BF16RoundsToNearestEvenAndKeepsNaN) {
  LONGS_EQUAL(0x3f80, F32ToBF16(1.0f));
  LONGS_EQUAL(0x3f80, F32ToBF16(std::bit_cast<float>(0x3f808000u)));  // a tie, down to even
  LONGS_EQUAL(0x3f82, F32ToBF16(std::bit_cast<float>(0x3f818000u)));  // a tie, up to even
  LONGS_EQUAL(0x3f81, F32ToBF16(std::bit_cast<float>(0x3f808001u)));
  LONGS_EQUAL(0x7f80, F32ToBF16(std::bit_cast<float>(0x7f7fffffu)));
  CHECK(std::isnan(BF16ToF32(F32ToBF16(std::bit_cast<float>(0x7f800001u)))));
}

TEST_GROUP(Quant){};

TEST(Quant, DecodesAsThePublishedPackageDoesBitForBit) {
  const auto lines = ReadGolden("decode");
  LONGS_EQUAL(27, lines.size());
  for (const GoldenLine& line : lines) {
    const std::vector<float> expected = FloatsFromHex(line.expected);
    std::vector<float> actual(expected.size());
    CHECK_OK(ToF32(TypeNamed(line.type), BytesFromHex(line.input), actual));
    for (size_t i = 0; i < expected.size(); ++i) {
      if (std::isnan(expected[i]) && std::isnan(actual[i])) continue;
      if (std::bit_cast<uint32_t>(expected[i]) == std::bit_cast<uint32_t>(actual[i])) continue;
      FAIL(fmt::format("{} element {}: expected {}, got {}", line.type, i, expected[i], actual[i])
               .c_str());
    }
  }
}

TEST(Quant, DecodesThousandsOfRandomBlocksOfEveryTypeBitForBit) {
  std::vector<std::string> left;
  for (const TypeTraits& traits : TensorTypes()) {
    if (!HoldsIntegers(traits.type)) left.push_back(traits.name);
  }
  for (const GoldenLine& line : ReadGolden("digest")) {
    const mnw_type type = TypeNamed(line.type);
    const size_t blocks = std::stoul(line.input);
    std::vector<float> x(blocks * static_cast<size_t>(FindType(type)->block_elements));
    CHECK_OK(ToF32(type, SplitMix64(RowBytes(type, x.size())), x));
    uint64_t sum = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      sum += (2 * i + 1) * (std::isnan(x[i]) ? 0x7fc00000u : std::bit_cast<uint32_t>(x[i]));
    }
    STRCMP_EQUAL_TEXT(line.expected.c_str(), fmt::format("{:016x}", sum).c_str(),
                      line.type.c_str());
    std::erase(left, line.type);
  }
  STRCMP_EQUAL("", fmt::format("{}", fmt::join(left, " ")).c_str());
}

TEST(Quant, IntegersAreNoReals) {
  const Bytes bytes(8);
  std::vector<float> x(1);
  for (const mnw_type type : {MNW_TYPE_I8, MNW_TYPE_I16, MNW_TYPE_I32, MNW_TYPE_I64}) {
    const auto row = std::span(bytes).first(static_cast<size_t>(FindType(type)->block_bytes));
    CHECK_ERROR(Code::kUnsupported, "does not hold real numbers", ToF32(type, row, x));
    CHECK_FALSE(DequantizeRow(type, bytes.data(), x.data(), 0));
  }
}

TEST(Quant, RefusesToWriteWhatItOnlyReads) {
  const std::vector<float> x(256);
  Bytes bytes(RowBytes(MNW_TYPE_Q2_K, 256));
  CHECK_ERROR(Code::kUnsupported, "Q2_K is read and not written", FromF32(MNW_TYPE_Q2_K, x, bytes));
}

TEST(Quant, EncodesTheCustomaryBytes) {
  const auto lines = ReadGolden("encode");
  LONGS_EQUAL(14, lines.size());
  for (const GoldenLine& line : lines) {
    const Bytes expected = BytesFromHex(line.expected);
    Bytes actual(expected.size());
    CHECK_OK(FromF32(TypeNamed(line.type), FloatsFromHex(line.input), actual));
    MEMCMP_EQUAL_TEXT(expected.data(), actual.data(), actual.size(), line.type.c_str());
  }
}

struct Bound {
  mnw_type type;
  double gaussian;  // measured: 5.0e-3, 1.22e-3, 3.0e-4, 2.9e-5, 7.4e-3, 1.8e-3
};
constexpr Bound kBounds[] = {
    {MNW_TYPE_Q4_K, 5.2e-3}, {MNW_TYPE_Q5_K, 1.3e-3}, {MNW_TYPE_Q6_K, 3.2e-4},
    {MNW_TYPE_Q8_0, 3.1e-5}, {MNW_TYPE_Q4_0, 7.8e-3}, {MNW_TYPE_Q5_0, 2.0e-3},
};

TEST(Quant, RoundTripStaysInsideItsErrorBound) {
  const std::vector<float> x = Gaussian(256 * 200, 1.0f, 1);
  for (const Bound& bound : kBounds) {
    const double nmse = Nmse(bound.type, x);
    CHECK_TEXT(nmse <= bound.gaussian,
               fmt::format("{}: {}", FindType(bound.type)->name, nmse).c_str());
  }
}

TEST(Quant, KQuantsKeepTheirErrorBoundWhereF16ScalesAreSubnormal) {
  for (const float sigma : {1e-3f, 1e-4f, 1e-5f, 1e5f}) {
    const std::vector<float> x = Gaussian(256 * 50, sigma, 2);
    CHECK(Nmse(MNW_TYPE_Q4_K, x) <= 5.3e-3);
    CHECK(Nmse(MNW_TYPE_Q5_K, x) <= 1.4e-3);
    CHECK(Nmse(MNW_TYPE_Q6_K, x) <= 4.5e-4);
  }
}

TEST(Quant, KQuantsEncodeOneSidedData) {
  for (const float offset : {3.0f, -3.0f}) {
    std::vector<float> x = Gaussian(256 * 20, 0.5f, 3);
    for (float& v : x) v += offset;
    CHECK(Nmse(MNW_TYPE_Q4_K, x) <= 1.5e-3);
    CHECK(Nmse(MNW_TYPE_Q5_K, x) <= 4e-4);
    CHECK(Nmse(MNW_TYPE_Q6_K, x) <= 4e-4);
  }
}

TEST(Quant, AnOutlierCostsOnlyItsOwnSubBlock) {
  std::vector<float> x = Gaussian(256, 1.0f, 4);
  x[100] = 1000.0f;
  const auto y = RoundTrip(MNW_TYPE_Q6_K, x);
  CHECK_OK(y.status());
  DOUBLES_EQUAL(1000.0, (*y)[100], 10.0);
}

TEST(Quant, ZerosStayZeros) {
  const std::vector<float> zeros(512, 0.0f);
  for (const TypeTraits& traits : TensorTypes()) {
    const auto y = RoundTrip(traits.type, zeros);
    if (!y.ok() && y.status().code() == Code::kUnsupported) continue;
    CHECK_OK(y.status());
    for (const float v : *y) CHECK_EQUAL_TEXT(0.0f, v, traits.name);
  }
}

TEST(Quant, ConstantsAreNearlyExact) {
  for (const float value : {0.75f, -0.75f, 1e-3f, -20.0f}) {
    const std::vector<float> x(512, value);
    for (const Bound& bound : kBounds) {
      const auto y = RoundTrip(bound.type, x);
      CHECK_OK(y.status());
      for (const float v : *y) DOUBLES_EQUAL(value, v, std::fabs(value) * 0.07);
    }
  }
}

TEST(Quant, EveryFiniteInputIsEncodedToFiniteValuesOrRefused) {
  std::mt19937 random(5);
  for (int round = 0; round < 2000; ++round) {
    std::vector<float> x(256);
    const int base = static_cast<int>(random() % 256);
    for (float& v : x) {  // exponents near each other, all ranges in turn, subnormals too
      const uint32_t exponent = std::min<uint32_t>(254, base + random() % 3);
      v = std::bit_cast<float>((static_cast<uint32_t>(random()) & 0x807fffffu) | exponent << 23);
    }
    for (const Bound& bound : kBounds) {
      const auto y = RoundTrip(bound.type, x);
      if (!y.ok()) {
        CHECK_ERROR(Code::kOutOfRange, "too large", y.status());
        CHECK(base > 127);
        continue;
      }
      for (const float v : *y) CHECK(std::isfinite(v));
    }
  }
}

TEST(Quant, RefusesWhatIsNotFiniteByElement) {
  std::vector<float> x(256, 1.0f);
  Bytes bytes(RowBytes(MNW_TYPE_Q4_K, 256));
  x[17] = NAN;
  CHECK_ERROR(Code::kInvalid, "element 17 is nan; Q4_K", FromF32(MNW_TYPE_Q4_K, x, bytes));
  x[17] = -INFINITY;
  CHECK_ERROR(Code::kInvalid, "element 17 is -inf", FromF32(MNW_TYPE_Q4_K, x, bytes));
}

TEST(Quant, RefusesWhatExceedsTheScaleByPlace) {
  std::vector<float> x(64, 1.0f);
  x[40] = 1e9f;
  Bytes bytes(RowBytes(MNW_TYPE_Q8_0, 64));
  CHECK_ERROR(Code::kOutOfRange, "the 32 elements from 32 on", FromF32(MNW_TYPE_Q8_0, x, bytes));
}

TEST(Quant, RefusesSizesThatDoNotMatch) {
  std::vector<float> x(64);
  Bytes bytes(68);
  CHECK_OK(ToF32(MNW_TYPE_Q8_0, bytes, x));
  bytes.pop_back();
  CHECK_ERROR(Code::kInvalid, "take 68 bytes, not 67", ToF32(MNW_TYPE_Q8_0, bytes, x));
  x.resize(40);
  CHECK_ERROR(Code::kInvalid, "not a multiple of Q8_0's block of 32",
              FromF32(MNW_TYPE_Q8_0, x, bytes));
  CHECK_ERROR(Code::kUnsupported, "I32 does not hold real", ToF32(MNW_TYPE_I32, bytes, x));
  CHECK_ERROR(Code::kUnsupported, "unknown tensor type 77",
              ToF32(static_cast<mnw_type>(77), bytes, x));
}

TEST(Quant, RowFunctionDecodesAtAnyAlignmentAndRefusesUnknownTypes) {
  const std::vector<float> x = Gaussian(64, 1.0f, 6);
  Bytes bytes(69);
  CHECK_OK(FromF32(MNW_TYPE_Q8_0, x, std::span(bytes).subspan(1)));
  std::vector<float> expected(64), actual(64);
  CHECK_OK(ToF32(MNW_TYPE_Q8_0, std::span(bytes).subspan(1), expected));
  CHECK(DequantizeRow(MNW_TYPE_Q8_0, bytes.data() + 1, actual.data(), 64));
  MEMCMP_EQUAL(expected.data(), actual.data(), 64 * sizeof(float));
  CHECK_FALSE(DequantizeRow(MNW_TYPE_Q8_0, bytes.data(), actual.data(), 40));
  CHECK_FALSE(DequantizeRow(MNW_TYPE_Q8_0, bytes.data(), actual.data(), -32));
  CHECK_FALSE(DequantizeRow(MNW_TYPE_I32, bytes.data(), actual.data(), 4));
  CHECK_FALSE(DequantizeRow(16, bytes.data(), actual.data(), 32));
  CHECK_FALSE(DequantizeRow(0xffffffffu, bytes.data(), actual.data(), 32));
}

}  // namespace
}  // namespace minnow::quant
