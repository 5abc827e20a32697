// The methods of a model that answer at once, or when the whole answer is there.
#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/extract.h"
#include "engine/overflow.h"
#include "script/lua_model.h"
#include "script/lua_values.h"

namespace minnow::script {
namespace {

using Json = nlohmann::ordered_json;

// --- Results as scripts see them

//---@class minnow.TokenLogprob
//---@field token integer
//---@field logprob number  -- natural logarithm
//---@field top? minnow.TokenLogprob[]  -- the likeliest tokens of this place, the best first

Json LogprobsJson(const std::vector<engine::GeneratedToken>& tokens) {
  Json list = Json::array();
  for (const engine::GeneratedToken& token : tokens) {
    Json top = Json::array();
    for (const engine::TokenLogprob& other : token.top) {
      top.push_back({{"token", other.token}, {"logprob", other.logprob}});
    }
    list.push_back({{"token", token.token}, {"logprob", token.logprob}, {"top", std::move(top)}});
  }
  return list;
}

//---@class minnow.Usage
//---@field prompt_tokens integer
//---@field completion_tokens integer

//---@class minnow.Answer
//---@field text string  -- without the stop string
//---@field finish_reason "stop"|"length"
//---@field tokens integer[]
//---@field usage minnow.Usage
//---@field overflow? minnow.Overflow  -- if not all of the document fitted
//---@field parts? minnow.Answer[]  -- with on_overflow = "chunk": of each part
//---@field fingerprint string  -- of the model, the build, the devices and the options: the same
//---prompt with the same fingerprint has the same answer. Empty in an answer that is replayed.
//---@field logprobs? minnow.TokenLogprob[]  -- if the option asked for them

Result<Json> GenerateJson(const engine::GenerateResult& result) {
  if (!result.status.ok()) return result.status;
  if (result.finish_reason == engine::FinishReason::kCancelled) {
    return Error(Code::kCancelled, "the model stopped before the answer was complete");
  }
  Json tokens = Json::array();
  bool has_logprobs = false;
  for (const engine::GeneratedToken& token : result.tokens) {
    tokens.push_back(token.token);
    has_logprobs |= !token.top.empty();
  }
  Json value = {{"text", result.text},
                {"finish_reason", engine::FinishReasonName(result.finish_reason)},
                {"tokens", std::move(tokens)},
                {"usage", UsageJson(result.usage)},
                {"fingerprint", result.fingerprint}};
  if (has_logprobs) value["logprobs"] = LogprobsJson(result.tokens);
  return value;
}

// A result about a part of a document.
template <class R>
struct Of {
  R result;
  Json overflow;
};

Result<Json> With(Result<Json> json, Json overflow) {
  if (json.ok() && !overflow.is_null()) (*json)["overflow"] = std::move(overflow);
  return json;
}

// --- Methods that wait

//---What of a document (of a prompt, the last user's message, a text) an answer is about, where it was
//---too long. Bytes are counted from 1, both ends included.
//---@class minnow.Overflow
//---@field on_overflow "head"|"tail"|"middle"|"chunk"
//---@field document_bytes integer
//---@field kept integer[][]  -- the parts that were kept or, of chunks, asked about: { first, last }

Result<FittedPrompt> Fit(const ModelApi& model, std::string_view text,
                         const std::string& on_overflow, uint32_t answer,
                         const engine::EncodeDocument& encode) {
  MNW_ASSIGN(const engine::OnOverflow how, engine::ReadOnOverflow(on_overflow));
  size_t room = 0;
  if (how != engine::OnOverflow::kError) {
    MNW_ASSIGN(const uint32_t longest, model.Longest());
    room = longest - std::min(longest, answer);
  }
  MNW_ASSIGN(engine::Fitted fitted, engine::FitDocument(text, how, room, encode));
  return FittedPrompt{std::move(fitted.prompt),
                      OverflowJson(on_overflow, text.size(), fitted.kept)};
}

// Where there is one answer to all of a text.
Status RefuseChunks(std::string_view call, std::string_view on_overflow) {
  if (on_overflow != "chunk") return {};
  return Error(Code::kInvalid,
               "{}: on_overflow is 'chunk', which is of ask, classify and embed; here it must be "
               "error, head, tail or middle",
               call);
}

Status StartGenerate(lua_State* L, State& state, State::CallId id) {
  MNW_ASSIGN(ModelApi * model, ReadModel(L, "generate"));
  MNW_ASSIGN(const std::string_view prompt, ReadString(L, 2, "generate: the prompt"));
  engine::GenerateRequest request;
  std::string on_overflow = "error";
  MNW_TRY(ReadGenerateOptions(L, 3, "generate", request, &on_overflow));
  MNW_TRY(RefuseChunks("generate", on_overflow));
  MNW_ASSIGN(FittedPrompt fitted,
             Fit(*model, prompt, on_overflow, request.max_tokens,
                 [&](std::string_view part) { return model->EncodeText(part); }));
  request.prompt = std::move(fitted.prompt);
  return SubmitGenerate(state, id, *model, std::move(request), std::move(fitted.overflow));
}

Result<Json> ReadMessages(lua_State* L, int index, std::string_view call) {
  MNW_ASSIGN(Json messages, ToJson(L, index, fmt::format("{}: messages", call)));
  bool good = messages.is_array() && !messages.empty();
  for (const Json& message : messages) {
    const auto role = message.is_object() ? message.find("role") : message.end();
    good = good && message.is_object() && role != message.end() && role->is_string();
  }
  if (good) return messages;
  return Error(Code::kInvalid,
               "{}: messages should be a list like {{ {{ role = \"user\", content = "
               "\"...\" }} }}",
               call);
}

// What the last user says, which is what may be cut. Null: nobody says anything.
Json* LastUserContent(Json& messages) {
  for (auto message = messages.rbegin(); message != messages.rend(); ++message) {
    if (message->at("role") != "user") continue;
    const auto content = message->find("content");
    return content != message->end() && content->is_string() ? &*content : nullptr;
  }
  return nullptr;
}

Result<FittedPrompt> FitChat(const ModelApi& model, Json messages, const std::string& on_overflow,
                             uint32_t answer) {
  if (on_overflow == "error") {
    MNW_ASSIGN(std::vector<engine::TokenId> prompt, model.EncodeChat(messages));
    return FittedPrompt{std::move(prompt), nullptr};
  }
  Json* const content = LastUserContent(messages);
  if (!content) {
    return Error(Code::kInvalid,
                 "chat: on_overflow is of the last user's message, and there is none with a text");
  }
  const auto whole = content->get<std::string>();
  return Fit(model, whole, on_overflow, answer, [&](std::string_view part) {
    *content = std::string(part);
    return model.EncodeChat(messages);
  });
}

Status StartChat(lua_State* L, State& state, State::CallId id) {
  MNW_ASSIGN(ModelApi * model, ReadModel(L, "chat"));
  engine::GenerateRequest request;
  std::string on_overflow = "error";
  MNW_TRY(ReadGenerateOptions(L, 3, "chat", request, &on_overflow));
  MNW_TRY(RefuseChunks("chat", on_overflow));
  MNW_ASSIGN(Json messages, ReadMessages(L, 2, "chat"));
  MNW_ASSIGN(FittedPrompt fitted,
             FitChat(*model, std::move(messages), on_overflow, request.max_tokens));
  request.prompt = std::move(fitted.prompt);
  return SubmitGenerate(state, id, *model, std::move(request), std::move(fitted.overflow));
}

Status StartAsk(lua_State* L, State& state, State::CallId id) {
  MNW_ASSIGN(ModelApi * model, ReadModel(L, "ask"));
  MNW_ASSIGN(const std::string_view document, ReadString(L, 2, "ask: the document"));
  MNW_ASSIGN(const std::string_view question, ReadString(L, 3, "ask: the question"));
  engine::GenerateRequest request;
  std::string on_overflow = "error";
  MNW_TRY(ReadGenerateOptions(L, 4, "ask", request, &on_overflow));
  if (request.constraint.kind == constrain::Constraint::Kind::kJsonSchema) {
    MNW_ASSIGN(request.constraint,
               engine::SchemaConstraint(std::move(request.constraint.source), document));
  }
  MNW_ASSIGN(FittedPrompt fitted,
             FitQuestion(*model, document, question, on_overflow, request.max_tokens));
  request.prompt = std::move(fitted.prompt);
  return SubmitGenerate(state, id, *model, std::move(request), std::move(fitted.overflow));
}

struct Embedding {
  Status status;
  std::vector<float> vector;
  engine::Usage usage;
  Json overflow;
};

// { vector, overflow }
Result<Json> EmbeddingJson(Embedding e) {
  if (!e.status.ok()) return e.status;
  return With(Json{{"vector", e.vector}}, std::move(e.overflow));
}

//---@class minnow.EmbedOptions
//---@field on_overflow? "error"|"head"|"tail"|"middle"|"chunk"  -- "error"; what to keep of a text that
//---is too long: its head, its tail, both without the middle, or all of it in parts, of whose vectors
//---the mean is taken

Status StartEmbed(lua_State* L, State& state, State::CallId id) {
  MNW_ASSIGN(ModelApi * model, ReadModel(L, "embed"));
  MNW_ASSIGN(const std::string_view text, ReadString(L, 2, "embed: the text"));
  engine::EmbedRequest request;
  std::string on_overflow = "error";
  MNW_TRY(ReadOptions(L, 3, "embed", {{"on_overflow", &on_overflow}}));
  MNW_ASSIGN(FittedPrompt fitted, Fit(*model, text, on_overflow, 0, [&](std::string_view part) {
               return model->EncodeText(part);
             }));
  request.tokens = std::move(fitted.prompt);
  MNW_TRY(state.ReserveTokens(request.tokens.size()));
  request.priority = state.priority();
  auto receive = state.Receiver<Embedding>(id, [](State& state, State::CallId id, Embedding e) {
    state.CountUsage(id, e.usage);
    state.Complete(id, EmbeddingJson(std::move(e)));
  });
  request.on_done = [receive = std::move(receive), overflow = std::move(fitted.overflow)](
                        Status status, std::vector<float> vector, engine::Usage usage) {
    receive({std::move(status), std::move(vector), usage, overflow});
  };
  MNW_ASSIGN(const engine::RequestId submitted, model->Embed(std::move(request)));
  state.Submitted(id, *model, submitted);
  return {};
}

Result<Json> ScoreJson(const engine::ScoreResult& result) {
  if (!result.status.ok()) return result.status;
  Json list = Json::array();
  for (const engine::ContinuationScore& score : result.continuations) {
    Json logprobs = Json::array();
    for (const float logprob : score.token_logprobs) {
      logprobs.push_back(std::isnan(logprob) ? Json() : Json(logprob));
    }
    list.push_back({{"logprob", score.logprob},
                    {"tokens", score.tokens},
                    {"token_logprobs", std::move(logprobs)}});
  }
  return list;
}

Result<Json> TextScoreJson(const engine::ScoreResult& result) {
  MNW_ASSIGN(Json list, ScoreJson(result));
  return std::move(list[0]);
}

Status StartScore(lua_State* L, State& state, State::CallId id) {
  MNW_ASSIGN(ModelApi * model, ReadModel(L, "score"));
  engine::ContinuationsRequest request;
  MNW_ASSIGN(request.prompt, EncodePrompt(L, 2, *model, "score"));
  const bool whole = lua_isnoneornil(L, 3);
  std::vector<std::string> texts;
  if (!whole) {
    MNW_ASSIGN(texts, ReadStrings(L, 3, "score: continuations"));
    if (texts.empty()) return Error(Code::kInvalid, "score: the list of continuations is empty");
  }
  for (const std::string& text : texts) {
    MNW_ASSIGN(request.continuations.emplace_back(), model->EncodeContinuation(text));
  }
  size_t n_tokens = request.prompt.size();
  for (const auto& tokens : request.continuations) n_tokens += tokens.size();
  MNW_TRY(state.ReserveTokens(n_tokens));
  request.priority = state.priority();
  using Scored = engine::ScoreResult;
  request.on_done = whole
                        ? state.Receiver<Scored>(id,
                                                 [](State& state, State::CallId id, Scored r) {
                                                   state.CountUsage(id, r.usage);
                                                   state.Complete(id, TextScoreJson(r));
                                                 })
                        : state.Receiver<Scored>(id, [](State& state, State::CallId id, Scored r) {
                            state.CountUsage(id, r.usage);
                            state.Complete(id, ScoreJson(r));
                          });
  MNW_ASSIGN(const engine::RequestId submitted, model->Score(std::move(request)));
  state.Submitted(id, *model, submitted);
  return {};
}

//---Continues a text as it stands, without the chat template. Waits. Raises out_of_range when the
//---prompt is longer than the context.
//---@param prompt string
//---@param options? minnow.GenerateOptions
//---@return minnow.Answer
//---function Model:generate(prompt, options)
int Generate(lua_State* L) { return CallModel(L, "generate", StartGenerate); }
//---@class minnow.Message
//---@field role string  -- "system", "user", "assistant"
//---@field content string

//---Answers a conversation, put through the model's chat template. Waits. Raises precondition when
//---the model has none, invalid when it refuses the messages.
//---@param messages minnow.Message[]
//---@param options? minnow.GenerateOptions
//---@return minnow.Answer
//---function Model:chat(messages, options)
int Chat(lua_State* L) { return CallModel(L, "chat", StartChat); }

//---Answers a question about a document, which stands before it in one user turn. Waits. All
//---questions about one document share it, however many there are.
//---@param document string|minnow.Document
//---@param question string
//---@param options? minnow.GenerateOptions
//---@return minnow.Answer
//---function Model:ask(document, question, options)
int Ask(lua_State* L) {
  TextOfDocument(L);
  return CallModel(L, "ask", StartAsk);
}

//---@class minnow.ScoredContinuation
//---@field logprob number  -- of the whole continuation: the sum
//---@field tokens integer[]
//---@field token_logprobs number[]  -- natural logarithms, each after all that stands before it

//---How probable each of a few continuations of a prompt is. All of them take one pass over the
//---prompt. Waits. Without continuations it is the prompt itself that is scored, and one score that
//---comes back: its first token has no log-probability (minnow.null), and behind the others stands
//---the token that is likeliest to follow, which the sum leaves out.
//---@param prompt string|minnow.Message[]  -- a text as it stands, or a conversation
//---@param continuations string[]  -- at least one, none empty; each tokenized by itself
//---@return minnow.ScoredContinuation[]
//---@overload fun(self: minnow.Model, prompt: string|minnow.Message[]): minnow.ScoredContinuation
//---function Model:score(prompt, continuations)
int Score(lua_State* L) { return CallModel(L, "score", StartScore); }

//---The vector of a text, of length 1. Waits. Raises unsupported when the model is no encoder, and
//---out_of_range when the text is too long and no option says what to keep of it.
//---@param text string|minnow.Document
//---@param options? minnow.EmbedOptions
//---@return number[]
//---@return minnow.Overflow?  -- if not all of the text fitted
//---function Model:embed(text, options)
int Embed(lua_State* L) {
  TextOfDocument(L);
  return CallModel(L, "embed", StartEmbed);
}

// chunks(model, document, question, answer) -> the document's parts, and an Overflow; or
// nothing, if it fits: for minnow.lua. Without a question, of a text that stands by itself.
Status ReadChunks(lua_State* L, Json& out) {
  MNW_ASSIGN(ModelApi * model, ReadModel(L, "ask"));
  MNW_ASSIGN(const std::string_view document, ReadString(L, 2, "the document"));
  std::string_view question;
  const bool alone = lua_isnil(L, 3);
  if (!alone) {
    MNW_ASSIGN(question, ReadString(L, 3, "the question"));
  }
  const auto answer = static_cast<uint32_t>(lua_tointeger(L, 4));
  MNW_ASSIGN(const uint32_t longest, model->Longest());
  const auto encode = [&](std::string_view part) {
    return alone ? model->EncodeText(part) : EncodeQuestion(*model, part, question);
  };
  MNW_ASSIGN(const auto spans,
             engine::ChunkDocument(document, longest - std::min(longest, answer), encode));
  if (spans.size() < 2) return {};
  Json parts = Json::array();
  for (const engine::ByteSpan& span : spans) {
    parts.push_back(document.substr(span.begin, span.end - span.begin));
  }
  out = {{"parts", std::move(parts)}, {"overflow", OverflowJson("chunk", document.size(), spans)}};
  return {};
}

int Chunks(lua_State* L) {
  State& state = State::From(L);
  ChargeTexts(L);
  state.value() = nullptr;
  if (!state.Try(ReadChunks(L, state.value()))) return state.Raise(L);
  if (state.value().is_null()) return 0;
  PushJson(L, state.value());
  return 1;
}

// --- Methods that answer at once

Status TokenizeText(lua_State* L, const char* call, Json& ids) {
  MNW_ASSIGN(const ModelApi* model, ReadModel(L, call));
  MNW_ASSIGN(const std::string_view text, ReadString(L, 2, fmt::format("{}: the text", call)));
  MNW_ASSIGN(ids, model->EncodeText(text));
  return {};
}

//---The tokens of a text, as a prompt would have them.
//---@param text string
//---@return integer[]
//---function Model:tokenize(text)
int Tokenize(lua_State* L) {
  State& state = State::From(L);
  ChargeTexts(L);
  if (!state.Try(TokenizeText(L, "tokenize", state.value()))) return state.Raise(L);
  PushJson(L, state.value());
  return 1;
}

//---How many tokens a text has.
//---@param text string
//---@return integer
//---function Model:count(text)
int Count(lua_State* L) {
  State& state = State::From(L);
  ChargeTexts(L);
  if (!state.Try(TokenizeText(L, "count", state.value()))) return state.Raise(L);
  lua_pushinteger(L, static_cast<lua_Integer>(state.value().size()));
  return 1;
}

}  // namespace

Json UsageJson(const engine::Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens}, {"completion_tokens", usage.completion_tokens}};
}

