// What stands behind `is`.
#include "text/jinja_builtins.h"
#include "text/jinja_ops.h"
#include "text/jinja_print.h"

namespace minnow::text::jinja {
namespace {

Result<Value> Yes(bool b) { return Value::Bool(b); }

bool IsSequence(const Value& v) {
  return v.Is<Undefined>() || v.text() || v.dict() || (v.sequence() && v.sequence()->indexable());
}

// Objects are one thing when they are one object; scalars as Python's small constants.
bool SameAs(const Value& a, const Value& b) {
  if (a.rep().index() != b.rep().index()) return false;
  if (a.text()) return a.text() == b.text();
  if (a.dict()) return a.dict() == b.dict();
  if (a.sequence()) return a.sequence() == b.sequence();
  if (a.iterator()) return a.iterator() == b.iterator();
  if (a.object()) return a.object() == b.object();
  return a.Is<None>() || (a.IsNumber() && a.AsDouble() == b.AsDouble());
}

Result<Value> Remainder(const Invocation& call, int64_t divisor, int64_t wanted) {
  MNW_ASSIGN(const Value rest,
             Arithmetic(BinaryOp::kMod, call.self, Value::Int(divisor), call.meter()));
  MNW_ASSIGN(const bool equal, Equals(rest, Value::Int(wanted), call.meter()));
  return Yes(equal);
}

Result<Value> DivisibleBy(const Invocation& call) {
  MNW_ASSIGN(const Value rest,
             Arithmetic(BinaryOp::kMod, call.self, *call.params[0], call.meter()));
  MNW_ASSIGN(const bool equal, Equals(rest, Value::Int(0), call.meter()));
  return Yes(equal);
}

// At least one cased letter, and none of the other case.
Result<Value> AllCase(const Invocation& call, bool lower) {
  MNW_ASSIGN(const Text text, ToText(call.self, call.meter()));
  bool found = false;
  for (size_t pos = 0; pos < text.size();) {
    const Char c = CharAt(text.view(), pos);
    if (lower ? IsUpperCase(c.code) : IsLowerCase(c.code)) return Yes(false);
    found |= lower ? IsLowerCase(c.code) : IsUpperCase(c.code);
    pos = c.end;
  }
  return Yes(found);
}

template <class Accept>
Result<Value> Compare(const Invocation& call, Accept accept) {
  MNW_ASSIGN(const std::partial_ordering order, Order(call.self, *call.params[0], call.meter()));
  return Yes(accept(order));
}

Result<Value> Eq(const Invocation& call) {
  MNW_ASSIGN(const bool equal, Equals(call.self, *call.params[0], call.meter()));
  return Yes(equal);
}
Result<Value> Ne(const Invocation& call) {
  MNW_ASSIGN(const bool equal, Equals(call.self, *call.params[0], call.meter()));
  return Yes(!equal);
}
Result<Value> Lt(const Invocation& call) {
  return Compare(call, [](auto order) { return order < 0; });
}
Result<Value> Le(const Invocation& call) {
  return Compare(call, [](auto order) { return order <= 0; });
}
Result<Value> Gt(const Invocation& call) {
  return Compare(call, [](auto order) { return order > 0; });
}
Result<Value> Ge(const Invocation& call) {
  return Compare(call, [](auto order) { return order >= 0; });
}
Result<Value> In(const Invocation& call) {
  MNW_ASSIGN(const bool found, Contains(*call.params[0], call.self, call.meter()));
  return Yes(found);
}
Result<Value> Filter(const Invocation& call) {
  MNW_TRY(CheckHashable(call.self));
  return Yes(call.self.text() && FindFilter(call.self.text()->view()));
}
Result<Value> Test(const Invocation& call) {
  MNW_TRY(CheckHashable(call.self));
  return Yes(call.self.text() && FindTest(call.self.text()->view()));
}
Result<Value> Callable_(const Invocation& call) {
  return Yes(call.self.Is<Undefined>() || call.self.As<Callable>());
}

constexpr Builtin kTests[] = {
    {"!=", "_other", Ne},
    {"<", "_other", Lt},
    {"<=", "_other", Le},
    {"==", "_other", Eq},
    {">", "_other", Gt},
    {">=", "_other", Ge},
    {"boolean", "", [](const Invocation& call) { return Yes(call.self.Is<bool>()); }},
    {"callable", "", Callable_},
    {"defined", "", [](const Invocation& call) { return Yes(!call.self.Is<Undefined>()); }},
    {"divisibleby", "num", DivisibleBy},
    {"eq", "_other", Eq},
    {"equalto", "_other", Eq},
    {"escaped", "",
     [](const Invocation& call) { return Yes(call.self.text() && call.self.text()->markup()); }},
    {"even", "", [](const Invocation& call) { return Remainder(call, 2, 0); }},
    {"false", "",
     [](const Invocation& call) { return Yes(call.self.Is<bool>() && !IsTrue(call.self)); }},
    {"filter", "", Filter},
    {"float", "", [](const Invocation& call) { return Yes(call.self.Is<double>()); }},
    {"ge", "_other", Ge},
    {"greaterthan", "_other", Gt},
    {"gt", "_other", Gt},
    {"in", "seq", In},
    {"integer", "", [](const Invocation& call) { return Yes(call.self.Is<int64_t>()); }},
    {"iterable", "", [](const Invocation& call) { return Yes(IsIterable(call.self)); }},
    {"le", "_other", Le},
    {"lessthan", "_other", Lt},
    {"lower", "", [](const Invocation& call) { return AllCase(call, true); }},
    {"lt", "_other", Lt},
    {"mapping", "", [](const Invocation& call) { return Yes(call.self.dict() != nullptr); }},
    {"ne", "_other", Ne},
    {"none", "", [](const Invocation& call) { return Yes(call.self.Is<None>()); }},
    {"number", "", [](const Invocation& call) { return Yes(call.self.IsNumber()); }},
    {"odd", "", [](const Invocation& call) { return Remainder(call, 2, 1); }},
    {"sameas", "other",
     [](const Invocation& call) { return Yes(SameAs(call.self, *call.params[0])); }},
    {"sequence", "", [](const Invocation& call) { return Yes(IsSequence(call.self)); }},
    {"string", "", [](const Invocation& call) { return Yes(call.self.text() != nullptr); }},
    {"test", "", Test},
    {"true", "",
     [](const Invocation& call) { return Yes(call.self.Is<bool>() && IsTrue(call.self)); }},
    {"undefined", "", [](const Invocation& call) { return Yes(call.self.Is<Undefined>()); }},
    {"upper", "", [](const Invocation& call) { return AllCase(call, false); }},
};

}  // namespace

std::span<const Builtin> Tests() { return kTests; }

}  // namespace minnow::text::jinja
