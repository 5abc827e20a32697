// Adapters over the real CPU backend: the bits of a request's logits are those of a quiet engine,
// whatever runs, is loaded and is unloaded beside it.
#include <atomic>
#include <cstring>
#include <random>
#include <thread>

#include "build_tree.h"
#include "engine/answer.h"
#include "engine/random_adapter.h"

using minnow::engine::AdapterId;
using minnow::engine::Engine;
using minnow::engine::GenerateRequest;
using minnow::engine::TokenId;
using minnow::test::Ask;
using minnow::test::AskedGenerate;
using minnow::test::CpuEngine;
using minnow::test::CpuOptions;
using minnow::test::GoldenPath;
using minnow::test::LoadModel;
using minnow::test::LogitsOf;
using minnow::test::RandomAdapter;

namespace {

constexpr uint32_t kLength = 120;

std::vector<TokenId> Text(uint32_t seed) {
  std::mt19937 rng(seed);
  std::vector<TokenId> tokens = {0};
  while (tokens.size() < kLength) tokens.push_back(static_cast<TokenId>(2 + rng() % 270));
  return tokens;
}

AdapterId Load(CpuEngine& cpu, uint32_t seed) {
  auto id = cpu.engine().LoadAdapter(RandomAdapter(cpu.engine().instance(), seed));
  CHECK_OK(id.status());
  return *id;
}

CpuOptions Options(const char* device = "cpu", uint32_t n_threads = 1) {
  CpuOptions options;
  options.device = device;
  options.n_threads = n_threads;
  options.instance.max_out = kLength;
  return options;
}

void CheckSameBits(const std::vector<float>& expected, const std::vector<float>& got,
                   const char* what) {
  UNSIGNED_LONGS_EQUAL(expected.size(), got.size());
  CHECK_TEXT(std::memcmp(expected.data(), got.data(), got.size() * sizeof(float)) == 0, what);
}

// Until told to stop: loads adapters, sends requests through them, unloads them at once.
void MakeNoise(CpuEngine& cpu, const std::atomic<bool>& stop) {
  std::vector<AskedGenerate> asked;
  for (uint32_t seed = 100; !stop; ++seed) {
    const AdapterId id = Load(cpu, seed);
    GenerateRequest request;
    request.prompt = Text(seed);
    request.prompt.resize(10 + seed % 50);
    request.max_tokens = 5;
    request.adapter = seed % 3 ? id : 0;
    asked.push_back(Ask(cpu.engine(), std::move(request)));
    if (seed % 4 == 0) cpu.engine().Cancel(asked.back().id);
    CHECK_OK(cpu.engine().UnloadAdapter(id));
    if (asked.size() % 8 == 0) asked.back().Wait();
  }
  for (const AskedGenerate& a : asked) a.Wait();
}

}  // namespace

TEST_GROUP(AdapterBits){
    void CheckModel(const char* file){const auto model = LoadModel(GoldenPath(file));
std::vector<std::vector<float>> quiet;  // base, two adapters
{
  CpuEngine cpu(model, Options());
  quiet.push_back(LogitsOf(cpu.engine(), Text(1), kLength));
  for (const uint32_t seed : {1u, 2u}) {
    quiet.push_back(LogitsOf(cpu.engine(), Text(1), kLength, Load(cpu, seed)));
  }
  CHECK(quiet[0] != quiet[1] && quiet[1] != quiet[2]);
}
for (const char* device : {"cpu:isa=ref", "cpu"}) {
  CpuOptions options = Options(device, 3);
  options.engine.step_tokens = 37;
  CpuEngine cpu(model, options);
  const AdapterId ids[] = {0, Load(cpu, 1), Load(cpu, 2)};
  std::atomic<bool> stop = false;
  std::thread noise([&] { MakeNoise(cpu, stop); });
  for (int round = 0; round < 2; ++round) {
    for (size_t i = 0; i < 3; ++i) {
      CheckSameBits(quiet[i], LogitsOf(cpu.engine(), Text(1), kLength, ids[i]), device);
    }
  }
  stop = true;
  noise.join();
}
}
}
;

TEST(AdapterBits, AreThoseOfAQuietEngine) { CheckModel("llama.gguf"); }
TEST(AdapterBits, AreThoseOfAQuietEngineOnAQuantizedBase) { CheckModel("quantized.gguf"); }
