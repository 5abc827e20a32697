// Text of a generation: stop strings, the end of the turn, UTF-8. The job is driven by hand, with
// logits that dictate each token.
#include <algorithm>
#include <random>

#include "build_tree.h"
#include "engine/answer.h"
#include "engine/job.h"
#include "text/utf8.h"

using minnow::engine::FinishReason;
using minnow::engine::FinishReasonName;
using minnow::engine::GeneratedToken;
using minnow::engine::GenerateRequest;
using minnow::engine::GenerateResult;
using minnow::engine::Job;
using minnow::engine::MakeGenerateJob;
using minnow::engine::TokenId;
using minnow::test::Ask;
using minnow::test::CpuEngine;
using minnow::test::GoldenPath;
using minnow::test::LoadModel;

namespace {

// What the callbacks of one generation brought.
struct Heard {
  std::vector<std::string> pieces;
  GenerateResult result;
  int ends = 0;

  std::string Text() const {
    std::string text;
    for (const std::string& p : pieces) text += p;
    return text;
  }
};

bool IsUtf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const minnow::text::CodePoint c = minnow::text::DecodeUtf8(text, at);
    if (c.value == minnow::text::kIllFormed || c.value == minnow::text::kIncomplete) return false;
    at += c.length;
  }
  return true;
}

}  // namespace

TEST_GROUP(Generate) {
  std::shared_ptr<const minnow::model::Model> model = LoadModel(GoldenPath("llama.gguf"));
  const TokenId end = model->tokenizer().vocabulary().eos;

  // A byte by itself; the vocabulary has all of them.
  TokenId Byte(char c) {
    for (TokenId id = 0; id < static_cast<TokenId>(model->tokenizer().size()); ++id) {
      if (!model->tokenizer().IsControl(id) &&
          model->tokenizer().TokenBytes(id) == std::string_view(&c, 1))
        return id;
    }
    FAIL("a byte has no token");
    return -1;
  }
  std::vector<TokenId> Bytes(std::string_view text) {
    std::vector<TokenId> tokens;
    for (char c : text) tokens.push_back(Byte(c));
    return tokens;
  }

  // The model says these tokens, as far as it is let.
  Heard Say(const std::vector<TokenId>& tokens, GenerateRequest request) {
    Heard heard;
    request.prompt = {0};
    request.on_token = [&](std::string_view text, const GeneratedToken&) {
      heard.pieces.emplace_back(text);
    };
    request.on_done = [&](GenerateResult result) {
      heard.result = std::move(result);
      ++heard.ends;
    };
    const std::unique_ptr<Job> job = MakeGenerateJob(std::move(request), model.get());
    for (TokenId token : tokens) {
      CHECK(!job->finished());
      std::vector<float> logits(model->info().n_vocab);
      logits[static_cast<size_t>(token)] = 1;
      CHECK(job->WantsLogits(job->tokens.size() - 1));
      CHECK_OK(job->OnLogits(job->tokens.size() - 1, logits));
      if (job->finished()) break;
    }
    job->End(job->finished() ? minnow::Status()
                             : minnow::Status(minnow::Code::kCancelled, "cancelled"));
    LONGS_EQUAL(1, heard.ends);
    STRCMP_EQUAL(heard.result.text.c_str(), heard.Text().c_str());
    for (const std::string& piece : heard.pieces) CHECK(IsUtf8(piece));
    return heard;
  }
  Heard Say(std::string_view text, std::vector<std::string> stop, uint32_t max_tokens) {
    GenerateRequest request;
    request.stop = std::move(stop);
    request.max_tokens = max_tokens;
    return Say(Bytes(text), std::move(request));
  }
};

TEST(Generate, AStopStringSplitOverTokensIsNotShown) {
  const Heard heard = Say("answer END more", {"END"}, 100);
  STRCMP_EQUAL("answer ", heard.result.text.c_str());
  STRCMP_EQUAL("END", heard.result.stop_string.c_str());
  STRCMP_EQUAL("stop", FinishReasonName(heard.result.finish_reason));
  UNSIGNED_LONGS_EQUAL(10, heard.result.tokens.size());
}

TEST(Generate, HeldBackTextIsShownOnceItIsNoStopString) {
  const Heard heard = Say("ENE", {"END"}, 100);
  const std::vector<std::string> expected = {"", "", "EN"};
  CHECK(expected == heard.pieces);  // the last E may still begin one
}

TEST(Generate, HeldBackTextIsReleasedAtTheEnd) {
  const Heard heard = Say("xxEN", {"END"}, 4);
  STRCMP_EQUAL("xxEN", heard.result.text.c_str());
  STRCMP_EQUAL("length", FinishReasonName(heard.result.finish_reason));
  std::vector<TokenId> tokens = Bytes("xxEN");
  tokens.push_back(end);
  GenerateRequest request;
  request.stop = {"END"};
  const Heard ended = Say(tokens, std::move(request));
  STRCMP_EQUAL("xxEN", ended.result.text.c_str());
  STRCMP_EQUAL("stop", FinishReasonName(ended.result.finish_reason));
  STRCMP_EQUAL("", ended.result.stop_string.c_str());
}

