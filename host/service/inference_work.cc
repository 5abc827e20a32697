#include "service/inference_work.h"

#include <algorithm>

namespace minnow::service {

using engine::Clock;
using engine::TokenId;

engine::Priority ToPriority(v1::Priority priority) {
  return priority == v1::PRIORITY_BATCH ? engine::Priority::kBatch : engine::Priority::kInteractive;
}

engine::Sampling ToSampling(const v1::Sampling& sampling) {
  engine::Sampling out;
  out.temperature = sampling.temperature();
  out.top_k = sampling.top_k();
  if (sampling.has_top_p()) out.top_p = sampling.top_p();
  out.min_p = sampling.min_p();
  out.seed = sampling.seed();
  return out;
}

void Fill(const engine::Usage& usage, v1::Usage* out) {
  out->set_prompt_tokens(usage.prompt_tokens);
  out->set_completion_tokens(usage.completion_tokens);
  out->set_cached_tokens(usage.cached_tokens);
  out->set_drafted_tokens(usage.drafted_tokens);
  out->set_accepted_tokens(usage.accepted_tokens);
}

void Fill(const engine::Usage& usage, v1::Timings* out) {
  out->set_queue_seconds(usage.queue_seconds);
  out->set_prefill_seconds(usage.prefill_seconds);
  out->set_decode_seconds(usage.decode_seconds);
}

engine::OnOverflow ToOnOverflow(v1::OnOverflow how) {
  return how == v1::ON_OVERFLOW_UNSPECIFIED ? engine::OnOverflow::kError
                                            : static_cast<engine::OnOverflow>(how - 1);
}

void Fill(v1::OnOverflow how, size_t document_bytes, std::span<const engine::ByteSpan> kept,
          v1::Overflow* out) {
  out->set_on_overflow(how);
  out->set_document_bytes(document_bytes);
  for (const engine::ByteSpan& span : kept) {
    v1::ByteSpan* s = out->add_kept();
    s->set_begin(span.begin);
    s->set_end(span.end);
  }
}

size_t RoomBeside(const engine::Engine& engine, uint32_t answer) {
  const uint32_t longest = engine.longest();
  return longest - std::min(longest, answer);
}

Failure Encode(const model::Model& model, const v1::Text& text, const std::string& field,
               std::vector<TokenId>* out) {
  switch (text.value_case()) {
    case v1::Text::kText: {
      auto tokens = model.EncodeText(text.text());
      if (!tokens.ok()) return Failure::AtField(field + ".text", tokens.status());
      *out = *std::move(tokens);
      return {};
    }
    case v1::Text::kTokens: {
      out->assign(text.tokens().ids().begin(), text.tokens().ids().end());
      const auto size = model.tokenizer().size();
      for (size_t i = 0; i < out->size(); ++i) {
        if (static_cast<size_t>((*out)[i]) < size) continue;
        return std::vector<Violation>{
            {fmt::format("{}.tokens.ids[{}]", field, i),
             fmt::format("{} is not in the vocabulary of {} tokens", (*out)[i], size)}};
      }
      return {};
    }
    case v1::Text::VALUE_NOT_SET:
      break;
  }
  return std::vector<Violation>{{field, "must have text or tokens"}};
}

Failure CheckConstraint(engine::Engine& engine, constrain::Constraint constraint,
                        uint32_t max_tokens, const std::string& field) {
  engine::GenerateRequest request;
  request.constraint = std::move(constraint);
  request.max_tokens = max_tokens;
  const Status status = engine.CheckConstraint(request);
  if (status.ok() || status.code() == Code::kInternal) return status;
  return std::vector<Violation>{
      {field, status.message()}};  // also of what is unsupported, too large
}

void Work::Finish(const Failure& failure, const engine::Usage& usage) {
  if (failure.status.code() != Code::kExhausted) rate.Ended(Clock::now());
  series.ObserveUsage(usage);
  series.end_to_end.Observe(SecondsSince(call->info().begun));
  // First the model, then the call: with the last call the server and its table may go.
  CallRecord record{use->full_name(), priority, usage};
  use.reset();
  call->Finish(failure, std::move(record));
}

Failure Refused(const CompletionRate& rate, const engine::Engine& engine, const Status& status) {
  if (status.code() != Code::kExhausted) return status;
  Failure failure(status, "QUEUE_FULL");
  failure.retry_seconds = rate.SecondsFor(engine.stats().queued, Clock::now());
  return failure;
}

Failure Taken(const std::shared_ptr<Work>& work, ModelUse use, Result<engine::RequestId> id) {
  if (!id.ok()) return Refused(work->rate, use->engine(), id.status());
  work->call->CancelWith([use = std::move(use), id = *id] { use->engine().Cancel(id); });
  return {};
}

About TakeAbout(ModelTable& models, ContextTable& contexts, const std::string& id,
                const std::string& model) {
  if (id.empty()) {
    ModelTable::Taken taken = models.TakeWithAdapter(model);
    return {std::move(taken.failure), std::move(taken.use), nullptr};
  }
  ContextTable::Context context;
  if (!contexts.Find(id, Clock::now(), &context)) {
    return {Failure(Error(Code::kNotFound,
                          "no context '{}': it was deleted, or not used for its time", id),
                    "CONTEXT_NOT_FOUND"),
            nullptr, nullptr};
  }
  const ModelTable::Taken taken = models.TakeWithAdapter(model.empty() ? context.full_name : model);
  if (!taken.use) return {taken.failure, nullptr, nullptr};
  if (taken.use->name() != context.model) {
    return {std::vector<Violation>{
                {"model", fmt::format("the context is of model '{}'", context.model)}},
            nullptr, nullptr};
  }
  return {{}, taken.use, context.document};
}

std::string ModelOf(ContextTable& contexts, const std::string& id, const std::string& model) {
  ContextTable::Context context;
  return model.empty() && contexts.Find(id, Clock::now(), &context) ? context.full_name : model;
}

}  // namespace minnow::service
