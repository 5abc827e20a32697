// What a schema refuses, keyword by keyword: some keyword of it does not hold.
#include <algorithm>

#include "constrain/json_schema_compiler.h"
#include "constrain/json_text.h"

namespace minnow::constrain {

using Ways = std::vector<std::function<void(Facts&)>>;

bool AllowsAll(const Json& schema) {
  return schema == Json(true) || (schema.is_object() && schema.empty());
}

void SchemaCompiler::ApplyComplement(Facts& f, SchemaId schema, int place) {
  const Json& json = document_.json(schema);
  if (json.is_boolean()) {
    if (json.get<bool>()) f.types = 0;
    return;
  }
  if (!json.is_object()) return Refuse(schema, "", "a schema must be an object or a boolean");
  Ways ways;
  for (const auto& [key, value] : json.items()) {
    if (!Negate(Complement(schema), place, key, value, &ways)) {
      f.types = 0;
      return;
    }
  }
  if (ways.empty()) {
    f.types = 0;  // it refuses nothing
  } else if (ways.size() == 1) {
    ways[0](f);
  } else {
    f.choices.push_back(
        {Facts::Choice::Kind::kAny, document_.pointer(schema), place, std::move(ways), {}});
  }
}

void SchemaCompiler::Exclude(Facts& f, SchemaId schema, const std::string& key, const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      f.types &= static_cast<uint8_t>(~kTypeNull);
      return;
    case Json::value_t::boolean:
      f.types &= static_cast<uint8_t>(~(value.get<bool>() ? kTypeTrue : kTypeFalse));
      return;
    case Json::value_t::string:
      f.contents.push_back(
          Others(terms_.Literal(JsonContent(value.get_ref<const std::string&>()))));
      return;
    case Json::value_t::array:
    case Json::value_t::object:
      return Refuse(schema, key, "a list or an object cannot be excluded (by not, oneOf or if)");
    default:
      if (const auto number = ParseDecimal(value.dump())) f.numbers.Exclude(*number);
  }
}

bool SchemaCompiler::NegateScalar(SchemaId schema, const std::string& key, const Json& value,
                                  Ways* ways) {
  const auto add = [ways](uint8_t types, auto change) {
    ways->push_back([types, change](Facts& f) {
      f.types &= types;
      change(f);
    });
  };
  Decimal number;
  uint64_t n = 0;
  uint8_t types = 0;
  if (key == "type") {
    if (!ReadTypes(schema, value, &types)) return false;
    add(static_cast<uint8_t>(~types), [](Facts&) {});
  } else if (key == "const") {
    add(kTypeAll, [this, schema, key, &value](Facts& f) { Exclude(f, schema, key, value); });
  } else if (key == "enum" && value.is_array()) {
    add(kTypeAll, [this, schema, key, &value](Facts& f) {
      for (const Json& v : value) Exclude(f, schema, key, v);
    });
  } else if (key == "minimum" || key == "exclusiveMinimum") {
    if (!ReadNumber(schema, key, value, &number)) return false;
    const Bound bound = {number, key != "minimum"};
    add(kTypeNumber, [bound](Facts& f) { f.numbers.AtMost(bound); });
  } else if (key == "maximum" || key == "exclusiveMaximum") {
    if (!ReadNumber(schema, key, value, &number)) return false;
    const Bound bound = {number, key != "maximum"};
    add(kTypeNumber, [bound](Facts& f) { f.numbers.AtLeast(bound); });
  } else if (key == "multipleOf") {
    if (!ReadNumber(schema, key, value, &number)) return false;
    if (number.negative || number.zero() || !NumberSet::Writable(number)) {
      Refuse(schema, key, "must be above 0, with at most four digits, zeros at its ends left out");
      return false;
    }
    add(kTypeNumber, [number](Facts& f) { f.numbers.NoMultipleOf(number); });
  } else if (key == "minLength" || key == "minItems" || key == "minProperties") {
    if (!ReadCount(schema, key, value, &n)) return false;
    if (n == 0) return true;
    if (key == "minLength") add(kTypeString, [n](Facts& f) { f.length.AtMost(n - 1); });
    if (key == "minItems") add(kTypeArray, [n](Facts& f) { f.count.AtMost(n - 1); });
    if (key == "minProperties") add(kTypeObject, [n](Facts& f) { f.size.AtMost(n - 1); });
  } else if (key == "maxLength" || key == "maxItems" || key == "maxProperties") {
    if (!ReadCount(schema, key, value, &n)) return false;
    if (key == "maxLength") add(kTypeString, [n](Facts& f) { f.length.AtLeast(n + 1); });
    if (key == "maxItems") add(kTypeArray, [n](Facts& f) { f.count.AtLeast(n + 1); });
    if (key == "maxProperties") add(kTypeObject, [n](Facts& f) { f.size.AtLeast(n + 1); });
  } else if (key == "pattern") {
    Term contents = kNever;
    if (!ReadPattern(document_.pointer(schema) + "/pattern", value, &contents)) return false;
    const Term others = Others(contents);
    add(kTypeString, [others](Facts& f) { f.contents.push_back(others); });
  } else if (key == "format" && value.is_string()) {
    const Term contents = Format(value.get_ref<const std::string&>());
    if (contents == kNever || !options_.assert_formats) return true;
    const Term others = Others(contents);
    add(kTypeString, [others](Facts& f) { f.contents.push_back(others); });
  } else if (key == "required") {
    std::vector<std::string> names;
    if (!ReadStrings(schema, key, value, &names)) return false;
    for (const std::string& name : names) {
      add(kTypeObject, [name](Facts& f) { f.absent.push_back(name); });
    }
  } else {
    Refuse(schema, key, "cannot be negated (by not, oneOf or if)");
    return false;
  }
  return true;
}

