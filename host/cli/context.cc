// minnow context -m MODEL --save FILE [DOC]: reads a document once, for many questions later.
#include <nlohmann/json.hpp>

#include "cli/await.h"
#include "cli/cli.h"
#include "engine/context_file.h"

namespace minnow::cli {

namespace {

struct Options {
  ModelOptions model;
  std::string save;
  std::string file = "-";
  bool json = false;
};

struct Held {
  Status status;
  engine::RequestId hold;
  engine::Usage usage;
};

VerbResult Run(const Options& o) {
  MNW_ASSIGN(const std::string document, ReadInput(o.file));
  if (document.empty()) return Error(Code::kInvalid, "the document is empty");
  MNW_ASSIGN(OpenedModel opened, OpenModel(o.model, true));
  engine::HoldRequest request;
  MNW_ASSIGN(request.tokens, engine::DocumentPrefix(opened.engine->model(), document));
  request.adapter = opened.adapter_id();
  MNW_ASSIGN(const Held held, Await<Held>([&](auto done) {
               request.on_done = [done](Status status, engine::RequestId hold,
                                        engine::Usage usage) {
                 done({std::move(status), hold, usage});
               };
               return opened.engine->Hold(std::move(request));
             }));
  MNW_TRY(held.status);
  MNW_TRY(engine::SaveContext(*opened.engine, held.hold, document, o.save));
  if (o.json) {
    PrintJson({{"context", o.save},
               {"tokens", held.usage.prompt_tokens},
               {"fingerprint", opened.engine->identity(opened.adapter_id())}});
  } else {
    Print(fmt::format("{} tokens in {}\n", held.usage.prompt_tokens, o.save));
  }
  return kExitOk;
}

}  // namespace

void AddContext(CommandLine& line) {
  auto o = std::make_shared<Options>();
  Verb verb = line.AddVerb("context", "Read a document once, for generate and classify --context",
                           [o] { return Run(*o); });
  AddModelOptions(verb, o->model);
  AddLoraOption(verb, o->model);
  verb.Add("--save", o->save, "The file that the document and its state go to").Required();
  verb.Add("file", o->file, "The document; - or nothing reads stdin");
  verb.AddFlag("--json", o->json, "One JSON object instead of a line");
}

}  // namespace minnow::cli
