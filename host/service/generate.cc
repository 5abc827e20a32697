// minnow.v1.Inference, Generate and Chat: streams of what a model writes.
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/json.h"
#include "constrain/tool_calls.h"
#include "engine/classify.h"
#include "engine/extract.h"
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
    out->set_forced(token.forced);
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
void FinishAnswer(Work& work, const engine::GenerateResult& result, bool has_tools) {
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
  if (has_tools) {
    const auto calls = constrain::CallsOf(result.text);
    if (!calls.ok()) return work.Finish(calls.status(), result.usage);
    for (const constrain::ToolCall& call : *calls) {
      v1::ToolCall* out = finished->add_tool_calls();
      out->set_name(call.name);
      out->set_arguments(call.arguments.dump());
    }
  }
  Fill(result.usage, finished->mutable_usage());
  Fill(result.usage, finished->mutable_timings());
  work.call->Send(response);
  work.Finish({}, result.usage);
}

// What the answer has to be; none is a constraint of no kind. `calls`: of options.tools.
Failure ReadConstraint(const ModelUse& use, const v1::GenerationOptions& options,
                       std::string_view document, uint32_t max_tokens,
                       const constrain::Constraint& calls, constrain::Constraint* out) {
  using Kind = constrain::Constraint::Kind;
  const char* field = "";
  switch (options.constraint_case()) {
    case v1::GenerationOptions::kJsonSchema: {
      field = "options.json_schema";
      auto constraint = engine::SchemaConstraint(options.json_schema(), document);
      if (!constraint.ok()) return Failure::AtField(field, constraint.status());
      *out = *std::move(constraint);
      break;
    }
    case v1::GenerationOptions::kRegex:
      field = "options.regex";
      *out = {Kind::kRegex, options.regex(), ""};
      break;
    case v1::GenerationOptions::kGbnf:
      field = "options.gbnf";
      *out = {Kind::kGbnf, options.gbnf(), ""};
      break;
    case v1::GenerationOptions::kLark:
      field = "options.lark";
      *out = {Kind::kLark, options.lark(), ""};
      break;
    case v1::GenerationOptions::kChoice: {
      field = "options.choice";
      const nlohmann::json texts(std::vector<std::string>(options.choice().texts().begin(),
                                                          options.choice().texts().end()));
      *out = {Kind::kChoice, texts.dump(), ""};
      break;
    }
    case v1::GenerationOptions::kTools: {
      field = "options.tools";
      *out = calls;
      break;
    }
    case v1::GenerationOptions::CONSTRAINT_NOT_SET:
      return {};
  }
  for (const auto& [name, given] : {std::pair("options.stop", options.stop_size() > 0),
                                    {"options.ignore_end", options.ignore_end()}}) {
    if (given)
      return std::vector<Violation>{
          {name, fmt::format("and {} exclude each other: the answer ends where it is complete",
                             std::string_view(field).substr(8))}};
  }
  return CheckConstraint(use->engine(), *out, max_tokens, field);
}

// A prompt for what fits of a text, and the calls of the tools that it tells of.
struct FittedPrompt {
  std::vector<TokenId> tokens;
  std::optional<v1::Overflow> overflow;
  constrain::Constraint calls;
};

