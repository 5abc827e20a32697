// Filters that look at one value: text, numbers, JSON.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/jinja_builtins.h"
#include "text/jinja_ops.h"
#include "text/jinja_print.h"

namespace minnow::text::jinja {
namespace {

Result<Value> Str(Result<Text> text) {
  if (!text.ok()) return std::move(text).status();
  return Value::Str(*std::move(text));
}

// The input as text, then `map`.
Result<Value> MapText(const Invocation& call, Text (*map)(const Text&)) {
  MNW_ASSIGN(const Text text, ToText(call.self, call.meter()));
  MNW_TRY(call.meter().Text(text.size()));
  return Value::Str(map(text));
}

Result<Value> Upper(const Invocation& call) { return MapText(call, ToUpper); }
Result<Value> Lower(const Invocation& call) { return MapText(call, ToLower); }
Result<Value> FilterCapitalize(const Invocation& call) { return MapText(call, Capitalize); }
Result<Value> FilterEscape(const Invocation& call) { return MapText(call, Escape); }

// Unlike str.title, words begin only behind white space and -([{<.
Result<Value> Title(const Invocation& call) {
  MNW_ASSIGN(const Text text, ToText(call.self, call.meter()));
  const std::string_view s = text.view();
  const auto separates = [](uint32_t c) {
    return IsSpace(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
  };
  TextBuilder out(call.meter());
  for (size_t pos = 0; pos < s.size();) {
    size_t end = pos;
    while (end < s.size() && separates(CharAt(s, end).code)) end = CharAt(s, end).end;
    MNW_TRY(out.AppendSlice(text, pos, end));
    pos = end;
    while (end < s.size() && !separates(CharAt(s, end).code)) end = CharAt(s, end).end;
    if (pos < end) {
      const size_t second = CharAt(s, pos).end;
      MNW_TRY(out.Append(ToUpper(text.Slice(pos, second))));
      MNW_TRY(out.Append(ToLower(text.Slice(second, end))));
    }
    pos = end;
  }
  return Str(out.Finish());
}

Result<Value> Trim(const Invocation& call) {
  MNW_ASSIGN(const Text text, ToText(call.self, call.meter()));
  std::string_view chars;
  const bool given = call.params[0] && !call.params[0]->Is<None>();
  if (given) {
    MNW_ASSIGN(const Text* param, TextParam(call, 0));
    chars = param->view();
  }
  const Bounds b = StripBounds(text.view(), given ? &chars : nullptr, true, true);
  return Value::Str(text.Slice(b.begin, b.end));
}

Result<Value> String(const Invocation& call) { return Str(ToText(call.self, call.meter())); }

Result<Value> Safe(const Invocation& call) {
  MNW_ASSIGN(Text text, ToText(call.self, call.meter()));
  text.set_markup(true);
  return Value::Str(std::move(text));
}

Result<Value> Center(const Invocation& call) {
  MNW_ASSIGN(const Text text, ToText(call.self, call.meter()));
  MNW_ASSIGN(const int64_t width, IntParam(call, 0, 80));
  MNW_TRY(call.meter().Growing(width < 0 ? 0 : static_cast<size_t>(width)));
  const auto length = static_cast<int64_t>(CharCount(text.view()));
  const int64_t space = std::max<int64_t>(width - length, 0);
  const int64_t left = space / 2 + (space & width & 1);
  TextBuilder out(call.meter());
  MNW_TRY(out.Append(std::string(static_cast<size_t>(left), ' '), Origin::kTemplate));
  MNW_TRY(out.Append(text));
  MNW_TRY(out.Append(std::string(static_cast<size_t>(space - left), ' '), Origin::kTemplate));
  return Str(out.Finish());
}

Result<Value> Replace(const Invocation& call) {
  Args texts;
  for (const Value& v : {call.self, *call.params[0], *call.params[1]}) {
    MNW_ASSIGN(Text text, ToText(v, call.meter()));
    text.set_markup(false);
    texts.positional.push_back(Value::Str(std::move(text)));
  }
  const Value self = texts.positional[0];
  texts.positional.erase(texts.positional.begin());
  if (call.params[2] && !call.params[2]->Is<None>()) texts.positional.push_back(*call.params[2]);
  return CallStringMethod("replace", call.runtime, self, texts);
}

// The lines of a text without their breaks, as str.splitlines makes them.
Result<std::vector<Value>> Lines(const Value& text, Runtime& runtime) {
  MNW_ASSIGN(const Value lines, CallStringMethod("splitlines", runtime, text, {}));
  return Iterate(lines, runtime.meter);
}

Result<Value> Indent(const Invocation& call) {
  if (!call.self.text()) {
    return Error(Code::kInvalid, "indent: expected a string, not {}", TypeName(call.self));
  }
  if (call.self.text()->markup()) {
    return Error(Code::kUnsupported, "indent of a string marked safe is not supported");
  }
  Text indention("    ", Origin::kTemplate);
  if (call.params[0] && call.params[0]->text()) {
    indention = *call.params[0]->text();
  } else if (call.params[0]) {
    MNW_ASSIGN(const int64_t width, IntParam(call, 0, 4));
    MNW_TRY(call.meter().Growing(width < 0 ? 0 : static_cast<size_t>(width)));
    indention =
        Text(std::string(width < 0 ? 0 : static_cast<size_t>(width), ' '), Origin::kTemplate);
  }
  Text input = *call.self.text();
  input.Append("\n", Origin::kTemplate);  // as the reference does: a trailing break stays a line
  MNW_ASSIGN(const std::vector<Value> lines, Lines(Value::Str(std::move(input)), call.runtime));
  TextBuilder out(call.meter());
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) MNW_TRY(out.Append("\n", Origin::kTemplate));
    const Text& line = *lines[i].text();
    const bool blank = BoolParam(call, 2) || !line.empty();
    if (i == 0 ? BoolParam(call, 1) : blank) MNW_TRY(out.Append(indention));
    MNW_TRY(out.Append(line));
  }
  return Str(out.Finish());
}

Result<Value> Truncate(const Invocation& call) {
  if (!call.self.text()) {
    return Error(Code::kInvalid, "truncate: expected a string, not {}", TypeName(call.self));
  }
  const Text& text = *call.self.text();
  MNW_ASSIGN(const int64_t length, IntParam(call, 0, 255));
  const Text dots("...", Origin::kTemplate);
  const Text* end = &dots;
  if (call.params[2]) {
    MNW_ASSIGN(end, TextParam(call, 2));
  }
  MNW_ASSIGN(const int64_t leeway, IntParam(call, 3, 5));
  const auto room = length - static_cast<int64_t>(CharCount(end->view()));
  if (room < 0 || leeway < 0) return Error(Code::kInvalid, "truncate: length or leeway too small");
  const auto chars = static_cast<int64_t>(CharCount(text.view()));
  if (chars - leeway <= length) return call.self;
  size_t cut = CharToByte(text.view(), static_cast<size_t>(room));
  if (!BoolParam(call, 1)) {
    const size_t space = text.view().substr(0, cut).rfind(' ');
    if (space != std::string_view::npos) cut = space;
  }
  TextBuilder out(call.meter());
  MNW_TRY(out.AppendSlice(text, 0, cut));
  MNW_TRY(out.Append(*end));
  return Str(out.Finish());
}

Result<Value> Format(const Invocation& call) {
  MNW_ASSIGN(const Text format, ToText(call.self, call.meter()));
  const Args& args = call.args;
  if (!args.positional.empty() && !args.named.empty()) {
    return Error(Code::kInvalid, "format: positional and named arguments at the same time");
  }
  if (args.named.empty()) {
    MNW_ASSIGN(const Value tuple,
               MakeSequence(Sequence::Kind::kTuple, args.positional, call.meter()));
    return Str(FormatPercent(format, tuple, call.meter()));
  }
  Dict dict;
  for (const auto& [name, value] : args.named) dict.Set(Value::Str(name), value);
  MNW_ASSIGN(const Value named, MakeDict(std::move(dict), call.meter()));
  return Str(FormatPercent(format, named, call.meter()));
}

Result<Value> Default(const Invocation& call) {
  const bool use = call.self.Is<Undefined>() || (BoolParam(call, 1) && !IsTrue(call.self));
  if (!use) return call.self;
  return call.params[0] ? *call.params[0] : Value::Str("");
}

// Numbers as Python's int() and float() read them: blanks around, underscores between digits.
std::optional<std::string> NumberText(const Text& text) {
  const Bounds b = StripBounds(text.view(), nullptr, true, true);
  std::string s(text.view().substr(b.begin, b.end - b.begin));
  for (size_t i = 0; i < s.size(); ++i) {
    const auto digit = [&](size_t at) { return at < s.size() && s[at] >= '0' && s[at] <= '9'; };
    if (s[i] == '_' && !(i > 0 && digit(i - 1) && digit(i + 1))) return std::nullopt;
  }
  std::erase(s, '_');
  if (s.starts_with('+') && !s.starts_with("+-")) s.erase(0, 1);
  if (s.empty()) return std::nullopt;
  return s;
}

std::optional<double> ToFloat(const Value& v) {
  if (v.IsNumber()) return v.AsDouble();
  if (!v.text()) return std::nullopt;
  const std::optional<std::string> s = NumberText(*v.text());
  if (!s) return std::nullopt;
  double d = 0;
  const auto [end, error] = std::from_chars(s->data(), s->data() + s->size(), d);
  if (end != s->data() + s->size() || s->find('(') != std::string::npos) return std::nullopt;
  if (error == std::errc::result_out_of_range) d = std::strtod(s->c_str(), nullptr);
  return d;
}

Result<Value> Int(const Invocation& call) {
  MNW_TRY(CheckDefined(call.self));
  MNW_ASSIGN(const int64_t base, IntParam(call, 1, 10));
  const Value fallback = call.params[0] ? *call.params[0] : Value::Int(0);
  int64_t n = 0;
  if (call.self.ToInt(&n)) return Value::Int(n);
  if (base != 10 && call.self.text()) {
    return Error(Code::kUnsupported, "int: only base 10 is supported");
  }
  if (call.self.text()) {
    const std::optional<std::string> s = NumberText(*call.self.text());
    if (s) {
      const auto [end, error] = std::from_chars(s->data(), s->data() + s->size(), n);
      if (end == s->data() + s->size()) {
        if (error == std::errc()) return Value::Int(n);
        return Error(Code::kUnsupported, "int: {} leaves 64 signed bits", *s);
      }
    }
  }
  const std::optional<double> d = ToFloat(call.self);
  if (call.self.number() && std::isinf(*d)) return Error(Code::kInvalid, "int: infinity");
  if (!d || !std::isfinite(*d)) return fallback;
  if (!(std::fabs(*d) < 9.2e18)) return Error(Code::kUnsupported, "int: {} leaves 64 bits", *d);
  return Value::Int(static_cast<int64_t>(*d));
}

Result<Value> Float(const Invocation& call) {
  MNW_TRY(CheckDefined(call.self));
  const std::optional<double> d = ToFloat(call.self);
  if (d) return Value::Float(*d);
  return call.params[0] ? *call.params[0] : Value::Float(0);
}

Result<Value> Abs(const Invocation& call) {
  MNW_TRY(CheckDefined(call.self));
  if (!call.self.IsNumber()) {
    return Error(Code::kInvalid, "abs: expected a number, not {}", TypeName(call.self));
  }
  if (call.self.number()) return Value::Float(std::fabs(*call.self.number()));
  int64_t n = 0;
  call.self.ToInt(&n);
  return n < 0 ? Negate(call.self) : Value::Int(n);
}

Result<Value> Round(const Invocation& call) {
  MNW_TRY(CheckDefined(call.self));
  MNW_ASSIGN(const int64_t precision, IntParam(call, 0, 0));
  std::string_view method = "common";
  if (call.params[1]) {
    MNW_ASSIGN(const Text* text, TextParam(call, 1));
    method = text->view();
  }
  if (method != "common" && method != "ceil" && method != "floor") {
    return Error(Code::kInvalid, "round: the method must be common, ceil or floor");
  }
  if (!call.self.IsNumber()) {
    return Error(Code::kInvalid, "round: expected a number, not {}", TypeName(call.self));
  }
  if (precision < 0 || precision > 300) {
    return Error(Code::kUnsupported, "round: a precision of {} is not supported", precision);
  }
  int64_t n = 0;
  const double d = call.self.AsDouble();
  if (method == "common") {
    if (call.self.ToInt(&n)) return Value::Int(n);
    // Printing rounds the exact binary value, halves to even, and so does Python.
    const std::string digits = fmt::format("{:.{}f}", d, precision);
    return Value::Float(std::strtod(digits.c_str(), nullptr));
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  return Value::Float((method == "ceil" ? std::ceil(d * scale) : std::floor(d * scale)) / scale);
}

Result<Value> WordCount(const Invocation& call) {
  MNW_ASSIGN(const Text text, ToText(call.self, call.meter()));
  int64_t count = 0;
  bool inside = false;
  for (size_t pos = 0; pos < text.size();) {
    const Char c = CharAt(text.view(), pos);
    const bool word = c.code == '_' || IsAlphanumeric(c.code);
    count += word && !inside;
    inside = word;
    pos = c.end;
  }
  return Value::Int(count);
}

// json.dumps as the chat-template environment of `transformers` calls it.
Result<Value> ToJsonFilter(const Invocation& call) {
  JsonStyle style;
  style.ensure_ascii = BoolParam(call, 0);
  if (const Value* indent = call.params[1]; indent && !indent->Is<None>()) {
    if (indent->text()) {
      style.indent = std::string(indent->text()->view());
    } else {
      MNW_ASSIGN(const int64_t width, IntParam(call, 1, 0));
      MNW_TRY(call.meter().Growing(width < 0 ? 0 : static_cast<size_t>(width)));
      style.indent = std::string(width < 0 ? 0 : static_cast<size_t>(width), ' ');
    }
    style.item_separator = ",";
  }
  if (const Value* separators = call.params[2]; separators && !separators->Is<None>()) {
    MNW_ASSIGN(const std::vector<Value> pair, Iterate(*separators, call.meter()));
    if (pair.size() != 2 || !pair[0].text() || !pair[1].text()) {
      return Error(Code::kInvalid, "tojson: separators must be two strings");
    }
    style.item_separator = pair[0].text()->view();
    style.key_separator = pair[1].text()->view();
  }
  style.sort_keys = BoolParam(call, 3);
  return Str(ToJson(call.self, style, call.meter()));
}

constexpr Builtin kFilters[] = {
    {"abs", "", Abs},
    {"capitalize", "", FilterCapitalize},
    {"center", "width?", Center},
    {"d", "default_value? boolean?", Default},
    {"default", "default_value? boolean?", Default},
    {"e", "", FilterEscape},
    {"escape", "", FilterEscape},
    {"float", "default?", Float},
    {"format", "*", Format},
    {"indent", "width? first? blank?", Indent},
    {"int", "default? base?", Int},
    {"lower", "", Lower},
    {"replace", "old new count?", Replace},
    {"round", "precision? method?", Round},
    {"safe", "", Safe},
    {"string", "", String},
    {"title", "", Title},
    {"tojson", "ensure_ascii? indent? separators? sort_keys?", ToJsonFilter},
    {"trim", "chars?", Trim},
    {"truncate", "length? killwords? end? leeway?", Truncate},
    {"upper", "", Upper},
    {"wordcount", "", WordCount},
};

}  // namespace

std::span<const Builtin> ValueFilters() { return kFilters; }

}  // namespace minnow::text::jinja
