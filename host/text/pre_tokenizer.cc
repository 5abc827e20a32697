#include "text/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <utility>

#include "text/utf8.h"

namespace minnow::text {

const char kGpt2Words[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
const char kPunctuationRuns[] = R"([\p{P}$+<=>^~|`]+)";

namespace {

// The patterns are those of the models' published tokenizer.json files.
constexpr char kLlama3Words[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr char kQwen2Words[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr char kQwen35Words[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N})"
    R"(| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr char kTekkenWords[] =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr char kGpt4oWords[] =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr char kDeepSeek3Words[] =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct Family {
  std::array<const char*, 6> names;
  std::array<const char*, 5> patterns;
  bool normalize_nfc = false;
  bool whole_words_first = false;
  bool add_bos = false;
};

const Family kFamilies[] = {
    {{"gpt-2", "phi-2"}, {kGpt2Words}},
    {{"mpt", "olmo"}, {kGpt2Words}, /*normalize_nfc=*/true},
    {{"llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "lfm2"},
     {kLlama3Words},
     /*normalize_nfc=*/false,
     /*whole_words_first=*/true,
     /*add_bos=*/true},
    {{"dbrx", "smaug-bpe"}, {kLlama3Words}},
    {{"qwen2"}, {kQwen2Words}, /*normalize_nfc=*/true},
    {{"deepseek-r1-qwen", "stablelm2"}, {kQwen2Words}},
    {{"qwen35"}, {kQwen35Words}, /*normalize_nfc=*/true},
    {{"smollm", "starcoder", "refact", "codeshell"}, {R"(\p{N})", kGpt2Words}},
    {{"command-r"}, {R"(\p{N})", kGpt2Words}, /*normalize_nfc=*/true},
    {{"falcon"}, {kPunctuationRuns, kGpt2Words, "[0-9][0-9][0-9]"}},
    {{"deepseek-coder"},
     {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)",
      R"([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+)", R"(\p{N})"}},
    {{"deepseek-v3"},
     {R"(\p{N}{1,3})", R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)",
      kDeepSeek3Words}},
    {{"tekken"},
     {kTekkenWords},
     /*normalize_nfc=*/false,
     /*whole_words_first=*/true,
     /*add_bos=*/true},
    {{"gpt-4o", "llama4"}, {kGpt4oWords}},
    {{"default"}, {R"([\p{P}$+<=>^~|]+)", kGpt2Words, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
};

// PCRE2's \s holds U+180E, which is no white space in Unicode; and none of the tokenizers that
// publish these patterns counts it.
std::string WithUnicodeWhiteSpace(std::string_view pattern) {
  std::string out;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '\\' || i + 1 == pattern.size()) {
      out += pattern[i];
      continue;
    }
    const char escaped = pattern[++i];
    if (escaped == 's') {
      out += R"(\p{wspace})";
    } else if (escaped == 'S') {
      out += R"(\P{wspace})";
    } else {
      out += '\\';
      out += escaped;
    }
  }
  return out;
}

struct CodeDeleter {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct MatchDeleter {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};
using Code2 = std::unique_ptr<pcre2_code, CodeDeleter>;
using Match = std::unique_ptr<pcre2_match_data, MatchDeleter>;

std::string Pcre2Message(int code) {
  PCRE2_UCHAR buffer[256];
  pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

// Appends the parts of `text`, which is well-formed.
Status SplitByPattern(const pcre2_code* code, pcre2_match_data* match, std::string_view text,
                      std::vector<std::string_view>& parts) {
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const PCRE2_SIZE* span = pcre2_get_ovector_pointer(match);
  size_t done = 0;
  size_t from = 0;
  while (from < text.size()) {
    const int found =
        pcre2_match(code, subject, text.size(), from, PCRE2_NO_UTF_CHECK, match, nullptr);
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0) {
      return Error(Code::kInvalid, "the tokenizer's word pattern failed on this text: {}",
                   Pcre2Message(found));
    }
    if (span[1] <= span[0]) {  // an empty match cuts nothing
      from = std::max<size_t>(from, span[0]);
      from += DecodeUtf8(text, std::min(from, text.size() - 1)).length;
      continue;
    }
    if (span[0] > done) parts.push_back(text.substr(done, span[0] - done));
    parts.push_back(text.substr(span[0], span[1] - span[0]));
    done = from = span[1];
  }
  if (done < text.size()) parts.push_back(text.substr(done));
  return Status();
}

}  // namespace

Result<PreTokenizer> FindPreTokenizer(std::string_view name) {
  std::string known;
  for (const Family& family : kFamilies) {
    for (const char* family_name : family.names) {
      if (!family_name) break;
      known += known.empty() ? "" : ", ";
      known += family_name;
      if (name != family_name) continue;
      PreTokenizer found;
      for (const char* pattern : family.patterns) {
        if (pattern) found.patterns.emplace_back(pattern);
      }
      found.normalize_nfc = family.normalize_nfc;
      found.whole_words_first = family.whole_words_first;
      found.add_bos = family.add_bos;
      return found;
    }
  }
  return Error(Code::kUnsupported, "unknown pre-tokenizer '{}' (tokenizer.ggml.pre); known are {}",
               name, known);
}

struct WordSplitter::Patterns {
  std::vector<Code2> codes;
};

WordSplitter::WordSplitter(std::unique_ptr<Patterns> patterns) : patterns_(std::move(patterns)) {}
WordSplitter::WordSplitter(WordSplitter&&) noexcept = default;
WordSplitter& WordSplitter::operator=(WordSplitter&&) noexcept = default;
WordSplitter::~WordSplitter() = default;

Result<WordSplitter> WordSplitter::Create(std::span<const std::string> patterns) {
  auto compiled = std::make_unique<Patterns>();
  for (const std::string& pattern : patterns) {
    const std::string translated = WithUnicodeWhiteSpace(pattern);
    int error = 0;
    PCRE2_SIZE offset = 0;
    // No \C: it would cut characters, and what a pattern leaves is taken to be whole ones.
    Code2 code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                             PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset,
                             nullptr));
    if (!code) {
      return Error(minnow::Code::kUnsupported, "the word pattern '{}' does not compile: {}",
                   pattern, Pcre2Message(error));
    }
    // Without just-in-time code the same matches are found, about five times slower.
    pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
    compiled->codes.push_back(std::move(code));
  }
  return WordSplitter(std::move(compiled));
}

Status WordSplitter::Split(std::string_view text, std::vector<std::string_view>& words) const {
  words.clear();
  const Match match(pcre2_match_data_create(1, nullptr));
  if (!match) return Error(Code::kExhausted, "no memory for matching");
  std::vector<std::string_view> parts;
  std::vector<std::string_view> cut;
  for (size_t at = 0; at < text.size();) {
    if (const size_t length = WellFormedLength(text, at); length > 0) {
      parts.assign(1, text.substr(at, length));
      for (const Code2& code : patterns_->codes) {
        cut.clear();
        for (const std::string_view part : parts) {
          MNW_TRY(SplitByPattern(code.get(), match.get(), part, cut));
        }
        parts.swap(cut);
      }
      words.insert(words.end(), parts.begin(), parts.end());
      at += length;
    }
    const size_t bad = at;
    while (at < text.size() && !IsCodePoint(DecodeUtf8(text, at).value)) ++at;
    if (at > bad) words.push_back(text.substr(bad, at - bad));
  }
  return Status();
}

}  // namespace minnow::text
