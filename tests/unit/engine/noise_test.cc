#include "engine/noise.h"

#include <CppUTest/TestHarness.h>

using minnow::engine::kGumbelRange;
using minnow::engine::Mix;
using minnow::engine::Noise;

namespace {

uint64_t InverseOfOdd(uint64_t a) {
  uint64_t x = a;  // right in the lowest 3 bits; each step doubles them
  for (int i = 0; i < 5; ++i) x *= 2 - a * x;
  return x;
}

uint64_t Unmix(uint64_t x) {
  x ^= (x >> 31) ^ (x >> 62);
  x *= InverseOfOdd(0x94d049bb133111eb);
  x ^= (x >> 27) ^ (x >> 54);
  x *= InverseOfOdd(0xbf58476d1ce4e5b9);
  x ^= (x >> 30) ^ (x >> 60);
  return x - 0x9e3779b97f4a7c15;
}

// The token whose uniform variate is made from these bits.
uint64_t TokenFor(uint64_t bits, uint64_t seed, uint64_t position) {
  return Unmix(bits) ^ Mix(Mix(seed) ^ position);
}

}  // namespace

TEST_GROUP(Noise){};

TEST(Noise, UniformIsNeverZeroOrOne) {
  const double smallest = Noise(3, 5).Uniform(TokenFor(0, 3, 5));
  const double largest = Noise(3, 5).Uniform(TokenFor(~uint64_t{0}, 3, 5));
  CHECK(smallest > 0);
  CHECK(largest < 1);
  CHECK(smallest < 1e-15);
  CHECK(largest > 1 - 1e-15);
}

TEST(Noise, GumbelStaysInItsRange) {
  const double lowest = Noise(3, 5).Gumbel(TokenFor(0, 3, 5));
  const double highest = Noise(3, 5).Gumbel(TokenFor(~uint64_t{0}, 3, 5));
  CHECK(lowest >= -3.7);
  CHECK(highest <= 36.8);
  CHECK(highest - lowest <= kGumbelRange);
  CHECK(highest - lowest > kGumbelRange - 1);  // not rounded up by more than it says
}

TEST(Noise, ItsBoundIsNoLessAndNear) {
  const Noise noise(3, 5);
  const auto check = [&](uint64_t token) {
    CHECK(noise.Bound(token) >= noise.Gumbel(token) - 1e-12);
    // Where noise is large enough to win.
    if (noise.Gumbel(token) > 3) CHECK(noise.Bound(token) < noise.Gumbel(token) + 0.75);
  };
  for (uint64_t token = 0; token < 100'000; ++token) check(token);
  for (int zeros = 0; zeros < 64; ++zeros) {
    check(TokenFor(~uint64_t{0} >> zeros, 3, 5));
    check(TokenFor(~(~uint64_t{0} >> zeros), 3, 5));
  }
}

TEST(Noise, EachArgumentCounts) {
  const double u = Noise(1, 2).Uniform(3);
  CHECK(u != Noise(2, 2).Uniform(3));
  CHECK(u != Noise(1, 3).Uniform(3));
  CHECK(u != Noise(1, 2).Uniform(4));
  CHECK(Noise(0, 1).Uniform(0) != Noise(0, 0).Uniform(1));
  CHECK(Noise(1, 0).Uniform(0) != Noise(0, 1).Uniform(0));
  CHECK(u == Noise(1, 2).Uniform(3));
}

TEST(Noise, UniformFillsTheIntervalEvenly) {
  constexpr int kCells = 20, kDraws = 20000;
  int count[kCells] = {};
  for (uint64_t i = 0; i < kDraws; ++i) ++count[static_cast<int>(Noise(7, i).Uniform(11) * kCells)];
  double chi = 0;
  for (int c : count) {
    const double expected = double{kDraws} / kCells;
    chi += (c - expected) * (c - expected) / expected;
  }
  CHECK(chi < 55);  // 19 degrees of freedom: more in one of 40,000 seeds
}
