#include "base/mapped_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "base/mapping_fault.h"
#include "test_util.h"

namespace minnow {
namespace {

TEST_GROUP(MappedFile) {
  test::TempDir dir;

  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = dir / name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
};

TEST(MappedFile, ShowsTheBytesOfAFile) {
  const auto file = MappedFile::Open(Write("a", "abc"));
  CHECK_OK(file.status());
  LONGS_EQUAL(3, file->bytes().size());
  LONGS_EQUAL('c', static_cast<char>(file->bytes()[2]));
  LONGS_EQUAL(0, MappedFile::Open(Write("empty", ""))->bytes().size());
}

TEST(MappedFile, RefusesWhatIsNoRegularFileWithoutWaiting) {
  const std::string fifo = dir / "fifo", socket_path = dir / "socket", loop = dir / "loop";
  LONGS_EQUAL(0, ::mkfifo(fifo.c_str(), 0600));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path.c_str());
  const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
  LONGS_EQUAL(0, ::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address));
  ::close(socket);
  for (const std::string& path : {fifo, socket_path, dir.path(), std::string("/dev/zero")}) {
    CHECK_ERROR(Code::kInvalid, ("'" + path + "' is not a regular file").c_str(),
                MappedFile::Open(path).status());
  }
  std::filesystem::create_symlink(loop, loop);
  CHECK_ERROR(Code::kInvalid, "symbolic links", MappedFile::Open(loop).status());
}

TEST(MappedFile, RefusesANameThatHoldsNul) {
  const std::string path = Write("a", "abc");
  CHECK_ERROR(Code::kInvalid, "holds a NUL byte",
              MappedFile::Open(path + std::string("\0.gguf", 6)).status());
}

TEST(MappedFile, KnowsThatItsFileWasCutGrownWrittenReplacedOrRemoved) {
  const auto changed = [&](auto change) {
    const std::string path = Write("a", "abc");
    const auto file = MappedFile::Open(path);
    CHECK_OK(file.status());
    CHECK_OK(file->CheckUnchanged());
    change(path);
    CHECK_ERROR(Code::kCorrupt, ("'" + path + "' changed while it was open").c_str(),
                file->CheckUnchanged());
  };
  changed([](const std::string& path) { LONGS_EQUAL(0, ::truncate(path.c_str(), 1)); });
  changed([](const std::string& path) { LONGS_EQUAL(0, ::truncate(path.c_str(), 9)); });
  changed([](const std::string& path) { std::filesystem::remove(path); });
  changed([&](const std::string& path) { std::filesystem::rename(Write("b", "abc"), path); });
  changed([](const std::string& path) {  // in place, of equal size
    const timespec later[2] = {{2'000'000'000, 0}, {2'000'000'000, 0}};
    LONGS_EQUAL(0, ::utimensat(AT_FDCWD, path.c_str(), later, 0));
  });
}

// What a child process that runs `act` says on stderr; `status` is its wait status.
template <class Act>
std::string InChild(Act act, int* status) {
  int pipe[2];
  LONGS_EQUAL(0, ::pipe(pipe));
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(pipe[1], STDERR_FILENO);
    ExitOnMappingFault();
    act();
    ::_exit(0);
  }
  ::close(pipe[1]);
  std::string said;
  char buffer[512];
  for (ssize_t n; (n = ::read(pipe[0], buffer, sizeof buffer)) > 0;) {
    said.append(buffer, static_cast<size_t>(n));
  }
  ::close(pipe[0]);
  ::waitpid(child, status, 0);
  return said;
}

TEST(MappedFile, AFileThatShrinksEndsTheProcessWithItsNameAndCode74) {
  const std::string path = Write("shrinks", std::string(1 << 20, 'x'));
  int status = 0;
  const std::string said = InChild(
      [&] {
        const auto file = MappedFile::Open(path);
        if (!file.ok() || ::truncate(path.c_str(), 0) != 0) ::_exit(1);
        const volatile std::byte last = file->bytes().back();
        (void)last;
      },
      &status);
  CHECK(WIFEXITED(status));
  LONGS_EQUAL(74, WEXITSTATUS(status));
  STRCMP_EQUAL(fmt::format("minnow: cannot read '{}' any more: the file was cut, or its disk "
                           "failed, while it was in use\n",
                           path)
                   .c_str(),
               said.c_str());
}

TEST(MappedFile, OtherBusErrorsAreCrashesAsBefore) {
  int status = 0;
  const std::string said = InChild(
      [] {
        const rlimit none{0, 0};
        ::setrlimit(RLIMIT_CORE, &none);
        ::raise(SIGBUS);
        ::raise(SIGBUS);  // the first only took the handler away
      },
      &status);
  CHECK(WIFSIGNALED(status));
  LONGS_EQUAL(SIGBUS, WTERMSIG(status));
  STRCMP_EQUAL("", said.c_str());
}

}  // namespace
}  // namespace minnow
