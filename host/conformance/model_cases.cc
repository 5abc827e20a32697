// A whole small decoder, from tokens to logits: what no op alone can show. Several layers share
// scratch, plans have many nodes and weights, and answers are fed by what earlier steps kept. What
// the backend does not claim, the reference computes.
#include <algorithm>
#include <cmath>

#include "conformance/ensemble.h"
#include "conformance/play.h"
#include "conformance/story.h"

namespace minnow::conformance {

namespace {

struct Shape {
  const char* name;
  mnw_type weights;
  int64_t embd, ff;
  uint32_t head_dim;
  Bound bound;
};

// Activations of eight bits where others take floats give an NMSE of 1.1e-3 (q8_0 and q4_k, measured
// between quantized weights and the same weights widened to F32).
const Shape kShapes[] = {
    {"f32", MNW_TYPE_F32, 64, 96, 16, Nmse(1e-6)},
    {"q8_0", MNW_TYPE_Q8_0, 64, 96, 16, Nmse(5e-3)},
    {"q4_k", MNW_TYPE_Q4_K, 256, 256, 64, Nmse(5e-3)},
};
constexpr uint32_t kLayers = 3, kHeads = 4, kKvHeads = 2, kWindow = 16;
constexpr uint32_t kPages = 16;
constexpr int64_t kColumns = 3;
constexpr int32_t kLengths[] = {47, 21};  // of two documents
constexpr int32_t kPrefill = 18;

// The decoder of minnow/sdk/decoder.hpp: fused nodes, tied embedding, the middle layer windowed.
class Decoder {
 public:
  Decoder(Sketch& sketch, const Shape& shape) : s_(sketch), shape_(shape), dim_(shape.head_dim) {}

  void Write() {
    const mnw_id table = s_.Weight(shape_.weights, {shape_.embd, kVocabulary, 1, 1});
    const uint32_t full = s_.Group(MNW_STATE_KV, kPages);
    const uint32_t windowed = s_.Group(MNW_STATE_KV, kPages, kWindow);
    positions_ = s_.StepInput(MNW_INPUT_POSITIONS, {});
    seq_ = s_.StepInput(MNW_INPUT_SEQ, {});
    parent_ = s_.StepInput(MNW_INPUT_PARENT, {});
    seq_len_ = s_.StepInput(MNW_INPUT_SEQ_LEN, {});
    for (const uint32_t group : {full, windowed}) {
      slots_[group] = s_.StepInput(MNW_INPUT_SLOTS, {}, group);
      pages_[group] = s_.StepInput(MNW_INPUT_PAGES, {}, group, kColumns);
    }
    x_ = s_.Emit(MNW_OP_get_rows, {table, s_.StepInput(MNW_INPUT_TOKENS, {})});
    mnw_id y = s_.Emit(MNW_OP_rms_norm, {x_, Norm()}, kNorm)[0];
    for (uint32_t layer = 0; layer < kLayers; ++layer) {
      mnw_id delta = Attention(layer, layer == 1 ? windowed : full, y);
      if (layer + 1 == kLayers) {
        const mnw_id rows = s_.StepInput(MNW_INPUT_OUT_ROWS, {});
        x_ = s_.Emit(MNW_OP_get_rows, {x_, rows});
        delta = s_.Emit(MNW_OP_get_rows, {delta, rows});
      }
      y = AddNorm(FeedForward(AddNorm(delta)));
    }
    s_.Output(s_.Emit(MNW_OP_lm_head, {y, table}, mnw_lm_head_params{0.2f, 0, MNW_NONE})[0]);
  }

 private:
  static constexpr mnw_norm_params kNorm{1e-5f, 0, 0};
  static constexpr mnw_linear_params kNoSite{MNW_NONE};

