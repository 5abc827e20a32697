// Bearer tokens. They are kept as SHA-256 digests and compared in constant time, all of them each
// time, so that neither a token nor how much of it was right can be read off a clock.
// Threads: immutable.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace minnow::service {

class Tokens {
 public:
  Tokens() = default;  // none are set: everybody may
  // One token a line, so that a new one can be handed out before the old one goes; blank lines and
  // lines that begin with # are nothing. Refuses a file without tokens, one that others than its
  // owner can read, and tokens of fewer than 16 characters.
  static Result<Tokens> Load(const std::string& path);
  static Result<Tokens> Parse(std::string_view text);

  bool required() const { return !digests_.empty(); }
  // `header`: the value of "authorization", empty if there is none.
  bool Accepts(std::string_view header) const;

 private:
  using Digest = std::array<unsigned char, 32>;
  static Digest DigestOf(std::string_view token);

  std::vector<Digest> digests_;
};

}  // namespace minnow::service
