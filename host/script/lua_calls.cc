// The methods of a model that answer at once, or when the whole answer is there.
#include <algorithm>
#include <cmath>
#include <utility>

#include "base/json.h"
#include "constrain/tool_calls.h"
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
//---@field tool_calls? minnow.ToolCall[]  -- with tools: empty if the answer is in words

//---@class minnow.ToolCall
//---@field name string
//---@field arguments table  -- keeps the order of its fields

Result<Json> ToolCallsJson(const engine::GenerateResult& result) {
  MNW_ASSIGN(std::vector<constrain::ToolCall> calls, constrain::CallsOf(result.text));
  Json list = Json::array();
  for (constrain::ToolCall& call : calls) {
    list.push_back({{"name", call.name}, {"arguments", std::move(call.arguments)}});
  }
  return list;
}

Result<Json> GenerateJson(const engine::GenerateResult& result, bool has_tools) {
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
  if (has_tools) {
    MNW_ASSIGN(value["tool_calls"], ToolCallsJson(result));
  }
  return value;
}

// What came of a generation: about a part of a document, if `overflow` tells which.
struct Generated {
  engine::GenerateResult result;
  Json overflow;
  constrain::Constraint::Kind constraint;
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

// `chat`: as of ModelApi::EncodeChat.
Result<FittedPrompt> FitChat(const ModelApi& model, Json chat, const std::string& on_overflow,
                             uint32_t answer) {
  if (on_overflow == "error") {
    MNW_ASSIGN(std::vector<engine::TokenId> prompt, model.EncodeChat(chat));
    return FittedPrompt{std::move(prompt), nullptr};
  }
  Json* const content = LastUserContent(chat.is_object() ? chat["messages"] : chat);
  if (!content) {
    return Error(Code::kInvalid,
                 "chat: on_overflow is of the last user's message, and there is none with a text");
  }
  const auto whole = content->get<std::string>();
  return Fit(model, whole, on_overflow, answer, [&](std::string_view part) {
    *content = std::string(part);
    return model.EncodeChat(chat);
  });
}

Status StartChat(lua_State* L, State& state, State::CallId id) {
  MNW_ASSIGN(ModelApi * model, ReadModel(L, "chat"));
  engine::GenerateRequest request;
  std::string on_overflow = "error";
  Json tools;
  MNW_TRY(ReadGenerateOptions(L, 3, "chat", request, &on_overflow, &tools));
  MNW_TRY(RefuseChunks("chat", on_overflow));
  MNW_ASSIGN(Json chat, ReadMessages(L, 2, "chat"));
  if (!tools.is_null()) chat = {{"messages", std::move(chat)}, {"tools", std::move(tools)}};
  MNW_ASSIGN(FittedPrompt fitted,
             FitChat(*model, std::move(chat), on_overflow, request.max_tokens));
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
//---@field role string  -- "system", "user", "assistant", "tool"
//---@field content string
//---@field tool_calls? table[]  -- of an assistant that called tools: docs/tools.md

int FinishChat(lua_State* L, int, lua_KContext id) {
  State& state = State::From(L);
  if (!state.Try(state.Take(static_cast<State::CallId>(id), state.value()))) return state.Raise(L);
  PushJson(L, state.value());
  if (state.value().contains("tool_calls")) {
    PushOrderedJson(L, state.value()["tool_calls"]);
    lua_setfield(L, -2, "tool_calls");
  }
  return 1;
}

//---Answers a conversation, put through the model's chat template. Waits. Raises precondition when
//---the model has none, invalid when it refuses the messages.
//---@param messages minnow.Message[]
//---@param options? minnow.GenerateOptions
//---@return minnow.Answer
//---function Model:chat(messages, options)
int Chat(lua_State* L) {
  ChargeTexts(L);
  State& state = State::From(L);
  state.RequireWait(L, "chat");
  const State::CallId id = state.NewCall(L, "chat");
  if (!state.Try(StartChat(L, state, id))) {
    state.Forget(id);
    return state.Raise(L);
  }
  return state.Wait(L, id, FinishChat);
}

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
//---six that limit it, an answer has one, and no stop.
//---@field regex? string  -- the whole answer matches it
//---@field grammar? string  -- GBNF
//---@field lark? string  -- a grammar in the spelling of Lark
//---@field choice? string[]  -- the answer is one of these
//---@field tools? minnow.Tool[]|string  -- of chat: the answer is calls of these (docs/tools.md)
//---@field tool_choice? string  -- "required"; "auto": calls or words; or the name of a tool
//---@field tool_format? "auto"|"json"|"hermes"|"llama3"  -- "auto": as the template writes calls

//---@class minnow.Tool
//---@field type "function"
//---@field function { name: string, description: string?, parameters: minnow.Schema? }

// These fields first: a table has no order, and models were shown this one.
Json InOrder(const Json& table, std::initializer_list<const char*> first) {
  if (!table.is_object()) return table;
  Json ordered = Json::object();
  for (const char* name : first) {
    if (table.contains(name)) ordered[name] = table[name];
  }
  ordered.update(table);
  return ordered;
}

Json InOrder(Json tools) {
  if (!tools.is_array()) return tools;
  for (Json& tool : tools) {
    tool = InOrder(tool, {"type", "function"});
    if (tool.is_object() && tool.contains("function"))
      tool["function"] = InOrder(tool["function"], {"name", "description", "parameters"});
  }
  return tools;
}

// The calls that an answer is, and the list of tools as the model is shown it.
Status ReadTools(std::string_view call, Json tools, const std::optional<std::string>& choice,
                 const std::optional<std::string>& format, engine::GenerateRequest& request,
                 Json* out) {
  if (tools.is_string()) {
    auto parsed = ParseJson(tools.get_ref<const std::string&>());
    if (!parsed.ok())
      return std::move(parsed).status().Annotate(fmt::format("{}: option 'tools'", call));
    tools = *std::move(parsed);
  } else {
    tools = InOrder(std::move(tools));
  }
  auto made =
      constrain::ToolCallsConstraint(tools, choice.value_or("required"), format.value_or("auto"));
  if (!made.ok()) return std::move(made).status().Annotate(fmt::format("{}: option 'tools'", call));
  request.constraint = *std::move(made);
  *out = std::move(tools);
  return {};
}

// The options that say what the answer has to be.
struct ConstraintOptions {
  std::optional<Json> schema, choice, tools;
  std::optional<std::string> regex, grammar, lark, tool_choice, tool_format;
};

Status ReadConstraint(std::string_view call, const ConstraintOptions& o,
                      engine::GenerateRequest& request, Json* tools) {
  using Kind = constrain::Constraint::Kind;
  std::vector<std::string_view> given;
  const auto give = [&](const char* name, Kind kind, std::string source) {
    given.push_back(name);
    request.constraint = {kind, std::move(source), ""};
  };
  if (o.schema) {
    MNW_ASSIGN(std::string text, SchemaText(*o.schema, call));
    MNW_ASSIGN(request.constraint, engine::SchemaConstraint(std::move(text), ""));
    given.push_back("schema");
  }
  if (o.regex) give("regex", Kind::kRegex, *o.regex);
  if (o.grammar) give("grammar", Kind::kGbnf, *o.grammar);
  if (o.lark) give("lark", Kind::kLark, *o.lark);
  if (o.choice) give("choice", Kind::kChoice, o.choice->dump());
  if (o.tools) {
    if (!tools) {
      return Error(Code::kInvalid, "{}: tools are of chat, whose template tells the model of them",
                   call);
    }
    MNW_TRY(ReadTools(call, *o.tools, o.tool_choice, o.tool_format, request, tools));
    given.push_back("tools");
  } else if (o.tool_choice || o.tool_format) {
    return Error(Code::kInvalid, "{}: the option '{}' needs 'tools'", call,
                 o.tool_choice ? "tool_choice" : "tool_format");
  }
  if (!given.empty() && !request.stop.empty()) given.push_back("stop");
  if (given.size() < 2) return {};
  return Error(Code::kInvalid, "{}: the options '{}' and '{}' exclude each other", call, given[0],
               given[1]);
}

// What the engine says of a constraint begins with its kind: says the option in its place.
Status NameOption(Status status, constrain::Constraint::Kind kind) {
  using Kind = constrain::Constraint::Kind;
  const std::string prefix = fmt::format("{}: ", constrain::KindName(kind));
  if (kind == Kind::kNone || !status.message().starts_with(prefix)) return status;
  const char* const option = kind == Kind::kJsonSchema  ? "schema"
                             : kind == Kind::kGbnf      ? "grammar"
                             : kind == Kind::kToolCalls ? "tools"
                                                        : constrain::KindName(kind);
  return Status(status.code(),
                fmt::format("option '{}': {}", option, status.message().substr(prefix.size())));
}

Status ReadGenerateOptions(lua_State* L, int index, std::string_view call,
                           engine::GenerateRequest& request, std::string* on_overflow,
                           Json* tools) {
  engine::Sampling& sampling = request.sampling;
  std::string none;
  ConstraintOptions constraint;
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
                       {"schema", &constraint.schema},
                       {"regex", &constraint.regex},
                       {"grammar", &constraint.grammar},
                       {"lark", &constraint.lark},
                       {"choice", &constraint.choice},
                       {"tools", &constraint.tools},
                       {"tool_choice", &constraint.tool_choice},
                       {"tool_format", &constraint.tool_format},
                       {"on_overflow", on_overflow ? on_overflow : &none}}));
  MNW_TRY(ReadConstraint(call, constraint, request, tools));
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
  const constrain::Constraint::Kind kind = request.constraint.kind;
  auto receive = state.Receiver<Generated>(id, [](State& state, State::CallId id, Generated g) {
    state.CountUsage(id, g.result.usage);
    const bool has_tools = g.constraint == constrain::Constraint::Kind::kToolCalls;
    state.Complete(id, With(GenerateJson(g.result, has_tools), std::move(g.overflow)));
  });
  request.on_done = [receive = std::move(receive), overflow = std::move(overflow),
                     kind](engine::GenerateResult result) {
    result.status = NameOption(std::move(result.status), kind);
    receive({std::move(result), overflow, kind});
  };
  auto submitted = model.Generate(std::move(request));
  if (!submitted.ok()) return NameOption(std::move(submitted).status(), kind);
  state.Submitted(id, model, *submitted);
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
