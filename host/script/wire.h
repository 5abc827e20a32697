// Messages between the host and the process of an untrusted script: four bytes of length, the
// lowest first, and a JSON object with a "type". Values of a script's own, which may be as deep as
// JSON is let in here, travel as their text inside of it.
//
// The host takes what comes for hostile: a length beyond the limit or a text that is no object is
// kCorrupt, and memory grows only with the bytes that have really come. Threads: values.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace minnow::script {

inline constexpr size_t kMaxFromChild = size_t{16} << 20;  // bytes of one message
inline constexpr size_t kMaxFromHost = size_t{1} << 30;

// Bytes of texts that are no UTF-8 must have been through TextToJson.
std::string Frame(const nlohmann::ordered_json& message);

class Unframer {
 public:
  explicit Unframer(size_t max_bytes) : max_bytes_(max_bytes) {}
  void Add(std::string_view bytes);
  // The next message that has come whole, or nothing yet. After a failure nothing more.
  Result<std::optional<nlohmann::ordered_json>> Next();

 private:
  const size_t max_bytes_;
  std::string buffer_;
  size_t taken_ = 0;  // of buffer_
};

}  // namespace minnow::script
