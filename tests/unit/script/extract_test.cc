// model:extract and the options that limit an answer: arguments, results and errors.
#include "script/script_fixture.h"

using minnow::Code;
using minnow::engine::ExtractRequest;
using minnow::engine::GenerateRequest;
using minnow::test::ScriptFixture;
using Kind = minnow::constrain::Constraint::Kind;

TEST_GROUP(ScriptExtract) {
  ScriptFixture f;

  void CheckJson(const char* expected, const char* run_body) {
    STRCMP_EQUAL(expected, f.RunToJson(run_body).c_str());
  }
  ExtractRequest Extracted(const char* run_body) {
    CHECK_OK(f.RunToStatus(run_body));
    return f.models.fake().last_extract();
  }
  GenerateRequest Generated(const char* run_body) {
    CHECK_OK(f.RunToStatus(run_body));
    return f.models.fake().last_request();
  }
  std::string Asked(const ExtractRequest& request) {
    return {request.prompt.begin(), request.prompt.end()};
  }
};

TEST(ScriptExtract, AsksInTheTurnOfTheDocument) {
  const ExtractRequest r = Extracted(
      "local s = minnow.schema m:extract(doc, s.object { { 'b', s.string { description = 'whose' } "
      "}, { 'a', s.array(s.number()) }, { 'c', s.enum { 'x', 2 } } })");
  STRCMP_EQUAL(
      "[user]text\n\nExtract from the text above, as JSON of this form and nothing else:\n"
      R"({"b": <whose>, "a": [<number>, ...], "c": "x" or 2})",
      Asked(r).c_str());
  STRCMP_EQUAL("text", r.document.c_str());
  STRCMP_EQUAL(R"({"type":"object","properties":{"b":{"type":"string","description":"whose"},)"
               R"("a":{"type":"array","items":{"type":"number"}},"c":{"enum":["x",2]}},)"
               R"("required":["b","a","c"],"additionalProperties":false})",
               r.schema.c_str());
  LONGS_EQUAL(512, r.max_tokens);
  DOUBLES_EQUAL(0, r.sampling.temperature, 0);
  CHECK(r.speculate);
}

TEST(ScriptExtract, TakesItsOptions) {
  const ExtractRequest r = Extracted(
      "m:context(doc):extract('{\"type\": \"string\"}', { instruction = 'Whose?', max_tokens = 9, "
      "temperature = 0.5, top_k = 3, top_p = 0.75, min_p = 0.25, seed = 7, speculate = false })");
  STRCMP_EQUAL("[user]text\n\nWhose?", Asked(r).c_str());
  STRCMP_EQUAL(R"({"type": "string"})", r.schema.c_str());
  LONGS_EQUAL(9, r.max_tokens);
  DOUBLES_EQUAL(0.5, r.sampling.temperature, 0);
  LONGS_EQUAL(3, r.sampling.top_k);
  DOUBLES_EQUAL(0.75, r.sampling.top_p, 0);
  DOUBLES_EQUAL(0.25, r.sampling.min_p, 0);
  LONGS_EQUAL(7, r.sampling.seed);
  CHECK(!r.speculate);
}

TEST(ScriptExtract, GivesTheValueInItsOrderAndWhatItStandsOn) {
  CheckJson(R"({"z":"[user]text\n\n?","a":[1,null],"n":{}})",
            "return m:extract(doc, '{}', { instruction = '?' }).value");
  CheckJson("[true,true,true,\"{}\"]",
            "local r = m:extract(doc, '{}') return { r.value.a[2] == minnow.null, "
            "minnow.json.encode(r.value) == r.json, #r.value.a == 2, "
            "minnow.json.encode(r.value.n) }");
  CheckJson(R"({"/a/0":{"confidence":1.0},"/a/1":{"confidence":0.5,"normalized":null},)"
            R"("/n":{"confidence":1.0},"/z":{"confidence":0.25,"normalized":{"year":2024},)"
            R"("spans":[{"begin":1,"finish":4,"line":1},{"begin":8,"finish":11,"line":3}]}})",
            "return m:extract(doc, '{}').fields");
  CheckJson(R"(["fields","fingerprint","json","usage","value"])",
            "local names = {} for name in pairs(m:extract(doc, '{}')) do names[#names + 1] = name "
            "end table.sort(names) return names");
  // A span is what string.sub takes.
  CheckJson("\"text\"",
            "local span = m:extract(doc, '{}').fields['/z'].spans[1] "
            "return doc.text:sub(span.begin, span.finish)");
}

