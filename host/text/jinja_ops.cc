#include "text/jinja_ops.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "text/jinja_builtins.h"

namespace minnow::text::jinja {
namespace {

const char* Symbol(BinaryOp op) {
  switch (op) {
    case BinaryOp::kAdd:
      return "+";
    case BinaryOp::kSub:
      return "-";
    case BinaryOp::kMul:
      return "*";
    case BinaryOp::kDiv:
      return "/";
    case BinaryOp::kFloorDiv:
      return "//";
    case BinaryOp::kMod:
      return "%";
    case BinaryOp::kPow:
      return "**";
  }
  return "?";
}

Status DivisionByZero() { return Error(Code::kInvalid, "division by zero"); }

Result<Value> IntArithmetic(BinaryOp op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case BinaryOp::kAdd:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case BinaryOp::kSub:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case BinaryOp::kMul:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case BinaryOp::kDiv:
      if (b == 0) return DivisionByZero();
      return Value::Float(static_cast<double>(a) / static_cast<double>(b));
    case BinaryOp::kFloorDiv:
      if (b == 0) return DivisionByZero();
      if (b == -1) {
        overflow = __builtin_sub_overflow(int64_t{0}, a, &result);
      } else {
        result = a / b - (a % b != 0 && (a < 0) != (b < 0));
      }
      break;
    case BinaryOp::kMod:
      if (b == 0) return DivisionByZero();
      result = b == -1 ? 0 : a % b;
      if (result != 0 && (result < 0) != (b < 0)) result += b;
      break;
    case BinaryOp::kPow:
      if (b < 0) {
        if (a == 0) return DivisionByZero();
        return Value::Float(std::pow(static_cast<double>(a), static_cast<double>(b)));
      }
      result = 1;
      for (int64_t i = 0; i < b && !overflow && result != 0; ++i) {
        if (a == 1 || (a == -1 && i >= 2)) {  // the only bases that never overflow
          result = (a == 1 || b % 2 == 0) ? 1 : -1;
          break;
        }
        overflow = __builtin_mul_overflow(result, a, &result);
      }
      break;
  }
  if (overflow) return Error(Code::kUnsupported, "an integer leaves 64 signed bits");
  return Value::Int(result);
}

Result<Value> FloatArithmetic(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::kAdd:
      return Value::Float(a + b);
    case BinaryOp::kSub:
      return Value::Float(a - b);
    case BinaryOp::kMul:
      return Value::Float(a * b);
    case BinaryOp::kPow: {
      const double result = std::pow(a, b);
      if (a == 0 && b < 0) return DivisionByZero();
      if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) {
        return Error(Code::kInvalid, "the power is too large for a float");
      }
      if (std::isnan(result) && !std::isnan(a) && !std::isnan(b)) {
        return Error(Code::kUnsupported, "the power of a negative number is complex");
      }
      return Value::Float(result);
    }
    default:
      break;
  }
  if (b == 0) return DivisionByZero();
  if (op == BinaryOp::kDiv) return Value::Float(a / b);
  double mod = std::fmod(a, b);
  double quotient = (a - mod) / b;
  if (mod != 0 && (mod < 0) != (b < 0)) {
    mod += b;
    quotient -= 1;
  }
  if (op == BinaryOp::kMod) return Value::Float(mod == 0 ? std::copysign(0.0, b) : mod);
  if (quotient == 0) return Value::Float(std::copysign(0.0, a / b));
  const double floor = std::floor(quotient);
  return Value::Float(quotient - floor > 0.5 ? floor + 1 : floor);
}

Result<Value> Concatenate(const Text& a, const Text& b, Meter& meter) {
  const bool markup = a.markup() || b.markup();
  TextBuilder out(meter);
  MNW_TRY(out.Append(markup ? Escape(a) : a));
  MNW_TRY(out.Append(markup ? Escape(b) : b));
  MNW_ASSIGN(Text text, out.Finish());
  text.set_markup(markup);
  return Value::Str(std::move(text));
}

bool SameKind(const Sequence& a, const Sequence& b, Sequence::Kind kind) {
  return a.kind == kind && b.kind == kind;
}

