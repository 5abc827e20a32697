// A backend with one fault, chosen by its setting fault=NAME; without one it is right. It claims
// add of packed or strided rows, and linear with f32 weights, which it copies. With async=1 a
// thread completes its steps. Its device "far" has memory of its own, at addresses that are not the
// host's. Each fault is what the test of the same name looks for.
#include <minnow/abi/plugin.h>
#include <unistd.h>

#include <algorithm>
#include <cfenv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <minnow/sdk/graph_view.hpp>
#include <minnow/sdk/plugin.hpp>
#include <new>
#include <string_view>
#include <thread>
#include <vector>

using minnow::sdk::Fail;
using minnow::sdk::GraphView;
using minnow::sdk::Guard;

struct mnw_context {
  char fault[32] = "";
  bool async = false, far = false;
  bool Is(std::string_view name) const { return name == fault; }
};

namespace {

struct Weight {
  std::vector<float> own;
  const float* source;
  int64_t k, n;
};

}  // namespace

struct mnw_plan {
  mnw_context* context;
  const mnw_graph* graph;
  std::vector<const Weight*> weights;
  std::vector<std::vector<std::byte>> temps;  // by value
  std::thread worker;
  ~mnw_plan() {
    if (worker.joinable()) worker.join();
  }
};

struct mnw_buffer {
  mnw_context* context;
  std::vector<std::byte> bytes;
  std::byte* data;
};

namespace {

constexpr uintptr_t kAlign = 64;

// Between addresses of the far device and what lies there.
void* Elsewhere(void* p) {
  return reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(p) ^ (uintptr_t{1} << 62));
}

char* volatile g_leaked;
float g_scratch[4096];  // of the fault "shared_scratch"

uint32_t DeviceCount() { return 2; }

int DeviceInfo(uint32_t device, mnw_device_info* out, mnw_error*) {
  out->flags = device == 0 ? MNW_DEVICE_HOST_MEMORY : 0;
  out->id = device == 0 ? "faulty" : "far";
  out->description = "a device with a fault";
  if (MNW_HAS(out, mnw_device_info, repeatability)) out->repeatability = 'A';
  return MNW_OK;
}

// "fault=NAME,async=1"
int Open(uint32_t device, const mnw_host*, const mnw_context_options* options, mnw_context** out,
         mnw_error* e) {
  if (device > 1) return Fail(e, MNW_NOT_FOUND, "there are two devices");
  auto c = std::make_unique<mnw_context>();
  c->far = device == 1;
  const char* config = MNW_HAS(options, mnw_context_options, config) ? options->config : nullptr;
  if (config && std::sscanf(config, "fault=%31[a-z_]", c->fault) == 1) {
    c->async = std::strstr(config, ",async=1") != nullptr;
  } else if (config) {
    return Fail(e, MNW_INVALID, "unknown setting");
  }
  if (c->Is("exits")) std::_Exit(3);
  if (c->Is("throws")) throw 1;
  *out = c.release();
  return MNW_OK;
}

void Close(mnw_context* c) { delete c; }

int Claim(mnw_context* c, const mnw_graph* graph, mnw_claim* out, mnw_error*) {
  const GraphView g(*graph);
  for (uint32_t i = 0; i < g.n_nodes(); ++i) {
    const mnw_node& node =
        c->Is("own_sizeof") ? static_cast<const mnw_node*>(graph->nodes)[i] : g.node(i);
    const char* reason = c->Is("no_reason") ? nullptr : "only add and linear of f32";
    if (node.op == MNW_OP_add) {
      const mnw_value &a = g.in(node, 0),
                      &b = c->Is("own_sizeof")
                               ? static_cast<const mnw_value*>(graph->values)[node.in[1]]
                               : g.in(node, 1);
      const bool rows = a.dim[2] == 1 && a.dim[3] == 1 && a.stride[0] == 4 && b.stride[0] == 4;
      const bool equal = std::memcmp(a.dim, b.dim, sizeof a.dim) == 0;
      if (rows && equal) reason = "";
    } else if (node.op == MNW_OP_linear && node.n_in == 2) {
      const mnw_value &x = g.in(node, 0), &w = g.in(node, 1);
      if (w.type == MNW_TYPE_F32 && w.kind == MNW_KIND_WEIGHT && minnow::sdk::IsPacked(x))
        reason = "";
    } else if (node.op == MNW_OP_mul && (c->Is("cannot_plan") || c->Is("cannot_run"))) {
      reason = "";
    }
    const bool mine = reason && !*reason;
    out[i] = {mine ? i + 1 : 0, 1, mine ? nullptr : reason};
  }
  return MNW_OK;
}

int LoadWeights(mnw_context* c, const mnw_graph* graph, const mnw_weight_source* sources,
                uint32_t n, uint32_t stride, mnw_weight* out, mnw_error*) {
  for (uint32_t i = 0; i < n; ++i) {
    const auto* s = reinterpret_cast<const mnw_weight_source*>(
        reinterpret_cast<const char*>(sources) + static_cast<size_t>(i) * stride);
    const mnw_value& v = *mnw_value_at(graph, s->value);
    const auto* data = static_cast<const float*>(s->data);
    auto w = std::make_unique<Weight>();
    w->own.assign(data, data + v.dim[0] * v.dim[1]);
    w->source = c->Is("keeps_source") ? data : w->own.data();
    w->k = v.dim[0];
    w->n = v.dim[1];
    out[i] = {w.release(), 0, MNW_OWNED, 0};
  }
  return MNW_OK;
}

