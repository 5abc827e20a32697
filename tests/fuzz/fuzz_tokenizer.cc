// A vocabulary from a stranger's file, and text through it.
//
// The input: one byte for the kind of file, one for the length of the text, the text, the file.
// Whatever the vocabulary, ids lie inside it, a document's text yields no control token, and what
// was encoded can be decoded, at once and as a stream of well-formed UTF-8.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "base/log.h"
#include "text/tokenizer_files.h"
#include "text/utf8.h"

namespace {

using namespace minnow;
using namespace minnow::text;

Result<Vocabulary> ParseGguf(std::string_view file) {
  const int fd = ::memfd_create("fuzz.gguf", MFD_CLOEXEC);
  if (fd < 0 || ::write(fd, file.data(), file.size()) != static_cast<ssize_t>(file.size())) {
    std::abort();
  }
  const auto gguf = formats::GgufReader::Open(fmt::format("/proc/self/fd/{}", fd));
  ::close(fd);
  if (!gguf.ok()) return gguf.status();
  return LoadVocabulary(*gguf);
}

Result<Vocabulary> Parse(uint8_t kind, std::string_view file) {
  switch (kind % 3) {
    case 0:
      return ParseGguf(file);
    case 1: {
      // The configuration follows the tokenizer after a NUL, which JSON cannot hold.
      const size_t nul = std::min(file.find('\0'), file.size());
      return ParseTokenizerJson(file.substr(0, nul), file.substr(std::min(nul + 1, file.size())));
    }
    default:
      return ParseSentencePiece(file);
  }
}

void Require(bool holds) {
  if (!holds) std::abort();
}

void Stream(const Tokenizer& tokenizer, std::span<const TokenId> ids) {
  StreamDecoder stream(tokenizer);
  std::string all;
  for (const TokenId id : ids) all += stream.Push(id);
  all += stream.Finish();
  for (size_t at = 0; at < all.size();) {
    const CodePoint c = DecodeUtf8(all, at);
    Require(IsCodePoint(c.value));
    at += c.length;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool quiet = (minnow::SetLogLevel(minnow::LogLevel::kOff), true);
  if (!quiet || size < 2) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::string_view text = rest.substr(0, data[1]);
  auto vocabulary = Parse(data[0], rest.substr(text.size()));
  if (!vocabulary.ok()) return 0;
  const auto tokenizer = Tokenizer::Create(*std::move(vocabulary));
  if (!tokenizer.ok()) return 0;
  for (const bool control : {false, true}) {
    const auto ids = (*tokenizer)->Encode(text, control, {.add_bos = control, .add_eos = control});
    if (!ids.ok()) continue;
    for (const TokenId id : *ids) {
      Require(id >= 0 && static_cast<size_t>(id) < (*tokenizer)->size());
      Require(control || !(*tokenizer)->IsControl(id));
    }
    (void)(*tokenizer)->Decode(*ids);
    Stream(**tokenizer, *ids);
  }
  return 0;
}
