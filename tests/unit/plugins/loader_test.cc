#include "plugins/loader.h"

#include <CppUTest/TestHarness.h>
#include <dlfcn.h>
#include <elf.h>

#include <cfenv>
#include <chrono>
#include <cstring>

#include "plugin_folder.h"
#include "plugins/device.h"
#include "plugins/host_services.h"
#include "plugins/verdicts.h"
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

using minnow::Code;
using minnow::Status;
using minnow::plugins::Examine;
using minnow::test::PluginFolder;

TEST_GROUP(Loader) {
  PluginFolder folder;

  Status Try(const std::string& source, const nlohmann::json& changes = {}) {
    return Examine(folder.Add(source, "a", changes), folder.options()).status();
  }
};

TEST(Loader, AcceptsAndOpensAGoodPlugin) {
  const std::string path = folder.Add("good_backend", "a");
  const auto manifest = Examine(path, folder.options());
  CHECK_OK(manifest.status());
  const auto loaded = minnow::plugins::OpenLibrary(path, *manifest);
  CHECK_OK(loaded.status());
  CHECK(loaded->backend && !loaded->archs);
  const auto n = minnow::plugins::CountDevices(*loaded->backend);
  CHECK_OK(n.status());
  UNSIGNED_LONGS_EQUAL(1, *n);
}

TEST(Loader, NeverUnloads) {
  const std::string path = folder.Add("good_backend", "a");
  const auto manifest = Examine(path, folder.options());
  CHECK_OK(manifest.status());
  CHECK_OK(minnow::plugins::OpenLibrary(path, *manifest).status());
  CHECK(::dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD) != nullptr);
}

TEST(Loader, OpensNothingWhileItExamines) {
  const std::string path = folder.Add("good_backend", "a");
  CHECK_OK(Examine(path, folder.options()).status());
  CHECK(::dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD) == nullptr);
}

TEST(Loader, TellsHowAConstructorFails) {
  CHECK_ERROR(Code::kInternal, "crashed with signal SIGSEGV while loading",
              Try("crash_in_constructor"));
  CHECK_ERROR(Code::kInternal, "exited with 3 while loading", Try("exit_in_constructor"));
  CHECK_ERROR(Code::kInternal, "crashed with signal SIGABRT while its devices were asked for",
              Try("crash_in_device_info"));
}

TEST(Loader, StopsWaitingForAConstructorThatHangs) {
  folder.options().probe.limit_ms = 300;
  CHECK_ERROR(Code::kInternal, "did not answer within 0.3 s", Try("hang_in_constructor"));
}

TEST(Loader, DoesNotWaitForWhatAPluginLeftRunning) {
  const auto begin = std::chrono::steady_clock::now();
  CHECK_OK(Try("hang_in_grandchild"));
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
}

TEST(Loader, RefusesAPluginThatPrints) {
  CHECK_ERROR(Code::kInternal, "wrote to stdout", Try("prints"));
  folder.options().probe.limit_ms = 300;
  CHECK_ERROR(Code::kInternal, "did not answer", Try("flood"));
}

TEST(Loader, TellsWhatIsWrongWithTheTables) {
  CHECK_ERROR(Code::kInvalid, "exports no symbol mnw_plugin_entry", Try("no_entry"));
  CHECK_ERROR(Code::kInvalid, "mnw_plugin_entry returned NULL", Try("null_plugin"));
  CHECK_ERROR(Code::kInvalid, "its table is of ABI 0.99", Try("wrong_abi"));
  CHECK_ERROR(Code::kInvalid, "claims a size of 8 bytes", Try("short_plugin"));
  CHECK_ERROR(Code::kInvalid, "claims a size of 4294967280 bytes", Try("huge_plugin"));
  CHECK_ERROR(Code::kInvalid, "its id is 'other', the manifest says 'test'", Try("wrong_id"));
  CHECK_ERROR(Code::kInvalid, "it offers none for this ABI", Try("no_backend"));
  CHECK_ERROR(Code::kInvalid, "too short for its mandatory entries", Try("short_backend"));
  CHECK_ERROR(Code::kInvalid, "mnw_backend.run is NULL", Try("null_run"));
  CHECK_ERROR(Code::kInvalid, "4000000000 devices are beyond belief", Try("many_devices"));
  CHECK_ERROR(Code::kInvalid, "mnw_plugin_entry threw an exception: no luck",
              Try("throws_in_entry"));
  CHECK_ERROR(Code::kInvalid, "a_function_that_nobody_has", Try("undefined_symbol"));
  CHECK_ERROR(Code::kInvalid, "one of its mnw_arch is NULL",
              Try("null_arch", {{"id", "test.models"}, {"kind", "models"}}));
  CHECK_ERROR(Code::kInvalid, "it offers none for this ABI",
              Try("good_models", {{"id", "test.models"}, {"kind", "backend"}}));
}

