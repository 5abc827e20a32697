// What is said about requests without an engine: a process that only asks for one has these.
#include "engine/request.h"

#include "engine/classify.h"

namespace minnow::engine {

const char* FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kError:
      return "error";
  }
  return "error";
}

std::string DocumentTurn(std::string_view document, std::string_view question) {
  return fmt::format("{}\n\n{}", document, question);
}

}  // namespace minnow::engine
