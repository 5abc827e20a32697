// A folder of plugins of every bad kind: each costs one line, and the host goes on.
#include <nlohmann/json.hpp>

#include "build_paths.h"
#include "command.h"
#include "plugins/plugin_folder.h"

namespace minnow::test {
namespace {

const std::string kMinnow = InBuild("bin/minnow");

struct Case {
  const char* source;   // of tests/unit/plugins/bad
  const char* changes;  // of the manifest
  const char* state;
  const char* reason;  // part of it
};

// The order of the files is that of the cases.
const Case kCases[] = {
    {"no_entry", "{}", "refused", "exports no symbol mnw_plugin_entry"},
    {"undefined_symbol", "{}", "refused", "a_function_that_nobody_has"},
    {"null_plugin", "{}", "refused", "returned NULL"},
    {"wrong_abi", "{}", "refused", "its table: built for ABI 0.99"},
    {"good_backend", R"({"abi": "99.0"})", "refused", "built for ABI 99.0"},
    {"good_backend", R"({"arch": "vax"})", "refused", "built for vax"},
    {"good_backend", R"({"os": "hurd"})", "refused", "built for hurd"},
    {"canary", R"({"cpu_features": ["avx9000"]})", "refused", "avx9000"},
    {"good_backend", R"({"sha256": "x"})", "refused", "field 'sha256'"},
    {"good_backend", R"({"\u001b[31m": 1})", "refused", "unknown field '\\x1b[31m'"},
    {"crash_in_constructor", "{}", "refused", "crashed with signal SIGSEGV while loading"},
    {"exit_in_constructor", "{}", "refused", "exited with 3 while loading"},
    {"throws_in_constructor", "{}", "refused", ""},
    {"throws_in_entry", "{}", "refused", "threw an exception: no luck"},
    {"crash_in_device_info", "{}", "refused", "SIGABRT while its devices were asked for"},
    {"prints", "{}", "refused", "wrote to stdout"},
    {"short_backend", "{}", "refused", "its mnw_backend claims a size"},
    {"misaligned_backend", "{}", "refused", "its mnw_backend is misaligned"},
    {"half_state", "{}", "refused", "state_free is NULL"},
    {"endless_id", "{}", "refused", "does not end"},
    {"many_devices", "{}", "refused", "beyond belief"},
    {"changes_process", "{}", "loaded",
     "changed the floating-point mode, the locale, signal handling"},
    {"good_backend", "{}", "refused", "its id 'test' is already taken"},
    {"same_symbol_one", R"({"id": "test.one"})", "loaded", ""},
    {"same_symbol_two", R"({"id": "test.two"})", "loaded", ""},
};

}  // namespace

TEST_GROUP(Plugins) {
  PluginFolder folder;
  Canary canary;

  void setup() override {
    ::setenv("MINNOW_PLUGIN_PATH", folder.path().c_str(), 1);
    ::setenv("XDG_CACHE_HOME", folder.options().cache_dir.c_str(), 1);
  }
  void teardown() override {
    ::unsetenv("MINNOW_PLUGIN_PATH");
    ::unsetenv("XDG_CACHE_HOME");
  }
  // What --json says of the files in the folder.
  std::vector<nlohmann::json> List(const std::vector<std::string>& command) {
    const CommandResult result = RunCommand(command);
    LONGS_EQUAL_TEXT(0, result.exit_code, result.err.c_str());
    std::vector<nlohmann::json> ours;
    for (const auto& plugin : nlohmann::json::parse(result.out)) {
      if (plugin["path"].get<std::string>().starts_with(folder.path())) ours.push_back(plugin);
    }
    return ours;
  }
};

TEST(Plugins, EachBadOneCostsOneLineAndTheHostGoesOn) {
  char name = 'a';
  for (const Case& c : kCases) {
    folder.Add(c.source, std::string("p_") + name++, nlohmann::json::parse(c.changes));
  }
  for (const char* run : {"cold", "warm"}) {
    const auto list = List({kMinnow, "plugins", "--json"});
    UNSIGNED_LONGS_EQUAL_TEXT(std::size(kCases), list.size(), run);
    for (size_t i = 0; i < list.size(); ++i) {
      const auto reason = list[i]["reason"].get<std::string>();
      STRCMP_CONTAINS_TEXT(kCases[i].reason, reason.c_str(), kCases[i].source);
      STRCMP_EQUAL_TEXT(kCases[i].state, list[i]["state"].get<std::string>().c_str(),
                        kCases[i].source);
      CHECK_TEXT(!reason.empty() || list[i]["state"] == "loaded", kCases[i].source);
    }
  }
  CHECK(!canary.sang());

  const CommandResult why = RunCommand({kMinnow, "plugins", "--why"});
  LONGS_EQUAL(0, why.exit_code);
  size_t n_lines = 0;
  for (size_t at = 0; (at = why.out.find(folder.path() + "/p_", at)) != why.out.npos; ++at)
    ++n_lines;
  CHECK(n_lines >= std::size(kCases));  // a reason may name another file
  CHECK(why.out.find('\x1b') == why.out.npos);

  const std::vector<std::string> generate = {
      kMinnow,  "generate", "-m",       InSource("tests/golden/models/llama.gguf"),
      "-p",     "a b c",    "-n",       "8",
      "--temp", "0",        "--device", "cpu",
      "--json"};
  const CommandResult beside = RunCommand(generate);
  LONGS_EQUAL_TEXT(0, beside.exit_code, beside.err.c_str());
  ::unsetenv("MINNOW_PLUGIN_PATH");
  const CommandResult alone = RunCommand(generate);
  LONGS_EQUAL_TEXT(0, alone.exit_code, alone.err.c_str());
  CHECK(nlohmann::json::parse(alone.out)["tokens"] == nlohmann::json::parse(beside.out)["tokens"]);
}

// A CPU of 2008, emulated: what is built for a newer one is never opened, what is not is. The probe
// is started by the emulator's kernel, which is the real one, so only the host is emulated.
TEST(Plugins, AnAvx512BuildIsNeverOpenedOnAnOlderCpu) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__x86_64__)
  std::printf("\nskipped: an emulated x86-64 CPU needs a build for that and without sanitizers\n");
#else
  std::string emulator = "qemu-x86_64-static";
  if (RunCommand({emulator, "--version"}).exit_code != 0) emulator = "qemu-x86_64";
  if (RunCommand({emulator, "--version"}).exit_code != 0) {
    std::printf("\nskipped: no qemu-x86_64 (package qemu-user-static)\n");
    return;
  }
  folder.Add("canary", "new", {{"cpu_features", {"sse4_1", "avx512f"}}});
  folder.Add("good_backend", "old", {{"cpu_features", {"ssse3", "sse4_1"}}});
  const auto list = List({emulator, "-cpu", "Nehalem", kMinnow, "plugins", "--json"});
  UNSIGNED_LONGS_EQUAL(2, list.size());
  STRCMP_EQUAL("needs the CPU feature 'avx512f', which this machine lacks",
               list[0]["reason"].get<std::string>().c_str());
  STRCMP_EQUAL("refused", list[0]["state"].get<std::string>().c_str());
  STRCMP_EQUAL_TEXT("loaded", list[1]["state"].get<std::string>().c_str(), list[1].dump().c_str());
  CHECK(!canary.sang());
#endif
}

}  // namespace minnow::test
