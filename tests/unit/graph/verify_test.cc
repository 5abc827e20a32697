#include "graph/verify.h"

#include <algorithm>
#include <vector>

#include "graph/tiny_llama.h"
#include "test_util.h"

namespace minnow::graph {
namespace {

// A graph that anyone may write to. Find* fail the test if there is none.
class Raw {
 public:
  Raw() : source_(test::TinyLlama(1)) {
    values.assign(source_.values().begin(), source_.values().end());
    nodes.assign(source_.nodes().begin(), source_.nodes().end());
    graph = *source_.view();
    graph.values = values.data();
    graph.nodes = nodes.data();
  }
  Raw(const Raw&) = delete;

  mnw_node& Node(mnw_op op, int nth = 0) {
    for (mnw_node& n : nodes) {
      if (n.op == static_cast<uint32_t>(op) && nth-- == 0) return n;
    }
    FAIL("no such node");
    return nodes[0];
  }
  mnw_value& Value(mnw_kind kind, int nth = 0) {
    for (mnw_value& v : values) {
      if (v.kind == static_cast<uint32_t>(kind) && nth-- == 0) return v;
    }
    FAIL("no such value");
    return values[0];
  }
  mnw_value& Input(mnw_input role) {
    for (mnw_value& v : values) {
      if (v.kind == MNW_KIND_INPUT && v.role == static_cast<uint32_t>(role)) return v;
    }
    FAIL("no such input");
    return values[0];
  }

  std::vector<mnw_value> values;
  std::vector<mnw_node> nodes;
  mnw_graph graph;