TEST(ScriptExtract, RefusesWhatIsNoSchemaOrNoOption) {
  CHECK_ERROR(Code::kInvalid, "extract: the schema should be one of minnow.schema",
              f.RunToStatus("m:extract(doc)"));
  CHECK_ERROR(Code::kInvalid, "extract: the schema should be one of minnow.schema",
              f.RunToStatus("m:extract(doc, { 1, 2 })"));
  CHECK_ERROR(Code::kInvalid, "the schema: ", f.RunToStatus("m:extract(doc, '{')"));
  CHECK_ERROR(Code::kInvalid, "extract: unknown option 'stop' (known: instruction, max_tokens",
              f.RunToStatus("m:extract(doc, '{}', { stop = 'x' })"));
  CHECK_ERROR(Code::kInvalid, "a record is one answer",
              f.RunToStatus("m:extract(doc, '{}', { on_overflow = 'chunk' })"));
  CHECK_ERROR(Code::kInvalid, "extract: the document should be a string, got nil",
              f.RunToStatus("m:extract(nil, '{}')"));
  CHECK_ERROR(Code::kInvalid, "call it with a colon", f.RunToStatus("m.extract({}, 'x', '{}')"));
  CHECK_ERROR(Code::kInvalid, "/properties/x: 'not' cannot be enforced",
              f.RunToStatus("m:extract('refuse', '{}')"));
}

TEST(ScriptExtract, CopiesFromAllOfADocumentThatTheModelReadsInPart) {
  f.models.fake().set_longest(60);
  const ExtractRequest r = Extracted(
      "m:extract(('word '):rep(50), '{}', { instruction = 'Go', max_tokens = 10, "
      "on_overflow = 'tail' })");
  LONGS_EQUAL(250, r.document.size());
  CHECK(r.prompt.size() <= 50);
  CheckJson("250",
            "return m:extract(('word '):rep(50), '{}', { instruction = 'Go', max_tokens = 10, "
            "on_overflow = 'head' }).overflow.document_bytes");
}

