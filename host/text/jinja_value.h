// The values of a chat template: Python's, as far as templates can see them.
//
// Containers are immutable once built, as the sandbox of the reference implementation demands,
// and shared. Whatever holds other values knows how deep it nests, and the Make functions refuse
// more than kMaxNesting levels, so that printing, comparing and freeing may recurse.
// Threads: values belong to one rendering, but for the constants of a compiled template.
#pragma once

#include <cstdint>
#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"
#include "text/jinja_meter.h"
#include "text/jinja_text.h"

namespace minnow::text::jinja {

inline constexpr int kMaxNesting = 100;

struct Sequence;
class Dict;
struct Iterator;
struct Object;
struct None {};

// The value of a name or attribute that does not exist: prints as nothing, iterates as empty, is
// false; everything else on it is an error that says what is missing.
struct Undefined {
  std::shared_ptr<const std::string> why;
};

class Value {
 public:
  using Rep = std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const Text>,
                           std::shared_ptr<const Sequence>, std::shared_ptr<const Dict>,
                           std::shared_ptr<Iterator>, std::shared_ptr<Object>>;

  Value() : rep_(None{}) {}
  explicit Value(Rep rep) : rep_(std::move(rep)) {}

  static Value Missing(std::string why) {
    return Value(Rep(Undefined{std::make_shared<const std::string>(std::move(why))}));
  }
  static Value Bool(bool b) { return Value(Rep(std::in_place_type<bool>, b)); }
  static Value Int(int64_t n) { return Value(Rep(std::in_place_type<int64_t>, n)); }
  static Value Float(double d) { return Value(Rep(std::in_place_type<double>, d)); }
  static Value Str(Text text) { return Value(Rep(std::make_shared<const Text>(std::move(text)))); }
  static Value Str(std::string_view literal) { return Str(Text(literal, Origin::kTemplate)); }
  static Value Of(std::shared_ptr<Object> object) { return Value(Rep(std::move(object))); }

  template <class T>
  bool Is() const {
    return std::holds_alternative<T>(rep_);
  }
  const Text* text() const { return Shared<const Text>(); }
  const Sequence* sequence() const { return Shared<const Sequence>(); }
  const Dict* dict() const { return Shared<const Dict>(); }
  Iterator* iterator() const { return Shared<Iterator>(); }
  Object* object() const { return Shared<Object>(); }
  template <class T>
  T* As() const {  // the object as a T, or null
    return dynamic_cast<T*>(object());
  }
  const double* number() const { return std::get_if<double>(&rep_); }

  // An int as Python sees it: bools are ints. False when it is neither.
  bool ToInt(int64_t* n) const;
  bool IsInt() const { return Is<int64_t>() || Is<bool>(); }
  bool IsNumber() const { return IsInt() || Is<double>(); }
  double AsDouble() const;  // REQUIRES: IsNumber()

  const Rep& rep() const { return rep_; }

 private:
  template <class T>
  T* Shared() const {
    const auto* p = std::get_if<std::shared_ptr<T>>(&rep_);
    return p ? p->get() : nullptr;
  }

  Rep rep_;
};

// Lists, tuples, ranges and the views of a dict: one thing to a template, but for how they print,
// compare and which operations they know.
struct Sequence {
  enum class Kind { kList, kTuple, kRange, kKeys, kValues, kItems };
  Kind kind;
  std::vector<Value> items;
  int depth;

  bool indexable() const {
    return kind == Kind::kList || kind == Kind::kTuple || kind == Kind::kRange;
  }
};

Result<Value> MakeSequence(Sequence::Kind kind, std::vector<Value> items, Meter& meter);
inline Result<Value> MakeList(std::vector<Value> items, Meter& meter) {
  return MakeSequence(Sequence::Kind::kList, std::move(items), meter);
}

// Keys are scalars: strings, numbers, bools, None. 1, 1.0 and True are one key, as in Python.
class Dict {
 public:
  using Entry = std::pair<Value, Value>;

  const std::vector<Entry>& entries() const { return entries_; }
  const Value* Find(const Value& key) const;
  const Value* Find(std::string_view key) const;
  void Set(Value key, Value value);  // REQUIRES: IsKey(key)
  int depth() const { return depth_; }

  static bool IsKey(const Value& v) { return v.text() || v.IsNumber() || v.Is<None>(); }

 private:
  static std::string Hashable(const Value& key);

  std::vector<Entry> entries_;
  std::unordered_map<std::string, size_t> index_;
  int depth_ = 1;
};

Result<Value> MakeDict(Dict dict, Meter& meter);

// What filters such as `map` return: it can be walked once.
struct Iterator {
  std::vector<Value> items;
  int depth;
  size_t next = 0;
};
Result<Value> MakeIterator(std::vector<Value> items, Meter& meter);

// Things with an identity: namespaces, macros, functions and the `loop` variable.
struct Object {
  Object(const char* type, int depth) : type(type), depth(depth) {}
  virtual ~Object() = default;
  virtual std::optional<Value> Attribute(std::string_view name) const = 0;

  const char* const type;
  const int depth;
};

int DepthOf(const Value& v);  // levels of values within values; 0 for a scalar
Status CheckNesting(int depth);

// Counts as flat, whatever it holds: see Runtime.
struct Namespace final : Object {
  Namespace() : Object("namespace", 0) {}
  std::optional<Value> Attribute(std::string_view name) const override;
  Status Set(std::string_view name, Value value);  // refuses names that start with an underscore

  std::map<std::string, Value, std::less<>> attributes;
};

struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// What functions, filters and tests may reach. Namespaces are the only values that can form a cycle
// by themselves, so they are listed here and emptied when the rendering ends.
struct Runtime {
  Meter meter;
  std::time_t now;
  std::vector<std::shared_ptr<Namespace>> namespaces;
};

struct Callable final : Object {
  using Function = std::function<Result<Value>(Runtime&, const Args&)>;

  // `depth`: that of the values which `function` holds on to.
  Callable(const char* type, int depth, Function function)
      : Object(type, depth), function(std::move(function)) {}
  std::optional<Value> Attribute(std::string_view) const override { return std::nullopt; }

  const Function function;
};

const char* TypeName(const Value& v);  // Python's: "str", "list", "NoneType", ...
bool IsTrue(const Value& v);

// len(v), or an error for what has no length.
Result<size_t> Length(const Value& v);

// The elements that a `for` over `v` would see; an Iterator is used up.
Result<std::vector<Value>> Iterate(const Value& v, Meter& meter);
bool IsIterable(const Value& v);

// An error for what Python refuses as a key: lists, dicts and their views.
Status CheckHashable(const Value& v);

// An error for the use of an undefined value; ok for all others.
Status CheckDefined(const Value& v);

}  // namespace minnow::text::jinja
