// Filters over sequences: picking, ordering, mapping, joining.
#include <algorithm>

#include "text/jinja_builtins.h"
#include "text/jinja_ops.h"
#include "text/jinja_print.h"

namespace minnow::text::jinja {
namespace {

// A path such as "function.name" or 0, as map, sort and others take it. Empty: the item itself.
using Path = std::vector<Value>;

Result<Path> ParsePath(std::string_view path) {
  Path parts;
  for (size_t pos = 0; pos <= path.size();) {
    const size_t end = std::min(path.find('.', pos), path.size());
    const std::string_view part = path.substr(pos, end - pos);
    if (!part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos) {
      if (part.size() > 18) return Error(Code::kInvalid, "the index {} is too large", part);
      parts.push_back(Value::Int(std::stoll(std::string(part))));
    } else {
      parts.push_back(Value::Str(part));
    }
    pos = end + 1;
  }
  return parts;
}

Result<Path> MakePath(const Value* attribute) {
  if (!attribute || attribute->Is<None>()) return Path();
  if (attribute->text()) return ParsePath(attribute->text()->view());
  return Path{*attribute};
}

Result<Value> Follow(Value item, const Path& path, const Value* fallback, Meter& meter) {
  for (const Value& part : path) {
    MNW_ASSIGN(item, GetItem(item, part, meter));
    if (fallback && item.Is<Undefined>()) item = *fallback;
  }
  return item;
}

Value FoldCase(const Value& v, bool case_sensitive) {
  return v.text() && !case_sensitive ? Value::Str(ToLower(*v.text())) : v;
}

// One item of a sort: what to order by, and what to return.
struct Keyed {
  std::vector<Value> keys;
  Value item;
};

// Stable, as Python's sorted. `as_lists`: equal keys pass without asking for their order, which not
// all types have.
Result<std::vector<Value>> Sorted(std::vector<Keyed> items, bool as_lists, bool reverse,
                                  Meter& meter) {
  Status failure;
  const auto less = [&](const Keyed& a, const Keyed& b) -> Result<bool> {
    for (size_t i = 0; i < a.keys.size(); ++i) {
      if (as_lists) {
        MNW_ASSIGN(const bool equal, Equals(a.keys[i], b.keys[i], meter));
        if (equal) continue;
      }
      MNW_ASSIGN(const std::partial_ordering order, Order(a.keys[i], b.keys[i], meter));
      return order < 0;
    }
    return false;
  };
  std::stable_sort(items.begin(), items.end(), [&](const Keyed& a, const Keyed& b) {
    if (!failure.ok()) return false;
    const Result<bool> result = reverse ? less(b, a) : less(a, b);
    if (!result.ok()) failure = result.status();
    return result.ok() && *result;
  });
  MNW_TRY(std::move(failure));
  std::vector<Value> sorted;
  for (Keyed& keyed : items) sorted.push_back(std::move(keyed.item));
  return sorted;
}

Result<Value> Sort(const Invocation& call) {
  std::vector<Path> paths;
  const Value* attribute = call.params[2];
  if (attribute && attribute->text()) {
    const std::string_view list = attribute->text()->view();
    for (size_t pos = 0; pos <= list.size();) {
      const size_t end = std::min(list.find(',', pos), list.size());
      MNW_ASSIGN(Path path, ParsePath(list.substr(pos, end - pos)));
      paths.push_back(std::move(path));
      pos = end + 1;
    }
  } else {
    MNW_ASSIGN(Path path, MakePath(attribute));
    paths.push_back(std::move(path));
  }
  MNW_ASSIGN(const std::vector<Value> items, Iterate(call.self, call.meter()));
  std::vector<Keyed> keyed;
  for (const Value& item : items) {
    Keyed k{{}, item};
    for (const Path& path : paths) {
      MNW_ASSIGN(const Value key, Follow(item, path, nullptr, call.meter()));
      k.keys.push_back(FoldCase(key, BoolParam(call, 1)));
    }
    keyed.push_back(std::move(k));
  }
  MNW_ASSIGN(std::vector<Value> sorted,
             Sorted(std::move(keyed), true, BoolParam(call, 0), call.meter()));
  return MakeList(std::move(sorted), call.meter());
}

Result<Value> DictSort(const Invocation& call) {
  MNW_TRY(CheckDefined(call.self));
  const Dict* dict = call.self.dict();
  if (!dict) return Error(Code::kInvalid, "dictsort: expected a dict, not {}", TypeName(call.self));
  std::string_view by = "key";
  if (call.params[1]) {
    MNW_ASSIGN(const Text* text, TextParam(call, 1));
    by = text->view();
  }
  if (by != "key" && by != "value") {
    return Error(Code::kInvalid, "dictsort: sort by 'key' or 'value', not '{}'", by);
  }
  std::vector<Keyed> keyed;
  for (const auto& [key, value] : dict->entries()) {
    MNW_ASSIGN(Value pair, MakeSequence(Sequence::Kind::kTuple, {key, value}, call.meter()));
    keyed.push_back({{FoldCase(by == "key" ? key : value, BoolParam(call, 0))}, std::move(pair)});
  }
  MNW_ASSIGN(std::vector<Value> sorted,
             Sorted(std::move(keyed), false, BoolParam(call, 2), call.meter()));
  return MakeList(std::move(sorted), call.meter());
}

Result<Value> Unique(const Invocation& call) {
  MNW_ASSIGN(const Path path, MakePath(call.params[1]));
  MNW_ASSIGN(const std::vector<Value> items, Iterate(call.self, call.meter()));
  Dict seen;
  std::vector<Value> unique;
  for (const Value& item : items) {
    MNW_ASSIGN(Value key, Follow(item, path, nullptr, call.meter()));
    key = FoldCase(key, BoolParam(call, 0));
    if (!Dict::IsKey(key)) {
      return Error(Code::kUnsupported, "unique: cannot tell apart values of type {}",
                   TypeName(key));
    }
    if (seen.Find(key)) continue;
    seen.Set(std::move(key), Value());
    unique.push_back(item);
  }
  return MakeIterator(std::move(unique), call.meter());
}

Result<Value> Extreme(const Invocation& call, bool want_max) {
  MNW_ASSIGN(const Path path, MakePath(call.params[1]));
  MNW_ASSIGN(const std::vector<Value> items, Iterate(call.self, call.meter()));
  if (items.empty()) return Value::Missing("no aggregated item, the sequence was empty");
  Value best, best_key;
  for (size_t i = 0; i < items.size(); ++i) {
    MNW_ASSIGN(Value key, Follow(items[i], path, nullptr, call.meter()));
    key = FoldCase(key, BoolParam(call, 0));
    if (i > 0) {
      MNW_ASSIGN(const std::partial_ordering order, Order(key, best_key, call.meter()));
      if (want_max ? !(order > 0) : !(order < 0)) continue;
    }
    best = items[i];
    best_key = std::move(key);
  }
  return best;
}

Result<Value> Min(const Invocation& call) { return Extreme(call, false); }
Result<Value> Max(const Invocation& call) { return Extreme(call, true); }

Result<Value> Sum(const Invocation& call) {
  MNW_ASSIGN(const Path path, MakePath(call.params[0]));
  MNW_ASSIGN(const std::vector<Value> items, Iterate(call.self, call.meter()));
  Value total = call.params[1] ? *call.params[1] : Value::Int(0);
  if (total.text()) return Error(Code::kInvalid, "sum: cannot add up strings; use join");
  for (const Value& item : items) {
    MNW_ASSIGN(const Value part, Follow(item, path, nullptr, call.meter()));
    MNW_ASSIGN(total, Arithmetic(BinaryOp::kAdd, total, part, call.meter()));
  }
  return total;
}

Result<Value> Join(const Invocation& call) {
  MNW_ASSIGN(const Path path, MakePath(call.params[1]));
  Text separator;
  if (call.params[0]) {
    MNW_ASSIGN(separator, ToText(*call.params[0], call.meter()));
  }
  MNW_ASSIGN(const std::vector<Value> items, Iterate(call.self, call.meter()));
  TextBuilder out(call.meter());
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) MNW_TRY(out.Append(separator));
    MNW_ASSIGN(const Value item, Follow(items[i], path, nullptr, call.meter()));
    MNW_TRY(AppendText(item, call.meter(), &out));
  }
  MNW_ASSIGN(Text joined, out.Finish());
  return Value::Str(std::move(joined));
}

