// JSON Schema, draft 2020-12, as the language of the documents that obey it.
//
// The documents are written one way: properties in the order of the schema (a required one that
// `properties` does not name after these, in the order of `required`, then the others), numbers by
// decimal digits, strings as json_text.h has them. What cannot be enforced is refused by JSON
// pointer; nothing is passed over in silence: the report tells what became of every keyword.
//
// Threads: as Terms.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/status.h"
#include "constrain/terms.h"

namespace minnow::constrain {

struct JsonSchemaOptions {
  enum class Space {
    kSingle,    // {"a": 1, "b": [1, 2]}
    kCompact,   // {"a":1,"b":[1,2]}
    kFlexible,  // where JSON allows it, at most one line end and 32 spaces or tabs
  };
  Space space = Space::kSingle;
  // The specification lets an object have properties beside those the schema names, unless
  // `additionalProperties` says otherwise. Whoever extracts wants what was named: without this, an
  // object whose `properties` are given and whose additional ones are not mentioned has no others.
  bool open_objects = false;
  bool assert_formats = true;  // the specification leaves it to the reader
  // Where the schema gives no bound of its own.
  uint32_t max_string = 4096;  // code points
  uint32_t max_items = 1000;   // of arrays, and properties beside those that are named
  uint32_t max_whole_digits = 19, max_fraction_digits = 15;
  // What strings and numbers with "x-from-source": true are copied from (spans.h); such a value is
  // a string, a number or null. With "x-fuzzy-space": true white space may differ. Without a
  // document they are refused.
  const std::string* document = nullptr;
  // Of a document nothing is known but that there will be one: any text may be copied from it.
  bool any_document = false;
};

struct JsonSchemaNote {
  enum class Kind {
    kEnforced,
    kNotEnforced,  // says something of the value, and is not held to
    kAnnotation,   // says nothing of the value
    kRefused,
  };
  Kind kind;
  std::string pointer;  // of the keyword, or of the schema if it has none
  std::string keyword;
  std::string text;  // how it is enforced, or why not
};
const char* NoteKindName(JsonSchemaNote::Kind kind);  // "enforced", "not enforced", ...

// By order of reading; what the root does not reach is not read.
using JsonSchemaReport = std::vector<JsonSchemaNote>;

// Fails with the pointer and the reason of the first keyword that is refused, or when no document
// obeys the schema; the report, if one is given, has all of them, and is filled either way.
Result<Term> CompileJsonSchema(Terms& terms, const nlohmann::ordered_json& schema,
                               const JsonSchemaOptions& options = {},
                               JsonSchemaReport* report = nullptr);

}  // namespace minnow::constrain
