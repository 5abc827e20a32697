#include "service/rpc.h"

#include <grpcpp/support/proto_buffer_reader.h>
#include <openssl/rand.h>

#include <algorithm>
#include <utility>

#include "service/limits.h"

namespace minnow::service {

namespace {

using engine::Clock;

std::string_view View(grpc::string_ref s) { return {s.data(), s.size()}; }

// The only value of a key, or nothing.
std::string_view Metadata(const grpc::ServerContextBase& context, const char* key) {
  const auto [first, last] = context.client_metadata().equal_range(key);
  return first == last || std::next(first) != last ? "" : View(first->second);
}

// It goes back to the caller and into the log: short and printable, or one of ours.
std::string RequestId(RpcHost& host, std::string_view given) {
  const auto plain = [](unsigned char c) { return c > ' ' && c < 0x7f && c != '"' && c != '\\'; };
  if (!given.empty() && given.size() <= 128 && std::all_of(given.begin(), given.end(), plain)) {
    return std::string(given);
  }
  return fmt::format("{:016x}{:08x}", host.id, ++host.n_calls);
}

bool IsTraceparent(std::string_view s) {
  const auto fits = [](unsigned char c) { return c == '-' || std::isxdigit(c); };
  return s.size() == 55 && std::all_of(s.begin(), s.end(), fits);
}

// A deadline that is centuries away, as HTTP/2's header can say, has no place in 64 bits of
// nanoseconds: it becomes one of a century.
engine::Deadline DeadlineOf(const grpc::ServerContextBase& context, double default_seconds) {
  constexpr double kCentury = 3e9;
  double seconds = default_seconds;
  if (const gpr_timespec deadline = context.raw_deadline();
      gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) != 0) {
    const gpr_timespec left = gpr_time_sub(deadline, gpr_now(deadline.clock_type));
    seconds = static_cast<double>(left.tv_sec) + left.tv_nsec * 1e-9;
  }
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(
                            std::chrono::duration<double>(std::min(seconds, kCentury)));
}

grpc::Status ToGrpc(const Failure& failure) {
  if (failure.ok()) return grpc::Status::OK;
  return {static_cast<grpc::StatusCode>(failure.grpc_code()), failure.status.message(),
          failure.Details()};
}

Failure CancelledFailure(const CallInfo& info) {
  return Clock::now() >= info.deadline
             ? Status(Code::kDeadline, "the deadline passed")
             : Status(Code::kCancelled, "the client cancelled, or is gone");
}

}  // namespace

RpcHost::RpcHost() : writer(1), workers(2) {
  RAND_bytes(reinterpret_cast<unsigned char*>(&id), sizeof id);
}

grpc::ServerGenericBidiReactor* Rpc::Begin(RpcHost& host, const Router& router,
                                           grpc::GenericCallbackServerContext* context) {
  const auto rpc = std::make_shared<Rpc>(host, context);
  rpc->self_ = rpc;
  {
    const std::lock_guard lock(host.mutex);
    host.live.emplace(rpc.get(), rpc);
  }
  rpc->method_ = router.Find(context->method());
  rpc->failure_ = rpc->Admit(rpc->method_);
  rpc->want_read_ = rpc->failure_.ok();
  rpc->refused_ = rpc->ending_ = rpc->ended_ = !rpc->failure_.ok();
  rpc->Pump();
  return &rpc->reactor_;
}

Rpc::Rpc(RpcHost& host, grpc::GenericCallbackServerContext* context)
    : host_(host), context_(context) {
  info_.method = context->method();
  info_.begun = Clock::now();
  info_.deadline = DeadlineOf(*context, host.options.default_deadline_seconds);
  info_.request_id = RequestId(host, Metadata(*context, "x-request-id"));
  info_.peer = context->peer();
  const std::string_view trace = Metadata(*context, "traceparent");
  if (IsTraceparent(trace)) info_.traceparent = trace;
  context->AddInitialMetadata("x-request-id", info_.request_id);
}