TEST(Loader, RefusesWhatIsNoLibrary) {
  const std::string elf = minnow::test::ReadAll(minnow::test::BadPlugin("good_backend"));
  const auto attempt = [&](const std::string& bytes) {
    return Examine(folder.AddBytes(bytes, "a"), folder.options()).status();
  };
  CHECK_ERROR(Code::kInvalid, "cannot be opened", attempt("not an ELF file"));
  CHECK_ERROR(Code::kInvalid, "cannot be opened", attempt(""));
  CHECK_ERROR(Code::kInvalid, "cannot be opened", attempt(elf.substr(0, 40)));
  CHECK_ERROR(Code::kInvalid, "cannot be opened", attempt(elf.substr(0, 200)));

  std::string foreign = elf;
  const Elf64_Half machine = EM_S390;
  std::memcpy(foreign.data() + offsetof(Elf64_Ehdr, e_machine), &machine, sizeof machine);
  CHECK_ERROR(Code::kInvalid, "cannot be opened", attempt(foreign));
  foreign = elf;
  foreign[EI_CLASS] = ELFCLASS32;
  CHECK_ERROR(Code::kInvalid, "cannot be opened", attempt(foreign));
}

// Whatever is cut off, the child bears it; some lengths lack only section headers and load well.
TEST(Loader, SurvivesEveryTruncation) {
  const std::string elf = minnow::test::ReadAll(minnow::test::BadPlugin("good_backend"));
  for (size_t n = 0; n < elf.size(); n += elf.size() / 12) {
    const Status status =
        Examine(folder.AddBytes(elf.substr(0, n), "a"), folder.options()).status();
    if (n < elf.size() / 4) CHECK(!status.ok());
  }
}

TEST(Loader, RefusesBeforeItRunsAnything) {
  // Each of these would take the probe's whole patience if it were tried.
  const std::string hang = "hang_in_constructor";
  CHECK_ERROR(Code::kCorrupt, "sha256", Try(hang, {{"sha256", std::string(64, '0')}}));
  CHECK_ERROR(Code::kUnsupported, "built for ABI 0.99", Try(hang, {{"abi", "0.99"}}));
  CHECK_ERROR(Code::kUnsupported, "built for hurd", Try(hang, {{"os", "hurd"}}));
  CHECK_ERROR(Code::kUnsupported, "built for vax", Try(hang, {{"arch", "vax"}}));
  CHECK_ERROR(Code::kUnsupported, "avx9000", Try(hang, {{"cpu_features", {"avx9000"}}}));
  CHECK_ERROR(Code::kCorrupt, "manifest", Try(hang, {{"kind", "toaster"}}));

  const std::string path = folder.Add(hang, "a");
  ::chmod(path.c_str(), 0666);
  CHECK_ERROR(Code::kInvalid, "world-writable", Examine(path, folder.options()).status());
  ::chmod(path.c_str(), 0644);
  ::chmod(minnow::plugins::ManifestPath(path).c_str(), 0666);
  CHECK_ERROR(Code::kInvalid, "a.minnow.json' is world-writable",
              Examine(path, folder.options()).status());
  std::filesystem::remove(minnow::plugins::ManifestPath(path));
  CHECK_ERROR(Code::kNotFound, "a.minnow.json", Examine(path, folder.options()).status());
}

TEST(Loader, SaysSoWhenThereIsNoProbeProgram) {
  folder.options().probe.program = folder.root() + "/nowhere/minnow-probe";
  CHECK_ERROR(Code::kNotFound, "without the probe program", Try("good_backend"));
  minnow::test::WriteAll(folder.root() + "/text", "no program");
  folder.options().probe.program = folder.root() + "/text";
  CHECK_ERROR(Code::kUnavailable, "does not start", Try("good_backend"));
}

TEST(Loader, TriesALibraryOnce) {
  const std::string path = folder.Add("good_backend", "a");
  const auto first = std::chrono::steady_clock::now();
  CHECK_OK(Examine(path, folder.options()).status());
  const auto second = std::chrono::steady_clock::now();
  // With a limit of no time at all, only a remembered verdict can be good.
  folder.options().probe.limit_ms = 0;
  for (int i = 0; i < 100; ++i) CHECK_OK(Examine(path, folder.options()).status());
  const auto third = std::chrono::steady_clock::now();
  CHECK((third - second) / 100 < (second - first) / 4);
}

