#include "text/tokenizer_files.h"

#include <filesystem>

#include "base/mapped_file.h"
#include "formats/printable.h"

namespace minnow::text {
namespace {

std::string_view Text(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

Result<ModelText> LoadAny(const std::string& path) {
  std::error_code ec;
  if (std::filesystem::is_directory(path, ec)) {
    return LoadTokenizerJson((std::filesystem::path(path) / "tokenizer.json").string());
  }
  MNW_ASSIGN(const MappedFile file, MappedFile::Open(path));
  const std::string_view text = Text(file);
  if (text.starts_with("GGUF")) {
    MNW_ASSIGN(const formats::GgufReader gguf, formats::GgufReader::Open(path));
    return LoadText(gguf);
  }
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && text[first] == '{') return LoadTokenizerJson(path);
  // Field 1, a message: the first piece of a SentencePiece model.
  if (text.starts_with('\x0A')) {
    MNW_ASSIGN(Vocabulary vocabulary, ParseSentencePiece(text));
    return ModelText{std::move(vocabulary), std::nullopt};
  }
  return Error(Code::kUnsupported,
               "no tokenizer: want a GGUF file, a tokenizer.json or a SentencePiece model");
}

}  // namespace

Result<ModelText> LoadText(const std::string& path) {
  auto text = LoadAny(path);
  if (text.ok()) return text;
  // Failures to open name the path themselves.
  Status status = std::move(text).status();
  if (status.message().find(path) != std::string::npos) return status;
  return std::move(status).Annotate(path);
}

Result<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& path) {
  MNW_ASSIGN(ModelText text, LoadText(path));
  auto tokenizer = Tokenizer::Create(std::move(text.vocabulary));
  if (!tokenizer.ok()) return std::move(tokenizer).status().Annotate(path);
  return tokenizer;
}

std::string SpacesOfPiece(std::string_view written) {
  constexpr std::string_view kVisibleSpace = "\xE2\x96\x81";
  std::string out;
  for (size_t at = 0; at < written.size();) {
    if (written.substr(at).starts_with(kVisibleSpace)) {
      out += ' ';
      at += kVisibleSpace.size();
    } else {
      out += written[at++];
    }
  }
  return out;
}

int ByteOfPiece(std::string_view written) {
  if (written.size() != 6 || !written.starts_with("<0x") || written[5] != '>') return -1;
  int byte = 0;
  for (const char c : written.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return -1;
    byte = byte * 16 + digit;
  }
  return byte;
}

MergeReader::MergeReader(std::span<const std::string_view> pieces) {
  ids_.reserve(pieces.size());
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (!pieces[i].empty()) ids_.emplace(pieces[i], static_cast<TokenId>(i));
  }
}

TokenId MergeReader::Find(std::string_view piece) const {
  const auto found = ids_.find(piece);
  return found == ids_.end() ? kNoToken : found->second;
}

Result<Merge> MergeReader::Read(std::string_view left, std::string_view right) const {
  const Merge merge{Find(left), Find(right), Find(std::string(left) += right)};
  if (merge.left == kNoToken || merge.right == kNoToken || merge.result == kNoToken) {
    return Error(Code::kCorrupt, "the merge '{} {}' names a piece that the vocabulary lacks",
                 formats::Printable(left), formats::Printable(right));
  }
  return merge;
}

Result<Merge> MergeReader::Read(std::string_view line) const {
  const size_t space = line.find(' ', 1);
  if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
    return Error(Code::kCorrupt, "the merge '{}' is not two pieces", formats::Printable(line));
  }
  return Read(line.substr(0, space), line.substr(space + 1));
}

}  // namespace minnow::text
