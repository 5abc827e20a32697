#include "fake_backend/fake_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "fake_backend/fake_impl.h"

namespace minnow::test {
namespace {

using Clock = std::chrono::steady_clock;

StepInputs ToStepInputs(const Pending& step) {
  StepInputs in;
  in.n_seqs = static_cast<uint32_t>(step.args.symbols[MNW_SYM_N_SEQS]);
  for (const auto& [value, data] : step.inputs) {
    switch (value->role) {
      case MNW_INPUT_TOKENS:
        in.tokens = data;
        break;
      case MNW_INPUT_POSITIONS:
        in.positions = data;
        break;
      case MNW_INPUT_SEQ:
        in.seq = data;
        break;
      case MNW_INPUT_PARENT:
        in.parent = data;
        break;
      case MNW_INPUT_SEQ_LEN:
        in.seq_len = data;
        break;
      case MNW_INPUT_OUT_ROWS:
        in.out_rows = data;
        break;
      case MNW_INPUT_ADAPTER:
        in.adapter = data;
        break;
      case MNW_INPUT_OUT_ADAPTER:
        in.out_adapter = data;
        break;
      case MNW_INPUT_PAGES:
        in.groups[value->index].pages = data;
        break;
      case MNW_INPUT_SLOTS:
        in.groups[value->index].slots = data;
        break;
      default:
        break;
    }
  }
  return in;
}

int32_t SlotOf(const StepInputs& in, int32_t row) {
  return in.adapter.empty() ? -1 : in.adapter[static_cast<size_t>(row)];
}

// "" or what is wrong with the step.
std::string Complete(const Pending& step, const FakeAnswer& answer) {
  std::string wrong;
  if (ReadInputs(*step.plan, step.args, &wrong) != step.inputs) {
    return "an input changed while its step was in flight";
  }
  const StepInputs in = ToStepInputs(step);
  FakeState none;
  std::vector<Tokens> contexts;
  FakeState& state = step.plan->state ? step.plan->state->cells : none;
  if (wrong = state.Step(in, &contexts); !wrong.empty()) return wrong;
  for (mnw_id i = 0; i < step.plan->graph->n_values; ++i) {
    const mnw_value& value = *mnw_value_at(step.plan->graph, i);
    if (value.kind != MNW_KIND_OUTPUT) continue;
    const auto width = static_cast<size_t>(value.dim[0]);
    auto* out = static_cast<float*>(Bound(step.args, i));
    const auto rows = static_cast<size_t>(Elements(value, step.args.symbols)) / width;
    const bool per_out_row = value.dim[1] == MNW_DIM(MNW_SYM_N_OUT);
    if (per_out_row && in.out_rows.empty()) continue;
    if (rows != contexts.size()) {
      return fmt::format("output '{}' has {} rows for {} contexts", value.name ? value.name : "",
                         rows, contexts.size());
    }
    for (size_t r = 0; r < rows; ++r) {
      const int32_t slot = per_out_row ? SlotOf(in, in.out_rows[r]) : -1;
      if (slot >= static_cast<int32_t>(step.marks.size())) {
        return fmt::format("out row {}: there is no adapter slot {}", r, slot);
      }
      const int32_t mark = slot < 0 ? 0 : step.marks[static_cast<size_t>(slot)];
      if (mark != 0) contexts[r].insert(contexts[r].begin(), mark);
      answer(contexts[r], {out + r * width, width});
    }
  }
  return "";
}

}  // namespace

int32_t FavouriteToken(std::span<const int32_t> context, int32_t n_vocab) {
  uint64_t h = 0xcbf29ce484222325;
  for (int32_t token : context) h = (h ^ static_cast<uint32_t>(token)) * 0x100000001b3;
  return static_cast<int32_t>((h ^ (h >> 33)) % static_cast<uint64_t>(n_vocab));
}

void FavouriteAnswer(std::span<const int32_t> context, std::span<float> out) {
  const auto favourite =
      static_cast<size_t>(FavouriteToken(context, static_cast<int32_t>(out.size())));
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<float>((i * 2654435761u + favourite * 40503u) >> 8 & 0xff) / 256.0f;
  }
  out[favourite] = 10.0f;
}

