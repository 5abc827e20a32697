// Splits a chat template into literal text and the tokens of its tags.
//
// White space follows the setting that chat templates are written for: trim_blocks and
// lstrip_blocks are on, one newline at the end of the source is dropped, and every line break
// becomes "\n".
// Threads: any.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace minnow::text::jinja {

struct Token {
  enum class Kind {
    kData,      // literal text; `text` is what to print
    kOpen,      // {{
    kClose,     // }}
    kBlock,     // {%
    kBlockEnd,  // %}
    kName,
    kString,   // `text` is the value, escapes resolved
    kInteger,  // `text` holds the digits, base prefix and all, without underscores
    kFloat,
    kOperator,  // `text` is the operator
    kEnd,
  };
  Kind kind;
  std::string text;
  int line;

  bool IsName(std::string_view name) const { return kind == Kind::kName && text == name; }
  bool IsOp(std::string_view op) const { return kind == Kind::kOperator && text == op; }
};

// The last token is kEnd.
Result<std::vector<Token>> Tokenize(std::string_view source);

}  // namespace minnow::text::jinja
