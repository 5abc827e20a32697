#include "script/loop.h"

#include <algorithm>
#include <utility>

namespace minnow::script {

struct Loop::Timer {
  uv_timer_t handle;
  Loop* loop;
  TimerId id;
  Letter letter;

  void Close() {
    uv_close(reinterpret_cast<uv_handle_t*>(&handle),
             [](uv_handle_t* handle) { delete reinterpret_cast<Timer*>(handle); });
  }
};

struct Loop::Job {
  uv_work_t request;
  Loop* loop;
  std::function<Function()> work;
  Letter then;
};

Result<std::unique_ptr<Loop>> Loop::Create() {
  std::unique_ptr<Loop> loop(new Loop);
  int error = uv_loop_init(&loop->loop_);
  if (!error) {
    loop->open_ = true;
    loop->async_.data = loop.get();
    error = uv_async_init(&loop->loop_, &loop->async_,
                          [](uv_async_t* async) { static_cast<Loop*>(async->data)->DeliverAll(); });
  }
  if (error) return Error(Code::kExhausted, "cannot make an event loop: {}", uv_strerror(error));
  return loop;
}

Loop::~Loop() {
  if (!open_) return;
  live_.clear();  // nobody is interested in what still arrives
  if (async_.loop) uv_close(reinterpret_cast<uv_handle_t*>(&async_), nullptr);
  for (const auto& [id, timer] : timers_) timer->Close();
  uv_run(&loop_, UV_RUN_DEFAULT);
  uv_loop_close(&loop_);
}

Loop::Address Loop::NewAddress() {
  live_.insert(next_address_);
  return next_address_++;
}

void Loop::Post(Address to, Function function) {
  {
    std::lock_guard lock(mutex_);
    inbox_.push_back({to, std::move(function)});
  }
  uv_async_send(&async_);
}

void Loop::Deliver(const Letter& letter) {
  if (live_.contains(letter.to)) letter.function();
}

// uv_async_send coalesces: one wake-up may stand for many letters.
void Loop::DeliverAll() {
  std::vector<Letter> letters;
  {
    std::lock_guard lock(mutex_);
    letters.swap(inbox_);
  }
  for (const Letter& letter : letters) Deliver(letter);
}

Loop::TimerId Loop::After(double seconds, Address to, Function function) {
  auto* timer = new Timer{{}, this, ++last_timer_, {to, std::move(function)}};
  timers_.emplace(timer->id, timer);
  uv_timer_init(&loop_, &timer->handle);
  uv_update_time(&loop_);
  const auto expired = [](uv_timer_t* handle) {
    auto* timer = reinterpret_cast<Timer*>(handle);
    Loop* loop = timer->loop;
    loop->timers_.erase(timer->id);
    timer->Close();  // the letter lives until the loop comes round
    loop->Deliver(timer->letter);
  };
  // Beyond what libuv can add to its clock, never.
  const double milliseconds = std::clamp(seconds * 1000, 0.0, 1e15);
  uv_timer_start(&timer->handle, expired, static_cast<uint64_t>(milliseconds), 0);
  return timer->id;
}

void Loop::Cancel(TimerId id) {
  const auto found = timers_.find(id);
  if (found == timers_.end()) return;
  found->second->Close();
  timers_.erase(found);
}

void Loop::Work(std::function<Function()> work, Address to) {
  {
    std::lock_guard lock(mutex_);
    ++working_;
  }
  auto* job = new Job{{}, this, std::move(work), {to, nullptr}};
  const auto run = [](uv_work_t* request) {
    auto* job = reinterpret_cast<Job*>(request);
    job->then.function = job->work();
    Loop* loop = job->loop;
    std::lock_guard lock(loop->mutex_);
    if (--loop->working_ == 0) loop->idle_.notify_all();
  };
  const auto done = [](uv_work_t* request, int) {
    std::unique_ptr<Job> job(reinterpret_cast<Job*>(request));
    job->loop->Deliver(job->then);
  };
  uv_queue_work(&loop_, &job->request, run, done);
}

void Loop::WaitForWork() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return working_ == 0; });
}

void Loop::Run() { uv_run(&loop_, UV_RUN_DEFAULT); }

void Loop::Stop() {
  Post([this] { uv_stop(&loop_); });
}

}  // namespace minnow::script
