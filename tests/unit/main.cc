// The main of every unit-test binary.
#include <CppUTest/CommandLineTestRunner.h>
#include <CppUTest/MemoryLeakWarningPlugin.h>
#include <CppUTest/TestRegistry.h>

int main(int argc, char** argv) {
  // Leaks are the address sanitizer's to find. CppUTest's counters trip over lazily built statics,
  // and its plugin, which RunAllTests would install, reads records of what libraries' initializers
  // have allocated and freed since.
  MemoryLeakWarningPlugin::turnOffNewDeleteOverloads();
  return CommandLineTestRunner(argc, argv, TestRegistry::getCurrentRegistry()).runAllTestsMain();
}
