// Gemma 2: post-norms, soft caps, every other layer windowed. Norm weights in GGUF hold their +1.
#include <minnow/sdk/decoder.hpp>
#include <minnow/sdk/plugin.hpp>

#include "models.h"

namespace minnow::models {
namespace {

constexpr uint32_t kLayersOf27B = 46;

int Build(const mnw_metadata* m, const mnw_build_options* o, const mnw_builder* b,
          mnw_model_info* info, mnw_error*) {
  sdk::Builder builder(*b, *o);
  sdk::Meta meta(*m, builder, "gemma2");
  sdk::Decoder d = sdk::ReadDecoder(meta, *o);
  d.rope.kind = MNW_ROPE_NEOX;
  d.embedding_scale = std::sqrt(static_cast<float>(d.n_embd));
  d.attention_softcap = meta.Float("attn_logit_softcapping", 50);
  d.logit_softcap = meta.Float("final_logit_softcapping", 30);
  d.post_norms = true;
  d.act = MNW_ACT_GELU;
  // The 27B model alone scales by the embedding's share of a head; its file has no key that says
  // so.
  if (d.n_layers == kLayersOf27B) {
    d.attention_scale = 1 / std::sqrt(static_cast<float>(d.n_embd) / static_cast<float>(d.n_heads));
  }
  const uint32_t window = meta.Count("attention.sliding_window", 0, 1u << 30, 4096);
  for (uint32_t l = 0; l < d.n_layers; l += 2) d.window[l] = window;
  sdk::BuildDecoder(builder, d, info);
  return MNW_OK;
}

}  // namespace

const mnw_arch kGemma2 = {sizeof(mnw_arch), "gemma2", &sdk::Guard<&Build>::Call};

}  // namespace minnow::models
