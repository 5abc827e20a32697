#include "script/wire.h"

#include <cstdint>
#include <utility>

#include "base/json.h"

namespace minnow::script {

namespace {

constexpr size_t kHeader = 4;
constexpr size_t kCompactAt = 1 << 16;  // taken bytes that are worth moving the rest

}  // namespace

std::string Frame(const nlohmann::ordered_json& message) {
  std::string frame(kHeader, '\0');
  frame += message.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  const auto length = static_cast<uint32_t>(frame.size() - kHeader);
  for (size_t i = 0; i < kHeader; ++i) frame[i] = static_cast<char>(length >> (8 * i));
  return frame;
}

void Unframer::Add(std::string_view bytes) {
  if (taken_ == buffer_.size() || taken_ >= kCompactAt) buffer_.erase(0, std::exchange(taken_, 0));
  buffer_.append(bytes);
}

Result<std::optional<nlohmann::ordered_json>> Unframer::Next() {
  using Message = std::optional<nlohmann::ordered_json>;
  if (buffer_.size() - taken_ < kHeader) return Message();
  size_t length = 0;
  for (size_t i = 0; i < kHeader; ++i) {
    length |= size_t{static_cast<unsigned char>(buffer_[taken_ + i])} << (8 * i);
  }
  if (length > max_bytes_) {
    return Error(Code::kCorrupt, "a message of {} bytes, at most {} are read", length, max_bytes_);
  }
  if (buffer_.size() - taken_ - kHeader < length) return Message();
  const std::string_view text = std::string_view(buffer_).substr(taken_ + kHeader, length);
  taken_ += kHeader + length;
  auto message = ParseJson(text);
  if (!message.ok()) return Status(Code::kCorrupt, "a message that is no JSON");
  const auto type = message->is_object() ? message->find("type") : message->end();
  if (type == message->end() || !type->is_string()) {
    return Status(Code::kCorrupt, "a message that has no type");
  }
  return Message(*std::move(message));
}

}  // namespace minnow::script
