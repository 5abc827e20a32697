// minnow.inspect: a value as people read it, in Lua's own notation.
#include <algorithm>
#include <array>
#include <cmath>
#include <tuple>
#include <unordered_map>

#include "script/lua_modules.h"
#include "script/lua_values.h"
#include "script/state.h"
#include "text/utf8.h"

namespace minnow::script {
namespace {

constexpr size_t kLineWidth = 100;
constexpr size_t kMaxBytes =
    64 << 10;  // a table of tables of tables is soon longer than any memory

bool IsIdentifier(std::string_view text) {
  constexpr std::array kReserved = {"and",   "break", "do",       "else", "elseif", "end",
                                    "false", "for",   "function", "goto", "if",     "in",
                                    "local", "nil",   "not",      "or",   "repeat", "return",
                                    "then",  "true",  "until",    "while"};
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text[0]))) return false;
  for (const char c : text) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_') return false;
  }
  return std::find(kReserved.begin(), kReserved.end(), text) == kReserved.end();
}

std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (size_t at = 0; at < text.size();) {
    const text::CodePoint c = text::DecodeUtf8(text, at);
    const std::string_view bytes = text.substr(at, c.length);
    at += c.length;
    if (c.value == '"' || c.value == '\\') {
      out.append("\\").append(bytes);
    } else if (c.value == '\n') {
      out += "\\n";
    } else if (c.value == '\t') {
      out += "\\t";
    } else if (c.value == '\r') {
      out += "\\r";
    } else if (c.value >= 0x20 && c.value != 0x7F && text::IsCodePoint(c.value)) {
      out += bytes;
    } else {
      for (const char byte : bytes) out += fmt::format("\\x{:02x}", static_cast<uint8_t>(byte));
    }
  }
  return out + "\"";
}

// Uses only what cannot raise; every level of nesting needs a few slots of the stack.
class Inspector {
 public:
  explicit Inspector(lua_State* L) : L_(L) {}

  std::string Value(int index, size_t indent) {
    std::string text = Render(index, indent);
    left_ -= std::min(left_, text.size());
    return text;
  }

 private:
  struct Entry {
    int rank;  // numbers, then strings, then whatever else is a key
    double number = 0;
    std::string key;    // as it is sorted
    std::string label;  // as it is shown
    std::string value;
    size_t place = SIZE_MAX;  // that minnow.ordered gave it
  };

  std::string Render(int index, size_t indent) {
    if (left_ == 0) return "...";
    switch (lua_type(L_, index)) {
      case LUA_TNIL:
        return "nil";
      case LUA_TBOOLEAN:
        return lua_toboolean(L_, index) ? "true" : "false";
      case LUA_TNUMBER:
        return Number(index);
      case LUA_TSTRING:
        return String(index);
      case LUA_TLIGHTUSERDATA:
        return lua_touserdata(L_, index) ? "<light userdata>" : "minnow.null";
      case LUA_TTABLE:
        return Table(lua_absindex(L_, index), indent);
    }
    return "<" + TypeName(index) + ">";
  }

  std::string Number(int index) {
    if (lua_isinteger(L_, index)) return std::to_string(lua_tointeger(L_, index));
    const double number = lua_tonumber(L_, index);
    if (std::isnan(number)) return "nan";
    if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
    std::string text = fmt::format("{:.14g}", number);
    if (text.find_first_of(".e") == std::string::npos) text += ".0";
    return text;
  }

  std::string_view Bytes(int index) {
    size_t size;
    const char* data = lua_tolstring(L_, index, &size);
    return {data, size};
  }

  std::string String(int index) {
    const std::string_view bytes = Bytes(index);
    return Quoted(bytes.substr(0, left_)) + (bytes.size() > left_ ? "..." : "");
  }

  std::string TypeName(int index) {
    std::string name = luaL_typename(L_, index);
    if (!lua_checkstack(L_, 4) || !lua_getmetatable(L_, index)) return name;
    const int type = PushRawField(L_, -1, "__name");
    if (type == LUA_TSTRING) name = Bytes(-1);
    lua_pop(L_, type == LUA_TNONE ? 1 : 2);
    return name;
  }

