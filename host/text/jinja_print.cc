#include "text/jinja_print.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

namespace minnow::text::jinja {
namespace {

// Collects a container's text; one origin for all of it.
class Printer {
 public:
  explicit Printer(Meter& meter) : meter_(meter) {}

  Status Add(std::string_view s) {
    MNW_TRY(meter_.Growing(out_.size() + s.size()));
    out_ += s;
    return {};
  }
  void Mark(Origin origin) { data_ |= origin == Origin::kData; }
  Meter& meter() { return meter_; }

  Result<Text> Finish() {
    MNW_TRY(meter_.Text(out_.size()));
    return Text(out_, data_ ? Origin::kData : Origin::kTemplate);
  }

 private:
  Meter& meter_;
  std::string out_;
  bool data_ = false;
};

std::string Scalar(const Value& v) {
  if (v.Is<None>()) return "None";
  if (v.Is<bool>()) return IsTrue(v) ? "True" : "False";
  int64_t n = 0;
  if (v.ToInt(&n)) return std::to_string(n);
  return FloatRepr(v.AsDouble());
}

std::string QuotePython(const Text& text) {
  const std::string_view s = text.view();
  const bool twice =
      s.find('\'') != std::string_view::npos && s.find('"') == std::string_view::npos;
  const char quote = twice ? '"' : '\'';
  std::string out(1, quote);
  for (size_t pos = 0; pos < s.size();) {
    const Char c = CharAt(s, pos);
    if (c.code == '\\' || c.code == static_cast<uint32_t>(quote)) {
      out += '\\';
      out += static_cast<char>(c.code);
    } else if (c.code == '\n') {
      out += "\\n";
    } else if (c.code == '\r') {
      out += "\\r";
    } else if (c.code == '\t') {
      out += "\\t";
    } else if (IsPrintable(c.code)) {
      out += s.substr(pos, c.end - pos);
    } else if (c.code < 0x100) {
      out += fmt::format("\\x{:02x}", c.code);
    } else if (c.code < 0x10000) {
      out += fmt::format("\\u{:04x}", c.code);
    } else {
      out += fmt::format("\\U{:08x}", c.code);
    }
    pos = c.end;
  }
  out += quote;
  return text.markup() ? "Markup(" + out + ")" : out;
}

Status PrintRepr(const Value& v, Printer& out);

Status PrintItems(const std::vector<Value>& items, Printer& out) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) MNW_TRY(out.Add(", "));
    MNW_TRY(PrintRepr(items[i], out));
  }
  return {};
}

Status PrintSequence(const Sequence& sequence, Printer& out) {
  const auto& items = sequence.items;
  switch (sequence.kind) {
    case Sequence::Kind::kRange:
      return Error(Code::kUnsupported, "printing a range is not supported; print it as a list");
    case Sequence::Kind::kTuple:
      MNW_TRY(out.Add("("));
      MNW_TRY(PrintItems(items, out));
      return out.Add(items.size() == 1 ? ",)" : ")");
    case Sequence::Kind::kList:
      MNW_TRY(out.Add("["));
      MNW_TRY(PrintItems(items, out));
      return out.Add("]");
    case Sequence::Kind::kKeys:
      MNW_TRY(out.Add("dict_keys(["));
      break;
    case Sequence::Kind::kValues:
      MNW_TRY(out.Add("dict_values(["));
      break;
    case Sequence::Kind::kItems:
      MNW_TRY(out.Add("dict_items(["));
      break;
  }
  MNW_TRY(PrintItems(items, out));
  return out.Add("])");
}

Status PrintRepr(const Value& v, Printer& out) {
  MNW_TRY(out.meter().Step());
  if (const Text* text = v.text()) {
    out.Mark(text->origin());
    return out.Add(QuotePython(*text));
  }
  if (v.Is<Undefined>()) return out.Add("Undefined");
  if (const Sequence* sequence = v.sequence()) return PrintSequence(*sequence, out);
  if (const Dict* dict = v.dict()) {
    MNW_TRY(out.Add("{"));
    const char* separator = "";
    for (const auto& [key, value] : dict->entries()) {
      MNW_TRY(out.Add(separator));
      MNW_TRY(PrintRepr(key, out));
      MNW_TRY(out.Add(": "));
      MNW_TRY(PrintRepr(value, out));
      separator = ", ";
    }
    return out.Add("}");
  }
  if (v.iterator() || v.object()) {
    return Error(Code::kUnsupported, "printing a value of type {} is not supported", TypeName(v));
  }
  return out.Add(Scalar(v));
}