template <class Response>
Failure Generate(const CallPtr& call, const ModelUse& use, Metrics& metrics, FittedPrompt prompt,
                 const v1::GenerationOptions& options, std::string_view document = {}) {
  engine::GenerateRequest request;
  request.prompt = std::move(prompt.tokens);
  if (options.has_max_tokens()) request.max_tokens = options.max_tokens();
  request.sampling = ToSampling(options.sampling());
  request.n_logprobs = options.logprobs();
  request.stop.assign(options.stop().begin(), options.stop().end());
  request.ignore_end = options.ignore_end();
  if (options.has_speculate()) request.speculate = options.speculate();
  Failure refused =
      ReadConstraint(use, options, document, request.max_tokens, prompt.calls, &request.constraint);
  if (!refused.ok()) return refused;
  request.priority = ToPriority(options.priority());
  request.deadline = call->info().deadline;
  request.adapter = use->adapter();

  Response accepted;
  accepted.mutable_accepted()->set_model(use->full_name());
  accepted.mutable_accepted()->set_prompt_tokens(static_cast<uint32_t>(request.prompt.size()));
  if (prompt.overflow) *accepted.mutable_accepted()->mutable_overflow() = *prompt.overflow;
  const auto work = std::make_shared<Work>(call, use, request.priority, metrics);
  request.on_token = [work, logprobs = request.n_logprobs > 0, accepted](
                         std::string_view text, const engine::GeneratedToken& token) {
    SendAccepted(*work, accepted);
    SendToken<Response>(*work, text, token, logprobs);
  };
  request.on_done = [work, accepted,
                     has_tools = options.has_tools()](const engine::GenerateResult& result) {
    SendAccepted(*work, accepted);
    FinishAnswer<Response>(*work, result, has_tools);
  };
  const auto id = use->engine().Generate(std::move(request));
  if (id.ok()) SendAccepted(*work, accepted);
  return Taken(work, use, id);
}

// What of a conversation may be cut: the document, which stands before the first user's words, or
// without one the last user's message.
struct Cuttable {
  bool is_document;
  int message;  // -1: there is none
  std::string_view text;
};

Cuttable FindCuttable(const v1::ChatRequest& request, const std::string* document) {
  Cuttable found{document != nullptr, -1, {}};
  for (int i = 0; i < request.messages_size(); ++i) {
    if (request.messages(i).role() != "user" || (found.is_document && found.message >= 0)) continue;
    found.message = i;
    found.text = document ? std::string_view(*document) : request.messages(i).content();
  }
  return found;
}

using Json = nlohmann::ordered_json;

Failure ReadTools(const v1::Tools& tools, Json* list, constrain::Constraint* calls) {
  auto parsed = ParseJson(tools.json());
  if (!parsed.ok()) return Failure::AtField("options.tools.json", parsed.status());
  auto made =
      constrain::ToolCallsConstraint(*parsed, tools.choice().empty() ? "required" : tools.choice(),
                                     tools.format().empty() ? "auto" : tools.format());
  if (!made.ok()) return Failure::AtField("options.tools", made.status());
  *list = *std::move(parsed);
  *calls = *std::move(made);
  return {};
}

// The calls of a message, as templates read them.
Failure ReadCalls(const v1::ChatRequest& request, int message, Json* out) {
  *out = Json::array();
  const auto& calls = request.messages(message).tool_calls();
  for (int i = 0; i < calls.size(); ++i) {
    auto arguments = ParseJson(calls[i].arguments());
    if (!arguments.ok() || !arguments->is_object()) {
      return std::vector<Violation>{
          {fmt::format("messages[{}].tool_calls[{}].arguments", message, i),
           arguments.ok() ? "is no JSON object" : arguments.status().message()}};
    }
    Json function = {{"name", calls[i].name()}, {"arguments", *std::move(arguments)}};
    out->push_back({{"type", "function"}, {"function", std::move(function)}});
  }
  return {};
}

// What was said, and what the model is told of.
Failure ReadConversation(const v1::ChatRequest& request, text::ChatInput* out,
                         constrain::Constraint* calls) {
  if (request.options().has_tools()) {
    Failure failure = ReadTools(request.options().tools(), &out->tools.emplace(), calls);
    if (!failure.ok()) return failure;
  }
  out->messages = Json::array();
  for (int i = 0; i < request.messages_size(); ++i) {
    Json& message = out->messages.emplace_back(Json{{"role", request.messages(i).role()}});
    message["content"] = request.messages(i).content();
    if (request.messages(i).tool_calls().empty()) continue;
    Failure failure = ReadCalls(request, i, &message["tool_calls"]);
    if (!failure.ok()) return failure;
  }
  out->now = std::time(nullptr);
  return {};
}

// With `part` in place of what may be cut.
text::ChatInput With(std::string_view part, const Cuttable& cuttable, text::ChatInput input) {
  if (cuttable.message < 0) return input;
  Json& content = input.messages[static_cast<size_t>(cuttable.message)]["content"];
  content = cuttable.is_document ? engine::DocumentTurn(part, content.get_ref<const std::string&>())
                                 : std::string(part);
  return input;
}