std::vector<int32_t> GreedyTokens(std::vector<int32_t> prompt, size_t n, int32_t n_vocab,
                                  const FakeAnswer& answer) {
  std::vector<int32_t> made;
  std::vector<float> logits(static_cast<size_t>(n_vocab));
  while (made.size() < n) {
    answer(prompt, logits);
    made.push_back(
        static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
    prompt.push_back(made.back());
  }
  return made;
}

void FakeBackend::Impl::Work() {
  std::unique_lock lock(mutex);
  for (;;) {
    const auto ready = [&] { return stop || (!queue.empty() && (!options.manual || allowed > 0)); };
    changed.wait(lock, ready);
    if (stop) return;
    if (!options.manual && Clock::now() < queue.front().due) {
      changed.wait_until(lock, queue.front().due);
      continue;
    }
    const Pending step = std::move(queue.front());
    queue.pop_front();
    if (options.manual) --allowed;

    mnw_error error = {};
    int code = step.fail_code;
    if (code != MNW_OK) {
      step.plan->context->lost |= code == MNW_DEVICE_LOST;
      Fail(&error, code, "injected into the step");
    } else if (const std::string wrong = Complete(step, options.answer); !wrong.empty()) {
      violations.push_back("step: " + wrong);
      code = Fail(&error, MNW_INVALID, wrong);
    }
    // Before done: whoever is woken by it may call again at once.
    --step.plan->context->in_flight;
    lock.unlock();
    t_inside_done = true;
    step.args.done(step.args.done_arg, code, code == MNW_OK ? nullptr : &error);
    t_inside_done = false;
    lock.lock();
    ++counters.completed;
    changed.notify_all();
  }
}

FakeBackend::FakeBackend(FakeOptions options) : impl_(std::make_unique<Impl>()) {
  if (g_current) std::abort();  // one at a time
  g_current = impl_.get();
  impl_->options = std::move(options);
  impl_->worker = std::thread([this] { impl_->Work(); });
}

FakeBackend::~FakeBackend() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stop = true;
    impl_->changed.notify_all();
  }
  impl_->worker.join();
  g_current = nullptr;
}

const mnw_backend* FakeBackend::table() const {
  return impl_->options.has_state_edit ? &kFakeTable : &kFakeTableWithoutEdit;
}

bool FakeBackend::CompleteNext() {
  std::unique_lock lock(impl_->mutex);
  const auto patience = std::chrono::seconds(5);
  if (!impl_->changed.wait_for(lock, patience, [&] { return !impl_->queue.empty(); })) return false;
  const uint32_t target = impl_->counters.completed + 1;
  ++impl_->allowed;
  impl_->changed.notify_all();
  impl_->changed.wait(lock, [&] { return impl_->counters.completed >= target; });
  return true;
}

bool FakeBackend::InFlight() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->counters.completed < impl_->counters.runs;
}

void FakeBackend::FailNextRun(mnw_code code, bool late) {
  const std::lock_guard lock(impl_->mutex);
  (late ? impl_->fail_run_late : impl_->fail_run) = code;
}

void FakeBackend::FailNextState() {
  const std::lock_guard lock(impl_->mutex);
  impl_->fail_state = true;
}

void FakeBackend::FailNextCommit(mnw_code code) {
  const std::lock_guard lock(impl_->mutex);
  impl_->fail_commit = code;
}

void FakeBackend::FailNextPlan(mnw_code code) {
  const std::lock_guard lock(impl_->mutex);
  impl_->fail_plan = code;
}

void FakeBackend::FailNextAdapter(uint32_t after) {
  const std::lock_guard lock(impl_->mutex);
  impl_->adapters_until_failure = after + 1;
}

FakeCounters FakeBackend::counters() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->counters;
}

std::vector<FakeRun> FakeBackend::runs() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->runs;
}

std::vector<std::string> FakeBackend::violations() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->violations;
}

uint32_t FakeBackend::PagesHeld(uint32_t group) const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->states.empty() ? 0 : impl_->states.back()->cells.PagesHeld(group);
}

void FakeBackend::ForgetPage(uint32_t group, uint32_t page) {
  const std::lock_guard lock(impl_->mutex);
  if (!impl_->states.empty()) impl_->states.back()->cells.Forget(group, page);
}

uint32_t FakeBackend::AdaptersHeld() const {
  const std::lock_guard lock(impl_->mutex);
  uint32_t n = 0;
  if (impl_->adapter_pools.empty()) return n;
  for (const auto& slot : impl_->adapter_pools.back()->slots) n += !slot.empty();
  return n;
}

Tokens FakeAdapters::Marks() const {
  Tokens marks;
  for (const auto& slot : slots) {
    float sum = 0;
    for (const auto& [site, scale] : slot) sum += scale;
    marks.push_back(static_cast<int32_t>(sum));
  }
  return marks;
}

}  // namespace minnow::test
