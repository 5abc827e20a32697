// The main of every unit-test binary, and what it knows of the build tree.
#include <CppUTest/CommandLineTestRunner.h>
#include <CppUTest/MemoryLeakWarningPlugin.h>
#include <CppUTest/TestRegistry.h>

#include "build_paths.h"

namespace minnow::test {

std::string InSource(const std::string& path) {
  return path.empty() ? MINNOW_SOURCE_DIR : MINNOW_SOURCE_DIR "/" + path;
}
std::string InBuild(const std::string& path) { return MINNOW_BINARY_DIR "/" + path; }
std::string ProbePath() { return MINNOW_PROBE; }

}  // namespace minnow::test

int main(int argc, char** argv) {
  // Leaks are the address sanitizer's to find. CppUTest's counters trip over lazily built statics,
  // and its plugin, which RunAllTests would install, reads records of what libraries' initializers
  // have allocated and freed since.
  MemoryLeakWarningPlugin::turnOffNewDeleteOverloads();
  return CommandLineTestRunner(argc, argv, TestRegistry::getCurrentRegistry()).runAllTestsMain();
}
