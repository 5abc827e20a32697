// WordPiece: words without case and accents, of the longest pieces that fit.
#include "text/tokenizer_fixtures.h"

using namespace minnow;
using namespace minnow::text;

namespace {

Vocabulary WordPieces() {
  Vocabulary v;
  v.kind = TokenizerKind::kWordPiece;
  v.bos = AddPiece(v, "[CLS]", PieceType::kControl);
  v.eos = AddPiece(v, "[SEP]", PieceType::kControl);
  v.unk = AddPiece(v, "[UNK]", PieceType::kUnknown);
  v.add_bos = v.add_eos = true;
  v.prefix_space = PrefixSpace::kTextStart;
  for (const char* piece :
       {" a", " cafe", " un", "aff", "able", "a", " .", " [", " ]", " cls", " \xE6\x9D\xB1"}) {
    AddPiece(v, piece);
  }
  return v;
}

}  // namespace

TEST_GROUP(WordPiece) {
  std::unique_ptr<Tokenizer> t = MakeTokenizer(WordPieces());

  void CheckPieces(const char* expected, std::string_view text) {
    STRCMP_EQUAL(expected, Pieces(*t, Encode(*t, text)).c_str());
  }
};

TEST(WordPiece, TakesTheLongestPiecesFromTheLeft) {
  CheckPieces(" un|aff|able", "unaffable");
  CheckPieces(" a|aff", "aaff");
}

TEST(WordPiece, AWordThatCannotBeBuiltIsUnknownAsAWhole) {
  CheckPieces(" a|[UNK]| a", "a unaffably a");
  CheckPieces("[UNK]", "a" + std::string(100, 'a'));  // 101 letters
  LONGS_EQUAL(100, Encode(*t, std::string(100, 'a')).size());
}

TEST(WordPiece, CaseAndAccentsDoNotCount) {
  CheckPieces(" cafe| cafe", "CAF\xC3\x89 cafe\xCC\x81");
}

TEST(WordPiece, PunctuationAndIdeographsStandAlone) {
  CheckPieces(" a| .| .| a", "a..a");
  CheckPieces(" a| \xE6\x9D\xB1| a",
              "a\xE6\x9D\xB1"
              "a");
}

TEST(WordPiece, WhatIsNoTextIsLeftOut) {
  CheckPieces(" cafe", std::string_view("ca\0f\xE2\x80\x8B"
                                        "e",
                                        8));  // U+200B
  CheckPieces(" cafe",
              "ca\xFF"
              "fe");
  CheckPieces(" a| a",
              "a\xC2\xA0"
              "a");
  CheckPieces("", " \t\n");
}

TEST(WordPiece, ATextStandsBetweenTwoControlTokens) {
  CHECK((std::vector<TokenId>{0, 3, 1}) == Encode(*t, "a", false, EncodeOptions{}));
  CHECK((std::vector<TokenId>{0, 1}) == Encode(*t, "", false, EncodeOptions{}));
}

TEST(WordPiece, ADocumentCannotWriteThem) {
  CheckPieces(" [| cls| ]", "[CLS]");
  CHECK(std::vector<TokenId>{0} == Encode(*t, "[CLS]", true));
}

TEST(WordPiece, DecodingJoinsPiecesIntoWords) {
  STRCMP_EQUAL("unaffable a .", t->Decode(Encode(*t, "Unaffable a.")).c_str());
}
