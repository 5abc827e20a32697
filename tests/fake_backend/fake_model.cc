#include "fake_backend/fake_model.h"

#include <fmt/format.h>

#include <array>
#include <string>

namespace minnow::test {
namespace {

constexpr int64_t kEmbd = 8;
constexpr uint32_t kHeads = 1;

// What the metadata of a file would tell; Build gets nothing else.
struct Metadata {
  const FakeModelOptions& options;
};

int GetI64(const void* self, const char* key, int64_t* out) {
  const FakeModelOptions& o = static_cast<const Metadata*>(self)->options;
  const std::string_view name = key;
  if (name == "fake.vocab") return *out = o.n_vocab, MNW_OK;
  if (name == "fake.layers") return *out = static_cast<int64_t>(o.windows.size()), MNW_OK;
  if (name == "fake.recurrent") return *out = o.recurrent, MNW_OK;
  if (name == "fake.encoder") return *out = o.is_encoder, MNW_OK;
  return MNW_NOT_FOUND;
}

int GetElementI64(const void* self, const char* key, uint64_t index, int64_t* out) {
  const FakeModelOptions& o = static_cast<const Metadata*>(self)->options;
  if (std::string_view(key) != "fake.windows" || index >= o.windows.size()) return MNW_NOT_FOUND;
  return *out = o.windows[index], MNW_OK;
}

// mnw_builder in a form that fits on the lines below.
struct B {
  const mnw_builder* b;

