#include "text/tokenizer_files.h"

#include <bit>
#include <fstream>
#include <nlohmann/json.hpp>

#include "formats/gguf_writer.h"
#include "text/tokenizer_fixtures.h"

using namespace minnow;
using namespace minnow::text;
using nlohmann::json;
using test::TempDir;

namespace {

void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

json ByteLevelJson() {
  return json::parse(R"({
    "normalizer": null,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
    "post_processor": {"type": "ByteLevel", "trim_offsets": false},
    "model": {
      "type": "BPE", "unk_token": null, "byte_fallback": false,
      "vocab": {"a": 0, "b": 1, "c": 2, "Ġ": 3, "ab": 4, "Ġab": 5, "1": 6},
      "merges": ["a b", "Ġ ab"]
    },
    "added_tokens": [
      {"id": 7, "content": "<|im_end|>", "special": true},
      {"id": 8, "content": "<tag>", "special": false, "rstrip": true}
    ]
  })");
}

json WordPieceJson() {
  return json::parse(R"({
    "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                   "strip_accents": null, "lowercase": true},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]},
    "model": {
      "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
      "max_input_chars_per_word": 100,
      "vocab": {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "cafe": 3, "##s": 4, "s": 5, "##": 6}
    },
    "added_tokens": [
      {"id": 0, "content": "[UNK]", "special": true},
      {"id": 1, "content": "[CLS]", "special": true},
      {"id": 2, "content": "[SEP]", "special": true}
    ]
  })");
}

json SentencePieceJson() {
  return json::parse(R"({
    "normalizer": {"type": "Sequence", "normalizers": [
      {"type": "Prepend", "prepend": "▁"},
      {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    ]},
    "pre_tokenizer": null,
    "post_processor": {"type": "TemplateProcessing", "single": [
      {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    ]},
    "model": {
      "type": "BPE", "unk_token": "<unk>", "byte_fallback": true,
      "vocab": {"<unk>": 0, "<s>": 1, "</s>": 2, "<0x41>": 3, "▁": 4, "a": 5, "b": 6, "▁a": 7, "ab": 8},
      "merges": [["▁", "a"], ["a", "b"]]
    },
    "added_tokens": [
      {"id": 0, "content": "<unk>", "special": true},
      {"id": 1, "content": "<s>", "special": true},
      {"id": 2, "content": "</s>", "special": true}
    ]
  })");
}

Status Parse(const json& document) { return ParseTokenizerJson(document.dump(), {}).status(); }

// A protocol buffer by hand.
std::string Varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out += static_cast<char>(value);
}
std::string Number(int field, uint64_t value) { return Varint(field << 3) + Varint(value); }
std::string Bytes(int field, const std::string& bytes) {
  return Varint(field << 3 | 2) + Varint(bytes.size()) + bytes;
}
std::string SpPiece(const std::string& piece, float score, int type = 1) {
  const auto bits = std::bit_cast<uint32_t>(score);
  std::string fixed(4, '\0');
  for (int i = 0; i < 4; ++i) fixed[i] = static_cast<char>(bits >> (8 * i));
  return Bytes(1,
               Bytes(1, piece) + Varint(2 << 3 | 5) + fixed + (type == 1 ? "" : Number(3, type)));
}
std::string SpModel(const std::string& trainer, const std::string& normalizer) {
  return SpPiece("<unk>", 0, 2) + SpPiece("<s>", 0, 3) + SpPiece("</s>", 0, 3) +
         SpPiece("<0xFF>", 0, 6) + SpPiece("▁a", -1) + SpPiece("ab", -2) + SpPiece("▁", -3) +
         SpPiece("a", -4) + SpPiece("b", -5) + SpPiece("<x>", 0, 4) + Bytes(2, trainer) +
         Bytes(3, normalizer);
}
const std::string kBpe = Number(3, 2);
const std::string kKeepSpaces = Number(4, 0);

}  // namespace

