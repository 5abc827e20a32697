#include "base/crash_point.h"

#ifdef MINNOW_CRASH_POINTS
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <string_view>

namespace minnow {

void CrashPoint(const char* name) {
  static std::atomic<int> passages{0};
  const char* wanted = std::getenv("MINNOW_CRASH_AT");
  if (!wanted) return;
  const std::string_view text(wanted);
  const size_t colon = text.find(':');
  if (text.substr(0, colon) != name) return;
  const int at = colon == text.npos ? 1 : std::atoi(wanted + colon + 1);
  if (++passages == at) std::raise(SIGKILL);
}

}  // namespace minnow
#endif
