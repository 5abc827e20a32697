// SPDX-License-Identifier: MIT
// What every plugin needs at its entry points: errors told the contract's way, and nothing thrown
// across the line. Threads: any.
#pragma once

#include <minnow/abi/base.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <string_view>
#include <system_error>
#include <tuple>

namespace minnow::sdk {

// Writes the error and returns its code: `return Fail(e, MNW_INVALID, "...")`.
inline int Fail(mnw_error* e, int code, std::string_view message, int32_t node = -1,
                uint64_t bytes_needed = 0) noexcept {
  if (!e) return code;
  *e = {};
  e->node = node;
  e->bytes_needed = bytes_needed;
  std::memcpy(e->message, message.data(), std::min(message.size(), sizeof e->message - 1));
  return code;
}

// Guard<&F>::Call is F, whose last argument is the mnw_error*, with its exceptions as codes.
template <auto F>
struct Guard;
template <class... Args, int (*F)(Args...)>
struct Guard<F> {
  static int Call(Args... args) noexcept {
    mnw_error* e = std::get<sizeof...(Args) - 1>(std::tie(args...));
    try {
      return F(args...);
    } catch (const std::bad_alloc&) {
      return Fail(e, MNW_OUT_OF_MEMORY, "out of host memory");
    } catch (const std::system_error& x) {  // a thread that cannot be started
      return Fail(e, MNW_OUT_OF_MEMORY, x.what());
    } catch (const std::exception& x) {
      return Fail(e, MNW_INTERNAL, x.what());
    } catch (...) {
      return Fail(e, MNW_INTERNAL, "an unknown exception");
    }
  }
};

}  // namespace minnow::sdk
