// What stands beside a tokenizer.json in a folder of Hugging Face's.
#include <filesystem>

#include "base/json.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "text/tokenizer_files.h"

namespace minnow::text {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// Real ones: megabytes where thousands of added tokens are listed, else kilobytes.
constexpr size_t kMaxConfigBytes = 64 << 20;

// Null where there is no such file.
Result<Json> ReadIfThere(const fs::path& path) {
  auto object = ReadJsonObject(path.string(), kMaxConfigBytes);
  if (!object.ok() && object.status().code() == Code::kNotFound) return Json();
  return object;
}

Result<std::string> ReadText(const fs::path& path) {
  MNW_ASSIGN(const MappedFile file, MappedFile::Open(path.string()));
  return std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
}

// A template of its own file comes before the one in tokenizer_config.json, which may be a list of
// templates with names.
Result<std::optional<std::string>> ReadTemplate(const fs::path& folder, const Json& config) {
  auto alone = ReadText(folder / "chat_template.jinja");
  if (alone.ok()) return std::optional(*std::move(alone));
  if (alone.status().code() != Code::kNotFound) return std::move(alone).status();
  if (!config.is_object() || !config.contains("chat_template")) return std::optional<std::string>();
  const Json& source = config["chat_template"];
  if (source.is_string()) return std::optional(source.get<std::string>());
  if (source.is_array()) {
    for (const Json& named : source) {
      const bool is_default = named.is_object() && named.value("name", Json()) == "default" &&
                              named.value("template", Json()).is_string();
      if (is_default) return std::optional(named["template"].get<std::string>());
    }
  } else if (source.is_null()) {
    return std::optional<std::string>();
  }
  return Error(
      Code::kUnsupported,
      "tokenizer_config.json: chat_template is neither a text nor a list of templates with "
      "one named 'default'");
}

// The ids with which generation_config.json, or config.json where it says nothing, lets an answer
// end.
Status AddEndTokens(const fs::path& folder, Vocabulary& v) {
  for (const char* name : {"generation_config.json", "config.json"}) {
    MNW_ASSIGN(const Json config, ReadIfThere(folder / name));
    if (!config.is_object() || !config.contains("eos_token_id")) continue;
    const Json& value = config["eos_token_id"];
    if (value.is_null()) continue;
    for (const Json& id : value.is_array() ? value : Json::array({value})) {
      if (!id.is_number_integer()) {
        return Error(Code::kCorrupt, "{}: eos_token_id is neither an id nor a list of ids", name);
      }
      if (id.is_number_unsigned() && id.get<uint64_t>() < v.pieces.size()) {
        v.end_tokens.push_back(id.get<TokenId>());
      } else {
        LogWarning("{}: eos_token_id {} is no token; ignored", (folder / name).string(), id.dump());
      }
    }
    return Status();
  }
  return Status();
}

}  // namespace

Result<ModelText> LoadTokenizerJson(const std::string& path) {
  const fs::path folder = fs::path(path).parent_path();
  auto json = ReadText(path);
  if (!json.ok()) {
    if (json.status().code() != Code::kNotFound) return std::move(json).status();
    return Error(Code::kNotFound,
                 "there is no '{}'; transformers' save_pretrained writes one for a fast tokenizer",
                 path);
  }
  MNW_ASSIGN(const Json config, ReadIfThere(folder / "tokenizer_config.json"));
  ModelText text;
  MNW_ASSIGN(text.vocabulary, ParseTokenizerJson(*json, config.is_object() ? config.dump() : ""));
  MNW_TRY(AddEndTokens(folder, text.vocabulary));
  MNW_ASSIGN(text.chat_template, ReadTemplate(folder, config));
  return text;
}

}  // namespace minnow::text
