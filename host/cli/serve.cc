// minnow serve --model MODEL... [--pipeline FILE...] [--listen ADDRESS...]
//
// Exit codes: 0 everything that was admitted has ended by itself; 1 the drain deadline cut
// something; 2 and 3 as of all verbs; 130 a second signal while draining.
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "cli/cli.h"
#include "service/listener.h"
#include "service/service.h"

namespace minnow::cli {

namespace {

struct Options {
  ModelOptions model;
  ScriptOptions script;
  service::ServiceOptions service;
  std::vector<std::string> models, adapters;
  std::string tls_certificate, tls_key, tls_client_ca, token_file;
  uint32_t max_queued = 256;
  double drain_seconds = 30;
  bool untrusted = false;
};

// What an operator wants to see without asking.
template <class... Args>
void Tell(fmt::format_string<Args...> format, Args&&... args) {
  std::fprintf(stderr, "minnow: %s\n", fmt::format(format, std::forward<Args>(args)...).c_str());
}

Status ReadIfNamed(const std::string& path, std::string* out) {
  if (path.empty()) return Status();
  MNW_ASSIGN(*out, ReadInput(path));
  return Status();
}

Status Complete(Options& o) {
  service::ServerOptions& server = o.service.server;
  if (server.listen.empty()) server.listen.push_back("127.0.0.1:50051");
  if (o.tls_certificate.empty() != o.tls_key.empty()) {
    return Error(Code::kInvalid, "--tls-cert and --tls-key belong together");
  }
  if (!o.tls_client_ca.empty() && o.tls_certificate.empty()) {
    return Error(Code::kInvalid, "--tls-client-ca needs --tls-cert and --tls-key");
  }
  MNW_TRY(ReadIfNamed(o.tls_certificate, &server.tls.certificate));
  MNW_TRY(ReadIfNamed(o.tls_key, &server.tls.key));
  MNW_TRY(ReadIfNamed(o.tls_client_ca, &server.tls.client_ca));
  if (!o.token_file.empty()) {
    MNW_ASSIGN(server.tokens, service::Tokens::Load(o.token_file));
  }
  std::error_code error;
  if (const std::string& dir = o.service.context_dir;
      !dir.empty() && !std::filesystem::is_directory(dir, error)) {
    return Error(Code::kInvalid, "--context-dir: '{}' is no folder", dir);
  }
  for (const std::string& model : o.models) {
    o.service.models.push_back(service::ParseNamedModel(model));
  }
  for (const std::string& text : o.adapters) {
    const auto [adapter, scale] = SplitScale(text);
    const size_t colon = adapter.find(':');
    if (colon == std::string::npos || colon + 1 == adapter.size()) {
      return Error(Code::kInvalid,
                   "--lora {}: must be MODEL:ADAPTER, as requests name it, perhaps with =SCALE",
                   text);
    }
    o.service.adapters.push_back({adapter.substr(0, colon), adapter.substr(colon + 1), scale});
  }
  if (o.models.empty() && o.service.pipelines.empty() && o.model.model_dirs.empty()) {
    return Error(Code::kInvalid,
                 "nothing to serve: give --model, --pipeline, or --model-dir for clients to load "
                 "models from");
  }
  return Status();
}

// What signals do, on the loop: the first to end drains, the second ends the process; SIGHUP loads
// pipelines anew.
class Signals {
 public:
  Signals(script::Loop& loop, service::Service& service, double seconds)
      : loop_(loop), service_(service), seconds_(seconds) {
    for (Signal& signal : signals_) {
      uv_signal_init(loop.uv(), &signal.handle);
      signal.handle.data = this;
      uv_signal_start(
          &signal.handle, [](uv_signal_t* s, int) { static_cast<Signals*>(s->data)->Begin(); },
          signal.number);
    }
    uv_signal_init(loop.uv(), &reload_);
    reload_.data = this;
    uv_signal_start(
        &reload_,
        [](uv_signal_t* s, int) { static_cast<Signals*>(s->data)->service_.ReloadPipelines(); },
        SIGHUP);
    uv_timer_init(loop.uv(), &timer_);
    timer_.data = this;
  }
  ~Signals() {
    for (Signal& s : signals_) uv_close(reinterpret_cast<uv_handle_t*>(&s.handle), nullptr);
    uv_close(reinterpret_cast<uv_handle_t*>(&reload_), nullptr);
    uv_close(reinterpret_cast<uv_handle_t*>(&timer_), nullptr);
    uv_run(loop_.uv(), UV_RUN_NOWAIT);  // lets libuv forget the handles
  }
  bool cut() const { return cut_; }

 private:
  void Begin() {
    if (begun_) ::_exit(kExitInterrupted);  // the second time: at once
    begun_ = true;
    Tell("draining: {} requests under way, at most {} s", service_.requests(), seconds_);
    service_.StopAdmitting();
    end_ = uv_now(loop_.uv()) + static_cast<uint64_t>(seconds_ * 1000);
    uv_timer_start(
        &timer_, [](uv_timer_t* t) { static_cast<Signals*>(t->data)->Look(); }, 0, 20);
  }

  void Look() {
    cut_ = service_.requests() > 0;
    if (!cut_ || uv_now(loop_.uv()) >= end_) loop_.Stop();
  }

