// minnow.v1.Inference: requests become the engine's, its callbacks become messages. What streams is
// in generate.cc, Classify in classify.cc, Extract in extract.cc, contexts in contexts.cc.
#include <cmath>

#include "engine/score.h"
#include "service/inference_work.h"
#include "service/services.h"

namespace minnow::service {

namespace {

using engine::TokenId;

constexpr const char* kService = "minnow.v1.Inference";

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
  const bool whole = ask.continuations.empty();
  ask.on_done = [work, whole](const engine::ScoreResult& result) {
    if (!result.status.ok()) return work->Finish(result.status, result.usage);
    v1::ScoreResponse response;
    if (whole) {
      const engine::ContinuationScore& score = result.continuations[0];
      for (size_t i = 0; i < score.tokens.size(); ++i) {
        v1::Token* token = response.add_prompt();
        token->set_id(score.tokens[i]);
        if (i > 0) token->set_logprob(score.token_logprobs[i]);
      }
      response.set_prompt_logprob(score.logprob);
    }
    for (const engine::ContinuationScore& score : result.continuations) {
      if (whole) break;
      v1::ContinuationScore* out = response.add_continuations();
      out->set_logprob(score.logprob);
      out->mutable_tokens()->Add(score.tokens.begin(), score.tokens.end());
      out->mutable_token_logprobs()->Add(score.token_logprobs.begin(), score.token_logprobs.end());
    }
    Fill(result.usage, response.mutable_usage());
    Fill(result.usage, response.mutable_timings());
    response.set_fingerprint(result.fingerprint);
    work->call->Send(response);
    work->Finish({}, result.usage);
  };
  return Taken(work, taken.use, engine::ScoreContinuations(taken.use->engine(), std::move(ask)));
}

// An input of Embed: the parts of its text, mostly one.
struct EmbedInput {
  std::vector<engine::EmbedRequest> parts;
  std::vector<engine::ByteSpan> spans;  // of the parts where there are several
  std::vector<std::vector<float>> vectors;
  v1::Overflow overflow;  // with spans if not all of it is in one part
};

// The vectors of one call, as they come.
struct Embeddings {
  std::mutex mutex;  // guards all below
  size_t left = 0;
  std::vector<EmbedInput> inputs;
  engine::Usage usage;
  Status failed;

