#include "plugins/registry.h"

#include <CppUTest/TestHarness.h>
#include <stdlib.h>

#include "build_paths.h"
#include "plugin_folder.h"

using minnow::Code;
using minnow::plugins::Found;
using minnow::plugins::PluginState;
using minnow::plugins::Registry;
using minnow::plugins::RegistryOptions;
using minnow::test::InBuild;
using minnow::test::PluginFolder;

TEST_GROUP(Registry) {
  PluginFolder folder;
  const nlohmann::json models = {{"id", "test.models"}, {"kind", "models"}};

  void CheckState(PluginState state, const char* reason, const Found& found) {
    CHECK_TEXT(found.state == state, found.reason.c_str());
    STRCMP_CONTAINS(reason, found.reason.c_str());
  }
};

TEST(Registry, OpensALibraryOnlyWhenItIsNeeded) {
  folder.Add("good_backend", "a");
  folder.Add("good_models", "b", models);
  Registry registry = folder.Scan();
  UNSIGNED_LONGS_EQUAL(2, registry.plugins().size());
  CheckState(PluginState::kAvailable, "", registry.plugins()[0]);
  CHECK_OK(registry.OpenDevice("test").status());
  CheckState(PluginState::kLoaded, "", registry.plugins()[0]);
  CheckState(PluginState::kAvailable, "", registry.plugins()[1]);
}

TEST(Registry, ListsDevices) {
  folder.Add("good_backend", "a");
  const auto devices = folder.Scan().Devices();
  UNSIGNED_LONGS_EQUAL(1, devices.size());
  STRCMP_EQUAL("test", devices[0].id.c_str());
  STRCMP_EQUAL("a device that does nothing", devices[0].description.c_str());
  CHECK(!devices[0].host_memory);
}

TEST(Registry, PassesADevicesSettingsOn) {
  folder.Add("good_backend", "a");
  Registry registry = folder.Scan();
  CHECK_OK(registry.OpenDevice("test:color=blue").status());
  CHECK_OK(registry.OpenDevice("test:threads=2,color=blue", 100).status());
  CHECK_ERROR(Code::kInvalid, "unknown setting", registry.OpenDevice("test:color=red").status());
  CHECK_ERROR(Code::kOutOfRange, "test: open: more than 8 threads",
              registry.OpenDevice("test", 100).status());
}

TEST(Registry, NamesWhatIsWrongInADeviceSpec) {
  Registry registry = folder.Scan();
  CHECK_ERROR(Code::kInvalid, "'blue' is not of the form",
              registry.OpenDevice("test:blue").status());
  CHECK_ERROR(Code::kInvalid, "'=blue' is not of the form",
              registry.OpenDevice("test:=blue").status());
  CHECK_ERROR(Code::kInvalid, "threads 'x' is not a number",
              registry.OpenDevice("test:threads=x").status());
  CHECK_ERROR(Code::kInvalid, "threads '' is not a number",
              registry.OpenDevice("test:threads=").status());
  CHECK_ERROR(Code::kInvalid, "threads '-1' is not a number",
              registry.OpenDevice("test:threads=-1").status());
  CHECK_ERROR(Code::kInvalid, "has no name", registry.OpenDevice("").status());
  CHECK_ERROR(Code::kInvalid, "has no name", registry.OpenDevice(":threads=2").status());
}

TEST(Registry, SaysWhichDevicesThereAreAndWhyOthersAreNot) {
  folder.Add("good_backend", "a");
  folder.Add("null_run", "b");
  Registry registry = folder.Scan();
  const auto status = registry.OpenDevice("cuda0").status();
  CHECK_ERROR(Code::kNotFound, "no device 'cuda0'; there are: test; refused: ", status);
  STRCMP_CONTAINS("b.so (its mnw_backend.run is NULL", status.message().c_str());
  CHECK_ERROR(Code::kNotFound, "there are: none", Registry::Scan({}).OpenDevice("cpu").status());
}

