// A whole service in this process, on free ports, and clients of it.
#pragma once

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "build_paths.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "minnow/v1/inference.grpc.pb.h"
#include "minnow/v1/models.grpc.pb.h"
#include "minnow/v1/pipelines.grpc.pb.h"
#include "service/service.h"
#include "test_util.h"

namespace minnow::test {

inline const std::string kGolden = InSource("tests/golden/models/");
inline const std::string kDemo = InSource("models/minnow-demo.Q8_0.gguf");

struct ServiceFixture {
  engine::RuntimeOptions runtime_options;
  service::ServiceOptions options;  // models, pipelines, limits: set before Start

  ServiceFixture();
  ~ServiceFixture() { Stop(); }

  void Start();  // and waits until all is loaded
  Status TryStart();
  void Stop();

  std::string address() const { return fmt::format("127.0.0.1:{}", service->ports()[0]); }
  std::shared_ptr<grpc::Channel> Channel(
      std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials());

  std::unique_ptr<v1::Inference::Stub> Inference() { return v1::Inference::NewStub(Channel()); }
  std::unique_ptr<v1::Models::Stub> Models() { return v1::Models::NewStub(Channel()); }
  std::unique_ptr<v1::Pipelines::Stub> Pipelines() { return v1::Pipelines::NewStub(Channel()); }
  std::unique_ptr<grpc::health::v1::Health::Stub> Health() {
    return grpc::health::v1::Health::NewStub(Channel());
  }

  std::unique_ptr<engine::Runtime> runtime;
  std::unique_ptr<script::Loop> loop;
  std::unique_ptr<service::Service> service;
  std::thread loop_thread;
};

// A call's context with a deadline that ends a test which would hang.
struct Context : grpc::ClientContext {
  explicit Context(double seconds = 120) {
    set_deadline(std::chrono::system_clock::now() +
                 std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000)));
  }
};

// What came of a stream that generates.
struct Answer {
  grpc::Status status;
  std::string text;
  std::vector<v1::Token> tokens;
  v1::Accepted accepted;
  v1::Finished finished;
  bool in_order = true;  // accepted first, finished last
};
Answer Generate(v1::Inference::Stub& stub, const v1::GenerateRequest& request,
                grpc::ClientContext& context);
Answer Chat(v1::Inference::Stub& stub, const v1::ChatRequest& request,
            grpc::ClientContext& context);

// A request of "llama" that goes on for n tokens.
v1::GenerateRequest Generation(uint32_t n, const std::string& prompt = "abc");

template <class Detail>
Detail DetailOf(const grpc::Status& status) {
  google::rpc::Status rich;
  rich.ParseFromString(status.error_details());
  Detail detail;
  for (const auto& any : rich.details()) {
    if (any.Is<Detail>()) any.UnpackTo(&detail);
  }
  return detail;
}
inline std::string ReasonOf(const grpc::Status& status) {
  return DetailOf<google::rpc::ErrorInfo>(status).reason();
}
// Of the first that is wrong, or empty.
inline std::string FieldOf(const grpc::Status& status) {
  const auto bad = DetailOf<google::rpc::BadRequest>(status);
  return bad.field_violations_size() ? bad.field_violations(0).field() : "";
}

#define CHECK_GRPC_OK(expr)                                     \
  do {                                                          \
    const ::grpc::Status grpc_ok_ = (expr);                     \
    if (!grpc_ok_.ok()) FAIL(grpc_ok_.error_message().c_str()); \
  } while (0)

#define CHECK_GRPC(expected_code, expected_reason, expr)                           \
  do {                                                                             \
    const ::grpc::Status grpc_status_ = (expr);                                    \
    LONGS_EQUAL_TEXT(::grpc::StatusCode::expected_code, grpc_status_.error_code(), \
                     grpc_status_.error_message().c_str());                        \
    STRCMP_EQUAL(expected_reason, ::minnow::test::ReasonOf(grpc_status_).c_str()); \
  } while (0)

}  // namespace minnow::test
