#include "base/status.h"

namespace minnow {

const char* CodeName(Code code) {
  switch (code) {
    case Code::kOk: return "ok";
    case Code::kCancelled: return "cancelled";
    case Code::kInvalid: return "invalid";
    case Code::kDeadline: return "deadline";
    case Code::kNotFound: return "not_found";
    case Code::kExhausted: return "exhausted";
    case Code::kPrecondition: return "precondition";
    case Code::kOutOfRange: return "out_of_range";
    case Code::kUnsupported: return "unsupported";
    case Code::kInternal: return "internal";
    case Code::kUnavailable: return "unavailable";
    case Code::kCorrupt: return "corrupt";
    case Code::kDeviceLost: return "device_lost";
  }
  return "unknown";
}

const std::string& Status::message() const {
  static const std::string kEmpty;
  return rep_ ? rep_->message : kEmpty;
}

Status Status::Annotate(std::string_view context) && {
  if (rep_) rep_->message = fmt::format("{}: {}", context, rep_->message);
  return std::move(*this);
}

}  // namespace minnow
