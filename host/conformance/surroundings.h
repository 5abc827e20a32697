// What may differ from one call to the next and must not matter: a pure function does not read it.
// Threads: one at a time; the process has no others.
#pragma once

#include <locale>
#include <string>

namespace minnow::conformance {

enum class Around {
  kUsual,
  kOtherMemory,  // malloc and the stack hold other bytes
  kOtherLocale,  // numbers are written in another way, by C++ streams at least
};
const char* NameOf(Around around);  // "on other memory"

// Sets it, and puts things back.
class Surroundings {
 public:
  explicit Surroundings(Around around);
  ~Surroundings();
  Surroundings(const Surroundings&) = delete;
  Surroundings& operator=(const Surroundings&) = delete;

 private:
  const std::locale locale_;
  const std::string c_locale_;
};

}  // namespace minnow::conformance
