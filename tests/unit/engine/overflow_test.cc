// What is kept of documents that do not fit. Here a token is a word with the space before it, or a
// single byte where no words are told apart.
#include "engine/overflow.h"

#include <cctype>

#include "test_util.h"

using minnow::Code;
using minnow::Result;
using minnow::engine::ByteSpan;
using minnow::engine::ChunkDocument;
using minnow::engine::FitDocument;
using minnow::engine::Fitted;
using minnow::engine::OnOverflow;
using minnow::engine::ReadOnOverflow;
using minnow::engine::TokenId;

namespace {

constexpr size_t kQuestion = 7;  // tokens around the document

struct Encoder {
  bool words = true;
  size_t tries = 0, bytes = 0;
  std::string last;

  Result<std::vector<TokenId>> operator()(std::string_view text) {
    ++tries;
    bytes += text.size();
    last = text;
    std::vector<TokenId> tokens(kQuestion, 1);
    for (size_t i = 0; i < text.size(); ++i) {
      const bool begins = !std::isspace(text[i]) && (i == 0 || std::isspace(text[i - 1]));
      if (!words || begins) tokens.push_back(2);
    }
    return tokens;
  }
};

std::string Words(size_t n) {
  std::string text;
  for (size_t i = 0; i < n; ++i) text += fmt::format("{}w{}", i ? " " : "", i * i % 1013);
  return text;
}

Result<Fitted> Fit(const std::string& document, OnOverflow how, size_t room, Encoder& encoder) {
  return FitDocument(document, how, room, std::ref(encoder));
}

std::string TextOf(const std::string& document, const ByteSpan& span) {
  return document.substr(span.begin, span.end - span.begin);
}

}  // namespace

TEST_GROUP(Overflow) { Encoder encoder; };

TEST(Overflow, WhatFitsIsLeftWhole) {
  const std::string document = Words(93);
  for (const OnOverflow how : {OnOverflow::kHead, OnOverflow::kTail, OnOverflow::kMiddle}) {
    const auto fitted = Fit(document, how, 100, encoder);
    CHECK_OK(fitted.status());
    CHECK(fitted->kept.empty());
    UNSIGNED_LONGS_EQUAL(100, fitted->prompt.size());
    STRCMP_EQUAL(document.c_str(), encoder.last.c_str());
  }
  CHECK(!Fit(document, OnOverflow::kHead, 99, encoder)->kept.empty());
  CHECK_OK(Fit("", OnOverflow::kTail, kQuestion, encoder).status());
}

