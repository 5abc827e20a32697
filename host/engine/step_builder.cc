#include "engine/step_builder.h"

#include <algorithm>

namespace minnow::engine {

namespace {

// Fewer tokens are computed twice sooner than a step is waited for.
constexpr size_t kWorthWaiting = 16;

class Builder {
 public:
  Builder(const model::Instance& instance, uint32_t rows, KvCache& cache, Step* step)
      : instance_(instance),
        cache_(cache),
        step_(*step),
        rows_(std::min(rows, instance.options().max_tokens)),
        out_left_(instance.options().max_out) {
    step_.edits.clear();
    step_.parts.clear();
    step_.out.clear();
    step_.has[0] = step_.has[1] = false;
    model::StepInputs& in = step_.inputs;
    for (auto* v : {&in.tokens, &in.positions, &in.seq, &in.parent, &in.adapter, &in.seq_len,
                    &in.out_rows, &in.out_adapter})
      v->clear();
    in.pages.resize(instance.n_groups());
    in.slots.resize(instance.n_groups());
    for (auto& v : in.pages) v.clear();
    for (auto& v : in.slots) v.clear();
  }

  // How many rows those that are added next may have.
  void Allow(uint32_t rows) {
    rows_left_ = std::min<size_t>(rows, rows_ - step_.inputs.tokens.size());
  }

  void Add(Job& job) {
    const size_t seqs_left = instance_.options().max_seqs - step_.inputs.seq_len.size();
    if (seqs_left == 0 || rows_left_ == 0) return;
    // What is not cut may be longer than is allowed: then it has no other of its kind beside it.
    if (instance_.is_encoder() && !step_.has[job.priority == Priority::kBatch]) {
      rows_left_ =
          std::max(rows_left_, std::min(job.pending(), rows_ - step_.inputs.tokens.size()));
    }
    if (job.pending() > 1 && cache_.shares()) {
      if (WaitsForAnother(job)) return;
      Attach(job);
    }
    const size_t n = cache_.Extend(&job.pages, job.committed, TokensThatFit(job));
    const bool all = job.committed + n == job.tokens.size();
    if (instance_.is_encoder() && !all) return;
    std::vector<Job::TreeRow> tree;
    // A branch is copied before the step, from what is committed by then.
    if (all && (n == 0 || job.branches == 0)) tree = job.TreeRows(RoomForTree(job, n, seqs_left));
    if (n + tree.size() == 0) return;
    step_.parts.push_back({&job, job.committed, n, std::move(tree)});
    step_.has[job.priority == Priority::kBatch] = true;
    if (n == 0 && job.branches > 0) {
      AddBranches(step_.parts.back());
    } else {
      step_.inputs.seq_len.push_back(static_cast<int32_t>(job.committed));
      AddTokens(job, n);
      AddTree(step_.parts.back(), n);
      AddPages(job);
    }
  }

  void AddDrafts(Speculation& speculation, ModelDraft* model, const StepLimits& limits) {
    std::vector<Place> places;
    std::vector<Speculation::Candidate> candidates;
    uint32_t decoding = 0;
    size_t row = 0;
    for (StepPart& part : step_.parts) {
      Job& job = *part.job;
      const size_t last_row = row + part.n_tokens - 1;
      row += part.n_tokens + part.tree.size();
      if (part.n_tokens != 1 || part.first_token + 1 != job.tokens.size()) continue;
      ++decoding;
      if (!job.drafts) continue;
      const size_t most = std::min({kMostDrafts, rows_left_, out_left_, DraftsThatFit(job)});
      if (most == 0) continue;
      places.push_back({&part, last_row});
      candidates.push_back({job.drafts.get(), job.drafts->source().Propose(job.tokens, most)});
      if (model) candidates.back().offer = OfferOf(*model, job, most, limits);
    }
    if (decoding == 0) return;
    speculation.Choose(candidates, static_cast<uint32_t>(step_.inputs.tokens.size()), decoding,
                       std::min(rows_left_, out_left_));
    std::vector<ModelDraft::Ask> asks;
    for (size_t i = 0; i < places.size(); ++i) {
      Speculation::Candidate& c = candidates[i];
      if (c.ask == 0) continue;
      asks.push_back(
          {c.drafts->sequence(), places[i].part->job->tokens, c.ask, c.offer.rows, &c.nodes});
    }
    if (!asks.empty()) model->Propose(asks);
    for (size_t i = 0; i < places.size(); ++i) {
      AddDraftRows(places[i], std::move(candidates[i].nodes));
    }
  }

