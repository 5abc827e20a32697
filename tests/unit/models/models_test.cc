#include "models.h"

#include <minnow/abi/plugin.h>

#include <cmath>
#include <minnow/sdk/graph_view.hpp>

#include "graph/builder.h"
#include "graph/print.h"
#include "models/presets.h"
#include "test_util.h"

namespace minnow::models {
namespace {

using graph::BuiltGraph;
using graph::Graph;
using test::FakeFile;
using test::MakeFile;

const mnw_arch* Find(const std::string& id) {
  for (const mnw_arch* arch : {&kLlama, &kQwen2, &kPhi3, &kGemma2, &kMamba2, &kBert}) {
    if (id == arch->id) return arch;
  }
  return nullptr;
}

Result<BuiltGraph> Build(const char* arch, const FakeFile& file, uint32_t n_ctx = 8192,
                         uint32_t adapters = 0) {
  const mnw_build_options options{sizeof options, n_ctx, 32, adapters};
  const mnw_metadata metadata = file.metadata();
  return graph::BuildGraph(*Find(arch), metadata, options, file.tensors);
}

// Fails the test if it cannot be built.
Graph Built(const char* arch, const FakeFile& file, uint32_t n_ctx = 8192) {
  auto built = Build(arch, file, n_ctx);
  CHECK_OK(built.status());
  return std::move(built->graph);
}

template <class P>
P ParamsOf(const Graph& g, mnw_op op, int layer) {
  for (const mnw_node& n : g.nodes()) {
    if (n.op == static_cast<uint32_t>(op) && n.layer == layer) return sdk::Params<P>(n);
  }
  FAIL("no such node");
  return {};
}

int Count(const Graph& g, mnw_op op) {
  int n = 0;
  for (const mnw_node& node : g.nodes()) n += node.op == static_cast<uint32_t>(op);
  return n;
}

bool Uses(const Graph& g, const std::string& tensor) {
  for (mnw_id id : g.weights()) {
    if (g.value(id).name == tensor) return true;
  }
  return false;
}

TEST_GROUP(Models){};

TEST(Models, RealModelsUseEveryTensorTheyHave) {
  for (const test::Preset& p : {test::kLlama32_1B, test::kMistral7B, test::kQwen25_05B,
                                test::kPhi3Mini, test::kGemma2_2B}) {
    for (uint32_t adapters : {0u, 1u}) {
      const FakeFile file = MakeFile(p);
      auto built = Build(p.arch, file, 8192, adapters);
      CHECK_OK(built.status());
      const Graph& g = built->graph;
      LONGS_EQUAL(0, built->unused_tensors.size());
      LONGS_EQUAL(file.tensors.size(), g.weights().size());
      LONGS_EQUAL(p.n_layers, g.state_layers().size());
      STRCMP_EQUAL(fmt::format("f32[n_out,{}]", p.n_vocab).c_str(),
                   graph::PrintShape(g.value(g.Output("logits"))).c_str());
      const mnw_model_info& info = g.info();
      LONGS_EQUAL(p.n_layers, info.n_layers);
      LONGS_EQUAL(p.n_embd, info.n_embd);
      LONGS_EQUAL(p.n_heads, info.n_heads);
      LONGS_EQUAL(p.n_kv_heads, info.n_kv_heads);
      LONGS_EQUAL(p.n_ff, info.n_ff);
      LONGS_EQUAL(p.n_vocab, info.n_vocab);
      LONGS_EQUAL(p.n_ctx_train, info.n_ctx_train);
      LONGS_EQUAL(0, info.is_encoder);
      auto again = Build(p.arch, file, 8192, adapters);
      CHECK_OK(again.status());
      STRCMP_EQUAL(graph::Print(*g.view()).c_str(), graph::Print(*again->graph.view()).c_str());
    }
  }
}

TEST(Models, ANodePerStepOfALayerAndNoMore) {
  // rms_norm or add_norm, qkv, 2 ropes, write, attention, output, add_norm, ffn: 9 per layer;
  // tokens, 2 choices of rows, last norm, head.
  LONGS_EQUAL(16 * 9 + 5, Built("llama", MakeFile(test::kLlama32_1B)).nodes().size());
}

TEST(Models, OnlyWantedRowsPassTheLastFeedForward) {
  for (uint32_t adapters : {0u, 1u}) {
    auto built = Build("llama", MakeFile(test::kLlama32_1B), 8192, adapters);
    CHECK_OK(built.status());
    const Graph& g = built->graph;
    for (const mnw_node& n : g.nodes()) {
      if (n.op != MNW_OP_glu_ffn) continue;
      CHECK_EQUAL(n.layer == 15 ? MNW_DIM(MNW_SYM_N_OUT) : MNW_DIM(MNW_SYM_N_TOKENS),
                  g.value(n.out[0]).dim[1]);
    }
  }
}

TEST(Models, EveryMatrixHasASiteIfAskedFor) {
  for (const test::Preset& p : {test::kLlama32_1B, test::kPhi3Mini}) {
    for (uint32_t adapters : {0u, 1u}) {
      auto built = Build(p.arch, MakeFile(p), 8192, adapters);
      CHECK_OK(built.status());
      const Graph& g = built->graph;
      std::vector<std::string> with_site;
      for (const mnw_node& n : g.nodes()) {
        const mnw_id slots = sdk::ForEachSite(
            n, [&](uint32_t, uint32_t i) { with_site.emplace_back(g.value(n.in[i]).name); });
        if (slots == MNW_NONE) continue;
        const bool out = g.value(n.out[0]).dim[1] == MNW_DIM(MNW_SYM_N_OUT);
        CHECK_EQUAL(out ? MNW_INPUT_OUT_ADAPTER : MNW_INPUT_ADAPTER,
                    static_cast<int>(g.value(slots).role));
      }
      // q, k, v, output, gate, up, down, or two of them in one; and the head.
      const size_t each = p.arch == std::string("phi3") ? 4 : 7;
      LONGS_EQUAL(adapters ? each * p.n_layers + 1 : 0, with_site.size());
    }
  }
}

TEST(Models, Llama3ScalesItsAnglesByFactors) {
  const Graph g = Built("llama", MakeFile(test::kLlama32_1B));
  const auto rope = ParamsOf<mnw_rope_params>(g, MNW_OP_rope, 3);
  LONGS_EQUAL(MNW_ROPE_NORM, rope.kind);
  LONGS_EQUAL(MNW_ROPE_PLAIN, rope.scaling);
  LONGS_EQUAL(64, rope.n_dims);
  DOUBLES_EQUAL(5e5, rope.base, 0);
  DOUBLES_EQUAL(1, rope.attn_factor, 0);
  for (const mnw_node& n : g.nodes()) {
    if (n.op == MNW_OP_rope) STRCMP_EQUAL("rope_freqs.weight", g.value(n.in[2]).name);
  }
  DOUBLES_EQUAL(0.125, ParamsOf<mnw_attention_params>(g, MNW_OP_attention, 0).scale, 0);
}

TEST(Models, MistralReadsAWindow) {
  const Graph g = Built("llama", MakeFile(test::kMistral7B));
  LONGS_EQUAL(1, g.state_groups().size());
  LONGS_EQUAL(4096, g.state_groups()[0].window);
  LONGS_EQUAL(4096, ParamsOf<mnw_attention_params>(g, MNW_OP_attention, 31).window);
  CHECK(Uses(g, "output.weight"));
}

TEST(Models, AWindowNoContextLeavesIsNone) {
  const Graph g = Built("llama", MakeFile(test::kMistral7B), 4096);
  LONGS_EQUAL(0, g.state_groups()[0].window);
  LONGS_EQUAL(0, ParamsOf<mnw_attention_params>(g, MNW_OP_attention, 0).window);
}

TEST(Models, LlamaTakesBiasesWhereTheFileHasThem) {
  FakeFile file = MakeFile(test::kLlama32_1B);
  for (int l = 0; l < 16; ++l) {
    const std::string blk = "blk." + std::to_string(l) + ".";
    file.Add(blk + "attn_q.bias", {2048});
    file.Add(blk + "attn_k.bias", {512});
    file.Add(blk + "attn_v.bias", {512});
    file.Add(blk + "attn_output.bias", {2048});
  }
  auto built = Build("llama", file);
  CHECK_OK(built.status());
  LONGS_EQUAL(0, built->unused_tensors.size());
}

TEST(Models, RopeScalingKeysBecomeParameters) {
  FakeFile file = MakeFile(test::kQwen25_05B);
  file.Set("qwen2.rope.scaling.factor", 4.0);
  auto rope = ParamsOf<mnw_rope_params>(Built("qwen2", file), MNW_OP_rope, 0);
  LONGS_EQUAL(MNW_ROPE_LINEAR, rope.scaling);  // a factor without a type
  DOUBLES_EQUAL(0.25, rope.freq_scale, 0);

  file.Set("qwen2.rope.scaling.type", "yarn");
  file.Set("qwen2.rope.scaling.original_context_length", 16384);
  rope = ParamsOf<mnw_rope_params>(Built("qwen2", file), MNW_OP_rope, 0);
  LONGS_EQUAL(MNW_ROPE_YARN, rope.scaling);
  LONGS_EQUAL(MNW_ROPE_NEOX, rope.kind);
  DOUBLES_EQUAL(0.25, rope.freq_scale, 0);
  LONGS_EQUAL(16384, rope.original_context);
  DOUBLES_EQUAL(32, rope.beta_fast, 0);
  DOUBLES_EQUAL(1, rope.beta_slow, 0);
  DOUBLES_EQUAL(0.1 * std::log(4.0) + 1, rope.attn_factor, 1e-6);

  file.Set("qwen2.rope.scaling.type", "none");
  rope = ParamsOf<mnw_rope_params>(Built("qwen2", file), MNW_OP_rope, 0);
  LONGS_EQUAL(MNW_ROPE_PLAIN, rope.scaling);

  file.Set("qwen2.rope.scaling.type", "dynamic");
  CHECK_ERROR(Code::kUnsupported,
              "key 'qwen2.rope.scaling.type' is 'dynamic'; known are none, linear, yarn, longrope",
              Build("qwen2", file).status());
  file.Set("qwen2.rope.scaling.type", "yarn");
  file.Set("qwen2.rope.scaling.factor", 0.0);
  CHECK_ERROR(Code::kInvalid, "key 'qwen2.rope.scaling.factor' must be positive",
              Build("qwen2", file).status());
}

TEST(Models, QwenNeedsItsBiases) {
  FakeFile file = MakeFile(test::kQwen25_05B);
  const Graph g = Built("qwen2", file);
  for (const mnw_node& n : g.nodes()) {
    if (n.op == MNW_OP_qkv) LONGS_EQUAL(7, n.n_in);
  }
  std::erase_if(file.tensors, [](const auto& t) { return t.name == "blk.3.attn_k.bias"; });
  CHECK_ERROR(Code::kNotFound, "no tensor 'blk.3.attn_k.bias', which must be [128]",
              Build("qwen2", file).status());
}

TEST(Models, Phi3DividesItsFusedProjection) {
  const Graph g = Built("phi3", MakeFile(test::kPhi3Mini));
  LONGS_EQUAL(0, Count(g, MNW_OP_qkv));
  const std::string text = graph::Print(*g.view());
  // One linear of 3 * 3072; k begins after q's 3072 floats, v after k's.
  STRCMP_CONTAINS("blk.0.attn_qkv.weight f16[9216,3072]", text.c_str());
  STRCMP_CONTAINS(" +12288, [n_tokens,32,96] strides [36864,384,4])", text.c_str());
  STRCMP_CONTAINS(" +24576, [n_tokens,32,96] strides [36864,384,4])", text.c_str());
  STRCMP_CONTAINS("blk.0.ffn_up.weight f16[16384,3072], -, blk.0.ffn_down.weight f16[3072,8192])",
                  text.c_str());
  LONGS_EQUAL(2047, g.state_groups()[0].window);
}

TEST(Models, Phi3ChoosesFactorsByContextLength) {
  FakeFile file = MakeFile(test::kPhi35Mini);
  file.Set("phi3.rope.scaling.original_context_length", 4096);
  file.Set("phi3.rope.scaling.attn_factor", 1.19);
  const Graph at_4k = Built("phi3", file, 4096), beyond = Built("phi3", file, 4097);
  CHECK(Uses(at_4k, "rope_factors_short.weight"));
  CHECK_FALSE(Uses(at_4k, "rope_factors_long.weight"));
  CHECK(Uses(beyond, "rope_factors_long.weight"));
  CHECK_FALSE(Uses(beyond, "rope_factors_short.weight"));
  for (const Graph* g : {&at_4k, &beyond}) {
    const auto rope = ParamsOf<mnw_rope_params>(*g, MNW_OP_rope, 31);
    DOUBLES_EQUAL(1.19, rope.attn_factor, 1e-6);
    LONGS_EQUAL(MNW_ROPE_PLAIN, rope.scaling);
    LONGS_EQUAL(0, g->state_groups()[0].window);
  }
}

TEST(Models, Gemma2AlternatesWindows) {
  const Graph g = Built("gemma2", MakeFile(test::kGemma2_2B));
  LONGS_EQUAL(2, g.state_groups().size());
  LONGS_EQUAL(0, g.state_groups()[0].window);
  LONGS_EQUAL(4096, g.state_groups()[1].window);
  for (int l = 0; l < 26; ++l) {
    const auto p = ParamsOf<mnw_attention_params>(g, MNW_OP_attention, l);
    LONGS_EQUAL(l % 2 == 0 ? 4096 : 0, p.window);
    LONGS_EQUAL(l % 2 == 0 ? 1 : 0, g.state_layers()[l].group);
    DOUBLES_EQUAL(50, p.softcap, 0);
    DOUBLES_EQUAL(1.0 / 16, p.scale, 0);
  }
  CHECK(g.Input(MNW_INPUT_PAGES, 1) != MNW_NONE);
  CHECK(g.Input(MNW_INPUT_SLOTS, 1) != MNW_NONE);
}

TEST(Models, Gemma2ScalesAndCapsItsEnds) {
  const Graph g = Built("gemma2", MakeFile(test::kGemma2_2B));
  DOUBLES_EQUAL(48, ParamsOf<mnw_scale_params>(g, MNW_OP_scale, -1).scale, 0);  // sqrt 2304
  DOUBLES_EQUAL(30, ParamsOf<mnw_lm_head_params>(g, MNW_OP_lm_head, -1).softcap, 0);
  LONGS_EQUAL(MNW_ACT_GELU, ParamsOf<mnw_glu_params>(g, MNW_OP_glu_ffn, 0).act);
  LONGS_EQUAL(1 + 2 * 26, Count(g, MNW_OP_rms_norm));  // the first, and two post-norms per layer
  DOUBLES_EQUAL(0, ParamsOf<mnw_norm_params>(g, MNW_OP_rms_norm, 0).weight_offset, 0);
}

TEST(Models, Mamba2KeepsTwoStatesALayer) {
  const FakeFile file = test::Mamba2Of130M();
  auto built = Build("mamba2", file);
  CHECK_OK(built.status());
  LONGS_EQUAL(0, built->unused_tensors.size());
  const Graph& g = built->graph;
  LONGS_EQUAL(1, g.state_groups().size());
  LONGS_EQUAL(MNW_STATE_RECURRENT, g.state_groups()[0].kind);
  LONGS_EQUAL(48, g.state_layers().size());
  LONGS_EQUAL(3, g.state_layers()[0].k_dim);
  LONGS_EQUAL(1536 + 2 * 128, g.state_layers()[0].v_dim);
  LONGS_EQUAL(24, g.state_layers()[47].n_kv_heads);
  LONGS_EQUAL(128, g.state_layers()[47].k_dim);
  LONGS_EQUAL(64, g.state_layers()[47].v_dim);
  CHECK(g.Input(MNW_INPUT_PAGES, 0) == MNW_NONE);
}

TEST(Models, Mamba2RefusesSizesThatDoNotDivide) {
  FakeFile file = test::Mamba2Of130M();
  file.Set("mamba2.ssm.time_step_rank", 7);
  CHECK_ERROR(Code::kInvalid, "'mamba2.ssm.time_step_rank' does not divide",
              Build("mamba2", file).status());
  file = test::Mamba2Of130M();
  file.Set("mamba2.ssm.group_count", 5);
  CHECK_ERROR(Code::kInvalid, "'mamba2.ssm.group_count' does not divide",
              Build("mamba2", file).status());
}

TEST(Models, BertGivesAVectorPerSequenceAndKeepsNoState) {
  const FakeFile file = test::MiniLm();
  auto built = Build("bert", file, 512);
  CHECK_OK(built.status());
  LONGS_EQUAL(0, built->unused_tensors.size());
  const Graph& g = built->graph;
  LONGS_EQUAL(0, g.state_groups().size());
  LONGS_EQUAL(1, g.info().is_encoder);
  STRCMP_EQUAL("f32[n_seqs,384]", graph::PrintShape(g.value(g.Output("embedding"))).c_str());
  const auto pool = ParamsOf<mnw_pool_params>(g, MNW_OP_pool, -1);
  LONGS_EQUAL(MNW_POOL_MEAN, pool.kind);
  LONGS_EQUAL(1, pool.l2_normalize);
}

TEST(Models, BertRefusesWhatItCannotDo) {
  CHECK_ERROR(Code::kInvalid, "'bert.context_length' is 512, too short for 513",
              Build("bert", test::MiniLm(), 513).status());
  FakeFile file = test::MiniLm();
  file.Set("bert.pooling_type", 4);
  CHECK_ERROR(Code::kUnsupported, "'bert.pooling_type' is 4", Build("bert", file, 512).status());
}

TEST(Models, Gemma2Of27BScalesByItsEmbedding) {
  test::Preset p = test::kGemma2_2B;
  p.n_layers = 46;
  p.n_embd = 4608;
  p.n_heads = 32;
  p.n_kv_heads = 16;
  p.head_dim = 128;
  const Graph g = Built("gemma2", MakeFile(p));
  DOUBLES_EQUAL(1.0 / 12, ParamsOf<mnw_attention_params>(g, MNW_OP_attention, 0).scale, 1e-7);
}

}  // namespace
}  // namespace minnow::models

extern "C" const mnw_plugin* mnw_plugin_entry(void);

namespace minnow::models {
namespace {

TEST(Models, ThePluginListsEveryArchitecture) {
  const mnw_plugin* plugin = mnw_plugin_entry();
  STRCMP_EQUAL("minnow.models", plugin->id);
  LONGS_EQUAL(MNW_ABI_MINOR, plugin->abi_minor);
  CHECK(plugin->backend == nullptr);
  const mnw_arch_list* list = plugin->archs(MNW_ABI_MINOR);
  LONGS_EQUAL(6, list->n);
  for (uint32_t i = 0; i < list->n; ++i) {
    POINTERS_EQUAL(list->archs[i], Find(list->archs[i]->id));
  }
}

}  // namespace
}  // namespace minnow::models