  mnw_id Matrix(int64_t k, int64_t n) {
    const float scale = 1.5f / std::sqrt(static_cast<float>(k));
    return s_.Weight(shape_.weights, {k, n, 1, 1}, scale);
  }
  mnw_id Norm() {
    std::vector<float> values = s_.random().Normals(shape_.embd, 0.2f);
    for (float& v : values) v += 1;
    return s_.WeightOf(MNW_TYPE_F32, {shape_.embd, 1, 1, 1}, values);
  }
  mnw_id AddNorm(mnw_id delta) {
    const Outs outs = s_.Emit(MNW_OP_add_norm, {x_, delta, Norm()}, kNorm);
    x_ = outs[0];
    return outs[1];
  }
  mnw_id Rope(mnw_id x, uint32_t heads) {
    const mnw_id split = s_.Reshape(x, {dim_, int64_t{heads}, kTokens, 1});
    mnw_rope_params params{};
    params.kind = MNW_ROPE_NEOX;
    params.n_dims = shape_.head_dim;
    params.base = 10000;
    params.freq_scale = params.attn_factor = 1;
    return s_.Emit(MNW_OP_rope, {split, positions_}, params)[0];
  }
  mnw_id Attention(uint32_t layer, uint32_t group, mnw_id x) {
    const int64_t q = kHeads * dim_, kv = kKvHeads * dim_;
    const mnw_id wq = Matrix(shape_.embd, q), wk = Matrix(shape_.embd, kv),
                 wv = Matrix(shape_.embd, kv);
    const Outs qkv = s_.Emit(MNW_OP_qkv, {x, wq, wk, wv}, kNoSite);
    const mnw_id v = s_.Reshape(qkv[2], {dim_, kKvHeads, kTokens, 1});
    const mnw_id before = s_.State(layer, group, kKvHeads, shape_.head_dim, shape_.head_dim);
    const mnw_id query = Rope(qkv[0], kHeads), key = Rope(qkv[1], kKvHeads);
    const mnw_id after = s_.Emit(MNW_OP_kv_write, {key, v, before, slots_[group]});
    const float scale = 1 / std::sqrt(static_cast<float>(dim_));
    const mnw_attention_params params{scale, 0, 0, group == 0 ? 0 : kWindow};
    const mnw_id y =
        s_.Emit(MNW_OP_attention,
                {query, after, positions_, seq_, parent_, seq_len_, pages_[group]}, params)[0];
    return s_.Emit(MNW_OP_linear, {s_.Reshape(y, {q, kTokens, 1, 1}), Matrix(q, shape_.embd)},
                   kNoSite)[0];
  }
  mnw_id FeedForward(mnw_id x) {
    const mnw_id gate = Matrix(shape_.embd, shape_.ff), up = Matrix(shape_.embd, shape_.ff);
    const mnw_id down = Matrix(shape_.ff, shape_.embd);
    return s_.Emit(MNW_OP_glu_ffn, {x, gate, up, down}, mnw_glu_params{MNW_ACT_SILU, MNW_NONE})[0];
  }