void ChargeTexts(lua_State* L) {
  size_t n_bytes = 0;
  for (int i = 2; i <= lua_gettop(L); ++i) {
    if (lua_type(L, i) == LUA_TSTRING) n_bytes += lua_rawlen(L, i);
  }
  State::From(L).Charge(L, 10 * n_bytes);
}

int CallModel(lua_State* L, const char* name, State::StartCall start) {
  ChargeTexts(L);
  return State::From(L).CallAndWait(L, name, start);
}

void TextOfDocument(lua_State* L) {
  if (!lua_istable(L, 2)) return;
  lua_getfield(L, 2, "text");
  lua_replace(L, 2);
}

Json OverflowJson(std::string_view how, size_t document_bytes,
                  const std::vector<engine::ByteSpan>& kept) {
  if (kept.empty()) return nullptr;
  Json spans = Json::array();
  for (const engine::ByteSpan& span : kept) {
    spans.push_back(Json::array({span.begin + 1, span.end}));
  }
  return {{"on_overflow", how}, {"document_bytes", document_bytes}, {"kept", std::move(spans)}};
}

Result<FittedPrompt> FitQuestion(const ModelApi& model, std::string_view document,
                                 std::string_view question, const std::string& on_overflow,
                                 uint32_t answer) {
  return Fit(model, document, on_overflow, answer,
             [&](std::string_view part) { return EncodeQuestion(model, part, question); });
}

