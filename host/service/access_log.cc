#include "service/access_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

namespace minnow::service {

namespace {

constexpr size_t kMaxWaiting = 10'000;  // lines, some 4 MB

std::string Line(const CallEnd& end, uint64_t dropped) {
  using Json = nlohmann::ordered_json;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  Json line{{"time", std::chrono::duration<double>(now).count()},
            {"request_id", end.info.request_id},
            {"method", end.known_method ? end.info.method : "unknown"},
            {"peer", end.info.peer},
            {"code", GrpcCodeName(end.grpc_code)},
            {"seconds", end.seconds}};
  if (!end.reason.empty()) line["reason"] = end.reason;
  if (!end.info.traceparent.empty()) line["traceparent"] = end.info.traceparent;
  if (!end.record.model.empty()) {
    const engine::Usage& usage = end.record.usage;
    line["model"] = end.record.model;
    line["priority"] = end.record.priority == engine::Priority::kBatch ? "batch" : "interactive";
    line["queue_seconds"] = usage.queue_seconds;
    line["prefill_seconds"] = usage.prefill_seconds;
    line["decode_seconds"] = usage.decode_seconds;
    line["prompt_tokens"] = usage.prompt_tokens;
    line["cached_tokens"] = usage.cached_tokens;
    line["completion_tokens"] = usage.completion_tokens;
  }
  if (dropped > 0) line["dropped_lines"] = dropped;
  return line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

struct AccessLog::Rep {
  int fd = -1;
  std::mutex mutex;  // guards all below
  std::condition_variable wake;
  std::deque<std::string> waiting;
  uint64_t dropped = 0;
  bool stop = false;
  std::thread thread;

  void Work() {
    std::unique_lock lock(mutex);
    for (;;) {
      wake.wait(lock, [this] { return stop || !waiting.empty(); });
      if (waiting.empty()) return;
      std::string text;
      for (const std::string& line : waiting) text += line;
      waiting.clear();
      lock.unlock();
      for (std::string_view rest = text; !rest.empty();) {
        const ssize_t n = ::write(fd, rest.data(), rest.size());
        if (n < 0 && errno != EINTR) break;  // a full disk: the calls are more important
        if (n > 0) rest.remove_prefix(static_cast<size_t>(n));
      }
      lock.lock();
    }
  }
};

AccessLog::AccessLog() : rep_(std::make_unique<Rep>()) {}

Result<std::unique_ptr<AccessLog>> AccessLog::Open(const std::string& path) {
  std::unique_ptr<AccessLog> log(new AccessLog);
  log->rep_->fd = path == "-"
                      ? ::dup(STDERR_FILENO)
                      : ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log->rep_->fd < 0) {
    return Error(Code::kInvalid, "cannot write the access log '{}': {}", path,
                 std::strerror(errno));
  }
  log->rep_->thread = std::thread([rep = log->rep_.get()] { rep->Work(); });
  return log;
}

AccessLog::~AccessLog() {
  if (rep_->thread.joinable()) {
    {
      const std::lock_guard lock(rep_->mutex);
      rep_->stop = true;
    }
    rep_->wake.notify_all();
    rep_->thread.join();
  }
  if (rep_->fd >= 0) ::close(rep_->fd);
}

void AccessLog::Write(const CallEnd& end) {
  uint64_t dropped = 0;
  {
    const std::lock_guard lock(rep_->mutex);
    if (rep_->waiting.size() >= kMaxWaiting) {
      rep_->waiting.pop_front();
      ++rep_->dropped;
      // The line that tells of it is written when there is room again.
    } else {
      dropped = std::exchange(rep_->dropped, 0);
    }
  }
  std::string line = Line(end, dropped);
  {
    const std::lock_guard lock(rep_->mutex);
    rep_->waiting.push_back(std::move(line));
  }
  rep_->wake.notify_one();
}

}  // namespace minnow::service
