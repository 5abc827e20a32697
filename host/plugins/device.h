// An opened device of a backend plugin: the C++ face of mnw_backend that model and engine code use.
//
// Every call becomes a Status whose message names the device and the call; the plugin's message is
// copied at once. What a plugin hands back is checked before anyone uses it. An optional entry that
// is missing is kUnsupported. An exception that escapes a plugin is caught here; from then on the
// device refuses every call, since nobody knows what state it left behind, as it does once it is
// lost. Whatever a call changes
// of the process's state (base/process_state.h) is put back and warned of; after those that come
// often (run, state_*, load_weights) only the floating-point mode is looked at. Handles free
// themselves through the table they came from and must not outlive their Device. Threads: as the
// contract says ([load] and [ctx] in minnow/abi/backend.h), one caller at a time.
#pragma once

#include <minnow/abi/plugin.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace minnow::plugins {

// A failure told by a plugin, as call results and as arguments of mnw_done_fn. `what` leads the
// message.
Status FromPlugin(std::string_view what, int code, const mnw_error* error);

struct DeviceInfo {
  std::string id;                              // "cpu", "cuda0"
  std::string description;                     // "AMD EPYC, 2 cores, AVX-512 VNNI"
  uint64_t memory_total = 0, memory_free = 0;  // bytes, 0 unknown
  bool host_memory = false;                    // bindings are plain host pointers
  char repeatability = 0;                      // 'A', 'B' or 0, see mnw_device_info
};

// How many devices there are, and what the backend says of one of them: [load].
Result<uint32_t> CountDevices(const mnw_backend& table);
Result<DeviceInfo> ReadDeviceInfo(const mnw_backend& table, uint32_t device);

// Calls an entry that has no way to fail. All that can be done about one that throws is to say so.
void CallToFree(const char* what, const std::function<void()>& call) noexcept;

template <class T>
struct TableFree {
  void (*free)(T*) = nullptr;
  void operator()(T* object) const noexcept {
    CallToFree("a free", [&] { free(object); });
  }
};
using PlanHandle = std::unique_ptr<mnw_plan, TableFree<mnw_plan>>;
using StateHandle = std::unique_ptr<mnw_state, TableFree<mnw_state>>;
using AdaptersHandle = std::unique_ptr<mnw_adapters, TableFree<mnw_adapters>>;

// Memory of a device without host memory. `address` is for bindings only.
struct Buffer {
  std::unique_ptr<mnw_buffer, TableFree<mnw_buffer>> handle;
  void* address = nullptr;
};

// The weights of one load_weights call, in the order of its sources. Move-only.
class WeightHandles {
 public:
  WeightHandles() = default;
  WeightHandles(WeightHandles&& other) noexcept;
  WeightHandles& operator=(WeightHandles&& other) noexcept;
  ~WeightHandles();

  std::span<const mnw_weight> weights() const { return weights_; }

 private:
  friend class Device;
  const mnw_backend* table_ = nullptr;
  mnw_context* context_ = nullptr;
  std::vector<mnw_weight> weights_;
};

struct DeviceOptions {
  uint32_t n_threads = 0;  // 0: the backend's choice
  std::string config;      // "key=value,key=value" of this backend
};

class Device {
 public:
  // REQUIRES: a table that passed the loader's checks, or a test's own; it and `host` outlive the
  // device.
  static Result<Device> Open(const mnw_backend& table, uint32_t device, const mnw_host& host,
                             const DeviceOptions& options);

  Device(Device&& other) noexcept;
  Device& operator=(Device&& other) noexcept;
  ~Device();

  const DeviceInfo& info() const { return info_; }

  // One claim per node of the graph.
  Result<std::vector<mnw_claim>> Claim(const mnw_graph& graph);
  Result<WeightHandles> LoadWeights(const mnw_graph& graph,
                                    std::span<const mnw_weight_source> sources);
  Result<PlanHandle> Plan(const mnw_plan_request& request);
  // Ok means that args.done is called once, perhaps already was. On failure it never is.
  Status Run(mnw_plan* plan, const mnw_run_args& args);

  // Needed where info().host_memory is false. Bytes go to and come from the buffer's beginning.
  bool has_buffers() const;
  Result<Buffer> CreateBuffer(uint64_t n_bytes);
  Status WriteBuffer(const Buffer& buffer, const void* from, uint64_t n_bytes);
  Status ReadBuffer(const Buffer& buffer, void* to, uint64_t n_bytes);

  // What args.done reported of a run: a device that is lost refuses every call from here on, as it
  // does after a call that said so.
  void NoteLoss(const Status& of_run);

  bool has_state() const;
  Result<StateHandle> CreateState(const mnw_state_spec& spec);
  // What CreateState will take, 0 if the backend cannot tell.
  uint64_t StateBytes(const mnw_state_spec& spec);
  Status EditState(mnw_state* state, std::span<const mnw_page_edit> edits);
  bool edits_state() const;
  bool commits_state() const;
  // Row rows[i] of the last step goes to slots[i]. REQUIRES: rows.size() == slots.size().
  Status CommitState(mnw_state* state, uint32_t group, std::span<const int32_t> rows,
                     std::span<const int32_t> slots);
  // One page of one layer in the canonical form of minnow/abi/backend.h, whose size is the caller's
  // to know.
  Status ExportPage(mnw_state* state, uint32_t layer, uint32_t page, std::span<float> out);
  Status ImportPage(mnw_state* state, uint32_t layer, uint32_t page, std::span<const float> in);

  bool has_adapters() const;
  // A pool for the plans of this graph.
  Result<AdaptersHandle> CreateAdapters(const mnw_graph& graph, uint32_t n_slots,
                                        uint32_t max_rank);
  // REQUIRES: a is [rank,K], b is [N,rank] of the site.
  Status SetAdapter(mnw_adapters* adapters, uint32_t slot, uint32_t site, uint32_t rank,
                    std::span<const float> a, std::span<const float> b, float scale);
  uint64_t AdaptersBytes(mnw_adapters* adapters);  // 0 if the backend cannot tell

 private:
  Device() = default;
  template <class Snapshot, class Call>
  Status Guarded(const char* what, Call&& call);
  Status Optional(bool present, const char* what) const;  // kUnsupported unless present
  Status Breach(const char* what) const;                  // what the plugin did wrong

  const mnw_backend* table_ = nullptr;
  mnw_context* context_ = nullptr;
  DeviceInfo info_;
  Status refusal_;      // of every call, once an exception escaped or the device was lost
  std::string warned_;  // of what a call changed, so as not to repeat it
};

}  // namespace minnow::plugins
