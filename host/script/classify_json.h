// Answers of classify as JSON: what scripts and `minnow classify --json` show. Threads: pure.
#pragma once

#include <nlohmann/json.hpp>

#include "engine/label_choice.h"

namespace minnow::script {

nlohmann::ordered_json ToJson(const engine::DocumentQuestion& question,
                              const engine::LabelChoice& choice);

}  // namespace minnow::script
