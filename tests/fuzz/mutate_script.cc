// How libFuzzer changes a script: in tokens, so that most of what comes out is Lua. Bytes that are
// changed at random end in the parser; these reach the library and what it does to Lua's state.
#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

using Tokens = std::vector<std::string>;

// Statements and expressions, which may stand anywhere that one token may.
const char* const kPieces[] = {
    "m:generate('p', { max_tokens = 3, temperature = 0.5, seed = 1 })",
    "m:generate('later')",
    "m:generate('hang')",
    "m:generate('fail')",
    "m:generate('refuse')",
    "m:ask(doc, 'later?', { on_overflow = 'chunk', stop = { 'x' } })",
    "m:chat({ { role = 'user', content = 'x' } }, { logprobs = 2 })",
    "m:classify(doc, 'q', { 'a', 'b' }, { on_overflow = 'head' })",
    "m:score('p', { 'later', 'x' })",
    "m:embed('v')",
    "m:context(doc.text)",
    "m:context('d'):pin()",
    "m:context('d'):classify('q', { 'a', 'b' })",
    "m:adapter('lora', { scale = 0.5 })",
    "m:tokenize('x')",
    "m:count(doc)",
    "m:stream('later')",
    "for piece in m:stream('abc') do print(piece) end",
    "minnow.map({ 1, 2, 3 }, function(i) return i end, { concurrency = 2 })",
    "minnow.all { function() return 1 end, function() minnow.sleep(0.001) end }",
    "minnow.timeout(0.001, function() minnow.sleep(1) end)",
    "minnow.sleep(0)",
    "minnow.log.info('x')",
    "minnow.inspect(_G)",
    "minnow.json.encode({ 1, a = { minnow.null } })",
    "minnow.json.decode('{\"a\":[1e5,null]}')",
    "minnow.ordered { { 'k', 1 } }",
    "minnow.array {}",
    "minnow.files.read('x')",
    "minnow.http.get('http://localhost/')",
    "require 'minnow'",
    "coroutine.wrap(function(...) coroutine.yield(...) end)(1)",
    "local co = coroutine.create(function() minnow.sleep(0.001) end) coroutine.resume(co)",
    "coroutine.close(co)",
    "coroutine.running()",
    "pcall(error, { code = 'exhausted' })",
    "xpcall(f, function(e) return m:generate(e) end)",
    "setmetatable({}, { __index = function(t, k) return m:ask(k, k) end, __close = print })",
    "setmetatable({}, { __gc = print, __mode = 'kv', __metatable = 1 })",
    "local x <close> = setmetatable({}, { __close = function() minnow.sleep(0.001) end })",
    "local x <const> = 1",
    "goto done ::done::",
    "while true do end",
    "repeat local t = { t } until false",
    "for i = 1, 10 do t[i] = i end",
    "for k, v in pairs(t) do t[k] = nil end",
    "local t = {}",
    "local function f(...) return f(...) end",
    "string.rep('x', 1 << 20)",
    "('x'):rep(100):gsub('.', function(c) return c:upper() end)",
    "('a1b2'):gmatch('(%a)(%d)')",
    "('%s %q %5.2f %x'):format(t, 1, 2, 3)",
    "('x'):find('[^%w]-%f[x]()', 1)",
    "string.pack('<i4s2z', 1, 'a', 'b')",
    "string.unpack('<i4', 'abcd')",
    "table.sort(t, function(a, b) return m:count(a) < b end)",
    "table.concat(t, ',')",
    "table.move(t, 1, 1 << 60, 2)",
    "table.unpack(t, 1, 1e6)",
    "table.insert(t, 1, t)",
    "utf8.codes('\\xff')",
    "load('return 1', '=x', 't', {})",
    "load(function() return coroutine.yield() end)",
    "math.tointeger(2^53)",
    "os.date('*t', 1 << 40)",
    "os.time { year = 1 << 31 }",
    "select('#', table.unpack(t))",
    "error(setmetatable({}, { __tostring = error }))",
};
const char* const kWrappers[][2] = {
    {"pcall ( function ( ) ", " end )"},
    {"xpcall ( function ( ) ", " end , function ( e ) return e end )"},
    {"coroutine.wrap ( function ( ) ", " end ) ( )"},
    {"minnow.map ( { 1 , 2 } , function ( ) ", " end )"},
    {"minnow.timeout ( 0.001 , function ( ) ", " end )"},
    {"( 'x' ) : gsub ( '.' , function ( ) ", " end )"},
    {"table.sort ( { 2 , 1 } , function ( ) ", " end )"},
    {"setmetatable ( { } , { __index = function ( t , k ) ", " end } ) . x"},
    {"for i = 1 , 3 do ", " end"},
    {"while true do ", " end"},
    {"local x <close> = setmetatable ( { } , { __close = function ( ) ", " end } )"},
    {"{ ", " }"},
    {"( ", " )"},
};
const char* const kNumbers[] = {"0",   "1",       "-1",  "2",   "0.5",     "1e308",    "1/0",
                                "0/0", "1 << 62", "255", "3e9", "1 << 31", "-1 << 63", "100000"};
