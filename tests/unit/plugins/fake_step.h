// A step of the fake model, row by row, with the buffers that its run needs until it is done.
#pragma once

#include <CppUTest/TestHarness.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <vector>

#include "fake_backend/fake_backend.h"
#include "fake_backend/fake_model.h"
#include "plugins/device.h"
#include "plugins/host_services.h"
#include "test_util.h"

namespace minnow::test {

// The fake model opened on a fake backend, with weights, state and plan.
class FakeSession {
 public:
  explicit FakeSession(const FakeModelOptions& model = {}, const FakeOptions& options = {},
                       uint32_t n_pages = 16)
      : model_(model), backend_(options), built_(MakeFakeModel(model)) {
    CHECK_OK(built_.status());
    auto device = plugins::Device::Open(*backend_.table(), 0, plugins::HostServices(), {});
    CHECK_OK(device.status());
    device_.push_back(*std::move(device));

    std::vector<mnw_weight_source> sources;
    for (mnw_id id : graph().weights())
      sources.push_back({sizeof(mnw_weight_source), id, kBytes, sizeof kBytes});
    auto weights = this->device().LoadWeights(*graph().view(), sources);
    CHECK_OK(weights.status());
    weights_ = *std::move(weights);
    handles_.resize(graph().values().size());
    for (size_t i = 0; i < sources.size(); ++i)
      handles_[sources[i].value] = weights_.weights()[i].handle;

    groups_.assign(graph().state_groups().begin(), graph().state_groups().end());
    for (mnw_state_group& group : groups_) group.n_pages = n_pages;
    layers_.assign(graph().state_layers().begin(), graph().state_layers().end());
    spec_ = {sizeof spec_,
             static_cast<uint32_t>(groups_.size()),
             static_cast<uint32_t>(layers_.size()),
             sizeof(mnw_state_group),
             sizeof(mnw_state_layer),
             groups_.data(),
             layers_.data()};
    if (!groups_.empty()) {
      auto state = this->device().CreateState(spec_);
      CHECK_OK(state.status());
      state_ = *std::move(state);
    }
    if (model.adapters) {
      auto adapters = this->device().CreateAdapters(*graph().view(), 4, 8);
      CHECK_OK(adapters.status());
      adapters_ = *std::move(adapters);
    }
    auto plan = this->device().Plan(request());
    CHECK_OK(plan.status());
    plan_ = *std::move(plan);
  }

  FakeBackend& backend() { return backend_; }
  plugins::Device& device() { return device_[0]; }
  const graph::Graph& graph() const { return built_->graph; }
  const FakeModelOptions& model() const { return model_; }
  mnw_state* state() { return state_.get(); }
  const mnw_state_spec& spec() const { return spec_; }
  mnw_adapters* adapters() { return adapters_.get(); }
  mnw_plan* plan() { return plan_.get(); }
  mnw_plan_request request() {
    return {sizeof(mnw_plan_request), graph().view(), handles_.data(), state_.get(),
            adapters_.get(),          {64, 8, 64}};
  }

 private:
  static constexpr char kBytes[4] = {};

  FakeModelOptions model_;
  FakeBackend backend_;
  Result<graph::BuiltGraph> built_;
  std::vector<plugins::Device> device_;
  plugins::WeightHandles weights_;
  std::vector<void*> handles_;
  std::vector<mnw_state_group> groups_;
  std::vector<mnw_state_layer> layers_;
  mnw_state_spec spec_{};
  plugins::StateHandle state_;
  plugins::AdaptersHandle adapters_;
  plugins::PlanHandle plan_;
};

class FakeStep {
 public:
  explicit FakeStep(FakeSession& session) : session_(session) {
    columns_ =
        (session.model().n_ctx + session.model().page_tokens - 1) / session.model().page_tokens;
    pages.resize(session.graph().state_groups().size());
    slots.resize(pages.size());
  }

  // A sequence with so many positions committed, whose pages in every group are these.
  int32_t Sequence(int32_t length, std::vector<int32_t> page_table) {
    seq_len.push_back(length);
    page_table.resize(columns_, -1);
    for (auto& of_group : pages)
      of_group.insert(of_group.end(), page_table.begin(), page_table.end());
    return static_cast<int32_t>(seq_len.size()) - 1;
  }

