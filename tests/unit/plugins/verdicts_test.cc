// What is remembered of earlier tries, and who may tell us so.
#include "plugins/verdicts.h"

#include <CppUTest/TestHarness.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <chrono>
#include <thread>

#include "plugin_folder.h"

using minnow::Code;
using minnow::Status;
using minnow::plugins::Examine;
using minnow::plugins::FileStamp;
using minnow::plugins::FindVerdict;
using minnow::plugins::StoreVerdict;
using minnow::plugins::VerdictKey;
using minnow::test::PluginFolder;
using minnow::test::ReadAll;

TEST_GROUP(Verdicts) {
  PluginFolder folder;

  Status Try(const std::string& source) {
    return Examine(folder.Add(source, "a"), folder.options()).status();
  }
  std::string CacheOf(const std::string& path) {
    return minnow::plugins::VerdictFile(folder.options().cache_dir, path);
  }
  std::string Verdicts() { return std::filesystem::path(CacheOf("/x")).parent_path(); }
  VerdictKey KeyOf(const std::string& path) {
    const auto stamp = FileStamp::Of(path);
    CHECK_OK(stamp.status());
    const auto key = VerdictKey::Of(path, *stamp, folder.options().probe.program);
    CHECK_OK(key.status());
    return *key;
  }
  // Of a library that crashes, a good verdict that somebody planted.
  std::string Planted() {
    const std::string path = folder.Add("crash_in_constructor", "a");
    StoreVerdict(folder.options().cache_dir, KeyOf(path),
                 {minnow::test::Sha256Of(ReadAll(path)), ""});
    return path;
  }
};

