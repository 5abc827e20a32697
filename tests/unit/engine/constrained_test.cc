// Answers under a constraint, of a model that knows nothing of it: they obey, end in time, take no
// step for what is forced, and are the same whatever runs beside them.
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "build_tree.h"
#include "engine/answer.h"

using minnow::Code;
using minnow::constrain::Constraint;
using minnow::engine::FinishReason;
using minnow::engine::GeneratedToken;
using minnow::engine::GenerateRequest;
using minnow::engine::GenerateResult;
using minnow::engine::TokenId;
using minnow::test::Ask;
using minnow::test::AskedGenerate;
using minnow::test::CpuEngine;
using minnow::test::CpuOptions;
using minnow::test::GoldenPath;
using minnow::test::LoadModel;
using minnow::test::TokensOf;

namespace {

Constraint Choice(const std::vector<std::string>& texts) {
  return {Constraint::Kind::kChoice, nlohmann::json(texts).dump(), ""};
}

Constraint Regex(const std::string& pattern) { return {Constraint::Kind::kRegex, pattern, ""}; }

GenerateRequest Request(Constraint constraint, uint32_t max_tokens, uint64_t seed = 0,
                        float temperature = 1.5f, TokenId first = 40) {
  GenerateRequest request;
  request.prompt = {0, first, 50, 60, 70, 80, first, 50};
  request.max_tokens = max_tokens;
  request.sampling.temperature = temperature;
  request.sampling.seed = seed;
  request.constraint = std::move(constraint);
  return request;
}

size_t Forced(const GenerateResult& result) {
  return static_cast<size_t>(std::ranges::count(result.tokens, true, &GeneratedToken::forced));
}

}  // namespace

TEST_GROUP(ConstrainedAnswer) {
  CpuEngine cpu{LoadModel(GoldenPath("llama.gguf"))};

  GenerateResult Run(const GenerateRequest& request) {
    const GenerateResult result = Ask(cpu.engine(), request).Wait();
    CHECK_OK(result.status);
    CHECK(result.finish_reason == FinishReason::kStop);
    CHECK(result.tokens.size() <= request.max_tokens);
    return result;
  }

  // Once the executor has counted the last one.
  uint64_t Steps() {
    while (cpu.engine().stats().running > 0) std::this_thread::yield();
    return cpu.engine().stats().steps;
  }

  minnow::Status Refusal(GenerateRequest request) {
    request.on_done = [](GenerateResult) { FAIL("on_done of a refused request"); };
    return cpu.engine().Generate(std::move(request)).status();
  }
};

TEST(ConstrainedAnswer, IsOneOfTheChoicesWhateverTheModelSays) {
  const std::vector<std::string> texts = {"yes", "no", "yes, and more", "\xc3\xa9t\xc3\xa9",
                                          "a \"quoted\" one"};
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const GenerateResult result = Run(Request(Choice(texts), 20, seed, 5));
    CHECK_TEXT(std::ranges::count(texts, result.text) == 1, result.text.c_str());
    seen.insert(result.text);
  }
  CHECK(seen.size() > 1);  // it is the model that chooses
}

TEST(ConstrainedAnswer, EndsCompleteWithinItsTokens) {
  // Left to itself it would go on: the end has to be reached in time.
  const Constraint list = Regex("\\[(x{1,30}(, x{1,30})*)?\\]");
  const std::string shape = "[x, ]";
  for (const uint32_t max_tokens : {2u, 3u, 7u, 40u}) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      const GenerateResult result = Run(Request(list, max_tokens, seed));
      CHECK(result.text.starts_with('[') && result.text.ends_with(']'));
      CHECK(result.text.find_first_not_of(shape) == std::string::npos);
      CHECK(result.text.find(",]") == std::string::npos);
    }
  }
  CHECK_ERROR(Code::kInvalid,
              "max_tokens is 1, but the shortest answer that the regex allows takes 2",
              Refusal(Request(list, 1)));
}

