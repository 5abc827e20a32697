#include "http/server.h"

#include <uv.h>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <charconv>
#include <optional>
#include <thread>
#include <unordered_set>

namespace minnow::http {

namespace beast = boost::beast::http;

namespace {

constexpr uint32_t kMaxHead = 16 << 10;
constexpr uint64_t kRequestMilliseconds = 10'000;
constexpr size_t kMaxConnections = 256;

Status SplitAddress(const std::string& address, std::string* host, int* port) {
  const size_t colon = address.rfind(':');
  const char* const end = address.data() + address.size();
  if (colon != std::string::npos) {
    *host = address.substr(0, colon);
    if (host->starts_with('[') && host->ends_with(']')) *host = host->substr(1, host->size() - 2);
    const auto [rest, error] = std::from_chars(address.data() + colon + 1, end, *port);
    if (error == std::errc() && rest == end && *port >= 0 && *port < 65536) return Status();
  }
  return Error(Code::kInvalid, "'{}' is no address; give HOST:PORT, such as 127.0.0.1:9090",
               address);
}

std::string_view View(boost::beast::string_view s) { return {s.data(), s.size()}; }

std::string Serialize(const Response& r, bool keep_alive) {
  return fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: {}\r\n\r\n{}",
      r.status, View(beast::obsolete_reason(static_cast<beast::status>(r.status))), r.type,
      r.body.size(), keep_alive ? "keep-alive" : "close", r.body);
}

}  // namespace

struct Server::Rep {
  Handler handler;
  uv_loop_t loop;
  uv_tcp_t listener;
  uv_async_t stop;
  int port = 0;
  std::unordered_set<Connection*> connections;
  std::thread thread;
};

// Deleted when both of its handles are closed.
struct Server::Connection {
  explicit Connection(Rep& r) : rep(r) {
    uv_tcp_init(&rep.loop, &tcp);
    uv_timer_init(&rep.loop, &timer);
    tcp.data = timer.data = this;
    rep.connections.insert(this);
  }

  void Start() {
    Expect();
    uv_read_start(
        reinterpret_cast<uv_stream_t*>(&tcp),
        [](uv_handle_t* handle, size_t, uv_buf_t* buffer) {
          auto* self = static_cast<Connection*>(handle->data);
          *buffer = uv_buf_init(self->in, sizeof self->in);
        },
        [](uv_stream_t* stream, ssize_t n, const uv_buf_t*) {
          static_cast<Connection*>(stream->data)->Read(n);
        });
  }

  // A new request may begin; it has its time from now on.
  void Expect() {
    parser.emplace();
    parser->header_limit(kMaxHead);
    parser->body_limit(0);
    uv_timer_start(
        &timer, [](uv_timer_t* t) { static_cast<Connection*>(t->data)->Close(); },
        kRequestMilliseconds, 0);
  }

  void Read(ssize_t n) {
    if (n < 0) return Close();
    held.append(in, static_cast<size_t>(n));
    while (!closing && !writing && !held.empty()) {
      boost::system::error_code error;
      parser->eager(true);
      held.erase(0, parser->put(boost::asio::buffer(held), error));
      if (error == beast::error::need_more) {
        if (held.size() > kMaxHead) Answer({431, "text/plain", "the head is too large\n"}, false);
        return;
      }
      if (error) {
        const bool large = error == beast::error::header_limit;
        return Answer({large                               ? 431
                       : error == beast::error::body_limit ? 413
                                                           : 400,
                       "text/plain", "not understood\n"},
                      false);
      }
      if (parser->is_done()) Handle();
    }
  }

  void Handle() {
    const auto& message = parser->get();
    std::string_view path = View(message.target());
    path = path.substr(0, path.find('?'));
    const auto authorization = message[beast::field::authorization];
    const Response response =
        rep.handler({View(message.method_string()), path, View(authorization)});
    Answer(response, parser->keep_alive());
  }

