#include "batch/batch.h"

#include <utility>

#include "base/crash_point.h"

namespace minnow::batch {

namespace {

constexpr double kTickSeconds = 1;
// Records that may wait in memory for an earlier document, in multiples of `jobs`.
constexpr int64_t kWindow = 64;

std::string Record(const Task& task, const script::DocumentResult& result,
                   const BatchOptions& options) {
  nlohmann::ordered_json record{{"id", task.item.document.id}};
  if (result.status.ok()) {
    record["result"] = result.value;
  } else {
    record["error"] = {{"code", CodeName(result.status.code())},
                       {"message", result.status.message()}};
  }
  record["usage"] = {{"prompt_tokens", result.prompt_tokens},
                     {"completion_tokens", result.completion_tokens}};
  if (options.timings) record["seconds"] = result.seconds;
  record["fingerprint"] = options.fingerprint;
  return record.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace

Batch::Batch(script::Pipeline& pipeline, Queue& queue, Output& output, script::Loop& loop,
             const BatchOptions& options, Progress& progress)
    : pipeline_(pipeline),
      queue_(queue),
      output_(output),
      loop_(loop),
      address_(loop.NewAddress()),
      options_(options),
      progress_(progress) {}

Batch::~Batch() { loop_.Retire(address_); }

void Batch::Start(std::function<void(Summary)> on_end) {
  on_end_ = std::move(on_end);
  summary_.documents = queue_.resumed().documents;
  summary_.failed = queue_.resumed().failed;
  if (Status status = NoteParts(); !status.ok()) return Fail(std::move(status));
  loop_.After(kTickSeconds, address_, [this] { Tick(); });
  Fill();
}

void Batch::Tick() {
  if (!on_end_) return;
  const auto tick = [&]() -> Status {
    MNW_TRY(queue_.KeepAlive());
    MNW_TRY(WriteReady());
    MNW_ASSIGN(const Position position, output_.Sync());
    return queue_.Settle(position);
  };
  if (Status status = tick(); !status.ok()) return Fail(std::move(status));
  loop_.After(kTickSeconds, address_, [this] { Tick(); });
  Fill();
}

// Not entered again by the documents that fail while it starts them.
void Batch::Fill() {
  if (filling_) return;
  filling_ = true;
  while (on_end_) {
    if (!suspects_.empty()) {
      if (!running_.empty()) break;
      Task task = std::move(suspects_.front());
      suspects_.pop_front();
      Run(std::make_shared<Work>(Work{std::move(task)}));
      continue;
    }
    if (running_.size() >= options_.jobs || WindowIsFull()) break;
    auto claimed = ClaimSome();
    if (!claimed.ok()) {
      Fail(std::move(claimed).status());
      break;
    }
    if (*claimed) continue;
    if (!running_.empty() || queue_.waiting()) break;
    if (Status status = WriteReady(); !status.ok()) {
      Fail(std::move(status));
    } else {
      std::exchange(on_end_, nullptr)(summary_);
    }
  }
  filling_ = false;
}

// One slow document must not fill the memory with those that wait behind it.
bool Batch::WindowIsFull() const {
  return queue_.in_memory() && ahead_ > kWindow * static_cast<int64_t>(options_.jobs);
}

Result<bool> Batch::ClaimSome() {
  MNW_ASSIGN(std::vector<Task> tasks, queue_.Claim(options_.jobs - running_.size()));
  if (tasks.empty()) return false;
  for (Task& task : tasks) Begin(std::move(task));
  return true;
}

void Batch::Begin(Task task) {
  if (!on_end_) return;
  if (options_.max_strikes > 0 && task.strikes >= options_.max_strikes) {
    const Status status =
        Error(Code::kInternal, "set aside: the process died {} times while it was under way",
              task.strikes);
    return Complete(task, {.status = status});
  }
  if (!task.item.status.ok()) {
    const Status status = std::move(task.item.status);
    task.item.status = Status();
    return Complete(task, {.status = status});
  }
  if (task.strikes > 0) return suspects_.push_back(std::move(task));
  Run(std::make_shared<Work>(Work{std::move(task)}));
}

void Batch::Run(WorkPtr work) {
  MNW_CRASH_POINT(("batch.document." + work->task.item.document.id).c_str());
  running_[work->task.number] = work;
  pipeline_.Run(work->task.item.document,
                [this, work](script::DocumentResult result) { Finished(work, std::move(result)); });
}

void Batch::Finished(const WorkPtr& work, script::DocumentResult result) {
  if (!on_end_) return;
  // No document can go on without the device; a new process may have it back.
  if (result.status.code() == Code::kDeviceLost) return Fail(std::move(result.status));
  if (RunAgain(work, result)) return;
  running_.erase(work->task.number);
  Complete(work->task, result);
  Fill();
}

bool Batch::RunAgain(const WorkPtr& work, const script::DocumentResult& result) {
  if (result.status.code() != Code::kUnavailable || work->tries >= options_.retries) return false;
  const double seconds = options_.retry_seconds * (1u << work->tries++);
  loop_.After(seconds, address_, [this, work] {
    if (on_end_) Run(work);
  });
  return true;
}

void Batch::Complete(const Task& task, const script::DocumentResult& result) {
  const auto complete = [&]() -> Status {
    if (pipeline_.n_parts() != n_parts_) MNW_TRY(NoteParts());
    const bool failed = !result.status.ok();
    MNW_ASSIGN(const bool ours, queue_.Complete(task, failed, Record(task, result, options_)));
    if (!ours) return Status();
    ++summary_.documents;
    summary_.failed += failed;
    ++ahead_;
    progress_.Count(failed, result.prompt_tokens + result.completion_tokens);
    progress_.CountSteps(result.steps);
    MNW_TRY(WriteReady());
    if (summary_.failed <= options_.max_errors) return Status();
    return Error(
        Code::kPrecondition,
        "{} documents failed, more than --max-errors; run again with a larger one to go on",
        summary_.failed);
  };
  if (Status status = complete(); !status.ok()) Fail(std::move(status));
}

Status Batch::NoteParts() {
  MNW_ASSIGN(const auto parts, pipeline_.Parts());
  for (const auto& [name, hash] : parts) MNW_TRY(queue_.Note(name, hash));
  n_parts_ = parts.size();
  return Status();
}

Status Batch::WriteReady() {
  for (;;) {
    MNW_ASSIGN(const std::optional<std::string> record, queue_.Take());
    if (!record) return output_.Flush();
    --ahead_;
    MNW_TRY(output_.Write(*record));
  }
}

void Batch::Fail(Status status) {
  if (!on_end_) return;
  summary_.status = std::move(status);
  std::exchange(on_end_, nullptr)(summary_);
}

Status Batch::Settle() {
  const bool complete = !on_end_ && summary_.status.ok();
  on_end_ = nullptr;
  for (const auto& [number, work] : running_) MNW_TRY(queue_.Release(work->task));
  for (const Task& task : suspects_) MNW_TRY(queue_.Release(task));
  MNW_TRY(WriteReady());
  if (complete) MNW_TRY(output_.Finish());
  MNW_ASSIGN(const Position position, output_.Sync());
  return queue_.Settle(position);
}

}  // namespace minnow::batch
