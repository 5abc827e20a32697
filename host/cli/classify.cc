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
  std::string file = "-";
  bool json = false;
};

VerbResult Run(const Options& o) {
  MNW_ASSIGN(const std::string document, ReadInput(o.file));
  if (document.empty()) return Error(Code::kInvalid, "the document is empty");
  MNW_ASSIGN(OpenedModel opened, OpenModel(o.model));
  engine::ClassifyRequest request;
  MNW_ASSIGN(request.prompt,
             opened.engine->model().EncodeTurn(engine::DocumentTurn(document, o.question)));
  request.labels = o.labels;
  request.adapter = opened.adapter;
  MNW_ASSIGN(const engine::ClassifyResult result, Await<engine::ClassifyResult>([&](auto done) {
               request.on_done = done;
               return engine::Classify(*opened.engine, std::move(request));
             }));
  MNW_TRY(result.status);
  if (!o.json) {
    for (const engine::LabelScore& l : result.labels)
      Print(fmt::format("{:8.4f}  {}\n", l.probability, l.label));
    return kExitOk;
  }
  nlohmann::ordered_json probabilities;
  for (const engine::LabelScore& l : result.labels) probabilities[l.label] = l.probability;
  PrintJson({{"label", result.labels[result.best].label},
             {"probability", result.labels[result.best].probability},
             {"probabilities", std::move(probabilities)},
             {"usage", {{"prompt_tokens", result.usage.prompt_tokens}}}});
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
  verb.AddFlag("--json", o->json, "One JSON object instead of a table");
}

}  // namespace minnow::cli
