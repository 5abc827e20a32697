#include "text/nfc.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "text/utf8.h"

namespace minnow::text {
namespace {

int CombiningClass(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

// Canonical order. utf8proc would sort too, but by exchanging neighbours: a document of nothing but
// accents would take it hours.
void OrderMarks(std::vector<utf8proc_int32_t>& points) {
  for (size_t i = 0; i < points.size();) {
    if (CombiningClass(points[i]) == 0) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < points.size() && CombiningClass(points[end]) != 0) ++end;
    std::stable_sort(points.begin() + i, points.begin() + end,
                     [](auto a, auto b) { return CombiningClass(a) < CombiningClass(b); });
    i = end;
  }
}

void AppendNfc(std::string_view well_formed, std::string& out) {
  std::vector<utf8proc_int32_t> points;
  points.reserve(well_formed.size());
  for (size_t at = 0; at < well_formed.size();) {
    const CodePoint c = DecodeUtf8(well_formed, at);
    at += c.length;
    utf8proc_int32_t parts[32];  // the longest canonical decomposition has four
    int boundary = 0;
    const auto n = utf8proc_decompose_char(
        static_cast<utf8proc_int32_t>(c.value), parts, 32,
        static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE), &boundary);
    points.insert(points.end(), parts, parts + std::clamp<utf8proc_ssize_t>(n, 0, 32));
  }
  OrderMarks(points);
  const auto n =
      utf8proc_normalize_utf32(points.data(), static_cast<utf8proc_ssize_t>(points.size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  for (utf8proc_ssize_t i = 0; i < n; ++i) AppendUtf8(static_cast<char32_t>(points[i]), out);
}

}  // namespace

std::string NormalizeNfc(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t length = WellFormedLength(text, at);
    const std::string_view part = text.substr(at, length);
    // All below U+0300 (lead bytes up to 0xCB) is normal already: most documents.
    const bool normal = std::all_of(part.begin(), part.end(),
                                    [](char c) { return static_cast<unsigned char>(c) < 0xCC; });
    if (normal) {
      out += part;
    } else {
      AppendNfc(part, out);
    }
    at += length;
    while (at < text.size() && !IsCodePoint(DecodeUtf8(text, at).value)) out += text[at++];
  }
  return out;
}

}  // namespace minnow::text
