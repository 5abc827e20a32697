#include "site_deltas.h"

#include <algorithm>

#include "adapters.h"
#include "plan.h"

namespace minnow::cpu {

namespace {

// Rows that a thread takes at a time: their 512 KB of x at K = 2048 stay in L2 while the panels of
// A pass by.
constexpr int64_t kRows = 64;

}  // namespace

SiteDeltas::SiteDeltas(PlanBuilder& b, const mnw_node& node,
                       std::initializer_list<uint32_t> matrices) {
  const mnw_plan& plan = b.plan();
  const mnw_id slots = sdk::ForEachSite(node, [&](uint32_t site, uint32_t input) {
    if (std::find(matrices.begin(), matrices.end(), input) == matrices.end()) return;
    const auto rows = static_cast<size_t>(sdk::Rows(plan.value(node.in[0]), plan.max));
    items_.push_back({input, plan.adapters->Find(site),
                      b.Reserve(rows * plan.adapters->max_rank * sizeof(float))});
  });
  if (!items_.empty()) runs_ = b.SlotRuns(slots);
}

bool SiteDeltas::Active(const mnw_plan& plan) const {
  if (items_.empty()) return false;
  const auto& runs = plan.slot_runs[runs_].runs;
  return std::any_of(runs.begin(), runs.end(), [&](const SlotRun& run) {
    return std::any_of(items_.begin(), items_.end(), [&](const Item& item) {
      return plan.adapters->delta(run.slot, item.site).rank > 0;
    });
  });
}

bool SiteDeltas::Project(const mnw_plan& plan, int ith, const Activations& x) const {
  if (!Active(plan)) return false;
  const int64_t max_rank = plan.adapters->max_rank;
  int64_t unit = 0;
  for (const SlotRun& run : plan.slot_runs[runs_].runs) {
    for (const Item& item : items_) {
      const Delta& delta = plan.adapters->delta(run.slot, item.site);
      const int64_t k = plan.adapters->sites[item.site].k;
      const int64_t panels = (delta.rank + kPanel - 1) / kPanel;
      // Many rows are shared out by rows, a few by panels.
      const int64_t at_once = run.end - run.begin > kRows ? panels : 1;
      for (int64_t t = run.begin; t < run.end; t += kRows) {
        for (int64_t p = 0; p < panels; p += at_once) {
          if (unit++ % plan.context->team.size() != ith) continue;
          delta.a_kernel->multiply(delta.a(), k, x, t, std::min(t + kRows, run.end), p, p + at_once,
                                   delta.rank, reinterpret_cast<float*>(plan.scratch(item.u)),
                                   max_rank);
        }
      }
    }
  }
  plan.context->team.Barrier();
  return true;
}

void SiteDeltas::Add(const mnw_plan& plan, uint32_t matrix, int64_t part, int64_t p0, int64_t p1,
                     int64_t n, float* y, int64_t ldy) const {
  const auto item =
      std::find_if(items_.begin(), items_.end(), [&](const Item& i) { return i.matrix == matrix; });
  if (item == items_.end()) return;
  Activations u;
  u.f32 = reinterpret_cast<const float*>(plan.scratch(item->u));
  u.ld = plan.adapters->max_rank;
  const int64_t first = part * plan.adapters->sites[item->site].panels() + p0;
  for (const SlotRun& run : plan.slot_runs[runs_].runs) {
    const Delta& delta = plan.adapters->delta(run.slot, item->site);
    if (delta.rank == 0) continue;
    delta.b_kernel->accumulate(delta.b(first), delta.rank, u, run.begin, run.end, 0, p1 - p0, n, y,
                               ldy);
  }
}

}  // namespace minnow::cpu
