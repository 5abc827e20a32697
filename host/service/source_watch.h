// Whether files still say what they said when a pipeline was made of them.
//
// By looking, not by being told: that sees an editor's rename, a link that points elsewhere and
// another machine's write alike. A look costs a stat for each file; a file is read again when its
// stamp is another, or so young that a second write could have the same. Threads: one at a time.
#pragma once

#include <sys/stat.h>

#include <map>
#include <string>

#include "script/program.h"

namespace minnow::service {

class SourceWatch {
 public:
  using Files = script::Program::Files;

  SourceWatch() = default;
  explicit SourceWatch(const Files& made_of) { Add(made_of); }
  void Add(const Files& made_of);  // those that are known already stay as they are
  // True once they differ and have been the same for two looks: whoever writes them is done.
  bool Changed();

 private:
  struct Seen {
    std::string made_of, sha256;
    struct stat stamp {};
    bool read = false;
  };
  static std::string Look(const std::string& path, Seen& seen);

  std::map<std::string, Seen> files_;
};

}  // namespace minnow::service
