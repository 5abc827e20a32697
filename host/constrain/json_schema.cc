#include "constrain/json_schema.h"

#include <algorithm>
#include <utility>

#include "constrain/json_schema_compiler.h"
#include "constrain/json_text.h"
#include "constrain/regex.h"

namespace minnow::constrain {

namespace {

Term Space(Terms& terms, JsonSchemaOptions::Space space) {
  if (space != JsonSchemaOptions::Space::kFlexible) return kEmpty;
  ByteSet blanks;
  blanks.Add(' ');
  blanks.Add('\t');
  return terms.Concat(terms.Optional(terms.Literal("\n")),
                      terms.Repeat(terms.Bytes(blanks), 0, 32));
}

Term Mark(Terms& terms, char mark, JsonSchemaOptions::Space space) {
  const std::string text(1, mark);
  if (space == JsonSchemaOptions::Space::kSingle) return terms.Literal(text + " ");
  const Term around = Space(terms, space);
  const Term parts[] = {around, terms.Literal(text), around};
  return terms.Concat(parts);
}

}  // namespace

const char* NoteKindName(JsonSchemaNote::Kind kind) {
  switch (kind) {
    case JsonSchemaNote::Kind::kEnforced:
      return "enforced";
    case JsonSchemaNote::Kind::kNotEnforced:
      return "not enforced";
    case JsonSchemaNote::Kind::kAnnotation:
      return "annotation";
    case JsonSchemaNote::Kind::kRefused:
      return "refused";
  }
  return "";
}

Result<Term> CompileJsonSchema(Terms& terms, const Json& schema, const JsonSchemaOptions& options,
                               JsonSchemaReport* report) {
  MNW_ASSIGN(const std::unique_ptr<SchemaDocument> document, SchemaDocument::Read(schema));
  return SchemaCompiler(terms, *document, options, report).Compile();
}

SchemaCompiler::SchemaCompiler(Terms& terms, SchemaDocument& document,
                               const JsonSchemaOptions& options, JsonSchemaReport* report)
    : terms_(terms),
      document_(document),
      options_(options),
      report_(report),
      any_char_(JsonAnyChar(terms)),
      space_(Space(terms, options.space)),
      comma_(Mark(terms, ',', options.space)),
      colon_(Mark(terms, ':', options.space)) {}

Result<Term> SchemaCompiler::Compile() {
  const Term root = Value({document_.root()});
  if (!refused_.ok()) {
    if (n_refused_ == 1) return refused_;
    return Error(refused_.code(), "{} (and {} more)", refused_.message(), n_refused_ - 1);
  }
  MNW_TRY(terms_.status());
  if (root != kNever) return root;
  return Error(Code::kInvalid, "no value obeys the schema: {}",
               contradiction_.empty() ? "#: it allows none" : contradiction_);
}

void SchemaCompiler::Note(JsonSchemaNote::Kind kind, SchemaId schema, std::string_view keyword,
                          std::string text) {
  if (!report_) return;
  std::string pointer = document_.pointer(schema);
  if (!keyword.empty()) pointer += PointerStep(keyword);
  if (!noted_.insert({pointer, static_cast<int>(kind)}).second) return;
  report_->push_back({kind, std::move(pointer), std::string(keyword), std::move(text)});
}

void SchemaCompiler::Enforced(SchemaId schema, std::string_view keyword, std::string_view how) {
  Note(JsonSchemaNote::Kind::kEnforced, schema, keyword, std::string(how));
}

void SchemaCompiler::Refuse(const std::string& pointer, std::string_view keyword,
                            std::string reason) {
  const auto kind = JsonSchemaNote::Kind::kRefused;
  if (!noted_.insert({pointer, static_cast<int>(kind)}).second) return;
  ++n_refused_;
  if (refused_.ok()) refused_ = Error(Code::kInvalid, "#{}: {}", pointer, reason);
  if (report_) report_->push_back({kind, pointer, std::string(keyword), std::move(reason)});
}

void SchemaCompiler::Refuse(SchemaId schema, std::string_view keyword, std::string reason) {
  std::string pointer = document_.pointer(schema);
  if (!keyword.empty()) pointer += PointerStep(keyword);
  Refuse(pointer, keyword, std::move(reason));
}

void SchemaCompiler::Contradiction(const Facts& f, std::initializer_list<std::string_view> keywords,
                                   std::string_view reason) {
  if (!contradiction_.empty()) return;
  std::string pointer = f.places.empty() ? "" : document_.pointer(f.places.back().schema);
  for (const Facts::Place& place : f.places) {
    const Json& json = document_.json(place.schema);
    for (const std::string_view keyword : keywords) {
      if (json.is_object() && json.contains(keyword)) {
        pointer = document_.pointer(place.schema) + PointerStep(keyword);
      }
    }
  }
  contradiction_ = fmt::format("#{}: {}", pointer, reason);
}

SchemaId SchemaCompiler::Below(SchemaId schema, const std::string& key, const Json& value) {
  return document_.Child(schema, value, PointerStep(key));
}

SchemaId SchemaCompiler::Below(SchemaId schema, const std::string& key, const std::string& name,
                               const Json& value) {
  return document_.Child(schema, value, PointerStep(key) + PointerStep(name));
}

bool SchemaCompiler::ReadNumber(SchemaId schema, const std::string& key, const Json& value,
                                Decimal* number) {
  if (!value.is_number()) {
    Refuse(schema, key, "must be a number");
    return false;
  }
  const std::optional<Decimal> read = ParseDecimal(value.dump());
  if (!read) {
    Refuse(schema, key, "must be a finite number");
    return false;
  }
  *number = *read;
  return true;
}

bool SchemaCompiler::ReadCount(SchemaId schema, const std::string& key, const Json& value,
                               uint64_t* count) {
  const std::optional<Decimal> read = value.is_number() ? ParseDecimal(value.dump()) : std::nullopt;
  if (!read || !read->integer() || read->negative) {
    Refuse(schema, key, "must be an integer of at least 0");
    return false;
  }
  if (read->whole.size() > 9) {
    Refuse(schema, key, "must be below 1,000,000,000");
    return false;
  }
  *count = std::stoull(read->whole);
  return true;
}

bool SchemaCompiler::ReadTypes(SchemaId schema, const Json& value, uint8_t* types) {
  static const std::map<std::string, uint8_t, std::less<>> kNames = {
      {"null", kTypeNull},       {"boolean", kTypeFalse | kTypeTrue},
      {"integer", kTypeInteger}, {"number", kTypeNumber},
      {"string", kTypeString},   {"array", kTypeArray},
      {"object", kTypeObject},
  };
  *types = 0;
  const auto add = [&](const Json& name) {
    const auto known =
        name.is_string() ? kNames.find(name.get_ref<const std::string&>()) : kNames.end();
    if (known == kNames.end()) return false;
    *types = static_cast<uint8_t>(*types | known->second);
    return true;
  };
  const bool all = value.is_array() ? std::all_of(value.begin(), value.end(), add) : add(value);
  if (all && *types != 0) return true;
  Refuse(schema, "type",
         "must be null, boolean, integer, number, string, array or object, or a list of these");
  return false;
}

bool SchemaCompiler::ReadStrings(SchemaId schema, const std::string& key, const Json& value,
                                 std::vector<std::string>* strings) {
  const auto add = [&](const Json& item) {
    if (!item.is_string()) return false;
    strings->push_back(item.get<std::string>());
    return true;
  };
  if (value.is_array() && std::all_of(value.begin(), value.end(), add)) return true;
  Refuse(schema, key, "must be a list of strings");
  return false;
}

bool SchemaCompiler::ReadPattern(const std::string& pointer, const Json& value, Term* contents) {
  if (!value.is_string()) {
    Refuse(pointer, "pattern", "must be a string");
    return false;
  }
  const auto& pattern = value.get_ref<const std::string&>();
  const auto known = patterns_.find(pattern);
  if (known != patterns_.end()) {
    *contents = known->second;
    return true;
  }
  const Result<Term> term = CompileRegex(terms_, pattern, JsonChars, {.search = true});
  if (!term.ok()) {
    Refuse(pointer, "pattern", term.status().message());
    return false;
  }
  *contents = patterns_[pattern] = *term;
  return true;
}

}  // namespace minnow::constrain