// Adds the ways in which this keyword does not hold; false: that cannot be said, and was refused.
bool SchemaCompiler::Negate(SchemaId schema, int place, const std::string& key, const Json& value,
                            Ways* ways) {
  const auto refuse = [&] {
    Refuse(schema, key, "cannot be negated (by not, oneOf or if)");
    return false;
  };
  const auto require = [](Facts& f, const std::string& name) {
    f.types &= kTypeObject;
    if (std::find(f.required.begin(), f.required.end(), name) == f.required.end()) {
      f.required.push_back(name);
    }
  };
  const Json& json = document_.json(schema);
  if (key == "properties" || key == "dependentSchemas") {
    if (!value.is_object()) return refuse();
    const bool dependent = key != "properties";
    for (const auto& [name, below] : value.items()) {
      const SchemaId id = Complement(Below(schema, key, name, below));
      if (AllowsAll(below)) continue;
      ways->push_back([this, require, id, place, dependent, name = name](Facts& f) {
        require(f, name);
        if (dependent) {
          Apply(f, id, place);
        } else {
          f.properties.push_back({name, kNowhere, id});
        }
      });
    }
    return true;
  }
  if (key == "dependentRequired") {
    if (!value.is_object()) return refuse();
    for (const auto& [name, list] : value.items()) {
      std::vector<std::string> names;
      if (!ReadStrings(schema, key, list, &names)) return false;
      for (const std::string& other : names) {
        ways->push_back([require, other, name = name](Facts& f) {
          require(f, name);
          f.absent.push_back(other);
        });
      }
    }
    return true;
  }
  if (key == "prefixItems") {
    if (!value.is_array()) return refuse();
    for (size_t i = 0; i < value.size(); ++i) {
      const SchemaId id = Complement(Below(schema, key, std::to_string(i), value[i]));
      ways->push_back([id, i](Facts& f) {
        f.types &= kTypeArray;
        f.count.AtLeast(i + 1);
        f.items.push_back({kNowhere, std::vector<std::optional<SchemaId>>(i + 1), {}});
        f.items.back().first[i] = id;
      });
    }
    return true;
  }
  if (key == "items" || key == "contains") {
    const SchemaId id = Complement(Below(schema, key, value));
    if (key == "items" && AllowsAll(value)) return true;
    if (json.contains(key == "items" ? "prefixItems" : "minContains") ||
        json.contains("maxContains")) {
      return refuse();
    }
    const bool some = key == "items";
    ways->push_back([id, some](Facts& f) {
      f.types &= kTypeArray;
      if (some) {
        f.contains.push_back({kNowhere, id, 1, {}});
      } else {
        f.items.push_back({kNowhere, {}, id});
      }
    });
    return true;
  }
  if (key == "allOf" || key == "anyOf") {
    if (!value.is_array() || value.empty()) return refuse();
    Conjunction all;
    for (size_t i = 0; i < value.size(); ++i) {
      all.push_back(Complement(Below(schema, key, std::to_string(i), value[i])));
    }
    if (key == "allOf") {
      for (const SchemaId id : all) {
        ways->push_back([this, id, place](Facts& f) { Apply(f, id, place); });
      }
    } else {
      ways->push_back([this, all, place](Facts& f) {
        for (const SchemaId id : all) Apply(f, id, place);
      });
    }
    return true;
  }
  if (key == "oneOf" && value.is_array() && value.size() == 1) {
    const SchemaId id = Complement(Below(schema, key, "0", value[0]));
    ways->push_back([this, id, place](Facts& f) { Apply(f, id, place); });
    return true;
  }
  if (key == "not") {
    const SchemaId id = Below(schema, key, value);
    ways->push_back([this, id, place](Facts& f) { Apply(f, id, place); });
    return true;
  }
  if (key == "$ref" || key == "$dynamicRef") {
    if (!value.is_string()) return refuse();
    const auto& reference = value.get_ref<const std::string&>();
    const Result<SchemaId> target = key == "$ref" ? document_.Resolve(schema, reference)
                                                  : document_.ResolveDynamic(schema, reference);
    if (!target.ok()) {
      Refuse(schema, key, target.status().message());
      return false;
    }
    const SchemaId id = Complement(*target);
    ways->push_back([this, id, place](Facts& f) { Apply(f, id, place); });
    return true;
  }
  if (key == "if") {
    const SchemaId condition = Below(schema, key, value);
    for (const auto& [branch, holds] :
         {std::pair("then", condition), std::pair("else", Complement(condition))}) {
      const auto found = json.find(branch);
      if (found == json.end()) continue;
      const SchemaId id = Complement(Below(schema, branch, *found));
      ways->push_back([this, id, place, holds = holds](Facts& f) {
        Apply(f, holds, place);
        Apply(f, id, place);
      });
    }
    return true;
  }
  static const std::set<std::string, std::less<>> kAsserting = {"type",
                                                                "enum",
                                                                "const",
                                                                "minimum",
                                                                "maximum",
                                                                "exclusiveMinimum",
                                                                "exclusiveMaximum",
                                                                "multipleOf",
                                                                "minLength",
                                                                "maxLength",
                                                                "minItems",
                                                                "maxItems",
                                                                "minProperties",
                                                                "maxProperties",
                                                                "pattern",
                                                                "format",
                                                                "required"};
  if (kAsserting.contains(key)) return NegateScalar(schema, key, value, ways);
  if (key == "uniqueItems" && value == Json(false)) return true;
  static const std::set<std::string, std::less<>> kNotNegated = {
      "uniqueItems",           "oneOf",         "additionalProperties",
      "patternProperties",     "propertyNames", "unevaluatedItems",
      "unevaluatedProperties", "x-from-source"};
  if (kNotNegated.contains(key)) {
    return AllowsAll(value) && key != "uniqueItems" ? true : refuse();
  }
  // The rest asserts nothing, and is read as it would be without a `not`.
  Facts unused;
  ApplyKeyword(unused, schema, kNowhere, key, value);
  return true;
}

}  // namespace minnow::constrain
