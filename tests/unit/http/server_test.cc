// The HTTP server against bytes on a socket.
#include "http/server.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test_util.h"

namespace minnow::test {
namespace {

class Client {
 public:
  explicit Client(int port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = htons(static_cast<uint16_t>(port));
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval limit{60, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    CHECK(::connect(fd_, reinterpret_cast<sockaddr*>(&name), sizeof name) == 0);
  }
  ~Client() { ::close(fd_); }

  void Send(std::string_view bytes) {
    (void)!::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  // All until the text has come, or the server has closed.
  std::string ReadUntil(std::string_view text) {
    std::string all;
    char buffer[4096];
    while (all.find(text) == std::string::npos) {
      const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
      if (n <= 0) return all + "(closed)";
      all.append(buffer, static_cast<size_t>(n));
    }
    return all;
  }
  std::string Ask(std::string_view bytes) {
    Send(bytes);
    return ReadUntil("(never)");
  }

 private:
  const int fd_;
};

TEST_GROUP(Http) {
  std::unique_ptr<http::Server> server;
  void setup() override {
    auto started = http::Server::Start("127.0.0.1:0", [](const http::Request& r) {
      return http::Response{200, "text/plain",
                            fmt::format("{} {} [{}]end", r.method, r.path, r.authorization)};
    });
    CHECK_OK(started.status());
    server = *std::move(started);
  }
};

TEST(Http, AnswersOneRequestAfterTheOther) {
  Client client(server->port());
  client.Send("GET /a?x=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n\r\n");
  const std::string first = client.ReadUntil("end");
  STRCMP_CONTAINS("HTTP/1.1 200 OK\r\n", first.c_str());
  STRCMP_CONTAINS("GET /a [Bearer t]end", first.c_str());
  client.Send("POST /b HTTP/1.1\r\nHost: x\r\n");
  client.Send("\r\nGET /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const std::string rest = client.ReadUntil("(never)");
  STRCMP_CONTAINS("POST /b []end", rest.c_str());
  STRCMP_CONTAINS("GET /c []end(closed)", rest.c_str());
}

TEST(Http, RefusesWhatItCannotParseAndCloses) {
  for (const char* bytes :
       {"nonsense\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\x16\x03\x01\x02",
        "GET / HTTP/1.1\r\nbroken line\r\n\r\n", "GET / HTTP/1.1\r\nContent-Length: -2\r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n"}) {
    const std::string answer = Client(server->port()).Ask(bytes);
    STRCMP_CONTAINS("HTTP/1.1 4", answer.c_str());
    STRCMP_CONTAINS("(closed)", answer.c_str());
  }
}

TEST(Http, BoundsTheHeadAndTheBody) {
  const std::string line = "GET / HTTP/1.1\r\nX: " + std::string(40'000, 'x');
  STRCMP_CONTAINS(" 431 ", Client(server->port()).Ask(line).c_str());
  STRCMP_CONTAINS(
      " 413 ",
      Client(server->port()).Ask("POST / HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n").c_str());
}

TEST(Http, EndsWithConnectionsOpen) {
  Client silent(server->port()), half(server->port());
  half.Send("GET / HT");
  server.reset();
  STRCMP_EQUAL("(closed)", silent.ReadUntil("x").c_str());
}

TEST(Http, RefusesAddressesThatAreNoneOrTaken) {
  const auto start = [](const std::string& address) {
    return http::Server::Start(address, [](const http::Request&) { return http::Response(); })
        .status();
  };
  CHECK_ERROR(Code::kInvalid, "HOST:PORT", start("9090"));
  CHECK_ERROR(Code::kInvalid, "HOST:PORT", start("127.0.0.1:70000"));
  CHECK_ERROR(Code::kInvalid, "no IP address", start("not-a-number:1"));
  CHECK_ERROR(Code::kPrecondition, "address already in use",
              start(fmt::format("127.0.0.1:{}", server->port())));
}

}  // namespace
}  // namespace minnow::test