 private:
  static constexpr size_t kMostDrafts = 24;  // of a job in a step
  struct Place {
    StepPart* part;
    size_t last_row;  // of its tokens
  };

  // No guess is made of what comes after the last token that the answer may have.
  static size_t DraftsThatFit(const Job& job) { return job.max_length - 1 - job.tokens.size(); }

  static Speculation::Offer OfferOf(ModelDraft& model, Job& job, size_t most,
                                    const StepLimits& limits) {
    const ModelDraft::Standing now = job.drafts->Look(model, job.tokens);
    const bool batch = job.priority == Priority::kBatch;
    return {std::min(most, now.most), now.behind,
            batch ? limits.batch_rows : limits.interactive_rows, DraftsThatFit(job) + 1,
            model.insists()};
  }

  void Attach(Job& job) {
    const size_t known =
        cache_.Attach(job.adapter_id(), std::span(job.tokens).first(job.FirstWanted()),
                      job.committed, &job.pages, &step_.edits);
    if (!job.was_preempted) job.usage.cached_tokens += static_cast<uint32_t>(known - job.committed);
    job.committed = known;
  }

  // Does the step compute tokens that the job can have when they are done?
  bool WaitsForAnother(const Job& job) const {
    if (step_.parts.empty()) return false;
    const std::span wanted = std::span(job.tokens).first(job.FirstWanted());
    const size_t known = std::max(job.committed, cache_.Known(job.adapter_id(), wanted));
    for (const StepPart& part : step_.parts) {
      if (part.n_tokens < 2 || part.job->adapter_id() != job.adapter_id() ||
          part.first_token + part.n_tokens <= known) {
        continue;
      }
      // Most differ right here, so the long look back comes last.
      const std::span theirs(part.job->tokens);
      const size_t worth = known + kWorthWaiting;
      if (worth > wanted.size() || worth > theirs.size()) continue;
      const auto alike = [&](size_t from, size_t to) {
        return std::equal(wanted.begin() + static_cast<ptrdiff_t>(from),
                          wanted.begin() + static_cast<ptrdiff_t>(to),
                          theirs.begin() + static_cast<ptrdiff_t>(from));
      };
      if (alike(known, worth) && alike(0, known)) return true;
    }
    return false;
  }

  size_t OutRowsOf(const Job& job, size_t n) const {
    size_t out = 0;
    for (size_t i = 0; i < n; ++i) out += job.WantsLogits(job.committed + i);
    return out;
  }

  // Where a class of jobs has few rows, a path of a tree still gets its own if nothing else does:
  // it cannot be cut, and would never come to its turn.
  Job::TreeRoom RoomForTree(const Job& job, size_t n, size_t seqs_left) const {
    const bool first = n == 0 && !step_.has[job.priority == Priority::kBatch];
    const size_t rows = rows_left_ - n;
    return {rows, out_left_ - OutRowsOf(job, n), seqs_left,
            first ? rows_ - step_.inputs.tokens.size() : rows};
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
    in.seq.push_back(static_cast<int32_t>(in.seq_len.size() - 1));
    in.parent.push_back(parent);
    in.adapter.push_back(step_.parts.back().job->adapter_slot());
    rows_left_ -= rows_left_ > 0;  // a path of a tree may have more
  }

  void AddOut(size_t position, int32_t node) {
    step_.inputs.out_rows.push_back(static_cast<int32_t>(step_.inputs.tokens.size() - 1));
    step_.inputs.out_adapter.push_back(step_.inputs.adapter.back());
    step_.out.push_back({step_.parts.size() - 1, position, node});
    --out_left_;
  }

