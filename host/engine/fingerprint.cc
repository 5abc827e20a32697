#include "engine/fingerprint.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/sha256.h"
#include "base/tensor_type.h"
#include "base/version.h"

namespace minnow::engine {

namespace {

constexpr size_t kIdentityDigits = 16, kOptionsDigits = 8;

}  // namespace

std::string Identity(const model::Instance& instance, const std::string& model_hash,
                     const std::vector<std::string>& devices) {
  const std::string text =
      fmt::format("build {}\nmodel {}\ndevices {}\nlevels {}\ncache {}\n{}", kVersion, model_hash,
                  fmt::join(devices, " "), fmt::join(instance.device_descriptions(), " "),
                  instance.options().kv_type, instance.PlacementText());
  return Sha256Hex(text).substr(0, kIdentityDigits);
}

std::string AdapterIdentity(const std::string& base, const std::string& adapter_hash, float scale) {
  return Sha256Hex(fmt::format("{}\nadapter {} {}", base, adapter_hash, scale))
      .substr(0, kIdentityDigits);
}

std::string Fingerprint(const std::string& identity, const GenerateRequest& request) {
  if (identity.empty()) return "";
  const Sampling& s = request.sampling;
  std::string text = fmt::format("{} {} {} {} {} {} {}", s.temperature, s.top_k, s.top_p, s.min_p,
                                 s.seed, request.max_tokens, request.ignore_end);
  for (const std::string& stop : request.stop) text += fmt::format("\n{}:{}", stop.size(), stop);
  const constrain::Constraint& c = request.constraint;
  if (c)
    text += fmt::format("\n{} {}:{} {}", constrain::KindName(c.kind), c.source.size(), c.source,
                        c.document);
  return identity + "-" + Sha256Hex(text).substr(0, kOptionsDigits);
}

}  // namespace minnow::engine