TEST(Generate, TheEndOfTheTurnIsNoPartOfTheAnswer) {
  std::vector<TokenId> tokens = Bytes("ab");
  tokens.push_back(end);
  tokens.push_back(Byte('c'));
  const Heard heard = Say(tokens, {});
  STRCMP_EQUAL("ab", heard.result.text.c_str());
  STRCMP_EQUAL("stop", FinishReasonName(heard.result.finish_reason));
  UNSIGNED_LONGS_EQUAL(2, heard.result.tokens.size());
  UNSIGNED_LONGS_EQUAL(2, heard.result.usage.completion_tokens);

  GenerateRequest request;
  request.ignore_end = true;
  request.max_tokens = 4;
  const Heard ignored = Say(tokens, std::move(request));
  STRCMP_EQUAL("abc", ignored.result.text.c_str());
  STRCMP_EQUAL("length", FinishReasonName(ignored.result.finish_reason));
  UNSIGNED_LONGS_EQUAL(4, ignored.result.tokens.size());
}

TEST(Generate, ACharacterIsNeverShownHalf) {
  const Heard heard = Say("aé€😀z", {}, 100);  // Say checks each piece
  STRCMP_EQUAL("aé€😀z", heard.result.text.c_str());
  LONGS_EQUAL(FinishReason::kCancelled, heard.result.finish_reason);
  const std::vector<std::string> expected = {"a", "", "é", "", "", "€", "", "", "", "😀", "z"};
  CHECK(expected == heard.pieces);
}

TEST(Generate, AnUnfinishedCharacterIsReplacedAtTheEnd) {
  STRCMP_EQUAL("a\xEF\xBF\xBD", Say("a\xE2\x82", {}, 3).result.text.c_str());
}

TEST(Generate, AStopStringMayBeginInsideAToken) {
  const auto tokens = model->tokenizer().Encode("water in the river", false, {false, false});
  CHECK_OK(tokens.status());
  CHECK(tokens->size() < 18);  // some tokens have two bytes
  GenerateRequest request;
  request.stop = {"r in", "he r"};
  const Heard heard = Say(*tokens, std::move(request));
  STRCMP_EQUAL("wate", heard.result.text.c_str());
  STRCMP_EQUAL("r in", heard.result.stop_string.c_str());
}

// Random texts and stop strings of two letters, which overlap in every way.
TEST(Generate, TextEndsWhereTheFirstCompleteStopStringBegins) {
  std::mt19937 rng(1);
  const auto letters = [&](size_t n) {
    std::string s;
    for (size_t i = 0; i < n; ++i) s += static_cast<char>('a' + rng() % 2);
    return s;
  };
  for (int round = 0; round < 300; ++round) {
    const std::string said = letters(20);
    std::vector<std::string> stop;
    size_t longest = 0;
    for (uint32_t i = 0; i < 1 + rng() % 3; ++i) {
      stop.push_back(letters(2 + rng() % 6));
      longest = std::max(longest, stop.back().size());
    }
    std::string expected = said;
    for (size_t n = 1; n <= said.size() && expected == said; ++n) {
      size_t begins = std::string::npos;
      for (const std::string& s : stop) begins = std::min(begins, said.substr(0, n).find(s));
      if (begins != std::string::npos) expected = said.substr(0, begins);
    }
    const Heard heard = Say(said, stop, 20);
    STRCMP_EQUAL(expected.c_str(), heard.result.text.c_str());
    CHECK((expected != said) == !heard.result.stop_string.empty());
    size_t shown = 0;
    for (size_t i = 0; i < heard.pieces.size() && i < 20; ++i) {
      shown += heard.pieces[i].size();
      CHECK(shown + longest > i + 1 || shown == expected.size());  // no more held back than needed
    }
  }
}

TEST(Generate, StopsInTheTextOfARealModel) {
  CpuEngine cpu(model);
  GenerateRequest request;
  request.prompt = {0, 40, 50, 60};
  request.max_tokens = 60;
  request.sampling = {.temperature = 1, .seed = 3};
  request.ignore_end = true;
  const auto whole = Ask(cpu.engine(), request);
  const std::string text = whole.Wait().text;
  UNSIGNED_LONGS_EQUAL(60, whole.Wait().tokens.size());
  CHECK(text.size() > 30);
  CHECK(IsUtf8(text));
  request.stop = {text.substr(text.size() / 2, 4)};
  const auto stopped = Ask(cpu.engine(), request);
  STRCMP_EQUAL(text.substr(0, text.find(request.stop[0])).c_str(), stopped.Wait().text.c_str());
  STRCMP_EQUAL(request.stop[0].c_str(), stopped.Wait().stop_string.c_str());
}
