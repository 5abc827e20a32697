// Shared by unit tests: readable checks on Status, temporary folders, and the data that may be
// absent.
#pragma once

#include <CppUTest/TestHarness.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/status.h"
#include "build_paths.h"

#define CHECK_OK(expr)                                      \
  do {                                                      \
    const ::minnow::Status check_ok_ = (expr);              \
    if (!check_ok_.ok()) FAIL(check_ok_.message().c_str()); \
  } while (0)

// The failure has this code, and its message holds this text (the name of the thing, the remedy).
#define CHECK_ERROR(expected_code, text, expr)                                                \
  do {                                                                                        \
    const ::minnow::Status check_error_ = (expr);                                             \
    STRCMP_EQUAL(::minnow::CodeName(expected_code), ::minnow::CodeName(check_error_.code())); \
    STRCMP_CONTAINS(text, check_error_.message().c_str());                                    \
  } while (0)

namespace minnow::test {

// A fresh folder under the system's temporary folder, removed with the object.
class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "minnow-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

// What the process holds in memory.
inline int64_t ResidentBytes() {
  int64_t total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

// A path below the optional test data (MINNOW_DATA, else ../shared/data beside the source tree), or
// "" after saying that the test is skipped.
inline std::string DataOrSkip(const std::string& relative, const char* test) {
  const char* env = ::getenv("MINNOW_DATA");
  const std::filesystem::path root =
      env ? env : std::filesystem::path(InSource()).parent_path() / "shared" / "data";
  const auto path = root / relative;
  if (std::filesystem::exists(path)) return path.string();
  std::printf("\nskipped %s: no %s (set MINNOW_DATA to the optional test data)\n", test,
              relative.c_str());
  return "";
}

}  // namespace minnow::test
