// The two ways in which a template formats strings: '%' and str.format.
#include <charconv>
#include <cmath>

#include "text/jinja_ops.h"
#include "text/jinja_print.h"

namespace minnow::text::jinja {
namespace {

struct Spec {
  bool left = false, plus = false, space = false, zero = false, alternate = false;
  size_t width = 0;
  std::optional<size_t> precision;
  char type = 0;
};

constexpr size_t kMaxFormatNumber = 1000;  // of a width or precision

// Reads digits at *pos; 0 when there are none.
Result<size_t> ReadNumber(std::string_view s, size_t* pos) {
  size_t n = 0;
  for (; *pos < s.size() && s[*pos] >= '0' && s[*pos] <= '9'; ++*pos) {
    n = n * 10 + static_cast<size_t>(s[*pos] - '0');
    if (n > kMaxFormatNumber) {
      return Error(Code::kUnsupported, "a format's width or precision exceeds {}",
                   kMaxFormatNumber);
    }
  }
  return n;
}

// Parses what follows "%" and, if any, "(name)"; leaves *pos behind the type letter.
Result<Spec> ParseSpec(std::string_view s, size_t* pos) {
  Spec spec;
  for (; *pos < s.size(); ++*pos) {
    const char c = s[*pos];
    if (c == '-')
      spec.left = true;
    else if (c == '+')
      spec.plus = true;
    else if (c == ' ')
      spec.space = true;
    else if (c == '0')
      spec.zero = true;
    else if (c == '#')
      spec.alternate = true;
    else
      break;
  }
  MNW_ASSIGN(spec.width, ReadNumber(s, pos));
  if (*pos < s.size() && s[*pos] == '.') {
    ++*pos;
    MNW_ASSIGN(spec.precision, ReadNumber(s, pos));
  }
  if (*pos >= s.size()) return Error(Code::kInvalid, "incomplete format '{}'", s);
  spec.type = s[(*pos)++];
  return spec;
}

Text Pad(Text text, const Spec& spec) {
  const size_t length = CharCount(text.view());
  if (length >= spec.width) return text;
  const Text fill(std::string(spec.width - length, ' '), Origin::kTemplate);
  Text out = spec.left ? text : fill;
  out.Append(spec.left ? fill : text);
  return out;
}

// Sign, zeros and digits of a number whose magnitude is already spelled.
Text PadNumber(bool negative, std::string digits, const Spec& spec) {
  std::string sign = negative ? "-" : spec.plus ? "+" : spec.space ? " " : "";
  if (spec.zero && !spec.left && sign.size() + digits.size() < spec.width) {
    digits.insert(0, spec.width - sign.size() - digits.size(), '0');
  }
  return Pad(Text(sign + digits, Origin::kTemplate), spec);
}

Result<Text> FormatInt(const Value& v, const Spec& spec) {
  int64_t n = 0;
  if (v.number() && (spec.type == 'd' || spec.type == 'i' || spec.type == 'u')) {
    if (!(std::fabs(*v.number()) < 9e18)) {
      return Error(Code::kInvalid, "%{} cannot format {}", spec.type, FloatRepr(*v.number()));
    }
    n = static_cast<int64_t>(*v.number());
  } else if (!v.ToInt(&n)) {
    return Error(Code::kInvalid, "%{} needs a number, not {}", spec.type, TypeName(v));
  }
  const uint64_t magnitude = n < 0 ? 0 - static_cast<uint64_t>(n) : static_cast<uint64_t>(n);
  std::string digits;
  switch (spec.type) {
    case 'x':
      digits = fmt::format("{:x}", magnitude);
      break;
    case 'X':
      digits = fmt::format("{:X}", magnitude);
      break;
    case 'o':
      digits = fmt::format("{:o}", magnitude);
      break;
    default:
      digits = std::to_string(magnitude);
  }
  if (spec.precision && digits.size() < *spec.precision) {
    digits.insert(0, *spec.precision - digits.size(), '0');
  }
  return PadNumber(n < 0, std::move(digits), spec);
}

Result<Text> FormatFloat(const Value& v, const Spec& spec) {
  if (!v.IsNumber()) {
    return Error(Code::kInvalid, "%{} needs a number, not {}", spec.type, TypeName(v));
  }
  const double d = v.AsDouble();
  if (!std::isfinite(d)) return Error(Code::kUnsupported, "%{} of {}", spec.type, FloatRepr(d));
  const char format[] = {'%', '.', '*', spec.type, '\0'};
  char digits[512 + kMaxFormatNumber];
  const int n = std::snprintf(digits, sizeof digits, format,
                              static_cast<int>(spec.precision.value_or(6)), std::fabs(d));
  return PadNumber(std::signbit(d), std::string(digits, static_cast<size_t>(n)), spec);
}

Result<Text> FormatOne(const Value& v, const Spec& spec, Meter& meter) {
  if (spec.alternate) return Error(Code::kUnsupported, "the format flag '#' is not supported");
  switch (spec.type) {
    case 's':
    case 'r': {
      MNW_ASSIGN(Text text, spec.type == 's' ? ToText(v, meter) : Repr(v, meter));
      if (spec.precision) text = text.Slice(0, CharToByte(text.view(), *spec.precision));
      return Pad(std::move(text), spec);
    }
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o':
      return FormatInt(v, spec);
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
      return FormatFloat(v, spec);
    default:
      return Error(Code::kUnsupported, "the format %{} is not supported", spec.type);
  }
}

// Hands out the right side of `%`: a tuple's elements in turn, a dict's by name, or the one value.
class Operands {
 public:
  explicit Operands(const Value& v) : v_(v) {
    const Sequence* s = v.sequence();
    if (s && s->kind == Sequence::Kind::kTuple) tuple_ = &s->items;
  }

