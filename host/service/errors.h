// Failures as clients see them: a gRPC code, a message, and google.rpc details.
//
// Every failure carries an ErrorInfo whose `reason` never changes, since programs decide by it;
// messages are for people. Threads: values.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace minnow::service {

inline constexpr const char* kErrorDomain = "minnow";
inline constexpr int kUnimplemented = 12, kUnauthenticated = 16;  // gRPC's numbers

struct Violation {
  std::string field;  // the path in the request: "options.stop[3]"
  std::string description;
};

struct Failure {
  Failure() = default;  // no failure
  Failure(Status s) : status(std::move(s)) {}
  Failure(Status s, const char* r) : status(std::move(s)), reason(r) {}
  Failure(std::vector<Violation> v);  // kInvalid; the message tells the first
  static Failure Unauthenticated();
  static Failure AtField(std::string field, const Status& status);  // a kInvalid of the engine's

  bool ok() const { return status.ok(); }
  int grpc_code() const;
  std::string reason_name() const;
  // A serialized google.rpc.Status.
  std::string Details() const;

  Status status;
  const char* reason = nullptr;  // null: by the code
  std::vector<Violation> violations;
  double retry_seconds = 0;  // with a RetryInfo if above 0
};

const char* GrpcCodeName(int code);  // "OK", "NOT_FOUND", ...

}  // namespace minnow::service