Failure Rpc::Admit(const Method* method) {
  const bool open = method && method->kind == Kind::kHealth && host_.options.open_health;
  if (!open && !host_.options.tokens.Accepts(Metadata(*context_, "authorization"))) {
    return Failure::Unauthenticated();
  }
  if (method == nullptr) {
    return Error(Code::kUnsupported, "there is no method {}", info_.method.substr(0, 128));
  }
  if (method->kind != Kind::kWork) return {};
  // Counted first: who drains sets the flag first and then looks at the count.
  counted_ = ++host_.n_work <= host_.options.max_requests && !host_.draining;
  if (counted_) return {};
  --host_.n_work;
  if (host_.draining) {
    return {Error(Code::kUnavailable, "the server is shutting down"), "DRAINING"};
  }
  Failure full(Error(Code::kExhausted, "{} requests are under way, which is all there may be",
                     host_.options.max_requests),
               "TOO_MANY_REQUESTS");
  full.retry_seconds = host_.rate.SecondsFor(host_.options.max_requests, Clock::now());
  return full;
}

void Rpc::Send(const google::protobuf::Message& message, std::function<void()> on_written) {
  const grpc::Slice bytes(message.SerializeAsString());
  Outgoing out{grpc::ByteBuffer(&bytes, 1), std::move(on_written)};
  const size_t size = out.bytes.Length();
  std::unique_lock lock(mutex_);
  if (ending_ || !lost_.ok()) {
    lock.unlock();
    if (out.on_written) out.on_written();
    return;
  }
  if (out.on_written || out_.empty() || unread_ + size <= host_.options.max_unread_bytes) {
    unread_ += size;
    out_.push_back(std::move(out));
    return Schedule();
  }
  lost_ = {Error(Code::kExhausted, "the client reads too slowly: more than {} bytes wait for it",
                 host_.options.max_unread_bytes),
           "SLOW_READER"};
  // Not here: the sender may hold what the handler's function wants.
  host_.writer.Post([self = shared_from_this()] { self->Lose({}); });
}

void Rpc::Finish(const Failure& failure, CallRecord record) {
  std::function<void()> cancel;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(ending_, true)) return;
    cancel = std::exchange(cancel_, nullptr);
  }
  // What the handler's function holds goes before the call can be seen to have ended: with the last
  // call the server may go, and what it stands on.
  cancel = nullptr;
  const std::lock_guard lock(mutex_);
  ended_ = true;
  failure_ = !lost_.ok() ? lost_ : failure;
  record_ = std::move(record);
  Schedule();
}

void Rpc::CancelWith(std::function<void()> cancel) {
  {
    const std::lock_guard lock(mutex_);
    if (ending_) return;
    if (lost_.ok()) {
      cancel_ = std::move(cancel);
      return;
    }
  }
  cancel();
}

void Rpc::ReadNext() {
  const std::lock_guard lock(mutex_);
  want_read_ = true;
  Schedule();
}

void Rpc::Cut() {
  {
    const std::lock_guard lock(mutex_);
    want_cut_ = true;
  }
  Pump();
}

// Under the lock: once a call has ended it may be gone from the server, and the server with it, as
// soon as others can see what is to be done.
void Rpc::Schedule() {
  if (scheduled_ || finished_) return;
  scheduled_ = true;
  host_.writer.Post([self = shared_from_this()] {
    {
      const std::lock_guard lock(self->mutex_);
      self->scheduled_ = false;
    }
    self->Pump();
  });
}

