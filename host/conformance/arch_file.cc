#include "conformance/arch_file.h"

#include <algorithm>
#include <type_traits>
#include <utility>

namespace minnow::conformance {

namespace {

// A small model of each kind, consistent in itself. Keys by what follows the architecture's name.
struct MadeUpKey {
  std::string_view end;
  KeyValue value;
};
const MadeUpKey kKeys[] = {
    {"block_count", 2},
    {"context_length", 256},
    {"embedding_length", 64},
    {"feed_forward_length", 96},
    {"vocab_size", 80},
    {"attention.head_count", 4},
    {"attention.head_count_kv", 2},
    {"attention.key_length", 16},
    {"attention.value_length", 16},
    {"attention.layer_norm_rms_epsilon", 1e-5},
    {"attention.layer_norm_epsilon", 1e-5},
    {"rope.dimension_count", 16},
    {"rope.freq_base", 10000.0},
    {"ssm.conv_kernel", 4},
    {"ssm.inner_size", 128},
    {"ssm.state_size", 16},
    {"ssm.time_step_rank", 8},
    {"ssm.group_count", 2},
    {"expert_count", 4},
    {"expert_used_count", 2},
    {"expert_feed_forward_length", 96},
};

const KeyValue* FindMadeUp(std::string_view key) {
  const size_t dot = key.find('.');
  if (dot == std::string_view::npos) return nullptr;
  const auto* found = std::find_if(std::begin(kKeys), std::end(kKeys), [&](const MadeUpKey& k) {
    return k.end == key.substr(dot + 1);
  });
  return found == std::end(kKeys) ? nullptr : &found->value;
}

int Convert(const KeyValue& value, int64_t* out) {
  const auto* integer = std::get_if<int64_t>(&value);
  if (integer) *out = *integer;
  return integer ? MNW_OK : MNW_INVALID;
}
int Convert(const KeyValue& value, double* out) {
  const auto* real = std::get_if<double>(&value);
  const auto* integer = std::get_if<int64_t>(&value);
  if (real) *out = *real;
  if (integer) *out = static_cast<double>(*integer);
  return real || integer ? MNW_OK : MNW_INVALID;
}
int Convert(const KeyValue&, int*) { return MNW_INVALID; }  // no booleans are made up
int Convert(const KeyValue& value, const char** out) {
  const auto* text = std::get_if<std::string>(&value);
  if (text) *out = text->c_str();
  return text ? MNW_OK : MNW_INVALID;
}

// Element `index` of an array.
template <class T>
struct At {
  uint64_t index;
  T* out;
};
template <class T>
int Convert(const KeyValue& value, At<T>* out) {
  const auto* array = std::get_if<Elements>(&value);
  if (!array) return MNW_INVALID;
  if (out->index >= array->n) return MNW_NOT_FOUND;
  *out->out = static_cast<T>(array->value);
  return MNW_OK;
}

}  // namespace

struct ArchFile::Calls {
  static ArchFile& Self(const void* self) {
    return *static_cast<ArchFile*>(const_cast<void*>(self));
  }

  static int I64(const void* self, const char* key, int64_t* out) {
    return Self(self).Answer(Getter::kI64, key, out,
                             [&](const auto& m) { return m.get_i64(m.self, key, out); });
  }
  static int F64(const void* self, const char* key, double* out) {
    return Self(self).Answer(Getter::kF64, key, out,
                             [&](const auto& m) { return m.get_f64(m.self, key, out); });
  }
  static int Bool(const void* self, const char* key, int* out) {
    return Self(self).Answer(Getter::kBool, key, out,
                             [&](const auto& m) { return m.get_bool(m.self, key, out); });
  }
  static int String(const void* self, const char* key, const char** out) {
    return Self(self).Answer(Getter::kString, key, out,
                             [&](const auto& m) { return m.get_string(m.self, key, out); });
  }
  static int ElementI64(const void* self, const char* key, uint64_t index, int64_t* out) {
    At<int64_t> at{index, out};
    return Self(self).Answer(Getter::kElement, key, &at, [&](const auto& m) {
      return m.get_element_i64(m.self, key, index, out);
    });
  }
  static int ElementF64(const void* self, const char* key, uint64_t index, double* out) {
    At<double> at{index, out};
    return Self(self).Answer(Getter::kElement, key, &at, [&](const auto& m) {
      return m.get_element_f64(m.self, key, index, out);
    });
  }
  static int HasTensor(const void* self, const char* name) {
    ArchFile& file = Self(self);
    if (!file.HasTensor(name) && file.optional_ && !file.finished_) {
      file.tensors.push_back({name, MNW_TYPE_F32, {1, 1, 1, 1}});
      file.guesses_.insert(name);
    }
    return file.HasTensor(name);
  }
};

template <class T, class Base>
int ArchFile::Answer(Getter getter, const char* key, T* out, Base&& base) {
  int code = MNW_NOT_FOUND;
  if (const auto change = changes_.find(key); change != changes_.end()) {
    if (change->second) code = Convert(*change->second, out);
  } else if (metadata_) {
    code = base(metadata_->abi());
  } else if (const KeyValue* value = FindMadeUp(key)) {
    code = Convert(*value, out);
  }
  Asked& asked = asked_[key];
  asked.by.insert(getter);
  asked.answered |= code == MNW_OK;
  return code;
}

ArchFile ArchFile::MadeUp(bool optional) {
  ArchFile file;
  file.optional_ = optional;
  return file;
}

Result<ArchFile> ArchFile::Open(const std::string& path) {
  MNW_ASSIGN(std::unique_ptr<const model::Source> source, model::Source::Open(path));
  ArchFile file;
  file.source_ = std::move(source);
  file.metadata_ = std::make_shared<const model::Metadata>(*file.source_);
  file.tensors.assign(file.source_->tensors().begin(), file.source_->tensors().end());
  return file;
}

std::string ArchFile::architecture() const {
  if (made_up()) return "";
  const auto name = source_->FindString("general.architecture");
  return name.ok() && *name ? std::string(**name) : "";
}

std::string ArchFile::Name() const {
  if (!made_up()) return source_->path();
  return optional_ ? "a made-up file with optional tensors" : "a made-up file";
}

bool ArchFile::HasTensor(std::string_view name) const {
  return std::any_of(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name == name; });
}

void ArchFile::AddTensor(graph::TensorInfo tensor) {
  guesses_.erase(tensor.name);
  std::erase_if(tensors, [&](const auto& t) { return t.name == tensor.name; });
  tensors.push_back(std::move(tensor));
}

mnw_metadata ArchFile::View() {
  mnw_metadata view{};
  view.size = sizeof view;
  view.self = this;
  view.get_i64 = Calls::I64;
  view.get_f64 = Calls::F64;
  view.get_bool = Calls::Bool;
  view.get_string = Calls::String;
  view.get_element_i64 = Calls::ElementI64;
  view.get_element_f64 = Calls::ElementF64;
  view.has_tensor = Calls::HasTensor;
  return view;
}

}  // namespace minnow::conformance
