// The language of chat templates: what jinja2 gives for each feature, and what the limits stop.
#include "chat_fixtures.h"

namespace minnow::text {
namespace {

using test::Json;
using test::MakeInput;
using test::RenderOnce;

std::string Repeat(const std::string& text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

Status RunLimited(const std::string& source, TemplateLimits limits = {}) {
  return RenderOnce(source, MakeInput({{"messages", Json::array()}}), limits).status();
}

TEST_GROUP(Jinja){};

TEST(Jinja, AgreesWithJinja2OnEveryFeature) {
  const Json golden = test::ReadGolden("cases.json");
  const ChatInput input = MakeInput(golden["input"]);
  CHECK(golden["cases"].size() > 400);
  for (const Json& c : golden["cases"]) {
    const std::string source = c["template"];
    const Result<std::string> result = RenderOnce(source, input);
    if (c.contains("error")) {
      if (result.ok()) FAIL((source + "\nshould fail, but gives: " + *result).c_str());
      STRCMP_CONTAINS(c["error"].get<std::string>().c_str(), result.status().message().c_str());
    } else {
      if (!result.ok()) FAIL((source + "\n" + result.status().message()).c_str());
      STRCMP_EQUAL_TEXT(c["expected"].get<std::string>().c_str(), result->c_str(), source.c_str());
    }
  }
}

TEST(Jinja, ErrorsNameTheLineOfTheInnermostConstruct) {
  CHECK_ERROR(Code::kInvalid, "template line 3: 'nope' is undefined",
              RunLimited("a\n{% if true %}\n{{ nope.x }}\n{% endif %}"));
  CHECK_ERROR(Code::kInvalid, "template line 3: expected an expression, got '}}'",
              RunLimited("\n{{ 1 +\n}}"));
}

TEST(Jinja, RefusesUnsupportedConstructsByName) {
  CHECK_ERROR(Code::kUnsupported, "template line 2: the tag 'include' is not supported",
              RunLimited("\n{% include 'x' %}"));
  CHECK_ERROR(Code::kUnsupported, "template line 1: the filter 'from_json' is not supported",
              RunLimited("{{ '{}' | from_json }}"));
  CHECK_ERROR(Code::kUnsupported, "the test 'odious' is not supported",
              RunLimited("{% if false %}{{ 1 is odious }}{% endif %}{{ 1 is odious }}"));
  CHECK_ERROR(Code::kUnsupported, "'casefold' of a str is not supported",
              RunLimited("{{ 'a'.casefold() }}"));
}

TEST(Jinja, StopsLongLoopsAtTheStepLimit) {
  const TemplateLimits limits{.max_steps = 100'000};
  const char* text = "limit of 100000 steps (max_steps)";
  CHECK_ERROR(Code::kExhausted, "limit of 100000 elements",
              RunLimited("{% for i in range(10**9) %}{% endfor %}", limits));
  for (const char* body : {"", "x", "{% set y = i * 2 %}"}) {
    CHECK_ERROR(Code::kExhausted, text,
                RunLimited(fmt::format("{{% for i in range(9999) %}}{{% for j in range(9999) %}}{}"
                                       "{{% endfor %}}{{% endfor %}}",
                                       body),
                           limits));
  }
}

TEST(Jinja, ChargesForWhatListsAndStringsCost) {
  const TemplateLimits limits{.max_steps = 100'000};
  const char* text = "(max_steps)";
  for (const char* source : {
           "{{ [1] * 10**15 }}",
           "{{ [1] | batch(10**12, 0) | list }}",
           "{{ [1] | slice(10**12) | list }}",
           "{% set a = 'ab ' * 100000 %}{{ a.split() | length }}",
           "{% set a = 'ab' * 100000 %}{{ a | list | length }}",
           "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}"
           "{% endfor %}",
           "{% set a = 'a' * 100000 %}{% for i in range(9999) %}{{ a.count('b') }}{% endfor %}",
           "{% set a = 'a' * 1000000 %}{{ a.rfind('b' ~ a) }}",
           "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(90) %}"
           "{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}"
           "{{ ns.x == ns.y }}",
       }) {
    CHECK_ERROR(Code::kExhausted, text, RunLimited(source, limits));
  }
}

TEST(Jinja, FindsLongNeedlesInLinearTime) {
  CHECK_OK(
      RunLimited("{% set a = 'a' * 4000000 %}{{ a.find('a' * 2000000 ~ 'b') }}"
                 "{{ ('a' * 2000000 ~ 'b') in a }}"));
}

TEST(Jinja, StopsGrowingTextsAtTheOutputLimit) {
  const TemplateLimits limits{.max_output = 10'000};
  const char* text = "limit of 10000 bytes for a text (max_output)";
  for (const char* source : {
           "{{ 'a' * 10**15 }}",
           "{{ 10**15 * 'a' }}",
           "{{ 'a'.ljust(10**15) }}",
           "{{ 'a' | center(10**15) }}",
           "{{ 'a\nb' | indent(10**15) }}",
           "{{ [1] | tojson(indent=10**15) }}",
           "{{ '1'.zfill(10**15) }}",
           "{% for i in range(9999) %}xx{% endfor %}",
           "{% set a = 'a' * 1000 %}{{ a.replace('a', a) }}",
           "{% set a = 'a' * 1000 %}{{ ([a] * 11) | join }}",
           "{% set a = 'a' * 1000 %}{{ a.join([a, a, a, a, a, a, a]) }}",
           "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}"
           "{% endfor %}",
           "{% set ns = namespace(x=[1]) %}{% for i in range(90) %}"
           "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
           "{% set ns = namespace(x=[1]) %}{% for i in range(90) %}"
           "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson }}",
       }) {
    CHECK_ERROR(Code::kExhausted, text, RunLimited(source, limits));
  }
  CHECK_ERROR(Code::kUnsupported, "width or precision exceeds 1000",
              RunLimited("{{ '%1000000000d' % 1 }}"));
}

TEST(Jinja, StopsEndlessRecursionAtTheDepthLimit) {
  const char* text = "limit of 500 nested evaluations (max_depth)";
  CHECK_ERROR(Code::kExhausted, text,
              RunLimited("{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}"));
  CHECK_ERROR(
      Code::kExhausted, text,
      RunLimited("{% macro m(n) %}{% if n %}{% for x in [1] %}{% set y %}{{ [{'a': m(n + 1) "
                 "~ ''}] | first | string | upper }}{% endset %}{% endfor %}{% endif %}"
                 "{% endmacro %}{{ m(1) }}"));
  CHECK_ERROR(Code::kExhausted, text,
              RunLimited("{% for x in [1] recursive %}{{ loop([x]) }}{% endfor %}"));
}

TEST(Jinja, StopsEndlessNestingOfValues) {
  const char* text = "nests deeper than the limit of 100 levels";
  for (const char* next : {"[ns.x]", "{'a': ns.x}", "(ns.x,)", "[ns.x] | select", "[ns.x].count",
                           "dict(a=ns.x)", "{'a': ns.x}.get"}) {
    CHECK_ERROR(Code::kExhausted, text,
                RunLimited(fmt::format("{{% set ns = namespace(x=[1]) %}}{{% for i in range(9999) "
                                       "%}}{{% set ns.x = {} %}}{{% endfor %}}",
                                       next)));
  }
  CHECK_ERROR(Code::kExhausted, text,
              RunLimited("{% set ns = namespace(x=1) %}{% for i in range(9999) %}"
                         "{% for j in [ns.x] %}{% set ns.x = loop %}{% endfor %}{% endfor %}"));
}

TEST(Jinja, StopsDeepSyntaxWhileParsing) {
  constexpr int kMany = 20'000;
  for (const std::string& source : {
           "{{ " + Repeat("(", kMany) + "1" + Repeat(")", kMany) + " }}",
           "{{ " + Repeat("[", kMany) + "1" + Repeat("]", kMany) + " }}",
           "{{ " + Repeat("{1: ", kMany) + "1" + Repeat("}", kMany) + " }}",
           "{{ 1" + Repeat(" + 1", kMany) + " }}",
           "{{ 1" + Repeat(" and 1", kMany) + " }}",
           "{{ 1" + Repeat(" | string", kMany) + " }}",
           "{{ x" + Repeat(".y", kMany) + " }}",
           "{{ x" + Repeat("()", kMany) + " }}",
           "{{ " + Repeat("x(", kMany) + Repeat(")", kMany) + " }}",
           "{{ " + Repeat("not ", kMany) + "1 }}",
           "{{ " + Repeat("- ", kMany) + "1 }}",
           "{{ " + Repeat("1 if 0 else ", kMany) + "1 }}",
           "{% set " + Repeat("(", kMany) + "a" + Repeat(")", kMany) + " = 1 %}",
           Repeat("{% if 1 %}", kMany),
           Repeat("{% for x in y %}", kMany),
           Repeat("{% macro m() %}", kMany),
       }) {
    CHECK_ERROR(Code::kExhausted, "the syntax nests deeper than the limit of 200",
                RunLimited(source));
  }
}

TEST(Jinja, FreesCyclesAndLongChains) {
  // Nothing to see but for the address sanitizer, and a stack that does not overflow.
  for (const char* source : {
           "{% set ns = namespace() %}{% set ns.me = ns %}{% macro m() %}{% set q = ns %}"
           "{% macro k() %}{{ q }}{% endmacro %}{% set ns.k = k %}{% endmacro %}{{ m() }}",
           "{% set ns = namespace() %}{% for x in [1, 2] %}{% set ns.l = loop %}"
           "{% set ns.c = loop.changed(loop, ns) %}{% set ns.f = loop.cycle %}{% endfor %}",
           "{% set ns = namespace(x=1) %}{% for i in range(50000) %}"
           "{% set ns.x = namespace(p=ns.x) %}{% endfor %}",
           "{% set ns = namespace() %}{% for i in range(50000) %}{% set old = ns.f %}"
           "{% macro m() %}{{ old }}{% endmacro %}{% set ns.f = m %}{% endfor %}",
       }) {
    CHECK_OK(RunLimited(source));
  }
}

}  // namespace
}  // namespace minnow::text
