// model:extract: records out of documents.
#include <utility>

#include "base/json.h"
#include "engine/extract.h"
#include "script/lua_model.h"
#include "script/lua_values.h"

namespace minnow::script {
namespace {

using Json = nlohmann::ordered_json;

//---@class minnow.ExtractOptions
//---@field instruction? string  -- what is asked of the document; without it, the form of the schema
//---is shown
//---@field max_tokens? integer  -- 512; the JSON is whole within them
//---@field temperature? number  -- 0: the likeliest token each time
//---@field top_k? integer  -- 0: off
//---@field top_p? number  -- 1: off
//---@field min_p? number  -- 0: off
//---@field seed? integer  -- 0; the same seed gives the same answer
//---@field speculate? boolean  -- true; guess ahead where that is faster. The answer is the same.
//---@field on_overflow? "error"|"head"|"tail"|"middle"  -- "error"; what the model reads of a document
//---that is too long. What is copied may come from all of it.

//---Where a document has a value: bytes from 1, both ends included, as string.sub wants them.
//---@class minnow.SourceSpan
//---@field begin integer
//---@field finish integer
//---@field line integer  -- of its beginning, from 1

//---@class minnow.ExtractedField
//---@field confidence number  -- 0 to 1: the geometric mean of the probabilities of the tokens that the
//---model chose for it; 1 if the schema left it no choice
//---@field spans? minnow.SourceSpan[]  -- with from_source: wherever the document has it
//---@field normalized? any  -- with normalize: what it means; nil where that cannot be told

//---@class minnow.Extraction
//---@field value any  -- a table that keeps the order of its fields; null is minnow.null
//---@field json string  -- the same as the model wrote it
//---@field fields table<string, minnow.ExtractedField>  -- of each value that has no others in it, by
//---its JSON pointer: "/lines/0/price"
//---@field usage minnow.Usage
//---@field fingerprint string  -- as of an answer
//---@field overflow? minnow.Overflow  -- if the model read not all of the document

Result<Json> ExtractJson(const engine::ExtractResult& result) {
  if (!result.status.ok()) return result.status;
  Json fields = Json::object();
  for (const engine::ExtractedField& field : result.fields) {
    Json entry = {{"confidence", field.confidence}};
    if (!field.spans.empty()) {
      Json& spans = entry["spans"] = Json::array();
      for (const engine::SourceSpan& span : field.spans) {
        spans.push_back({{"begin", span.begin + 1}, {"finish", span.end}, {"line", span.line}});
      }
    }
    if (!field.normalized.empty()) {
      MNW_ASSIGN(entry["normalized"], ParseJson(field.normalized));
    }
    fields[field.pointer] = std::move(entry);
  }
  return Json{{"json", result.json},
              {"fields", std::move(fields)},
              {"usage", UsageJson(result.usage)},
              {"fingerprint", result.fingerprint}};
}

struct Extracted {
  engine::ExtractResult result;
  Json overflow;
};

// The answer, and beside it its value, which keeps its order.
Result<Json> ToJson(Extracted extracted) {
  MNW_ASSIGN(Json answer, ExtractJson(extracted.result));
  MNW_ASSIGN(Json value, ParseJson(extracted.result.json));
  if (!extracted.overflow.is_null()) answer["overflow"] = std::move(extracted.overflow);
  return Json{{"answer", std::move(answer)}, {"value", std::move(value)}};
}

Status StartExtract(lua_State* L, State& state, State::CallId id) {
  MNW_ASSIGN(ModelApi * model, ReadModel(L, "extract"));
  MNW_ASSIGN(const std::string_view document, ReadString(L, 2, "extract: the document"));
  MNW_ASSIGN(const Json schema, script::ToJson(L, 3, "extract: the schema"));
  engine::ExtractRequest request;
  MNW_ASSIGN(request.schema, SchemaText(schema, "extract"));
  std::optional<std::string> instruction;
  std::string on_overflow = "error";
  engine::Sampling& sampling = request.sampling;
  MNW_TRY(ReadOptions(L, 4, "extract",
                      {{"instruction", &instruction},
                       {"max_tokens", &request.max_tokens},
                       {"temperature", &sampling.temperature},
                       {"top_k", &sampling.top_k},
                       {"top_p", &sampling.top_p},
                       {"min_p", &sampling.min_p},
                       {"seed", &sampling.seed},
                       {"speculate", &request.speculate},
                       {"on_overflow", &on_overflow}}));
  if (on_overflow == "chunk") {
    return Error(Code::kInvalid,
                 "extract: on_overflow = \"chunk\" is of ask and classify: a record is one answer; "
                 "use head, tail or middle, or extract from each part");
  }
  if (!instruction) {
    MNW_ASSIGN(instruction, engine::ExtractInstruction(request.schema));
  }
  MNW_ASSIGN(FittedPrompt fitted,
             FitQuestion(*model, document, *instruction, on_overflow, request.max_tokens));
  request.prompt = std::move(fitted.prompt);
  request.document = document;
  MNW_TRY(state.ReserveTokens(request.prompt.size(), &request.max_tokens));
  request.priority = state.priority();
  auto receive = state.Receiver<Extracted>(id, [](State& state, State::CallId id, Extracted e) {
    state.CountUsage(id, e.result.usage);
    state.Complete(id, ToJson(std::move(e)));
  });
  request.on_done = [receive = std::move(receive),
                     overflow = std::move(fitted.overflow)](engine::ExtractResult result) {
    receive({std::move(result), overflow});
  };
  MNW_ASSIGN(const engine::RequestId submitted, model->Extract(std::move(request)));
  state.Submitted(id, *model, submitted);
  return {};
}

int FinishExtract(lua_State* L, int, lua_KContext id) {
  State& state = State::From(L);
  if (!state.Try(state.Take(static_cast<State::CallId>(id), state.value()))) return state.Raise(L);
  PushJson(L, state.value()["answer"]);
  PushOrderedJson(L, state.value()["value"]);
  lua_setfield(L, -2, "value");
  return 1;
}

//---A record out of a document: JSON that the schema allows and nothing else, whatever the model says.
//---Waits. Raises invalid, with the place in the schema, for what cannot be enforced, before any
//---token is made; and when the schema's shortest answer has more than max_tokens.
//---@param document string|minnow.Document
//---@param schema minnow.Schema|string  -- of minnow.schema, or JSON Schema as text
//---@param options? minnow.ExtractOptions
//---@return minnow.Extraction
//---function Model:extract(document, schema, options)
int Extract(lua_State* L) {
  lua_settop(L, 4);
  TextOfDocument(L);
  ChargeTexts(L);
  State& state = State::From(L);
  state.RequireWait(L, "extract");
  const State::CallId id = state.NewCall(L, "extract");
  if (!state.Try(StartExtract(L, state, id))) {
    state.Forget(id);
    return state.Raise(L);
  }
  return state.Wait(L, id, FinishExtract);
}

}  // namespace

Result<std::string> SchemaText(const Json& schema, std::string_view call) {
  if (schema.is_string()) return schema.get<std::string>();
  if (schema.is_object()) return schema.dump();
  return Error(Code::kInvalid,
               "{}: the schema should be one of minnow.schema, or JSON Schema as a text, got {}",
               call, schema.is_null() ? "nil" : schema.type_name());
}

void OpenExtract(lua_State* L) {
  lua_pushcfunction(L, Extract);
  lua_setfield(L, -2, "extract");
}

}  // namespace minnow::script
