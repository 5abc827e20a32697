#include "script/remote_pipeline.h"

#include <chrono>
#include <utility>

#include "script/model_json.h"
#include "script/script_host.h"

namespace minnow::script {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

constexpr double kLookSeconds = 0.1;           // between two looks at a process
constexpr size_t kMaxText = kMaxFromHost / 8;  // escaped, it is at most six times as long
constexpr int kMaxTries = 2;
constexpr double kSilence = 10;  // of wall time, in multiples of the processor time it may take

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

Json StartOf(const char* kind, const Budget& budget, engine::Priority priority) {
  return {
      {"kind", kind}, {"budget", ToJson(budget)}, {"priority", ToJson(std::optional(priority))}};
}

Status StatusOf(const Death& death) {
  return Error(death.code, "the script's process was ended: it {}", death.what);
}

class RemotePipeline final : public Pipeline {
 public:
  RemotePipeline(const std::string& path, Models& models, Loop& loop,
                 const PipelineOptions& options)
      : loop_(loop),
        options_(options),
        address_(loop.NewAddress()),
        supply_{.models = models, .sources = KeptSources(path), .priority = options.priority} {}

  ~RemotePipeline() override {
    loop_.Retire(address_);
    host_.reset();
    loop_.WaitForWork();  // which opens models for documents that are gone
  }

  Status Load() {
    MNW_TRY(supply_.sources.Read("").status());
    Status loaded;
    bool answered = false;
    ScriptHost::Events events = MakeEvents();
    events.loaded = [&](Status status, std::string name) {
      answered = true;
      loaded = std::move(status);
      name_ = std::move(name);
    };
    events.died = [&](const Death& death) {
      if (!answered) loaded = StatusOf(death);
      answered = true;
      // By itself, with nothing to do: the first document has another one started.
      dead_at_load_ = true;
    };
    MNW_TRY(StartHost(std::move(events)));
    host_->Wait([&] { return answered; },
                options_.budget.lua_seconds + options_.untrusted->grace_seconds);
    if (!loaded.ok() || dead_at_load_) {
      host_.reset();
      return loaded;
    }
    events = MakeEvents();
    events.loaded = nullptr;  // once is enough
    host_->SetEvents(std::move(events));
    ready_ = true;
    host_->ServeOnLoop();
    return {};
  }

  const std::string& name() const override { return name_; }
  size_t n_parts() const override {
    return 1 + supply_.sources.modules().size() + supply_.open_models.size();
  }
  const Program::Files& files() const override { return supply_.sources.files(); }
  bool idle() const override { return documents_.empty(); }
  void print_to(std::FILE* file) override { supply_.print_to = file; }
  Result<PartList> Parts() const override {
    return ListParts(supply_.sources.main_sha256(), supply_.sources.modules(), supply_.open_models);
  }

  RunId Run(Document document, OnDone on_done) override {
    const RunId id = ++last_run_;
    documents_[id] = {
        .document = std::move(document), .on_done = std::move(on_done), .begun = Clock::now()};
    loop_.Post(address_, [this, id] { Begin(id); });
    return id;
  }

  void Cancel(RunId id) override {
    const auto node = documents_.extract(id);
    if (!node || node.mapped().in_process == 0) return;
    runs_.erase(node.mapped().in_process);
    if (host_) host_->CancelRun(node.mapped().in_process);
  }

 private:
  struct Running {
    Document document;
    OnDone on_done;
    Clock::time_point begun, handed{};  // to the process
    int tries = 0;
    uint64_t in_process = 0;  // what the process calls it; 0: it has not got it
    bool over = false;        // its end is on its way
  };

  ScriptHost::Events MakeEvents() {
    return {
        .loaded = [this](Status status, std::string) { Loaded(std::move(status)); },
        .result = [this](uint64_t run, DocumentResult result) { Finished(run, std::move(result)); },
        .ended = nullptr,
        .died = [this](const Death& death) { Died(death); }};
  }

