#include "plugins/device.h"

#include <cmath>
#include <cstring>
#include <exception>
#include <utility>

#include "base/log.h"
#include "base/process_state.h"
#include "formats/printable.h"

namespace minnow::plugins {
namespace {

// More than any machine has; a negative number looks like this too.
constexpr uint64_t kMaxWeightBytes = uint64_t{1} << 48;

// What is looked at around a hot call, as ProcessState is around the others.
struct FloatModeOnly {
  FloatMode mode;
  std::string Restore() const {
    if (FloatMode() == mode) return "";
    mode.Set();
    return "the floating-point mode";
  }
};

Code ToCode(int code) {
  switch (code) {
    case MNW_CANCELLED:
    case MNW_INVALID:
    case MNW_NOT_FOUND:
    case MNW_OUT_OF_MEMORY:
    case MNW_PRECONDITION:
    case MNW_OUT_OF_RANGE:
    case MNW_UNSUPPORTED:
    case MNW_CORRUPT:
    case MNW_DEVICE_LOST:
      return static_cast<Code>(code);
    default:
      return Code::kInternal;
  }
}

void WarnOfChange(std::string_view who, std::string_view what, std::string_view changed) {
  LogWarning("{}{}{} changed {}; put back", who, who.empty() ? "" : ": ", what, changed);
}

// Calls a plugin that may, against the contract, throw.
template <class Call>
Status CallPlugin(std::string_view what, bool* threw, Call&& call) {
  mnw_error error = {};
  error.node = -1;
  try {
    return FromPlugin(what, call(&error), &error);
  } catch (const std::exception& e) {
    *threw = true;
    return Error(Code::kInternal, "{}: threw an exception across the plugin contract: {}", what,
                 formats::Printable(e.what(), 200));
  } catch (...) {
    *threw = true;
    return Error(Code::kInternal, "{}: threw an exception across the plugin contract", what);
  }
}

// As CallPlugin, before there is a Device.
template <class Call>
Status CallAtLoad(const char* what, Call&& call) {
  bool threw = false;
  const ProcessState before;
  Status status = CallPlugin(what, &threw, std::forward<Call>(call));
  if (const std::string changed = before.Restore(); !changed.empty()) {
    WarnOfChange("", what, changed);
  }
  return status;
}

// "" for NULL. One without an end is not followed far.
Result<std::string> Text(const char* text, const char* name) {
  constexpr size_t kMax = 1024;
  const size_t n = text ? ::strnlen(text, kMax + 1) : 0;
  if (n > kMax) {
    return Error(Code::kInternal, "device_info: {} does not end within {} bytes", name, kMax);
  }
  return formats::Printable({text, n}, 200);
}

}  // namespace

void CallToFree(const char* what, const std::function<void()>& call) noexcept {
  const Status status = CallAtLoad(what, [&](mnw_error*) {
    call();
    return MNW_OK;
  });
  if (!status.ok()) Log(LogLevel::kWarning, status.message());
}

Status FromPlugin(std::string_view what, int code, const mnw_error* error) {
  if (code == MNW_OK) return Status();
  std::string message;
  if (error) {
    message = formats::Printable({error->message, ::strnlen(error->message, sizeof error->message)},
                                 sizeof error->message);
  }
  if (message.empty()) message = fmt::format("failed with code {} and no message", code);
  if (error && error->node >= 0) message += fmt::format(" (node {})", error->node);
  if (error && code == MNW_OUT_OF_MEMORY && error->bytes_needed) {
    message += fmt::format(" ({} bytes needed)", error->bytes_needed);
  }
  return Status(ToCode(code), std::move(message)).Annotate(what);
}

Result<uint32_t> CountDevices(const mnw_backend& table) {
  uint32_t n = 0;
  MNW_TRY(CallAtLoad("device_count", [&](mnw_error*) {
    n = table.device_count();
    return MNW_OK;
  }));
  constexpr uint32_t kMany = 256;  // no machine has more; a wild count would cost as many calls
  if (n > kMany) return Error(Code::kInternal, "device_count: {} devices are beyond belief", n);
  return n;
}

Result<DeviceInfo> ReadDeviceInfo(const mnw_backend& table, uint32_t device) {
  mnw_device_info raw = {};
  raw.size = sizeof raw;
  MNW_TRY(
      CallAtLoad("device_info", [&](mnw_error* e) { return table.device_info(device, &raw, e); }));
  DeviceInfo info;
  MNW_ASSIGN(info.id, Text(raw.id, "id"));
  MNW_ASSIGN(info.description, Text(raw.description, "description"));
  info.memory_total = raw.memory_total;
  info.memory_free = raw.memory_free;
  info.host_memory = (raw.flags & MNW_DEVICE_HOST_MEMORY) != 0;
  info.repeatability = raw.repeatability == 'A' || raw.repeatability == 'B'
                           ? static_cast<char>(raw.repeatability)
                           : '\0';
  if (info.id.empty() || info.id.find_first_of(":,=") != std::string::npos) {
    return Error(Code::kInternal, "device_info: device {} has no usable id ('{}')", device,
                 info.id);
  }
  if (info.memory_total && info.memory_free > info.memory_total) {
    return Error(Code::kInternal, "device_info: '{}' has {} bytes free of {}", info.id,
                 info.memory_free, info.memory_total);
  }
  return info;
}

WeightHandles::WeightHandles(WeightHandles&& other) noexcept { *this = std::move(other); }

WeightHandles& WeightHandles::operator=(WeightHandles&& other) noexcept {
  std::swap(table_, other.table_);
  std::swap(context_, other.context_);
  weights_.swap(other.weights_);
  return *this;
}

WeightHandles::~WeightHandles() {
  if (weights_.empty()) return;
  CallToFree("free_weights", [this] {
    table_->free_weights(context_, weights_.data(), static_cast<uint32_t>(weights_.size()));
  });
}

Result<Device> Device::Open(const mnw_backend& table, uint32_t device, const mnw_host& host,
                            const DeviceOptions& options) {
  Device d;
  d.table_ = &table;
  MNW_ASSIGN(d.info_, ReadDeviceInfo(table, device));
  mnw_context_options raw = {};
  raw.size = sizeof raw;
  raw.n_threads = options.n_threads;
  raw.config = options.config.empty() ? nullptr : options.config.c_str();
  MNW_TRY(d.Guarded<ProcessState>(
      "open", [&](mnw_error* e) { return table.open(device, &host, &raw, &d.context_, e); }));
  if (!d.context_) return d.Breach("open gave no context");
  return d;
}

Device::Device(Device&& other) noexcept { *this = std::move(other); }

Device& Device::operator=(Device&& other) noexcept {
  std::swap(table_, other.table_);
  std::swap(context_, other.context_);
  std::swap(info_, other.info_);
  std::swap(refusal_, other.refusal_);
  warned_.swap(other.warned_);
  return *this;
}

Device::~Device() {
  if (context_) CallToFree("close", [this] { table_->close(context_); });
}

template <class Snapshot, class Call>
Status Device::Guarded(const char* what, Call&& call) {
  if (!refusal_.ok()) return Status(refusal_).Annotate(what).Annotate(info_.id);
  const Snapshot before;
  bool threw = false;
  // The name is composed only on failure: run() is called for every step.
  Status status = CallPlugin(what, &threw, std::forward<Call>(call));
  if (std::string changed = before.Restore(); !changed.empty() && changed != warned_) {
    WarnOfChange(info_.id, what, changed);
    warned_ = std::move(changed);
  }
  if (threw) {
    refusal_ =
        Error(Code::kInternal, "refused since the plugin threw an exception earlier; restart");
  }
  NoteLoss(status);
  return status.ok() ? Status() : std::move(status).Annotate(info_.id);
}

void Device::NoteLoss(const Status& of_run) {
  if (of_run.code() != Code::kDeviceLost || !refusal_.ok()) return;
  refusal_ =
      Error(Code::kDeviceLost, "refused since the device was lost ({}); restart", of_run.message());
}

Status Device::Breach(const char* what) const {
  return Error(Code::kInternal, "{}: {}, against the plugin contract", info_.id, what);
}

Status Device::Optional(bool present, const char* what) const {
  if (present) return Status();
  return Error(Code::kUnsupported, "{}: the backend has no {}", info_.id, what);
}

Result<std::vector<mnw_claim>> Device::Claim(const mnw_graph& graph) {
  std::vector<mnw_claim> claims(graph.n_nodes);
  MNW_TRY(Guarded<ProcessState>(
      "claim", [&](mnw_error* e) { return table_->claim(context_, &graph, claims.data(), e); }));
  for (const mnw_claim& c : claims) {
    if (c.group && !(std::isfinite(c.cost) && c.cost >= 0)) {
      return Breach("claim gave a cost that is negative or no number");
    }
  }
  return claims;
}

Result<WeightHandles> Device::LoadWeights(const mnw_graph& graph,
                                          std::span<const mnw_weight_source> sources) {
  const auto n = static_cast<uint32_t>(sources.size());
  std::vector<mnw_weight> weights(n);
  MNW_TRY(Guarded<FloatModeOnly>("load_weights", [&](mnw_error* e) {
    return table_->load_weights(context_, &graph, sources.data(), n, sizeof(mnw_weight_source),
                                weights.data(), e);
  }));
  // Checked before anything is owned: what a backend never gave must not be freed through it.
  for (const mnw_weight& w : weights) {
    if (!w.handle) return Breach("load_weights gave a null handle");
    if (w.residency != MNW_BORROWED && w.residency != MNW_OWNED) {
      return Breach("load_weights gave an unknown residency");
    }
    if (w.n_bytes > kMaxWeightBytes) return Breach("load_weights gave an absurd number of bytes");
  }
  WeightHandles handles;
  handles.table_ = table_;
  handles.context_ = context_;
  handles.weights_ = std::move(weights);
  return handles;
}

Result<PlanHandle> Device::Plan(const mnw_plan_request& request) {
  mnw_plan* plan = nullptr;
  MNW_TRY(Guarded<ProcessState>(
      "plan", [&](mnw_error* e) { return table_->plan(context_, &request, &plan, e); }));
  if (!plan) return Breach("plan gave no plan");
  return PlanHandle(plan, {table_->free_plan});
}

Status Device::Run(mnw_plan* plan, const mnw_run_args& args) {
  return Guarded<FloatModeOnly>("run", [&](mnw_error* e) { return table_->run(plan, &args, e); });
}

bool Device::has_buffers() const {
  return MNW_HAS(table_, mnw_backend, buffer_write) && table_->buffer_create;
}

Result<Buffer> Device::CreateBuffer(uint64_t n_bytes) {
  MNW_TRY(Optional(has_buffers(), "buffers"));
  mnw_buffer* handle = nullptr;
  Buffer buffer;
  MNW_TRY(Guarded<ProcessState>("buffer_create", [&](mnw_error* e) {
    return table_->buffer_create(context_, n_bytes, &handle, &buffer.address, e);
  }));
  if (!handle) return Breach("buffer_create gave no buffer");
  buffer.handle = {handle, {table_->buffer_free}};
  constexpr uintptr_t kAlignment = 64;  // of a vector register, of a cache line
  if (!buffer.address || reinterpret_cast<uintptr_t>(buffer.address) % kAlignment != 0) {
    return Breach("buffer_create gave an address that is no multiple of 64");
  }
  return buffer;
}

Status Device::WriteBuffer(const Buffer& buffer, const void* from, uint64_t n_bytes) {
  return Guarded<FloatModeOnly>("buffer_write", [&](mnw_error* e) {
    return table_->buffer_write(buffer.handle.get(), 0, from, n_bytes, e);
  });
}

Status Device::ReadBuffer(const Buffer& buffer, void* to, uint64_t n_bytes) {
  return Guarded<FloatModeOnly>("buffer_read", [&](mnw_error* e) {
    return table_->buffer_read(buffer.handle.get(), 0, to, n_bytes, e);
  });
}

bool Device::has_state() const {
  return MNW_HAS(table_, mnw_backend, state_bytes) && table_->state_create;
}

Result<StateHandle> Device::CreateState(const mnw_state_spec& spec) {
  MNW_TRY(Optional(has_state(), "state"));
  mnw_state* state = nullptr;
  MNW_TRY(Guarded<ProcessState>("state_create", [&](mnw_error* e) {
    return table_->state_create(context_, &spec, &state, e);
  }));
  if (!state) return Breach("state_create gave no state");
  return StateHandle(state, {table_->state_free});
}

uint64_t Device::StateBytes(const mnw_state_spec& spec) {
  uint64_t bytes = 0;
  if (!has_state() || !table_->state_bytes) return 0;
  const Status status = Guarded<ProcessState>("state_bytes", [&](mnw_error*) {
    bytes = table_->state_bytes(context_, &spec);
    return MNW_OK;
  });
  return status.ok() ? bytes : 0;
}

Status Device::EditState(mnw_state* state, std::span<const mnw_page_edit> edits) {
  MNW_TRY(Optional(edits_state(), "state_edit"));
  return Guarded<FloatModeOnly>("state_edit", [&](mnw_error* e) {
    return table_->state_edit(state, edits.data(), static_cast<uint32_t>(edits.size()), e);
  });
}

bool Device::edits_state() const { return has_state() && table_->state_edit; }
bool Device::commits_state() const { return has_state() && table_->state_commit; }

Status Device::CommitState(mnw_state* state, uint32_t group, std::span<const int32_t> rows,
                           std::span<const int32_t> slots) {
  MNW_TRY(Optional(commits_state(), "state_commit"));
  return Guarded<FloatModeOnly>("state_commit", [&](mnw_error* e) {
    return table_->state_commit(state, group, rows.data(), slots.data(),
                                static_cast<uint32_t>(rows.size()), e);
  });
}

Status Device::ExportPage(mnw_state* state, uint32_t layer, uint32_t page, std::span<float> out) {
  MNW_TRY(Optional(has_state() && table_->state_export, "state_export"));
  return Guarded<FloatModeOnly>("state_export", [&](mnw_error* e) {
    return table_->state_export(state, layer, page, out.data(), e);
  });
}

Status Device::ImportPage(mnw_state* state, uint32_t layer, uint32_t page,
                          std::span<const float> in) {
  MNW_TRY(Optional(has_state() && table_->state_import, "state_import"));
  return Guarded<FloatModeOnly>("state_import", [&](mnw_error* e) {
    return table_->state_import(state, layer, page, in.data(), e);
  });
}

bool Device::has_adapters() const {
  return MNW_HAS(table_, mnw_backend, adapters_bytes) && table_->adapters_create;
}

Result<AdaptersHandle> Device::CreateAdapters(const mnw_graph& graph, uint32_t n_slots,
                                              uint32_t max_rank) {
  MNW_TRY(Optional(has_adapters(), "adapters"));
  mnw_adapters* adapters = nullptr;
  MNW_TRY(Guarded<ProcessState>("adapters_create", [&](mnw_error* e) {
    return table_->adapters_create(context_, &graph, n_slots, max_rank, &adapters, e);
  }));
  if (!adapters) return Breach("adapters_create gave no pool");
  return AdaptersHandle(adapters, {table_->adapters_free});
}

Status Device::SetAdapter(mnw_adapters* adapters, uint32_t slot, uint32_t site, uint32_t rank,
                          std::span<const float> a, std::span<const float> b, float scale) {
  MNW_TRY(Optional(has_adapters() && table_->adapters_set, "adapters_set"));
  return Guarded<FloatModeOnly>("adapters_set", [&](mnw_error* e) {
    return table_->adapters_set(adapters, slot, site, rank, a.data(), b.data(), scale, e);
  });
}

uint64_t Device::AdaptersBytes(mnw_adapters* adapters) {
  uint64_t bytes = 0;
  if (!has_adapters() || !table_->adapters_bytes) return 0;
  const Status status = Guarded<FloatModeOnly>("adapters_bytes", [&](mnw_error*) {
    bytes = table_->adapters_bytes(adapters);
    return MNW_OK;
  });
  return status.ok() ? bytes : 0;
}

}  // namespace minnow::plugins
