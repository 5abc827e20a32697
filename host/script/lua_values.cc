#include "script/lua_values.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "script/state.h"
#include "text/utf8.h"

namespace minnow::script {
namespace {

using Json = nlohmann::ordered_json;

const char kArrayMetatable = 0;  // its address is the registry key

std::string_view StringAt(lua_State* L, int index) {  // REQUIRES: a string, not a number
  size_t size;
  const char* data = lua_tolstring(L, index, &size);
  return {data, size};
}

std::string WellFormed(std::string_view bytes) {
  std::string out;
  for (size_t at = 0; at < bytes.size();) {
    const size_t good = text::WellFormedLength(bytes, at);
    out.append(bytes, at, good);
    at += good;
    if (at == bytes.size()) break;
    out += text::kReplacement;
    at += text::DecodeUtf8(bytes, at).length;
  }
  return out;
}

// Reads one value; `path_` names the part that is being read, for errors.
class Reader {
 public:
  Reader(lua_State* L, std::string_view what) : L_(L), path_(what) {}

  Result<Json> Read(int index, int depth) {
    const int type = lua_type(L_, index);
    MNW_TRY(Count(type == LUA_TSTRING ? lua_rawlen(L_, index) : 0));
    switch (type) {
      case LUA_TNIL:
        return Json(nullptr);
      case LUA_TBOOLEAN:
        return Json(lua_toboolean(L_, index) != 0);
      case LUA_TSTRING:
        return Json(WellFormed(StringAt(L_, index)));
      case LUA_TNUMBER:
        return ReadNumber(index);
      case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(L_, index) == nullptr) return Json(nullptr);  // minnow.null
        break;
      case LUA_TTABLE:
        return ReadTable(lua_absindex(L_, index), depth);
    }
    return Error(Code::kInvalid, "{} is a {}, which JSON cannot hold", path_,
                 luaL_typename(L_, index));
  }

 private:
  using Named = std::vector<std::pair<std::string, Json>>;
  using Listed = std::vector<std::pair<lua_Integer, Json>>;

  // A table that stands in many places is written as often, so the text may be larger than memory.
  Status Count(size_t n_bytes) {
    State& state = State::From(L_);
    n_bytes_ += n_bytes + sizeof(Json);
    if (n_bytes_ > state.environment().budget.memory_bytes) {
      return Error(Code::kExhausted, "{} is part of a value that is larger than {} bytes as JSON",
                   path_, state.environment().budget.memory_bytes);
    }
    if (state.Spend(10 + n_bytes / 8)) return {};
    return Error(Code::kExhausted, "the budget is used up");
  }

  Result<Json> ReadNumber(int index) {
    if (lua_isinteger(L_, index)) return Json(lua_tointeger(L_, index));
    const double number = lua_tonumber(L_, index);
    if (!std::isfinite(number)) {
      return Error(Code::kInvalid, "{} is infinite or no number, which JSON cannot hold", path_);
    }
    return Json(number);
  }

  Result<Json> ReadTable(int table, int depth) {
    if (depth == kMaxDepth || !lua_checkstack(L_, 8)) {
      return Error(Code::kInvalid, "{} is nested deeper than {} levels: does it contain itself?",
                   path_.substr(0, 80), kMaxDepth);
    }
    Named named;
    Listed listed;
    for (lua_pushnil(L_); lua_next(L_, table); lua_pop(L_, 1)) {
      MNW_TRY(ReadEntry(depth, named, listed));
    }
    if (named.empty() && (!listed.empty() || IsArray(table))) return List(std::move(listed));
    if (!listed.empty()) {
      return Error(Code::kInvalid, "{} has both numbered and named entries, which JSON cannot hold",
                   path_);
    }
    return Object(table, std::move(named));
  }

