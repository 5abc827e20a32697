// Sampling noise as a function: the Gumbel variate of (seed, position, token). Adding it to
// logit / temperature and taking the largest draws from the softmax (Gumbel-max, arXiv:1611.00712),
// so a token is drawn the same whatever runs beside the request, and a draft can be checked without
// drawing. Threads: pure.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace minnow::engine {

// The finalizer of SplitMix64 (Steele, Lea, Flood 2014), a bijection whose outputs pass BigCrush.
inline uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// The noise of all tokens at one place.
class Noise {
 public:
  Noise(uint64_t seed, uint64_t position) : place_(Mix(Mix(seed) ^ position)) {}

  // Uniform in (0, 1), 52 bits, never 0 or 1: with 53 the half would round the largest up to 1.
  double Uniform(uint64_t token) const {
    return (static_cast<double>(Bits(token)) + 0.5) * 0x1p-52;
  }
  // In [-3.7, 36.8]: -log(-log(u)) at the ends of Uniform's range.
  double Gumbel(uint64_t token) const { return -std::log(-std::log(Uniform(token))); }
  // Not below Gumbel, but for rounding, and found without a logarithm: -log(u) is at least 1 - u,
  // and that at least the power of two that its leading zeros tell.
  double Bound(uint64_t token) const {
    const uint64_t rest = 2 * ((uint64_t{1} << 52) - 1 - Bits(token)) + 1;  // 1 - u, times 2^53
    return (std::countl_zero(rest) - 10) * 0.6931471805599454;              // ln 2, rounded up
  }

 private:
  uint64_t Bits(uint64_t token) const { return Mix(place_ ^ token) >> 12; }

  uint64_t place_;
};

inline constexpr double kGumbelRange = 40.6;  // largest difference of two variates, rounded up

}  // namespace minnow::engine
