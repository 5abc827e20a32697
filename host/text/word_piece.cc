// WordPiece as BERT's uncased models use it: words without case and accents, each built from the
// longest pieces that fit, from the left.
//
// Source: google-research/bert, tokenization.py, with the order of Hugging Face's tokenizers where
// the two differ (accents go before case).
#include <utf8proc.h>

#include <algorithm>

#include "text/segment_encoder.h"
#include "text/utf8.h"

namespace minnow::text {
namespace {

constexpr size_t kMaxWord = 100;  // code points; a longer word is unknown

struct Range {
  char32_t first, last;
};
constexpr Range kIdeographs[] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF},
                                 {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B820, 0x2CEAF},
                                 {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};

utf8proc_category_t Category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

bool IsIdeograph(char32_t c) {
  return std::any_of(std::begin(kIdeographs), std::end(kIdeographs),
                     [c](const Range& r) { return c >= r.first && c <= r.last; });
}

// Neither text nor space: left out.
bool IsNoText(char32_t c) {
  if (!IsCodePoint(c) || c == 0 || c == 0xFFFD) return true;
  const auto category = Category(c);
  return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
         category == UTF8PROC_CATEGORY_CS || category == UTF8PROC_CATEGORY_CO;
}

bool IsPunctuation(char32_t c) {
  if (c < 0x80) return c > 0x20 && c < 0x7F && !(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z');
  const auto category = Category(c);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

class WordPieceEncoder final : public SegmentEncoder {
 public:
  explicit WordPieceEncoder(const Vocabulary& vocabulary) : unk_(vocabulary.unk) {
    for (size_t i = 0; i < vocabulary.pieces.size(); ++i) {
      const Piece& piece = vocabulary.pieces[i];
      if (piece.type != PieceType::kNormal || piece.bytes.empty()) continue;
      ids_.emplace(piece.bytes, static_cast<TokenId>(i));
      longest_ = std::max(longest_, piece.bytes.size());
    }
  }

  Status Encode(std::string_view text, bool, std::vector<TokenId>& ids) const override {
    Word word;
    for (size_t at = 0; at < text.size();) {
      const CodePoint c = DecodeUtf8(text, at);
      at += c.length;
      if (IsWhiteSpace(c.value)) {
        EndWord(word, ids);
      } else if (!IsNoText(c.value)) {
        AddCharacter(c.value, word, ids);
      }
    }
    EndWord(word, ids);
    return Status();
  }

 private:
  // Under construction: a space, as pieces that begin a word have one, then its letters.
  struct Word {
    std::string bytes = " ";
    size_t n_points = 0;
  };

  void AddCharacter(char32_t c, Word& word, std::vector<TokenId>& ids) const {
    const bool alone = IsIdeograph(c);
    if (alone) EndWord(word, ids);
    utf8proc_int32_t parts[32];  // the longest canonical decomposition has four
    int boundary = 0;
    const auto n = utf8proc_decompose_char(
        static_cast<utf8proc_int32_t>(c), parts, 32,
        static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE), &boundary);
    for (utf8proc_ssize_t i = 0; i < std::clamp<utf8proc_ssize_t>(n, 0, 32); ++i) {
      if (utf8proc_category(parts[i]) == UTF8PROC_CATEGORY_MN) continue;
      const auto lower = static_cast<char32_t>(utf8proc_tolower(parts[i]));
      const bool punctuation = IsPunctuation(lower);
      if (punctuation) EndWord(word, ids);
      AppendUtf8(lower, word.bytes);
      ++word.n_points;
      if (punctuation) EndWord(word, ids);
    }
    if (alone) EndWord(word, ids);
  }

  void EndWord(Word& word, std::vector<TokenId>& ids) const {
    if (word.n_points > 0) EncodeWord(word, ids);
    word.bytes.resize(1);
    word.n_points = 0;
  }

  void EncodeWord(const Word& word, std::vector<TokenId>& ids) const {
    const size_t n_before = ids.size();
    const std::string_view bytes = word.bytes;
    for (size_t at = 0; at < bytes.size() && word.n_points <= kMaxWord;) {
      size_t length = std::min(longest_, bytes.size() - at);
      auto found = ids_.end();
      for (; length > 0 && found == ids_.end(); --length) {
        found = ids_.find(bytes.substr(at, length));
      }
      if (found == ids_.end()) break;
      ids.push_back(found->second);
      at += found->first.size();
      if (at == bytes.size()) return;
    }
    ids.resize(n_before);
    if (unk_ != kNoToken) ids.push_back(unk_);
  }

  const TokenId unk_;
  std::unordered_map<std::string_view, TokenId> ids_;
  size_t longest_ = 0;
};

}  // namespace

Result<std::unique_ptr<SegmentEncoder>> MakeWordPieceEncoder(const Vocabulary& vocabulary) {
  return std::unique_ptr<SegmentEncoder>(std::make_unique<WordPieceEncoder>(vocabulary));
}

}  // namespace minnow::text