  mnw_id Weight(const std::string& name, int64_t d0, int64_t d1) const {
    const int64_t dims[] = {d0, d1};
    return b->weight(b->self, name.c_str(), 2, dims, 0);
  }
  mnw_id Input(mnw_input role, uint32_t index = 0) const { return b->input(b->self, role, index); }
  template <class Params, size_t kIn>
  mnw_id Emit(mnw_op op, int32_t layer, const mnw_id (&in)[kIn], const Params& params) const {
    mnw_id out = MNW_NONE;
    b->emit(b->self, op, layer, in, kIn, &params, sizeof params, &out, 1);
    return out;
  }
  mnw_id Heads(mnw_id x) const {  // [T,K] as [T,H,K/H]
    const int64_t dims[] = {kEmbd / kHeads, kHeads, MNW_DIM(MNW_SYM_N_TOKENS)};
    return b->view(b->self, x, 3, dims, nullptr, 0);
  }
  mnw_id Flat(mnw_id x) const {
    const int64_t dims[] = {kEmbd, MNW_DIM(MNW_SYM_N_TOKENS)};
    return b->view(b->self, x, 2, dims, nullptr, 0);
  }
};

mnw_id Layer(const B& b, const mnw_build_options& o, int32_t i, uint32_t window, mnw_id x) {
  const uint32_t group = b.b->state_group(b.b->self, MNW_STATE_KV, window);
  const mnw_id w = b.Weight(fmt::format("blk.{}.weight", i), kEmbd, kEmbd);
  const mnw_id adapter = o.adapters ? b.Input(MNW_INPUT_ADAPTER) : MNW_NONE;
  const mnw_linear_params site = {o.adapters ? static_cast<uint32_t>(i) : MNW_NONE};
  const mnw_id y = b.Heads(b.Emit(MNW_OP_linear, i, {x, w, MNW_NONE, adapter}, site));
  const mnw_id state = b.b->state(b.b->self, static_cast<uint32_t>(i), group, kHeads, kEmbd, kEmbd);
  const mnw_id written =
      b.Emit(MNW_OP_kv_write, i, {y, y, state, b.Input(MNW_INPUT_SLOTS, group)}, mnw_no_params{});
  const mnw_id attended = b.Emit(
      MNW_OP_attention, i,
      {y, written, b.Input(MNW_INPUT_POSITIONS), b.Input(MNW_INPUT_SEQ), b.Input(MNW_INPUT_PARENT),
       b.Input(MNW_INPUT_SEQ_LEN), b.Input(MNW_INPUT_PAGES, group)},
      mnw_attention_params{1.0f, 0.0f, 0.0f, window});
  return b.Emit(MNW_OP_add, i, {x, b.Flat(attended)}, mnw_no_params{});
}

mnw_id RecurrentLayer(const B& b, uint32_t i, mnw_id x) {
  const uint32_t group = b.b->state_group(b.b->self, MNW_STATE_RECURRENT, 0);
  const mnw_id w = b.Weight("conv.weight", 2, kEmbd);
  const mnw_id state = b.b->state(b.b->self, i, group, 1, 1, kEmbd);
  return b.Emit(MNW_OP_conv_step, static_cast<int32_t>(i),
                {x, state, b.Input(MNW_INPUT_SLOTS, group), w}, mnw_no_params{});
}

int Build(const mnw_metadata* m, const mnw_build_options* o, const mnw_builder* builder,
          mnw_model_info* info, mnw_error*) {
  const B b = {builder};
  int64_t n_vocab = 0, n_layers = 0, is_encoder = 0, recurrent = 0;
  m->get_i64(m->self, "fake.vocab", &n_vocab);
  m->get_i64(m->self, "fake.layers", &n_layers);
  m->get_i64(m->self, "fake.encoder", &is_encoder);
  m->get_i64(m->self, "fake.recurrent", &recurrent);
  info->n_layers = static_cast<uint32_t>(n_layers);
  info->n_embd = static_cast<uint32_t>(kEmbd);
  info->n_heads = info->n_kv_heads = kHeads;
  info->n_ff = static_cast<uint32_t>(kEmbd);
  info->n_vocab = static_cast<uint32_t>(n_vocab);
  info->n_ctx_train = o->n_ctx;
  info->is_encoder = static_cast<uint32_t>(is_encoder);

  const mnw_id table = b.Weight("token_embd.weight", kEmbd, n_vocab);
  mnw_id x = b.Emit(MNW_OP_get_rows, -1, {table, b.Input(MNW_INPUT_TOKENS)}, mnw_no_params{});
  if (is_encoder) {
    x = b.Emit(MNW_OP_pool, -1, {x, b.Input(MNW_INPUT_SEQ), b.Input(MNW_INPUT_SEQ_LEN)},
               mnw_pool_params{MNW_POOL_MEAN, 1});
    builder->output(builder->self, x, "embedding");
    return MNW_OK;
  }
  for (int32_t i = 0; i < n_layers; ++i) {
    int64_t window = 0;
    m->get_element_i64(m->self, "fake.windows", static_cast<uint64_t>(i), &window);
    x = Layer(b, *o, i, static_cast<uint32_t>(window), x);
  }
  if (recurrent) x = RecurrentLayer(b, static_cast<uint32_t>(n_layers), x);
  x = b.Emit(MNW_OP_get_rows, -1, {x, b.Input(MNW_INPUT_OUT_ROWS)}, mnw_no_params{});
  const mnw_id adapter = o->adapters ? b.Input(MNW_INPUT_OUT_ADAPTER) : MNW_NONE;
  const mnw_lm_head_params head = {1.0f, 0.0f,
                                   o->adapters ? static_cast<uint32_t>(n_layers) : MNW_NONE};
  builder->output(builder->self, b.Emit(MNW_OP_lm_head, -1, {x, table, adapter}, head), "logits");
  return MNW_OK;
}

}  // namespace

std::vector<graph::TensorInfo> FakeModelTensors(const FakeModelOptions& options) {
  std::vector<graph::TensorInfo> tensors = {
      {"token_embd.weight", MNW_TYPE_F32, {kEmbd, options.n_vocab, 1, 1}}};
  for (size_t i = 0; i < options.windows.size() && !options.is_encoder; ++i) {
    tensors.push_back({fmt::format("blk.{}.weight", i), MNW_TYPE_F32, {kEmbd, kEmbd, 1, 1}});
  }
  if (options.recurrent) tensors.push_back({"conv.weight", MNW_TYPE_F32, {2, kEmbd, 1, 1}});
  return tensors;
}

Result<graph::BuiltGraph> MakeFakeModel(const FakeModelOptions& options) {
  const Metadata self = {options};
  mnw_metadata metadata = {};
  metadata.size = sizeof metadata;
  metadata.self = &self;
  metadata.get_i64 = GetI64;
  metadata.get_element_i64 = GetElementI64;
  const mnw_arch arch = {sizeof arch, "fake", Build};
  const mnw_build_options build = {sizeof build, options.n_ctx, options.page_tokens,
                                   options.adapters};
  return graph::BuildGraph(arch, metadata, build, FakeModelTensors(options));
}

}  // namespace minnow::test
