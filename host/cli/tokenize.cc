// minnow tokenize -m MODEL [--no-bos] [--parse-special] [--json] < TEXT;  --decode the other way
// round
#include "base/json.h"
#include "cli/cli.h"
#include "text/tokenizer_files.h"

namespace minnow::cli {

namespace {

struct Options {
  std::string model;
  bool no_bos = false, parse_special = false, decode = false, json = false;
};

Result<std::vector<text::TokenId>> ParseIds(const std::string& input) {
  auto parsed = ParseJson(input);
  if (!parsed.ok()) return std::move(parsed).status().Annotate("stdin");
  const auto& list = *parsed;
  std::vector<text::TokenId> ids;
  if (!list.is_array()) return Error(Code::kInvalid, "stdin: expected a JSON list of token ids");
  for (const auto& id : list) {
    if (!id.is_number_integer())
      return Error(Code::kInvalid, "stdin: {} is no token id", id.dump());
    ids.push_back(id.get<text::TokenId>());
  }
  return ids;
}

VerbResult Run(const Options& o) {
  MNW_ASSIGN(const std::unique_ptr<text::Tokenizer> tokenizer, text::LoadTokenizer(o.model));
  MNW_ASSIGN(const std::string input, ReadInput("-"));
  if (o.decode) {
    MNW_ASSIGN(const auto ids, ParseIds(input));
    text::DecodeOptions options;
    options.skip_control = false;
    const std::string text = tokenizer->Decode(ids, options);
    if (o.json) {
      PrintJson(text);
    } else {
      Print(text);
    }
    return kExitOk;
  }
  text::EncodeOptions options;
  options.add_bos = !o.no_bos;
  MNW_ASSIGN(const auto ids, tokenizer->Encode(input, o.parse_special, options));
  if (o.json) {
    PrintJson(ids);
    return kExitOk;
  }
  for (text::TokenId id : ids) {
    const std::string piece(tokenizer->TokenBytes(id));
    Print(fmt::format(
        "{:8}  {}\n", id,
        nlohmann::json(piece).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)));
  }
  return kExitOk;
}

}  // namespace

void AddTokenize(CommandLine& line) {
  auto o = std::make_shared<Options>();
  Verb verb =
      line.AddVerb("tokenize", "Text from stdin to token ids, or back", [o] { return Run(*o); });
  verb.Add("-m,--model", o->model,
           "GGUF (a vocabulary is enough), Hugging Face folder, tokenizer.json or "
           "SentencePiece file")
      .Required();
  verb.AddFlag("--no-bos", o->no_bos, "Without the token that begins a text");
  verb.AddFlag("--parse-special", o->parse_special, "Recognize control tokens in the text");
  verb.AddFlag("--decode", o->decode, "A JSON list of ids from stdin to text");
  verb.AddFlag("--json", o->json, "JSON instead of a table");
}

}  // namespace minnow::cli
