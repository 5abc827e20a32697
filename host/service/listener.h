// Accepts connections in gRPC's place.
//
// gRPC 1.51 gives an address up for good when one accept fails, which it does when descriptors are
// used up: whoever opened enough connections would have ended the service for everybody, until it
// was started anew. This one closes at once what comes beyond a bound, which leaves descriptors for
// models and scripts, and goes on. Threads: any; one of its own accepts.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"

namespace minnow::service {

// Raises the limit of this process as far as it may. How many descriptors there may be then.
size_t RaiseDescriptorLimit();
// How many connections that leaves for clients, when what else needs descriptors has its part.
size_t MostConnections(size_t n_descriptors);

class Listener {
 public:
  // "127.0.0.1:50051", "[::1]:0", "localhost:50051", "unix:/run/minnow.sock"; "[::]:50051" and
  // ":50051" are all addresses of IPv6 and IPv4. A socket's file that nobody listens at any more is
  // replaced.
  static Result<std::unique_ptr<Listener>> Open(const std::vector<std::string>& addresses);
  ~Listener();  // as Stop; clients see that nobody is there

  // The port of each address, as chosen where 0 was asked for; 0 for sockets.
  const std::vector<int>& ports() const { return ports_; }
  size_t most_connections() const { return most_; }

  // `take` gets a connection, from one thread, and closes it in the end.
  void Start(std::function<void(int fd)> take);
  // No connection comes after this.
  void Stop();

 private:
  Listener() = default;
  Status Listen(const std::string& address);
  Status ListenAtFile(const std::string& address, const std::string& path);
  void Run();
  void AcceptAll(int listener);
  void TellRefused();

  std::vector<int> sockets_, ports_;
  std::vector<std::string> files_;  // of sockets, removed in the end
  size_t most_ = 0;
  std::function<void(int)> take_;
  int stop_ = -1;  // an eventfd
  std::thread thread_;
  std::chrono::steady_clock::time_point told_{};
};

}  // namespace minnow::service
