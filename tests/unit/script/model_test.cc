// The functions of a model: arguments, options, results and errors.
#include "script/script_fixture.h"

using minnow::Code;
using minnow::test::ScriptFixture;

TEST_GROUP(ScriptModel) {
  ScriptFixture f;

  void CheckJson(const char* expected, const char* run_body) {
    STRCMP_EQUAL(expected, f.RunToJson(run_body).c_str());
  }
};

TEST(ScriptModel, GeneratesFromPlainText) {
  CheckJson(R"({"fingerprint":"","finish_reason":"length","text":"<h","tokens":[60,104],)"
            R"("usage":{"completion_tokens":2,"prompt_tokens":2}})",
            "return m:generate('hi', { max_tokens = 2 })");
}

TEST(ScriptModel, PutsMessagesThroughTheChatTemplate) {
  CheckJson(R"("<[system]be brief[user]hi>")",
            "return m:chat({ { role = 'system', content = 'be brief' }, "
            "                { role = 'user', content = 'hi' } }).text");
}

TEST(ScriptModel, AsksInOneTurnWithTheDocumentFirst) {
  CheckJson(R"(["<[user]text\n\nWho?>","<[user]own\n\nWho?>"])",
            "return { m:ask(doc, 'Who?').text, m:ask('own', 'Who?').text }");
}

TEST(ScriptModel, ClassifiesADocument) {
  CheckJson(
      R"({"fingerprint":"","label":"receipt","probabilities":{"letter":0.25,"receipt":0.75},"probability":0.75,)"
      R"("ranking":[{"label":"receipt","probability":0.75},{"label":"letter","probability":0.25}]})",
      "return m:classify('a receipt', 'kind?', { 'letter', 'receipt' })");
}

TEST(ScriptModel, TellsTheLikeliestLabelsAndAbstains) {
  CheckJson(R"([[{"label":"receipt","probability":0.75}],true,null,0.75])",
            "local c = m:classify('a receipt', 'kind?', { 'letter', 'receipt' }, { top_k = 1, "
            "abstain = 0.8 }) "
            "return { c.ranking, c.abstained, c.label or minnow.null, c.probabilities.receipt }");
  CheckJson(
      R"(["receipt",null])",
      "local c = m:classify('a receipt', 'kind?', { 'letter', 'receipt' }, { abstain = 0.7 }) "
      "return { c.label, c.abstained or minnow.null }");
}

// The fake scores the label that it finds 0 and the other -ln 3, over their bytes; the prior is
// 1/n.
TEST(ScriptModel, CorrectsForLengthAndPrior) {
  CheckJson("true",
            "local function p(o) return m:classify('a receipt', '?', { 'no', 'receipt' }, o)"
            ".probabilities.receipt end "
            "local b, c, d = 3 ^ (-1 / 2), 2 ^ (1 / 7), (2 / 3) ^ (1 / 2) "
            "return math.abs(p { length = 'mean' } - 1 / (1 + b)) < 1e-12 and "
            "math.abs(p { prior = true } - 0.75) < 1e-12 and "
            "math.abs(p { length = 'mean', prior = true } - c / (c + d)) < 1e-12");
}

// The fake says yes to all that has "Yes" in it, else to neither.
TEST(ScriptModel, WithMultiEachLabelIsAQuestion) {
  CheckJson(
      R"([["Yes, a"],0.75,true,null])",
      "local c = m:classify('d', 'is it {label}?', { 'b', 'Yes, a' }, { multi = true, threshold = "
      "0.6 }) "
      "return { c.labels, c.probabilities['Yes, a'], c.probabilities.b < 0.6, c.label or "
      "minnow.null }");
  CHECK_ERROR(Code::kInvalid, "classify: with multi each label is a question of its own",
              f.RunToStatus("m:classify('d', 'is it?', { 'a' }, { multi = true })"));
}

TEST(ScriptModel, SeveralQuestionsAreOneCall) {
  CheckJson(
      R"([2,"x","b",["Yes"],1])",
      "local all = m:context('x, b'):classify({ "
      "  { question = 'one', labels = { 'x', 'y' } }, "
      "  { question = 'two', labels = { 'a', 'b', 'c' }, top_k = 1 }}, { top_k = 2 }) "
      "local multi = m:classify('d', {{ question = '{label}?', labels = { 'Yes', 'q' }, multi = "
      "true, threshold = 0.6 }}) "
      "return { #all[1].ranking, all[1].label, all[2].label, multi[1].labels, #all[2].ranking }");
  const auto result = f.Run(
      "m:classify('d', {{ question = 'q', labels = { 'a', 'b' } }, "
      "{ question = 'r', labels = { 'a', 'b' } }})");
  CHECK_OK(result.status);
  LONGS_EQUAL(1, result.steps.begin()->second.calls);
}

