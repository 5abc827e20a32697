// What readers of grammars share: the place in the text that messages name, and the rules met so
// far, which may be used before they are defined.
//
// Rules that begin with themselves are rewritten (a = a x | y is y x*), when it is at the front of
// an alternative; Terms::Seal refuses all other left recursion by name.
//
// Threads: those of the terms.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "constrain/terms.h"

namespace minnow::constrain {

inline constexpr size_t kMaxGrammarBytes = 512 << 10;
inline constexpr size_t kMaxGroupNesting = 200;

class GrammarSource {
 public:
  // `text` outlives this.
  GrammarSource(Terms& terms, std::string_view text) : terms_(terms), text_(text) {}

  Status CheckText() const;  // its length, and that it is UTF-8

  // --- the text ---
  size_t at() const { return at_; }
  void Move(size_t at) { at_ = at; }
  bool More() const { return at_ < text_.size(); }
  char Peek(size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  bool Ahead(std::string_view s) const { return text_.substr(at_, s.size()) == s; }
  bool Take(std::string_view s) {
    if (!Ahead(s)) return false;
    at_ += s.size();
    return true;
  }
  std::string_view From(size_t start) const { return text_.substr(start, at_ - start); }
  void SkipLine();                       // to the line's end, not over it
  char32_t TakeCharacter();              // REQUIRES: More()
  std::optional<uint32_t> TakeNumber();  // decimal; what is larger than kMaxRepeat is one more
  // What stands after a backslash at `start`: \n \t \r and their like, \xHH, \uHHHH, \UHHHHHHHH,
  // or a character that `self` holds.
  Result<char32_t> TakeEscape(size_t start, std::string_view self);
  // {m}, {m,}, {m,n} of numbers read at `start`.
  Result<Term> Repeat(Term item, uint32_t min, uint32_t max, size_t start);

  std::string Place(size_t offset) const;  // "line 3, column 7"
  template <class... Args>
  Status Bad(size_t offset, fmt::format_string<Args...> format, Args&&... args) const {
    return Error(Code::kInvalid, "{}: {}", Place(offset),
                 fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  Status Refuse(size_t offset, fmt::format_string<Args...> format, Args&&... args) const {
    return Error(Code::kUnsupported, "{}: {}", Place(offset),
                 fmt::format(format, std::forward<Args>(args)...));
  }

  // --- rules ---
  struct Alternative {
    Term first = kEmpty, rest = kEmpty;
  };
  Term Mention(std::string_view name, size_t offset);
  Status Define(std::string_view name, size_t offset, const std::vector<Alternative>& body);
  Result<Term> Finish(std::string_view root);  // are all defined?

 private:
  struct RuleEntry {
    RuleId id;
    size_t first_met;
    std::optional<size_t> defined_at;
  };
  RuleEntry& Entry(std::string_view name, size_t offset);

  Terms& terms_;
  const std::string_view text_;
  size_t at_ = 0;
  std::unordered_map<std::string_view, RuleEntry> rules_;
};

std::string_view Shortened(std::string_view name);  // for messages

}  // namespace minnow::constrain
