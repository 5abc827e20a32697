#include "service/tokens.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

namespace minnow::service {

namespace {

constexpr size_t kMinLength = 16;
constexpr std::string_view kScheme = "bearer ";

bool HasScheme(std::string_view header) {
  if (header.size() < kScheme.size()) return false;
  for (size_t i = 0; i < kScheme.size(); ++i) {
    if (std::tolower(static_cast<unsigned char>(header[i])) != kScheme[i]) return false;
  }
  return true;
}

}  // namespace

Result<Tokens> Tokens::Load(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    return Error(Code::kNotFound, "cannot read the tokens in '{}': {}", path, std::strerror(errno));
  }
  if (info.st_mode & (S_IRWXG | S_IRWXO)) {
    return Error(Code::kInvalid, "others may open '{}'; chmod 600 it", path);
  }
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  auto tokens = Parse(text.str());
  if (!tokens.ok()) return std::move(tokens).status().Annotate(path);
  return tokens;
}

Result<Tokens> Tokens::Parse(std::string_view text) {
  Tokens tokens;
  for (size_t line = 1; !text.empty(); ++line) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view token = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (token.ends_with('\r')) token.remove_suffix(1);
    if (token.empty() || token[0] == '#') continue;
    if (token.size() < kMinLength) {
      return Error(Code::kInvalid, "the token in line {} has fewer than {} characters", line,
                   kMinLength);
    }
    tokens.digests_.push_back(DigestOf(token));
  }
  if (tokens.digests_.empty()) return Error(Code::kInvalid, "there is no token");
  return tokens;
}

bool Tokens::Accepts(std::string_view header) const {
  if (!required()) return true;
  if (!HasScheme(header)) return false;
  const Digest given = DigestOf(header.substr(kScheme.size()));
  int equal = 0;
  for (const Digest& digest : digests_) {
    equal |= CRYPTO_memcmp(digest.data(), given.data(), digest.size()) == 0;
  }
  return equal != 0;
}

Tokens::Digest Tokens::DigestOf(std::string_view token) {
  Digest digest;
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), digest.data());
  return digest;
}

}  // namespace minnow::service
