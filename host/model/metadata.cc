#include "model/metadata.h"

namespace minnow::model {

namespace {

template <class T>
int Answer(const Result<std::optional<T>>& found, T* out) {
  if (!found.ok()) return MNW_INVALID;
  if (!*found) return MNW_NOT_FOUND;
  *out = **found;
  return MNW_OK;
}

}  // namespace

struct Metadata::Calls {
  static const Metadata& Self(const void* self) { return *static_cast<const Metadata*>(self); }

  static int I64(const void* self, const char* key, int64_t* out) {
    return Answer(Self(self).source_.FindI64(key), out);
  }
  // A float; an integer where a converter wrote one.
  static int F64(const void* self, const char* key, double* out) {
    const int code = Answer(Self(self).source_.FindF64(key), out);
    int64_t integer;
    if (code != MNW_INVALID || I64(self, key, &integer) != MNW_OK) return code;
    *out = static_cast<double>(integer);
    return MNW_OK;
  }
  static int Bool(const void* self, const char* key, int* out) {
    bool value;
    const int code = Answer(Self(self).source_.FindBool(key), &value);
    if (code == MNW_OK) *out = value;
    return code;
  }
  static int String(const void* self, const char* key, const char** out) {
    std::string_view value;
    const int code = Answer(Self(self).source_.FindString(key), &value);
    if (code == MNW_OK) *out = Self(self).strings_.try_emplace(key, value).first->second.c_str();
    return code;
  }
  static int ElementI64(const void* self, const char* key, uint64_t index, int64_t* out) {
    return Answer(Self(self).source_.ElementI64(key, index), out);
  }
  static int ElementF64(const void* self, const char* key, uint64_t index, double* out) {
    return Answer(Self(self).source_.ElementF64(key, index), out);
  }
  static int HasTensor(const void* self, const char* name) {
    return Self(self).source_.FindTensor(name) != nullptr;
  }
};

Metadata::Metadata(const Source& source) : source_(source) {
  abi_.size = sizeof abi_;
  abi_.self = this;
  abi_.get_i64 = Calls::I64;
  abi_.get_f64 = Calls::F64;
  abi_.get_bool = Calls::Bool;
  abi_.get_string = Calls::String;
  abi_.get_element_i64 = Calls::ElementI64;
  abi_.get_element_f64 = Calls::ElementF64;
  abi_.has_tensor = Calls::HasTensor;
}

}  // namespace minnow::model
