#include "constrain/json_schema_document.h"

#include <algorithm>
#include <array>
#include <optional>

namespace minnow::constrain {

namespace {

constexpr size_t kMaxDepth = 200, kMaxValues = 200'000, kMaxBytes = 1 << 20;

constexpr std::array<std::string_view, 10> kOne = {
    "items", "contains", "additionalProperties", "propertyNames",        "not", "if",
    "then",  "else",     "unevaluatedItems",     "unevaluatedProperties"};
constexpr std::array<std::string_view, 4> kList = {"allOf", "anyOf", "oneOf", "prefixItems"};
// `definitions` is what earlier drafts call $defs; many documents still do.
constexpr std::array<std::string_view, 5> kMap = {"properties", "patternProperties",
                                                  "dependentSchemas", "$defs", "definitions"};

template <size_t N>
bool In(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

struct Uri {
  std::string_view scheme, authority, path, query;
  bool has_authority = false, has_query = false;
};

Uri SplitUri(std::string_view text) {
  Uri uri;
  text = text.substr(0, text.find('#'));
  const size_t colon = text.find_first_of(":/?");
  if (colon != std::string_view::npos && text[colon] == ':') {
    uri.scheme = text.substr(0, colon);
    text.remove_prefix(colon + 1);
  }
  if (text.starts_with("//")) {
    uri.has_authority = true;
    uri.authority = text.substr(2, text.find_first_of("/?", 2) - 2);
    text.remove_prefix(2 + uri.authority.size());
  }
  uri.path = text.substr(0, text.find('?'));
  uri.has_query = uri.path.size() < text.size();
  if (uri.has_query) uri.query = text.substr(uri.path.size() + 1);
  return uri;
}

std::string WithoutDots(std::string_view path) {
  std::string out;
  while (!path.empty()) {
    if (path.starts_with("../")) {
      path.remove_prefix(3);
    } else if (path.starts_with("./")) {
      path.remove_prefix(2);
    } else if (path.starts_with("/./")) {
      path.remove_prefix(2);
    } else if (path == "/.") {
      path = "/";
    } else if (path.starts_with("/../") || path == "/..") {
      path = path == "/.." ? "/" : path.substr(3);
      out.resize(out.rfind('/') == std::string::npos ? 0 : out.rfind('/'));
    } else if (path == "." || path == "..") {
      path = {};
    } else {
      const size_t end = std::min(path.find('/', 1), path.size());
      out += path.substr(0, end);
      path.remove_prefix(end);
    }
  }
  return out;
}

Result<std::string> Decoded(std::string_view percent) {
  const auto hex = [](char c) {
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
  };
  std::string out;
  for (size_t i = 0; i < percent.size(); ++i) {
    if (percent[i] != '%') {
      out += percent[i];
      continue;
    }
    if (i + 2 >= percent.size() || hex(percent[i + 1]) < 0 || hex(percent[i + 2]) < 0) {
      return Error(Code::kInvalid, "has a % without two hexadecimal digits");
    }
    out += static_cast<char>(hex(percent[i + 1]) * 16 + hex(percent[i + 2]));
    i += 2;
  }
  return out;
}

// Without recursion: the document may be deeper than the stack.
Status CheckSize(const Json& root) {
  struct Level {
    Json::const_iterator next, end;
  };
  std::vector<Level> levels;
  size_t values = 0, bytes = 0;
  const auto count = [&](const Json& value) {
    ++values;
    if (value.is_string()) bytes += value.get_ref<const std::string&>().size();
    if (value.is_structured()) levels.push_back({value.begin(), value.end()});
  };
  count(root);
  while (!levels.empty()) {
    if (levels.size() > kMaxDepth) {
      return Error(Code::kInvalid, "the schema nests deeper than {} levels; use $ref", kMaxDepth);
    }
    if (values > kMaxValues || bytes > kMaxBytes) {
      return Error(Code::kInvalid, "the schema has more than {} values or {} bytes of text",
                   kMaxValues, kMaxBytes);
    }
    Level& level = levels.back();
    if (level.next == level.end) {
      levels.pop_back();
      continue;
    }
    count(*level.next++);
  }
  return {};
}

}  // namespace

std::string PointerStep(std::string_view name) {
  std::string out = "/";
  for (const char c : name) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

std::string ResolveUri(std::string_view base_text, std::string_view reference_text) {
  const Uri base = SplitUri(base_text), r = SplitUri(reference_text);
  Uri to = r;
  std::string path;
  if (!r.scheme.empty()) {
    path = r.scheme == "urn" ? std::string(r.path) : WithoutDots(r.path);
  } else {
    to.scheme = base.scheme;
    if (r.has_authority) {
      path = WithoutDots(r.path);
    } else {
      to.has_authority = base.has_authority;
      to.authority = base.authority;
      if (r.path.empty()) {
        path = base.path;
        if (!r.has_query) {
          to.has_query = base.has_query;
          to.query = base.query;
        }
      } else if (r.path.starts_with('/')) {
        path = WithoutDots(r.path);
      } else if (base.has_authority && base.path.empty()) {
        path = WithoutDots("/" + std::string(r.path));
      } else {
        path = WithoutDots(std::string(base.path.substr(0, base.path.rfind('/') + 1)) +
                           std::string(r.path));
      }
    }
  }
  std::string out;
  if (!to.scheme.empty()) out.append(to.scheme).append(":");
  if (to.has_authority) out.append("//").append(to.authority);
  out += path;
  if (to.has_query) out.append("?").append(to.query);
  return out;
}

Result<std::unique_ptr<SchemaDocument>> SchemaDocument::Read(const Json& root) {
  MNW_TRY(CheckSize(root));
  std::unique_ptr<SchemaDocument> document(new SchemaDocument(root));
  MNW_TRY(document->Index());
  return document;
}

SchemaId SchemaDocument::Add(const Json& json, std::string pointer,
                             const std::string& parent_base) {
  const auto known = ids_.find(&json);
  if (known != ids_.end()) return known->second;
  const auto id = static_cast<SchemaId>(2 * schemas_.size());
  ids_[&json] = id;
  std::string base = parent_base;
  if (json.is_object()) {
    const auto own = json.find("$id");
    if (own != json.end() && own->is_string()) {
      base = ResolveUri(parent_base, own->get_ref<const std::string&>());
    }
  }
  schemas_.push_back({&json, std::move(pointer), std::move(base)});
  return id;
}

SchemaId SchemaDocument::Child(SchemaId of, const Json& json, std::string_view path) {
  return Add(json, schemas_[of >> 1].pointer + std::string(path), schemas_[of >> 1].base);
}

Status SchemaDocument::Index() {
  resources_[""] = Add(*root_, "", "");
  for (size_t i = 0; i < schemas_.size(); ++i) {  // grows
    const Json& json = *schemas_[i].json;
    if (!json.is_object()) continue;
    const auto id = static_cast<SchemaId>(2 * i);
    const std::string base = schemas_[i].base, pointer = schemas_[i].pointer;
    if (i == 0 || json.contains("$id")) {
      if (!resources_.try_emplace(base, id).second && !base.empty()) {
        return Error(Code::kInvalid, "{}/$id: '{}' is the $id of {} too", pointer, base,
                     schemas_[resources_[base] >> 1].pointer);
      }
    }
    for (const auto& [key, value] : json.items()) {
      if ((key == "$anchor" || key == "$dynamicAnchor") && value.is_string()) {
        const auto& name = value.get_ref<const std::string&>();
        if (!anchors_.try_emplace({base, name}, id).second && anchors_[{base, name}] != id) {
          return Error(Code::kInvalid, "{}/{}: '{}' names {} too", pointer, key, name,
                       schemas_[anchors_[{base, name}] >> 1].pointer);
        }
        if (key == "$dynamicAnchor") dynamic_[name].push_back(id);
      }
      const std::string below = PointerStep(key);
      if (In(kOne, key)) {
        Child(id, value, below);
      } else if (In(kList, key) && value.is_array()) {
        for (size_t n = 0; n < value.size(); ++n) {
          Child(id, value[n], fmt::format("{}/{}", below, n));
        }
      } else if (In(kMap, key) && value.is_object()) {
        for (const auto& [name, schema] : value.items())
          Child(id, schema, below + PointerStep(name));
      }
    }
  }
  return {};
}

Result<SchemaId> SchemaDocument::Follow(const std::string& resource, std::string_view pointer) {
  const auto found = resources_.find(resource);
  if (found == resources_.end()) {
    return Error(Code::kUnsupported,
                 "'{}' is not in this document; put it below $defs, with its $id", resource);
  }
  SchemaId at = found->second;
  std::string path;  // below `at`
  const Json* json = schemas_[at >> 1].json;
  while (!pointer.empty()) {
    if (pointer[0] != '/') return Error(Code::kInvalid, "'{}' is no JSON pointer", pointer);
    const size_t end = std::min(pointer.find('/', 1), pointer.size());
    std::string name(pointer.substr(1, end - 1));
    pointer.remove_prefix(end);
    for (size_t i = 0; (i = name.find('~', i)) != std::string::npos; ++i) {
      const char code = i + 1 < name.size() ? name[i + 1] : '\0';
      if (code != '0' && code != '1') return Error(Code::kInvalid, "has a ~ without 0 or 1");
      name.replace(i, 2, code == '0' ? "~" : "/");
    }
    const Json* next = nullptr;
    if (json->is_object()) {
      const auto member = json->find(name);
      if (member != json->end()) next = &*member;
    } else if (json->is_array() && !name.empty() && name.size() < 8 &&
               name.find_first_not_of("0123456789") == std::string::npos) {
      const size_t i = std::stoul(name);
      if (i < json->size()) next = &(*json)[i];
    }
    if (!next)
      return Error(Code::kInvalid, "there is no '{}' at {}{}", name, this->pointer(at), path);
    json = next;
    path += PointerStep(name);
    if (const auto known = ids_.find(json); known != ids_.end()) {
      at = known->second;
      path.clear();
    }
  }
  return path.empty() ? at : Child(at, *json, path);
}

Result<SchemaId> SchemaDocument::Resolve(SchemaId of, const std::string& reference) {
  const std::string resource = ResolveUri(schemas_[of >> 1].base, reference);
  const size_t hash = reference.find('#');
  MNW_ASSIGN(
      const std::string fragment,
      Decoded(hash == std::string::npos ? "" : std::string_view(reference).substr(hash + 1)));
  if (fragment.empty() || fragment[0] == '/') return Follow(resource, fragment);
  const auto found = anchors_.find({resource, fragment});
  if (found != anchors_.end()) return found->second;
  return Error(Code::kInvalid, "there is no $anchor '{}' in '{}'", fragment, resource);
}

Result<SchemaId> SchemaDocument::ResolveDynamic(SchemaId of, const std::string& reference) {
  MNW_ASSIGN(const SchemaId first, Resolve(of, reference));
  const Json& json = this->json(first);
  const size_t hash = reference.find('#');
  if (hash == std::string::npos || !json.is_object() || !json.contains("$dynamicAnchor")) {
    return first;
  }
  const std::string name = reference.substr(hash + 1);
  const auto all = dynamic_.find(name);
  if (all == dynamic_.end() || json["$dynamicAnchor"] != name || all->second.size() == 1)
    return first;
  return Error(
      Code::kUnsupported,
      "several schemas have the $dynamicAnchor '{}', and which is meant depends on the way "
      "here; use $ref",
      name);
}

}  // namespace minnow::constrain