  Status StartHost(ScriptHost::Events events) {
    ready_ = false;
    MNW_ASSIGN(host_, ScriptHost::Start(supply_, loop_, *options_.untrusted,
                                        StartOf("pipeline", options_.budget, options_.priority),
                                        std::move(events)));
    started_ = Clock::now();
    turns_ = 0;
    turn_began_ = 0;
    return {};
  }

  void Begin(RunId id) {
    const auto found = documents_.find(id);
    if (found == documents_.end() || found->second.in_process != 0) return;  // cancelled, or begun
    if (found->second.document.text.size() > kMaxText) {
      return Finish(id, {.status = Error(Code::kOutOfRange,
                                         "the document has {} bytes, more than an untrusted "
                                         "pipeline takes ({})",
                                         found->second.document.text.size(), kMaxText)});
    }
    if (!host_) {
      if (Status status = StartHost(MakeEvents()); !status.ok()) {
        return Finish(id, {.status = std::move(status)});
      }
      host_->ServeOnLoop();
    }
    if (ready_) Hand(found->second, id);
    if (!looking_) Look();
  }

  void Hand(Running& running, RunId id) {
    ++running.tries;
    running.handed = Clock::now();
    running.in_process = host_->Run(running.document);
    runs_[running.in_process] = id;
  }

  // Of a process that took the place of one that died.
  void Loaded(Status status) {
    loop_.Post(address_, [this, status = std::move(status)] {
      if (!host_) return;
      ready_ = status.ok();
      if (!ready_) host_.reset();
      for (const RunId id : Waiting()) {
        if (ready_) {
          Hand(documents_.at(id), id);
        } else {
          FinishSoon(id, {.status = status});
        }
      }
    });
  }

  std::vector<RunId> Waiting() const {
    std::vector<RunId> all;
    for (const auto& [id, running] : documents_) {
      if (running.in_process == 0 && !running.over) all.push_back(id);
    }
    return all;
  }

  void Finished(uint64_t run, DocumentResult result) {
    const auto node = runs_.extract(run);
    if (node) FinishSoon(node.mapped(), std::move(result));  // else cancelled, or told twice
  }

  // A caller may destroy this when it hears of the end, so it does in a turn of its own.
  void FinishSoon(RunId id, DocumentResult result) {
    documents_.at(id).over = true;
    loop_.Post(address_, [this, id, result = std::move(result)] {
      if (documents_.contains(id)) Finish(id, result);
    });
  }

  void Finish(RunId id, DocumentResult result) {
    auto node = documents_.extract(id);
    Running& running = node.mapped();
    if (running.in_process) runs_.erase(running.in_process);
    result.seconds = SecondsSince(running.begun);
    running.on_done(std::move(result));
  }

  void Died(const Death& death) {
    const Status status = StatusOf(death);
    const bool was_ready = ready_;
    host_.reset();
    ready_ = false;
    const auto culprit = runs_.find(death.running);
    const RunId guilty = culprit == runs_.end() ? 0 : culprit->second;
    runs_.clear();
    for (auto& [id, running] : documents_) {
      if (running.over) continue;
      const bool was_there = std::exchange(running.in_process, 0) != 0;
      if (id == guilty || !was_ready) {
        FinishSoon(id, {.status = status});
      } else if (was_there && running.tries >= kMaxTries) {
        FinishSoon(id, {.status = Error(Code::kUnavailable,
                                        "the script's process was ended {} times while this "
                                        "document was in it; the last time it {}",
                                        kMaxTries, death.what)});
      } else {
        loop_.Post(address_, [this, id = id] { Begin(id); });
      }
    }
  }

  // Looks at the process as long as it has something to do.
  void Look() {
    looking_ = host_ && !documents_.empty();
    if (!looking_) return;
    Check();
    loop_.After(kLookSeconds, address_, [this] { Look(); });
  }

