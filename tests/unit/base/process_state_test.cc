#include "base/process_state.h"

#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cfenv>
#include <clocale>
#include <filesystem>

#include "test_util.h"
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

using minnow::FloatMode;
using minnow::ProcessState;

TEST_GROUP(ProcessState) {
  ProcessState before;

  void CheckPutBack(const char* changed) {
    STRCMP_EQUAL(changed, before.Restore().c_str());
    STRCMP_EQUAL("", before.Restore().c_str());
  }
};

TEST(ProcessState, NothingChangesByItself) { STRCMP_EQUAL("", before.Restore().c_str()); }

TEST(ProcessState, PutsBackTheRounding) {
  std::fesetround(FE_UPWARD);
  CheckPutBack("the floating-point mode");
  LONGS_EQUAL(FE_TONEAREST, std::fegetround());
}

TEST(ProcessState, KeepsWhatComputingLeavesInTheFlags) {
  std::feraiseexcept(FE_DIVBYZERO);
  STRCMP_EQUAL("", before.Restore().c_str());
  CHECK(std::fetestexcept(FE_DIVBYZERO));
  std::feclearexcept(FE_ALL_EXCEPT);
}

TEST(ProcessState, PutsBackDenormals) {
#if defined(__x86_64__)
  _mm_setcsr(_mm_getcsr() | 0x8040);
  CheckPutBack("the floating-point mode");
  volatile float tiny = 1e-39f;
  CHECK(tiny * 0.5f != 0);
#endif
}

TEST(ProcessState, PutsBackTheX87ControlWord) {
#if defined(__x86_64__)
  const uint16_t single_precision = 0x007f;
  asm volatile("fldcw %0" : : "m"(single_precision));
  CheckPutBack("the floating-point mode");
  volatile long double third = 1.0L / 3;
  CHECK(third * 3 == 1.0L);
#endif
}

TEST(ProcessState, PutsBackTheLocaleOfTheProgramTheThreadAndCpp) {
  std::setlocale(LC_NUMERIC, "C.UTF-8");
  CheckPutBack("the locale");
  const locale_t own = ::newlocale(LC_ALL_MASK, "C.UTF-8", nullptr);
  ::uselocale(own);
  CheckPutBack("the locale");
  ::freelocale(own);
  std::locale::global(std::locale("C.UTF-8"));
  CheckPutBack("the locale");
  CHECK(std::locale() == std::locale::classic());
  STRCMP_EQUAL("C", std::setlocale(LC_ALL, nullptr));
}

TEST(ProcessState, PutsBackSignalHandlersAndTheMask) {
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  ::sigaction(SIGSEGV, &action, nullptr);
  ::sigaction(SIGRTMAX, &action, nullptr);
  CheckPutBack("signal handling");
  sigset_t all;
  sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
  CheckPutBack("signal handling");
}

TEST(ProcessState, PutsBackTheUmask) {
  const mode_t old = ::umask(0111);
  CheckPutBack("the umask");
  LONGS_EQUAL(old, ::umask(old));
}

TEST(ProcessState, PutsBackTheWorkingDirectoryEvenIfItWasRenamed) {
  const auto home = std::filesystem::current_path();
  const minnow::test::TempDir dir;
  std::filesystem::create_directory(dir / "a");
  std::filesystem::current_path(dir / "a");
  const ProcessState inside;
  std::filesystem::current_path("/");
  std::filesystem::rename(dir / "a", dir / "b");
  STRCMP_EQUAL("the working directory", inside.Restore().c_str());
  STRCMP_EQUAL((dir / "b").c_str(), std::filesystem::current_path().c_str());
  std::filesystem::current_path(home);
}