TEST_GROUP(TokenizerFiles) {
  TempDir dir;

  std::unique_ptr<Tokenizer> Load(const std::string& name, const std::string& bytes) {
    WriteFile(dir / name, bytes);
    auto loaded = LoadTokenizer(dir / name);
    if (!loaded.ok()) FAIL(loaded.status().message().c_str());
    return *std::move(loaded);
  }

  formats::GgufWriter SpGguf() {
    formats::GgufWriter gguf;
    gguf.SetString("tokenizer.ggml.model", "llama");
    gguf.SetStrings("tokenizer.ggml.tokens",
                    {"<unk>", "<s>", "</s>", "<0xFF>", "▁a", "ab", "▁", "a", "b", "<|end|>"});
    gguf.SetF32s("tokenizer.ggml.scores", {0, 0, 0, 0, -1, -2, -3, -4, -5, 0});
    gguf.SetI32s("tokenizer.ggml.token_type", {2, 3, 3, 6, 1, 1, 1, 1, 1, 3});
    return gguf;
  }

  formats::GgufWriter ByteLevelGguf() {
    formats::GgufWriter gguf;
    gguf.SetString("tokenizer.ggml.model", "gpt2");
    gguf.SetString("tokenizer.ggml.pre", "qwen2");
    gguf.SetStrings("tokenizer.ggml.tokens", {"a", "b", "Ġ", "ab", "Ġab", "<|im_end|>", "Ã", "©"});
    gguf.SetI32s("tokenizer.ggml.token_type", {1, 1, 1, 1, 1, 3, 1, 1});
    gguf.SetStrings("tokenizer.ggml.merges", {"a b", "Ġ ab"});
    gguf.SetU32("tokenizer.ggml.eos_token_id", 5);
    return gguf;
  }

  Result<std::unique_ptr<Tokenizer>> LoadGguf(const formats::GgufWriter& gguf) {
    CHECK_OK(gguf.Write(dir / "model.gguf"));
    return LoadTokenizer(dir / "model.gguf");
  }
};

// tokenizer.json ---------------------------------------------------------------------------------

TEST(TokenizerFiles, ReadsByteLevelJson) {
  const auto t = Load("tokenizer.json", "\n " + ByteLevelJson().dump());
  STRCMP_EQUAL("ab| ab|1|<tag>|c", Pieces(*t, Encode(*t, "ab ab1<tag> \nc")).c_str());
  CHECK_TRUE(t->IsControl(7));
  CHECK_TRUE(t->EndsTurn(7));
  CHECK_FALSE(t->vocabulary().add_bos);
}

TEST(TokenizerFiles, ReadsSentencePieceJson) {
  const auto t = Load("tokenizer.json", SentencePieceJson().dump());
  CHECK_TRUE(Encode(*t, "ab", false, {}) == (std::vector<TokenId>{1, 7, 6}));
  CHECK_TRUE(Encode(*t, "bA") == (std::vector<TokenId>{4, 6, 3}));
  CHECK_TRUE(Encode(*t, "bzz") == (std::vector<TokenId>{4, 6, 0}));
  CHECK_TRUE(Encode(*t, "a<s>a", true) == (std::vector<TokenId>{7, 1, 7}));
}

