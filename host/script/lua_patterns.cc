// string.find, match, gmatch and gsub: Lua's patterns (reference manual, 6.4.1) with a matcher of
// our own, whose steps count as instructions. Lua's own may backtrack for minutes inside one call,
// where no budget sees it: ("a"):rep(300):find(("a-"):rep(4) .. "b") takes one.
//
// Errors are raised out of the middle of a match, so nothing here has a destructor.
#include <cctype>
#include <cstring>
#include <string_view>

#include "script/lua_modules.h"
#include "script/state.h"

namespace minnow::script {
namespace {

constexpr int kMaxCaptures = 32;
constexpr int kMaxDepth = 200;          // of a match inside a match
constexpr uint32_t kStepsAtOnce = 256;  // between two looks at the budget

class Matcher {
 public:
  Matcher(lua_State* L, std::string_view subject, std::string_view pattern)
      : L_(L),
        begin_(subject.data()),
        end_(begin_ + subject.size()),
        pattern_end_(pattern.data() + pattern.size()) {}

  // The end of the match of `pattern` that begins at `at`, or null.
  const char* Match(const char* at, const char* pattern) {
    n_captures_ = 0;
    depth_ = 0;
    return Rest(at, pattern);
  }

  // To be called when no more is to be matched.
  void Finish() { Charge(); }

  // Pushes what match and gmatch return for a match: its captures or, without any, itself.
  int PushResults(const char* from, const char* to) {
    if (n_captures_ > 0) return PushCaptures();
    lua_pushlstring(L_, from, static_cast<size_t>(to - from));
    return 1;
  }

  int PushCaptures() {
    luaL_checkstack(L_, n_captures_, "too many captures");
    for (int i = 0; i < n_captures_; ++i) PushCapture(i);
    return n_captures_;
  }

  // Capture i of a match, counted from 0; without any, the first is the match itself.
  void PushCapture(int i, const char* from, const char* to) {
    if (i < n_captures_) return PushCapture(i);
    if (i > 0) luaL_error(L_, "invalid capture index %%%d in replacement string", i + 1);
    lua_pushlstring(L_, from, static_cast<size_t>(to - from));
  }

 private:
  static constexpr ptrdiff_t kOpen = -1;
  static constexpr ptrdiff_t kPosition = -2;
  struct Capture {
    const char* at;
    ptrdiff_t length;  // or one of the two above
  };

  void Step() {
    if (++steps_ == kStepsAtOnce) Charge();
  }

  void Charge() {
    State::From(L_).Charge(L_, steps_);
    steps_ = 0;
  }

  void PushCapture(int i) {
    const Capture& capture = captures_[i];
    if (capture.length == kPosition) {
      lua_pushinteger(L_, capture.at - begin_ + 1);
    } else if (capture.length == kOpen) {
      luaL_error(L_, "unfinished capture");
    } else {
      lua_pushlstring(L_, capture.at, static_cast<size_t>(capture.length));
    }
  }

  // Matches all of the pattern from `p` on.
  const char* Rest(const char* s, const char* p) {
    if (++depth_ > kMaxDepth) luaL_error(L_, "pattern too complex");
    const char* end = Walk(s, p);
    --depth_;
    return end;
  }

  const char* Walk(const char* s, const char* p) {
    while (p != pattern_end_) {
      Step();
      switch (*p) {
        case '(':
          return p + 1 != pattern_end_ && p[1] == ')' ? Open(s, p + 2, kPosition)
                                                      : Open(s, p + 1, kOpen);
        case ')':
          return Close(s, p + 1);
        case '$':
          if (p + 1 == pattern_end_) return s == end_ ? s : nullptr;
          break;
        case '%':
          if (p + 1 == pattern_end_) break;
          if (p[1] == 'b') {
            s = Balanced(s, p + 2);
            p += 4;
          } else if (p[1] == 'f') {
            const char* const set = p + 2;
            if (set == pattern_end_ || *set != '[') {
              luaL_error(L_, "missing '[' after '%%f' in pattern");
            }
            p = EndOfItem(set);
            if (!IsFrontier(s, set, p)) return nullptr;
          } else if (std::isdigit(static_cast<unsigned char>(p[1]))) {
            s = Again(s, p[1]);
            p += 2;
          } else {
            break;
          }
          if (!s) return nullptr;
          continue;
      }
      const char* const item_end = EndOfItem(p);
      switch (item_end == pattern_end_ ? '\0' : *item_end) {
        case '?':
          if (Fits(s, p, item_end)) {
            if (const char* end = Rest(s + 1, item_end + 1)) return end;
          }
          p = item_end + 1;
          break;
        case '*':
          return Longest(s, p, item_end);
        case '+':
          return Fits(s, p, item_end) ? Longest(s + 1, p, item_end) : nullptr;
        case '-':
          return Shortest(s, p, item_end);
        default:
          if (!Fits(s, p, item_end)) return nullptr;
          ++s;
          p = item_end;
      }
    }
    return s;
  }

