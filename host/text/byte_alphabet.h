// The alphabet in which byte-level vocabularies are written: each byte is one printable character.
//
// Bytes that print in Latin-1 stand for themselves, the others for U+0100 and up, in order.
// Threads: pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace minnow::text {

// The bytes that `letters` stand for; nullopt when a character is not of the alphabet.
std::optional<std::string> BytesOfLetters(std::string_view letters);

}  // namespace minnow::text
