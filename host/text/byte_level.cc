// Byte-level BPE (GPT-2 and after): normalize, cut into words, merge the bytes of each word.
#include <array>

#include "text/nfc.h"
#include "text/pre_tokenizer.h"
#include "text/segment_encoder.h"

namespace minnow::text {
namespace {

class ByteLevelEncoder final : public SegmentEncoder {
 public:
  ByteLevelEncoder(const Vocabulary& vocabulary, OrdinaryPieces ordinary, WordSplitter splitter)
      : vocabulary_(vocabulary), ordinary_(std::move(ordinary)), splitter_(std::move(splitter)) {
    for (int b = 0; b < 256; ++b) {
      const char byte = static_cast<char>(b);
      const auto found = ordinary_.ids.find(std::string_view(&byte, 1));
      const bool known = found != ordinary_.ids.end() &&
                         static_cast<size_t>(found->second) < vocabulary.pieces.size();
      byte_ids_[b] = known ? found->second : kNoToken;
    }
  }

  Status Encode(std::string_view text, bool /*prefix*/, std::vector<TokenId>& ids) const override {
    std::string normalized;
    if (vocabulary_.normalize_nfc) {
      normalized = NormalizeNfc(text);
      text = normalized;
    }
    std::vector<std::string_view> words;
    MNW_TRY(splitter_.Split(text, words));
    BpeWork work;
    for (const std::string_view word : words) EncodeWord(word, work, ids);
    return Status();
  }

 private:
  void EncodeWord(std::string_view word, BpeWork& work, std::vector<TokenId>& ids) const {
    if (vocabulary_.whole_words_first) {
      if (const auto found = ordinary_.ids.find(word); found != ordinary_.ids.end()) {
        ids.push_back(found->second);
        return;
      }
    }
    work.Clear();
    for (const char byte : word) {
      const TokenId id = byte_ids_[static_cast<unsigned char>(byte)];
      // As the vocabularies' own tokenizers have it: its neighbours may even merge.
      if (id != kNoToken) work.Push(id, 1);
    }
    work.Merge(ordinary_.merges);
    for (const Symbol& symbol : work.symbols()) {
      if (symbol.length > 0) ids.push_back(symbol.id);
    }
  }

  const Vocabulary& vocabulary_;
  OrdinaryPieces ordinary_;
  WordSplitter splitter_;
  std::array<TokenId, 256> byte_ids_;
};

}  // namespace

Result<std::unique_ptr<SegmentEncoder>> MakeByteLevelEncoder(const Vocabulary& vocabulary) {
  MNW_ASSIGN(OrdinaryPieces ordinary, IndexOrdinaryPieces(vocabulary));
  MNW_ASSIGN(WordSplitter splitter, WordSplitter::Create(vocabulary.word_patterns));
  return std::unique_ptr<SegmentEncoder>(
      std::make_unique<ByteLevelEncoder>(vocabulary, std::move(ordinary), std::move(splitter)));
}

}  // namespace minnow::text
