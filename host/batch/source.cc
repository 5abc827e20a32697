#include "batch/source.h"

#include <glob.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "base/json.h"
#include "batch/csv.h"

namespace minnow::batch {

namespace {

namespace fs = std::filesystem;

Result<std::string> ReadDocument(const fs::path& path) {
  std::error_code ec;
  if (!fs::is_regular_file(path, ec))
    return Error(Code::kInvalid, "'{}' is not a regular file", path.string());
  const auto size = fs::file_size(path, ec);
  if (!ec && size > kMaxDocumentBytes) {
    return Error(Code::kOutOfRange, "'{}' has {} bytes; a document may have {}", path.string(),
                 size, kMaxDocumentBytes);
  }
  std::ifstream in(path, std::ios::binary);
  if (!in)
    return Error(Code::kInvalid, "cannot read '{}': {}", path.string(), std::strerror(errno));
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (in.bad()) return Error(Code::kInvalid, "cannot read '{}'", path.string());
  return text;
}

class Files final : public Source {
 public:
  // Ids are the paths relative to `base`.
  Files(std::vector<fs::path> paths, fs::path base)
      : paths_(std::move(paths)), base_(std::move(base)) {
    std::sort(paths_.begin(), paths_.end(),
              [](const fs::path& a, const fs::path& b) { return a.native() < b.native(); });
  }

  std::optional<SourceItem> Next() override {
    if (next_ == paths_.size()) return std::nullopt;
    const fs::path& path = paths_[next_++];
    SourceItem item;
    item.document.path = path.string();
    item.document.id = base_.empty() ? path.string() : path.lexically_relative(base_).string();
    auto text = ReadDocument(path);
    if (text.ok()) {
      item.document.text = *std::move(text);
    } else {
      item.status = std::move(text).status();
    }
    return item;
  }
  std::optional<size_t> count() const override { return paths_.size(); }

 private:
  std::vector<fs::path> paths_;
  fs::path base_;
  size_t next_ = 0;
};

// Becomes a document's member if it is one of its own, else of its meta.
void SetMember(script::Document& document, const std::string& key,
               const nlohmann::ordered_json& member) {
  if (key == "id") {
    document.id = member.is_string() ? member.get<std::string>() : member.dump();
  } else if ((key == "text" || key == "path") && member.is_string()) {
    (key == "text" ? document.text : document.path) = member.get<std::string>();
  } else {
    document.meta[key] = member;
  }
}

class Lines final : public Source {
 public:
  Lines(std::unique_ptr<std::ifstream> file, std::string name)
      : file_(std::move(file)), in_(file_ ? *file_ : std::cin), name_(std::move(name)) {}

  std::optional<SourceItem> Next() override {
    std::string line;
    while (std::getline(in_, line)) {
      ++number_;
      if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
      SourceItem item;
      item.document.id = std::to_string(number_);
      item.status = Parse(line, item.document).Annotate(fmt::format("{}:{}", name_, number_));
      return item;
    }
    return std::nullopt;
  }
  std::optional<size_t> count() const override { return std::nullopt; }

 private:
  Status Parse(const std::string& line, script::Document& document) {
    if (line.size() > kMaxDocumentBytes)
      return Error(Code::kOutOfRange, "the line has {} bytes", line.size());
    MNW_ASSIGN(const nlohmann::ordered_json value, ParseJson(line));
    if (!value.is_object()) return Error(Code::kInvalid, "the line is no JSON object");
    for (const auto& [key, member] : value.items()) SetMember(document, key, member);
    if (value.contains("text")) return Status();
    if (document.path.empty())
      return Error(Code::kInvalid, "the line has neither 'text' nor 'path'");
    MNW_ASSIGN(document.text, ReadDocument(document.path));
    return Status();
  }

  std::unique_ptr<std::ifstream> file_;
  std::istream& in_;
  std::string name_;
  size_t number_ = 0;
};

class Rows final : public Source {
 public:
  static Result<std::unique_ptr<Source>> Open(const std::string& path) {
    std::unique_ptr<Rows> rows(new Rows(path));
    if (!rows->in_)
      return Error(Code::kInvalid, "cannot read '{}': {}", path, std::strerror(errno));
    auto header = ReadCsvRow(rows->in_, kMaxDocumentBytes);
    if (!header.ok()) return std::move(header).status().Annotate(path + ": its first row");
    if (*header) rows->columns_ = **std::move(header);
    const auto has = [&](const char* name) {
      return std::find(rows->columns_.begin(), rows->columns_.end(), name) != rows->columns_.end();
    };
    if (!has("text") && !has("path")) {
      return Error(Code::kInvalid, "{}: its first row names neither a column 'text' nor 'path'",
                   path);
    }
    rows->has_text_ = has("text");
    return std::unique_ptr<Source>(std::move(rows));
  }