// Text, list or tuple times a count.
Result<Value> Repeat(const Value& v, int64_t count, Meter& meter) {
  const size_t times = count > 0 ? static_cast<size_t>(count) : 0;
  const size_t size = v.text() ? v.text()->size() : v.sequence()->items.size();
  size_t total = 0;
  if (__builtin_mul_overflow(size, times, &total)) total = std::numeric_limits<size_t>::max();
  if (const Text* text = v.text()) {
    MNW_TRY(meter.Growing(total));
    TextBuilder out(meter);
    for (size_t i = 0; i < times && size > 0; ++i) MNW_TRY(out.Append(*text));
    MNW_ASSIGN(Text repeated, out.Finish());
    repeated.set_markup(text->markup());
    return Value::Str(std::move(repeated));
  }
  MNW_TRY(meter.Step(total));
  std::vector<Value> items;
  for (size_t i = 0; i < times && size > 0; ++i) {
    items.insert(items.end(), v.sequence()->items.begin(), v.sequence()->items.end());
  }
  return MakeSequence(v.sequence()->kind, std::move(items), meter);
}

bool IsRepeatable(const Value& v) {
  return v.text() || (v.sequence() && v.sequence()->indexable() &&
                      v.sequence()->kind != Sequence::Kind::kRange);
}

}  // namespace

Result<Value> Arithmetic(BinaryOp op, const Value& a, const Value& b, Meter& meter) {
  MNW_TRY(CheckDefined(a));
  MNW_TRY(CheckDefined(b));
  int64_t m = 0, n = 0;
  if (a.ToInt(&m) && b.ToInt(&n)) return IntArithmetic(op, m, n);
  if (a.IsNumber() && b.IsNumber()) return FloatArithmetic(op, a.AsDouble(), b.AsDouble());
  if (op == BinaryOp::kAdd) {
    if (a.text() && b.text()) return Concatenate(*a.text(), *b.text(), meter);
    const Sequence *s = a.sequence(), *t = b.sequence();
    if (s && t &&
        (SameKind(*s, *t, Sequence::Kind::kList) || SameKind(*s, *t, Sequence::Kind::kTuple))) {
      MNW_TRY(meter.Step(s->items.size() + t->items.size()));
      std::vector<Value> items = s->items;
      items.insert(items.end(), t->items.begin(), t->items.end());
      return MakeSequence(s->kind, std::move(items), meter);
    }
  }
  if (op == BinaryOp::kMul) {
    if (IsRepeatable(a) && b.ToInt(&n)) return Repeat(a, n, meter);
    if (IsRepeatable(b) && a.ToInt(&n)) return Repeat(b, n, meter);
  }
  if (op == BinaryOp::kMod && a.text()) {
    MNW_ASSIGN(Text text, FormatPercent(*a.text(), b, meter));
    return Value::Str(std::move(text));
  }
  return Error(Code::kInvalid, "unsupported operands for {}: {} and {}", Symbol(op), TypeName(a),
               TypeName(b));
}

Result<Value> Negate(const Value& v) {
  MNW_TRY(CheckDefined(v));
  int64_t n = 0;
  if (v.ToInt(&n)) return IntArithmetic(BinaryOp::kSub, 0, n);
  if (v.number()) return Value::Float(-*v.number());
  return Error(Code::kInvalid, "a value of type {} cannot be negated", TypeName(v));
}

namespace {

Result<bool> SequencesEqual(const Sequence& a, const Sequence& b, Meter& meter) {
  if (a.kind != b.kind) return false;
  if (!a.indexable()) return Error(Code::kUnsupported, "comparing views of dicts");
  if (a.items.size() != b.items.size()) return false;
  for (size_t i = 0; i < a.items.size(); ++i) {
    MNW_ASSIGN(const bool equal, Equals(a.items[i], b.items[i], meter));
    if (!equal) return false;
  }
  return true;
}

Result<bool> DictsEqual(const Dict& a, const Dict& b, Meter& meter) {
  if (a.entries().size() != b.entries().size()) return false;
  for (const auto& [key, value] : a.entries()) {
    const Value* other = b.Find(key);
    if (!other) return false;
    MNW_ASSIGN(const bool equal, Equals(value, *other, meter));
    if (!equal) return false;
  }
  return true;
}

}  // namespace

Result<bool> Equals(const Value& a, const Value& b, Meter& meter) {
  MNW_TRY(meter.Step());
  int64_t m = 0, n = 0;
  if (a.ToInt(&m) && b.ToInt(&n)) return m == n;
  if (a.IsNumber() && b.IsNumber()) return a.AsDouble() == b.AsDouble();
  if (a.text() && b.text()) return a.text()->view() == b.text()->view();
  if (a.sequence() && b.sequence()) return SequencesEqual(*a.sequence(), *b.sequence(), meter);
  if (a.dict() && b.dict()) return DictsEqual(*a.dict(), *b.dict(), meter);
  if (a.rep().index() != b.rep().index()) return false;
  if (a.iterator()) return a.iterator() == b.iterator();
  if (a.object()) return a.object() == b.object();
  return a.Is<None>() || a.Is<Undefined>();
}