  void Answer(const Response& response, bool keep) {
    keep_alive = keep;
    writing = true;
    out = Serialize(response, keep);
    const uv_buf_t buffer = uv_buf_init(out.data(), static_cast<unsigned>(out.size()));
    request.data = this;
    const auto done = [](uv_write_t* r, int error) {
      auto* self = static_cast<Connection*>(r->data);
      self->writing = false;
      if (error || !self->keep_alive) return self->Close();
      if (self->closing) return;
      self->Expect();
      self->Read(0);  // what came behind the request
    };
    if (uv_write(&request, reinterpret_cast<uv_stream_t*>(&tcp), &buffer, 1, done)) Close();
  }

  void Close() {
    if (closing) return;
    closing = true;
    rep.connections.erase(this);
    const auto closed = [](uv_handle_t* handle) {
      auto* self = static_cast<Connection*>(handle->data);
      if (++self->closed == 2) delete self;
    };
    uv_close(reinterpret_cast<uv_handle_t*>(&tcp), closed);
    uv_close(reinterpret_cast<uv_handle_t*>(&timer), closed);
  }

  Rep& rep;
  uv_tcp_t tcp;
  uv_timer_t timer;
  uv_write_t request;
  std::optional<beast::request_parser<beast::empty_body>> parser;
  char in[4096];
  std::string held, out;  // received and not parsed; being written
  bool writing = false, keep_alive = false, closing = false;
  int closed = 0;
};

Server::Server() : rep_(std::make_unique<Rep>()) {}

int Server::port() const { return rep_->port; }

Result<std::unique_ptr<Server>> Server::Start(const std::string& address, Handler handler) {
  std::string host;
  int port = 0;
  MNW_TRY(SplitAddress(address, &host, &port));
  sockaddr_storage name{};
  auto* const any = reinterpret_cast<sockaddr*>(&name);
  if (host == "localhost") host = "127.0.0.1";
  if (uv_ip4_addr(host.c_str(), port, reinterpret_cast<sockaddr_in*>(&name)) != 0 &&
      uv_ip6_addr(host.c_str(), port, reinterpret_cast<sockaddr_in6*>(&name)) != 0) {
    return Error(Code::kInvalid, "'{}' is no IP address", host);
  }
  std::unique_ptr<Server> server(new Server);
  Rep& rep = *server->rep_;
  rep.handler = std::move(handler);
  uv_loop_init(&rep.loop);
  uv_tcp_init(&rep.loop, &rep.listener);
  uv_async_init(&rep.loop, &rep.stop, [](uv_async_t* async) {
    Rep& r = *static_cast<Rep*>(async->data);
    while (!r.connections.empty()) (*r.connections.begin())->Close();
    uv_close(reinterpret_cast<uv_handle_t*>(&r.listener), nullptr);
    uv_close(reinterpret_cast<uv_handle_t*>(&r.stop), nullptr);
  });
  rep.listener.data = rep.stop.data = &rep;
  int error = uv_tcp_bind(&rep.listener, any, 0);
  if (!error) {
    error = uv_listen(
        reinterpret_cast<uv_stream_t*>(&rep.listener), 128, [](uv_stream_t* stream, int status) {
          if (status < 0) return;
          Rep& r = *static_cast<Rep*>(stream->data);
          auto* connection = new Connection(r);
          const bool taken =
              uv_accept(stream, reinterpret_cast<uv_stream_t*>(&connection->tcp)) == 0;
          if (!taken || r.connections.size() > kMaxConnections) {
            return connection->Close();
          }
          connection->Start();
        });
  }
  int length = sizeof name;
  if (!error) error = uv_tcp_getsockname(&rep.listener, any, &length);
  rep.port = ntohs(name.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&name)->sin6_port
                                              : reinterpret_cast<sockaddr_in*>(&name)->sin_port);
  rep.thread = std::thread([&rep] { uv_run(&rep.loop, UV_RUN_DEFAULT); });
  if (error) {
    return Error(Code::kPrecondition, "cannot listen on {}: {}", address, uv_strerror(error));
  }
  return server;
}

Server::~Server() {
  if (rep_->thread.joinable()) {
    uv_async_send(&rep_->stop);
    rep_->thread.join();
    uv_loop_close(&rep_->loop);
  }
}

}  // namespace minnow::http
