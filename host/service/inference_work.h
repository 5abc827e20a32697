// What the methods of minnow.v1.Inference share: a call's request to the engine, and messages for
// what the engine says. Threads: as Call's handlers, and the executor's where callbacks use it.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "engine/overflow.h"
#include "minnow/v1/inference.pb.h"
#include "service/context_table.h"
#include "service/metrics.h"
#include "service/model_table.h"
#include "service/router.h"

namespace minnow::service {

using ModelUse = std::shared_ptr<const ModelTable::Use>;

engine::Priority ToPriority(v1::Priority priority);
engine::Sampling ToSampling(const v1::Sampling& sampling);
engine::OnOverflow ToOnOverflow(v1::OnOverflow how);
void Fill(const engine::Usage& usage, v1::Usage* out);
void Fill(const engine::Usage& usage, v1::Timings* out);
// What of a document is asked about; whole if `kept` is empty.
void Fill(v1::OnOverflow how, size_t document_bytes, std::span<const engine::ByteSpan> kept,
          v1::Overflow* out);

// The tokens that a prompt may have beside such an answer.
size_t RoomBeside(const engine::Engine& engine, uint32_t answer);

// A text's tokens, or what is wrong with it.
Failure Encode(const model::Model& model, const v1::Text& text, const std::string& field,
               std::vector<engine::TokenId>* out);

// What an answer cannot be made to be is wrong with the field that says it.
Failure CheckConstraint(engine::Engine& engine, constrain::Constraint constraint,
                        uint32_t max_tokens, const std::string& field);

// One request to the engine on behalf of a call.
struct Work {
  Work(CallPtr c, ModelUse u, engine::Priority p, Metrics& metrics)
      : call(std::move(c)),
        use(std::move(u)),
        priority(p),
        series(metrics.For(use->name(), p)),
        rate(metrics.RateOf(use->name())) {}

  void Finish(const Failure& failure, const engine::Usage& usage);
  static double SecondsSince(engine::Clock::time_point begun) {
    return std::chrono::duration<double>(engine::Clock::now() - begun).count();
  }

  const CallPtr call;
  ModelUse use;
  const engine::Priority priority;
  ModelSeries& series;
  CompletionRate& rate;
  engine::Clock::time_point last_token{};
  std::once_flag accepted;
};

// The engine's refusal of a request that was well-formed.
Failure Refused(const CompletionRate& rate, const engine::Engine& engine, const Status& status);

// After the engine has taken a request: the call's end, however it comes, reaches it. The model is
// held as long, since a cancellation may come late.
Failure Taken(const std::shared_ptr<Work>& work, ModelUse use, Result<engine::RequestId> id);

// The model and the document of a call about a context, or of one that has its own.
struct About {
  Failure failure;
  ModelUse use;  // null: see the failure
  std::shared_ptr<const std::string> document;
};

About TakeAbout(ModelTable& models, ContextTable& contexts, const std::string& id,
                const std::string& model);
// What such a call goes to: `model`, or if that is empty what the context was made for.
std::string ModelOf(ContextTable& contexts, const std::string& id, const std::string& model);

// Handles a request to `model`. Where its adapter is not loaded that is done when it is, by the
// thread that loads them: reading a file must not hold up other calls.
template <class Request, class Handle>
Failure WithAdapter(ModelTable& models, const std::string& model, const CallPtr& call,
                    const Request& request, Handle handle) {
  Failure failure = handle(call, request);
  if (!ModelTable::MustLoad(failure)) return failure;
  models.adapter_loader().Post([&models, model, call, request, handle] {
    Failure failure;
    try {
      const ModelTable::Taken loaded = models.LoadForRequest(model);
      failure = loaded.use ? handle(call, request) : loaded.failure;
    } catch (const std::exception& e) {  // as where handlers run otherwise
      failure = Error(Code::kInternal, "{}", e.what());
    }
    if (!failure.ok()) call->Finish(failure);
  });
  return {};
}

// The methods that have files of their own.
Failure Generate(ModelTable& models, Metrics& metrics, const CallPtr& call,
                 const v1::GenerateRequest& request);
Failure Chat(ModelTable& models, Metrics& metrics, ContextTable& contexts, const CallPtr& call,
             const v1::ChatRequest& request);
Failure Classify(ModelTable& models, Metrics& metrics, ContextTable& contexts, const CallPtr& call,
                 const v1::ClassifyRequest& request);
Failure Extract(ModelTable& models, Metrics& metrics, ContextTable& contexts, const CallPtr& call,
                const v1::ExtractRequest& request);

}  // namespace minnow::service
