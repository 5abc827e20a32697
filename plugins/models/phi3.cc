// Phi-3, 3.5 and Phi-4-mini: fused projections, LongRoPE factors by context length.
#include <minnow/sdk/decoder.hpp>
#include <minnow/sdk/plugin.hpp>

#include "models.h"

namespace minnow::models {
namespace {

int Build(const mnw_metadata* m, const mnw_build_options* o, const mnw_builder* b,
          mnw_model_info* info, mnw_error*) {
  sdk::Builder builder(*b, *o);
  sdk::Meta meta(*m, builder, "phi3");
  sdk::Decoder d = sdk::ReadDecoder(meta, *o);
  d.rope.kind = MNW_ROPE_NEOX;
  d.window.assign(d.n_layers, meta.Count("attention.sliding_window", 0, 1u << 30, 0));
  d.fused_qkv = true;
  d.fused_gate_up = true;
  sdk::BuildDecoder(builder, d, info);
  return MNW_OK;
}

}  // namespace

const mnw_arch kPhi3 = {sizeof(mnw_arch), "phi3", &sdk::Guard<&Build>::Call};

}  // namespace minnow::models
