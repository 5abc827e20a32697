// Extract, and what limits the answers of Generate and Chat.
#include <nlohmann/json.hpp>

#include "service/service_fixture.h"

namespace minnow::test {
namespace {

const std::string kReceipt =
    "Green Bridge Plastics\nMilk 1.20\nBread 2.10\nTotal 3.30\nThank you for your visit";

TEST_GROUP(Extract) {
  ServiceFixture f;
  void setup() override {
    f.options.models = {{"llama", kGolden + "llama.gguf"}, {"demo", kDemo}};
    f.Start();
  }

  v1::ExtractRequest Request(const std::string& schema) {
    v1::ExtractRequest request;
    request.set_model("demo");
    request.set_document(kReceipt);
    request.set_schema(schema);
    return request;
  }

  grpc::Status Extract(const v1::ExtractRequest& request, v1::ExtractResponse* response) {
    Context context;
    return f.Inference()->Extract(&context, request, response);
  }

  void CheckRefused(const char* field, const char* message, const v1::ExtractRequest& request) {
    v1::ExtractResponse response;
    const grpc::Status status = Extract(request, &response);
    CHECK_GRPC(INVALID_ARGUMENT, "INVALID", status);
    STRCMP_EQUAL(field, FieldOf(status).c_str());
    STRCMP_CONTAINS(message, status.error_message().c_str());
  }

  Answer Generated(v1::GenerateRequest request) {
    Context context;
    auto stub = f.Inference();
    return Generate(*stub, request, context);
  }
};

TEST(Extract, GivesARecordAndWhatItsValuesStandOn) {
  v1::ExtractRequest request = Request(
      R"({"type":"object","properties":{"total":{"type":"string","x-from-source":true},
          "kind":{"enum":["receipt","letter"]},"one":{"const":1}},
          "required":["total","kind","one"],"additionalProperties":false})");
  v1::ExtractResponse response;
  CHECK_GRPC_OK(Extract(request, &response));
  const auto json = nlohmann::ordered_json::parse(response.json());
  STRCMP_EQUAL("total", json.begin().key().c_str());
  const std::string total = json["total"].get<std::string>();
  LONGS_EQUAL(3, response.fields_size());
  STRCMP_EQUAL("/total", response.fields(0).pointer().c_str());
  CHECK(response.fields(0).spans_size() >= 1);
  for (const v1::SourceSpan& span : response.fields(0).spans())
    STRCMP_EQUAL(total.c_str(), kReceipt.substr(span.begin(), span.end() - span.begin()).c_str());
  for (const v1::ExtractedField& field : response.fields())
    CHECK(field.confidence() > 0 && field.confidence() <= 1);
  LONGS_EQUAL(0, response.fields(1).spans_size());
  DOUBLES_EQUAL(1, response.fields(2).confidence(), 0);
  CHECK(response.usage().prompt_tokens() > 10 && response.usage().completion_tokens() > 10);
  CHECK(!response.fingerprint().empty());

  // The same of a context that has the document.
  v1::CreateContextRequest create;
  create.set_model("demo");
  create.set_document(kReceipt);
  v1::Context made;
  Context first;
  CHECK_GRPC_OK(f.Inference()->CreateContext(&first, create, &made));
  request.clear_document();
  request.clear_model();
  request.set_context(made.id());
  v1::ExtractResponse of_context;
  CHECK_GRPC_OK(Extract(request, &of_context));
  STRCMP_EQUAL(response.json().c_str(), of_context.json().c_str());
}

TEST(Extract, RefusesWhatItCannotEnforceByItsPlace) {
  CheckRefused("schema", "", Request("{"));
  CheckRefused("schema", "must not be empty", Request(""));
  CheckRefused("schema", "/properties/a/type",
               Request(R"({"type":"object","properties":{"a":{"type":"nothing"}}})"));
  v1::ExtractRequest small = Request(R"({"const":"a text of some length, in any case"})");
  small.set_max_tokens(2);
  CheckRefused("schema", "max_tokens is 2", small);
  v1::ExtractRequest both = Request("true");
  both.set_context("x");
  CheckRefused("document", "one of the two", both);
  v1::ExtractRequest parts = Request("true");
  parts.set_on_overflow(v1::ON_OVERFLOW_CHUNK);
  CheckRefused("on_overflow", "one answer", parts);
}

TEST(Extract, AnswersAreWhatTheirOptionsSay) {
  v1::GenerateRequest request = Generation(20);
  request.mutable_options()->clear_ignore_end();
  request.mutable_options()->set_regex("[0-9]{3}-(abcdefgh|x)");
  const Answer number = Generated(request);
  CHECK_GRPC_OK(number.status);
  CHECK(number.text.size() == 5 || number.text.size() == 12);
  CHECK(number.text[3] == '-');
  LONGS_EQUAL(v1::FINISH_REASON_STOP, number.finished.reason());

  *request.mutable_options()->mutable_choice()->add_texts() = "the only one";
  const Answer chosen = Generated(request);
  CHECK_GRPC_OK(chosen.status);
  STRCMP_EQUAL("the only one", chosen.text.c_str());
  for (const v1::Token& token : chosen.tokens) CHECK(token.forced());
  CHECK(chosen.in_order);
}

