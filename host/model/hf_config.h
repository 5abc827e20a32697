// A Hugging Face config.json in GGUF's terms.
//
// Every layout that the architectures of this build know has its translation here, which sets the
// keys that published converters write. What a graph could not honour (another activation, a kind
// of rope scaling, quantized weights) is refused by its key. Threads: pure.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "model/hf_tensors.h"

namespace minnow::model {

using HfValue = std::variant<int64_t, double, bool, std::string>;

struct HfConfig {
  std::string architecture;                            // GGUF's name of it
  std::map<std::string, HfValue, std::less<>> values;  // by GGUF's keys
  std::map<std::string, std::vector<float>>
      rope_factors;  // tensors in GGUF, lists or formulas here
  HfSizes sizes;
  std::optional<bool> tied;  // the head is the embedding; nullopt: as the tensors say
};

Result<HfConfig> TranslateHfConfig(const nlohmann::ordered_json& config);

}  // namespace minnow::model
