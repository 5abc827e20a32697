// minnow inspect MODEL [--placement] [--graph] [--metadata] [--tensors] [--json]
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/tensor_type.h"
#include "cli/cli.h"
#include "graph/op_rules.h"
#include "graph/print.h"

namespace minnow::cli {

namespace {

struct Options {
  ModelOptions model;
  bool placement = false, graph = false, metadata = false, tensors = false, json = false;
};

// What requests are admitted to: the cache, what of it can be pinned, and the largest step.
nlohmann::ordered_json Budget(const engine::Engine& engine) {
  const model::Instance& i = engine.instance();
  uint32_t pages = 0;
  for (uint32_t g = 0; g < i.n_groups(); ++g) {
    if (!i.recurrent(g)) pages = std::max(pages, i.n_pages(g));
  }
  return {{"memory_bytes", i.weight_bytes() + i.state_bytes()},
          {"cache_tokens", pages * model::kPageTokens},
          {"pinned_tokens", pages / 2 * model::kPageTokens},
          {"longest_request", engine.longest()},
          {"sequences", i.options().max_seqs},
          {"step_rows", i.options().max_tokens}};
}

nlohmann::ordered_json Summary(engine::Engine& engine) {
  const model::Model& m = engine.model();
  const model::Instance& i = engine.instance();
  const mnw_model_info& info = m.info();
  uint64_t parameters = 0, bytes = 0;
  std::map<std::string, uint64_t> types;
  for (const graph::TensorInfo& t : m.source().tensors()) {
    const int64_t rows = t.ne[1] * t.ne[2] * t.ne[3];
    const auto n_bytes = static_cast<uint64_t>(RowBytes(t.type, t.ne[0]) * rows);
    parameters += static_cast<uint64_t>(t.ne[0] * rows);
    bytes += n_bytes;
    types[FindType(t.type)->name] += n_bytes;
  }
  nlohmann::ordered_json by_type;
  for (const auto& [name, n] : types) by_type[name] = n;
  return {{"name", m.name()},
          {"architecture", m.architecture()},
          {"parameters", parameters},
          {"tensor_bytes", bytes},
          {"bytes_by_type", by_type},
          {"layers", info.n_layers},
          {"width", info.n_embd},
          {"heads", info.n_heads},
          {"kv_heads", info.n_kv_heads},
          {"vocabulary", info.n_vocab},
          {"context_trained", info.n_ctx_train},
          {"context", m.n_ctx()},
          {"chat_template", m.chat_template() != nullptr},
          {"packed_weight_bytes", i.weight_bytes()},
          {"kv_bytes", i.state_bytes()},
          {"budget", Budget(engine)}};
}

nlohmann::ordered_json PlacementJson(const model::Instance& instance) {
  const graph::Placement& placement = instance.placement();
  auto rows = nlohmann::ordered_json::array();
  for (uint32_t i = 0; i < placement.nodes.size(); ++i) {
    const mnw_node& node = placement.graph.node(i);
    const graph::NodePlace& place = placement.nodes[i];
    rows.push_back({{"node", graph::PrintNode(*placement.graph.view(), i)},
                    {"op", graph::FindOp(node.op)->name},
                    {"layer", node.layer},
                    {"device", instance.device_names()[place.backend]},
                    {"reason", place.reason}});
  }
  return rows;
}

VerbResult Run(const Options& o) {
  if (o.model.model.empty()) return Error(Code::kInvalid, "which model? minnow inspect MODEL");
  MNW_ASSIGN(OpenedModel opened, OpenModel(o.model));
  const model::Model& model = opened.engine->model();
  if (o.placement && o.json) {
    PrintJson(PlacementJson(opened.engine->instance()));
  } else if (o.placement) {
    Print(opened.engine->instance().PlacementText());
  } else if (o.graph) {
    Print(graph::Print(*opened.engine->instance().graph().view()));
  } else if (o.metadata) {
    for (const auto& [key, value] : model.source().Describe())
      Print(fmt::format("{} = {}\n", key, value));
  } else if (o.tensors) {
    for (const graph::TensorInfo& t : model.source().tensors()) {
      const auto one = [](int64_t n) { return n == 1; };
      const auto rest = std::find_if_not(t.ne.rbegin(), t.ne.rend() - 1, one);
      Print(fmt::format("{:<40} {:<5} [{}]\n", t.name, FindType(t.type)->name,
                        fmt::join(t.ne.begin(), rest.base(), ", ")));
    }
  } else if (o.json) {
    PrintJson(Summary(*opened.engine));
  } else {
    const auto summary = Summary(*opened.engine);
    for (const auto& [key, value] : summary.items()) {
      Print(fmt::format("{:<20} {}\n", key,
                        value.is_string() ? value.get<std::string>() : value.dump()));
    }
  }
  return kExitOk;
}

}  // namespace

void AddInspect(CommandLine& line) {
  auto o = std::make_shared<Options>();
  Verb verb =
      line.AddVerb("inspect", "What a model is and where it would run", [o] { return Run(*o); });
  AddModelOptions(verb, o->model).Required(false);
  verb.Add("file", o->model.model, "Model, as -m");
  verb.AddFlag("--placement", o->placement, "Each node, its backend and the reason");
  verb.AddFlag("--graph", o->graph, "The graph, a line for each node");
  verb.AddFlag("--metadata", o->metadata, "The model's keys and values, as GGUF names them");
  verb.AddFlag("--tensors", o->tensors, "The model's tensors, as GGUF names them");
  verb.AddFlag("--json", o->json, "The summary or the placement as JSON");
}

}  // namespace minnow::cli
