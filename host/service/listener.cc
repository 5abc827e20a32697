#include "service/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "base/log.h"

namespace minnow::service {
namespace {

// For models, scripts, the log, HTTP and what libraries open; of a small limit a quarter.
constexpr size_t kReserved = 256;
constexpr int kAgainMs = 100;  // after an accept that failed for want of something
constexpr std::chrono::seconds kTellEvery(10);
constexpr unsigned kVanishedMs = 20'000;  // as the server's keepalive: unacknowledged for so long

Status CannotListen(const std::string& address, const char* why) {
  return Error(Code::kPrecondition, "cannot listen on {}: {}", address, why);
}

struct Fd {
  int fd = -1;
  ~Fd() {
    if (fd >= 0) ::close(fd);
  }
  int Release() { return std::exchange(fd, -1); }
};

int MakeSocket(int family) {
  return ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

void Set(int fd, int level, int option, int value) {
  ::setsockopt(fd, level, option, &value, sizeof value);
}

in_port_t& PortOf(sockaddr_storage& name) {
  return name.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(name).sin6_port
                                    : reinterpret_cast<sockaddr_in&>(name).sin_port;
}

// A socket's file without a server, as a killed one leaves it, may be replaced, and nothing else.
bool IsLeftOver(const std::string& path, const sockaddr_un& name) {
  struct stat file;
  if (::lstat(path.c_str(), &file) != 0 || !S_ISSOCK(file.st_mode)) return false;
  const Fd probe{MakeSocket(AF_UNIX)};
  return ::connect(probe.fd, reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0 &&
         errno == ECONNREFUSED;
}

}  // namespace

size_t RaiseDescriptorLimit() {
  struct rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  if (limit.rlim_cur < limit.rlim_max) {
    struct rlimit raised = limit;
    raised.rlim_cur = limit.rlim_max;
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return limit.rlim_cur;
}

size_t MostConnections(size_t n_descriptors) {
  return n_descriptors - std::min(kReserved, n_descriptors / 4);
}

Result<std::unique_ptr<Listener>> Listener::Open(const std::vector<std::string>& addresses) {
  std::unique_ptr<Listener> listener(new Listener);
  struct rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = 1024;
  listener->most_ = MostConnections(limit.rlim_cur);
  for (const std::string& address : addresses) MNW_TRY(listener->Listen(address));
  listener->stop_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (listener->stop_ < 0) return CannotListen(addresses[0], std::strerror(errno));
  return listener;
}

Listener::~Listener() {
  Stop();
  if (stop_ >= 0) ::close(stop_);
}

Status Listener::Listen(const std::string& address) {
  constexpr std::string_view kUnix = "unix:";
  if (address.starts_with(kUnix)) {
    // "unix:///run/x" is how URLs name it.
    std::string path = address.substr(kUnix.size());
    if (path.starts_with("///")) path.erase(0, 2);
    return ListenAtFile(address, path);
  }
  const size_t colon = std::min(address.rfind(':'), address.size());
  std::string host = address.substr(0, colon);
  const std::string port = address.substr(std::min(colon + 1, address.size()));
  uint16_t number = 0;
  const auto [end, wrong] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (wrong != std::errc() || end != port.data() + port.size()) {
    return CannotListen(address, "must be HOST:PORT or unix:PATH");
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  if (const int error =
          ::getaddrinfo(host.empty() ? nullptr : host.c_str(), port.c_str(), &hints, &found)) {
    return CannotListen(address, ::gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> all(found, ::freeaddrinfo);
  // A name may stand for several: all that this machine has, at the same port.
  int chosen = 0, error = 0;
  for (const addrinfo* a = found; a; a = a->ai_next) {
    sockaddr_storage name{};
    std::memcpy(&name, a->ai_addr, a->ai_addrlen);
    if (PortOf(name) == 0) PortOf(name) = htons(static_cast<in_port_t>(chosen));
    Fd socket{MakeSocket(a->ai_family)};
    Set(socket.fd, SOL_SOCKET, SO_REUSEADDR, 1);
    // [::] alone takes IPv4 too; beside an address of IPv4 it would find the port taken.
    if (a->ai_family == AF_INET6)
      Set(socket.fd, IPPROTO_IPV6, IPV6_V6ONLY, found->ai_next != nullptr);
    socklen_t length = sizeof name;
    if (socket.fd < 0 || ::bind(socket.fd, reinterpret_cast<sockaddr*>(&name), a->ai_addrlen) ||
        ::listen(socket.fd, SOMAXCONN) ||
        ::getsockname(socket.fd, reinterpret_cast<sockaddr*>(&name), &length)) {
      error = errno;
      continue;
    }
    chosen = ntohs(PortOf(name));
    sockets_.push_back(socket.Release());
  }
  if (chosen == 0) return CannotListen(address, std::strerror(error));
  ports_.push_back(chosen);
  return {};
}

Status Listener::ListenAtFile(const std::string& address, const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof name.sun_path) {
    return CannotListen(address, "a socket's path has 1 to 107 bytes");
  }
  std::memcpy(name.sun_path, path.data(), path.size());
  if (IsLeftOver(path, name)) ::unlink(path.c_str());
  Fd socket{MakeSocket(AF_UNIX)};
  if (socket.fd < 0 || ::bind(socket.fd, reinterpret_cast<sockaddr*>(&name), sizeof name) ||
      ::listen(socket.fd, SOMAXCONN)) {
    return CannotListen(address, std::strerror(errno));
  }
  sockets_.push_back(socket.Release());
  ports_.push_back(0);
  files_.push_back(path);
  return {};
}

void Listener::Start(std::function<void(int fd)> take) {
  take_ = std::move(take);
  thread_ = std::thread([this] { Run(); });
}

void Listener::Stop() {
  if (thread_.joinable()) {
    ::eventfd_write(stop_, 1);
    thread_.join();
  }
  for (const int socket : sockets_) ::close(socket);
  sockets_.clear();
  for (const std::string& file : files_) ::unlink(file.c_str());
  files_.clear();
}

void Listener::Run() {
  std::vector<struct pollfd> wanted{{stop_, POLLIN, 0}};
  for (const int socket : sockets_) wanted.push_back({socket, POLLIN, 0});
  for (;;) {
    ::poll(wanted.data(), wanted.size(), -1);
    if (wanted[0].revents) return;
    for (size_t i = 1; i < wanted.size(); ++i) {
      if (wanted[i].revents) AcceptAll(wanted[i].fd);
    }
  }
}

// The system gives the smallest number that is free, so a connection's tells how many are taken.
void Listener::AcceptAll(int listener) {
  for (;;) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EAGAIN) return;
      struct pollfd stop = {stop_, POLLIN, 0};
      ::poll(&stop, 1, kAgainMs);
      return;
    }
    if (static_cast<size_t>(fd) >= most_) {
      ::close(fd);
      TellRefused();
      continue;
    }
    Set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    Set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, kVanishedMs);
    take_(fd);
  }
}

void Listener::TellRefused() {
  const auto now = std::chrono::steady_clock::now();
  if (told_ != std::chrono::steady_clock::time_point() && now - told_ < kTellEvery) return;
  told_ = now;
  LogWarning("connections are refused: about {} are open, as many as descriptors allow (ulimit -n)",
             most_);
}

}  // namespace minnow::service