void FreeWeights(mnw_context*, const mnw_weight* weights, uint32_t n) {
  for (uint32_t i = 0; i < n; ++i) delete static_cast<Weight*>(weights[i].handle);
}

int Plan(mnw_context* c, const mnw_plan_request* request, mnw_plan** out, mnw_error* e) {
  const GraphView g(*request->graph);
  if (c->Is("cannot_plan") && g.node(0).op == MNW_OP_mul) {
    return Fail(e, MNW_UNSUPPORTED, "no kernel for mul", 0);
  }
  if (c->Is("unchecked_malloc")) {
    auto* memory = static_cast<volatile char*>(std::malloc(100));
    memory[0] = 1;
    std::free(const_cast<char*>(memory));
  }
  auto p = std::make_unique<mnw_plan>();
  p->context = c;
  p->graph = request->graph;
  for (uint32_t i = 0; i < g.n_values(); ++i) {
    p->weights.push_back(static_cast<const Weight*>(request->weights[i]));
    const bool temp = g.value(i).kind == MNW_KIND_TEMP;
    p->temps.emplace_back(temp ? minnow::sdk::Bytes(g.value(i), request->max) : 0);
  }
  *out = p.release();
  return MNW_OK;
}

void FreePlan(mnw_plan* p) { delete p; }

// One step with everything that run() was given.
struct Work {
  mnw_plan* plan;
  int64_t symbols[MNW_N_SYMBOLS];
  std::vector<std::pair<mnw_id, std::byte*>> bound;
  mnw_done_fn done;
  void* done_arg;

  const std::byte* data(mnw_id id) const {
    const mnw_value& v = *mnw_value_at(plan->graph, id);
    const mnw_id base = v.kind == MNW_KIND_VIEW ? v.view_of : id;
    const uint64_t offset = v.kind == MNW_KIND_VIEW ? v.view_offset : 0;
    for (const auto& [bound_id, p] : bound) {
      if (bound_id == base) return p + offset;
    }
    return plan->temps[base].data() + offset;
  }
  float* out(mnw_id id) const { return reinterpret_cast<float*>(const_cast<std::byte*>(data(id))); }
  void Add(const mnw_node& node) const;
  const Weight& WeightOf(const mnw_node& node) const;
  void Linear(const mnw_node& node) const;
  void Compute() const;
  void Finish() const;
};

void Work::Add(const mnw_node& node) const {
  const mnw_context& c = *plan->context;
  const GraphView g(*plan->graph);
  const mnw_value &a = g.in(node, 0), &b = g.in(node, 1);
  const int64_t k = a.dim[0], rows = minnow::sdk::Rows(a, symbols);
  float* z = out(node.out[0]);
  for (int64_t r = 0; r < rows; ++r) {
    const bool packed = c.Is("ignores_strides");
    const auto* x =
        reinterpret_cast<const float*>(data(node.in[0]) + r * (packed ? k * 4 : a.stride[1]));
    const auto* y =
        reinterpret_cast<const float*>(data(node.in[1]) + r * (packed ? k * 4 : b.stride[1]));
    if (c.Is("reads_past") && r == rows - 1) x += 1024;
    for (int64_t i = 0; i < k; ++i) {
      if (c.Is("shared_scratch")) {
        g_scratch[i] = x[i];
        if (i == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
        z[r * k + i] = g_scratch[i] + y[i];
      } else {
        z[r * k + i] = x[i] + y[i];
      }
    }
  }
  if (rows == 0) return;
  if (c.Is("wrong_last_row")) z[rows * k - 1] += 1;
  if (c.Is("writes_past")) z[rows * k] = 1;
  if (c.Is("writes_before")) z[-1] = 1;
  if (c.Is("changes_input")) *out(g.Base(node.in[0])) += 1;
}

// The fault "first_weight" takes the first of this shape.
const Weight& Work::WeightOf(const mnw_node& node) const {
  const Weight& own = *plan->weights[node.in[1]];
  if (!plan->context->Is("first_weight")) return own;
  return **std::find_if(plan->weights.begin(), plan->weights.end(),
                        [&](const Weight* w) { return w && w->k == own.k && w->n == own.n; });
}

void Work::Linear(const mnw_node& node) const {
  const GraphView g(*plan->graph);
  const Weight& w = WeightOf(node);
  const int64_t rows = minnow::sdk::Rows(g.in(node, 0), symbols);
  const auto* x = reinterpret_cast<const float*>(data(node.in[0]));
  float* y = out(node.out[0]);
  const bool backwards = plan->context->Is("batch_bits") && rows > 8;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t n = 0; n < w.n; ++n) {
      float sum = 0;
      for (int64_t i = 0; i < w.k; ++i) {
        const int64_t k = backwards ? w.k - 1 - i : i;
        sum += x[r * w.k + k] * w.source[n * w.k + k];
      }
      y[r * w.n + n] = sum;
    }
  }
}

