// Bytes of unknown origin, made fit for a message, a terminal or a JSON string: valid UTF-8 stays,
// control characters and stray bytes become \xNN, and what exceeds the limit is cut.
// Threads: a pure function.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace minnow::formats {

// At most max_bytes of `bytes`, then "..." if there was more. Never splits a character.
std::string Printable(std::string_view bytes, size_t max_bytes = 64);

}  // namespace minnow::formats