  // The entry whose key and value are on top of the stack.
  Status ReadEntry(int depth, Named& named, Listed& listed) {
    const size_t length = path_.size();
    const bool is_string = lua_type(L_, -2) == LUA_TSTRING;
    if (is_string) {
      MNW_TRY(Count(lua_rawlen(L_, -2)));
      path_.append(".").append(StringAt(L_, -2).substr(0, kMaxNameInErrors));
    } else if (lua_isinteger(L_, -2)) {
      path_ += fmt::format("[{}]", lua_tointeger(L_, -2));
    } else {
      return Error(Code::kInvalid, "{} has a {} as a key, which JSON cannot hold", path_,
                   luaL_typename(L_, -2));
    }
    MNW_ASSIGN(Json value, Read(-1, depth + 1));
    path_.resize(length);
    if (is_string) {
      named.emplace_back(WellFormed(StringAt(L_, -2)), std::move(value));
    } else {
      listed.emplace_back(lua_tointeger(L_, -2), std::move(value));
    }
    return {};
  }

  Result<Json> List(Listed listed) {
    std::sort(listed.begin(), listed.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    Json list = Json::array();
    for (auto& [position, value] : listed) {
      const auto expected = static_cast<lua_Integer>(list.size()) + 1;
      if (position != expected) {
        return Error(Code::kInvalid,
                     "{} has no entry {} but an entry {}: fill the gap with minnow.null", path_,
                     expected, position);
      }
      list.push_back(std::move(value));
    }
    return list;
  }

  Result<Json> Object(int table, Named named) {
    std::sort(named.begin(), named.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    Json object = Json::object();
    for (const std::string& name : OrderOf(L_, table)) {
      const auto found = std::lower_bound(
          named.begin(), named.end(), name,
          [](const auto& entry, const std::string& wanted) { return entry.first < wanted; });
      if (found != named.end() && found->first == name)
        object.emplace(name, std::move(found->second));
    }
    for (auto& [name, value] : named) object.emplace(name, std::move(value));  // unless it is there
    return object;
  }

  bool IsArray(int table) {
    if (!lua_getmetatable(L_, table)) return false;
    lua_rawgetp(L_, LUA_REGISTRYINDEX, &kArrayMetatable);
    const bool is_array = lua_rawequal(L_, -1, -2);
    lua_pop(L_, 2);
    return is_array;
  }

  static constexpr size_t kMaxNameInErrors = 80;

  lua_State* L_;
  std::string path_;
  size_t n_bytes_ = 0;
};

template <class Integer>
bool ReadCount(lua_State* L, int index, Integer* target) {
  int is_integer;
  const lua_Integer value = lua_tointegerx(L, index, &is_integer);
  if (lua_type(L, index) != LUA_TNUMBER || !is_integer || value < 0) return false;
  if (static_cast<uint64_t>(value) > std::numeric_limits<Integer>::max()) return false;
  *target = static_cast<Integer>(value);
  return true;
}

// Reads the value on top of the stack into the option, or says what it should have been.
const char* ReadOption(lua_State* L, const Option& option) {
  if (auto* const* target = std::get_if<float*>(&option.target)) {
    if (lua_type(L, -1) != LUA_TNUMBER) return "a number";
    **target = static_cast<float>(lua_tonumber(L, -1));
  } else if (auto* const* target = std::get_if<uint32_t*>(&option.target)) {
    if (!ReadCount(L, -1, *target)) return "an integer from 0 to 4294967295";
  } else if (auto* const* target = std::get_if<uint64_t*>(&option.target)) {
    if (!ReadCount(L, -1, *target)) return "an integer that is not negative";
  } else if (auto* const* target = std::get_if<std::string*>(&option.target)) {
    if (lua_type(L, -1) != LUA_TSTRING) return "a string";
    **target = StringAt(L, -1);
  } else if (auto* const* target = std::get_if<bool*>(&option.target)) {
    if (lua_type(L, -1) != LUA_TBOOLEAN) return "true or false";
    **target = lua_toboolean(L, -1) != 0;
  } else if (auto* const* target = std::get_if<std::optional<std::string>*>(&option.target)) {
    if (lua_type(L, -1) != LUA_TSTRING) return "a string";
    **target = StringAt(L, -1);
  } else {
    auto* strings = std::get<std::vector<std::string>*>(option.target);
    if (lua_type(L, -1) == LUA_TSTRING) {
      *strings = {std::string(StringAt(L, -1))};
    } else {
      auto list = ReadStrings(L, -1, option.name);
      if (!list.ok()) return "a string or a list of strings";
      *strings = *std::move(list);
    }
  }
  return nullptr;
}

std::string Names(std::initializer_list<Option> options) {
  std::string names;
  for (const Option& option : options) {
    if (!names.empty()) names += ", ";
    names += option.name;
  }
  return names;
}

// The entry whose key and value are on top of the stack.
Status ReadOptionEntry(lua_State* L, std::string_view call, std::initializer_list<Option> known) {
  if (lua_type(L, -2) != LUA_TSTRING) {
    return Error(Code::kInvalid, "{}: an option's name is a {}; options are named (known: {})",
                 call, luaL_typename(L, -2), Names(known));
  }
  const std::string_view name = StringAt(L, -2);
  const auto* option = std::find_if(
      known.begin(), known.end(), [&](const Option& candidate) { return candidate.name == name; });
  if (option == known.end()) {
    return Error(Code::kInvalid, "{}: unknown option '{}' (known: {})", call, name, Names(known));
  }
  if (auto* const* json = std::get_if<std::optional<Json>*>(&option->target)) {
    MNW_ASSIGN(**json, ToJson(L, -1, fmt::format("{}: option '{}'", call, name)));
    return {};
  }
  if (const char* expected = ReadOption(L, *option)) {
    return Error(Code::kInvalid, "{}: option '{}' should be {}, got {}", call, name, expected,
                 luaL_typename(L, -1));
  }
  return {};
}

}  // namespace

Result<Json> ToJson(lua_State* L, int index, std::string_view what) {
  const int top = lua_gettop(L);
  auto result = Reader(L, what).Read(index, 0);
  lua_settop(L, top);  // an error may leave keys behind
  return result;
}

namespace {

// Gives the table on top of the stack the order of this object's fields.
void SetOrder(lua_State* L, const Json& object) {
  lua_createtable(L, 0, 1);
  lua_createtable(L, static_cast<int>(object.size()), 0);
  lua_Integer i = 0;
  for (const auto& [name, member] : *object.get_ptr<const Json::object_t*>()) {
    lua_pushlstring(L, name.data(), name.size());
    lua_rawseti(L, -2, ++i);
  }
  lua_setfield(L, -2, "__order");
  lua_setmetatable(L, -2);
}

void Push(lua_State* L, const Json& value, bool in_order) {
  luaL_checkstack(L, 6, "nested too deeply");
  switch (value.type()) {
    case Json::value_t::boolean:
      lua_pushboolean(L, *value.get_ptr<const bool*>());
      break;
    case Json::value_t::number_integer:
      lua_pushinteger(L, *value.get_ptr<const Json::number_integer_t*>());
      break;
    case Json::value_t::number_unsigned: {
      const uint64_t number = *value.get_ptr<const Json::number_unsigned_t*>();
      if (number <= static_cast<uint64_t>(LUA_MAXINTEGER)) {
        lua_pushinteger(L, static_cast<lua_Integer>(number));
      } else {
        lua_pushnumber(L, static_cast<lua_Number>(number));
      }
      break;
    }
    case Json::value_t::number_float:
      lua_pushnumber(L, *value.get_ptr<const Json::number_float_t*>());
      break;
    case Json::value_t::string: {
      const auto& text = *value.get_ptr<const std::string*>();
      lua_pushlstring(L, text.data(), text.size());
      break;
    }
    case Json::value_t::array: {
      lua_createtable(L, static_cast<int>(value.size()), 0);
      for (size_t i = 0; i < value.size(); ++i) {
        Push(L, value[i], in_order);
        lua_rawseti(L, -2, static_cast<lua_Integer>(i) + 1);
      }
      PushArrayMetatable(L);
      lua_setmetatable(L, -2);
      break;
    }
    case Json::value_t::object: {
      lua_createtable(L, 0, static_cast<int>(value.size()));
      for (const auto& [name, member] : *value.get_ptr<const Json::object_t*>()) {
        lua_pushlstring(L, name.data(), name.size());
        Push(L, member, in_order);
        lua_rawset(L, -3);
      }
      if (in_order) SetOrder(L, value);
      break;
    }
    default:
      lua_pushlightuserdata(L, nullptr);  // null
  }
}

}  // namespace

void PushJson(lua_State* L, const Json& value) { Push(L, value, false); }
void PushOrderedJson(lua_State* L, const Json& value) { Push(L, value, true); }

int PushRawField(lua_State* L, int index, std::string_view name) {
  const int table = lua_absindex(L, index);
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING || StringAt(L, -2) != name) continue;
    lua_remove(L, -2);
    return lua_type(L, -1);
  }
  return LUA_TNONE;
}