  std::optional<SourceItem> Next() override {
    for (;;) {
      auto row = ReadCsvRow(in_, kMaxDocumentBytes);
      if (row.ok() && !*row) return std::nullopt;
      ++number_;
      if (row.ok() && (*row)->size() == 1 && (*row)->front().empty()) continue;
      SourceItem item;
      item.document.id = std::to_string(number_);
      item.status = (row.ok() ? Parse(**row, item.document) : std::move(row).status())
                        .Annotate(fmt::format("{}: row {}", name_, number_));
      return item;
    }
  }
  std::optional<size_t> count() const override { return std::nullopt; }

 private:
  explicit Rows(const std::string& path) : in_(path, std::ios::binary), name_(path) {}

  Status Parse(const std::vector<std::string>& row, script::Document& document) {
    if (row.size() != columns_.size()) {
      return Error(Code::kInvalid, "it has {} fields for {} columns", row.size(), columns_.size());
    }
    for (size_t i = 0; i < row.size(); ++i) SetMember(document, columns_[i], row[i]);
    if (has_text_) return Status();
    MNW_ASSIGN(document.text, ReadDocument(document.path));
    return Status();
  }

  std::ifstream in_;
  std::string name_;
  std::vector<std::string> columns_;
  bool has_text_ = false;
  size_t number_ = 0;
};

class Selected final : public Source {
 public:
  Selected(std::unique_ptr<Source> source, const Selection& selection)
      : source_(std::move(source)), selection_(selection) {}

  std::optional<SourceItem> Next() override {
    while (given_ < selection_.limit) {
      std::optional<SourceItem> item = source_->Next();
      if (!item) return std::nullopt;
      if (!Chosen(number_++)) continue;
      ++given_;
      return item;
    }
    return std::nullopt;
  }

  std::optional<size_t> count() const override {
    const std::optional<size_t> all = source_->count();
    if (!all) return std::nullopt;
    uint64_t n = 0;
    for (uint64_t i = 0; i < *all && n < selection_.limit; ++i) n += Chosen(i);
    return n;
  }

 private:
  bool Chosen(uint64_t number) const {
    if (number % selection_.shards != selection_.shard - 1) return false;
    if (selection_.sample >= 1) return true;
    // A mixer of splitmix64 (Steele, Lea, Flood 2014): neighbours fall apart.
    uint64_t z = (number + 1) * 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    z ^= z >> 31;
    return static_cast<double>(z >> 11) * 0x1p-53 < selection_.sample;
  }

  std::unique_ptr<Source> source_;
  const Selection selection_;
  uint64_t number_ = 0, given_ = 0;
};

bool Hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

Result<std::unique_ptr<Source>> OpenFolder(const std::string& input) {
  std::vector<fs::path> paths;
  std::error_code ec;
  for (fs::recursive_directory_iterator it(input, ec), end; it != end && !ec; it.increment(ec)) {
    if (Hidden(it->path())) {
      it.disable_recursion_pending();
    } else if (!it->is_directory()) {
      paths.push_back(it->path());
    }
  }
  if (ec) return Error(Code::kInvalid, "cannot read folder '{}': {}", input, ec.message());
  return std::unique_ptr<Source>(new Files(std::move(paths), input));
}

Result<std::unique_ptr<Source>> OpenGlob(const std::string& input) {
  glob_t found{};
  const int code = ::glob(input.c_str(), 0, nullptr, &found);
  std::vector<fs::path> paths(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  if (code != 0 && code != GLOB_NOMATCH) return Error(Code::kInvalid, "cannot expand '{}'", input);
  return std::unique_ptr<Source>(new Files(std::move(paths), ""));
}

}  // namespace

Result<std::unique_ptr<Source>> OpenSource(const std::string& input) {
  std::error_code ec;
  if (input == "-") return std::unique_ptr<Source>(new Lines(nullptr, "stdin"));
  if (fs::is_directory(input, ec)) return OpenFolder(input);
  if (!fs::exists(input, ec)) {
    if (input.find_first_of("*?[") != std::string::npos) return OpenGlob(input);
    return Error(Code::kNotFound, "there is no input '{}'", input);
  }
  if (input.ends_with(".csv")) return Rows::Open(input);
  if (!input.ends_with(".jsonl")) return std::unique_ptr<Source>(new Files({input}, ""));
  auto file = std::make_unique<std::ifstream>(input, std::ios::binary);
  if (!*file) return Error(Code::kInvalid, "cannot read '{}': {}", input, std::strerror(errno));
  return std::unique_ptr<Source>(new Lines(std::move(file), input));
}

std::unique_ptr<Source> Select(std::unique_ptr<Source> source, const Selection& selection) {
  if (selection.all()) return source;
  return std::make_unique<Selected>(std::move(source), selection);
}

}  // namespace minnow::batch
