// Properties, in their order, and those that nobody named.
#include <algorithm>

#include "constrain/json_schema_compiler.h"
#include "constrain/json_text.h"

namespace minnow::constrain {

namespace {

constexpr size_t kMaxClasses = 64;        // of names, by which patterns they match
constexpr uint64_t kMaxCounted = 40'000;  // states of an object that counts its properties

bool Has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

struct SchemaCompiler::Entry {
  std::string name;
  Term value;
  bool required;
};

// Whether the schema at `place` was applied by the one at `ancestor`, or is it, and holds.
bool SchemaCompiler::Within(const Facts& f, int place, int ancestor) const {
  for (; place != kNowhere; place = f.places[static_cast<size_t>(place)].parent) {
    if (place == ancestor) return true;
    if (f.places[static_cast<size_t>(place)].schema & 1) return false;
  }
  return false;
}

std::vector<bool> SchemaCompiler::Matched(const Facts& f, const std::string& name) {
  std::vector<bool> matched;
  for (const Facts::Pattern& p : f.patterns) matched.push_back(Contains(p.names, name));
  return matched;
}

bool SchemaCompiler::NameAllowed(const Facts& f, const std::string& name) {
  return f.names.empty() || Accepts(f.names, Json(name));
}

// What must hold of the value of a property with this name (null: one that no `properties` has),
// which matches these of the patterns.
Conjunction SchemaCompiler::PropertySchemas(const Facts& f, const std::string* name,
                                            const std::vector<bool>& matched) const {
  Conjunction all;
  const auto speaks_of = [&](const auto& at) {
    for (const Facts::Property& p : f.properties) {
      if (name && p.name == *name && at(p.place)) return true;
    }
    for (size_t i = 0; i < f.patterns.size(); ++i) {
      if (matched[i] && at(f.patterns[i].place)) return true;
    }
    return false;
  };
  for (const Facts::Property& p : f.properties) {
    if (name && p.name == *name) all.push_back(p.schema);
  }
  for (size_t i = 0; i < f.patterns.size(); ++i) {
    if (matched[i]) all.push_back(f.patterns[i].schema);
  }
  for (const Facts::Rest& rest : f.rest) {
    if (!rest.unevaluated) {
      if (!speaks_of([&](int place) { return place == rest.place; })) all.push_back(rest.schema);
      continue;
    }
    const auto inner = [&](const Facts::Rest& other) {
      return Within(f, other.place, rest.place) &&
             (!other.unevaluated || other.place != rest.place);
    };
    if (std::none_of(f.rest.begin(), f.rest.end(), inner) &&
        !speaks_of([&](int place) { return Within(f, place, rest.place); })) {
      all.push_back(rest.schema);
    }
  }
  return all;
}

// Names that have a place in the order.
std::vector<std::string> SchemaCompiler::Names(const Facts& f) const {
  std::vector<std::string> names;
  std::set<std::string_view> seen;
  const auto add = [&](const std::string& name) {
    if (seen.insert(name).second) names.push_back(name);
  };
  for (const Facts::Property& p : f.properties) add(p.name);
  for (const std::string& name : f.required) add(name);
  return names;
}

// Whether the schema gives properties and says nothing of others; then there are none.
bool SchemaCompiler::Closed(const Facts& f) const {
  return !options_.open_objects && f.rest.empty() && f.listed;
}

bool SchemaCompiler::Forbidden(const Conjunction& all) const {
  return std::any_of(all.begin(), all.end(), [&](SchemaId id) {
    return (id & 1) == 0 && document_.json(id) == Json(false);
  });
}

std::vector<SchemaCompiler::Entry> SchemaCompiler::Entries(const Facts& f) {
  std::vector<Entry> entries;
  for (const std::string& name : Names(f)) {
    const bool required = Has(f.required, name);
    Term value = kNever;
    if (!Has(f.absent, name) && NameAllowed(f, name)) {
      const Conjunction all = PropertySchemas(f, &name, Matched(f, name));
      if (!Forbidden(all)) value = Value(all);
    }
    entries.push_back({name, value, required});
  }
  return entries;
}

Term SchemaCompiler::Name(const std::string& name, bool first) {
  const std::string quoted = JsonQuote(name);
  switch (options_.space) {
    case JsonSchemaOptions::Space::kSingle:
      return terms_.Literal((first ? "" : ", ") + quoted + ": ");
    case JsonSchemaOptions::Space::kCompact:
      return terms_.Literal((first ? "" : ",") + quoted + ":");
    case JsonSchemaOptions::Space::kFlexible:
      break;
  }
  const Term parts[] = {first ? kEmpty : comma_, terms_.Literal(quoted), colon_};
  return terms_.Concat(parts);
}

// One property whose name has no place in the order.
Term SchemaCompiler::OtherEntries(const Facts& f, const std::vector<Entry>& entries) {
  struct Class {
    Term names;
    std::vector<bool> matched;
  };
  std::vector<std::string> known = f.absent;
  for (const Entry& entry : entries) known.push_back(entry.name);
  for (std::string& name : known) name = JsonContent(name);
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end()), known.end());
  // As with strings, what is said of them bounds them.
  const bool said = !f.names.empty() || !f.patterns.empty();
  Term names = terms_.Repeat(any_char_, 0, said ? kUnbounded : options_.max_string);
  if (!f.names.empty()) names = terms_.And(names, Strings(f.names));
  if (!known.empty()) names = terms_.And(names, terms_.Not(terms_.Strings(known)));
  std::vector<Class> classes = {{names, {}}};
  for (size_t i = 0; i < f.patterns.size(); ++i) {
    std::vector<Class> split;
    for (const Class& c : classes) {
      for (const bool match : {true, false}) {
        const Term pattern = f.patterns[i].names;
        Class part = {terms_.And(c.names, match ? pattern : terms_.Not(pattern)), c.matched};
        part.matched.push_back(match);
        if (part.names != kNever) split.push_back(std::move(part));
      }
    }
    classes = std::move(split);
    if (classes.size() > kMaxClasses) {
      Refuse(f.patterns[i].schema, "patternProperties",
             fmt::format("names fall into more than {} classes by the patterns they match",
                         kMaxClasses));
      return kNever;
    }
  }
  std::vector<Term> all;
  for (const Class& c : classes) {
    const bool matches = std::find(c.matched.begin(), c.matched.end(), true) != c.matched.end();
    if (Closed(f) && !matches) continue;
    const Conjunction schemas = PropertySchemas(f, nullptr, c.matched);
    if (Forbidden(schemas)) continue;
    const Term parts[] = {JsonString(terms_, c.names), colon_, Value(schemas)};
    all.push_back(terms_.Concat(parts));
  }
  return terms_.Or(all);
}

