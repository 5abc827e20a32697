#include "base/json.h"

#include <algorithm>

#include "base/mapped_file.h"

namespace minnow {

namespace {

// Calls visit(i) with the place of each byte that stands in no string and begins none.
template <class Visit>
void VisitOutsideStrings(std::string_view text, Visit visit) {
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (in_string && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      in_string = !in_string;
    } else if (!in_string) {
      visit(i);
    }
  }
}

std::string WithoutPythonFloats(std::string_view text) {
  std::string out;
  size_t copied = 0;
  VisitOutsideStrings(text, [&](size_t i) {
    for (const std::string_view name : {"-Infinity", "Infinity", "NaN"}) {
      if (i < copied || text.substr(i, name.size()) != name) continue;
      out.append(text.substr(copied, i - copied)).append("null");
      copied = i + name.size();
    }
  });
  return out.append(text.substr(copied));
}

}  // namespace

Status CheckJsonDepth(std::string_view text) {
  int depth = 0, deepest = 0;
  VisitOutsideStrings(text, [&](size_t i) {
    if (text[i] == '[' || text[i] == '{') deepest = std::max(deepest, ++depth);
    if (text[i] == ']' || text[i] == '}') --depth;
  });
  if (deepest <= kMaxJsonDepth) return Status();
  return Error(Code::kInvalid, "nested deeper than {} levels", kMaxJsonDepth);
}

Result<nlohmann::ordered_json> ParseJson(std::string_view text) {
  MNW_TRY(CheckJsonDepth(text));
  try {
    return nlohmann::ordered_json::parse(text);
  } catch (const nlohmann::json::exception& e) {
    return Error(Code::kInvalid, "{}", e.what());
  }
}

Result<nlohmann::ordered_json> ReadJsonFile(const std::string& path, size_t max_bytes) {
  MNW_ASSIGN(const MappedFile file, MappedFile::Open(path));
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                              file.bytes().size());
  if (text.size() > max_bytes) {
    return Error(Code::kCorrupt, "{}: has {} bytes, at most {} are read", path, text.size(),
                 max_bytes);
  }
  auto value = ParseJson(WithoutPythonFloats(text));
  if (value.ok()) return value;
  return Error(Code::kCorrupt, "{}: is no JSON: {}", path, value.status().message());
}

Result<nlohmann::ordered_json> ReadJsonObject(const std::string& path, size_t max_bytes) {
  auto value = ReadJsonFile(path, max_bytes);
  if (value.ok() && !value->is_object()) {
    return Error(Code::kCorrupt, "{}: is no JSON object", path);
  }
  return value;
}

}  // namespace minnow