  Sketch& s_;
  const Shape& shape_;
  const int64_t dim_;  // of a head
  mnw_id x_ = MNW_NONE, positions_, seq_, parent_, seq_len_;
  mnw_id slots_[2], pages_[2];  // by group
};

std::vector<Document> Documents() { return {{0, 0, {3, 5, 7}}, {1, 0, {4, 9}}}; }

// How documents grow: chunks up to kPrefill, then token by token.
int32_t Next(const Document& d, int32_t chunk) {
  const int32_t left = kLengths[d.number] - d.length;
  return std::min({d.length < kPrefill ? kPrefill - d.length : 1, chunk, left});
}

// Both documents, the second a step behind the first.
Telling Together(const Sketch& sketch, uint64_t seed, const char* name, char level, int32_t chunk) {
  Story story(sketch, seed, name, level);
  std::vector<Document> documents = Documents();
  story.Add(documents[0], Next(documents[0], chunk));
  story.EndStep();
  for (bool more = true; more;) {
    more = false;
    for (Document& d : documents) {
      const int32_t n = Next(d, chunk);
      if (n == 0) continue;
      story.Add(d, n);
      more = true;
    }
    if (more) story.EndStep();
  }
  return story.Finish();
}

Telling Alone(const Sketch& sketch, uint64_t seed) {
  Story story(sketch, seed, "each document alone", 'A');
  for (Document& d : Documents()) {
    while (const int32_t n = Next(d, kPrefill)) {
      story.Add(d, n);
      story.EndStep();
    }
  }
  return story.Finish();
}

Telling AtOnce(const Sketch& sketch, uint64_t seed) {
  Story story(sketch, seed, "all at once", 'B');
  std::vector<Document> documents = Documents();
  for (Document& d : documents) story.Add(d, kLengths[d.number]);
  story.EndStep();
  return story.Finish();
}

std::vector<Telling> Tellings(const Sketch& sketch, uint64_t seed) {
  return {Together(sketch, seed, "prefill, then token by token", 'A', kPrefill),
          Alone(sketch, seed), AtOnce(sketch, seed),
          Together(sketch, seed, "prefill in chunks", 'B', 7),
          Together(sketch, seed, "token by token", 'B', 1)};
}

Recipe RecipeOf(const Shape& shape) {
  return {
      shape.name, {}, shape.bound, Unit::kNone, [shape](Sketch& s) { Decoder(s, shape).Write(); },
      Tellings};
}

// As Play, on an ensemble. Empty if the subject gets no node.
Result<std::vector<Outputs>> PlayTogether(const Env& env, const Sketch& sketch,
                                          const Telling& telling) {
  MNW_ASSIGN(const auto subject, Context::Open(env.subject));
  MNW_ASSIGN(const auto reference, Context::Open(env.oracle));
  std::vector<Outputs> outputs;
  MNW_ASSIGN(const auto ensemble,
             Ensemble::Make(*subject, *reference, sketch, LargestFor(telling)));
  if (!ensemble->uses_subject()) return outputs;
  for (size_t i = 0; i < telling.steps.size(); ++i) {
    env.subject.trace->SetPrefix(fmt::format("{}, step {}", telling.name, i));
    auto out = ensemble->Run(telling.steps[i]);
    if (!out.ok()) return std::move(out).status().Annotate(fmt::format("step {}", i));
    outputs.push_back(*std::move(out));
  }
  return outputs;
}

const char* const kNothing = "it claims nothing of it";

Verdict CheckValues(const Env& env, const Recipe& recipe) {
  MNW_ASSIGN(const auto written, Write(recipe, env.seed));
  MNW_ASSIGN(const auto outputs, PlayTogether(env, written->sketch, written->tellings[0]));
  if (outputs.empty()) return std::string(kNothing);
  MNW_ASSIGN(const Reference reference, PlayReference(env, written->sketch, written->tellings[0]));
  if (!reference.refusal.empty()) return Error(Code::kInternal, "{}", reference.refusal);
  MNW_TRY(CompareWith(written->sketch, recipe.bound, reference.outputs, outputs));
  return std::string();
}

Verdict CheckRepeats(const Env& env, const Recipe& recipe) {
  if (env.subject.level == 0) return std::string("no level of repeatability is declared");
  MNW_ASSIGN(const auto written, Write(recipe, env.seed));
  Rows rows;
  for (const Telling& telling : written->tellings) {
    if (telling.level > env.subject.level) continue;
    auto outputs = PlayTogether(env, written->sketch, telling);
    if (!outputs.ok()) return std::move(outputs).status().Annotate(telling.name);
    if (outputs->empty()) return std::string(kNothing);
    MNW_TRY(Gather(env, written->sketch, telling, *outputs, &rows));
  }
  return std::string();
}

}  // namespace

void AddModelCases(std::vector<Case>& cases) {
  for (const Shape& shape : kShapes) {
    const Recipe recipe = RecipeOf(shape);
    cases.push_back(
        {"model/values/" + recipe.name, [recipe](const Env& e) { return CheckValues(e, recipe); }});
    cases.push_back({"model/repeat/" + recipe.name,
                     [recipe](const Env& e) { return CheckRepeats(e, recipe); }});
  }
}

}  // namespace minnow::conformance
