// The parser's class, shared by its two source files: statements and expressions.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja_lexer.h"
#include "text/jinja_parser.h"

namespace minnow::text::jinja {

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Result<Body> ParseTemplate();

 private:
  using Names = std::initializer_list<std::string_view>;

  // Tokens.
  const Token& current() const { return tokens_[pos_]; }
  const Token& next() const { return tokens_[std::min(pos_ + 1, tokens_.size() - 1)]; }
  Token Take() { return tokens_[current().kind == Token::Kind::kEnd ? pos_ : pos_++]; }
  bool SkipName(std::string_view name);
  bool SkipOp(std::string_view op);
  Status Expect(Token::Kind kind, std::string_view what);
  Status ExpectOp(std::string_view op);
  Result<std::string> ExpectName();
  Status Fail(int line, std::string_view what) const;
  Status FailHere(std::string_view expected) const;

  // Counts a level of nesting for as long as it lives.
  class Level {
   public:
    explicit Level(Parser& parser) : parser_(parser) { ++parser_.depth_; }
    ~Level() { --parser_.depth_; }

   private:
    Parser& parser_;
  };
  Status CheckDepth() const;

  // Statements (jinja_parser.cc).
  Status ParseBody(Names ends, Body* body);  // leaves the end's name as the current token
  Status ParseTag(Body* body);
  Status ParseBlock(Names ends, Body* body);  // from the opening tag's "%}" on
  Status ParseBlockAndEnd(std::string_view end, Body* body);
  Status ParseIf(Body* body);
  Status ParseFor(Body* body);
  Status ParseSet(Body* body);
  Status ParseMacro(Body* body);
  Status ParseCallBlock(Body* body);
  Status ParseFilterBlock(Body* body);
  Status ParseWith(Body* body);
  Status ParseGeneration(Body* body);
  Status ParsePrint(Body* body);
  Status ParseLoopControl(Body* body);
  Status ParseParameters(MacroDef* macro);
  Status ParseMacroBody(std::string_view end, MacroDef* macro);
  Result<Target> ParseTarget(bool allow_attribute);
  Result<Target> ParseSingleTarget(bool allow_attribute);

  // Expressions (jinja_parser_expr.cc).
  Result<ExprPtr> Make(Expr::Node node, int line, std::initializer_list<const Expr*> children = {});
  Result<ExprPtr> ParseTuple(bool allow_conditional, bool parenthesized);
  Result<ExprPtr> ParseExpression() { return ParseConditional(); }
  Result<ExprPtr> ParseConditional();
  Result<ExprPtr> ParseOr();
  Result<ExprPtr> ParseAnd();
  Result<ExprPtr> ParseNot();
  Result<ExprPtr> ParseCompare();
  Result<ExprPtr> ParseSum();
  Result<ExprPtr> ParseConcat();
  Result<ExprPtr> ParseProduct();
  Result<ExprPtr> ParsePower();
  Result<ExprPtr> ParseUnary(bool with_filter);
  Result<ExprPtr> ParsePrimary();
  Result<ExprPtr> ParseName();
  Result<ExprPtr> ParseNumber();
  Result<ExprPtr> ParseList();
  Result<ExprPtr> ParseDict();
  Result<ExprPtr> ParsePostfix(ExprPtr expr);
  Result<ExprPtr> ParseFilters(ExprPtr expr);
  Result<ExprPtr> ParseSubscript(ExprPtr object);
  Result<ExprPtr> ParseSlice(ExprPtr object, ExprPtr start, int line);
  Result<ExprPtr> ParseCall(ExprPtr callee);
  Result<ExprPtr> ParseFilterChain(ExprPtr input);  // at the name of the first filter
  Result<ExprPtr> ParseTest(ExprPtr input);
  Result<Arguments> ParseArguments();
  Result<std::string> ParseDottedName();
  void NoteUnknown(std::string_view what, std::string_view name, int line);
  template <class Next>
  Result<ExprPtr> ParseArithmetic(
      std::initializer_list<std::pair<std::string_view, BinaryOp>> operators, Next parse_next);

  const std::vector<Token> tokens_;
  size_t pos_ = 0;
  int depth_ = 0;
  int loops_ = 0;                  // that `break` could leave
  std::vector<MacroDef*> macros_;  // that enclose the current token

  // Filters and tests that do not exist are errors of the template, but inside an `if` (soft_) or a
  // conditional expression (dropped from unknown_ once its `if` is seen) only if they run.
  bool soft_ = false;
  std::vector<Status> unknown_;
};

}  // namespace minnow::text::jinja
