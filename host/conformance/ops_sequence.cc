// Ops over the rows of a sequence in this step, without a cache.
#include "conformance/recipe.h"

namespace minnow::conformance {

namespace {

// Sequences of 5, 1 and 7 rows, mixed.
const std::vector<int32_t> kSeq = {0, 2, 0, 2, 1, 2, 2, 0, 2, 0, 2, 0, 2};
constexpr Symbols kSymbols = {13, 3, 0};

}  // namespace

void AddSequence(Recipes& recipes) {
  struct Heads {
    int64_t q, kv, k_dim, v_dim;
  };
  for (const Heads& h : {Heads{4, 4, 32, 32}, Heads{6, 2, 24, 40}, Heads{1, 1, 64, 64}}) {
    recipes.push_back({fmt::format("seq_attention/{}of{}/{}+{}", h.q, h.kv, h.k_dim, h.v_dim),
                       kSymbols, Close(1e-4, 1e-4), Unit::kSequence,
                       [h](Sketch& s) {
                         const auto q = s.Input({h.k_dim, h.q, kTokens, 1}),
                                    k = s.Input({h.k_dim, h.kv, kTokens, 1}),
                                    v = s.Input({h.v_dim, h.kv, kTokens, 1}),
                                    seq = s.StepInput(MNW_INPUT_SEQ, kSeq);
                         s.Output(s.Emit(MNW_OP_seq_attention, {q, k, v, seq},
                                         mnw_attention_params{0.2f, 0, 0, 0})[0]);
                       },
                       nullptr});
  }
  const char* kinds[] = {"mean", "first", "last"};
  for (const uint32_t kind : {0u, 1u, 2u}) {
    for (const uint32_t l2 : {0u, 1u}) {
      recipes.push_back(
          {fmt::format("pool/{}{}", kinds[kind], l2 ? "-l2" : ""), kSymbols, Close(1e-5, 1e-5),
           Unit::kSequence,
           [=](Sketch& s) {
             const std::vector<int32_t> before = {0, 0, 0};
             const auto x = s.Input({37, kTokens, 1, 1}), seq = s.StepInput(MNW_INPUT_SEQ, kSeq),
                        len = s.StepInput(MNW_INPUT_SEQ_LEN, before);
             s.Output(s.Emit(MNW_OP_pool, {x, seq, len}, mnw_pool_params{kind, l2})[0]);
           },
           nullptr});
    }
  }
}

}  // namespace minnow::conformance
