// minnow.v1.Pipelines: from gRPC's threads to the loop, where Lua runs, and back.
#include <set>

#include "base/json.h"
#include "google/rpc/status.pb.h"
#include "minnow/v1/pipelines.pb.h"
#include "service/services.h"

namespace minnow::service {

namespace {

constexpr const char* kService = "minnow.v1.Pipelines";
constexpr size_t kWindow = 32;  // documents of one stream, as pipelines.proto says

// `field`: of the document in the request.
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
    if (pipeline_ == nullptr) {
      Failure failure;
      pipeline_ = service_.Find(request.pipeline(), &failure);
      if (pipeline_ == nullptr) return call_->Finish(failure);
    }
    script::Document document;
    Failure failure = ToDocument(request.document(), &document);
    service_.loop_.Post(
        [self = shared_from_this(), document = std::move(document),
         failure = std::move(failure)]() mutable { self->Take(std::move(document), failure); });
  }

  void OnHalfClose() override {
    service_.loop_.Post([self = shared_from_this()] {
      self->closed_ = true;
      self->FinishIfDone();
    });
  }

 private:
  void Take(script::Document document, const Failure& failure) {
    reading_ = false;
    if (dropped_) return;
    ++open_;
    if (failure.ok()) {
      Run(std::move(document));
    } else {
      SendError(document.id, failure);
    }
    ReadOn();
  }

  void Run(script::Document document) {
    const auto id = std::make_shared<script::Pipeline::RunId>();
    *id = pipeline_->Run(document, [self = shared_from_this(), id,
                                    name = document.id](script::DocumentResult result) {
      self->runs_.erase(*id);
      self->Result(name, result);
    });
    runs_.insert(*id);
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
    for (const script::Pipeline::RunId id : runs_) pipeline_->Cancel(id);
    runs_.clear();
    End(Status(Code::kCancelled, "cancelled"));
  }

  void End(const Failure& failure) {
    call_->Finish(failure, {pipeline_ ? pipeline_->name() : "", engine::Priority::kBatch, usage_});
  }

  PipelineService& service_;
  const CallPtr call_;
  script::Pipeline* pipeline_ = nullptr;  // set with the first message, before anything is posted
  // The loop's.
  size_t open_ = 0;  // documents that run, or whose result is not written yet
  std::set<script::Pipeline::RunId> runs_;
  engine::Usage usage_;
  bool reading_ = true;
  bool closed_ = false, dropped_ = false;
};

Status PipelineService::Add(std::unique_ptr<script::Pipeline> pipeline) {
  const std::lock_guard lock(mutex_);
  const std::string name = pipeline->name();
  if (!pipelines_.try_emplace(name, std::move(pipeline)).second) {
    return Error(Code::kInvalid, "there are two pipelines of the name '{}'", name);
  }
  return Status();
}

script::Pipeline* PipelineService::Find(const std::string& name, Failure* failure) const {
  const std::lock_guard lock(mutex_);
  if (name.empty() && pipelines_.size() == 1) return pipelines_.begin()->second.get();
  if (name.empty()) {
    *failure = std::vector<Violation>{
        {"pipeline", fmt::format("must name one of the {} pipelines here", pipelines_.size())}};
    return nullptr;
  }
  const auto it = pipelines_.find(name);
  if (it != pipelines_.end()) return it->second.get();
  *failure = {Error(Code::kNotFound, "there is no pipeline '{}'", name), "PIPELINE_NOT_FOUND"};
  return nullptr;
}

Failure PipelineService::RunOne(const CallPtr& call, const google::protobuf::Message& message) {
  const auto& request = static_cast<const v1::RunRequest&>(message);
  Failure failure;
  script::Pipeline* const pipeline = Find(request.pipeline(), &failure);
  if (pipeline == nullptr) return failure;
  script::Document document;
  failure = ToDocument(request.document(), &document);
  if (!failure.ok()) return failure;
  loop_.Post([this, call, pipeline, document = std::move(document)]() mutable {
    const auto id = pipeline->Run(std::move(document), [call, pipeline](
                                                           const script::DocumentResult& result) {
      if (result.status.ok()) {
        v1::RunResponse response;
        Fill(result, &response);
        call->Send(response);
      }
      call->Finish(result.status, {pipeline->name(), engine::Priority::kBatch, UsageOf(result)});
    });
    call->CancelWith([this, call, pipeline, id] {
      loop_.Post([call, pipeline, id] {
        pipeline->Cancel(id);
        call->Finish(Status(Code::kCancelled, "cancelled"), {pipeline->name(), {}, {}});
      });
    });
  });
  return {};
}

void PipelineService::AddTo(Router& router) {
  router.Add<v1::ListPipelinesRequest>(
      kService, "List", Kind::kAdmin, [this](const CallPtr& call, const v1::ListPipelinesRequest&) {
        v1::ListPipelinesResponse response;
        {
          const std::lock_guard lock(mutex_);
          for (const auto& [name, pipeline] : pipelines_) response.add_names(name);
        }
        call->Send(response);
        call->Finish({});
        return Failure();
      });
  router.Add<v1::RunRequest>(
      kService, "Run", Kind::kWork,
      [this](const CallPtr& call, const v1::RunRequest& request) { return RunOne(call, request); });
  router.AddStream<v1::RunStreamRequest>(
      kService, "RunStream", Kind::kWork, [this](const CallPtr& call) {
        const auto stream = std::make_shared<Stream>(*this, call);
        stream->Begin();
        return stream;
      });
}

}  // namespace minnow::service
