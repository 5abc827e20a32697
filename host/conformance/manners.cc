#include "conformance/manners.h"

#include <sys/stat.h>

#include <cfenv>
#include <clocale>
#include <filesystem>

namespace minnow::conformance {

namespace {

// Whether subnormal numbers are still there: FTZ and DAZ.
bool KeepsSubnormals() {
  volatile float tiny = 0x1p-126f;
  tiny = tiny / 4;
  return tiny > 0;
}

}  // namespace

Manners Manners::Now() {
  Manners m;
  for (size_t i = 1; i < m.signals.size(); ++i) {
    ::sigaction(static_cast<int>(i), nullptr, &m.signals[i]);
  }
  m.rounding = std::fegetround();
  m.locale = std::setlocale(LC_ALL, nullptr);
  std::error_code error;
  m.directory = std::filesystem::current_path(error).string();
  m.mask = ::umask(0);
  ::umask(m.mask);
  return m;
}

Status Manners::Compare(const Manners& before) const {
  for (size_t i = 1; i < signals.size(); ++i) {
    if (signals[i].sa_handler != before.signals[i].sa_handler) {
      return Error(Code::kInternal, "the handler of signal {} was changed", i);
    }
  }
  if (rounding != before.rounding) return Error(Code::kInternal, "the rounding mode was changed");
  if (!KeepsSubnormals()) {
    return Error(Code::kInternal, "subnormal numbers are flushed to zero now");
  }
  if (locale != before.locale) {
    return Error(Code::kInternal, "the locale was changed to {}", locale);
  }
  if (directory != before.directory) {
    return Error(Code::kInternal, "the working directory was changed to {}", directory);
  }
  if (mask != before.mask) return Error(Code::kInternal, "the umask was changed");
  return Status();
}

}  // namespace minnow::conformance
