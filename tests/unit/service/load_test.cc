// What must hold when clients are rude, late or too many.
#include <absl/synchronization/mutex.h>
#include <grpcpp/generic/generic_stub.h>

#include <fstream>
#include <future>
#include <nlohmann/json.hpp>

#include "google/protobuf/descriptor.h"
#include "service/service_fixture.h"

namespace minnow::test {
namespace {

using Clock = std::chrono::steady_clock;

double Since(Clock::time_point begun) {
  return std::chrono::duration<double>(Clock::now() - begun).count();
}

TEST_GROUP(Load) {
  ServiceFixture f;
  void setup() override { f.options.models = {{"llama", kGolden + "llama.gguf"}}; }

  // Waits until nothing is under way: the slot and the engine are free again.
  void WaitUntilIdle() {
    const auto begun = Clock::now();
    while (f.service->requests() > 0 && Since(begun) < 60) std::this_thread::yield();
    LONGS_EQUAL(0, f.service->requests());
  }
};

TEST(Load, ACancelledCallIsGoneFromTheEngine) {
  f.Start();
  auto stub = f.Inference();
  Context context;
  auto reader = stub->Generate(&context, Generation(2000));
  v1::GenerateResponse response;
  CHECK(reader->Read(&response));
  CHECK(reader->Read(&response));
  context.TryCancel();
  while (reader->Read(&response)) {
  }
  LONGS_EQUAL(grpc::StatusCode::CANCELLED, reader->Finish().error_code());
  WaitUntilIdle();
  v1::DescribeResponse description;
  Context describing;
  CHECK_GRPC_OK(f.Models()->Describe(&describing, {}, &description));
  LONGS_EQUAL(0, description.load().running());
  LONGS_EQUAL(0, description.load().pages_used());
}

TEST(Load, ADeadlineEndsTheWork) {
  f.Start();
  auto stub = f.Inference();
  Context context(0.01);  // 2,000 tokens take the least of models some 40 ms
  LONGS_EQUAL(grpc::StatusCode::DEADLINE_EXCEEDED,
              Generate(*stub, Generation(2000), context).status.error_code());
  WaitUntilIdle();
}

TEST(Load, ACallWithoutADeadlineGetsTheServers) {
  f.options.server.default_deadline_seconds = 0.01;
  f.Start();
  auto stub = f.Inference();
  grpc::ClientContext context;
  CHECK_GRPC(DEADLINE_EXCEEDED, "DEADLINE", Generate(*stub, Generation(2000), context).status);
}

TEST(Load, TooManyAreRefusedAtOnceWithADelay) {
  constexpr int kMost = 2;
  f.options.server.max_requests = kMost;
  f.Start();
  auto stub = f.Inference();
  Context contexts[kMost];
  std::vector<std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>>> busy;
  v1::GenerateResponse response;
  for (Context& context : contexts) {
    busy.push_back(stub->Generate(&context, Generation(2000)));
    CHECK(busy.back()->Read(&response));
  }
  std::vector<double> seconds;
  for (int i = 0; i < 50; ++i) {
    Context context;
    const auto begun = Clock::now();
    const grpc::Status status = Generate(*stub, Generation(1), context).status;
    seconds.push_back(Since(begun));
    CHECK_GRPC(RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS", status);
    CHECK(DetailOf<google::rpc::RetryInfo>(status).retry_delay().seconds() > 0);
  }
  // 50 ms are the promise (tests/bench/serve_load.cc measures it); a busy machine gets more here.
  std::sort(seconds.begin(), seconds.end());
  CHECK(seconds[seconds.size() / 2] < 0.5);
  for (Context& context : contexts) context.TryCancel();
  for (auto& reader : busy) (void)reader->Finish();
  WaitUntilIdle();
  Context context;
  CHECK_GRPC_OK(Generate(*stub, Generation(1), context).status);
}

// Where Abseil does it, it would end the process here.
TEST(Load, LocksAreNotWatchedForDeadlocksWhichTakesTime) {
  f.Start();
  absl::Mutex a, b;
  for (auto [first, second] : {std::pair{&a, &b}, {&b, &a}}) {
    const absl::MutexLock one(first), two(second);
  }
}

TEST(Load, AFullQueueOfTheEngineIsToldLikewise) {
  f.runtime_options.engine.max_queued = 1;
  f.runtime_options.instance.max_seqs = 1;
  f.Start();
  auto stub = f.Inference();
  Context running, waiting;
  auto first = stub->Generate(&running, Generation(2000));
  v1::GenerateResponse response;
  CHECK(first->Read(&response));  // accepted
  CHECK(first->Read(&response));  // runs, so the queue is empty
  auto second = stub->Generate(&waiting, Generation(2000));
  CHECK(second->Read(&response));
  Context context;
  const grpc::Status status = Generate(*stub, Generation(1), context).status;
  CHECK_GRPC(RESOURCE_EXHAUSTED, "QUEUE_FULL", status);
  CHECK(DetailOf<google::rpc::RetryInfo>(status).has_retry_delay());
  running.TryCancel();
  waiting.TryCancel();
  (void)first->Finish();
  (void)second->Finish();
}

TEST(Load, ASlowReaderLosesItsCallAndNobodyElse) {
  f.options.server.max_unread_bytes = 64 << 10;
  f.Start();
  // Small windows, so that not everything fits into the transport.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  auto slow = v1::Inference::NewStub(
      grpc::CreateCustomChannel(f.address(), grpc::InsecureChannelCredentials(), arguments));
  v1::GenerateRequest request = Generation(2000);
  request.mutable_options()->set_logprobs(20);
  Context context;
  auto reader = slow->Generate(&context, request);
  auto stub = f.Inference();
  Context other;
  CHECK_GRPC_OK(Generate(*stub, Generation(500), other).status);
  v1::GenerateResponse response;
  int n = 0;
  while (reader->Read(&response)) n += response.chunk().tokens_size();
  CHECK_GRPC(RESOURCE_EXHAUSTED, "SLOW_READER", reader->Finish());
  CHECK(n < 2000);
}

TEST(Load, EveryMethodWantsTheToken) {
  auto tokens = service::Tokens::Parse("the-only-token-there-is");
  CHECK_OK(tokens.status());
  f.options.server.tokens = *std::move(tokens);
  f.Start();
  grpc::GenericStub stub(f.Channel());
  const auto call = [&](const std::string& method, const std::string& authorization) {
    Context context;
    if (!authorization.empty()) context.AddMetadata("authorization", authorization);
    grpc::ByteBuffer empty, response;
    const grpc::Slice nothing;
    empty = grpc::ByteBuffer(&nothing, 1);
    std::promise<grpc::Status> done;
    stub.UnaryCall(&context, method, {}, &empty, &response,
                   [&](grpc::Status status) { done.set_value(std::move(status)); });
    return done.get_future().get();
  };
  size_t n = 0;
  const auto* pool = google::protobuf::DescriptorPool::generated_pool();
  for (const char* name :
       {"minnow.v1.Inference", "minnow.v1.Models", "minnow.v1.Pipelines", "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}) {
    const auto* service = pool->FindServiceByName(name);
    for (int i = 0; i < service->method_count(); ++i, ++n) {
      const std::string path = std::string("/") + name + "/" + service->method(i)->name();
      for (const char* wrong : {"", "Bearer the-only-token-there-iz", "the-only-token-there-is"}) {
        const grpc::Status status = call(path, wrong);
        LONGS_EQUAL_TEXT(grpc::StatusCode::UNAUTHENTICATED, status.error_code(), path.c_str());
      }
    }
  }
  CHECK(n >= 19);
  CHECK_GRPC(UNAUTHENTICATED, "UNAUTHENTICATED", call("/no.such/Method", ""));
  const std::string right = "Bearer the-only-token-there-is";
  CHECK_GRPC(UNIMPLEMENTED, "UNSUPPORTED", call("/no.such/Method", right));
  CHECK_GRPC_OK(call("/minnow.v1.Models/List", right));
}

TEST(Load, HealthMayBeOpen) {
  auto tokens = service::Tokens::Parse("the-only-token-there-is");
  f.options.server.tokens = *std::move(tokens);
  f.options.server.open_health = true;
  f.Start();
  grpc::health::v1::HealthCheckResponse response;
  Context context, other;
  CHECK_GRPC_OK(f.Health()->Check(&context, {}, &response));
  v1::ListModelsResponse list;
  CHECK_GRPC(UNAUTHENTICATED, "UNAUTHENTICATED", f.Models()->List(&other, {}, &list));
}

TEST(Load, RefusesToBeOpenToAllWithoutAToken) {
  f.options.server.listen = {"0.0.0.0:0"};
  CHECK_ERROR(Code::kInvalid, "--token-file", f.TryStart());
}

TEST(Load, DrainingFinishesWhatIsAdmitted) {
  f.Start();
  auto stub = f.Inference();
  auto health = f.Health();
  Context watching, generating, checking, late;
  auto watch = health->Watch(&watching, {});
  grpc::health::v1::HealthCheckResponse state;
  CHECK(watch->Read(&state));
  LONGS_EQUAL(grpc::health::v1::HealthCheckResponse::SERVING, state.status());
  auto reader = stub->Generate(&generating, Generation(1000));
  v1::GenerateResponse response;
  CHECK(reader->Read(&response));
  f.service->StopAdmitting();
  CHECK(watch->Read(&state));
  LONGS_EQUAL(grpc::health::v1::HealthCheckResponse::NOT_SERVING, state.status());
  CHECK_GRPC(UNAVAILABLE, "DRAINING", Generate(*stub, Generation(1), late).status);
  CHECK_GRPC_OK(health->Check(&checking, {}, &state));
  LONGS_EQUAL(grpc::health::v1::HealthCheckResponse::NOT_SERVING, state.status());
  bool finished = false;
  while (reader->Read(&response)) finished |= response.has_finished();
  CHECK(finished);
  CHECK_GRPC_OK(reader->Finish());
  WaitUntilIdle();
}

TEST(Load, ClosingCutsWhatIsLeft) {
  f.Start();
  auto stub = f.Inference();
  Context context;
  auto reader = stub->Generate(&context, Generation(2000));
  v1::GenerateResponse response;
  CHECK(reader->Read(&response));
  f.Stop();
  while (reader->Read(&response)) {
  }
  CHECK(!reader->Finish().ok());
}

TEST(Load, LogsEachCallWithoutItsText) {
  const TempDir dir;
  f.options.access_log = dir / "access.jsonl";
  f.Start();
  auto stub = f.Inference();
  Context context;
  const std::string trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  context.AddMetadata("x-request-id", "request-7");
  context.AddMetadata("traceparent", trace);
  const Answer answer = Generate(*stub, Generation(4, "secret"), context);
  CHECK_GRPC_OK(answer.status);
  const auto& echoed = context.GetServerInitialMetadata();
  const auto id = echoed.find("x-request-id");
  CHECK(id != echoed.end());
  STRCMP_EQUAL("request-7", std::string(id->second.data(), id->second.size()).c_str());
  Context odd;
  odd.AddMetadata("x-request-id", std::string(200, 'x'));
  CHECK_GRPC_OK(Generate(*stub, Generation(1), odd).status);
  f.Stop();
  std::ifstream in(dir / "access.jsonl");
  std::vector<nlohmann::json> lines;
  std::string all;
  for (std::string line; std::getline(in, line); all += line) {
    lines.push_back(nlohmann::json::parse(line));
  }
  LONGS_EQUAL(2, lines.size());
  STRCMP_EQUAL("request-7", lines[0]["request_id"].get<std::string>().c_str());
  STRCMP_EQUAL(trace.c_str(), lines[0]["traceparent"].get<std::string>().c_str());
  STRCMP_EQUAL("/minnow.v1.Inference/Generate", lines[0]["method"].get<std::string>().c_str());
  STRCMP_EQUAL("OK", lines[0]["code"].get<std::string>().c_str());
  LONGS_EQUAL(4, lines[0]["completion_tokens"].get<int>());
  CHECK(lines[1]["request_id"].get<std::string>().size() == 24);
  CHECK(all.find("secret") == std::string::npos);
  CHECK(all.find(answer.text) == std::string::npos);
}

}  // namespace
}  // namespace minnow::test