TEST(ScriptModel, AListOfQuestionsSaysWhichIsWrong) {
  const auto refused = [&](const char* list) {
    return f.RunToStatus(std::string("m:classify('d', ") + list + ")");
  };
  CHECK_ERROR(Code::kInvalid, "nothing is asked", refused("{}"));
  CHECK_ERROR(Code::kInvalid, "question 1 should be a table like", refused("{ 'kind?' }"));
  CHECK_ERROR(Code::kInvalid, "question 2 has no labels",
              refused("{{ question = 'q', labels = { 'a', 'b' } }, { question = 'q' }}"));
  CHECK_ERROR(Code::kInvalid, "question 1 has no question", refused("{{ labels = { 'a', 'b' } }}"));
  CHECK_ERROR(Code::kInvalid, "question 1: unknown option 'label'",
              refused("{{ question = 'q', label = { 'a', 'b' } }}"));
  CHECK_ERROR(Code::kInvalid, "unknown option 'labels'",
              refused("{{ question = 'q', labels = { 'a', 'b' } }}, { labels = { 'a' } }"));
  CHECK_ERROR(Code::kInvalid, "question 2: length is 'long'",
              refused("{{ question = 'q', labels = { 'a', 'b' } }, "
                      "{ question = 'q', labels = { 'a', 'b' }, length = 'long' }}"));
}

TEST(ScriptModel, ScoresAWholeText) {
  CheckJson(R"([[97,98,0],true,-98.0,-1.0,-98.0])",
            "local s = m:score('ab') "
            "return { s.tokens, s.token_logprobs[1] == minnow.null, s.token_logprobs[2], "
            "s.token_logprobs[3], s.logprob }");
  CHECK_ERROR(Code::kInvalid, "the list of continuations is empty",
              f.RunToStatus("m:score('ab', {})"));
}

TEST(ScriptModel, EmbedsATextOrADocument) {
  CheckJson("[104.0,105.0]", "return m:embed('hi')");
  CheckJson("4", "return #m:embed(doc)");
  CHECK_ERROR(Code::kInvalid, "embed: the text should be a string, got number",
              f.RunToStatus("m:embed(5)"));
}

TEST(ScriptModel, ScoresContinuationsOfATextOrAConversation) {
  CheckJson(R"([{"logprob":-195.0,"token_logprobs":[-97.0,-98.0],"tokens":[97,98]},)"
            R"({"logprob":-97.0,"token_logprobs":[-97.0],"tokens":[97]}])",
            "return m:score('the prompt', { 'ab', 'a' })");
  CheckJson("-97.0", "return m:score({ { role = 'user', content = 'hi' } }, { 'a' })[1].logprob");
  CHECK_ERROR(Code::kInvalid, "score: continuations should be a list of strings, got string",
              f.RunToStatus("m:score('p', 'a')"));
  CHECK_ERROR(Code::kInvalid, "score: the prompt should be a string, got number",
              f.RunToStatus("m:score(1)"));
}

TEST(ScriptModel, AContextAsksAboutItsDocument) {
  f.RunToJson("return m:context(doc):ask('why?', { max_tokens = 3 }).text");
  const std::string asked = "[user]text\n\nwhy?";
  CHECK(std::vector<minnow::engine::TokenId>(asked.begin(), asked.end()) ==
        f.models.fake().last_request().prompt);
  CheckJson(R"("b")", "return m:context('a b c'):classify('b?', { 'x', 'b' }).label");
  CHECK_ERROR(Code::kInvalid, "context: the document should be a string, got nil",
              f.RunToStatus("m:context()"));
  CHECK_ERROR(Code::kInvalid, "a context has no 'asc' (it has: ask, classify, ",
              f.RunToStatus("m:context(doc):asc('?')"));
  CHECK_ERROR(Code::kInvalid, "call it with a colon", f.RunToStatus("m.context({}, 'x')"));
}

