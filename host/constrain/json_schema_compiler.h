// Inside json_schema*.cc: from schemas that must all hold to the values they leave.
//
// What must hold is first laid flat: allOf, $ref and nested keywords become one list of facts, and
// each way through anyOf, oneOf, if and not a list of its own (json_schema_combine.cc and
// json_schema_negate.cc). A list of facts has no alternatives left and is written type by type
// (json_schema_arrays.cc, _objects.cc, _strings.cc, _numbers.cc); the schemas of items and
// properties are again such conjunctions. One that is met inside itself becomes a rule.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "constrain/json_schema.h"
#include "constrain/json_schema_document.h"
#include "constrain/json_schema_numbers.h"

namespace minnow::constrain {

// Kinds of values; a number is of one of two, since 1.5 is none of JSON Schema's integers.
enum Type : uint8_t {
  kTypeNull = 1,
  kTypeFalse = 2,
  kTypeTrue = 4,
  kTypeInteger = 8,
  kTypeFraction = 16,
  kTypeString = 32,
  kTypeArray = 64,
  kTypeObject = 128,
  kTypeNumber = kTypeInteger | kTypeFraction,
  kTypeAll = 255,
};

using Conjunction = std::vector<SchemaId>;  // all of them hold

constexpr int kNowhere = -1;  // what was concluded rather than said by a schema

struct Facts {
  struct Place {  // a schema that was applied to this value
    SchemaId schema;
    int parent;  // in `places`: whose allOf, $ref, ... it is
  };
  struct Property {
    std::string name;
    int place;
    SchemaId schema;
  };
  struct Pattern {
    int place;
    Term names;
    SchemaId schema;
  };
  struct Rest {  // additionalProperties, unevaluatedProperties, unevaluatedItems
    int place;
    SchemaId schema;
    bool unevaluated;
  };
  struct Items {
    int place;
    std::vector<std::optional<SchemaId>> first;
    std::optional<SchemaId> others;
  };
  struct Contains {
    int place;
    SchemaId schema;
    uint64_t min = 1;
    std::optional<uint64_t> max;
  };
  struct Range {
    uint64_t min = 0;
    std::optional<uint64_t> max;
    bool empty() const { return max && *max < min; }
    void AtLeast(uint64_t n) { min = std::max(min, n); }
    void AtMost(uint64_t n) { max = max ? std::min(*max, n) : n; }
  };
  struct Choice {  // still to be made
    enum class Kind { kAny, kExactlyOne };
    Kind kind;
    std::string pointer;
    int place;
    std::vector<std::function<void(Facts&)>> ways;  // kAny
    Conjunction schemas;                            // kExactlyOne
  };

  uint8_t types = kTypeAll;
  std::optional<std::vector<const Json*>> values;  // of const and enum
  std::vector<Place> places;

  NumberSet numbers;

  Range length;
  std::vector<Term> contents;
  bool from_source = false, fuzzy_space = false;  // copied from the document

  bool listed = false;  // `properties` was given, perhaps empty
  std::vector<Property> properties;
  std::vector<Pattern> patterns;
  std::vector<Rest> rest;
  Conjunction names;
  std::vector<std::string> required, absent;
  Range size;

  std::vector<Items> items;
  std::vector<Rest> rest_items;
  std::vector<Contains> contains;
  bool unique = false;
  Range count;

  std::vector<Choice> choices;
};

class SchemaCompiler {
 public:
  SchemaCompiler(Terms& terms, SchemaDocument& document, const JsonSchemaOptions& options,
                 JsonSchemaReport* report);

  Result<Term> Compile();

 private:
  using Leaves = std::shared_ptr<const std::vector<Facts>>;
  struct Keyword;

  // --- notes (json_schema.cc) ---
  void Note(JsonSchemaNote::Kind kind, SchemaId schema, std::string_view keyword, std::string text);
  void Enforced(SchemaId schema, std::string_view keyword, std::string_view how);
  void Refuse(const std::string& pointer, std::string_view keyword, std::string reason);
  void Refuse(SchemaId schema, std::string_view keyword, std::string reason);
  // `keywords` of some schema that was applied are to blame for there being no value.
  void Contradiction(const Facts& f, std::initializer_list<std::string_view> keywords,
                     std::string_view reason);

  // --- laying flat (json_schema_combine.cc) ---
  Leaves Flat(const Conjunction& all);
  void Apply(Facts& f, SchemaId schema, int parent);
  void ApplyKeyword(Facts& f, SchemaId schema, int place, const std::string& key,
                    const Json& value);
  bool ApplyReference(Facts& f, SchemaId schema, int place, const std::string& key,
                      const Json& value);
  void ApplySource(Facts& f, SchemaId schema, const std::string& key, const Json& value);
  void ApplyScalar(Facts& f, SchemaId schema, const std::string& key, const Json& value);
  void ApplyArray(Facts& f, SchemaId schema, int place, const std::string& key, const Json& value);
  void ApplyObject(Facts& f, SchemaId schema, int place, const std::string& key, const Json& value);
  void ApplyCombination(Facts& f, SchemaId schema, int place, const std::string& key,
                        const Json& value);
  bool UnevaluatedAbove(const Facts& f, int place) const;
  void Split(Facts f, std::vector<Facts>* leaves);
  void SplitOne(const Facts& f, const Facts::Choice& choice, std::vector<Facts>* leaves);
  bool Disjoint(const Facts& f, const Facts::Choice& choice, size_t a, size_t b);
  bool ConstantsDiffer(const Conjunction& schemas) const;
  // Whether a value may be left; true if that cannot be told.
  bool MayHold(const Facts& f);
  bool MayHold(const Conjunction& all);