TEST(Extract, AConstraintThatIsRefusedIsTheFieldOfItsOption) {
  const auto check = [&](const char* field, const v1::GenerateRequest& request) {
    const grpc::Status status = Generated(request).status;
    CHECK_GRPC(INVALID_ARGUMENT, "INVALID", status);
    STRCMP_EQUAL(field, FieldOf(status).c_str());
  };
  v1::GenerateRequest request = Generation(20);
  request.mutable_options()->clear_ignore_end();
  request.mutable_options()->set_regex("(a");
  check("options.regex", request);
  request.mutable_options()->set_regex("a{30}b{40}");
  check("options.regex", request);  // longer than max_tokens
  request.mutable_options()->set_json_schema("{");
  check("options.json_schema", request);
  request.mutable_options()->set_gbnf("root ::= (");
  check("options.gbnf", request);
  request.mutable_options()->set_lark("start: (");
  check("options.lark", request);
  request.mutable_options()->mutable_choice();
  check("options.choice.texts", request);
  request.mutable_options()->mutable_choice()->add_texts("x");
  request.mutable_options()->add_stop("x");
  check("options.stop", request);
  request.mutable_options()->clear_stop();
  request.mutable_options()->set_ignore_end(true);
  check("options.ignore_end", request);
}

const char* const kTools = R"([{"type": "function", "function": {"name": "weather", "parameters": {
    "type": "object", "required": ["city"], "properties": {
      "city": {"type": "string", "maxLength": 10}}}}},
    {"type": "function", "function": {"name": "now"}}])";

v1::ChatRequest ChatWithTools(const std::string& choice = "") {
  v1::ChatRequest request;
  request.set_model("demo");
  v1::Message* message = request.add_messages();
  message->set_role("user");
  message->set_content("How warm is it?");
  request.mutable_options()->mutable_tools()->set_json(kTools);
  request.mutable_options()->mutable_tools()->set_choice(choice);
  return request;
}

TEST(Extract, AChatWithToolsEndsWithTheCallsRead) {
  auto stub = f.Inference();
  Context first, second, third;
  const Answer any = Chat(*stub, ChatWithTools(), first);
  CHECK_GRPC_OK(any.status);
  LONGS_EQUAL(1, any.finished.tool_calls_size());
  const v1::ToolCall& call = any.finished.tool_calls(0);
  const auto arguments = nlohmann::json::parse(call.arguments());
  CHECK(call.name() == "now" ? arguments.empty() : arguments.contains("city"));
  CHECK(any.text.starts_with("{\"name\": \""));

  const Answer now = Chat(*stub, ChatWithTools("now"), second);
  STRCMP_EQUAL("{\"name\": \"now\", \"arguments\": {}}", now.text.c_str());
  STRCMP_EQUAL("now", now.finished.tool_calls(0).name().c_str());
  STRCMP_EQUAL("{}", now.finished.tool_calls(0).arguments().c_str());
  // The tools are in the prompt, and what was called goes on in the conversation.
  v1::ChatRequest next = ChatWithTools();
  next.clear_options();
  v1::Message* called = next.add_messages();
  called->set_role("assistant");
  *called->add_tool_calls() = call;
  next.add_messages()->set_role("user");
  const Answer without = Chat(*stub, next, third);
  CHECK_GRPC_OK(without.status);
  LONGS_EQUAL(0, without.finished.tool_calls_size());
  CHECK(now.accepted.prompt_tokens() > without.accepted.prompt_tokens() + 20);
}

TEST(Extract, ToolsThatAreRefusedAreTheFieldsFault) {
  const auto check = [&](const char* field, const char* message, const v1::ChatRequest& request) {
    Context context;
    auto stub = f.Inference();
    const grpc::Status status = Chat(*stub, request, context).status;
    CHECK_GRPC(INVALID_ARGUMENT, "INVALID", status);
    STRCMP_EQUAL(field, FieldOf(status).c_str());
    STRCMP_CONTAINS(message, status.error_message().c_str());
  };
  v1::ChatRequest request = ChatWithTools("then");
  check("options.tools", "the choice \"then\" is no tool", request);
  request = ChatWithTools();
  v1::Tools* tools = request.mutable_options()->mutable_tools();
  tools->set_format("xml");
  check("options.tools", "there are auto, json", request);
  tools->clear_format();
  tools->set_json("[3]");
  check("options.tools", "/0: a tool is", request);
  tools->set_json("[");
  check("options.tools.json", "parse error", request);
  tools->set_json(std::string(10'000, '['));
  check("options.tools.json", "nested deeper", request);
  tools->set_json(std::string((1 << 20) + 1, ' '));
  check("options.tools.json", "may have 1048576 bytes", request);
  tools->clear_json();
  check("options.tools.json", "", request);
  tools->set_json(
      R"([{"type": "function", "function": {"name": "a", "parameters": {"type": "object",
          "properties": {"b": {"type": "strange"}}}}}])");
  check("options.tools", "/0/function/parameters/properties/b/type", request);
  request = ChatWithTools();
  request.mutable_options()->set_max_tokens(2);
  check("options.tools", "max_tokens is 2", request);
  request = ChatWithTools();
  request.mutable_options()->add_stop("x");
  check("options.stop", "exclude each other", request);
  request = ChatWithTools();
  request.mutable_messages(0)->add_tool_calls()->set_name("now");
  check("messages[0].tool_calls[0].arguments", "", request);
  request.mutable_messages(0)->mutable_tool_calls(0)->set_arguments("[]");
  check("messages[0].tool_calls[0].arguments", "no JSON object", request);
  v1::GenerateRequest generate = Generation(20);
  generate.mutable_options()->clear_ignore_end();
  generate.mutable_options()->mutable_tools()->set_json(kTools);
  STRCMP_EQUAL("options.tools", FieldOf(Generated(generate).status).c_str());
}

}  // namespace
}  // namespace minnow::test