TEST(ScriptModel, APinIsGivenUpWithTheDocumentIfNotBefore) {
  f.options.untrusted.reset();  // pins nothing
  for (const char* body :
       {"local c = m:context(doc):pin():pin()",
        "local c = m:context(doc):pin(); c:unpin(); c:unpin(); c:pin()",
        "m:context(doc):pin(); error('gone')", "m:context(doc):pin(); while true do end"}) {
    f.options.budget.instructions = 1e6;
    f.Run(body);
    UNSIGNED_LONGS_EQUAL(0, f.models.fake().held());
  }
  CHECK(f.models.fake().cancelled() >= 5);
  f.RunToJson("m:context(doc):pin(); return m:context(doc):ask('why?').text");
  CHECK_ERROR(Code::kInvalid, "call it with a colon", f.RunToStatus("m:context(doc).pin({})"));
}

TEST(ScriptModel, AContextIsSavedAndRestoredInTheGrantedFolder) {
  f.options.untrusted.reset();  // likewise
  CHECK_ERROR(Code::kPrecondition, "grant a folder with --allow contexts=DIR",
              f.RunToStatus("m:context(doc):save('one')"));
  CHECK_ERROR(Code::kPrecondition, "grant a folder", f.RunToStatus("m:restore('one')"));
  f.options.grants.contexts = f.dir / ".";
  f.RunToJson("m:context(doc):save('one')");
  CheckJson(R"("<[user]text\n\nWho?>")", "return m:restore('one'):ask('Who?').text");
  CHECK_ERROR(Code::kNotFound, "no context", f.RunToStatus("m:restore('two')"));
  CHECK_ERROR(Code::kInvalid, "a context's name has letters",
              f.RunToStatus("m:context(doc):save('../one')"));
  UNSIGNED_LONGS_EQUAL(0, f.models.fake().held());
}

// A token of the fake's is a byte, and "[user]" and the question are 13 of them.
TEST(ScriptModel, WhatOfADocumentIsKeptIsToldWithTheAnswer) {
  f.models.fake().set_longest(100);
  const char* ask =
      "local function ask(how) return m:ask(('word '):rep(100), 'why?', "
      "{ max_tokens = 20, on_overflow = how }) end ";
  CheckJson(R"([[1,65]])", (ask + std::string("return ask('head').overflow.kept")).c_str());
  CheckJson(R"([[435,500]])", (ask + std::string("return ask('tail').overflow.kept")).c_str());
  CheckJson(R"([[1,30],[470,500]])",
            (ask + std::string("return ask('middle').overflow.kept")).c_str());
  CheckJson(R"({"document_bytes":500,"kept":[[1,65]],"on_overflow":"head"})",
            (ask + std::string("return ask('head').overflow")).c_str());
  CheckJson("null",
            "return m:ask('short', 'why?', { on_overflow = 'head', max_tokens = 20 })"
            ".overflow");
  CheckJson(R"(["tail"," a word a word a word a word a wor"])",
            "local c = m:classify(('a word '):rep(20), 'b?', { 'x', 'word' }, "
            "{ on_overflow = 'tail' }) "
            "return { c.overflow.on_overflow, ('a word "
            "'):rep(20):sub(c.overflow.kept[1][1]):sub(1, 34) }");
}

TEST(ScriptModel, OfAPromptAConversationAndATextToEmbedTheSameIsKept) {
  f.models.fake().set_longest(100);
  CheckJson(R"({"document_bytes":500,"kept":[[1,80]],"on_overflow":"head"})",
            "return m:generate(('word '):rep(100), { max_tokens = 20, on_overflow = 'head' })"
            ".overflow");
  CheckJson("null", "return m:generate('p', { on_overflow = 'tail', max_tokens = 9 }).overflow");
  // Of a conversation the last user's message is cut, and nothing else: 46 bytes stand before it.
  f.models.fake().set_longest(120);
  CheckJson(
      R"(["<[system]be brief[user]first[assistant]ok[user]word wo",[[1,20]],100,true])",
      "local a = m:chat({ { role = 'system', content = 'be brief' }, "
      "  { role = 'user', content = 'first' }, { role = 'assistant', content = 'ok' }, "
      "  { role = 'user', content = ('word '):rep(20) } }, "
      "  { max_tokens = 54, on_overflow = 'head' }) "
      "return { a.text, a.overflow.kept, a.overflow.document_bytes, a.usage.prompt_tokens <= 67 }");
  f.models.fake().set_longest(100);
  CheckJson(R"([true,{"document_bytes":500,"kept":[[1,100]],"on_overflow":"head"}])",
            "local v, overflow = m:embed(('word '):rep(100), { on_overflow = 'head' }) "
            "return { #v <= 100, overflow }");
  CheckJson("[2,true]",
            "local v, overflow = m:embed('hi', { on_overflow = 'chunk' }) "
            "return { #v, overflow == nil }");
}