TEST(TokenizerFiles, ReadsMetaspace) {
  json document = SentencePieceJson();
  document.erase("normalizer");
  document["pre_tokenizer"] = {
      {"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "first"}, {"split", false}};
  const auto t = Load("tokenizer.json", document.dump());
  CHECK_TRUE(Encode(*t, "a<s>a", true) == (std::vector<TokenId>{7, 1, 5}));
  CHECK_TRUE(Encode(*t, " a") == (std::vector<TokenId>{7}));
}

TEST(TokenizerFiles, TakesSpecialTokensFromTheConfigBeside) {
  WriteFile(dir / "tokenizer_config.json", json{{"bos_token", nullptr},
                                                {"eos_token", {{"content", "<|im_end|>"}}},
                                                {"pad_token", "<tag>"},
                                                {"add_bos_token", true}}
                                               .dump());
  const auto t = Load("tokenizer.json", ByteLevelJson().dump());
  LONGS_EQUAL(7, t->vocabulary().eos);
  LONGS_EQUAL(8, t->vocabulary().pad);
  CHECK_FALSE(t->vocabulary().add_bos);  // there is none to add
}

TEST(TokenizerFiles, ReadsUncasedWordPieces) {
  const auto t = Load("tokenizer.json", WordPieceJson().dump());
  CHECK_TRUE(Encode(*t, "Caf\xC3\xA9s s x", false, {}) == (std::vector<TokenId>{1, 3, 4, 5, 0, 2}));
  CHECK_TRUE(t->IsControl(1));
  json document = WordPieceJson();
  document["post_processor"] = SentencePieceJson()["post_processor"];
  document["post_processor"]["single"][0]["SpecialToken"]["id"] = "[CLS]";
  const auto without_sep = Load("tokenizer.json", document.dump());
  CHECK_TRUE(Encode(*without_sep, "s", false, {}) == (std::vector<TokenId>{1, 5}));
}

TEST(TokenizerFiles, RefusesWordPiecesThatAreNotOfTheUncasedKind) {
  const std::pair<const char*, json> kCases[] = {{"/normalizer/lowercase", false},
                                                 {"/normalizer/strip_accents", false},
                                                 {"/normalizer/type", "Lowercase"},
                                                 {"/pre_tokenizer/type", "Whitespace"},
                                                 {"/model/continuing_subword_prefix", "@@"},
                                                 {"/model/max_input_chars_per_word", 50},
                                                 {"/post_processor/sep", json::array({"[EOS]", 2})},
                                                 {"/post_processor/type", "RobertaProcessing"}};
  for (const auto& [pointer, value] : kCases) {
    json document = WordPieceJson();
    document[json::json_pointer(pointer)] = value;
    CHECK_ERROR(Code::kUnsupported, "is not supported", Parse(document));
  }
}

TEST(TokenizerFiles, AFolderIsItsTokenizerJson) {
  WriteFile(dir / "tokenizer.json", ByteLevelJson().dump());
  WriteFile(dir / "config.json", R"({"eos_token_id": 4})");
  const auto t = LoadTokenizer(dir.path());
  CHECK_OK(t.status());
  CHECK_TRUE((*t)->EndsTurn(4));
  WriteFile(dir / "generation_config.json", R"({"eos_token_id": [5]})");  // comes first
  CHECK_FALSE((*LoadTokenizer(dir.path()))->EndsTurn(4));
}

TEST(TokenizerFiles, RefusesByNameWhatItWouldDoDifferently) {
  json document = ByteLevelJson();
  document["model"]["type"] = "Unigram";
  CHECK_ERROR(Code::kUnsupported, "'Unigram' is not supported; known are BPE, WordPiece",
              Parse(document));
  document = ByteLevelJson();
  document["normalizer"] = {{"type", "Lowercase"}};
  CHECK_ERROR(Code::kUnsupported, "Lowercase", Parse(document));
  document = ByteLevelJson();
  document["pre_tokenizer"]["add_prefix_space"] = true;
  CHECK_ERROR(Code::kUnsupported, "add_prefix_space", Parse(document));
  document = ByteLevelJson();
  document["pre_tokenizer"] = {{"type", "Whitespace"}};
  CHECK_ERROR(Code::kUnsupported, "Whitespace", Parse(document));
  document = ByteLevelJson();
  document.erase("pre_tokenizer");
  CHECK_ERROR(Code::kUnsupported, "neither", Parse(document));
  document = ByteLevelJson();
  document["model"]["end_of_word_suffix"] = "</w>";
  CHECK_ERROR(Code::kUnsupported, "end_of_word_suffix", Parse(document));
  document = ByteLevelJson();
  document["post_processor"] = {{"type", "BertProcessing"}};
  CHECK_ERROR(Code::kUnsupported, "BertProcessing", Parse(document));
}

TEST(TokenizerFiles, RefusesDamagedJson) {
  CHECK_ERROR(Code::kCorrupt, "no JSON object", ParseTokenizerJson("{\"a\":", {}).status());
  CHECK_ERROR(Code::kCorrupt, "tokenizer_config.json",
              ParseTokenizerJson(ByteLevelJson().dump(), "[1]").status());
  json document = ByteLevelJson();
  document["model"]["vocab"]["far"] = 2000000000;
  CHECK_ERROR(Code::kCorrupt, "'far'", Parse(document));
  document = ByteLevelJson();
  document["model"]["vocab"]["minus"] = -1;
  CHECK_ERROR(Code::kCorrupt, "'minus'", Parse(document));
  document = ByteLevelJson();
  document["model"]["merges"] = json::array({"a zz"});
  CHECK_ERROR(Code::kCorrupt, "'a zz'", Parse(document));
  document["model"]["merges"] = json::array({"a b c"});
  CHECK_ERROR(Code::kCorrupt, "not two pieces", Parse(document));
  document["model"]["merges"] = json::array({json::array({"a", 3})});
  CHECK_ERROR(Code::kUnsupported, "merge", Parse(document));
  document = ByteLevelJson();
  document["model"]["vocab"] = json::array({1, 2});
  CHECK_ERROR(Code::kCorrupt, "vocab", Parse(document));
  document = ByteLevelJson();
  document["added_tokens"] = json::array({{{"content", "x"}}});
  CHECK_ERROR(Code::kCorrupt, "'x'", Parse(document));
}

TEST(TokenizerFiles, NeverCrashesOnJsonWithOneValueExchanged) {
  for (const json& good : {ByteLevelJson(), SentencePieceJson(), WordPieceJson()}) {
    const json flat = good.flatten();
    for (const auto& [pointer, value] : flat.items()) {
      for (const json& other : {json(nullptr), json(-1), json(1e300), json(""), json(true)}) {
        json bad = flat;
        bad[pointer] = other;
        auto vocabulary = ParseTokenizerJson(bad.unflatten().dump(), {});
        if (!vocabulary.ok()) continue;
        auto t = Tokenizer::Create(*std::move(vocabulary));
        if (t.ok()) CHECK_OK((*t)->Encode("ab <s> 1", true).status());
      }
    }
  }
}

// SentencePiece ----------------------------------------------------------------------------------

TEST(TokenizerFiles, ReadsSentencePieceModel) {
  const auto t = Load("tokenizer.model", SpModel(kBpe, kKeepSpaces));
  CHECK_TRUE(Encode(*t, "ab", false, {}) == (std::vector<TokenId>{1, 4, 8}));
  CHECK_TRUE(Encode(*t, "a  \xFF") == (std::vector<TokenId>{4, 6, 6, 3}));
  CHECK_TRUE(Encode(*t, "b<x>b") == (std::vector<TokenId>{6, 8, 9, 8}));
  CHECK_TRUE(Encode(*t, "</s>", true) == (std::vector<TokenId>{2}));
}

TEST(TokenizerFiles, FollowsTheModelsNormalizer) {
  const auto trims = Load("trims.model", SpModel(kBpe, ""));
  CHECK_TRUE(Encode(*trims, " b  b ") == (std::vector<TokenId>{6, 8, 6, 8}));
  const auto bare = Load("bare.model", SpModel(kBpe, kKeepSpaces + Number(3, 0)));
  CHECK_TRUE(Encode(*bare, "b b") == (std::vector<TokenId>{8, 6, 8}));
}

TEST(TokenizerFiles, RefusesSentencePieceModelsItCannotFollow) {
  CHECK_ERROR(Code::kUnsupported, "unigram", ParseSentencePiece(SpModel("", "")).status());
  CHECK_ERROR(Code::kUnsupported, "'word'", ParseSentencePiece(SpModel(Number(3, 3), "")).status());
  CHECK_ERROR(Code::kUnsupported, "nfkc",
              ParseSentencePiece(SpModel(kBpe, Bytes(1, "nfkc") + Bytes(2, "rules"))).status());
  CHECK_ERROR(Code::kUnsupported, "treat_whitespace_as_suffix",
              ParseSentencePiece(SpModel(kBpe + Number(24, 1), "")).status());
}

TEST(TokenizerFiles, RefusesEveryTruncationOfASentencePieceModelOrReadsIt) {
  const std::string whole = SpModel(kBpe, kKeepSpaces);
  for (size_t size = 0; size < whole.size(); ++size) {
    auto vocabulary = ParseSentencePiece(std::string_view(whole).substr(0, size));
    if (vocabulary.ok()) (void)Tokenizer::Create(*std::move(vocabulary)).ok();
  }
  CHECK_ERROR(Code::kCorrupt, "past its message", ParseSentencePiece("\x0A\x7F").status());
}

// GGUF -------------------------------------------------------------------------------------------

TEST(TokenizerFiles, ReadsSentencePieceGguf) {
  const auto t = LoadGguf(SpGguf());
  CHECK_OK(t.status());
  CHECK_TRUE(Encode(**t, "ab", false, {}) == (std::vector<TokenId>{1, 4, 8}));
  CHECK_TRUE((*t)->EndsTurn(2));
  CHECK_TRUE((*t)->EndsTurn(9));
}

TEST(TokenizerFiles, LeavesOutThePrefixWhereGgufSaysSo) {
  formats::GgufWriter gguf = SpGguf();
  gguf.SetBool("tokenizer.ggml.add_space_prefix", false);
  gguf.SetBool("tokenizer.ggml.add_bos_token", false);
  const auto t = LoadGguf(gguf);
  CHECK_OK(t.status());
  CHECK_TRUE(Encode(**t, "ab", false, {}) == (std::vector<TokenId>{5}));
}

TEST(TokenizerFiles, ReadsByteLevelGguf) {
  const auto t = LoadGguf(ByteLevelGguf());
  CHECK_OK(t.status());
  CHECK_TRUE(Encode(**t, "ab ab") == (std::vector<TokenId>{3, 4}));
  CHECK_TRUE(Encode(**t, "é") == (std::vector<TokenId>{6, 7}));
  CHECK_TRUE((*t)->vocabulary().normalize_nfc);
  CHECK_TRUE((*t)->EndsTurn(5));
}

TEST(TokenizerFiles, LetsPhi3TurnTokensTakeTheWhiteSpaceAfterThem) {
  formats::GgufWriter gguf = SpGguf();
  gguf.SetString("general.name", "Phi-3 mini");
  const auto t = LoadGguf(gguf);
  CHECK_OK(t.status());
  CHECK_TRUE(Encode(**t, "<|end|>\n a", true) == (std::vector<TokenId>{9, 4}));
  CHECK_TRUE(Encode(**t, "<s> a", true) == (std::vector<TokenId>{1, 6, 4}));
}

TEST(TokenizerFiles, RefusesGgufTokenizersItDoesNotKnow) {
  formats::GgufWriter gguf = ByteLevelGguf();
  gguf.SetString("tokenizer.ggml.pre", "martian");
  CHECK_ERROR(Code::kUnsupported, "'martian'", LoadGguf(gguf).status());
  gguf = ByteLevelGguf();
  gguf.SetString("tokenizer.ggml.model", "rwkv");
  CHECK_ERROR(Code::kUnsupported, "'rwkv'", LoadGguf(gguf).status());
  CHECK_ERROR(Code::kNotFound, "tokenizer.ggml.model", LoadGguf(formats::GgufWriter()).status());
}

TEST(TokenizerFiles, RefusesGgufTokenizersThatDoNotAddUp) {
  formats::GgufWriter gguf = SpGguf();
  gguf.SetF32s("tokenizer.ggml.scores", {0, 1});
  CHECK_ERROR(Code::kCorrupt, "scores has 2 entries for 10", LoadGguf(gguf).status());
  gguf = SpGguf();
  gguf.SetI32s("tokenizer.ggml.token_type", {1});
  CHECK_ERROR(Code::kCorrupt, "token_type", LoadGguf(gguf).status());
  gguf = ByteLevelGguf();
  gguf.SetI32s("tokenizer.ggml.token_type", {1, 1, 1, 1, 1, 77, 1, 1});
  CHECK_ERROR(Code::kCorrupt, "type 77", LoadGguf(gguf).status());
  gguf = ByteLevelGguf();
  gguf.SetStrings("tokenizer.ggml.merges", {"a", "b"});
  CHECK_ERROR(Code::kCorrupt, "not two pieces", LoadGguf(gguf).status());
}

TEST(TokenizerFiles, TakesAnIdOutsideTheVocabularyForNone) {
  formats::GgufWriter gguf = ByteLevelGguf();
  gguf.SetU32("tokenizer.ggml.padding_token_id", 0xFFFFFFFF);
  const auto t = LoadGguf(gguf);
  CHECK_OK(t.status());
  LONGS_EQUAL(kNoToken, (*t)->vocabulary().pad);
}

// Any file ---------------------------------------------------------------------------------------

TEST(TokenizerFiles, NamesTheFileItCannotUse) {
  WriteFile(dir / "notes.txt", "plain text");
  CHECK_ERROR(Code::kUnsupported, "notes.txt", LoadTokenizer(dir / "notes.txt").status());
  CHECK_ERROR(Code::kUnsupported, "SentencePiece", LoadTokenizer(dir / "notes.txt").status());
  WriteFile(dir / "empty", "");
  CHECK_ERROR(Code::kUnsupported, "empty", LoadTokenizer(dir / "empty").status());
  CHECK_ERROR(Code::kNotFound, "absent", LoadTokenizer(dir / "absent").status());
}
