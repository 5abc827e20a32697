#include "formats/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "formats/printable.h"

namespace minnow::formats {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors is read in place");

constexpr uint64_t kMaxHeaderBytes = 64 << 20;  // real ones: 100 bytes a tensor
constexpr size_t kMaxTensors = 1 << 20;
constexpr size_t kMaxNameBytes = 1024;

struct Dtype {
  std::string_view name;
  uint64_t bytes;
  mnw_type type;
};
constexpr Dtype kDtypes[] = {
    {"F32", 4, MNW_TYPE_F32},  {"F16", 2, MNW_TYPE_F16},  {"BF16", 2, MNW_TYPE_BF16},
    {"F64", 8, MNW_TYPE_F64},  {"I8", 1, MNW_TYPE_I8},    {"I16", 2, MNW_TYPE_I16},
    {"I32", 4, MNW_TYPE_I32},  {"I64", 8, MNW_TYPE_I64},  {"BOOL", 1, MNW_TYPE_NONE},
    {"U8", 1, MNW_TYPE_NONE},  {"U16", 2, MNW_TYPE_NONE}, {"U32", 4, MNW_TYPE_NONE},
    {"U64", 8, MNW_TYPE_NONE},
};

struct Entry {
  SafetensorsTensor tensor{};
  const Dtype* dtype = nullptr;
  bool has_shape = false;
  std::vector<uint64_t> offsets;
};

// Takes the header's JSON as the parser reads it: {"__metadata__": {text: text}, name: {"dtype":
// text, "shape": [...], "data_offsets": [begin, end]}}. Every function returns false to end the
// reading.
class HeaderHandler final : public nlohmann::json_sax<nlohmann::json> {
 public:
  Status TakeStatus() { return std::move(status_); }
  std::vector<Entry> TakeEntries() { return std::move(entries_); }

  bool key(string_t& name) override {
    switch (place_) {
      case Place::kTop:
        return BeginMember(std::move(name));
      case Place::kTensor:
        return Field(name);
      default:
        return true;  // metadata: any key
    }
  }
  bool start_object(size_t) override {
    switch (place_) {
      case Place::kOutside:
        place_ = Place::kTop;
        return true;
      case Place::kMember:
        place_ = in_metadata_ ? Place::kMetadata : Place::kTensor;
        return true;
      default:
        return Unexpected("an object");
    }
  }
  bool end_object() override {
    if (place_ == Place::kTensor && !EndTensor()) return false;
    place_ = place_ == Place::kTop ? Place::kOutside : Place::kTop;
    return true;
  }
  bool start_array(size_t) override {
    if (place_ == Place::kShape && !entry().has_shape) {
      entry().has_shape = true;
      place_ = Place::kShapeList;
    } else if (place_ == Place::kOffsets && entry().offsets.empty()) {
      place_ = Place::kOffsetsList;
    } else {
      return Unexpected("an array");
    }
    return true;
  }
  bool end_array() override {
    place_ = Place::kTensor;
    return true;
  }
  bool string(string_t& value) override {
    if (place_ == Place::kMetadata) return true;
    if (place_ != Place::kDtype || entry().dtype) return Unexpected("a string");
    const auto* found = std::ranges::find(kDtypes, value, &Dtype::name);
    if (found == std::end(kDtypes)) {
      return Refuse(
          Code::kUnsupported,
          fmt::format("has the dtype '{}', which this build does not read", Printable(value)));
    }
    entry().dtype = found;
    place_ = Place::kTensor;
    return true;
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::kOffsetsList && entry().offsets.size() < 2) {
      entry().offsets.push_back(value);
      return true;
    }
    SafetensorsTensor& tensor = entry_or_spare();
    if (place_ != Place::kShapeList) return Unexpected("a number");
    if (tensor.n_dims == 4) return Refuse(Code::kUnsupported, "has more than 4 dimensions");
    if (value == 0 || value > INT64_MAX) {
      return Refuse(Code::kCorrupt, fmt::format("has a dimension of {}", value));
    }
    tensor.shape[static_cast<size_t>(tensor.n_dims++)] = static_cast<int64_t>(value);
    return true;
  }
  bool number_integer(number_integer_t) override { return Unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return Unexpected("a fraction"); }
  bool null() override { return Unexpected("null"); }
  bool boolean(bool) override { return Unexpected("a bool"); }
  bool binary(binary_t&) override { return Unexpected("binary data"); }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) override {
    status_ = Error(Code::kCorrupt, "the header is no JSON from its byte {} on", position);
    return false;
  }

 private:
  enum class Place {
    kOutside,
    kTop,
    kMember,
    kMetadata,
    kTensor,
    kDtype,
    kShape,
    kShapeList,
    kOffsets,
    kOffsetsList
  };

  Entry& entry() { return entries_.back(); }
  SafetensorsTensor& entry_or_spare() { return entries_.empty() ? spare_ : entries_.back().tensor; }

  bool Refuse(Code code, const std::string& what) {
    status_ = Error(code, "tensor '{}' {}", Printable(entry_or_spare().name), what);
    return false;
  }
  bool Unexpected(std::string_view what) {
    if (place_ == Place::kOutside || place_ == Place::kTop || entries_.empty() || in_metadata_) {
      status_ = Error(Code::kCorrupt, "the header holds {} where {} is expected", what,
                      place_ == Place::kOutside ? "its object"
                      : in_metadata_            ? "a string of __metadata__"
                                                : "a tensor");
      return false;
    }
    return Refuse(Code::kCorrupt,
                  fmt::format("is described by {} where the format has none", what));
  }

  bool BeginMember(string_t name) {
    place_ = Place::kMember;
    in_metadata_ = name == "__metadata__";
    if (in_metadata_) return true;
    if (entries_.size() == kMaxTensors) {
      status_ = Error(Code::kCorrupt, "has more than {} tensors", kMaxTensors);
      return false;
    }
    const bool bad = name.empty() || name.size() > kMaxNameBytes;
    entries_.emplace_back().tensor.name = std::move(name);
    entry().tensor.shape = {1, 1, 1, 1};
    if (bad) return Refuse(Code::kCorrupt, fmt::format("has a name of {} bytes", NameBytes()));
    if (!names_.insert(entry().tensor.name).second) return Refuse(Code::kCorrupt, "appears twice");
    return true;
  }
  size_t NameBytes() const { return entries_.back().tensor.name.size(); }

  bool Field(std::string_view name) {
    if (name == "dtype") {
      place_ = Place::kDtype;
    } else if (name == "shape") {
      place_ = Place::kShape;
    } else if (name == "data_offsets") {
      place_ = Place::kOffsets;
    } else {
      return Refuse(Code::kCorrupt, fmt::format("has a field '{}', which the format does not know",
                                                Printable(name)));
    }
    return true;
  }

  bool EndTensor() {
    if (entry().dtype && entry().has_shape && entry().offsets.size() == 2) return true;
    return Refuse(Code::kCorrupt, fmt::format("has no {}", !entry().dtype       ? "dtype"
                                                           : !entry().has_shape ? "shape"
                                                                                : "data_offsets"));
  }

  Place place_ = Place::kOutside;
  bool in_metadata_ = false;
  std::vector<Entry> entries_;
  std::unordered_set<std::string> names_;
  SafetensorsTensor spare_;
  Status status_;
};

