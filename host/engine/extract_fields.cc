// The values of an answer: where each of them stands, what the schema says of it, and how sure the
// model was.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/json.h"
#include "constrain/normalize.h"
#include "constrain/spans.h"
#include "engine/extract.h"

namespace minnow::engine {

namespace {

using Json = nlohmann::ordered_json;
using Schemas = std::vector<const Json*>;  // those that apply to one value, each once

// Which parts of a schema apply to which values. Where it leaves open which of several does, all
// that fit the value's type are taken.
class SchemaWalk {
 public:
  explicit SchemaWalk(const Json& root) : root_(root) {}

  Schemas Root() const {
    Schemas out;
    Add(root_, &out);
    return out;
  }

  Schemas Property(const Schemas& schemas, const std::string& name) const {
    Schemas out;
    for (const Json* schema : schemas) {
      const Json* properties = Find(*schema, "properties");
      if (const Json* own = properties ? Find(*properties, name.c_str()) : nullptr) {
        Add(*own, &out);
        continue;
      }
      if (const Json* patterns = Find(*schema, "patternProperties");
          patterns && patterns->is_object())
        for (const Json& pattern : *patterns) Add(pattern, &out);
      if (const Json* others = Find(*schema, "additionalProperties")) Add(*others, &out);
    }
    return out;
  }

  Schemas Item(const Schemas& schemas, size_t index) const {
    Schemas out;
    for (const Json* schema : schemas) {
      const Json* first = Find(*schema, "prefixItems");
      if (first && first->is_array() && index < first->size()) {
        Add((*first)[index], &out);
      } else if (const Json* items = Find(*schema, "items")) {
        Add(*items, &out);
      }
    }
    return out;
  }

 private:
  static const Json* Find(const Json& object, const char* name) {
    const auto found = object.is_object() ? object.find(name) : object.end();
    return found == object.end() ? nullptr : &*found;
  }

  const Json* Target(const Json& ref) const {
    if (!ref.is_string() || !ref.get_ref<const std::string&>().starts_with("#")) return nullptr;
    try {
      return &root_.at(Json::json_pointer(ref.get_ref<const std::string&>().substr(1)));
    } catch (const Json::exception&) {
      return nullptr;  // a name that the compiler knows, and this does not
    }
  }

  // The schema and what it refers to. No schema is looked at twice, so this ends.
  void Add(const Json& schema, Schemas* out) const {
    Schemas open = {&schema};
    while (!open.empty()) {
      const Json* next = open.back();
      open.pop_back();
      if (!next->is_object() || std::ranges::find(*out, next) != out->end()) continue;
      out->push_back(next);
      if (const Json* ref = Find(*next, "$ref")) {
        if (const Json* target = Target(*ref)) open.push_back(target);
      }
      for (const char* name : {"allOf", "anyOf", "oneOf"}) {
        const Json* parts = Find(*next, name);
        if (!parts || !parts->is_array()) continue;
        for (const Json& part : *parts) open.push_back(&part);
      }
    }
  }

  const Json& root_;
};

// What the schema says of a value.
struct Provenance {
  bool from_source = false, fuzzy_space = false;
  std::string normalize;
};

bool IsOfType(const Json& schema, const Json& value) {
  const auto found = schema.find("type");
  if (found == schema.end()) return true;
  const auto fits = [&](const Json& type) {
    if (!type.is_string()) return true;
    const std::string& name = type.get_ref<const std::string&>();
    if (name == "string") return value.is_string();
    if (name == "number") return value.is_number();
    if (name == "integer") return value.is_number();
    if (name == "boolean") return value.is_boolean();
    if (name == "null") return value.is_null();
    return false;
  };
  return found->is_array() ? std::ranges::any_of(*found, fits) : fits(*found);
}

Provenance ProvenanceOf(const Schemas& schemas, const Json& value) {
  Provenance out;
  for (const Json* schema : schemas) {
    if (!IsOfType(*schema, value)) continue;
    out.from_source |= schema->value("x-from-source", Json()) == Json(true);
    out.fuzzy_space |= schema->value("x-fuzzy-space", Json()) == Json(true);
    const auto normalize = schema->find("x-normalize");
    if (normalize != schema->end() && normalize->is_string() && out.normalize.empty())
      out.normalize = normalize->get<std::string>();
  }
  return out;
}

// Goes through the text of a JSON value once, without a stack of calls, and hands out the values
// that have no others in them.
class Scanner {
 public:
  Scanner(std::string_view text, const SchemaWalk& walk) : text_(text), walk_(walk) {}

  // f(begin, end, pointer, schemas)
  template <class F>
  Status ForEachValue(F f) {
    Schemas schemas = walk_.Root();
    for (;;) {
      MNW_TRY(SkipSpace());
      const size_t begin = at_;
      const char c = text_[at_];
      if (c == '{' || c == '[') {
        ++at_;
        MNW_TRY(SkipSpace());
        if (text_[at_] != (c == '{' ? '}' : ']')) {
          levels_.push_back({c == '{', 0, pointer_.size(), std::move(schemas)});
          MNW_ASSIGN(schemas, Enter());
          continue;
        }
        ++at_;
      } else if (c == '"') {
        MNW_TRY(SkipString());
      } else {
        at_ = std::min(text_.find_first_of(",]} \t\r\n", at_), text_.size());
        if (at_ == begin) return Broken();
      }
      f(begin, at_, pointer_, schemas);
      MNW_ASSIGN(const bool more, Leave(&schemas));
      if (!more) return Status();
    }
  }

