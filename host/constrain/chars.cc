#include "constrain/chars.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "text/utf8.h"

namespace minnow::constrain {
namespace {

bool IsSurrogate(char32_t c) { return c >= 0xD800 && c <= 0xDFFF; }

// --- case ---

char32_t SimpleFold(char32_t c) {
  // Turkish letters: their simple mappings would make them equal to i, their folding does not.
  if (c == 0x130 || c == 0x131) return c;
  return static_cast<char32_t>(
      utf8proc_tolower(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
}

struct CaseTable {
  std::vector<std::pair<char32_t, uint32_t>> classes;  // of every character with others, ascending
  std::vector<std::vector<char32_t>> members;
};

const CaseTable& Cases() {
  static const CaseTable table = [] {
    std::map<char32_t, std::vector<char32_t>> by_fold;
    for (char32_t c = 0; c < 0x20000; ++c) {  // no letter with cases beyond these two planes
      const char32_t fold = SimpleFold(c);
      if (fold == c) continue;
      auto& members = by_fold[fold];
      if (members.empty()) members.push_back(fold);
      members.push_back(c);
    }
    CaseTable t;
    for (auto& [fold, members] : by_fold) {
      for (const char32_t c : members) {
        t.classes.emplace_back(c, static_cast<uint32_t>(t.members.size()));
      }
      t.members.push_back(std::move(members));
    }
    std::sort(t.classes.begin(), t.classes.end());
    return t;
  }();
  return table;
}

// --- properties ---

struct Category {
  std::string_view long_name, short_name;
};
constexpr Category kCategories[] = {
    {"Letter", "L"},
    {"Cased_Letter", "L&"},
    {"LC", "L&"},
    {"Uppercase_Letter", "Lu"},
    {"Lowercase_Letter", "Ll"},
    {"Titlecase_Letter", "Lt"},
    {"Modifier_Letter", "Lm"},
    {"Other_Letter", "Lo"},
    {"Mark", "M"},
    {"Combining_Mark", "M"},
    {"Nonspacing_Mark", "Mn"},
    {"Spacing_Mark", "Mc"},
    {"Enclosing_Mark", "Me"},
    {"Number", "N"},
    {"Decimal_Number", "Nd"},
    {"digit", "Nd"},
    {"Letter_Number", "Nl"},
    {"Other_Number", "No"},
    {"Punctuation", "P"},
    {"punct", "P"},
    {"Connector_Punctuation", "Pc"},
    {"Dash_Punctuation", "Pd"},
    {"Open_Punctuation", "Ps"},
    {"Close_Punctuation", "Pe"},
    {"Initial_Punctuation", "Pi"},
    {"Final_Punctuation", "Pf"},
    {"Other_Punctuation", "Po"},
    {"Symbol", "S"},
    {"Math_Symbol", "Sm"},
    {"Currency_Symbol", "Sc"},
    {"Modifier_Symbol", "Sk"},
    {"Other_Symbol", "So"},
    {"Separator", "Z"},
    {"Space_Separator", "Zs"},
    {"Line_Separator", "Zl"},
    {"Paragraph_Separator", "Zp"},
    {"Other", "C"},
    {"Control", "Cc"},
    {"cntrl", "Cc"},
    {"Format", "Cf"},
    {"Surrogate", "Cs"},
    {"Private_Use", "Co"},
    {"Unassigned", "Cn"},
};

// As PCRE2 spells it.
std::string LibraryName(std::string_view name) {
  const auto cut = [&](std::string_view prefix) {
    if (name.substr(0, prefix.size()) != prefix) return false;
    name.remove_prefix(prefix.size());
    return true;
  };
  if (cut("Script=") || cut("sc=")) return "sc:" + std::string(name);
  if (cut("Script_Extensions=") || cut("scx=")) return "scx:" + std::string(name);
  (void)(cut("General_Category=") || cut("gc="));
  for (const Category& c : kCategories) {
    if (name == c.long_name) return std::string(c.short_name);
  }
  return std::string(name);
}

// Every code point whose properties may differ from those of its neighbours: planes 0 to 3 and the
// first of plane 14, and of the others the first and, never characters, the last two.
struct Sample {
  std::string text;
  std::vector<CharRange> stands_for;  // by character of the text
  std::vector<uint32_t> offsets;      // of these characters
};

const Sample& AllCharacters() {
  static const Sample sample = [] {
    Sample s;
    const auto add = [&](char32_t first, char32_t last) {
      s.offsets.push_back(static_cast<uint32_t>(s.text.size()));
      text::AppendUtf8(first, s.text);
      s.stands_for.push_back({first, last});
    };
    for (char32_t c = 0; c <= kMaxCodePoint;) {
      const char32_t plane = c >> 16;
      const bool each = plane < 4 || (plane == 14 && (c & 0xFFFF) < 0x1000);
      const char32_t last = each || (c & 0xFFFF) >= 0xFFFE ? c : (plane << 16 | 0xFFFD);
      if (!IsSurrogate(c)) add(c, last);
      c = last + 1;
    }
    return s;
  }();
  return sample;
}

struct CodeDeleter {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct MatchDeleter {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};

Result<CharSet> WalkProperty(std::string_view name) {
  const std::string property = LibraryName(name);
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '&' || c == ':';
  };
  const Status unknown = Error(Code::kUnsupported,
                               "\"{}\" is no known property of characters: name a general category "
                               "(L, Lu, Nd), a script (Script=Greek) or a binary property "
                               "(Alphabetic)",
                               name.substr(0, 60));
  if (property.empty() || !std::all_of(property.begin(), property.end(), plain)) return unknown;
  // Runs of characters without it, each followed by one of those with it.
  const std::string pattern = fmt::format(R"(\P{{{0}}}*+(\p{{{0}}}*+))", property);
  int error = 0;
  PCRE2_SIZE error_offset = 0;
  const std::unique_ptr<pcre2_code, CodeDeleter> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                    PCRE2_UTF | PCRE2_ANCHORED, &error, &error_offset, nullptr));
  if (!code) return unknown;
  const std::unique_ptr<pcre2_match_data, MatchDeleter> match(
      pcre2_match_data_create_from_pattern(code.get(), nullptr));
  if (!match) return Error(Code::kExhausted, "no memory to look a property of characters up");

  const Sample& all = AllCharacters();
  const auto index = [&](size_t offset) {
    return static_cast<size_t>(std::lower_bound(all.offsets.begin(), all.offsets.end(), offset) -
                               all.offsets.begin());
  };
  std::vector<CharRange> ranges;
  for (size_t at = 0; at < all.text.size();) {
    const int rc = pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(all.text.data()),
                               all.text.size(), at, PCRE2_NO_UTF_CHECK, match.get(), nullptr);
    if (rc < 0) return Error(Code::kInternal, "PCRE2 failed on \\p{{{}}}: {}", property, rc);
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(match.get());
    for (size_t i = index(ends[2]), last = index(ends[3]); i < last; ++i) {
      ranges.push_back(all.stands_for[i]);
    }
    at = ends[1];
  }
  return CharSet(std::move(ranges));
}

}  // namespace