TEST(Loader, RemembersACrashUntilTheFileIsTouched) {
  const std::string path = folder.Add("crash_in_constructor", "a");
  CHECK_ERROR(Code::kInternal, "crashed with signal", Examine(path, folder.options()).status());
  CHECK_ERROR(Code::kInternal, "remembered from an earlier try",
              Examine(path, folder.options()).status());
  std::filesystem::last_write_time(
      path, std::filesystem::file_time_type::clock::now() + std::chrono::hours(1));
  const Status again = Examine(path, folder.options()).status();
  CHECK(again.message().find("remembered") == std::string::npos);
}

TEST(Loader, DoesNotRememberWhatMayBeRepaired) {
  const std::string path = folder.Add("undefined_symbol", "a");
  CHECK_ERROR(Code::kInvalid, "a_function_that_nobody_has",
              Examine(path, folder.options()).status());
  CHECK_ERROR(Code::kInvalid, "a_function_that_nobody_has",
              Examine(path, folder.options()).status());
}

TEST(Loader, ChecksTheSumAlsoWithAVerdictAtHand) {
  const std::string path = folder.Add("good_backend", "a");
  CHECK_OK(Examine(path, folder.options()).status());
  auto manifest = nlohmann::json::parse(minnow::test::ReadAll(minnow::plugins::ManifestPath(path)));
  manifest["sha256"] = std::string(64, '1');
  minnow::test::WriteAll(minnow::plugins::ManifestPath(path), manifest.dump());
  CHECK_ERROR(Code::kCorrupt, "sha256", Examine(path, folder.options()).status());
}

TEST(Loader, IgnoresACorruptCacheAndMendsIt) {
  const std::string path = folder.Add("good_backend", "a");
  const std::string cache = folder.options().cache_dir + "/plugins.json";
  std::filesystem::create_directories(folder.options().cache_dir);
  const nlohmann::json wrong_type = {{path, {{"size", "x"}}}}, no_object = {{path, 7}};
  for (const std::string& text : {std::string("{\"a\": "), std::string("[]"), std::string(),
                                  wrong_type.dump(), no_object.dump(), std::string("\xff\xfe")}) {
    minnow::test::WriteAll(cache, text);
    CHECK_OK(Examine(path, folder.options()).status());
    CHECK(nlohmann::json::parse(minnow::test::ReadAll(cache)).contains(path));
  }
}

TEST(Loader, WorksWithoutAPlaceForVerdicts) {
  folder.options().cache_dir = "";
  CHECK_OK(Try("good_backend"));
  folder.options().cache_dir = "/proc/no/such/place";
  CHECK_OK(Try("good_backend"));
}

TEST(Loader, ForgetsFilesThatAreGone) {
  const std::string gone = folder.Add("good_backend", "gone");
  CHECK_OK(Examine(gone, folder.options()).status());
  std::filesystem::remove(gone);
  CHECK_OK(Try("good_backend"));
  const std::string cache = minnow::test::ReadAll(folder.options().cache_dir + "/plugins.json");
  CHECK(!nlohmann::json::parse(cache).contains(gone));
}

TEST(Loader, KeepsTheFloatingPointEnvironment) {
#if defined(__x86_64__)
  const std::string path = folder.Add("flush_to_zero", "a");
  const auto manifest = Examine(path, folder.options());
  CHECK_OK(manifest.status());
  const unsigned before = _mm_getcsr();
  CHECK_OK(minnow::plugins::OpenLibrary(path, *manifest).status());
  UNSIGNED_LONGS_EQUAL(before, _mm_getcsr());
#endif
}

TEST(Loader, ContainsAnExceptionThatEscapesACall) {
  const std::string path = folder.Add("throws_in_claim", "a");
  const auto manifest = Examine(path, folder.options());
  CHECK_OK(manifest.status());
  const auto loaded = minnow::plugins::OpenLibrary(path, *manifest);
  CHECK_OK(loaded.status());
  auto device =
      minnow::plugins::Device::Open(*loaded->backend, 0, minnow::plugins::HostServices(), {});
  CHECK_OK(device.status());
  const mnw_graph graph = {sizeof graph,     0,       0,      sizeof(mnw_value),
                           sizeof(mnw_node), nullptr, nullptr};
  CHECK_ERROR(Code::kInternal,
              "test: claim: threw an exception across the plugin contract: no luck",
              device->Claim(graph).status());
  CHECK_ERROR(Code::kInternal, "refused since the plugin threw", device->Claim(graph).status());
}
