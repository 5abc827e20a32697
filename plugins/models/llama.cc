// Llama 2 and 3, and the models that share their graph: Mistral, TinyLlama, SmolLM2.
#include <minnow/sdk/decoder.hpp>
#include <minnow/sdk/plugin.hpp>

#include "models.h"

namespace minnow::models {
namespace {

int Build(const mnw_metadata* m, const mnw_build_options* o, const mnw_builder* b,
          mnw_model_info* info, mnw_error*) {
  sdk::Builder builder(*b, *o);
  sdk::Meta meta(*m, builder, "llama");
  sdk::Decoder d = sdk::ReadDecoder(meta, *o);
  d.rope.kind = MNW_ROPE_NORM;
  d.window.assign(d.n_layers, meta.Count("attention.sliding_window", 0, 1u << 30, 0));
  d.qkv_bias = meta.HasTensor("blk.0.attn_q.bias");
  d.output_bias = meta.HasTensor("blk.0.attn_output.bias");
  sdk::BuildDecoder(builder, d, info);
  return MNW_OK;
}

}  // namespace

const mnw_arch kLlama = {sizeof(mnw_arch), "llama", &sdk::Guard<&Build>::Call};

}  // namespace minnow::models