Result<std::partial_ordering> Order(const Value& a, const Value& b, Meter& meter) {
  MNW_TRY(meter.Step());
  MNW_TRY(CheckDefined(a));
  MNW_TRY(CheckDefined(b));
  int64_t m = 0, n = 0;
  if (a.ToInt(&m) && b.ToInt(&n)) return std::partial_ordering(m <=> n);
  if (a.IsNumber() && b.IsNumber()) return a.AsDouble() <=> b.AsDouble();
  if (a.text() && b.text()) return std::partial_ordering(a.text()->view() <=> b.text()->view());
  const Sequence *s = a.sequence(), *t = b.sequence();
  if (s && t &&
      (SameKind(*s, *t, Sequence::Kind::kList) || SameKind(*s, *t, Sequence::Kind::kTuple))) {
    for (size_t i = 0; i < std::min(s->items.size(), t->items.size()); ++i) {
      MNW_ASSIGN(const bool equal, Equals(s->items[i], t->items[i], meter));
      if (!equal) return Order(s->items[i], t->items[i], meter);
    }
    return std::partial_ordering(s->items.size() <=> t->items.size());
  }
  return Error(Code::kInvalid, "values of type {} and {} have no order", TypeName(a), TypeName(b));
}

Result<bool> Contains(const Value& container, const Value& item, Meter& meter) {
  if (const Text* text = container.text()) {
    MNW_TRY(CheckDefined(item));
    if (!item.text()) {
      return Error(Code::kInvalid, "'in <string>' needs a string, not {}", TypeName(item));
    }
    MNW_TRY(meter.Bytes(text->size()));
    return FindText(text->view(), item.text()->view()) != std::string_view::npos;
  }
  if (const Dict* dict = container.dict()) {
    MNW_TRY(CheckHashable(item));
    return dict->Find(item) != nullptr;
  }
  if (container.sequence() && container.sequence()->kind == Sequence::Kind::kKeys) {
    MNW_TRY(CheckHashable(item));
  }
  MNW_ASSIGN(const std::vector<Value> items, Iterate(container, meter));
  for (const Value& candidate : items) {
    MNW_ASSIGN(const bool equal, Equals(candidate, item, meter));
    if (equal) return true;
  }
  return false;
}

namespace {

Value NoAttribute(const Value& object, std::string_view name) {
  return Value::Missing(fmt::format("a {} has no attribute '{}'", TypeName(object), name));
}

Value NoElement(const Value& object) {
  return Value::Missing(fmt::format("a {} has no such element", TypeName(object)));
}

// The element at `index` from the front, or from the back when negative; null past either end.
const Value* ElementAt(const std::vector<Value>& items, int64_t index) {
  const auto size = static_cast<int64_t>(items.size());
  if (index < -size || index >= size) return nullptr;
  return &items[static_cast<size_t>(index < 0 ? index + size : index)];
}

Result<std::optional<Value>> FindItem(const Value& object, const Value& key, Meter& meter) {
  std::optional<Value> found;
  int64_t index = 0;
  if (const Dict* dict = object.dict()) {
    if (const Value* value = dict->Find(key)) found = *value;
  } else if (object.sequence() && object.sequence()->indexable() && key.ToInt(&index)) {
    if (const Value* value = ElementAt(object.sequence()->items, index)) found = *value;
  } else if (object.text() && key.ToInt(&index)) {
    const Text& text = *object.text();
    MNW_TRY(meter.Bytes(text.size()));
    if (index < 0) index += static_cast<int64_t>(CharCount(text.view()));
    if (index >= 0) {
      const size_t pos = CharToByte(text.view(), static_cast<size_t>(index));
      if (pos < text.size()) {
        found = Value::Str(text.Slice(pos, CharAt(text.view(), pos).end));
      }
    }
  }
  return found;
}

}  // namespace

Result<Value> GetAttribute(const Value& object, std::string_view name, Meter& meter) {
  MNW_TRY(CheckDefined(object));
  MNW_ASSIGN(std::optional<Value> attribute, PythonAttribute(object, name));
  if (attribute) return *std::move(attribute);
  if (object.dict()) {
    MNW_TRY(meter.Step());
    if (const Value* value = object.dict()->Find(name)) return *value;
  }
  return NoAttribute(object, name);
}

