#include <bit>
#include <utility>

#include "formats/gguf.h"
#include "formats/gguf_layout.h"
#include "formats/printable.h"

namespace minnow::formats {

// Fills a reader from its mapping, front to back. Nothing is reserved from a count in the file: the
// vectors grow with what has in fact been read.
class GgufParser {
 public:
  explicit GgufParser(GgufReader* reader)
      : reader_(*reader), cursor_(reader->files_.front().bytes()) {}

  Status Parse() {
    uint64_t n_tensors, n_entries;
    MNW_TRY(ParseHeader(&n_tensors, &n_entries));
    for (uint64_t i = 0; i < n_entries; ++i) MNW_TRY(ParseEntry());
    for (uint64_t i = 0; i < n_tensors; ++i) MNW_TRY(ParseTensor());
    return PlaceTensors();
  }

 private:
  Status Truncated(const std::string& what) const {
    return Error(Code::kCorrupt, "file ends inside {}, at byte {}", what,
                 cursor_.position() + cursor_.remaining());
  }

  Status ParseHeader(uint64_t* n_tensors, uint64_t* n_entries) {
    std::array<char, 4> magic;
    if (!cursor_.Read(&magic)) return Truncated("the GGUF header");
    const std::string_view start(magic.data(), magic.size());
    if (start != kGgufMagic) {
      return Error(Code::kCorrupt, "not a GGUF file: it starts with '{}', expected '{}'",
                   Printable(start), kGgufMagic);
    }
    uint32_t version;
    if (!cursor_.Read(&version)) return Truncated("the GGUF header");
    if (version != 0 && (version & 0xffff) == 0) {
      return Error(Code::kUnsupported,
                   "big-endian GGUF file (version bytes {:#010x}); convert it to little-endian",
                   version);
    }
    if (version != 2 && version != 3) {
      return Error(Code::kUnsupported, "GGUF version {}, expected 2 or 3; convert the model again",
                   version);
    }
    reader_.version_ = version;
    if (!cursor_.Read(n_tensors) || !cursor_.Read(n_entries)) return Truncated("the GGUF header");
    // The smallest entry: empty key, type, one byte. The smallest tensor: empty name, one
    // dimension.
    constexpr uint64_t kMinEntryBytes = 8 + 4 + 1;
    constexpr uint64_t kMinTensorBytes = 8 + 4 + 8 + 4 + 8;
    MNW_TRY(CheckCount("metadata entries", *n_entries, kMinEntryBytes, kMaxEntries));
    return CheckCount("tensors", *n_tensors, kMinTensorBytes, kMaxTensors);
  }

  Status CheckCount(std::string_view what, uint64_t count, uint64_t min_bytes, uint64_t max) const {
    if (count > cursor_.remaining() / min_bytes) {
      return Error(Code::kCorrupt, "claims {} {}, which cannot fit in the {} bytes left", count,
                   what, cursor_.remaining());
    }
    if (count > max) {
      return Error(Code::kCorrupt, "has {} {}, at most {} are read", count, what, max);
    }
    return {};
  }

  Status ParseEntry() {
    GgufEntry entry{};
    if (!cursor_.ReadString(&entry.key)) {
      return Truncated(fmt::format("metadata key {}", reader_.metadata_.size()));
    }
    if (entry.key.size() > kMaxKeyBytes) {
      return Error(Code::kCorrupt, "metadata key '{}' is {} bytes long, at most {} are allowed",
                   Printable(entry.key), entry.key.size(), kMaxKeyBytes);
    }
    if (!reader_.entry_index_.emplace(entry.key, reader_.metadata_.size()).second) {
      return Error(Code::kCorrupt, "metadata key '{}' appears twice", Printable(entry.key));
    }
    MNW_TRY(ParseValue(&entry));
    reader_.metadata_.push_back(entry);
    return {};
  }

  Status ParseValue(GgufEntry* entry) {
    const auto truncated = [&] {
      return Truncated(fmt::format("the value of '{}'", Printable(entry->key)));
    };
    uint32_t type;
    if (!cursor_.Read(&type)) return truncated();
    entry->count = 1;
    entry->is_array = type == static_cast<uint32_t>(GgufType::kArray);
    if (entry->is_array && (!cursor_.Read(&type) || !cursor_.Read(&entry->count))) {
      return truncated();
    }
    const GgufTypeTraits* traits = FindGgufType(type);
    entry->type = static_cast<GgufType>(type);
    if (!traits || entry->type == GgufType::kArray) {
      return Error(Code::kUnsupported, "'{}' is {} of type {} ({}), which GGUF readers do not know",
                   Printable(entry->key), entry->is_array ? "an array" : "a value", type,
                   traits ? traits->name : "unknown");
    }
    if (entry->count > kMaxArrayElements) {
      return Error(Code::kCorrupt, "'{}' claims {} elements, at most {} are read",
                   Printable(entry->key), entry->count, kMaxArrayElements);
    }
    const size_t begin = cursor_.position();
    if (entry->type == GgufType::kString) {
      std::string_view ignored;
      for (uint64_t i = 0; i < entry->count; ++i) {
        if (!cursor_.ReadString(&ignored)) return truncated();
      }
    } else if (!cursor_.Skip(entry->count * traits->bytes)) {
      return truncated();
    }
    entry->value = cursor_.Since(begin);
    if (entry->type == GgufType::kBool) {
      for (const std::byte b : entry->value) {
        if (b > std::byte{1}) {
          return Error(Code::kCorrupt, "'{}' holds a bool of value {}", Printable(entry->key),
                       static_cast<int>(b));
        }
      }
    }
    return {};
  }

