// Addresses, and more connections than there can be.
#include "service/listener.h"

#include <arpa/inet.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "base/log.h"
#include "service/service_fixture.h"

namespace minnow::test {
namespace {

using service::Listener;

// With less than it has, for a test.
struct DescriptorLimit {
  explicit DescriptorLimit(rlim_t n) {
    ::getrlimit(RLIMIT_NOFILE, &before);
    const struct rlimit limit = {n, before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  ~DescriptorLimit() { ::setrlimit(RLIMIT_NOFILE, &before); }
  struct rlimit before;
};

int Connect(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(static_cast<in_port_t>(port));
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(fd >= 0);
  LONGS_EQUAL(0, ::connect(fd, reinterpret_cast<sockaddr*>(&name), sizeof name));
  return fd;
}

// A server of HTTP/2 speaks first.
bool IsServed(int fd) {
  const std::string hello("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
  char byte;
  return ::send(fd, hello.data(), hello.size(), MSG_NOSIGNAL) > 0 && ::recv(fd, &byte, 1, 0) == 1;
}

grpc::Status Check(const std::shared_ptr<grpc::Channel>& channel) {
  Context context;
  grpc::health::v1::HealthCheckResponse response;
  return grpc::health::v1::Health::NewStub(channel)->Check(&context, {}, &response);
}

TEST_GROUP(Listener) {
  TempDir dir;
  ServiceFixture f;
  LogLevel log_level = SetLogLevel(LogLevel::kOff);

  void setup() override { f.runtime_options.model_dirs = {dir.path()}; }
  void teardown() override { SetLogLevel(log_level); }
};

// Both ends of the connections are here, so each takes two descriptors.
TEST(Listener, ClosesConnectionsThatAreTooManyAndServesOn) {
  const DescriptorLimit limit(400);
  f.Start();
  LONGS_EQUAL(300, f.service->most_connections());
  const int port = f.service->ports()[0];
  for (int round = 0; round < 3; ++round) {
    std::vector<int> clients;
    size_t served = 0;
    for (int i = 0; i < 180; ++i) {
      clients.push_back(Connect(port));
      served += IsServed(clients.back());
    }
    CHECK(served > 50 && served < 180);
    for (const int client : clients) ::close(client);
    CHECK_GRPC_OK(Check(f.Channel()));
    // The server sees that they are gone a little later.
    int again = Connect(port);
    for (int i = 0; i < 1200 && !IsServed(again); ++i) {
      ::close(again);
      ::usleep(50'000);
      again = Connect(port);
    }
    CHECK(IsServed(again));
    ::close(again);
  }
}

TEST(Listener, GoesOnWhenNoDescriptorIsLeft) {
  f.Start();
  const int port = f.service->ports()[0];
  const auto channel = f.Channel();
  CHECK_GRPC_OK(Check(channel));
  std::vector<int> clients, all;
  {
    const DescriptorLimit limit(300);
    for (int fd; (fd = ::dup(0)) >= 0;) all.push_back(fd);  // somebody else's
    for (int i = 0; i < 2; ++i) {
      ::close(all.back());
      all.pop_back();
      clients.push_back(Connect(port));  // which takes the place, so nobody can accept it
    }
    CHECK_GRPC_OK(Check(channel));
    for (const int fd : all) ::close(fd);
  }
  for (const int client : clients) {
    CHECK(IsServed(client));
    ::close(client);
  }
}

TEST(Listener, RaisesTheLimitAsFarAsItMay) {
  struct rlimit limit;
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const DescriptorLimit less(256);
  UNSIGNED_LONGS_EQUAL(limit.rlim_max, service::RaiseDescriptorLimit());
  UNSIGNED_LONGS_EQUAL(19'744, service::MostConnections(20'000));
  UNSIGNED_LONGS_EQUAL(48, service::MostConnections(64));
}

TEST(Listener, ServesAtASocketsFileAndTakesItAway) {
  const std::string path = dir / "socket";
  f.options.server.listen = {"unix:" + path, "localhost:0", "127.0.0.1:0"};
  f.Start();
  const std::vector<int> ports = f.service->ports();
  LONGS_EQUAL(0, ports[0]);
  CHECK(ports[1] > 0 && ports[2] > 0 && ports[1] != ports[2]);
  for (const std::string& to : {"unix:" + path, fmt::format("127.0.0.1:{}", ports[1]),
                                fmt::format("127.0.0.1:{}", ports[2])}) {
    CHECK_GRPC_OK(Check(grpc::CreateChannel(to, grpc::InsecureChannelCredentials())));
  }
  f.Stop();
  CHECK(!std::filesystem::exists(path));
}

TEST(Listener, TakesTheFileOfAKilledServerButNobodyElses) {
  const std::string path = dir / "socket", address = "unix:" + path;
  {
    auto first = Listener::Open({address});
    CHECK_OK(first.status());
    CHECK_ERROR(Code::kPrecondition, "Address already in use", Listener::Open({address}).status());
    std::filesystem::rename(path, dir / "kept");
  }
  std::filesystem::rename(dir / "kept", path);  // of a server that could not tidy up
  CHECK_OK(Listener::Open({address}).status());
  std::ofstream(path) << "a file of somebody's";
  CHECK_ERROR(Code::kPrecondition, "Address already in use", Listener::Open({address}).status());
  CHECK(std::filesystem::file_size(path) > 0);
}

// Is anybody there?
bool Answers(sa_family_t family, const char* address, int port) {
  const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in6 six{};
  sockaddr_in four{};
  six.sin6_family = AF_INET6;
  four.sin_family = AF_INET;
  six.sin6_port = four.sin_port = htons(static_cast<in_port_t>(port));
  const bool is_six = family == AF_INET6;
  void* const bytes = is_six ? static_cast<void*>(&six.sin6_addr) : &four.sin_addr;
  LONGS_EQUAL(1, ::inet_pton(family, address, bytes));
  const int failed = is_six ? ::connect(fd, reinterpret_cast<sockaddr*>(&six), sizeof six)
                            : ::connect(fd, reinterpret_cast<sockaddr*>(&four), sizeof four);
  ::close(fd);
  return failed == 0;
}

TEST(Listener, TakesIPv4WhereItTakesAllOfIPv6) {
  const auto six = Listener::Open({"[::1]:0"});
  if (!six.ok()) return;  // this machine has no IPv6
  for (const char* address : {"[::]:0", ":0"}) {
    const auto all = Listener::Open({address});
    CHECK_OK(all.status());
    const int port = (*all)->ports()[0];
    CHECK_TEXT(Answers(AF_INET6, "::1", port), address);
    CHECK_TEXT(Answers(AF_INET, "127.0.0.1", port), address);
  }
  const int port = (*six)->ports()[0];
  CHECK(Answers(AF_INET6, "::1", port));
  CHECK(!Answers(AF_INET, "127.0.0.1", port));
  const auto four = Listener::Open({"0.0.0.0:0"});
  CHECK_OK(four.status());
  CHECK(Answers(AF_INET, "127.0.0.1", (*four)->ports()[0]));
  CHECK(!Answers(AF_INET6, "::1", (*four)->ports()[0]));
}

TEST(Listener, SaysWhichAddressItCannotHaveAndWhy) {
  auto first = Listener::Open({"127.0.0.1:0"});
  CHECK_OK(first.status());
  const std::string taken = fmt::format("127.0.0.1:{}", (*first)->ports()[0]);
  CHECK_ERROR(Code::kPrecondition,
              ("cannot listen on " + taken + ": Address already in use").c_str(),
              Listener::Open({"127.0.0.1:0", taken}).status());
  CHECK_ERROR(Code::kPrecondition, "192.0.2.1:0: Cannot assign",
              Listener::Open({"192.0.2.1:0"}).status());
  for (const char* bad : {"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:99999",
                          "127.0.0.1:-1", "[::1:0", "unix:"}) {
    CHECK_ERROR(Code::kPrecondition, "cannot listen on ", Listener::Open({bad}).status());
  }
  CHECK_ERROR(Code::kPrecondition, "1 to 107 bytes",
              Listener::Open({"unix:/" + std::string(200, 'x')}).status());
}

}  // namespace
}  // namespace minnow::test
