// Pipelines whose files change, and the priority of their calls.
#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "service/service_fixture.h"
#include "service/source_watch.h"

namespace minnow::test {
namespace {

namespace fs = std::filesystem;

void Write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }
// As editors do: a new file takes the place of the old one.
void Replace(const std::string& path, const std::string& text) {
  Write(path + ".new", text);
  fs::rename(path + ".new", path);
}

std::string Returning(const std::string& expression, const std::string& name = "p") {
  return fmt::format(R"(
    local minnow = require "minnow"
    return minnow.pipeline {{ name = "{}", run = function(doc)
      if doc.text == "slow" then minnow.sleep(2) end
      return {}
    end }})",
                     name, expression);
}

TEST_GROUP(Reload) {
  TempDir dir;
  ServiceFixture f;
  std::unique_ptr<v1::Pipelines::Stub> stub;

  void Start(std::vector<std::string> files) {
    f.options.pipelines = std::move(files);
    f.Start();
    stub = f.Pipelines();
  }

  std::string Run(const std::string& text = "", const std::string& pipeline = "p") {
    v1::RunRequest request;
    v1::RunResponse response;
    request.set_pipeline(pipeline);
    request.mutable_document()->set_text(text);
    Context context;
    const grpc::Status status = stub->Run(&context, request, &response);
    return status.ok() ? response.result() : "failed: " + status.error_message();
  }
  v1::ListPipelinesResponse List() {
    v1::ListPipelinesResponse list;
    Context context;
    CHECK_GRPC_OK(stub->List(&context, {}, &list));
    return list;
  }
  // Within a minute; how soon it is depends on the machine.
  template <class Condition>
  bool Comes(Condition condition) {
    for (int i = 0; i < 1200; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
  }
  bool Gives(const std::string& result) {
    return Comes([&] { return Run() == result; });
  }
  bool Fails(const std::string& text) {
    return Comes([&] {
      const auto list = List();
      const auto found = list.errors().find("p");
      return found != list.errors().end() && found->second.find(text) != std::string::npos;
    });
  }
};

TEST(Reload, OfAFileThatIsWrittenAgainOrReplaced) {
  Write(dir / "p.lua", Returning("1"));
  Start({dir / "p.lua"});
  STRCMP_EQUAL("1", Run().c_str());
  Write(dir / "p.lua", Returning("2"));  // of the same length
  CHECK(Gives("2"));
  Replace(dir / "p.lua", Returning("3"));
  CHECK(Gives("3"));
}

TEST(Reload, OfAModuleThatWasRequiredAtTheTopOrLater) {
  fs::create_directory(dir / "fields");
  Write(dir / "fields/one.lua", "return { value = 1 }");
  Write(dir / "late.lua", "return 10");
  Write(dir / "p.lua", R"(
    local minnow = require "minnow"
    local one = require "fields.one"
    return minnow.pipeline { name = "p", run = function() return one.value + require "late" end })");
  Start({dir / "p.lua"});
  STRCMP_EQUAL("11", Run().c_str());
  Replace(dir / "fields/one.lua", "return { value = 2 }");
  CHECK(Gives("12"));
  Replace(dir / "late.lua", "return 20");
  CHECK(Gives("22"));
}

TEST(Reload, ServesOnAsItWasWhileTheFileIsBroken) {
  Write(dir / "p.lua", Returning("1"));
  Start({dir / "p.lua"});
  LONGS_EQUAL(0, List().errors_size());
  Replace(dir / "p.lua", "return (");
  CHECK(Fails("p.lua:1: unexpected symbol"));
  STRCMP_EQUAL("1", Run().c_str());
  Replace(dir / "p.lua", "error('not today')");
  CHECK(Fails("not today"));
  STRCMP_EQUAL("1", Run().c_str());
  Replace(dir / "p.lua", "return 7");
  CHECK(Fails("returns minnow.pipeline"));
  fs::remove(dir / "p.lua");
  CHECK(Fails("no such file"));
  STRCMP_EQUAL("1", Run().c_str());
  Replace(dir / "p.lua", Returning("2"));
  CHECK(Gives("2"));
  LONGS_EQUAL(0, List().errors_size());
}

TEST(Reload, SeesTheModuleThatWasMissing) {
  Write(dir / "p.lua", Returning("1"));
  Start({dir / "p.lua"});
  Replace(dir / "p.lua", "local x = require 'fields.new'\n" + Returning("x"));
  CHECK(Fails("no module 'fields.new'"));
  fs::create_directory(dir / "fields");
  Write(dir / "fields/new.lua", "return 5");
  CHECK(Gives("5"));
}

TEST(Reload, LetsDocumentsEndAsTheyBegan) {
  Write(dir / "p.lua", Returning("1"));
  Start({dir / "p.lua"});
  Context context;
  auto stream = stub->RunStream(&context);
  v1::RunStreamRequest request;
  request.set_pipeline("p");
  request.mutable_document()->set_id("old");
  request.mutable_document()->set_text("slow");
  CHECK(stream->Write(request));
  std::string slow;
  std::thread other([&] { slow = Run("slow"); });
  request.mutable_document()->set_id("first");
  request.mutable_document()->clear_text();
  v1::RunStreamResponse response;
  CHECK(stream->Write(request) && stream->Read(&response));
  STRCMP_EQUAL("first", response.id().c_str());  // so "old" is under way
  Replace(dir / "p.lua", Returning("2"));
  CHECK(Gives("2"));
  other.join();
  CHECK(slow == "1" || slow == "2");  // whichever came first
  request.mutable_document()->set_id("new");
  CHECK(stream->Write(request));
  stream->WritesDone();
  std::map<std::string, std::string> results;
  while (stream->Read(&response)) results[response.id()] = response.result().result();
  CHECK_GRPC_OK(stream->Finish());
  STRCMP_EQUAL("1", results["old"].c_str());
  STRCMP_EQUAL("2", results["new"].c_str());
}

TEST(Reload, MayChangeTheNameButNotTakeAnothers) {
  Write(dir / "p.lua", Returning("1"));
  Write(dir / "q.lua", Returning("2", "q"));
  Start({dir / "p.lua", dir / "q.lua"});
  Replace(dir / "p.lua", Returning("3", "q"));
  CHECK(Fails("another file has the pipeline 'q'"));
  STRCMP_EQUAL("1", Run("", "p").c_str());
  STRCMP_EQUAL("2", Run("", "q").c_str());
  Replace(dir / "p.lua", Returning("3", "r"));
  CHECK(Comes([&] { return Run("", "r") == "3"; }));
  STRCMP_CONTAINS("there is no pipeline 'p'", Run("", "p").c_str());
}

TEST(Reload, ManyTimesUnderDocumentsThatComeAndGo) {
  Write(dir / "p.lua", Returning("0"));
  Start({dir / "p.lua"});
  std::atomic<bool> stop = false;
  std::atomic<int> failed = 0;
  std::vector<std::thread> clients;
  for (int c = 0; c < 3; ++c) {
    clients.emplace_back([&] {
      while (!stop) {
        Context cancelled(0.01);
        v1::RunRequest request;
        v1::RunResponse response;
        request.mutable_document()->set_text("slow");
        (void)stub->Run(&cancelled, request, &response);
        if (Run().starts_with("failed")) ++failed;
      }
    });
  }
  for (int i = 1; i <= 5; ++i) {
    Write(dir / "p.lua", Returning(std::to_string(i)));
    CHECK(Gives(std::to_string(i)));
  }
  stop = true;
  for (std::thread& client : clients) client.join();
  LONGS_EQUAL(0, failed);
}

TEST(Reload, WaitsForAWriterToBeDone) {
  const std::string path = dir / "a.lua";
  Write(path, "one");
  service::SourceWatch watch(service::SourceWatch::Files{{path, script::Program::HashOf(path)}});
  CHECK(!watch.Changed());
  Write(path, "");
  CHECK(!watch.Changed());  // may be on its way
  Write(path, "two");
  CHECK(!watch.Changed());
  CHECK(watch.Changed());
  Write(path, "one");
  CHECK(!watch.Changed());
  CHECK(!watch.Changed());  // nothing has changed after all
}

TEST(Reload, OfALinkThatPointsElsewhere) {
  fs::create_directory(dir / "v1");
  fs::create_directory(dir / "v2");
  for (const char* version : {"1", "2"}) {
    Write(dir / fmt::format("v{}/p.lua", version), Returning("require 'module'"));
    Write(dir / fmt::format("v{}/module.lua", version), fmt::format("return {}", version));
  }
  fs::create_symlink("v1", dir / "now");
  Start({dir / "now/p.lua"});
  STRCMP_EQUAL("1", Run().c_str());
  fs::create_symlink("v2", dir / "then");
  fs::rename(dir / "then", dir / "now");
  CHECK(Gives("2"));
}

TEST_GROUP(PipelinePriority) {
  TempDir dir;
  ServiceFixture f;
};

TEST(PipelinePriority, IsInteractiveForOneAndBatchForStreamsUnlessAsked) {
  Write(dir / "p.lua", Returning("1"));
  f.options.pipelines = {dir / "p.lua"};
  f.options.access_log = dir / "log";
  f.Start();
  auto stub = f.Pipelines();
  // A call is logged after its client has heard of its end, perhaps after the next one's.
  const auto wait_for_lines = [&](size_t n) {
    for (size_t lines = 0; lines < n; std::this_thread::yield()) {
      std::ifstream in(dir / "log");
      lines = static_cast<size_t>(std::count(std::istreambuf_iterator<char>(in), {}, '\n'));
    }
  };
  size_t n_calls = 0;
  for (const v1::Priority priority :
       {v1::PRIORITY_UNSPECIFIED, v1::PRIORITY_INTERACTIVE, v1::PRIORITY_BATCH}) {
    v1::RunRequest one;
    v1::RunResponse response;
    one.mutable_document();
    one.set_priority(priority);
    Context context, streaming;
    CHECK_GRPC_OK(stub->Run(&context, one, &response));
    wait_for_lines(++n_calls);
    auto stream = stub->RunStream(&streaming);
    v1::RunStreamRequest request;
    request.mutable_document();
    request.set_priority(priority);
    CHECK(stream->Write(request));
    stream->WritesDone();
    v1::RunStreamResponse result;
    while (stream->Read(&result)) {
    }
    CHECK_GRPC_OK(stream->Finish());
    wait_for_lines(++n_calls);
  }
  f.Stop();
  std::ifstream in(dir / "log");
  std::map<std::string, std::string> priorities;
  for (std::string line; std::getline(in, line);) {
    const auto entry = nlohmann::json::parse(line);
    priorities[entry["method"]] += entry["priority"].get<std::string>() + " ";
  }
  STRCMP_EQUAL("interactive interactive batch ", priorities["/minnow.v1.Pipelines/Run"].c_str());
  STRCMP_EQUAL("batch interactive batch ", priorities["/minnow.v1.Pipelines/RunStream"].c_str());
}

}  // namespace
}  // namespace minnow::test