Result<std::string_view> ReadString(lua_State* L, int index, std::string_view what) {
  if (lua_type(L, index) == LUA_TSTRING) return StringAt(L, index);
  return Error(Code::kInvalid, "{} should be a string, got {}", what, luaL_typename(L, index));
}

Result<std::vector<std::string>> ReadStrings(lua_State* L, int index, std::string_view what) {
  if (!lua_istable(L, index)) {
    return Error(Code::kInvalid, "{} should be a list of strings, got {}", what,
                 luaL_typename(L, index));
  }
  const int table = lua_absindex(L, index);
  std::vector<std::string> strings;
  for (lua_Integer i = 1, n = static_cast<lua_Integer>(lua_rawlen(L, table)); i <= n; ++i) {
    lua_rawgeti(L, table, i);
    const bool is_string = lua_type(L, -1) == LUA_TSTRING;
    if (is_string) strings.emplace_back(StringAt(L, -1));
    const char* type = luaL_typename(L, -1);
    lua_pop(L, 1);
    if (!is_string)
      return Error(Code::kInvalid, "{}[{}] should be a string, got {}", what, i, type);
  }
  return strings;
}

Status ReadOptions(lua_State* L, int index, std::string_view call,
                   std::initializer_list<Option> known) {
  if (lua_isnoneornil(L, index)) return {};
  if (!lua_istable(L, index)) {
    return Error(Code::kInvalid, "{}: options should be a table, got {}", call,
                 luaL_typename(L, index));
  }
  const int table = lua_absindex(L, index);
  Status status;
  for (lua_pushnil(L); status.ok() && lua_next(L, table); lua_pop(L, 1)) {
    status = ReadOptionEntry(L, call, known);
  }
  if (!status.ok()) lua_pop(L, 1);  // the key
  return status;
}

std::vector<std::string> OrderOf(lua_State* L, int table) {
  std::vector<std::string> order;
  if (!lua_getmetatable(L, table)) return order;
  const int type = PushRawField(L, -1, "__order");
  if (type == LUA_TTABLE) {
    for (lua_Integer i = 1; lua_rawgeti(L, -1, i) == LUA_TSTRING; ++i) {
      order.emplace_back(StringAt(L, -1));
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
  lua_pop(L, type == LUA_TNONE ? 1 : 2);
  return order;
}

void PushArrayMetatable(lua_State* L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &kArrayMetatable) != LUA_TNIL) return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_pushliteral(L, "minnow.array");
  lua_setfield(L, -2, "__metatable");
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &kArrayMetatable);
}

}  // namespace minnow::script