TEST(ScriptExtract, AnAnswerIsLimitedByOneOfItsOptions) {
  const auto constraint = [&](const char* options) {
    return Generated((std::string("m:generate('p', ") + options + ")").c_str()).constraint;
  };
  CHECK(!constraint("{}"));
  CHECK(constraint("{ regex = '[ab]+' }") ==
        (minnow::constrain::Constraint{Kind::kRegex, "[ab]+", ""}));
  CHECK(constraint("{ regex = '' }").kind == Kind::kRegex);
  CHECK(constraint("{ grammar = 'root ::= \"x\"' }") ==
        (minnow::constrain::Constraint{Kind::kGbnf, "root ::= \"x\"", ""}));
  CHECK(constraint("{ lark = 'start: \"x\"' }").kind == Kind::kLark);
  CHECK(constraint("{ choice = { 'yes', 'no\"' } }") ==
        (minnow::constrain::Constraint{Kind::kChoice, R"(["yes","no\""])", ""}));
  CHECK(
      constraint("{ schema = minnow.schema.string { max_length = 5 } }") ==
      (minnow::constrain::Constraint{Kind::kJsonSchema, R"({"type":"string","maxLength":5})", ""}));
  CHECK(
      Generated("m:chat({ { role = 'user', content = 'x' } }, { regex = 'x' })").constraint.kind ==
      Kind::kRegex);
  CHECK(Generated("for _ in m:stream('x', { regex = 'x' }) do end").constraint.kind ==
        Kind::kRegex);
  for (const char* options :
       {"{ regex = 'x', choice = { 'x' } }", "{ schema = '{}', lark = 'x' }",
        "{ stop = 'x', grammar = 'x' }", "{ choice = { 'x' }, stop = { 'y' } }"}) {
    CHECK_ERROR(Code::kInvalid, "exclude each other",
                f.RunToStatus(std::string("m:generate('p', ") + options + ")"));
  }
  CHECK_ERROR(Code::kInvalid, "generate: option 'regex' should be a string, got table",
              f.RunToStatus("m:generate('p', { regex = {} })"));
}

TEST(ScriptExtract, AQuestionsSchemaKnowsTheDocumentOnlyIfItCopies) {
  STRCMP_EQUAL("", Generated("m:ask(doc, '?', { schema = minnow.schema.string() })")
                       .constraint.document.c_str());
  STRCMP_EQUAL(
      "text", Generated("m:ask(doc, '?', { schema = minnow.schema.string { from_source = true } })")
                  .constraint.document.c_str());
}

// The fake model's answer has the prompt in it, so who asks with calls is answered with them.
TEST(ScriptExtract, AChatsToolsAreToldAndItsCallsRead) {
  const std::string chat =
      "local s = minnow.schema local tools = { { type = 'function', ['function'] = { name = 'now', "
      "description = '?', "
      "parameters = s.object { { 'z', s.number() }, { 'a', s.string() } } } } } "
      "return m:chat({ { role = 'user', content = CONTENT } }, { tools = tools, max_tokens = 900, ";
  const auto ask = [&](const std::string& content, const std::string& options) {
    std::string body = chat;
    body.replace(body.find("CONTENT"), 7, content);
    return body + options + "})";
  };
  const GenerateRequest r = Generated(ask("'x'", "tool_choice = 'auto'").c_str());
  CHECK(r.constraint.kind == Kind::kToolCalls);
  STRCMP_CONTAINS(R"("choice":"auto","format":"auto")", r.constraint.source.c_str());
  const std::string prompt(r.prompt.begin(), r.prompt.end());
  STRCMP_CONTAINS(
      R"([tools][{"type":"function","function":{"name":"now","description":"?","parameters":{"type":)"
      R"("object","properties":{"z")",
      prompt.c_str());
  CHECK(prompt.ends_with("[user]x"));
  CheckJson("[]", (ask("'x'", "") + ".tool_calls").c_str());
  const std::string call =
      R"('<tool_call>\n{"name": "now", "arguments": {"z": 1, "a": [], "b": {}}}\n</tool_call>')";
  CheckJson(R"([{"name":"now","arguments":{"z":1,"a":[],"b":{}}}])",
            (ask(call, "") + ".tool_calls").c_str());
  // As JSON, too; and without tools there is no such field.
  CheckJson("[]",
            "return m:chat({ { role = 'user', content = 'x' } }, { max_tokens = 300, tools = "
            "'[{\"type\": \"function\", \"function\": {\"name\": \"now\"}}]' }).tool_calls");
  CheckJson("true", "return m:chat({ { role = 'user', content = 'x' } }).tool_calls == nil");
}

TEST(ScriptExtract, ToolsThatAreNoneAreRefusedByTheirPlace) {
  const auto refuse = [&](const char* message, const std::string& call) {
    CHECK_ERROR(Code::kInvalid, message, f.RunToStatus(call));
  };
  const auto chat = [](const std::string& options) {
    return "m:chat({ { role = 'user', content = 'x' } }, { " + options + " })";
  };
  refuse("chat: option 'tools': tools are a list", chat("tools = {}"));
  refuse("chat: option 'tools': /0: a tool is", chat("tools = { { name = 'now' } }"));
  refuse("chat: option 'tools': nested deeper than 64", chat("tools = ('['):rep(10000)"));
  refuse("chat: option 'tools': ", chat("tools = '[\\255]'"));
  const std::string now = "tools = { { type = 'function', ['function'] = { name = 'now' } } }";
  refuse("the choice \"then\" is no tool", chat(now + ", tool_choice = 'then'"));
  refuse("there are auto, json, hermes and llama3", chat(now + ", tool_format = 'xml'"));
  refuse("the options 'regex' and 'tools' exclude each other", chat(now + ", regex = 'x'"));
  refuse("the option 'tool_choice' needs 'tools'", chat("tool_choice = 'auto'"));
  refuse("generate: tools are of chat", "m:generate('p', { " + now + " })");
  refuse("ask: tools are of chat", "m:ask(doc, '?', { " + now + " })");
  refuse("stream: tools are of chat", "for _ in m:stream('p', { " + now + " }) do end");
}
