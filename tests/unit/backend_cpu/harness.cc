#include "harness.h"

#include <CppUTest/TestHarness.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "cpu_levels.h"
#include "graph/verify.h"
#include "minnow/sdk/graph_view.hpp"
#include "quant/quant.h"

namespace minnow::cpu::test {

namespace {

// As an index, the guard leads far away.
constexpr uint32_t kGuard = 0x5a5a5a5a, kUnwritten = 0xdeadbeef;
constexpr size_t kGuardWords = 16;

void Check(const Status& status, const char* what) {
  if (!status.ok()) FAIL(fmt::format("{}: {}", what, status.message()).c_str());
}

void CheckCode(int code, const mnw_error& e, const char* what) {
  if (code != MNW_OK) FAIL(fmt::format("{}: code {}: {}", what, code, e.message).c_str());
}

// n words between guards.
class Bound {
 public:
  explicit Bound(size_t n) : words_(n + 2 * kGuardWords, kGuard) {
    std::fill_n(data(), n, kUnwritten);
  }
  explicit Bound(const Words& w) : Bound(w.size()) { std::copy(w.begin(), w.end(), data()); }
  uint32_t* data() { return words_.data() + kGuardWords; }
  Words words() const { return Words(words_.begin() + kGuardWords, words_.end() - kGuardWords); }
  bool intact() const {
    for (size_t i = 0; i < kGuardWords; ++i) {
      if (words_[i] != kGuard || words_[words_.size() - 1 - i] != kGuard) return false;
    }
    return true;
  }

 private:
  Words words_;
};

}  // namespace

Words ToWords(std::span<const float> v) {
  Words w;
  for (float f : v) w.push_back(std::bit_cast<uint32_t>(f));
  return w;
}

Words ToWords(std::span<const int32_t> v) { return Words(v.begin(), v.end()); }

std::vector<float> ToFloats(const Words& w) {
  std::vector<float> v;
  for (uint32_t u : w) v.push_back(std::bit_cast<float>(u));
  return v;
}

std::vector<int32_t> ToInts(const Words& w) { return std::vector<int32_t>(w.begin(), w.end()); }

void CheckSameBits(const Words& want, const Words& got, const std::string& what) {
  if (want.size() != got.size()) FAIL((what + ": sizes differ").c_str());
  for (size_t i = 0; i < want.size(); ++i) {
    const float a = std::bit_cast<float>(want[i]), b = std::bit_cast<float>(got[i]);
    if (want[i] == got[i] || (std::isnan(a) && std::isnan(b))) continue;
    FAIL(fmt::format("{}: element {} is {:a} ({:08x}), wanted {:a} ({:08x})", what, i, b, got[i], a,
                     want[i])
             .c_str());
  }
}

void CheckClose(std::span<const double> want, std::span<const float> got, double abs, double rel,
                const std::string& what) {
  if (want.size() != got.size()) FAIL((what + ": sizes differ").c_str());
  for (size_t i = 0; i < want.size(); ++i) {
    const double a = want[i], b = got[i];
    if (std::isnan(a) && std::isnan(b)) continue;
    if (a == b || std::fabs(a - b) <= abs + rel * std::fabs(a)) continue;
    FAIL(fmt::format("{}: element {} is {}, wanted {}", what, i, b, a).c_str());
  }
}

double Nmse(std::span<const double> want, std::span<const float> got) {
  double error = 0, power = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    error += (got[i] - want[i]) * (got[i] - want[i]);
    power += want[i] * want[i];
  }
  return error / power;
}

std::vector<float> Random::Normals(int64_t n, float scale) {
  std::vector<float> v(static_cast<size_t>(n));
  for (float& f : v) f = Normal() * scale;
  return v;
}

const mnw_host& Host() {
  static const mnw_host host = {
      sizeof(mnw_host), nullptr, [](void*, int, const char*) {},
      [](void*, int32_t type, const void* src, float* dst, int64_t n) -> int {
        const bool ok = quant::DequantizeRow(static_cast<uint32_t>(type), src, dst, n);
        return ok ? MNW_OK : MNW_INVALID;
      },
      [](void*, const char*) -> const void* { return nullptr; }};
  return host;
}

}  // namespace minnow::cpu::test

extern "C" const mnw_plugin* mnw_plugin_entry(void);

