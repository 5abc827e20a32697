// minnow.v1.Pipelines: from gRPC's threads to the loop, where Lua runs, and back.
#include "base/json.h"
#include "base/log.h"
#include "google/rpc/status.pb.h"
#include "minnow/v1/pipelines.pb.h"
#include "service/services.h"

namespace minnow::service {

namespace {

constexpr const char* kService = "minnow.v1.Pipelines";
constexpr size_t kWindow = 32;  // documents of one stream, as pipelines.proto says
constexpr double kLookSeconds = 0.25;

engine::Priority ToPriority(v1::Priority asked, engine::Priority unspecified) {
  if (asked == v1::PRIORITY_UNSPECIFIED) return unspecified;
  return asked == v1::PRIORITY_BATCH ? engine::Priority::kBatch : engine::Priority::kInteractive;
}

Failure ToDocument(const v1::Document& from, script::Document* out) {
  out->id = from.id();
  out->text = from.text();
  if (from.meta().empty()) return {};
  auto meta = ParseJson(from.meta());
  if (!meta.ok()) return Failure::AtField("document.meta", meta.status());
  if (!meta->is_object()) {
    return std::vector<Violation>{{"document.meta", "must be a JSON object"}};
  }
  out->meta = *std::move(meta);
  return {};
}

engine::Usage UsageOf(const script::DocumentResult& result) {
  engine::Usage usage;
  usage.prompt_tokens = static_cast<uint32_t>(result.prompt_tokens);
  usage.completion_tokens = static_cast<uint32_t>(result.completion_tokens);
  return usage;
}

void Fill(const script::DocumentResult& result, v1::RunResponse* out) {
  using Json = nlohmann::ordered_json;
  out->set_result(result.value.dump(-1, ' ', false, Json::error_handler_t::replace));
  out->mutable_usage()->set_prompt_tokens(static_cast<uint32_t>(result.prompt_tokens));
  out->mutable_usage()->set_completion_tokens(static_cast<uint32_t>(result.completion_tokens));
  out->set_seconds(result.seconds);
}

}  // namespace

// A stream of documents. Its state belongs to the loop's thread; the worker that brings a message
// and gRPC's threads only post there.
class PipelineService::Stream final : public Requests, public std::enable_shared_from_this<Stream> {
 public:
  Stream(PipelineService& service, CallPtr call) : service_(service), call_(std::move(call)) {}

  void Begin() {
    call_->CancelWith([weak = weak_from_this(), loop = &service_.loop_] {
      if (const auto self = weak.lock()) loop->Post([self] { self->Drop(); });
    });
  }

  void OnMessage(const google::protobuf::Message& message) override {
    const auto& request = static_cast<const v1::RunStreamRequest&>(message);
    script::Document document;
    Failure failure = ToDocument(request.document(), &document);
    service_.loop_.Post([self = shared_from_this(), document = std::move(document),
                         failure = std::move(failure), name = request.pipeline(),
                         priority = request.priority()]() mutable {
      self->Take(std::move(document), failure, name, priority);
    });
  }

  void OnHalfClose() override {
    service_.loop_.Post([self = shared_from_this()] {
      self->closed_ = true;
      self->FinishIfDone();
    });
  }

 private:
  void Take(script::Document document, const Failure& failure, const std::string& name,
            v1::Priority priority) {
    reading_ = false;
    if (dropped_) return;
    // Looked up for each document: one that comes after a change of the file gets the new program.
    Failure missing;
    if (first_) wanted_ = name;
    const PipelinePtr pipeline = service_.Find(wanted_, &missing);
    if (first_) {
      if (!pipeline) return End(missing);
      first_ = false;
      name_ = pipeline->name();
      priority_ = ToPriority(priority, engine::Priority::kBatch);
    }
    ++open_;
    if (!pipeline) {
      SendError(document.id, missing);
    } else if (failure.ok()) {
      document.priority = priority_;
      Run(pipeline, std::move(document));
    } else {
      SendError(document.id, failure);
    }
    ReadOn();
  }

