#include "service/service.h"

#include "base/log.h"
#include "http/server.h"
#include "service/access_log.h"
#include "service/services.h"

namespace minnow::service {

// Destroyed from the last to the first: the doors close before what stands behind them.
struct Service::Rep {
  Rep(ServiceOptions o, engine::Runtime& r, script::Loop& l)
      : options(std::move(o)),
        runtime(r),
        loop(l),
        tokens(options.server.tokens),
        models(runtime, [this](const ModelStatus& status) { health.SetModel(status); }),
        pipeline_models(runtime, models),
        folder_models(pipeline_models, runtime),
        inference(models, metrics, options.context_dir),
        model_service(models),
        pipelines(loop,
                  options.scripts.untrusted ? static_cast<script::Models&>(folder_models)
                                            : pipeline_models,
                  options.scripts) {}

  void Ended(const CallEnd& end);
  http::Response Page(const http::Request& request);
  std::string MetricsPage();
  Status LoadModels();
  Status LoadPipelines();

  const ServiceOptions options;
  engine::Runtime& runtime;
  script::Loop& loop;
  const Tokens tokens;
  Metrics metrics;
  Health health;
  std::unique_ptr<AccessLog> log;
  ModelTable models;
  PipelineModels pipeline_models;
  script::FolderModels folder_models;
  Inference inference;
  ModelService model_service;
  PipelineService pipelines;
  Router router;
  std::unique_ptr<Server> server;
  std::unique_ptr<http::Server> http;
  std::thread loader;
};

Service::Service() = default;

Result<std::unique_ptr<Service>> Service::Start(ServiceOptions options, engine::Runtime& runtime,
                                                script::Loop& loop) {
  const ServerOptions& o = options.server;
  for (const std::string& address : o.listen) {
    if (IsLocal(address) || o.tokens.required() || !o.tls.client_ca.empty()) continue;
    return Error(Code::kInvalid,
                 "{} can be reached from other machines: give --token-file or --tls-client-ca, or "
                 "listen on 127.0.0.1 or unix:PATH",
                 address);
  }
  if (!options.http.empty() && !IsLocal(options.http) && !o.tokens.required()) {
    return Error(Code::kInvalid, "{} can be reached from other machines: give --token-file",
                 options.http);
  }
  std::unique_ptr<Service> service(new Service);
  service->rep_ = std::make_unique<Rep>(std::move(options), runtime, loop);
  Rep& rep = *service->rep_;
  if (!rep.options.access_log.empty()) {
    MNW_ASSIGN(rep.log, AccessLog::Open(rep.options.access_log));
  }
  rep.inference.AddTo(rep.router);
  rep.model_service.AddTo(rep.router);
  rep.pipelines.AddTo(rep.router);
  rep.health.AddTo(rep.router);
  AddReflection(rep.router);
  for (const auto& model : rep.options.models) rep.models.Announce(model.name);
  MNW_ASSIGN(rep.server, Server::Start(rep.options.server, rep.router,
                                       [&rep](const CallEnd& end) { rep.Ended(end); }));
  if (!rep.options.http.empty()) {
    MNW_ASSIGN(rep.http, http::Server::Start(rep.options.http, [&rep](const http::Request& r) {
                 return rep.Page(r);
               }));
  }
  return service;
}

Service::~Service() {
  if (!rep_) return;
  StopAdmitting();
  rep_->http.reset();
  if (rep_->loader.joinable()) rep_->loader.join();
  // Calls of pipelines end on the loop, which nobody runs any more: it is run here until they have.
  if (rep_->server) {
    std::thread closing([this] {
      rep_->server->Shutdown();
      rep_->loop.Stop();
    });
    rep_->loop.Run();
    closing.join();
  }
}

void Service::Load(std::function<void(Status)> done) {
  rep_->loader = std::thread([this, done = std::move(done)] {
    const Status status = rep_->LoadModels();
    rep_->loop.Post([this, done, status] {
      Status all = status;
      if (all.ok()) all = rep_->LoadPipelines();
      if (all.ok()) rep_->health.SetReady(true);
      done(std::move(all));
    });
  });
}

Status Service::Rep::LoadModels() {
  for (const auto& model : options.models) {
    LogInfo("loading {}", model.name);
    MNW_TRY(models.Load(model.name, model.path));
  }
  for (const auto& [model, path, scale] : options.adapters) {
    MNW_TRY(models.LoadAdapter(model, ServedName(path), scale, path).status);
  }
  return Status();
}

Status Service::Rep::LoadPipelines() {
  for (const std::string& path : options.pipelines) MNW_TRY(pipelines.Load(path));
  if (!options.pipelines.empty()) pipelines.Watch();
  return Status();
}

void Service::ReloadPipelines() { rep_->pipelines.Reload(); }

void Service::StopAdmitting() {
  rep_->health.SetReady(false);
  if (rep_->server) rep_->server->StopAdmitting();
}

uint32_t Service::requests() const { return rep_->server->requests(); }

const std::vector<int>& Service::ports() const { return rep_->server->ports(); }

size_t Service::most_connections() const { return rep_->server->most_connections(); }

int Service::http_port() const { return rep_->http ? rep_->http->port() : 0; }

void Service::Rep::Ended(const CallEnd& end) {
  metrics.CountCall(end.known_method ? end.info.method : "unknown", GrpcCodeName(end.grpc_code));
  if (log) log->Write(end);
}

http::Response Service::Rep::Page(const http::Request& request) {
  const bool is_health = request.path == "/health";
  if (!(is_health && options.server.open_health) && !tokens.Accepts(request.authorization)) {
    return {401, "text/plain", "a token is needed: Authorization: Bearer TOKEN\n"};
  }
  if (request.method != "GET") return {405, "text/plain", "GET only\n"};
  if (is_health) {
    return health.ready() ? http::Response{200, "text/plain", "ok\n"}
                          : http::Response{503, "text/plain", "not ready\n"};
  }
  if (request.path == "/metrics") return {200, "text/plain; version=0.0.4", MetricsPage()};
  return {404, "text/plain", "here are /health and /metrics\n"};
}

std::string Service::Rep::MetricsPage() {
  std::vector<Metrics::Gauge> gauges;
  for (const ModelStatus& status : models.List()) {
    const ModelTable::Taken taken = models.Take(status.name);
    if (taken.use) gauges.push_back({status.name, taken.use->engine().stats()});
  }
  return metrics.Print(gauges);
}

ServiceOptions::NamedModel ParseNamedModel(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals != std::string::npos && text.find('/') > equals) {
    return {text.substr(0, equals), text.substr(equals + 1)};
  }
  return {ServedName(text), text};
}

}  // namespace minnow::service
