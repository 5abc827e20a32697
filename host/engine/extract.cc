#include "engine/extract.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/json.h"
#include "engine/engine.h"

namespace minnow::engine {

namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxSketch = 2000;  // bytes of an instruction: what is longer helps no small model
constexpr int kMaxSketchDepth = 12;
constexpr const char* kNormalizers[] = {"date", "number", "currency",
                                        "phone"};  // extract_fields.cc

Result<Json> ParseSchema(std::string_view text) {
  auto schema = ParseJson(text);
  if (!schema.ok()) return Status(schema.status()).Annotate("the schema");
  return schema;
}

// REQUIRES: no deeper than ParseJson lets it be.
bool WantsSource(const Json& schema) {
  if (!schema.is_structured()) return false;
  if (schema.is_object() && schema.value("x-from-source", Json()) == Json(true)) return true;
  return std::ranges::any_of(schema, WantsSource);
}

// REQUIRES: as above. An object in its place is the type of a property of this name.
Status CheckNormalize(const Json& schema, const std::string& pointer) {
  if (!schema.is_structured()) return Status();
  if (const auto found = schema.is_object() ? schema.find("x-normalize") : schema.end();
      found != schema.end() && !found->is_object()) {
    const auto is = [&](const char* name) { return *found == name; };
    if (std::ranges::none_of(kNormalizers, is)) {
      return Error(Code::kInvalid, "{}/x-normalize: should be one of {}", pointer,
                   fmt::join(kNormalizers, ", "));
    }
  }
  size_t index = 0;
  for (const auto& [name, part] : schema.items()) {
    MNW_TRY(CheckNormalize(
        part, fmt::format("{}/{}", pointer, schema.is_array() ? fmt::to_string(index++) : name)));
  }
  return Status();
}

const Json* Member(const Json& object, const char* name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  return found == object.end() ? nullptr : &*found;
}

std::string TypeOf(const Json& schema) {
  const Json* type = Member(schema, "type");
  if (type && type->is_string()) return type->get<std::string>();
  if (Member(schema, "properties")) return "object";
  return "";
}

// A schema as an example of what it allows: {"total": <number>}.
class Sketch {
 public:
  explicit Sketch(const Json& root) : root_(root) {}

  std::string Of(const Json& schema) {
    Add(schema, 0);
    return std::move(out_);
  }

 private:
  void Add(const Json& schema, int depth) {
    if (out_.size() > kMaxSketch || depth > kMaxSketchDepth) {
      if (!out_.ends_with("...")) out_ += "...";
      return;
    }
    if (const Json* ref = Member(schema, "$ref"); ref && ref->is_string()) {
      const Json* target = Find(ref->get<std::string>());
      return target ? Add(*target, depth + 4)
                    : Say("value");  // a recursion shows few of its levels
    }
    if (const Json* value = Member(schema, "const")) return AddText(value->dump());
    if (const Json* values = Member(schema, "enum"); values && values->is_array())
      return AddValues(*values);
    for (const char* name : {"anyOf", "oneOf"}) {
      const Json* choices = Member(schema, name);
      if (!choices || !choices->is_array()) continue;
      for (size_t i = 0; i < choices->size(); ++i) {
        if (i > 0) out_ += " or ";
        Add((*choices)[i], depth + 1);
      }
      return;
    }
    const std::string type = TypeOf(schema);
    if (type == "object") return AddObject(schema, depth);
    if (type == "array") return AddArray(schema, depth);
    if (type == "null") return AddText("null");
    const Json* what = Member(schema, "description");
    if (what && what->is_string()) return Say(what->get<std::string>());
    const Json* format = Member(schema, "format");
    if (format && format->is_string()) return Say(format->get<std::string>());
    if (type == "string") return Say("text");
    if (type == "boolean") return Say("true or false");
    Say(type.empty() ? "value" : type);
  }

  void Say(const std::string& what) { AddText("<" + what + ">"); }
  void AddText(std::string_view text) {
    out_ += text.substr(0, kMaxSketch);
    if (text.size() > kMaxSketch) out_ += "...";
  }

  void AddValues(const Json& values) {
    for (size_t i = 0; i < values.size() && out_.size() <= kMaxSketch; ++i) {
      if (i > 0) out_ += " or ";
      AddText(values[i].dump());
    }
  }

  void AddObject(const Json& schema, int depth) {
    out_ += "{";
    const Json none = Json::object();
    const Json* found = Member(schema, "properties");
    const Json& properties = found && found->is_object() ? *found : none;
    bool is_first = true;
    for (const auto& [name, type] : properties.items()) {
      if (out_.size() > kMaxSketch) break;
      if (!is_first) out_ += ", ";
      is_first = false;
      AddText(Json(name).dump() + ": ");
      Add(type, depth + 1);
    }
    out_ += is_first ? "...}" : "}";
  }

