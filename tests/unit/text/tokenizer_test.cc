#include "text/tokenizer.h"

#include <algorithm>
#include <thread>

#include "text/tokenizer_fixtures.h"

using namespace minnow;
using namespace minnow::text;

namespace {

bool HoldsControl(const Tokenizer& t, const std::vector<TokenId>& ids) {
  return std::any_of(ids.begin(), ids.end(), [&](TokenId id) { return t.IsControl(id); });
}

}  // namespace

TEST_GROUP(Tokenizer) {
  std::unique_ptr<Tokenizer> bytes = MakeTokenizer(ByteLevelVocabulary());
  std::unique_ptr<Tokenizer> sp = MakeTokenizer(SentencePieceVocabulary(true));

  std::string BytePieces(std::string_view text, bool control = false) {
    return Pieces(*bytes, Encode(*bytes, text, control));
  }
  std::string SpPieces(std::string_view text, bool control = false) {
    return Pieces(*sp, Encode(*sp, text, control));
  }
};

// Merging ----------------------------------------------------------------------------------------

TEST(Tokenizer, MergesByRankThenFromTheLeft) {
  STRCMP_EQUAL("hell|o", BytePieces("hello").c_str());
  STRCMP_EQUAL("aa|a", BytePieces("aaa").c_str());
  STRCMP_EQUAL("he|lo", BytePieces("helo").c_str());
}

TEST(Tokenizer, DoesNotMergeAcrossWords) {
  STRCMP_EQUAL("he|1|ll", BytePieces("he1ll").c_str());
  STRCMP_EQUAL("a| |aa|a", BytePieces("a aaa").c_str());
}

TEST(Tokenizer, TakesWholeWordsFirstWhereTheVocabularySaysSo) {
  Vocabulary v = ByteLevelVocabulary();
  AddPiece(v, "llo");
  STRCMP_EQUAL("ll|o", Pieces(*MakeTokenizer(v), Encode(*MakeTokenizer(v), "llo")).c_str());
  v.whole_words_first = true;
  STRCMP_EQUAL("llo", Pieces(*MakeTokenizer(v), Encode(*MakeTokenizer(v), "llo")).c_str());
}

TEST(Tokenizer, LeavesOutBytesWithoutPieceAndMergesTheirNeighbours) {
  Vocabulary v = ByteLevelVocabulary();
  v.pieces['!'].type = PieceType::kUnused;
  v.word_patterns = {R"(\S+|\s+)"};
  const auto t = MakeTokenizer(v);
  STRCMP_EQUAL("he", Pieces(*t, Encode(*t, "h!e")).c_str());
}

TEST(Tokenizer, MergesSentencePieceByScoreThenFromTheLeft) {
  STRCMP_EQUAL(" |abc", SpPieces("abc").c_str());  // "ab" first, then "abc" beats " ab"
  STRCMP_EQUAL(" |bc", SpPieces("bc").c_str());
  STRCMP_EQUAL("  |  | ab", SpPieces("    ab").c_str());
}

TEST(Tokenizer, ReachesPiecesWhoseCharactersHaveNone) {
  Vocabulary v = SentencePieceVocabulary(true);
  AddPiece(v, "xy");
  const auto t = MakeTokenizer(v);
  STRCMP_EQUAL(" |xy", Pieces(*t, Encode(*t, "xy")).c_str());
  STRCMP_EQUAL(" |x|a", Pieces(*t, Encode(*t, "xa")).c_str());
  CHECK_TRUE(t->vocabulary().pieces[Encode(*t, "xa")[1]].type == PieceType::kByte);
}

TEST(Tokenizer, FallsBackToBytes) {
  const auto ids = Encode(*sp, "aé");
  LONGS_EQUAL(3, ids.size());
  LONGS_EQUAL(3 + 0xC3, ids[1]);
  LONGS_EQUAL(3 + 0xA9, ids[2]);
}

TEST(Tokenizer, MakesOneUnknownTokenOfARunWithoutPieces) {
  const auto t = MakeTokenizer(SentencePieceVocabulary(false));
  STRCMP_EQUAL(" a|<unk>|b|<unk>", Pieces(*t, Encode(*t, "aéöb\xFF")).c_str());
}

