#include "script/model_json.h"

#include <bit>
#include <functional>
#include <limits>

#include "base/json.h"
#include "test_util.h"

using minnow::Code;
using minnow::Status;
using minnow::script::EmbedResult;
using minnow::script::FromJson;
using minnow::script::TextToJson;
using minnow::script::ToJson;
using Json = nlohmann::ordered_json;
namespace engine = minnow::engine;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
const std::string kBytes("\xff\0\"\\\xc3", 5);  // no UTF-8
const std::string kText = "a\"\\\n\u20ac";

// Through the text, as it travels.
Json Travelled(const Json& json) { return *minnow::ParseJson(json.dump()); }

template <class T>
T Back(const T& value) {
  T back;
  CHECK_OK(FromJson(Travelled(ToJson(value)), &back));
  return back;
}

bool SameBits(float a, float b) { return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b); }
bool SameBits(double a, double b) {
  return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b);
}

engine::Usage SomeUsage() {
  return {.prompt_tokens = 7,
          .cached_tokens = 5,
          .completion_tokens = 4294967295u,
          .drafted_tokens = 9,
          .accepted_tokens = 8,
          .queue_seconds = 0.1,
          .prefill_seconds = 1e-300,
          .decode_seconds = 3};
}

void CheckUsage(const engine::Usage& usage) {
  LONGS_EQUAL(7, usage.prompt_tokens);
  LONGS_EQUAL(5, usage.cached_tokens);
  LONGS_EQUAL(9, usage.drafted_tokens);
  LONGS_EQUAL(8, usage.accepted_tokens);
  CHECK(usage.completion_tokens == 4294967295u);
  CHECK(SameBits(usage.queue_seconds, 0.1));
  CHECK(SameBits(usage.prefill_seconds, 1e-300));
  CHECK(SameBits(usage.decode_seconds, 3.0));
}

engine::GenerateRequest SomeGenerateRequest() {
  engine::GenerateRequest r;
  r.prompt = {0, 1, -1, 2147483647};
  r.max_tokens = 4294967295u;
  r.sampling = {0.1f, 40, 0.9f, -0.0f, UINT64_MAX};
  r.n_logprobs = 3;
  r.stop = {kText, kBytes, ""};
  r.ignore_end = true;
  r.constraint = {minnow::constrain::Constraint::Kind::kLark, kText, kBytes};
  r.speculate = false;
  r.priority = engine::Priority::kBatch;
  r.deadline = engine::Deadline(std::chrono::nanoseconds(123456789012345));
  return r;
}

engine::GenerateResult SomeGenerateResult() {
  engine::GenerateResult r;
  r.status = minnow::Error(Code::kDeviceLost, "{}", kBytes);
  r.finish_reason = engine::FinishReason::kCancelled;
  r.text = kBytes;
  r.tokens = {{5, -kInfinity, {{6, kInfinity}, {7, 1e-45f}}}, {8, -0.0f, {}, true}};
  r.stop_string = kText;
  r.fingerprint = kText;
  r.usage = SomeUsage();
  return r;
}

// What stands in the way of each value of a JSON document, in turn.
void ForEachPlace(Json& json, const std::function<void(Json&)>& visit) {
  visit(json);
  for (Json& child : json) {
    if (json.is_structured()) ForEachPlace(child, visit);
  }
}

template <class T>
void RefusesWrongValues(const T& good) {
  Json json = ToJson(good);
  T out;
  CHECK_OK(FromJson(json, &out));
  const Json whole = json;
  const Json wrong[] = {nullptr,
                        true,
                        -1,
                        1.5,
                        1e300,
                        UINT64_MAX,
                        "x",
                        "hex",
                        Json::array(),
                        {{"hex", "f"}},
                        Json{{"hex", "zz"}},
                        Json::object(),
                        Json::array({Json::object()})};
  size_t n_refused = 0;
  ForEachPlace(json, [&](Json& place) {
    const Json kept = place;
    for (const Json& value : wrong) {
      place = value;
      T any;
      const Status status = FromJson(json, &any);
      if (status.ok()) continue;  // the value happens to be one of this place
      ++n_refused;
      CHECK(status.code() == Code::kCorrupt);
    }
    place = kept;
    if (!place.is_object()) return;
    for (const auto& [name, value] : kept.items()) {
      place.erase(name);
      T any;
      CHECK_ERROR(Code::kCorrupt, "", FromJson(json, &any));
      place = kept;
    }
    place["more"] = 1;
    T any;
    CHECK_ERROR(Code::kCorrupt, "", FromJson(json, &any));
    place = kept;
  });
  CHECK(json == whole);
  CHECK(n_refused >= 8);
}

}  // namespace

