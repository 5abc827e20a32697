// Values that the schema itself names: how they are written, and whether facts hold of them.
#include <algorithm>
#include <unordered_set>

#include "constrain/json_schema_compiler.h"
#include "constrain/json_text.h"
#include "text/utf8.h"

namespace minnow::constrain {

std::string Canonical(const Json& value) {
  if (value.is_number()) {
    const auto number = ParseDecimal(value.dump());
    return number ? number->Text() : value.dump();
  }
  if (value.is_string()) return JsonQuote(value.get_ref<const std::string&>());
  if (!value.is_structured()) return value.dump();
  std::vector<std::string> parts;
  for (auto it = value.begin(); it != value.end(); ++it) {
    parts.push_back((value.is_object() ? JsonQuote(it.key()) + ":" : "") + Canonical(*it));
  }
  if (value.is_object()) std::sort(parts.begin(), parts.end());
  const bool object = value.is_object();
  return fmt::format("{}{}{}", object ? '{' : '[', fmt::join(parts, ","), object ? '}' : ']');
}

uint8_t TypeOf(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return kTypeNull;
    case Json::value_t::boolean:
      return value.get<bool>() ? kTypeTrue : kTypeFalse;
    case Json::value_t::string:
      return kTypeString;
    case Json::value_t::array:
      return kTypeArray;
    case Json::value_t::object:
      return kTypeObject;
    default:
      break;
  }
  const auto number = ParseDecimal(value.dump());
  return number && !number->integer() ? kTypeFraction : kTypeInteger;
}

size_t CodePoints(std::string_view text) {
  size_t n = 0;
  for (size_t at = 0; at < text.size(); ++n) at += text::DecodeUtf8(text, at).length;
  return n;
}

std::string SchemaCompiler::Text(const Json& value) const {
  const bool tight = options_.space == JsonSchemaOptions::Space::kCompact;
  const char *const comma = tight ? "," : ", ", *const colon = tight ? ":" : ": ";
  std::string out;
  if (value.is_string()) return JsonQuote(value.get_ref<const std::string&>());
  if (value.is_number()) {
    const auto number = ParseDecimal(value.dump());
    // What takes more digits than anybody would write stays as it was.
    return number && number->Text().size() <= 40 ? number->Text() : value.dump();
  }
  if (value.is_array()) {
    for (const Json& item : value) {
      if (!out.empty()) out += comma;
      out += Text(item);
    }
    return "[" + out + "]";
  }
  if (value.is_object()) {
    for (const auto& [key, item] : value.items()) {
      if (!out.empty()) out += comma;
      out += JsonQuote(key) + colon + Text(item);
    }
    return "{" + out + "}";
  }
  return value.dump();
}

Term SchemaCompiler::Constant(const Json& value) {
  if (options_.space != JsonSchemaOptions::Space::kFlexible || !value.is_structured()) {
    return terms_.Literal(Text(value));
  }
  std::vector<Term> parts;
  for (auto it = value.begin(); it != value.end(); ++it) {
    if (value.is_object()) {
      parts.push_back(Name(it.key(), parts.empty()));
    } else if (!parts.empty()) {
      parts.push_back(comma_);
    }
    parts.push_back(Constant(*it));
  }
  const bool object = value.is_object();
  return Enclosed(object ? '{' : '[', terms_.Concat(parts), object ? '}' : ']');
}

bool SchemaCompiler::Contains(Term contents, const std::string& text) {
  const auto [known, fresh] = contained_.try_emplace({contents, text}, false);
  if (fresh) {
    known->second = terms_.And(terms_.Literal(JsonContent(text)), contents) != kNever;
  }
  return known->second;
}

bool SchemaCompiler::Accepts(const Conjunction& all, const Json& value) {
  const Leaves leaves = Flat(all);
  return std::any_of(leaves->begin(), leaves->end(),
                     [&](const Facts& f) { return Accepts(f, value); });
}

bool SchemaCompiler::Accepts(const Facts& f, const Json& value) {
  const auto same = [&, text = Canonical(value)](const Json* v) { return Canonical(*v) == text; };
  return (!f.values || std::any_of(f.values->begin(), f.values->end(), same)) && Holds(f, value);
}

bool SchemaCompiler::Holds(const Facts& f, const Json& value) {
  if ((f.types & TypeOf(value)) == 0) return false;
  if (value.is_number()) {
    const auto number = ParseDecimal(value.dump());
    return number && f.numbers.Has(*number);
  }
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    const size_t length = CodePoints(text);
    return length >= f.length.min && length <= f.length.max.value_or(length) &&
           std::all_of(f.contents.begin(), f.contents.end(),
                       [&](Term contents) { return Contains(contents, text); }) &&
           (!f.from_source || Contains(Spans(f, false), text));
  }
  if (value.is_array()) return AcceptsArray(f, value);
  return !value.is_object() || AcceptsObject(f, value);
}

bool SchemaCompiler::AcceptsArray(const Facts& f, const Json& value) {
  if (value.size() < f.count.min || value.size() > f.count.max.value_or(value.size())) return false;
  std::unordered_set<std::string> seen;
  for (size_t i = 0; i < value.size(); ++i) {
    if (!Accepts(ItemSchemas(f, i), value[i])) return false;
    if (f.unique && !seen.insert(Canonical(value[i])).second) return false;
  }
  return std::all_of(f.contains.begin(), f.contains.end(), [&](const Facts::Contains& c) {
    const auto n =
        static_cast<uint64_t>(std::count_if(value.begin(), value.end(), [&](const Json& item) {
          return Accepts(Conjunction{c.schema}, item);
        }));
    return n >= c.min && n <= c.max.value_or(n);
  });
}

bool SchemaCompiler::AcceptsObject(const Facts& f, const Json& value) {
  if (value.size() < f.size.min || value.size() > f.size.max.value_or(value.size())) return false;
  const auto has = [&](const std::string& name) { return value.contains(name); };
  if (!std::all_of(f.required.begin(), f.required.end(), has)) return false;
  if (std::any_of(f.absent.begin(), f.absent.end(), has)) return false;
  const std::vector<std::string> names = Names(f);
  for (const auto& [name, member] : value.items()) {
    const std::vector<bool> matched = Matched(f, name);
    const bool named = std::find(names.begin(), names.end(), name) != names.end();
    const bool matches = std::find(matched.begin(), matched.end(), true) != matched.end();
    if (!NameAllowed(f, name) || (Closed(f) && !named && !matches)) return false;
    if (!Accepts(PropertySchemas(f, &name, matched), member)) return false;
  }
  return true;
}

std::optional<std::vector<Json>> SchemaCompiler::FiniteValues(const Conjunction& all) {
  std::vector<Json> values;
  std::unordered_set<std::string> seen;
  const auto add = [&](Json value) {
    if (seen.insert(Canonical(value)).second) values.push_back(std::move(value));
  };
  const Leaves leaves = Flat(all);
  for (const Facts& f : *leaves) {
    if (f.values) {
      for (const Json* value : *f.values) {
        if (Holds(f, *value)) add(*value);
      }
    } else if (f.types & ~(kTypeNull | kTypeFalse | kTypeTrue)) {
      return std::nullopt;
    } else {
      if (f.types & kTypeNull) add(nullptr);
      if (f.types & kTypeFalse) add(false);
      if (f.types & kTypeTrue) add(true);
    }
  }
  return values;
}

}  // namespace minnow::constrain