  const char* Longest(const char* s, const char* item, const char* item_end) {
    const char* last = s;
    while (Fits(last, item, item_end)) ++last;
    for (;; --last) {
      if (const char* end = Rest(last, item_end + 1)) return end;
      if (last == s) return nullptr;
    }
  }

  const char* Shortest(const char* s, const char* item, const char* item_end) {
    for (;; ++s) {
      if (const char* end = Rest(s, item_end + 1)) return end;
      if (!Fits(s, item, item_end)) return nullptr;
    }
  }

  const char* Open(const char* s, const char* p, ptrdiff_t kind) {
    if (n_captures_ == kMaxCaptures) luaL_error(L_, "too many captures");
    captures_[n_captures_++] = {s, kind};
    const char* end = Rest(s, p);
    if (!end) --n_captures_;
    return end;
  }

  const char* Close(const char* s, const char* p) {
    int i = n_captures_ - 1;
    while (i >= 0 && captures_[i].length != kOpen) --i;
    if (i < 0) luaL_error(L_, "invalid pattern capture");
    captures_[i].length = s - captures_[i].at;
    const char* end = Rest(s, p);
    if (!end) captures_[i].length = kOpen;
    return end;
  }

  // %bxy, whose two characters stand at `p`.
  const char* Balanced(const char* s, const char* p) {
    if (pattern_end_ - p < 2) luaL_error(L_, "malformed pattern (missing arguments to '%%b')");
    if (s == end_ || *s != p[0]) return nullptr;
    size_t open = 1;
    for (++s; s != end_; ++s) {
      Step();
      if (*s == p[1]) {
        if (--open == 0) return s + 1;
      } else if (*s == p[0]) {
        ++open;
      }
    }
    return nullptr;
  }

  // %1 to %9: what that capture holds, once more.
  const char* Again(const char* s, char digit) {
    const int i = digit - '1';
    if (i < 0 || i >= n_captures_ || captures_[i].length == kOpen) {
      luaL_error(L_, "invalid capture index %%%d in pattern", i + 1);
    }
    if (captures_[i].length == kPosition) return nullptr;
    const auto length = static_cast<size_t>(captures_[i].length);
    steps_ += static_cast<uint32_t>(length / 64 % kStepsAtOnce);
    if (steps_ >= kStepsAtOnce) Charge();
    if (static_cast<size_t>(end_ - s) < length) return nullptr;
    return std::memcmp(captures_[i].at, s, length) == 0 ? s + length : nullptr;
  }

  bool IsFrontier(const char* s, const char* set, const char* set_end) {
    const char before = s == begin_ ? '\0' : s[-1];
    const char after = s == end_ ? '\0' : *s;
    return !InSet(before, set, set_end) && InSet(after, set, set_end);
  }

  // Past one character, class or set, without what says how often it comes.
  const char* EndOfItem(const char* p) {
    const char first = *p++;
    if (first == '%') {
      if (p == pattern_end_) luaL_error(L_, "malformed pattern (ends with '%%')");
      return p + 1;
    }
    if (first != '[') return p;
    if (p != pattern_end_ && *p == '^') ++p;
    bool is_first = true;  // a ] that stands first is one of the set
    while (is_first || p == pattern_end_ || *p != ']') {
      if (p == pattern_end_) luaL_error(L_, "malformed pattern (missing ']')");
      is_first = false;
      if (*p++ == '%' && p != pattern_end_) ++p;
      Step();
    }
    return p + 1;
  }

  bool Fits(const char* s, const char* item, const char* item_end) {
    Step();
    if (s == end_) return false;
    switch (*item) {
      case '.':
        return true;
      case '%':
        return InClass(*s, item[1]);
      case '[':
        return InSet(*s, item, item_end);
      default:
        return *s == *item;
    }
  }