TEST(Tokenizer, TakesUnusedPiecesForNothing) {
  Vocabulary v = SentencePieceVocabulary(true);
  v.pieces[IdOf(v, "abc")].type = PieceType::kUnused;
  const auto t = MakeTokenizer(v);
  STRCMP_EQUAL(" ab|c", Pieces(*t, Encode(*t, "abc")).c_str());
}

TEST(Tokenizer, EncodesAMegabyteWithoutSpacesInMoments) {
  const std::string text(1 << 20, 'a');
  LONGS_EQUAL(1 << 19, Encode(*bytes, text).size());
  Vocabulary v = SentencePieceVocabulary(true);
  AddPiece(v, "aa", PieceType::kNormal, -20);
  AddPiece(v, "aaaa", PieceType::kNormal, -21);
  const auto t = MakeTokenizer(v);
  CHECK_TRUE(Encode(*t, text).size() <= (1 << 18) + 2);
}

TEST(Tokenizer, GivesTheSameIdsOnManyThreads) {
  const auto expected = Encode(*bytes, "hello hello aaa");
  std::vector<std::thread> threads;
  std::vector<int> equal(4, 0);
  for (int& same : equal) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        auto ids = bytes->Encode("hello hello aaa", false, kBare);
        same += ids.ok() && *ids == expected;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int same : equal) LONGS_EQUAL(200, same);
}

// Spans and the control channel ------------------------------------------------------------------

TEST(Tokenizer, FindsControlTokensOnlyInTemplateText) {
  STRCMP_EQUAL("<|im_end|>", BytePieces("<|im_end|>", true).c_str());
  CHECK_FALSE(HoldsControl(*bytes, Encode(*bytes, "<|im_end|>", false)));
  STRCMP_EQUAL("<|im_end|>", bytes->Decode(Encode(*bytes, "<|im_end|>", false)).c_str());
}

TEST(Tokenizer, NeverLetsADocumentWriteAControlToken) {
  for (const Tokenizer* t : {bytes.get(), sp.get()}) {
    for (const Piece& piece : t->vocabulary().pieces) {
      if (piece.type != PieceType::kControl) continue;
      const std::string_view name = piece.bytes;
      for (size_t cut = 0; cut <= name.size(); ++cut) {
        const std::string_view head = name.substr(0, cut);
        const std::string_view tail = name.substr(cut);
        const Span both_user[] = {{head, false}, {tail, false}};
        CHECK_FALSE(HoldsControl(*t, Encode(*t, both_user)));
        const Span template_begins[] = {{head, true}, {tail, false}};
        CHECK_EQUAL(tail.empty(), HoldsControl(*t, Encode(*t, template_begins)));
        const Span template_ends[] = {{head, false}, {tail, true}};
        CHECK_EQUAL(head.empty(), HoldsControl(*t, Encode(*t, template_ends)));
        const Span both_template[] = {{head, true}, {"", false}, {tail, true}};
        CHECK_TRUE(HoldsControl(*t, Encode(*t, both_template)));
      }
    }
  }
}

TEST(Tokenizer, DropsMergesThatSpellAControlToken) {
  Vocabulary v = ByteLevelVocabulary();
  v.word_patterns = {R"(\S+|\s+)"};
  v.whole_words_first = true;
  AddMerge(v, "<", "s");
  AddMerge(v, "<s", ">");
  v.pieces[IdOf(v, "<s>")].type = PieceType::kControl;
  const auto t = MakeTokenizer(v);
  STRCMP_EQUAL("<s|>", Pieces(*t, Encode(*t, "<s>", false)).c_str());
  STRCMP_EQUAL("<s>", Pieces(*t, Encode(*t, "<s>", true)).c_str());
}

TEST(Tokenizer, MakesControlTokensOfMistypedTurnTokens) {
  Vocabulary v = ByteLevelVocabulary();
  const TokenId end = AddPiece(v, "<end_of_turn>", PieceType::kUserDefined);
  v.pieces[v.eos].type = PieceType::kNormal;
  const TokenId ordinary = AddPiece(v, "</s>");
  const auto t = MakeTokenizer(v);
  CHECK_TRUE(t->IsControl(end));
  CHECK_TRUE(t->EndsTurn(end));
  CHECK_TRUE(t->IsControl(v.eos));
  CHECK_FALSE(t->IsControl(ordinary));
  CHECK_FALSE(t->EndsTurn(ordinary));
}

