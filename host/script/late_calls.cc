#include "script/late_calls.h"

#include <utility>

namespace minnow::script {

namespace {

constexpr engine::RequestId kLate = engine::RequestId{1} << 63;  // no engine counts so far
constexpr std::chrono::milliseconds kPause(5);

}  // namespace

LateCalls::~LateCalls() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

engine::RequestId LateCalls::Add(Call call) {
  const std::lock_guard lock(mutex_);
  const engine::RequestId id = kLate | next_id_++;
  {
    const std::lock_guard calls_lock(calls_->mutex);
    calls_->states[id].engine = &call.engine;
  }
  waiting_.push_back({id, std::move(call), engine::Clock::now() + kAdapterPatience});
  if (!thread_.joinable()) thread_ = std::thread([this] { Work(); });
  wake_.notify_all();
  return id;
}

bool LateCalls::Cancel(engine::RequestId id) {
  if ((id & kLate) == 0) return false;
  const std::lock_guard lock(calls_->mutex);
  const auto it = calls_->states.find(id);
  if (it == calls_->states.end()) return true;  // it has ended
  it->second.cancelled = true;
  if (it->second.sent != 0) it->second.engine->Cancel(it->second.sent);
  return true;
}

void LateCalls::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
    bool any = false;
    for (size_t n = waiting_.size(); n > 0; --n) {
      Waiting waiting = std::move(waiting_.front());
      waiting_.pop_front();
      const bool stop = stop_;
      lock.unlock();
      const bool done = Try(waiting, stop);
      lock.lock();
      any |= done;
      if (!done) waiting_.push_back(std::move(waiting));
    }
    if (stop_ && waiting_.empty()) return;
    if (!any) wake_.wait_for(lock, kPause, [this] { return stop_; });
  }
}

bool LateCalls::Try(Waiting& waiting, bool stop) {
  Call& call = waiting.call;
  const auto end = [calls = calls_, id = waiting.id] {
    const std::lock_guard lock(calls->mutex);
    calls->states.erase(id);
  };
  const auto fail = [&](Status status) {
    end();
    call.fail(std::move(status));
    return true;
  };
  if (stop) return fail(Error(Code::kUnavailable, "the engine is shutting down"));
  {
    const std::lock_guard lock(calls_->mutex);
    if (calls_->states.at(waiting.id).cancelled) stop = true;
  }
  if (stop) return fail(Error(Code::kCancelled, "cancelled"));
  auto hold = runtime_.OpenAdapter(call.engine, call.path, call.scale);
  if (hold.status().code() == Code::kUnavailable && engine::Clock::now() < waiting.until) {
    return false;
  }
  if (!hold.ok()) return fail(hold.status());
  const auto sent = call.send(*std::move(hold), end);
  if (!sent.ok()) return fail(sent.status());
  const std::lock_guard lock(calls_->mutex);
  const auto it = calls_->states.find(waiting.id);
  if (it == calls_->states.end()) return true;  // it has ended already
  it->second.sent = *sent;
  if (it->second.cancelled) call.engine.Cancel(*sent);
  return true;
}

}  // namespace minnow::script
