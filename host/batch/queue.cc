#include "batch/queue.h"

#include <algorithm>

#include "base/json.h"
#include "base/sha256.h"

namespace minnow::batch {

std::string IdentityText(const Identity& identity) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [name, value] : identity) json[name] = value;
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

Result<Identity> ParseIdentity(const std::string& text) {
  MNW_ASSIGN(const nlohmann::ordered_json json, ParseJson(text));
  Identity identity;
  for (const auto& [name, value] : json.items()) {
    identity.emplace_back(name, value.is_string() ? value.get<std::string>() : value.dump());
  }
  return identity;
}

std::string Difference(const Identity& before, const Identity& now) {
  const auto find = [](const Identity& all, const std::string& name) -> const std::string* {
    const auto it =
        std::find_if(all.begin(), all.end(), [&](const auto& e) { return e.first == name; });
    return it == all.end() ? nullptr : &it->second;
  };
  for (const auto& [name, value] : now) {
    const std::string* old = find(before, name);
    if (!old) return fmt::format("{} is '{}' now and was nothing", name, value);
    if (*old != value) return fmt::format("{} is '{}' now and was '{}'", name, value, *old);
  }
  for (const auto& [name, value] : before) {
    if (!find(now, name)) return fmt::format("{} was '{}' and is nothing now", name, value);
  }
  return "";
}

Status OtherRun(const std::string& difference) {
  return Error(Code::kPrecondition,
               "this output belongs to another run: {}; give another --output, or --overwrite to "
               "lose what is there",
               difference);
}

uint64_t Digest(std::string_view bytes) {
  const std::array<uint8_t, 32> hash = Sha256(bytes);
  uint64_t digest = 0;
  for (size_t i = 0; i < 8; ++i) digest = digest << 8 | hash[i];
  return digest;
}

uint64_t Digest(const SourceItem& item) {
  const script::Document& d = item.document;
  // Lengths first, so that no text can pass for another's id.
  std::string all = fmt::format("{} {} {} ", d.id.size(), d.text.size(), item.status.ok());
  all += d.id;
  all += d.text;
  all += d.meta.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  return Digest(all);
}

}  // namespace minnow::batch