  std::string Table(int table, size_t indent) {
    const void* self = lua_topointer(L_, table);
    if (std::find(open_.begin(), open_.end(), self) != open_.end()) return "<a table above>";
    if (open_.size() == static_cast<size_t>(kMaxDepth) || !lua_checkstack(L_, 8)) return "...";
    open_.push_back(self);
    std::vector<Entry> entries = Entries(table, indent + 2);
    open_.pop_back();
    Sort(table, entries);
    return Layout(entries, indent);
  }

  std::vector<Entry> Entries(int table, size_t indent) {
    std::vector<Entry> entries;
    for (lua_pushnil(L_); lua_next(L_, table); lua_pop(L_, 1)) {
      Entry entry = Key(-2);
      entry.value = Value(-1, indent);
      entries.push_back(std::move(entry));
      left_ -= std::min<size_t>(left_, 4);  // what stands round it
      if (left_ > 0) continue;
      lua_pop(L_, 2);
      break;
    }
    return entries;
  }

  Entry Key(int index) {
    switch (lua_type(L_, index)) {
      case LUA_TNUMBER:
        return {0, lua_tonumber(L_, index), "", "[" + Number(index) + "] = ", ""};
      case LUA_TSTRING: {
        const std::string_view name = Bytes(index);
        return {1, 0, std::string(name),
                (IsIdentifier(name) ? std::string(name) : "[" + Quoted(name) + "]") + " = ", ""};
      }
      default: {
        std::string name = lua_isboolean(L_, index) ? (lua_toboolean(L_, index) ? "true" : "false")
                                                    : "<" + TypeName(index) + ">";
        return {2, 0, name, "[" + name + "] = ", ""};
      }
    }
  }

  // As JSON writes it: what minnow.ordered put in an order, then by name.
  void Sort(int table, std::vector<Entry>& entries) {
    const std::vector<std::string> order = OrderOf(L_, table);
    std::unordered_map<std::string_view, size_t> places;
    for (const std::string& name : order) places.emplace(name, places.size());
    for (Entry& entry : entries) {
      const auto found = entry.rank == 1 ? places.find(entry.key) : places.end();
      if (found != places.end()) entry.place = found->second;
    }
    std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return std::tie(a.place, a.rank, a.number, a.key) <
             std::tie(b.place, b.rank, b.number, b.key);
    });
    double position = 0;
    for (Entry& entry : entries) {
      if (entry.rank != 0 || entry.number != ++position) break;
      entry.label.clear();
    }
  }

  std::string Layout(const std::vector<Entry>& entries, size_t indent) const {
    if (entries.empty()) return left_ == 0 ? "{...}" : "{}";
    std::string line, block;
    bool fits = true;
    for (const Entry& entry : entries) {
      fits = fits && entry.value.find('\n') == std::string::npos;
      line += (line.empty() ? "" : ", ") + entry.label + entry.value;
      block += std::string(indent + 2, ' ') + entry.label + entry.value + ",\n";
    }
    if (fits && indent + line.size() <= kLineWidth) return "{ " + line + " }";
    return "{\n" + block + std::string(indent, ' ') + "}";
  }

  lua_State* L_;
  size_t left_ = kMaxBytes;
  std::vector<const void*> open_;  // the tables that are being shown
};

//---A value as people read it, in Lua's notation: strings in quotes, fields by name, long tables
//---over several lines. For messages and logs; minnow.json.encode is for programs. Ends with "..."
//---after 64 KB.
//---@param value any
//---@return string
//---function minnow.inspect(value)
int InspectValue(lua_State* L) {
  luaL_checkany(L, 1);
  State& state = State::From(L);
  state.text() = Inspect(L, 1);
  state.Charge(L, state.text().size());
  lua_pushlstring(L, state.text().data(), state.text().size());
  return 1;
}

}  // namespace

std::string Inspect(lua_State* L, int index) { return Inspector(L).Value(index, 0); }

void OpenInspect(lua_State* L) {
  lua_pushcfunction(L, InspectValue);
  lua_setfield(L, -2, "inspect");
}

}  // namespace minnow::script
