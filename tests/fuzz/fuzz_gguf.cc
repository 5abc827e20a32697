// A GGUF file from load to generated text: reader, metadata, tokenizer, template, graph, weights,
// steps.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "base/log.h"
#include "fuzz/tiny_host.h"

namespace {

using namespace minnow;

test::TinyHost& Host() {
  static plugins::Registry registry = [] {
    SetLogLevel(LogLevel::kOff);
    plugins::RegistryOptions options;
    options.directories = {MINNOW_BINARY_DIR "/plugins"};
    options.loader.probe.program = MINNOW_BINARY_DIR "/bin/minnow-probe";
    options.loader.probe.limit_ms = 60000;
    return plugins::Registry::Scan(options);
  }();
  static std::unique_ptr<test::TinyHost> host = [] {
    auto made = test::TinyHost::Create(registry);
    if (!made.ok()) {
      fmt::print(stderr, "{}\n", made.status().message());
      std::abort();
    }
    return *std::move(made);
  }();
  return *host;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  test::TinyHost& host = Host();
  const int fd = ::memfd_create("fuzz.gguf", MFD_CLOEXEC);
  if (fd < 0 || ::write(fd, data, size) != static_cast<ssize_t>(size)) std::abort();
  const Status status = host.LoadAndGenerate(fmt::format("/proc/self/fd/{}", fd));
  if (!status.ok() && status.message().empty()) std::abort();  // a refusal says why
  ::close(fd);
  return 0;
}
