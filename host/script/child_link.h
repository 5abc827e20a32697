// A child's end of the socket to its host: questions that are answered, requests of models that
// end some time, and messages that nobody answers.
//
// Ends the process when the host is gone: nothing in here is worth keeping. Threads: any; callbacks
// of requests come on the reader's.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "base/status.h"
#include "script/wire.h"

namespace minnow::script {

class ChildLink {
 public:
  using Json = nlohmann::ordered_json;
  using OnMessage = std::function<void(const Json&)>;

  explicit ChildLink(int socket) : socket_(socket) {}

  // Starts the reader, which lives as long as the process. Messages that are no answer and of no
  // request go to `on_message`.
  void Start(OnMessage on_message);

  // kOutOfRange if the host would not read so long a message; nothing is sent then.
  Status Send(const Json& message);
  // Waits for the answer, whose "value" it returns.
  Result<Json> Ask(Json question);

  // Sends a request; what comes of it goes to `on_message`, until Forget or a message "done".
  Result<uint64_t> Request(Json request, OnMessage on_message);
  void Forget(uint64_t id);

 private:
  void Read();
  void Take(const Json& message);

  const int socket_;
  OnMessage on_message_;
  std::mutex write_mutex_;

  std::mutex mutex_;  // guards all below
  std::condition_variable answered_;
  uint64_t last_id_ = 0;
  std::map<uint64_t, Json> answers_;  // null while it is waited for
  std::map<uint64_t, OnMessage> requests_;
};

}  // namespace minnow::script
