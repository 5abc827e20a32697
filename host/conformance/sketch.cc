#include "conformance/sketch.h"

#include <minnow/sdk/graph_view.hpp>

#include "graph/verify.h"
#include "quant/quant.h"

namespace minnow::conformance {

namespace {

Bytes CopyOf(const void* data, size_t n) {
  const auto* first = static_cast<const std::byte*>(data);
  return Bytes(first, first + n);
}

}  // namespace

Bytes ToBytes(std::span<const float> v) { return CopyOf(v.data(), v.size_bytes()); }
Bytes ToBytes(std::span<const int32_t> v) { return CopyOf(v.data(), v.size_bytes()); }

std::vector<float> Random::Normals(int64_t n, float scale) {
  std::vector<float> v(static_cast<size_t>(n));
  for (float& f : v) f = Normal() * scale;
  return v;
}

mnw_id Sketch::Keep(Result<mnw_id> id) {
  if (id.ok()) return *id;
  if (status_.ok()) status_ = id.status();
  return MNW_NONE;
}

mnw_id Sketch::Weight(mnw_type type, const Dims& dims, float scale) {
  return WeightOf(type, dims, random_.Normals(dims[0] * dims[1] * dims[2] * dims[3], scale));
}

mnw_id Sketch::WeightOf(mnw_type type, const Dims& dims, std::span<const float> values) {
  const mnw_id id = Keep(draft_.AddWeight(fmt::format("weight{}", weights_.size()), type, dims));
  const sdk::Block block = sdk::BlockOf(type);
  Bytes bytes(values.size() / static_cast<size_t>(block.elements) *
              static_cast<size_t>(block.bytes));
  if (Status s = quant::FromF32(type, values, bytes); !s.ok() && status_.ok()) status_ = s;
  weights_[id] = std::move(bytes);
  return id;
}

mnw_id Sketch::AddInput(const Dims& dims, mnw_type type, Bytes bytes) {
  const mnw_id id = Keep(draft_.AddInput(MNW_INPUT_BOUNDARY, 0, type, dims,
                                         fmt::format("boundary{}", draft_.n_values())));
  inputs_[id] = std::move(bytes);
  return id;
}

mnw_id Sketch::Input(const Dims& dims, float scale) {
  int64_t n = 1;
  for (int64_t dim : dims) n *= sdk::Extent(dim, symbols_);
  return InputOf(dims, random_.Normals(n, scale));
}

mnw_id Sketch::InputOf(const Dims& dims, std::span<const float> values) {
  return AddInput(dims, MNW_TYPE_F32, ToBytes(values));
}

mnw_id Sketch::InputOf(const Dims& dims, std::span<const int32_t> values) {
  return AddInput(dims, MNW_TYPE_I32, ToBytes(values));
}

mnw_id Sketch::StepInput(mnw_input role, std::span<const int32_t> values, uint32_t group,
                         int64_t n_pages) {
  const mnw_id id = Keep(draft_.AddInput(role, group, MNW_TYPE_I32, graph::InputDims(role, n_pages),
                                         graph::InputName(role)));
  if (!values.empty()) inputs_[id] = ToBytes(values);
  return id;
}

uint32_t Sketch::Group(mnw_state_kind kind, uint32_t n_pages, uint32_t window) {
  n_pages_.push_back(n_pages);
  return draft_.AddStateGroup(kind, window, kPageTokens);
}

mnw_id Sketch::State(uint32_t layer, uint32_t group, uint32_t heads, uint32_t k_dim, uint32_t v_dim,
                     mnw_type type) {
  types_[layer] = type;
  return Keep(draft_.AddState(layer, group, heads, k_dim, v_dim));
}

void Sketch::Delta(uint32_t slot, uint32_t site, uint32_t rank, int64_t k, int64_t n) {
  deltas_.push_back(
      {slot, site, rank, random_.Normals(rank * k, 0.1f), random_.Normals(n * rank, 0.3f)});
}

mnw_id Sketch::View(mnw_id of, const Dims& dims, const std::array<int64_t, 4>& strides,
                    uint64_t offset) {
  return Keep(draft_.AddView(of, dims, strides, offset));
}

mnw_id Sketch::Reshape(mnw_id of, const Dims& dims) {
  return Keep(draft_.AddPackedView(of, dims, 0));
}

Outs Sketch::Emit(mnw_op op, std::initializer_list<mnw_id> in, const void* params, uint32_t size) {
  const auto outs = draft_.Emit(op, 0, std::span(in.begin(), in.size()), params, size);
  if (outs.ok()) return *outs;
  if (status_.ok()) status_ = outs.status();
  return graph::kNoOuts;
}

void Sketch::Output(mnw_id value) {
  Status s = draft_.MarkOutput(value, fmt::format("out{}", n_outputs_++));
  if (!s.ok() && status_.ok()) status_ = std::move(s);
}

Status Sketch::Finish() {
  MNW_TRY(status_);
  graph_.emplace(draft_.Finish());
  MNW_TRY(graph::Verify(graph_->view()));
  groups_.assign(graph_->state_groups().begin(), graph_->state_groups().end());
  for (size_t i = 0; i < groups_.size(); ++i) groups_[i].n_pages = n_pages_[i];
  layers_.assign(graph_->state_layers().begin(), graph_->state_layers().end());
  for (const auto& [layer, type] : types_) layers_[layer].type = type;
  spec_ = {sizeof spec_,
           static_cast<uint32_t>(groups_.size()),
           static_cast<uint32_t>(layers_.size()),
           sizeof(mnw_state_group),
           sizeof(mnw_state_layer),
           groups_.data(),
           layers_.data()};
  return Status();
}

}  // namespace minnow::conformance
