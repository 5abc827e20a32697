#include "fake_backend/far_backend.h"

#include <fmt/format.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <minnow/sdk/graph_view.hpp>
#include <mutex>
#include <random>
#include <string_view>
#include <thread>
#include <utility>

namespace minnow::test {
namespace {

// No address of a process has this bit, so the host cannot read what lies "there".
constexpr uintptr_t kFar = uintptr_t{1} << 62;
constexpr size_t kAlignment = 64;

struct FarContext {
  FarBackend::Impl* impl;
  mnw_context* inner;
};

struct FarPlan {
  FarContext* context;
  mnw_plan* inner;
  const mnw_graph* graph;
};

struct FarBuffer {
  FarContext* context;
  std::byte* bytes;
  uint64_t size;
};

// A run that was taken and is not done.
struct Flight {
  FarPlan* plan;
  mnw_run_args args;
  std::vector<mnw_binding> bindings;  // of the inner backend
  mnw_done_fn done;
  void* done_arg;
  std::chrono::microseconds delay;
  bool loses_device, done_twice;
};

int Failed(mnw_error* e, int code, const std::string& message) {
  if (e) {
    *e = {};
    e->node = -1;
    std::snprintf(e->message, sizeof e->message, "%s", message.c_str());
  }
  return code;
}

}  // namespace

struct FarBackend::Impl {
  const mnw_backend* inner;
  FarOptions options;
  mnw_backend table;
  std::mutex inner_calls;    // the contract's "one call per context at a time"
  mutable std::mutex mutex;  // of what follows
  std::condition_variable changed;
  std::deque<std::unique_ptr<Flight>> flights;
  std::map<void*, FarBuffer*> buffers;  // by far address
  std::vector<std::string> violations;
  std::mt19937 rng;
  uint32_t runs = 0, in_flight = 0, fail_allocation = 0;
  bool lost = false, stop = false;
  std::thread worker;

