#include "service/server.h"

#include <absl/synchronization/mutex.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <thread>

#include "service/listener.h"
#include "service/rpc.h"

namespace minnow::service {

namespace {

class Door final : public grpc::CallbackGenericService {
 public:
  Door(RpcHost& host, const Router& router) : host_(host), router_(router) {}
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    return Rpc::Begin(host_, router_, context);
  }

 private:
  RpcHost& host_;
  const Router& router_;
};

template <class T, void (*free)(T*)>
using Owned = std::unique_ptr<T, decltype([](T* t) { free(t); })>;

Owned<X509, X509_free> ReadCertificate(const std::string& pem) {
  const Owned<BIO, BIO_free_all> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return Owned<X509, X509_free>(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}

// gRPC would say so to nobody, and refuse each client.
Status CheckTls(const TlsOptions& tls) {
  if (tls.certificate.empty()) return {};
  const auto certificate = ReadCertificate(tls.certificate);
  const Owned<BIO, BIO_free_all> bio(
      BIO_new_mem_buf(tls.key.data(), static_cast<int>(tls.key.size())));
  const auto no_password = [](char*, int, int, void*) { return -1; };
  const Owned<EVP_PKEY, EVP_PKEY_free> key(
      PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr));
  const char* wrong = nullptr;
  if (!certificate) {
    wrong = "the TLS certificate is no certificate in PEM";
  } else if (!key) {
    wrong = "the TLS key is no private key in PEM, or has a password";
  } else if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    wrong = "the TLS key is not that of the certificate";
  } else if (!tls.client_ca.empty() && !ReadCertificate(tls.client_ca)) {
    wrong = "the certificates of clients are no certificate in PEM";
  }
  ERR_clear_error();
  return wrong ? Error(Code::kInvalid, "cannot serve: {}", wrong) : Status();
}

std::shared_ptr<grpc::ServerCredentials> Credentials(const TlsOptions& tls) {
  if (tls.certificate.empty()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(
      tls.client_ca.empty() ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                            : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = tls.client_ca;
  options.pem_key_cert_pairs.push_back({tls.key, tls.certificate});
  return grpc::SslServerCredentials(options);
}

void SetLimits(grpc::ServerBuilder& builder, const ServerOptions& o) {
  const auto set = [&](const char* name, double value) {
    builder.AddChannelArgument(name, static_cast<int>(std::min(value, 2e9)));
  };
  builder.SetMaxReceiveMessageSize(static_cast<int>(o.max_message_bytes));
  set(GRPC_ARG_MAX_METADATA_SIZE, static_cast<double>(o.max_metadata_bytes));
  set(GRPC_ARG_MAX_CONCURRENT_STREAMS, o.max_streams);
  if (o.max_connection_age_seconds > 0) {
    set(GRPC_ARG_MAX_CONNECTION_AGE_MS, o.max_connection_age_seconds * 1000);
    set(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, o.default_deadline_seconds * 1000);
  }
  // Finds peers that vanished, and refuses those that ping more than once in 10 s.
  set(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  set(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  set(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  set(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  // What all connections together may hold in messages that are not read yet.
  grpc::ResourceQuota quota("minnow");
  quota.Resize(size_t{512} << 20);
  builder.SetResourceQuota(quota);
}

}  // namespace

struct Server::Rep {
  RpcHost host;
  std::unique_ptr<Door> door;
  std::unique_ptr<Listener> listener;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor;
  std::unique_ptr<grpc::Server> server;
  bool down = false;                // guarded by host.mutex
  std::condition_variable go_down;  // its own: each end of a call would wake the watchdog
  std::thread watchdog;

  void Watch();
};

bool IsLocal(const std::string& address) {
  if (address.starts_with("unix:")) return true;
  const std::string host = address.substr(0, address.rfind(':'));
  return host == "localhost" || host == "[::1]" || host.starts_with("127.");
}

Server::Server() : rep_(std::make_unique<Rep>()) {}

Server::~Server() { Shutdown(); }

Result<std::unique_ptr<Server>> Server::Start(ServerOptions options, const Router& router,
                                              std::function<void(const CallEnd&)> on_end) {
  MNW_TRY(router.CheckComplete());
  MNW_TRY(CheckTls(options.tls));
  // The distribution's Abseil looks for deadlocks at each of gRPC's locks, under one lock for all:
  // that was a fifth of what a refusal took.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  std::unique_ptr<Server> server(new Server);
  Rep& rep = *server->rep_;
  rep.host.options = std::move(options);
  rep.host.on_end = std::move(on_end);
  rep.door = std::make_unique<Door>(rep.host, router);
  const ServerOptions& o = rep.host.options;
  grpc::ServerBuilder builder;
  SetLimits(builder, o);
  builder.RegisterCallbackGenericService(rep.door.get());
  using FromFd = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
  rep.acceptor =
      builder.experimental().AddExternalConnectionAcceptor(FromFd::FROM_FD, Credentials(o.tls));
  MNW_ASSIGN(rep.listener, Listener::Open(o.listen));
  rep.server = builder.BuildAndStart();
  if (rep.server == nullptr) return Error(Code::kInternal, "gRPC cannot start its server");
  rep.listener->Start([&rep](int fd) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.fd = fd;
    rep.acceptor->HandleNewConnection(&connection);
  });
  rep.watchdog = std::thread([&rep] { rep.Watch(); });
  return server;
}

// gRPC ends calls at their callers' deadlines. What it does not know is the default deadline, and a
// client that never takes the end of its answer.
void Server::Rep::Watch() {
  constexpr std::chrono::milliseconds kPeriod(250);
  constexpr std::chrono::seconds kGrace(2);
  std::unique_lock lock(host.mutex);
  while (!down) {
    go_down.wait_for(lock, kPeriod, [this] { return down; });
    const auto now = engine::Clock::now();
    std::vector<std::shared_ptr<Rpc>> late;
    for (const auto& [key, weak] : host.live) {
      if (auto rpc = weak.lock(); rpc && now > rpc->info().deadline + kGrace) {
        late.push_back(std::move(rpc));
      }
    }
    lock.unlock();
    for (const auto& rpc : late) rpc->Cut();
    late.clear();
    lock.lock();
  }
}

const std::vector<int>& Server::ports() const { return rep_->listener->ports(); }

size_t Server::most_connections() const { return rep_->listener->most_connections(); }

uint32_t Server::requests() const { return rep_->host.n_work; }

void Server::StopAdmitting() { rep_->host.draining = true; }

void Server::Shutdown() {
  if (!rep_->server) return;
  StopAdmitting();
  rep_->listener->Stop();
  rep_->server->Shutdown(std::chrono::system_clock::now());
  {
    std::unique_lock lock(rep_->host.mutex);
    rep_->host.ended.wait(lock, [this] { return rep_->host.live.empty(); });
    rep_->down = true;
  }
  rep_->go_down.notify_all();
  rep_->watchdog.join();
  rep_->server->Wait();
  rep_->server.reset();
}

}  // namespace minnow::service
