// A model file without a file: metadata by key and tensors by shape.
#pragma once

#include <minnow/abi/arch.h>

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "graph/builder.h"
#include "test_util.h"

namespace minnow::test {

class FakeFile {
 public:
  using Value = std::variant<int64_t, double, bool, std::string>;

  void Set(const std::string& key, int n) { keys[key] = int64_t{n}; }
  void Set(const std::string& key, double x) { keys[key] = x; }
  void Set(const std::string& key, const char* text) { keys[key] = std::string(text); }

  // Dims innermost first.
  void Add(const std::string& name, std::initializer_list<int64_t> dims,
           mnw_type type = MNW_TYPE_F32) {
    graph::TensorInfo t{name, type, {1, 1, 1, 1}};
    std::copy(dims.begin(), dims.end(), t.ne.begin());
    tensors.push_back(t);
  }
  graph::TensorInfo& Tensor(std::string_view name) {
    for (graph::TensorInfo& t : tensors) {
      if (t.name == name) return t;
    }
    FAIL("no such tensor");
    return tensors.front();
  }

  mnw_metadata metadata() const {
    mnw_metadata m{};
    m.size = sizeof m;
    m.self = this;
    m.get_i64 = &Get<int64_t, int64_t>;
    m.get_f64 = &GetF64;
    m.get_bool = &Get<bool, int>;
    m.get_string = &GetString;
    m.get_element_i64 = [](const void*, const char*, uint64_t, int64_t*) -> int {
      return MNW_NOT_FOUND;
    };
    m.get_element_f64 = [](const void*, const char*, uint64_t, double*) -> int {
      return MNW_NOT_FOUND;
    };
    m.has_tensor = [](const void* self, const char* name) -> int {
      for (const graph::TensorInfo& t : static_cast<const FakeFile*>(self)->tensors) {
        if (t.name == name) return 1;
      }
      return 0;
    };
    return m;
  }

  std::map<std::string, Value> keys;
  std::vector<graph::TensorInfo> tensors;

 private:
  static const Value* Find(const void* self, const char* key) {
    const auto& keys = static_cast<const FakeFile*>(self)->keys;
    const auto it = keys.find(key);
    return it == keys.end() ? nullptr : &it->second;
  }
  template <class T, class Out>
  static int Get(const void* self, const char* key, Out* out) {
    const Value* v = Find(self, key);
    if (!v) return MNW_NOT_FOUND;
    const T* held = std::get_if<T>(v);
    if (!held) return MNW_INVALID;
    *out = *held;
    return MNW_OK;
  }
  static int GetF64(const void* self, const char* key, double* out) {
    int64_t n;
    if (Get<int64_t>(self, key, &n) != MNW_OK) return Get<double>(self, key, out);
    *out = static_cast<double>(n);
    return MNW_OK;
  }
  static int GetString(const void* self, const char* key, const char** out) {
    const Value* v = Find(self, key);
    if (!v) return MNW_NOT_FOUND;
    const auto* text = std::get_if<std::string>(v);
    if (!text) return MNW_INVALID;
    *out = text->c_str();
    return MNW_OK;
  }
};

}  // namespace minnow::test
