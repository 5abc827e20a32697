// minnow template (-m MODEL | --template FILE) --messages FILE.json [--tools FILE.json]
// [--no-generation-prompt]
#include <ctime>

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

void AddTemplate(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* verb =
      AddVerb(app, "template", "Messages through a chat template", [o] { return Run(*o); });
  verb->add_option("-m,--model", o->model, "The model whose template to use");
  verb->add_option("--template", o->file, "A template file instead");
  verb->add_option("--messages", o->messages, "JSON list of messages; - is stdin")->required();
  verb->add_option("--tools", o->tools, "JSON list of tool schemas");
  verb->add_option("--variables", o->variables,
                   "JSON object of further variables, such as enable_thinking");
  verb->add_option("--bos-token", o->bos, "The template's bos_token");
  verb->add_option("--eos-token", o->eos, "The template's eos_token");
  verb->add_flag("--no-generation-prompt", o->no_generation_prompt, "Do not begin the reply");
  verb->add_flag("--json", o->json, "Spans, each with who wrote it (control: the template)");
}

}  // namespace minnow::cli
