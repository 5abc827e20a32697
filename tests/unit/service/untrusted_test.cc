// Pipelines of strangers over gRPC: `minnow serve --untrusted`.
#include <fstream>

#include "service/service_fixture.h"

namespace minnow::test {
namespace {

const char* const kPipeline = R"(
  local minnow = require "minnow"
  local m = minnow.model "llama"
  return minnow.pipeline { name = "p", run = function(doc)
    if doc.text == "loop" then
      while true do pcall(function() while true do end end) end
    end
    if doc.text == "crowd" then
      local t = {}
      for i = 1, 1000 do t[i] = ("x"):rep(1 << 20) .. i end
    end
    if doc.text == "fail" then error { code = "not_found", message = "nothing like it" } end
    if doc.text == "file" then return minnow.files.read "/etc/passwd" end
    local options = { max_tokens = 6, temperature = 0.8, seed = 3, logprobs = 1 }
    return { text = m:generate(doc.text, options), scores = m:score(doc.text, { "a", "bc" }),
             id = doc.id, page = doc.meta.page }
  end })";

TEST_GROUP(UntrustedPipelines) {
  TempDir dir;
  ServiceFixture f;
  std::unique_ptr<v1::Pipelines::Stub> stub;

  void Start(bool untrusted, const std::string& source = kPipeline) {
    f.Stop();
    f.runtime_options.model_dirs = {kGolden};
    f.options.models = {{"llama", kGolden + "llama.gguf"}};
    f.options.pipelines = {dir / "p.lua"};
    f.options.scripts.untrusted.reset();
    if (untrusted) f.options.scripts.untrusted.emplace();
    std::ofstream(dir / "p.lua") << source;
    f.Start();
    stub = f.Pipelines();
  }
  grpc::Status Run(const std::string& text, std::string* result) {
    v1::RunRequest request;
    v1::RunResponse response;
    request.mutable_document()->set_id("i");
    request.mutable_document()->set_text(text);
    request.mutable_document()->set_meta(R"({"page": 7})");
    Context context;
    const grpc::Status status = stub->Run(&context, request, &response);
    *result = response.result();
    return status;
  }
  std::string Told(const std::string& text) {
    std::string result;
    const grpc::Status status = Run(text, &result);
    return status.ok() ? result : ReasonOf(status) + ": " + status.error_message();
  }
};

TEST(UntrustedPipelines, AnswerAndFailAsTrustedOnesDo) {
  f.options.scripts.budget.lua_seconds = 0.3;
  const char* const texts[] = {"abc", "", "fail", "loop", "crowd", "file"};
  std::vector<std::string> trusted;
  Start(false);
  for (const char* text : texts) trusted.push_back(Told(text));
  STRCMP_CONTAINS("\"page\":7", trusted[0].c_str());
  STRCMP_CONTAINS("NOT_FOUND: nothing like it", trusted[2].c_str());
  STRCMP_CONTAINS("budget of 0.3 s", trusted[3].c_str());
  Start(true);
  for (size_t i = 0; i < std::size(texts); ++i) {
    STRCMP_EQUAL(trusted[i].c_str(), Told(texts[i]).c_str());
  }
}

TEST(UntrustedPipelines, StreamAndOneThatLoopsCostsItselfAlone) {
  f.options.scripts.budget.lua_seconds = 0.3;
  Start(true);
  const std::string alone = Told("abc");
  Context context;
  auto stream = stub->RunStream(&context);
  constexpr int kDocuments = 100;
  std::thread writer([&] {
    v1::RunStreamRequest request;
    for (int i = 0; i < kDocuments; ++i) {
      request.mutable_document()->set_id(std::to_string(i));
      request.mutable_document()->set_text(i % 25 == 7 ? "loop" : i % 25 == 8 ? "fail" : "abc");
      request.mutable_document()->set_meta(R"({"page": 7})");
      if (!stream->Write(request)) break;
    }
    stream->WritesDone();
  });
  std::map<int, v1::RunStreamResponse> results;
  v1::RunStreamResponse response;
  while (stream->Read(&response)) results[std::stoi(response.id())] = response;
  writer.join();
  CHECK_GRPC_OK(stream->Finish());
  LONGS_EQUAL(kDocuments, results.size());
  for (const auto& [id, result] : results) {
    LONGS_EQUAL(id % 25 == 7 || id % 25 == 8, result.has_error());
    if (id % 25 == 7) LONGS_EQUAL(grpc::StatusCode::RESOURCE_EXHAUSTED, result.error().code());
    if (id % 25 == 8) LONGS_EQUAL(grpc::StatusCode::NOT_FOUND, result.error().code());
  }
  STRCMP_EQUAL(alone.c_str(), Told("abc").c_str());
}

TEST(UntrustedPipelines, ADeadlineEndsWhatTheyWaitFor) {
  Start(true, R"(
    local minnow = require "minnow"
    return minnow.pipeline { name = "p", run = function() minnow.sleep(100) end })");
  v1::RunRequest request;
  request.mutable_document();
  v1::RunResponse response;
  Context context(0.1);
  CHECK(stub->Run(&context, request, &response).error_code() ==
        grpc::StatusCode::DEADLINE_EXCEEDED);
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (f.service->requests() > 0 && std::chrono::steady_clock::now() < until) {
    std::this_thread::yield();
  }
  LONGS_EQUAL(0, f.service->requests());
}

TEST(UntrustedPipelines, AreLoadedAnewToo) {
  Start(true);
  std::ofstream(dir / "p.lua.new")
      << "return require 'minnow'.pipeline { name = 'p', run = function() return 'new' end }";
  std::filesystem::rename(dir / "p.lua.new", dir / "p.lua");
  std::string told;
  for (int i = 0; i < 1200 && (told = Told("abc")) != "\"new\""; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  STRCMP_EQUAL("\"new\"", told.c_str());
}

TEST(UntrustedPipelines, OpenNoModelsByPath) {
  f.Stop();
  f.options.scripts.untrusted.emplace();
  std::ofstream(dir / "p.lua") << "local m = require 'minnow'.model '" + kGolden + "llama.gguf'";
  f.options.pipelines = {dir / "p.lua"};
  CHECK_ERROR(Code::kInvalid, "an untrusted script opens what is in the model folders",
              f.TryStart());
}

TEST(UntrustedPipelines, AreGrantedNothing) {
  f.options.scripts.untrusted.emplace();
  f.options.scripts.grants.net.push_back("localhost");
  std::ofstream(dir / "p.lua") << kPipeline;
  f.options.pipelines = {dir / "p.lua"};
  CHECK_ERROR(Code::kInvalid, "can be granted nothing", f.TryStart());
}

}  // namespace
}  // namespace minnow::test