  // --- complements (json_schema_negate.cc) ---
  void ApplyComplement(Facts& f, SchemaId schema, int parent);
  bool Negate(SchemaId schema, int place, const std::string& key, const Json& value,
              std::vector<std::function<void(Facts&)>>* ways);
  bool NegateScalar(SchemaId schema, const std::string& key, const Json& value,
                    std::vector<std::function<void(Facts&)>>* ways);
  void Exclude(Facts& f, SchemaId schema, const std::string& key, const Json& value);

  // --- reading keywords (json_schema.cc) ---
  bool ReadCount(SchemaId schema, const std::string& key, const Json& value, uint64_t* count);
  bool ReadNumber(SchemaId schema, const std::string& key, const Json& value, Decimal* number);
  bool ReadTypes(SchemaId schema, const Json& value, uint8_t* types);
  bool ReadPattern(const std::string& pointer, const Json& value, Term* contents);
  bool ReadStrings(SchemaId schema, const std::string& key, const Json& value,
                   std::vector<std::string>* strings);
  SchemaId Below(SchemaId schema, const std::string& key, const Json& value);
  SchemaId Below(SchemaId schema, const std::string& key, const std::string& name,
                 const Json& value);

  // --- writing (json_schema_write.cc, _arrays.cc, _objects.cc, _strings.cc) ---
  Term Value(const Conjunction& all);
  Term Write(const Facts& f, std::vector<std::string>* strings);
  Term AnyValue();
  Term Strings(const Facts& f);  // contents: without quotation marks
  Term Strings(const Conjunction& all);
  Term Spans(const Facts& f, bool raw);  // kNever: the document has none
  Term Others(Term contents);
  Term Format(std::string_view name);  // kNever: not one we know
  Term Arrays(const Facts& f);
  Term UniqueArrays(const Facts& f, uint64_t min, uint64_t max);
  Term CountingArrays(const Facts& f, uint64_t min, uint64_t max);
  Conjunction ItemSchemas(const Facts& f, size_t index);
  Term Objects(const Facts& f);
  struct Entry;
  std::vector<Entry> Entries(const Facts& f);
  Term OtherEntries(const Facts& f, const std::vector<Entry>& entries);
  Term WriteEntries(const Facts& f, const std::vector<Entry>& entries, Term others);
  Term WriteCountedEntries(const Facts& f, const std::vector<Entry>& entries, Term others);
  Term OthersBetween(Term others, uint64_t min, uint64_t max, bool first);
  std::vector<std::string> Names(const Facts& f) const;
  Conjunction PropertySchemas(const Facts& f, const std::string* name,
                              const std::vector<bool>& matched) const;
  std::vector<bool> Matched(const Facts& f, const std::string& name);
  bool Closed(const Facts& f) const;
  bool NameAllowed(const Facts& f, const std::string& name);
  bool Within(const Facts& f, int place, int ancestor) const;
  bool Forbidden(const Conjunction& all) const;  // one of them is `false`

  // Values that are known (json_schema_values.cc).
  Term Constant(const Json& value);
  std::string Text(const Json& value) const;  // as Constant writes it, unless Space::kFlexible
  bool Accepts(const Facts& f, const Json& value);
  bool Holds(const Facts& f, const Json& value);  // but for const and enum
  bool Accepts(const Conjunction& all, const Json& value);
  bool AcceptsArray(const Facts& f, const Json& value);
  bool AcceptsObject(const Facts& f, const Json& value);
  std::optional<std::vector<Json>> FiniteValues(const Conjunction& all);
  bool Contains(Term contents, const std::string& text);

  // Punctuation with its white space.
  Term Comma() { return comma_; }
  Term Name(const std::string& name, bool first);  // the comma if there is one, name and colon
  Term Enclosed(char open, Term inside, char close);
  // The same, and not deep: long tails are cut into rules, one in every kTail steps.
  static constexpr uint64_t kTail = 16;
  Term Cut(Term tail);

  Terms& terms_;
  SchemaDocument& document_;
  const JsonSchemaOptions options_;
  JsonSchemaReport* report_;
  std::set<std::pair<std::string, int>> noted_;
  Status refused_;  // the first
  size_t n_refused_ = 0;
  std::string contradiction_;  // the first
  const Term any_char_, space_, comma_, colon_;
  Term any_value_ = kNever;
  struct Known {
    Term term = kNever;
    std::optional<RuleId> rule;
    bool done = false;
  };
  std::map<Conjunction, Known> values_;
  std::map<Conjunction, Leaves> flat_;
  std::map<Conjunction, bool> may_hold_;
  std::map<std::string, Term> patterns_, formats_;
  std::map<std::pair<Term, std::string>, bool> contained_;
  std::map<std::tuple<bool, bool, uint32_t>, Term> spans_;  // raw, fuzzy, characters
  size_t depth_ = 0, splits_ = 0;
};

bool AllowsAll(const Json& schema);  // true, {}
// The same text for values that JSON Schema takes for the same: 1 and 1.0, members in any order.
std::string Canonical(const Json& value);
uint8_t TypeOf(const Json& value);
size_t CodePoints(std::string_view text);

}  // namespace minnow::constrain
