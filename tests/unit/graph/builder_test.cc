#include "graph/builder.h"

#include <stdexcept>

#include "graph/print.h"
#include "graph/tiny_llama.h"
#include "test_util.h"

namespace minnow::graph {
namespace {

using test::BuildTinyLlama;
using test::FakeFile;
using test::TinyLlamaFile;

TEST_GROUP(Builder) {
  FakeFile file = TinyLlamaFile();
  const mnw_build_options options{sizeof options, 128, 32, 0};

  Status Build() { return BuildTinyLlama(file).status(); }
};

TEST(Builder, SameMetadataGivesTheSameGraph) {
  auto a = BuildTinyLlama(file), b = BuildTinyLlama(file);
  CHECK_OK(a.status());
  CHECK_OK(b.status());
  STRCMP_EQUAL(Print(*a->graph.view()).c_str(), Print(*b->graph.view()).c_str());
}

TEST(Builder, TellsWhatTheModelIs) {
  auto built = BuildTinyLlama(file);
  CHECK_OK(built.status());
  const Graph& g = built->graph;
  LONGS_EQUAL(2, g.info().n_layers);
  LONGS_EQUAL(100, g.info().n_vocab);
  LONGS_EQUAL(20, g.weights().size());  // all tensors of the file, each once: the head is tied
  LONGS_EQUAL(0, built->unused_tensors.size());
  LONGS_EQUAL(1, g.state_groups().size());
  LONGS_EQUAL(32, g.state_groups()[0].page_tokens);
  LONGS_EQUAL(2, g.state_layers().size());
  LONGS_EQUAL(2, g.state_layers()[1].n_kv_heads);
  LONGS_EQUAL(16, g.state_layers()[1].k_dim);
  const mnw_id logits = g.Output("logits");
  CHECK(logits != MNW_NONE);
  STRCMP_EQUAL("f32[n_out,100]", PrintShape(g.value(logits)).c_str());
  CHECK(g.Output("embedding") == MNW_NONE);
  STRCMP_EQUAL("i32[n_seqs,4]", PrintShape(g.value(g.Input(MNW_INPUT_PAGES))).c_str());
  CHECK(g.Input(MNW_INPUT_ADAPTER) == MNW_NONE);
}

TEST(Builder, ViewStaysWhereItIsWhenTheGraphMoves) {
  auto built = BuildTinyLlama(file);
  CHECK_OK(built.status());
  const mnw_graph* view = built->graph.view();
  const Graph moved = std::move(built->graph);
  POINTERS_EQUAL(view, moved.view());
  POINTERS_EQUAL(view->values, moved.values().data());
}

TEST(Builder, OutputsThatANodeLacksAreNone) {
  Draft draft;
  const Dims row{8, 1, 1, 1};
  const auto x = draft.AddInput(MNW_INPUT_BOUNDARY, 0, MNW_TYPE_F32, row, "x");
  CHECK_OK(x.status());
  const mnw_id in[] = {*x, *x};
  const auto outs = draft.Emit(MNW_OP_add, -1, in, nullptr, 0);
  CHECK_OK(outs.status());
  CHECK((*outs)[0] != MNW_NONE);
  for (size_t i = 1; i < outs->size(); ++i) CHECK((*outs)[i] == MNW_NONE);
}

TEST(Builder, NamesTheMissingKey) {
  file.keys.erase("tiny.block_count");
  CHECK_ERROR(Code::kNotFound, "architecture 'tiny': key 'tiny.block_count' is missing", Build());
}

TEST(Builder, NamesTheMistypedKey) {
  file.Set("tiny.embedding_length", "many");
  CHECK_ERROR(Code::kInvalid, "key 'tiny.embedding_length' is no integer", Build());
  file = TinyLlamaFile();
  file.Set("tiny.rope.scaling.type", 7);
  CHECK_ERROR(Code::kInvalid, "key 'tiny.rope.scaling.type' is no string", Build());
}

TEST(Builder, RefusesCountsOutOfRange) {
  for (int n : {0, -1, 2000000000}) {
    file.Set("tiny.block_count", n);
    CHECK_ERROR(Code::kInvalid, "must be 1 to 1024", Build());
  }
}

TEST(Builder, NamesTheTensorAndBothShapes) {
  file.Tensor("blk.1.attn_k.weight").ne = {64, 48, 1, 1};
  CHECK_ERROR(Code::kCorrupt, "tensor 'blk.1.attn_k.weight' is [48,64], must be [32,64]", Build());
  file = TinyLlamaFile();
  file.Tensor("token_embd.weight").ne = {32, 100, 1, 1};
  CHECK_ERROR(Code::kCorrupt, "tensor 'token_embd.weight' is [100,32], must be [any,64]", Build());
  file = TinyLlamaFile();
  file.Tensor("output_norm.weight").ne = {64, 2, 3, 1};
  CHECK_ERROR(Code::kCorrupt, "tensor 'output_norm.weight' is [3,2,64], must be [64]", Build());
}

TEST(Builder, NamesTheMissingTensor) {
  std::erase_if(file.tensors, [](const TensorInfo& t) { return t.name == "blk.0.ffn_up.weight"; });
  CHECK_ERROR(Code::kNotFound, "no tensor 'blk.0.ffn_up.weight', which must be [96,64]", Build());
}

TEST(Builder, ReportsTensorsNobodyAskedFor) {
  file.Add("blk.0.attn_sinks", {4});
  auto built = BuildTinyLlama(file);
  CHECK_OK(built.status());
  LONGS_EQUAL(1, built->unused_tensors.size());
  STRCMP_EQUAL("blk.0.attn_sinks", built->unused_tensors[0].c_str());
}

TEST(Builder, GivesEveryLinearItsOwnSiteIfAdaptersAreWanted) {
  auto built = BuildTinyLlama(file, 1);
  CHECK_OK(built.status());
  CHECK(built->graph.Input(MNW_INPUT_ADAPTER) != MNW_NONE);
  const std::string text = Print(*built->graph.view());
  for (int layer = 0; layer < 2; ++layer) {  // qkv, output, ffn: 3 + 1 + 3 sites
    for (int site : {0, 3, 4}) {
      STRCMP_CONTAINS(fmt::format("site {}}} layer {}", 7 * layer + site, layer).c_str(),
                      text.c_str());
    }
  }
}

TEST(Builder, KeepsTheFirstErrorAndIgnoresWhatFollows) {
  Builder b(options, file.tensors);
  const mnw_builder* abi = b.abi();
  const int64_t dims[] = {64};
  CHECK(abi->weight(abi->self, "nothing", 1, dims, 0) == MNW_NONE);
  mnw_id out[1] = {7};
  abi->emit(abi->self, MNW_OP_silu, -1, out, 1, nullptr, 0, out, 1);
  CHECK(out[0] == MNW_NONE);
  abi->fail(abi->self, MNW_UNSUPPORTED, "later");
  CHECK(abi->input(abi->self, MNW_INPUT_TOKENS, 0) == MNW_NONE);
  CHECK_ERROR(Code::kNotFound, "'nothing'", b.Finish({}).status());
}

TEST(Builder, OptionalWeightsMayBeAbsentButNotMisshapen) {
  Builder b(options, file.tensors);
  const mnw_builder* abi = b.abi();
  const int64_t dims[] = {3};
  CHECK(abi->weight(abi->self, "nothing", 1, dims, MNW_WEIGHT_OPTIONAL) == MNW_NONE);
  CHECK_OK(b.status());
  CHECK(abi->weight(abi->self, "output_norm.weight", 1, dims, MNW_WEIGHT_OPTIONAL) == MNW_NONE);
  CHECK_ERROR(Code::kCorrupt, "'output_norm.weight' is [64], must be [3]", b.status());
}

TEST(Builder, RefusesCallsThatMakeNoSense) {
  struct Case {
    const char* message;
    void (*call)(const mnw_builder*);
  };
  const Case cases[] = {
      {"there is no input 99", [](const mnw_builder* b) { b->input(b->self, 99, 0); }},
      {"there is no input 9",
       [](const mnw_builder* b) { b->input(b->self, MNW_INPUT_BOUNDARY, 0); }},
      {"input pages.0: there is no such state group",
       [](const mnw_builder* b) { b->input(b->self, MNW_INPUT_PAGES, 0); }},
      {"there is no kind 9 of state", [](const mnw_builder* b) { b->state_group(b->self, 9, 0); }},
      {"layer 0: there is no state group 0",
       [](const mnw_builder* b) { b->state(b->self, 0, 0, 2, 16, 16); }},
      {"layer 3 has a state already",
       [](const mnw_builder* b) {
         const uint32_t group = b->state_group(b->self, MNW_STATE_KV, 0);
         b->state(b->self, 3, group, 2, 16, 16);
         b->state(b->self, 3, group, 2, 16, 16);
       }},
      {"state layer 4294967295 is too many",
       [](const mnw_builder* b) {
         b->state(b->self, 0xffffffff, b->state_group(b->self, MNW_STATE_KV, 0), 2, 16, 16);
       }},
      {"a view of %0: it reaches past the end of its base",
       [](const mnw_builder* b) {
         const int64_t dims[] = {MNW_DIM(MNW_SYM_N_TOKENS)};
         b->view(b->self, b->input(b->self, MNW_INPUT_TOKENS, 0), 1, dims, nullptr, 4);
       }},
      {"output 'logits': %0 is made by no node",
       [](const mnw_builder* b) {
         b->output(b->self, b->input(b->self, MNW_INPUT_SEQ, 0), "logits");
       }},
      {"output 'logits': there is no such value",
       [](const mnw_builder* b) { b->output(b->self, MNW_NONE, "logits"); }},
      {"layer 5: silu: input x is absent",
       [](const mnw_builder* b) {
         mnw_id id = MNW_NONE;
         b->emit(b->self, MNW_OP_silu, 5, &id, 1, nullptr, 0, &id, 1);
       }},
      {"it gave no reason", [](const mnw_builder* b) { b->fail(b->self, MNW_INVALID, nullptr); }},
  };
  for (const Case& c : cases) {
    Builder b(options, file.tensors);
    c.call(b.abi());
    CHECK_FALSE(b.status().ok());
    STRCMP_CONTAINS(c.message, b.status().message().c_str());
  }
}

TEST(Builder, AGraphWithoutOutputIsRefused) {
  Builder b(options, file.tensors);
  CHECK_ERROR(Code::kInternal, "the graph has no output", b.Finish({}).status());
}

TEST(Builder, CatchesWhatAnArchitectureThrows) {
  const auto throws = [](const mnw_metadata*, const mnw_build_options*, const mnw_builder*,
                         mnw_model_info*, mnw_error*) -> int { throw std::runtime_error("oops"); };
  const mnw_metadata metadata = file.metadata();
  const mnw_arch arch{sizeof arch, "bad", throws};
  CHECK_ERROR(Code::kInternal, "architecture 'bad': it let an exception escape",
              BuildGraph(arch, metadata, options, file.tensors).status());
}

TEST(Builder, ReturnsTheArchitecturesOwnError) {
  const auto fails = [](const mnw_metadata*, const mnw_build_options*, const mnw_builder*,
                        mnw_model_info*, mnw_error* e) -> int {
    return sdk::Fail(e, MNW_UNSUPPORTED, "only on Sundays");
  };
  const mnw_metadata metadata = file.metadata();
  const mnw_arch arch{sizeof arch, "bad", fails};
  CHECK_ERROR(Code::kUnsupported, "architecture 'bad': only on Sundays",
              BuildGraph(arch, metadata, options, file.tensors).status());
}

}  // namespace
}  // namespace minnow::graph
