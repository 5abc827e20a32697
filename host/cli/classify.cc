// minnow classify -m MODEL --labels a,b,c [--question Q] [--json] < DOC
#include "engine/classify.h"

#include <nlohmann/json.hpp>

#include "cli/await.h"
#include "cli/cli.h"

namespace minnow::cli {

namespace {

struct Options {
  ModelOptions model;
  std::vector<std::string> labels;
  std::string question = "What kind of document is this?";
  std::string file = "-", context, on_overflow = "error";
  bool json = false;
};

struct Asked {
  engine::ClassifyResult result;
  std::vector<engine::ByteSpan> kept;  // of the document; empty: all of it, in one
};

// About the document, or about what of it fits.
Result<Asked> Ask(const OpenedModel& opened, std::string_view document, const Options& o) {
  const model::Model& model = opened.engine->model();
  MNW_ASSIGN(const engine::OnOverflow how, engine::ReadOnOverflow(o.on_overflow));
  MNW_ASSIGN(const uint32_t label, engine::LongestLabel(model, o.labels));
  const size_t room = opened.engine->longest() - std::min(opened.engine->longest(), label);
  const auto encode = [&](std::string_view part) {
    return model.EncodeTurn(engine::DocumentTurn(part, o.question));
  };
  const auto classify = [&](std::vector<engine::TokenId> prompt) {
    engine::ClassifyRequest request;
    request.prompt = std::move(prompt);
    request.labels = o.labels;
    request.adapter = opened.adapter_id();
    return Await<engine::ClassifyResult>([&](auto done) {
      request.on_done = done;
      return engine::Classify(*opened.engine, std::move(request));
    });
  };
  Asked asked;
  if (how != engine::OnOverflow::kChunk) {
    MNW_ASSIGN(engine::Fitted fitted, engine::FitDocument(document, how, room, encode));
    asked.kept = std::move(fitted.kept);
    MNW_ASSIGN(asked.result, classify(std::move(fitted.prompt)));
    return asked;
  }
  std::vector<engine::ClassifyResult> results;
  std::vector<double> weights;
  MNW_ASSIGN(asked.kept, engine::ChunkDocument(document, room, encode));
  for (const engine::ByteSpan& span : asked.kept) {
    MNW_ASSIGN(std::vector<engine::TokenId> prompt,
               encode(document.substr(span.begin, span.end - span.begin)));
    MNW_ASSIGN(results.emplace_back(), classify(std::move(prompt)));
    weights.push_back(static_cast<double>(span.end - span.begin));
  }
  asked.result = engine::MeanOfParts(results, weights);
  if (results.size() == 1) asked.kept.clear();
  return asked;
}

VerbResult Run(const Options& o) {
  const bool saved = !o.context.empty();
  if (saved && o.file != "-") {
    return Error(Code::kInvalid, "'{}' and --context: a context has its document in it", o.file);
  }
  std::string document;
  if (!saved) {
    MNW_ASSIGN(document, ReadInput(o.file));
    if (document.empty()) return Error(Code::kInvalid, "the document is empty");
  }
  MNW_ASSIGN(OpenedModel opened, OpenModel(o.model, o.json || saved));
  if (saved) {
    MNW_ASSIGN(document, RestoreDocument(opened, o.context));
  }
  MNW_ASSIGN(const Asked asked, Ask(opened, document, o));
  const engine::ClassifyResult& result = asked.result;
  MNW_TRY(result.status);
  if (!o.json) {
    for (const engine::LabelScore& l : result.labels)
      Print(fmt::format("{:8.4f}  {}\n", l.probability, l.label));
    return kExitOk;
  }
  nlohmann::ordered_json probabilities;
  for (const engine::LabelScore& l : result.labels) probabilities[l.label] = l.probability;
  nlohmann::ordered_json out{{"label", result.labels[result.best].label},
                             {"probability", result.labels[result.best].probability},
                             {"probabilities", std::move(probabilities)},
                             {"usage",
                              {{"prompt_tokens", result.usage.prompt_tokens},
                               {"cached_tokens", result.usage.cached_tokens}}},
                             {"fingerprint", result.fingerprint}};
  if (!asked.kept.empty()) {
    out["overflow"] = OverflowJson(o.on_overflow, document.size(), asked.kept);
  }
  PrintJson(out);
  return kExitOk;
}

}  // namespace

void AddClassify(CommandLine& line) {
  auto o = std::make_shared<Options>();
  Verb verb = line.AddVerb("classify", "The probability of each label for a document",
                           [o] { return Run(*o); });
  AddModelOptions(verb, o->model);
  AddLoraOption(verb, o->model);
  verb.Add("--labels", o->labels, "The labels, separated by commas").Required().CommaSeparated();
  verb.Add("--question", o->question, "What is asked of the document");
  verb.Add("file", o->file, "The document; - or nothing reads stdin");
  AddOverflowOption(
      verb, o->on_overflow, std::size(engine::kOnOverflowNames),
      "What to keep of a document that is too long: its head, its tail, both without the "
      "middle, or chunk: all, in parts, whose probabilities are averaged");
  verb.Add("--context", o->context, "A file of `minnow context`, instead of a document");
  verb.AddFlag("--json", o->json, "One JSON object instead of a table");
}

}  // namespace minnow::cli
