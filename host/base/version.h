// The program's version, as --version, fingerprints and services tell it.
#pragma once

namespace minnow {

inline constexpr const char* kVersion = "0.1.0";

}  // namespace minnow
