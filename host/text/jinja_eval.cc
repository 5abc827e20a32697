// Statements. Expressions are in jinja_eval_expr.cc.
#include "text/jinja_eval.h"

#include <algorithm>

#include "text/jinja_builtins.h"
#include "text/jinja_loop.h"
#include "text/jinja_print.h"

namespace minnow::text::jinja {

Interpreter::~Interpreter() {
  for (const auto& space : runtime_.namespaces) space->attributes.clear();
  for (const auto& scope : captured_) scope->variables.clear();
  for (const auto& scope : captured_) scope->parent.reset();
}

void Interpreter::Scope::Set(std::string_view name, Value value) {
  for (auto& [key, old] : variables) {
    if (key == name) {
      old = std::move(value);
      return;
    }
  }
  variables.emplace_back(name, std::move(value));
}

Value Interpreter::Lookup(std::string_view name, const ScopePtr& scope) const {
  for (const Scope* s = scope.get(); s; s = s->parent.get()) {
    for (const auto& [key, value] : s->variables) {
      if (key == name) return value;
    }
  }
  if (std::optional<Value> global = FindGlobal(name)) return *std::move(global);
  return Value::Missing(fmt::format("'{}' is undefined", name));
}

template <class T>
Result<T> Interpreter::AtLine(int line, Result<T> result) {
  if (!result.ok() && error_line_ == 0) error_line_ = line;
  return result;
}

Result<Text> Interpreter::Render(const Body& body, const Variables& variables) {
  const ScopePtr context = Inside(nullptr);
  for (const auto& [name, value] : variables) context->Set(name, value);
  TextBuilder out(meter());
  const Result<Flow> flow = RunBody(body, Inside(context), out);
  if (!flow.ok()) return flow.status().Annotate(fmt::format("template line {}", error_line_));
  return out.Finish();
}

Status Interpreter::Assign(const Target& target, Value value, const ScopePtr& scope) {
  if (target.is_tuple) {
    MNW_ASSIGN(std::vector<Value> parts, Iterate(value, meter()));
    if (parts.size() != target.parts.size()) {
      return Error(Code::kInvalid, "cannot unpack {} values into {} names", parts.size(),
                   target.parts.size());
    }
    for (size_t i = 0; i < parts.size(); ++i) {
      MNW_TRY(Assign(target.parts[i], std::move(parts[i]), scope));
    }
    return {};
  }
  if (target.attribute.empty()) {
    scope->Set(target.name, std::move(value));
    return {};
  }
  const Value object = Lookup(target.name, scope);
  auto* space = object.As<Namespace>();
  if (!space) {
    return Error(Code::kInvalid, "cannot set '{}.{}': only namespaces have attributes to set",
                 target.name, target.attribute);
  }
  return space->Set(target.attribute, std::move(value));
}

Result<Value> Interpreter::MakeMacro(const MacroDef& macro, const ScopePtr& scope) {
  MNW_TRY(meter().Step(8));
  captured_.push_back(scope);
  return Value::Of(std::make_shared<Callable>(
      "macro", 0,
      [this, &macro, scope](Runtime&, const Args& args) { return CallMacro(macro, scope, args); }));
}

Result<Value> Interpreter::CallMacro(const MacroDef& macro, const ScopePtr& closure,
                                     const Args& args) {
  const ScopePtr scope = Inside(closure);
  auto named = args.named;
  const auto take = [&](std::string_view name) -> std::optional<Value> {
    const auto it = std::find_if(named.begin(), named.end(),
                                 [&](const auto& entry) { return entry.first == name; });
    if (it == named.end()) return std::nullopt;
    Value value = std::move(it->second);
    named.erase(it);
    return value;
  };
  const size_t count = macro.parameters.size();
  std::vector<std::optional<Value>> given(count);
  bool has_caller = false;
  for (size_t i = 0; i < count; ++i) {
    has_caller |= macro.parameters[i].name == "caller";
    given[i] = i < args.positional.size() ? args.positional[i] : take(macro.parameters[i].name);
  }
  if (macro.uses_caller && !has_caller) {
    scope->Set("caller", take("caller").value_or(Value::Missing("no caller defined")));
  }
  if (macro.uses_kwargs) {
    Dict rest;
    for (auto& [name, value] : named) rest.Set(Value::Str(name), std::move(value));
    MNW_ASSIGN(Value kwargs, MakeDict(std::move(rest), meter()));
    scope->Set("kwargs", std::move(kwargs));
  } else if (!named.empty()) {
    return Error(Code::kInvalid, "the macro '{}' takes no argument '{}'", macro.name,
                 named.front().first);
  }
  if (macro.uses_varargs) {
    std::vector<Value> rest(
        args.positional.begin() + static_cast<ptrdiff_t>(std::min(count, args.positional.size())),
        args.positional.end());
    MNW_ASSIGN(Value varargs, MakeSequence(Sequence::Kind::kTuple, std::move(rest), meter()));
    scope->Set("varargs", std::move(varargs));
  } else if (args.positional.size() > count) {
    return Error(Code::kInvalid, "the macro '{}' takes not more than {} arguments", macro.name,
                 count);
  }
  for (size_t i = 0; i < count; ++i) {
    const Parameter& parameter = macro.parameters[i];
    if (!given[i]) {
      MNW_ASSIGN(
          given[i],
          EvalOr(parameter.fallback, scope,
                 Value::Missing(fmt::format("parameter '{}' was not provided", parameter.name))));
    }
    scope->Set(parameter.name, *std::move(given[i]));
  }
  TextBuilder out(meter());
  MNW_TRY(RunBody(macro.body, scope, out).status());
  MNW_ASSIGN(Text text, out.Finish());
  return Value::Str(std::move(text));
}

Result<Value> Interpreter::CallValue(const Value& callee, const Args& args) {
  MNW_TRY(CheckDefined(callee));
  if (const auto* callable = callee.As<Callable>()) return callable->function(runtime_, args);
  if (const auto* loop = callee.As<Loop>()) {
    if (!loop->recurse) return Error(Code::kInvalid, "the loop lacks the word 'recursive'");
    return loop->recurse(runtime_, args);
  }
  return Error(Code::kInvalid, "a value of type {} cannot be called", TypeName(callee));
}

Result<Interpreter::Flow> Interpreter::RunBody(const Body& body, const ScopePtr& scope,
                                               TextBuilder& out) {
  for (const Stmt& stmt : body) {
    MNW_ASSIGN(const Flow flow, RunStmt(stmt, scope, out));
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::RunStmt(const Stmt& stmt, const ScopePtr& scope,
                                               TextBuilder& out) {
  if (Status entered = meter().Enter(); !entered.ok()) {
    return AtLine<Flow>(stmt.line, std::move(entered));
  }
  Result<Flow> flow = Flow::kNext;
  if (Status paid = meter().Step(); !paid.ok()) {
    flow = std::move(paid);
  } else {
    flow = std::visit([&](const auto& node) { return Run(node, scope, out); }, stmt.node);
  }
  meter().Leave();
  return AtLine(stmt.line, std::move(flow));
}

Result<Interpreter::Flow> Interpreter::Run(const DataStmt& stmt, const ScopePtr&,
                                           TextBuilder& out) {
  MNW_TRY(out.Append(*stmt.text.text()));
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::Run(const PrintStmt& stmt, const ScopePtr& scope,
                                           TextBuilder& out) {
  MNW_ASSIGN(const Value value, Eval(*stmt.value, scope));
  MNW_TRY(AppendText(value, meter(), &out));
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::Run(const IfStmt& stmt, const ScopePtr& scope,
                                           TextBuilder& out) {
  for (const IfStmt::Branch& branch : stmt.branches) {
    if (branch.condition) {
      MNW_ASSIGN(const Value condition, Eval(*branch.condition, scope));
      if (!IsTrue(condition)) continue;
    }
    return RunBody(branch.body, scope, out);
  }
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::Run(const ForStmt& stmt, const ScopePtr& scope,
                                           TextBuilder& out) {
  MNW_ASSIGN(const Value iterable, Eval(*stmt.iterable, scope));
  return RunLoop(stmt, iterable, 0, scope, out);
}

Result<std::vector<Value>> Interpreter::LoopItems(const ForStmt& stmt, const Value& iterable,
                                                  const ScopePtr& scope) {
  MNW_ASSIGN(std::vector<Value> items, Iterate(iterable, meter()));
  if (!stmt.condition) return items;
  std::vector<Value> chosen;
  for (Value& item : items) {
    const ScopePtr inner = Inside(scope);
    MNW_TRY(Assign(stmt.target, item, inner));
    MNW_ASSIGN(const Value condition, Eval(*stmt.condition, inner));
    if (IsTrue(condition)) chosen.push_back(std::move(item));
  }
  return chosen;
}

Result<Interpreter::Flow> Interpreter::RunLoop(const ForStmt& stmt, const Value& iterable,
                                               int depth, const ScopePtr& scope, TextBuilder& out) {
  MNW_ASSIGN(std::vector<Value> items, LoopItems(stmt, iterable, scope));
  if (items.empty()) return RunBody(stmt.otherwise, Inside(scope), out);
  int value_depth = 0;
  for (const Value& item : items) value_depth = std::max(value_depth, DepthOf(item));
  MNW_TRY(CheckNesting(value_depth + 1));
  const auto loop = std::make_shared<Loop>(std::move(items), value_depth + 1, depth);
  if (stmt.recursive) {
    loop->recurse = [this, &stmt, scope, depth](Runtime& runtime,
                                                const Args& args) -> Result<Value> {
      if (args.positional.size() != 1 || !args.named.empty()) {
        return Error(Code::kInvalid, "loop() takes one argument: what to go through");
      }
      TextBuilder nested(runtime.meter);
      MNW_TRY(RunLoop(stmt, args.positional[0], depth + 1, scope, nested).status());
      MNW_ASSIGN(Text text, nested.Finish());
      return Value::Str(std::move(text));
    };
  }
  Flow flow = Flow::kNext;
  for (; loop->index < loop->items.size() && flow != Flow::kBreak; ++loop->index) {
    MNW_TRY(meter().Step());
    const ScopePtr inner = Inside(scope);
    MNW_TRY(Assign(stmt.target, loop->items[loop->index], inner));
    inner->Set("loop", Value::Of(loop));
    MNW_ASSIGN(flow, RunBody(stmt.body, inner, out));
  }
  loop->last_changed.reset();
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::Run(const SetStmt& stmt, const ScopePtr& scope,
                                           TextBuilder&) {
  MNW_ASSIGN(Value value, Eval(*stmt.value, scope));
  MNW_TRY(Assign(stmt.target, std::move(value), scope));
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::Run(const SetBlockStmt& stmt, const ScopePtr& scope,
                                           TextBuilder&) {
  const ScopePtr inner = Inside(scope);
  TextBuilder block(meter());
  MNW_ASSIGN(const Flow flow, RunBody(stmt.body, inner, block));
  if (flow != Flow::kNext) return flow;
  MNW_ASSIGN(Text text, block.Finish());
  Value value = Value::Str(std::move(text));
  if (stmt.filter) {
    MNW_ASSIGN(value, EvalFilters(*stmt.filter, value, inner));
  }
  MNW_TRY(Assign(stmt.target, std::move(value), scope));
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::Run(const MacroStmt& stmt, const ScopePtr& scope,
                                           TextBuilder&) {
  MNW_ASSIGN(Value macro, MakeMacro(stmt.macro, scope));
  scope->Set(stmt.macro.name, std::move(macro));
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::Run(const CallBlockStmt& stmt, const ScopePtr& scope,
                                           TextBuilder& out) {
  MNW_ASSIGN(const Value caller, MakeMacro(stmt.caller, scope));
  MNW_ASSIGN(const Value result, EvalCall(std::get<CallExpr>(stmt.call->node), scope, &caller));
  MNW_TRY(AppendText(result, meter(), &out));
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::Run(const FilterBlockStmt& stmt, const ScopePtr& scope,
                                           TextBuilder& out) {
  const ScopePtr inner = Inside(scope);
  TextBuilder block(meter());
  MNW_ASSIGN(const Flow flow, RunBody(stmt.body, inner, block));
  if (flow != Flow::kNext) return flow;
  MNW_ASSIGN(Text text, block.Finish());
  MNW_ASSIGN(const Value value, EvalFilters(*stmt.filter, Value::Str(std::move(text)), inner));
  MNW_TRY(AppendText(value, meter(), &out));
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::Run(const ScopeStmt& stmt, const ScopePtr& scope,
                                           TextBuilder& out) {
  const ScopePtr inner = Inside(scope);
  for (const auto& [target, expr] : stmt.bindings) {
    MNW_ASSIGN(Value value, Eval(*expr, scope));
    MNW_TRY(Assign(target, std::move(value), inner));
  }
  return RunBody(stmt.body, inner, out);
}

Result<Interpreter::Flow> Interpreter::Run(const BreakStmt&, const ScopePtr&, TextBuilder&) {
  return Flow::kBreak;
}

Result<Interpreter::Flow> Interpreter::Run(const ContinueStmt&, const ScopePtr&, TextBuilder&) {
  return Flow::kContinue;
}

}  // namespace minnow::text::jinja