class JsonPrinter {
 public:
  JsonPrinter(const JsonStyle& style, Meter& meter) : style_(style), out_(meter) {}

  Status Print(const Value& v, int level);
  Result<Text> Finish() { return out_.Finish(); }

 private:
  Status PrintString(const Text& text);
  Status PrintKey(const Value& key);
  Status PrintDict(const Dict& dict, int level);
  Status PrintList(const std::vector<Value>& items, int level);
  Status Break(int level);

  const JsonStyle& style_;
  Printer out_;
};

void EscapeUtf16(uint32_t code, std::string* out) {
  if (code < 0x10000) {
    *out += fmt::format("\\u{:04x}", code);
  } else {
    code -= 0x10000;
    *out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (code >> 10), 0xDC00 + (code & 0x3FF));
  }
}

Status JsonPrinter::PrintString(const Text& text) {
  out_.Mark(text.origin());
  const std::string_view s = text.view();
  std::string quoted = "\"";
  for (size_t pos = 0; pos < s.size();) {
    const Char c = CharAt(s, pos);
    switch (c.code) {
      case '"':
        quoted += "\\\"";
        break;
      case '\\':
        quoted += "\\\\";
        break;
      case '\n':
        quoted += "\\n";
        break;
      case '\r':
        quoted += "\\r";
        break;
      case '\t':
        quoted += "\\t";
        break;
      case '\f':
        quoted += "\\f";
        break;
      case '\b':
        quoted += "\\b";
        break;
      default:
        if (c.code < 0x20 || (style_.ensure_ascii && c.code >= 0x7F)) {
          EscapeUtf16(c.code, &quoted);
        } else {
          quoted += s.substr(pos, c.end - pos);
        }
    }
    pos = c.end;
  }
  quoted += '"';
  return out_.Add(quoted);
}

Status JsonPrinter::Break(int level) {
  if (!style_.indent) return {};
  MNW_TRY(out_.Add("\n"));
  for (int i = 0; i < level; ++i) MNW_TRY(out_.Add(*style_.indent));
  return {};
}

std::string JsonScalar(const Value& v) {
  if (v.Is<None>()) return "null";
  if (v.Is<bool>()) return IsTrue(v) ? "true" : "false";
  const double* d = v.number();
  if (d && std::isnan(*d)) return "NaN";
  if (d && std::isinf(*d)) return *d < 0 ? "-Infinity" : "Infinity";
  return Scalar(v);
}

Status JsonPrinter::PrintKey(const Value& key) {
  if (key.text()) return PrintString(*key.text());
  return out_.Add("\"" + JsonScalar(key) + "\"");
}

Status JsonPrinter::PrintDict(const Dict& dict, int level) {
  if (dict.entries().empty()) return out_.Add("{}");
  std::vector<const Dict::Entry*> entries;
  for (const auto& entry : dict.entries()) entries.push_back(&entry);
  if (style_.sort_keys) {
    for (const auto* entry : entries) {
      if (!entry->first.text()) {
        return Error(Code::kUnsupported, "tojson with sort_keys needs keys that are strings");
      }
    }
    std::sort(entries.begin(), entries.end(), [](const auto* a, const auto* b) {
      return a->first.text()->view() < b->first.text()->view();
    });
  }
  MNW_TRY(out_.Add("{"));
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i > 0) MNW_TRY(out_.Add(style_.item_separator));
    MNW_TRY(Break(level + 1));
    MNW_TRY(PrintKey(entries[i]->first));
    MNW_TRY(out_.Add(style_.key_separator));
    MNW_TRY(Print(entries[i]->second, level + 1));
  }
  MNW_TRY(Break(level));
  return out_.Add("}");
}

Status JsonPrinter::PrintList(const std::vector<Value>& items, int level) {
  if (items.empty()) return out_.Add("[]");
  MNW_TRY(out_.Add("["));
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) MNW_TRY(out_.Add(style_.item_separator));
    MNW_TRY(Break(level + 1));
    MNW_TRY(Print(items[i], level + 1));
  }
  MNW_TRY(Break(level));
  return out_.Add("]");
}