  void Run(const PipelinePtr& pipeline, script::Document document) {
    const uint64_t number = ++last_run_;
    const std::string name = document.id;
    const auto id = pipeline->Run(std::move(document), [self = shared_from_this(), number,
                                                        name](script::DocumentResult result) {
      self->runs_.erase(number);
      self->Result(name, result);
    });
    runs_[number] = {pipeline, id};
  }

  void Result(const std::string& name, const script::DocumentResult& result) {
    usage_.prompt_tokens += static_cast<uint32_t>(result.prompt_tokens);
    usage_.completion_tokens += static_cast<uint32_t>(result.completion_tokens);
    if (!result.status.ok()) return SendError(name, result.status);
    v1::RunStreamResponse response;
    response.set_id(name);
    Fill(result, response.mutable_result());
    Send(response);
  }

  void SendError(const std::string& name, const Failure& failure) {
    v1::RunStreamResponse response;
    response.set_id(name);
    response.mutable_error()->ParseFromString(failure.Details());
    Send(response);
  }

  void Send(const v1::RunStreamResponse& response) {
    call_->Send(response, [self = shared_from_this()] {
      self->service_.loop_.Post([self] {
        --self->open_;
        self->ReadOn();
        self->FinishIfDone();
      });
    });
  }

  void ReadOn() {
    if (reading_ || closed_ || dropped_ || open_ >= kWindow) return;
    reading_ = true;
    call_->ReadNext();
  }

  void FinishIfDone() {
    if (closed_ && open_ == 0) End({});
  }

  void Drop() {
    dropped_ = true;
    for (const auto& [number, run] : runs_) Cancel(run);
    runs_.clear();
    End(Status(Code::kCancelled, "cancelled"));
  }

  void End(const Failure& failure) { call_->Finish(failure, {name_, priority_, usage_}); }