  void Work();
  void Fly(std::shared_ptr<Flight> flight);
  void Land(const Flight& flight, int code, const mnw_error* e);
  int Allocate(mnw_error* e);  // MNW_OK, or what a call that takes memory fails with
  std::string Translate(Flight* flight);
};

namespace {

FarBackend::Impl* g_newest = nullptr;

FarContext* Context(mnw_context* c) { return reinterpret_cast<FarContext*>(c); }

uint32_t DeviceCount() { return g_newest->inner->device_count(); }

int DeviceInfo(uint32_t device, mnw_device_info* out, mnw_error* e) {
  const int code = g_newest->inner->device_info(device, out, e);
  if (g_newest->options.own_memory) out->flags &= ~uint32_t{MNW_DEVICE_HOST_MEMORY};
  return code;
}

int Open(uint32_t device, const mnw_host* host, const mnw_context_options* options,
         mnw_context** out, mnw_error* e) {
  auto c = std::make_unique<FarContext>(FarContext{g_newest, nullptr});
  if (const int code = c->impl->inner->open(device, host, options, &c->inner, e)) return code;
  *out = reinterpret_cast<mnw_context*>(c.release());
  return MNW_OK;
}

void Close(mnw_context* handle) {
  const std::unique_ptr<FarContext> c(Context(handle));
  c->impl->inner->close(c->inner);
}

int Claim(mnw_context* handle, const mnw_graph* g, mnw_claim* out, mnw_error* e) {
  FarContext* c = Context(handle);
  const std::lock_guard lock(c->impl->inner_calls);
  if (const int code = c->impl->inner->claim(c->inner, g, out, e)) return code;
  for (uint32_t i = 0; i < g->n_nodes; ++i) {
    if (static_cast<int>(mnw_node_at(g, i)->op) == c->impl->options.refused_op) {
      out[i] = {0, 0, "the test wants it elsewhere"};
    }
  }
  return MNW_OK;
}

int LoadWeights(mnw_context* handle, const mnw_graph* g, const mnw_weight_source* sources,
                uint32_t n, uint32_t source_stride, mnw_weight* out, mnw_error* e) {
  FarContext* c = Context(handle);
  if (const int code = c->impl->Allocate(e)) return code;
  const std::lock_guard lock(c->impl->inner_calls);
  return c->impl->inner->load_weights(c->inner, g, sources, n, source_stride, out, e);
}

void FreeWeights(mnw_context* handle, const mnw_weight* weights, uint32_t n) {
  FarContext* c = Context(handle);
  const std::lock_guard lock(c->impl->inner_calls);
  c->impl->inner->free_weights(c->inner, weights, n);
}

int Plan(mnw_context* handle, const mnw_plan_request* request, mnw_plan** out, mnw_error* e) {
  FarContext* c = Context(handle);
  if (const int code = c->impl->Allocate(e)) return code;
  const std::lock_guard lock(c->impl->inner_calls);
  auto p = std::make_unique<FarPlan>(FarPlan{c, nullptr, request->graph});
  if (const int code = c->impl->inner->plan(c->inner, request, &p->inner, e)) return code;
  *out = reinterpret_cast<mnw_plan*>(p.release());
  return MNW_OK;
}

void FreePlan(mnw_plan* handle) {
  const std::unique_ptr<FarPlan> p(reinterpret_cast<FarPlan*>(handle));
  const std::lock_guard lock(p->context->impl->inner_calls);
  p->context->impl->inner->free_plan(p->inner);
}

int Run(mnw_plan* handle, const mnw_run_args* args, mnw_error* e) {
  auto* plan = reinterpret_cast<FarPlan*>(handle);
  FarBackend::Impl& impl = *plan->context->impl;
  const std::lock_guard lock(impl.mutex);
  if (impl.lost) return Failed(e, MNW_DEVICE_LOST, "the device was lost earlier");
  auto flight = std::make_unique<Flight>(Flight{plan,
                                                *args,
                                                {args->bindings, args->bindings + args->n_bindings},
                                                args->done,
                                                args->done_arg,
                                                std::chrono::microseconds(0),
                                                ++impl.runs == impl.options.lose_at_run,
                                                impl.runs == impl.options.done_twice_at_run});
  if (const std::string wrong = impl.Translate(flight.get()); !wrong.empty()) {
    impl.violations.push_back(wrong);
    return Failed(e, MNW_INVALID, wrong);
  }
  if (impl.options.max_delay.count() > 0 && impl.rng() % 2) {
    flight->delay = std::chrono::microseconds(impl.rng() % impl.options.max_delay.count());
  }
  ++impl.in_flight;
  impl.flights.push_back(std::move(flight));
  impl.changed.notify_all();
  return MNW_OK;
}

int StateCreate(mnw_context* handle, const mnw_state_spec* spec, mnw_state** out, mnw_error* e) {
  FarContext* c = Context(handle);
  if (const int code = c->impl->Allocate(e)) return code;
  const std::lock_guard lock(c->impl->inner_calls);
  return c->impl->inner->state_create(c->inner, spec, out, e);
}

uint64_t StateBytes(mnw_context* handle, const mnw_state_spec* spec) {
  FarContext* c = Context(handle);
  return c->impl->inner->state_bytes(c->inner, spec);
}

int AdaptersCreate(mnw_context* handle, const mnw_graph* g, uint32_t n_slots, uint32_t max_rank,
                   mnw_adapters** out, mnw_error* e) {
  FarContext* c = Context(handle);
  if (const int code = c->impl->Allocate(e)) return code;
  const std::lock_guard lock(c->impl->inner_calls);
  return c->impl->inner->adapters_create(c->inner, g, n_slots, max_rank, out, e);
}

int BufferCreate(mnw_context* handle, uint64_t n_bytes, mnw_buffer** out, void** address,
                 mnw_error* e) {
  FarContext* c = Context(handle);
  if (const int code = c->impl->Allocate(e)) return code;
  const size_t size = (n_bytes + kAlignment - 1) / kAlignment * kAlignment;
  auto* bytes = static_cast<std::byte*>(std::aligned_alloc(kAlignment, size));
  std::memset(bytes, 0xee, size);
  auto* buffer = new FarBuffer{c, bytes, n_bytes};
  *address = reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(bytes) | kFar);
  *out = reinterpret_cast<mnw_buffer*>(buffer);
  const std::lock_guard lock(c->impl->mutex);
  c->impl->buffers[*address] = buffer;
  return MNW_OK;
}

void BufferFree(mnw_buffer* handle) {
  const std::unique_ptr<FarBuffer> buffer(reinterpret_cast<FarBuffer*>(handle));
  FarBackend::Impl& impl = *buffer->context->impl;
  const std::lock_guard lock(impl.mutex);
  std::erase_if(impl.buffers, [&](const auto& b) { return b.second == buffer.get(); });
  std::free(buffer->bytes);
}

// The same for both directions: nothing moves while a step may use the buffer.
int CheckTransfer(FarBuffer* buffer, uint64_t offset, uint64_t n_bytes, mnw_error* e) {
  FarBackend::Impl& impl = *buffer->context->impl;
  const std::lock_guard lock(impl.mutex);
  if (impl.lost) return Failed(e, MNW_DEVICE_LOST, "the device was lost earlier");
  if (impl.in_flight > 0) impl.violations.push_back("a transfer while a step is in flight");
  if (offset <= buffer->size && n_bytes <= buffer->size - offset) return MNW_OK;
  impl.violations.push_back("a transfer past the end of its buffer");
  return Failed(e, MNW_OUT_OF_RANGE, "past the end of the buffer");
}

int BufferRead(mnw_buffer* handle, uint64_t offset, void* dst, uint64_t n_bytes, mnw_error* e) {
  auto* buffer = reinterpret_cast<FarBuffer*>(handle);
  if (const int code = CheckTransfer(buffer, offset, n_bytes, e)) return code;
  std::memcpy(dst, buffer->bytes + offset, n_bytes);
  return MNW_OK;
}

int BufferWrite(mnw_buffer* handle, uint64_t offset, const void* src, uint64_t n_bytes,
                mnw_error* e) {
  auto* buffer = reinterpret_cast<FarBuffer*>(handle);
  if (const int code = CheckTransfer(buffer, offset, n_bytes, e)) return code;
  std::memcpy(buffer->bytes + offset, src, n_bytes);
  return MNW_OK;
}

// State and adapters, once made, are the inner backend's own.
mnw_backend MakeTable(const mnw_backend& inner, const FarOptions& options) {
  mnw_backend t = {};
  std::memcpy(&t, &inner, std::min<size_t>(inner.size, sizeof t));
  t.size = sizeof t;
  t.device_count = DeviceCount;
  t.device_info = DeviceInfo;
  t.open = Open;
  t.close = Close;
  t.claim = Claim;
  t.load_weights = LoadWeights;
  t.free_weights = FreeWeights;
  t.plan = Plan;
  t.free_plan = FreePlan;
  t.run = Run;
  if (t.state_create) t.state_create = StateCreate;
  if (t.state_bytes) t.state_bytes = StateBytes;
  if (t.adapters_create) t.adapters_create = AdaptersCreate;
  t.buffer_create = options.own_memory ? BufferCreate : nullptr;
  t.buffer_free = BufferFree;
  t.buffer_read = BufferRead;
  t.buffer_write = BufferWrite;
  t.sample = nullptr;
  return t;
}

}  // namespace

