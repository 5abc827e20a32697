#include "engine/overflow.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace minnow::engine {

namespace {

constexpr std::string_view kGap = "\n[...]\n";
constexpr size_t kNearby = 32;        // bytes within which white space is looked for
constexpr size_t kBytesPerToken = 4;  // of the first try
constexpr size_t kCloseBytes = 16;

bool IsSpace(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
bool IsInner(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }  // UTF-8

// The nearest place to cut at or before `at`.
size_t CutBefore(std::string_view text, size_t at) {
  if (at >= text.size()) return text.size();
  while (at > 0 && IsInner(text[at])) --at;
  for (size_t i = at; i > 0 && at - i < kNearby; --i) {
    if (IsSpace(text[i]) || IsSpace(text[i - 1])) return i;
  }
  return at;
}

// The nearest at or behind it.
size_t CutBehind(std::string_view text, size_t at) {
  while (at < text.size() && IsInner(text[at])) ++at;
  for (size_t i = at; i > 0 && i < text.size() && i - at < kNearby; ++i) {
    if (IsSpace(text[i]) || IsSpace(text[i - 1])) return i;
  }
  return at;
}

// About so many bytes of the document, at most.
std::vector<ByteSpan> Keep(std::string_view document, OnOverflow how, size_t bytes) {
  if (bytes >= document.size()) return {{0, document.size()}};
  switch (how) {
    case OnOverflow::kTail:
      return {{CutBehind(document, document.size() - bytes), document.size()}};
    case OnOverflow::kMiddle:
      return {{0, CutBefore(document, bytes - bytes / 2)},
              {CutBehind(document, document.size() - bytes / 2), document.size()}};
    default:
      return {{0, CutBefore(document, bytes)}};
  }
}

}  // namespace

std::string KeptText(std::string_view document, std::span<const ByteSpan> kept) {
  std::string text;
  for (const ByteSpan& span : kept) {
    if (!text.empty() || &span != &kept[0]) text += kGap;
    text += document.substr(span.begin, span.end - span.begin);
  }
  return text;
}

Result<OnOverflow> ReadOnOverflow(std::string_view name) {
  const auto found = std::ranges::find(kOnOverflowNames, name);
  if (found != std::end(kOnOverflowNames)) {
    return static_cast<OnOverflow>(found - std::begin(kOnOverflowNames));
  }
  return Error(Code::kInvalid, "on_overflow is '{}', must be error, head, tail, middle or chunk",
               name);
}

// Looks for the most bytes that fit, by how many tokens the last tries had: a handful of tries,
// none of which reads much more of the document than fits.
Result<Fitted> FitDocument(std::string_view document, OnOverflow how, size_t room,
                           const EncodeDocument& encode) {
  Fitted best;
  if (how == OnOverflow::kError) {
    MNW_ASSIGN(best.prompt, encode(document));
    return best;
  }
  const auto try_bytes = [&](size_t bytes) -> Result<Fitted> {
    Fitted fitted;
    fitted.kept = Keep(document, how, bytes);
    MNW_ASSIGN(fitted.prompt, encode(KeptText(document, fitted.kept)));
    if (bytes >= document.size()) fitted.kept.clear();
    return fitted;
  };
  const size_t close = std::max<size_t>(4, room / 128);
  size_t low = 0, high = 0, high_tokens = 0;
  bool fits = false, exceeds = false;  // were seen, at `low` and at `high`
  size_t bytes = std::min(document.size(), room * kBytesPerToken);
  for (size_t tries = 1;; ++tries) {
    MNW_ASSIGN(Fitted fitted, try_bytes(bytes));
    const size_t tokens = fitted.prompt.size();
    if (tokens <= room) {
      best = std::move(fitted);
      if (best.kept.empty()) return best;
      low = bytes;
      fits = true;
    } else {
      high = bytes;
      high_tokens = tokens;
      exceeds = true;
    }
    if (exceeds && high == 0) {
      return Error(Code::kOutOfRange, "the prompt has {} tokens without the document, and {} fit",
                   high_tokens, room);
    }
    const size_t left = room - best.prompt.size();
    if (fits && exceeds && (left <= close || high - low <= kCloseBytes)) return best;
    if (!exceeds) {
      bytes = std::min(document.size(), 2 * bytes + 1);
    } else if (!fits) {
      bytes = high <= kCloseBytes ? 0 : high * room / high_tokens * 7 / 8;
    } else if (tries % 3 == 0) {
      bytes = low + (high - low) / 2;
    } else {
      const size_t step = (high - low) * left / (high_tokens - best.prompt.size());
      bytes = std::clamp(low + step, low + 1, high - 1);
    }
  }
}

Result<std::vector<ByteSpan>> ChunkDocument(std::string_view document, size_t room,
                                            const EncodeDocument& encode) {
  std::vector<ByteSpan> chunks;
  size_t at = 0;
  do {
    MNW_ASSIGN(const Fitted fitted,
               FitDocument(document.substr(at), OnOverflow::kHead, room, encode));
    const size_t n = fitted.kept.empty() ? document.size() - at : fitted.kept[0].end;
    if (n == 0 && !document.empty()) {
      return Error(Code::kOutOfRange, "no part of the document fits beside the question: {} tokens",
                   room);
    }
    chunks.push_back({at, at + n});
    at += n;
  } while (at < document.size());
  return chunks;
}

std::vector<float> MeanOfParts(std::span<const std::vector<float>> parts,
                               std::span<const ByteSpan> spans) {
  if (parts.size() == 1) return parts[0];
  std::vector<double> sum(parts[0].size());
  for (size_t p = 0; p < parts.size(); ++p) {
    const auto weight = static_cast<double>(spans[p].end - spans[p].begin);
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += weight * parts[p][i];
  }
  double squares = 0;
  for (const double x : sum) squares += x * x;
  std::vector<float> mean(sum.size());
  const double length = std::sqrt(squares);
  for (size_t i = 0; i < sum.size() && length > 0; ++i) {
    mean[i] = static_cast<float>(sum[i] / length);
  }
  return mean;
}

}  // namespace minnow::engine
