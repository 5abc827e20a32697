// Whose step comes next on a device that several models share: the one's that has had the least of
// its time. Time spent on interactive work counts for an eighth, so that it comes first and the
// others still have their share; a model that comes back to work starts about level with those that
// work, whatever it used or did not use before. Threads: pure.
#pragma once

#include <cstddef>
#include <span>

namespace minnow::engine {

struct Turn {
  bool has_work = false;  // set before NextTurn
  bool had_work = false;
  double charged_seconds = 0;

  void Charge(double seconds, bool interactive) {
    charged_seconds += interactive ? seconds / 8 : seconds;
  }
};

// The index of one that has work. REQUIRES: there is one.
size_t NextTurn(std::span<Turn* const> turns);

}  // namespace minnow::engine