TEST(Tokenizer, NeverProducesBosOrEosForUnknownText) {
  Vocabulary v = SentencePieceVocabulary(false);
  v.unk = v.eos;
  const auto t = MakeTokenizer(v);
  CHECK_FALSE(HoldsControl(*t, Encode(*t, "xyz")));
}

TEST(Tokenizer, TokenizesNeighbouringSpansJointly) {
  const Span spans[] = {{"h", true}, {"el", false}, {"l", true}, {"o", false}};
  STRCMP_EQUAL("hell|o", Pieces(*bytes, Encode(*bytes, spans)).c_str());
  const Span sp_spans[] = {{"a", true}, {"b", false}};
  STRCMP_EQUAL(" ab", Pieces(*sp, Encode(*sp, sp_spans)).c_str());
}

TEST(Tokenizer, FindsUserDefinedTokensEverywhere) {
  STRCMP_EQUAL("he|<think>|ll", BytePieces("he<think>ll").c_str());
  const Span spans[] = {{"<thi", true}, {"nk>", false}};
  STRCMP_EQUAL("<think>", Pieces(*bytes, Encode(*bytes, spans)).c_str());
}

TEST(Tokenizer, PrefersTheLongestTokenAtAPlace) {
  Vocabulary v = ByteLevelVocabulary();
  AddPiece(v, "<think>!", PieceType::kUserDefined);
  AddPiece(v, "<think>!!!", PieceType::kControl);
  const auto t = MakeTokenizer(v);
  STRCMP_EQUAL("<think>!|!|!", Pieces(*t, Encode(*t, "<think>!!!")).c_str());
  STRCMP_EQUAL("<think>!!!", Pieces(*t, Encode(*t, "<think>!!!", true)).c_str());
  STRCMP_EQUAL("<think>|he", Pieces(*t, Encode(*t, "<think>he", true)).c_str());
}

TEST(Tokenizer, LetsTokensTakeTheWhiteSpaceBesideThem) {
  Vocabulary v = ByteLevelVocabulary();
  v.pieces[IdOf(v, "<|im|>")].eats_space_after = true;
  v.pieces[IdOf(v, "<think>")].eats_space_before = true;
  const auto t = MakeTokenizer(v);
  STRCMP_EQUAL("<|im|>|he", Pieces(*t, Encode(*t, "<|im|> \n\xC2\xA0he", true)).c_str());
  STRCMP_EQUAL("he|<think>| ", Pieces(*t, Encode(*t, "he \xE3\x80\x80\n<think> ")).c_str());
  STRCMP_EQUAL("<|im|>|<think>", Pieces(*t, Encode(*t, "<|im|> <think>", true)).c_str());
}

// BOS, EOS, prefix spaces ------------------------------------------------------------------------

TEST(Tokenizer, AddsExactlyOneBos) {
  const TokenId bos = bytes->vocabulary().bos;
  const EncodeOptions with_bos{};
  CHECK_TRUE(Encode(*bytes, "", false, with_bos) == std::vector<TokenId>{bos});
  CHECK_TRUE(Encode(*bytes, "he", false, with_bos) == (std::vector<TokenId>{bos, 256}));
  CHECK_TRUE(Encode(*bytes, "<|bos|>he", true, with_bos) == (std::vector<TokenId>{bos, 256}));
  CHECK_TRUE(Encode(*bytes, "<|bos|>he", true) == (std::vector<TokenId>{bos, 256}));
  // A document that begins with the text of BOS does not stand in for it.
  LONGS_EQUAL(bos, Encode(*bytes, "<|bos|>", false, with_bos)[0]);
  CHECK_FALSE(Encode(*bytes, "<|bos|>", false, with_bos)[1] == bos);
}

TEST(Tokenizer, AddsBosAndEosOnlyWhereTheModelDoes) {
  Vocabulary v = ByteLevelVocabulary();
  v.add_bos = false;
  v.add_eos = true;
  const auto t = MakeTokenizer(v);
  CHECK_TRUE(Encode(*t, "he", false, {true, true}) == (std::vector<TokenId>{256, v.eos}));
  CHECK_TRUE(Encode(*t, "he", false, {true, false}) == (std::vector<TokenId>{256}));
}

