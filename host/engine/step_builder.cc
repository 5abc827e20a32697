#include "engine/step_builder.h"

#include <algorithm>

namespace minnow::engine {

namespace {

class Builder {
 public:
  Builder(const model::Instance& instance, uint32_t step_tokens, PagePool& pool, Step* step)
      : instance_(instance),
        pool_(pool),
        step_(*step),
        rows_left_(std::min(step_tokens, instance.options().max_tokens)),
        out_left_(instance.options().max_out) {
    step_.parts.clear();
    step_.out.clear();
    model::StepInputs& in = step_.inputs;
    for (auto* v : {&in.tokens, &in.positions, &in.seq, &in.parent, &in.seq_len, &in.out_rows})
      v->clear();
    in.pages.resize(instance.n_groups());
    in.slots.resize(instance.n_groups());
    for (auto& v : in.pages) v.clear();
    for (auto& v : in.slots) v.clear();
  }

  void Add(Job& job) {
    if (step_.parts.size() == instance_.options().max_seqs || rows_left_ == 0) return;
    const size_t n = TokensThatFit(job);
    const bool all = job.committed + n == job.tokens.size();
    std::vector<Job::TreeRow> tree;
    if (all) tree = job.TreeRows(std::min(rows_left_ - n, out_left_ - OutRowsOf(job, n)));
    if (n + tree.size() == 0) return;
    step_.parts.push_back({&job, job.committed, n, std::move(tree)});
    AddTokens(job, n);
    AddTree(step_.parts.back(), n);
    AddPages(job);
  }

 private:
  size_t OutRowsOf(const Job& job, size_t n) const {
    size_t out = 0;
    for (size_t i = 0; i < n; ++i) out += job.WantsLogits(job.committed + i);
    return out;
  }

  // How many of the pending tokens the step has room for, with those of their logits that are
  // wanted.
  size_t TokensThatFit(const Job& job) const {
    const size_t pending = std::min(job.tokens.size() - job.committed, rows_left_);
    size_t out = out_left_;
    for (size_t i = 0; i < pending; ++i) {
      if (!job.WantsLogits(job.committed + i)) continue;
      if (out-- == 0) return i;
    }
    return pending;
  }

  void AddRow(TokenId token, size_t position, int32_t parent) {
    model::StepInputs& in = step_.inputs;
    in.tokens.push_back(token);
    in.positions.push_back(static_cast<int32_t>(position));
    in.seq.push_back(static_cast<int32_t>(step_.parts.size() - 1));
    in.parent.push_back(parent);
    --rows_left_;
  }

  void AddOut(size_t position, int32_t node) {
    step_.inputs.out_rows.push_back(static_cast<int32_t>(step_.inputs.tokens.size() - 1));
    step_.out.push_back({step_.parts.size() - 1, position, node});
    --out_left_;
  }

  void AddTokens(Job& job, size_t n) {
    model::StepInputs& in = step_.inputs;
    in.seq_len.push_back(static_cast<int32_t>(job.committed));
    for (size_t i = 0; i < n; ++i) {
      const size_t position = job.committed + i;
      AddRow(job.tokens[position], position,
             i == 0 ? -1 : static_cast<int32_t>(in.tokens.size()) - 1);
      for (uint32_t g = 0; g < instance_.n_groups(); ++g) {
        in.slots[g].push_back(pool_.Slot(&job.pages, g, static_cast<uint32_t>(position)));
      }
      if (job.WantsLogits(position)) AddOut(position, -1);
    }
  }

  void AddTree(const StepPart& part, size_t n) {
    model::StepInputs& in = step_.inputs;
    const int32_t first = static_cast<int32_t>(in.tokens.size());
    const int32_t root = n > 0 ? first - 1 : -1;
    for (const Job::TreeRow& row : part.tree) {
      AddRow(row.token, part.first_token + n + row.depth,
             row.parent < 0 ? root : first + row.parent);
      for (auto& slots : in.slots) slots.push_back(-1);
      AddOut(0, row.node);
    }
  }

  void AddPages(const Job& job) {
    const size_t columns = instance_.page_columns();
    for (uint32_t g = 0; g < instance_.n_groups(); ++g) {
      std::vector<int32_t>& all = step_.inputs.pages[g];
      const std::vector<int32_t>& own = job.pages.pages[g];
      all.insert(all.end(), own.begin(), own.end());
      all.resize(step_.parts.size() * columns, -1);
    }
  }

  const model::Instance& instance_;
  PagePool& pool_;
  Step& step_;
  size_t rows_left_, out_left_;
};

}  // namespace

void BuildStep(std::span<const std::unique_ptr<Job>> jobs, const model::Instance& instance,
               uint32_t step_tokens, PagePool& pool, Step* step) {
  Builder builder(instance, step_tokens, pool, step);
  for (const bool decode : {true, false}) {
    for (const Priority priority : {Priority::kInteractive, Priority::kBatch}) {
      for (const auto& job : jobs) {
        const bool decodes = job->tokens.size() - job->committed <= 1;
        if (decodes == decode && job->priority == priority) builder.Add(*job);
      }
    }
  }
}

}  // namespace minnow::engine
