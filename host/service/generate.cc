// minnow.v1.Inference, Generate and Chat: streams of what a model writes.
#include <algorithm>
#include <ctime>

#include "engine/classify.h"
#include "service/inference_work.h"
#include "text/chat_template.h"

namespace minnow::service {

namespace {

using engine::Clock;
using engine::TokenId;

// Once, and before whatever the executor may have to say already.
void SendAccepted(Work& work, const google::protobuf::Message& accepted) {
  std::call_once(work.accepted, [&] { work.call->Send(accepted); });
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
  finished->set_fingerprint(result.fingerprint);
  Fill(result.usage, finished->mutable_usage());
  Fill(result.usage, finished->mutable_timings());
  work.call->Send(response);
  work.Finish({}, result.usage);
}

template <class Response>
Failure Generate(const CallPtr& call, const ModelUse& use, Metrics& metrics,
                 std::vector<TokenId> prompt, const v1::GenerationOptions& options,
                 const v1::Overflow* overflow = nullptr) {
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
  if (options.has_speculate()) request.speculate = options.speculate();
  request.priority = ToPriority(options.priority());
  request.deadline = call->info().deadline;
  request.adapter = use->adapter();

  Response accepted;
  accepted.mutable_accepted()->set_model(use->full_name());
  accepted.mutable_accepted()->set_prompt_tokens(static_cast<uint32_t>(request.prompt.size()));
  if (overflow) *accepted.mutable_accepted()->mutable_overflow() = *overflow;
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

// A conversation whose first user's turn has the document before it, if there is one.
text::ChatInput Conversation(const v1::ChatRequest& request, const std::string_view* document) {
  text::ChatInput input;
  input.messages = nlohmann::ordered_json::array();
  bool is_told = document == nullptr;
  for (const v1::Message& m : request.messages()) {
    const bool tell = !is_told && m.role() == "user";
    input.messages.push_back(
        {{"role", m.role()},
         {"content", tell ? engine::DocumentTurn(*document, m.content()) : m.content()}});
    is_told |= tell;
  }
  input.now = std::time(nullptr);
  return input;
}

}  // namespace

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

Failure Chat(ModelTable& models, Metrics& metrics, ContextTable& contexts, const CallPtr& call,
             const v1::ChatRequest& request) {
  const About about = TakeAbout(models, contexts, request.context(), request.model());
  if (!about.use) return about.failure;
  const auto is_users = [](const v1::Message& m) { return m.role() == "user"; };
  if (about.document && std::ranges::none_of(request.messages(), is_users)) {
    return std::vector<Violation>{
        {"messages", "must have a user's message, before which the context's document stands"}};
  }
  const engine::OnOverflow how = ToOnOverflow(request.on_overflow());
  if (how == engine::OnOverflow::kChunk) {
    return std::vector<Violation>{{"on_overflow",
                                   "is of Classify when it is CHUNK: a chat has one "
                                   "answer; ask about each part by itself"}};
  }
  if (how != engine::OnOverflow::kError && !about.document) {
    return std::vector<Violation>{{"on_overflow", "is of a context's document, and there is none"}};
  }
  const std::string_view document = about.document ? *about.document : std::string_view();
  const uint32_t answer = request.options().has_max_tokens() ? request.options().max_tokens()
                                                             : engine::GenerateRequest().max_tokens;
  auto fitted = engine::FitDocument(document, how, RoomBeside(about.use->engine(), answer),
                                    [&](std::string_view part) {
                                      return about.use->model().EncodeChat(
                                          Conversation(request, about.document ? &part : nullptr));
                                    });
  if (!fitted.ok() && fitted.status().code() == Code::kOutOfRange) return fitted.status();
  if (!fitted.ok()) return Failure::AtField("messages", fitted.status());
  v1::Overflow overflow;
  Fill(request.on_overflow(), document.size(), fitted->kept, &overflow);
  return Generate<v1::ChatResponse>(call, about.use, metrics, std::move(fitted->prompt),
                                    request.options(), fitted->kept.empty() ? nullptr : &overflow);
}

}  // namespace minnow::service