TEST(ScriptModel, AnOverflowThatIsNotForeseenIsTheEnginesError) {
  f.models.fake().set_longest(100);
  CheckJson("500", "return m:ask(('word '):rep(100), 'why?').usage.prompt_tokens - 12");
  CHECK_ERROR(Code::kInvalid, "on_overflow is 'all', must be error, head, tail, middle or chunk",
              f.RunToStatus("m:ask(doc, 'why?', { on_overflow = 'all' })"));
  CHECK_ERROR(Code::kInvalid, "generate: on_overflow is 'chunk', which is of ask",
              f.RunToStatus("m:generate('p', { on_overflow = 'chunk' })"));
  CHECK_ERROR(Code::kInvalid, "chat: on_overflow is 'chunk', which is of ask",
              f.RunToStatus("m:chat({}, { on_overflow = 'chunk' })"));
  CHECK_ERROR(Code::kInvalid, "of the last user's message, and there is none",
              f.RunToStatus("m:chat({ { role = 'system', content = 'x' } }, "
                            "{ on_overflow = 'head' })"));
  CHECK_ERROR(Code::kInvalid, "of answers that tell what was kept",
              f.RunToStatus("for _ in m:stream('p', { on_overflow = 'head' }) do end"));
  CHECK_ERROR(Code::kInvalid, "must be error, head",
              f.RunToStatus("m:embed(doc, { on_overflow = 'all' })"));
  CHECK_ERROR(Code::kInvalid, "should be a string",
              f.RunToStatus("m:classify(doc, 'b?', { 'x', 'b' }, { on_overflow = 1 })"));
  CHECK_ERROR(Code::kOutOfRange, "12 tokens without the document, and 0 fit",
              f.RunToStatus("m:ask(doc, 'why?', { on_overflow = 'head', max_tokens = 200 })"));
}

TEST(ScriptModel, AllOfADocumentIsAskedAboutInParts) {
  f.models.fake().set_longest(60);
  CheckJson(
      R"([5,true,"chunk",100,100])",
      "local text = ('word '):rep(20) "
      "local a = m:ask({ text = text }, 'why?', { max_tokens = 25, on_overflow = 'chunk' }) "
      "local joined, last = '', 0 "
      "for i, span in ipairs(a.overflow.kept) do "
      "  assert(span[1] == last + 1); last = span[2] "
      "  joined = joined .. text:sub(span[1], span[2]) "
      "  assert(a.parts[i].text == ('<[user]' .. text:sub(span[1], span[2]) .. "
      "    '\\n\\nwhy?>'):sub(1, 25)) end "
      "return { #a.parts, joined == text, a.overflow.on_overflow, a.usage.completion_tokens - 25, "
      "last }");
  CheckJson("null",
            "return m:ask('short', 'why?', { on_overflow = 'chunk', max_tokens = 20 })"
            ".parts");
  // The fake finds a label in the parts that have it: 0.75 there, else the first label is likelier.
  CheckJson(
      R"(["word",true,true])",
      "local text = ('word '):rep(20) .. ('thing '):rep(5) "
      "local c = m:context(text):classify('b?', { 'thing', 'word' }, { on_overflow = 'chunk' }) "
      "local sum = c.probabilities.thing + c.probabilities.word "
      "return { c.label, math.abs(sum - 1) < 1e-12, c.ranking[1].probability == c.probability }");
}

TEST(ScriptModel, PassesEveryOptionOn) {
  f.RunToJson(
      "return m:generate('p', { temperature = 0.5, top_k = 3, top_p = 0.75, min_p = 0.25, seed = "
      "7, "
      "max_tokens = 9, stop = 'END', logprobs = 2, speculate = false })");
  const minnow::engine::GenerateRequest request = f.models.fake().last_request();
  CHECK(!request.speculate);
  DOUBLES_EQUAL(0.5, request.sampling.temperature, 0);
  LONGS_EQUAL(3, request.sampling.top_k);
  DOUBLES_EQUAL(0.75, request.sampling.top_p, 0);
  DOUBLES_EQUAL(0.25, request.sampling.min_p, 0);
  LONGS_EQUAL(7, request.sampling.seed);
  LONGS_EQUAL(9, request.max_tokens);
  LONGS_EQUAL(2, request.n_logprobs);
  CHECK(request.stop == std::vector<std::string>{"END"});
  CHECK(request.priority == minnow::engine::Priority::kBatch);
}

