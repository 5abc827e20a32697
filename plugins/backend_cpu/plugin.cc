// The plugin "minnow.cpu": entry and tables.
#include "minnow/sdk/plugin.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <thread>

#include "plan.h"

namespace minnow::cpu {

using sdk::Guard;

namespace {

constexpr uint32_t kMaxThreads = 1024;

uint32_t DeviceCount() { return 1; }

int DeviceInfo(uint32_t device, mnw_device_info* out, mnw_error* e) {
  if (device != 0) return Fail(e, MNW_NOT_FOUND, "there is one CPU device");
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  mnw_device_info info{};
  info.flags = MNW_DEVICE_HOST_MEMORY;
  info.id = "cpu";
  info.description = BestLevel().name;
  info.memory_total = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * page;
  info.memory_free = static_cast<uint64_t>(::sysconf(_SC_AVPHYS_PAGES)) * page;
  info.repeatability = 'B';
  // As much of it as the host knows, whose `size` stays.
  info.size = out->size;
  std::memcpy(out, &info, std::min<size_t>(out->size, sizeof info));
  return MNW_OK;
}

// "ref|avx2|avx512vnni"
std::string LevelNames() {
  std::string names;
  size_t n;
  const Isa* levels = Levels(&n);
  for (size_t i = 0; i < n; ++i) names += (i ? "|" : "") + std::string(levels[i].name);
  return names;
}

// The value of `key` in "a=1,isa=avx2", empty if absent. Unknown keys fail.
int ParseConfig(const char* config, std::string_view* isa, mnw_error* e) {
  std::string_view rest = config ? config : "";
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    const std::string_view item = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? "" : rest.substr(comma + 1);
    const size_t equals = item.find('=');
    if (equals == std::string_view::npos || item.substr(0, equals) != "isa") {
      return Fail(e, MNW_INVALID,
                  "cpu: unknown option '" + std::string(item) + "'; known: isa=" + LevelNames());
    }
    *isa = item.substr(equals + 1);
  }
  return MNW_OK;
}

int Open(uint32_t device, const mnw_host* host, const mnw_context_options* options,
         mnw_context** out, mnw_error* e) {
  if (device != 0) return Fail(e, MNW_NOT_FOUND, "there is one CPU device");
  std::string_view wanted;
  const char* config = MNW_HAS(options, mnw_context_options, config) ? options->config : nullptr;
  if (const int code = ParseConfig(config, &wanted, e); code != MNW_OK) return code;
  const Isa* isa = wanted.empty() ? &BestLevel() : nullptr;
  size_t n;
  const Isa* levels = Levels(&n);
  for (size_t i = 0; i < n; ++i) {
    if (wanted == levels[i].name && levels[i].available()) isa = &levels[i];
  }
  if (!isa) {
    return Fail(e, MNW_UNSUPPORTED,
                "cpu: isa=" + std::string(wanted) +
                    " is unknown or not what this CPU has; known: " + LevelNames());
  }
  if (options->n_threads > kMaxThreads) {
    return Fail(e, MNW_INVALID,
                "cpu: " + std::to_string(options->n_threads) + " threads are more than " +
                    std::to_string(kMaxThreads));
  }
  const unsigned cores = std::thread::hardware_concurrency();
  const int n_threads = static_cast<int>(options->n_threads ? options->n_threads
                                         : cores            ? cores
                                                            : 1);
  *out = new mnw_context(host, *isa, n_threads);
  return MNW_OK;
}

void Close(mnw_context* c) { delete c; }
void FreePlan(mnw_plan* p) { delete p; }

const mnw_backend* Backend(uint32_t) {
  static const mnw_backend kBackend = [] {
    mnw_backend b{};
    b.size = sizeof b;
    b.device_count = DeviceCount;
    b.device_info = DeviceInfo;
    b.open = Guard<Open>::Call;
    b.close = Close;
    b.claim = Guard<Claim>::Call;
    b.load_weights = Guard<LoadWeights>::Call;
    b.free_weights = FreeWeights;
    b.plan = Guard<MakePlan>::Call;
    b.free_plan = FreePlan;
    b.run = Guard<RunPlan>::Call;
    b.state_create = Guard<StateCreate>::Call;
    b.state_free = StateFree;
    b.state_edit = Guard<StateEdit>::Call;
    b.state_commit = Guard<StateCommit>::Call;
    b.state_export = Guard<StateExport>::Call;
    b.state_import = Guard<StateImport>::Call;
    b.state_bytes = StateBytes;
    b.adapters_create = Guard<AdaptersCreate>::Call;
    b.adapters_set = Guard<AdaptersSet>::Call;
    b.adapters_free = AdaptersFree;
    b.adapters_bytes = AdaptersBytes;
    return b;
  }();
  return &kBackend;
}

constexpr mnw_plugin kPlugin = {
    sizeof(mnw_plugin), MNW_ABI_MAJOR, MNW_ABI_MINOR, "minnow.cpu", "0.1.0",
    "Apache-2.0",       Backend,       nullptr,
};

}  // namespace

}  // namespace minnow::cpu

extern "C" MNW_EXPORT const mnw_plugin* mnw_plugin_entry(void) { return &minnow::cpu::kPlugin; }
