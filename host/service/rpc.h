// A Call over gRPC's callback API. For server.cc alone.
//
// gRPC allows one read and one write under way, nothing after Finish, and calls back on threads
// that must not wait. All operations are therefore started by Pump, which runs on one thread at a
// time and never under the lock, since gRPC may call back before an operation has returned.
#pragma once

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>

#include "service/retry.h"
#include "service/server.h"
#include "service/workers.h"

namespace minnow::service {

class Rpc;

// What all calls of a server share. Outlives them.
struct RpcHost {
  RpcHost();

  ServerOptions options;
  std::function<void(const CallEnd&)> on_end;
  // The writer goes last: what is left in the workers may end calls.
  Workers writer;   // starts the writes that others asked for
  Workers workers;  // handlers
  uint64_t id = 0;  // of this server among others, in the ids of requests
  std::atomic<uint32_t> n_calls = 0;
  std::atomic<uint32_t> n_work = 0;
  std::atomic<bool> draining = false;
  CompletionRate rate;  // of kWork

  std::mutex mutex;
  std::map<Rpc*, std::weak_ptr<Rpc>> live;  // guarded by mutex
  std::condition_variable ended;            // one has ended
};

class Rpc final : public Call, public std::enable_shared_from_this<Rpc> {
 public:
  // A call has come; the answer is what gRPC wants to have. It keeps itself until gRPC is done.
  static grpc::ServerGenericBidiReactor* Begin(RpcHost& host, const Router& router,
                                               grpc::GenericCallbackServerContext* context);

  Rpc(RpcHost& host, grpc::GenericCallbackServerContext* context);

  void Send(const google::protobuf::Message& message, std::function<void()> on_written) override;
  void Finish(const Failure& failure, CallRecord record) override;
  void CancelWith(std::function<void()> cancel) override;
  void ReadNext() override;

  // Resets the stream: for a call whose time is over and whose client does not take the answer.
  void Cut();

 private:
  struct Reactor final : grpc::ServerGenericBidiReactor {
    explicit Reactor(Rpc* r) : rpc(r) {}
    void OnReadDone(bool ok) override { rpc->ReadDone(ok); }
    void OnWriteDone(bool ok) override { rpc->WriteDone(ok); }
    void OnCancel() override { rpc->Cancelled(); }
    void OnDone() override { rpc->Done(); }
    // The end of a refused call waits for nothing, so it needs no turn on another of gRPC's
    // threads, which costs more than the refusal itself.
    bool InternalInlineable() override { return rpc->refused_; }
    Rpc* rpc;
  };
  struct Outgoing {
    grpc::ByteBuffer bytes;
    std::function<void()> on_written;
  };

  Failure Admit(const Method* method);
  void ReadDone(bool ok);
  void WriteDone(bool ok);
  void Cancelled();
  void Done();
  void Handle(bool ok);  // on a worker: the message that was read
  Failure HandleMessage();
  std::shared_ptr<Requests> Stream();  // null before the first message of a stream
  void Lose(Failure why);              // what is queued is dropped, the handler told
  void Schedule();                     // Pump, on the writer's thread; under mutex_
  void Pump();

  RpcHost& host_;
  grpc::GenericCallbackServerContext* const context_;  // gRPC's, until Done
  const Method* method_ = nullptr;
  bool counted_ = false, refused_ = false;
  Reactor reactor_{this};
  std::shared_ptr<Rpc> self_;  // until Done
  grpc::ByteBuffer in_;

  std::mutex mutex_;  // guards all below
  std::shared_ptr<Requests> requests_;
  std::deque<Outgoing> out_;
  Outgoing writing_out_;
  size_t unread_ = 0;
  bool writing_ = false, reading_ = false, want_read_ = false, want_cut_ = false;
  bool ending_ = false, ended_ = false;  // Finish was called; and has let go of what cancel_ held
  bool finished_ = false;                // gRPC's Finish was called
  bool pumping_ = false, again_ = false, scheduled_ = false;
  std::function<void()> cancel_;
  Failure failure_, lost_;
  CallRecord record_;
};

}  // namespace minnow::service
