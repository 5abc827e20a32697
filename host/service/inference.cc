// minnow.v1.Inference: requests become the engine's, its callbacks become messages.
#include <cmath>
#include <ctime>
#include <set>

#include "engine/classify.h"
#include "engine/score.h"
#include "minnow/v1/inference.pb.h"
#include "service/services.h"
#include "text/chat_template.h"

namespace minnow::service {

namespace {

using engine::Clock;
using engine::TokenId;
using ModelUse = std::shared_ptr<const ModelTable::Use>;

constexpr const char* kService = "minnow.v1.Inference";

engine::Priority ToPriority(v1::Priority priority) {
  return priority == v1::PRIORITY_BATCH ? engine::Priority::kBatch : engine::Priority::kInteractive;
}

void Fill(const engine::Usage& usage, v1::Usage* out) {
  out->set_prompt_tokens(usage.prompt_tokens);
  out->set_completion_tokens(usage.completion_tokens);
  out->set_cached_tokens(usage.cached_tokens);
}

void Fill(const engine::Usage& usage, v1::Timings* out) {
  out->set_queue_seconds(usage.queue_seconds);
  out->set_prefill_seconds(usage.prefill_seconds);
  out->set_decode_seconds(usage.decode_seconds);
}

// A text's tokens, or what is wrong with it.
Failure Encode(const model::Model& model, const v1::Text& text, const std::string& field,
               std::vector<TokenId>* out) {
  switch (text.value_case()) {
    case v1::Text::kText: {
      auto tokens = model.EncodeText(text.text());
      if (!tokens.ok()) return Failure::AtField(field + ".text", tokens.status());
      *out = *std::move(tokens);
      return {};
    }
    case v1::Text::kTokens: {
      out->assign(text.tokens().ids().begin(), text.tokens().ids().end());
      const auto size = model.tokenizer().size();
      for (size_t i = 0; i < out->size(); ++i) {
        if (static_cast<size_t>((*out)[i]) < size) continue;
        return std::vector<Violation>{
            {fmt::format("{}.tokens.ids[{}]", field, i),
             fmt::format("{} is not in the vocabulary of {} tokens", (*out)[i], size)}};
      }
      return {};
    }
    case v1::Text::VALUE_NOT_SET:
      break;
  }
  return std::vector<Violation>{{field, "must have text or tokens"}};
}

// One request to the engine on behalf of a call.
struct Work {
  Work(CallPtr c, ModelUse u, engine::Priority p, Metrics& metrics)
      : call(std::move(c)),
        use(std::move(u)),
        priority(p),
        series(metrics.For(use->name(), p)),
        rate(metrics.RateOf(use->name())) {}

  void Finish(const Failure& failure, const engine::Usage& usage) {
    if (failure.status.code() != Code::kExhausted) rate.Ended(Clock::now());
    series.ObserveUsage(usage);
    series.end_to_end.Observe(SecondsSince(call->info().begun));
    // First the model, then the call: with the last call the server and its table may go.
    CallRecord record{use->full_name(), priority, usage};
    use.reset();
    call->Finish(failure, std::move(record));
  }
  static double SecondsSince(Clock::time_point begun) {
    return std::chrono::duration<double>(Clock::now() - begun).count();
  }

