// Sampling noise as a function: the Gumbel variate of (seed, position, token). Adding it to
// logit / temperature and taking the largest draws from the softmax (Gumbel-max, arXiv:1611.00712),
// so a token is drawn the same whatever runs beside the request, and a draft can be checked without
// drawing. Threads: pure.
#pragma once

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

// Uniform in (0, 1), 52 bits, never 0 or 1: with 53 the half would round the largest up to 1.
inline double Uniform(uint64_t seed, uint64_t position, uint64_t token) {
  const uint64_t bits = Mix(Mix(Mix(seed) ^ position) ^ token);
  return (static_cast<double>(bits >> 12) + 0.5) * 0x1p-52;
}

// In [-3.7, 36.8]: -log(-log(u)) at the ends of Uniform's range.
inline double GumbelNoise(uint64_t seed, uint64_t position, uint64_t token) {
  return -std::log(-std::log(Uniform(seed, position, token)));
}
inline constexpr double kGumbelRange = 40.6;  // largest difference of two variates, rounded up

}  // namespace minnow::engine
