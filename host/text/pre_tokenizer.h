// How byte-level vocabularies cut text into words before merging.
//
// A cut is a list of patterns; each splits every piece of text that the one before it left into its
// matches and what lies between them. GGUF files name their cut (tokenizer.ggml.pre);
// tokenizer.json carries its patterns. Compiled once per tokenizer with PCRE2, just in time where
// the CPU allows. Threads: WordSplitter is immutable; Split may run on many threads at once.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace minnow::text {

// What a published tokenizer family does; the names are those of tokenizer.ggml.pre.
struct PreTokenizer {
  std::vector<std::string> patterns;
  bool normalize_nfc = false;
  bool whole_words_first = false;
  bool add_bos = false;  // where the file does not say
};
Result<PreTokenizer> FindPreTokenizer(std::string_view name);

// The patterns behind the cuts that tokenizer.json names instead of spelling out.
extern const char kGpt2Words[];
extern const char kPunctuationRuns[];

class WordSplitter {
 public:
  static Result<WordSplitter> Create(std::span<const std::string> patterns);
  WordSplitter(WordSplitter&&) noexcept;
  WordSplitter& operator=(WordSplitter&&) noexcept;
  ~WordSplitter();

  // Replaces `words` by views into `text` that cover it without gaps. A run of bytes that are not
  // UTF-8 is a word of its own. Fails only where a pattern runs into PCRE2's limits.
  Status Split(std::string_view text, std::vector<std::string_view>& words) const;

 private:
  struct Patterns;
  explicit WordSplitter(std::unique_ptr<Patterns> patterns);
  std::unique_ptr<Patterns> patterns_;
};

}  // namespace minnow::text