Result<Value> FilterLength(const Invocation& call) {
  if (call.self.text()) MNW_TRY(call.meter().Bytes(call.self.text()->size()));
  MNW_ASSIGN(const size_t length, Length(call.self));
  return Value::Int(static_cast<int64_t>(length));
}

Result<Value> First(const Invocation& call) {
  if (Iterator* it = call.self.iterator(); it && it->next < it->items.size()) {
    return it->items[it->next++];
  }
  MNW_ASSIGN(const std::vector<Value> items, Iterate(call.self, call.meter()));
  return items.empty() ? Value::Missing("no first item, the sequence was empty") : items.front();
}

Result<Value> Last(const Invocation& call) {
  if (call.self.iterator()) return Error(Code::kInvalid, "last: a generator has no last item");
  MNW_ASSIGN(const std::vector<Value> items, Iterate(call.self, call.meter()));
  return items.empty() ? Value::Missing("no last item, the sequence was empty") : items.back();
}

Result<Value> List(const Invocation& call) {
  MNW_ASSIGN(std::vector<Value> items, Iterate(call.self, call.meter()));
  return MakeList(std::move(items), call.meter());
}

Result<Value> Reverse(const Invocation& call) {
  if (call.self.text()) {
    return GetSlice(call.self, Value(), Value(), Value::Int(-1), call.meter());
  }
  MNW_ASSIGN(std::vector<Value> items, Iterate(call.self, call.meter()));
  std::reverse(items.begin(), items.end());
  if (call.self.iterator()) return MakeList(std::move(items), call.meter());
  return MakeIterator(std::move(items), call.meter());
}