TEST_GROUP(ModelJson){};

TEST(ModelJson, KeepsAGenerateRequest) {
  const engine::GenerateRequest r = Back(SomeGenerateRequest());
  CHECK((r.prompt == std::vector<engine::TokenId>{0, 1, -1, 2147483647}));
  CHECK(r.max_tokens == 4294967295u);
  CHECK(SameBits(r.sampling.temperature, 0.1f));
  LONGS_EQUAL(40, r.sampling.top_k);
  CHECK(SameBits(r.sampling.top_p, 0.9f));
  CHECK(SameBits(r.sampling.min_p, -0.0f));
  CHECK(r.sampling.seed == UINT64_MAX);
  LONGS_EQUAL(3, r.n_logprobs);
  CHECK((r.stop == std::vector<std::string>{kText, kBytes, ""}));
  CHECK(r.ignore_end);
  CHECK(r.constraint == SomeGenerateRequest().constraint);
  CHECK(!r.speculate);
  CHECK(r.priority == engine::Priority::kBatch);
  CHECK(r.deadline == engine::Deadline(std::chrono::nanoseconds(123456789012345)));
}

TEST(ModelJson, KeepsTheAbsenceOfADeadline) {
  CHECK(Back(engine::GenerateRequest()).deadline == engine::kNoDeadline);
}

TEST(ModelJson, KeepsAClassifyRequest) {
  engine::ClassifyRequest r;
  r.questions = {{{1, 2}, {kText, kBytes}, {3}}, {{1, 4}, {"a"}}};
  r.priority = engine::Priority::kBatch;
  r.deadline = engine::Deadline(std::chrono::nanoseconds(-5));
  const engine::ClassifyRequest back = Back(r);
  LONGS_EQUAL(2, back.questions.size());
  for (size_t i = 0; i < 2; ++i) {
    CHECK(back.questions[i].prompt == r.questions[i].prompt);
    CHECK(back.questions[i].labels == r.questions[i].labels);
    CHECK(back.questions[i].prior_prompt == r.questions[i].prior_prompt);
  }
  CHECK(back.priority == r.priority);
  CHECK(back.deadline == r.deadline);
}

TEST(ModelJson, KeepsAContinuationsRequest) {
  engine::ContinuationsRequest r;
  r.prompt = {1, 2};
  r.continuations = {{3}, {}, {4, 5}};
  r.priority = engine::Priority::kBatch;
  r.deadline = engine::Deadline(std::chrono::nanoseconds(5));
  const engine::ContinuationsRequest back = Back(r);
  CHECK(back.prompt == r.prompt);
  CHECK(back.continuations == r.continuations);
  CHECK(back.priority == r.priority);
  CHECK(back.deadline == r.deadline);
}

TEST(ModelJson, KeepsEveryKindOfConstraint) {
  using Kind = minnow::constrain::Constraint::Kind;
  for (int i = 0; i <= static_cast<int>(Kind::kChoice); ++i) {
    engine::GenerateRequest r;
    r.constraint.kind = static_cast<Kind>(i);
    CHECK(Back(r).constraint.kind == r.constraint.kind);
    STRCMP_EQUAL(minnow::constrain::KindName(r.constraint.kind),
                 ToJson(r)["constraint"]["kind"].get<std::string>().c_str());
  }
}

TEST(ModelJson, KeepsAnExtractRequest) {
  engine::ExtractRequest r;
  r.prompt = {1, 2};
  r.schema = kText;
  r.document = kBytes;
  r.max_tokens = 7;
  r.sampling = {0.1f, 40, 0.9f, -0.0f, UINT64_MAX};
  r.speculate = false;
  r.priority = engine::Priority::kBatch;
  r.deadline = engine::Deadline(std::chrono::nanoseconds(5));
  const engine::ExtractRequest back = Back(r);
  CHECK(back.prompt == r.prompt && back.schema == kText && back.document == kBytes);
  CHECK(back.max_tokens == 7 && !back.speculate && back.sampling.seed == UINT64_MAX);
  CHECK(SameBits(back.sampling.top_p, 0.9f));
  CHECK(back.priority == r.priority && back.deadline == r.deadline);
}

TEST(ModelJson, KeepsAnExtractResult) {
  engine::ExtractResult r;
  r.status = minnow::Error(Code::kCancelled, "no");
  r.json = kBytes;
  r.fields = {{kText, 0.1, {{UINT64_MAX, 1, 2}}, kBytes}, {"", 1, {}, ""}};
  r.fingerprint = kText;
  r.usage = SomeUsage();
  const engine::ExtractResult back = Back(r);
  CHECK(back.status.code() == Code::kCancelled && back.json == kBytes);
  LONGS_EQUAL(2, back.fields.size());
  CHECK(back.fields[0].pointer == kText && back.fields[0].normalized == kBytes);
  CHECK(SameBits(back.fields[0].confidence, 0.1));
  LONGS_EQUAL(1, back.fields[0].spans.size());
  CHECK(back.fields[0].spans[0].begin == UINT64_MAX && back.fields[0].spans[0].line == 2);
  LONGS_EQUAL(0, back.fields[1].spans.size());
  CHECK(back.fingerprint == kText);
  CheckUsage(back.usage);
}

