// Status and Result: how every fallible function of the host reports failure.
//
// A Status is one pointer, null when all is well. A failure carries a code, which decides exit codes
// and gRPC codes, and a message that names the thing and the remedy, since it reaches the user as is.
// Nothing of ours throws; third-party exceptions are caught in the file that calls the library.
// Threads: values; share them as you would share an int.
#pragma once

#include <fmt/format.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace minnow {

// The numbers are those of the plugin contract (minnow/abi/base.h), which follow gRPC's.
enum class Code : int {
  kOk = 0,
  kCancelled = 1,
  kInvalid = 3,            // the caller's input is wrong
  kDeadline = 4,
  kNotFound = 5,
  kExhausted = 8,          // memory, queue or another bounded resource
  kPrecondition = 9,       // right call, wrong moment or wrong model
  kOutOfRange = 11,        // a limit such as the context length
  kUnsupported = 12,
  kInternal = 13,          // a bug of ours or of a plugin
  kUnavailable = 14,
  kCorrupt = 15,           // a file or message that is not what it claims to be
  kDeviceLost = 64,
};

const char* CodeName(Code code);  // "invalid", "not_found", ...

class [[nodiscard]] Status {
 public:
  Status() = default;  // ok
  Status(Code code, std::string message)
      : rep_(code == Code::kOk ? nullptr : std::make_unique<Rep>(Rep{code, std::move(message)})) {}
  Status(Status&&) = default;
  Status& operator=(Status&&) = default;
  Status(const Status& o) : rep_(o.rep_ ? std::make_unique<Rep>(*o.rep_) : nullptr) {}
  Status& operator=(const Status& o) {
    rep_ = o.rep_ ? std::make_unique<Rep>(*o.rep_) : nullptr;
    return *this;
  }

  bool ok() const { return !rep_; }
  Code code() const { return rep_ ? rep_->code : Code::kOk; }
  const std::string& message() const;  // empty when ok

  // The same failure with "context: " in front of its message. No effect when ok.
  Status Annotate(std::string_view context) &&;

 private:
  struct Rep {
    Code code;
    std::string message;
  };
  std::unique_ptr<Rep> rep_;
};

template <class... Args>
Status Error(Code code, fmt::format_string<Args...> format, Args&&... args) {
  return Status(code, fmt::format(format, std::forward<Args>(args)...));
}

// A value or the Status that says why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : rep_(std::in_place_index<0>, std::move(value)) {}
  Result(Status status) : rep_(std::in_place_index<1>, std::move(status)) {}

  bool ok() const { return rep_.index() == 0; }
  Status status() const& { return ok() ? Status() : std::get<1>(rep_); }
  Status status() && { return ok() ? Status() : std::get<1>(std::move(rep_)); }

  // REQUIRES: ok().
  T& operator*() & { return std::get<0>(rep_); }
  const T& operator*() const& { return std::get<0>(rep_); }
  T&& operator*() && { return std::get<0>(std::move(rep_)); }
  T* operator->() { return &std::get<0>(rep_); }
  const T* operator->() const { return &std::get<0>(rep_); }

 private:
  std::variant<T, Status> rep_;
};

}  // namespace minnow

#define MNW_CONCAT_INNER(a, b) a##b
#define MNW_CONCAT(a, b) MNW_CONCAT_INNER(a, b)

// Returns from the enclosing function when the expression, a Status, is a failure.
#define MNW_TRY(expr)                                         \
  do {                                                        \
    if (::minnow::Status mnw_status_ = (expr); !mnw_status_.ok()) return mnw_status_; \
  } while (0)

// MNW_ASSIGN(auto x, F()): x = the value of a Result, or return its failure.
#define MNW_ASSIGN(lhs, expr) MNW_ASSIGN_INNER(lhs, expr, MNW_CONCAT(mnw_result_, __LINE__))
#define MNW_ASSIGN_INNER(lhs, expr, tmp)        \
  auto tmp = (expr);                            \
  if (!tmp.ok()) return std::move(tmp).status(); \
  lhs = *std::move(tmp)