TEST(Registry, FindsArchitectures) {
  folder.Add("good_models", "a", models);
  Registry registry = folder.Scan();
  const auto arch = registry.FindArch("two");
  CHECK_OK(arch.status());
  STRCMP_EQUAL("two", (*arch)->id);
  CHECK_ERROR(Code::kUnsupported, "architecture 'three'; known are: one, two",
              registry.FindArch("three").status());
  CHECK_ERROR(Code::kUnsupported, "known are: none", Registry::Scan({}).FindArch("one").status());
}

TEST(Registry, ListsEveryFileWithItsReason) {
  folder.Add("crash_in_constructor", "a");
  folder.Add("good_backend", "b", {{"arch", "vax"}});
  folder.Add("good_backend", "c");
  minnow::test::WriteAll(folder.path() + "/d.so", "no manifest");
  minnow::test::WriteAll(folder.path() + "/e.so", "manifest without fields");
  minnow::test::WriteAll(folder.path() + "/e.minnow.json", "{}");
  folder.Add("good_models", "f", models);
  std::filesystem::remove(folder.path() + "/f.so");
  minnow::test::WriteAll(folder.path() + "/readme.txt", "not listed");
  Registry registry = folder.Scan();
  const auto found = registry.plugins();
  UNSIGNED_LONGS_EQUAL(6, found.size());
  CheckState(PluginState::kRefused, "crashed with signal", found[0]);
  CheckState(PluginState::kRefused, "built for vax", found[1]);
  STRCMP_EQUAL("test", found[1].id.c_str());
  CheckState(PluginState::kAvailable, "", found[2]);
  CheckState(PluginState::kRefused, "d.minnow.json", found[3]);
  CheckState(PluginState::kRefused, "field 'id' is missing", found[4]);
  CheckState(PluginState::kRefused, "cannot resolve", found[5]);

  const std::string why = registry.WhyText();
  LONGS_EQUAL(6, std::count(why.begin(), why.end(), '\n'));
  STRCMP_CONTAINS("built for vax", why.c_str());
  const auto json = nlohmann::json::parse(registry.WhyJson());
  UNSIGNED_LONGS_EQUAL(6, json.size());
  STRCMP_EQUAL("available", json[2]["state"].get<std::string>().c_str());
}

TEST(Registry, RefusesTheSecondPluginOfOneId) {
  folder.Add("good_backend", "a");
  folder.Add("good_backend", "b");
  const Registry registry = folder.Scan();
  CheckState(PluginState::kAvailable, "", registry.plugins()[0]);
  CheckState(PluginState::kRefused, "already taken by", registry.plugins()[1]);
  STRCMP_CONTAINS("a.so", registry.plugins()[1].reason.c_str());
}

TEST(Registry, RefusesTheSecondBackendWithADeviceOfOneName) {
  folder.Add("good_backend", "a");
  folder.Add("wrong_id", "b", {{"id", "other"}});
  Registry registry = folder.Scan();
  UNSIGNED_LONGS_EQUAL(1, registry.Devices().size());
  CheckState(PluginState::kLoaded, "", registry.plugins()[0]);
  CheckState(PluginState::kRefused, "its device 'test' is already offered by",
             registry.plugins()[1]);
  STRCMP_CONTAINS("a.so", registry.plugins()[1].reason.c_str());
}

TEST(Registry, RefusesABackendThatNamesTwoDevicesAlike) {
  folder.Add("equal_devices", "a");
  Registry registry = folder.Scan();
  UNSIGNED_LONGS_EQUAL(0, registry.Devices().size());
  CheckState(PluginState::kRefused, "its device 'test' is already offered", registry.plugins()[0]);
}