Result<Value> Items(const Invocation& call) {
  if (call.self.Is<Undefined>()) return MakeIterator({}, call.meter());
  const Dict* dict = call.self.dict();
  if (!dict) return Error(Code::kInvalid, "items: expected a dict, not {}", TypeName(call.self));
  std::vector<Value> items;
  for (const auto& [key, value] : dict->entries()) {
    MNW_ASSIGN(Value pair, MakeSequence(Sequence::Kind::kTuple, {key, value}, call.meter()));
    items.push_back(std::move(pair));
  }
  return MakeIterator(std::move(items), call.meter());
}

bool IsFill(const Value* v) { return v && !v->Is<None>(); }

Result<Value> Batch(const Invocation& call) {
  MNW_ASSIGN(const int64_t size, IntParam(call, 0, 0));
  MNW_ASSIGN(const std::vector<Value> items, Iterate(call.self, call.meter()));
  if (size < 1) return Error(Code::kInvalid, "batch: the size of a batch must be positive");
  std::vector<Value> batches, batch;
  for (size_t i = 0; i < items.size(); ++i) {
    batch.push_back(items[i]);
    const bool last = i + 1 == items.size();
    if (last && IsFill(call.params[1])) {
      MNW_TRY(call.meter().Step(static_cast<size_t>(size)));
      batch.resize(static_cast<size_t>(size), *call.params[1]);
    }
    if (last || batch.size() == static_cast<size_t>(size)) {
      MNW_ASSIGN(Value list, MakeList(std::exchange(batch, {}), call.meter()));
      batches.push_back(std::move(list));
    }
  }
  return MakeIterator(std::move(batches), call.meter());
}

Result<Value> Slice(const Invocation& call) {
  MNW_ASSIGN(const int64_t slices, IntParam(call, 0, 0));
  MNW_ASSIGN(const std::vector<Value> items, Iterate(call.self, call.meter()));
  if (slices < 1) return Error(Code::kInvalid, "slice: the number of slices must be positive");
  MNW_TRY(call.meter().Step(static_cast<size_t>(slices)));
  const auto count = static_cast<size_t>(slices);
  std::vector<Value> columns;
  size_t begin = 0;
  for (size_t i = 0; i < count; ++i) {
    const bool extra = i < items.size() % count;
    const size_t end = begin + items.size() / count + extra;
    std::vector<Value> column(items.begin() + static_cast<ptrdiff_t>(begin),
                              items.begin() + static_cast<ptrdiff_t>(end));
    if (!extra && IsFill(call.params[1])) column.push_back(*call.params[1]);
    MNW_ASSIGN(Value list, MakeList(std::move(column), call.meter()));
    columns.push_back(std::move(list));
    begin = end;
  }
  return MakeIterator(std::move(columns), call.meter());
}

