// The linear kernels against what the machine can do: operations per second of a prefill (512 rows)
// and of small batches, bytes of weights per second when decoding, for every level, type and shape.
//
// The limits are measured first, by as many threads: a loop of int8 dot products, a loop of f32
// FMAs, and a read of memory. `of_limit` is the share reached, of whichever limit is nearer.
// Weights are copied until they exceed every cache. MINNOW_BENCH_THREADS (1 by default) share the
// panels; one thread is timed by its own CPU time, so that other work on the machine disturbs
// little but the memory.
//   linear_bench --benchmark_filter='avx512vnni/prefill/Q8_0'
#include <benchmark/benchmark.h>
#include <immintrin.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "kernels/linear.h"

using namespace minnow::cpu;

namespace {

constexpr size_t kBeyondCaches = size_t{160} << 20;

struct Type {
  const char* name;
  int32_t id;
  int64_t elements;
  size_t bytes;
};
constexpr Type kTypes[] = {
#define MNW_TYPE(name, id, elements, bytes) {#name, id, elements, bytes},
#include "minnow/abi/types.def"
#undef MNW_TYPE
};

struct Level {
  const char* name;
  const LinearKernels* kernels;
  double (*int8_loop)();  // operations done
  double (*float_loop)();
};

// Twelve independent chains of the level's widest instructions.
constexpr int kLoop = 200000;
[[gnu::target("avx512f,avx512vnni")]] double Int8LoopAvx512() {
  __m512i acc[12];
  for (__m512i& a : acc) {
    a = _mm512_setzero_si512();
    asm volatile("" : "+v"(a));  // twelve different values, for all that the compiler knows
  }
  __m512i w = _mm512_set1_epi8(3);
  for (int i = 0; i < kLoop; ++i) {
#pragma GCC unroll 12
    for (__m512i& a : acc) a = _mm512_dpbusd_epi32(a, w, w);
    asm volatile("" : "+v"(w));
  }
  for (__m512i& a : acc) asm volatile("" ::"v"(a));
  return 128.0 * 12 * kLoop;
}
[[gnu::target("avx512f")]] double FloatLoopAvx512() {
  __m512 acc[12];
  for (__m512& a : acc) {
    a = _mm512_setzero_ps();
    asm volatile("" : "+v"(a));  // twelve different values, for all that the compiler knows
  }
  __m512 w = _mm512_set1_ps(1e-3f);
  for (int i = 0; i < kLoop; ++i) {
#pragma GCC unroll 12
    for (__m512& a : acc) a = _mm512_fmadd_ps(w, w, a);
    asm volatile("" : "+v"(w));
  }
  for (__m512& a : acc) asm volatile("" ::"v"(a));
  return 32.0 * 12 * kLoop;
}
[[gnu::target("avx2")]] double Int8LoopAvx2() {
  __m256i acc[12];
  for (__m256i& a : acc) {
    a = _mm256_setzero_si256();
    asm volatile("" : "+x"(a));  // twelve different values, for all that the compiler knows
  }
  __m256i w = _mm256_set1_epi8(3);
  const __m256i ones = _mm256_set1_epi16(1);
  for (int i = 0; i < kLoop; ++i) {
#pragma GCC unroll 12
    for (__m256i& a : acc) {
      a = _mm256_add_epi32(a, _mm256_madd_epi16(_mm256_maddubs_epi16(w, w), ones));
      asm volatile("" : "+x"(w));
    }
  }
  for (__m256i& a : acc) asm volatile("" ::"x"(a));
  return 64.0 * 12 * kLoop;
}
[[gnu::target("avx2,fma")]] double FloatLoopAvx2() {
  __m256 acc[12];
  for (__m256& a : acc) {
    a = _mm256_setzero_ps();
    asm volatile("" : "+x"(a));  // twelve different values, for all that the compiler knows
  }
  __m256 w = _mm256_set1_ps(1e-3f);
  for (int i = 0; i < kLoop; ++i) {
#pragma GCC unroll 12
    for (__m256& a : acc) a = _mm256_fmadd_ps(w, w, a);
    asm volatile("" : "+x"(w));
  }
  for (__m256& a : acc) asm volatile("" ::"x"(a));
  return 16.0 * 12 * kLoop;
}

const Level kLevels[] = {
    {"avx512vnni", &avx512vnni::Linear(), Int8LoopAvx512, FloatLoopAvx512},
    {"avx2", &avx2::Linear(), Int8LoopAvx2, FloatLoopAvx2},
};
bool Supported(const Level& level) {
  if (std::strcmp(level.name, "avx2") == 0) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  }
  return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw");
}

