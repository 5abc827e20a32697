// Published vocabularies against published ids, where the optional test data is at hand.
#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>

#include "text/pre_tokenizer.h"
#include "text/published_vocabularies.h"
#include "text/tokenizer_files.h"
#include "text/tokenizer_fixtures.h"

using namespace minnow;
using namespace minnow::text;
using nlohmann::json;
using test::DataOrSkip;

namespace {

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
  const auto t = MakeTokenizer(QwenVocabulary(folder));
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
