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
  call->Send(response);
  call->Finish({}, {status->name, {}, {}});
  return {};
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
}

}  // namespace minnow::service