  bool InSet(char c, const char* set, const char* set_end) {
    const auto byte = static_cast<unsigned char>(c);
    const char* const last = set_end - 1;  // the ]
    const char* p = set + 1;
    const bool negated = *p == '^';
    if (negated) ++p;
    for (; p < last; ++p) {
      Step();
      bool is_in;
      if (*p == '%') {
        is_in = InClass(c, *++p);
      } else if (p[1] == '-' && p + 2 < last) {
        is_in =
            static_cast<unsigned char>(p[0]) <= byte && byte <= static_cast<unsigned char>(p[2]);
        p += 2;
      } else {
        is_in = *p == c;
      }
      if (is_in) return !negated;
    }
    return negated;
  }

  static bool InClass(char c, char name) {
    const auto byte = static_cast<unsigned char>(c);
    const auto letter = static_cast<unsigned char>(name);
    int is_in;
    switch (std::tolower(letter)) {
      case 'a':
        is_in = std::isalpha(byte);
        break;
      case 'c':
        is_in = std::iscntrl(byte);
        break;
      case 'd':
        is_in = std::isdigit(byte);
        break;
      case 'g':
        is_in = std::isgraph(byte);
        break;
      case 'l':
        is_in = std::islower(byte);
        break;
      case 'p':
        is_in = std::ispunct(byte);
        break;
      case 's':
        is_in = std::isspace(byte);
        break;
      case 'u':
        is_in = std::isupper(byte);
        break;
      case 'w':
        is_in = std::isalnum(byte);
        break;
      case 'x':
        is_in = std::isxdigit(byte);
        break;
      default:
        return c == name;
    }
    return (is_in != 0) != (std::isupper(letter) != 0);
  }

  lua_State* const L_;
  const char* const begin_;
  const char* const end_;
  const char* const pattern_end_;
  Capture captures_[kMaxCaptures];
  int n_captures_ = 0;
  int depth_ = 0;
  uint32_t steps_ = 0;
};

std::string_view CheckString(lua_State* L, int index) {
  size_t size;
  const char* data = luaL_checklstring(L, index, &size);
  return {data, size};
}

// Where a search begins, from 0: `init` as Lua counts, from 1 or back from the end.
size_t Begin(lua_State* L, int index, size_t size) {
  const lua_Integer init = luaL_optinteger(L, index, 1);
  if (init > 0) return static_cast<size_t>(init) - 1;
  if (init == 0 || -init > static_cast<lua_Integer>(size)) return 0;
  return size - static_cast<size_t>(-init);
}

bool IsPlain(std::string_view pattern) {
  return pattern.find_first_of("^$*+?.([%-") == std::string_view::npos;
}

int FindPlain(lua_State* L, std::string_view subject, std::string_view pattern, size_t begin) {
  State::From(L).Charge(L, (subject.size() - begin) / 16);
  const size_t at = subject.find(pattern, begin);
  if (at == std::string_view::npos) {
    lua_pushnil(L);
    return 1;
  }
  lua_pushinteger(L, static_cast<lua_Integer>(at) + 1);
  lua_pushinteger(L, static_cast<lua_Integer>(at + pattern.size()));
  return 2;
}

int Search(lua_State* L, bool is_find) {
  const std::string_view subject = CheckString(L, 1);
  const std::string_view pattern = CheckString(L, 2);
  const size_t begin = Begin(L, 3, subject.size());
  if (begin > subject.size()) {
    lua_pushnil(L);
    return 1;
  }
  if (is_find && (lua_toboolean(L, 4) || IsPlain(pattern))) {
    return FindPlain(L, subject, pattern, begin);
  }
  Matcher matcher(L, subject, pattern);
  const bool is_anchored = pattern.starts_with('^');
  const char* const last = subject.data() + subject.size();
  for (const char* from = subject.data() + begin; from <= last; ++from) {
    const char* const to = matcher.Match(from, pattern.data() + is_anchored);
    if (!to) {
      if (is_anchored) break;
      continue;
    }
    matcher.Finish();
    if (!is_find) return matcher.PushResults(from, to);
    lua_pushinteger(L, from - subject.data() + 1);
    lua_pushinteger(L, to - subject.data());
    return 2 + matcher.PushCaptures();
  }
  matcher.Finish();
  lua_pushnil(L);
  return 1;
}

int Find(lua_State* L) { return Search(L, true); }
int MatchOnce(lua_State* L) { return Search(L, false); }

// The iterator of gmatch: subject, pattern, where to go on, and where the last match ended, which a
// match of nothing may not be at.
int NextMatch(lua_State* L) {
  const std::string_view subject = CheckString(L, lua_upvalueindex(1));
  const std::string_view pattern = CheckString(L, lua_upvalueindex(2));
  const lua_Integer last_end = lua_tointeger(L, lua_upvalueindex(4));
  Matcher matcher(L, subject, pattern);
  auto at = static_cast<size_t>(lua_tointeger(L, lua_upvalueindex(3)));
  for (; at <= subject.size(); ++at) {
    const char* const from = subject.data() + at;
    const char* const to = matcher.Match(from, pattern.data());
    if (!to || to - subject.data() == last_end) continue;
    matcher.Finish();
    lua_pushinteger(L, to - subject.data());
    lua_copy(L, -1, lua_upvalueindex(3));
    lua_replace(L, lua_upvalueindex(4));
    return matcher.PushResults(from, to);
  }
  matcher.Finish();
  lua_pushinteger(L, static_cast<lua_Integer>(at));
  lua_replace(L, lua_upvalueindex(3));
  return 0;
}

int MatchAll(lua_State* L) {
  const std::string_view subject = CheckString(L, 1);
  CheckString(L, 2);
  const size_t begin = Begin(L, 3, subject.size());
  lua_settop(L, 2);
  lua_pushinteger(L, static_cast<lua_Integer>(begin));
  lua_pushinteger(L, -1);
  lua_pushcclosure(L, NextMatch, 4);
  return 1;
}

// Adds the replacement, a string in which % stands before a capture's number or a %.
void AddTemplate(lua_State* L, luaL_Buffer* out, Matcher& matcher, const char* from,
                 const char* to) {
  const std::string_view text = CheckString(L, 3);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      luaL_addchar(out, text[i]);
      continue;
    }
    const char next = ++i < text.size() ? text[i] : '\0';
    if (next == '%') {
      luaL_addchar(out, '%');
    } else if (next == '0') {
      luaL_addlstring(out, from, static_cast<size_t>(to - from));
    } else if (std::isdigit(static_cast<unsigned char>(next))) {
      matcher.PushCapture(next - '1', from, to);
      luaL_tolstring(L, -1, nullptr);
      lua_remove(L, -2);
      luaL_addvalue(out);
    } else {
      luaL_error(L, "invalid use of '%%' in replacement string");
    }
  }
}