  // A row; with write, where its sequence's pages want it. Its number.
  int32_t Row(int32_t s, int32_t token, int32_t row_parent, bool write = true) {
    const auto t = static_cast<int32_t>(tokens.size());
    const int32_t position = row_parent < 0 ? seq_len[static_cast<size_t>(s)]
                                            : positions[static_cast<size_t>(row_parent)] + 1;
    tokens.push_back(token);
    positions.push_back(position);
    seq.push_back(s);
    parent.push_back(row_parent);
    adapter.push_back(-1);
    const auto n = static_cast<int32_t>(session_.model().page_tokens);
    for (size_t g = 0; g < pages.size(); ++g) {
      const int32_t page =
          pages[g][static_cast<size_t>(s) * columns_ + static_cast<size_t>(position / n)];
      slots[g].push_back(write ? page * n + position % n : -1);
    }
    return t;
  }

  // A chain of rows; the last one's number, which gets an out row.
  int32_t Chain(int32_t s, const std::vector<int32_t>& chain, bool write = true) {
    int32_t last = -1;
    for (int32_t token : chain) last = Row(s, token, last, write);
    out_rows.push_back(last);
    return last;
  }

  Status Enqueue() {
    const graph::Graph& g = session_.graph();
    logits.assign(out_rows.size() * static_cast<size_t>(session_.model().n_vocab), 0.0f);
    bindings_.clear();
    Bind(g.Input(MNW_INPUT_TOKENS), tokens.data());
    Bind(g.Input(MNW_INPUT_POSITIONS), positions.data());
    Bind(g.Input(MNW_INPUT_SEQ), seq.data());
    Bind(g.Input(MNW_INPUT_PARENT), parent.data());
    Bind(g.Input(MNW_INPUT_SEQ_LEN), seq_len.data());
    Bind(g.Input(MNW_INPUT_OUT_ROWS), out_rows.data());
    Bind(g.Input(MNW_INPUT_ADAPTER), adapter.data());
    out_adapter.clear();
    for (int32_t row : out_rows) {
      const bool exists = row >= 0 && static_cast<size_t>(row) < adapter.size();
      out_adapter.push_back(exists ? adapter[static_cast<size_t>(row)] : -1);
    }
    Bind(g.Input(MNW_INPUT_OUT_ADAPTER), out_adapter.data());
    for (uint32_t i = 0; i < pages.size(); ++i) {
      Bind(g.Input(MNW_INPUT_PAGES, i), pages[i].data());
      Bind(g.Input(MNW_INPUT_SLOTS, i), slots[i].data());
    }
    Bind(g.outputs()[0], logits.data());
    const mnw_run_args args = {
        sizeof args,
        static_cast<uint32_t>(bindings_.size()),
        {static_cast<int64_t>(tokens.size()), static_cast<int64_t>(seq_len.size()),
         static_cast<int64_t>(out_rows.size())},
        bindings_.data(),
        Done,
        this};
    return session_.device().Run(session_.plan(), args);
  }

  Status Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_; });
    done_ = false;
    return result_;
  }

  Status Run() {
    MNW_TRY(Enqueue());
    return Wait();
  }

  // The largest logit of an out row.
  int32_t Best(size_t row) const {
    const auto n = static_cast<size_t>(session_.model().n_vocab);
    const float* first = logits.data() + row * n;
    return static_cast<int32_t>(std::max_element(first, first + n) - first);
  }

  std::vector<int32_t> tokens, positions, seq, parent, adapter, seq_len, out_rows, out_adapter;
  std::vector<std::vector<int32_t>> pages, slots;  // by group
  std::vector<float> logits;

 private:
  static void Done(void* self, int code, const mnw_error* error) {
    auto* step = static_cast<FakeStep*>(self);
    const std::lock_guard lock(step->mutex_);
    step->result_ = plugins::FromPlugin("step", code, error);
    step->done_ = true;
    step->changed_.notify_all();
  }

  void Bind(mnw_id id, void* data) {
    if (id != MNW_NONE) bindings_.push_back({id, 0, data});
  }

  FakeSession& session_;
  size_t columns_ = 0;
  std::vector<mnw_binding> bindings_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
  Status result_;
};

}  // namespace minnow::test
