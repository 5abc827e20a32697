// Lists of items.
#include <algorithm>
#include <map>

#include "constrain/json_schema_compiler.h"

namespace minnow::constrain {

namespace {

constexpr uint64_t kMaxStates = 20'000;  // of one array that counts or remembers

}  // namespace

Conjunction SchemaCompiler::ItemSchemas(const Facts& f, size_t index) {
  Conjunction all;
  for (const Facts::Items& items : f.items) {
    if (index < items.first.size()) {
      if (items.first[index]) all.push_back(*items.first[index]);
    } else if (items.others) {
      all.push_back(*items.others);
    }
  }
  for (const Facts::Rest& rest : f.rest_items) {
    const auto speaks = [&](const Facts::Items& items) {
      if (!Within(f, items.place, rest.place)) return false;
      return items.others.has_value() || index < items.first.size();
    };
    const auto nested = [&](const Facts::Rest& other) {
      return other.place != rest.place && Within(f, other.place, rest.place);
    };
    if (std::none_of(f.items.begin(), f.items.end(), speaks) &&
        std::none_of(f.rest_items.begin(), f.rest_items.end(), nested)) {
      all.push_back(rest.schema);
    }
  }
  return all;
}

Term SchemaCompiler::Arrays(const Facts& f) {
  for (const Facts::Rest& rest : f.rest_items) {
    const auto within = [&](const Facts::Contains& c) { return Within(f, c.place, rest.place); };
    if (std::any_of(f.contains.begin(), f.contains.end(), within)) {
      Refuse(f.places[static_cast<size_t>(rest.place)].schema, "unevaluatedItems",
             "cannot be enforced beside contains");
      return kNever;
    }
  }
  size_t different = 0;  // from here on all items are alike
  for (const Facts::Items& items : f.items) different = std::max(different, items.first.size());
  const uint64_t min = f.count.min;
  uint64_t max = f.count.max.value_or(std::max<uint64_t>(options_.max_items, min));
  for (uint64_t i = 0; i <= different && i < max; ++i) {
    if (Value(ItemSchemas(f, i)) == kNever) max = i;
  }
  if (max < min) return kNever;
  if (f.unique && max > 1) return UniqueArrays(f, min, max);
  const auto bounds = [](const Facts::Contains& c) { return c.min > 0 || c.max; };
  if (std::any_of(f.contains.begin(), f.contains.end(), bounds)) {
    return CountingArrays(f, min, max);
  }
  // From behind: what may stand from item i on.
  Term rest = kEmpty;
  const auto at = [&](uint64_t i) { return Value(ItemSchemas(f, i)); };
  const auto least = [&](uint64_t i) { return static_cast<uint32_t>(min > i ? min - i : 0); };
  const auto most = [&](uint64_t i) { return static_cast<uint32_t>(max - i); };
  uint64_t i = std::min<uint64_t>(max, std::max<size_t>(different, 1));
  if (i < max) rest = terms_.Repeat(terms_.Concat(comma_, at(i)), least(i), most(i));
  while (i-- > 0) {
    rest = terms_.Concat(i > 0 ? terms_.Concat(comma_, at(i)) : at(i), rest);
    if (i >= min) rest = terms_.Optional(rest);
    if (i % kTail == 0 && i > 0) rest = Cut(rest);
  }
  return Enclosed('[', rest, ']');
}

// With `contains`: how many of the items so far were among its.
Term SchemaCompiler::CountingArrays(const Facts& f, uint64_t min, uint64_t max) {
  const Facts::Contains* counted = nullptr;
  for (const Facts::Contains& c : f.contains) {
    if (c.min == 0 && !c.max) continue;
    if (counted) {
      const bool said = c.place != kNowhere;
      Refuse(said ? f.places[static_cast<size_t>(c.place)].schema : c.schema,
             said ? "contains" : "", "cannot be enforced beside another contains");
      return kNever;
    }
    counted = &c;
  }
  const uint64_t top = counted->max.value_or(counted->min);
  if (top < counted->min) return kNever;
  if ((max + 1) * (top + 1) > kMaxStates) {
    Refuse(counted->schema, "contains",
           fmt::format("needs more than {} states; give a smaller maxItems", kMaxStates));
    return kNever;
  }
  // next[c]: what may stand from item i + 1 on when c items were counted before it.
  std::vector<Term> next(top + 1, kNever), now(top + 1);
  for (uint64_t i = max + 1; i-- > 0;) {
    Term counts = kNever, others = kNever, any = kNever;
    if (i < max) {
      Conjunction all = ItemSchemas(f, i);
      any = Value(all);
      all.push_back(counted->schema);
      counts = Value(all);
      if (counted->max) {  // without it, an item that could be counted need not be
        all.back() = Complement(counted->schema);
        others = Value(all);
      } else {
        others = any;
      }
      if (i > 0) {
        counts = terms_.Concat(comma_, counts);
        others = terms_.Concat(comma_, others);
      }
    }
    for (uint64_t c = 0; c <= top; ++c) {
      const Term end = i >= min && c >= counted->min ? kEmpty : kNever;
      const Term other = terms_.Concat(others, next[c]);
      const Term one = c < top ? terms_.Concat(counts, next[c + 1]) : kNever;
      const Term ways[] = {end, other, one};
      now[c] = terms_.Or(ways);
      if (i % kTail == 0 && i > 0) now[c] = Cut(now[c]);
    }
    std::swap(now, next);
  }
  return next[0] == kNever ? kNever : Enclosed('[', next[0], ']');
}

// With uniqueItems, where the items have few values: each may be written once.
Term SchemaCompiler::UniqueArrays(const Facts& f, uint64_t min, uint64_t max) {
  const auto refuse = [&](std::string reason) {
    for (const Facts::Place& place : f.places) {
      if ((place.schema & 1) == 0 && document_.json(place.schema).contains("uniqueItems")) {
        Refuse(place.schema, "uniqueItems", std::move(reason));
      }
    }
    return kNever;
  };
  if (!f.contains.empty()) return refuse("cannot be enforced beside contains");
  std::vector<std::vector<Json>> values;
  size_t different = 0;
  for (const Facts::Items& items : f.items) different = std::max(different, items.first.size());
  for (uint64_t i = 0; i <= different && i < max; ++i) {
    auto finite = FiniteValues(ItemSchemas(f, i));
    if (!finite) {
      return refuse("can be enforced only where enum, const or boolean says what the items are");
    }
    values.push_back(*std::move(finite));
  }
  std::map<std::pair<uint64_t, std::set<std::string>>, Term> known;
  bool too_many = false;
  const auto from = [&](const auto& self, uint64_t i, const std::set<std::string>& used) -> Term {
    const auto found = known.find({i, used});
    if (found != known.end()) return found->second;
    if (known.size() > kMaxStates / 4 || used.size() > 150) too_many = true;
    if (too_many) return kNever;
    known[{i, used}] = kNever;
    std::vector<Term> ways = {i >= min ? kEmpty : kNever};
    if (i < max) {
      for (const Json& value : values[std::min<uint64_t>(i, values.size() - 1)]) {
        std::set<std::string> more = used;
        if (!more.insert(Canonical(value)).second) continue;
        const Term parts[] = {i > 0 ? comma_ : kEmpty, Constant(value), self(self, i + 1, more)};
        ways.push_back(terms_.Concat(parts));
        if (too_many) return kNever;
      }
    }
    return known[{i, used}] = terms_.Or(ways);
  };
  const Term inside = from(from, 0, {});
  if (too_many) return refuse("has too many values to remember which were written");
  return inside == kNever ? kNever : Enclosed('[', inside, ']');
}

}  // namespace minnow::constrain
