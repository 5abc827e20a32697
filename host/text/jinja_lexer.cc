#include "text/jinja_lexer.h"

#include <algorithm>
#include <optional>

#include "text/jinja_text.h"

namespace minnow::text::jinja {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsNameChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || IsDigit(c) || c == '_';
}

std::string NormalizeLineBreaks(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

// Digits of `base` with single underscores between them, from `pos`; where they end.
size_t SkipDigits(std::string_view s, size_t pos, int base) {
  const auto digit = [&](size_t i) {
    if (i >= s.size()) return false;
    const char c = s[i] | 0x20;
    return IsDigit(s[i]) ? s[i] - '0' < base : base == 16 && c >= 'a' && c <= 'f';
  };
  while (digit(pos) || (pos < s.size() && s[pos] == '_' && digit(pos + 1))) ++pos;
  return pos;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)), s_(source_) {}

  Result<std::vector<Token>> Run();

 private:
  Status Fail(std::string_view what) const {
    return Error(Code::kInvalid, "template line {}: {}", line_, what);
  }

  bool At(std::string_view text) const { return s_.substr(pos_).starts_with(text); }

  // Moves on to `end`, counting lines.
  void Advance(size_t end) {
    line_ += static_cast<int>(std::count(s_.begin() + static_cast<ptrdiff_t>(pos_),
                                         s_.begin() + static_cast<ptrdiff_t>(end), '\n'));
    pos_ = end;
  }
  size_t SkipSpace(size_t pos) const {
    while (pos < s_.size()) {
      const Char c = CharAt(s_, pos);
      if (!IsSpace(c.code)) break;
      pos = c.end;
    }
    return pos;
  }
  void Push(Token::Kind kind, std::string_view text) {
    tokens_.push_back({kind, std::string(text), line_});
  }

  std::optional<size_t> MatchTag(size_t pos, std::string_view word, char* sign, bool trim) const;
  void PushData(std::string_view data, char sign, bool is_variable);
  bool TryTagEnd(Token::Kind kind, std::string_view end);
  Status LexComment();
  Status LexRaw();
  Status LexTag(Token::Kind end_kind, std::string_view end);
  Status LexToken();
  Status LexNumber();
  Status LexString();
  Status LexEscape(std::string_view body, size_t* i, std::string* out);
  Status LexOperator();

  const std::string source_;
  const std::string_view s_;
  size_t pos_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
  std::string brackets_;  // that are open inside the current tag
};

// "{%", an optional sign, `word`, then "%}" or "-%}" with what follows it swallowed. The end of the
// match, or nothing. `trim`: "%}" swallows a newline, and "+%}" is allowed.
std::optional<size_t> Lexer::MatchTag(size_t pos, std::string_view word, char* sign,
                                      bool trim) const {
  if (!s_.substr(pos).starts_with("{%")) return {};
  pos += 2;
  *sign = 0;
  if (pos < s_.size() && (s_[pos] == '-' || s_[pos] == '+')) *sign = s_[pos++];
  pos = SkipSpace(pos);
  if (!s_.substr(pos).starts_with(word)) return {};
  pos = SkipSpace(pos + word.size());
  const std::string_view rest = s_.substr(pos);
  if (rest.starts_with("-%}")) return SkipSpace(pos + 3);
  if (trim && rest.starts_with("+%}")) return pos + 3;
  if (!rest.starts_with("%}")) return {};
  return pos + 2 + (trim && rest.substr(2).starts_with("\n"));
}

// Literal text in front of a tag: "-" strips white space, and the indentation of a block or comment
// that stands first on its line goes unless the tag says "+".
void Lexer::PushData(std::string_view data, char sign, bool is_variable) {
  if (sign == '-') {
    data = data.substr(0, StripBounds(data, nullptr, false, true).end);
  } else if (sign != '+' && !is_variable) {
    const size_t newline = data.rfind('\n');
    if (newline != std::string_view::npos || line_starting_) {
      const size_t line = newline == std::string_view::npos ? 0 : newline + 1;
      const std::string_view indent = data.substr(line);
      if (StripBounds(indent, nullptr, true, false).begin == indent.size()) {
        data = data.substr(0, line);
      }
    }
  }
  if (!data.empty()) Push(Token::Kind::kData, data);
}

