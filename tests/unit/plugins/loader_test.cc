#include "plugins/loader.h"

#include <CppUTest/TestHarness.h>
#include <dlfcn.h>
#include <elf.h>
#include <signal.h>
#include <sys/stat.h>

#include <cfenv>
#include <chrono>
#include <clocale>
#include <cstring>

#include "plugin_folder.h"
#include "plugins/cpu_features.h"
#include "plugins/device.h"
#include "plugins/host_services.h"
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

using minnow::Code;
using minnow::Status;
using minnow::plugins::Examine;
using minnow::test::Canary;
using minnow::test::PluginFolder;

TEST_GROUP(Loader) {
  PluginFolder folder;

  Status Try(const std::string& source, const nlohmann::json& changes = {}) {
    return Examine(folder.Add(source, "a", changes), folder.options()).status();
  }
};

TEST(Loader, AcceptsAndOpensAGoodPlugin) {
  const std::string path = folder.Add("good_backend", "a");
  const auto candidate = Examine(path, folder.options());
  CHECK_OK(candidate.status());
  const auto loaded = minnow::plugins::OpenLibrary(*candidate);
  CHECK_OK(loaded.status());
  CHECK(loaded->backend && !loaded->archs);
  const auto n = minnow::plugins::CountDevices(*loaded->backend);
  CHECK_OK(n.status());
  UNSIGNED_LONGS_EQUAL(1, *n);
}

