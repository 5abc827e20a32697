// Facts as terms, type by type.
#include <algorithm>

#include "constrain/json_schema_compiler.h"
#include "constrain/json_text.h"

namespace minnow::constrain {

namespace {

constexpr size_t kMaxNesting = 200;

}  // namespace

Term SchemaCompiler::Value(const Conjunction& given) {
  Conjunction all;
  for (const SchemaId id : given) {
    if ((id & 1) == 0 && AllowsAll(document_.json(id))) continue;
    if (std::find(all.begin(), all.end(), id) == all.end()) all.push_back(id);
  }
  if (all.empty()) return AnyValue();
  if (const auto known = values_.find(all); known != values_.end()) {
    if (known->second.done) return known->second.term;
    if (!known->second.rule) {
      known->second.rule = terms_.Declare("#" + document_.pointer(all.front()));
    }
    return terms_.Rule(*known->second.rule);
  }
  if (!terms_.status().ok()) return kNever;
  if (depth_ >= kMaxNesting) {
    Refuse(all.front(), "", fmt::format("schemas nest deeper than {} levels", kMaxNesting));
    return kNever;
  }
  ++depth_;
  values_[all];
  const Leaves leaves = Flat(all);
  std::vector<Term> ways;
  std::vector<std::string> strings;
  for (const Facts& f : *leaves) ways.push_back(Write(f, &strings));
  if (!strings.empty()) ways.push_back(terms_.Strings(strings));
  Term term = terms_.Or(ways);
  --depth_;
  Known& known = values_[all];
  if (known.rule) {
    terms_.Define(*known.rule, term);
    term = terms_.Rule(*known.rule);
  }
  known.term = term;
  known.done = true;
  return term;
}

Term SchemaCompiler::Write(const Facts& f, std::vector<std::string>* strings) {
  if (f.values) {
    std::vector<Term> all;
    for (const Json* value : *f.values) {
      if (!Holds(f, *value)) continue;
      if (value->is_string()) {
        strings->push_back(JsonQuote(value->get_ref<const std::string&>()));
        if (all.empty()) all.push_back(kNever);
      } else {
        all.push_back(Constant(*value));
      }
    }
    if (all.empty()) Contradiction(f, {"const", "enum"}, "no value of const and enum is left");
    return terms_.Or(all);
  }
  std::vector<Term> all;
  if (f.types & kTypeNull) all.push_back(terms_.Literal("null"));
  if (f.types & kTypeFalse) all.push_back(terms_.Literal("false"));
  if (f.types & kTypeTrue) all.push_back(terms_.Literal("true"));
  const auto add = [&](Term term, std::initializer_list<std::string_view> keywords,
                       std::string_view reason) {
    if (term == kNever) return Contradiction(f, keywords, reason);
    all.push_back(term);
  };
  if (f.types & kTypeNumber) {
    const NumberDigits digits = {options_.max_whole_digits, options_.max_fraction_digits};
    Term numbers = f.numbers.Write(terms_, f.types & kTypeInteger, f.types & kTypeFraction, digits);
    if (f.from_source && !options_.any_document) numbers = terms_.And(numbers, Spans(f, true));
    add(numbers, {"minimum", "exclusiveMinimum", "multipleOf", "maximum", "exclusiveMaximum"},
        "no number is left");
  }
  if (f.types & kTypeString) {
    add(JsonString(terms_, Strings(f)),
        {"minLength", "format", "pattern", "maxLength", "x-from-source"}, "no string is left");
  }
  if (f.types & kTypeArray) {
    add(Arrays(f), {"items", "uniqueItems", "contains", "minItems", "maxItems"},
        "no array is left");
  }
  if (f.types & kTypeObject) {
    add(Objects(f),
        {"additionalProperties", "minProperties", "maxProperties", "propertyNames", "properties",
         "required"},
        "no object is left: a property that has to be there cannot be");
  }
  return terms_.Or(all);
}

Term SchemaCompiler::AnyValue() {
  if (any_value_ != kNever) return any_value_;
  const RuleId rule = terms_.Declare("any value");
  any_value_ = terms_.Rule(rule);
  const NumberDigits digits = {options_.max_whole_digits, options_.max_fraction_digits};
  const Term string = JsonString(terms_, terms_.Repeat(any_char_, 0, options_.max_string));
  const auto list = [&](Term item) {
    const uint32_t more = options_.max_items - 1;
    return terms_.Optional(
        terms_.Concat(item, terms_.Repeat(terms_.Concat(comma_, item), 0, more)));
  };
  const Term entry[] = {string, colon_, any_value_};
  const Term all[] = {terms_.Literal("null"),
                      terms_.Literal("false"),
                      terms_.Literal("true"),
                      NumberSet().Write(terms_, true, true, digits),
                      string,
                      Enclosed('[', list(any_value_), ']'),
                      Enclosed('{', list(terms_.Concat(entry)), '}')};
  terms_.Define(rule, terms_.Or(all));
  return any_value_;
}

Term SchemaCompiler::Cut(Term tail) {
  if (tail == kNever || tail == kEmpty) return tail;
  const RuleId rule = terms_.Declare("tail");
  terms_.Define(rule, tail);
  return terms_.Rule(rule);
}

Term SchemaCompiler::Enclosed(char open, Term inside, char close) {
  const Term parts[] = {terms_.Literal(std::string(1, open)), space_, inside, space_,
                        terms_.Literal(std::string(1, close))};
  return terms_.Concat(parts);
}

}  // namespace minnow::constrain
