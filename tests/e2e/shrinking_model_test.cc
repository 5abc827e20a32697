// A model file cut while the program reads from it.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "build_paths.h"
#include "test_util.h"

namespace minnow::test {
namespace {

constexpr const char* kPipeline = R"(
local minnow = require "minnow"
local slm = minnow.model "model"
return minnow.pipeline {
  name = "shrinking",
  run = function(doc) return { text = slm:generate(doc.text, { max_tokens = 4 }).text } end,
}
)";

TEST_GROUP(ShrinkingModel){};

TEST(ShrinkingModel, EndsTheProgramWithOneLineAndCode74) {
  const TempDir dir;
  // Untied embeddings are looked up in the file itself.
  std::filesystem::copy_file(InSource("tests/golden/models/mistral.gguf"), dir / "model.gguf");
  std::ofstream(dir / "p.lua") << kPipeline;
  int in[2], out[2];
  LONGS_EQUAL(0, ::pipe(in));
  LONGS_EQUAL(0, ::pipe(out));
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(in[0], STDIN_FILENO);
    ::dup2(out[1], STDOUT_FILENO);
    ::dup2(::open((dir / "err").c_str(), O_CREAT | O_WRONLY, 0600), STDERR_FILENO);
    for (const int fd : {in[0], in[1], out[0], out[1]}) ::close(fd);
    ::execl(InBuild("bin/minnow").c_str(), "minnow", "-q", "batch", (dir / "p.lua").c_str(),
            "--input", "-", "--output", "-", "--jobs", "1", "--model-dir", dir.path().c_str(),
            nullptr);
    ::_exit(127);
  }
  ::close(in[0]);
  ::close(out[1]);
  const std::string line = "{\"id\": \"a\", \"text\": \"the river\"}\n";
  LONGS_EQUAL(line.size(), ::write(in[1], line.data(), line.size()));
  char answer;
  LONGS_EQUAL(1, ::read(out[0], &answer, 1));  // the model is loaded and has spoken
  LONGS_EQUAL(0, ::truncate((dir / "model.gguf").c_str(), 100));
  LONGS_EQUAL(line.size(), ::write(in[1], line.data(), line.size()));
  ::close(in[1]);
  int status = 0;
  ::waitpid(child, &status, 0);
  ::close(out[0]);
  std::string err;
  std::getline(std::ifstream(dir / "err"), err, '\0');
  CHECK_TEXT(WIFEXITED(status), err.c_str());
  LONGS_EQUAL_TEXT(74, WEXITSTATUS(status), err.c_str());
  STRCMP_EQUAL(fmt::format("minnow: cannot read '{}' any more: the file was cut, or its disk "
                           "failed, while it was in use\n",
                           dir / "model.gguf")
                   .c_str(),
               err.c_str());
}

}  // namespace
}  // namespace minnow::test
