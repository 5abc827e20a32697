#include "conformance/subject.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "plugins/device.h"

namespace minnow::conformance {

void Trace::Say(std::string_view where) {
  size_t n = 0;
  const auto append = [&](std::string_view part) {
    const size_t some = std::min(part.size(), text_.size() - 1 - n);
    std::memcpy(text_.data() + n, part.data(), some);
    n += some;
  };
  if (!prefix_.empty()) {
    append(prefix_);
    append(": ");
  }
  append(where);
  text_[n] = '\0';
}

void Subject::Enter(const char* entry) const {
  trace->Say(entry);
  if (allocations) allocations->enable(true);
}

void Subject::Leave() const {
  if (allocations) allocations->enable(false);
  trace->Say("the host's part");
}

Status Subject::Failure(const char* entry, int code, const mnw_error& error) {
  Status status = plugins::FromPlugin(fmt::format("{}()", entry), code, &error);
  if (std::memchr(error.message, '\0', sizeof error.message) == nullptr) {
    return Error(Code::kInternal, "{}() wrote an error message without its terminating NUL", entry);
  }
  if (error.message[0] == '\0') {
    return Error(Code::kInternal, "{}() failed with code {} and wrote no message", entry, code);
  }
  return status;
}

namespace {

// How many bytes of a node's parameters a host passes: an older one lacks the fields at the end
// that are zero, a newer one has more.
size_t ParamsSize(const mnw_node& node, HostAge age) {
  size_t n = node.params_size;
  if (age == HostAge::kNewer) return n ? n + kNewFields : 0;
  if (age != HostAge::kOlder) return n;
  const auto* p = static_cast<const std::byte*>(node.params);
  const auto zero = [p](size_t at) {
    return std::all_of(p + at, p + at + 4, [](std::byte b) { return b == std::byte{0}; });
  };
  while (n >= 8 && zero(n - 4)) n -= 4;
  return n;
}

}  // namespace

HostGraph::HostGraph(const mnw_graph& graph, HostAge age) {
  std::vector<mnw_value> values;
  for (uint32_t i = 0; i < graph.n_values; ++i) values.push_back(*mnw_value_at(&graph, i));
  std::vector<mnw_node> nodes;
  for (uint32_t i = 0; i < graph.n_nodes; ++i) nodes.push_back(*mnw_node_at(&graph, i));
  for (mnw_node& node : nodes) {
    const size_t size = ParamsSize(node, age);
    if (size == 0) continue;
    std::vector<std::byte> bytes(size, kUnknown);
    std::memcpy(bytes.data(), node.params, std::min<size_t>(size, node.params_size));
    params_.emplace_back(bytes);
    node.params = params_.back().data();
    node.params_size = static_cast<uint32_t>(size);
  }
  mnw_graph g = graph;
  values_ = std::make_unique<Guarded>(
      HostArray(std::span<const mnw_value>(values), age, &g.value_stride));
  nodes_ =
      std::make_unique<Guarded>(HostArray(std::span<const mnw_node>(nodes), age, &g.node_stride));
  g.values = values_->data();
  g.nodes = nodes_->data();
  graph_ = std::make_unique<Guarded>(HostStruct(g, age));
  for (Guarded& p : params_) p.MakeReadOnly();
  values_->MakeReadOnly();
  nodes_->MakeReadOnly();
  graph_->MakeReadOnly();
}

const mnw_graph* HostGraph::view() const {
  return reinterpret_cast<const mnw_graph*>(graph_->data());
}

Context::Context(const Subject& subject)
    : subject_(subject),
      host_(HostStruct(*subject.host, subject.age, offsetof(mnw_host, extension))),
      options_(
          HostStruct(mnw_context_options{0, subject.n_threads,
                                         subject.config.empty() ? nullptr : subject.config.c_str()},
                     subject.config.empty() ? subject.age : HostAge::kSame,
                     offsetof(mnw_context_options, config))) {}

Result<std::unique_ptr<Context>> Context::Open(const Subject& s) {
  std::unique_ptr<Context> c(new Context(s));
  MNW_TRY(s.Call("open", [&](mnw_error* e) {
    return s.table->open(s.device, reinterpret_cast<const mnw_host*>(c->host_.data()),
                         reinterpret_cast<const mnw_context_options*>(c->options_.data()),
                         &c->context_, e);
  }));
  if (!c->context_) return Error(Code::kInternal, "open() succeeded and gave no context");
  c->options_.TakeAway();  // only the host table outlives the call
  return c;
}

Context::~Context() {
  if (context_) subject_.Do("close", [&] { subject_.table->close(context_); });
}

Result<std::vector<mnw_claim>> Context::Claim(const HostGraph& graph) const {
  // A zeroed claim is "not claimed, no reason": so that an entry left alone shows.
  const std::vector<mnw_claim> none(graph.view()->n_nodes);
  const Guarded memory(std::as_bytes(std::span(none)));
  auto* claims = reinterpret_cast<mnw_claim*>(memory.data());
  MNW_TRY(subject_.Call("claim", [&](mnw_error* e) {
    return subject_.table->claim(context_, graph.view(), claims, e);
  }));
  if (const std::string at = memory.Breach(); !at.empty()) {
    return Error(Code::kInternal, "claim() wrote beyond its claims, {}", at);
  }
  std::vector<mnw_claim> made(claims, claims + none.size());
  for (size_t i = 0; i < made.size(); ++i) {
    const mnw_claim& c = made[i];
    if (c.group == 0 && (!c.reason || !*c.reason)) {
      return Error(Code::kInternal, "node {} is not claimed, and no reason is given", i);
    }
    if (c.group != 0 && (!(c.cost >= 0) || !std::isfinite(c.cost))) {
      return Error(Code::kInternal, "the claim on node {} costs {}", i, c.cost);
    }
  }
  return made;
}

}  // namespace minnow::conformance