using Lines = std::unique_ptr<uint8_t, decltype(&std::free)>;
// In huge pages where the system grants them, as the backend asks for its packed weights: with
// small ones the read of memory itself fell from 31 to 20 GB/s.
Lines Allocate(size_t bytes) {
  constexpr size_t kHuge = size_t{2} << 20;
  const size_t align = bytes >= kHuge ? kHuge : 64;
  const size_t rounded = (bytes + align - 1) / align * align;
  auto* memory = static_cast<uint8_t*>(std::aligned_alloc(align, rounded));
#ifdef MADV_HUGEPAGE
  if (align == kHuge) madvise(memory, rounded, MADV_HUGEPAGE);
#endif
  return {memory, &std::free};
}

int Threads() {
  const char* env = std::getenv("MINNOW_BENCH_THREADS");
  return env ? std::max(1, std::atoi(env)) : 1;
}

double ThreadSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// What all threads together do per second of their CPU time, at best of a few rounds.
double BestRate(const std::function<double(int thread)>& body) {
  double best = 0;
  for (int round = 0; round < 15; ++round) {
    std::vector<double> rate(static_cast<size_t>(Threads()));
    std::vector<std::thread> threads;
    for (size_t i = 0; i < rate.size(); ++i) {
      threads.emplace_back([&, i] {
        const double begin = ThreadSeconds();
        const double done = body(static_cast<int>(i));
        rate[i] = done / (ThreadSeconds() - begin);
      });
    }
    for (std::thread& t : threads) t.join();
    best = std::max(best, std::accumulate(rate.begin(), rate.end(), 0.0));
  }
  return best;
}

// Bytes read, in one stream.
[[gnu::target("avx2")]] double ReadMemory(const uint8_t* memory, size_t bytes) {
  __m256i sum[4] = {};
  for (size_t i = 0; i + 128 <= bytes; i += 128) {
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; ++j) {
      const auto* p = reinterpret_cast<const __m256i*>(memory + i + 32 * j);
      sum[j] = _mm256_xor_si256(sum[j], _mm256_load_si256(p));
    }
  }
  for (__m256i& s : sum) asm volatile("" ::"x"(s));
  return static_cast<double>(bytes);
}

struct Limits {
  double int8 = 0, f32 = 0, bytes = 0;
};

Limits Measure(const Level& level) {
  const size_t bytes = kBeyondCaches / static_cast<size_t>(Threads());
  const Lines memory = Allocate(kBeyondCaches);
  std::memset(memory.get(), 1, kBeyondCaches);
  Limits limits;
  limits.int8 = BestRate([&](int) { return level.int8_loop(); });
  limits.f32 = BestRate([&](int) { return level.float_loop(); });
  limits.bytes = BestRate([&](int i) {
    return ReadMemory(memory.get() + static_cast<size_t>(i) * (bytes / 64 * 64), bytes);
  });
  std::printf("%s, %d threads: int8 %.0f GOPS, f32 %.0f GFLOPS, memory %.1f GB/s\n", level.name,
              Threads(), limits.int8 / 1e9, limits.f32 / 1e9, limits.bytes / 1e9);
  return limits;
}

// A weight matrix packed once and copied, and rows of activations.
struct Work {
  Lines weights{nullptr, &std::free}, q{nullptr, &std::free}, scale{nullptr, &std::free},
      sum{nullptr, &std::free}, f32{nullptr, &std::free}, y{nullptr, &std::free};
  int64_t copies = 1;
  size_t matrix_bytes = 0;
  Activations x;

  Work(const LinearKernels& kernels, const Type& type, int64_t n, int64_t k, int64_t rows) {
    const LinearKernel& kernel = *kernels.Find(type.id);
    const size_t row_bytes = static_cast<size_t>(k / type.elements) * type.bytes;
    const size_t panel_bytes = kernel.panel_bytes(k);
    matrix_bytes = panel_bytes * static_cast<size_t>(n / kPanel);
    copies = static_cast<int64_t>(kBeyondCaches / matrix_bytes) + 1;
    weights = Allocate(matrix_bytes * static_cast<size_t>(copies));

    std::mt19937 random(1);
    std::vector<uint8_t> panel(row_bytes * kPanel);
    for (uint8_t& b : panel) b = static_cast<uint8_t>(random() & 0x1f);  // scales small, no NaN
    for (size_t at = 0; at < matrix_bytes; at += panel_bytes) {
      kernel.pack(panel.data(), row_bytes, kPanel, k, weights.get() + at);
    }
    for (int64_t c = 1; c < copies; ++c) {
      std::memcpy(weights.get() + static_cast<size_t>(c) * matrix_bytes, weights.get(),
                  matrix_bytes);
    }

    const auto count = static_cast<size_t>(rows * k);
    f32 = Allocate(count * 4);
    q = Allocate(count);
    scale = Allocate(count / 8);
    sum = Allocate(count / 8);
    y = Allocate(static_cast<size_t>(rows * n) * 4);
    auto* values = reinterpret_cast<float*>(f32.get());
    for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(random() % 1000) - 500;
    x = {values, k, reinterpret_cast<int8_t*>(q.get()), reinterpret_cast<float*>(scale.get()),
         reinterpret_cast<int16_t*>(sum.get())};
    for (int64_t t = 0; t < rows; ++t) {
      kernels.quantize_row(values + t * k, k, reinterpret_cast<int8_t*>(q.get()) + t * k,
                           reinterpret_cast<float*>(scale.get()) + t * k / 32,
                           reinterpret_cast<int16_t*>(sum.get()) + t * k / 16);
    }
  }
};

