// What each tensor type's file defines: how its blocks are decoded and encoded. Internal to this
// folder; the door is quant/quant.h. Threads: pure functions.
//
// A type is a row in minnow/abi/types.def and one file here that defines its kCodec_<name>.
#pragma once

#include <cstdint>
#include <cstring>

namespace minnow::quant {

// Both take whole blocks at any alignment. `encode` gets finite values for types with blocks (any
// value for F32, F16 and BF16) and returns how many blocks it wrote: fewer than `blocks` when the
// next one holds magnitudes that the type's scale cannot express. Null `decode`: the type holds no
// reals. Null `encode`: it is read, not written.
struct Codec {
  void (*decode)(const void* src, float* dst, int64_t blocks) = nullptr;
  int64_t (*encode)(const float* src, void* dst, int64_t blocks) = nullptr;
};

#define MNW_TYPE(name, id, block_elements, block_bytes) extern const Codec kCodec_##name;
#include <minnow/abi/types.def>
#undef MNW_TYPE

// A Codec of a function on single blocks: void Decode(const Block&, float*).
template <class Block, int kElements, auto Decode>
constexpr Codec BlockDecoder() {
  return {[](const void* src, float* dst, int64_t blocks) {
    for (int64_t b = 0; b < blocks; ++b) {
      Block block;
      std::memcpy(&block, static_cast<const Block*>(src) + b, sizeof block);
      Decode(block, dst + b * kElements);
    }
  }};
}

// The same with bool Encode(const float*, Block*).
template <class Block, int kElements, auto Decode, auto Encode>
constexpr Codec BlockCodec() {
  Codec codec = BlockDecoder<Block, kElements, Decode>();
  codec.encode = [](const float* src, void* dst, int64_t blocks) {
    for (int64_t b = 0; b < blocks; ++b) {
      Block block;
      if (!Encode(src + b * kElements, &block)) return b;
      std::memcpy(static_cast<Block*>(dst) + b, &block, sizeof block);
    }
    return blocks;
  };
  return codec;
}

}  // namespace minnow::quant
