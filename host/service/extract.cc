// minnow.v1.Inference.Extract.
#include "engine/extract.h"

#include "engine/classify.h"
#include "service/inference_work.h"

namespace minnow::service {

namespace {

v1::ExtractResponse ToResponse(const engine::ExtractResult& result) {
  v1::ExtractResponse response;
  response.set_json(result.json);
  for (const engine::ExtractedField& field : result.fields) {
    v1::ExtractedField* out = response.add_fields();
    out->set_pointer(field.pointer);
    out->set_confidence(field.confidence);
    out->set_normalized(field.normalized);
    for (const engine::SourceSpan& span : field.spans) {
      v1::SourceSpan* s = out->add_spans();
      s->set_begin(span.begin);
      s->set_end(span.end);
      s->set_line(span.line);
    }
  }
  Fill(result.usage, response.mutable_usage());
  Fill(result.usage, response.mutable_timings());
  response.set_fingerprint(result.fingerprint);
  return response;
}

}  // namespace

Failure Extract(ModelTable& models, Metrics& metrics, ContextTable& contexts, const CallPtr& call,
                const v1::ExtractRequest& request) {
  if (request.document().empty() == request.context().empty()) {
    return std::vector<Violation>{{"document", "must be there, or a context: one of the two"}};
  }
  const engine::OnOverflow how = ToOnOverflow(request.on_overflow());
  if (how == engine::OnOverflow::kChunk) {
    return std::vector<Violation>{{"on_overflow",
                                   "is of Classify when it is CHUNK: a record is one answer; "
                                   "extract from each part by itself"}};
  }
  const About taken = TakeAbout(models, contexts, request.context(), request.model());
  if (!taken.use) return taken.failure;
  engine::ExtractRequest ask;
  ask.document = taken.document ? *taken.document : request.document();
  ask.schema = request.schema();
  if (request.has_max_tokens()) ask.max_tokens = request.max_tokens();
  ask.sampling = ToSampling(request.sampling());

  auto constraint = engine::SchemaConstraint(ask.schema, ask.document);
  if (!constraint.ok()) return Failure::AtField("schema", constraint.status());
  Failure refused =
      CheckConstraint(taken.use->engine(), *std::move(constraint), ask.max_tokens, "schema");
  if (!refused.ok()) return refused;

  std::string instruction = request.instruction();
  if (instruction.empty()) {
    auto shown = engine::ExtractInstruction(ask.schema);
    if (!shown.ok()) return Failure::AtField("schema", shown.status());
    instruction = *std::move(shown);
  }
  auto fitted = engine::FitDocument(
      ask.document, how, RoomBeside(taken.use->engine(), ask.max_tokens),
      [&](std::string_view part) {
        return taken.use->model().EncodeTurn(engine::DocumentTurn(part, instruction));
      });
  if (!fitted.ok() && fitted.status().code() == Code::kOutOfRange) return fitted.status();
  if (!fitted.ok()) return Failure::AtField("document", fitted.status());
  ask.prompt = std::move(fitted->prompt);
  v1::Overflow overflow;
  if (!fitted->kept.empty())
    Fill(request.on_overflow(), ask.document.size(), fitted->kept, &overflow);
  ask.priority = ToPriority(request.priority());
  ask.deadline = call->info().deadline;
  ask.adapter = taken.use->adapter();
  const auto work = std::make_shared<Work>(call, taken.use, ask.priority, metrics);
  ask.on_done = [work, overflow](const engine::ExtractResult& result) {
    if (!result.status.ok()) return work->Finish(result.status, result.usage);
    v1::ExtractResponse response = ToResponse(result);
    if (overflow.kept_size() > 0) *response.mutable_overflow() = overflow;
    work->call->Send(response);
    work->Finish({}, result.usage);
  };
  return Taken(work, taken.use, engine::Extract(taken.use->engine(), std::move(ask)));
}

}  // namespace minnow::service
