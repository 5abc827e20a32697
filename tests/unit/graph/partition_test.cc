#include "graph/partition.h"

#include <algorithm>
#include <set>

#include "graph/op_rules.h"
#include "graph/print.h"
#include "graph/tiny_llama.h"
#include "graph/verify.h"
#include "test_util.h"

namespace minnow::graph {
namespace {

using Rule = std::function<mnw_claim(uint32_t index, const mnw_node&)>;

// Asks a rule about each node. Group 1 in an answer: a group of the node's own.
Claimer Ask(const char* name, Rule rule) {
  return {name, [rule](const mnw_graph* g, std::span<mnw_claim> out) {
            for (uint32_t i = 0; i < g->n_nodes; ++i) {
              out[i] = rule(i, *mnw_node_at(g, i));
              if (out[i].group == 1) out[i].group = 1000 + i;
            }
            return Status();
          }};
}
Claimer All(const char* name, float cost = 1) {
  return Ask(name, [cost](uint32_t, const mnw_node&) { return mnw_claim{1, cost, nullptr}; });
}
// Takes these ops only.
Claimer Only(const char* name, std::set<uint32_t> ops, float cost) {
  return Ask(name, [ops, cost](uint32_t, const mnw_node& n) {
    return ops.contains(n.op) ? mnw_claim{1, cost, nullptr} : mnw_claim{0, 0, "no kernel"};
  });
}
Claimer AllBut(const char* name, std::set<uint32_t> ops, float cost) {
  return Ask(name, [ops, cost](uint32_t, const mnw_node& n) {
    return ops.contains(n.op) ? mnw_claim{0, 0, "no kernel"} : mnw_claim{1, cost, nullptr};
  });
}

Result<Placement> Partitioned(const std::vector<Claimer>& backends,
                              const PartitionOptions& options = {}) {
  return PartitionGraph(test::TinyLlama(), backends, options);
}

// Every partition is a sound graph; together they are the whole, in order; what crosses is made
// before it is read.
void CheckSound(const Placement& p) {
  size_t n_nodes = 0;
  std::set<mnw_id> made;
  for (const Partition& part : p.partitions) {
    CHECK_OK(Verify(part.graph.view()));
    LONGS_EQUAL(part.graph.values().size(), part.whole.size());
    for (uint32_t i = 0; i < part.graph.nodes().size(); ++i, ++n_nodes) {
      const mnw_node &sub = part.graph.node(i), &whole = p.graph.node(n_nodes);
      LONGS_EQUAL(whole.op, sub.op);
      LONGS_EQUAL(part.backend, p.nodes[n_nodes].backend);
      for (int j = 0; j < sub.n_in; ++j) {
        if (sub.in[j] != MNW_NONE) LONGS_EQUAL(whole.in[j], part.whole[sub.in[j]]);
      }
      for (int j = 0; j < sub.n_out; ++j) LONGS_EQUAL(whole.out[j], part.whole[sub.out[j]]);
    }
    for (mnw_id id : part.graph.inputs()) {
      if (part.graph.value(id).role == MNW_INPUT_BOUNDARY) CHECK(made.contains(part.whole[id]));
    }
    for (mnw_id id : part.graph.outputs()) made.insert(part.whole[id]);
  }
  LONGS_EQUAL(p.graph.nodes().size(), n_nodes);
}

std::string BackendsOf(const Placement& p) {
  std::string text;
  for (const Partition& part : p.partitions) text += static_cast<char>('0' + part.backend);
  return text;
}

TEST_GROUP(Partition){};

TEST(Partition, OneBackendThatTakesAllGetsTheWhole) {
  const Graph whole = test::TinyLlama();
  auto p = Partitioned({All("cpu")});
  CHECK_OK(p.status());
  CheckSound(*p);
  LONGS_EQUAL(1, p->partitions.size());
  STRCMP_EQUAL(Print(*whole.view()).c_str(), Print(*p->partitions[0].graph.view()).c_str());
  for (mnw_id id = 0; id < whole.values().size(); ++id) LONGS_EQUAL(id, p->partitions[0].whole[id]);
  for (const NodePlace& place : p->nodes) STRCMP_EQUAL("", place.reason.c_str());
  LONGS_EQUAL(2, p->partitions[0].graph.state_layers().size());
}

TEST(Partition, NobodyClaimingIsAnErrorWithAllReasons) {
  auto p = Partitioned({Only("gpu", {}, 1), AllBut("cpu", {MNW_OP_lm_head, MNW_OP_linear}, 1)});
  CHECK_ERROR(Code::kUnsupported, "no backend takes node 7, %27 f32[n_tokens,64] = linear(",
              p.status());
  STRCMP_CONTAINS("gpu: no kernel; cpu: no kernel", p.status().message().c_str());
}

TEST(Partition, AClaimersFailureNamesIt) {
  const Claimer broken{"gpu", [](const mnw_graph*, std::span<mnw_claim>) {
                         return Error(Code::kDeviceLost, "it is gone");
                       }};
  CHECK_ERROR(Code::kDeviceLost, "gpu: it is gone", Partitioned({broken, All("cpu")}).status());
}

TEST(Partition, ACostThatIsNoneIsRefused) {
  CHECK_ERROR(Code::kInternal, "gpu: claims node 0 at a cost of -1",
              Partitioned({All("gpu", -1), All("cpu")}).status());
  CHECK_ERROR(Code::kInternal, "at a cost of nan",
              Partitioned({All("gpu", std::nanf("")), All("cpu")}).status());
}

TEST(Partition, WhatTheFirstRefusesGoesToTheNext) {
  auto p = Partitioned({AllBut("gpu", {MNW_OP_get_rows}, 1), All("cpu", 100)});
  CHECK_OK(p.status());
  CheckSound(*p);
  STRCMP_EQUAL("1010", BackendsOf(*p).c_str());
  const std::string report = PrintPlacement(*p, std::vector<Claimer>{All("gpu"), All("cpu")});
  STRCMP_CONTAINS(
      "%2 f32[n_tokens,64] = get_rows(token_embd.weight f16[100,64], tokens) -> cpu -> no kernel\n",
      report.c_str());
  STRCMP_CONTAINS("-> gpu\n", report.c_str());
  // The embedding belongs to both: looked up on one, multiplied with on the other.
  int users = 0;
  for (const Partition& part : p->partitions) {
    for (mnw_id id : part.graph.weights()) {
      users += part.graph.value(id).name == std::string("token_embd.weight");
    }
  }
  LONGS_EQUAL(2, users);
}

TEST(Partition, StrictModeRefusesAnyFallback) {
  CHECK_ERROR(Code::kUnsupported, "cannot run on gpu; the first is node 0, %2",
              Partitioned({AllBut("gpu", {MNW_OP_get_rows}, 1), All("cpu", 100)}, {.strict = true})
                  .status());
  CHECK_OK(Partitioned({All("gpu"), All("cpu")}, {.strict = true}).status());
}

TEST(Partition, AFusedNodeIsDecomposedWhereThePiecesAreCheaper) {
  // qkv as a whole: 100 on the CPU; three linears on the GPU: 3.
  auto p = Partitioned({AllBut("gpu", {MNW_OP_qkv}, 1), All("cpu", 100)});
  CHECK_OK(p.status());
  CheckSound(*p);
  STRCMP_EQUAL("0", BackendsOf(*p).c_str());
  for (const mnw_node& n : p->graph.nodes()) {
    CHECK(n.op != MNW_OP_qkv);
  }
}

TEST(Partition, AFusedNodeGoesWholeWhereThePiecesAreDearer) {
  auto p = Partitioned({AllBut("gpu", {MNW_OP_qkv}, 40), All("cpu", 100)});
  CHECK_OK(p.status());
  CheckSound(*p);
  LONGS_EQUAL(test::TinyLlama().nodes().size(), p->graph.nodes().size());
  for (uint32_t i = 0; i < p->nodes.size(); ++i) {
    const bool qkv = p->graph.node(i).op == MNW_OP_qkv;
    LONGS_EQUAL(qkv ? 1 : 0, p->nodes[i].backend);
    STRCMP_EQUAL(qkv ? "no kernel; its pieces would cost 120, the whole costs 100" : "",
                 p->nodes[i].reason.c_str());
  }
}

TEST(Partition, SomeDecompositionsMayBeKeptAndOthersNot) {
  auto p = Partitioned({AllBut("gpu", {MNW_OP_qkv, MNW_OP_lm_head, MNW_OP_linear}, 1),
                        Ask("cpu", [](uint32_t, const mnw_node& n) {
                          return mnw_claim{1, n.op == MNW_OP_linear ? 30.f : 60.f, nullptr};
                        })});
  CHECK_OK(p.status());
  CheckSound(*p);
  bool qkv = false, lm_head = false;
  for (const mnw_node& n : p->graph.nodes()) {
    qkv |= n.op == MNW_OP_qkv;
    lm_head |= n.op == MNW_OP_lm_head;
  }
  CHECK(qkv);            // three linears at 30 are dearer than one qkv at 60
  CHECK_FALSE(lm_head);  // one linear at 30 is not
}

TEST(Partition, AFusedNodeNobodyTakesWholeIsDecomposed) {
  auto p = Partitioned({AllBut("cpu", {MNW_OP_glu_ffn, MNW_OP_add_norm}, 1)});
  CHECK_OK(p.status());
  CheckSound(*p);
  for (const mnw_node& n : p->graph.nodes()) {
    CHECK(n.op != MNW_OP_glu_ffn && n.op != MNW_OP_add_norm);
  }
}

TEST(Partition, WorkOnAStateStaysTogether) {
  // The GPU could attend but not write: both go to the CPU.
  auto p = Partitioned({AllBut("gpu", {MNW_OP_kv_write}, 1), All("cpu", 100)});
  CHECK_OK(p.status());
  CheckSound(*p);
  for (uint32_t i = 0; i < p->nodes.size(); ++i) {
    if (p->graph.node(i).op != MNW_OP_attention) continue;
    LONGS_EQUAL(1, p->nodes[i].backend);
    const int layer = p->graph.node(i).layer;
    STRCMP_EQUAL(fmt::format("the state of layer {} is on cpu", layer).c_str(),
                 p->nodes[i].reason.c_str());
  }
  LONGS_EQUAL(1, p->state_home[0]);
  LONGS_EQUAL(0, p->StateLayers(0)[1].n_kv_heads);
  LONGS_EQUAL(2, p->StateLayers(1)[1].n_kv_heads);
}

TEST(Partition, EachLayersStateHasItsOwnHome) {
  auto p = Partitioned(
      {Ask("gpu",
           [](uint32_t, const mnw_node& n) {
             return n.layer == 1 ? mnw_claim{1, 1, nullptr} : mnw_claim{0, 0, "layer 1 only"};
           }),
       All("cpu", 100)});
  CHECK_OK(p.status());
  CheckSound(*p);
  LONGS_EQUAL(1, p->state_home[0]);
  LONGS_EQUAL(0, p->state_home[1]);
  STRCMP_EQUAL("101", BackendsOf(*p).c_str());
  LONGS_EQUAL(0, p->StateLayers(0)[0].n_kv_heads);
  LONGS_EQUAL(2, p->StateLayers(0)[1].n_kv_heads);
}

TEST(Partition, AStateThatNobodyTakesWholeIsAnError) {
  CHECK_ERROR(
      Code::kUnsupported, "the state of layer 0, which cannot be divided: gpu: no kernel",
      Partitioned({AllBut("gpu", {MNW_OP_kv_write}, 1), AllBut("cpu", {MNW_OP_attention}, 1)})
          .status());
}

TEST(Partition, AnIslandThatSavesLessThanItsCopiesIsDropped) {
  // glu_ffn alone on the GPU: one value in, one out, per layer.
  const auto backends = [](float gpu_cost) {
    return std::vector<Claimer>{Only("gpu", {MNW_OP_glu_ffn}, gpu_cost), All("cpu", 10)};
  };
  auto kept = Partitioned(backends(1), {.boundary_cost = 4});  // saves 9, copies cost 8
  CHECK_OK(kept.status());
  CheckSound(*kept);
  STRCMP_EQUAL("10101", BackendsOf(*kept).c_str());
  auto dropped = Partitioned(backends(1), {.boundary_cost = 5});  // copies cost 10
  CHECK_OK(dropped.status());
  STRCMP_EQUAL("1", BackendsOf(*dropped).c_str());
  const auto moved = std::find_if(dropped->nodes.begin(), dropped->nodes.end(), [](auto& place) {
    return place.reason == "gpu would save 9, less than 2 copies between backends cost";
  });
  CHECK(moved != dropped->nodes.end());
}

TEST(Partition, WithAllClaimsNeitherCopiesNorDearPiecesCount) {
  const std::vector<Claimer> backends = {Only("gpu", {MNW_OP_add, MNW_OP_mul}, 50), All("cpu", 1)};
  auto by_cost = Partitioned(backends);
  CHECK_OK(by_cost.status());
  STRCMP_EQUAL("1", BackendsOf(*by_cost).c_str());
  auto all = Partitioned(backends, {.all_claims = true});
  CHECK_OK(all.status());
  CheckSound(*all);
  int n_first = 0;
  for (uint32_t i = 0; i < all->nodes.size(); ++i) {
    const uint32_t op = all->graph.node(i).op;
    LONGS_EQUAL(op == MNW_OP_add || op == MNW_OP_mul ? 0 : 1, all->nodes[i].backend);
    CHECK(op != MNW_OP_add_norm && op != MNW_OP_glu_ffn);  // they have an add or a mul inside
    n_first += all->nodes[i].backend == 0;
  }
  LONGS_EQUAL(6, n_first);  // two residuals and one gate in each of two layers
  // What holds nothing of the first backend's stays whole.
  CHECK(std::any_of(all->graph.nodes().begin(), all->graph.nodes().end(),
                    [](const mnw_node& n) { return n.op == MNW_OP_qkv; }));
}

TEST(Partition, StrictModeNamesTheFirstNodeThatIsRefusedAndNotWhatCostsMoved) {
  // By cost the add would go to the CPU; what is wrong is the norm.
  CHECK_ERROR(Code::kUnsupported, "node 0, %2",
              Partitioned({AllBut("gpu", {MNW_OP_get_rows}, 50), All("cpu", 1)}, {.strict = true})
                  .status());
  CHECK_ERROR(Code::kUnsupported, "= rms_norm(",
              Partitioned({AllBut("gpu", {MNW_OP_rms_norm}, 50), All("cpu", 1)}, {.strict = true})
                  .status());
}

TEST(Partition, TheGraphOfABackendShowsEveryUseOfAWeight) {
  auto p = Partitioned(
      {AllBut("gpu", {MNW_OP_get_rows, MNW_OP_lm_head, MNW_OP_linear}, 1), All("cpu", 100)});
  CHECK_OK(p.status());
  CHECK(p->partitions.size() > 2);
  const Partition cpu = CutBackend(*p, 1);
  CHECK_OK(Verify(cpu.graph.view()));
  int uses = 0;
  for (const mnw_node& node : cpu.graph.nodes()) {
    for (int j = 0; j < node.n_in; ++j) {
      if (node.in[j] == MNW_NONE || cpu.graph.value(node.in[j]).kind != MNW_KIND_WEIGHT) continue;
      uses += cpu.graph.value(node.in[j]).name == std::string("token_embd.weight");
    }
  }
  LONGS_EQUAL(2, uses);  // looked up at one end, multiplied by at the other
  for (mnw_id id = 0; id < cpu.whole.size(); ++id) {
    const char *part = cpu.graph.value(id).name, *whole = p->graph.value(cpu.whole[id]).name;
    if (part) STRCMP_EQUAL(whole, part);
  }
}

TEST(Partition, AClaimGroupIsTakenWholeOrNotAtAll) {
  // The GPU takes an add_norm only together with the node after it, and lacks one of those.
  const Rule rule = [](uint32_t, const mnw_node& n) {
    if (n.op == MNW_OP_kv_write || n.op == MNW_OP_rope) {
      return mnw_claim{static_cast<uint32_t>(2 + n.layer), 1, nullptr};
    }
    return mnw_claim{0, 0, "only rope with kv_write"};
  };
  // kv_write's home is the CPU, since the GPU has no attention: so rope is not the GPU's either.
  auto p = Partitioned({Ask("gpu", rule), All("cpu", 100)});
  CHECK_OK(p.status());
  STRCMP_EQUAL("1", BackendsOf(*p).c_str());
  for (uint32_t i = 0; i < p->nodes.size(); ++i) {
    if (p->graph.node(i).op == MNW_OP_rope) {
      STRCMP_EQUAL("another backend has part of its claim group", p->nodes[i].reason.c_str());
    }
  }
}

TEST(Partition, AClaimGroupIsNotTornByNodesBetween) {
  // get_rows and lm_head as one: everything else lies between them.
  auto p = Partitioned({Ask("gpu",
                            [](uint32_t, const mnw_node& n) {
                              const bool ends = n.op == MNW_OP_lm_head || n.op == MNW_OP_get_rows;
                              return ends ? mnw_claim{2, 1, nullptr} : mnw_claim{0, 0, "no"};
                            }),
                        All("cpu", 100)});
  CHECK_OK(p.status());
  STRCMP_EQUAL("1", BackendsOf(*p).c_str());
}

TEST(Partition, TheSameClaimsGiveTheSamePlacement) {
  const std::vector<Claimer> backends = {AllBut("gpu", {MNW_OP_qkv, MNW_OP_get_rows}, 1),
                                         All("cpu", 100)};
  auto a = Partitioned(backends), b = Partitioned(backends);
  CHECK_OK(a.status());
  CHECK_OK(b.status());
  STRCMP_EQUAL(PrintPlacement(*a, backends).c_str(), PrintPlacement(*b, backends).c_str());
}

}  // namespace
}  // namespace minnow::graph