TEST(ModelJson, KeepsAnEmbedRequest) {
  engine::EmbedRequest r;
  r.tokens = {9, 8};
  r.priority = engine::Priority::kBatch;
  r.deadline = engine::Deadline(std::chrono::nanoseconds(5));
  const engine::EmbedRequest back = Back(r);
  CHECK(back.tokens == r.tokens);
  CHECK(back.priority == r.priority);
  CHECK(back.deadline == r.deadline);
}

TEST(ModelJson, KeepsAGenerateResult) {
  const engine::GenerateResult r = Back(SomeGenerateResult());
  CHECK(r.status.code() == Code::kDeviceLost);
  CHECK(r.status.message() == kBytes);
  CHECK(r.fingerprint == kText);
  CHECK(r.finish_reason == engine::FinishReason::kCancelled);
  CHECK(r.text == kBytes);
  LONGS_EQUAL(2, r.tokens.size());
  LONGS_EQUAL(5, r.tokens[0].token);
  CHECK(SameBits(r.tokens[0].logprob, -kInfinity));
  LONGS_EQUAL(2, r.tokens[0].top.size());
  LONGS_EQUAL(7, r.tokens[0].top[1].token);
  CHECK(SameBits(r.tokens[0].top[0].logprob, kInfinity));
  CHECK(SameBits(r.tokens[0].top[1].logprob, 1e-45f));
  CHECK(SameBits(r.tokens[1].logprob, -0.0f));
  CHECK(!r.tokens[0].forced && r.tokens[1].forced);
  CHECK(r.stop_string == kText);
  CheckUsage(r.usage);
}

TEST(ModelJson, KeepsEveryFinishReason) {
  for (const auto reason : {engine::FinishReason::kStop, engine::FinishReason::kLength,
                            engine::FinishReason::kCancelled, engine::FinishReason::kError}) {
    engine::GenerateResult r;
    r.finish_reason = reason;
    CHECK(Back(r).finish_reason == reason);
    STRCMP_EQUAL(engine::FinishReasonName(reason),
                 ToJson(r)["finish_reason"].get<std::string>().c_str());
  }
}

TEST(ModelJson, KeepsAClassifyResult) {
  engine::ClassifyResult r;
  r.answers = {{{kText, -std::numeric_limits<double>::infinity(), 0}, {kBytes, -0.1, 7, 1.0 / 3}},
               {}};
  r.usage = SomeUsage();
  const engine::ClassifyResult back = Back(r);
  CHECK_OK(back.status);
  LONGS_EQUAL(2, back.answers.size());
  const auto& labels = back.answers[0];
  CHECK(labels[0].label == kText);
  CHECK(labels[1].label == kBytes);
  CHECK(SameBits(labels[0].logprob, r.answers[0][0].logprob));
  CHECK(SameBits(labels[1].logprob, -0.1));
  LONGS_EQUAL(7, labels[1].n_tokens);
  CHECK(SameBits(labels[1].prior_logprob, 1.0 / 3));
  CheckUsage(back.usage);
}

TEST(ModelJson, KeepsAScoreResult) {
  engine::ScoreResult r;
  r.continuations = {{-0.3, {1, 2}, {-0.1f, -kInfinity}}, {}};
  r.usage = SomeUsage();
  const engine::ScoreResult back = Back(r);
  CHECK_OK(back.status);
  LONGS_EQUAL(2, back.continuations.size());
  CHECK(SameBits(back.continuations[0].logprob, -0.3));
  CHECK(back.continuations[0].tokens == r.continuations[0].tokens);
  CHECK(SameBits(back.continuations[0].token_logprobs[0], -0.1f));
  CHECK(SameBits(back.continuations[0].token_logprobs[1], -kInfinity));
  CheckUsage(back.usage);
}

TEST(ModelJson, KeepsAnEmbeddingWithWhateverFloats) {
  EmbedResult r{{}, {0.1f, -0.0f, kInfinity, std::bit_cast<float>(0xffc12345u)}, SomeUsage()};
  for (uint32_t bits = 1; bits < 0xff000000u; bits += 0x01234567u) {
    r.embedding.push_back(std::bit_cast<float>(bits));
  }
  const EmbedResult back = Back(r);
  CHECK_OK(back.status);
  LONGS_EQUAL(r.embedding.size(), back.embedding.size());
  for (size_t i = 0; i < r.embedding.size(); ++i) {
    CHECK(SameBits(r.embedding[i], back.embedding[i]));
  }
  CheckUsage(back.usage);
}