void Rpc::Pump() {
  const auto self = shared_from_this();
  std::unique_lock lock(mutex_);
  again_ = true;
  if (pumping_) return;
  pumping_ = true;
  while (again_ && !finished_) {
    again_ = false;
    const bool cut = std::exchange(want_cut_, false);
    const bool write = !writing_ && !out_.empty();
    if (write) {
      writing_ = true;
      writing_out_ = std::move(out_.front());
      out_.pop_front();
    }
    const bool finish = ended_ && !writing_ && out_.empty();
    const bool read = want_read_ && !reading_ && !ended_;
    if (read) {
      reading_ = true;
      want_read_ = false;
    }
    finished_ = finish;
    const grpc::Status status = finish ? ToGrpc(failure_) : grpc::Status();
    lock.unlock();
    if (cut) context_->TryCancel();
    if (read) reactor_.StartRead(&in_);
    if (write) reactor_.StartWrite(&writing_out_.bytes);
    if (finish) reactor_.Finish(status);
    lock.lock();
  }
  pumping_ = false;
}

void Rpc::ReadDone(bool ok) {
  {
    const std::lock_guard lock(mutex_);
    reading_ = false;
    if (ending_) return;
  }
  host_.workers.Post([self = shared_from_this(), ok] { self->Handle(ok); });
}

void Rpc::WriteDone(bool ok) {
  Outgoing written;
  {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    written = std::move(writing_out_);
    unread_ -= std::min(unread_, written.bytes.Length());
  }
  if (!ok) Lose(CancelledFailure(info_));
  if (written.on_written) written.on_written();
  Pump();
}

void Rpc::Cancelled() {
  Lose(CancelledFailure(info_));
  Pump();
}

void Rpc::Lose(Failure why) {
  std::deque<Outgoing> dropped;
  std::function<void()> cancel;
  {
    const std::lock_guard lock(mutex_);
    if (lost_.ok()) lost_ = std::move(why);  // the first reason counts
    dropped = std::move(out_);
    out_.clear();
    unread_ = 0;
    cancel = std::exchange(cancel_, nullptr);
  }
  for (const Outgoing& out : dropped) {
    if (out.on_written) out.on_written();
  }
  if (cancel) cancel();
}

void Rpc::Handle(bool ok) {
  if (!ok) {
    if (const auto requests = Stream()) return requests->OnHalfClose();
    return Finish(Error(Code::kInvalid, "the call has no request"), {});
  }
  Failure failure;
  try {
    failure = HandleMessage();
  } catch (const std::exception& e) {  // no memory, or a library's surprise: one call's loss
    failure = Error(Code::kInternal, "{}", e.what());
  }
  if (!failure.ok()) Finish(failure, {});
}

Failure Rpc::HandleMessage() {
  const std::unique_ptr<google::protobuf::Message> message(method_->prototype->New());
  grpc::ProtoBufferReader reader(&in_);
  const bool parsed = reader.status().ok() && message->ParseFromZeroCopyStream(&reader);
  in_.Clear();
  if (!parsed) {
    return Error(Code::kInvalid, "the request is no {}, or its strings are no UTF-8",
                 message->GetTypeName());
  }
  if (Failure failure = CheckLimits(*message); !failure.ok()) return failure;
  if (method_->one) return method_->one(shared_from_this(), *message);
  auto requests = Stream();
  if (!requests) {
    requests = method_->many(shared_from_this());
    const std::lock_guard lock(mutex_);
    requests_ = requests;
  }
  requests->OnMessage(*message);
  return {};
}

std::shared_ptr<Requests> Rpc::Stream() {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void Rpc::Done() {
  const std::shared_ptr<Rpc> self = std::move(self_);
  {
    const std::lock_guard lock(mutex_);
    requests_.reset();  // which may hold this call
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - info_.begun).count();
  host_.on_end({info_, record_, failure_.grpc_code(), failure_.ok() ? "" : failure_.reason_name(),
                method_ != nullptr, seconds});
  if (counted_) {
    // A call that the engine's queue refused says nothing about how fast work gets done.
    if (failure_.status.code() != Code::kExhausted) host_.rate.Ended(Clock::now());
    --host_.n_work;
  }
  const std::lock_guard lock(host_.mutex);
  host_.live.erase(this);
  host_.ended.notify_all();
}

}  // namespace minnow::service
