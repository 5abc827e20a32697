// The syntax tree of a chat template, as the parser leaves it and the interpreter walks it.
// Threads: immutable once parsed.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "text/jinja_ops.h"
#include "text/jinja_value.h"

namespace minnow::text::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<const Expr>;

struct Arguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star;       // *args, or null
  ExprPtr star_star;  // **kwargs, or null
};

struct ConstExpr {
  Value value;
};
struct NameExpr {
  std::string name;
};
struct AttributeExpr {
  ExprPtr object;
  std::string name;
};
struct ItemExpr {
  ExprPtr object;
  ExprPtr key;
};
struct SliceExpr {
  ExprPtr object;
  ExprPtr start, stop, step;  // null where left out
};
struct CallExpr {
  ExprPtr callee;
  Arguments arguments;
};
struct FilterExpr {
  ExprPtr input;  // null: the body of a filter or set block
  std::string name;
  Arguments arguments;
};
struct TestExpr {
  ExprPtr input;
  std::string name;
  Arguments arguments;
};
struct UnaryExpr {
  enum class Op { kNot, kMinus, kPlus };
  Op op;
  ExprPtr operand;
};
struct ArithmeticExpr {
  BinaryOp op;
  ExprPtr left, right;
};
struct LogicExpr {
  bool is_and;
  ExprPtr left, right;
};
struct ConcatExpr {
  std::vector<ExprPtr> parts;
};
struct CompareExpr {
  enum class Op { kEq, kNe, kLt, kLe, kGt, kGe, kIn, kNotIn };
  ExprPtr first;
  std::vector<std::pair<Op, ExprPtr>> rest;
};
struct ConditionalExpr {
  ExprPtr condition;
  ExprPtr then;
  ExprPtr otherwise;  // null: undefined
};
struct SequenceExpr {
  Sequence::Kind kind;  // list or tuple
  std::vector<ExprPtr> items;
};
struct DictExpr {
  std::vector<std::pair<ExprPtr, ExprPtr>> entries;
};

struct Expr {
  using Node = std::variant<ConstExpr, NameExpr, AttributeExpr, ItemExpr, SliceExpr, CallExpr,
                            FilterExpr, TestExpr, UnaryExpr, ArithmeticExpr, LogicExpr, ConcatExpr,
                            CompareExpr, ConditionalExpr, SequenceExpr, DictExpr>;
  Node node;
  int line;
  int height;  // of the tree below: what recursion over it costs
};

struct Stmt;
using Body = std::vector<Stmt>;

// Where an assignment goes: a name, an attribute of a namespace, or a tuple of targets.
struct Target {
  std::string name;
  std::string attribute;      // not empty: `name` holds a namespace
  std::vector<Target> parts;  // for a tuple; then `name` is empty
  bool is_tuple = false;
};

struct Parameter {
  std::string name;
  ExprPtr fallback;  // null: undefined when not given
};

// The body of a macro or call block.
struct MacroDef {
  std::string name;
  std::vector<Parameter> parameters;
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;
  Body body;
};

struct DataStmt {
  Value text;
};
struct PrintStmt {
  ExprPtr value;
};
struct IfStmt {
  struct Branch {
    ExprPtr condition;  // null: else
    Body body;
  };
  std::vector<Branch> branches;
};
struct ForStmt {
  Target target;
  ExprPtr iterable;
  ExprPtr condition;  // null: every element
  bool recursive = false;
  Body body;
  Body otherwise;
};
struct SetStmt {
  Target target;
  ExprPtr value;
};
struct SetBlockStmt {
  Target target;
  ExprPtr filter;  // chain whose innermost input is the body; null: the body as it is
  Body body;
};
struct MacroStmt {
  MacroDef macro;
};
struct CallBlockStmt {
  ExprPtr call;
  MacroDef caller;
};
struct FilterBlockStmt {
  ExprPtr filter;
  Body body;
};
struct ScopeStmt {  // `with` and `generation`
  std::vector<std::pair<Target, ExprPtr>> bindings;
  Body body;
};
struct BreakStmt {};
struct ContinueStmt {};

struct Stmt {
  using Node = std::variant<DataStmt, PrintStmt, IfStmt, ForStmt, SetStmt, SetBlockStmt, MacroStmt,
                            CallBlockStmt, FilterBlockStmt, ScopeStmt, BreakStmt, ContinueStmt>;
  Node node;
  int line;
};

}  // namespace minnow::text::jinja
