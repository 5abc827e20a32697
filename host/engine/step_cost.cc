#include "engine/step_cost.h"

#include <algorithm>

namespace minnow::engine {

namespace {

constexpr double kNewest = 0.125;  // weight of the newest in the moving average
constexpr double kOutlier = 2;     // times the average count as no more: others use the machine
constexpr uint32_t kSure = 4;      // observations before which nothing counts as an outlier
constexpr double kHalf = 64;       // steps after which an average has half its weight

}  // namespace

void StepCost::Observe(uint32_t rows, double seconds) {
  auto it = std::lower_bound(points_.begin(), points_.end(), rows,
                             [](const Point& p, uint32_t r) { return p.rows < r; });
  if (it == points_.end() || it->rows != rows) it = points_.insert(it, Point{rows});
  if (it->count >= kSure) seconds = std::min(seconds, kOutlier * it->mean);
  ++it->count;
  it->mean += (seconds - it->mean) * std::max(1.0 / it->count, kNewest);
  it->last = ++steps_;
  Fit();
}

// Neighbours that are in the wrong order are given their common average, in which old ones weigh
// less: the machine, or the length of the contexts, has changed since.
void StepCost::Fit() {
  struct Block {
    double sum, weight;
    size_t end;
  };
  std::vector<Block> blocks;
  for (size_t i = 0; i < points_.size(); ++i) {
    const double weight = kHalf / (kHalf + static_cast<double>(steps_ - points_[i].last));
    blocks.push_back({points_[i].mean * weight, weight, i + 1});
    while (blocks.size() > 1) {
      const Block& last = blocks.back();
      Block& before = blocks[blocks.size() - 2];
      if (before.sum * last.weight <= last.sum * before.weight) break;
      before = {before.sum + last.sum, before.weight + last.weight, last.end};
      blocks.pop_back();
    }
  }
  size_t i = 0;
  for (const Block& b : blocks) {
    for (; i < b.end; ++i) points_[i].fitted = b.sum / b.weight;
  }
}

double StepCost::Seconds(uint32_t rows) const {
  if (points_.empty()) return 0;
  const auto above = std::lower_bound(points_.begin(), points_.end(), rows,
                                      [](const Point& p, uint32_t r) { return p.rows < r; });
  const Point &first = points_.front(), &last = points_.back();
  if (above == points_.begin()) return first.fitted;
  const bool beyond = above == points_.end();
  if (beyond && points_.size() == 1) return first.fitted;
  const Point& a = beyond ? first : *(above - 1);
  const Point& b = beyond ? last : *above;
  return a.fitted + (b.fitted - a.fitted) * (static_cast<double>(rows) - a.rows) /
                        (static_cast<double>(b.rows) - a.rows);
}

bool StepCost::SeenLately(uint32_t rows, uint64_t n_steps) const {
  return std::any_of(points_.begin(), points_.end(),
                     [&](const Point& p) { return p.rows <= rows && p.last + n_steps > steps_; });
}

}  // namespace minnow::engine
