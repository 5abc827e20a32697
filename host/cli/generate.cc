// minnow generate -m MODEL -p TEXT -n N [--temp T] [--logprobs K] [--json]
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "cli/await.h"
#include "cli/cli.h"
#include "constrain/tool_calls.h"
#include "engine/classify.h"
#include "engine/extract.h"
#include "text/chat_template.h"

namespace minnow::cli {

namespace {

struct Options {
  ModelOptions model;
  engine::Sampling sampling;
  std::string prompt, context, on_overflow = "error";
  uint32_t n = 256;
  uint32_t n_logprobs = 0;
  std::vector<std::string> stop;
  std::string schema, regex, grammar, lark;  // files, but for the pattern
  std::vector<std::string> choice;
  std::string tools, tool_choice = "required", tool_format = "auto";
  bool chat = false;
  bool no_speculation = false;
  bool json = false;
};

nlohmann::ordered_json ToJson(const engine::GenerateResult& r, const text::Tokenizer& tokenizer,
                              uint32_t n_logprobs) {
  nlohmann::ordered_json tokens = nlohmann::ordered_json::array();
  nlohmann::ordered_json logprobs = nlohmann::ordered_json::array();
  for (const engine::GeneratedToken& t : r.tokens) {
    tokens.push_back(t.token);
    nlohmann::ordered_json top = nlohmann::ordered_json::array();
    for (const engine::TokenLogprob& l : t.top) {
      top.push_back(
          {{"token", l.token}, {"text", tokenizer.TokenBytes(l.token)}, {"logprob", l.logprob}});
    }
    logprobs.push_back({{"token", t.token}, {"logprob", t.logprob}, {"top", std::move(top)}});
  }
  nlohmann::ordered_json out{{"text", r.text},
                             {"tokens", std::move(tokens)},
                             {"finish_reason", engine::FinishReasonName(r.finish_reason)}};
  if (n_logprobs > 0) out["logprobs"] = std::move(logprobs);
  out["usage"] = {{"prompt_tokens", r.usage.prompt_tokens},
                  {"cached_tokens", r.usage.cached_tokens},
                  {"completion_tokens", r.usage.completion_tokens},
                  {"drafted_tokens", r.usage.drafted_tokens},
                  {"accepted_tokens", r.usage.accepted_tokens},
                  {"prefill_seconds", r.usage.prefill_seconds},
                  {"decode_seconds", r.usage.decode_seconds}};
  out["fingerprint"] = r.fingerprint;
  return out;
}

// What the answer has to be, by the one of the options that says so.
Result<constrain::Constraint> ReadConstraint(const Options& o, std::string_view document) {
  using Kind = constrain::Constraint::Kind;
  if (!o.schema.empty()) {
    MNW_ASSIGN(std::string text, ReadInput(o.schema));
    auto constraint = engine::SchemaConstraint(std::move(text), document);
    if (!constraint.ok()) return Status(constraint.status()).Annotate(o.schema);
    return constraint;
  }
  constrain::Constraint constraint;
  if (!o.regex.empty()) {
    constraint = {Kind::kRegex, o.regex, ""};
  } else if (!o.choice.empty()) {
    constraint = {Kind::kChoice, nlohmann::json(o.choice).dump(), ""};
  } else if (!o.grammar.empty() || !o.lark.empty()) {
    MNW_ASSIGN(std::string text, ReadInput(o.grammar.empty() ? o.lark : o.grammar));
    constraint = {o.grammar.empty() ? Kind::kLark : Kind::kGbnf, std::move(text), ""};
  }
  return constraint;
}

// The list in the file of --tools; nothing if there is none.
Result<std::optional<nlohmann::ordered_json>> ReadTools(const Options& o) {
  if (o.tools.empty()) {
    if (o.tool_choice == "required" && o.tool_format == "auto")
      return std::optional<nlohmann::ordered_json>();
    return Error(Code::kInvalid, "--tool-choice and --tool-format need --tools");
  }
  if (!o.chat && o.context.empty()) {
    return Error(Code::kInvalid,
                 "--tools needs --chat (or --context): the chat template tells the model of them");
  }
  MNW_ASSIGN(const std::string text, ReadInput(o.tools));
  auto tools = ParseJson(text);
  if (!tools.ok()) return std::move(tools).status().Annotate(o.tools);
  return std::optional(*std::move(tools));
}

Result<std::vector<text::TokenId>> EncodeTurn(const model::Model& model, std::string content,
                                              const std::optional<nlohmann::ordered_json>& tools) {
  if (!tools) return model.EncodeTurn(content);
  text::ChatInput input;
  input.messages = nlohmann::ordered_json::array(
      {nlohmann::ordered_json{{"role", "user"}, {"content", std::move(content)}}});
  input.tools = tools;
  input.now = std::time(nullptr);
  return model.EncodeChat(std::move(input));
}

VerbResult Run(const Options& o) {
  if (o.prompt == "-" && (o.tools == "-" || o.schema == "-" || o.grammar == "-" || o.lark == "-")) {
    return Error(Code::kInvalid, "-p - and an option's file: stdin can be one of the two");
  }
  MNW_ASSIGN(const std::string text,
             o.prompt == "-" ? ReadInput("-") : Result<std::string>(o.prompt));
  engine::GenerateRequest request;
  MNW_ASSIGN(const auto tools, ReadTools(o));
  if (tools) {
    auto calls = constrain::ToolCallsConstraint(*tools, o.tool_choice, o.tool_format);
    if (!calls.ok()) return std::move(calls).status().Annotate(o.tools);
    request.constraint = *std::move(calls);
  }
  MNW_ASSIGN(OpenedModel opened, OpenModel(o.model, o.json || !o.context.empty()));
  const model::Model& model = opened.engine->model();
  // What may be cut: the context's document, else the text.
  std::string document = text;
  if (!o.context.empty()) {
    MNW_ASSIGN(document, RestoreDocument(opened, o.context));
  }
  MNW_ASSIGN(const engine::OnOverflow how, engine::ReadOnOverflow(o.on_overflow));
  const uint32_t longest = opened.engine->longest();
  MNW_ASSIGN(engine::Fitted fitted,
             engine::FitDocument(
                 document, how, longest - std::min(longest, o.n), [&](std::string_view part) {
                   if (!o.context.empty()) {
                     return EncodeTurn(model, engine::DocumentTurn(part, text), tools);
                   }
                   return o.chat ? EncodeTurn(model, std::string(part), tools)
                                 : model.EncodeText(part);
                 }));
  request.prompt = std::move(fitted.prompt);
  if (!tools) {
    MNW_ASSIGN(request.constraint,
               ReadConstraint(o, o.context.empty() ? std::string_view() : document));
  }
  request.adapter = opened.adapter_id();
  request.max_tokens = o.n;
  request.sampling = o.sampling;
  request.n_logprobs = o.n_logprobs;
  request.stop = o.stop;
  request.speculate = !o.no_speculation;
  if (!o.json) {
    request.on_token = [](std::string_view piece, const engine::GeneratedToken&) {
      Print(piece);
      std::fflush(stdout);
    };
  }
  MNW_ASSIGN(const engine::GenerateResult result, Await<engine::GenerateResult>([&](auto done) {
               request.on_done = done;
               return opened.engine->Generate(std::move(request));
             }));
  MNW_TRY(result.status);
  if (o.json) {
    nlohmann::ordered_json out = ToJson(result, model.tokenizer(), o.n_logprobs);
    if (tools) {
      MNW_ASSIGN(const auto calls, constrain::CallsOf(result.text));
      nlohmann::ordered_json& list = out["tool_calls"] = nlohmann::ordered_json::array();
      for (const constrain::ToolCall& call : calls) {
        list.push_back({{"name", call.name}, {"arguments", call.arguments}});
      }
    }
    if (!fitted.kept.empty()) {
      out["overflow"] = OverflowJson(o.on_overflow, document.size(), fitted.kept);
    }
    PrintJson(out);
  } else {
    Print("\n");
  }
  return kExitOk;
}

}  // namespace

void AddGenerate(CommandLine& line) {
  auto o = std::make_shared<Options>();
  Verb verb = line.AddVerb("generate", "Continue a text, or answer it as one chat turn",
                           [o] { return Run(*o); });
  AddModelOptions(verb, o->model);
  AddLoraOption(verb, o->model);
  AddDraftOption(verb, o->model);
  AddSamplingOptions(verb, o->sampling);
  verb.Add("-p,--prompt", o->prompt, "The text; - reads stdin").Required();
  verb.Add("-n,--max-tokens", o->n, "Tokens of the answer, at most");
  verb.Add("--logprobs", o->n_logprobs, "With --json: log-probabilities of the K likeliest tokens");
  verb.Add("--stop", o->stop, "Text that ends the answer (may be repeated)");
  verb.Add("--schema", o->schema, "The answer is JSON of the schema in this file");
  verb.Add("--regex", o->regex, "The whole answer matches this pattern").Excludes("--schema");
  verb.Add("--grammar", o->grammar, "The answer obeys the GBNF grammar in this file")
      .Excludes("--schema")
      .Excludes("--regex");
  verb.Add("--lark", o->lark, "The same, in the spelling of Lark")
      .Excludes("--schema")
      .Excludes("--regex")
      .Excludes("--grammar");
  verb.Add("--choice", o->choice, "The answer is one of these, which commas separate")
      .CommaSeparated()
      .Excludes("--schema")
      .Excludes("--regex")
      .Excludes("--grammar")
      .Excludes("--lark");
  verb.Add("--tools", o->tools,
           "With --chat: the answer is calls of the tools in this file, a JSON list as of `minnow "
           "template --tools`")
      .Excludes("--schema")
      .Excludes("--regex")
      .Excludes("--grammar")
      .Excludes("--lark")
      .Excludes("--choice");
  verb.Add("--tool-choice", o->tool_choice,
           "required: at least one call; auto: calls, or an answer in words; or a tool's name: one "
           "call of that");
  verb.Add("--tool-format", o->tool_format,
           "How calls are written; auto: as the model's template does")
      .OneOf({"auto", "json", "hermes", "llama3"});
  verb.AddFlag("--chat", o->chat,
               "The text is a user's turn, put through the model's chat template");
  verb.Add("--context", o->context,
           "A file of `minnow context`: the text is a question about its document");
  AddOverflowOption(
      verb, o->on_overflow, std::size(engine::kOnOverflowNames) - 1,  // no chunk
      "What to keep of a text (with --context, of its document) that is too long: its "
      "head, its tail, or both without the middle");
  verb.AddFlag("--no-speculation", o->no_speculation,
               "Guess nothing ahead; the answer is the same, perhaps later");
  verb.AddFlag("--json", o->json, "One JSON object instead of text");
}

}  // namespace minnow::cli
