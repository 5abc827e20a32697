// Values as text and JSON, in Python's spelling: str(), repr(), json.dumps().
//
// The text of a container is data if any string in it is; numbers alone count as the template's.
// Threads: any.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "text/jinja_value.h"

namespace minnow::text::jinja {

Result<Text> ToText(const Value& v, Meter& meter);  // str(v)
Status AppendText(const Value& v, Meter& meter, TextBuilder* out);
Result<Text> Repr(const Value& v, Meter& meter);

std::string FloatRepr(double d);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  // one level of it; null: everything on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
Result<Text> ToJson(const Value& v, const JsonStyle& style, Meter& meter);

// Refuses more than kMaxNesting levels and integers beyond 64 signed bits.
Result<Value> FromJson(const nlohmann::ordered_json& json, Meter& meter);

}  // namespace minnow::text::jinja
