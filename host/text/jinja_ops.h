// Operators of the template language with Python's meaning, errors included.
// Threads: any.
#pragma once

#include <compare>
#include <optional>
#include <string_view>

#include "text/jinja_value.h"

namespace minnow::text::jinja {

enum class BinaryOp { kAdd, kSub, kMul, kDiv, kFloorDiv, kMod, kPow };

Result<Value> Arithmetic(BinaryOp op, const Value& a, const Value& b, Meter& meter);
Result<Value> Negate(const Value& v);

Result<bool> Equals(const Value& a, const Value& b, Meter& meter);
Result<std::partial_ordering> Order(const Value& a, const Value& b, Meter& meter);  // <, <=, >, >=
Result<bool> Contains(const Value& container, const Value& item, Meter& meter);     // item in ...

// object.name: a method or attribute of the type, else the item of that name, else undefined.
Result<Value> GetAttribute(const Value& object, std::string_view name, Meter& meter);

// object[key]: the item, else the attribute of that name, else undefined.
Result<Value> GetItem(const Value& object, const Value& key, Meter& meter);

// object[start:stop:step]; a bound left out is None.
Result<Value> GetSlice(const Value& object, const Value& start, const Value& stop,
                       const Value& step, Meter& meter);

// `format % v`, printf style. Flags, width and precision as in Python; no %a and no `*`.
Result<Text> FormatPercent(const Text& format, const Value& v, Meter& meter);

// format.format(...): fields {}, {0} and {name} without conversion or format specification.
Result<Text> FormatFields(const Text& format, const Args& args, Meter& meter);

}  // namespace minnow::text::jinja