  PipelineService& service_;
  const CallPtr call_;
  // The loop's.
  std::string wanted_, name_;  // as the first message has it; the pipeline's
  engine::Priority priority_ = engine::Priority::kBatch;
  bool first_ = true;
  size_t open_ = 0;  // documents that run, or whose result is not written yet
  uint64_t last_run_ = 0;
  std::map<uint64_t, OneRun> runs_;
  engine::Usage usage_;
  bool reading_ = true;
  bool closed_ = false, dropped_ = false;
};

PipelineService::PipelineService(script::Loop& loop, script::Models& models,
                                 script::PipelineOptions options)
    : loop_(loop), models_(models), options_(std::move(options)), address_(loop.NewAddress()) {}

PipelineService::~PipelineService() { loop_.Retire(address_); }

Status PipelineService::Load(const std::string& path) {
  SourceWatch::Files files;
  MNW_ASSIGN(PipelinePtr pipeline, script::Pipeline::Load(path, models_, loop_, options_, &files));
  if (FindLoaded(pipeline->name())) {
    return Error(Code::kInvalid, "there are two pipelines of the name '{}'", pipeline->name());
  }
  loaded_.push_back({path, std::move(pipeline), SourceWatch(files), ""});
  return Status();
}

void PipelineService::Watch() {
  std::erase_if(replaced_, [](const PipelinePtr& pipeline) { return pipeline->idle(); });
  for (Loaded& loaded : loaded_) {
    if (loaded.error.empty()) loaded.watch.Add(loaded.pipeline->files());  // what it required later
    if (loaded.watch.Changed()) Renew(loaded);
  }
  loop_.After(kLookSeconds, address_, [this] { Watch(); });
}

void PipelineService::Reload() {
  for (Loaded& loaded : loaded_) Renew(loaded);
}

// What runs goes on with the pipeline that it began with, which goes when nothing runs in it.
void PipelineService::Renew(Loaded& loaded) {
  SourceWatch::Files files;
  auto renewed = script::Pipeline::Load(loaded.path, models_, loop_, options_, &files);
  loaded.watch = SourceWatch(files);
  Status status = renewed.status();
  if (status.ok() && (*renewed)->name() != loaded.pipeline->name() &&
      FindLoaded((*renewed)->name())) {
    status = Error(Code::kInvalid, "another file has the pipeline '{}'", (*renewed)->name());
  }
  loaded.error = status.message();
  if (!status.ok()) {
    LogWarning("{} has changed, but cannot be loaded; the pipeline '{}' serves on as it was: {}",
               loaded.path, loaded.pipeline->name(), status.message());
    return;
  }
  replaced_.push_back(std::exchange(loaded.pipeline, *std::move(renewed)));
  LogInfo("{}: the pipeline '{}' is loaded anew", loaded.path, loaded.pipeline->name());
}

PipelineService::PipelinePtr PipelineService::FindLoaded(const std::string& name) const {
  for (const Loaded& loaded : loaded_) {
    if (loaded.pipeline->name() == name) return loaded.pipeline;
  }
  return nullptr;
}

PipelineService::PipelinePtr PipelineService::Find(const std::string& name,
                                                   Failure* failure) const {
  if (name.empty() && loaded_.size() == 1) return loaded_[0].pipeline;
  if (name.empty()) {
    *failure = std::vector<Violation>{
        {"pipeline", fmt::format("must name one of the {} pipelines here", loaded_.size())}};
    return nullptr;
  }
  PipelinePtr found = FindLoaded(name);
  if (!found) {
    *failure = {Error(Code::kNotFound, "there is no pipeline '{}'", name), "PIPELINE_NOT_FOUND"};
  }
  return found;
}

void PipelineService::Cancel(const OneRun& run) {
  if (const PipelinePtr pipeline = run.pipeline.lock()) pipeline->Cancel(run.id);
}

// On the loop.
void PipelineService::RunOne(const CallPtr& call, const std::string& name,
                             script::Document document) {
  Failure failure;
  const PipelinePtr pipeline = Find(name, &failure);
  if (!pipeline) return call->Finish(failure);
  CallRecord record{pipeline->name(), *document.priority, {}};
  const auto id = pipeline->Run(std::move(document),
                                [call, record](const script::DocumentResult& result) mutable {
                                  if (result.status.ok()) {
                                    v1::RunResponse response;
                                    Fill(result, &response);
                                    call->Send(response);
                                  }
                                  record.usage = UsageOf(result);
                                  call->Finish(result.status, std::move(record));
                                });
  call->CancelWith([this, call, run = OneRun{pipeline, id}, record = std::move(record)] {
    loop_.Post([call, run, record] {
      Cancel(run);
      call->Finish(Status(Code::kCancelled, "cancelled"), record);
    });
  });
}

void PipelineService::AddTo(Router& router) {
  router.Add<v1::ListPipelinesRequest>(
      kService, "List", Kind::kAdmin, [this](const CallPtr& call, const v1::ListPipelinesRequest&) {
        loop_.Post([this, call] {
          v1::ListPipelinesResponse response;
          for (const Loaded& loaded : loaded_) {
            response.add_names(loaded.pipeline->name());
            if (!loaded.error.empty()) {
              (*response.mutable_errors())[loaded.pipeline->name()] = loaded.error;
            }
          }
          call->Send(response);
          call->Finish({});
        });
        return Failure();
      });
  router.Add<v1::RunRequest>(
      kService, "Run", Kind::kWork,
      [this](const CallPtr& call, const v1::RunRequest& request) -> Failure {
        script::Document document;
        if (Failure failure = ToDocument(request.document(), &document); !failure.ok()) {
          return failure;
        }
        document.priority = ToPriority(request.priority(), engine::Priority::kInteractive);
        loop_.Post([this, call, name = request.pipeline(), document]() mutable {
          RunOne(call, name, std::move(document));
        });
        return {};
      });
  router.AddStream<v1::RunStreamRequest>(
      kService, "RunStream", Kind::kWork, [this](const CallPtr& call) {
        const auto stream = std::make_shared<Stream>(*this, call);
        stream->Begin();
        return stream;
      });
}

}  // namespace minnow::service