  struct Signal {
    int number;
    uv_signal_t handle{};
  };
  script::Loop& loop_;
  service::Service& service_;
  const double seconds_;
  Signal signals_[2] = {{SIGTERM}, {SIGINT}};
  uv_signal_t reload_;
  uv_timer_t timer_;
  uint64_t end_ = 0;
  bool begun_ = false, cut_ = false;
};

void TellAddresses(const Options& o, const service::Service& service) {
  for (size_t i = 0; i < o.service.server.listen.size(); ++i) {
    const std::string& address = o.service.server.listen[i];
    const std::string host = address.substr(0, address.rfind(':'));
    const int port = service.ports()[i];
    Tell("gRPC on {}", port > 0 ? fmt::format("{}:{}", host, port) : address);
  }
  Tell("at most {} connections (open files: ulimit -n)", service.most_connections());
  if (service.http_port() > 0) {
    const std::string host = o.service.http.substr(0, o.service.http.rfind(':'));
    Tell("metrics and health on http://{}:{}", host, service.http_port());
  }
}

VerbResult Run(Options& o) {
  MNW_TRY(Complete(o));
  MNW_TRY(ReadScriptOptions(o.script, &o.service.scripts.budget, &o.service.scripts.grants));
  if (o.untrusted) o.service.scripts.untrusted.emplace();
  std::signal(SIGPIPE, SIG_IGN);  // of clients that are gone
  service::RaiseDescriptorLimit();
  MNW_ASSIGN(const std::unique_ptr<script::Loop> loop, script::Loop::Create());
  MNW_ASSIGN(engine::RuntimeOptions runtime_options, ToRuntimeOptions(o.model));
  runtime_options.engine.max_queued = o.max_queued;
  for (auto& [model, draft] : runtime_options.drafts) {
    for (const service::ServiceOptions::NamedModel& named : o.service.models) {
      if (named.name == model) model = named.path;
    }
  }
  MNW_ASSIGN(const std::unique_ptr<engine::Runtime> runtime,
             engine::Runtime::Create(runtime_options));
  MNW_ASSIGN(const std::unique_ptr<service::Service> service,
             service::Service::Start(o.service, *runtime, *loop));
  TellAddresses(o, *service);
  Signals signals(*loop, *service, o.drain_seconds);
  Status loaded;
  service->Load([&](Status status) {
    loaded = std::move(status);
    if (!loaded.ok()) return loop->Stop();
    Tell("ready");
  });
  loop->Run();
  MNW_TRY(std::move(loaded));
  return signals.cut() ? kExitSomeFailed : kExitOk;
}

void AddServerOptions(Verb verb, Options& o) {
  service::ServerOptions& s = o.service.server;
  verb.Add("--listen", s.listen,
           "HOST:PORT or unix:PATH, may be repeated; default 127.0.0.1:50051");
  verb.Add("--http", o.service.http, "HOST:PORT of /metrics and /health; default: none");
  verb.Add("--tls-cert", o.tls_certificate, "Certificate chain (PEM)");
  verb.Add("--tls-key", o.tls_key, "Its private key (PEM)");
  verb.Add("--tls-client-ca", o.tls_client_ca,
           "Clients must show a certificate that one of these signed (PEM)");
  verb.Add("--token-file", o.token_file, "Bearer tokens, one a line; every method then needs one");
  verb.AddFlag("--open-health", s.open_health, "Health checks need no token");
  verb.Add("--max-requests", s.max_requests, "Under way at one time; more are refused")
      .InRange(1u, 100'000u);
  verb.Add("--max-queued", o.max_queued, "Of a model, waiting for the engine")
      .InRange(1u, 100'000u);
  verb.Add("--max-message", s.max_message_bytes, "Bytes of a request, such as 16M")
      .Bytes()
      .InRange(size_t{1024}, size_t{1} << 30);
  verb.Add("--max-streams", s.max_streams, "Calls at one time on a connection")
      .InRange(1u, 100'000u);
  verb.Add("--max-connection-age", s.max_connection_age_seconds,
           "Seconds until a connection is asked to end; 0: no bound")
      .InRange(0.0, 1e6);
  verb.Add("--default-deadline", s.default_deadline_seconds,
           "Seconds of a call that comes without a deadline")
      .InRange(0.001, 1e6);
  verb.Add("--drain-seconds", o.drain_seconds, "What requests have to end in after SIGTERM")
      .InRange(0.0, 1e6);
  verb.Add("--access-log", o.service.access_log,
           "File of JSON lines, one for each call; - is stderr; default: none");
}

}  // namespace

void AddServe(CommandLine& line) {
  auto o = std::make_shared<Options>();
  Verb verb = line.AddVerb("serve", "Models and pipelines over gRPC", [o] { return Run(*o); });
  AddRuntimeOptions(verb, o->model);
  AddDraftsOption(verb, o->model);
  verb.Add("-m,--model", o->models,
           "GGUF file or name in a model folder, perhaps as NAME=FILE; may be repeated");
  verb.Add("--lora", o->adapters,
           "LoRA adapter of a model, as MODEL:ADAPTER, a GGUF file, a PEFT folder or a name in a "
           "model folder, perhaps with =SCALE behind it; may be repeated");
  AddScriptOptions(verb, o->script);
  verb.Add("--pipeline", o->service.pipelines, "Lua file; may be repeated");
  AddUntrustedOption(verb, o->untrusted);
  verb.Add("--context-dir", o->service.context_dir,
           "Folder where clients may save contexts, by name, and restore them; default: none");
  AddServerOptions(verb, *o);
}

}  // namespace minnow::cli