// CHUNK is for calls that can tell of each part.
bool IsChunk(v1::OnOverflow how, Failure* failure) {
  if (how != v1::ON_OVERFLOW_CHUNK) return false;
  *failure =
      std::vector<Violation>{{"on_overflow",
                              "is of Classify and Embed when it is CHUNK: here is one answer; "
                              "ask about each part by itself"}};
  return true;
}

uint32_t AnswerOf(const v1::GenerationOptions& options) {
  return options.has_max_tokens() ? options.max_tokens() : engine::GenerateRequest().max_tokens;
}

Failure Fit(const engine::Engine& engine, std::string_view text, v1::OnOverflow how,
            const v1::GenerationOptions& options, const char* field,
            const engine::EncodeDocument& encode, FittedPrompt* out) {
  auto fitted =
      engine::FitDocument(text, ToOnOverflow(how), RoomBeside(engine, AnswerOf(options)), encode);
  if (!fitted.ok() && fitted.status().code() == Code::kOutOfRange) return fitted.status();
  if (!fitted.ok()) return Failure::AtField(field, fitted.status());
  out->tokens = std::move(fitted->prompt);
  if (!fitted->kept.empty()) Fill(how, text.size(), fitted->kept, &out->overflow.emplace());
  return {};
}

}  // namespace

Failure Generate(ModelTable& models, Metrics& metrics, const CallPtr& call,
                 const v1::GenerateRequest& request) {
  const ModelTable::Taken taken = models.TakeWithAdapter(request.model());
  if (!taken.use) return taken.failure;
  FittedPrompt prompt;
  Failure failure;
  if (IsChunk(request.on_overflow(), &failure)) return failure;
  if (request.options().has_tools()) {
    return std::vector<Violation>{
        {"options.tools", "are of Chat, whose template tells the model of them"}};
  }
  if (ToOnOverflow(request.on_overflow()) == engine::OnOverflow::kError) {
    failure = Encode(taken.use->model(), request.prompt(), "prompt", &prompt.tokens);
  } else if (request.prompt().value_case() != v1::Text::kText) {
    return std::vector<Violation>{{"on_overflow", "is of a prompt that is a text"}};
  } else {
    failure = Fit(
        taken.use->engine(), request.prompt().text(), request.on_overflow(), request.options(),
        "prompt.text", [&](std::string_view part) { return taken.use->model().EncodeText(part); },
        &prompt);
  }
  if (!failure.ok()) return failure;
  return Generate<v1::GenerateResponse>(call, taken.use, metrics, std::move(prompt),
                                        request.options());
}

Failure Chat(ModelTable& models, Metrics& metrics, ContextTable& contexts, const CallPtr& call,
             const v1::ChatRequest& request) {
  const About about = TakeAbout(models, contexts, request.context(), request.model());
  if (!about.use) return about.failure;
  Failure failure;
  if (IsChunk(request.on_overflow(), &failure)) return failure;
  const Cuttable cuttable = FindCuttable(request, about.document.get());
  if (cuttable.message < 0 && about.document) {
    return std::vector<Violation>{
        {"messages", "must have a user's message, before which the context's document stands"}};
  }
  if (cuttable.message < 0 && ToOnOverflow(request.on_overflow()) != engine::OnOverflow::kError) {
    return std::vector<Violation>{
        {"on_overflow", "is of the last user's message, and there is none"}};
  }
  FittedPrompt prompt;
  text::ChatInput input;
  failure = ReadConversation(request, &input, &prompt.calls);
  if (!failure.ok()) return failure;
  failure = Fit(
      about.use->engine(), cuttable.text, request.on_overflow(), request.options(), "messages",
      [&](std::string_view part) {
        return about.use->model().EncodeChat(With(part, cuttable, input));
      },
      &prompt);
  if (!failure.ok()) return failure;
  return Generate<v1::ChatResponse>(
      call, about.use, metrics, std::move(prompt), request.options(),
      about.document ? std::string_view(*about.document) : std::string_view());
}

}  // namespace minnow::service
