// Qwen 2 and 2.5: Llama's graph with biases on q, k and v.
#include <minnow/sdk/decoder.hpp>
#include <minnow/sdk/plugin.hpp>

#include "models.h"

namespace minnow::models {
namespace {

int Build(const mnw_metadata* m, const mnw_build_options* o, const mnw_builder* b,
          mnw_model_info* info, mnw_error*) {
  sdk::Builder builder(*b, *o);
  sdk::Meta meta(*m, builder, "qwen2");
  sdk::Decoder d = sdk::ReadDecoder(meta, *o);
  d.rope.kind = MNW_ROPE_NEOX;
  d.qkv_bias = true;
  sdk::BuildDecoder(builder, d, info);
  return MNW_OK;
}

}  // namespace

const mnw_arch kQwen2 = {sizeof(mnw_arch), "qwen2", &sdk::Guard<&Build>::Call};

}  // namespace minnow::models