Result<std::vector<engine::TokenId>> EncodePrompt(lua_State* L, int index, const ModelApi& model,
                                                  std::string_view call) {
  if (lua_istable(L, index)) {
    MNW_ASSIGN(const Json messages, ReadMessages(L, index, call));
    return model.EncodeChat(messages);
  }
  MNW_ASSIGN(const std::string_view prompt,
             ReadString(L, index, fmt::format("{}: the prompt", call)));
  return model.EncodeText(prompt);
}

Result<std::vector<engine::TokenId>> EncodeQuestion(const ModelApi& model,
                                                    std::string_view document,
                                                    std::string_view question) {
  std::string content = engine::DocumentTurn(document, question);
  return model.EncodeChat(Json::array({{{"role", "user"}, {"content", std::move(content)}}}));
}

//---@class minnow.GenerateOptions
//---@field max_tokens? integer  -- 256
//---@field temperature? number  -- 0: the likeliest token each time
//---@field top_k? integer  -- 0: off
//---@field top_p? number  -- 1: off
//---@field min_p? number  -- 0: off
//---@field seed? integer  -- 0; the same seed gives the same answer
//---@field stop? string|string[]  -- ends the answer before this text
//---@field logprobs? integer  -- 0; how many of the likeliest tokens to tell for each place
//---@field on_overflow? "error"|"head"|"tail"|"middle"|"chunk"  -- "error"; what to keep of a document
//---(of generate: the prompt; of chat: the last user's message) that is too long: its head, its tail,
//---both without the middle, or, of ask alone, all of it in parts, each of which is asked about: the
//---answer has the texts of all, one a line, and `parts`
//---@field speculate? boolean  -- true; guess ahead where that is faster. The answer is the same.
//---@field schema? minnow.Schema|string  -- the answer is JSON of this schema (docs/extract.md). Of the
//---five that limit it, an answer has one, and no stop.
//---@field regex? string  -- the whole answer matches it
//---@field grammar? string  -- GBNF
//---@field lark? string  -- a grammar in the spelling of Lark
//---@field choice? string[]  -- the answer is one of these

