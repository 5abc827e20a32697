// `minnow serve` as a process: what it refuses to start with, how it goes down. Its calls are
// tested in tests/unit/service.
#include <sys/stat.h>

#include <fstream>

#include "build_paths.h"
#include "command.h"
#include "test_util.h"

namespace minnow::test {
namespace {

const std::string kMinnow = InBuild("bin/minnow");
const std::string kTiny = InSource("tests/golden/models/llama.gguf");

CommandResult Serve(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {kMinnow, "serve"});
  return RunCommand(arguments);
}

void CheckRefused(int exit_code, const char* text, const CommandResult& r) {
  LONGS_EQUAL_TEXT(exit_code, r.exit_code, r.err.c_str());
  STRCMP_CONTAINS(text, r.err.c_str());
}

TEST_GROUP(Serve) { TempDir dir; };

TEST(Serve, GoesDownOnSigtermWithExitCodeZero) {
  const std::string script = fmt::format(
      "'{0}' serve -t 1 --kv-tokens 2048 -m '{1}' --listen 'unix:{2}/socket' --http 127.0.0.1:0 "
      "2>'{2}/log' &\n"
      "for i in $(seq 1200); do grep -q 'ready' '{2}/log' && break; sleep 0.05; done\n"
      "test -S '{2}/socket' || echo 'no socket'\n"
      "kill -TERM $!; wait $!; echo $?; cat '{2}/log'\n",
      kMinnow, kTiny, dir.path());
  const CommandResult r = RunCommand({"sh", "-c", script});
  STRCMP_CONTAINS("0\n", r.out.substr(0, 2).c_str());
  STRCMP_CONTAINS("gRPC on unix:", r.out.c_str());
  STRCMP_CONTAINS("metrics and health on http://127.0.0.1:", r.out.c_str());
  STRCMP_CONTAINS("draining: 0 requests under way", r.out.c_str());
}

TEST(Serve, LoadsPipelinesAnewOnSighupAndSaysWhatIsWrongWithThem) {
  std::ofstream(dir / "p.lua")
      << "return require('minnow').pipeline { name = 'p', run = function() return 1 end }";
  const std::string script = fmt::format(
      "'{0}' -v serve --pipeline '{1}/p.lua' --listen 'unix:{1}/socket' 2>'{1}/log' &\n"
      "comes() {{ for i in $(seq 1200); do grep -q \"$1\" '{1}/log' && return; sleep 0.05; done\n"
      "  echo \"never: $1\"; }}\n"
      "comes ready\n"
      "kill -HUP $!; comes \"the pipeline 'p' is loaded anew\"\n"
      "echo 'return (' >'{1}/p.lua'\n"
      "comes \"the pipeline 'p' serves on as it was: .*p.lua:2: unexpected symbol\"\n"
      "kill -TERM $!; wait $!; echo $?\n",
      kMinnow, dir.path());
  const CommandResult r = RunCommand({"sh", "-c", script});
  STRCMP_EQUAL("0\n", r.out.c_str());
}

TEST(Serve, RefusesWhatItCannotServe) {
  CheckRefused(2, "nothing to serve", Serve({}));
  CheckRefused(2, "there is no model file",
               Serve({"-m", "/nowhere/m.gguf", "--listen", "127.0.0.1:0"}));
  CheckRefused(2, "--token-file", Serve({"-m", kTiny, "--listen", "0.0.0.0:0"}));
  CheckRefused(2, "--token-file",
               Serve({"-m", kTiny, "--listen", "127.0.0.1:0", "--http", "0.0.0.0:0"}));
  CheckRefused(2, "belong together", Serve({"-m", kTiny, "--tls-cert", kTiny}));
  CheckRefused(2, "--max-requests", Serve({"-m", kTiny, "--max-requests", "0"}));
  CheckRefused(2, "must be MODEL:ADAPTER", Serve({"-m", kTiny, "--lora", "llama.lora=0.5"}));
  CheckRefused(3, "adapter 'llama' cannot be used with model 'llama'",
               Serve({"-m", kTiny, "--lora", "llama:" + kTiny, "--listen", "127.0.0.1:0"}));
  const std::string tokens = dir / "tokens";
  std::ofstream(tokens) << "0123456789abcdef\n";
  ::chmod(tokens.c_str(), 0644);
  CheckRefused(2, "chmod 600", Serve({"-m", kTiny, "--token-file", tokens}));
  const std::string junk = dir / "junk.gguf";
  std::ofstream(junk) << "junk";
  CheckRefused(3, "junk.gguf", Serve({"-m", junk, "--listen", "127.0.0.1:0"}));
}

}  // namespace
}  // namespace minnow::test
