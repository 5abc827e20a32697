#include "plugins/manifest.h"

#include <minnow/abi/base.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "formats/printable.h"
#include "plugins/cpu_features.h"
#include "plugins/files.h"

namespace minnow::plugins {
namespace {

using Json = nlohmann::json;
using formats::Printable;

constexpr size_t kMaxBytes = 64 * 1024;
constexpr size_t kMaxText = 128;
constexpr size_t kMaxFeatures = 64;
constexpr int kMaxDepth = 2;  // the object, and the array of features
constexpr std::array kFields = {"id", "kind", "abi", "os", "arch", "cpu_features", "sha256"};

// A name that is safe in messages, file names and device lists.
bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= kMaxText &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
         });
}

Result<std::string> Name(const Json& value, std::string_view where, std::string_view field) {
  const auto* text = value.get_ptr<const std::string*>();
  if (!text || !IsName(*text)) {
    return Error(Code::kCorrupt,
                 "{}: field '{}' must be a name of at most {} letters, digits, '.', '_', '-'",
                 where, field, kMaxText);
  }
  return *text;
}

Result<std::string> NameField(const Json& json, std::string_view where, const char* field) {
  const auto found = json.find(field);
  if (found == json.end()) return Error(Code::kCorrupt, "{}: field '{}' is missing", where, field);
  return Name(*found, where, field);
}

// "0.1" -> 0, 1
bool ParseAbi(std::string_view text, uint32_t* major, uint32_t* minor) {
  const char* end = text.data() + text.size();
  const auto [dot, error] = std::from_chars(text.data(), end, *major);
  if (error != std::errc() || dot == end || *dot != '.') return false;
  const auto [last, error2] = std::from_chars(dot + 1, end, *minor);
  return error2 == std::errc() && last == end;
}

bool IsSha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == text.npos;
}

}  // namespace

std::string ManifestPath(std::string_view library_path) {
  if (library_path.ends_with(kLibrarySuffix)) library_path.remove_suffix(kLibrarySuffix.size());
  return std::string(library_path).append(kManifestSuffix);
}

Result<Manifest> ParseManifest(std::string_view text, std::string_view where) {
  if (text.size() > kMaxBytes) {
    return Error(Code::kCorrupt, "{}: a manifest has at most {} bytes", where, kMaxBytes);
  }
  bool too_deep = false;
  std::set<std::string> keys;
  std::string twice;  // of two values one reader may take the first, another the last
  const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    too_deep |= depth > kMaxDepth;
    if (event == Json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys.insert(key).second) twice = key;
    }
    return !too_deep;
  };
  const Json json = Json::parse(text.begin(), text.end(), check, /*allow_exceptions=*/false);
  if (too_deep) return Error(Code::kCorrupt, "{}: nested too deeply", where);
  if (!twice.empty()) {
    return Error(Code::kCorrupt, "{}: field '{}' stands there twice", where, Printable(twice));
  }
  if (!json.is_object()) return Error(Code::kCorrupt, "{}: not a JSON object", where);
  for (const auto& [key, value] : json.items()) {
    if (std::find(kFields.begin(), kFields.end(), key) == kFields.end()) {
      return Error(Code::kCorrupt, "{}: unknown field '{}'", where, Printable(key));
    }
  }

  Manifest m;
  MNW_ASSIGN(m.id, NameField(json, where, "id"));
  MNW_ASSIGN(m.kind, NameField(json, where, "kind"));
  if (m.kind != "backend" && m.kind != "models") {
    return Error(Code::kCorrupt, "{}: field 'kind' is '{}', not 'backend' or 'models'", where,
                 m.kind);
  }
  MNW_ASSIGN(const std::string abi, NameField(json, where, "abi"));
  if (!ParseAbi(abi, &m.abi_major, &m.abi_minor)) {
    return Error(Code::kCorrupt, "{}: field 'abi' is '{}', not 'major.minor'", where, abi);
  }
  MNW_ASSIGN(m.os, NameField(json, where, "os"));
  MNW_ASSIGN(m.arch, NameField(json, where, "arch"));
  MNW_ASSIGN(m.sha256, NameField(json, where, "sha256"));
  if (!IsSha256(m.sha256)) {
    return Error(Code::kCorrupt, "{}: field 'sha256' is not 64 lower-case hex digits", where);
  }
  if (const auto features = json.find("cpu_features"); features != json.end()) {
    if (!features->is_array() || features->size() > kMaxFeatures) {
      return Error(Code::kCorrupt, "{}: field 'cpu_features' must be an array of at most {} names",
                   where, kMaxFeatures);
    }
    for (const Json& feature : *features) {
      MNW_ASSIGN(m.cpu_features.emplace_back(), Name(feature, where, "cpu_features"));
    }
  }
  return m;
}

Result<Manifest> ReadManifest(const std::string& path) {
  MNW_ASSIGN(const OpenFile file, OpenFile::Open(path));
  MNW_ASSIGN(const std::string text, file.Read(kMaxBytes + 1));
  return ParseManifest(text, Printable(path, 4096));
}

Status CheckAbi(uint32_t major, uint32_t minor) {
  if (major == MNW_ABI_MAJOR) return Status();
  return Error(Code::kUnsupported,
               "built for ABI {}.{}, this host speaks {}.{}; rebuild the plugin", major, minor,
               MNW_ABI_MAJOR, MNW_ABI_MINOR);
}

Status CheckFitsHost(const Manifest& m) {
  MNW_TRY(CheckAbi(m.abi_major, m.abi_minor));
  if (m.os != kHostOs) {
    return Error(Code::kUnsupported, "built for {}, this host is for {}", m.os, kHostOs);
  }
  if (m.arch != kHostArch) {
    return Error(Code::kUnsupported, "built for {}, this host is for {}", m.arch, kHostArch);
  }
  for (const std::string& feature : m.cpu_features) {
    switch (FindCpuFeature(feature)) {
      case CpuFeature::kPresent:
        break;
      case CpuFeature::kAbsent:
        return Error(Code::kUnsupported, "needs the CPU feature '{}', which this machine lacks",
                     feature);
      case CpuFeature::kUnknown:
        return Error(Code::kUnsupported,
                     "needs the CPU feature '{}', which this host does not know", feature);
    }
  }
  return Status();
}

}  // namespace minnow::plugins
