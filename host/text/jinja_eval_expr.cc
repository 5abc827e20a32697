// Expressions of the interpreter.
#include "text/jinja_builtins.h"
#include "text/jinja_eval.h"
#include "text/jinja_print.h"

namespace minnow::text::jinja {

Result<Value> Interpreter::Eval(const Expr& expr, const ScopePtr& scope) {
  if (Status entered = meter().Enter(); !entered.ok()) {
    if (error_line_ == 0) error_line_ = expr.line;
    return entered;
  }
  Result<Value> value = Value();
  if (Status paid = meter().Step(); !paid.ok()) {
    value = std::move(paid);
  } else {
    value = std::visit([&](const auto& node) { return Evaluate(node, scope); }, expr.node);
  }
  meter().Leave();
  if (!value.ok() && error_line_ == 0) error_line_ = expr.line;
  return value;
}

Result<Value> Interpreter::EvalOr(const ExprPtr& expr, const ScopePtr& scope, Value fallback) {
  if (!expr) return fallback;
  return Eval(*expr, scope);
}

Result<Args> Interpreter::EvalArguments(const Arguments& arguments, const ScopePtr& scope) {
  Args args;
  for (const ExprPtr& expr : arguments.positional) {
    MNW_ASSIGN(Value value, Eval(*expr, scope));
    args.positional.push_back(std::move(value));
  }
  if (arguments.star) {
    MNW_ASSIGN(const Value rest, Eval(*arguments.star, scope));
    MNW_ASSIGN(const std::vector<Value> items, Iterate(rest, meter()));
    args.positional.insert(args.positional.end(), items.begin(), items.end());
  }
  for (const auto& [name, expr] : arguments.named) {
    MNW_ASSIGN(Value value, Eval(*expr, scope));
    args.named.emplace_back(name, std::move(value));
  }
  if (arguments.star_star) {
    MNW_ASSIGN(const Value rest, Eval(*arguments.star_star, scope));
    if (!rest.dict()) return Error(Code::kInvalid, "** needs a dict, not {}", TypeName(rest));
    for (const auto& [key, value] : rest.dict()->entries()) {
      MNW_TRY(meter().Step());
      if (!key.text()) return Error(Code::kInvalid, "** needs keys that are strings");
      args.named.emplace_back(key.text()->view(), value);
    }
  }
  return args;
}

Result<Value> Interpreter::EvalFilters(const Expr& chain, const Value& block,
                                       const ScopePtr& scope) {
  const auto& filter = std::get<FilterExpr>(chain.node);
  Value input = block;
  if (filter.input) {
    MNW_ASSIGN(input, EvalFilters(*filter.input, block, scope));
  }
  MNW_ASSIGN(const Args args, EvalArguments(filter.arguments, scope));
  return ApplyFilter(filter.name, runtime_, input, args);
}

Result<Value> Interpreter::EvalCall(const CallExpr& e, const ScopePtr& scope, const Value* caller) {
  MNW_ASSIGN(const Value callee, Eval(*e.callee, scope));
  MNW_ASSIGN(Args args, EvalArguments(e.arguments, scope));
  if (caller) args.named.emplace_back("caller", *caller);
  return CallValue(callee, args);
}

Result<Value> Interpreter::Evaluate(const ConstExpr& e, const ScopePtr&) { return e.value; }

Result<Value> Interpreter::Evaluate(const NameExpr& e, const ScopePtr& scope) {
  return Lookup(e.name, scope);
}

Result<Value> Interpreter::Evaluate(const AttributeExpr& e, const ScopePtr& scope) {
  MNW_ASSIGN(const Value object, Eval(*e.object, scope));
  return GetAttribute(object, e.name, meter());
}

Result<Value> Interpreter::Evaluate(const ItemExpr& e, const ScopePtr& scope) {
  MNW_ASSIGN(const Value object, Eval(*e.object, scope));
  MNW_ASSIGN(const Value key, Eval(*e.key, scope));
  return GetItem(object, key, meter());
}

Result<Value> Interpreter::Evaluate(const SliceExpr& e, const ScopePtr& scope) {
  MNW_ASSIGN(const Value object, Eval(*e.object, scope));
  MNW_ASSIGN(const Value start, EvalOr(e.start, scope, Value()));
  MNW_ASSIGN(const Value stop, EvalOr(e.stop, scope, Value()));
  MNW_ASSIGN(const Value step, EvalOr(e.step, scope, Value()));
  return GetSlice(object, start, stop, step, meter());
}

Result<Value> Interpreter::Evaluate(const CallExpr& e, const ScopePtr& scope) {
  return EvalCall(e, scope, nullptr);
}

Result<Value> Interpreter::Evaluate(const FilterExpr& e, const ScopePtr& scope) {
  MNW_ASSIGN(const Value input, Eval(*e.input, scope));
  MNW_ASSIGN(const Args args, EvalArguments(e.arguments, scope));
  return ApplyFilter(e.name, runtime_, input, args);
}

Result<Value> Interpreter::Evaluate(const TestExpr& e, const ScopePtr& scope) {
  MNW_ASSIGN(const Value input, Eval(*e.input, scope));
  MNW_ASSIGN(const Args args, EvalArguments(e.arguments, scope));
  MNW_ASSIGN(const bool passed, ApplyTest(e.name, runtime_, input, args));
  return Value::Bool(passed);
}

Result<Value> Interpreter::Evaluate(const UnaryExpr& e, const ScopePtr& scope) {
  MNW_ASSIGN(const Value operand, Eval(*e.operand, scope));
  switch (e.op) {
    case UnaryExpr::Op::kNot:
      return Value::Bool(!IsTrue(operand));
    case UnaryExpr::Op::kMinus:
      return Negate(operand);
    case UnaryExpr::Op::kPlus:
      break;
  }
  return Arithmetic(BinaryOp::kAdd, Value::Int(0), operand, meter());
}

Result<Value> Interpreter::Evaluate(const ArithmeticExpr& e, const ScopePtr& scope) {
  MNW_ASSIGN(const Value left, Eval(*e.left, scope));
  MNW_ASSIGN(const Value right, Eval(*e.right, scope));
  return Arithmetic(e.op, left, right, meter());
}

Result<Value> Interpreter::Evaluate(const LogicExpr& e, const ScopePtr& scope) {
  MNW_ASSIGN(Value left, Eval(*e.left, scope));
  if (IsTrue(left) != e.is_and) return left;
  return Eval(*e.right, scope);
}

Result<Value> Interpreter::Evaluate(const ConcatExpr& e, const ScopePtr& scope) {
  TextBuilder out(meter());
  for (const ExprPtr& part : e.parts) {
    MNW_ASSIGN(const Value value, Eval(*part, scope));
    MNW_TRY(AppendText(value, meter(), &out));
  }
  MNW_ASSIGN(Text text, out.Finish());
  return Value::Str(std::move(text));
}

namespace {

Result<bool> Holds(CompareExpr::Op op, const Value& a, const Value& b, Meter& meter) {
  using Op = CompareExpr::Op;
  if (op == Op::kEq || op == Op::kNe) {
    MNW_ASSIGN(const bool equal, Equals(a, b, meter));
    return equal == (op == Op::kEq);
  }
  if (op == Op::kIn || op == Op::kNotIn) {
    MNW_ASSIGN(const bool found, Contains(b, a, meter));
    return found == (op == Op::kIn);
  }
  MNW_ASSIGN(const std::partial_ordering order, Order(a, b, meter));
  switch (op) {
    case Op::kLt:
      return order < 0;
    case Op::kLe:
      return order <= 0;
    case Op::kGt:
      return order > 0;
    default:
      return order >= 0;
  }
}

}  // namespace

Result<Value> Interpreter::Evaluate(const CompareExpr& e, const ScopePtr& scope) {
  MNW_ASSIGN(Value left, Eval(*e.first, scope));
  for (const auto& [op, operand] : e.rest) {
    MNW_ASSIGN(Value right, Eval(*operand, scope));
    MNW_ASSIGN(const bool holds, Holds(op, left, right, meter()));
    if (!holds) return Value::Bool(false);
    left = std::move(right);
  }
  return Value::Bool(true);
}

Result<Value> Interpreter::Evaluate(const ConditionalExpr& e, const ScopePtr& scope) {
  MNW_ASSIGN(const Value condition, Eval(*e.condition, scope));
  if (IsTrue(condition)) return Eval(*e.then, scope);
  return EvalOr(e.otherwise, scope,
                Value::Missing("the condition of an inline 'if' without 'else' is false"));
}

Result<Value> Interpreter::Evaluate(const SequenceExpr& e, const ScopePtr& scope) {
  std::vector<Value> items;
  for (const ExprPtr& expr : e.items) {
    MNW_ASSIGN(Value item, Eval(*expr, scope));
    items.push_back(std::move(item));
  }
  return MakeSequence(e.kind, std::move(items), meter());
}

Result<Value> Interpreter::Evaluate(const DictExpr& e, const ScopePtr& scope) {
  Dict dict;
  for (const auto& [key_expr, value_expr] : e.entries) {
    MNW_ASSIGN(Value key, Eval(*key_expr, scope));
    MNW_ASSIGN(Value value, Eval(*value_expr, scope));
    if (!Dict::IsKey(key)) {
      return Error(Code::kUnsupported, "a value of type {} cannot be the key of a dict",
                   TypeName(key));
    }
    dict.Set(std::move(key), std::move(value));
  }
  return MakeDict(std::move(dict), meter());
}

}  // namespace minnow::text::jinja
