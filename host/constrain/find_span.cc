#include <algorithm>

#include "constrain/cuts.h"
#include "constrain/spans.h"

namespace minnow::constrain {
namespace {

// A text whose runs of white space are one space each, and where its bytes come from.
struct Collapsed {
  std::string text;
  std::vector<size_t> from;  // of every offset, the end's included
};

Collapsed Collapse(std::string_view text, const std::vector<uint8_t>& marks, bool fuzzy) {
  Collapsed out;
  out.text.reserve(text.size());
  out.from.reserve(text.size() + 1);
  bool white = false;
  for (size_t at = 0; at < text.size(); ++at) {
    const bool begins = (marks[at] & kCharacter) != 0;
    const bool was_white = white;
    if (begins) white = (marks[at] & kWhite) != 0;
    if (fuzzy && white && (was_white || !begins)) continue;
    out.text += fuzzy && white ? ' ' : text[at];
    out.from.push_back(at);
  }
  out.from.push_back(text.size());
  return out;
}

// Lines and columns of ascending offsets.
class LineCounter {
 public:
  LineCounter(std::string_view text, const std::vector<uint8_t>& marks)
      : text_(text), marks_(marks) {}
  void AdvanceTo(size_t at) {
    for (; at_ < at; ++at_) {
      const bool pair = text_[at_] == '\r' && at_ + 1 < text_.size() && text_[at_ + 1] == '\n';
      if ((text_[at_] == '\n' || text_[at_] == '\r') && !pair) {
        ++line_;
        column_ = 1;
      } else if (marks_[at_] & kCharacter) {
        ++column_;
      }
    }
  }
  size_t line() const { return line_; }
  size_t column() const { return column_; }

 private:
  const std::string_view text_;
  const std::vector<uint8_t>& marks_;
  size_t at_ = 0, line_ = 1, column_ = 1;
};

}  // namespace

std::vector<SpanPlace> FindSpan(std::string_view document, std::string_view value,
                                const SpanOptions& options) {
  std::vector<SpanPlace> places;
  if (value.empty()) return places;
  const bool fuzzy = options.fuzzy_space;
  const std::vector<uint8_t> marks = FindCuts(document, options.whole_words).marks;
  const std::vector<uint8_t> value_marks = FindCuts(value, false).marks;
  const Collapsed in = Collapse(document, marks, fuzzy);
  const Collapsed what = Collapse(value, value_marks, fuzzy);
  // White space of the value that is not one space is to be the document's.
  std::vector<size_t> kept;
  size_t last = 0;  // where the last character begins
  for (size_t i = 0; i < what.text.size(); ++i) {
    if (value_marks[what.from[i]] & kCharacter) last = i;
    if (fuzzy && (value_marks[what.from[i]] & kWhite) &&
        value.substr(what.from[i], what.from[i + 1] - what.from[i]) != " ") {
      kept.push_back(i);
    }
  }
  if ((value_marks[0] | value_marks[what.from[last]]) & kWhite) return places;

  LineCounter lines(document, marks);
  const std::string_view text = in.text;
  for (size_t at = text.find(what.text); at != text.npos; at = text.find(what.text, at + 1)) {
    const size_t begin = in.from[at], end = in.from[at + what.text.size()];
    if (!(marks[begin] & kCut) || !(marks[end] & kCut)) continue;
    const auto same = [&](size_t i) {
      return document.substr(in.from[at + i], in.from[at + i + 1] - in.from[at + i]) ==
             value.substr(what.from[i], what.from[i + 1] - what.from[i]);
    };
    if (!std::all_of(kept.begin(), kept.end(), same)) continue;
    lines.AdvanceTo(begin);
    places.push_back({begin, end, lines.line(), lines.column()});
  }
  return places;
}

}  // namespace minnow::constrain