TEST(ScriptModel, TakesAListOfStopStrings) {
  f.RunToJson("return m:ask('d', 'q', { stop = { 'a', 'b' } })");
  CHECK(f.models.fake().last_request().stop == (std::vector<std::string>{"a", "b"}));
}

TEST(ScriptModel, GivesLogprobsWhenAsked) {
  CheckJson(R"([{"logprob":-0.5,"token":60,"top":[{"logprob":-0.5,"token":60}]}])",
            "return m:generate('p', { max_tokens = 1, logprobs = 1 }).logprobs");
}

TEST(ScriptModel, CountsTokens) {
  CheckJson(R"([[104,105],2,"fake"])", "return { m:tokenize('hi'), m:count('hi'), m.name }");
}

TEST(ScriptModel, NamesAnUnknownOption) {
  CHECK_ERROR(Code::kInvalid,
              "test.lua:2: generate: unknown option 'temprature' (known: max_tokens, temperature",
              f.RunToStatus("m:generate('p', { temprature = 1 })"));
  CHECK_ERROR(Code::kInvalid, "map: unknown option 'parallel' (known: concurrency)",
              f.RunToStatus("minnow.map({}, print, { parallel = 1 })"));
}

TEST(ScriptModel, NamesAnOptionOfTheWrongType) {
  CHECK_ERROR(Code::kInvalid, "option 'temperature' should be a number, got string",
              f.RunToStatus("m:generate('p', { temperature = '1' })"));
  CHECK_ERROR(Code::kInvalid, "option 'max_tokens' should be an integer from 0",
              f.RunToStatus("m:generate('p', { max_tokens = 1.5 })"));
  CHECK_ERROR(Code::kInvalid, "option 'seed' should be an integer that is not negative",
              f.RunToStatus("m:generate('p', { seed = -1 })"));
  CHECK_ERROR(Code::kInvalid, "option 'stop' should be a string or a list of strings",
              f.RunToStatus("m:generate('p', { stop = { 1 } })"));
  CHECK_ERROR(Code::kInvalid, "options should be a table, got number",
              f.RunToStatus("m:generate('p', 5)"));
  CHECK_ERROR(Code::kInvalid, "an option's name is a number",
              f.RunToStatus("m:generate('p', { 5 })"));
}

TEST(ScriptModel, NamesAnArgumentOfTheWrongType) {
  CHECK_ERROR(Code::kInvalid, "generate: the prompt should be a string, got table",
              f.RunToStatus("m:generate({})"));
  CHECK_ERROR(Code::kInvalid, "classify: labels should be a list of strings, got nil",
              f.RunToStatus("m:classify('d', 'q')"));
  CHECK_ERROR(Code::kInvalid, "classify: labels[2] should be a string, got number",
              f.RunToStatus("m:classify('d', 'q', { 'a', 2 })"));
  CHECK_ERROR(Code::kInvalid, "ask: the document should be a string, got nil",
              f.RunToStatus("m:ask({}, 'q')"));
  CHECK_ERROR(Code::kInvalid, "chat: messages should be a list like",
              f.RunToStatus("m:chat { { content = 'no role' } }"));
}

TEST(ScriptModel, SaysThatMethodsNeedAColon) {
  CHECK_ERROR(Code::kInvalid, "generate is a method of a model: call it with a colon",
              f.RunToStatus("m.generate('p')"));
  CHECK_ERROR(Code::kInvalid, "a model has no 'generat' (it has: adapter, ask, chat, ",
              f.RunToStatus("m:generat('p')"));
}

TEST(ScriptModel, RaisesFailuresAsTables) {
  CheckJson(R"([false,"exhausted","the queue is full","device_lost"])",
            "local ok, e = pcall(m.generate, m, 'refuse') "
            "local _, e2 = pcall(m.generate, m, 'fail') "
            "return { ok, e.code, e.message, e2.code }");
}

