#include "service/server.h"

#include <thread>

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
  // A second server on the same port is a mistake, not a way to share it.
  set(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // What all connections together may hold in messages that are not read yet.
  grpc::ResourceQuota quota("minnow");
  quota.Resize(size_t{512} << 20);
  builder.SetResourceQuota(quota);
}

}  // namespace

struct Server::Rep {
  RpcHost host;
  std::unique_ptr<Door> door;
  std::unique_ptr<grpc::Server> server;
  std::vector<int> ports;
  bool down = false;
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
  std::unique_ptr<Server> server(new Server);
  Rep& rep = *server->rep_;
  rep.host.options = std::move(options);
  rep.host.on_end = std::move(on_end);
  rep.door = std::make_unique<Door>(rep.host, router);
  const ServerOptions& o = rep.host.options;
  grpc::ServerBuilder builder;
  SetLimits(builder, o);
  builder.RegisterCallbackGenericService(rep.door.get());
  const auto credentials = Credentials(o.tls);
  rep.ports.resize(o.listen.size());
  for (size_t i = 0; i < o.listen.size(); ++i) {
    builder.AddListeningPort(o.listen[i], credentials, &rep.ports[i]);
  }
  rep.server = builder.BuildAndStart();
  // gRPC says which address it could not have in its own log only; that of a socket is no port.
  if (rep.server == nullptr) {
    return Error(Code::kPrecondition,
                 "cannot listen on {}: the address is taken or not this machine's, or the "
                 "certificate and key do not fit",
                 fmt::join(o.listen, ", "));
  }
  for (size_t i = 0; i < o.listen.size(); ++i) {
    if (o.listen[i].starts_with("unix:")) rep.ports[i] = 0;
  }
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
    host.ended.wait_for(lock, kPeriod, [this] { return down; });
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

const std::vector<int>& Server::ports() const { return rep_->ports; }

uint32_t Server::requests() const { return rep_->host.n_work; }

void Server::StopAdmitting() { rep_->host.draining = true; }

void Server::Shutdown() {
  if (!rep_->server) return;
  StopAdmitting();
  rep_->server->Shutdown(std::chrono::system_clock::now());
  {
    std::unique_lock lock(rep_->host.mutex);
    rep_->host.ended.wait(lock, [this] { return rep_->host.live.empty(); });
    rep_->down = true;
  }
  rep_->host.ended.notify_all();
  rep_->watchdog.join();
  rep_->server->Wait();
  rep_->server.reset();
}

}  // namespace minnow::service