  void Fill(v1::EmbedResponse* response) {
    for (EmbedInput& input : inputs) {
      v1::Embedding* out = response->add_embeddings();
      const std::vector<float> values = engine::MeanOfParts(input.vectors, input.spans);
      out->mutable_values()->Add(values.begin(), values.end());
      if (input.overflow.kept_size() > 0) *out->mutable_overflow() = input.overflow;
    }
  }
};

// What is to be embedded of an input.
Failure EncodeInput(const engine::Engine& engine, const v1::Text& text, v1::OnOverflow on_overflow,
                    const std::string& field, EmbedInput* out) {
  const engine::OnOverflow how = ToOnOverflow(on_overflow);
  if (how == engine::OnOverflow::kError) {
    return Encode(engine.model(), text, field, &out->parts.emplace_back().tokens);
  }
  if (text.value_case() != v1::Text::kText) {
    return std::vector<Violation>{
        {"on_overflow", fmt::format("is of texts, and {} is none", field)}};
  }
  const auto fit = [&]() -> Status {
    const auto encode = [&](std::string_view part) { return engine.model().EncodeText(part); };
    const std::string_view whole = text.text();
    const size_t room = RoomBeside(engine, 0);
    std::vector<engine::ByteSpan> kept;
    if (how == engine::OnOverflow::kChunk) {
      MNW_ASSIGN(out->spans, engine::ChunkDocument(whole, room, encode));
      for (const engine::ByteSpan& span : out->spans) {
        MNW_ASSIGN(out->parts.emplace_back().tokens,
                   encode(whole.substr(span.begin, span.end - span.begin)));
      }
      if (out->spans.size() > 1) kept = out->spans;
    } else {
      MNW_ASSIGN(engine::Fitted fitted, engine::FitDocument(whole, how, room, encode));
      out->parts.emplace_back().tokens = std::move(fitted.prompt);
      kept = std::move(fitted.kept);
    }
    if (!kept.empty()) Fill(on_overflow, whole.size(), kept, &out->overflow);
    return Status();
  };
  const Status status = fit();
  if (status.ok()) return {};
  if (status.code() == Code::kOutOfRange) return Status(status).Annotate(field);
  return Failure::AtField(field + ".text", status);
}

Failure Embed(ModelTable& models, Metrics& metrics, const CallPtr& call,
              const v1::EmbedRequest& request) {
  const ModelTable::Taken taken = models.TakeWithAdapter(request.model());
  if (!taken.use) return taken.failure;
  const auto all = std::make_shared<Embeddings>();
  struct Ask {
    size_t input, part;
    engine::EmbedRequest request;
  };
  std::vector<Ask> asks;
  for (int i = 0; i < request.inputs_size(); ++i) {
    EmbedInput& input = all->inputs.emplace_back();
    Failure failure = EncodeInput(taken.use->engine(), request.inputs(i), request.on_overflow(),
                                  fmt::format("inputs[{}]", i), &input);
    if (!failure.ok()) return failure;
    for (size_t p = 0; p < input.parts.size(); ++p) {
      asks.push_back({static_cast<size_t>(i), p, std::move(input.parts[p])});
    }
    input.vectors.resize(input.parts.size());
  }
  all->left = asks.size();
  const engine::Priority priority = ToPriority(request.priority());
  const auto work = std::make_shared<Work>(call, taken.use, priority, metrics);
  const auto end_one = [work, all](size_t input, size_t part, Status status,
                                   std::vector<float> values, const engine::Usage& usage) {
    std::unique_lock lock(all->mutex);
    all->usage.prompt_tokens += usage.prompt_tokens;
    all->usage.queue_seconds = std::max(all->usage.queue_seconds, usage.queue_seconds);
    if (!status.ok() && all->failed.ok()) all->failed = std::move(status);
    all->inputs[input].vectors[part] = std::move(values);
    if (--all->left > 0) return;
    if (all->failed.ok()) {
      v1::EmbedResponse response;
      all->Fill(&response);
      Fill(all->usage, response.mutable_usage());
      response.set_fingerprint(work->use->engine().identity(work->use->adapter()));
      work->call->Send(response);
    }
    if (all->failed.ok()) return work->Finish({}, all->usage);
    work->Finish(Refused(work->rate, work->use->engine(), all->failed), all->usage);
  };
  std::vector<engine::RequestId> ids;
  Status refused;
  for (auto& [input, part, ask] : asks) {
    ask.priority = priority;
    ask.deadline = call->info().deadline;
    ask.adapter = taken.use->adapter();
    ask.on_done = [end_one, i = input, p = part](Status status, std::vector<float> values,
                                                 engine::Usage usage) {
      end_one(i, p, std::move(status), std::move(values), usage);
    };
    const auto id = refused.ok() ? taken.use->engine().Embed(std::move(ask)) : refused;
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
                        : Status(refused).Annotate(fmt::format("inputs[{}]", input));
    }
    end_one(input, part, refused, {}, {});
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

}  // namespace

void Inference::AddTo(Router& router) {
  const auto add = [&]<class Request>(const char* name, auto handle) {
    router.Add<Request>(kService, name, Kind::kWork,
                        [this, handle](const CallPtr& call, const Request& request) -> Failure {
                          return WithAdapter(models_, request.model(), call, request,
                                             [this, handle](const auto& c, const auto& r) {
                                               return handle(models_, metrics_, c, r);
                                             });
                        });
  };
  add.operator()<v1::GenerateRequest>("Generate", &Generate);
  const auto add_about = [&]<class Request>(const char* name, auto handle) {
    router.Add<Request>(kService, name, Kind::kWork,
                        [this, handle](const CallPtr& call, const Request& request) -> Failure {
                          const std::string model =
                              ModelOf(contexts_, request.context(), request.model());
                          return WithAdapter(models_, model, call, request,
                                             [this, handle](const auto& c, const auto& r) {
                                               return handle(models_, metrics_, contexts_, c, r);
                                             });
                        });
  };
  add_about.operator()<v1::ChatRequest>("Chat", &Chat);
  add_about.operator()<v1::ClassifyRequest>("Classify", &Classify);
  add_about.operator()<v1::ExtractRequest>("Extract", &Extract);
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
  AddContexts(router);
}

}  // namespace minnow::service
