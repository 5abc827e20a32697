// extract: a record out of a document, as JSON that its schema allows and nothing else.
//
// A generation under the schema, and then what each of its values stands on: how sure the model was
// of it, and, where the schema says that it is copied from the document, the places it may come
// from. Threads: as Engine's.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "engine/request.h"

namespace minnow::engine {

class Engine;

// Bytes of the document.
struct SourceSpan {
  uint64_t begin = 0, end = 0;
  uint64_t line = 0;  // of its beginning, from 1
};

// A value that has no others in it: a string, a number, true, false, null, {} or [].
struct ExtractedField {
  std::string pointer;  // "/lines/0/price"
  // The exponential of the mean log-probability, over the whole vocabulary, of the tokens that were
  // drawn for it, quotation marks included. Forced ones do not count; 1 if all were.
  double confidence = 1;
  std::vector<SourceSpan> spans;  // with x-from-source: wherever the document has it
  std::string normalized;         // with x-normalize: JSON; empty where it cannot be read
};

struct ExtractResult {
  Status status;
  std::string json;
  std::vector<ExtractedField> fields;  // in the order of the JSON
  Usage usage;
  std::string fingerprint{};
};

struct ExtractRequest {
  std::vector<TokenId> prompt;
  std::string schema;    // JSON Schema, as JSON
  std::string document;  // that x-from-source copies from
  uint32_t max_tokens = 512;
  Sampling sampling;
  bool speculate = true;
  Priority priority = Priority::kInteractive;
  std::function<void(ExtractResult)> on_done;
  AdapterId adapter = 0;
  Deadline deadline = kNoDeadline;
};

// Refusals are Engine::Generate's, and those of the schema, which name the place.
Result<RequestId> Extract(Engine& engine, ExtractRequest request);

// The constraint of a schema; the document is in it only where the schema wants it, so that all
// documents share the grammar of one that does not.
Result<constrain::Constraint> SchemaConstraint(std::string schema, std::string_view document);

// What is asked of a document where nobody says it better: the schema as a small model reads it.
Result<std::string> ExtractInstruction(std::string_view schema);

// Makes every string of the schema that is not limited otherwise (enum, const, format, pattern) one
// that is copied from the document.
Result<std::string> GroundStrings(std::string_view schema);

// --- for Extract (extract_fields.cc)

// A token of the answer, by its bytes.
struct AnswerPiece {
  size_t begin, end;
  float logprob;
  bool forced;
};

// kInternal if `json` is none. `pieces` are ascending.
Result<std::vector<ExtractedField>> FieldsOf(std::string_view json,
                                             std::span<const AnswerPiece> pieces,
                                             const nlohmann::ordered_json& schema,
                                             std::string_view document);

}  // namespace minnow::engine
