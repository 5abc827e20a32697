// What scripts ask of a model and what they get back, as JSON and back again, without loss: a float
// comes back with the same bits, infinite or not, a text with the same bytes, UTF-8 or not.
//
//   a number     JSON's; one that is not finite is the hexadecimal digits of its bits: "7f800000"
//   a text       a string; one that is no UTF-8 is {"hex": "ff00"}
//   a Status     null, or {"code": "exhausted", "message": "..."}
//   a Deadline   null, or nanoseconds of this machine's steady clock
//
// Callbacks and the adapter are left out: both belong to the ModelApi that is asked. FromJson is
// for what someone hostile wrote: kCorrupt, with the path of the field, for whatever is missing,
// unknown, of another type or out of its type's range; *out is then half filled. Whether the values
// make sense is for the engine to say. Threads: pure functions.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/classify.h"
#include "engine/extract.h"
#include "engine/request.h"
#include "engine/score.h"
#include "script/budget.h"
#include "script/step_usage.h"

namespace minnow::script {

struct EmbedResult {
  Status status;
  std::vector<float> embedding;
  engine::Usage usage;
};

nlohmann::ordered_json ToJson(const engine::GenerateRequest& request);
nlohmann::ordered_json ToJson(const engine::ClassifyRequest& request);
nlohmann::ordered_json ToJson(const engine::ContinuationsRequest& request);
nlohmann::ordered_json ToJson(const engine::ExtractRequest& request);
nlohmann::ordered_json ToJson(const engine::EmbedRequest& request);
nlohmann::ordered_json ToJson(const engine::GeneratedToken& token);
nlohmann::ordered_json ToJson(const engine::GenerateResult& result);
nlohmann::ordered_json ToJson(const engine::ClassifyResult& result);
nlohmann::ordered_json ToJson(const engine::ScoreResult& result);
nlohmann::ordered_json ToJson(const engine::ExtractResult& result);
nlohmann::ordered_json ToJson(const EmbedResult& result);
nlohmann::ordered_json ToJson(const engine::Usage& usage);
nlohmann::ordered_json ToJson(const StepUsages& steps);
nlohmann::ordered_json ToJson(const Budget& budget);
nlohmann::ordered_json ToJson(const std::optional<engine::Priority>& priority);
nlohmann::ordered_json ToJson(const Status& status);
nlohmann::ordered_json ToJson(const std::vector<engine::TokenId>& tokens);
nlohmann::ordered_json TextToJson(std::string_view text);
nlohmann::ordered_json FloatToJson(float number);
// Any value, whose strings may be no UTF-8. What of it looks like a text that is none is put into
// {"object": ...}. REQUIRES: as shallow as JSON from outside is.
nlohmann::ordered_json ValueToJson(const nlohmann::ordered_json& value);

Status FromJson(const nlohmann::ordered_json& json, StepUsages* out);
Status FromJson(const nlohmann::ordered_json& json, engine::GenerateRequest* out);
Status FromJson(const nlohmann::ordered_json& json, engine::ClassifyRequest* out);
Status FromJson(const nlohmann::ordered_json& json, engine::ContinuationsRequest* out);
Status FromJson(const nlohmann::ordered_json& json, engine::ExtractRequest* out);
Status FromJson(const nlohmann::ordered_json& json, engine::EmbedRequest* out);
Status FromJson(const nlohmann::ordered_json& json, engine::GeneratedToken* out);
Status FromJson(const nlohmann::ordered_json& json, engine::GenerateResult* out);
Status FromJson(const nlohmann::ordered_json& json, engine::ClassifyResult* out);
Status FromJson(const nlohmann::ordered_json& json, engine::ScoreResult* out);
Status FromJson(const nlohmann::ordered_json& json, engine::ExtractResult* out);
Status FromJson(const nlohmann::ordered_json& json, EmbedResult* out);
Status FromJson(const nlohmann::ordered_json& json, engine::Usage* out);
Status FromJson(const nlohmann::ordered_json& json, Budget* out);
Status FromJson(const nlohmann::ordered_json& json, std::optional<engine::Priority>* out);
Status FromJson(const nlohmann::ordered_json& json, Status* out);
Status FromJson(const nlohmann::ordered_json& json, std::vector<engine::TokenId>* out);
Status FromJson(const nlohmann::ordered_json& json, std::string* out);  // a text
Status FromJson(const nlohmann::ordered_json& json, float* out);
Status FromJson(const nlohmann::ordered_json& json, uint32_t* out);
Status ValueFromJson(const nlohmann::ordered_json& json, nlohmann::ordered_json* out);

}  // namespace minnow::script