void Work::Compute() const {
  for (uint32_t i = 0; i < plan->graph->n_nodes; ++i) {
    const mnw_node& node = *mnw_node_at(plan->graph, i);
    node.op == MNW_OP_add ? Add(node) : Linear(node);
  }
}

void Work::Finish() const {
  const mnw_context& c = *plan->context;
  const mnw_node& last = *mnw_node_at(plan->graph, plan->graph->n_nodes - 1);
  if (c.Is("crashes")) std::raise(SIGSEGV);
  if (c.Is("hangs")) std::this_thread::sleep_for(std::chrono::hours(1));
  if (c.Is("prints")) std::puts("hello");
  if (c.Is("never_done")) return;
  if (!c.Is("done_early")) Compute();
  done(done_arg, MNW_OK, nullptr);
  if (c.Is("done_twice")) done(done_arg, MNW_OK, nullptr);
  if (c.Is("done_early")) Compute();
  if (c.Is("late_write")) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    if (symbols[0] > 0) out(last.out[0])[0] = 7;
  }
}

int BufferCreate(mnw_context* c, uint64_t n_bytes, mnw_buffer** out, void** address, mnw_error*) {
  auto b = std::make_unique<mnw_buffer>();
  b->context = c;
  b->bytes.resize(n_bytes + kAlign);
  b->data = b->bytes.data() + kAlign - reinterpret_cast<uintptr_t>(b->bytes.data()) % kAlign;
  *address = Elsewhere(b->data + (c->Is("odd_address") ? 4 : 0));
  *out = b.release();
  return MNW_OK;
}

void BufferFree(mnw_buffer* b) { delete b; }

int BufferRead(mnw_buffer* b, uint64_t offset, void* to, uint64_t n_bytes, mnw_error*) {
  std::memcpy(to, b->data + offset, n_bytes + (b->context->Is("reads_more") ? 4 : 0));
  return MNW_OK;
}

int BufferWrite(mnw_buffer* b, uint64_t offset, const void* from, uint64_t n_bytes, mnw_error*) {
  std::memcpy(b->data + offset, from, n_bytes);
  return MNW_OK;
}

int Run(mnw_plan* p, const mnw_run_args* args, mnw_error* e) {
  const mnw_context& c = *p->context;
  if (c.Is("cannot_run") && mnw_node_at(p->graph, 0)->op == MNW_OP_mul) {
    return Fail(e, MNW_INTERNAL, "mul is not there yet", 0);
  }
  if (c.Is("leaks")) g_leaked = new char[16];
  if (c.Is("rounding")) std::fesetround(FE_UPWARD);
  if (c.Is("signals")) std::signal(SIGINT, [](int) {});
  if (c.Is("fails_and_done")) {
    args->done(args->done_arg, MNW_OK, nullptr);
    return Fail(e, MNW_INTERNAL, "failed after all");
  }
  Work work{p, {}, {}, args->done, args->done_arg};
  std::copy_n(args->symbols, MNW_N_SYMBOLS, work.symbols);
  for (uint32_t i = 0; i < args->n_bindings; ++i) {
    void* const data = args->bindings[i].data;
    work.bound.emplace_back(args->bindings[i].value,
                            static_cast<std::byte*>(c.far ? Elsewhere(data) : data));
  }
  if (!c.async) {
    work.Finish();
    return MNW_OK;
  }
  if (p->worker.joinable()) p->worker.join();
  p->worker = std::thread([work = std::move(work)] {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    work.Finish();
  });
  return MNW_OK;
}

const mnw_backend* Backend(uint32_t) {
  static const mnw_backend kBackend = [] {
    mnw_backend b{};
    b.size = sizeof b;
    b.device_count = DeviceCount;
    b.device_info = DeviceInfo;
    b.open = [](uint32_t device, const mnw_host* host, const mnw_context_options* options,
                mnw_context** out, mnw_error* e) {
      const bool throws = options->size == sizeof *options && options->config &&
                          std::strstr(options->config, "fault=throws");
      return throws ? Open(device, host, options, out, e)
                    : Guard<Open>::Call(device, host, options, out, e);
    };
    b.close = Close;
    b.claim = Guard<Claim>::Call;
    b.load_weights = Guard<LoadWeights>::Call;
    b.free_weights = FreeWeights;
    b.plan = Guard<Plan>::Call;
    b.free_plan = FreePlan;
    b.run = Guard<Run>::Call;
    b.buffer_create = Guard<BufferCreate>::Call;
    b.buffer_free = BufferFree;
    b.buffer_read = BufferRead;
    b.buffer_write = BufferWrite;
    return b;
  }();
  return &kBackend;
}

constexpr mnw_plugin kPlugin = {
    sizeof(mnw_plugin), MNW_ABI_MAJOR, MNW_ABI_MINOR, "test.faulty", "0.1.0",
    "Apache-2.0",       Backend,       nullptr};

}  // namespace

extern "C" MNW_EXPORT const mnw_plugin* mnw_plugin_entry(void) { return &kPlugin; }
