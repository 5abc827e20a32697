// One RPC as its handler sees it: neither gRPC nor threads to think about.
//
// Every RPC of the server, whatever its service, is a Call that came through the one door in
// server.cc, which has already checked its token, counted it against the limits and read its first
// message. A handler runs on a worker's thread, hands the work to the engine and returns; whoever
// has an answer calls Send and Finish. Threads: all methods from any thread; none of them waits.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/request.h"
#include "service/errors.h"

namespace google::protobuf {
class Message;
}

namespace minnow::service {

struct CallInfo {
  std::string method;       // "/minnow.v1.Inference/Chat"
  std::string request_id;   // the caller's x-request-id, or one of ours
  std::string traceparent;  // the caller's, or empty
  std::string peer;
  engine::Clock::time_point begun{};
  engine::Deadline deadline = engine::kNoDeadline;  // the caller's, or the server's default
};

// What the access log tells of a call, beside its info; filled in before Finish. No text of
// requests or answers belongs here.
struct CallRecord {
  std::string model;
  engine::Priority priority = engine::Priority::kInteractive;
  engine::Usage usage;
};

class Call {
 public:
  virtual ~Call() = default;

  const CallInfo& info() const { return info_; }

  // Queues a message. A client that reads so slowly that more than the server's bound is queued
  // ends its call: RESOURCE_EXHAUSTED, SLOW_READER; what CancelWith was given is called. A message
  // with `on_written` is not bounded: its sender paces itself by being told. It comes once, also
  // when the call is lost. After the end of the call nothing is sent.
  virtual void Send(const google::protobuf::Message& message,
                    std::function<void()> on_written = {}) = 0;
  // Ends the call when what was sent has been written. Only the first counts.
  virtual void Finish(const Failure& failure, CallRecord record = {}) = 0;
  // `cancel` is called once when the client cancels or vanishes, the deadline passes, or the server
  // cuts the call; at once if that has happened already. It does not wait. Finish is still due.
  virtual void CancelWith(std::function<void()> cancel) = 0;
  // Of a stream of requests: the next message may be read and given to the handler.
  virtual void ReadNext() = 0;

 protected:
  CallInfo info_;
};
using CallPtr = std::shared_ptr<Call>;

}  // namespace minnow::service
