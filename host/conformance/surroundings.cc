#include "conformance/surroundings.h"

#include <clocale>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

namespace minnow::conformance {

namespace {

// 1234.5 becomes 1'2'3'4,5: no locale need be installed for that.
struct OtherNumbers : std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '\''; }
  std::string do_grouping() const override { return "\1"; }
};

// What functions that are called next find in variables that they do not set.
[[gnu::noinline]] void FillStack() {
  volatile unsigned char bytes[1 << 15];
  for (volatile unsigned char& b : bytes) b = 0xb7;
}

// What is allocated next finds bytes in it that nobody would choose.
void FillFreeMemory() {
  constexpr size_t kEach = 32;
  std::vector<std::pair<void*, size_t>> blocks;
  for (size_t size = 24; size <= 2048; size += 16) {  // as large as a block of its kind is
    for (size_t i = 0; i < kEach; ++i) blocks.emplace_back(std::malloc(size), size);
  }
  for (const auto& [block, size] : blocks) {
    if (block) std::memset(block, 0x5a, size);
    // Or the compiler sees that nobody reads it.
    asm volatile("" : : "r"(block) : "memory");
    std::free(block);
  }
}

}  // namespace

const char* NameOf(Around around) {
  return around == Around::kOtherMemory   ? "on other memory"
         : around == Around::kOtherLocale ? "in another locale"
                                          : "again";
}

Surroundings::Surroundings(Around around)
    : c_locale_(std::setlocale(LC_ALL, nullptr)) {  // locale_ is the global one
  if (around == Around::kOtherMemory) {
    FillFreeMemory();
    FillStack();
  }
  if (around == Around::kOtherLocale) {
    std::locale::global(std::locale(locale_, new OtherNumbers));
    std::setlocale(LC_ALL, "de_DE.UTF-8");  // stays as it is where there is none
  }
}

Surroundings::~Surroundings() {
  std::locale::global(locale_);
  std::setlocale(LC_ALL, c_locale_.c_str());
}

}  // namespace minnow::conformance
