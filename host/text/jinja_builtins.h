// What a template can call: filters, tests, global functions and the methods of Python's types.
// Each is one line in a table of the file that implements it, with the names of its parameters:
//   "old new count?"   two parameters, and one that may be left out
//   "_chars?"          an underscore in front: by position only
//   "*"                any arguments; the function looks at them itself
// Threads: any; the tables are constant.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "text/jinja_value.h"

namespace minnow::text::jinja {

struct Invocation {
  Runtime& runtime;
  const Value& self;                     // what is filtered or tested, or whose method is called
  const Args& args;                      // as written, for "*"
  std::array<const Value*, 5> params{};  // as the table declares them; null where left out

  Meter& meter() const { return runtime.meter; }
};

struct Builtin {
  std::string_view name;
  std::string_view params;
  Result<Value> (*function)(const Invocation&);
};

// Null when there is none of that name.
const Builtin* FindFilter(std::string_view name);
const Builtin* FindTest(std::string_view name);

std::optional<Value> FindGlobal(std::string_view name);

// A method or attribute that Python's type of `object` has: null if none, undefined if the sandbox
// refuses it (it would change the object), an error if it exists but is not supported here.
Result<std::optional<Value>> PythonAttribute(const Value& object, std::string_view name);

// Matches the arguments with the builtin's parameters and calls it.
Result<Value> Invoke(const Builtin& builtin, Runtime& runtime, const Value& self, const Args& args);

// By name, with an error for one that does not exist.
Result<Value> ApplyFilter(std::string_view name, Runtime& runtime, const Value& self,
                          const Args& args);
Result<bool> ApplyTest(std::string_view name, Runtime& runtime, const Value& self,
                       const Args& args);

// REQUIRES: `self` is a string and the method exists.
Result<Value> CallStringMethod(std::string_view name, Runtime& runtime, const Value& self,
                               const Args& args);

// The tables, for the lookups above.
std::span<const Builtin> ValueFilters();     // jinja_filters.cc
std::span<const Builtin> SequenceFilters();  // jinja_sequence_filters.cc
std::span<const Builtin> Tests();            // jinja_tests.cc
std::span<const Builtin> StringMethods();    // jinja_str_methods.cc

// Parameters as builtins want them.
Result<int64_t> IntParam(const Invocation& call, size_t index, int64_t fallback);
Result<const Text*> TextParam(const Invocation& call, size_t index);  // REQUIRES: given
bool BoolParam(const Invocation& call, size_t index);                 // false when left out

}  // namespace minnow::text::jinja
