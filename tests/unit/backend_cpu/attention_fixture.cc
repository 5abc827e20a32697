#include "attention_fixture.h"

#include <CppUTest/TestHarness.h>

#include <algorithm>
#include <cmath>

namespace minnow::cpu::test {

AttentionModel::AttentionModel(const AttentionShape& s, uint32_t n_pages, int64_t n_columns)
    : shape(s), columns(n_columns) {
  const uint32_t group = model.Group(MNW_STATE_KV, n_pages, s.params.window);
  q = model.Input({s.k_dim, s.heads, kTokens, 1});
  k = model.Input({s.k_dim, s.kv_heads, kTokens, 1});
  v = model.Input({s.v_dim, s.kv_heads, kTokens, 1});
  positions = model.StepInput(MNW_INPUT_POSITIONS);
  seq = model.StepInput(MNW_INPUT_SEQ);
  parent = model.StepInput(MNW_INPUT_PARENT);
  seq_len = model.StepInput(MNW_INPUT_SEQ_LEN);
  slots = model.StepInput(MNW_INPUT_SLOTS, group);
  pages = model.StepInput(MNW_INPUT_PAGES, group, columns);
  const mnw_id before = model.State(0, group, s.kv_heads, s.k_dim, s.v_dim, s.type);
  mnw_id sinks = MNW_NONE;
  if (s.sinks) {
    sink_values = TokenValues('s', 0, s.heads);
    sinks = model.Vector(sink_values);
  }
  const mnw_id after = model.Emit(MNW_OP_kv_write, {k, v, before, slots});
  model.Output(model.Emit(MNW_OP_attention,
                          {q, after, positions, seq, parent, seq_len, pages, sinks}, s.params)[0]);
  model.Finish();
}

std::vector<float> TokenValues(char which, int32_t token, int64_t n) {
  Random random(static_cast<uint32_t>(token) * 131 + static_cast<uint32_t>(which));
  return random.Normals(n);
}

Engine::Engine(const AttentionModel& m, const std::string& isa, uint32_t n_threads)
    : model_(m),
      context_(isa, n_threads),
      state_(context_, m.model),
      program_(context_, m.model, {1024, 16, 0}, &state_) {}

std::vector<Words> Engine::Run(const Step& step) {
  const AttentionShape& s = model_.shape;
  std::vector<float> q, k, v;
  std::vector<int32_t> positions, seq, parent, slots, pages;
  const auto append = [](std::vector<float>& to, const std::vector<float>& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  for (const Row& row : step.rows) {
    append(q, TokenValues('q', row.token, s.heads * s.k_dim));
    append(k, TokenValues('k', row.token, s.kv_heads * s.k_dim));
    append(v, TokenValues('v', row.token, s.kv_heads * s.v_dim));
    positions.push_back(row.position);
    seq.push_back(row.seq);
    parent.push_back(row.parent);
    slots.push_back(row.slot);
  }
  for (std::vector<int32_t> table : step.pages) {
    table.resize(static_cast<size_t>(model_.columns), -1);
    pages.insert(pages.end(), table.begin(), table.end());
  }
  const Words out = program_.Run(
      {static_cast<int64_t>(step.rows.size()), static_cast<int64_t>(step.seq_len.size()), 0},
      {{model_.q, ToWords(q)},
       {model_.k, ToWords(k)},
       {model_.v, ToWords(v)},
       {model_.positions, ToWords(positions)},
       {model_.seq, ToWords(seq)},
       {model_.parent, ToWords(parent)},
       {model_.seq_len, ToWords(step.seq_len)},
       {model_.slots, ToWords(slots)},
       {model_.pages, ToWords(pages)}})[0];
  std::vector<Words> rows;
  const size_t width = s.heads * s.v_dim;
  for (size_t i = 0; i < step.rows.size(); ++i) {
    rows.emplace_back(out.begin() + static_cast<ptrdiff_t>(i * width),
                      out.begin() + static_cast<ptrdiff_t>((i + 1) * width));
  }
  return rows;
}

std::vector<int32_t> Document(int32_t number, int64_t n) {
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < n; ++i) tokens.push_back(number * 100000 + i);
  return tokens;
}

void Append(Step& step, Sequence& s, const std::vector<int32_t>& tokens) {
  const auto seq = static_cast<int32_t>(step.seq_len.size());
  step.seq_len.push_back(static_cast<int32_t>(s.tokens.size()));
  step.pages.push_back(s.pages);
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto position = static_cast<int32_t>(s.tokens.size());
    const auto row = static_cast<int32_t>(step.rows.size());
    step.rows.push_back({seq, tokens[i], position, i == 0 ? -1 : row - 1, s.Slot(position)});
    s.tokens.push_back(tokens[i]);
  }
}

std::vector<double> NaiveAttention(const AttentionModel& m, const std::vector<int32_t>& tokens,
                                   const std::vector<std::vector<float>>& keys,
                                   const std::vector<std::vector<float>>& values) {
  const AttentionShape& s = m.shape;
  const auto n = static_cast<int64_t>(tokens.size());
  const std::vector<float> q = TokenValues('q', tokens.back(), s.heads * s.k_dim);
  const int64_t first =
      s.params.window ? std::max<int64_t>(0, n - static_cast<int64_t>(s.params.window)) : 0;
  std::vector<double> out;
  for (uint32_t h = 0; h < s.heads; ++h) {
    const uint32_t kv = h / (s.heads / s.kv_heads);
    // The slopes of the paper for 8 heads: 1/2, 1/4 .. 1/256; for 12, those and the odd ones of 16.
    uint32_t pow2 = 1;
    while (2 * pow2 <= s.heads) pow2 *= 2;
    const double max_bias = s.params.alibi_max_bias;
    const double slope = max_bias == 0 ? 0
                         : h < pow2    ? std::exp2(-max_bias / pow2 * (h + 1))
                                       : std::exp2(-max_bias / (2 * pow2) * (2 * (h - pow2) + 1));
    std::vector<double> score;
    for (int64_t p = first; p < n; ++p) {
      double dot = 0;
      for (uint32_t i = 0; i < s.k_dim; ++i) {
        dot += double{q[h * s.k_dim + i]} * keys[static_cast<size_t>(p)][kv * s.k_dim + i];
      }
      dot *= s.params.scale;
      if (s.params.softcap > 0) dot = s.params.softcap * std::tanh(dot / s.params.softcap);
      score.push_back(dot - slope * static_cast<double>(n - 1 - p));
    }
    double max = *std::max_element(score.begin(), score.end()), sum = 0;
    if (s.sinks) max = std::max(max, double{m.sink_values[h]});
    for (double& v : score) sum += v = std::exp(v - max);
    if (s.sinks) sum += std::exp(m.sink_values[h] - max);
    for (uint32_t d = 0; d < s.v_dim; ++d) {
      double y = 0;
      for (int64_t p = first; p < n; ++p) {
        y += score[static_cast<size_t>(p - first)] *
             values[static_cast<size_t>(p)][kv * s.v_dim + d];
      }
      out.push_back(y / sum);
    }
  }
  return out;
}

}  // namespace minnow::cpu::test