// Gives each tensor its bytes of `data`.
Status PlaceTensors(std::span<const std::byte> data, std::vector<Entry>& entries) {
  std::ranges::stable_sort(entries, {}, [](const Entry& e) { return e.offsets[0]; });
  uint64_t end = 0;  // of the tensor before
  for (Entry& e : entries) {
    const auto corrupt = [&](const std::string& what) {
      return Error(Code::kCorrupt, "tensor '{}' {}", Printable(e.tensor.name), what);
    };
    const uint64_t begin = e.offsets[0];
    uint64_t bytes = e.dtype->bytes;
    bool overflow = false;
    for (const int64_t n : e.tensor.shape) overflow |= __builtin_mul_overflow(bytes, n, &bytes);
    if (overflow || bytes > INT64_MAX) return corrupt("has more bytes than 63 bits count");
    if (e.offsets[1] < begin || e.offsets[1] - begin != bytes) {
      return corrupt(fmt::format("lies at {} to {}, but its shape takes {} bytes", begin,
                                 e.offsets[1], bytes));
    }
    if (e.offsets[1] > data.size()) {
      return corrupt(fmt::format("ends at byte {} of the data, which has {}: the file is cut off",
                                 e.offsets[1], data.size()));
    }
    if (begin < end) return corrupt("overlaps the tensor before it");
    if (begin > end)
      return corrupt(fmt::format("leaves a hole of {} bytes before it", begin - end));
    end = e.offsets[1];
    e.tensor.type = e.dtype->type;
    e.tensor.data = data.subspan(begin, bytes);
  }
  if (end != data.size()) {
    return Error(Code::kCorrupt, "holds {} bytes behind its last tensor", data.size() - end);
  }
  return {};
}

}  // namespace

Result<std::vector<SafetensorsTensor>> SafetensorsReader::Parse(std::span<const std::byte> file) {
  uint64_t header_bytes;
  if (file.size() < sizeof header_bytes) {
    return Error(Code::kCorrupt, "file ends inside the length of its header, at byte {}",
                 file.size());
  }
  std::memcpy(&header_bytes, file.data(), sizeof header_bytes);
  file = file.subspan(sizeof header_bytes);
  if (header_bytes > file.size()) {
    return Error(Code::kCorrupt,
                 "claims a header of {} bytes and has {} left: no safetensors file, "
                 "or one that is cut off",
                 header_bytes, file.size());
  }
  if (header_bytes > kMaxHeaderBytes) {
    return Error(Code::kCorrupt, "has a header of {} bytes, at most {} are read", header_bytes,
                 kMaxHeaderBytes);
  }
  const auto* text = reinterpret_cast<const char*>(file.data());
  HeaderHandler handler;
  const bool read = nlohmann::json::sax_parse(text, text + header_bytes, &handler);
  if (!read) return handler.TakeStatus();
  std::vector<Entry> entries = handler.TakeEntries();
  MNW_TRY(PlaceTensors(file.subspan(header_bytes), entries));
  std::vector<SafetensorsTensor> tensors;
  tensors.reserve(entries.size());
  for (Entry& e : entries) tensors.push_back(std::move(e.tensor));
  return tensors;
}

Result<SafetensorsReader> SafetensorsReader::Open(const std::string& path) {
  MNW_ASSIGN(MappedFile file, MappedFile::Open(path));
  auto tensors = Parse(file.bytes());
  if (!tensors.ok()) return std::move(tensors).status().Annotate(path);
  return SafetensorsReader(std::move(file), *std::move(tensors));
}

}  // namespace minnow::formats