// What the answer has to be; `given` are those of the options that say so.
Status ReadConstraint(std::string_view call, const std::optional<Json>& schema,
                      const std::optional<std::string>& regex,
                      const std::optional<std::string>& grammar,
                      const std::optional<std::string>& lark, const std::optional<Json>& choice,
                      engine::GenerateRequest& request) {
  using Kind = constrain::Constraint::Kind;
  std::vector<std::string_view> given;
  const auto give = [&](const char* name, Kind kind, std::string source) {
    given.push_back(name);
    request.constraint = {kind, std::move(source), ""};
  };
  if (schema) {
    MNW_ASSIGN(std::string text, SchemaText(*schema, call));
    MNW_ASSIGN(request.constraint, engine::SchemaConstraint(std::move(text), ""));
    given.push_back("schema");
  }
  if (regex) give("regex", Kind::kRegex, *regex);
  if (grammar) give("grammar", Kind::kGbnf, *grammar);
  if (lark) give("lark", Kind::kLark, *lark);
  if (choice) give("choice", Kind::kChoice, choice->dump());
  if (!given.empty() && !request.stop.empty()) given.push_back("stop");
  if (given.size() < 2) return {};
  return Error(Code::kInvalid, "{}: the options '{}' and '{}' exclude each other", call, given[0],
               given[1]);
}

