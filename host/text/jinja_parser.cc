#include "text/jinja_parser.h"

#include <algorithm>

#include "text/jinja_parser_state.h"

namespace minnow::text::jinja {

bool Parser::SkipName(std::string_view name) {
  if (!current().IsName(name)) return false;
  ++pos_;
  return true;
}

bool Parser::SkipOp(std::string_view op) {
  if (!current().IsOp(op)) return false;
  ++pos_;
  return true;
}

Status Parser::Fail(int line, std::string_view what) const {
  return Error(Code::kInvalid, "template line {}: {}", line, what);
}

Status Parser::FailHere(std::string_view expected) const {
  return Fail(current().line, fmt::format("expected {}, got '{}'", expected, current().text));
}

Status Parser::Expect(Token::Kind kind, std::string_view what) {
  if (current().kind != kind) return FailHere(what);
  ++pos_;
  return {};
}

Status Parser::ExpectOp(std::string_view op) {
  if (!SkipOp(op)) return FailHere(fmt::format("'{}'", op));
  return {};
}

Result<std::string> Parser::ExpectName() {
  if (current().kind != Token::Kind::kName) return FailHere("a name");
  return Take().text;
}

Status Parser::CheckDepth() const {
  if (depth_ <= kMaxSyntaxDepth) return {};
  return Error(Code::kExhausted, "template line {}: the syntax nests deeper than the limit of {}",
               current().line, kMaxSyntaxDepth);
}

Result<Body> Parser::ParseTemplate() {
  Body body;
  MNW_TRY(ParseBody({}, &body));
  if (!unknown_.empty()) return unknown_.front();
  return body;
}

Status Parser::ParseBody(Names ends, Body* body) {
  const Level level(*this);
  MNW_TRY(CheckDepth());
  while (true) {
    const Token& token = current();
    if (token.kind == Token::Kind::kEnd) {
      if (ends.size() == 0) return {};
      return FailHere(fmt::format("'{{% {} %}}'", *(ends.end() - 1)));
    }
    const Token taken = Take();
    if (taken.kind == Token::Kind::kData) {
      body->push_back({DataStmt{Value::Str(taken.text)}, taken.line});
    } else if (taken.kind == Token::Kind::kOpen) {
      MNW_ASSIGN(ExprPtr value, ParseTuple(true, false));
      body->push_back({PrintStmt{std::move(value)}, taken.line});
      MNW_TRY(Expect(Token::Kind::kClose, "'}}'"));
    } else {
      const bool at_end =
          std::any_of(ends.begin(), ends.end(), [&](auto end) { return current().IsName(end); });
      if (at_end) return {};
      MNW_TRY(ParseTag(body));
      MNW_TRY(Expect(Token::Kind::kBlockEnd, "'%}'"));
    }
  }
}

Status Parser::ParseTag(Body* body) {
  using Handler = Status (Parser::*)(Body*);
  static constexpr std::pair<std::string_view, Handler> kTags[] = {
      {"if", &Parser::ParseIf},
      {"for", &Parser::ParseFor},
      {"set", &Parser::ParseSet},
      {"macro", &Parser::ParseMacro},
      {"call", &Parser::ParseCallBlock},
      {"filter", &Parser::ParseFilterBlock},
      {"with", &Parser::ParseWith},
      {"print", &Parser::ParsePrint},
      {"break", &Parser::ParseLoopControl},
      {"continue", &Parser::ParseLoopControl},
      {"generation", &Parser::ParseGeneration},
  };
  for (const auto& [name, handler] : kTags) {
    if (current().IsName(name)) return (this->*handler)(body);
  }
  if (current().kind != Token::Kind::kName) return FailHere("the name of a tag");
  return Error(Code::kUnsupported, "template line {}: the tag '{}' is not supported",
               current().line, current().text);
}

Status Parser::ParseBlock(Names ends, Body* body) {
  SkipOp(":");
  MNW_TRY(Expect(Token::Kind::kBlockEnd, "'%}'"));
  return ParseBody(ends, body);
}

Status Parser::ParseBlockAndEnd(std::string_view end, Body* body) {
  MNW_TRY(ParseBlock({end}, body));
  Take();
  return {};
}

Status Parser::ParseIf(Body* body) {
  const int line = Take().line;
  const bool outer_soft = std::exchange(soft_, true);
  IfStmt statement;
  while (true) {
    IfStmt::Branch branch;
    MNW_ASSIGN(branch.condition, ParseTuple(false, false));
    MNW_TRY(ParseBlock({"elif", "else", "endif"}, &branch.body));
    statement.branches.push_back(std::move(branch));
    if (SkipName("elif")) continue;
    if (SkipName("else")) {
      statement.branches.emplace_back();
      MNW_TRY(ParseBlock({"endif"}, &statement.branches.back().body));
    }
    Take();
    break;
  }
  soft_ = outer_soft;
  body->push_back({std::move(statement), line});
  return {};
}

Status Parser::ParseFor(Body* body) {
  const int line = Take().line;
  ForStmt statement;
  MNW_ASSIGN(statement.target, ParseTarget(false));
  if (!SkipName("in")) return FailHere("'in'");
  MNW_ASSIGN(statement.iterable, ParseTuple(false, false));
  const bool outer_soft = std::exchange(soft_, false);
  if (SkipName("if")) {
    MNW_ASSIGN(statement.condition, ParseExpression());
  }
  statement.recursive = SkipName("recursive");
  ++loops_;
  MNW_TRY(ParseBlock({"else", "endfor"}, &statement.body));
  --loops_;
  if (Take().text == "else") MNW_TRY(ParseBlockAndEnd("endfor", &statement.otherwise));
  soft_ = outer_soft;
  body->push_back({std::move(statement), line});
  return {};
}

Status Parser::ParseSet(Body* body) {
  const int line = Take().line;
  MNW_ASSIGN(Target target, ParseTarget(true));
  if (SkipOp("=")) {
    MNW_ASSIGN(ExprPtr value, ParseTuple(true, false));
    body->push_back({SetStmt{std::move(target), std::move(value)}, line});
    return {};
  }
  const bool outer_soft = std::exchange(soft_, false);
  SetBlockStmt statement{std::move(target), nullptr, {}};
  if (SkipOp("|")) {
    MNW_ASSIGN(statement.filter, ParseFilterChain(nullptr));
  }
  MNW_TRY(ParseBlockAndEnd("endset", &statement.body));
  soft_ = outer_soft;
  body->push_back({std::move(statement), line});
  return {};
}

Status Parser::ParseParameters(MacroDef* macro) {
  const bool outer_soft = std::exchange(soft_, false);
  MNW_TRY(ExpectOp("("));
  while (!SkipOp(")")) {
    if (!macro->parameters.empty()) MNW_TRY(ExpectOp(","));
    Parameter parameter;
    MNW_ASSIGN(parameter.name, ExpectName());
    if (SkipOp("=")) {
      MNW_ASSIGN(parameter.fallback, ParseExpression());
    } else if (!macro->parameters.empty() && macro->parameters.back().fallback) {
      return Fail(current().line, "a parameter without default follows one with a default");
    }
    macro->parameters.push_back(std::move(parameter));
  }
  soft_ = outer_soft;
  return {};
}

Status Parser::ParseMacroBody(std::string_view end, MacroDef* macro) {
  const int outer_loops = std::exchange(loops_, 0);
  const bool outer_soft = std::exchange(soft_, false);
  macros_.push_back(macro);
  MNW_TRY(ParseBlockAndEnd(end, &macro->body));
  macros_.pop_back();
  soft_ = outer_soft;
  loops_ = outer_loops;
  return {};
}

Status Parser::ParseMacro(Body* body) {
  const int line = Take().line;
  MacroStmt statement;
  MNW_ASSIGN(statement.macro.name, ExpectName());
  MNW_TRY(ParseParameters(&statement.macro));
  MNW_TRY(ParseMacroBody("endmacro", &statement.macro));
  body->push_back({std::move(statement), line});
  return {};
}

Status Parser::ParseCallBlock(Body* body) {
  const int line = Take().line;
  CallBlockStmt statement;
  statement.caller.name = "caller";
  if (current().IsOp("(")) MNW_TRY(ParseParameters(&statement.caller));
  MNW_ASSIGN(statement.call, ParseExpression());
  if (!std::holds_alternative<CallExpr>(statement.call->node)) {
    return Fail(line, "expected a call after 'call'");
  }
  MNW_TRY(ParseMacroBody("endcall", &statement.caller));
  body->push_back({std::move(statement), line});
  return {};
}

Status Parser::ParseFilterBlock(Body* body) {
  const int line = Take().line;
  const bool outer_soft = std::exchange(soft_, false);
  FilterBlockStmt statement;
  MNW_ASSIGN(statement.filter, ParseFilterChain(nullptr));
  MNW_TRY(ParseBlockAndEnd("endfilter", &statement.body));
  soft_ = outer_soft;
  body->push_back({std::move(statement), line});
  return {};
}

Status Parser::ParseWith(Body* body) {
  const int line = Take().line;
  ScopeStmt statement;
  while (current().kind != Token::Kind::kBlockEnd) {
    if (!statement.bindings.empty()) MNW_TRY(ExpectOp(","));
    MNW_ASSIGN(Target target, ParseSingleTarget(false));
    MNW_TRY(ExpectOp("="));
    MNW_ASSIGN(ExprPtr value, ParseExpression());
    statement.bindings.emplace_back(std::move(target), std::move(value));
  }
  const bool outer_soft = std::exchange(soft_, false);
  MNW_TRY(ParseBlockAndEnd("endwith", &statement.body));
  soft_ = outer_soft;
  body->push_back({std::move(statement), line});
  return {};
}

// Marks what the assistant says, for training. Here it is a scope like any other, but one that
// `break` cannot leave.
Status Parser::ParseGeneration(Body* body) {
  const int line = Take().line;
  const bool outer_soft = std::exchange(soft_, false);
  const int outer_loops = std::exchange(loops_, 0);
  ScopeStmt statement;
  MNW_TRY(ParseBlockAndEnd("endgeneration", &statement.body));
  loops_ = outer_loops;
  soft_ = outer_soft;
  body->push_back({std::move(statement), line});
  return {};
}

Status Parser::ParsePrint(Body* body) {
  const int line = Take().line;
  for (bool first = true; current().kind != Token::Kind::kBlockEnd; first = false) {
    if (!first) MNW_TRY(ExpectOp(","));
    MNW_ASSIGN(ExprPtr value, ParseExpression());
    body->push_back({PrintStmt{std::move(value)}, line});
  }
  return {};
}

Status Parser::ParseLoopControl(Body* body) {
  const Token tag = Take();
  if (loops_ == 0) return Fail(tag.line, fmt::format("'{}' outside of a loop", tag.text));
  if (tag.text == "break") {
    body->push_back({BreakStmt{}, tag.line});
  } else {
    body->push_back({ContinueStmt{}, tag.line});
  }
  return {};
}

Result<Target> Parser::ParseSingleTarget(bool allow_attribute) {
  static constexpr std::string_view kConstants[] = {"true", "false", "none",
                                                    "True", "False", "None"};
  const int line = current().line;
  Target target;
  if (SkipOp("(")) {
    MNW_ASSIGN(target, ParseTarget(allow_attribute));
    MNW_TRY(ExpectOp(")"));
    return target;
  }
  MNW_ASSIGN(target.name, ExpectName());
  if (std::find(std::begin(kConstants), std::end(kConstants), target.name) !=
      std::end(kConstants)) {
    return Fail(line, fmt::format("cannot assign to '{}'", target.name));
  }
  if (allow_attribute && SkipOp(".")) {
    MNW_ASSIGN(target.attribute, ExpectName());
  }
  return target;
}

Result<Target> Parser::ParseTarget(bool allow_attribute) {
  const Level level(*this);
  MNW_TRY(CheckDepth());
  MNW_ASSIGN(Target first, ParseSingleTarget(allow_attribute));
  if (!current().IsOp(",")) return first;
  Target tuple;
  tuple.is_tuple = true;
  tuple.parts.push_back(std::move(first));
  while (SkipOp(",")) {
    if (current().kind != Token::Kind::kName && !current().IsOp("(")) break;
    if (current().IsName("in")) break;
    MNW_ASSIGN(Target part, ParseSingleTarget(allow_attribute));
    tuple.parts.push_back(std::move(part));
  }
  return tuple;
}

Result<Body> Parse(std::string_view source) {
  MNW_ASSIGN(std::vector<Token> tokens, Tokenize(source));
  return Parser(std::move(tokens)).ParseTemplate();
}

}  // namespace minnow::text::jinja
