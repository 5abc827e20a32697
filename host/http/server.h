// A small HTTP/1.1 server: libuv's sockets, Boost.Beast's parser, a thread of its own.
//
// For pages that a program makes at once (metrics, health). A request has a bound on its head, no
// body, and ten seconds to arrive; a connection answers one request after the other, and ends after
// what it cannot parse. Threads: the handler runs on the server's thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace minnow::http {

struct Request {
  std::string_view method, path;   // "GET", "/metrics"; the path without its query
  std::string_view authorization;  // the header's value, or empty
};

struct Response {
  int status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body;
};

using Handler = std::function<Response(const Request&)>;

class Server {
 public:
  // `address`: "127.0.0.1:9090", "[::1]:0". kPrecondition if it cannot be had.
  static Result<std::unique_ptr<Server>> Start(const std::string& address, Handler handler);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int port() const;

 private:
  Server();
  struct Rep;
  struct Connection;
  std::unique_ptr<Rep> rep_;
};

}  // namespace minnow::http
