#include "text/jinja_value.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace minnow::text::jinja {
namespace {

int DeepestOf(const std::vector<Value>& items) {
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, DepthOf(item));
  return depth;
}

}  // namespace

int DepthOf(const Value& v) {
  if (v.sequence()) return v.sequence()->depth;
  if (v.dict()) return v.dict()->depth();
  if (v.iterator()) return v.iterator()->depth;
  if (v.object()) return v.object()->depth;
  return 0;
}

Status CheckNesting(int depth) {
  if (depth <= kMaxNesting) return {};
  return Error(Code::kExhausted, "a value nests deeper than the limit of {} levels", kMaxNesting);
}

bool Value::ToInt(int64_t* n) const {
  if (const auto* i = std::get_if<int64_t>(&rep_)) {
    *n = *i;
  } else if (const auto* b = std::get_if<bool>(&rep_)) {
    *n = *b;
  } else {
    return false;
  }
  return true;
}

double Value::AsDouble() const {
  if (const double* d = number()) return *d;
  int64_t n = 0;
  ToInt(&n);
  return static_cast<double>(n);
}

Result<Value> MakeSequence(Sequence::Kind kind, std::vector<Value> items, Meter& meter) {
  MNW_TRY(meter.Step(items.size()));
  const int depth = DeepestOf(items) + 1;
  MNW_TRY(CheckNesting(depth));
  return Value(
      Value::Rep(std::make_shared<const Sequence>(Sequence{kind, std::move(items), depth})));
}

Result<Value> MakeDict(Dict dict, Meter& meter) {
  MNW_TRY(meter.Step(4 * dict.entries().size()));  // each has a place in the index as well
  MNW_TRY(CheckNesting(dict.depth()));
  return Value(Value::Rep(std::make_shared<const Dict>(std::move(dict))));
}

Result<Value> MakeIterator(std::vector<Value> items, Meter& meter) {
  MNW_TRY(meter.Step(items.size()));
  const int depth = DeepestOf(items) + 1;
  MNW_TRY(CheckNesting(depth));
  return Value(Value::Rep(std::make_shared<Iterator>(Iterator{std::move(items), depth})));
}

// A spelling under which equal keys are equal strings.
std::string Dict::Hashable(const Value& key) {
  if (key.text()) return "s" + std::string(key.text()->view());
  if (key.Is<None>()) return "n";
  int64_t n = 0;
  if (key.ToInt(&n)) return "i" + std::to_string(n);
  const double d = key.AsDouble();
  if (d == std::floor(d) && std::fabs(d) < 9e18) {
    return "i" + std::to_string(static_cast<int64_t>(d));
  }
  std::string bits(sizeof d, '\0');
  std::memcpy(bits.data(), &d, sizeof d);
  return "f" + bits;
}

const Value* Dict::Find(const Value& key) const {
  if (key.text()) return Find(key.text()->view());
  if (!IsKey(key)) return nullptr;
  const auto it = index_.find(Hashable(key));
  return it == index_.end() ? nullptr : &entries_[it->second].second;
}

const Value* Dict::Find(std::string_view key) const {
  std::string hashable = "s";
  hashable += key;
  const auto it = index_.find(hashable);
  return it == index_.end() ? nullptr : &entries_[it->second].second;
}

void Dict::Set(Value key, Value value) {
  depth_ = std::max(depth_, DepthOf(value) + 1);
  const auto [it, added] = index_.try_emplace(Hashable(key), entries_.size());
  if (added) {
    entries_.emplace_back(std::move(key), std::move(value));
  } else {
    entries_[it->second].second = std::move(value);
  }
}

std::optional<Value> Namespace::Attribute(std::string_view name) const {
  const auto it = attributes.find(name);
  return it == attributes.end() ? std::nullopt : std::optional<Value>(it->second);
}

