// minnow classify -m MODEL --labels a,b,c [--question Q] [--json] < DOC
#include "engine/classify.h"

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

void AddClassify(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* verb = AddVerb(app, "classify", "The probability of each label for a document",
                           [o] { return Run(*o); });
  AddModelOptions(*verb, o->model);
  AddLoraOption(*verb, o->model);
  verb->add_option("--labels", o->labels, "The labels, separated by commas")
      ->required()
      ->delimiter(',')
      ->allow_extra_args(false);
  verb->add_option("--question", o->question, "What is asked of the document");
  verb->add_option("file", o->file, "The document; - or nothing reads stdin");
  verb->add_flag("--json", o->json, "One JSON object instead of a table");
}

}  // namespace minnow::cli
