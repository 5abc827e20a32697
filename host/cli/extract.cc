// minnow extract -m MODEL --schema S.json [--from-source] [-q INSTRUCTION] [-n MAX] [--json] < DOC
#include "engine/extract.h"

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "cli/await.h"
#include "cli/cli.h"
#include "engine/classify.h"
#include "engine/overflow.h"

namespace minnow::cli {

namespace {

struct Options {
  ModelOptions model;
  engine::Sampling sampling;
  std::string schema, instruction;
  std::string file = "-", context, on_overflow = "error";
  uint32_t n = engine::ExtractRequest().max_tokens;
  bool from_source = false;
  bool no_speculation = false;
  bool json = false;
};

Result<std::string> ReadSchema(const Options& o) {
  MNW_ASSIGN(std::string schema, ReadInput(o.schema));
  if (!o.from_source) return schema;
  auto grounded = engine::GroundStrings(schema);
  if (!grounded.ok()) return Status(grounded.status()).Annotate(o.schema);
  return grounded;
}

Result<nlohmann::ordered_json> ToJson(const engine::ExtractResult& result) {
  nlohmann::ordered_json fields = nlohmann::ordered_json::object();
  for (const engine::ExtractedField& field : result.fields) {
    nlohmann::ordered_json out{{"confidence", field.confidence}};
    if (!field.spans.empty()) {
      nlohmann::ordered_json spans = nlohmann::ordered_json::array();
      for (const engine::SourceSpan& span : field.spans)
        spans.push_back({{"begin", span.begin}, {"end", span.end}, {"line", span.line}});
      out["spans"] = std::move(spans);
    }
    if (!field.normalized.empty()) {
      MNW_ASSIGN(out["normalized"], ParseJson(field.normalized));
    }
    fields[field.pointer] = std::move(out);
  }
  MNW_ASSIGN(nlohmann::ordered_json value, ParseJson(result.json));
  return nlohmann::ordered_json{{"value", std::move(value)},
                                {"fields", std::move(fields)},
                                {"usage",
                                 {{"prompt_tokens", result.usage.prompt_tokens},
                                  {"cached_tokens", result.usage.cached_tokens},
                                  {"completion_tokens", result.usage.completion_tokens}}},
                                {"fingerprint", result.fingerprint}};
}

VerbResult Run(const Options& o) {
  const bool saved = !o.context.empty();
  if (saved && o.file != "-") {
    return Error(Code::kInvalid, "'{}' and --context: a context has its document in it", o.file);
  }
  if (!saved && o.file == "-" && o.schema == "-") {
    return Error(Code::kInvalid, "--schema - and the document: stdin can be one of the two");
  }
  engine::ExtractRequest request;
  MNW_ASSIGN(request.schema, ReadSchema(o));
  std::string instruction = o.instruction;
  if (instruction.empty()) {
    auto shown = engine::ExtractInstruction(request.schema);
    if (!shown.ok()) return Status(shown.status()).Annotate(o.schema);
    instruction = *std::move(shown);
  }
  if (!saved) {
    MNW_ASSIGN(request.document, ReadInput(o.file));
    if (request.document.empty()) return Error(Code::kInvalid, "the document is empty");
  }
  MNW_ASSIGN(OpenedModel opened, OpenModel(o.model, o.json || saved));
  if (saved) {
    MNW_ASSIGN(request.document, RestoreDocument(opened, o.context));
  }
  MNW_ASSIGN(const engine::OnOverflow how, engine::ReadOnOverflow(o.on_overflow));
  const uint32_t longest = opened.engine->longest();
  MNW_ASSIGN(
      engine::Fitted fitted,
      engine::FitDocument(
          request.document, how, longest - std::min(longest, o.n), [&](std::string_view part) {
            return opened.engine->model().EncodeTurn(engine::DocumentTurn(part, instruction));
          }));
  request.prompt = std::move(fitted.prompt);
  request.max_tokens = o.n;
  request.sampling = o.sampling;
  request.speculate = !o.no_speculation;
  request.adapter = opened.adapter_id();
  const size_t document_bytes = request.document.size();
  MNW_ASSIGN(const engine::ExtractResult result, Await<engine::ExtractResult>([&](auto done) {
               request.on_done = done;
               return engine::Extract(*opened.engine, std::move(request));
             }));
  MNW_TRY(result.status);
  if (!o.json) {
    Print(result.json + "\n");
    return kExitOk;
  }
  MNW_ASSIGN(nlohmann::ordered_json out, ToJson(result));
  if (!fitted.kept.empty()) {
    nlohmann::ordered_json kept = nlohmann::ordered_json::array();
    for (const engine::ByteSpan& span : fitted.kept) {
      kept.push_back(nlohmann::ordered_json::array({span.begin, span.end}));
    }
    out["overflow"] = {{"on_overflow", o.on_overflow},
                       {"document_bytes", document_bytes},
                       {"kept", std::move(kept)}};
  }
  PrintJson(out);
  return kExitOk;
}

}  // namespace

void AddExtract(CommandLine& line) {
  auto o = std::make_shared<Options>();
  Verb verb = line.AddVerb("extract", "A record out of a document, as JSON of a schema",
                           [o] { return Run(*o); });
  AddModelOptions(verb, o->model);
  AddLoraOption(verb, o->model);
  AddDraftOption(verb, o->model);
  AddSamplingOptions(verb, o->sampling);
  verb.Add("--schema", o->schema, "A file with the JSON Schema; - reads stdin").Required();
  verb.AddFlag("--from-source", o->from_source,
               "Strings that the schema does not limit otherwise are copied from the document");
  verb.Add("-q,--instruction", o->instruction,
           "What is asked of the document; without it, the form of the schema is shown");
  verb.Add("-n,--max-tokens", o->n, "Tokens of the JSON, at most; it is whole within them");
  verb.Add("file", o->file, "The document; - or nothing reads stdin");
  verb.Add("--on-overflow", o->on_overflow,
           "What the model reads of a document that is too long: its head, its tail, or both "
           "without the middle")
      .OneOf({"error", "head", "tail", "middle"});
  verb.Add("--context", o->context, "A file of `minnow context`, instead of a document");
  verb.AddFlag("--no-speculation", o->no_speculation,
               "Guess nothing ahead; the answer is the same, perhaps later");
  verb.AddFlag("--json", o->json, "With each value's confidence and places, and what it took");
}

}  // namespace minnow::cli
