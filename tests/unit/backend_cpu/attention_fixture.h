// Sequences of made-up tokens before kv_write and attention: what a host's scheduler does, reduced
// to what the tests of attention and state vary. A token's q, k and v are functions of its number.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "harness.h"

namespace minnow::cpu::test {

struct AttentionShape {
  uint32_t heads = 4, kv_heads = 2, k_dim = 32, v_dim = 32;
  mnw_type type = MNW_TYPE_F32;
  mnw_attention_params params = {0.2f, 0, 0, 0};
  bool sinks = false;
};

struct AttentionModel {
  // Page tables have `columns` columns, the state has n_pages pages.
  AttentionModel(const AttentionShape& shape, uint32_t n_pages, int64_t columns);

  AttentionShape shape;
  int64_t columns;
  std::vector<float> sink_values;
  Model model;
  mnw_id q, k, v, positions, seq, parent, seq_len, slots, pages;
};

struct Row {
  int32_t seq;  // in this step
  int32_t token;
  int32_t position;
  int32_t parent = -1;  // row of this step
  int32_t slot = -1;
};

struct Step {
  std::vector<Row> rows;
  std::vector<int32_t> seq_len;
  std::vector<std::vector<int32_t>> pages;
};

// q, k or v of a token: [n] normal numbers.
std::vector<float> TokenValues(char which, int32_t token, int64_t n);

// A context with state and plan.
class Engine {
 public:
  explicit Engine(const AttentionModel& m, const std::string& isa = "", uint32_t n_threads = 1);

  // The output of each row, [heads * v_dim].
  std::vector<Words> Run(const Step& step);
  State& state() { return state_; }

 private:
  const AttentionModel& model_;
  Context context_;
  State state_;
  Program program_;
};

// A committed sequence: its tokens and the pages that hold them.
struct Sequence {
  std::vector<int32_t> tokens;
  std::vector<int32_t> pages;

  int32_t Slot(int64_t position) const {
    return pages[static_cast<size_t>(position / 32)] * 32 + static_cast<int32_t>(position % 32);
  }
};

// Tokens number * 100000 + 0, 1, 2 ..
std::vector<int32_t> Document(int32_t number, int64_t n);

// Adds a sequence with its next tokens, each with a slot, to a step, and to the sequence.
void Append(Step& step, Sequence& s, const std::vector<int32_t>& tokens);

// softmax(scale q K^T) V in double precision for the last of `tokens`, with keys and values taken
// from their canonical form if given (keys[p] is [kv_heads * k_dim]), else as made.
std::vector<double> NaiveAttention(const AttentionModel& m, const std::vector<int32_t>& tokens,
                                   const std::vector<std::vector<float>>& keys,
                                   const std::vector<std::vector<float>>& values);

}  // namespace minnow::cpu::test
