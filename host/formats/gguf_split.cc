// Models split over several files.
#include <optional>
#include <utility>

#include "formats/gguf.h"
#include "formats/gguf_layout.h"
#include "formats/printable.h"

namespace minnow::formats {

namespace {

constexpr std::string_view kOf = "-of-";
constexpr std::string_view kSuffix = ".gguf";
constexpr size_t kDigits = 5;
constexpr size_t kPartBytes = 1 + kDigits + kOf.size() + kDigits + kSuffix.size();

// kDigits of them as a number, or -1.
int Number(std::string_view digits) {
  int number = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return -1;
    number = number * 10 + (c - '0');
  }
  return number;
}

// What a file says of itself. The keys count parts from 0, names and messages from 1.
struct Split {
  uint64_t part = 1, count = 1, n_tensors = 0;
};

Result<Split> ReadSplit(const GgufReader& file) {
  Split split;
  MNW_ASSIGN(const auto count, file.FindU64("split.count"));
  split.count = count.value_or(1);
  if (split.count <= 1) return split;
  MNW_ASSIGN(const auto number, file.FindU64("split.no"));
  MNW_ASSIGN(const auto n_tensors, file.FindU64("split.tensors.count"));
  if (!number || *number >= split.count || !n_tensors) {
    return Error(Code::kCorrupt,
                 "one of {} parts of a split model, without a valid split.no and "
                 "split.tensors.count",
                 split.count);
  }
  split.part = *number + 1;
  split.n_tensors = *n_tensors;
  return split;
}

}  // namespace

int GgufPartOfName(std::string_view name, std::string* stem) {
  if (name.size() <= kPartBytes) return 0;
  const std::string_view end = name.substr(name.size() - kPartBytes);
  const int part = Number(end.substr(1, kDigits));
  const int count = Number(end.substr(1 + kDigits + kOf.size(), kDigits));
  const bool form = end[0] == '-' && end.substr(1 + kDigits, kOf.size()) == kOf &&
                    end.ends_with(kSuffix) && part >= 1 && part <= count;
  if (form && stem) *stem = name.substr(0, name.size() - kPartBytes);
  return form ? part : 0;
}

// Opens the other parts beside one and makes one reader of them, checking each against the first
// that was opened.
class GgufJoiner {
 public:
  GgufJoiner(GgufReader any, const Split& split)
      : any_path_(any.path()), split_(split), any_(std::move(any)) {}

  Result<GgufReader> Join() {
    if (GgufPartOfName(any_path_, &stem_) != static_cast<int>(split_.part) ||
        PathOf(split_.part) != any_path_) {
      return Error(Code::kInvalid,
                   "'{}': part {} of {} of a split model must be named like "
                   "'NAME-{:05}-of-{:05}.gguf', or the others cannot be found beside it",
                   any_path_, split_.part, split_.count, split_.part, split_.count);
    }
    std::optional<GgufReader> whole;
    for (uint64_t part = 1; part <= split_.count; ++part) {
      MNW_ASSIGN(GgufReader opened, OpenPart(part));
      if (whole) {
        MNW_TRY(Add(std::move(opened), *whole));
      } else {
        whole = std::move(opened);
      }
    }
    if (whole->tensors_.size() != split_.n_tensors) {
      return Error(Code::kCorrupt,
                   "'{}': the {} parts hold {} tensors, split.tensors.count is {}: one of them "
                   "belongs to another model",
                   any_path_, split_.count, whole->tensors_.size(), split_.n_tensors);
    }
    return *std::move(whole);
  }

 private:
  std::string PathOf(uint64_t part) const {
    return fmt::format("{}-{:05}{}{:05}{}", stem_, part, kOf, split_.count, kSuffix);
  }

  Result<GgufReader> OpenPart(uint64_t part) {
    if (part == split_.part) return std::move(any_);
    const std::string path = PathOf(part);
    auto opened = GgufReader::OpenPart(path);
    if (!opened.ok()) {
      if (opened.status().code() != Code::kNotFound) return opened;
      return Error(Code::kNotFound, "part {} of {} is missing: there is no '{}'", part,
                   split_.count, path);
    }
    if (Status status = Check(*opened, part); !status.ok()) {
      return std::move(status).Annotate(fmt::format("'{}'", path));
    }
    return opened;
  }

  Status Check(const GgufReader& opened, uint64_t part) const {
    MNW_ASSIGN(const Split split, ReadSplit(opened));
    if (split.count != split_.count || split.n_tensors != split_.n_tensors) {
      return Error(Code::kCorrupt,
                   "one of {} parts with {} tensors in all, but '{}' is one of {} with {}: it "
                   "belongs to another model",
                   split.count, split.n_tensors, any_path_, split_.count, split_.n_tensors);
    }
    if (split.part != part) {
      return Error(Code::kCorrupt, "part {} under the name of part {}", split.part, part);
    }
    return {};
  }

  // Tensor names tell the parts of one model from those of another, since nothing else does.
  static Status Add(GgufReader part, GgufReader& whole) {
    for (const char* key : {"general.architecture", "general.name"}) {
      MNW_ASSIGN(const auto of_part, part.FindString(key));
      MNW_ASSIGN(const auto of_whole, whole.FindString(key));
      if (of_part && of_part != of_whole) {
        return Error(
            Code::kCorrupt, "'{}': {} is '{}', that of '{}' is '{}': it belongs to another model",
            part.path(), key, Printable(*of_part), whole.path(), Printable(of_whole.value_or("")));
      }
    }
    for (const GgufTensor& tensor : part.tensors_) {
      if (!whole.tensor_index_.emplace(tensor.name, whole.tensors_.size()).second) {
        return Error(Code::kCorrupt,
                     "'{}': tensor '{}' is in an earlier part already: a part "
                     "is doubled, or of another model",
                     part.path(), Printable(tensor.name));
      }
      whole.tensors_.push_back(tensor);
    }
    for (MappedFile& file : part.files_) whole.files_.push_back(std::move(file));
    return {};
  }

  const std::string any_path_;
  const Split split_;
  GgufReader any_;
  std::string stem_;
};

Result<GgufReader> GgufReader::Open(const std::string& path) {
  MNW_ASSIGN(GgufReader any, OpenPart(path));
  auto split = ReadSplit(any);
  if (!split.ok()) return std::move(split).status().Annotate(fmt::format("'{}'", path));
  if (split->count <= 1) return any;
  return GgufJoiner(std::move(any), *split).Join();
}

}  // namespace minnow::formats
