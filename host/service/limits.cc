#include "service/limits.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <cmath>

#include "minnow/v1/limits.pb.h"

namespace minnow::service {

namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr size_t kMaxViolations = 16;

// `index` -1: the field is no list.
double Number(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& r = *message.GetReflection();
  const bool list = index >= 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return list ? r.GetRepeatedInt32(message, &field, index) : r.GetInt32(message, &field);
    case FieldDescriptor::CPPTYPE_UINT32:
      return list ? r.GetRepeatedUInt32(message, &field, index) : r.GetUInt32(message, &field);
    case FieldDescriptor::CPPTYPE_INT64:
      return static_cast<double>(list ? r.GetRepeatedInt64(message, &field, index)
                                      : r.GetInt64(message, &field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return static_cast<double>(list ? r.GetRepeatedUInt64(message, &field, index)
                                      : r.GetUInt64(message, &field));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return list ? r.GetRepeatedFloat(message, &field, index) : r.GetFloat(message, &field);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return list ? r.GetRepeatedDouble(message, &field, index) : r.GetDouble(message, &field);
    default:
      return 0;  // enums and booleans have no range
  }
}

class Checker {
 public:
  void Check(const Message& message, const std::string& prefix) {
    const auto& descriptor = *message.GetDescriptor();
    for (int i = 0; i < descriptor.field_count() && out.size() < kMaxViolations; ++i) {
      CheckField(message, *descriptor.field(i), prefix);
    }
  }

  std::vector<Violation> out;

 private:
  void CheckField(const Message& message, const FieldDescriptor& field, const std::string& prefix) {
    const auto& limits = field.options().GetExtension(v1::limits);
    const Reflection& reflection = *message.GetReflection();
    const std::string path = prefix + field.name();
    if (!field.is_repeated()) {
      if (field.has_presence() && !reflection.HasField(message, &field)) {
        if (limits.required()) Add(path, "must be set");
        return;
      }
      return CheckValue(message, field, limits, -1, path);
    }
    const int n = reflection.FieldSize(message, &field);
    if (limits.has_min_items() && n < static_cast<int64_t>(limits.min_items())) {
      Add(path, fmt::format("needs at least {} items, has {}", limits.min_items(), n));
    }
    if (limits.has_max_items() && n > static_cast<int64_t>(limits.max_items())) {
      return Add(path, fmt::format("may have {} items, has {}", limits.max_items(), n));
    }
    for (int i = 0; i < n && out.size() < kMaxViolations; ++i) {
      // The path is made where it is needed: lists of tokens are long.
      CheckValue(message, field, limits, i, path);
    }
  }

  void CheckValue(const Message& message, const FieldDescriptor& field, const v1::Limits& limits,
                  int index, const std::string& path) {
    const Reflection& reflection = *message.GetReflection();
    const auto full = [&] { return index < 0 ? path : fmt::format("{}[{}]", path, index); };
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Check(index < 0 ? reflection.GetMessage(message, &field)
                               : reflection.GetRepeatedMessage(message, &field, index),
                     full() + ".");
      case FieldDescriptor::CPPTYPE_STRING: {
        std::string scratch;
        const std::string& text =
            index < 0 ? reflection.GetStringReference(message, &field, &scratch)
                      : reflection.GetRepeatedStringReference(message, &field, index, &scratch);
        if (limits.required() && text.empty()) return Add(full(), "must not be empty");
        if (limits.has_max_bytes() && text.size() > limits.max_bytes()) {
          Add(full(), fmt::format("may have {} bytes, has {}", limits.max_bytes(), text.size()));
        }
        return;
      }
      default: {
        const double x = Number(message, field, index);
        const bool below =
            limits.has_min() && !(limits.above_min() ? x > limits.min() : x >= limits.min());
        const bool above = limits.has_max() && !(x <= limits.max());
        if (below || above || std::isnan(x)) Add(full(), Range(limits, x));
      }
    }
  }

  static std::string Range(const v1::Limits& limits, double x) {
    std::string range;
    if (limits.has_min()) {
      range = fmt::format("{} {}", limits.above_min() ? "above" : "at least", limits.min());
    }
    if (limits.has_max()) {
      range += fmt::format("{}at most {}", range.empty() ? "" : " and ", limits.max());
    }
    return fmt::format("must be {}, not {}", range.empty() ? "a number" : range, x);
  }

  void Add(std::string field, std::string description) {
    if (out.size() < kMaxViolations) out.push_back({std::move(field), std::move(description)});
  }
};

}  // namespace

std::vector<Violation> CheckLimits(const Message& request) {
  Checker checker;
  checker.Check(request, "");
  return std::move(checker.out);
}

}  // namespace minnow::service
