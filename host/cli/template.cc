// minnow template (-m MODEL | --template FILE) --messages FILE.json [--tools FILE.json]
// [--no-generation-prompt]
#include <ctime>

#include "base/json.h"
#include "cli/cli.h"
#include "text/chat_template.h"
#include "text/tokenizer_files.h"

namespace minnow::cli {

namespace {

struct Options {
  std::string model, file, messages, tools, bos, eos, variables;
  bool no_generation_prompt = false;
  bool json = false;
};

// The template and its begin and end tokens, from the model if one is given.
Result<std::string> Source(const Options& o, text::ChatInput& input) {
  if (!o.bos.empty()) input.bos_token = o.bos;
  if (!o.eos.empty()) input.eos_token = o.eos;
  if (!o.file.empty()) return ReadInput(o.file);
  MNW_ASSIGN(text::ModelText text, text::LoadText(o.model));
  if (!text.chat_template)
    return Error(Code::kPrecondition, "model '{}' has no chat template; give one with --template",
                 o.model);
  const text::Vocabulary& vocabulary = text.vocabulary;
  const auto piece = [&](text::TokenId id, std::optional<std::string>& out) {
    if (id != text::kNoToken && !out) out = vocabulary.pieces[static_cast<size_t>(id)].bytes;
  };
  piece(vocabulary.bos, input.bos_token);
  piece(vocabulary.eos, input.eos_token);
  return *std::move(text.chat_template);
}

Result<nlohmann::ordered_json> ReadJson(const std::string& path) {
  MNW_ASSIGN(const std::string text, ReadInput(path));
  auto parsed = ParseJson(text);
  if (!parsed.ok()) return std::move(parsed).status().Annotate(path);
  return parsed;
}

VerbResult Run(const Options& o) {
  if (o.model.empty() == o.file.empty())
    return Error(Code::kInvalid, "give either -m MODEL or --template FILE");
  text::ChatInput input;
  MNW_ASSIGN(const std::string source, Source(o, input));
  MNW_ASSIGN(input.messages, ReadJson(o.messages));
  if (!o.tools.empty()) {
    MNW_ASSIGN(input.tools, ReadJson(o.tools));
  }
  if (!o.variables.empty()) {
    auto parsed = ParseJson(o.variables);
    if (!parsed.ok()) return std::move(parsed).status().Annotate("--variables");
    input.variables = *std::move(parsed);
  }
  input.add_generation_prompt = !o.no_generation_prompt;
  input.now = std::time(nullptr);
  MNW_ASSIGN(const text::ChatTemplate compiled, text::ChatTemplate::Compile(source));
  MNW_ASSIGN(const auto spans, compiled.Render(input));
  if (!o.json) {
    for (const auto& span : spans) Print(span.text);
    return kExitOk;
  }
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  for (const auto& span : spans) out.push_back({{"text", span.text}, {"control", span.control}});
  PrintJson(out);
  return kExitOk;
}

}  // namespace

void AddTemplate(CommandLine& line) {
  auto o = std::make_shared<Options>();
  Verb verb = line.AddVerb("template", "Messages through a chat template", [o] { return Run(*o); });
  verb.Add("-m,--model", o->model, "The model whose template to use");
  verb.Add("--template", o->file, "A template file instead");
  verb.Add("--messages", o->messages, "JSON list of messages; - is stdin").Required();
  verb.Add("--tools", o->tools, "JSON list of tool schemas");
  verb.Add("--variables", o->variables,
           "JSON object of further variables, such as enable_thinking");
  verb.Add("--bos-token", o->bos, "The template's bos_token");
  verb.Add("--eos-token", o->eos, "The template's eos_token");
  verb.AddFlag("--no-generation-prompt", o->no_generation_prompt, "Do not begin the reply");
  verb.AddFlag("--json", o->json, "Spans, each with who wrote it (control: the template)");
}

}  // namespace minnow::cli