 private:
  struct Level {
    bool is_object;
    size_t index;
    size_t pointer;  // length of the pointer to it
    Schemas schemas;
  };

  Status Broken() const {
    return Error(Code::kInternal, "the answer is no JSON from byte {} on", at_);
  }

  Status SkipSpace() {
    at_ = text_.find_first_not_of(" \t\r\n", at_);
    if (at_ != std::string_view::npos) return Status();
    at_ = text_.size();
    return Broken();
  }

  Status SkipString() {
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\') ++at_;
    }
    if (at_ >= text_.size()) return Broken();
    ++at_;
    return Status();
  }

  // At the key or the item that comes next in the innermost level.
  Result<Schemas> Enter() {
    const Level& level = levels_.back();
    if (!level.is_object) {
      pointer_ += fmt::format("/{}", level.index);
      return walk_.Item(level.schemas, level.index);
    }
    MNW_TRY(SkipSpace());
    const size_t begin = at_;
    if (text_[at_] != '"') return Broken();
    MNW_TRY(SkipString());
    MNW_ASSIGN(const Json key, ParseJson(text_.substr(begin, at_ - begin)));
    MNW_TRY(SkipSpace());
    if (text_[at_] != ':') return Broken();
    ++at_;
    const std::string& name = key.get_ref<const std::string&>();
    pointer_ += '/';
    for (const char c : name) {
      if (c == '~') {
        pointer_ += "~0";
      } else if (c == '/') {
        pointer_ += "~1";
      } else {
        pointer_ += c;
      }
    }
    return walk_.Property(level.schemas, name);
  }

  // Behind a value: on to the next, or false at the end of all.
  Result<bool> Leave(Schemas* schemas) {
    for (;;) {
      if (levels_.empty()) {
        if (text_.find_first_not_of(" \t\r\n", at_) != std::string_view::npos) return Broken();
        return false;
      }
      MNW_TRY(SkipSpace());
      Level& level = levels_.back();
      const char c = text_[at_++];
      pointer_.resize(level.pointer);
      if (c == ',') {
        ++level.index;
        MNW_ASSIGN(*schemas, Enter());
        return true;
      }
      if (c != (level.is_object ? '}' : ']')) return Broken();
      levels_.pop_back();
    }
  }

  const std::string_view text_;
  const SchemaWalk& walk_;
  size_t at_ = 0;
  std::string pointer_;
  std::vector<Level> levels_;
};

// Whole words and numbers first: 12 is not in 312, unless nothing else has it.
std::vector<SourceSpan> FindSource(std::string_view document, std::string_view text, bool fuzzy) {
  std::vector<SourceSpan> spans;
  for (const bool whole_words : {true, false}) {
    constrain::SpanOptions options;
    options.whole_words = whole_words;
    options.fuzzy_space = fuzzy;
    for (const constrain::SpanPlace& place : constrain::FindSpan(document, text, options))
      spans.push_back({place.begin, place.end, place.line});
    if (!spans.empty()) break;
  }
  return spans;
}

// JSON, or "" where the text can be read in no way, or in more than one.
std::string Normalized(const std::string& kind, std::string_view text) {
  const auto quoted = [](const Result<std::string>& normal) {
    return normal.ok() ? Json(*normal).dump() : "";
  };
  if (kind == "date") return quoted(constrain::NormalizeDate(text));
  if (kind == "phone") return quoted(constrain::NormalizePhone(text));
  if (kind == "number") {
    const auto number = constrain::NormalizeNumber(text);
    return number.ok() ? *number : "";
  }
  const auto money = constrain::NormalizeMoney(text);
  if (!money.ok()) return "";
  return fmt::format(R"({{"amount":{},"currency":{}}})", money->amount,
                     Json(money->currency).dump());
}

double Confidence(std::span<const AnswerPiece> pieces, size_t begin, size_t end) {
  double sum = 0;
  size_t n = 0;
  const auto first = std::ranges::upper_bound(pieces, begin, {}, &AnswerPiece::end);
  for (auto piece = first; piece != pieces.end() && piece->begin < end; ++piece) {
    if (piece->forced) continue;
    sum += piece->logprob;
    ++n;
  }
  return n == 0 ? 1 : std::exp(sum / static_cast<double>(n));
}

}  // namespace

Result<std::vector<ExtractedField>> FieldsOf(std::string_view json,
                                             std::span<const AnswerPiece> pieces,
                                             const nlohmann::ordered_json& schema,
                                             std::string_view document) {
  const SchemaWalk walk(schema);
  std::vector<ExtractedField> fields;
  Status status;
  const auto add = [&](size_t begin, size_t end, const std::string& pointer,
                       const Schemas& schemas) {
    ExtractedField& field = fields.emplace_back();
    field.pointer = pointer;
    field.confidence = Confidence(pieces, begin, end);
    const std::string_view written = json.substr(begin, end - begin);
    const auto value = ParseJson(written);
    if (!value.ok()) {
      if (status.ok()) status = value.status();
      return;
    }
    const std::string text = value->is_string() ? value->get<std::string>() : std::string(written);
    const Provenance provenance = ProvenanceOf(schemas, *value);
    if (provenance.from_source) field.spans = FindSource(document, text, provenance.fuzzy_space);
    if (!provenance.normalize.empty()) field.normalized = Normalized(provenance.normalize, text);
  };
  MNW_TRY(Scanner(json, walk).ForEachValue(add));
  MNW_TRY(std::move(status));
  return fields;
}

}  // namespace minnow::engine
