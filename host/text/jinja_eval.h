// Runs a parsed chat template.
//
// Names are looked up along the lexical scopes: `for`, macros, `with` and block assignments open
// one, `if` does not, and an assignment lands in the innermost. Nothing but a namespace lets an
// inner scope change what an outer one sees. One difference from Jinja, which binds names before
// it runs: there, a name of the caller's that the template assigns further down is undefined to
// the loops and macros above the assignment; here they still see the caller's value.
// Threads: one Interpreter per rendering; the tree is only read.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja_ast.h"
#include "text/jinja_value.h"

namespace minnow::text::jinja {

class Interpreter {
 public:
  using Variables = std::vector<std::pair<std::string, Value>>;

  Interpreter(const TemplateLimits& limits, std::time_t now) : runtime_{Meter(limits), now, {}} {}
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  Meter& meter() { return runtime_.meter; }
  Result<Text> Render(const Body& body, const Variables& variables);

 private:
  struct Scope {
    std::shared_ptr<Scope> parent;
    std::vector<std::pair<std::string_view, Value>> variables;  // names live in the tree

    void Set(std::string_view name, Value value);
  };
  using ScopePtr = std::shared_ptr<Scope>;
  enum class Flow { kNext, kBreak, kContinue };

  static ScopePtr Inside(const ScopePtr& parent) {
    return std::make_shared<Scope>(Scope{parent, {}});
  }
  Value Lookup(std::string_view name, const ScopePtr& scope) const;
  Status Assign(const Target& target, Value value, const ScopePtr& scope);
  Result<Value> MakeMacro(const MacroDef& macro, const ScopePtr& scope);
  Result<Value> CallMacro(const MacroDef& macro, const ScopePtr& closure, const Args& args);
  Result<Value> CallValue(const Value& callee, const Args& args);
  template <class T>
  Result<T> AtLine(int line, Result<T> result);

  // Statements.
  Result<Flow> RunBody(const Body& body, const ScopePtr& scope, TextBuilder& out);
  Result<Flow> RunStmt(const Stmt& stmt, const ScopePtr& scope, TextBuilder& out);
  Result<Flow> Run(const DataStmt& stmt, const ScopePtr& scope, TextBuilder& out);
  Result<Flow> Run(const PrintStmt& stmt, const ScopePtr& scope, TextBuilder& out);
  Result<Flow> Run(const IfStmt& stmt, const ScopePtr& scope, TextBuilder& out);
  Result<Flow> Run(const ForStmt& stmt, const ScopePtr& scope, TextBuilder& out);
  Result<Flow> Run(const SetStmt& stmt, const ScopePtr& scope, TextBuilder& out);
  Result<Flow> Run(const SetBlockStmt& stmt, const ScopePtr& scope, TextBuilder& out);
  Result<Flow> Run(const MacroStmt& stmt, const ScopePtr& scope, TextBuilder& out);
  Result<Flow> Run(const CallBlockStmt& stmt, const ScopePtr& scope, TextBuilder& out);
  Result<Flow> Run(const FilterBlockStmt& stmt, const ScopePtr& scope, TextBuilder& out);
  Result<Flow> Run(const ScopeStmt& stmt, const ScopePtr& scope, TextBuilder& out);
  Result<Flow> Run(const BreakStmt& stmt, const ScopePtr& scope, TextBuilder& out);
  Result<Flow> Run(const ContinueStmt& stmt, const ScopePtr& scope, TextBuilder& out);
  Result<Flow> RunLoop(const ForStmt& stmt, const Value& iterable, int depth, const ScopePtr& scope,
                       TextBuilder& out);
  Result<std::vector<Value>> LoopItems(const ForStmt& stmt, const Value& iterable,
                                       const ScopePtr& scope);

  // Expressions.
  Result<Value> Eval(const Expr& expr, const ScopePtr& scope);
  Result<Value> EvalOr(const ExprPtr& expr, const ScopePtr& scope, Value fallback);
  Result<Args> EvalArguments(const Arguments& arguments, const ScopePtr& scope);
  Result<Value> EvalFilters(const Expr& chain, const Value& block, const ScopePtr& scope);
  Result<Value> EvalCall(const CallExpr& e, const ScopePtr& scope, const Value* caller);
  Result<Value> Evaluate(const ConstExpr& e, const ScopePtr& scope);
  Result<Value> Evaluate(const NameExpr& e, const ScopePtr& scope);
  Result<Value> Evaluate(const AttributeExpr& e, const ScopePtr& scope);
  Result<Value> Evaluate(const ItemExpr& e, const ScopePtr& scope);
  Result<Value> Evaluate(const SliceExpr& e, const ScopePtr& scope);
  Result<Value> Evaluate(const CallExpr& e, const ScopePtr& scope);
  Result<Value> Evaluate(const FilterExpr& e, const ScopePtr& scope);
  Result<Value> Evaluate(const TestExpr& e, const ScopePtr& scope);
  Result<Value> Evaluate(const UnaryExpr& e, const ScopePtr& scope);
  Result<Value> Evaluate(const ArithmeticExpr& e, const ScopePtr& scope);
  Result<Value> Evaluate(const LogicExpr& e, const ScopePtr& scope);
  Result<Value> Evaluate(const ConcatExpr& e, const ScopePtr& scope);
  Result<Value> Evaluate(const CompareExpr& e, const ScopePtr& scope);
  Result<Value> Evaluate(const ConditionalExpr& e, const ScopePtr& scope);
  Result<Value> Evaluate(const SequenceExpr& e, const ScopePtr& scope);
  Result<Value> Evaluate(const DictExpr& e, const ScopePtr& scope);

  Runtime runtime_;
  std::vector<ScopePtr> captured_;  // by macros: emptied at the end, since they may form cycles
  int error_line_ = 0;              // of the innermost failure
};

}  // namespace minnow::text::jinja
