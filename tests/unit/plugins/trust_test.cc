#include "plugins/trust.h"

#include <CppUTest/TestHarness.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "test_util.h"

namespace fs = std::filesystem;
using minnow::Code;
using minnow::plugins::CheckTrustedFile;
using minnow::plugins::TrustedDirectory;

TEST_GROUP(Trust) {
  minnow::test::TempDir temp;
  std::string folder, file;

  void setup() override {
    folder = temp / "plugins";
    file = folder + "/a.so";
    fs::create_directory(folder);
    std::ofstream(file) << "x";
    ::chmod(folder.c_str(), 0755);
    ::chmod(file.c_str(), 0644);
  }
};

TEST(Trust, AcceptsAFileOfOursInAFolderOfOurs) { CHECK_OK(CheckTrustedFile(file)); }

TEST(Trust, RefusesARelativePath) {
  CHECK_ERROR(Code::kInvalid, "not an absolute path", CheckTrustedFile("plugins/a.so"));
  CHECK_ERROR(Code::kInvalid, "not an absolute path", CheckTrustedFile("a.so"));
  CHECK_ERROR(Code::kInvalid, "not an absolute path", TrustedDirectory(".").status());
  CHECK_ERROR(Code::kInvalid, "not an absolute path", TrustedDirectory("").status());
}

TEST(Trust, RefusesTheWorkingDirectory) {
  const fs::path before = fs::current_path();
  fs::current_path(folder);
  const minnow::Status status = CheckTrustedFile(file);
  fs::current_path(before);
  CHECK_ERROR(Code::kInvalid, "working directory", status);
}

TEST(Trust, RefusesAWorldWritableFile) {
  ::chmod(file.c_str(), 0646);
  CHECK_ERROR(Code::kInvalid, "a.so' is world-writable", CheckTrustedFile(file));
}

TEST(Trust, RefusesAWorldWritableFolderStickyOrNot) {
  ::chmod(folder.c_str(), 0757);
  CHECK_ERROR(Code::kInvalid, "plugins' is world-writable", CheckTrustedFile(file));
  ::chmod(folder.c_str(), 01777);
  CHECK_ERROR(Code::kInvalid, "plugins' is world-writable", CheckTrustedFile(file));
}

TEST(Trust, RefusesAFolderBelowOneWhereOthersMayRename) {
  ::chmod(temp.path().c_str(), 0777);
  CHECK_ERROR(Code::kInvalid, "which is world-writable", CheckTrustedFile(file));
  ::chmod(temp.path().c_str(), 01777);
  CHECK_OK(CheckTrustedFile(file));
}

TEST(Trust, AcceptsGroupWritableFilesInABuildTreeOnly) {
  ::chmod(file.c_str(), 0664);
  ::chmod(folder.c_str(), 0775);
  CHECK_ERROR(Code::kInvalid, "group-writable", CheckTrustedFile(file));
  std::ofstream(folder + "/.minnow-build-tree") << "";
  CHECK_OK(CheckTrustedFile(file));
  ::chmod(file.c_str(), 0666);
  CHECK_ERROR(Code::kInvalid, "world-writable", CheckTrustedFile(file));
}

TEST(Trust, RefusesALinkThatLeavesTheFolder) {
  const std::string outside = temp / "outside.so";
  fs::copy_file(file, outside);
  fs::create_symlink(outside, folder + "/b.so");
  CHECK_ERROR(Code::kInvalid, "outside its directory", CheckTrustedFile(folder + "/b.so"));
  fs::create_symlink("../outside.so", folder + "/c.so");
  CHECK_ERROR(Code::kInvalid, "outside its directory", CheckTrustedFile(folder + "/c.so"));
}

TEST(Trust, FollowsALinkThatStays) {
  fs::create_symlink("a.so", folder + "/b.so");
  CHECK_OK(CheckTrustedFile(folder + "/b.so"));
}

TEST(Trust, JudgesTheFolderBehindALinkedFolder) {
  fs::create_directory_symlink(folder, temp / "link");
  CHECK_OK(CheckTrustedFile(temp / "link/a.so"));
  ::chmod(folder.c_str(), 0757);
  CHECK_ERROR(Code::kInvalid, "world-writable", CheckTrustedFile(temp / "link/a.so"));
}

TEST(Trust, GivesTheFolderBehindALinkedFolder) {
  fs::create_directory_symlink(folder, temp / "link");
  const auto directory = TrustedDirectory(temp / "link");
  CHECK_OK(directory.status());
  STRCMP_EQUAL(fs::canonical(folder).c_str(), directory->c_str());
}

TEST(Trust, RefusesWhatIsNoFile) {
  fs::create_directory(folder + "/d.so");
  CHECK_ERROR(Code::kInvalid, "not a regular file", CheckTrustedFile(folder + "/d.so"));
  ::mkfifo((folder + "/f.so").c_str(), 0644);
  CHECK_ERROR(Code::kInvalid, "not a regular file", CheckTrustedFile(folder + "/f.so"));
  CHECK_ERROR(Code::kNotFound, "cannot resolve", CheckTrustedFile(folder + "/none.so"));
}

TEST(Trust, RefusesAForeignOwner) {
  if (::geteuid() != 0) {
    std::printf("\nskipped Trust.RefusesAForeignOwner: only root can give files away\n");
    return;
  }
  CHECK(::chown(file.c_str(), 12345, 0) == 0);
  CHECK_ERROR(Code::kInvalid, "belongs to user 12345", CheckTrustedFile(file));
  CHECK(::chown(file.c_str(), 0, 0) == 0 && ::chown(folder.c_str(), 12345, 0) == 0);
  CHECK_ERROR(Code::kInvalid, "belongs to user 12345", CheckTrustedFile(file));
  // Who owns a directory above may put another in our one's place, sticky or not.
  CHECK(::chown(folder.c_str(), 0, 0) == 0 && ::chown(temp.path().c_str(), 12345, 0) == 0);
  CHECK_ERROR(Code::kInvalid, "belongs to user 12345", CheckTrustedFile(file));
}

TEST(Trust, DistrustsABuildTreeMarkerOfAnother) {
  if (::geteuid() != 0) return;
  ::chmod(file.c_str(), 0664);
  std::ofstream(folder + "/.minnow-build-tree") << "";
  CHECK(::chown((folder + "/.minnow-build-tree").c_str(), 12345, 0) == 0);
  CHECK_ERROR(Code::kInvalid, "group-writable", CheckTrustedFile(file));
}