// map('upper') applies a filter; map(attribute='name', default=...) follows a path.
Result<Value> Map(const Invocation& call) {
  if (!IsTrue(call.self)) return MakeIterator({}, call.meter());
  MNW_ASSIGN(const std::vector<Value> items, Iterate(call.self, call.meter()));
  Args args = call.args;
  std::vector<Value> mapped;
  if (!args.positional.empty()) {
    const Value name = args.positional.front();
    if (!name.text()) return Error(Code::kInvalid, "map: expected the name of a filter");
    args.positional.erase(args.positional.begin());
    for (const Value& item : items) {
      MNW_ASSIGN(Value v, ApplyFilter(name.text()->view(), call.runtime, item, args));
      mapped.push_back(std::move(v));
    }
    return MakeIterator(std::move(mapped), call.meter());
  }
  const Value *attribute = nullptr, *fallback = nullptr;
  for (const auto& [name, value] : args.named) {
    if (name == "attribute") {
      attribute = &value;
    } else if (name == "default") {
      fallback = value.Is<None>() ? nullptr : &value;
    } else {
      return Error(Code::kInvalid, "map: unexpected argument '{}'", name);
    }
  }
  if (!attribute) return Error(Code::kInvalid, "map needs the name of a filter or an attribute");
  MNW_ASSIGN(const Path path, MakePath(attribute));
  for (const Value& item : items) {
    MNW_ASSIGN(Value v, Follow(item, path, fallback, call.meter()));
    mapped.push_back(std::move(v));
  }
  return MakeIterator(std::move(mapped), call.meter());
}

// The items for which a test, or without one the truth of the item, comes out as `keep`.
Result<Value> Choose(const Invocation& call, bool by_attribute, bool keep) {
  if (!IsTrue(call.self)) return MakeIterator({}, call.meter());
  Args args = call.args;
  Path path;
  if (by_attribute) {
    if (args.positional.empty())
      return Error(Code::kInvalid, "the name of an attribute is missing");
    MNW_ASSIGN(path, MakePath(&args.positional.front()));
    args.positional.erase(args.positional.begin());
  }
  std::optional<Value> test;
  if (!args.positional.empty()) {
    test = args.positional.front();
    if (!test->text()) return Error(Code::kInvalid, "expected the name of a test");
    args.positional.erase(args.positional.begin());
  }
  MNW_ASSIGN(const std::vector<Value> items, Iterate(call.self, call.meter()));
  std::vector<Value> chosen;
  for (const Value& item : items) {
    MNW_ASSIGN(const Value v, Follow(item, path, nullptr, call.meter()));
    bool passed = IsTrue(v);
    if (test) {
      MNW_ASSIGN(passed, ApplyTest(test->text()->view(), call.runtime, v, args));
    }
    if (passed == keep) chosen.push_back(item);
  }
  return MakeIterator(std::move(chosen), call.meter());
}

Result<Value> Select(const Invocation& call) { return Choose(call, false, true); }
Result<Value> Reject(const Invocation& call) { return Choose(call, false, false); }
Result<Value> SelectAttr(const Invocation& call) { return Choose(call, true, true); }
Result<Value> RejectAttr(const Invocation& call) { return Choose(call, true, false); }

constexpr Builtin kFilters[] = {
    {"batch", "linecount fill_with?", Batch},
    {"count", "", FilterLength},
    {"dictsort", "case_sensitive? by? reverse?", DictSort},
    {"first", "", First},
    {"items", "", Items},
    {"join", "d? attribute?", Join},
    {"last", "", Last},
    {"length", "", FilterLength},
    {"list", "", List},
    {"map", "*", Map},
    {"max", "case_sensitive? attribute?", Max},
    {"min", "case_sensitive? attribute?", Min},
    {"reject", "*", Reject},
    {"rejectattr", "*", RejectAttr},
    {"reverse", "", Reverse},
    {"select", "*", Select},
    {"selectattr", "*", SelectAttr},
    {"slice", "slices fill_with?", Slice},
    {"sort", "reverse? case_sensitive? attribute?", Sort},
    {"sum", "attribute? start?", Sum},
    {"unique", "case_sensitive? attribute?", Unique},
};

}  // namespace

std::span<const Builtin> SequenceFilters() { return kFilters; }

}  // namespace minnow::text::jinja
