#include "engine/turns.h"

#include <algorithm>
#include <limits>

namespace minnow::engine {

namespace {

constexpr double kMostDebt = 0.1;  // seconds

}  // namespace

size_t NextTurn(std::span<Turn* const> turns) {
  constexpr double kNobody = std::numeric_limits<double>::infinity();
  double least = kNobody;
  for (const Turn* t : turns) {
    if (t->has_work && t->had_work) least = std::min(least, t->charged_seconds);
  }
  size_t next = turns.size();
  for (size_t i = 0; i < turns.size(); ++i) {
    Turn& t = *turns[i];
    const bool comes_back = t.has_work && !t.had_work;
    if (comes_back && least < kNobody) {
      t.charged_seconds = std::clamp(t.charged_seconds, least, least + kMostDebt);
    }
    t.had_work = t.has_work;
    if (!t.has_work) continue;
    if (next == turns.size() || t.charged_seconds < turns[next]->charged_seconds) next = i;
  }
  return next;
}

}  // namespace minnow::engine
