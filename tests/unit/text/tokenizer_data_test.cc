// Published vocabularies against published ids, where the optional test data is at hand.
#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>

#include "text/pre_tokenizer.h"
#include "text/tokenizer_files.h"
#include "text/tokenizer_fixtures.h"

using namespace minnow;
using namespace minnow::text;
using nlohmann::json;
using test::DataOrSkip;

namespace {

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::unique_ptr<Tokenizer> Load(const std::string& path) {
  auto loaded = LoadTokenizer(path);
  if (!loaded.ok()) FAIL(loaded.status().message().c_str());
  return *std::move(loaded);
}

// Each text of NAME.inp must give the ids on its line of NAME.out.
void CheckPairs(const Tokenizer& t, const std::string& name) {
  constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";
  const std::string base =
      DataOrSkip("tokenizers/vocab-gguf", name.c_str()) + "/ggml-vocab-" + name;
  const std::string texts = ReadAll(base + ".gguf.inp");
  std::istringstream lines(ReadAll(base + ".gguf.out"));
  int n = 0;
  for (size_t at = 0; at <= texts.size(); ++n) {
    const size_t end = std::min(texts.find(kSeparator, at), texts.size());
    const std::string text = texts.substr(at, end - at);
    std::string line;
    std::getline(lines, line);
    std::istringstream numbers(line);
    const std::vector<TokenId> expected{std::istream_iterator<TokenId>(numbers), {}};
    if (Encode(t, text) != expected) FAIL((name + " differs on: " + text).c_str());
    at = end + kSeparator.size();
  }
  LONGS_EQUAL(47, n);
}

void CheckGguf(const char* name) {
  const std::string path =
      DataOrSkip(std::string("tokenizers/vocab-gguf/ggml-vocab-") + name + ".gguf", name);
  if (!path.empty()) CheckPairs(*Load(path), name);
}

// The lines of BERT's vocab.txt.
Vocabulary BertVocabulary(const std::string& path) {
  Vocabulary v;
  v.kind = TokenizerKind::kWordPiece;
  std::ifstream lines(path);
  for (std::string line; std::getline(lines, line);) {
    const bool control = line == "[PAD]" || line == "[CLS]" || line == "[SEP]" || line == "[MASK]";
    if (control || line == "[UNK]") {
      AddPiece(v, line, control ? PieceType::kControl : PieceType::kUnknown);
    } else {
      AddPiece(v, line.starts_with("##") ? line.substr(2) : " " + line);
    }
  }
  v.unk = 100;
  v.bos = 101;
  v.eos = 102;
  v.add_bos = v.add_eos = true;
  return v;
}

// Every control token's text, whole and cut in two spans, is ordinary text in a document.
void CheckControlChannel(const Tokenizer& t) {
  int n_control = 0;
  std::string all;
  const auto deaf = [&](std::span<const Span> spans) {
    const auto ids = Encode(t, spans);
    return std::none_of(ids.begin(), ids.end(), [&](TokenId id) { return t.IsControl(id); });
  };
  for (size_t i = 0; i < t.size(); ++i) {
    const Piece& piece = t.vocabulary().pieces[i];
    if (piece.type != PieceType::kControl) continue;
    ++n_control;
    all += piece.bytes;
    CHECK_TRUE(Encode(t, piece.bytes, true) == std::vector<TokenId>{static_cast<TokenId>(i)});
    const std::string_view text = piece.bytes;
    for (size_t cut = 0; cut <= text.size(); ++cut) {
      const Span user[] = {{text.substr(0, cut), false}, {text.substr(cut), false}};
      if (!deaf(user)) FAIL(piece.bytes.c_str());
      if (cut == 0 || cut == text.size()) continue;
      const Span head[] = {{text.substr(0, cut), true}, {text.substr(cut), false}};
      const Span tail[] = {{text.substr(0, cut), false}, {text.substr(cut), true}};
      if (!deaf(head) || !deaf(tail)) FAIL(piece.bytes.c_str());
    }
  }
  CHECK_TRUE(n_control > 0);
  const Span span[] = {{all, false}};
  CHECK_TRUE(deaf(span));
}

// Qwen 2.5's vocabulary comes as three files; its tokenizer.json would hold them like this.
json QwenJson(const std::string& folder) {
  json document = {
      {"model", {{"type", "BPE"}, {"vocab", json::parse(ReadAll(folder + "/vocab.json"))}}},
      {"normalizer", {{"type", "NFC"}}}};
  json merges = json::array();
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
  const json added = json::parse(ReadAll(folder + "/added_tokens.json"));
  for (const auto& [text, id] : added.items()) {
    document["added_tokens"].push_back(
        {{"id", id}, {"content", text}, {"special", text.starts_with("<|")}});
  }
  return document;
}

std::string FromBase64(std::string_view text) {
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
Vocabulary Llama3Vocabulary(const std::string& path) {
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

}  // namespace

TEST_GROUP(TokenizerData){};

TEST(TokenizerData, GivesThePublishedIdsForGgufVocabularies) {
  for (const char* name : {"bert-bge", "phi-3", "llama-spm", "gpt-2", "deepseek-coder", "falcon",
                           "starcoder", "refact"}) {
    CheckGguf(name);
  }
}

TEST(TokenizerData, GivesThePublishedIdsForQwen2) {
  const std::string folder = DataOrSkip("tokenizers/qwen2.5", "Qwen 2.5");
  if (folder.empty()) return;
  auto vocabulary =
      ParseTokenizerJson(QwenJson(folder).dump(), ReadAll(folder + "/tokenizer_config.json"));
  CHECK_OK(vocabulary.status());
  const auto t = MakeTokenizer(*std::move(vocabulary));
  CheckPairs(*t, "qwen2");
  CheckControlChannel(*t);
  LONGS_EQUAL(151645, t->vocabulary().eos);
  CHECK_TRUE(t->EndsTurn(151643) && t->EndsTurn(151645));
  CHECK_FALSE(t->vocabulary().add_bos);
}

TEST(TokenizerData, GivesThePublishedIdsForLlama3) {
  const std::string path = DataOrSkip("tokenizers/llama3/tokenizer.model", "Llama 3");
  if (path.empty()) return;
  const auto t = MakeTokenizer(Llama3Vocabulary(path));
  CheckPairs(*t, "llama-bpe");
  CheckControlChannel(*t);
}

TEST(TokenizerData, GivesThePublishedIdsForBert) {
  const std::string folder = DataOrSkip("tokenizers/bert-uncased", "BERT uncased");
  if (folder.empty()) return;
  const auto t = MakeTokenizer(BertVocabulary(folder + "/bert-vocab.txt"));
  const json texts = json::parse(ReadAll(folder + "/question_tokens.json"));
  const json ids = json::parse(ReadAll(folder + "/tokenized_questions.json"));
  CHECK(texts.size() > 10000 && texts.size() == ids.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto text = texts[i]["original"].get<std::string>();
    if (Encode(*t, text) != ids[i].get<std::vector<TokenId>>()) FAIL(text.c_str());
  }
  const json more = json::parse(ReadAll(folder + "/tokenizer_tests.json"))["bert-base-uncased"];
  for (const json& test : more) {
    if (!test["input"].is_string()) continue;  // pairs of texts
    const auto text = test["input"].get<std::string>();
    const auto expected = test["encoded"]["input_ids"].get<std::vector<TokenId>>();
    if (Encode(*t, text, false, EncodeOptions{}) != expected) FAIL(text.c_str());
  }
  CheckControlChannel(*t);
}

TEST(TokenizerData, AgreesBetweenTheFormatsOfOneVocabulary) {
  const std::string root = DataOrSkip("tokenizers/tinyllama", "TinyLlama");
  if (root.empty()) return;
  const auto from_json = Load(root + "/tokenizer.json");
  const auto from_model = Load(root + "/tokenizer.model");
  const auto from_gguf =
      Load(DataOrSkip("tokenizers/vocab-gguf/ggml-vocab-llama-spm.gguf", "GGUF"));
  for (const char* text : {"Hello world", "  a  b\n\n", "1234 été 🚀", "</s>", "\t"}) {
    const EncodeOptions options;
    const auto ids = Encode(*from_json, text, false, options);
    CHECK_TRUE(ids == Encode(*from_model, text, false, options));
    CHECK_TRUE(ids == Encode(*from_gguf, text, false, options));
    LONGS_EQUAL(1, ids[0]);
    STRCMP_EQUAL(text, from_json->Decode(ids).c_str());
  }
}

TEST(TokenizerData, KeepsDocumentsOffTheControlChannelOfEveryVocabulary) {
  for (const char* path :
       {"tokenizers/smollm2/tokenizer.json", "tokenizers/phi-2/tokenizer.json",
        "tokenizers/phi-3/tokenizer.json", "tokenizers/tinyllama/tokenizer.json",
        "tokenizers/tinyllama/tokenizer.model",
        "tokenizers/mistral-v0.3/sentencepiece-mistral03.model",
        "models/tinystories-656k/tokenizer.json", "tokenizers/vocab-gguf/ggml-vocab-phi-3.gguf",
        "tokenizers/vocab-gguf/ggml-vocab-deepseek-coder.gguf",
        "tokenizers/vocab-gguf/ggml-vocab-falcon.gguf",
        "tokenizers/vocab-gguf/ggml-vocab-starcoder.gguf",
        "tokenizers/vocab-gguf/ggml-vocab-refact.gguf",
        "tokenizers/vocab-gguf/ggml-vocab-bert-bge.gguf"}) {
    const std::string found = DataOrSkip(path, "the control channel");
    if (!found.empty()) CheckControlChannel(*Load(found));
  }
}
