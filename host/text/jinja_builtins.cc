// Lookup and calling of builtins, the global functions, and the methods of containers.
#include "text/jinja_builtins.h"

#include <algorithm>
#include <ctime>

#include "text/jinja_ops.h"
#include "text/jinja_print.h"

namespace minnow::text::jinja {
namespace {

const Builtin* Find(std::span<const Builtin> table, std::string_view name) {
  const auto it =
      std::find_if(table.begin(), table.end(), [&](const Builtin& b) { return b.name == name; });
  return it == table.end() ? nullptr : &*it;
}

bool InList(std::string_view list, std::string_view word) {
  for (size_t pos = 0; pos < list.size();) {
    const size_t end = std::min(list.find(' ', pos), list.size());
    if (list.substr(pos, end - pos) == word) return true;
    pos = end + 1;
  }
  return false;
}

// Global functions.

Result<Value> Range(const Invocation& call) {
  constexpr int64_t kMaxRange = 100000;  // the sandbox's own limit
  MNW_ASSIGN(const int64_t first, IntParam(call, 0, 0));
  MNW_ASSIGN(const int64_t second, IntParam(call, 1, 0));
  MNW_ASSIGN(const int64_t step, IntParam(call, 2, 1));
  const int64_t start = call.params[1] ? first : 0;
  const int64_t stop = call.params[1] ? second : first;
  if (step == 0) return Error(Code::kInvalid, "range() step must not be zero");
  std::vector<Value> items;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (items.size() == static_cast<size_t>(kMaxRange)) {
      return Error(Code::kExhausted, "a range exceeds its limit of {} elements", kMaxRange);
    }
    items.push_back(Value::Int(i));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return MakeSequence(Sequence::Kind::kRange, std::move(items), call.meter());
}

// dict(mapping or pairs, name=value, ...).
Result<Dict> BuildDict(const Invocation& call) {
  Dict dict;
  const auto& positional = call.args.positional;
  if (positional.size() > 1) return Error(Code::kInvalid, "expected at most one argument");
  if (!positional.empty() && positional[0].dict()) {
    dict = *positional[0].dict();
  } else if (!positional.empty()) {
    MNW_ASSIGN(const std::vector<Value> pairs, Iterate(positional[0], call.meter()));
    for (const Value& pair : pairs) {
      MNW_ASSIGN(std::vector<Value> parts, Iterate(pair, call.meter()));
      if (parts.size() != 2 || !Dict::IsKey(parts[0])) {
        return Error(Code::kInvalid, "a dict is made of pairs of a key and a value");
      }
      dict.Set(std::move(parts[0]), std::move(parts[1]));
    }
  }
  for (const auto& [name, value] : call.args.named) dict.Set(Value::Str(name), value);
  return dict;
}

Result<Value> GlobalDict(const Invocation& call) {
  MNW_ASSIGN(Dict dict, BuildDict(call));
  return MakeDict(std::move(dict), call.meter());
}

Result<Value> GlobalNamespace(const Invocation& call) {
  MNW_ASSIGN(const Dict dict, BuildDict(call));
  MNW_TRY(call.meter().Step(dict.entries().size()));
  auto space = std::make_shared<Namespace>();
  for (const auto& [key, value] : dict.entries()) {
    if (!key.text()) return Error(Code::kInvalid, "names in a namespace must be strings");
    MNW_TRY(space->Set(key.text()->view(), value));
  }
  call.runtime.namespaces.push_back(space);
  return Value::Of(space);
}

Result<Value> RaiseException(const Invocation& call) {
  MNW_ASSIGN(const Text message, ToText(*call.params[0], call.meter()));
  return Status(Code::kInvalid, std::string(message.view()));
}

Result<Value> StrftimeNow(const Invocation& call) {
  MNW_ASSIGN(const Text* format, TextParam(call, 0));
  if (format->empty()) return Value::Str("");
  std::tm local{};
  localtime_r(&call.runtime.now, &local);
  char buffer[256];
  const std::string terminated(format->view());
  const size_t n = std::strftime(buffer, sizeof buffer, terminated.c_str(), &local);
  if (n == 0) return Error(Code::kInvalid, "strftime_now: '{}' gives no date", terminated);
  return Value::Str(Text({buffer, n}, format->origin()));
}

constexpr Builtin kGlobals[] = {
    {"range", "_start _stop? _step?", Range}, {"dict", "*", GlobalDict},
    {"namespace", "*", GlobalNamespace},      {"raise_exception", "message", RaiseException},
    {"strftime_now", "format", StrftimeNow},
};

// Methods of dicts and sequences.

Result<Value> DictGet(const Invocation& call) {
  MNW_TRY(CheckHashable(*call.params[0]));
  if (const Value* value = call.self.dict()->Find(*call.params[0])) return *value;
  return call.params[1] ? *call.params[1] : Value();
}

Result<Value> DictKeys(const Invocation& call) {
  std::vector<Value> keys;
  for (const auto& entry : call.self.dict()->entries()) keys.push_back(entry.first);
  return MakeSequence(Sequence::Kind::kKeys, std::move(keys), call.meter());
}

Result<Value> DictValues(const Invocation& call) {
  std::vector<Value> values;
  for (const auto& entry : call.self.dict()->entries()) values.push_back(entry.second);
  return MakeSequence(Sequence::Kind::kValues, std::move(values), call.meter());
}

Result<Value> DictItems(const Invocation& call) {
  std::vector<Value> items;
  for (const auto& [key, value] : call.self.dict()->entries()) {
    MNW_ASSIGN(Value pair, MakeSequence(Sequence::Kind::kTuple, {key, value}, call.meter()));
    items.push_back(std::move(pair));
  }
  return MakeSequence(Sequence::Kind::kItems, std::move(items), call.meter());
}

Result<Value> Copy(const Invocation& call) { return call.self; }  // containers never change

Result<Value> SequenceCount(const Invocation& call) {
  int64_t count = 0;
  for (const Value& item : call.self.sequence()->items) {
    MNW_ASSIGN(const bool equal, Equals(item, *call.params[0], call.meter()));
    count += equal;
  }
  return Value::Int(count);
}

Result<Value> SequenceIndex(const Invocation& call) {
  const auto& items = call.self.sequence()->items;
  for (size_t i = 0; i < items.size(); ++i) {
    MNW_ASSIGN(const bool equal, Equals(items[i], *call.params[0], call.meter()));
    if (equal) return Value::Int(static_cast<int64_t>(i));
  }
  return Error(Code::kInvalid, "index(): the value is not in the {}", TypeName(call.self));
}

constexpr Builtin kDictMethods[] = {
    {"get", "_key _default?", DictGet}, {"items", "", DictItems}, {"keys", "", DictKeys},
    {"values", "", DictValues},         {"copy", "", Copy},
};
constexpr Builtin kListMethods[] = {
    {"count", "_value", SequenceCount}, {"index", "_value", SequenceIndex}, {"copy", "", Copy}};
constexpr Builtin kTupleMethods[] = {{"count", "_value", SequenceCount},
                                     {"index", "_value", SequenceIndex}};

// What Python's type of a value offers beyond the table of methods.
struct TypeInfo {
  std::span<const Builtin> methods;
  std::string_view refused;      // by the sandbox: they change the object
  std::string_view unsupported;  // here
};

TypeInfo InfoOf(const Value& v) {
  if (v.text()) {
    return {StringMethods(), "",
            "casefold encode expandtabs format_map isidentifier istitle maketrans swapcase "
            "translate"};
  }
  if (v.dict()) return {kDictMethods, "clear pop popitem setdefault update", "fromkeys"};
  if (v.IsNumber()) {
    return {{},
            "",
            "as_integer_ratio bit_count bit_length conjugate denominator from_bytes fromhex hex "
            "imag is_integer numerator real to_bytes"};
  }
  if (const Sequence* sequence = v.sequence()) {
    switch (sequence->kind) {
      case Sequence::Kind::kList:
        return {kListMethods, "append clear extend insert pop remove reverse sort", ""};
      case Sequence::Kind::kTuple:
        return {kTupleMethods, "", ""};
      case Sequence::Kind::kRange:
        return {kTupleMethods, "", "start step stop"};
      default:
        return {{}, "", "isdisjoint mapping"};
    }
  }
  if (v.As<Callable>()) {
    return {{}, "", "arguments caller catch_kwargs catch_varargs explicit_caller name"};
  }
  return {};
}

Value BindMethod(const Builtin& method, const Value& self) {
  return Value::Of(std::make_shared<Callable>("method", DepthOf(self) + 1,
                                              [&method, self](Runtime& runtime, const Args& args) {
                                                return Invoke(method, runtime, self, args);
                                              }));
}

}  // namespace

const Builtin* FindFilter(std::string_view name) {
  const Builtin* filter = Find(ValueFilters(), name);
  return filter ? filter : Find(SequenceFilters(), name);
}

const Builtin* FindTest(std::string_view name) { return Find(Tests(), name); }

std::optional<Value> FindGlobal(std::string_view name) {
  const Builtin* global = Find(kGlobals, name);
  if (!global) return std::nullopt;
  return Value::Of(
      std::make_shared<Callable>("function", 0, [global](Runtime& runtime, const Args& args) {
        return Invoke(*global, runtime, Value(), args);
      }));
}

Result<std::optional<Value>> PythonAttribute(const Value& object, std::string_view name) {
  const TypeInfo info = InfoOf(object);
  const auto refused = [&]() -> std::optional<Value> {
    return Value::Missing(
        fmt::format("access to '{}' of a {} is unsafe: templates cannot change "
                    "values",
                    name, TypeName(object)));
  };
  if (name.starts_with("__") || InList(info.refused, name)) return refused();
  if (const Object* o = object.object()) {
    std::optional<Value> attribute = o->Attribute(name);
    if (attribute) return name.starts_with("_") ? refused() : std::move(attribute);
  }
  if (const Builtin* method = Find(info.methods, name)) {
    MNW_TRY(CheckNesting(DepthOf(object) + 1));
    return std::optional<Value>(BindMethod(*method, object));
  }
  if (InList(info.unsupported, name)) {
    return Error(Code::kUnsupported, "'{}' of a {} is not supported", name, TypeName(object));
  }
  return std::optional<Value>();
}

Result<Value> Invoke(const Builtin& builtin, Runtime& runtime, const Value& self,
                     const Args& args) {
  Invocation call{runtime, self, args};
  if (builtin.params == "*") return builtin.function(call);
  size_t count = 0, taken_by_name = 0;
  for (size_t pos = 0; pos < builtin.params.size(); ++count) {
    const size_t end = std::min(builtin.params.find(' ', pos), builtin.params.size());
    std::string_view param = builtin.params.substr(pos, end - pos);
    pos = end + 1;
    const bool optional = param.ends_with('?');
    if (optional) param.remove_suffix(1);
    if (count < args.positional.size()) call.params[count] = &args.positional[count];
    for (const auto& [name, value] : args.named) {
      if (name != param) continue;
      if (call.params[count]) {
        return Error(Code::kInvalid, "{}() got '{}' twice", builtin.name, name);
      }
      call.params[count] = &value;
      ++taken_by_name;
    }
    if (!call.params[count] && !optional) {
      return Error(Code::kInvalid, "{}() lacks its argument '{}'", builtin.name, param);
    }
  }
  if (args.positional.size() > count || taken_by_name < args.named.size()) {
    return Error(Code::kInvalid, "{}() got an argument that it does not take", builtin.name);
  }
  return builtin.function(call);
}

Result<Value> ApplyFilter(std::string_view name, Runtime& runtime, const Value& self,
                          const Args& args) {
  const Builtin* filter = FindFilter(name);
  if (!filter) return Error(Code::kUnsupported, "the filter '{}' is not supported", name);
  return Invoke(*filter, runtime, self, args);
}

Result<bool> ApplyTest(std::string_view name, Runtime& runtime, const Value& self,
                       const Args& args) {
  const Builtin* test = FindTest(name);
  if (!test) return Error(Code::kUnsupported, "the test '{}' is not supported", name);
  MNW_ASSIGN(const Value passed, Invoke(*test, runtime, self, args));
  return IsTrue(passed);
}

Result<Value> CallStringMethod(std::string_view name, Runtime& runtime, const Value& self,
                               const Args& args) {
  return Invoke(*Find(StringMethods(), name), runtime, self, args);
}

Result<int64_t> IntParam(const Invocation& call, size_t index, int64_t fallback) {
  int64_t n = 0;
  const Value* v = call.params[index];
  if (!v) return fallback;
  MNW_TRY(CheckDefined(*v));
  if (!v->ToInt(&n)) return Error(Code::kInvalid, "expected an integer, not {}", TypeName(*v));
  return n;
}

Result<const Text*> TextParam(const Invocation& call, size_t index) {
  const Value& v = *call.params[index];
  MNW_TRY(CheckDefined(v));
  if (!v.text()) return Error(Code::kInvalid, "expected a string, not {}", TypeName(v));
  return v.text();
}

bool BoolParam(const Invocation& call, size_t index) {
  return call.params[index] && IsTrue(*call.params[index]);
}

}  // namespace minnow::text::jinja