  void AddTokens(Job& job, size_t n) {
    model::StepInputs& in = step_.inputs;
    for (uint32_t g = 0; job.committed == 0 && g < instance_.n_groups(); ++g) {
      if (instance_.recurrent(g)) step_.edits.push_back({g, -1, job.pages.pages[g][0], 0});
    }
    for (size_t i = 0; i < n; ++i) {
      const size_t position = job.committed + i;
      AddRow(job.tokens[position], position,
             i == 0 ? -1 : static_cast<int32_t>(in.tokens.size()) - 1);
      for (uint32_t g = 0; g < instance_.n_groups(); ++g) {
        in.slots[g].push_back(cache_.Slot(job.pages, g, position));
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
      if (row.out) AddOut(0, row.node);
    }
  }

  // After all other rows: they are of the part's sequence, though they do not follow it.
  void AddDraftRows(const Place& place, std::vector<DraftNode> nodes) {
    model::StepInputs& in = step_.inputs;
    StepPart& part = *place.part;
    part.first_draft = in.tokens.size();
    part.n_drafts = nodes.size();
    for (size_t i = 0; i < nodes.size(); ++i) {
      const size_t parent = nodes[i].parent < 0
                                ? place.last_row
                                : part.first_draft + static_cast<size_t>(nodes[i].parent);
      in.tokens.push_back(nodes[i].token);
      in.positions.push_back(in.positions[parent] + 1);
      in.seq.push_back(in.seq[parent]);
      in.parent.push_back(static_cast<int32_t>(parent));
      in.adapter.push_back(in.adapter[parent]);
      for (auto& slots : in.slots) slots.push_back(-1);
      in.out_rows.push_back(static_cast<int32_t>(in.tokens.size() - 1));
      in.out_adapter.push_back(in.adapter.back());
      step_.out.push_back({static_cast<size_t>(&part - step_.parts.data()),
                           static_cast<size_t>(in.positions.back()), static_cast<int32_t>(i)});
    }
    rows_left_ -= nodes.size();
    out_left_ -= nodes.size();
    part.job->usage.drafted_tokens += static_cast<uint32_t>(nodes.size());
    part.job->drafts->Start(std::move(nodes));
  }

  // Each path as a sequence of its own, on a block that starts as the job's.
  void AddBranches(const StepPart& part) {
    model::StepInputs& in = step_.inputs;
    const int32_t first = static_cast<int32_t>(in.tokens.size());
    for (const Job::TreeRow& row : part.tree) {
      if (row.parent < 0) {
        in.seq_len.push_back(static_cast<int32_t>(part.job->committed));
        AddPages(*part.job);
      }
      AddRow(row.token, part.first_token + row.depth, row.parent < 0 ? -1 : first + row.parent);
      for (uint32_t g = 0; g < instance_.n_groups(); ++g) {
        const std::vector<int32_t>& blocks = part.job->pages.pages[g];
        const bool recurrent = instance_.recurrent(g);
        in.slots[g].push_back(recurrent ? blocks[1 + row.branch] : -1);
        if (recurrent && row.parent < 0) {
          step_.edits.push_back({g, blocks[0], blocks[1 + row.branch], 0});
        }
      }
      if (row.out) AddOut(0, row.node);
    }
  }

  void AddPages(const Job& job) {
    const size_t columns = instance_.page_columns();
    for (uint32_t g = 0; g < instance_.n_groups(); ++g) {
      if (instance_.recurrent(g)) continue;
      std::vector<int32_t>& all = step_.inputs.pages[g];
      const std::vector<int32_t>& own = job.pages.pages[g];
      all.insert(all.end(), own.begin(), own.end());
      all.resize(step_.inputs.seq_len.size() * columns, -1);
    }
  }

  const model::Instance& instance_;
  KvCache& cache_;
  Step& step_;
  const uint32_t rows_;  // of the step
  size_t rows_left_ = 0, out_left_;
};

}  // namespace

void BuildStep(std::span<const std::unique_ptr<Job>> jobs, const model::Instance& instance,
               const StepLimits& limits, KvCache& cache, Speculation* speculation,
               ModelDraft* draft, Step* step) {
  Builder builder(instance, limits.rows, cache, step);
  for (const Priority priority : {Priority::kInteractive, Priority::kBatch}) {
    builder.Allow(priority == Priority::kInteractive ? limits.interactive_rows : limits.batch_rows);
    for (const bool decode : {true, false}) {
      for (const auto& job : jobs) {
        const bool decodes = job->pending() <= 1;
        if (decodes == decode && job->priority == priority) builder.Add(*job);
      }
    }
  }
  if (step->has[0]) builder.Allow(limits.interactive_rows);
  if (speculation) builder.AddDrafts(*speculation, draft, limits);
}

}  // namespace minnow::engine
