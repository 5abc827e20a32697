// Parses the Jinja that chat templates use.
//
// Left out, as errors with their line: template inheritance and inclusion (block, extends,
// include, import, from), autoescape, and extensions other than `generation`, `break` and
// `continue`. Filters and tests are looked up while parsing, except where Jinja itself waits
// until they run: directly inside an `if`, so that a template may offer a branch for other
// environments.
// Threads: any.
#pragma once

#include <string_view>

#include "base/status.h"
#include "text/jinja_ast.h"

namespace minnow::text::jinja {

inline constexpr int kMaxSyntaxDepth = 200;  // nested expressions and blocks

Result<Body> Parse(std::string_view source);

}  // namespace minnow::text::jinja