 private:
  Graph source_;
};

TEST_GROUP(Verify){};

TEST(Verify, AcceptsWhatTheBuilderMakes) {
  Raw raw;
  CHECK_OK(Verify(&raw.graph));
}

TEST(Verify, AcceptsLargerStrides) {
  Raw raw;
  struct Wide {
    mnw_node node;
    uint64_t newer_field;
  };
  std::vector<Wide> wide;
  for (const mnw_node& n : raw.nodes) wide.push_back({n, ~uint64_t{0}});
  raw.graph.nodes = wide.data();
  raw.graph.node_stride = sizeof(Wide);
  CHECK_OK(Verify(&raw.graph));
}

struct Corruption {
  const char* message;
  void (*plant)(Raw&);
};

// What each entry breaks is told by its message.
const Corruption kCorruptions[] = {
    {"a graph of another header", [](Raw& r) { r.graph.size = 8; }},
    {"are no array of values", [](Raw& r) { r.graph.value_stride = 8; }},
    {"are no array of values", [](Raw& r) { r.graph.values = nullptr; }},
    {"are no array of values", [](Raw& r) { r.graph.n_values = 0xffffffff; }},
    {"are no array of nodes", [](Raw& r) { r.graph.node_stride = sizeof(mnw_node) + 1; }},
    {"are no array of nodes", [](Raw& r) { r.graph.nodes = nullptr; }},

    {"value %0: its size is 4", [](Raw& r) { r.values[0].size = 4; }},
    {"value %0: its size is", [](Raw& r) { r.values[0].size = sizeof(mnw_value) + 8; }},
    {"value %0: there is no kind 6", [](Raw& r) { r.values[0].kind = 6; }},
    {"99 is no tensor type", [](Raw& r) { r.Value(MNW_KIND_TEMP).type = 99; }},
    {"-1 is no tensor type", [](Raw& r) { r.Value(MNW_KIND_WEIGHT).type = MNW_TYPE_NONE; }},
    {"dim 0 is 0", [](Raw& r) { r.Value(MNW_KIND_TEMP).dim[0] = 0; }},
    {"dim 1 is -9", [](Raw& r) { r.Value(MNW_KIND_TEMP).dim[1] = -9; }},
    {"it is too large", [](Raw& r) { r.Value(MNW_KIND_WEIGHT).dim[1] = INT64_MAX; }},
    {"it is too large", [](Raw& r) { r.Value(MNW_KIND_WEIGHT).dim[0] = int64_t{1} << 62; }},
    {"only the outermost dim", [](Raw& r) { r.Value(MNW_KIND_TEMP).dim[2] = 2; }},
    {"rows of a quantized type",
     [](Raw& r) {
       mnw_value& v = r.Value(MNW_KIND_INPUT);
       v.type = MNW_TYPE_Q8_0;
     }},
    {"rows of 63 elements are no multiple of the block of 32",
     [](Raw& r) { r.values[r.Node(MNW_OP_qkv).in[1]].dim[0] = 63; }},
    {"it is not packed", [](Raw& r) { r.Value(MNW_KIND_TEMP).stride[1] += 4; }},
    {"a weight needs a name", [](Raw& r) { r.Value(MNW_KIND_WEIGHT).name = nullptr; }},
    {"a weight's size depends on the step",
     [](Raw& r) { r.Value(MNW_KIND_WEIGHT).dim[1] = MNW_DIM(MNW_SYM_N_OUT); }},
    {"there is no input 77", [](Raw& r) { r.Value(MNW_KIND_INPUT).role = 77; }},
    {"input positions is i32[n_out]",
     [](Raw& r) { r.Input(MNW_INPUT_POSITIONS).dim[0] = MNW_DIM(MNW_SYM_N_OUT); }},
    {"input tokens is f32[n_tokens]",
     [](Raw& r) { r.Input(MNW_INPUT_TOKENS).type = MNW_TYPE_F32; }},
    {"a state has no type", [](Raw& r) { r.Value(MNW_KIND_STATE).type = MNW_TYPE_F32; }},
    {"a state has no type", [](Raw& r) { r.Value(MNW_KIND_STATE).dim[2] = 0; }},

    {"a view of %4000000000, which is not there",
     [](Raw& r) { r.Value(MNW_KIND_VIEW).view_of = 4000000000; }},
    {"what it is a view of is a view itself",
     [](Raw& r) {
       r.Value(MNW_KIND_VIEW, 1).view_of =
           static_cast<mnw_id>(&r.Value(MNW_KIND_VIEW) - r.values.data());
     }},
    {"what it is a view of is a state",
     [](Raw& r) {
       r.Value(MNW_KIND_VIEW).view_of =
           static_cast<mnw_id>(&r.Value(MNW_KIND_STATE) - r.values.data());
     }},
    {"its type is not that of its base",
     [](Raw& r) { r.Value(MNW_KIND_VIEW).type = MNW_TYPE_I32; }},
    {"it reaches past the end", [](Raw& r) { r.Value(MNW_KIND_VIEW).view_offset = 4; }},
    {"it reaches past the end", [](Raw& r) { r.Value(MNW_KIND_VIEW).view_offset = ~uint64_t{3}; }},
    {"it reaches past the end", [](Raw& r) { r.Value(MNW_KIND_VIEW).stride[1] = 1 << 20; }},
    {"it reaches past the end", [](Raw& r) { r.Value(MNW_KIND_VIEW).stride[1] = INT64_MAX - 3; }},
    {"offset 2 is no multiple of 4", [](Raw& r) { r.Value(MNW_KIND_VIEW).view_offset = 2; }},
    {"stride 0 is -4", [](Raw& r) { r.Value(MNW_KIND_VIEW).stride[0] = -4; }},
    {"its rows are 512 bytes apart, those of its base 256",
     [](Raw& r) { r.Value(MNW_KIND_VIEW).stride[2] = 512; }},
    {"its number of rows is not that of its base",
     [](Raw& r) { r.Value(MNW_KIND_VIEW).dim[2] = MNW_DIM(MNW_SYM_N_OUT); }},
    {"its number of rows is not that of its base",
     [](Raw& r) { r.Value(MNW_KIND_VIEW).dim[2] = 1; }},

    {"(lm_head): it has adapters, but no site",
     [](Raw& r) {
       static const mnw_lm_head_params kNone{1, 0, MNW_NONE};
       r.Node(MNW_OP_lm_head).params = &kNone;
     }},
    {"(qkv): site 2 belongs to another matrix",
     [](Raw& r) { r.Node(MNW_OP_qkv, 1).params = r.Node(MNW_OP_qkv).params; }},

    {"node 0 (get_rows): its size is 0", [](Raw& r) { r.nodes[0].size = 0; }},
    {"node 0 (?): 9999 is no op", [](Raw& r) { r.nodes[0].op = 9999; }},
    {"(get_rows): it has 9 inputs", [](Raw& r) { r.nodes[0].n_in = 9; }},
    {"(get_rows): it has 1 inputs, needs 2 to 2", [](Raw& r) { r.nodes[0].n_in = 1; }},
    {"(qkv): it has 2 outputs, needs 3", [](Raw& r) { r.Node(MNW_OP_qkv).n_out = 2; }},
    {"input 1: there is no value %3000000000", [](Raw& r) { r.nodes[0].in[1] = 3000000000; }},
    {"output 0: there is no value %4294967295", [](Raw& r) { r.nodes[0].out[0] = MNW_NONE; }},
    {"(rms_norm): its parameters have 4 bytes, need 12",
     [](Raw& r) { r.Node(MNW_OP_rms_norm).params_size = 4; }},
    {"(rms_norm): its parameters have 0 bytes, need 12",
     [](Raw& r) { r.Node(MNW_OP_rms_norm).params = nullptr; }},
    {"(rms_norm): its parameters have 4000000000 bytes",
     [](Raw& r) { r.Node(MNW_OP_rms_norm).params_size = 4000000000; }},
    {"(qkv): input wk is absent", [](Raw& r) { r.Node(MNW_OP_qkv).in[2] = MNW_NONE; }},
    {"(rms_norm): its output %",
     [](Raw& r) {
       mnw_value& v = r.values[r.Node(MNW_OP_rms_norm).out[0]];
       v.dim[1] = MNW_DIM(MNW_SYM_N_OUT);
     }},
    {"(qkv): input x is i32[n_tokens], must be f32",
     [](Raw& r) { r.Node(MNW_OP_qkv).in[0] = r.nodes[0].in[1]; }},
    {"is f32[n_tokens,32], must be f32[n_tokens,64]",
     [](Raw& r) { r.Node(MNW_OP_qkv).in[2] = r.Node(MNW_OP_qkv).in[1]; }},
    {"before anything made it", [](Raw& r) { std::swap(r.nodes[0], r.nodes[1]); }},
    {"before anything made it", [](Raw& r) { r.nodes.back().in[0] = r.nodes.back().out[0]; }},
    {"has been made already", [](Raw& r) { r.nodes[1].out[0] = r.nodes[0].out[0]; }},
    {"is of kind 1",
     [](Raw& r) {
       mnw_value& v = r.values[r.nodes[1].out[0]];
       v.kind = MNW_KIND_INPUT;
       v.role = MNW_INPUT_BOUNDARY;
     }},
    {"no node makes it",
     [](Raw& r) {
       r.values.push_back(r.Value(MNW_KIND_TEMP));
       r.graph.values = r.values.data();
       r.graph.n_values++;
     }},

    {"the state of layer 0 is %",
     [](Raw& r) {  // attention reads what was before the write
       r.Node(MNW_OP_attention).in[1] = r.Node(MNW_OP_kv_write).in[2];
     }},
    {"but the state of layer 0 is",
     [](Raw& r) {  // a second write starts from the same state
       const mnw_id first = r.Node(MNW_OP_kv_write).in[2];
       r.Node(MNW_OP_kv_write, 1).in[2] = first;
     }},
    {"it makes the state of layer 1 from that of layer 0",
     [](Raw& r) { r.values[r.Node(MNW_OP_kv_write).out[0]].index = 1; }},
    {"the state of layer 0 is %",
     [](Raw& r) {  // two states of one layer
       r.values[r.Node(MNW_OP_kv_write, 1).in[2]].index = 0;
     }},
};

TEST(Verify, RefusesEveryPlantedCorruption) {
  for (const Corruption& c : kCorruptions) {
    Raw raw;
    c.plant(raw);
    const Status status = Verify(&raw.graph);
    if (status.ok()) FAIL(c.message);
    CHECK(status.code() == Code::kInvalid);
    STRCMP_CONTAINS(c.message, status.message().c_str());
  }
}

TEST(Verify, RefusesNoGraph) { CHECK_ERROR(Code::kInvalid, "there is no graph", Verify(nullptr)); }

// No single changed word may make the verifier read where it must not: run under the sanitizers.
TEST(Verify, SurvivesAnyChangedWord) {
  const uint64_t kWords[] = {0, 1, 0xff, 0xffffffff, ~uint64_t{0}, uint64_t{1} << 62};
  Raw raw;
  const auto try_words = [&](void* element, size_t size, size_t skip_begin, size_t skip_end) {
    auto* bytes = static_cast<unsigned char*>(element);
    for (size_t at = 0; at + 8 <= size; at += 4) {
      if (at + 8 > skip_begin && at < skip_end) continue;  // pointers are trusted if not null
      unsigned char saved[8];
      std::copy(bytes + at, bytes + at + 8, saved);
      for (uint64_t word : kWords) {
        std::memcpy(bytes + at, &word, 8);
        (void)Verify(&raw.graph).ok();
      }
      std::copy(saved, saved + 8, bytes + at);
    }
  };
  for (mnw_value& v : raw.values) {
    try_words(&v, sizeof v, offsetof(mnw_value, name), offsetof(mnw_value, name) + 8);
  }
  for (mnw_node& n : raw.nodes) {
    // params_size beyond what is there cannot be seen by anyone; it goes with the pointer.
    try_words(&n, sizeof n, offsetof(mnw_node, params_size), sizeof n);
  }
  CHECK_OK(Verify(&raw.graph));
}

}  // namespace
}  // namespace minnow::graph