  // The process ends documents at the end of their budgets, unless it cannot. One that waits costs
  // no processor time, however loaded the machine is.
  void Check() {
    const Budget& budget = options_.budget;
    const double grace = options_.untrusted->grace_seconds;
    const ChildProcess& process = host_->process();
    const double cpu = process.cpu_seconds();
    const uint64_t turns = process.watch().turns;
    if (std::exchange(turns_, turns) != turns || (ready_ && process.watch().running == 0)) {
      turn_began_ = cpu;
    }
    if (cpu - turn_began_ > budget.lua_seconds + grace) {
      return host_->Kill(
          Code::kExhausted,
          fmt::format("did not stop at the end of the document's budget of {} s in Lua",
                      budget.lua_seconds));
    }
    if (!ready_ && SecondsSince(started_) > kSilence * (budget.lua_seconds + grace)) {
      return host_->Kill(Code::kExhausted, "took too long to load");
    }
    for (const auto& [run, id] : runs_) {
      if (SecondsSince(documents_.at(id).handed) <= budget.seconds + grace) continue;
      return host_->Kill(
          Code::kDeadline,
          fmt::format("did not stop at the end of the document's budget of {} s", budget.seconds),
          run);
    }
  }

  Loop& loop_;
  const PipelineOptions options_;
  const Loop::Address address_;
  ScriptSupply supply_;
  std::string name_;
  std::unique_ptr<ScriptHost> host_;
  bool ready_ = false, looking_ = false, dead_at_load_ = false;
  Clock::time_point started_{};
  uint64_t turns_ = 0;     // when it was looked at last
  double turn_began_ = 0;  // in processor time
  RunId last_run_ = 0;
  std::map<RunId, Running> documents_;
  std::map<uint64_t, RunId> runs_;  // by what the process calls them
};

}  // namespace

Result<std::unique_ptr<Pipeline>> LoadRemotePipeline(const std::string& path, Models& models,
                                                     Loop& loop, const PipelineOptions& options,
                                                     Program::Files* files) {
  if (!options.grants.read.empty() || !options.grants.net.empty()) {
    return Error(Code::kInvalid, "{}: an untrusted pipeline can be granted nothing", path);
  }
  auto pipeline = std::make_unique<RemotePipeline>(path, models, loop, options);
  const Status loaded = pipeline->Load();
  if (files && !pipeline->files().empty()) *files = pipeline->files();
  MNW_TRY(loaded);
  return std::unique_ptr<Pipeline>(std::move(pipeline));
}

Result<ScriptEnd> RunUntrustedScript(const std::string& path,
                                     std::span<const std::string> arguments, Models& models,
                                     Loop& loop, const ChildLimits& limits, const Budget& budget,
                                     std::FILE* print_to) {
  ScriptSupply supply{.models = models,
                      .sources = KeptSources(path),
                      .priority = engine::Priority::kInteractive,
                      .prints_data = true,
                      .print_to = print_to};
  MNW_TRY(supply.sources.Read("").status());
  Json start = StartOf("script", budget, engine::Priority::kInteractive);
  start["arguments"] = Json::array();
  for (const std::string& argument : arguments) start["arguments"].push_back(TextToJson(argument));
  Result<ScriptEnd> end = ScriptEnd::kDone;
  bool ended = false;
  const auto finish = [&](Result<ScriptEnd> how) {
    if (std::exchange(ended, true)) return;
    end = std::move(how);
    loop.Stop();
  };
  ScriptHost::Events events{
      .loaded = nullptr, .result = nullptr, .ended = finish, .died = [&](const Death& death) {
        finish(StatusOf(death));
      }};
  {
    MNW_ASSIGN(const std::unique_ptr<ScriptHost> host,
               ScriptHost::Start(supply, loop, limits, std::move(start), std::move(events)));
    host->ServeOnLoop();
    loop.Run();
  }
  loop.WaitForWork();
  return end;
}

}  // namespace minnow::script
