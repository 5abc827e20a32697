// Questions about a document, or about what of it fits, as the requests that answer them.
//
// All questions see the same of the document, so that they share it. Threads: pure, but for what
// encodes.
#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "engine/label_choice.h"
#include "engine/overflow.h"

namespace minnow::engine {

struct QuestionEncoder {
  std::function<Result<std::vector<TokenId>>(std::string_view document, std::string_view question)>
      prompt;
  std::function<Result<std::vector<TokenId>>(std::string_view label)> label;
  std::function<Result<uint32_t>()> longest;  // tokens of a prompt with its answer
};

// What stands for the document where the prior is asked for.
inline constexpr std::string_view kNoDocument = "N/A";

struct QuestionParts {
  std::vector<std::vector<LabelQuestion>> requests;  // one; or, of chunks, one for each
  std::vector<double> weights;                       // of these: bytes
  std::vector<ByteSpan> kept;                        // of the document; empty: all, in one
};
Result<QuestionParts> PrepareQuestions(std::string_view document, OnOverflow how,
                                       std::span<const DocumentQuestion> questions,
                                       const QuestionEncoder& encoder);

// `calibrations`: by question, null where there is none; or empty. The answers about parts are
// weighed together. kCorrupt: the answers are to other questions.
struct Answers {
  std::vector<LabelChoice> choices;         // by question
  std::vector<std::vector<double>> scores;  // by question, if there is one part; else empty
};
Result<Answers> ReadAnswers(std::span<const DocumentQuestion> questions,
                            std::span<const ClassifyResult> parts, std::span<const double> weights,
                            std::span<const Calibration* const> calibrations = {});

// What answers about parts took in all.
Usage UsageOfParts(std::span<const ClassifyResult> parts);

}  // namespace minnow::engine