Result<std::vector<Token>> Lexer::Run() {
  while (pos_ < s_.size()) {
    size_t tag = pos_;
    for (; tag < s_.size(); ++tag) {
      tag = std::min(s_.find('{', tag), s_.size());
      if (tag + 1 >= s_.size()) tag = s_.size();
      if (tag == s_.size() || s_[tag + 1] == '%' || s_[tag + 1] == '{' || s_[tag + 1] == '#') break;
    }
    const std::string_view data = s_.substr(pos_, tag - pos_);
    if (tag >= s_.size()) {
      if (!data.empty()) Push(Token::Kind::kData, data);
      break;
    }
    const char type = s_[tag + 1];
    char sign = 0;
    const std::optional<size_t> raw =
        type == '%' ? MatchTag(tag, "raw", &sign, false) : std::nullopt;
    if (!raw) {
      const char c = tag + 2 < s_.size() ? s_[tag + 2] : '\0';
      sign = c == '-' || c == '+' ? c : '\0';
    }
    PushData(data, sign, type == '{');
    Advance(raw ? *raw : tag + 2 + (sign != 0));
    line_starting_ = s_[pos_ - 1] == '\n';
    if (raw) {
      MNW_TRY(LexRaw());
    } else if (type == '#') {
      MNW_TRY(LexComment());
    } else if (type == '{') {
      Push(Token::Kind::kOpen, "{{");
      MNW_TRY(LexTag(Token::Kind::kClose, "}}"));
    } else {
      Push(Token::Kind::kBlock, "{%");
      MNW_TRY(LexTag(Token::Kind::kBlockEnd, "%}"));
    }
    line_starting_ = s_[pos_ - 1] == '\n';
  }
  Push(Token::Kind::kEnd, "the end of the template");
  return std::move(tokens_);
}

Status Lexer::LexComment() {
  const size_t end = s_.find("#}", pos_);
  if (end == std::string_view::npos) return Fail("missing end of comment '#}'");
  const bool strip = end > pos_ && s_[end - 1] == '-';
  const bool keep = end > pos_ && s_[end - 1] == '+';
  size_t next = end + 2;
  if (strip) {
    next = SkipSpace(next);
  } else if (!keep && next < s_.size() && s_[next] == '\n') {
    ++next;
  }
  Advance(next);
  return {};
}

Status Lexer::LexRaw() {
  for (size_t tag = s_.find("{%", pos_); tag != std::string_view::npos;
       tag = s_.find("{%", tag + 1)) {
    char sign = 0;
    const auto end = MatchTag(tag, "endraw", &sign, true);
    if (!end) continue;
    PushData(s_.substr(pos_, tag - pos_), sign, false);
    Advance(*end);
    return {};
  }
  return Fail("missing end of raw block '{% endraw %}'");
}

// Inside brackets "}}" and "%}" do not end the tag.
bool Lexer::TryTagEnd(Token::Kind kind, std::string_view end) {
  if (!brackets_.empty()) return false;
  size_t next = pos_;
  bool strip = false, keep = false;
  if (At("-")) {
    strip = true;
    ++next;
  } else if (kind == Token::Kind::kBlockEnd && At("+")) {
    keep = true;
    ++next;
  }
  if (!s_.substr(next).starts_with(end)) return false;
  next += end.size();
  if (strip) {
    next = SkipSpace(next);
  } else if (kind == Token::Kind::kBlockEnd && !keep && next < s_.size() && s_[next] == '\n') {
    ++next;
  }
  Push(kind, end);
  Advance(next);
  return true;
}

Status Lexer::LexTag(Token::Kind end_kind, std::string_view end) {
  brackets_.clear();
  while (!TryTagEnd(end_kind, end)) {
    const size_t next = SkipSpace(pos_);
    if (next != pos_) {
      Advance(next);
      continue;
    }
    if (pos_ >= s_.size()) return Fail(fmt::format("the tag lacks its end '{}'", end));
    MNW_TRY(LexToken());
  }
  return {};
}

Status Lexer::LexToken() {
  const char c = s_[pos_];
  if (IsDigit(c)) return LexNumber();
  if (c == '\'' || c == '"') return LexString();
  if (!IsNameChar(c)) return LexOperator();
  size_t end = pos_;
  while (end < s_.size() && IsNameChar(s_[end])) ++end;
  Push(Token::Kind::kName, s_.substr(pos_, end - pos_));
  pos_ = end;
  return {};
}