TEST(Registry, KeepsEqualSymbolsOfTwoPluginsApart) {
  folder.Add("same_symbol_one", "a", {{"id", "test.one"}});
  folder.Add("same_symbol_two", "b", {{"id", "test.two"}});
  Registry registry = folder.Scan();
  const auto devices = registry.Devices();
  UNSIGNED_LONGS_EQUAL(2, devices.size());
  STRCMP_EQUAL("one", devices[0].id.c_str());
  STRCMP_EQUAL("two", devices[1].id.c_str());
}

TEST(Registry, TellsWhatAPluginChangedWhileItLoaded) {
  folder.Add("changes_process", "a");
  Registry registry = folder.Scan();
  registry.LoadAll();
  CheckState(PluginState::kLoaded, "changed the floating-point mode", registry.plugins()[0]);
  STRCMP_CONTAINS("the umask", registry.WhyText().c_str());
}

TEST(Registry, OpensWhatIsUsableWhenAskedTo) {
  folder.Add("good_backend", "a");
  folder.Add("good_models", "b", models);
  folder.Add("null_run", "c");
  Registry registry = folder.Scan();
  registry.LoadAll();
  CheckState(PluginState::kLoaded, "", registry.plugins()[0]);
  CheckState(PluginState::kLoaded, "", registry.plugins()[1]);
  CheckState(PluginState::kRefused, "run is NULL", registry.plugins()[2]);
}

// A copy where the dynamic linker, or a shell, would look first is none of ours.
TEST(Registry, LooksNeitherInTheWorkingDirectoryNorInTheLibraryPath) {
  const minnow::test::Canary canary;
  PluginFolder copies;
  copies.Add("canary", "a");
  folder.Add("good_backend", "a");
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(copies.path());
  ::setenv("LD_LIBRARY_PATH", copies.path().c_str(), 1);
  const std::vector<std::string> directories = {"",
                                                ".",
                                                "../plugins",
                                                std::filesystem::path(copies.path()).filename(),
                                                copies.path(),
                                                folder.path()};
  Registry registry = Registry::Scan({directories, folder.options()});
  registry.LoadAll();
  ::unsetenv("LD_LIBRARY_PATH");
  std::filesystem::current_path(before);
  CHECK(!canary.sang());
  UNSIGNED_LONGS_EQUAL(6, registry.plugins().size());
  for (int i = 0; i < 4; ++i)
    CheckState(PluginState::kRefused, "not an absolute path", registry.plugins()[i]);
  CheckState(PluginState::kRefused, "is the working directory", registry.plugins()[4]);
  CheckState(PluginState::kLoaded, "", registry.plugins()[5]);
}

TEST(Registry, GoesWhereALinkedFolderPointedWhenItWasJudged) {
  const minnow::test::Canary canary;
  PluginFolder other;
  other.Add("canary", "a");
  folder.Add("good_backend", "a");
  const std::string link = folder.root() + "/link";
  std::filesystem::create_directory_symlink(folder.path(), link);
  Registry registry = Registry::Scan({{link}, folder.options()});
  std::filesystem::remove(link);
  std::filesystem::create_directory_symlink(other.path(), link);
  registry.LoadAll();
  CheckState(PluginState::kLoaded, "", registry.plugins()[0]);
  CHECK(!canary.sang());
}

TEST(Registry, ShowsHostileNamesAsText) {
  minnow::test::WriteAll(folder.path() + "/\x1b[31mred\n.so", "x");
  minnow::test::WriteAll(folder.path() + "/\x1b[31mred\n.minnow.json", "{\"\\u001b[31m\": 1}");
  const Registry registry = folder.Scan();
  for (const std::string& text : {registry.WhyText(), registry.WhyJson()}) {
    CHECK(text.find('\x1b') == std::string::npos);
    STRCMP_CONTAINS("x1b[31mred", text.c_str());
  }
  const std::string why = registry.WhyText();
  LONGS_EQUAL(1, std::count(why.begin(), why.end(), '\n'));
}