Status JsonPrinter::Print(const Value& v, int level) {
  MNW_TRY(out_.meter().Step());
  if (v.text()) return PrintString(*v.text());
  if (v.dict()) return PrintDict(*v.dict(), level);
  const Sequence* sequence = v.sequence();
  if (sequence &&
      (sequence->kind == Sequence::Kind::kList || sequence->kind == Sequence::Kind::kTuple)) {
    return PrintList(sequence->items, level);
  }
  if (v.Is<None>() || v.IsNumber()) return out_.Add(JsonScalar(v));
  return Error(Code::kInvalid, "a value of type {} cannot be written as JSON", TypeName(v));
}

}  // namespace

// The shortest digits that read back as `d`; an exponent below 1e-4 and from 1e16 on.
std::string FloatRepr(double d) {
  if (std::isnan(d)) return "nan";
  if (std::isinf(d)) return d < 0 ? "-inf" : "inf";
  char buffer[32];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, d, std::chars_format::scientific).ptr;
  const std::string_view s(buffer, static_cast<size_t>(end - buffer));
  const size_t e = s.find('e');
  int exponent = 0;
  std::from_chars(s.data() + e + (s[e + 1] == '+' ? 2 : 1), end, exponent);
  if (exponent < -4 || exponent >= 16) return std::string(s);
  const auto fixed = std::to_chars(buffer, buffer + sizeof buffer, d, std::chars_format::fixed).ptr;
  std::string out(buffer, static_cast<size_t>(fixed - buffer));
  if (out.find('.') == std::string::npos) out += ".0";
  return out;
}

Result<Text> ToText(const Value& v, Meter& meter) {
  if (v.text()) return *v.text();
  if (v.Is<Undefined>()) return Text();
  return Repr(v, meter);
}

Status AppendText(const Value& v, Meter& meter, TextBuilder* out) {
  if (v.text()) return out->Append(*v.text());
  MNW_ASSIGN(const Text text, ToText(v, meter));
  return out->Append(text);
}

Result<Text> Repr(const Value& v, Meter& meter) {
  Printer printer(meter);
  MNW_TRY(PrintRepr(v, printer));
  return printer.Finish();
}

Result<Text> ToJson(const Value& v, const JsonStyle& style, Meter& meter) {
  JsonPrinter printer(style, meter);
  MNW_TRY(printer.Print(v, 0));
  return printer.Finish();
}

namespace {

Result<Value> Convert(const nlohmann::ordered_json& json, int depth, Meter& meter) {
  using Type = nlohmann::ordered_json::value_t;
  MNW_TRY(CheckNesting(depth));
  switch (json.type()) {
    case Type::null:
      return Value();
    case Type::boolean:
      return Value::Bool(json.get<bool>());
    case Type::number_integer:
      return Value::Int(json.get<int64_t>());
    case Type::number_unsigned:
      if (json.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        return Error(Code::kInvalid, "the integer {} does not fit 64 signed bits",
                     json.get<uint64_t>());
      }
      return Value::Int(json.get<int64_t>());
    case Type::number_float:
      return Value::Float(json.get<double>());
    case Type::string: {
      const auto& s = json.get_ref<const std::string&>();
      MNW_TRY(meter.Text(s.size()));
      return Value::Str(Text(s, Origin::kData));
    }
    case Type::array: {
      std::vector<Value> items;
      for (const auto& item : json) {
        MNW_ASSIGN(Value v, Convert(item, depth + 1, meter));
        items.push_back(std::move(v));
      }
      return MakeList(std::move(items), meter);
    }
    case Type::object: {
      Dict dict;
      for (const auto& [key, item] : json.items()) {
        MNW_ASSIGN(Value v, Convert(item, depth + 1, meter));
        dict.Set(Value::Str(Text(key, Origin::kData)), std::move(v));
      }
      return MakeDict(std::move(dict), meter);
    }
    case Type::binary:
    case Type::discarded:
      break;
  }
  return Error(Code::kInvalid, "a chat template cannot be given binary JSON");
}

}  // namespace

Result<Value> FromJson(const nlohmann::ordered_json& json, Meter& meter) {
  return Convert(json, 1, meter);
}

}  // namespace minnow::text::jinja
