// `minnow check` from outside: each planted fault is found, in the case that it belongs to; a right
// backend and the CPU at every level that this machine has pass.
#include <CppUTest/UtestMacros.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "../e2e/command.h"
#include "cpu_levels.h"
#include "test_util.h"

namespace minnow::test {
namespace {

using nlohmann::json;

const std::string kMinnow = MINNOW_BINARY_DIR "/bin/minnow";
const std::string kFaulty = MINNOW_BINARY_DIR "/tests/plugins/faulty_backend.so";
const std::string kCpu = MINNOW_BINARY_DIR "/plugins/minnow_backend_cpu.so";
const std::string kFew[] = {"op/add/*",        "op/linear/f32/*",     "op/mul/same",
                            "repeat/add/same", "repeat/linear/f32/*", "host/*/add/*",
                            "host/*/linear/*", "memory/*/add/*",      "memory/*/linear/*",
                            "parallel/add/*",  "late/add/*",          "device/*"};

struct Checked {
  int exit_code;
  std::vector<json> failed;
  json summary;
};

Checked Check(const std::string& library, const std::string& config,
              const std::vector<std::string>& cases, const std::vector<std::string>& more = {}) {
  std::vector<std::string> line = {kMinnow, "check", library, "--json"};
  for (const std::string& c : cases) line.insert(line.end(), {"--case", c});
  if (!config.empty()) line.insert(line.end(), {"--config", config});
  line.insert(line.end(), more.begin(), more.end());
  const CommandResult r = RunCommand(line);
  Checked checked{r.exit_code, {}, {}};
  std::istringstream in(r.out);
  for (std::string text; std::getline(in, text);) {
    json j = json::parse(text);
    if (!j.contains("case")) {
      checked.summary = j;
    } else if (j["outcome"] == "failed") {
      checked.failed.push_back(j);
    }
  }
  if (r.exit_code != 0 && r.exit_code != 1) FAIL(r.err.c_str());
  return checked;
}

void CheckPasses(const std::string& library, const std::string& config,
                 const std::vector<std::string>& cases, const std::vector<std::string>& more = {}) {
  const Checked checked = Check(library, config, cases, more);
  for (const json& j : checked.failed) UT_PRINT(j.dump().c_str());
  LONGS_EQUAL(0, checked.exit_code);
  CHECK(checked.summary["ok"].get<int>() > 0);
}

// The fault is found in that case, with these words.
void CheckFound(const std::string& fault, const std::string& in_case, const std::string& words,
                bool async = false) {
  const std::string config = "fault=" + fault + (async ? ",async=1" : "");
  const Checked checked = Check(kFaulty, config, {in_case}, {"--time-limit", "2"});
  LONGS_EQUAL_TEXT(1, checked.exit_code, config.c_str());
  std::string seen;
  for (const json& j : checked.failed) {
    const std::string message = j["message"];
    seen += j["case"].get<std::string>() + ": " + message + "\n";
    if (j["case"] == in_case && message.find(words) != std::string::npos) {
      STRCMP_CONTAINS(("--case '" + in_case + "' --seed 1 --config '" + config + "'").c_str(),
                      j["repeat"].get<std::string>().c_str());
      return;
    }
  }
  FAIL(("not found in " + in_case + ":\n" + seen).c_str());
}

TEST_GROUP(Check){};

TEST(Check, ARightBackendPasses) {
  CheckPasses(kFaulty, "", {kFew, kFew + std::size(kFew)});
  CheckPasses(kFaulty, "fault=none,async=1", {kFew, kFew + std::size(kFew)});
}

TEST(Check, FindsWrongNumbers) {
  CheckFound("wrong_last_row", "op/add/same", "row 4, element 36");
  CheckFound("ignores_strides", "op/add/views", "row 1, element 0");
  CheckFound("keeps_source", "op/linear/f32/35x131/7", "crashed with SIGSEGV in run");
}

TEST(Check, FindsBitsThatChangeWithTheBatch) {
  CheckFound("batch_bits", "repeat/linear/f32/35x131/7", "among 64 rows");
}

TEST(Check, FindsWritesAndReadsOutsideOfBuffers) {
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

TEST(Check, FindsLeaksAndUncheckedMemory) {
  CheckFound("leaks", "memory/leaks/add/same", "left 6 allocations behind");
  CheckFound("unchecked_malloc", "memory/failing/add/same", "SIGSEGV in allocation");
}

TEST(Check, FindsWhatIsWrongWithDone) {
  CheckFound("done_twice", "op/add/same", "called 2 times");
  CheckFound("never_done", "op/add/same", "did not end within 2 s in waiting for `done`");
  CheckFound("fails_and_done", "op/add/same", "and yet `done` was called");
  CheckFound("done_early", "late/add/same", "was written after `done`");
  CheckFound("late_write", "late/add/same", "was written after `done`", true);
  CheckFound("done_twice", "late/add/same", "called 2 times", true);
}

TEST(Check, FindsContextsThatShareScratch) {
  CheckFound("shared_scratch", "parallel/add/same", "two contexts at the same time");
}

TEST(Check, FindsIgnoranceOfStrides) { CheckFound("own_sizeof", "host/newer/add/same", "not claimed from a host"); }

TEST(Check, SurvivesCrashesHangsAndBadManners) {
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
    const std::string config = "isa=" + level;
    const Checked first = Check(kCpu, config, {"op/add/same"});
    if (!first.failed.empty()) {
      UT_PRINT(("skipped " + first.failed[0]["message"].get<std::string>()).c_str());
      continue;
    }
    CheckPasses(kCpu, config, {"op/*", "repeat/*"}, {"-t", "1"});
  }
}

TEST(Check, TheCpuHandlesItsMemoryAndItsHosts) {
  CheckPasses(kCpu, "", {"host/*", "memory/*", "parallel/*", "late/*", "device/*", "pages/*"},
              {"-t", "2"});
}

TEST(Check, SaysWhatItCannotOpen) {
  const CommandResult none = RunCommand({kMinnow, "check", "/no/such/file.so"});
  LONGS_EQUAL(2, none.exit_code);
  STRCMP_CONTAINS("/no/such/file.so", none.err.c_str());
  const CommandResult bare = RunCommand({kMinnow, "check", MINNOW_SOURCE_DIR "/README.md"});
  LONGS_EQUAL(1, bare.exit_code);
  STRCMP_CONTAINS("manifest", bare.out.c_str());
  LONGS_EQUAL(2, RunCommand({kMinnow, "check", kFaulty, "--case", "no/such"}).exit_code);
  LONGS_EQUAL(2, RunCommand({kMinnow, "check"}).exit_code);
}

}  // namespace
}  // namespace minnow::test
