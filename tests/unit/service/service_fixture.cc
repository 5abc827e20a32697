#include "service/service_fixture.h"

#include <future>

#include "build_paths.h"

namespace minnow::test {

ServiceFixture::ServiceFixture() {
  runtime_options.plugin_dirs = {InBuild("plugins")};
  runtime_options.n_threads = 1;
  runtime_options.instance.kv_tokens = 8192;
  options.server.listen = {"127.0.0.1:0"};
}

void ServiceFixture::Start() { CHECK_OK(TryStart()); }

Status ServiceFixture::TryStart() {
  MNW_ASSIGN(loop, script::Loop::Create());
  MNW_ASSIGN(runtime, engine::Runtime::Create(runtime_options));
  MNW_ASSIGN(service, service::Service::Start(options, *runtime, *loop));
  std::promise<Status> loaded;
  service->Load([&](Status status) { loaded.set_value(std::move(status)); });
  loop_thread = std::thread([this] { loop->Run(); });
  return loaded.get_future().get();
}

void ServiceFixture::Stop() {
  if (loop_thread.joinable()) {
    loop->Stop();
    loop_thread.join();
  }
  service.reset();
  runtime.reset();
  loop.reset();
}

std::shared_ptr<grpc::Channel> ServiceFixture::Channel(
    std::shared_ptr<grpc::ChannelCredentials> credentials) {
  // A pool of its own: tests must not meet connections of other tests' servers.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address(), credentials, arguments);
}

namespace {

template <class Response, class Reader>
Answer Read(Reader& reader) {
  Answer answer;
  Response response;
  int n = 0;
  for (; reader.Read(&response); ++n) {
    answer.in_order &= (n == 0) == response.has_accepted() && !answer.finished.reason();
    if (response.has_accepted()) answer.accepted = response.accepted();
    if (response.has_finished()) answer.finished = response.finished();
    answer.text += response.chunk().text();
    for (const v1::Token& token : response.chunk().tokens()) answer.tokens.push_back(token);
  }
  answer.status = reader.Finish();
  return answer;
}

}  // namespace

Answer Generate(v1::Inference::Stub& stub, const v1::GenerateRequest& request,
                grpc::ClientContext& context) {
  return Read<v1::GenerateResponse>(*stub.Generate(&context, request));
}

Answer Chat(v1::Inference::Stub& stub, const v1::ChatRequest& request,
            grpc::ClientContext& context) {
  return Read<v1::ChatResponse>(*stub.Chat(&context, request));
}

v1::GenerateRequest Generation(uint32_t n, const std::string& prompt) {
  v1::GenerateRequest request;
  request.set_model("llama");
  request.mutable_prompt()->set_text(prompt);
  request.mutable_options()->set_max_tokens(n);
  request.mutable_options()->set_ignore_end(true);
  return request;
}

}  // namespace minnow::test
