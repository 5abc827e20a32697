#include "formats/gguf_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <unordered_set>
#include <utility>

#include "formats/gguf_layout.h"
#include "formats/printable.h"

namespace minnow::formats {
namespace {

template <class T>
void Append(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

void AppendString(std::string* out, std::string_view s) {
  Append<uint64_t>(out, s.size());
  out->append(s);
}

void PadTo(std::string* out, uint64_t alignment) {
  out->resize((out->size() + alignment - 1) / alignment * alignment);
}

GgufEntry MakeEntry(std::string_view key, GgufType type, std::string_view value) {
  return {key, false, type, 1, std::as_bytes(std::span(value))};
}

GgufEntry MakeArray(std::string_view key, GgufType type, uint64_t count, std::string_view value) {
  return {key, true, type, count, std::as_bytes(std::span(value))};
}

template <class T>
std::string_view BytesOf(const T* values, size_t count) {
  return {reinterpret_cast<const char*>(values), count * sizeof(T)};
}

}  // namespace

void GgufWriter::SetU32(std::string_view key, uint32_t value) {
  Set(MakeEntry(key, GgufType::kU32, BytesOf(&value, 1)));
}

void GgufWriter::SetI32(std::string_view key, int32_t value) {
  Set(MakeEntry(key, GgufType::kI32, BytesOf(&value, 1)));
}

void GgufWriter::SetU64(std::string_view key, uint64_t value) {
  Set(MakeEntry(key, GgufType::kU64, BytesOf(&value, 1)));
}

void GgufWriter::SetF32(std::string_view key, float value) {
  Set(MakeEntry(key, GgufType::kF32, BytesOf(&value, 1)));
}

void GgufWriter::SetBool(std::string_view key, bool value) {
  const uint8_t byte = value;
  Set(MakeEntry(key, GgufType::kBool, BytesOf(&byte, 1)));
}

void GgufWriter::SetString(std::string_view key, std::string_view value) {
  std::string encoded;
  AppendString(&encoded, value);
  Set(MakeEntry(key, GgufType::kString, encoded));
}

void GgufWriter::SetStrings(std::string_view key, const std::vector<std::string>& values) {
  std::string encoded;
  for (const std::string& s : values) AppendString(&encoded, s);
  Set(MakeArray(key, GgufType::kString, values.size(), encoded));
}

void GgufWriter::SetF32s(std::string_view key, const std::vector<float>& values) {
  Set(MakeArray(key, GgufType::kF32, values.size(), BytesOf(values.data(), values.size())));
}

void GgufWriter::SetI32s(std::string_view key, const std::vector<int32_t>& values) {
  Set(MakeArray(key, GgufType::kI32, values.size(), BytesOf(values.data(), values.size())));
}

void GgufWriter::Set(const GgufEntry& entry) {
  std::string encoded;
  if (entry.is_array) Append(&encoded, GgufType::kArray);
  Append(&encoded, entry.type);
  if (entry.is_array) Append(&encoded, entry.count);
  encoded.append(reinterpret_cast<const char*>(entry.value.data()), entry.value.size());
  if (const Entry* old = Find(entry.key)) {
    entries_[old - entries_.data()].encoded = std::move(encoded);
  } else {
    entries_.push_back({std::string(entry.key), std::move(encoded)});
  }
}

void GgufWriter::AddTensor(std::string_view name, mnw_type type, std::vector<int64_t> ne,
                           std::span<const std::byte> bytes) {
  tensors_.push_back({std::string(name), type, std::move(ne), bytes});
}

const GgufWriter::Entry* GgufWriter::Find(std::string_view key) const {
  const auto it = std::find_if(entries_.begin(), entries_.end(),
                               [key](const Entry& entry) { return entry.key == key; });
  return it == entries_.end() ? nullptr : &*it;
}

Result<uint64_t> GgufWriter::Alignment() const {
  const Entry* entry = Find("general.alignment");
  if (!entry) return kDefaultAlignment;
  uint32_t fields[2];  // type, value
  if (entry->encoded.size() != sizeof fields) {
    return Error(Code::kInvalid, "general.alignment must be a u32");
  }
  std::memcpy(fields, entry->encoded.data(), sizeof fields);
  MNW_TRY(CheckAlignment(fields[1]));
  return fields[1];
}

Status GgufWriter::Check() const {
  for (const Entry& entry : entries_) {
    if (entry.key.size() > kMaxKeyBytes) {
      return Error(Code::kInvalid, "metadata key '{}' is {} bytes long, at most {} are allowed",
                   Printable(entry.key), entry.key.size(), kMaxKeyBytes);
    }
  }
  std::unordered_set<std::string_view> names;
  for (const Tensor& tensor : tensors_) {
    MNW_TRY(CheckTensorName(tensor.name));
    if (!names.insert(tensor.name).second) {
      return Error(Code::kInvalid, "tensor '{}' was added twice", Printable(tensor.name));
    }
    MNW_ASSIGN(const uint64_t bytes, TensorBytes(tensor.name, tensor.type, tensor.ne));
    if (bytes != tensor.bytes.size()) {
      return Error(Code::kInvalid, "tensor '{}' needs {} bytes and was given {}",
                   Printable(tensor.name), bytes, tensor.bytes.size());
    }
  }
  return {};
}

std::string GgufWriter::EncodeHeader(uint64_t alignment) const {
  std::string out(kGgufMagic);
  Append<uint32_t>(&out, 3);
  Append<uint64_t>(&out, tensors_.size());
  Append<uint64_t>(&out, entries_.size());
  for (const Entry& entry : entries_) {
    AppendString(&out, entry.key);
    out += entry.encoded;
  }
  uint64_t offset = 0;
  for (const Tensor& tensor : tensors_) {
    AppendString(&out, tensor.name);
    Append<uint32_t>(&out, tensor.ne.size());
    for (const int64_t n : tensor.ne) Append(&out, n);
    Append<uint32_t>(&out, tensor.type);
    Append(&out, offset);
    offset += (tensor.bytes.size() + alignment - 1) / alignment * alignment;
  }
  PadTo(&out, alignment);
  return out;
}

Status GgufWriter::Write(const std::string& path) const {
  MNW_ASSIGN(const uint64_t alignment, Alignment());
  MNW_TRY(Check());
  const std::string partial = path + ".partial";
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(partial.c_str(), "wb"),
                                                       &std::fclose);
  const auto failed = [&] {
    const int error = errno;
    std::remove(partial.c_str());
    return Error(Code::kInvalid, "cannot write '{}': {}", path, std::strerror(error));
  };
  if (!file) return failed();
  const auto put = [&](const void* data, size_t size) {
    return std::fwrite(data, 1, size, file.get()) == size;
  };
  const std::string header = EncodeHeader(alignment);
  if (!put(header.data(), header.size())) return failed();
  const std::string zeros(alignment, '\0');
  for (const Tensor& tensor : tensors_) {
    const size_t padding = -tensor.bytes.size() & (alignment - 1);
    if (!put(tensor.bytes.data(), tensor.bytes.size()) || !put(zeros.data(), padding)) {
      return failed();
    }
  }
  if (std::fclose(file.release()) != 0) return failed();
  if (std::rename(partial.c_str(), path.c_str()) != 0) return failed();
  return {};
}

}  // namespace minnow::formats
