#include "batch/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace minnow::batch {

Progress::Progress(std::optional<size_t> total)
    : total_(total), terminal_(::isatty(STDERR_FILENO)) {}

std::string Progress::Line(double seconds) const {
  const double rate = static_cast<double>(done_) / std::max(seconds, 1e-9);
  std::string line =
      total_ ? fmt::format("{}/{} documents", done_, *total_) : fmt::format("{} documents", done_);
  line += fmt::format(", {:.1f} documents/s, {:.0f} tokens/s", rate,
                      static_cast<double>(tokens_) / std::max(seconds, 1e-9));
  if (total_ && done_ > 0 && done_ < *total_) {
    const auto left = static_cast<uint64_t>(static_cast<double>(*total_ - done_) / rate);
    line += fmt::format(", ETA {}:{:02}", left / 60, left % 60);
  }
  return line + fmt::format(", {} error{}", failed_, failed_ == 1 ? "" : "s");
}

void Progress::Count(bool failed, uint64_t tokens) {
  ++done_;
  failed_ += failed;
  tokens_ += tokens;
  const auto now = std::chrono::steady_clock::now();
  if (!terminal_ || now - shown_ < std::chrono::milliseconds(100)) return;
  shown_ = now;
  std::fprintf(stderr, "\r\033[K%s",
               Line(std::chrono::duration<double>(now - start_).count()).c_str());
}

void Progress::Finish() {
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  std::fprintf(stderr, "%s%s in %.1f s\n", terminal_ ? "\r\033[K" : "", Line(seconds).c_str(),
               seconds);
}

}  // namespace minnow::batch
