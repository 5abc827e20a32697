#include "batch/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace minnow::batch {

Progress::Progress(std::optional<uint64_t> total, uint64_t done, uint64_t failed)
    : total_(total),
      before_(done),
      terminal_(::isatty(STDERR_FILENO)),
      done_(done),
      failed_(failed) {}

double Progress::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

std::string Progress::Line(double seconds) const {
  seconds = std::max(seconds, 1e-9);
  const double rate = static_cast<double>(documents()) / seconds;
  std::string line =
      total_ ? fmt::format("{}/{} documents", done_, *total_) : fmt::format("{} documents", done_);
  line += fmt::format(", {:.1f} documents/s, {:.0f} tokens/s", rate,
                      static_cast<double>(tokens_) / seconds);
  if (total_ && documents() > 0 && done_ < *total_) {
    const auto left = static_cast<uint64_t>(static_cast<double>(*total_ - done_) / rate);
    line += left < 3600 ? fmt::format(", ETA {}:{:02}", left / 60, left % 60)
                        : fmt::format(", ETA {}:{:02} h", left / 3600, left % 3600 / 60);
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
  std::fprintf(stderr, "\r\033[K%s", Line(seconds()).c_str());
}

std::string Describe(const script::StepUsage& u) {
  const double cached = u.prompt_tokens == 0 ? 0.0
                                             : 100.0 * static_cast<double>(u.cached_tokens) /
                                                   static_cast<double>(u.prompt_tokens);
  return fmt::format("{} calls read {} tokens, {:.0f} % of them from the cache, and wrote {}",
                     u.calls, u.prompt_tokens, cached, u.completion_tokens);
}

void Progress::Finish() {
  std::fprintf(stderr, "%s%s in %.1f s\n", terminal_ ? "\r\033[K" : "", Line(seconds()).c_str(),
               seconds());
  for (const auto& [step, usage] : steps_) {
    std::fprintf(stderr, "  %s: %s\n", step.c_str(), Describe(usage).c_str());
  }
}

}  // namespace minnow::batch
