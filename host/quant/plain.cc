// The types without blocks: F64, F32, F16, BF16, and the integers, which hold no reals.
#include <minnow/sdk/half.h>

#include "quant/codec.h"

namespace minnow::quant {
namespace {

template <auto ToFloat, auto FromFloat>
constexpr Codec HalfCodec() {
  return BlockCodec<uint16_t, 1, [](const uint16_t& h, float* f) { *f = ToFloat(h); },
                    [](const float* f, uint16_t* h) {
                      *h = FromFloat(*f);
                      return true;
                    }>();
}

}  // namespace

const Codec kCodec_F32 = {
    [](const void* src, float* dst, int64_t n) { std::memcpy(dst, src, n * sizeof(float)); },
    [](const float* src, void* dst, int64_t n) {
      std::memcpy(dst, src, n * sizeof(float));
      return n;
    },
};
const Codec kCodec_F16 = HalfCodec<F16ToF32, F32ToF16>();
const Codec kCodec_BF16 = HalfCodec<BF16ToF32, F32ToBF16>();
const Codec kCodec_F64 =
    BlockDecoder<double, 1, [](double d, float* f) { *f = static_cast<float>(d); }>();
const Codec kCodec_I8 = {};
const Codec kCodec_I16 = {};
const Codec kCodec_I32 = {};
const Codec kCodec_I64 = {};

}  // namespace minnow::quant
