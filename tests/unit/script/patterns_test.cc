// Our patterns do what Lua's do: every call gives the same results or errors as Lua's own library
// does, on the manual's cases and on many made-up ones.
#include <cstdint>
#include <lua.hpp>
#include <sstream>

#include "script/script_fixture.h"

using minnow::Code;
using minnow::test::ScriptFixture;

namespace {

// Lua with its own libraries, as the oracle.
struct PlainLua {
  lua_State* L = luaL_newstate();
  PlainLua() { luaL_openlibs(L); }
  ~PlainLua() { lua_close(L); }

  // The text that the chunk returns.
  std::string Run(const std::string& chunk) {
    CHECK_TEXT(luaL_dostring(L, chunk.c_str()) == LUA_OK, lua_tostring(L, -1));
    size_t size;
    const char* text = lua_tolstring(L, -1, &size);
    std::string out(text, size);
    lua_settop(L, 0);
    return out;
  }
};

// What every call gave, one line each. `cases` is the body of a function that calls try(f, ...).
std::string Chunk(const std::string& cases) {
  return "local lines = {} "
         "local function show(...) local t = table.pack(...) "
         "  for i = 1, t.n do t[i] = ('%q'):format(t[i]) end return table.concat(t, ' ') end "
         "local function try(f, ...) "
         "  local r = table.pack(pcall(f, ...)) "
         "  if not r[1] then r[2] = r[2]:gsub('^.-:%d+: ', ''):gsub(' in .*', '') end "
         "  lines[#lines + 1] = show(table.unpack(r, 1, r.n)) end "
         "local function all(...) local out = {} "
         "  for a, b, c in string.gmatch(...) do out[#out + 1] = show(a, b, c) end "
         "  return table.concat(out, '; ') end " +
         cases + " return table.concat(lines, '\\n')";
}

}  // namespace

TEST_GROUP(Patterns) {
  ScriptFixture f;
  PlainLua plain;

  void CheckSame(const std::string& cases) {
    const std::string chunk = Chunk(cases);
    const std::string expected = plain.Run(chunk);
    const auto actual = f.Run(chunk);
    CHECK_OK(actual.status);
    std::istringstream theirs(expected), ours(actual.value.get<std::string>());
    size_t n_lines = 0;
    for (std::string line, our_line; std::getline(theirs, line); ++n_lines) {
      CHECK(static_cast<bool>(std::getline(ours, our_line)));
      STRCMP_EQUAL(line.c_str(), our_line.c_str());
    }
    CHECK(n_lines > 50);
  }
};

TEST(Patterns, FindAndMatchAsLuaDoes) {
  CheckSame(R"(
    for _, p in ipairs { '', 'a', 'b', 'lo', '^h', '^l', 'o$', '$', '^$', 'l+', 'l*', 'l-', 'l-o', 'l?',
        '(l)(l)', '()ll()', '(h)(.)(.*)', '.-', '[a-f]+', '[^a-f]+', '[]]', '[^]]', '[a-]', '[%a-z]',
        '[%]]', '%a+', '%A', '%s*', '%bxy', '%b()', '%f[%w]%w+', '%f[%W]', '(.)%1', '(l)%1', 'x*', '%.',
        '((h)(e))', '^', 'a^', 'h$e', '[%d%s]', '[0-9a-zA-Z_]+', '%x+', '%u', '%p', '%c', '%g+', '[.]', '-',
        '%-', 'h-e', '.', '..', '([^,]*),?' } do
      for _, s in ipairs { 'hello', 'hello world', '', 'a', 'x(y(z))w', 'THE (quick) fox', 'a,b,,c', 'l-l',
          'ab]cd', 'a\0b', '  x  ' } do
        try(string.find, s, p) try(string.match, s, p)
        for _, init in ipairs { 0, 1, 2, -1, -3, 5, 6, 7, 100, -100 } do
          try(string.find, s, p, init) try(string.match, s, p, init) try(string.find, s, p, init, true)
        end
        try(all, s, p)
        try(all, s, p, 2)
        try(string.gsub, s, p, '<%0>') try(string.gsub, s, p, '%1-', 2) try(string.gsub, s, p, '')
        try(string.gsub, s, p, { h = 'H', l = false, a = 1 })
        try(string.gsub, s, p, function(x) if x == 'l' then return 'LL' end end)
        try(string.gsub, s, p, '.', 0)
      end
    end)");
}

TEST(Patterns, RefuseWhatLuaRefuses) {
  CheckSame(R"(
    for _, p in ipairs { '%', 'a%', '[a', '[', '[^', '[]', '[a%', '%b', '%bx', '%f', '%fa', '(', ')', '(()', '())',
        '%1', '(%1)', '%0', '()%1', ('('):rep(33) .. (')'):rep(33), ('('):rep(32) .. (')'):rep(32),
        ('a?'):rep(300), ('(a'):rep(40) } do
      try(string.find, 'aaa', p) try(string.match, 'aaa', p) try(all, 'aaa', p) try(string.gsub, 'aaa', p, 'b')
    end
    for _, r in ipairs { '%', '%x', '%2', '%9', '%%', '%0%1', 'a%' } do try(string.gsub, 'abc', '(b)', r) end
    try(string.gsub, 'abc', 'b') try(string.gsub, 'abc', 'b', true) try(string.gsub, 'abc', 'b', print)
    try(string.gsub, 'abc', 'b', function() return {} end) try(string.gsub, 'abc', '()b', '%1')
    try(string.gsub, 'abc', 'b', 7) try(string.gsub, 5, '5', 6) try(string.gsub, 'abc', 'b', 'x', 'y')
    try(string.find) try(string.find, 'a') try(string.find, {}, 'a') try(string.match, 'a', 'a', {})
    try(string.gmatch, 'a') try(string.find, 'a', 'a', 1.5))");
}

TEST(Patterns, AgreeOnMadeUpOnes) {
  CheckSame(R"(
    local seed = 1
    local function random(n) seed = (seed * 1103515245 + 12345) & 0x7fffffff return (seed >> 8) % n + 1 end
    local parts = { 'a', 'b', '.', '%a', '[ab]', '[^a]', '(', ')', '*', '+', '-', '?', '^', '$', '%1', '%b()', '%f[a]',
                    '()', '[a-b]', '%', '[', ']', 'c' }
    local letters = { 'a', 'b', 'c', '(', ')', '' }
    for _ = 1, 4000 do
      local p, s = {}, {}
      for i = 1, random(6) do p[i] = parts[random(#parts)] end
      for i = 1, random(9) do s[i] = letters[random(#letters)] end
      p, s = table.concat(p), table.concat(s)
      try(string.find, s, p) try(string.gsub, s, p, '<%1>') try(all, s, p)
      try(string.match, s, p, random(4) - 2)
    end)");
}

TEST(Patterns, StopWhenTheyBacktrackWithoutEnd) {
  for (const char* body :
       {"('a'):rep(300):find(('a-'):rep(4) .. 'b')", "('a'):rep(3000):match(('.-'):rep(6) .. 'b')",
        "('a'):rep(3000):gsub(('a*'):rep(6) .. 'b', '')",
        "for _ in ('a'):rep(3000):gmatch(('[%a_]-'):rep(6) .. 'b') do end",
        "('('):rep(3000):gsub('%b()', '')  while true do ('('):rep(9000):find('%b()') end",
        "pcall(string.find, ('a'):rep(3000), ('a-'):rep(6) .. 'b') return 1"}) {
    f.options.budget.instructions = 1'000'000;
    CHECK_ERROR(Code::kExhausted, "budget of 1000000 instructions", f.RunToStatus(body));
  }
}