int FarBackend::Impl::Allocate(mnw_error* e) {
  const std::lock_guard lock(mutex);
  if (lost) return Failed(e, MNW_DEVICE_LOST, "the device was lost earlier");
  if (fail_allocation == 0 || --fail_allocation > 0) return MNW_OK;
  const int code = Failed(e, MNW_OUT_OF_MEMORY, "the test has no memory");
  e->bytes_needed = uint64_t{1} << 40;
  return code;
}

// Far addresses become the ones the inner backend can use. "" or what is wrong with them.
std::string FarBackend::Impl::Translate(Flight* flight) {
  if (!options.own_memory) return "";
  for (mnw_binding& binding : flight->bindings) {
    const auto found = buffers.find(binding.data);
    const mnw_value& value = *mnw_value_at(flight->plan->graph, binding.value);
    const char* name = value.name ? value.name : "";
    if (found == buffers.end()) return fmt::format("'{}' is bound to no buffer", name);
    const auto n_bytes = static_cast<uint64_t>(sdk::Bytes(value, flight->args.symbols));
    if (n_bytes > found->second->size) {
      return fmt::format("'{}' of {} bytes is bound to a buffer of {}", name, n_bytes,
                         found->second->size);
    }
    binding.data = found->second->bytes;
  }
  return "";
}

