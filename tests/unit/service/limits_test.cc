// The limits beside the fields, tried on every field that has some.
#include "service/limits.h"

#include <google/protobuf/descriptor.h>

#include <cmath>
#include <limits>

#include "minnow/v1/inference.pb.h"
#include "minnow/v1/limits.pb.h"
#include "minnow/v1/models.pb.h"
#include "minnow/v1/pipelines.pb.h"
#include "test_util.h"

namespace minnow::test {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MessageFactory;
using service::CheckLimits;
using service::Violation;

bool IsNumber(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT64:
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return true;
    default:
      return false;
  }
}

// All message types that a request of these services may contain.
void Collect(const Descriptor* type, std::vector<const Descriptor*>& out) {
  if (std::find(out.begin(), out.end(), type) != out.end()) return;
  out.push_back(type);
  for (int i = 0; i < type->field_count(); ++i) {
    if (type->field(i)->message_type()) Collect(type->field(i)->message_type(), out);
  }
}

std::vector<const Descriptor*> RequestTypes() {
  std::vector<const Descriptor*> types;
  for (const auto* file :
       {v1::GenerateRequest::descriptor()->file(), v1::LoadRequest::descriptor()->file(),
        v1::RunRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        Collect(file->service(s)->method(m)->input_type(), types);
      }
    }
  }
  return types;
}

bool Has(const std::vector<Violation>& violations, const std::string& field) {
  return std::any_of(violations.begin(), violations.end(),
                     [&](const Violation& v) { return v.field == field; });
}

// Is a message of this type refused, by the name of the field, when the field holds this?
bool Refuses(const FieldDescriptor& field, double value) {
  const std::unique_ptr<Message> message(
      MessageFactory::generated_factory()->GetPrototype(field.containing_type())->New());
  const auto& r = *message->GetReflection();
  const bool list = field.is_repeated();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      list ? r.AddInt32(message.get(), &field, static_cast<int32_t>(value))
           : r.SetInt32(message.get(), &field, static_cast<int32_t>(value));
      break;
    case FieldDescriptor::CPPTYPE_UINT32:
      r.SetUInt32(message.get(), &field, static_cast<uint32_t>(value));
      break;
    case FieldDescriptor::CPPTYPE_FLOAT:
      r.SetFloat(message.get(), &field, static_cast<float>(value));
      break;
    default:
      FAIL("a type without a case here");
  }
  return Has(CheckLimits(*message), field.name() + (list ? "[0]" : ""));
}

TEST_GROUP(Limits){};

TEST(Limits, EveryNumberOfARequestHasARange) {
  size_t n = 0;
  for (const Descriptor* type : RequestTypes()) {
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor& field = *type->field(i);
      if (!IsNumber(field)) continue;
      ++n;
      CHECK_TEXT(field.options().GetExtension(v1::limits).has_min(), field.full_name().c_str());
    }
  }
  CHECK(n >= 7);
}

TEST(Limits, EveryRangeIsHeldAndNamed) {
  for (const Descriptor* type : RequestTypes()) {
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor& field = *type->field(i);
      const auto& limits = field.options().GetExtension(v1::limits);
      if (!IsNumber(field) || field.cpp_type() == FieldDescriptor::CPPTYPE_UINT64) continue;
      const char* const name = field.full_name().c_str();
      const bool real = field.cpp_type() == FieldDescriptor::CPPTYPE_FLOAT;
      const bool is_signed = field.cpp_type() != FieldDescriptor::CPPTYPE_UINT32;
      CHECK_TEXT(limits.above_min() == Refuses(field, limits.min()), name);
      if (is_signed || limits.min() > 0) CHECK_TEXT(Refuses(field, limits.min() - 1), name);
      if (limits.has_max()) CHECK_TEXT(!Refuses(field, limits.max()), name);
      if (limits.has_max() && (real || limits.max() < 2147483647)) {
        CHECK_TEXT(Refuses(field, limits.max() + 1), name);
      }
      if (!real) continue;
      CHECK_TEXT(Refuses(field, std::numeric_limits<double>::quiet_NaN()), name);
      CHECK_TEXT(Refuses(field, std::numeric_limits<double>::infinity()), name);
      CHECK_TEXT(Refuses(field, -std::numeric_limits<double>::infinity()), name);
    }
  }
}

TEST(Limits, NamesFieldsByTheirPath) {
  v1::GenerateRequest request;
  request.mutable_prompt()->set_text("x");
  CHECK(CheckLimits(request).empty());
  request.mutable_options()->mutable_sampling()->set_temperature(-1);
  request.mutable_options()->add_stop("fine");
  request.mutable_options()->add_stop("");
  request.mutable_options()->add_stop(std::string(257, 'x'));
  request.set_model(std::string(129, 'm'));
  const auto violations = CheckLimits(request);
  LONGS_EQUAL(4, violations.size());
  CHECK(Has(violations, "model"));
  CHECK(Has(violations, "options.sampling.temperature"));
  CHECK(Has(violations, "options.stop[1]"));
  CHECK(Has(violations, "options.stop[2]"));
}

TEST(Limits, HoldsTheNumberOfItems) {
  v1::ClassifyRequest request;
  request.set_document("d");
  request.set_question("q");
  request.add_labels("one");
  CHECK(CheckLimits(request).empty());
  request.add_questions()->set_question("q");
  CHECK(Has(CheckLimits(request), "questions[0].labels"));
  for (int i = 0; i < 1000; ++i) request.add_labels("more");
  CHECK(Has(CheckLimits(request), "labels"));
}

TEST(Limits, RefusesWhatIsRequiredAndNotThere) {
  CHECK(Has(CheckLimits(v1::GenerateRequest()), "prompt"));
  CHECK(Has(CheckLimits(v1::RunRequest()), "document"));
  CHECK(Has(CheckLimits(v1::LoadRequest()), "name"));
}

TEST(Limits, TellsNoMoreThanSixteen) {
  v1::ScoreRequest request;
  request.mutable_prompt()->mutable_tokens();
  for (int i = 0; i < 1000; ++i) request.mutable_prompt()->mutable_tokens()->add_ids(-1);
  request.add_continuations();
  LONGS_EQUAL(16, CheckLimits(request).size());
}

}  // namespace
}  // namespace minnow::test
