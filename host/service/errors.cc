#include "service/errors.h"

#include <cmath>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace minnow::service {

Failure::Failure(std::vector<Violation> v) : violations(std::move(v)) {
  if (violations.empty()) return;
  std::string message = fmt::format("{}: {}", violations[0].field, violations[0].description);
  if (violations.size() > 1) message += fmt::format(" (and {} more)", violations.size() - 1);
  status = Status(Code::kInvalid, std::move(message));
}

Failure Failure::Unauthenticated() {
  return {Error(Code::kInvalid, "a token is needed: metadata 'authorization: Bearer TOKEN'"),
          "UNAUTHENTICATED"};
}

Failure Failure::AtField(std::string field, const Status& status) {
  if (status.code() != Code::kInvalid) return status;
  return std::vector<Violation>{{std::move(field), status.message()}};
}

int Failure::grpc_code() const {
  if (reason && std::string_view(reason) == "UNAUTHENTICATED") return kUnauthenticated;
  if (status.code() == Code::kDeviceLost) return static_cast<int>(Code::kUnavailable);
  return static_cast<int>(status.code());  // Code has gRPC's numbers
}

std::string Failure::reason_name() const {
  if (reason) return reason;
  std::string name = CodeName(status.code());
  for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

std::string Failure::Details() const {
  google::rpc::Status out;
  out.set_code(grpc_code());
  out.set_message(status.message());
  google::rpc::ErrorInfo info;
  info.set_reason(reason_name());
  info.set_domain(kErrorDomain);
  out.add_details()->PackFrom(info);
  if (!violations.empty()) {
    google::rpc::BadRequest bad;
    for (const Violation& v : violations) {
      auto* violation = bad.add_field_violations();
      violation->set_field(v.field);
      violation->set_description(v.description);
    }
    out.add_details()->PackFrom(bad);
  }
  if (retry_seconds > 0) {
    google::rpc::RetryInfo retry;
    const double whole = std::floor(retry_seconds);
    retry.mutable_retry_delay()->set_seconds(static_cast<int64_t>(whole));
    retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>((retry_seconds - whole) * 1e9));
    out.add_details()->PackFrom(retry);
  }
  return out.SerializeAsString();
}

const char* GrpcCodeName(int code) {
  static constexpr const char* kNames[] = {"OK",
                                           "CANCELLED",
                                           "UNKNOWN",
                                           "INVALID_ARGUMENT",
                                           "DEADLINE_EXCEEDED",
                                           "NOT_FOUND",
                                           "ALREADY_EXISTS",
                                           "PERMISSION_DENIED",
                                           "RESOURCE_EXHAUSTED",
                                           "FAILED_PRECONDITION",
                                           "ABORTED",
                                           "OUT_OF_RANGE",
                                           "UNIMPLEMENTED",
                                           "INTERNAL",
                                           "UNAVAILABLE",
                                           "DATA_LOSS",
                                           "UNAUTHENTICATED"};
  return code >= 0 && code <= 16 ? kNames[code] : "UNKNOWN";
}

}  // namespace minnow::service