TEST(Tokenizer, PutsThePrefixSpaceWhereTheVocabularySays) {
  Vocabulary v = SentencePieceVocabulary(true);
  AddPiece(v, "<x>", PieceType::kUserDefined);
  const auto pieces = [&](PrefixSpace where, std::string_view text) {
    v.prefix_space = where;
    const auto t = MakeTokenizer(v);
    const auto ids = Encode(*t, text, true);
    // Whatever the rule, decoding undoes it.
    STRCMP_EQUAL(std::string(text).c_str(), t->Decode(ids, {false}).c_str());
    return Pieces(*t, ids);
  };
  STRCMP_EQUAL("a|<s>|a|<x>|a", pieces(PrefixSpace::kNone, "a<s>a<x>a").c_str());
  STRCMP_EQUAL(" a|<s>|a|<x>|a", pieces(PrefixSpace::kTextStart, "a<s>a<x>a").c_str());
  STRCMP_EQUAL(" a|<s>| a|<x>|a", pieces(PrefixSpace::kAfterControl, "a<s>a<x>a").c_str());
  STRCMP_EQUAL(" a|<s>| a|<x>| a", pieces(PrefixSpace::kSegment, "a<s>a<x>a").c_str());
  STRCMP_EQUAL(" |<x>|a", pieces(PrefixSpace::kAfterControl, "<x>a").c_str());
  STRCMP_EQUAL("<x>| a", pieces(PrefixSpace::kSegment, "<x>a").c_str());
  STRCMP_EQUAL("", pieces(PrefixSpace::kSegment, "").c_str());
}

TEST(Tokenizer, LeavesOutThePrefixWhereTheSegmentHasASpace) {
  Vocabulary v = SentencePieceVocabulary(true);
  STRCMP_EQUAL(" | a", Pieces(*MakeTokenizer(v), Encode(*MakeTokenizer(v), " a")).c_str());
  v.prefix_unless_space = true;
  STRCMP_EQUAL(" a", Pieces(*MakeTokenizer(v), Encode(*MakeTokenizer(v), " a")).c_str());
  STRCMP_EQUAL(" a", Pieces(*MakeTokenizer(v), Encode(*MakeTokenizer(v), "a")).c_str());
}

TEST(Tokenizer, TrimsSpacesWhereTheVocabularySays) {
  Vocabulary v = SentencePieceVocabulary(true);
  v.trim_spaces = true;
  const auto t = MakeTokenizer(v);
  STRCMP_EQUAL(" a| ab", Pieces(*t, Encode(*t, "  a   ab  ")).c_str());
  LONGS_EQUAL(0, Encode(*t, "   ").size());
}

TEST(Tokenizer, TakesTheVisibleSpaceForASpace) {
  CHECK_TRUE(Encode(*sp,
                    "a\xE2\x96\x81"
                    "ab") == Encode(*sp, "a ab"));
}

// Bytes that are no UTF-8, and back to text ------------------------------------------------------

TEST(Tokenizer, PassesIllFormedBytesThrough) {
  for (const Tokenizer* t : {bytes.get(), sp.get()}) {
    for (const std::string_view text : {"\xFF", "he\xFFll", "\xC3", "\xE2\x82", "a\xED\xA0\x80z",
                                        "\xF4\x90\x80\x80", "\x80\xC3\xA9"}) {
      STRCMP_EQUAL(std::string(text).c_str(), t->Decode(Encode(*t, text)).c_str());
    }
  }
  STRCMP_EQUAL("he|\xFF|ll", BytePieces("he\xFFll").c_str());
}

TEST(Tokenizer, RoundTripsEveryByteAndZero) {
  std::string all;
  for (int b = 0; b < 256; ++b) all += static_cast<char>(b);
  CHECK_TRUE(bytes->Decode(Encode(*bytes, all)) == all);
  CHECK_TRUE(sp->Decode(Encode(*sp, all)) == all);
}

TEST(Tokenizer, NormalizesOnlyWhereTheVocabularySays) {
  Vocabulary v = ByteLevelVocabulary();
  CHECK_EQUAL(3, Encode(*bytes, "e\xCC\x81").size());
  v.normalize_nfc = true;
  const auto t = MakeTokenizer(v);
  CHECK_TRUE(Encode(*t, "e\xCC\x81") == std::vector<TokenId>{261});
  // Accents sort by class, and bytes that are no UTF-8 stay where they are.
  STRCMP_EQUAL("\xE1\xBB\x87\xFF", t->Decode(Encode(*t, "e\xCC\x82\xCC\xA3\xFF")).c_str());
}

