// `minnow check` from outside: each planted fault is found, in the case that it belongs to; a right
// backend and the CPU at every level that this machine has pass.
#include "check.h"

#include "build_paths.h"
#include "cpu_levels.h"

namespace minnow::test {
namespace {

const std::string kFaulty = InBuild("tests/plugins/faulty_backend.so");
const std::string kCpu = InBuild("plugins/minnow_backend_cpu.so");
const std::vector<std::string> kFew = {
    "op/add/*",     "op/linear/f32/*", "op/mul/same",    "repeat/add/same",   "repeat/linear/*",
    "host/*/add/*", "host/*/linear/*", "memory/*/add/*", "memory/*/linear/*", "parallel/add/*",
    "late/add/*",   "device/*",        "model/*"};

void CheckFound(const std::string& fault, const std::string& in_case, const std::string& words,
                const std::string& more = "") {
  CheckFails(kFaulty, in_case, words, {"--config", "fault=" + fault + more});
}

TEST_GROUP(Check){};
// What a sanitizer finds before the kit does, and ends the process for.
TEST_GROUP(MemoryFaults){};

TEST(Check, ARightBackendPasses) {
  CheckPasses(kFaulty, kFew);
  CheckPasses(kFaulty, kFew, {"--config", "fault=none,async=1"});
}

TEST(Check, ARightBackendWithMemoryOfItsOwnPasses) {
  CheckPasses(kFaulty, kFew, {"--device", "far"});
  CheckPasses(kFaulty, kFew, {"--config", "fault=none,async=1", "--device", "far"});
}

TEST(MemoryFaults, FindsWrongNumbers) {
  CheckFound("wrong_last_row", "op/add/same", "row 4, element 36");
  CheckFound("ignores_strides", "op/add/views", "row 1, element 0");
  CheckFound("keeps_source", "op/linear/f32/35x131/7", "crashed with SIGSEGV in run");
}

TEST(Check, FindsBitsThatChangeWithTheBatch) {
  CheckFound("batch_bits", "repeat/linear/f32/35x131/7", "among 64 rows");
}

TEST(MemoryFaults, FindsWritesAndReadsOutsideOfBuffers) {
  CheckFound("writes_past", "op/add/same", "past its end");
  CheckFound("writes_before", "op/add/same", "before its start");
  CheckFound("reads_past", "op/add/same", "SIGSEGV in run");
  CheckFound("changes_input", "op/add/same", "changed input");
}

TEST(Check, FindsClaimsThatAreNotKept) {
  CheckFound("cannot_plan", "op/mul/same", "claimed, but: plan(): no kernel for mul (node 0)");
  CheckFound("cannot_run", "op/mul/same", "claimed, but: run(): mul is not there yet");
  CheckFound("no_reason", "op/mul/same", "no reason");
}

TEST(MemoryFaults, FindsLeaksAndUncheckedMemory) {
  CheckFound("leaks", "memory/leaks/add/same", "left 6 allocations behind");
  CheckFound("unchecked_malloc", "memory/failing/add/same", "SIGSEGV in allocation");
}

TEST(Check, FindsWhatIsWrongWithDone) {
  CheckFound("done_twice", "op/add/same", "called 2 times");
  CheckFound("never_done", "op/add/same", "did not end within 2 s in waiting for `done`");
  CheckFound("fails_and_done", "op/add/same", "and yet `done` was called");
  CheckFound("done_early", "late/add/same", "was written after `done`");
  CheckFound("late_write", "late/add/same", "was written after `done`", ",async=1");
  CheckFound("done_twice", "late/add/same", "called 2 times", ",async=1");
}

TEST(Check, FindsPlansThatOnlyWorkForOneNode) {
  CheckFound("first_weight", "model/values/f32", "the reference gives");
  CheckFound("batch_bits", "model/repeat/f32", "level A is declared, but bits differ");
}

TEST(MemoryFaults, FindsWhatIsWrongWithBuffersOfADevice) {
  const auto found = [](const std::string& fault, const std::string& words) {
    CheckFails(kFaulty, "op/add/same", words, {"--device", "far", "--config", "fault=" + fault});
  };
  found("odd_address", "no multiple of 64");
  found("reads_more", "buffer_read() wrote more than it was asked for");
  found("changes_input", "changed input");
  found("wrong_last_row", "row 4, element 36");
}

TEST(Check, FindsContextsThatShareScratch) {
  CheckFound("shared_scratch", "parallel/add/same", "two contexts at the same time");
}

TEST(Check, FindsIgnoranceOfStrides) {
  CheckFound("own_sizeof", "host/newer/add/same", "not claimed from a host");
}

TEST(MemoryFaults, SurvivesCrashesHangsAndBadManners) {
  CheckFound("crashes", "op/add/same", "crashed with SIGSEGV in run");
  CheckFound("hangs", "op/add/same", "did not end within 2 s in run");
  CheckFound("exits", "op/add/same", "ended the process with code 3 in open");
  CheckFound("throws", "op/add/same", "open() let an exception escape");
  CheckFound("prints", "op/add/same", "printed, which plugins must not: 'hello");
  CheckFound("rounding", "device/manners", "rounding mode");
  CheckFound("signals", "device/manners", "signal 2");
}

TEST(Check, TheCpuPassesAtEveryLevelThisMachineHas) {
  for (const std::string level : kCpuLevels) {
    const std::vector<std::string> options = {"--config", "isa=" + level, "-t", "1"};
    const Checked first = Check(kCpu, {"op/add/same"}, options);
    if (!first.failed.empty()) {
      UT_PRINT(("skipped " + first.failed[0]["message"].get<std::string>()).c_str());
      continue;
    }
    CheckPasses(kCpu, {}, options);
  }
}

TEST(Check, TheCpuHandlesItsThreads) {
  CheckPasses(kCpu,
              {"host/*", "memory/*", "parallel/*", "late/*", "device/*", "pages/*", "model/*"},
              {"-t", "2"});
}

TEST(Check, SaysWhatItCannotOpen) {
  const CommandResult none = RunCommand({kMinnow, "check", "/no/such/file.so"});
  LONGS_EQUAL(2, none.exit_code);
  STRCMP_CONTAINS("/no/such/file.so", none.err.c_str());
  const CommandResult bare = RunCommand({kMinnow, "check", InSource("README.md")});
  LONGS_EQUAL(1, bare.exit_code);
  STRCMP_CONTAINS("manifest", bare.out.c_str());
  LONGS_EQUAL(2, RunCommand({kMinnow, "check", kFaulty, "--case", "no/such"}).exit_code);
  LONGS_EQUAL(2, RunCommand({kMinnow, "check"}).exit_code);
}

}  // namespace
}  // namespace minnow::test
