// Memory for the strings and parameter structs that a graph's C arrays point to: what is kept stays
// where it is until the arena dies, also when the arena is moved. Threads: one at a time.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace minnow::graph {

class Arena {
 public:
  // A copy, aligned for any parameter struct. Null if there are no bytes.
  const void* Keep(const void* data, size_t n_bytes) {
    if (n_bytes == 0) return nullptr;
    blocks_.push_back(std::make_unique<std::byte[]>(n_bytes));
    return std::memcpy(blocks_.back().get(), data, n_bytes);
  }

  // A copy with a terminating NUL.
  const char* Keep(std::string_view text) {
    blocks_.push_back(std::make_unique<std::byte[]>(text.size() + 1));  // zeroed
    if (!text.empty()) std::memcpy(blocks_.back().get(), text.data(), text.size());
    return reinterpret_cast<const char*>(blocks_.back().get());
  }

 private:
  std::vector<std::unique_ptr<std::byte[]>> blocks_;
};

}  // namespace minnow::graph
