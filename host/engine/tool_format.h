// In what form calls of tools are asked of a model. Threads: pure functions.
#pragma once

#include "engine/request.h"

namespace minnow::model {
class Model;
}

namespace minnow::engine {

// Settles the format of a request for calls of tools that leaves it to the model's template; others
// are left alone.
//
// The markers of Hermes are text. Where the vocabulary has them as control tokens, which no grammar
// writes, the opening one goes to the end of the prompt, at the cost of the answer's tokens, and
// the answer is one call without markers. kUnsupported: the template writes calls in a form of its
// own; or the marker is the model's choice, and such a token.
Status SettleToolFormat(const model::Model& model, GenerateRequest* request);

}  // namespace minnow::engine