  void AddArray(const Json& schema, int depth) {
    out_ += "[";
    const Json* items = Member(schema, "items");
    const Json* first = Member(schema, "prefixItems");
    if (first && first->is_array()) {
      for (size_t i = 0; i < first->size(); ++i) {
        if (i > 0) out_ += ", ";
        Add((*first)[i], depth + 1);
      }
    }
    if (items && items->is_object()) {
      if (first) out_ += ", ";
      Add(*items, depth + 1);
      out_ += ", ...";
    }
    out_ += "]";
  }

  const Json* Find(const std::string& ref) const {
    if (!ref.starts_with("#")) return nullptr;
    try {
      return &root_.at(Json::json_pointer(ref.substr(1)));
    } catch (const Json::exception&) {
      return nullptr;
    }
  }

  const Json& root_;
  std::string out_;
};

bool IsString(const Json& schema) {
  const Json* type = Member(schema, "type");
  if (!type || std::ranges::any_of(std::initializer_list{"enum", "const", "format", "pattern"},
                                   [&](const char* name) { return schema.contains(name); }))
    return false;
  return *type == "string" ||
         (type->is_array() && std::ranges::find(*type, Json("string")) != type->end());
}

void Ground(Json* schema) {
  if (!schema->is_object()) return;
  if (IsString(*schema) && !schema->contains("x-from-source")) (*schema)["x-from-source"] = true;
  for (const char* name : {"properties", "patternProperties", "$defs", "definitions"}) {
    const auto found = schema->find(name);
    if (found == schema->end() || !found->is_object()) continue;
    for (Json& type : *found) Ground(&type);
  }
  for (const char* name : {"items", "additionalProperties", "contains"}) {
    if (const auto found = schema->find(name); found != schema->end()) Ground(&*found);
  }
  for (const char* name : {"anyOf", "oneOf", "allOf", "prefixItems"}) {
    const auto found = schema->find(name);
    if (found == schema->end() || !found->is_array()) continue;
    for (Json& type : *found) Ground(&type);
  }
}

// What an answer is finished with.
struct Asked {
  const text::Tokenizer& tokenizer;
  Json schema;
  std::string document;
  std::function<void(ExtractResult)> on_done;

  void Finish(GenerateResult generated) const {
    ExtractResult result;
    result.status = std::move(generated.status);
    if (generated.finish_reason == FinishReason::kCancelled)
      result.status = Error(Code::kCancelled, "the extraction was cancelled");
    result.usage = generated.usage;
    result.fingerprint = std::move(generated.fingerprint);
    if (result.status.ok()) result.status = Read(generated.tokens, &result);
    on_done(std::move(result));
  }

  Status Read(std::span<const GeneratedToken> tokens, ExtractResult* result) const {
    std::vector<AnswerPiece> pieces;
    for (const GeneratedToken& token : tokens) {
      const size_t begin = result->json.size();
      result->json += tokenizer.TokenBytes(token.token);
      pieces.push_back({begin, result->json.size(), token.logprob, token.forced});
    }
    MNW_ASSIGN(result->fields, FieldsOf(result->json, pieces, schema, document));
    return Status();
  }
};

}  // namespace

Result<constrain::Constraint> SchemaConstraint(std::string schema, std::string_view document) {
  MNW_ASSIGN(const Json parsed, ParseSchema(schema));
  MNW_TRY(CheckNormalize(parsed, ""));
  constrain::Constraint constraint;
  constraint.kind = constrain::Constraint::Kind::kJsonSchema;
  constraint.source = std::move(schema);
  if (WantsSource(parsed)) constraint.document = document;
  return constraint;
}

Result<RequestId> Extract(Engine& engine, ExtractRequest request) {
  MNW_ASSIGN(Json schema, ParseSchema(request.schema));
  GenerateRequest generate;
  MNW_ASSIGN(generate.constraint, SchemaConstraint(std::move(request.schema), request.document));
  generate.prompt = std::move(request.prompt);
  generate.max_tokens = request.max_tokens;
  generate.sampling = request.sampling;
  generate.n_logprobs = 1;
  generate.speculate = request.speculate;
  generate.priority = request.priority;
  generate.adapter = request.adapter;
  generate.deadline = request.deadline;
  const auto asked =
      std::make_shared<Asked>(Asked{engine.model().tokenizer(), std::move(schema),
                                    std::move(request.document), std::move(request.on_done)});
  generate.on_done = [asked](GenerateResult result) { asked->Finish(std::move(result)); };
  return engine.Generate(std::move(generate));
}

Result<std::string> ExtractInstruction(std::string_view schema) {
  MNW_ASSIGN(const Json parsed, ParseSchema(schema));
  return "Extract from the text above, as JSON of this form and nothing else:\n" +
         Sketch(parsed).Of(parsed);
}

Result<std::string> GroundStrings(std::string_view schema) {
  MNW_ASSIGN(Json parsed, ParseSchema(schema));
  Ground(&parsed);
  return parsed.dump();
}

}  // namespace minnow::engine
