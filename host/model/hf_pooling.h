// How an encoder's folder makes one vector of a text, as sentence-transformers writes it down.
// Threads: pure.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace minnow::model {

// GGUF's number of the kind of pooling. modules.json lists what follows on the encoder: a pooling,
// perhaps a normalization (vectors have length 1 here in any case); other steps are refused by
// name. Without it a text is the mean of its tokens.
Result<int64_t> ReadHfPooling(const std::string& folder);

}  // namespace minnow::model
