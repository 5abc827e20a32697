#include "conformance/story.h"

#include <algorithm>
#include <minnow/sdk/graph_view.hpp>
#include <utility>

namespace minnow::conformance {

namespace {

constexpr int32_t kTokensPerDocument = 100'000;

bool IsRecurrent(const Sketch& sketch) {
  return sketch.graph().state_groups()[0].kind == MNW_STATE_RECURRENT;
}

}  // namespace

Story::Story(const Sketch& sketch, uint64_t seed, std::string name, char level, uint32_t window)
    : sketch_(sketch), seed_(seed), window_(window) {
  telling_.name = std::move(name);
  telling_.level = level;
}

void Story::Add(Document& d, int32_t n, bool drafts) {
  const auto seq = static_cast<int32_t>(seqs_.size());
  seqs_.push_back(d);
  for (int32_t i = 0; i < n; ++i) {
    const int32_t position = d.length++;
    const int32_t key = d.number * kTokensPerDocument + position;
    const auto row = static_cast<int32_t>(rows_.size());
    int32_t slot = d.pages[0];
    if (!IsRecurrent(sketch_)) {
      const auto page = static_cast<uint32_t>(position) / kPageTokens;
      slot = d.pages[page] * static_cast<int32_t>(kPageTokens) +
             position % static_cast<int32_t>(kPageTokens);
    }
    if (drafts) {
      commit_.rows.push_back(row);
      commit_.slots.push_back(std::exchange(slot, -1));
    }
    rows_.push_back({key, static_cast<uint64_t>(key), seq, position, i == 0 ? -1 : row - 1, slot});
  }
}

void Story::AddStray(const Document& d) {
  const auto seq = static_cast<int32_t>(seqs_.size());
  seqs_.push_back(d);
  rows_.push_back({-1, ~static_cast<uint64_t>(d.number), seq, d.length, -1, -1});
}

// A boundary's rows: numbers that are functions of token and input.
Bytes Story::Values(mnw_id input) const {
  const mnw_value& v = sketch_.graph().value(input);
  const int64_t width = v.dim[0] * (v.dim[1] > 0 ? v.dim[1] : 1) * (v.dim[2] > 0 ? v.dim[2] : 1);
  std::vector<float> values;
  for (const Row& row : rows_) {
    Random random(seed_ + row.token * 0x9e3779b97f4a7c15 + input);
    for (const float x : random.Normals(width)) values.push_back(x);
  }
  return ToBytes(values);
}

std::vector<int32_t> Story::Ints(mnw_input role) const {
  std::vector<int32_t> v;
  for (size_t i = 0; i < rows_.size(); ++i) {
    const Row& row = rows_[i];
    if (role == MNW_INPUT_TOKENS) v.push_back(static_cast<int32_t>(row.token % kVocabulary));
    if (role == MNW_INPUT_OUT_ROWS && IsOut(row)) v.push_back(static_cast<int32_t>(i));
    if (role == MNW_INPUT_POSITIONS) v.push_back(row.position);
    if (role == MNW_INPUT_SEQ) v.push_back(row.seq);
    if (role == MNW_INPUT_PARENT) v.push_back(row.parent);
    if (role == MNW_INPUT_SLOTS) v.push_back(row.slot);
  }
  for (const Document& d : seqs_) {
    if (role == MNW_INPUT_SEQ_LEN) v.push_back(d.length);
  }
  return v;
}

void Story::EndStep() {
  Step step;
  step.symbols = {static_cast<int64_t>(rows_.size()), static_cast<int64_t>(seqs_.size()),
                  std::count_if(rows_.begin(), rows_.end(), IsOut)};
  for (const mnw_id id : sketch_.graph().inputs()) {
    const mnw_value& v = sketch_.graph().value(id);
    if (v.role == MNW_INPUT_BOUNDARY) {
      step.inputs[id] = Values(id);
    } else if (v.role == MNW_INPUT_PAGES) {
      std::vector<int32_t> table;
      for (const Document& d : seqs_) {
        std::vector<int32_t> pages = d.pages;
        pages.resize(static_cast<size_t>(v.dim[0]), -1);
        const auto page_tokens = static_cast<int32_t>(kPageTokens);
        // The first row of the step still reads position length - window + 1.
        const int32_t gone = window_ ? d.length - static_cast<int32_t>(window_) + 1 : 0;
        for (int32_t p = 0; (p + 1) * page_tokens <= gone; ++p) pages[static_cast<size_t>(p)] = -1;
        table.insert(table.end(), pages.begin(), pages.end());
      }
      step.inputs[id] = ToBytes(table);
    } else {
      step.inputs[id] = ToBytes(Ints(static_cast<mnw_input>(v.role)));
    }
  }
  step.edits = std::exchange(edits_, {});
  if (!commit_.rows.empty()) step.commits.push_back(std::exchange(commit_, {}));
  Telling::Keys keys;
  for (const Row& row : rows_) {
    keys[MNW_SYM_N_TOKENS].push_back(row.key);
    if (IsOut(row)) keys[MNW_SYM_N_OUT].push_back(row.key);
  }
  telling_.steps.push_back(std::move(step));
  telling_.keys.push_back(std::move(keys));
  rows_.clear();
  seqs_.clear();
}

}  // namespace minnow::conformance