  Status ParseTensor() {
    GgufTensor tensor{};
    const auto truncated = [&] {
      return Truncated(fmt::format("the description of tensor {}", reader_.tensors_.size()));
    };
    if (!cursor_.ReadString(&tensor.name)) return truncated();
    MNW_TRY(CheckTensorName(tensor.name));
    if (!reader_.tensor_index_.emplace(tensor.name, reader_.tensors_.size()).second) {
      return Error(Code::kCorrupt, "tensor '{}' appears twice", Printable(tensor.name));
    }
    uint32_t n_dims;
    if (!cursor_.Read(&n_dims)) return truncated();
    if (n_dims < 1 || n_dims > 4) {
      return Error(Code::kCorrupt, "tensor '{}' has {} dimensions, expected 1 to 4",
                   Printable(tensor.name), n_dims);
    }
    tensor.n_dims = static_cast<int>(n_dims);
    tensor.ne.fill(1);
    for (uint32_t i = 0; i < n_dims; ++i) {
      if (!cursor_.Read(&tensor.ne[i])) return truncated();
    }
    uint32_t type;
    uint64_t offset;
    if (!cursor_.Read(&type) || !cursor_.Read(&offset)) return truncated();
    MNW_ASSIGN(const uint64_t bytes, TensorBytes(tensor.name, type, {tensor.ne.data(), n_dims}));
    tensor.type = static_cast<mnw_type>(type);
    reader_.tensors_.push_back(tensor);
    extents_.push_back({offset, bytes});
    return {};
  }

  Status PlaceTensors() {
    MNW_ASSIGN(const auto found, reader_.FindU64("general.alignment"));
    const uint64_t alignment = found.value_or(kDefaultAlignment);
    MNW_TRY(CheckAlignment(alignment));
    const std::span<const std::byte> bytes = reader_.files_.front().bytes();
    const uint64_t begin = (cursor_.position() + alignment - 1) & ~(alignment - 1);
    const uint64_t available = bytes.size() > begin ? bytes.size() - begin : 0;
    uint64_t end = 0;  // of the tensor before
    for (size_t i = 0; i < extents_.size(); ++i) {
      GgufTensor& tensor = reader_.tensors_[i];
      const auto [offset, size] = extents_[i];
      if (offset % alignment != 0) {
        return Error(Code::kCorrupt, "tensor '{}' begins at offset {}, not a multiple of {}",
                     Printable(tensor.name), offset, alignment);
      }
      if (offset < end) {
        return Error(Code::kCorrupt, "tensor '{}' at offset {} begins before '{}' ends, at {}",
                     Printable(tensor.name), offset, Printable(reader_.tensors_[i - 1].name), end);
      }
      if (offset > available || size > available - offset) {
        return Error(
            Code::kCorrupt,
            "tensor '{}' ({} bytes at offset {} of the data) does not fit in the file of {} "
            "bytes; the download may be incomplete",
            Printable(tensor.name), size, offset, bytes.size());
      }
      tensor.data = bytes.subspan(begin + offset, size);
      end = offset + size;
    }
    return {};
  }

  // Where a tensor claims to lie; data begins only after the last description.
  struct Extent {
    uint64_t offset;
    uint64_t size;
  };

  GgufReader& reader_;
  ByteCursor cursor_;
  std::vector<Extent> extents_;
};

Result<GgufReader> GgufReader::OpenPart(const std::string& path) {
  MNW_ASSIGN(MappedFile file, MappedFile::Open(path));
  GgufReader reader(std::move(file));
  if (Status status = GgufParser(&reader).Parse(); !status.ok()) {
    return std::move(status).Annotate(fmt::format("'{}'", path));
  }
  return reader;
}

Status GgufReader::CheckUnchanged() const {
  for (const MappedFile& file : files_) MNW_TRY(file.CheckUnchanged());
  return {};
}

void GgufReader::Release(std::span<const std::byte> data) const {
  for (const MappedFile& file : files_) {
    const std::byte* begin = file.bytes().data();
    if (data.data() >= begin && data.data() < begin + file.bytes().size()) file.Release(data);
  }
}

const GgufEntry* GgufReader::Find(std::string_view key) const {
  const auto it = entry_index_.find(key);
  return it == entry_index_.end() ? nullptr : &metadata_[it->second];
}

const GgufTensor* GgufReader::FindTensor(std::string_view name) const {
  const auto it = tensor_index_.find(name);
  return it == tensor_index_.end() ? nullptr : &tensors_[it->second];
}

}  // namespace minnow::formats
