// minnow.v1.Inference, what is about contexts: documents that are sent once.
#include "engine/context_file.h"
#include "service/inference_work.h"
#include "service/services.h"

namespace minnow::service {

namespace {

using engine::Clock;
using Context = ContextTable::Context;

constexpr const char* kService = "minnow.v1.Inference";
constexpr uint32_t kDefaultTtl = 600;

// Of a pinned context. The model or its adapter may be gone by then, and its pins with it;
// another's are never meant, since no number is used twice.
std::shared_ptr<const ContextTable::Pin> MakePin(ModelTable& models, std::string model,
                                                 engine::RequestId hold) {
  return std::make_shared<const ContextTable::Pin>(hold, [&models, model, hold] {
    const ModelTable::Taken taken = models.Take(model);
    if (taken.use) taken.use->engine().Cancel(hold);
  });
}

Failure PinRefused(const Status& status) {
  return status.code() == Code::kExhausted ? Failure(status, "TOO_MANY_PINS") : Failure(status);
}

// Keeps it and tells the client.
Failure Keep(ContextTable& contexts, const CallPtr& call, const ModelUse& use, Context context,
             uint32_t n_tokens, uint32_t ttl, const engine::Usage& usage) {
  v1::Context response;
  response.set_pinned(context.pin != nullptr);
  Failure failure = contexts.Add(std::move(context), std::chrono::seconds(ttl), Clock::now(),
                                 response.mutable_id());
  if (!failure.ok()) return failure;
  response.set_model(use->full_name());
  response.set_document_tokens(n_tokens);
  response.set_ttl_seconds(ttl);
  call->Send(response);
  call->Finish({}, {use->full_name(), {}, usage});
  return {};
}

struct Making {
  ModelTable& models;
  ContextTable& contexts;
  CallPtr call;
  ModelUse use;
  std::shared_ptr<const std::string> document;
  uint32_t n_tokens, ttl;
};

void FinishPinned(const Making& m, Status status, engine::RequestId hold,
                  const engine::Usage& usage) {
  Failure failure = PinRefused(status);
  if (status.ok()) {
    failure = Keep(
        m.contexts, m.call, m.use,
        {m.use->name(), m.use->full_name(), m.document, MakePin(m.models, m.use->name(), hold)},
        m.n_tokens, m.ttl, usage);
  }
  if (!failure.ok()) m.call->Finish(failure, {m.use->full_name(), {}, usage});
}

Failure Create(ModelTable& models, ContextTable& contexts, const CallPtr& call,
               const v1::CreateContextRequest& request) {
  const ModelTable::Taken taken = models.TakeWithAdapter(request.model());
  if (!taken.use) return taken.failure;
  const model::Model& model = taken.use->model();
  auto tokens = model.EncodeContinuation(request.document());
  if (!tokens.ok()) return Failure::AtField("document", tokens.status());
  const Making making{models,
                      contexts,
                      call,
                      taken.use,
                      std::make_shared<const std::string>(request.document()),
                      static_cast<uint32_t>(tokens->size()),
                      request.has_ttl_seconds() ? request.ttl_seconds() : kDefaultTtl};
  if (!request.pin()) {
    return Keep(contexts, call, taken.use,
                {taken.use->name(), taken.use->full_name(), making.document}, making.n_tokens,
                making.ttl, {});
  }
  engine::HoldRequest hold;
  auto prefix = engine::DocumentPrefix(model, request.document());
  if (!prefix.ok()) return Failure::AtField("document", prefix.status());
  hold.tokens = *std::move(prefix);
  hold.deadline = call->info().deadline;
  hold.adapter = taken.use->adapter();
  hold.on_done = [making](Status status, engine::RequestId id, const engine::Usage& usage) {
    FinishPinned(making, std::move(status), id, usage);
  };
  const auto id = taken.use->engine().Hold(std::move(hold));
  if (!id.ok()) return id.status();
  call->CancelWith([use = taken.use, id = *id] { use->engine().Cancel(id); });
  return {};
}

Failure Delete(ContextTable& contexts, const CallPtr& call,
               const v1::DeleteContextRequest& request) {
  if (!contexts.Remove(request.id())) {
    return Failure(Error(Code::kNotFound, "no context '{}'", request.id()), "CONTEXT_NOT_FOUND");
  }
  call->Send(v1::DeleteContextResponse());
  call->Finish({}, {});
  return {};
}

Failure NoFolder() {
  return Failure(Error(Code::kPrecondition,
                       "this server keeps no contexts: it was started without "
                       "--context-dir"),
                 "NO_CONTEXT_FOLDER");
}

}  // namespace

Failure Inference::SaveContext(const CallPtr& call, const v1::SaveContextRequest& request) {
  if (context_dir_.empty()) return NoFolder();
  Context context;
  if (!contexts_.Find(request.id(), Clock::now(), &context)) {
    return Failure(Error(Code::kNotFound,
                         "no context '{}': it was deleted, or not used for its time", request.id()),
                   "CONTEXT_NOT_FOUND");
  }
  if (context.pin == nullptr) {
    return Failure(
        Error(Code::kPrecondition,
              "context '{}' is not pinned, and nothing of it is kept; create it with pin",
              request.id()),
        "CONTEXT_NOT_PINNED");
  }
  const auto path = engine::ContextPath(context_dir_, request.name());
  if (!path.ok()) return Failure::AtField("name", path.status());
  const ModelTable::Taken taken = models_.Take(context.model);
  if (!taken.use) return taken.failure;
  files_.Post([call, context, use = taken.use, path = *path] {
    const Status status =
        engine::SaveContext(use->engine(), context.pin->hold(), *context.document, path);
    if (status.ok()) call->Send(v1::SaveContextResponse());
    call->Finish(status, {context.full_name, {}, {}});
  });
  return {};
}

Failure Inference::RestoreContext(const CallPtr& call, const v1::RestoreContextRequest& request) {
  if (context_dir_.empty()) return NoFolder();
  const auto path = engine::ContextPath(context_dir_, request.name());
  if (!path.ok()) return Failure::AtField("name", path.status());
  const ModelTable::Taken taken = models_.TakeWithAdapter(request.model());
  if (!taken.use) return taken.failure;
  const uint32_t ttl = request.has_ttl_seconds() ? request.ttl_seconds() : kDefaultTtl;
  files_.Post([this, call, use = taken.use, path = *path, ttl] {
    auto restored = engine::RestoreContext(use->engine(), use->adapter(), path);
    Failure failure = restored.ok() ? Failure() : PinRefused(restored.status());
    if (restored.ok()) {
      failure = Keep(
          contexts_, call, use,
          {use->name(), use->full_name(), std::make_shared<const std::string>(restored->document),
           MakePin(models_, use->name(), restored->hold)},
          restored->n_tokens, ttl, {});
    }
    if (!failure.ok()) call->Finish(failure, {use->full_name(), {}, {}});
  });
  return {};
}

void Inference::AddContexts(Router& router) {
  router.Add<v1::CreateContextRequest>(
      kService, "CreateContext", Kind::kWork,
      [this](const CallPtr& call, const v1::CreateContextRequest& request) {
        return WithAdapter(
            models_, request.model(), call, request,
            [this](const auto& c, const auto& r) { return Create(models_, contexts_, c, r); });
      });
  router.Add<v1::DeleteContextRequest>(
      kService, "DeleteContext", Kind::kWork,
      [this](const CallPtr& call, const v1::DeleteContextRequest& request) {
        return Delete(contexts_, call, request);
      });
  router.Add<v1::SaveContextRequest>(
      kService, "SaveContext", Kind::kWork,
      [this](const CallPtr& call, const v1::SaveContextRequest& request) {
        return SaveContext(call, request);
      });
  router.Add<v1::RestoreContextRequest>(
      kService, "RestoreContext", Kind::kWork,
      [this](const CallPtr& call, const v1::RestoreContextRequest& request) {
        return WithAdapter(models_, request.model(), call, request,
                           [this](const auto& c, const auto& r) { return RestoreContext(c, r); });
      });
}

}  // namespace minnow::service