TEST(Tokenizer, SkipsControlTokensWhenDecodingUnlessAsked) {
  const auto ids = Encode(*bytes, "<|im|>he<think>", true);
  STRCMP_EQUAL("he<think>", bytes->Decode(ids).c_str());
  STRCMP_EQUAL("<|im|>he<think>", bytes->Decode(ids, {false}).c_str());
}

TEST(Tokenizer, GivesNoBytesForIdsOutsideTheVocabulary) {
  const TokenId ids[] = {-1, 1 << 30, 256};
  STRCMP_EQUAL("he", bytes->Decode(ids).c_str());
  CHECK_TRUE(bytes->TokenBytes(-5).empty());
  CHECK_FALSE(bytes->IsControl(1 << 30));
}

TEST(Tokenizer, StreamsWholeCharacters) {
  StreamDecoder stream(*bytes);
  STRCMP_EQUAL("", stream.Push(0xF0).c_str());
  STRCMP_EQUAL("", stream.Push(0x9F).c_str());
  STRCMP_EQUAL("", stream.Push(0x9A).c_str());
  STRCMP_EQUAL("\xF0\x9F\x9A\x80", stream.Push(0x80).c_str());
  STRCMP_EQUAL("he", stream.Push(256).c_str());
  STRCMP_EQUAL("", stream.Push(0xE2).c_str());
  STRCMP_EQUAL(
      "\xEF\xBF\xBD"
      "a",
      stream.Push('a').c_str());
  STRCMP_EQUAL("\xEF\xBF\xBD", stream.Push(0xFF).c_str());
  STRCMP_EQUAL("", stream.Push(0xC3).c_str());
  STRCMP_EQUAL("\xEF\xBF\xBD", stream.Finish().c_str());
  STRCMP_EQUAL("", stream.Finish().c_str());
}

TEST(Tokenizer, StreamsTheLeadingSpaceOnlyWhereItWasWritten) {
  const Vocabulary& v = sp->vocabulary();
  const TokenId space_ab = IdOf(v, " ab");
  STRCMP_EQUAL("ab", StreamDecoder(*sp).Push(space_ab).c_str());
  const TokenId after_control[] = {space_ab, v.bos};
  STRCMP_EQUAL("ab", StreamDecoder(*sp, {}, after_control).Push(space_ab).c_str());
  const TokenId after_text[] = {v.bos, space_ab};
  STRCMP_EQUAL(" ab", StreamDecoder(*sp, {}, after_text).Push(space_ab).c_str());
}

TEST(Tokenizer, StreamsWhatDecodeGives) {
  for (const Tokenizer* t : {bytes.get(), sp.get()}) {
    const auto ids = Encode(*t, "hello é a  ab 🚀\n", false);
    StreamDecoder stream(*t);
    std::string text;
    for (const TokenId id : ids) text += stream.Push(id);
    text += stream.Finish();
    STRCMP_EQUAL(t->Decode(ids).c_str(), text.c_str());
  }
}

// Vocabularies that cannot be --------------------------------------------------------------------

TEST(Tokenizer, RefusesVocabulariesThatContradictThemselves) {
  Vocabulary v = ByteLevelVocabulary();
  v.eos = 5000;
  CHECK_ERROR(Code::kCorrupt, "EOS token 5000", Tokenizer::Create(v).status());
  v = ByteLevelVocabulary();
  v.bos = kNoToken;
  CHECK_ERROR(Code::kCorrupt, "BOS", Tokenizer::Create(v).status());
  v = ByteLevelVocabulary();
  v.merges.push_back({0, 1, 9999});
  CHECK_ERROR(Code::kCorrupt, "merge 6", Tokenizer::Create(v).status());
  v = ByteLevelVocabulary();
  v.word_patterns = {"(unclosed"};
  CHECK_ERROR(Code::kUnsupported, "(unclosed", Tokenizer::Create(v).status());
  v = SentencePieceVocabulary(false);
  v.pieces.back().score = std::numeric_limits<float>::quiet_NaN();
  CHECK_ERROR(Code::kCorrupt, "not a number", Tokenizer::Create(v).status());
  v = SentencePieceVocabulary(false);
  AddPiece(v, std::string(5000, 'a'));
  CHECK_ERROR(Code::kUnsupported, "5000 bytes", Tokenizer::Create(v).status());
  CHECK_ERROR(Code::kCorrupt, "empty", Tokenizer::Create(Vocabulary()).status());
}