TEST(Verdicts, TriesALibraryOnce) {
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

TEST(Verdicts, RemembersACrashUntilTheFileIsTouched) {
  const std::string path = folder.Add("crash_in_constructor", "a");
  CHECK_ERROR(Code::kInternal, "crashed with signal", Examine(path, folder.options()).status());
  CHECK_ERROR(Code::kInternal, "remembered from an earlier try",
              Examine(path, folder.options()).status());
  std::filesystem::last_write_time(
      path, std::filesystem::file_time_type::clock::now() + std::chrono::hours(1));
  const Status again = Examine(path, folder.options()).status();
  CHECK(again.message().find("remembered") == std::string::npos);
}

TEST(Verdicts, DoesNotRememberWhatMayBeRepaired) {
  const std::string path = folder.Add("undefined_symbol", "a");
  CHECK_ERROR(Code::kInvalid, "a_function_that_nobody_has",
              Examine(path, folder.options()).status());
  CHECK_ERROR(Code::kInvalid, "a_function_that_nobody_has",
              Examine(path, folder.options()).status());
}

TEST(Verdicts, ChecksTheSumAlsoWithAVerdictAtHand) {
  const std::string path = folder.Add("good_backend", "a");
  CHECK_OK(Examine(path, folder.options()).status());
  auto manifest = nlohmann::json::parse(minnow::test::ReadAll(minnow::plugins::ManifestPath(path)));
  manifest["sha256"] = std::string(64, '1');
  minnow::test::WriteAll(minnow::plugins::ManifestPath(path), manifest.dump());
  CHECK_ERROR(Code::kCorrupt, "sha256", Examine(path, folder.options()).status());
}

TEST(Verdicts, IgnoresACorruptCacheAndMendsIt) {
  const std::string path = folder.Add("good_backend", "a");
  const std::string cache = CacheOf(path);
  std::filesystem::create_directories(Verdicts());
  const nlohmann::json wrong_type = {{"path", path}, {"library", 7}};
  for (const std::string& text :
       {std::string("{\"a\": "), std::string("[]"), std::string(), wrong_type.dump(),
        std::string("{\"path\": {\"deep\": {}}}"), std::string("\xff\xfe")}) {
    minnow::test::WriteAll(cache, text);
    CHECK_OK(Examine(path, folder.options()).status());
    CHECK(nlohmann::json::parse(ReadAll(cache)).at("path") == path);
  }
}

TEST(Verdicts, WorksWithoutAPlaceForVerdicts) {
  folder.options().cache_dir = "";
  CHECK_OK(Try("good_backend"));
  folder.options().cache_dir = "/proc/no/such/place";
  CHECK_OK(Try("good_backend"));
}

TEST(Verdicts, ForgetsFilesThatAreGone) {
  const std::string gone = folder.Add("good_backend", "gone");
  CHECK_OK(Examine(gone, folder.options()).status());
  CHECK(std::filesystem::exists(CacheOf(gone)));
  std::filesystem::remove(gone);
  CHECK_OK(Try("good_backend"));
  CHECK(!std::filesystem::exists(CacheOf(gone)));
}

TEST(Verdicts, AreForTheEyesOfTheirOwner) {
  const mode_t mask = ::umask(0);
  CHECK_OK(Try("good_backend"));
  ::umask(mask);
  struct stat st;
  CHECK(::stat(folder.options().cache_dir.c_str(), &st) == 0);
  LONGS_EQUAL(0700, st.st_mode & 0777);
  CHECK(::stat(Verdicts().c_str(), &st) == 0);
  LONGS_EQUAL(0700, st.st_mode & 0777);
  CHECK(::stat(CacheOf(folder.path() + "/a.so").c_str(), &st) == 0);
  LONGS_EQUAL(0600, st.st_mode & 0777);
}

TEST(Verdicts, OfAFileThatOthersCouldWriteAreNotBelieved) {
  const std::string path = Planted();
  CHECK_OK(Examine(path, folder.options()).status());  // it is believed as it lies
  for (const mode_t mode : {0606, 0660}) {
    Planted();
    ::chmod(CacheOf(path).c_str(), mode);
    CHECK_ERROR(Code::kInternal, "crashed with signal", Examine(path, folder.options()).status());
  }
  if (::geteuid() != 0) return;
  Planted();
  CHECK(::chown(CacheOf(path).c_str(), 12345, 0) == 0);
  CHECK_ERROR(Code::kInternal, "crashed with signal", Examine(path, folder.options()).status());
}

TEST(Verdicts, DoNotWaitForAFifo) {
  const std::string cache = CacheOf(folder.path() + "/a.so");
  std::filesystem::create_directories(Verdicts());
  CHECK(::mkfifo(cache.c_str(), 0600) == 0);
  CHECK_OK(Try("good_backend"));
  CHECK(std::filesystem::is_regular_file(cache));
}

TEST(Verdicts, AreVoidForAnotherFileOfTheSameSizeAndTime) {
  const std::string path = folder.Add("good_backend", "a");
  CHECK_OK(Examine(path, folder.options()).status());
  const auto time = std::filesystem::last_write_time(path);
  const size_t size = ReadAll(path).size();
  std::string other = ReadAll(minnow::test::BadPlugin("crash_in_constructor"));
  // The larger of the two decides; what follows the last section is nobody's.
  if (other.size() < size) other.resize(size);
  folder.AddBytes(other, "a");
  std::filesystem::last_write_time(path, time);
  CHECK_ERROR(Code::kInternal, "crashed with signal", Examine(path, folder.options()).status());
}

TEST(Verdicts, OfLibrariesWithOneNameAreKeptApart) {
  const std::string here = folder.path() + "/a.so", there = folder.root() + "/other/a.so";
  CHECK(CacheOf(here) != CacheOf(there));
  // Were they the same file, the path in it would tell.
  const VerdictKey key = KeyOf(folder.Add("good_backend", "a"));
  StoreVerdict(folder.options().cache_dir, key, {"sum", "x"});
  VerdictKey other = key;
  other.path = there;
  std::filesystem::copy(CacheOf(here), CacheOf(there));
  CHECK_FALSE(FindVerdict(folder.options().cache_dir, other).has_value());
}

TEST(Verdicts, OfManyHostsThatStartAtOnceAreAllKept) {
  std::vector<VerdictKey> keys;
  for (const char* name : {"a", "b", "c", "d"}) {
    keys.push_back(KeyOf(folder.Add("good_backend", name)));
  }
  std::vector<std::thread> hosts;
  for (int i = 0; i < 8; ++i) {
    hosts.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        for (const VerdictKey& key : keys) {
          const auto found = FindVerdict(folder.options().cache_dir, key);
          if (found && found->reason != "x") std::abort();
          StoreVerdict(folder.options().cache_dir, key, {"sum", "x"});
        }
      }
    });
  }
  for (std::thread& host : hosts) host.join();
  for (const VerdictKey& key : keys) {
    CHECK(FindVerdict(folder.options().cache_dir, key).has_value());
  }
  size_t n_files = 0;  // and no temporary one is left
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(Verdicts())) {
    ++n_files;
  }
  UNSIGNED_LONGS_EQUAL(keys.size(), n_files);
}

TEST(Verdicts, StayAsTheyWereWhenTheDiskIsFull) {
  const VerdictKey key = KeyOf(folder.Add("good_backend", "a"));
  StoreVerdict(folder.options().cache_dir, key, {"sum", "old"});
  struct rlimit before;
  CHECK(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit full = {16, before.rlim_max};
  CHECK(::setrlimit(RLIMIT_FSIZE, &full) == 0);
  StoreVerdict(folder.options().cache_dir, key, {"sum", "new"});
  CHECK(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  ::signal(SIGXFSZ, handler);
  STRCMP_EQUAL("old", FindVerdict(folder.options().cache_dir, key)->reason.c_str());
  CHECK(std::filesystem::directory_iterator(Verdicts())->path() == CacheOf(key.path));
}
