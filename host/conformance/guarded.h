// Memory that notices who goes beyond it: words of a pattern before and behind, then a page that
// nobody may touch, so that a read or write far past the end kills the child process at once.
// Starts are aligned to 32 bytes, as tensors in a file are. Threads: values.
#pragma once

#include <cstddef>
#include <span>

#include "base/status.h"

namespace minnow::conformance {

class Guarded {
 public:
  // Filled with a pattern that is neither a sensible number nor a sensible index.
  explicit Guarded(size_t n_bytes);
  explicit Guarded(std::span<const std::byte> content);
  ~Guarded();
  Guarded(Guarded&& other) noexcept;
  Guarded& operator=(Guarded&&) = delete;

  std::byte* data() const { return data_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }

  // Where something was written outside: "byte 3 past its end"; empty if nowhere.
  std::string Breach() const;
  void MakeReadOnly();
  void TakeAway();  // any access kills

 private:
  std::byte* base_ = nullptr;
  size_t mapped_ = 0;  // without the forbidden page
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace minnow::conformance
