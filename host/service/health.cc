// grpc.health.v1.Health.
#include "grpc/health/v1/health.pb.h"
#include "service/services.h"

namespace minnow::service {

namespace {

constexpr const char* kService = "grpc.health.v1.Health";
constexpr std::string_view kModels = "models/";

grpc::health::v1::HealthCheckResponse Response(int status) {
  grpc::health::v1::HealthCheckResponse response;
  response.set_status(static_cast<grpc::health::v1::HealthCheckResponse::ServingStatus>(status));
  return response;
}

}  // namespace

int Health::StatusOf(const std::string& service) const {
  using Status = grpc::health::v1::HealthCheckResponse;
  const auto serving = [&](bool s) { return s && ready_ ? Status::SERVING : Status::NOT_SERVING; };
  if (service.starts_with(kModels)) {
    const auto it = models_.find(service.substr(kModels.size()));
    return it == models_.end() ? -1 : serving(it->second);
  }
  const bool known =
      service.empty() || std::find(services_.begin(), services_.end(), service) != services_.end();
  return known ? serving(true) : -1;
}

void Health::Tell() {
  for (Watcher& watcher : watchers_) {
    const int status = StatusOf(watcher.service);
    if (status == watcher.last) continue;
    watcher.last = status;
    watcher.call->Send(
        Response(status < 0 ? grpc::health::v1::HealthCheckResponse::SERVICE_UNKNOWN : status));
  }
}

void Health::SetReady(bool ready) {
  const std::lock_guard lock(mutex_);
  ready_ = ready;
  Tell();
}

bool Health::ready() const {
  const std::lock_guard lock(mutex_);
  return ready_;
}

void Health::SetModel(const ModelStatus& model) {
  const std::lock_guard lock(mutex_);
  if (model.state == ModelState::kGone) {
    models_.erase(model.name);
  } else {
    models_[model.name] = model.state == ModelState::kReady;
  }
  Tell();
}

void Health::AddTo(Router& router) {
  namespace health = grpc::health::v1;
  router.Add<health::HealthCheckRequest>(
      kService, "Check", Kind::kHealth,
      [this](const CallPtr& call, const health::HealthCheckRequest& request) -> Failure {
        int status = 0;
        {
          const std::lock_guard lock(mutex_);
          status = StatusOf(request.service());
        }
        if (status < 0) return Error(Code::kNotFound, "there is no service of that name");
        call->Send(Response(status));
        call->Finish({});
        return {};
      });
  router.Add<health::HealthListRequest>(
      kService, "List", Kind::kHealth,
      [this](const CallPtr& call, const health::HealthListRequest&) -> Failure {
        health::HealthListResponse response;
        {
          const std::lock_guard lock(mutex_);
          const auto add = [&](const std::string& name) {
            (*response.mutable_statuses())[name] = Response(StatusOf(name));
          };
          add("");
          for (const std::string& name : services_) add(name);
          for (const auto& [name, serving] : models_) add(std::string(kModels) + name);
        }
        call->Send(response);
        call->Finish({});
        return {};
      });
  router.Add<health::HealthCheckRequest>(
      kService, "Watch", Kind::kHealth,
      [this](const CallPtr& call, const health::HealthCheckRequest& request) -> Failure {
        {
          const std::lock_guard lock(mutex_);
          watchers_.push_back({request.service(), call, -2});  // no status: the first is told
          Tell();
        }
        call->CancelWith([this, call] {
          {
            const std::lock_guard lock(mutex_);
            watchers_.remove_if([&](const Watcher& w) { return w.call == call; });
          }
          call->Finish(Status(Code::kCancelled, "cancelled"));
        });
        return {};
      });
  services_ = router.services();
}

}  // namespace minnow::service