CharSet::CharSet(std::vector<CharRange> ranges) : ranges_(std::move(ranges)) {
  const auto before = [](const CharRange& a, const CharRange& b) { return a.first < b.first; };
  if (!std::is_sorted(ranges_.begin(), ranges_.end(), before)) {
    std::sort(ranges_.begin(), ranges_.end(), before);
  }
  size_t n = 0;
  for (const CharRange& r : ranges_) {
    if (n > 0 && r.first <= ranges_[n - 1].last + 1) {
      ranges_[n - 1].last = std::max(ranges_[n - 1].last, r.last);
    } else {
      ranges_[n++] = r;
    }
  }
  ranges_.resize(n);
}

bool CharSet::empty() const {
  return std::all_of(ranges_.begin(), ranges_.end(), [](const CharRange& r) {
    return IsSurrogate(r.first) && IsSurrogate(r.last);
  });
}

CharSet CharSet::Complement() const {
  std::vector<CharRange> out;
  char32_t next = 0;
  for (const CharRange& r : ranges_) {
    if (r.first > next) out.push_back({next, r.first - 1});
    next = r.last + 1;
  }
  if (next <= kMaxCodePoint) out.push_back({next, kMaxCodePoint});
  return CharSet(std::move(out));
}

CharSet CharSet::WithOtherCases() const {
  const CaseTable& table = Cases();
  std::vector<CharRange> out = ranges_;
  auto from = table.classes.begin();
  for (const CharRange& r : ranges_) {
    from = std::lower_bound(from, table.classes.end(), r.first,
                            [](const auto& entry, char32_t c) { return entry.first < c; });
    for (; from != table.classes.end() && from->first <= r.last; ++from) {
      for (const char32_t c : table.members[from->second]) {
        if (c < r.first || c > r.last) out.push_back({c, c});
      }
    }
  }
  return CharSet(std::move(out));
}

Result<CharSet> PropertyChars(std::string_view name) {
  static std::mutex mutex;
  static std::map<std::string, CharSet, std::less<>> known;  // by the library's few names
  const std::lock_guard lock(mutex);
  const std::string key = LibraryName(name);
  const auto found = known.find(key);
  if (found != known.end()) return found->second;
  MNW_ASSIGN(CharSet set, WalkProperty(name));
  // PCRE2 ignores case, underscores and more in names: many spellings, so not all are kept.
  if (known.size() < 600) known.emplace(key, set);
  return set;
}

}  // namespace minnow::constrain