TEST(ScriptModel, ShowsFailuresWithTheirLine) {
  const std::string shown = f.RunToJson(
      "local _, e = pcall(function()\n m:generate('fail') end) "
      "return tostring(e)");
  STRCMP_CONTAINS("test.lua:3: the device is gone", shown.c_str());
}

TEST(ScriptModel, EndsADocumentWithTheCodeOfItsFailure) {
  CHECK_ERROR(Code::kExhausted, "test.lua:2: the queue is full",
              f.RunToStatus("m:generate('refuse')"));
  CHECK_ERROR(Code::kNotFound, "gone",
              f.RunToStatus("error { code = 'not_found', message = 'gone' }"));
  CHECK_ERROR(Code::kInvalid, "test.lua:2: own", f.RunToStatus("error 'own'"));
  CHECK_ERROR(Code::kInvalid, "an error that is a nil", f.RunToStatus("error()"));
}

TEST(ScriptModel, OpensAModelInsideRunWithoutBlockingTheLoop) {
  CheckJson(R"(["other","not_found"])",
            "local other = minnow.model 'other' "
            "local _, e = pcall(minnow.model, 'missing') "
            "return { other.name, e.code }");
}

TEST(ScriptModel, GivesTheModelThroughAnAdapter) {
  CheckJson(R"(["adapted","<hi>","fake"])",
            "local a = m:adapter('lora', { scale = 0.5 }) "
            "return { a.name, a:generate('hi').text, m.name }");
  DOUBLES_EQUAL(0.5, f.models.scale(), 0);
  LONGS_EQUAL(2, f.models.adapted().last_request().prompt.size());
}

TEST(ScriptModel, OpensAnAdapterOnceForEachScale) {
  CheckJson("3",
            "for _, scale in ipairs { 1, 1, 2 } do m:adapter('lora', { scale = scale }) end "
            "m:adapter('lora') "
            "return 3");
  LONGS_EQUAL(2, f.models.adapters_opened());
  DOUBLES_EQUAL(2, f.models.scale(), 0);
}

TEST(ScriptModel, OpensAnAdapterAtTheTopOfAPipeline) {
  auto pipeline = f.LoadFile(
      "local minnow = require 'minnow'; local m = minnow.model 'fake':adapter('lora'); "
      "return minnow.pipeline { name = 'test', run = function() return m.name end }");
  CHECK_OK(pipeline.status());
  const auto results = f.RunAll(**pipeline, {"a", "b"});
  for (const auto& result : results) STRCMP_EQUAL("\"adapted\"", result.value.dump().c_str());
  LONGS_EQUAL(1, f.models.adapters_opened());
}

TEST(ScriptModel, NamesWhatIsWrongWithAnAdapter) {
  CHECK_ERROR(Code::kNotFound, "test.lua:2: no adapter 'missing' for 'fake'",
              f.RunToStatus("m:adapter('missing')"));
  CHECK_ERROR(Code::kInvalid, "adapter: unknown option 'strength' (known: scale)",
              f.RunToStatus("m:adapter('lora', { strength = 1 })"));
  CHECK_ERROR(Code::kInvalid, "adapter: the name should be a string, got nil",
              f.RunToStatus("m:adapter()"));
}

TEST(ScriptModel, CountsWhatADocumentUsed) {
  const auto result = f.Run("m:generate('abc') m:classify('d', 'q', { 'a', 'b' })");
  CHECK_OK(result.status);
  LONGS_EQUAL(3 + 10, result.prompt_tokens);
  LONGS_EQUAL(5, result.completion_tokens);
  CHECK(result.seconds > 0);
}

TEST(ScriptModel, CountsWhatTheCallsOfEachPlaceUsed) {
  const auto result = f.Run(
      "for i = 1, 3 do m:generate('abc') end\n"
      "local context = m:context('doc')\n"
      "context:ask('q')\n"
      "for _ in m:stream('ab') do end");
  CHECK_OK(result.status);
  if (f.options.untrusted) return;  // its process does not tell
  LONGS_EQUAL(3, result.steps.size());
  std::string steps;
  for (const auto& [step, usage] : result.steps) {
    steps += step.substr(step.find(':')) + "; ";
    if (step.ends_with("generate")) {
      LONGS_EQUAL(3, usage.calls);
      LONGS_EQUAL(9, usage.prompt_tokens);
    }
  }
  STRCMP_EQUAL(":2 generate; :4 ask; :5 stream; ", steps.c_str());
}