Status Lexer::LexNumber() {
  const size_t begin = pos_;
  Token::Kind kind = Token::Kind::kInteger;
  size_t end = begin;
  const char base = s_[begin] == '0' && begin + 1 < s_.size() ? s_[begin + 1] | 0x20 : 0;
  if (base == 'x' || base == 'o' || base == 'b') {
    end = SkipDigits(s_, begin + 2, base == 'x' ? 16 : base == 'o' ? 8 : 2);
    if (end == begin + 2) return Fail("a number lacks its digits");
  } else {
    end = SkipDigits(s_, begin, 10);
    const bool member = begin > 0 && s_[begin - 1] == '.';  // as in `pair.0.name`
    if (!member && end + 1 < s_.size() && s_[end] == '.' && IsDigit(s_[end + 1])) {
      kind = Token::Kind::kFloat;
      end = SkipDigits(s_, end + 1, 10);
    }
    if (!member && end < s_.size() && (s_[end] | 0x20) == 'e') {
      size_t digits = end + 1;
      if (digits < s_.size() && (s_[digits] == '+' || s_[digits] == '-')) ++digits;
      if (digits < s_.size() && IsDigit(s_[digits])) {
        kind = Token::Kind::kFloat;
        end = SkipDigits(s_, digits, 10);
      }
    }
  }
  std::string text(s_.substr(begin, end - begin));
  std::erase(text, '_');
  if (kind == Token::Kind::kInteger && text.size() > 1 && IsDigit(text[1]) && text[0] == '0' &&
      text.find_first_not_of('0') != std::string::npos) {
    return Fail(fmt::format("the number '{}' has leading zeros", text));
  }
  Push(kind, text);
  pos_ = end;
  return {};
}

Status Lexer::LexString() {
  const char quote = s_[pos_];
  size_t end = pos_ + 1;
  while (end < s_.size() && s_[end] != quote) end += s_[end] == '\\' ? 2 : 1;
  if (end >= s_.size()) return Fail("a string lacks its closing quote");
  const std::string_view body = s_.substr(pos_ + 1, end - pos_ - 1);
  std::string value;
  for (size_t i = 0; i < body.size();) {
    if (body[i] == '\\') {
      MNW_TRY(LexEscape(body, &i, &value));
    } else {
      value += body[i++];
    }
  }
  Push(Token::Kind::kString, value);
  Advance(end + 1);
  return {};
}

// Python's escapes; an unknown one keeps its backslash.
Status Lexer::LexEscape(std::string_view body, size_t* i, std::string* out) {
  static constexpr std::string_view kLetters = "\\'\"abfnrtv";
  static constexpr std::string_view kValues = "\\'\"\a\b\f\n\r\t\v";
  const char c = body[*i + 1];  // the closing quote was not escaped, so there is one
  *i += 2;
  if (c == '\n') return {};
  if (const size_t simple = kLetters.find(c); simple != std::string_view::npos) {
    *out += kValues[simple];
    return {};
  }
  const auto digits = [&](size_t begin, size_t count, std::string_view allowed) {
    return std::min(body.substr(begin, count).find_first_not_of(allowed),
                    body.substr(begin, count).size());
  };
  uint32_t code = 0;
  size_t begin = *i, length = 0;
  int base = 16;
  if (c >= '0' && c <= '7') {
    begin = *i - 1;
    length = digits(begin, 3, "01234567");
    base = 8;
  } else if (c == 'x' || c == 'u' || c == 'U') {
    length = c == 'x' ? 2 : c == 'u' ? 4 : 8;
    if (digits(begin, length, "0123456789abcdefABCDEF") != length) {
      return Fail(fmt::format("the escape '\\{}' needs {} hexadecimal digits", c, length));
    }
  } else if (c == 'N') {
    return Fail("the escape '\\N{...}' is not supported; write the character itself");
  } else {
    *out += '\\';
    *i -= 1;
    return {};
  }
  code = static_cast<uint32_t>(std::stoul(std::string(body.substr(begin, length)), nullptr, base));
  if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
    return Fail("an escape names no Unicode character");
  }
  AppendChar(code, out);
  *i = begin + length;
  return {};
}

Status Lexer::LexOperator() {
  static constexpr std::string_view kOperators[] = {
      "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
      "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
  for (const std::string_view op : kOperators) {
    if (!At(op)) continue;
    if (op == "(" || op == "[" || op == "{") {
      brackets_ += op == "(" ? ')' : op == "[" ? ']' : '}';
    } else if (op == ")" || op == "]" || op == "}") {
      if (brackets_.empty() || brackets_.back() != op[0]) {
        return Fail(fmt::format("unexpected '{}'", op));
      }
      brackets_.pop_back();
    }
    Push(Token::Kind::kOperator, op);
    pos_ += op.size();
    return {};
  }
  const Char c = CharAt(s_, pos_);
  return Fail(fmt::format("unexpected character '{}'", s_.substr(pos_, c.end - pos_)));
}

}  // namespace

Result<std::vector<Token>> Tokenize(std::string_view source) {
  return Lexer(NormalizeLineBreaks(source)).Run();
}

}  // namespace minnow::text::jinja