TEST(Loader, NeverUnloads) {
  const std::string path = folder.Add("good_backend", "a");
  const auto candidate = Examine(path, folder.options());
  CHECK_OK(candidate.status());
  CHECK_OK(minnow::plugins::OpenLibrary(*candidate).status());
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

TEST(Loader, RefusesAConstructorThatThrows) {
  const Status status = Try("throws_in_constructor");
  CHECK(!status.ok());  // its words depend on how far the exception gets through the linker
}

TEST(Loader, StopsWaitingForAConstructorThatHangs) {
  folder.options().probe.limit_ms = 300;
  CHECK_ERROR(Code::kInternal, "did not answer within 0.3 s while loading",
              Try("hang_in_constructor"));
}

TEST(Loader, StopsWaitingForADeviceThatDoesNotAnswer) {
  folder.options().probe.devices_limit_ms = 300;
  CHECK_ERROR(Code::kInternal, "did not answer within 0.3 s while its devices were asked for",
              Try("hang_in_device_info"));
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
  CHECK_ERROR(Code::kInvalid, "its table: built for ABI 0.99", Try("wrong_abi"));
  CHECK_ERROR(Code::kInvalid, "claims a size of 8 bytes", Try("short_plugin"));
  CHECK_ERROR(Code::kInvalid, "claims a size of 4294967280 bytes", Try("huge_plugin"));
  CHECK_ERROR(Code::kInvalid, "its id is 'other', the manifest says 'test'", Try("wrong_id"));
  CHECK_ERROR(Code::kInvalid, "it offers none for this ABI", Try("no_backend"));
  CHECK_ERROR(Code::kInvalid, "its mnw_backend claims a size of", Try("short_backend"));
  CHECK_ERROR(Code::kInvalid, "its mnw_backend is misaligned", Try("misaligned_backend"));
  CHECK_ERROR(Code::kInvalid, "mnw_backend.run is NULL", Try("null_run"));
  CHECK_ERROR(Code::kInvalid, "mnw_backend.state_free is NULL though state_create is there",
              Try("half_state"));
  CHECK_ERROR(Code::kInvalid, "its mnw_plugin.id does not end", Try("endless_id"));
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
  const Canary canary;
  const std::string source = "canary";
  CHECK_ERROR(Code::kCorrupt, "sha256", Try(source, {{"sha256", std::string(64, '0')}}));
  CHECK_ERROR(Code::kUnsupported, "built for ABI 0.99", Try(source, {{"abi", "0.99"}}));
  CHECK_ERROR(Code::kUnsupported, "built for hurd", Try(source, {{"os", "hurd"}}));
  CHECK_ERROR(Code::kUnsupported, "built for vax", Try(source, {{"arch", "vax"}}));
  CHECK_ERROR(Code::kUnsupported, "avx9000", Try(source, {{"cpu_features", {"avx9000"}}}));
  CHECK_ERROR(Code::kCorrupt, "manifest", Try(source, {{"kind", "toaster"}}));

  const std::string path = folder.Add(source, "a");
  const std::string manifest = minnow::plugins::ManifestPath(path);
  ::chmod(path.c_str(), 0666);
  CHECK_ERROR(Code::kInvalid, "world-writable", Examine(path, folder.options()).status());
  ::chmod(path.c_str(), 0644);
  ::chmod(manifest.c_str(), 0666);
  CHECK_ERROR(Code::kInvalid, "a.minnow.json' is world-writable",
              Examine(path, folder.options()).status());
  ::chmod(manifest.c_str(), 0644);
  if (::geteuid() == 0) {
    CHECK(::chown(manifest.c_str(), 12345, 0) == 0);
    CHECK_ERROR(Code::kInvalid, "belongs to user 12345", Examine(path, folder.options()).status());
  }
  std::filesystem::remove(manifest);
  CHECK_ERROR(Code::kNotFound, "has no manifest", Examine(path, folder.options()).status());
  CHECK(::mkfifo(manifest.c_str(), 0644) == 0);
  CHECK_ERROR(Code::kInvalid, "not a regular file", Examine(path, folder.options()).status());
  CHECK(!canary.sang());

  // It would have told.
  std::filesystem::remove(manifest);
  CHECK_OK(Try(source));
  CHECK(canary.sang());
}

// Whatever this machine has, some of these are missing.
TEST(Loader, RefusesAnInstructionSetThatTheMachineLacksBeforeItRunsAnything) {
  const Canary canary;
  int n_missing = 0;
  for (const char* feature :
       {"avx2", "avx512f", "avx512_vnni", "avx512_fp16", "amx_int8", "sve", "i8mm"}) {
    using minnow::plugins::CpuFeature;
    if (minnow::plugins::FindCpuFeature(feature) == CpuFeature::kPresent) continue;
    CHECK_ERROR(Code::kUnsupported, fmt::format("needs the CPU feature '{}'", feature).c_str(),
                Try("canary", {{"cpu_features", {feature}}}));
    ++n_missing;
  }
  CHECK(n_missing > 0);
  CHECK(!canary.sang());
}

TEST(Loader, RefusesALibraryThatWasReplacedAfterItsVerdict) {
  const Canary canary;
  const std::string path = folder.Add("good_backend", "a");
  const auto candidate = Examine(path, folder.options());
  CHECK_OK(candidate.status());
  const auto times = std::filesystem::last_write_time(path);
  std::string other = minnow::test::ReadAll(minnow::test::BadPlugin("canary"));
  other.resize(std::filesystem::file_size(path));  // cuts or fills the section headers' end
  folder.AddBytes(other, "a");
  std::filesystem::last_write_time(path, times);
  CHECK_ERROR(Code::kUnavailable, "was replaced since it was examined",
              minnow::plugins::OpenLibrary(*candidate).status());
  CHECK(!canary.sang());
  std::filesystem::remove(path);
  CHECK_ERROR(Code::kNotFound, "cannot examine", minnow::plugins::OpenLibrary(*candidate).status());
}

TEST(Loader, SaysSoWhenThereIsNoProbeProgram) {
  folder.options().probe.program = folder.root() + "/nowhere/minnow-probe";
  CHECK_ERROR(Code::kNotFound, "without the probe program", Try("good_backend"));
  minnow::test::WriteAll(folder.root() + "/text", "no program");
  folder.options().probe.program = folder.root() + "/text";
  CHECK_ERROR(Code::kUnavailable, "does not start", Try("good_backend"));
}

TEST(Loader, PutsBackWhatALibraryChangesWhileItLoads) {
  const auto where = std::filesystem::current_path();
  const std::string locale = std::setlocale(LC_ALL, nullptr);
  const std::string path = folder.Add("changes_process", "a");
  const auto candidate = Examine(path, folder.options());
  CHECK_OK(candidate.status());
  const auto loaded = minnow::plugins::OpenLibrary(*candidate);
  CHECK_OK(loaded.status());
  STRCMP_EQUAL(
      "changed the floating-point mode, the locale, signal handling, the umask, the working "
      "directory while it was loaded; put back",
      loaded->remark.c_str());
  LONGS_EQUAL(FE_TONEAREST, std::fegetround());
  STRCMP_EQUAL(locale.c_str(), std::setlocale(LC_ALL, nullptr));
  CHECK(::signal(SIGUSR1, SIG_DFL) == SIG_DFL);
  const mode_t mask = ::umask(0);
  ::umask(mask);
  CHECK(mask != 0);
  CHECK(where == std::filesystem::current_path());
}

TEST(Loader, PutsBackTheFloatingPointModeOfFastMath) {
#if defined(__x86_64__)
  const std::string path = folder.Add("flush_to_zero", "a");
  const auto candidate = Examine(path, folder.options());
  CHECK_OK(candidate.status());
  const unsigned before = _mm_getcsr() & ~0x3fu;
  const auto loaded = minnow::plugins::OpenLibrary(*candidate);
  CHECK_OK(loaded.status());
  UNSIGNED_LONGS_EQUAL(before, _mm_getcsr() & ~0x3fu);
  STRCMP_CONTAINS("the floating-point mode", loaded->remark.c_str());
#endif
}

TEST(Loader, SaysNothingOfALibraryThatChangesNothing) {
  const auto candidate = Examine(folder.Add("good_backend", "a"), folder.options());
  CHECK_OK(candidate.status());
  STRCMP_EQUAL("", minnow::plugins::OpenLibrary(*candidate)->remark.c_str());
}

TEST(Loader, ContainsAnExceptionThatEscapesACall) {
  const std::string path = folder.Add("throws_in_claim", "a");
  const auto candidate = Examine(path, folder.options());
  CHECK_OK(candidate.status());
  const auto loaded = minnow::plugins::OpenLibrary(*candidate);
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
