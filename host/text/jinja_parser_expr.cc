// Expressions, from the loosest binding to the tightest.
#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "text/jinja_builtins.h"
#include "text/jinja_parser_state.h"

namespace minnow::text::jinja {
namespace {

const Expr* Taller(const Expr* a, const Expr* b) {
  if (!a || !b) return a ? a : b;
  return a->height >= b->height ? a : b;
}

const Expr* Tallest(const Arguments& arguments) {
  const Expr* tallest = Taller(arguments.star.get(), arguments.star_star.get());
  for (const auto& argument : arguments.positional) tallest = Taller(tallest, argument.get());
  for (const auto& argument : arguments.named) tallest = Taller(tallest, argument.second.get());
  return tallest;
}

}  // namespace

// `children`: whose height counts. Chains such as a + b + c grow to the left without recursion in
// the parser, so the height of the tree is what bounds recursion over it.
Result<ExprPtr> Parser::Make(Expr::Node node, int line,
                             std::initializer_list<const Expr*> children) {
  int height = 0;
  for (const Expr* child : children) {
    if (child) height = std::max(height, child->height);
  }
  if (height >= kMaxSyntaxDepth) {
    return Error(Code::kExhausted, "template line {}: the syntax nests deeper than the limit of {}",
                 line, kMaxSyntaxDepth);
  }
  return std::make_unique<const Expr>(Expr{std::move(node), line, height + 1});
}

// An expression, or several with commas between them as a tuple. `parenthesized`: may be empty.
Result<ExprPtr> Parser::ParseTuple(bool allow_conditional, bool parenthesized) {
  const int line = current().line;
  std::vector<ExprPtr> items;
  bool is_tuple = false;
  const auto at_end = [&] {
    return current().kind == Token::Kind::kClose || current().kind == Token::Kind::kBlockEnd ||
           current().IsOp(")") || (!allow_conditional && current().IsName("recursive"));
  };
  while (!at_end()) {
    MNW_ASSIGN(ExprPtr item, allow_conditional ? ParseExpression() : ParseOr());
    items.push_back(std::move(item));
    if (!SkipOp(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && items.size() == 1) return std::move(items[0]);
  if (items.empty() && !parenthesized) return FailHere("an expression");
  return Make(SequenceExpr{Sequence::Kind::kTuple, std::move(items)}, line);
}

Result<ExprPtr> Parser::ParseConditional() {
  const Level level(*this);
  MNW_TRY(CheckDepth());
  const int line = current().line;
  const size_t known = unknown_.size();
  MNW_ASSIGN(ExprPtr expr, ParseOr());
  while (SkipName("if")) {
    ConditionalExpr conditional;
    conditional.then = std::move(expr);
    MNW_ASSIGN(conditional.condition, ParseOr());
    if (SkipName("else")) {
      MNW_ASSIGN(conditional.otherwise, ParseConditional());
    }
    unknown_.erase(unknown_.begin() + static_cast<ptrdiff_t>(known), unknown_.end());
    const Expr *c = conditional.condition.get(), *t = conditional.then.get(),
               *o = conditional.otherwise.get();
    MNW_ASSIGN(expr, Make(std::move(conditional), line, {c, t, o}));
  }
  return expr;
}

Result<ExprPtr> Parser::ParseOr() {
  const int line = current().line;
  MNW_ASSIGN(ExprPtr left, ParseAnd());
  while (SkipName("or")) {
    MNW_ASSIGN(ExprPtr right, ParseAnd());
    const Expr *l = left.get(), *r = right.get();
    MNW_ASSIGN(left, Make(LogicExpr{false, std::move(left), std::move(right)}, line, {l, r}));
  }
  return left;
}

Result<ExprPtr> Parser::ParseAnd() {
  const int line = current().line;
  MNW_ASSIGN(ExprPtr left, ParseNot());
  while (SkipName("and")) {
    MNW_ASSIGN(ExprPtr right, ParseNot());
    const Expr *l = left.get(), *r = right.get();
    MNW_ASSIGN(left, Make(LogicExpr{true, std::move(left), std::move(right)}, line, {l, r}));
  }
  return left;
}

Result<ExprPtr> Parser::ParseNot() {
  if (!current().IsName("not")) return ParseCompare();
  const Level level(*this);
  MNW_TRY(CheckDepth());
  const int line = Take().line;
  MNW_ASSIGN(ExprPtr operand, ParseNot());
  const Expr* child = operand.get();
  return Make(UnaryExpr{UnaryExpr::Op::kNot, std::move(operand)}, line, {child});
}

Result<ExprPtr> Parser::ParseCompare() {
  using Op = CompareExpr::Op;
  static constexpr std::pair<std::string_view, Op> kOperators[] = {
      {"==", Op::kEq}, {"!=", Op::kNe}, {"<", Op::kLt},
      {"<=", Op::kLe}, {">", Op::kGt},  {">=", Op::kGe}};
  const int line = current().line;
  CompareExpr compare;
  MNW_ASSIGN(compare.first, ParseSum());
  const Expr* highest = compare.first.get();
  while (true) {
    std::optional<Op> op;
    for (const auto& [symbol, candidate] : kOperators) {
      if (!op && SkipOp(symbol)) op = candidate;
    }
    if (!op && SkipName("in")) op = Op::kIn;
    if (!op && current().IsName("not") && next().IsName("in")) {
      pos_ += 2;
      op = Op::kNotIn;
    }
    if (!op) break;
    MNW_ASSIGN(ExprPtr operand, ParseSum());
    highest = Taller(highest, operand.get());
    compare.rest.emplace_back(*op, std::move(operand));
  }
  if (compare.rest.empty()) return std::move(compare.first);
  return Make(std::move(compare), line, {highest});
}

template <class Next>
Result<ExprPtr> Parser::ParseArithmetic(
    std::initializer_list<std::pair<std::string_view, BinaryOp>> operators, Next parse_next) {
  const int line = current().line;
  MNW_ASSIGN(ExprPtr left, parse_next());
  while (true) {
    const auto op = std::find_if(operators.begin(), operators.end(),
                                 [&](const auto& entry) { return SkipOp(entry.first); });
    if (op == operators.end()) return left;
    MNW_ASSIGN(ExprPtr right, parse_next());
    const Expr *l = left.get(), *r = right.get();
    MNW_ASSIGN(left,
               Make(ArithmeticExpr{op->second, std::move(left), std::move(right)}, line, {l, r}));
  }
}

Result<ExprPtr> Parser::ParseSum() {
  return ParseArithmetic({{"+", BinaryOp::kAdd}, {"-", BinaryOp::kSub}},
                         [this] { return ParseConcat(); });
}

Result<ExprPtr> Parser::ParseConcat() {
  const int line = current().line;
  ConcatExpr concat;
  const Expr* highest = nullptr;
  do {
    MNW_ASSIGN(ExprPtr part, ParseProduct());
    highest = Taller(highest, part.get());
    concat.parts.push_back(std::move(part));
  } while (SkipOp("~"));
  if (concat.parts.size() == 1) return std::move(concat.parts[0]);
  return Make(std::move(concat), line, {highest});
}

Result<ExprPtr> Parser::ParseProduct() {
  return ParseArithmetic({{"*", BinaryOp::kMul},
                          {"/", BinaryOp::kDiv},
                          {"//", BinaryOp::kFloorDiv},
                          {"%", BinaryOp::kMod}},
                         [this] { return ParsePower(); });
}

Result<ExprPtr> Parser::ParsePower() {
  return ParseArithmetic({{"**", BinaryOp::kPow}}, [this] { return ParseUnary(true); });
}

Result<ExprPtr> Parser::ParseUnary(bool with_filter) {
  const Level level(*this);
  MNW_TRY(CheckDepth());
  const int line = current().line;
  ExprPtr expr;
  if (current().IsOp("-") || current().IsOp("+")) {
    const auto op = Take().text == "-" ? UnaryExpr::Op::kMinus : UnaryExpr::Op::kPlus;
    MNW_ASSIGN(ExprPtr operand, ParseUnary(false));
    const Expr* child = operand.get();
    MNW_ASSIGN(expr, Make(UnaryExpr{op, std::move(operand)}, line, {child}));
  } else {
    MNW_ASSIGN(expr, ParsePrimary());
  }
  MNW_ASSIGN(expr, ParsePostfix(std::move(expr)));
  if (!with_filter) return expr;
  return ParseFilters(std::move(expr));
}

Result<ExprPtr> Parser::ParsePrimary() {
  const Token& token = current();
  switch (token.kind) {
    case Token::Kind::kName:
      return ParseName();
    case Token::Kind::kInteger:
    case Token::Kind::kFloat:
      return ParseNumber();
    case Token::Kind::kString: {
      std::string text;
      while (current().kind == Token::Kind::kString) text += Take().text;
      return Make(ConstExpr{Value::Str(text)}, token.line);
    }
    default:
      break;
  }
  if (token.IsOp("[")) return ParseList();
  if (token.IsOp("{")) return ParseDict();
  if (!SkipOp("(")) return FailHere("an expression");
  MNW_ASSIGN(ExprPtr expr, ParseTuple(true, true));
  MNW_TRY(ExpectOp(")"));
  return expr;
}

Result<ExprPtr> Parser::ParseName() {
  const Token token = Take();
  const std::string& name = token.text;
  if (name == "true" || name == "True") return Make(ConstExpr{Value::Bool(true)}, token.line);
  if (name == "false" || name == "False") return Make(ConstExpr{Value::Bool(false)}, token.line);
  if (name == "none" || name == "None") return Make(ConstExpr{Value()}, token.line);
  for (MacroDef* macro : macros_) {
    macro->uses_caller |= name == "caller";
    macro->uses_varargs |= name == "varargs";
    macro->uses_kwargs |= name == "kwargs";
  }
  return Make(NameExpr{name}, token.line);
}

Result<ExprPtr> Parser::ParseNumber() {
  const Token token = Take();
  if (token.kind == Token::Kind::kFloat) {
    return Make(ConstExpr{Value::Float(std::strtod(token.text.c_str(), nullptr))}, token.line);
  }
  std::string_view digits = token.text;
  int base = 10;
  if (digits.size() > 2 && digits[0] == '0') {
    const char prefix = static_cast<char>(digits[1] | 0x20);
    base = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 10;
    if (base != 10) digits.remove_prefix(2);
  }
  int64_t n = 0;
  if (std::from_chars(digits.data(), digits.data() + digits.size(), n, base).ec != std::errc()) {
    return Fail(token.line, fmt::format("the integer {} does not fit 64 bits", token.text));
  }
  return Make(ConstExpr{Value::Int(n)}, token.line);
}

Result<ExprPtr> Parser::ParseList() {
  const int line = Take().line;
  SequenceExpr list{Sequence::Kind::kList, {}};
  const Expr* highest = nullptr;
  while (!SkipOp("]")) {
    if (!list.items.empty()) {
      MNW_TRY(ExpectOp(","));
      if (SkipOp("]")) break;
    }
    MNW_ASSIGN(ExprPtr item, ParseExpression());
    highest = Taller(highest, item.get());
    list.items.push_back(std::move(item));
  }
  return Make(std::move(list), line, {highest});
}

Result<ExprPtr> Parser::ParseDict() {
  const int line = Take().line;
  DictExpr dict;
  const Expr* highest = nullptr;
  while (!SkipOp("}")) {
    if (!dict.entries.empty()) {
      MNW_TRY(ExpectOp(","));
      if (SkipOp("}")) break;
    }
    MNW_ASSIGN(ExprPtr key, ParseExpression());
    MNW_TRY(ExpectOp(":"));
    MNW_ASSIGN(ExprPtr value, ParseExpression());
    highest = Taller(highest, Taller(key.get(), value.get()));
    dict.entries.emplace_back(std::move(key), std::move(value));
  }
  return Make(std::move(dict), line, {highest});
}

Result<ExprPtr> Parser::ParsePostfix(ExprPtr expr) {
  while (current().IsOp(".") || current().IsOp("[") || current().IsOp("(")) {
    MNW_ASSIGN(expr,
               current().IsOp("(") ? ParseCall(std::move(expr)) : ParseSubscript(std::move(expr)));
  }
  return expr;
}

Result<ExprPtr> Parser::ParseFilters(ExprPtr expr) {
  while (true) {
    if (SkipOp("|")) {
      MNW_ASSIGN(expr, ParseFilterChain(std::move(expr)));
    } else if (current().IsName("is")) {
      MNW_ASSIGN(expr, ParseTest(std::move(expr)));
    } else if (current().IsOp("(")) {
      MNW_ASSIGN(expr, ParseCall(std::move(expr)));
    } else {
      return expr;
    }
  }
}

Result<ExprPtr> Parser::ParseSubscript(ExprPtr object) {
  const int line = current().line;
  const Expr* o = object.get();
  if (SkipOp(".")) {
    if (current().kind == Token::Kind::kInteger) {
      MNW_ASSIGN(ExprPtr key, ParseNumber());
      return Make(ItemExpr{std::move(object), std::move(key)}, line, {o});
    }
    MNW_ASSIGN(std::string name, ExpectName());
    return Make(AttributeExpr{std::move(object), std::move(name)}, line, {o});
  }
  MNW_TRY(ExpectOp("["));
  if (current().IsOp(":")) return ParseSlice(std::move(object), nullptr, line);
  MNW_ASSIGN(ExprPtr key, ParseExpression());
  if (current().IsOp(":")) return ParseSlice(std::move(object), std::move(key), line);
  MNW_TRY(ExpectOp("]"));
  const Expr* k = key.get();
  return Make(ItemExpr{std::move(object), std::move(key)}, line, {o, k});
}

Result<ExprPtr> Parser::ParseSlice(ExprPtr object, ExprPtr start, int line) {
  SliceExpr slice{std::move(object), std::move(start), nullptr, nullptr};
  MNW_TRY(ExpectOp(":"));
  if (!current().IsOp(":") && !current().IsOp("]")) {
    MNW_ASSIGN(slice.stop, ParseExpression());
  }
  if (SkipOp(":") && !current().IsOp("]")) {
    MNW_ASSIGN(slice.step, ParseExpression());
  }
  MNW_TRY(ExpectOp("]"));
  const Expr *o = slice.object.get(), *a = slice.start.get(), *b = slice.stop.get(),
             *c = slice.step.get();
  return Make(std::move(slice), line, {o, a, b, c});
}

Result<ExprPtr> Parser::ParseCall(ExprPtr callee) {
  const int line = current().line;
  MNW_ASSIGN(Arguments arguments, ParseArguments());
  const Expr *c = callee.get(), *a = Tallest(arguments);
  return Make(CallExpr{std::move(callee), std::move(arguments)}, line, {c, a});
}

Result<Arguments> Parser::ParseArguments() {
  const int line = current().line;
  const auto misplaced = [&] { return Fail(line, "arguments in the wrong order"); };
  Arguments arguments;
  MNW_TRY(ExpectOp("("));
  for (bool first = true; !SkipOp(")"); first = false) {
    if (!first) {
      MNW_TRY(ExpectOp(","));
      if (SkipOp(")")) break;
    }
    if (SkipOp("*")) {
      if (arguments.star || arguments.star_star) return misplaced();
      MNW_ASSIGN(arguments.star, ParseExpression());
    } else if (SkipOp("**")) {
      if (arguments.star_star) return misplaced();
      MNW_ASSIGN(arguments.star_star, ParseExpression());
    } else if (current().kind == Token::Kind::kName && next().IsOp("=")) {
      if (arguments.star_star) return misplaced();
      const std::string name = Take().text;
      Take();
      MNW_ASSIGN(ExprPtr value, ParseExpression());
      arguments.named.emplace_back(name, std::move(value));
    } else {
      if (arguments.star || arguments.star_star || !arguments.named.empty()) return misplaced();
      MNW_ASSIGN(ExprPtr value, ParseExpression());
      arguments.positional.push_back(std::move(value));
    }
  }
  return arguments;
}

Result<std::string> Parser::ParseDottedName() {
  MNW_ASSIGN(std::string name, ExpectName());
  while (SkipOp(".")) {
    MNW_ASSIGN(const std::string part, ExpectName());
    name += "." + part;
  }
  return name;
}

void Parser::NoteUnknown(std::string_view what, std::string_view name, int line) {
  if (soft_) return;
  unknown_.push_back(Error(Code::kUnsupported, "template line {}: the {} '{}' is not supported",
                           line, what, name));
}

Result<ExprPtr> Parser::ParseFilterChain(ExprPtr input) {
  do {
    const int line = current().line;
    FilterExpr filter;
    MNW_ASSIGN(filter.name, ParseDottedName());
    if (!FindFilter(filter.name)) NoteUnknown("filter", filter.name, line);
    if (current().IsOp("(")) {
      MNW_ASSIGN(filter.arguments, ParseArguments());
    }
    filter.input = std::move(input);
    const Expr *child = filter.input.get(), *argument = Tallest(filter.arguments);
    MNW_ASSIGN(input, Make(std::move(filter), line, {child, argument}));
  } while (SkipOp("|"));
  return input;
}

Result<ExprPtr> Parser::ParseTest(ExprPtr input) {
  const int line = Take().line;
  const bool negated = SkipName("not");
  TestExpr test;
  MNW_ASSIGN(test.name, ParseDottedName());
  if (!FindTest(test.name)) NoteUnknown("test", test.name, line);
  const Token& token = current();
  const bool keyword = token.IsName("else") || token.IsName("or") || token.IsName("and");
  if (token.IsName("is")) return Fail(line, "tests cannot be chained with 'is'");
  if (token.IsOp("(")) {
    MNW_ASSIGN(test.arguments, ParseArguments());
  } else if ((token.kind == Token::Kind::kName && !keyword) || token.kind == Token::Kind::kString ||
             token.kind == Token::Kind::kInteger || token.kind == Token::Kind::kFloat ||
             token.IsOp("[") || token.IsOp("{")) {
    MNW_ASSIGN(ExprPtr argument, ParsePrimary());
    MNW_ASSIGN(argument, ParsePostfix(std::move(argument)));
    test.arguments.positional.push_back(std::move(argument));
  }
  test.input = std::move(input);
  const Expr *child = test.input.get(), *argument = Tallest(test.arguments);
  MNW_ASSIGN(ExprPtr expr, Make(std::move(test), line, {child, argument}));
  if (!negated) return expr;
  child = expr.get();
  return Make(UnaryExpr{UnaryExpr::Op::kNot, std::move(expr)}, line, {child});
}

}  // namespace minnow::text::jinja
