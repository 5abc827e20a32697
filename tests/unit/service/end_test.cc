// Calls that end while others of the server's threads still have to do with them.
#include <atomic>
#include <thread>

#include "grpc/reflection/v1/reflection.grpc.pb.h"
#include "service/server.h"
#include "service/service_fixture.h"

namespace minnow::test {
namespace {

namespace reflection = grpc::reflection::v1;

// What a handler holds for its call, and is slow to let go.
struct Held {
  std::atomic<bool>& ended;
  std::atomic<bool>& outlived;
  ~Held() {
    for (int i = 0; i < 60 && !ended; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    outlived = ended.load();
  }
};

// Answers on a thread of its own, as the engine's executor does.
class AnswersElsewhere final : public service::Requests {
 public:
  AnswersElsewhere(service::CallPtr call, std::function<void(service::CallPtr)> answer)
      : call_(std::move(call)), answer_(std::move(answer)) {}
  void OnMessage(const google::protobuf::Message&) override { answer_(call_); }
  void OnHalfClose() override {}

 private:
  const service::CallPtr call_;
  const std::function<void(service::CallPtr)> answer_;
};

TEST_GROUP(End) {
  std::atomic<bool> ended = false;
  std::function<void(service::CallPtr)> answer;
  service::Router router;
  std::unique_ptr<service::Server> server;

  void Start() {
    router.AddStream<reflection::ServerReflectionRequest>(
        "grpc.reflection.v1.ServerReflection", "ServerReflectionInfo", service::Kind::kAdmin,
        [this](const service::CallPtr& call) {
          return std::make_shared<AnswersElsewhere>(call, answer);
        });
    service::ServerOptions options;
    options.listen = {"127.0.0.1:0"};
    auto started =
        service::Server::Start(options, router, [this](const service::CallEnd&) { ended = true; });
    CHECK_OK(started.status());
    server = *std::move(started);
  }

  grpc::Status Ask() {
    auto stub = reflection::ServerReflection::NewStub(grpc::CreateChannel(
        fmt::format("127.0.0.1:{}", server->ports()[0]), grpc::InsecureChannelCredentials()));
    Context context;
    auto stream = stub->ServerReflectionInfo(&context);
    reflection::ServerReflectionResponse response;
    stream->Write({});
    while (stream->Read(&response)) {
    }
    return stream->Finish();
  }
};

TEST(End, OfACallComesAfterWhatItHeldIsGone) {
  std::atomic<bool> outlived = false;
  std::thread elsewhere;
  answer = [&](const service::CallPtr& call) {
    call->CancelWith([held = std::make_shared<Held>(ended, outlived)] {});
    elsewhere = std::thread([call] {
      call->Send(reflection::ServerReflectionResponse());
      call->Finish({});
    });
  };
  Start();
  CHECK_GRPC_OK(Ask());
  server.reset();
  elsewhere.join();
  CHECK(!outlived);
}

// As often as the race needs that this was: the one who ends the call is not done with it when the
// client knows, and closes the server.
TEST(End, OfTheServerMayComeAtOnceAfterThatOfItsLastCall) {
  for (int i = 0; i < 20; ++i) {
    std::thread elsewhere;
    answer = [&](const service::CallPtr& call) {
      elsewhere = std::thread([call] {
        for (int n = 0; n < 50; ++n) call->Send(reflection::ServerReflectionResponse());
        call->Finish({});
        call->Send(reflection::ServerReflectionResponse());
        call->Finish({});
      });
    };
    router = {};
    Start();
    CHECK_GRPC_OK(Ask());
    server.reset();
    elsewhere.join();
  }
}

}  // namespace
}  // namespace minnow::test
