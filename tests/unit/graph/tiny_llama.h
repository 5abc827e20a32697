// A Llama of two layers, small enough to print: what graph tests work on.
#pragma once

#include <minnow/sdk/decoder.hpp>
#include <minnow/sdk/plugin.hpp>

#include "graph/fake_file.h"
#include "test_util.h"

namespace minnow::test {

inline FakeFile TinyLlamaFile() {
  FakeFile f;
  f.Set("tiny.block_count", 2);
  f.Set("tiny.context_length", 128);
  f.Set("tiny.embedding_length", 64);
  f.Set("tiny.feed_forward_length", 96);
  f.Set("tiny.attention.head_count", 4);
  f.Set("tiny.attention.head_count_kv", 2);
  f.Set("tiny.attention.layer_norm_rms_epsilon", 1e-5);
  f.Add("token_embd.weight", {64, 100}, MNW_TYPE_F16);
  for (int l = 0; l < 2; ++l) {
    const std::string blk = "blk." + std::to_string(l) + ".";
    f.Add(blk + "attn_norm.weight", {64});
    f.Add(blk + "attn_q.weight", {64, 64}, MNW_TYPE_Q8_0);
    f.Add(blk + "attn_k.weight", {64, 32}, MNW_TYPE_Q8_0);
    f.Add(blk + "attn_v.weight", {64, 32}, MNW_TYPE_Q8_0);
    f.Add(blk + "attn_output.weight", {64, 64}, MNW_TYPE_Q8_0);
    f.Add(blk + "ffn_norm.weight", {64});
    f.Add(blk + "ffn_gate.weight", {64, 96}, MNW_TYPE_Q4_0);
    f.Add(blk + "ffn_up.weight", {64, 96}, MNW_TYPE_Q4_0);
    f.Add(blk + "ffn_down.weight", {96, 64}, MNW_TYPE_Q4_0);
  }
  f.Add("output_norm.weight", {64});
  return f;
}

inline int BuildTinyArch(const mnw_metadata* m, const mnw_build_options* o, const mnw_builder* b,
                         mnw_model_info* info, mnw_error*) {
  sdk::Builder builder(*b, *o);
  sdk::Meta meta(*m, builder, "tiny");
  sdk::BuildDecoder(builder, sdk::ReadDecoder(meta, *o), info);
  return MNW_OK;
}

inline Result<graph::BuiltGraph> BuildTinyLlama(const FakeFile& file, uint32_t adapters = 0) {
  const mnw_arch arch{sizeof arch, "tiny", &sdk::Guard<&BuildTinyArch>::Call};
  const mnw_build_options options{sizeof options, 128, 32, adapters};
  const mnw_metadata metadata = file.metadata();
  return graph::BuildGraph(arch, metadata, options, file.tensors);
}

// Fails the test if it cannot be built.
inline graph::Graph TinyLlama(uint32_t adapters = 0) {
  auto built = BuildTinyLlama(TinyLlamaFile(), adapters);
  CHECK_OK(built.status());
  return std::move(built->graph);
}

}  // namespace minnow::test