// Adds what a match becomes, which a table holds or a function says.
void AddReplacement(lua_State* L, luaL_Buffer* out, Matcher& matcher, const char* from,
                    const char* to) {
  if (lua_type(L, 3) == LUA_TTABLE) {
    matcher.PushCapture(0, from, to);
    lua_gettable(L, 3);
  } else {
    lua_pushvalue(L, 3);
    lua_call(L, matcher.PushResults(from, to), 1);
  }
  if (!lua_toboolean(L, -1)) {
    lua_pop(L, 1);
    luaL_addlstring(out, from, static_cast<size_t>(to - from));
  } else if (lua_isstring(L, -1)) {
    luaL_addvalue(out);
  } else {
    luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
  }
}

int Replace(lua_State* L) {
  const std::string_view subject = CheckString(L, 1);
  std::string_view pattern = CheckString(L, 2);
  const int type = lua_type(L, 3);
  luaL_argexpected(
      L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TTABLE || type == LUA_TFUNCTION,
      3, "string/function/table");
  const lua_Integer most = luaL_optinteger(L, 4, static_cast<lua_Integer>(subject.size()) + 1);
  const bool is_anchored = pattern.starts_with('^');
  if (is_anchored) pattern.remove_prefix(1);
  const char* from = subject.data();
  const char* const last = from + subject.size();
  const char* last_end = nullptr;
  Matcher matcher(L, subject, pattern);
  lua_Integer count = 0;
  luaL_Buffer out;
  luaL_buffinit(L, &out);
  while (count < most) {
    const char* const to = matcher.Match(from, pattern.data());
    if (to && to != last_end) {
      ++count;
      if (type == LUA_TTABLE || type == LUA_TFUNCTION) {
        AddReplacement(L, &out, matcher, from, to);
      } else {
        AddTemplate(L, &out, matcher, from, to);
      }
      from = last_end = to;
    } else if (from < last) {
      luaL_addchar(&out, *from++);
    } else {
      break;
    }
    if (is_anchored) break;
  }
  matcher.Finish();
  luaL_addlstring(&out, from, static_cast<size_t>(last - from));
  luaL_pushresult(&out);
  lua_pushinteger(L, count);
  return 2;
}

}  // namespace

void OpenPatterns(lua_State* L) {
  constexpr luaL_Reg kFunctions[] = {{"find", Find},
                                     {"match", MatchOnce},
                                     {"gmatch", MatchAll},
                                     {"gsub", Replace},
                                     {nullptr, nullptr}};
  luaL_setfuncs(L, kFunctions, 0);
}

}  // namespace minnow::script