TEST(ConstrainedAnswer, TakesNoStepForWhatIsForced) {
  GenerateRequest request =
      Request(Choice({"the answer is forty-two", "the answer is not known"}), 60);
  request.speculate = false;
  const uint64_t before = Steps();
  const GenerateResult result = Run(request);
  const size_t drawn = result.tokens.size() - Forced(result);
  CHECK(Forced(result) > 10);
  UNSIGNED_LONGS_EQUAL(std::max<size_t>(1, drawn), Steps() - before);
  for (const GeneratedToken& token : result.tokens) {
    if (token.forced) DOUBLES_EQUAL(0, token.logprob, 0);
  }
  // Where there is one answer only, the model is asked nothing but the prompt.
  request.constraint = Choice({"the only answer there is"});
  const uint64_t then = Steps();
  const GenerateResult only = Run(request);
  STRCMP_EQUAL("the only answer there is", only.text.c_str());
  UNSIGNED_LONGS_EQUAL(only.tokens.size(), Forced(only));
  UNSIGNED_LONGS_EQUAL(1, Steps() - then);
}

TEST(ConstrainedAnswer, IsShownAsItComes) {
  GenerateRequest request = Request(Choice({"the \xc3\xa9 one", "the \xc3\xa8 other"}), 30);
  std::string shown;
  std::vector<TokenId> tokens;
  request.on_token = [&](std::string_view text, const GeneratedToken& token) {
    shown += text;
    if (token.token != minnow::text::kNoToken) tokens.push_back(token.token);
  };
  const GenerateResult result = Run(request);
  STRCMP_EQUAL(result.text.c_str(), shown.c_str());
  CHECK(tokens == TokensOf(result));
}

TEST(ConstrainedAnswer, IsTheSameGuessedOrNotAndBesideOthers) {
  const Constraint constraint = Regex("(ab|ba|aab){5,12}; the end of (it|that)");
  std::vector<GenerateRequest> requests;
  std::vector<std::vector<TokenId>> alone;
  for (uint64_t seed = 0; seed < 6; ++seed) {
    requests.push_back(Request(constraint, 60, seed, seed % 2 == 0 ? 0 : 1.5f, TokenId(40 + seed)));
    requests.back().speculate = false;
    alone.push_back(TokensOf(Run(requests.back())));
    requests.back().speculate = true;
    CHECK(TokensOf(Run(requests.back())) == alone.back());
  }
  std::vector<AskedGenerate> asked;
  for (const GenerateRequest& request : requests) asked.push_back(Ask(cpu.engine(), request));
  GenerateRequest free = Request({}, 40);
  free.ignore_end = true;
  const AskedGenerate beside = Ask(cpu.engine(), free);
  for (size_t i = 0; i < asked.size(); ++i) CHECK(TokensOf(asked[i].Wait()) == alone[i]);
  UNSIGNED_LONGS_EQUAL(40, beside.Wait().tokens.size());
}

TEST(ConstrainedAnswer, IsTheSameAfterAPreemption) {
  const Constraint constraint = Regex("([ab]{40,60}; and then, ){2}");
  CpuOptions options;
  options.instance.kv_tokens = 32 * 7;
  CpuEngine small(LoadModel(GoldenPath("llama.gguf")), options);
  std::vector<AskedGenerate> asked;
  std::vector<GenerateRequest> requests;
  for (uint64_t seed = 0; seed < 4; ++seed)
    requests.push_back(Request(constraint, 160, seed, 1.5f, TokenId(40 + seed)));
  for (const GenerateRequest& request : requests) asked.push_back(Ask(small.engine(), request));
  for (size_t i = 0; i < asked.size(); ++i) {
    const GenerateResult& result = asked[i].Wait();
    CHECK_OK(result.status);
    CHECK(TokensOf(result) == TokensOf(Run(requests[i])));
  }
  CHECK(small.engine().stats().preemptions > 0);
}

TEST(ConstrainedAnswer, OfWhichNothingCanBeMadeIsRefused) {
  CHECK_ERROR(Code::kInvalid, "a choice is a list", Refusal(Request(Choice({}), 10)));
  CHECK_ERROR(Code::kInvalid, "", Refusal(Request(Regex("(a"), 10)));
  GenerateRequest stops = Request(Choice({"a"}), 10);
  stops.stop = {"x"};
  CHECK_ERROR(Code::kInvalid, "stop strings and a choice exclude each other",
              Refusal(std::move(stops)));
}

TEST(ConstrainedAnswer, CanBeCancelledInTheMiddle) {
  AskedGenerate asked = Ask(cpu.engine(), Request(Regex("[ab]{900}"), 1000));
  cpu.engine().Cancel(asked.id);
  CHECK(asked.Wait().finish_reason == FinishReason::kCancelled);
  Run(Request(Choice({"a", "b"}), 10));
}
