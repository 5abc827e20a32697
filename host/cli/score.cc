// minnow score -m MODEL [--prompt P] [--json] < TEXT
#include "engine/score.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/await.h"
#include "cli/cli.h"
#include "formats/printable.h"

namespace minnow::cli {

namespace {

struct Options {
  ModelOptions model;
  std::string prompt, file = "-";
  bool json = false;
};

VerbResult Run(const Options& o) {
  MNW_ASSIGN(const std::string text, ReadInput(o.file));
  if (text.empty()) return Error(Code::kInvalid, "the text is empty");
  MNW_ASSIGN(OpenedModel opened, OpenModel(o.model, o.json));
  const model::Model& model = opened.engine->model();
  engine::ContinuationsRequest request;
  request.adapter = opened.adapter_id();
  if (o.prompt.empty()) {
    MNW_ASSIGN(request.prompt, model.EncodeText(text));
  } else {
    MNW_ASSIGN(request.prompt, model.EncodeText(o.prompt));
    MNW_ASSIGN(request.continuations.emplace_back(), model.EncodeContinuation(text));
  }
  MNW_ASSIGN(const engine::ScoreResult result, Await<engine::ScoreResult>([&](auto done) {
               request.on_done = done;
               return engine::ScoreContinuations(*opened.engine, std::move(request));
             }));
  MNW_TRY(result.status);
  const engine::ContinuationScore& score = result.continuations[0];
  if (!o.json) {
    for (size_t i = 0; i < score.tokens.size(); ++i) {
      const bool known = std::isfinite(score.token_logprobs[i]);
      const std::string piece = model.tokenizer().Decode(std::span(score.tokens).subspan(i, 1));
      const std::string logprob = known ? fmt::format("{:9.4f}", score.token_logprobs[i]) : "-";
      const bool behind = o.prompt.empty() && i + 1 == score.tokens.size();
      Print(fmt::format("{:>9}  {}{}\n", logprob, formats::Printable(piece),
                        behind ? "  (likeliest to follow)" : ""));
    }
    Print(fmt::format("{:9.4f}  in all\n", score.logprob));
    return kExitOk;
  }
  nlohmann::ordered_json logprobs = nlohmann::ordered_json::array();
  for (const float logprob : score.token_logprobs) {
    logprobs.push_back(std::isfinite(logprob) ? nlohmann::ordered_json(logprob) : nullptr);
  }
  PrintJson({{"logprob", score.logprob},
             {"tokens", score.tokens},
             {"token_logprobs", std::move(logprobs)},
             {"usage",
              {{"prompt_tokens", result.usage.prompt_tokens},
               {"cached_tokens", result.usage.cached_tokens}}},
             {"fingerprint", result.fingerprint}});
  return kExitOk;
}

}  // namespace

void AddScore(CommandLine& line) {
  auto o = std::make_shared<Options>();
  Verb verb =
      line.AddVerb("score", "How probable a text is, token by token", [o] { return Run(*o); });
  AddModelOptions(verb, o->model);
  AddLoraOption(verb, o->model);
  verb.Add("--prompt", o->prompt, "What the text continues; without it, the text stands alone");
  verb.Add("file", o->file, "The text; - or nothing reads stdin");
  verb.AddFlag("--json", o->json, "One JSON object instead of a table");
}

}  // namespace minnow::cli
