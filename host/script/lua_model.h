// What the functions on a model share: the handle, prompts and the options of a generation.
#pragma once

#include <lua.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "engine/overflow.h"
#include "engine/request.h"
#include "script/state.h"

namespace minnow::script {

// The handle at index 1, which methods get when they are called with a colon. Raises nothing.
Result<ModelApi*> ReadModel(lua_State* L, std::string_view call);

// The tokens of a prompt, which is messages, put through the chat template, or a text to be
// continued as it stands; of the one user turn that asks about a document: the document, a blank
// line, the question. All questions about a document share what stands before them.
Result<std::vector<engine::TokenId>> EncodePrompt(lua_State* L, int index, const ModelApi& model,
                                                  std::string_view call);
Result<std::vector<engine::TokenId>> EncodeQuestion(const ModelApi& model,
                                                    std::string_view document,
                                                    std::string_view question);

// `on_overflow`: null where nobody would be told what was cut. `tools`: null where the model would
// not be told of them; else a list, or null if there are none.
Status ReadGenerateOptions(lua_State* L, int index, std::string_view call,
                           engine::GenerateRequest& request, std::string* on_overflow = nullptr,
                           nlohmann::ordered_json* tools = nullptr);

// Submits a request whose prompt and options are there; the call will hold its result, with what
// was left out of a document.
Status SubmitGenerate(State& state, State::CallId id, ModelApi& model,
                      engine::GenerateRequest request, nlohmann::ordered_json overflow = nullptr);

// A document may be given as its text or as what a pipeline's run gets, which has it in a field.
void TextOfDocument(lua_State* L);
// Tokenizing the texts among the arguments takes some 100 ns a byte, on the loop's thread.
void ChargeTexts(lua_State* L);
// A whole method that waits: charges for its texts, which are tokenized, and calls `start`.
int CallModel(lua_State* L, const char* name, State::StartCall start);
// A minnow.Overflow; null if all was kept.
nlohmann::ordered_json OverflowJson(std::string_view how, size_t document_bytes,
                                    const std::vector<engine::ByteSpan>& kept);
nlohmann::ordered_json UsageJson(const engine::Usage& usage);

// The text of a schema that is given as a table or as a text.
Result<std::string> SchemaText(const nlohmann::ordered_json& schema, std::string_view call);

// A prompt, and what of its text is in it.
struct FittedPrompt {
  std::vector<engine::TokenId> prompt;
  nlohmann::ordered_json overflow;  // null: all of it
};
// A question about a document. `answer`: tokens that it may have.
Result<FittedPrompt> FitQuestion(const ModelApi& model, std::string_view document,
                                 std::string_view question, const std::string& on_overflow,
                                 uint32_t answer);

// Add the methods to the table on top of the stack.
void OpenCalls(lua_State* L);
void OpenClassify(lua_State* L);
void OpenExtract(lua_State* L);
void OpenStream(lua_State* L);
// Adds to the table of the native functions.
void OpenChunks(lua_State* L);

}  // namespace minnow::script