Term SchemaCompiler::Objects(const Facts& f) {
  if (f.size.empty()) return kNever;
  std::vector<Entry> entries = Entries(f);
  const auto impossible = [](const Entry& e) { return e.value == kNever && e.required; };
  if (std::any_of(entries.begin(), entries.end(), impossible)) return kNever;
  const Term others = f.size.max == uint64_t{0} ? kNever : OtherEntries(f, entries);
  std::erase_if(entries, [](const Entry& e) { return e.value == kNever; });
  const auto required = static_cast<uint64_t>(
      std::count_if(entries.begin(), entries.end(), [](const Entry& e) { return e.required; }));
  const bool counted =
      f.size.min > required ||
      (f.size.max && *f.size.max < entries.size() + (others == kNever ? 0 : options_.max_items));
  const Term inside =
      counted ? WriteCountedEntries(f, entries, others) : WriteEntries(f, entries, others);
  return inside == kNever ? kNever : Enclosed('{', inside, '}');
}

// At least `min` and at most `max` properties whose names have no place in the order.
Term SchemaCompiler::OthersBetween(Term others, uint64_t min, uint64_t max, bool first) {
  if (others == kNever || max == 0) return min == 0 ? kEmpty : kNever;
  if (min > max) return kNever;
  const auto least = static_cast<uint32_t>(min), most = static_cast<uint32_t>(max);
  const Term more = terms_.Concat(comma_, others);
  if (!first) return terms_.Repeat(more, least, most);
  const Term some = terms_.Concat(others, terms_.Repeat(more, least > 0 ? least - 1 : 0, most - 1));
  return min == 0 ? terms_.Optional(some) : some;
}

// From behind, with and without a property before: each tail is shared by all that lead to it, so
// that hundreds of optional properties are hundreds of terms.
Term SchemaCompiler::WriteEntries(const Facts&, const std::vector<Entry>& entries, Term others) {
  Term first = OthersBetween(others, 0, options_.max_items, true);
  Term more = OthersBetween(others, 0, options_.max_items, false);
  for (size_t i = entries.size(); i-- > 0;) {
    const Entry& e = entries[i];
    const Term as_first[] = {Name(e.name, true), e.value, more};
    const Term as_more[] = {Name(e.name, false), e.value, more};
    const Term with_first = terms_.Concat(as_first), with_more = terms_.Concat(as_more);
    first = e.required ? with_first : terms_.Or(with_first, first);
    more = e.required ? with_more : terms_.Or(with_more, more);
    if (i % kTail == 0 && i > 0) {
      first = Cut(first);
      more = Cut(more);
    }
  }
  return first;
}

Term SchemaCompiler::WriteCountedEntries(const Facts& f, const std::vector<Entry>& entries,
                                         Term others) {
  const uint64_t n = entries.size(), min = f.size.min;
  const auto blame = [&](std::string_view keyword) {
    for (const Facts::Place& place : f.places) {
      if (document_.json(place.schema).contains(keyword)) return place.schema;
    }
    return f.places.front().schema;
  };
  if (n * n > kMaxCounted) {
    const std::string_view keyword = f.size.max ? "maxProperties" : "minProperties";
    Refuse(blame(keyword), keyword,
           fmt::format("cannot be enforced with {} properties", entries.size()));
    return kNever;
  }
  // tails[c]: what may stand from property i on when c were written before it.
  std::vector<Term> tails(n + 1), now(n + 1);
  for (uint64_t c = 0; c <= n; ++c) {
    const uint64_t missing = min > c ? min - c : 0;
    const uint64_t room = !f.size.max ? options_.max_items : *f.size.max > c ? *f.size.max - c : 0;
    const bool over = f.size.max && *f.size.max < c;
    // A name may be written twice and is then one property: two of them cannot be asked for.
    if (missing > 1 && others != kNever && room > 0) {
      Refuse(blame("minProperties"), "minProperties",
             "can be enforced only where `properties` names all but one of so many");
      return kNever;
    }
    tails[c] = over ? kNever : OthersBetween(others, missing, room, c == 0);
  }
  for (uint64_t i = n; i-- > 0;) {
    for (uint64_t c = 0; c <= i; ++c) {
      const Term with[] = {Name(entries[i].name, c == 0), entries[i].value, tails[c + 1]};
      now[c] = entries[i].required ? terms_.Concat(with) : terms_.Or(terms_.Concat(with), tails[c]);
      if (i % kTail == 0 && i > 0) now[c] = Cut(now[c]);
    }
    std::swap(now, tails);
  }
  return tails[0];
}

}  // namespace minnow::constrain