void FarBackend::Impl::Work() {
  std::unique_lock lock(mutex);
  for (;;) {
    changed.wait(lock, [&] { return stop || !flights.empty(); });
    if (stop) return;
    Flight& flight = *flights.front();
    lock.unlock();
    std::this_thread::sleep_for(flight.delay);
    lock.lock();
    std::unique_ptr<Flight> next = std::move(flights.front());
    flights.pop_front();
    lost |= next->loses_device;
    lock.unlock();
    Fly(std::move(next));
    lock.lock();
  }
}

// The step at last. `done` of an inner backend may come before its run() returns, or long after, so
// both hold the flight.
void FarBackend::Impl::Fly(std::shared_ptr<Flight> flight) {
  mnw_error error = {};
  if (flight->loses_device) {
    return Land(*flight, Failed(&error, MNW_DEVICE_LOST, "the test took the device away"), &error);
  }
  auto* held_by_done = new std::shared_ptr<Flight>(flight);
  flight->args.bindings = flight->bindings.data();
  flight->args.done_arg = held_by_done;
  flight->args.done = [](void* arg, int code, const mnw_error* e) {
    const std::unique_ptr<std::shared_ptr<Flight>> held(static_cast<std::shared_ptr<Flight>*>(arg));
    (*held)->plan->context->impl->Land(**held, code, e);
  };
  int code;
  {
    const std::lock_guard lock(inner_calls);
    code = inner->run(flight->plan->inner, &flight->args, &error);
  }
  if (code == MNW_OK) return;
  delete held_by_done;
  Land(*flight, code, &error);
}

void FarBackend::Impl::Land(const Flight& flight, int code, const mnw_error* e) {
  {
    const std::lock_guard lock(mutex);
    --in_flight;
  }
  flight.done(flight.done_arg, code, e);
  if (flight.done_twice) flight.done(flight.done_arg, code, e);
}

std::optional<FarOptions> FarOptions::FromEnvironment() {
  const char* kind = std::getenv("MINNOW_TEST_DEVICE");
  if (!kind || !*kind) return std::nullopt;
  const char* seed = std::getenv("MINNOW_TEST_SEED");
  FarOptions options;
  options.own_memory = std::string_view(kind) == "far";
  options.max_delay = std::chrono::microseconds(200);
  options.seed = seed ? static_cast<uint32_t>(std::strtoul(seed, nullptr, 10)) : 1;
  return options;
}

FarBackend::FarBackend(const mnw_backend& inner, const FarOptions& options)
    : impl_(std::make_unique<Impl>()) {
  impl_->inner = &inner;
  impl_->options = options;
  impl_->table = MakeTable(inner, options);
  impl_->rng.seed(options.seed);
  impl_->worker = std::thread([this] { impl_->Work(); });
  g_newest = impl_.get();
}

FarBackend::~FarBackend() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stop = true;
    impl_->changed.notify_all();
  }
  impl_->worker.join();
}

const mnw_backend* FarBackend::table() const { return &impl_->table; }

void FarBackend::FailAllocation(uint32_t n) {
  const std::lock_guard lock(impl_->mutex);
  impl_->fail_allocation = n;
}

uint32_t FarBackend::buffers() const {
  const std::lock_guard lock(impl_->mutex);
  return static_cast<uint32_t>(impl_->buffers.size());
}

uint32_t FarBackend::runs() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->runs;
}

bool FarBackend::lost() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->lost;
}

std::vector<std::string> FarBackend::violations() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->violations;
}

}  // namespace minnow::test
