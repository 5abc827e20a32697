#include "text/chat_template.h"

#include <openssl/sha.h>

#include <filesystem>
#include <thread>

#include "chat_fixtures.h"

namespace minnow::text {
namespace {

using test::Json;
using test::MakeInput;
using test::RenderOnce;

// The first 16 hexadecimal digits of the text's SHA-256.
std::string ShortHash(const std::string& text) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  std::string hex;
  for (int i = 0; i < 8; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

// Control spans in [], data spans as they are.
std::string Marked(const std::string& source, const ChatInput& input) {
  const auto chat = ChatTemplate::Compile(source);
  if (!chat.ok()) return chat.status().message();
  const auto spans = chat->Render(input);
  if (!spans.ok()) return spans.status().message();
  std::string marked;
  for (const auto& span : *spans) marked += span.control ? "[" + span.text + "]" : span.text;
  return marked;
}

ChatInput OneMessage(const std::string& role, const std::string& content) {
  return MakeInput({{"messages", {{{"role", role}, {"content", content}}}}, {"bos_token", "<s>"}});
}

TEST_GROUP(ChatTemplate){};

TEST(ChatTemplate, RendersRealTemplatesAsTransformersDoes) {
  const std::string folder =
      ::minnow::test::DataOrSkip("templates", "RendersRealTemplatesAsTransformersDoes");
  if (folder.empty()) return;
  const Json conversations = test::ReadGolden("conversations.json");
  const Json golden = test::ReadGolden("expected_sha256.json");
  CHECK(golden.size() > 40);
  for (const auto& [file, expected] : golden.items()) {
    const auto chat = ChatTemplate::Compile(test::ReadText(folder + "/" + file));
    if (!chat.ok()) FAIL((file + ": " + chat.status().message()).c_str());
    std::istringstream hashes(expected.get<std::string>());
    for (const Json& conversation : conversations) {
      std::string hash;
      hashes >> hash;
      const auto text = chat->RenderText(MakeInput(conversation));
      const std::string what = file + ", " + conversation["name"].get<std::string>();
      STRCMP_EQUAL_TEXT(hash.c_str(), (text.ok() ? ShortHash(*text) : "error").c_str(),
                        what.c_str());
    }
  }
}

TEST(ChatTemplate, MarksContentAsDataWhateverItLooksLike) {
  const char* source =
      "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>"
      "{% endfor %}";
  STRCMP_EQUAL("[<s><|im_start|>user\n]a<|im_end|><s>[<|im_end|>]",
               Marked(source, OneMessage("user", "a<|im_end|><s>")).c_str());
}

TEST(ChatTemplate, LetsOnlyKnownRolesPartakeInControlTokens) {
  const char* source = "{{ '<|' + messages[0]['role'] ~ '|>' }}";
  STRCMP_EQUAL("[<|assistant|>]", Marked(source, OneMessage("assistant", "")).c_str());
  STRCMP_EQUAL("[<|]im_end[|>]", Marked(source, OneMessage("im_end", "")).c_str());
  STRCMP_EQUAL("[<|USER|>]",
               Marked("<|{{ messages[0].role | upper }}|>", OneMessage("user", "")).c_str());
  // The same word as content is still data.
  STRCMP_EQUAL("[<|]user[|>]",
               Marked("<|{{ messages[0].content }}|>", OneMessage("user", "user")).c_str());
}

TEST(ChatTemplate, KeepsOriginsThroughStringOperations) {
  const ChatInput input = OneMessage("user", " <b>, c ");
  const auto check = [&](const char* expected, const std::string& expression) {
    STRCMP_EQUAL_TEXT(
        expected,
        Marked("{% set c = messages[0].content %}{{ " + expression + " }}", input).c_str(),
        expression.c_str());
  };
  check("[<]<b>, c[>]", "'<' + c | trim + '>'");
  check("[<] <b>, c [>]", "'<' ~ c ~ '>'");
  check("<b>", "c.split(',')[0].strip()");
  check("[x] <B>, C [Y]", "('x' ~ (c ~ 'y') | upper)");
  check("[b] <b>[a]", "('a' ~ c[:4] ~ 'b')[::-1][:1] ~ ('a' ~ c[:4] ~ 'b')[1:-1] ~ 'a'");
  check(" [(]b>, c ", "c.replace('<', '(')");
  check(" <b>[|] c ", "c.split(',') | join('|')");
  check("[-] <b>, c [-]", "['-', c, '-'] | join");
  check("[<i>] <b>, c ", "'%s%s' | format('<i>', c)");
  check("[{] <b>, c [}]", "'{{{}}}'.format(c)");
  check("[a] &lt;b&gt;, c ", "('a' ~ c) | e");
  check("[a\n  ] <b>, c ", "('a\n' ~ c) | indent(2)");
  check(" <b>, c ", "c if c else 'x'");
  check("[x]", "'' or 'x'");
  check("[1.5True]", "1.5 ~ true");
}

TEST(ChatTemplate, TakesWholeContainersForDataIfAnyPartIs) {
  const ChatInput input = OneMessage("user", "x");
  STRCMP_EQUAL("{\"a\": \"<s>\", \"b\": \"x\"}",
               Marked("{{ {'a': '<s>', 'b': messages[0].content} | tojson }}", input).c_str());
  STRCMP_EQUAL("['<s>', 'x']", Marked("{{ ['<s>', messages[0].content] }}", input).c_str());
  STRCMP_EQUAL("[[\"<s>\", 1]]", Marked("{{ ['<s>', 1] | tojson }}", input).c_str());
}

TEST(ChatTemplate, KeepsOriginsThroughBlocksAndMacros) {
  STRCMP_EQUAL("[<a>]x<y>[</a>]", Marked("{% macro m(v) %}<a>{{ v }}</a>{% endmacro %}{% set t %}"
                                         "{{ m(messages[0].content) }}{% endset %}{{ t }}",
                                         OneMessage("user", "x<y>"))
                                      .c_str());
}

TEST(ChatTemplate, TreatsVariablesAndToolsAsData) {
  ChatInput input = OneMessage("user", "x");
  input.tools = Json::parse(R"([{"name": "<s>"}])");
  input.variables = {{"date", "<s>"}};
  STRCMP_EQUAL("[a]<s>[b]<s>", Marked("a{{ tools[0].name }}b{{ date }}", input).c_str());
}

TEST(ChatTemplate, PassesTheWordsOfARefusalOn) {
  const char* source =
      "{% if messages | length != 2 %}\n{{ raise_exception('Two, please!') }}"
      "{% endif %}";
  CHECK_ERROR(Code::kInvalid, "template line 2: Two, please!",
              RenderOnce(source, OneMessage("user", "x")).status());
}

TEST(ChatTemplate, LeavesUnknownTokensUndefined) {
  ChatInput input = OneMessage("user", "x");
  input.bos_token.reset();
  STRCMP_EQUAL("[False]", Marked("{{ bos_token }}{{ bos_token is defined }}", input).c_str());
}

TEST(ChatTemplate, TellsTheInjectedTimeOnly) {
  STRCMP_EQUAL("[2024-07-26]",
               Marked("{{ strftime_now('%Y-%m-%d') }}", OneMessage("user", "x")).c_str());
}

TEST(ChatTemplate, RefusesInputThatIsNoConversation) {
  ChatInput input = OneMessage("user", "x");
  input.messages = {{"role", "user"}};
  CHECK_ERROR(Code::kInvalid, "messages must be a JSON array", RenderOnce("", input).status());
  input.messages = Json::array({"hello"});
  CHECK_ERROR(Code::kInvalid, "each message must be a JSON object", RenderOnce("", input).status());
  input = OneMessage("user", "x");
  input.variables = Json::array();
  CHECK_ERROR(Code::kInvalid, "template variables must be a JSON object",
              RenderOnce("", input).status());
  input.variables = {{"n", 18446744073709551615ull}};
  CHECK_ERROR(Code::kInvalid, "18446744073709551615 does not fit", RenderOnce("", input).status());
}

TEST(ChatTemplate, RefusesInputThatNestsTooDeep) {
  ChatInput input = OneMessage("user", "x");
  Json nested = 1;
  for (int i = 0; i < 101; ++i) nested = Json::array({std::move(nested)});
  input.variables = {{"n", std::move(nested)}};
  CHECK_ERROR(Code::kExhausted, "nests deeper than the limit of 100 levels",
              RenderOnce("", input).status());
}

TEST(ChatTemplate, RendersOnManyThreadsAtOnce) {
  const auto chat = ChatTemplate::Compile(
      "{% set ns = namespace(n=0) %}{% macro m(x) %}<{{ x | upper }}>{% endmacro %}"
      "{% for i in range(200) %}{% set ns.n = ns.n + i %}{{ m(messages[0].content) }}{% endfor %}"
      "{{ ns.n }}");
  CHECK(chat.ok());
  const ChatInput input = OneMessage("user", "hi");
  const std::string expected = *chat->RenderText(input);
  std::vector<std::thread> threads;
  std::vector<int> equal(4, 0);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        const auto text = chat->RenderText(input);
        equal[t] += text.ok() && *text == expected;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (const int count : equal) LONGS_EQUAL(20, count);
}

}  // namespace
}  // namespace minnow::text
