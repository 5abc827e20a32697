// What a script may reach beyond its models and the modules beside it: nothing, unless whoever
// starts it grants it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace minnow::script {

struct Grants {
  std::vector<std::string> read;  // folders, with all that is in them; as canonical paths
  std::vector<std::string> net;   // HOST, or HOST:PORT
  std::string contexts;           // the folder where contexts are saved; empty: none
};

// Adds "read=DIR,net=HOST,contexts=DIR", any number of the first two.
Status ReadGrants(std::string_view text, Grants* grants);

// A file's bytes, or the sorted names in a folder, those of folders with a / at their end. What
// counts is where a path leads, not how it is written: links may not lead out of what is granted.
// They block. Threads: any.
Result<std::string> ReadGrantedFile(const Grants& grants, const std::string& path,
                                    size_t max_bytes);
Result<std::vector<std::string>> ListGrantedFolder(const Grants& grants, const std::string& path);

}  // namespace minnow::script
