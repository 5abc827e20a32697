#include "script/child.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/log.h"
#include "script/child_link.h"
#include "script/child_process.h"
#include "script/lockdown.h"
#include "script/model_json.h"
#include "script/pipeline.h"
#include "script/remote_models.h"
#include "script/run.h"

namespace minnow::script {
namespace {

using Json = nlohmann::ordered_json;
using Before = std::function<void(const std::string& text, Watch& watch)>;

// The message that says what to do. The reader hands it over and waits until somebody takes the
// messages that follow.
class Orders {
 public:
  void Put(const Json& message) {
    std::unique_lock lock(mutex_);
    if (!begun_) {
      begun_ = true;
      start_ = message;
      changed_.notify_all();
      return;
    }
    changed_.wait(lock, [&] { return taker_ != nullptr; });
    lock.unlock();
    taker_(message);
  }
  Json Start() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return begun_; });
    return start_;
  }
  void TakeWith(std::function<void(const Json&)> taker) {
    const std::lock_guard lock(mutex_);
    taker_ = std::move(taker);
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool begun_ = false;
  Json start_;
  std::function<void(const Json&)> taker_;
};

// What print writes goes to the host: this process has no stdout.
std::FILE* OpenPrint(ChildLink& link) {
  cookie_io_functions_t functions = {};
  functions.write = [](void* cookie, const char* data, size_t size) -> ssize_t {
    const std::string_view text(data, size);
    const Json message = {{"type", "print"}, {"text", TextToJson(text)}};
    return static_cast<ChildLink*>(cookie)->Send(message).ok() ? static_cast<ssize_t>(size) : 0;
  };
  std::FILE* file = ::fopencookie(&link, "w", functions);
  static char buffer[BUFSIZ];
  if (file) std::setvbuf(file, buffer, _IOLBF, sizeof buffer);
  return file;
}

Budget BudgetOf(const Json& start) {
  Budget budget;
  if (!FromJson(start["budget"], &budget).ok()) std::abort();  // the host is not hostile
  return budget;
}

struct Child {
  ChildLink& link;
  Loop& loop;
  RemoteModels& models;
  Watch* watch;
  std::FILE* print_to;

  void RunScript(const Json& start, std::unique_ptr<Sources> sources) {
    const auto run = [&]() -> Result<ScriptEnd> {
      MNW_ASSIGN(Program program, Program::Load(std::move(sources)));
      std::vector<std::string> arguments;
      for (const Json& argument : start["arguments"]) {
        MNW_TRY(FromJson(argument, &arguments.emplace_back()));
      }
      return RunProgram(std::move(program), arguments, models, loop, BudgetOf(start), {}, print_to);
    };
    const Result<ScriptEnd> end = run();
    std::fflush(print_to);
    const bool is_pipeline = end.ok() && *end == ScriptEnd::kPipeline;
    Tell({{"type", "ended"}, {"status", ToJson(end.status())}, {"pipeline", is_pipeline}});
  }

  void RunPipeline(const Json& start, std::unique_ptr<Sources> sources, Orders& orders,
                   const Before& before) {
    PipelineOptions options{.budget = BudgetOf(start)};
    std::optional<engine::Priority> priority;
    if (!FromJson(start["priority"], &priority).ok() || !priority) std::abort();
    options.priority = *priority;
    auto program = Program::Load(std::move(sources));
    Status status = std::move(program).status();
    std::unique_ptr<LocalPipeline> pipeline;
    if (status.ok()) {
      auto loaded =
          LocalPipeline::Load(*std::move(program), models, loop, options, print_to, watch);
      if (loaded.ok()) {
        pipeline = *std::move(loaded);
      } else {
        status = std::move(loaded).status();
      }
    }
    Tell({{"type", "loaded"},
          {"status", ToJson(status)},
          {"name", TextToJson(pipeline ? pipeline->name() : "")}});
    if (!pipeline) return;
    orders.TakeWith([&](const Json& message) {
      loop.Post([&, message] {
        if (message["type"] == "run") return RunDocument(*pipeline, message, before);
        pipeline->Cancel(message["run"].get<uint64_t>());
      });
    });
    loop.Run();
  }

