#include "constrain/grammar_source.h"

#include <algorithm>
#include <utility>

#include "constrain/chars.h"
#include "constrain/regex.h"
#include "text/utf8.h"

namespace minnow::constrain {

std::string_view Shortened(std::string_view name) { return name.substr(0, 60); }

Status GrammarSource::CheckText() const {
  if (text_.size() > kMaxGrammarBytes) {
    return Error(Code::kInvalid, "a grammar of {} bytes is too long: at most {}", text_.size(),
                 kMaxGrammarBytes);
  }
  const size_t well_formed = text::WellFormedLength(text_, 0);
  if (well_formed != text_.size()) return Bad(well_formed, "this is not UTF-8");
  return Status();
}

void GrammarSource::SkipLine() { at_ = std::min(text_.find('\n', at_), text_.size()); }

char32_t GrammarSource::TakeCharacter() {
  const text::CodePoint c = text::DecodeUtf8(text_, at_);
  at_ += c.length;
  return c.value;
}

std::optional<uint32_t> GrammarSource::TakeNumber() {
  if (Peek() < '0' || Peek() > '9') return std::nullopt;
  uint32_t n = 0;
  for (; Peek() >= '0' && Peek() <= '9'; ++at_) {
    n = std::min(n * 10 + static_cast<uint32_t>(Peek() - '0'), kMaxRepeat + 1);
  }
  return n;
}

Result<char32_t> GrammarSource::TakeEscape(size_t start, std::string_view self) {
  if (!More()) return Bad(start, "a backslash at the end");
  const char c = Peek();
  size_t digits = 0;
  switch (c) {
    case 'n':
      ++at_;
      return U'\n';
    case 'r':
      ++at_;
      return U'\r';
    case 't':
      ++at_;
      return U'\t';
    case 'x':
      digits = 2;
      break;
    case 'u':
      digits = 4;
      break;
    case 'U':
      digits = 8;
      break;
    default:
      if (self.find(c) == self.npos) {
        const size_t escaped = at_;
        TakeCharacter();
        return Bad(start, "\\{} means nothing here; for a backslash write \\\\", From(escaped));
      }
      ++at_;
      return static_cast<char32_t>(c);
  }
  ++at_;
  char32_t value = 0;
  for (size_t i = 0; i < digits; ++i, ++at_) {
    const char d = Peek();
    const bool decimal = d >= '0' && d <= '9';
    const char lower = static_cast<char>(d | 0x20);
    if (!decimal && (lower < 'a' || lower > 'f')) {
      return Bad(start, "{} hexadecimal digits belong after \\{}", digits, c);
    }
    value = value << 4 | static_cast<char32_t>(decimal ? d - '0' : lower - 'a' + 10);
  }
  if (value > kMaxCodePoint || (value >= 0xD800 && value <= 0xDFFF)) {
    return Bad(start, "U+{:X} is no character", static_cast<uint32_t>(value));
  }
  return value;
}

Result<Term> GrammarSource::Repeat(Term item, uint32_t min, uint32_t max, size_t start) {
  if (min > kMaxRepeat || (max > kMaxRepeat && max != kUnbounded)) {
    return Refuse(start, "a repetition counts to {} at most", kMaxRepeat);
  }
  if (min > max) return Bad(start, "from {} to {} there is no count", min, max);
  return terms_.Repeat(item, min, max);
}

std::string GrammarSource::Place(size_t offset) const {
  const std::string_view before = text_.substr(0, offset);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::string_view in_line = before.substr(before.rfind('\n') + 1);  // npos + 1 is 0
  const auto column = 1 + std::count_if(in_line.begin(), in_line.end(), [](char c) {
                        return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
                      });
  return fmt::format("line {}, column {}", line, column);
}

GrammarSource::RuleEntry& GrammarSource::Entry(std::string_view name, size_t offset) {
  const auto found = rules_.find(name);
  if (found != rules_.end()) return found->second;
  const RuleId id = terms_.Declare(std::string(Shortened(name)));
  return rules_.emplace(name, RuleEntry{id, offset, std::nullopt}).first->second;
}

Term GrammarSource::Mention(std::string_view name, size_t offset) {
  return terms_.Rule(Entry(name, offset).id);
}

Status GrammarSource::Define(std::string_view name, size_t offset,
                             const std::vector<Alternative>& body) {
  RuleEntry& entry = Entry(name, offset);
  if (entry.defined_at) {
    return Bad(offset, "rule '{}' is defined at {} already", Shortened(name),
               Place(*entry.defined_at));
  }
  entry.defined_at = offset;
  const Term self = terms_.Rule(entry.id);
  std::vector<Term> beginnings, continuations;
  for (const Alternative& alternative : body) {
    if (alternative.first != self) {
      beginnings.push_back(terms_.Concat(alternative.first, alternative.rest));
    } else if (alternative.rest != kEmpty) {  // what is itself again adds nothing
      continuations.push_back(alternative.rest);
    }
  }
  if (beginnings.empty()) {
    return Bad(offset, "every alternative of rule '{}' begins with the rule itself: one must not",
               Shortened(name));
  }
  terms_.Define(entry.id, terms_.Concat(terms_.Or(beginnings),
                                        terms_.Repeat(terms_.Or(continuations), 0, kUnbounded)));
  return terms_.status();
}

Result<Term> GrammarSource::Finish(std::string_view root) {
  const std::pair<const std::string_view, RuleEntry>* missing = nullptr;
  for (const auto& rule : rules_) {
    if (rule.second.defined_at) continue;
    if (!missing || rule.second.first_met < missing->second.first_met) missing = &rule;
  }
  if (missing) {
    return Bad(missing->second.first_met, "rule '{}' is defined nowhere",
               Shortened(missing->first));
  }
  const auto found = rules_.find(root);
  if (found == rules_.end()) {
    return Error(Code::kInvalid, "the grammar has no rule '{}', with which it must begin", root);
  }
  MNW_TRY(terms_.status());
  return terms_.Rule(found->second.id);
}

}  // namespace minnow::constrain