TEST(ModelJson, KeepsABudgetWithoutLimits) {
  using minnow::script::Budget;
  const Budget none = Back(Budget::Unlimited()), some = Back(Budget{1, 2, 0.1, 0.2, 3, 4});
  CHECK(SameBits(none.seconds, Budget::Unlimited().seconds));
  CHECK(SameBits(none.lua_seconds, Budget::Unlimited().lua_seconds));
  CHECK(none.tokens == UINT64_MAX && none.instructions == UINT64_MAX);
  CHECK(none.memory_bytes == SIZE_MAX && none.output_bytes == SIZE_MAX);
  CHECK(some.memory_bytes == 1 && some.instructions == 2 && some.tokens == 3);
  CHECK(some.output_bytes == 4);
  CHECK(SameBits(some.lua_seconds, 0.1) && SameBits(some.seconds, 0.2));
}

TEST(ModelJson, KeepsEveryCode) {
  CHECK_OK(Back(Status()));
  for (int i = 1; i <= 64; ++i) {
    const Code code = static_cast<Code>(i);
    if (std::string(minnow::CodeName(code)) == "unknown") continue;
    CHECK_ERROR(code, "why", Back(Status(code, "why")));
  }
}

TEST(ModelJson, KeepsEveryByteOfATextThatIsNoUtf8) {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  std::string back;
  CHECK_OK(FromJson(Travelled(TextToJson(all)), &back));
  CHECK(back == all);
  STRCMP_EQUAL("\"\u20ac\"", TextToJson("\u20ac").dump().c_str());
}

TEST(ModelJson, KeepsAnyValueWithWhateverStrings) {
  const Json value = {{"text", kBytes},
                      {"list", {1, -1.5, nullptr, true, kText, Json::object(), Json::array()}},
                      {"hex", {{"hex", "00"}}},
                      {"object", {{"object", {{"hex", kBytes}, {"x", 1}}}}}};
  Json back;
  CHECK_OK(minnow::script::ValueFromJson(Travelled(minnow::script::ValueToJson(value)), &back));
  CHECK(back == value);
  CHECK_ERROR(Code::kCorrupt, "a text", minnow::script::ValueFromJson({{"hex", 1}}, &back));
  CHECK_ERROR(Code::kCorrupt, "an object", minnow::script::ValueFromJson({{"object", 1}}, &back));
}

TEST(ModelJson, RefusesWhatIsMissingUnknownOrOfAnotherType) {
  RefusesWrongValues(SomeGenerateRequest());
  RefusesWrongValues(SomeGenerateResult());
  engine::ClassifyRequest classify;
  classify.questions = {{{1}, {"a"}, {2}}};
  RefusesWrongValues(classify);
  engine::ContinuationsRequest continuations;
  continuations.continuations = {{3}};
  RefusesWrongValues(continuations);
  engine::EmbedRequest embed;
  embed.tokens = {1, 2};
  RefusesWrongValues(embed);
  RefusesWrongValues(engine::ExtractRequest());
  engine::ExtractResult extracted;
  extracted.fields = {{"/a", 1, {{1, 2, 3}}, "x"}};
  RefusesWrongValues(engine::ClassifyResult{{}, {{{"a", -1, 1}}}, SomeUsage()});
  RefusesWrongValues(engine::ScoreResult{{}, {{-1, {1}, {-1}}}, SomeUsage()});
  RefusesWrongValues(EmbedResult{{}, {1}, SomeUsage()});
}

TEST(ModelJson, NamesTheFieldThatIsWrong) {
  Json json = ToJson(SomeGenerateRequest());
  json["sampling"]["top_p"] = "x";
  engine::GenerateRequest out;
  CHECK_ERROR(Code::kCorrupt, "sampling: top_p: should be a number", FromJson(json, &out));
  json = ToJson(SomeGenerateRequest());
  json["prompt"][2] = 2147483648;
  CHECK_ERROR(Code::kCorrupt, "prompt: [2]: should be an integer from -2147483648 to 2147483647",
              FromJson(json, &out));
}

// No beginning of the text of a message is one.
TEST(ModelJson, RefusesWhatIsCutOff) {
  const std::string text = ToJson(SomeGenerateRequest()).dump();
  for (size_t n = 0; n < text.size(); ++n) {
    CHECK_FALSE(minnow::ParseJson(text.substr(0, n)).ok());
  }
}
