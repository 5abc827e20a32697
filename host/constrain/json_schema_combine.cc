// Schemas laid flat: every keyword becomes a fact, and every alternative a list of facts.
#include <algorithm>
#include <array>
#include <unordered_set>

#include "constrain/json_schema_compiler.h"
#include "constrain/json_text.h"

namespace minnow::constrain {

namespace {

constexpr size_t kMaxLeaves = 2000;    // ways through the alternatives of one schema
constexpr size_t kMaxSplits = 10'000;  // looked at in all
constexpr size_t kMaxExactlyOne = 64;
constexpr size_t kMaxUnevaluatedAnyOf = 4;
constexpr int kMaxChain = 200;  // of allOf, $ref, ... without a value between

template <size_t N>
bool In(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

constexpr std::array<std::string_view, 15> kAnnotations = {
    "title",    "description",  "default",     "examples",    "example",
    "$comment", "deprecated",   "readOnly",    "writeOnly",   "discriminator",
    "xml",      "externalDocs", "$vocabulary", "minContains", "maxContains"};
constexpr std::array<std::string_view, 3> kContents = {"contentEncoding", "contentMediaType",
                                                       "contentSchema"};
constexpr std::array<std::string_view, 5> kStructure = {"$id", "$anchor", "$dynamicAnchor", "$defs",
                                                        "definitions"};
constexpr std::array<std::string_view, 5> kDialects = {
    "https://json-schema.org/draft/2020-12/schema", "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema", "http://json-schema.org/draft-06/schema",
    "http://json-schema.org/draft-04/schema"};

// Keywords of other drafts, and what to write instead.
struct Foreign {
  std::string_view keyword, instead;
};
constexpr Foreign kForeign[] = {
    {"additionalItems", "is no keyword of 2020-12; use prefixItems and items"},
    {"dependencies", "is no keyword of 2020-12; use dependentRequired or dependentSchemas"},
    {"nullable", "is no keyword of 2020-12; add \"null\" to type"},
    {"$recursiveRef", "is no keyword of 2020-12; use $ref"},
    {"$recursiveAnchor", "is no keyword of 2020-12; use $anchor"},
    {"id", "is no keyword of 2020-12; use $id"},
};

}  // namespace

SchemaCompiler::Leaves SchemaCompiler::Flat(const Conjunction& all) {
  const auto known = flat_.find(all);
  if (known != flat_.end()) return known->second;
  Facts f;
  for (const SchemaId schema : all) Apply(f, schema, kNowhere);
  auto leaves = std::make_shared<std::vector<Facts>>();
  Split(std::move(f), leaves.get());
  return flat_[all] = std::move(leaves);
}

void SchemaCompiler::Apply(Facts& f, SchemaId schema, int parent) {
  int length = 0;
  for (int at = parent; at != kNowhere; at = f.places[static_cast<size_t>(at)].parent) {
    if (f.places[static_cast<size_t>(at)].schema == schema) {
      Refuse(schema, "", "refers to itself without a value between");
      f.types = 0;
      return;
    }
    if (++length > kMaxChain) {
      Refuse(schema, "",
             fmt::format("more than {} schemas refer to each other for one value", kMaxChain));
      f.types = 0;
      return;
    }
  }
  const auto place = static_cast<int>(f.places.size());
  f.places.push_back({schema, parent});
  if (schema & 1) {
    ApplyComplement(f, schema, place);
    return;
  }
  const Json& json = document_.json(schema);
  if (json.is_boolean()) {
    if (!json.get<bool>()) f.types = 0;
    return;
  }
  if (!json.is_object()) {
    Refuse(schema, "", "a schema must be an object or a boolean");
    return;
  }
  for (const auto& [key, value] : json.items()) ApplyKeyword(f, schema, place, key, value);
}

void SchemaCompiler::ApplyKeyword(Facts& f, SchemaId schema, int place, const std::string& key,
                                  const Json& value) {
  static constexpr std::array<std::string_view, 15> kScalar = {"type",
                                                               "enum",
                                                               "const",
                                                               "minimum",
                                                               "maximum",
                                                               "exclusiveMinimum",
                                                               "exclusiveMaximum",
                                                               "multipleOf",
                                                               "minLength",
                                                               "maxLength",
                                                               "pattern",
                                                               "format",
                                                               "minProperties",
                                                               "maxProperties",
                                                               "required"};
  static constexpr std::array<std::string_view, 7> kArray = {
      "items",       "prefixItems", "minItems",        "maxItems",
      "uniqueItems", "contains",    "unevaluatedItems"};
  static constexpr std::array<std::string_view, 5> kObject = {
      "properties", "patternProperties", "additionalProperties", "propertyNames",
      "unevaluatedProperties"};
  static constexpr std::array<std::string_view, 11> kCombination = {
      "$ref", "$dynamicRef",       "allOf",           "anyOf", "oneOf", "not", "if", "then",
      "else", "dependentRequired", "dependentSchemas"};
  if (In(kScalar, key)) return ApplyScalar(f, schema, key, value);
  if (In(kArray, key)) return ApplyArray(f, schema, place, key, value);
  if (In(kObject, key)) return ApplyObject(f, schema, place, key, value);
  if (In(kCombination, key)) return ApplyCombination(f, schema, place, key, value);
  if (In(kStructure, key)) return;
  if (In(kContents, key)) {
    return Note(JsonSchemaNote::Kind::kNotEnforced, schema, key, "an annotation in 2020-12");
  }
  if ((key == "minContains" || key == "maxContains") &&
      document_.json(schema).contains("contains")) {
    return;  // read with it
  }
  if (key == "x-from-source" || key == "x-fuzzy-space") return ApplySource(f, schema, key, value);
  if (In(kAnnotations, key) || key.starts_with("x-")) {
    return Note(JsonSchemaNote::Kind::kAnnotation, schema, key, "says nothing of the value");
  }
  if (key == "$schema") {
    std::string dialect = value.is_string() ? value.get<std::string>() : "";
    if (dialect.ends_with('#')) dialect.pop_back();
    if (!In(kDialects, dialect)) {
      Refuse(schema, key,
             "is not JSON Schema's draft 2020-12: https://json-schema.org/draft/2020-12/schema");
    }
    return;
  }
  for (const Foreign& foreign : kForeign) {
    if (key == foreign.keyword) return Refuse(schema, key, std::string(foreign.instead));
  }
  Refuse(schema, key, "is no keyword of JSON Schema 2020-12; leave it out, or call it x-...");
}

void SchemaCompiler::ApplySource(Facts& f, SchemaId schema, const std::string& key,
                                 const Json& value) {
  if (!value.is_boolean()) return Refuse(schema, key, "must be true or false");
  if (key == "x-fuzzy-space") {
    f.fuzzy_space |= value.get<bool>();
    return Enforced(schema, key, "a run of white space may be written as one space");
  }
  if (!value.get<bool>()) return;
  if (!options_.document && !options_.any_document)
    return Refuse(schema, key, "there is no document to copy from");
  f.from_source = true;
  f.types &= kTypeString | kTypeNumber | kTypeNull;
  Enforced(schema, key, "copied from the document");
}

void SchemaCompiler::ApplyScalar(Facts& f, SchemaId schema, const std::string& key,
                                 const Json& value) {
  Decimal number;
  uint64_t count = 0;
  if (key == "type") {
    uint8_t types = 0;
    if (!ReadTypes(schema, value, &types)) return;
    f.types &= types;
    Enforced(schema, key, "by what a value begins with");
  } else if (key == "enum" || key == "const") {
    if (key == "enum" && !value.is_array()) return Refuse(schema, key, "must be a list");
    std::vector<const Json*> values;
    if (key == "enum") {
      for (const Json& v : value) values.push_back(&v);
    } else {
      values.push_back(&value);
    }
    if (f.values) {
      std::unordered_set<std::string> before;
      for (const Json* v : *f.values) before.insert(Canonical(*v));
      std::erase_if(values, [&](const Json* v) { return !before.contains(Canonical(*v)); });
    }
    f.values = std::move(values);
    Enforced(schema, key, "these values, as they are written here");
  } else if (key == "minimum" || key == "exclusiveMinimum") {
    if (!ReadNumber(schema, key, value, &number)) return;
    f.numbers.AtLeast({number, key == "minimum"});
    Enforced(schema, key, "digit by digit");
  } else if (key == "maximum" || key == "exclusiveMaximum") {
    if (!ReadNumber(schema, key, value, &number)) return;
    f.numbers.AtMost({number, key == "maximum"});
    Enforced(schema, key, "digit by digit");
  } else if (key == "multipleOf") {
    if (!ReadNumber(schema, key, value, &number)) return;
    if (number.negative || number.zero()) return Refuse(schema, key, "must be above 0");
    if (!NumberSet::Writable(number)) {
      return Refuse(schema, key,
                    "has more than four digits, leading and final zeros left out, or more than 15 "
                    "behind the dot");
    }
    f.numbers.MultipleOf(number);
    Enforced(schema, key, "by the remainder of the digits so far");
  } else if (key == "minLength" || key == "maxLength") {
    if (!ReadCount(schema, key, value, &count)) return;
    key == "minLength" ? f.length.AtLeast(count) : f.length.AtMost(count);
    Enforced(schema, key, "code points are counted");
  } else if (key == "pattern") {
    Term contents = kNever;
    if (!ReadPattern(document_.pointer(schema) + "/pattern", value, &contents)) return;
    f.contents.push_back(contents);
    Enforced(schema, key, "character by character");
  } else if (key == "format") {
    if (!value.is_string()) return Refuse(schema, key, "must be a string");
    const Term contents = Format(value.get_ref<const std::string&>());
    if (contents == kNever || !options_.assert_formats) {
      return Note(JsonSchemaNote::Kind::kNotEnforced, schema, key,
                  contents == kNever ? "a format that is not known here; use pattern"
                                     : "formats are annotations by the options");
    }
    f.contents.push_back(contents);
    Enforced(schema, key, "character by character");
  } else if (key == "minProperties" || key == "maxProperties") {
    if (!ReadCount(schema, key, value, &count)) return;
    key == "minProperties" ? f.size.AtLeast(count) : f.size.AtMost(count);
    Enforced(schema, key, "properties are counted");
  } else {  // required
    std::vector<std::string> names;
    if (!ReadStrings(schema, key, value, &names)) return;
    for (std::string& name : names) {
      if (std::find(f.required.begin(), f.required.end(), name) == f.required.end()) {
        f.required.push_back(std::move(name));
      }
    }
    Enforced(schema, key, "the object does not close before");
  }
}

void SchemaCompiler::ApplyArray(Facts& f, SchemaId schema, int place, const std::string& key,
                                const Json& value) {
  uint64_t count = 0;
  if (key == "items") {
    if (value.is_array()) return Refuse(schema, key, "must be a schema; a list is prefixItems");
    f.items.push_back({place, {}, Below(schema, key, value)});
    // Beside prefixItems, it is of those behind.
    const Json& json = document_.json(schema);
    const auto first = json.find("prefixItems");
    if (first != json.end() && first->is_array()) f.items.back().first.resize(first->size());
    Enforced(schema, key, "each item");
  } else if (key == "prefixItems") {
    if (!value.is_array()) return Refuse(schema, key, "must be a list of schemas");
    Facts::Items items{place, {}, {}};
    for (size_t i = 0; i < value.size(); ++i) {
      items.first.push_back(Below(schema, key, std::to_string(i), value[i]));
    }
    f.items.push_back(std::move(items));
    Enforced(schema, key, "each item by its place");
  } else if (key == "minItems" || key == "maxItems") {
    if (!ReadCount(schema, key, value, &count)) return;
    key == "minItems" ? f.count.AtLeast(count) : f.count.AtMost(count);
    Enforced(schema, key, "items are counted");
  } else if (key == "uniqueItems") {
    if (!value.is_boolean()) return Refuse(schema, key, "must be a boolean");
    f.unique |= value.get<bool>();
    Enforced(schema, key, "the values written so far are left out");
  } else if (key == "contains") {
    Facts::Contains contains{place, Below(schema, key, value), 1, {}};
    const Json& json = document_.json(schema);
    if (const auto min = json.find("minContains"); min != json.end()) {
      if (!ReadCount(schema, "minContains", *min, &contains.min)) return;
      Enforced(schema, "minContains", "matching items are counted");
    }
    if (const auto max = json.find("maxContains"); max != json.end()) {
      if (!ReadCount(schema, "maxContains", *max, &count)) return;
      contains.max = count;
      Enforced(schema, "maxContains", "matching items are counted");
    }
    f.contains.push_back(contains);
    Enforced(schema, key, "the array does not close before");
  } else {  // unevaluatedItems
    f.rest_items.push_back({place, Below(schema, key, value), true});
    Enforced(schema, key, "for what no schema beside it speaks of");
  }
}

void SchemaCompiler::ApplyObject(Facts& f, SchemaId schema, int place, const std::string& key,
                                 const Json& value) {
  if (key == "properties" || key == "patternProperties") {
    if (!value.is_object()) return Refuse(schema, key, "must be an object of schemas");
    f.listed |= key == "properties";
    for (const auto& [name, below] : value.items()) {
      const SchemaId id = Below(schema, key, name, below);
      if (key == "properties") {
        f.properties.push_back({name, place, id});
        continue;
      }
      Term names = kNever;
      if (!ReadPattern(document_.pointer(id), Json(name), &names)) continue;
      f.patterns.push_back({place, names, id});
    }
    const Json& json = document_.json(schema);
    const bool says =
        json.contains("additionalProperties") || json.contains("unevaluatedProperties");
    Enforced(schema, key,
             key != "properties"             ? "by the name, character by character"
             : options_.open_objects || says ? "in this order"
                                             : "in this order, and no others");
  } else if (key == "propertyNames") {
    f.names.push_back(Below(schema, key, value));
    Enforced(schema, key, "as a string");
  } else {
    const bool unevaluated = key == "unevaluatedProperties";
    f.rest.push_back({place, Below(schema, key, value), unevaluated});
    Enforced(schema, key,
             unevaluated ? "for what no schema beside it speaks of"
                         : "for what properties and patternProperties do not name");
  }
}

bool SchemaCompiler::ApplyReference(Facts& f, SchemaId schema, int place, const std::string& key,
                                    const Json& value) {
  if (!value.is_string()) {
    Refuse(schema, key, "must be a string");
    return false;
  }
  const auto& reference = value.get_ref<const std::string&>();
  const Result<SchemaId> target = key == "$ref" ? document_.Resolve(schema, reference)
                                                : document_.ResolveDynamic(schema, reference);
  if (!target.ok()) {
    Refuse(schema, key, target.status().message());
    return false;
  }
  Enforced(schema, key, "#" + document_.pointer(*target));
  Apply(f, *target, place);
  return true;
}

// Whether a schema that this place belongs to asks what others have spoken of: then every branch
// of an anyOf that holds counts, not only one.
bool SchemaCompiler::UnevaluatedAbove(const Facts& f, int place) const {
  for (; place != kNowhere; place = f.places[static_cast<size_t>(place)].parent) {
    const Json& json = document_.json(f.places[static_cast<size_t>(place)].schema);
    if (json.is_object() &&
        (json.contains("unevaluatedProperties") || json.contains("unevaluatedItems"))) {
      return true;
    }
  }
  return false;
}

void SchemaCompiler::ApplyCombination(Facts& f, SchemaId schema, int place, const std::string& key,
                                      const Json& value) {
  if (key == "$ref" || key == "$dynamicRef") {
    ApplyReference(f, schema, place, key, value);
    return;
  }
  const Json& json = document_.json(schema);
  const std::string pointer = document_.pointer(schema) + PointerStep(key);
  Facts::Choice choice{Facts::Choice::Kind::kAny, pointer, place, {}, {}};
  const auto apply = [this, place](SchemaId id) {
    return [this, place, id](Facts& g) { Apply(g, id, place); };
  };
  if (key == "allOf" || key == "anyOf" || key == "oneOf") {
    if (!value.is_array() || value.empty()) {
      return Refuse(schema, key, "must be a list of at least one schema");
    }
    Conjunction below;
    for (size_t i = 0; i < value.size(); ++i) {
      below.push_back(Below(schema, key, std::to_string(i), value[i]));
    }
    Enforced(schema, key,
             key == "allOf"   ? "merged"
             : key == "anyOf" ? "as alternatives"
                              : "as alternatives of which no two can hold");
    if (key == "allOf") {
      for (const SchemaId id : below) Apply(f, id, place);
      return;
    }
    if (key == "oneOf") {
      choice.kind = Facts::Choice::Kind::kExactlyOne;
      choice.schemas = std::move(below);
    } else if (UnevaluatedAbove(f, place) && below.size() > 1) {
      if (below.size() > kMaxUnevaluatedAnyOf) {
        return Refuse(schema, key,
                      fmt::format("has more than {} alternatives beside unevaluatedProperties or "
                                  "unevaluatedItems",
                                  kMaxUnevaluatedAnyOf));
      }
      for (uint32_t hold = 1; hold < 1u << below.size(); ++hold) {
        choice.ways.push_back([this, place, below, hold](Facts& g) {
          for (size_t i = 0; i < below.size(); ++i) {
            Apply(g, hold >> i & 1 ? below[i] : Complement(below[i]), place);
          }
        });
      }
    } else {
      for (const SchemaId id : below) choice.ways.push_back(apply(id));
    }
  } else if (key == "not") {
    Enforced(schema, key, "as what is left");
    Apply(f, Complement(Below(schema, key, value)), place);
    return;
  } else if (key == "if") {
    const auto yes = json.find("then"), no = json.find("else");
    if (yes == json.end() && no == json.end() && !UnevaluatedAbove(f, place)) {
      return Note(JsonSchemaNote::Kind::kAnnotation, schema, key, "without then and else");
    }
    const SchemaId condition = Below(schema, key, value);
    Conjunction held = {condition}, failed = {Complement(condition)};
    if (yes != json.end()) held.push_back(Below(schema, "then", *yes));
    if (no != json.end()) failed.push_back(Below(schema, "else", *no));
    for (const Conjunction& way : {held, failed}) {
      choice.ways.push_back([this, place, way](Facts& g) {
        for (const SchemaId id : way) Apply(g, id, place);
      });
    }
    Enforced(schema, key, "as two alternatives");
  } else if (key == "then" || key == "else") {
    if (json.contains("if")) return Enforced(schema, key, "with if");
    return Note(JsonSchemaNote::Kind::kAnnotation, schema, key, "without if");
  } else {  // dependentRequired, dependentSchemas
    if (!value.is_object()) return Refuse(schema, key, "must be an object");
    for (const auto& [name, below] : value.items()) {
      Facts::Choice dependent = choice;
      dependent.ways.push_back([name = name](Facts& g) { g.absent.push_back(name); });
      std::vector<std::string> names;
      if (key == "dependentRequired") {
        if (!ReadStrings(schema, key, below, &names)) return;
        names.insert(names.begin(), name);
        dependent.ways.push_back([names](Facts& g) {
          for (const std::string& n : names) {
            if (std::find(g.required.begin(), g.required.end(), n) == g.required.end()) {
              g.required.push_back(n);
            }
          }
        });
      } else {
        const SchemaId id = Below(schema, key, name, below);
        dependent.ways.push_back([this, id, place, name = name](Facts& g) {
          g.required.push_back(name);
          Apply(g, id, place);
        });
      }
      f.choices.push_back(std::move(dependent));
    }
    return Enforced(schema, key, "as two alternatives for each");
  }
  f.choices.push_back(std::move(choice));
}

void SchemaCompiler::Split(Facts f, std::vector<Facts>* leaves) {
  if (f.types == 0) return Contradiction(f, {"type"}, "no type is left");
  if (f.choices.empty()) {
    leaves->push_back(std::move(f));
    return;
  }
  const Facts::Choice choice = std::move(f.choices.front());
  f.choices.erase(f.choices.begin());
  if (++splits_ > kMaxSplits || leaves->size() > kMaxLeaves) {
    return Refuse(choice.pointer, "", "there are too many ways through these alternatives");
  }
  if (choice.kind == Facts::Choice::Kind::kExactlyOne) return SplitOne(f, choice, leaves);
  for (const auto& way : choice.ways) {
    Facts g = f;
    way(g);
    Split(std::move(g), leaves);
  }
}

void SchemaCompiler::SplitOne(const Facts& f, const Facts::Choice& choice,
                              std::vector<Facts>* leaves) {
  const size_t n = choice.schemas.size();
  std::vector<Conjunction> ways(n);
  const bool differ = ConstantsDiffer(choice.schemas);
  if (!differ && n > kMaxExactlyOne) {
    return Refuse(choice.pointer, "oneOf",
                  fmt::format("has more than {} alternatives that are not told apart by const or "
                              "enum; use anyOf",
                              kMaxExactlyOne));
  }
  for (size_t i = 0; i < n; ++i) {
    ways[i].push_back(choice.schemas[i]);
    for (size_t j = 0; j < i && !differ; ++j) {
      if (Disjoint(f, choice, i, j)) continue;
      ways[i].push_back(Complement(choice.schemas[j]));
      ways[j].push_back(Complement(choice.schemas[i]));
    }
  }
  for (const Conjunction& way : ways) {
    Facts g = f;
    for (const SchemaId id : way) Apply(g, id, choice.place);
    Split(std::move(g), leaves);
  }
}

bool SchemaCompiler::ConstantsDiffer(const Conjunction& schemas) const {
  std::unordered_set<std::string> seen;
  for (const SchemaId id : schemas) {
    const Json& json = document_.json(id);
    if (!json.is_object()) return false;
    if (const auto one = json.find("const"); one != json.end()) {
      if (!seen.insert(Canonical(*one)).second) return false;
    } else if (const auto list = json.find("enum"); list != json.end() && list->is_array()) {
      std::unordered_set<std::string> own;
      for (const Json& v : *list) {
        if (own.insert(Canonical(v)).second && !seen.insert(Canonical(v)).second) return false;
      }
    } else {
      return false;
    }
  }
  return true;
}

bool SchemaCompiler::Disjoint(const Facts& f, const Facts::Choice& choice, size_t a, size_t b) {
  Facts both = f;
  both.choices.clear();
  Apply(both, choice.schemas[a], choice.place);
  Apply(both, choice.schemas[b], choice.place);
  std::vector<Facts> leaves;
  const std::string before = contradiction_;
  Split(std::move(both), &leaves);
  const bool disjoint =
      std::none_of(leaves.begin(), leaves.end(), [&](const Facts& leaf) { return MayHold(leaf); });
  contradiction_ = before;  // what was only tried contradicts nothing
  return disjoint;
}

bool SchemaCompiler::MayHold(const Conjunction& all) {
  const auto [known, fresh] = may_hold_.try_emplace(all, true);  // inside itself: perhaps
  if (!fresh) return known->second;
  if (++depth_ > kMaxChain) {
    --depth_;
    return true;
  }
  const Leaves leaves = Flat(all);
  const bool may =
      std::any_of(leaves->begin(), leaves->end(), [&](const Facts& f) { return MayHold(f); });
  --depth_;
  return may_hold_[all] = may;
}

bool SchemaCompiler::MayHold(const Facts& f) {
  if (f.values) {
    return std::any_of(f.values->begin(), f.values->end(),
                       [&](const Json* v) { return Holds(f, *v); });
  }
  if (f.types & (kTypeNull | kTypeFalse | kTypeTrue)) return true;
  if (f.types & kTypeNumber) {
    const NumberDigits digits = {options_.max_whole_digits, options_.max_fraction_digits};
    if (f.numbers.Write(terms_, f.types & kTypeInteger, f.types & kTypeFraction, digits) !=
        kNever) {
      return true;
    }
  }
  if ((f.types & kTypeString) && Strings(f) != kNever) return true;
  if ((f.types & kTypeArray) && !f.count.empty()) {
    size_t different = 0;  // from here on all items are alike
    for (const Facts::Items& items : f.items) different = std::max(different, items.first.size());
    bool all = true;
    for (uint64_t i = 0; i < std::min<uint64_t>(f.count.min, different + 1) && all; ++i) {
      all = MayHold(ItemSchemas(f, i));
    }
    if (all) return true;
  }
  if ((f.types & kTypeObject) && !f.size.empty()) {
    const auto possible = [&](const std::string& name) {
      return std::find(f.absent.begin(), f.absent.end(), name) == f.absent.end() &&
             NameAllowed(f, name) && MayHold(PropertySchemas(f, &name, Matched(f, name)));
    };
    if (std::all_of(f.required.begin(), f.required.end(), possible)) return true;
  }
  return false;
}

}  // namespace minnow::constrain