Result<Value> GetItem(const Value& object, const Value& key, Meter& meter) {
  MNW_TRY(CheckDefined(object));
  MNW_ASSIGN(std::optional<Value> item, FindItem(object, key, meter));
  if (item) return *std::move(item);
  if (!key.text()) return NoElement(object);
  MNW_ASSIGN(std::optional<Value> attribute, PythonAttribute(object, key.text()->view()));
  if (attribute) return *std::move(attribute);
  return NoAttribute(object, key.text()->view());
}

namespace {

struct SliceRange {
  int64_t start, stop, step;
};

Result<std::optional<int64_t>> SliceBound(const Value& v) {
  int64_t n = 0;
  if (v.Is<None>()) return std::optional<int64_t>();
  if (v.ToInt(&n)) return std::optional<int64_t>(n);
  return Error(Code::kInvalid, "slice bounds must be integers, not {}", TypeName(v));
}

// Python's rules: negative bounds count from the end, and all are cut to the sequence.
Result<SliceRange> Resolve(const Value& start, const Value& stop, const Value& step, size_t size) {
  MNW_ASSIGN(const std::optional<int64_t> first, SliceBound(start));
  MNW_ASSIGN(const std::optional<int64_t> last, SliceBound(stop));
  MNW_ASSIGN(const std::optional<int64_t> stride, SliceBound(step));
  const auto n = static_cast<int64_t>(size);
  // A stride beyond the length visits one element, whatever its size.
  SliceRange r{0, 0, std::clamp(stride.value_or(1), -n - 1, n + 1)};
  if (r.step == 0) return Error(Code::kInvalid, "a slice's step cannot be zero");
  const int64_t low = r.step < 0 ? -1 : 0;
  const int64_t high = r.step < 0 ? n - 1 : n;
  const auto cut = [&](int64_t bound) {
    if (bound < 0) bound = bound < -n ? -n - 1 : bound + n;
    return std::clamp(bound, low, high);
  };
  r.start = first ? cut(*first) : (r.step < 0 ? high : low);
  r.stop = last ? cut(*last) : (r.step < 0 ? low : high);
  return r;
}

Result<Value> SliceText(const Text& text, const SliceRange& r, size_t chars, Meter& meter) {
  const std::string_view s = text.view();
  MNW_TRY(meter.Bytes(text.size()));
  TextBuilder out(meter);
  if (r.step == 1) {
    if (r.start < r.stop) {
      const size_t begin = CharToByte(s, static_cast<size_t>(r.start));
      const size_t length = CharToByte(s.substr(begin), static_cast<size_t>(r.stop - r.start));
      MNW_TRY(out.AppendSlice(text, begin, begin + length));
    }
  } else {
    MNW_TRY(meter.Step(chars));
    std::vector<size_t> offsets;
    for (size_t pos = 0; pos < s.size(); pos = CharAt(s, pos).end) offsets.push_back(pos);
    offsets.push_back(s.size());
    for (int64_t i = r.start; r.step > 0 ? i < r.stop : i > r.stop; i += r.step) {
      const auto at = static_cast<size_t>(i);
      MNW_TRY(out.AppendSlice(text, offsets[at], offsets[at + 1]));
    }
  }
  MNW_ASSIGN(Text slice, out.Finish());
  slice.set_markup(text.markup());
  return Value::Str(std::move(slice));
}

}  // namespace

Result<Value> GetSlice(const Value& object, const Value& start, const Value& stop,
                       const Value& step, Meter& meter) {
  MNW_TRY(CheckDefined(object));
  const Sequence* sequence = object.sequence();
  if (!object.text() && !(sequence && sequence->indexable())) {
    return Error(Code::kInvalid, "a value of type {} cannot be sliced", TypeName(object));
  }
  MNW_ASSIGN(const size_t size, Length(object));
  MNW_ASSIGN(const SliceRange r, Resolve(start, stop, step, size));
  if (object.text()) return SliceText(*object.text(), r, size, meter);
  std::vector<Value> items;
  for (int64_t i = r.start; r.step > 0 ? i < r.stop : i > r.stop; i += r.step) {
    items.push_back(sequence->items[static_cast<size_t>(i)]);
  }
  return MakeSequence(sequence->kind, std::move(items), meter);
}

}  // namespace minnow::text::jinja