  void RunDocument(Pipeline& pipeline, const Json& message, const Before& before) {
    Document document;
    std::string meta;
    Status status = FromJson(message["id"], &document.id);
    if (status.ok()) status = FromJson(message["path"], &document.path);
    if (status.ok()) status = FromJson(message["text"], &document.text);
    if (status.ok()) status = FromJson(message["meta"], &meta);
    if (status.ok()) status = FromJson(message["priority"], &document.priority);
    auto parsed = ParseJson(meta);
    if (!status.ok() || !parsed.ok()) std::abort();  // the host is not hostile
    document.meta = *std::move(parsed);
    const uint64_t run = message["run"].get<uint64_t>();
    if (before) {
      watch->running = run;
      before(document.text, *watch);
      watch->running = 0;
    }
    const Pipeline::RunId id = pipeline.Run(
        std::move(document), [this, run](DocumentResult result) { TellResult(run, result); });
    if (id != run) std::abort();  // both sides count alike
  }

  void TellResult(uint64_t run, const DocumentResult& result) {
    Json message = {{"type", "result"},
                    {"run", run},
                    {"status", ToJson(result.status)},
                    {"value", result.value.dump(-1, ' ', false, Json::error_handler_t::replace)},
                    {"prompt_tokens", result.prompt_tokens},
                    {"completion_tokens", result.completion_tokens},
                    {"steps", ToJson(result.steps)}};
    std::fflush(print_to);
    Status sent = link.Send(message);
    if (sent.ok()) return;
    message["status"] = ToJson(std::move(sent).Annotate("the result"));
    message["value"] = "null";
    Tell(message);
  }

  void Tell(const Json& message) {
    if (!link.Send(message).ok()) std::abort();  // too long for an error: the script's own name
  }
};

// libuv starts its threads when there is work, which would be too late.
void StartPool(Loop& loop) {
  const Loop::Address address = loop.NewAddress();
  loop.Work([&loop]() -> Loop::Function { return [&loop] { loop.Stop(); }; }, address);
  loop.Run();
  loop.Retire(address);
}

}  // namespace

int ServeHost(int argc, char** argv, const Before& before) {
  if (argc != 3) return 2;
  // A thread's own heap, when it shrinks, is preceded by a look into a file of the kernel's.
  ::mallopt(M_ARENA_MAX, 1);
  const size_t memory_bytes = std::strtoull(argv[1], nullptr, 10);
  const unsigned long cpu_seconds = std::strtoul(argv[2], nullptr, 10);
  void* page = ::mmap(nullptr, sizeof(Watch), PROT_READ | PROT_WRITE, MAP_SHARED, kChildPage, 0);
  if (page == MAP_FAILED) return 2;
  ::close(kChildPage);
  std::set_new_handler([] { ::_exit(kChildExitMemory); });
  ::tzset();  // reads the time zone's file
  auto loop = Loop::Create();
  if (!loop.ok()) return kChildExitMemory;
  StartPool(**loop);

  ChildLink link(kChildSocket);
  Orders orders;
  link.Start([&](const Json& message) { orders.Put(message); });
  std::FILE* print_to = OpenPrint(link);
  if (!print_to) return kChildExitMemory;
  SetLogSink([&link](LogLevel level, std::string_view text) {
    static_cast<void>(
        link.Send({{"type", "log"}, {"level", static_cast<int>(level)}, {"text", TextToJson(text)}})
            .ok());
  });
  LimitResources(memory_bytes, cpu_seconds);
  if (!ForbidSystemCalls().ok()) ::_exit(kChildExitUnconfined);

  const Json start = orders.Start();
  RemoteModels models(link);
  Child child{link, **loop, models, static_cast<Watch*>(page), print_to};
  std::string path;
  if (!FromJson(start["path"], &path).ok()) std::abort();
  auto sources = MakeRemoteSources(link, path);
  if (start["kind"] == "script") {
    child.RunScript(start, std::move(sources));
  } else {
    child.RunPipeline(start, std::move(sources), orders, before);
  }
  ::_exit(EXIT_SUCCESS);  // the host has what it wanted; threads and their files are not in order
}

}  // namespace minnow::script