struct Shape {
  int64_t n, k;
};
constexpr Shape kShapes[] = {{4864, 896}, {896, 4864}, {8192, 2048}, {2048, 8192}};

// Each thread multiplies its half of the panels.
void Linear(benchmark::State& state, const Level& level, const Limits& limits, const Type& type,
            Shape shape, int64_t rows) {
  static std::unique_ptr<Work>
      work;  // the threads of one benchmark share it between their barriers
  if (state.thread_index() == 0) {
    work = std::make_unique<Work>(*level.kernels, type, shape.n, shape.k, rows);
  }
  const LinearKernel& kernel = *level.kernels->Find(type.id);
  const int64_t panels = shape.n / kPanel;
  const int64_t p0 = panels * state.thread_index() / state.threads();
  const int64_t p1 = panels * (state.thread_index() + 1) / state.threads();
  int64_t copy = 0;
  for (auto _ : state) {
    kernel.multiply(work->weights.get() + static_cast<size_t>(copy) * work->matrix_bytes, shape.k,
                    work->x, 0, rows, p0, p1, shape.n, reinterpret_cast<float*>(work->y.get()),
                    shape.n);
    copy = (copy + 1) % work->copies;
  }
  const auto iterations = static_cast<double>(state.iterations());
  const double ops = iterations * 2.0 * static_cast<double>((p1 - p0) * kPanel * shape.k * rows);
  const double bytes = iterations * static_cast<double>(work->matrix_bytes) *
                       static_cast<double>(p1 - p0) / static_cast<double>(panels);
  using benchmark::Counter;
  const double peak = kernel.quantized_input ? limits.int8 : limits.f32;
  state.counters["GOPS"] = Counter(ops / 1e9, Counter::kIsRate);
  state.counters["GB/s"] = Counter(bytes / 1e9, Counter::kIsRate);
  state.counters["of_limit"] =
      Counter(std::max(ops / peak, bytes / limits.bytes), Counter::kIsRate);
}

void Quantize(benchmark::State& state, const Level& level) {
  constexpr int64_t kLength = 4864;
  const std::vector<float> x(kLength, 0.5f);
  std::vector<int8_t> q(kLength);
  std::vector<float> scale(kLength / 32);
  std::vector<int16_t> sum(kLength / 16);
  for (auto _ : state) {
    level.kernels->quantize_row(x.data(), kLength, q.data(), scale.data(), sum.data());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kLength);
}

void Register(const Level& level, const Limits& limits) {
  const std::string prefix = std::string(level.name) + "/";
  benchmark::RegisterBenchmark((prefix + "quantize_row").c_str(),
                               [&](benchmark::State& s) { Quantize(s, level); });
  for (const auto& [kind, rows] : {std::pair<const char*, int64_t>{"prefill", 512},
                                   {"batch8", 8},
                                   {"batch32", 32},
                                   {"decode", 1}}) {
    for (const Type& type : kTypes) {
      if (level.kernels->Find(type.id) == nullptr) continue;
      for (const Shape& shape : kShapes) {
        if (shape.k % type.elements != 0) continue;
        const std::string name = prefix + kind + "/" + type.name + "/" + std::to_string(shape.n) +
                                 "x" + std::to_string(shape.k);
        auto* registered = benchmark::RegisterBenchmark(
            name.c_str(), [&level, &limits, &type, &shape, rows = rows](benchmark::State& s) {
              Linear(s, level, limits, type, shape, rows);
            });
        if (Threads() > 1) registered->Threads(Threads())->UseRealTime();
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  Limits limits[std::size(kLevels)];
  for (size_t i = 0; i < std::size(kLevels); ++i) {
    if (!Supported(kLevels[i])) continue;
    limits[i] = Measure(kLevels[i]);
    Register(kLevels[i], limits[i]);
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
