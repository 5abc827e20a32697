// minnow.v1.Models.
#include "minnow/v1/models.pb.h"
#include "service/services.h"

namespace minnow::service {

namespace {

constexpr const char* kService = "minnow.v1.Models";

void Fill(const ModelStatus& status, v1::Model* out) {
  static constexpr v1::ModelState kStates[] = {v1::MODEL_STATE_LOADING, v1::MODEL_STATE_READY,
                                               v1::MODEL_STATE_DRAINING, v1::MODEL_STATE_FAILED,
                                               v1::MODEL_STATE_UNSPECIFIED};
  out->set_name(status.name);
  out->set_state(kStates[static_cast<size_t>(status.state)]);
  out->set_error(status.error);
}

void Fill(const AdapterInfo& info, v1::Adapter* out) {
  out->set_name(info.name);
  out->set_scale(info.status.scale);
  out->set_rank(info.status.rank);
  out->set_bytes(info.status.bytes);
  out->set_requests(info.status.requests);
  out->set_stays(info.stays);
}

Failure Describe(ModelTable& models, const CallPtr& call, const v1::DescribeRequest& request) {
  const ModelTable::Taken taken = models.Take(request.name());
  if (!taken.use) return taken.failure;
  const auto status = models.Find(taken.use->name());
  if (!status.ok()) return status.status();
  const model::Model& model = taken.use->model();
  const model::Instance& instance = taken.use->engine().instance();
  const engine::EngineStats stats = taken.use->engine().stats();
  v1::DescribeResponse response;
  Fill(*status, response.mutable_model());
  response.set_title(model.name());
  response.set_architecture(model.architecture());
  response.set_context_tokens(instance.n_ctx());
  response.set_vocabulary(static_cast<uint32_t>(model.tokenizer().size()));
  response.set_has_chat_template(model.chat_template() != nullptr);
  response.set_is_encoder(instance.is_encoder());
  response.set_weight_bytes(instance.weight_bytes());
  response.set_state_bytes(instance.state_bytes());
  for (const std::string& name : instance.device_names()) response.add_devices(name);
  response.set_fingerprint(taken.use->engine().identity(0));
  response.mutable_load()->set_running(stats.running);
  response.mutable_load()->set_queued(stats.queued);
  response.mutable_load()->set_pages_used(stats.pages_used);
  response.mutable_load()->set_pages_total(stats.pages_total);
  for (const AdapterInfo& info : models.Adapters(*taken.use)) Fill(info, response.add_adapters());
  response.set_adapter_places(instance.options().adapter_slots);
  call->Send(response);
  call->Finish({}, {status->name, {}, {}});
  return {};
}

void LoadAdapter(ModelTable& models, const CallPtr& call, const v1::LoadAdapterRequest& request) {
  const float scale = request.has_scale() ? request.scale() : 1;
  Failure failure = models.LoadAdapter(request.model(), request.adapter(), scale);
  v1::LoadAdapterResponse response;
  std::string name;
  if (const auto taken = models.Take(request.model()); failure.ok() && taken.use) {
    name = taken.use->name();
    for (const AdapterInfo& info : models.Adapters(*taken.use)) {
      if (info.name == request.adapter() && info.stays) Fill(info, response.mutable_adapter());
    }
    call->Send(response);
  }
  call->Finish(failure, {name, {}, {}});
}

}  // namespace

void ModelService::AddTo(Router& router) {
  router.Add<v1::ListModelsRequest>(kService, "List", Kind::kAdmin,
                                    [this](const CallPtr& call, const v1::ListModelsRequest&) {
                                      v1::ListModelsResponse response;
                                      for (const ModelStatus& status : models_.List())
                                        Fill(status, response.add_models());
                                      call->Send(response);
                                      call->Finish({});
                                      return Failure();
                                    });
  router.Add<v1::DescribeRequest>(kService, "Describe", Kind::kAdmin,
                                  [this](const CallPtr& call, const v1::DescribeRequest& request) {
                                    return Describe(models_, call, request);
                                  });
  router.Add<v1::LoadRequest>(kService, "Load", Kind::kWork,
                              [this](const CallPtr& call, const v1::LoadRequest& request) {
                                admin_.Post([this, call, name = request.name()] {
                                  const Status status = models_.Load(name);
                                  v1::LoadResponse response;
                                  const auto model = models_.Find(name);
                                  if (status.ok() && model.ok()) {
                                    Fill(*model, response.mutable_model());
                                    call->Send(response);
                                  }
                                  call->Finish(Failure::AtField("name", status), {name, {}, {}});
                                });
                                return Failure();
                              });
  router.Add<v1::UnloadRequest>(kService, "Unload", Kind::kWork,
                                [this](const CallPtr& call, const v1::UnloadRequest& request) {
                                  const auto cancelled = std::make_shared<std::atomic<bool>>(false);
                                  call->CancelWith([cancelled] { *cancelled = true; });
                                  admin_.Post([this, call, cancelled, name = request.name()] {
                                    const Status status =
                                        models_.Unload(name, call->info().deadline, *cancelled);
                                    if (status.ok()) call->Send(v1::UnloadResponse());
                                    call->Finish(status, {name, {}, {}});
                                  });
                                  return Failure();
                                });
  router.Add<v1::LoadAdapterRequest>(
      kService, "LoadAdapter", Kind::kWork,
      [this](const CallPtr& call, const v1::LoadAdapterRequest& request) {
        models_.adapter_loader().Post(
            [this, call, request] { LoadAdapter(models_, call, request); });
        return Failure();
      });
  router.Add<v1::UnloadAdapterRequest>(
      kService, "UnloadAdapter", Kind::kWork,
      [this](const CallPtr& call, const v1::UnloadAdapterRequest& request) {
        models_.adapter_loader().Post([this, call, request] {
          const Failure failure = models_.UnloadAdapter(request.model(), request.adapter());
          if (failure.ok()) call->Send(v1::UnloadAdapterResponse());
          call->Finish(failure, {request.model(), {}, {}});
        });
        return Failure();
      });
}

}  // namespace minnow::service