Status ReadGenerateOptions(lua_State* L, int index, std::string_view call,
                           engine::GenerateRequest& request, std::string* on_overflow) {
  engine::Sampling& sampling = request.sampling;
  std::string none;
  std::optional<Json> schema, choice;
  std::optional<std::string> regex, grammar, lark;
  MNW_TRY(ReadOptions(L, index, call,
                      {{"max_tokens", &request.max_tokens},
                       {"temperature", &sampling.temperature},
                       {"top_k", &sampling.top_k},
                       {"top_p", &sampling.top_p},
                       {"min_p", &sampling.min_p},
                       {"seed", &sampling.seed},
                       {"stop", &request.stop},
                       {"logprobs", &request.n_logprobs},
                       {"speculate", &request.speculate},
                       {"schema", &schema},
                       {"regex", &regex},
                       {"grammar", &grammar},
                       {"lark", &lark},
                       {"choice", &choice},
                       {"on_overflow", on_overflow ? on_overflow : &none}}));
  MNW_TRY(ReadConstraint(call, schema, regex, grammar, lark, choice, request));
  if (none.empty()) return {};
  return Error(Code::kInvalid,
               "{}: on_overflow is of answers that tell what was kept: ask, classify, generate, "
               "chat, embed",
               call);
}

Status SubmitGenerate(State& state, State::CallId id, ModelApi& model,
                      engine::GenerateRequest request, Json overflow) {
  MNW_TRY(state.ReserveTokens(request.prompt.size(), &request.max_tokens));
  request.priority = state.priority();
  using Fitted = Of<engine::GenerateResult>;
  auto receive = state.Receiver<Fitted>(id, [](State& state, State::CallId id, Fitted answer) {
    state.CountUsage(id, answer.result.usage);
    state.Complete(id, With(GenerateJson(answer.result), std::move(answer.overflow)));
  });
  request.on_done = [receive = std::move(receive),
                     overflow = std::move(overflow)](engine::GenerateResult result) {
    receive({std::move(result), overflow});
  };
  MNW_ASSIGN(const engine::RequestId submitted, model.Generate(std::move(request)));
  state.Submitted(id, model, submitted);
  return {};
}

void OpenCalls(lua_State* L) {
  constexpr luaL_Reg kMethods[] = {
      {"generate", Generate}, {"chat", Chat},         {"ask", Ask},     {"score", Score},
      {"embed", Embed},       {"tokenize", Tokenize}, {"count", Count}, {nullptr, nullptr}};
  luaL_setfuncs(L, kMethods, 0);
}

void OpenChunks(lua_State* L) {
  lua_pushcfunction(L, Chunks);
  lua_setfield(L, -2, "chunks");
}

}  // namespace minnow::script