TEST(Overflow, NearlyAllTheRoomIsUsedAndNoMore) {
  for (const size_t n : {100, 1000, 50'000}) {
    const std::string document = Words(n);
    for (const size_t room : {8, 20, 64, 99, 1000, 5000}) {
      if (n + kQuestion <= room) continue;
      for (const OnOverflow how : {OnOverflow::kHead, OnOverflow::kTail, OnOverflow::kMiddle}) {
        Encoder counting;
        const auto fitted = Fit(document, how, room, counting);
        CHECK_OK(fitted.status());
        CHECK(fitted->prompt.size() <= room);
        CHECK_TEXT(fitted->prompt.size() + std::max<size_t>(6, room / 100) >= room,
                   fmt::format("{} of {}", fitted->prompt.size(), room).c_str());
        CHECK(counting.tries <= 12);
        CHECK(counting.bytes <= 100 * room + 1000);  // not the document again and again
      }
    }
  }
}

TEST(Overflow, EachWayKeepsItsPart) {
  const std::string document = Words(1000);
  const auto head = Fit(document, OnOverflow::kHead, 60, encoder);
  CHECK(head->kept.size() == 1 && head->kept[0].begin == 0);
  STRCMP_EQUAL(TextOf(document, head->kept[0]).c_str(),
               encoder.last.substr(0, head->kept[0].end).c_str());
  const auto tail = Fit(document, OnOverflow::kTail, 60, encoder);
  CHECK(tail->kept.size() == 1 && tail->kept[0].end == document.size());
  const auto middle = Fit(document, OnOverflow::kMiddle, 60, encoder);
  CHECK(middle->kept.size() == 2 && middle->kept[0].begin == 0);
  CHECK(middle->kept[1].end == document.size());
  const size_t first = middle->kept[0].end, second = document.size() - middle->kept[1].begin;
  CHECK(first < second + 40 && second < first + 40);
}

TEST(Overflow, TheGapOfTheMiddleIsShown) {
  const std::string document = Words(200);
  Encoder encoder;
  const auto middle = FitDocument(document, OnOverflow::kMiddle, 60, [&](std::string_view text) {
    auto tokens = encoder(text);
    if (tokens->size() <= 60) {
      const size_t gap = text.find("\n[...]\n");
      CHECK(gap != std::string_view::npos);
      CHECK(document.starts_with(text.substr(0, gap)));
      CHECK(document.ends_with(text.substr(gap + 7)));
    }
    return tokens;
  });
  CHECK_OK(middle.status());
}

TEST(Overflow, NoCharacterAndNoWordIsCutApart) {
  std::string document;
  for (int i = 0; i < 400; ++i) document += i % 3 ? "größer " : "水水水 ";
  for (const OnOverflow how : {OnOverflow::kHead, OnOverflow::kTail, OnOverflow::kMiddle}) {
    for (size_t room = 10; room < 60; ++room) {
      const auto fitted = Fit(document, how, room, encoder);
      for (const ByteSpan& span : fitted->kept) {
        CHECK(span.begin == 0 || document[span.begin - 1] == ' ' || document[span.begin] == ' ');
        CHECK(span.end == 0 || span.end == document.size() || document[span.end] == ' ' ||
              document[span.end - 1] == ' ');
      }
    }
  }
  // Without white space, characters are still whole.
  Encoder bytes;
  bytes.words = false;
  std::string solid;
  for (int i = 0; i < 500; ++i) solid += "水";
  for (size_t room = 16; room < 60; ++room) {
    const auto fitted = Fit(solid, OnOverflow::kMiddle, room, bytes);
    CHECK_OK(fitted.status());
    for (const ByteSpan& span : fitted->kept) {
      UNSIGNED_LONGS_EQUAL(0, span.begin % 3);
      UNSIGNED_LONGS_EQUAL(0, span.end % 3);
    }
  }
}

TEST(Overflow, WithoutRoomForTheQuestionThereIsAnError) {
  CHECK_ERROR(Code::kOutOfRange, "7 tokens without the document, and 6 fit",
              Fit(Words(10), OnOverflow::kHead, kQuestion - 1, encoder).status());
  CHECK_ERROR(Code::kOutOfRange, "0 fit", Fit("", OnOverflow::kTail, 0, encoder).status());
  CHECK_ERROR(Code::kOutOfRange, "no part of the document",
              ChunkDocument(Words(10), kQuestion, std::ref(encoder)).status());
}

TEST(Overflow, AnErrorCutsNothing) {
  const auto fitted = Fit(Words(1000), OnOverflow::kError, 60, encoder);
  UNSIGNED_LONGS_EQUAL(1000 + kQuestion, fitted->prompt.size());
}

TEST(Overflow, ChunksAreTheWholeDocument) {
  for (const size_t n : {1, 10, 53, 54, 1000, 20'000}) {
    const std::string document = Words(n);
    Encoder counting;
    const auto chunks = ChunkDocument(document, 60, std::ref(counting));
    CHECK_OK(chunks.status());
    size_t at = 0;
    for (const ByteSpan& chunk : *chunks) {
      UNSIGNED_LONGS_EQUAL(at, chunk.begin);
      CHECK(counting(TextOf(document, chunk))->size() <= 60);
      at = chunk.end;
    }
    UNSIGNED_LONGS_EQUAL(document.size(), at);
    CHECK(chunks->size() <= n / 40 + 1);
    CHECK(counting.bytes <= 30 * document.size() + 1000);
  }
  UNSIGNED_LONGS_EQUAL(1, ChunkDocument("", 60, std::ref(encoder))->size());
}

TEST(Overflow, ItsNamesAreRead) {
  CHECK(*ReadOnOverflow("middle") == OnOverflow::kMiddle);
  CHECK_ERROR(Code::kInvalid, "on_overflow is 'x', must be error, head, tail, middle or chunk",
              ReadOnOverflow("x").status());
}