  Result<Value> Next() {
    const size_t count = tuple_ ? tuple_->size() : 1;
    if (used_ >= count) return Error(Code::kInvalid, "not enough arguments for format string");
    return tuple_ ? (*tuple_)[used_++] : (++used_, v_);
  }

  Result<Value> Named(std::string_view name) {
    named_ = true;
    const Value* value = v_.dict() ? v_.dict()->Find(name) : nullptr;
    if (!value) return Error(Code::kInvalid, "format needs a value named '{}'", name);
    return *value;
  }

  // Python tolerates leftovers only where the operand could have been looked into by name.
  bool AllUsed() const {
    if (tuple_) return used_ == tuple_->size();
    return used_ == 1 || named_ || v_.dict() || (v_.sequence() && v_.sequence()->indexable());
  }

 private:
  const Value& v_;
  const std::vector<Value>* tuple_ = nullptr;
  size_t used_ = 0;
  bool named_ = false;
};

Status RefuseMarkup(const Text& format) {
  if (!format.markup()) return {};
  return Error(Code::kUnsupported, "formatting a string marked safe is not supported");
}

}  // namespace

Result<Text> FormatPercent(const Text& format, const Value& v, Meter& meter) {
  MNW_TRY(RefuseMarkup(format));
  const std::string_view s = format.view();
  Operands operands(v);
  TextBuilder out(meter);
  size_t pos = 0;
  while (pos < s.size()) {
    const size_t percent = std::min(s.find('%', pos), s.size());
    MNW_TRY(out.AppendSlice(format, pos, percent));
    if (percent == s.size()) break;
    pos = percent + 1;
    std::optional<std::string_view> name;
    if (pos < s.size() && s[pos] == '(') {
      const size_t close = s.find(')', pos);
      if (close == std::string_view::npos) return Error(Code::kInvalid, "incomplete format key");
      name = s.substr(pos + 1, close - pos - 1);
      pos = close + 1;
    }
    MNW_ASSIGN(const Spec spec, ParseSpec(s, &pos));
    if (spec.type == '%') {
      MNW_TRY(out.AppendSlice(format, pos - 1, pos));
      continue;
    }
    MNW_ASSIGN(const Value value, name ? operands.Named(*name) : operands.Next());
    MNW_ASSIGN(const Text text, FormatOne(value, spec, meter));
    MNW_TRY(out.Append(text));
  }
  if (!operands.AllUsed()) {
    return Error(Code::kInvalid, "not all arguments converted during string formatting");
  }
  return out.Finish();
}

Result<Text> FormatFields(const Text& format, const Args& args, Meter& meter) {
  MNW_TRY(RefuseMarkup(format));
  const std::string_view s = format.view();
  TextBuilder out(meter);
  size_t pos = 0, next = 0;
  while (pos < s.size()) {
    const size_t brace = std::min(s.find_first_of("{}", pos), s.size());
    MNW_TRY(out.AppendSlice(format, pos, brace));
    if (brace == s.size()) break;
    if (brace + 1 < s.size() && s[brace + 1] == s[brace]) {
      MNW_TRY(out.AppendSlice(format, brace, brace + 1));
      pos = brace + 2;
      continue;
    }
    const size_t close = s.find('}', brace);
    if (s[brace] == '}' || close == std::string_view::npos) {
      return Error(Code::kInvalid, "single '{}' in a format string", s[brace]);
    }
    const std::string_view field = s.substr(brace + 1, close - brace - 1);
    if (field.find_first_of(".[!:{") != std::string_view::npos) {
      return Error(Code::kUnsupported, "the format field '{}' is not supported", field);
    }
    size_t index = next;
    const Value* value = nullptr;
    const auto parsed = std::from_chars(field.data(), field.data() + field.size(), index);
    if (field.empty() || (parsed.ec == std::errc() && parsed.ptr == field.data() + field.size())) {
      if (field.empty()) ++next;
      if (index < args.positional.size()) value = &args.positional[index];
    } else {
      for (const auto& [name, named] : args.named) {
        if (name == field) value = &named;
      }
    }
    if (!value) return Error(Code::kInvalid, "no argument for the format field '{}'", field);
    MNW_ASSIGN(const Text text, ToText(*value, meter));
    MNW_TRY(out.Append(text));
    pos = close + 1;
  }
  return out.Finish();
}

}  // namespace minnow::text::jinja
