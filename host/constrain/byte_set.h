// A set of byte values. Threads: a value.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace minnow::constrain {

struct ByteSet {
  std::array<uint64_t, 4> words = {};

  static ByteSet Range(uint8_t first, uint8_t last) {  // both included
    ByteSet set;
    for (unsigned b = first; b <= last; ++b) set.Add(static_cast<uint8_t>(b));
    return set;
  }
  void Add(uint8_t b) { words[b >> 6] |= uint64_t{1} << (b & 63); }
  bool Has(uint8_t b) const { return words[b >> 6] >> (b & 63) & 1; }
  int Count() const {
    int n = 0;
    for (uint64_t w : words) n += std::popcount(w);
    return n;
  }
  bool empty() const { return Count() == 0; }
  uint8_t First() const {  // REQUIRES: !empty()
    unsigned i = 0;
    while (words[i] == 0) ++i;
    return static_cast<uint8_t>(i * 64 + static_cast<unsigned>(std::countr_zero(words[i])));
  }
  ByteSet operator|(const ByteSet& o) const {
    ByteSet r;
    for (size_t i = 0; i < 4; ++i) r.words[i] = words[i] | o.words[i];
    return r;
  }
  ByteSet operator&(const ByteSet& o) const {
    ByteSet r;
    for (size_t i = 0; i < 4; ++i) r.words[i] = words[i] & o.words[i];
    return r;
  }
  ByteSet operator~() const {
    ByteSet r;
    for (size_t i = 0; i < 4; ++i) r.words[i] = ~words[i];
    return r;
  }
  bool operator==(const ByteSet&) const = default;
};

}  // namespace minnow::constrain
