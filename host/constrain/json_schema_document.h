// A JSON Schema document: where its subschemas are, what they are called, and what $ref means.
//
// Identifiers count only where a schema stands, not in `const`, `enum` or unknown keywords. Nothing
// outside the document is ever read. Threads: one at a time.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"

namespace minnow::constrain {

using Json = nlohmann::ordered_json;

// A subschema, or what it refuses: 2 * its index, and 1 more for its complement.
using SchemaId = uint32_t;
constexpr SchemaId Complement(SchemaId id) { return id ^ 1; }

class SchemaDocument {
 public:
  // `root` must outlive it.
  static Result<std::unique_ptr<SchemaDocument>> Read(const Json& root);

  SchemaId root() const { return 0; }
  const Json& json(SchemaId id) const { return *schemas_[id >> 1].json; }
  const std::string& pointer(SchemaId id) const { return schemas_[id >> 1].pointer; }
  // A part of the schema `of`: `path` is that below it, such as "/properties/a".
  SchemaId Child(SchemaId of, const Json& json, std::string_view path);

  // What `$ref` or `$dynamicRef` in the schema `of` stands for. Failures say why, without the
  // place.
  Result<SchemaId> Resolve(SchemaId of, const std::string& reference);
  Result<SchemaId> ResolveDynamic(SchemaId of, const std::string& reference);

 private:
  struct Schema {
    const Json* json;
    std::string pointer;
    std::string base;  // absolute as far as the document says
  };

  explicit SchemaDocument(const Json& root) : root_(&root) {}
  SchemaId Add(const Json& json, std::string pointer, const std::string& parent_base);
  Status Index();
  Result<SchemaId> Follow(const std::string& resource, std::string_view pointer);

  const Json* root_;
  std::vector<Schema> schemas_;
  std::unordered_map<const Json*, SchemaId> ids_;
  std::map<std::string, SchemaId> resources_;                        // by URI without fragment
  std::map<std::pair<std::string, std::string>, SchemaId> anchors_;  // by resource and name
  std::map<std::string, std::vector<SchemaId>> dynamic_;             // by $dynamicAnchor
};

// RFC 3986, section 5.2; without the fragment of `reference`.
std::string ResolveUri(std::string_view base, std::string_view reference);

// One step of a JSON pointer.
std::string PointerStep(std::string_view name);

}  // namespace minnow::constrain
