// What foreign code called in this process must leave as it found it: locale, floating-point mode,
// signal handlers and mask, umask, working directory.
//
// A library with a runtime of its own (a driver, an interpreter, the start-up code of -ffast-math)
// may change them for everybody, and with them the bits of later results or the place of later
// files:
//
//   const ProcessState before;
//   plugin->open(...);
//   const std::string changed = before.Restore();  // "the locale, the umask"
//
// Threads: Restore on the thread that made the object; nobody else may change these meanwhile. The
// program itself sets them at its start, if ever.
#pragma once

#include <signal.h>

#include <array>
#include <cstdint>
#include <locale>
#include <optional>
#include <string>

namespace minnow {

// How this thread rounds, and whether it takes denormals for zero. Either way a few nanoseconds.
class FloatMode {
 public:
  FloatMode();  // as it is
  void Set() const;
  bool operator==(const FloatMode&) const = default;

 private:
  uint64_t vector_ = 0;
  uint16_t x87_ = 0;
};

class ProcessState {
 public:
  ProcessState();  // as it is; 60 to 130 us with Restore, most of it system calls
  ~ProcessState();
  ProcessState(const ProcessState&) = delete;
  ProcessState& operator=(const ProcessState&) = delete;

  // Puts back what differs and names it; "" if nothing did.
  std::string Restore() const;

 private:
  bool RestoreLocale() const;
  bool RestoreSignals() const;
  bool RestoreDirectory() const;

  FloatMode float_mode_;
  std::string c_locale_;
  locale_t thread_locale_;
  std::locale cpp_locale_;
  std::array<struct sigaction, 65> handlers_;  // by number
  sigset_t mask_;
  std::optional<unsigned> umask_;
  int directory_;  // descriptor, or -1
};

}  // namespace minnow
