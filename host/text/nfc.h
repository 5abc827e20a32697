// Unicode normalization form C, which some byte-level vocabularies were trained on.
// Threads: pure function.
#pragma once

#include <string>
#include <string_view>

namespace minnow::text {

// Bytes that are not UTF-8 stay as they are and part what stands around them.
std::string NormalizeNfc(std::string_view text);

}  // namespace minnow::text