TEST(Registry, LetsTheSecondOfOneIdStandInForARefusedFirst) {
  folder.Add("null_run", "a");
  folder.Add("good_backend", "b");
  CheckState(PluginState::kAvailable, "", folder.Scan().plugins()[1]);
}

TEST(Registry, PrefersEarlierDirectories) {
  PluginFolder other;
  const std::string first = other.Add("good_backend", "z");
  folder.Add("good_backend", "a");
  const Registry registry =
      Registry::Scan({{other.path(), folder.path(), other.path()}, folder.options()});
  UNSIGNED_LONGS_EQUAL(2, registry.plugins().size());
  STRCMP_EQUAL(first.c_str(), registry.plugins()[0].path.c_str());
  CheckState(PluginState::kAvailable, "", registry.plugins()[0]);
  CheckState(PluginState::kRefused, "already taken", registry.plugins()[1]);
}

TEST(Registry, RefusesAWholeDirectoryInOneLine) {
  folder.Add("good_backend", "a");
  ::chmod(folder.path().c_str(), 0777);
  const Registry registry =
      Registry::Scan({{"plugins", folder.path(), "/no/such/folder"}, folder.options()});
  UNSIGNED_LONGS_EQUAL(2, registry.plugins().size());
  CheckState(PluginState::kRefused, "not an absolute path", registry.plugins()[0]);
  CheckState(PluginState::kRefused, "world-writable", registry.plugins()[1]);
}

TEST(Registry, TakesDirectoriesFromTheCallerThenTheEnvironmentThenTheProgram) {
  ::setenv("MINNOW_PLUGIN_PATH", "/x/one:relative::/x/two", 1);
  ::setenv("XDG_CACHE_HOME", "/x/cache", 1);
  const RegistryOptions options = RegistryOptions::FromEnvironment({"/x/zero"});
  ::unsetenv("MINNOW_PLUGIN_PATH");
  ::unsetenv("XDG_CACHE_HOME");
  UNSIGNED_LONGS_EQUAL(6, options.directories.size());
  STRCMP_EQUAL("/x/zero", options.directories[0].c_str());
  STRCMP_EQUAL("/x/one", options.directories[1].c_str());
  STRCMP_EQUAL("relative", options.directories[2].c_str());  // Scan says why it is not searched
  STRCMP_EQUAL("/x/two", options.directories[3].c_str());
  STRCMP_EQUAL(InBuild("plugins").c_str(), options.directories[4].c_str());
  STRCMP_EQUAL(InBuild("lib/minnow/plugins").c_str(), options.directories[5].c_str());
  STRCMP_EQUAL(InBuild("bin/minnow-probe").c_str(), options.loader.probe.program.c_str());
  STRCMP_EQUAL("/x/cache/minnow", options.loader.cache_dir.c_str());
}

TEST(Registry, RemembersVerdictsBelowHomeOrNowhere) {
  const std::string home = ::getenv("HOME") ? ::getenv("HOME") : "";
  ::setenv("HOME", "/x/home", 1);
  ::setenv("XDG_CACHE_HOME", "relative", 1);  // to be ignored, says its specification
  STRCMP_EQUAL("/x/home/.cache/minnow",
               RegistryOptions::FromEnvironment().loader.cache_dir.c_str());
  ::unsetenv("HOME");
  STRCMP_EQUAL("", RegistryOptions::FromEnvironment().loader.cache_dir.c_str());
  ::unsetenv("XDG_CACHE_HOME");
  if (!home.empty()) ::setenv("HOME", home.c_str(), 1);
}

// The plugins that this build made pass every check, as far as they are built.
TEST(Registry, FindsThePluginsOfItsOwnBuildFit) {
  RegistryOptions options = RegistryOptions::FromEnvironment();
  options.directories = {InBuild("plugins")};
  options.loader.cache_dir.clear();
  const Registry registry = Registry::Scan(options);
  for (const Found& found : registry.plugins()) CheckState(PluginState::kAvailable, "", found);
}
