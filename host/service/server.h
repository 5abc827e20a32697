// The gRPC server: one door for every RPC.
//
// All RPCs arrive at one generic service of gRPC's callback API, whatever method they name. So what
// holds for every method is written once and no method can be forgotten: the token, the limits on
// requests, draining, the request's id, deadlines, one write in flight with a bounded queue behind
// it, and the end of the call for log and metrics. Then the router says who handles it.
//
//   gRPC's threads      door: token, limits ─ read, parse ─▶ workers: check limits, handler
//   executor, loop      Call::Send, Finish ─▶ writer's thread: StartWrite, one at a time
//
// A refusal needs none of the workers, so that it comes at once however much there is to do.
// Threads: any.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "service/router.h"
#include "service/tokens.h"

namespace minnow::service {

struct TlsOptions {  // PEM; certificate and key empty: no TLS
  std::string certificate, key;
  std::string client_ca;  // clients must show a certificate that one of these signed
};

struct ServerOptions {
  std::vector<std::string> listen;  // "127.0.0.1:50051", "[::1]:0", "unix:/run/minnow.sock"
  TlsOptions tls;
  Tokens tokens;
  bool open_health = false;            // health needs no token
  uint32_t max_requests = 256;         // under way at one time; more are refused
  size_t max_message_bytes = 4 << 20;  // of a request
  size_t max_metadata_bytes = 8 << 10;
  uint32_t max_streams = 100;             // of one connection
  double max_connection_age_seconds = 0;  // 0: no bound
  double default_deadline_seconds = 600;  // for calls that come without
  size_t max_unread_bytes = 256 << 10;    // of a call, queued for a client that reads slowly
};

// What happened to a call, for log and metrics.
struct CallEnd {
  const CallInfo& info;
  const CallRecord& record;
  int grpc_code;
  std::string reason;  // empty with OK
  bool known_method;
  double seconds;
};

class Server {
 public:
  // `router` outlives the server; `on_end` is called once for each call, on any thread.
  static Result<std::unique_ptr<Server>> Start(ServerOptions options, const Router& router,
                                               std::function<void(const CallEnd&)> on_end);
  ~Server();  // as Shutdown

  // The port of each address, as chosen where 0 was asked for; 0 for sockets.
  const std::vector<int>& ports() const;
  size_t most_connections() const;  // at one time, about; more are closed as they come
  uint32_t requests() const;        // kWork calls under way
  // From now on kWork is refused with UNAVAILABLE; what is under way goes on.
  void StopAdmitting();
  // Cuts what is left and returns when every call has ended.
  void Shutdown();

 private:
  Server();
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

// Can only this machine reach the address?
bool IsLocal(const std::string& address);

}  // namespace minnow::service
