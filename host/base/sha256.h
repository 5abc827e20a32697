// SHA-256 (FIPS 180-4) of bytes in memory. Threads: pure.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace minnow {

std::array<uint8_t, 32> Sha256(std::string_view bytes);
std::string Sha256Hex(std::string_view bytes);  // in lower-case hex

}  // namespace minnow
