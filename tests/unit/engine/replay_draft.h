// A draft that knows the answer and is right as often as it is told to be, for tests and
// benchmarks. What it guesses depends on its arguments alone. Threads: the executor's.
#pragma once

#include <vector>

#include "engine/draft.h"
#include "engine/noise.h"

namespace minnow::test {

class ReplayDraft final : public engine::DraftSource {
 public:
  struct Options {
    size_t prompt = 0;                      // tokens before the answer
    std::vector<engine::TokenId> answer{};  // nothing is guessed beyond its end
    double acceptance = 1;                  // of a guess whose predecessors were right
    engine::TokenId wrong = -1;  // what stands for a wrong one; -1: a neighbour of the right one
    bool tree = false;           // a second branch, now and then the right one
    bool insists = true;
    size_t most = 24;  // nodes of a step
    uint64_t seed = 1;
  };
  explicit ReplayDraft(Options options) : o_(std::move(options)) {}

  std::vector<engine::DraftNode> Propose(std::span<const engine::TokenId> tokens,
                                         size_t most) override {
    std::vector<engine::DraftNode> nodes;
    most = std::min(most, o_.most);
    const size_t done = tokens.size() - o_.prompt;
    if (o_.tree && most > 4) {
      // Beside the chain below, hanging at its beginning: what the chain may have missed.
      Chain(done, most - most / 4, o_.seed, &nodes);
      Chain(done, most / 4, o_.seed + 1, &nodes);
    } else {
      Chain(done, most, o_.seed, &nodes);
    }
    return nodes;
  }
  bool insists() const override { return o_.insists; }

 private:
  void Chain(size_t done, size_t most, uint64_t seed, std::vector<engine::DraftNode>* nodes) const {
    for (size_t i = done; i < std::min(done + most, o_.answer.size()); ++i) {
      const bool right = engine::Noise(seed, i).Uniform(0) < o_.acceptance;
      const engine::TokenId other = o_.wrong >= 0 ? o_.wrong : o_.answer[i] ^ 1;
      const int32_t parent = i == done ? -1 : static_cast<int32_t>(nodes->size()) - 1;
      nodes->push_back({parent, right ? o_.answer[i] : other, engine::DraftKind::kOther});
    }
  }

  Options o_;
};

}  // namespace minnow::test
