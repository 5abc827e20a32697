// Vocabularies of the optional test data that come in files of their authors' own.
#pragma once

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "text/pre_tokenizer.h"
#include "text/tokenizer_files.h"
#include "text/tokenizer_fixtures.h"

namespace minnow::text {

inline std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Qwen 2.5's vocabulary comes as three files; its tokenizer.json would hold them like this.
inline nlohmann::json QwenJson(const std::string& folder) {
  nlohmann::json document = {
      {"model",
       {{"type", "BPE"}, {"vocab", nlohmann::json::parse(ReadAll(folder + "/vocab.json"))}}},
      {"normalizer", {{"type", "NFC"}}}};
  nlohmann::json merges = nlohmann::json::array();
  std::istringstream lines(ReadAll(folder + "/merges.txt"));
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && !line.starts_with("#version")) merges.push_back(line);
  }
  document["model"]["merges"] = std::move(merges);
  const std::string pattern = FindPreTokenizer("qwen2")->patterns[0];
  document["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}},
        {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
  const nlohmann::json added = nlohmann::json::parse(ReadAll(folder + "/added_tokens.json"));
  for (const auto& [text, id] : added.items()) {
    document["added_tokens"].push_back(
        {{"id", id}, {"content", text}, {"special", text.starts_with("<|")}});
  }
  return document;
}

inline Vocabulary QwenVocabulary(const std::string& folder) {
  auto vocabulary =
      ParseTokenizerJson(QwenJson(folder).dump(), ReadAll(folder + "/tokenizer_config.json"));
  CHECK_OK(vocabulary.status());
  return *std::move(vocabulary);
}

inline std::string FromBase64(std::string_view text) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  unsigned bits = 0;
  int n_bits = 0;
  for (const char c : text) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<unsigned>(kDigits.find(c));
    if ((n_bits += 6) >= 8) out += static_cast<char>(bits >> (n_bits -= 8));
  }
  return out;
}

// Llama 3's tiktoken file: pieces by rank, and the lowest rank merges first.
inline Vocabulary Llama3Vocabulary(const std::string& path) {
  Vocabulary v;
  v.kind = TokenizerKind::kByteLevel;
  std::istringstream lines(ReadAll(path));
  std::string token;
  for (int rank = 0; lines >> token >> rank;) {
    LONGS_EQUAL(v.pieces.size(), rank);
    AddPiece(v, FromBase64(token), PieceType::kNormal, -static_cast<float>(rank));
  }
  v.word_patterns = FindPreTokenizer("llama-bpe")->patterns;
  v.whole_words_first = true;
  v.bos = AddPiece(v, "<|begin_of_text|>", PieceType::kControl);
  v.eos = AddPiece(v, "<|end_of_text|>", PieceType::kControl);
  AddPiece(v, "<|eot_id|>", PieceType::kControl);
  v.add_bos = true;
  return v;
}

}  // namespace minnow::text