  const CallPtr call;
  ModelUse use;
  const engine::Priority priority;
  ModelSeries& series;
  CompletionRate& rate;
  Clock::time_point last_token{};
  std::once_flag accepted;
};

// The engine's refusal of a request that was well-formed.
Failure Refused(const CompletionRate& rate, const engine::Engine& engine, const Status& status) {
  if (status.code() != Code::kExhausted) return status;
  Failure failure(status, "QUEUE_FULL");
  failure.retry_seconds = rate.SecondsFor(engine.stats().queued, Clock::now());
  return failure;
}

// Once, and before whatever the executor may have to say already.
void SendAccepted(Work& work, const google::protobuf::Message& accepted) {
  std::call_once(work.accepted, [&] { work.call->Send(accepted); });
}

// After the engine has taken a request: the call's end, however it comes, reaches it. The model is
// held as long, since a cancellation may come late.
Failure Taken(const std::shared_ptr<Work>& work, ModelUse use, Result<engine::RequestId> id) {
  if (!id.ok()) return Refused(work->rate, use->engine(), id.status());
  work->call->CancelWith([use = std::move(use), id = *id] { use->engine().Cancel(id); });
  return {};
}

template <class Response>
void SendToken(Work& work, std::string_view text, const engine::GeneratedToken& token,
               bool logprobs) {
  const Clock::time_point now = Clock::now();
  if (token.token != text::kNoToken) {
    if (work.last_token.time_since_epoch().count() == 0) {
      work.series.time_to_first_token.Observe(Work::SecondsSince(work.call->info().begun));
    } else {
      work.series.inter_token.Observe(std::chrono::duration<double>(now - work.last_token).count());
    }
    work.last_token = now;
  }
  Response response;
  v1::Chunk* chunk = response.mutable_chunk();
  chunk->set_text(text.data(), text.size());
  if (token.token != text::kNoToken) {
    v1::Token* out = chunk->add_tokens();
    out->set_id(token.token);
    if (logprobs) out->set_logprob(token.logprob);
    for (const engine::TokenLogprob& top : token.top) {
      v1::TopToken* t = out->add_top();
      t->set_id(top.token);
      t->set_logprob(top.logprob);
      const std::string_view bytes = work.use->model().tokenizer().TokenBytes(top.token);
      t->set_text(bytes.data(), bytes.size());
    }
  }
  work.call->Send(response);
}

template <class Response>
void FinishAnswer(Work& work, const engine::GenerateResult& result) {
  if (result.finish_reason == engine::FinishReason::kCancelled) {
    return work.Finish(Status(Code::kCancelled, "cancelled"), result.usage);
  }
  if (!result.status.ok()) return work.Finish(result.status, result.usage);
  Response response;
  v1::Finished* finished = response.mutable_finished();
  finished->set_reason(result.finish_reason == engine::FinishReason::kLength
                           ? v1::FINISH_REASON_LENGTH
                           : v1::FINISH_REASON_STOP);
  finished->set_stop_string(result.stop_string);
  Fill(result.usage, finished->mutable_usage());
  Fill(result.usage, finished->mutable_timings());
  work.call->Send(response);
  work.Finish({}, result.usage);
}

template <class Response>
Failure Generate(const CallPtr& call, const ModelUse& use, Metrics& metrics,
                 std::vector<TokenId> prompt, const v1::GenerationOptions& options) {
  engine::GenerateRequest request;
  request.prompt = std::move(prompt);
  if (options.has_max_tokens()) request.max_tokens = options.max_tokens();
  const v1::Sampling& sampling = options.sampling();
  request.sampling.temperature = sampling.temperature();
  request.sampling.top_k = sampling.top_k();
  if (sampling.has_top_p()) request.sampling.top_p = sampling.top_p();
  request.sampling.min_p = sampling.min_p();
  request.sampling.seed = sampling.seed();
  request.n_logprobs = options.logprobs();
  request.stop.assign(options.stop().begin(), options.stop().end());
  request.ignore_end = options.ignore_end();
  request.priority = ToPriority(options.priority());
  request.deadline = call->info().deadline;
  request.adapter = use->adapter();

  Response accepted;
  accepted.mutable_accepted()->set_model(use->full_name());
  accepted.mutable_accepted()->set_prompt_tokens(static_cast<uint32_t>(request.prompt.size()));
  const auto work = std::make_shared<Work>(call, use, request.priority, metrics);
  request.on_token = [work, logprobs = request.n_logprobs > 0, accepted](
                         std::string_view text, const engine::GeneratedToken& token) {
    SendAccepted(*work, accepted);
    SendToken<Response>(*work, text, token, logprobs);
  };
  request.on_done = [work, accepted](const engine::GenerateResult& result) {
    SendAccepted(*work, accepted);
    FinishAnswer<Response>(*work, result);
  };
  const auto id = use->engine().Generate(std::move(request));
  if (id.ok()) SendAccepted(*work, accepted);
  return Taken(work, use, id);
}

Failure Generate(ModelTable& models, Metrics& metrics, const CallPtr& call,
                 const v1::GenerateRequest& request) {
  const ModelTable::Taken taken = models.TakeWithAdapter(request.model());
  if (!taken.use) return taken.failure;
  std::vector<TokenId> prompt;
  Failure failure = Encode(taken.use->model(), request.prompt(), "prompt", &prompt);
  if (!failure.ok()) return failure;
  return Generate<v1::GenerateResponse>(call, taken.use, metrics, std::move(prompt),
                                        request.options());
}

// The model and the document of a call about a context, or of one that has its own.
struct About {
  Failure failure;
  ModelUse use;  // null: see the failure
  std::shared_ptr<const std::string> document;
};

About TakeAbout(ModelTable& models, ContextTable& contexts, const std::string& id,
                const std::string& model) {
  if (id.empty()) {
    ModelTable::Taken taken = models.TakeWithAdapter(model);
    return {std::move(taken.failure), std::move(taken.use), nullptr};
  }
  ContextTable::Context context;
  if (!contexts.Find(id, Clock::now(), &context)) {
    return {Failure(Error(Code::kNotFound,
                          "no context '{}': it was deleted, or not used for its time", id),
                    "CONTEXT_NOT_FOUND"),
            nullptr, nullptr};
  }
  const ModelTable::Taken taken = models.TakeWithAdapter(model.empty() ? context.model : model);
  if (!taken.use) return {taken.failure, nullptr, nullptr};
  if (taken.use->name() != context.model) {
    return {std::vector<Violation>{
                {"model", fmt::format("the context is of model '{}'", context.model)}},
            nullptr, nullptr};
  }
  return {{}, taken.use, context.document};
}

Failure Chat(ModelTable& models, Metrics& metrics, ContextTable& contexts, const CallPtr& call,
             const v1::ChatRequest& request) {
  const About about = TakeAbout(models, contexts, request.context(), request.model());
  if (!about.use) return about.failure;
  text::ChatInput input;
  input.messages = nlohmann::ordered_json::array();
  bool is_told = about.document == nullptr;
  for (const v1::Message& m : request.messages()) {
    const bool tell = !is_told && m.role() == "user";
    input.messages.push_back(
        {{"role", m.role()},
         {"content", tell ? engine::DocumentTurn(*about.document, m.content()) : m.content()}});
    is_told |= tell;
  }
  if (!is_told) {
    return std::vector<Violation>{
        {"messages", "must have a user's message, before which the context's document stands"}};
  }
  input.now = std::time(nullptr);
  auto prompt = about.use->model().EncodeChat(std::move(input));
  if (!prompt.ok()) return Failure::AtField("messages", prompt.status());
  return Generate<v1::ChatResponse>(call, about.use, metrics, *std::move(prompt),
                                    request.options());
}

Failure Classify(ModelTable& models, Metrics& metrics, ContextTable& contexts, const CallPtr& call,
                 const v1::ClassifyRequest& request) {
  if (request.document().empty() == request.context().empty()) {
    return std::vector<Violation>{{"document", "must be there, or a context: one of the two"}};
  }
  const About taken = TakeAbout(models, contexts, request.context(), request.model());
  if (!taken.use) return taken.failure;
  const std::string& document = taken.document ? *taken.document : request.document();
  engine::ClassifyRequest ask;
  auto prompt = taken.use->model().EncodeTurn(engine::DocumentTurn(document, request.question()));
  if (!prompt.ok()) return Failure::AtField("document", prompt.status());
  ask.prompt = *std::move(prompt);
  ask.labels.assign(request.labels().begin(), request.labels().end());
  std::set<std::string_view> seen;
  for (size_t i = 0; i < ask.labels.size(); ++i) {
    if (seen.insert(ask.labels[i]).second) continue;
    return std::vector<Violation>{
        {fmt::format("labels[{}]", i), fmt::format("'{}' is given twice", ask.labels[i])}};
  }
  ask.priority = ToPriority(request.priority());
  ask.deadline = call->info().deadline;
  ask.adapter = taken.use->adapter();
  const auto work = std::make_shared<Work>(call, taken.use, ask.priority, metrics);
  ask.on_done = [work](const engine::ClassifyResult& result) {
    if (!result.status.ok()) return work->Finish(result.status, result.usage);
    v1::ClassifyResponse response;
    response.set_label(result.labels[result.best].label);
    for (const engine::LabelScore& l : result.labels) {
      v1::LabelScore* out = response.add_labels();
      out->set_label(l.label);
      out->set_probability(l.probability);
      out->set_logprob(l.logprob);
    }
    Fill(result.usage, response.mutable_usage());
    Fill(result.usage, response.mutable_timings());
    work->call->Send(response);
    work->Finish({}, result.usage);
  };
  return Taken(work, taken.use, engine::Classify(taken.use->engine(), std::move(ask)));
}

// A continuation's tokens stand after others, so no BOS.
Failure EncodeContinuation(const model::Model& model, const v1::Text& text,
                           const std::string& field, std::vector<TokenId>* out) {
  if (text.value_case() == v1::Text::kText) {
    auto tokens = model.EncodeContinuation(text.text());
    if (!tokens.ok()) return Failure::AtField(field + ".text", tokens.status());
    *out = *std::move(tokens);
  } else if (Failure failure = Encode(model, text, field, out); !failure.ok()) {
    return failure;
  }
  if (out->empty()) return std::vector<Violation>{{field, "has no tokens"}};
  return {};
}

Failure Score(ModelTable& models, Metrics& metrics, const CallPtr& call,
              const v1::ScoreRequest& request) {
  const ModelTable::Taken taken = models.TakeWithAdapter(request.model());
  if (!taken.use) return taken.failure;
  const model::Model& model = taken.use->model();
  engine::ContinuationsRequest ask;
  Failure failure = Encode(model, request.prompt(), "prompt", &ask.prompt);
  for (int i = 0; i < request.continuations_size() && failure.ok(); ++i) {
    failure =
        EncodeContinuation(model, request.continuations(i), fmt::format("continuations[{}]", i),
                           &ask.continuations.emplace_back());
  }
  if (!failure.ok()) return failure;
  ask.priority = ToPriority(request.priority());
  ask.deadline = call->info().deadline;
  ask.adapter = taken.use->adapter();
  const auto work = std::make_shared<Work>(call, taken.use, ask.priority, metrics);
  ask.on_done = [work](const engine::ScoreResult& result) {
    if (!result.status.ok()) return work->Finish(result.status, result.usage);
    v1::ScoreResponse response;
    for (const engine::ContinuationScore& score : result.continuations) {
      v1::ContinuationScore* out = response.add_continuations();
      out->set_logprob(score.logprob);
      out->mutable_tokens()->Add(score.tokens.begin(), score.tokens.end());
      out->mutable_token_logprobs()->Add(score.token_logprobs.begin(), score.token_logprobs.end());
    }
    Fill(result.usage, response.mutable_usage());
    Fill(result.usage, response.mutable_timings());
    work->call->Send(response);
    work->Finish({}, result.usage);
  };
  return Taken(work, taken.use, engine::ScoreContinuations(taken.use->engine(), std::move(ask)));
}

// The vectors of one call, as they come.
struct Embeddings {
  explicit Embeddings(size_t n) : left(n) { response.mutable_embeddings()->Reserve(int(n)); }