Status Namespace::Set(std::string_view name, Value value) {
  if (name.starts_with('_')) {
    return Error(Code::kInvalid, "a namespace takes no name with a leading underscore: '{}'", name);
  }
  attributes.insert_or_assign(std::string(name), std::move(value));
  return {};
}

const char* TypeName(const Value& v) {
  if (v.Is<Undefined>()) return "Undefined";
  if (v.Is<None>()) return "NoneType";
  if (v.Is<bool>()) return "bool";
  if (v.Is<int64_t>()) return "int";
  if (v.Is<double>()) return "float";
  if (v.text()) return v.text()->markup() ? "Markup" : "str";
  if (v.dict()) return "dict";
  if (v.iterator()) return "generator";
  if (v.object()) return v.object()->type;
  switch (v.sequence()->kind) {
    case Sequence::Kind::kList:
      return "list";
    case Sequence::Kind::kTuple:
      return "tuple";
    case Sequence::Kind::kRange:
      return "range";
    case Sequence::Kind::kKeys:
      return "dict_keys";
    case Sequence::Kind::kValues:
      return "dict_values";
    case Sequence::Kind::kItems:
      return "dict_items";
  }
  return "object";
}

bool IsTrue(const Value& v) {
  if (v.Is<Undefined>() || v.Is<None>()) return false;
  if (v.IsNumber()) return v.AsDouble() != 0;
  if (v.text()) return !v.text()->empty();
  if (v.sequence()) return !v.sequence()->items.empty();
  if (v.dict()) return !v.dict()->entries().empty();
  return true;
}

Result<size_t> Length(const Value& v) {
  if (v.Is<Undefined>()) return size_t{0};
  if (v.text()) return CharCount(v.text()->view());
  if (v.sequence()) return v.sequence()->items.size();
  if (v.dict()) return v.dict()->entries().size();
  return Error(Code::kInvalid, "a value of type {} has no length", TypeName(v));
}

bool IsIterable(const Value& v) {
  return v.Is<Undefined>() || v.text() || v.sequence() || v.dict() || v.iterator();
}

Result<std::vector<Value>> Iterate(const Value& v, Meter& meter) {
  std::vector<Value> items;
  if (v.Is<Undefined>()) return items;
  if (const Sequence* sequence = v.sequence()) {
    MNW_TRY(meter.Step(sequence->items.size()));
    return sequence->items;
  }
  if (const Dict* dict = v.dict()) {
    MNW_TRY(meter.Step(dict->entries().size()));
    for (const auto& entry : dict->entries()) items.push_back(entry.first);
    return items;
  }
  if (Iterator* it = v.iterator()) {
    MNW_TRY(meter.Step(it->items.size() - it->next));
    items.assign(it->items.begin() + static_cast<ptrdiff_t>(it->next), it->items.end());
    it->next = it->items.size();
    return items;
  }
  if (const Text* text = v.text()) {
    for (size_t pos = 0; pos < text->size();) {
      MNW_TRY(meter.Text(1));
      const size_t end = CharAt(text->view(), pos).end;
      Text c = text->Slice(pos, end);
      c.set_markup(false);
      items.push_back(Value::Str(std::move(c)));
      pos = end;
    }
    return items;
  }
  return Error(Code::kInvalid, "a value of type {} is not iterable", TypeName(v));
}

Status CheckHashable(const Value& v) {
  const Sequence* sequence = v.sequence();
  const bool tuple = sequence && (sequence->kind == Sequence::Kind::kTuple ||
                                  sequence->kind == Sequence::Kind::kRange);
  if (!v.dict() && (!sequence || tuple)) return {};
  return Error(Code::kInvalid, "a value of type {} cannot be a key", TypeName(v));
}

Status CheckDefined(const Value& v) {
  const auto* undefined = std::get_if<Undefined>(&v.rep());
  if (!undefined) return {};
  return Error(Code::kInvalid, "{}", *undefined->why);
}

}  // namespace minnow::text::jinja
