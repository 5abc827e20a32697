// The contract's view of a source's values, for architectures.
// Threads: immutable; strings handed out live as long as the object.
#pragma once

#include <minnow/abi/arch.h>

#include <map>
#include <string>

#include "model/source.h"

namespace minnow::model {

class Metadata {
 public:
  // REQUIRES: the source outlives the object.
  explicit Metadata(const Source& source);
  Metadata(const Metadata&) = delete;
  Metadata& operator=(const Metadata&) = delete;

  const mnw_metadata& abi() const { return abi_; }

 private:
  struct Calls;

  const Source& source_;
  mnw_metadata abi_{};
  // Strings of a file have no terminating NUL; these are the ones that were asked for.
  mutable std::map<std::string, std::string, std::less<>> strings_;
};

}  // namespace minnow::model