namespace minnow::cpu::test {

const mnw_backend& Backend() { return *mnw_plugin_entry()->backend(MNW_ABI_MINOR); }

const std::vector<std::string>& Levels() {
  static const std::vector<std::string> levels = [] {
    std::vector<std::string> found;
    for (const char* name : minnow::test::kCpuLevels) {
      const std::string config = std::string("isa=") + name;
      const mnw_context_options options = {sizeof options, 1, config.c_str()};
      mnw_context* c = nullptr;
      mnw_error e{};
      if (Backend().open(0, &Host(), &options, &c, &e) == MNW_OK) {
        Backend().close(c);
        found.push_back(name);
      } else {
        std::printf("\nskipped the level %s: %s\n", name, e.message);
      }
    }
    return found;
  }();
  return levels;
}

Context::Context(const std::string& isa, uint32_t n_threads) {
  const std::string config = isa.empty() ? "" : "isa=" + isa;
  const mnw_context_options options = {sizeof options, n_threads, config.c_str()};
  mnw_error e{};
  CheckCode(Backend().open(0, &Host(), &options, &context_, &e), e, "open");
}

Context::~Context() {
  if (context_) Backend().close(context_);
}

mnw_id Model::Weight(mnw_type type, const Dims& dims, std::span<const float> values) {
  const auto id = draft_.AddWeight(fmt::format("weight{}", bytes_.size()), type, dims);
  Check(id.status(), "weight");
  const sdk::Block block = sdk::BlockOf(type);
  std::vector<std::byte> bytes(values.size() / static_cast<size_t>(block.elements) *
                               static_cast<size_t>(block.bytes));
  Check(quant::FromF32(type, values, bytes), "encoding a weight");
  bytes_[*id] = std::move(bytes);
  return *id;
}

mnw_id Model::Vector(std::span<const float> values) {
  return Weight(MNW_TYPE_F32, {static_cast<int64_t>(values.size()), 1, 1, 1}, values);
}

mnw_id Model::RandomWeight(mnw_type type, const Dims& dims, Random& random, float scale) {
  return Weight(type, dims, random.Normals(dims[0] * dims[1] * dims[2] * dims[3], scale));
}

mnw_id Model::RandomBlocks(mnw_type type, const Dims& dims, Random& random) {
  const auto id = draft_.AddWeight(fmt::format("weight{}", bytes_.size()), type, dims);
  Check(id.status(), "weight");
  const sdk::Block block = sdk::BlockOf(type);
  const auto size = static_cast<size_t>(block.bytes);
  std::vector<float> meaning(static_cast<size_t>(block.elements));
  const auto ordinary = [](float v) { return std::fabs(v) < 100; };
  std::vector<std::byte> bytes(
      size * static_cast<size_t>(dims[0] / block.elements * dims[1] * dims[2] * dims[3]));
  for (size_t at = 0; at < bytes.size(); at += size) {
    do {
      for (size_t i = 0; i < size; ++i) bytes[at + i] = static_cast<std::byte>(random.Below(256));
    } while (quant::ToF32(type, std::span(bytes).subspan(at, size), meaning).ok() &&
             !std::all_of(meaning.begin(), meaning.end(), ordinary));
  }
  bytes_[*id] = std::move(bytes);
  return *id;
}

mnw_id Model::Input(const Dims& dims, mnw_type type) {
  const auto id = draft_.AddInput(MNW_INPUT_BOUNDARY, 0, type, dims,
                                  fmt::format("boundary{}", draft_.n_values()));
  Check(id.status(), "input");
  return *id;
}

mnw_id Model::StepInput(mnw_input role, uint32_t group, int64_t n_pages) {
  const auto id = draft_.AddInput(role, group, MNW_TYPE_I32, graph::InputDims(role, n_pages),
                                  graph::InputName(role));
  Check(id.status(), "input");
  return *id;
}

uint32_t Model::Group(mnw_state_kind kind, uint32_t n_pages, uint32_t window) {
  n_pages_.push_back(n_pages);
  return draft_.AddStateGroup(kind, window, 32);
}

mnw_id Model::State(uint32_t layer, uint32_t group, uint32_t heads, uint32_t k_dim, uint32_t v_dim,
                    mnw_type type) {
  const auto id = draft_.AddState(layer, group, heads, k_dim, v_dim);
  Check(id.status(), "state");
  types_[layer] = type;
  return *id;
}

mnw_id Model::View(mnw_id of, const Dims& dims, const std::array<int64_t, 4>& strides,
                   uint64_t offset) {
  const auto id = draft_.AddView(of, dims, strides, offset);
  Check(id.status(), "view");
  return *id;
}

mnw_id Model::Reshape(mnw_id of, const Dims& dims, uint64_t offset) {
  const auto id = draft_.AddPackedView(of, dims, offset);
  Check(id.status(), "view");
  return *id;
}

Outs Model::Emit(mnw_op op, std::initializer_list<mnw_id> in, const void* params, uint32_t size) {
  const auto outs = draft_.Emit(op, 0, std::span(in.begin(), in.size()), params, size);
  Check(outs.status(), "emit");
  return *outs;
}

size_t Model::Output(mnw_id value) {
  Check(draft_.MarkOutput(value, fmt::format("out{}", outputs_.size())), "output");
  outputs_.push_back(value);
  return outputs_.size() - 1;
}

void Model::OutputAll(const Outs& values) {
  for (const mnw_id value : values) {
    if (value != MNW_NONE) Output(value);
  }
}

const graph::Graph& Model::Finish() {
  graph_.emplace(draft_.Finish());
  Check(graph::Verify(graph_->view()), "verify");
  groups_.assign(graph_->state_groups().begin(), graph_->state_groups().end());
  for (size_t i = 0; i < groups_.size(); ++i) groups_[i].n_pages = n_pages_[i];
  layers_.assign(graph_->state_layers().begin(), graph_->state_layers().end());
  for (const auto& [layer, type] : types_) layers_[layer].type = type;
  spec_ = {sizeof spec_,
           static_cast<uint32_t>(groups_.size()),
           static_cast<uint32_t>(layers_.size()),
           sizeof(mnw_state_group),
           sizeof(mnw_state_layer),
           groups_.data(),
           layers_.data()};
  return *graph_;
}

std::vector<float> Model::values(mnw_id weight) const {
  const mnw_value& v = graph_ ? graph_->value(weight) : draft_.value(weight);
  std::vector<float> values(static_cast<size_t>(v.dim[0] * v.dim[1] * v.dim[2] * v.dim[3]));
  Check(quant::ToF32(static_cast<mnw_type>(v.type), bytes(weight), values), "decoding a weight");
  return values;
}

State::State(const Context& c, const Model& m) : spec_(m.spec()) {
  mnw_error e{};
  CheckCode(Backend().state_create(c.get(), &spec_, &state_, &e), e, "state_create");
}

State::~State() {
  if (state_) Backend().state_free(state_);
}

void State::Edit(const mnw_page_edit& edit) {
  mnw_error e{};
  CheckCode(Backend().state_edit(state_, &edit, 1, &e), e, "state_edit");
}

void State::Commit(uint32_t group, const std::vector<int32_t>& rows,
                   const std::vector<int32_t>& slots) {
  mnw_error e{};
  CheckCode(Backend().state_commit(state_, group, rows.data(), slots.data(),
                                   static_cast<uint32_t>(rows.size()), &e),
            e, "state_commit");
}

const mnw_state_layer& State::layer(uint32_t i) const {
  return static_cast<const mnw_state_layer*>(spec_.layers)[i];
}

std::vector<float> State::Export(uint32_t i, uint32_t page) const {
  const mnw_state_layer& l = layer(i);
  const auto& group = static_cast<const mnw_state_group*>(spec_.groups)[l.group];
  const size_t n =
      group.kind == MNW_STATE_KV ? size_t{32} * (l.k_dim + l.v_dim) : size_t{l.k_dim} * l.v_dim;
  std::vector<float> values(n * l.n_kv_heads);
  mnw_error e{};
  CheckCode(Backend().state_export(state_, i, page, values.data(), &e), e, "state_export");
  return values;
}

void State::Import(uint32_t i, uint32_t page, const std::vector<float>& values) {
  mnw_error e{};
  CheckCode(Backend().state_import(state_, i, page, values.data(), &e), e, "state_import");
}

Adapters::Adapters(const Context& c, const Model& m, uint32_t n_slots, uint32_t max_rank) {
  mnw_error e{};
  const int code =
      Backend().adapters_create(c.get(), m.graph().view(), n_slots, max_rank, &adapters_, &e);
  CheckCode(code, e, "adapters_create");
}

Adapters::~Adapters() {
  if (adapters_) Backend().adapters_free(adapters_);
}

int Adapters::TrySet(const TestDelta& d, std::string* message) {
  mnw_error e{};
  const int code = Backend().adapters_set(adapters_, d.slot, d.site, d.rank, d.a.data(), d.b.data(),
                                          d.scale, &e);
  *message = e.message;
  return code;
}

void Adapters::Set(const TestDelta& delta) {
  std::string message;
  if (TrySet(delta, &message) != MNW_OK) FAIL(("adapters_set: " + message).c_str());
}

std::vector<std::string> Refusals(const Context& c, const Model& m) {
  std::vector<mnw_claim> claims(m.graph().nodes().size());
  mnw_error e{};
  CheckCode(Backend().claim(c.get(), m.graph().view(), claims.data(), &e), e, "claim");
  std::vector<std::string> reasons;
  for (const mnw_claim& claim : claims) {
    CHECK_TEXT((claim.group == 0) == (claim.reason != nullptr), "a reason where there is no claim");
    reasons.push_back(claim.reason ? claim.reason : "");
  }
  return reasons;
}

Program::Program(const Context& c, const Model& m, const Symbols& max, const State* s,
                 const Adapters* a)
    : model_(m), context_(c.get()) {
  for (const std::string& reason : Refusals(c, m)) {
    if (!reason.empty()) FAIL(("not claimed: " + reason).c_str());
  }
  const mnw_graph* g = m.graph().view();
  std::vector<void*> handles(g->n_values);
  mnw_error e{};
  for (const mnw_id id : m.graph().weights()) {
    std::vector<std::byte>& bytes = bytes_[id];
    bytes.assign(m.bytes(id).begin(), m.bytes(id).end());
    const mnw_weight_source source = {sizeof source, id, bytes.data(), bytes.size()};
    CheckCode(Backend().load_weights(context_, g, &source, 1, sizeof source, &weights_[id], &e), e,
              "load_weights");
    if (weights_[id].residency == MNW_OWNED) std::fill(bytes.begin(), bytes.end(), std::byte{0xff});
    handles[id] = weights_[id].handle;
  }
  mnw_plan_request request{};
  request.size = sizeof request;
  request.graph = g;
  request.weights = handles.data();
  request.state = s ? s->get() : nullptr;
  request.adapters = a ? a->get() : nullptr;
  std::copy(max.begin(), max.end(), request.max);
  CheckCode(Backend().plan(context_, &request, &plan_, &e), e, "plan");
}

Program::~Program() {
  if (plan_) Backend().free_plan(plan_);
  for (const auto& [id, weight] : weights_) Backend().free_weights(context_, &weight, 1);
}

std::vector<Words> Program::Run(const Symbols& symbols, const Inputs& inputs) {
  const graph::Graph& g = model_.graph();
  std::map<mnw_id, Bound> bound;
  for (const mnw_id id : g.inputs()) {
    const auto it = inputs.find(id);
    if (it == inputs.end()) FAIL(fmt::format("the test binds nothing to %{}", id).c_str());
    const auto bytes = static_cast<size_t>(sdk::Bytes(g.value(id), symbols));
    if (it->second.size() * 4 != bytes) {
      FAIL(fmt::format("the test binds {} words to %{}, which has {}", it->second.size(), id,
                       bytes / 4)
               .c_str());
    }
    bound.emplace(id, it->second);
  }
  for (const mnw_id id : g.outputs()) {
    bound.emplace(id, (static_cast<size_t>(sdk::Bytes(g.value(id), symbols)) + 3) / 4);
  }
  std::vector<mnw_binding> bindings;
  for (auto& [id, buffer] : bound) bindings.push_back({id, 0, buffer.data()});

  mnw_run_args args{};
  args.size = sizeof args;
  args.n_bindings = static_cast<uint32_t>(bindings.size());
  std::copy(symbols.begin(), symbols.end(), args.symbols);
  args.bindings = bindings.data();
  int n_done = 0;
  args.done = [](void* arg, int code, const mnw_error*) {
    if (code == MNW_OK) ++*static_cast<int*>(arg);
  };
  args.done_arg = &n_done;
  mnw_error e{};
  CheckCode(Backend().run(plan_, &args, &e), e, "run");
  LONGS_EQUAL_TEXT(1, n_done, "done is called once");

  for (const auto& [id, buffer] : bound) {
    if (!buffer.intact()) FAIL(fmt::format("%{}: written outside its bounds", id).c_str());
  }
  for (const mnw_id id : g.inputs()) {
    if (bound.at(id).words() != inputs.at(id)) FAIL(fmt::format("input %{} changed", id).c_str());
  }
  std::vector<Words> outputs(g.outputs().size());
  for (const mnw_id id : g.outputs()) {
    outputs[std::stoul(std::string(g.value(id).name).substr(3))] = bound.at(id).words();
  }
  return outputs;
}

int Program::TryRun(const Symbols& symbols, std::span<const mnw_binding> bindings,
                    std::string* message) {
  mnw_run_args args{};
  args.size = sizeof args;
  args.n_bindings = static_cast<uint32_t>(bindings.size());
  std::copy(symbols.begin(), symbols.end(), args.symbols);
  args.bindings = bindings.data();
  mnw_error e{};
  const int code = Backend().run(plan_, &args, &e);
  *message = e.message;
  return code;
}

std::vector<Words> RunEverywhere(const Model& m, const Symbols& symbols, const Inputs& inputs,
                                 std::span<const TestDelta> deltas) {
  std::vector<Words> first;
  for (const std::string& level : Levels()) {
    for (const uint32_t n_threads : {1u, 3u}) {
      const Context c(level, n_threads);
      Adapters adapters(c, m, 4, 64);
      for (const TestDelta& delta : deltas) adapters.Set(delta);
      Program program(c, m, symbols, nullptr, &adapters);
      const std::vector<Words> outputs = program.Run(symbols, inputs);
      if (first.empty()) first = outputs;
      for (size_t i = 0; i < outputs.size(); ++i) {
        CheckSameBits(first[i], outputs[i],
                      fmt::format("{}, {} threads, output {}", level, n_threads, i));
      }
    }
  }
  return first;
}

}  // namespace minnow::cpu::test
