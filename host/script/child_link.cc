#include "script/child_link.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <future>
#include <utility>

#include "script/model_json.h"

namespace minnow::script {

void ChildLink::Start(OnMessage on_message) {
  on_message_ = std::move(on_message);
  // A thread that begins makes system calls which are forbidden soon.
  std::promise<void> runs;
  std::future<void> running = runs.get_future();
  std::thread([this, runs = std::move(runs)]() mutable {
    runs.set_value();
    Read();
  }).detach();
  running.wait();
}

void ChildLink::Read() {
  Unframer unframer(kMaxFromHost);
  std::string buffer(1 << 16, '\0');
  for (;;) {
    const ssize_t n = ::read(socket_, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) ::_exit(EXIT_SUCCESS);
    unframer.Add(std::string_view(buffer).substr(0, static_cast<size_t>(n)));
    for (;;) {
      auto message = unframer.Next();
      if (!message.ok()) std::abort();  // the host is not hostile
      if (!*message) break;
      Take(**message);
    }
  }
}

void ChildLink::Take(const Json& message) {
  const std::string& type = message["type"].get_ref<const std::string&>();
  if (type == "answer") {
    const std::lock_guard lock(mutex_);
    answers_[message["id"].get<uint64_t>()] = message;
    answered_.notify_all();
    return;
  }
  if (type != "piece" && type != "done") return on_message_(message);
  OnMessage on_message;
  {
    const std::lock_guard lock(mutex_);
    const auto found = requests_.find(message["id"].get<uint64_t>());
    if (found == requests_.end()) return;
    on_message = found->second;
    if (type == "done") requests_.erase(found);
  }
  on_message(message);
}

Status ChildLink::Send(const Json& message) {
  const std::string frame = Frame(message);
  if (frame.size() > kMaxFromChild) {
    return Error(Code::kOutOfRange,
                 "{} bytes are more than an untrusted script may hand over at once ({})",
                 frame.size(), kMaxFromChild);
  }
  const std::lock_guard lock(write_mutex_);
  for (size_t written = 0; written < frame.size();) {
    const ssize_t n = ::write(socket_, frame.data() + written, frame.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) ::_exit(EXIT_SUCCESS);
    written += static_cast<size_t>(n);
  }
  return {};
}

Result<nlohmann::ordered_json> ChildLink::Ask(Json question) {
  uint64_t id;
  {
    const std::lock_guard lock(mutex_);
    id = ++last_id_;
    answers_[id] = nullptr;
  }
  question["id"] = id;
  Status status = Send(question);
  std::unique_lock lock(mutex_);
  if (status.ok()) answered_.wait(lock, [&] { return !answers_[id].is_null(); });
  Json answer = std::move(answers_.extract(id).mapped());
  MNW_TRY(std::move(status));
  MNW_TRY(FromJson(answer["status"], &status));
  MNW_TRY(std::move(status));
  return std::move(answer["value"]);
}

Result<uint64_t> ChildLink::Request(Json request, OnMessage on_message) {
  uint64_t id;
  {
    const std::lock_guard lock(mutex_);
    id = ++last_id_;
    requests_[id] = std::move(on_message);
  }
  request["id"] = id;
  if (Status status = Send(request); !status.ok()) {
    const std::lock_guard lock(mutex_);
    requests_.erase(id);
    return status;
  }
  return id;
}

void ChildLink::Forget(uint64_t id) {
  {
    const std::lock_guard lock(mutex_);
    if (requests_.erase(id) == 0) return;
  }
  static_cast<void>(Send({{"type", "forget"}, {"id", id}}).ok());
}

}  // namespace minnow::script
