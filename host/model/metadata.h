// The contract's view of a GGUF file's metadata, for architectures.
// Threads: immutable; strings handed out live as long as the object.
#pragma once

#include <minnow/abi/arch.h>

#include <map>
#include <string>

#include "formats/gguf.h"

namespace minnow::model {

class Metadata {
 public:
  // REQUIRES: the reader outlives the object.
  explicit Metadata(const formats::GgufReader& file);
  Metadata(const Metadata&) = delete;
  Metadata& operator=(const Metadata&) = delete;

  const mnw_metadata& abi() const { return abi_; }

 private:
  struct Calls;

  const formats::GgufReader& file_;
  mnw_metadata abi_{};
  // Strings of a file have no terminating NUL; these are the ones that were asked for.
  mutable std::map<std::string, std::string, std::less<>> strings_;
};

}  // namespace minnow::model