const char* const kStrings[] = {"''",       "'x'",       "'\\0\\xff'", "'later'",
                                "'hang'",   "'%s'",      "'a-b*'",     "('x'):rep(70000)",
                                "'minnow'", "'__index'", "'user'",     "'[]'"};
const char* const kOperators[] = {
    "+",   "-",  "*",  "/", "//",  "%",  "^",   "&",   "|",    "~",  "<<",     ">>",    "..",
    "==",  "~=", "<=", "<", "and", "or", "not", "#",   ",",    ";",  "=",      ".",     ":",
    "...", "(",  ")",  "{", "}",   "[",  "]",   "end", "then", "do", "return", "break", "nil"};

bool IsWord(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

size_t EndOfToken(std::string_view s, size_t at) {
  const char c = s[at];
  size_t end = at + 1;
  if (IsWord(c)) {
    const bool is_number = std::isdigit(static_cast<unsigned char>(c));
    while (end < s.size() && (IsWord(s[end]) || (is_number && s[end] == '.'))) ++end;
    return end;
  }
  if (c == '\'' || c == '"') {
    while (end < s.size() && s[end] != c && s[end] != '\n') end += s[end] == '\\' ? 2 : 1;
    return std::min(end + 1, s.size());
  }
  for (const std::string_view longer :
       {"...", "..", "==", "~=", "<=", ">=", "//", "::", "<<", ">>"}) {
    if (s.substr(at, longer.size()) == longer) return at + longer.size();
  }
  return end;
}

Tokens Split(std::string_view s) {
  Tokens tokens;
  for (size_t at = 0; at < s.size();) {
    if (std::isspace(static_cast<unsigned char>(s[at]))) {
      ++at;
      continue;
    }
    const size_t end = EndOfToken(s, at);
    tokens.emplace_back(s.substr(at, end - at));
    at = end;
  }
  return tokens;
}

std::string Join(const Tokens& tokens) {
  std::string text;
  for (const std::string& token : tokens) {
    if (!text.empty() && (IsWord(text.back()) || !IsWord(token[0]))) text += ' ';
    text += token;
  }
  return text;
}

// What a token adds to how deep blocks and brackets are. The `do` of a loop counts as its begin.
int Depth(const std::string& token) {
  for (const char* open : {"(", "{", "[", "function", "do", "if", "repeat"}) {
    if (token == open) return 1;
  }
  for (const char* close : {")", "}", "]", "end", "until"}) {
    if (token == close) return -1;
  }
  return 0;
}

class Mutator {
 public:
  Mutator(std::string_view text, uint32_t seed) : tokens_(Split(text)), random_(seed) {}

  void Change() {
    for (size_t n = 1 + Below(3); n > 0; --n) ChangeOnce();
  }
  // A piece of another script somewhere in this one.
  void Take(std::string_view other) {
    const Tokens from = Split(other);
    if (from.empty()) return;
    const size_t begin = Below(from.size());
    Insert(Tokens(from.begin() + static_cast<long>(begin),
                  from.begin() + static_cast<long>(EndOfWhole(from, begin))));
  }
  size_t WriteTo(uint8_t* data, size_t max_size) const {
    const std::string text = Join(tokens_).substr(0, max_size);
    std::memcpy(data, text.data(), text.size());
    return text.size();
  }

 private:
  size_t Below(size_t n) { return random_() % n; }
  template <class T, size_t n>
  const T& OneOf(const T (&list)[n]) {
    return list[Below(n)];
  }

  // From a token, as far as what it opens is closed, and perhaps some more of the same depth.
  size_t EndOfWhole(const Tokens& tokens, size_t begin) {
    size_t end = begin;
    int depth = 0;
    for (size_t more = Below(6); end < tokens.size(); ++end) {
      depth += Depth(tokens[end]);
      if (depth < 0) break;
      if (depth == 0 && more-- == 0) return end + 1;
    }
    return std::max(end, begin + 1);
  }

  void Insert(const Tokens& what) {
    tokens_.insert(tokens_.begin() + static_cast<long>(Below(tokens_.size() + 1)), what.begin(),
                   what.end());
  }

  std::string Alike(const std::string& token) {
    if (std::isdigit(static_cast<unsigned char>(token[0]))) return OneOf(kNumbers);
    if (token[0] == '\'' || token[0] == '"') return OneOf(kStrings);
    if (!IsWord(token[0]) || Depth(token) != 0) return OneOf(kOperators);
    for (int i = 0; i < 8; ++i) {  // a name that is there already means something
      const std::string& other = tokens_[Below(tokens_.size())];
      if (IsWord(other[0]) && Depth(other) == 0) return other;
    }
    return token;
  }

  void ChangeOnce() {
    if (tokens_.empty()) return Insert(Split(OneOf(kPieces)));
    const size_t begin = Below(tokens_.size()), end = EndOfWhole(tokens_, begin);
    const auto from = tokens_.begin() + static_cast<long>(begin);
    const auto to = tokens_.begin() + static_cast<long>(end);
    switch (Below(7)) {
      case 0:
        *from = Alike(*from);
        return;
      case 1:
        tokens_.erase(from, to);
        return;
      case 2:
        return Insert(Tokens(from, to));
      case 3: {
        const Tokens moved(from, to);
        tokens_.erase(from, to);
        return Insert(moved);
      }
      case 4: {
        const Tokens piece = Split(OneOf(kPieces));
        *from = piece[0];
        tokens_.insert(from + 1, piece.begin() + 1, piece.end());
        return;
      }
      case 5: {
        const auto& wrapper = OneOf(kWrappers);
        const Tokens before = Split(wrapper[0]), after = Split(wrapper[1]);
        tokens_.insert(to, after.begin(), after.end());
        tokens_.insert(tokens_.begin() + static_cast<long>(begin), before.begin(), before.end());
        return;
      }
      default:
        return Insert(Split(OneOf(kPieces)));
    }
  }

  Tokens tokens_;
  std::minstd_rand random_;
};

std::string_view Text(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  if (seed % 8 == 0) return LLVMFuzzerMutate(data, size, max_size);  // the parser's turn
  Mutator mutator(Text(data, size), seed);
  mutator.Change();
  return mutator.WriteTo(data, max_size);
}

extern "C" size_t LLVMFuzzerCustomCrossOver(const uint8_t* a, size_t a_size, const uint8_t* b,
                                            size_t b_size, uint8_t* out, size_t max_size,
                                            unsigned int seed) {
  Mutator mutator(Text(a, a_size), seed);
  mutator.Take(Text(b, b_size));
  return mutator.WriteTo(out, max_size);
}