  std::mutex mutex;  // guards all below
  size_t left;
  v1::EmbedResponse response;
  engine::Usage usage;
  Status failed;
};

Failure Embed(ModelTable& models, Metrics& metrics, const CallPtr& call,
              const v1::EmbedRequest& request) {
  const ModelTable::Taken taken = models.TakeWithAdapter(request.model());
  if (!taken.use) return taken.failure;
  std::vector<engine::EmbedRequest> asks(static_cast<size_t>(request.inputs_size()));
  for (int i = 0; i < request.inputs_size(); ++i) {
    Failure failure = Encode(taken.use->model(), request.inputs(i), fmt::format("inputs[{}]", i),
                             &asks[static_cast<size_t>(i)].tokens);
    if (!failure.ok()) return failure;
  }
  const engine::Priority priority = ToPriority(request.priority());
  const auto work = std::make_shared<Work>(call, taken.use, priority, metrics);
  const auto all = std::make_shared<Embeddings>(asks.size());
  for (size_t i = 0; i < asks.size(); ++i) all->response.add_embeddings();
  const auto end_one = [work, all](int index, Status status, std::span<const float> values,
                                   const engine::Usage& usage) {
    std::unique_lock lock(all->mutex);
    all->usage.prompt_tokens += usage.prompt_tokens;
    all->usage.queue_seconds = std::max(all->usage.queue_seconds, usage.queue_seconds);
    if (!status.ok() && all->failed.ok()) all->failed = std::move(status);
    all->response.mutable_embeddings(index)->mutable_values()->Add(values.begin(), values.end());
    if (--all->left > 0) return;
    if (all->failed.ok()) {
      Fill(all->usage, all->response.mutable_usage());
      work->call->Send(all->response);
    }
    if (all->failed.ok()) return work->Finish({}, all->usage);
    work->Finish(Refused(work->rate, work->use->engine(), all->failed), all->usage);
  };
  std::vector<engine::RequestId> ids;
  Status refused;
  for (size_t i = 0; i < asks.size(); ++i) {
    const int index = static_cast<int>(i);
    asks[i].priority = priority;
    asks[i].deadline = call->info().deadline;
    asks[i].adapter = taken.use->adapter();
    asks[i].on_done = [end_one, index](Status status, std::vector<float> values,
                                       engine::Usage usage) {
      end_one(index, std::move(status), values, usage);
    };
    const auto id = refused.ok() ? taken.use->engine().Embed(std::move(asks[i])) : refused;
    if (id.ok()) {
      ids.push_back(*id);
      continue;
    }
    if (refused.ok()) {  // all or none: what was taken is not wanted any more
      refused = id.status();
      for (const engine::RequestId taken_id : ids) taken.use->engine().Cancel(taken_id);
      const std::lock_guard lock(all->mutex);
      all->failed = refused.code() == Code::kExhausted
                        ? refused
                        : Status(refused).Annotate(fmt::format("inputs[{}]", i));
    }
    end_one(index, refused, {}, {});
  }
  call->CancelWith([use = taken.use, ids] {
    for (const engine::RequestId id : ids) use->engine().Cancel(id);
  });
  return {};
}

Failure Tokenize(ModelTable& models, const CallPtr& call, const v1::TokenizeRequest& request) {
  const ModelTable::Taken taken = models.Take(request.model());
  if (!taken.use) return taken.failure;
  text::EncodeOptions options;
  options.add_bos = !request.no_bos();
  auto tokens = taken.use->model().tokenizer().Encode(request.text(), false, options);
  if (!tokens.ok()) return Failure::AtField("text", tokens.status());
  v1::TokenizeResponse response;
  response.mutable_tokens()->Add(tokens->begin(), tokens->end());
  call->Send(response);
  call->Finish({}, {taken.use->name(), {}, {}});
  return {};
}

Failure Detokenize(ModelTable& models, const CallPtr& call, const v1::DetokenizeRequest& request) {
  const ModelTable::Taken taken = models.Take(request.model());
  if (!taken.use) return taken.failure;
  const std::vector<TokenId> ids(request.tokens().ids().begin(), request.tokens().ids().end());
  v1::DetokenizeResponse response;
  response.set_text(taken.use->model().tokenizer().Decode(ids));
  call->Send(response);
  call->Finish({}, {taken.use->name(), {}, {}});
  return {};
}

Failure CreateContext(ModelTable& models, ContextTable& contexts, const CallPtr& call,
                      const v1::CreateContextRequest& request) {
  const ModelTable::Taken taken = models.Take(request.model());
  if (!taken.use) return taken.failure;
  auto tokens = taken.use->model().EncodeContinuation(request.document());
  if (!tokens.ok()) return Failure::AtField("document", tokens.status());
  const uint32_t ttl = request.has_ttl_seconds() ? request.ttl_seconds() : 600;
  v1::Context response;
  Failure failure =
      contexts.Add({taken.use->name(), std::make_shared<const std::string>(request.document())},
                   std::chrono::seconds(ttl), Clock::now(), response.mutable_id());
  if (!failure.ok()) return failure;
  response.set_model(taken.use->name());
  response.set_document_tokens(static_cast<uint32_t>(tokens->size()));
  response.set_ttl_seconds(ttl);
  call->Send(response);
  call->Finish({}, {taken.use->name(), {}, {}});
  return {};
}

Failure DeleteContext(ContextTable& contexts, const CallPtr& call,
                      const v1::DeleteContextRequest& request) {
  if (!contexts.Remove(request.id())) {
    return Failure(Error(Code::kNotFound, "no context '{}'", request.id()), "CONTEXT_NOT_FOUND");
  }
  call->Send(v1::DeleteContextResponse());
  call->Finish({}, {});
  return {};
}

}  // namespace

void Inference::AddTo(Router& router) {
  const auto add = [&]<class Request>(const char* name, auto handle) {
    router.Add<Request>(kService, name, Kind::kWork,
                        [this, handle](const CallPtr& call, const Request& request) -> Failure {
                          return handle(models_, metrics_, call, request);
                        });
  };
  using Overload = Failure (*)(ModelTable&, Metrics&, const CallPtr&, const v1::GenerateRequest&);
  add.operator()<v1::GenerateRequest>("Generate", static_cast<Overload>(&Generate));
  const auto add_about = [&]<class Request>(const char* name, auto handle) {
    router.Add<Request>(kService, name, Kind::kWork,
                        [this, handle](const CallPtr& call, const Request& request) -> Failure {
                          return handle(models_, metrics_, contexts_, call, request);
                        });
  };
  add_about.operator()<v1::ChatRequest>("Chat", &Chat);
  add_about.operator()<v1::ClassifyRequest>("Classify", &Classify);
  add.operator()<v1::ScoreRequest>("Score", &Score);
  add.operator()<v1::EmbedRequest>("Embed", &Embed);
  router.Add<v1::TokenizeRequest>(kService, "Tokenize", Kind::kWork,
                                  [this](const CallPtr& call, const v1::TokenizeRequest& request) {
                                    return Tokenize(models_, call, request);
                                  });
  router.Add<v1::DetokenizeRequest>(
      kService, "Detokenize", Kind::kWork,
      [this](const CallPtr& call, const v1::DetokenizeRequest& request) {
        return Detokenize(models_, call, request);
      });
  router.Add<v1::CreateContextRequest>(
      kService, "CreateContext", Kind::kWork,
      [this](const CallPtr& call, const v1::CreateContextRequest& request) {
        return CreateContext(models_, contexts_, call, request);
      });
  router.Add<v1::DeleteContextRequest>(
      kService, "DeleteContext", Kind::kWork,
      [this](const CallPtr& call, const v1::DeleteContextRequest& request) {
        return DeleteContext(contexts_, call, request);
      });
}

}  // namespace minnow::service
