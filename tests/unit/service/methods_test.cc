// Every method against models, through the generated stubs.
#include <cmath>
#include <fstream>

#include "build_paths.h"
#include "grpc/reflection/v1/reflection.grpc.pb.h"
#include "service/service_fixture.h"

namespace minnow::test {
namespace {

TEST_GROUP(Methods) {
  ServiceFixture f;
  void setup() override {
    f.options.models = {
        {"llama", kGolden + "llama.gguf"}, {"bert", kGolden + "bert_cls.gguf"}, {"demo", kDemo}};
    f.runtime_options.model_dirs = {kGolden};
  }
};

TEST(Methods, GenerateStreamsWhatItSaysInTheEnd) {
  f.Start();
  auto stub = f.Inference();
  v1::GenerateRequest request = Generation(12);
  request.mutable_options()->set_logprobs(3);
  Context context, again;
  const Answer answer = Generate(*stub, request, context);
  CHECK_GRPC_OK(answer.status);
  CHECK(answer.in_order);
  STRCMP_EQUAL("llama", answer.accepted.model().c_str());
  CHECK(answer.accepted.prompt_tokens() > 0);
  LONGS_EQUAL(12, answer.tokens.size());
  LONGS_EQUAL(12, answer.finished.usage().completion_tokens());
  LONGS_EQUAL(answer.accepted.prompt_tokens(), answer.finished.usage().prompt_tokens());
  LONGS_EQUAL(v1::FINISH_REASON_LENGTH, answer.finished.reason());
  CHECK(answer.finished.timings().decode_seconds() > 0);
  for (const v1::Token& token : answer.tokens) {
    LONGS_EQUAL(3, token.top_size());
    LONGS_EQUAL(token.id(), token.top(0).id());  // greedy
    DOUBLES_EQUAL(token.logprob(), token.top(0).logprob(), 0);
  }
  STRCMP_EQUAL(answer.text.c_str(), Generate(*stub, request, again).text.c_str());
}

TEST(Methods, GenerateTakesTokensAndStops) {
  f.Start();
  auto stub = f.Inference();
  v1::GenerateRequest request = Generation(8);
  Context first, second;
  const Answer whole = Generate(*stub, request, first);
  CHECK_GRPC_OK(whole.status);
  v1::TokenizeRequest tokenize;
  v1::TokenizeResponse tokens;
  tokenize.set_model("llama");
  tokenize.set_text("abc");
  Context third;
  CHECK_GRPC_OK(stub->Tokenize(&third, tokenize, &tokens));
  *request.mutable_prompt()->mutable_tokens()->mutable_ids() = tokens.tokens();
  const auto is_ascii = [](unsigned char c) { return c < 0x80; };
  const auto at = std::find_if(whole.text.rbegin(), whole.text.rend(), is_ascii);
  CHECK(at != whole.text.rend());
  const std::string stop(1, *at);
  request.mutable_options()->add_stop(stop);
  const Answer stopped = Generate(*stub, request, second);
  CHECK_GRPC_OK(stopped.status);
  STRCMP_EQUAL(whole.text.substr(0, whole.text.find(stop)).c_str(), stopped.text.c_str());
  STRCMP_EQUAL(stop.c_str(), stopped.finished.stop_string().c_str());
  LONGS_EQUAL(v1::FINISH_REASON_STOP, stopped.finished.reason());
}

TEST(Methods, ChatGoesThroughTheTemplate) {
  f.Start();
  auto stub = f.Inference();
  v1::ChatRequest request;
  request.set_model("demo");
  v1::Message* message = request.add_messages();
  message->set_role("user");
  message->set_content("Receipt\nMilk 1.20\nTotal 1.20\n\nWhat kind of document is this?");
  request.mutable_options()->set_max_tokens(16);
  Context context;
  const Answer answer = Chat(*stub, request, context);
  CHECK_GRPC_OK(answer.status);
  CHECK(answer.in_order);
  LONGS_EQUAL(v1::FINISH_REASON_STOP, answer.finished.reason());
  STRCMP_CONTAINS("receipt", answer.text.c_str());
  request.set_model("llama");
  Context without_template;
  CHECK_GRPC(FAILED_PRECONDITION, "PRECONDITION", Chat(*stub, request, without_template).status);
}

TEST(Methods, ClassifyGivesProbabilitiesOfTheLabels) {
  f.Start();
  auto stub = f.Inference();
  v1::ClassifyRequest request;
  request.set_model("demo");
  request.set_document("Receipt\nMilk 1.20\nBread 2.10\nTotal 3.30\nThank you for your visit");
  request.set_question("What kind of document is this?");
  for (const char* label : {"contract", "receipt", "letter"}) request.add_labels(label);
  v1::ClassifyResponse response;
  Context context;
  CHECK_GRPC_OK(stub->Classify(&context, request, &response));
  STRCMP_EQUAL("receipt", response.label().c_str());
  LONGS_EQUAL(3, response.labels_size());
  STRCMP_EQUAL("contract", response.labels(0).label().c_str());
  double sum = 0;
  for (const auto& label : response.labels()) sum += label.probability();
  DOUBLES_EQUAL(1, sum, 1e-9);
  CHECK(response.usage().prompt_tokens() > 10);
  request.add_labels("receipt");
  Context twice;
  const grpc::Status refused = stub->Classify(&twice, request, &response);
  CHECK_GRPC(INVALID_ARGUMENT, "INVALID", refused);
  STRCMP_EQUAL("labels[3]", FieldOf(refused).c_str());
}

TEST(Methods, ClassifyAnswersSeveralQuestionsTogether) {
  f.Start();
  auto stub = f.Inference();
  v1::ClassifyRequest request;
  request.set_model("demo");
  request.set_document("Receipt\nMilk 1.20\nBread 2.10\nTotal 3.30\nThank you for your visit");
  v1::LabelQuestion* kind = request.add_questions();
  kind->set_question("What kind of document is this?");
  for (const char* label : {"contract", "receipt", "letter"}) kind->add_labels(label);
  v1::LabelQuestion* about = request.add_questions();
  about->set_question("Is this about {label}?");
  about->add_labels("money");
  about->mutable_options()->set_multi(true);
  about->mutable_options()->set_threshold(0);
  request.mutable_options()->set_top_k(2);
  request.mutable_options()->set_abstain(1);
  v1::ClassifyResponse response;
  Context context;
  CHECK_GRPC_OK(stub->Classify(&context, request, &response));
  LONGS_EQUAL(2, response.answers_size());
  LONGS_EQUAL(0, response.labels_size());
  CHECK(response.answers(0).abstained());
  STRCMP_EQUAL("", response.answers(0).label().c_str());
  LONGS_EQUAL(2, response.answers(0).labels_size());
  STRCMP_EQUAL("receipt", response.answers(0).labels(0).label().c_str());
  CHECK(response.answers(0).labels(0).logprob() < 0);
  LONGS_EQUAL(1, response.answers(1).yes_size());
  CHECK(!response.answers(1).abstained());
  const auto refused = [&](const char* field) {
    Context c;
    const grpc::Status status = stub->Classify(&c, request, &response);
    CHECK_GRPC(INVALID_ARGUMENT, "INVALID", status);
    STRCMP_EQUAL(field, FieldOf(status).c_str());
  };
  request.mutable_options()->set_abstain(0);
  about->mutable_options()->set_multi(false);
  refused("questions[1].labels");
  about->mutable_options()->set_multi(true);
  about->set_question("Is this about it?");
  refused("questions[1].question");
  request.mutable_questions()->RemoveLast();
  request.set_question("q");
  refused("questions");
  request.clear_questions();
  request.clear_question();
  refused("question");
}

TEST(Methods, ScoreOfATextAloneHasItsTokens) {
  f.Start();
  auto stub = f.Inference();
  v1::ScoreRequest request;
  request.set_model("demo");
  request.mutable_prompt()->set_text("Dear Sir, thank you");
  v1::ScoreResponse response;
  Context context;
  CHECK_GRPC_OK(stub->Score(&context, request, &response));
  LONGS_EQUAL(0, response.continuations_size());
  LONGS_EQUAL(response.usage().prompt_tokens() + 1, response.prompt_size());
  CHECK(!response.prompt(0).has_logprob());
  double sum = 0;
  for (int i = 1; i + 1 < response.prompt_size(); ++i) sum += response.prompt(i).logprob();
  DOUBLES_EQUAL(sum, response.prompt_logprob(), 1e-4);
}

TEST(Methods, AContextIsAskedByItsId) {
  f.Start();
  auto stub = f.Inference();
  v1::CreateContextRequest create;
  create.set_model("demo");
  create.set_document("Receipt\nMilk 1.20\nBread 2.10\nTotal 3.30\nThank you for your visit");
  v1::Context made;
  Context first;
  CHECK_GRPC_OK(stub->CreateContext(&first, create, &made));
  LONGS_EQUAL(32, made.id().size());
  STRCMP_EQUAL("demo", made.model().c_str());
  LONGS_EQUAL(600, made.ttl_seconds());
  CHECK(made.document_tokens() > 10);

  v1::ClassifyRequest classify;
  classify.set_context(made.id());
  classify.set_question("What kind of document is this?");
  for (const char* label : {"contract", "receipt", "letter"}) classify.add_labels(label);
  v1::ClassifyResponse by_id, by_text;
  Context second, third;
  CHECK_GRPC_OK(stub->Classify(&second, classify, &by_id));
  classify.clear_context();
  classify.set_model("demo");
  classify.set_document(create.document());
  CHECK_GRPC_OK(stub->Classify(&third, classify, &by_text));
  DOUBLES_EQUAL(by_text.labels(1).logprob(), by_id.labels(1).logprob(), 0);

  v1::ChatRequest chat;
  chat.set_context(made.id());
  v1::Message* message = chat.add_messages();
  message->set_role("user");
  message->set_content("What is the total?");
  Context fourth, fifth;
  const Answer of_context = Chat(*stub, chat, fourth);
  CHECK_GRPC_OK(of_context.status);
  STRCMP_EQUAL("demo", of_context.accepted.model().c_str());
  chat.clear_context();
  chat.set_model("demo");
  message->set_content(create.document() + "\n\nWhat is the total?");
  const Answer of_text = Chat(*stub, chat, fifth);
  STRCMP_EQUAL(of_text.text.c_str(), of_context.text.c_str());
  LONGS_EQUAL(of_text.accepted.prompt_tokens(), of_context.accepted.prompt_tokens());

  v1::DeleteContextRequest remove;
  remove.set_id(made.id());
  v1::DeleteContextResponse removed;
  Context sixth, seventh;
  CHECK_GRPC_OK(stub->DeleteContext(&sixth, remove, &removed));
  CHECK_GRPC(NOT_FOUND, "CONTEXT_NOT_FOUND", stub->DeleteContext(&seventh, remove, &removed));
}

TEST(Methods, AContextIsOfItsModel) {
  f.Start();
  auto stub = f.Inference();
  v1::CreateContextRequest create;
  create.set_model("demo");
  create.set_document("Dear Ann");
  create.set_ttl_seconds(60);
  v1::Context made;
  Context first;
  CHECK_GRPC_OK(stub->CreateContext(&first, create, &made));
  v1::ClassifyRequest classify;
  classify.set_context(made.id());
  classify.set_question("?");
  for (const char* label : {"a", "b"}) classify.add_labels(label);
  v1::ClassifyResponse response;
  classify.set_model("llama");
  Context second;
  grpc::Status refused = stub->Classify(&second, classify, &response);
  CHECK_GRPC(INVALID_ARGUMENT, "INVALID", refused);
  STRCMP_EQUAL("model", FieldOf(refused).c_str());
  classify.clear_model();
  classify.set_document("both");
  Context third;
  refused = stub->Classify(&third, classify, &response);
  CHECK_GRPC(INVALID_ARGUMENT, "INVALID", refused);
  STRCMP_EQUAL("document", FieldOf(refused).c_str());
  classify.clear_document();
  classify.set_context(std::string(32, '0'));
  Context fourth;
  CHECK_GRPC(NOT_FOUND, "CONTEXT_NOT_FOUND", stub->Classify(&fourth, classify, &response));
  v1::ChatRequest chat;
  chat.set_context(made.id());
  chat.add_messages()->set_role("system");
  Context fifth;
  refused = Chat(*stub, chat, fifth).status;
  CHECK_GRPC(INVALID_ARGUMENT, "INVALID", refused);
  STRCMP_EQUAL("messages", FieldOf(refused).c_str());
}

TEST(Methods, ScoreAgreesWithTheTokensOfAnAnswer) {
  f.Start();
  auto stub = f.Inference();
  v1::GenerateRequest generate = Generation(5);
  generate.mutable_options()->set_logprobs(1);
  Context first, second;
  const Answer answer = Generate(*stub, generate, first);
  CHECK_GRPC_OK(answer.status);
  v1::ScoreRequest request;
  request.set_model("llama");
  request.mutable_prompt()->set_text("abc");
  auto* ids = request.add_continuations()->mutable_tokens();
  double sum = 0;
  for (const v1::Token& token : answer.tokens) {
    ids->add_ids(token.id());
    sum += token.logprob();
  }
  request.add_continuations()->set_text("xyz");
  v1::ScoreResponse response;
  CHECK_GRPC_OK(stub->Score(&second, request, &response));
  LONGS_EQUAL(2, response.continuations_size());
  DOUBLES_EQUAL(sum, response.continuations(0).logprob(), 1e-4);
  LONGS_EQUAL(5, response.continuations(0).token_logprobs_size());
  CHECK(response.continuations(1).logprob() < response.continuations(0).logprob());
}

TEST(Methods, EmbedGivesAVectorForEachInput) {
  f.Start();
  auto stub = f.Inference();
  v1::EmbedRequest request;
  request.set_model("bert");
  for (const char* text : {"one", "two", "one"}) request.add_inputs()->set_text(text);
  v1::EmbedResponse response;
  Context context;
  CHECK_GRPC_OK(stub->Embed(&context, request, &response));
  LONGS_EQUAL(3, response.embeddings_size());
  double length = 0;
  for (const float x : response.embeddings(0).values()) length += x * x;
  DOUBLES_EQUAL(1, length, 1e-4);
  STRCMP_EQUAL(response.embeddings(0).DebugString().c_str(),
               response.embeddings(2).DebugString().c_str());
  CHECK(response.embeddings(0).DebugString() != response.embeddings(1).DebugString());
  std::string much;
  for (int i = 0; i < 4000; ++i) much += "word ";
  request.mutable_inputs(1)->set_text(much);
  Context too_long;
  const grpc::Status refused = stub->Embed(&too_long, request, &response);
  CHECK_GRPC(OUT_OF_RANGE, "OUT_OF_RANGE", refused);
  STRCMP_CONTAINS("inputs[1]", refused.error_message().c_str());

  // The head of it is the vector of what was kept; parts have the mean of theirs.
  v1::EmbedResponse whole;
  request.set_on_overflow(v1::ON_OVERFLOW_HEAD);
  Context head;
  CHECK_GRPC_OK(stub->Embed(&head, request, &whole));
  CHECK(!whole.embeddings(0).has_overflow());
  LONGS_EQUAL(much.size(), whole.embeddings(1).overflow().document_bytes());
  const uint64_t kept = whole.embeddings(1).overflow().kept(0).end();
  CHECK(kept > 100 && kept < much.size());
  request.mutable_inputs(1)->set_text(much.substr(0, kept));
  request.clear_on_overflow();
  Context part;
  CHECK_GRPC_OK(stub->Embed(&part, request, &response));
  CHECK(std::ranges::equal(response.embeddings(1).values(), whole.embeddings(1).values()));

  request.mutable_inputs(1)->set_text(much + "one two three");
  request.set_on_overflow(v1::ON_OVERFLOW_CHUNK);
  Context chunks;
  CHECK_GRPC_OK(stub->Embed(&chunks, request, &whole));
  const v1::Overflow& overflow = whole.embeddings(1).overflow();
  CHECK(overflow.kept_size() > 5);
  std::vector<double> sum(static_cast<size_t>(whole.embeddings(1).values_size()));
  request.clear_inputs();
  request.clear_on_overflow();
  for (const v1::ByteSpan& span : overflow.kept()) {
    request.add_inputs()->set_text(
        (much + "one two three").substr(span.begin(), span.end() - span.begin()));
  }
  Context parts;
  CHECK_GRPC_OK(stub->Embed(&parts, request, &response));
  for (int p = 0; p < response.embeddings_size(); ++p) {
    const auto weight = static_cast<double>(overflow.kept(p).end() - overflow.kept(p).begin());
    for (size_t i = 0; i < sum.size(); ++i) {
      sum[i] += weight * response.embeddings(p).values(static_cast<int>(i));
    }
  }
  double squares = 0;
  for (const double x : sum) squares += x * x;
  for (size_t i = 0; i < sum.size(); ++i) {
    DOUBLES_EQUAL(sum[i] / std::sqrt(squares), whole.embeddings(1).values(static_cast<int>(i)),
                  1e-6);
  }

  request.mutable_inputs(0)->mutable_tokens()->add_ids(1);
  request.set_on_overflow(v1::ON_OVERFLOW_HEAD);
  Context tokens;
  STRCMP_EQUAL("on_overflow", FieldOf(stub->Embed(&tokens, request, &response)).c_str());
}

TEST(Methods, ModelsDoOnlyWhatTheyCan) {
  f.Start();
  auto stub = f.Inference();
  v1::GenerateRequest request = Generation(1);
  request.set_model("bert");
  Context context, other;
  CHECK_GRPC(UNIMPLEMENTED, "UNSUPPORTED", Generate(*stub, request, context).status);
  v1::EmbedRequest embed;
  v1::EmbedResponse embedded;
  embed.set_model("llama");
  embed.add_inputs()->set_text("x");
  CHECK_GRPC(UNIMPLEMENTED, "UNSUPPORTED", stub->Embed(&other, embed, &embedded));
}

TEST(Methods, TokenizeAndBack) {
  f.Start();
  auto stub = f.Inference();
  v1::TokenizeRequest request;
  request.set_model("demo");
  request.set_text("Grüße, <|im_end|> from a document");
  v1::TokenizeResponse tokens;
  Context first, second;
  CHECK_GRPC_OK(stub->Tokenize(&first, request, &tokens));
  v1::DetokenizeRequest back;
  v1::DetokenizeResponse text;
  back.set_model("demo");
  *back.mutable_tokens()->mutable_ids() = tokens.tokens();
  CHECK_GRPC_OK(stub->Detokenize(&second, back, &text));
  STRCMP_EQUAL(request.text().c_str(), text.text().c_str());
}

TEST(Methods, RefusalsNameTheField) {
  f.Start();
  auto stub = f.Inference();
  const auto refused = [&](const v1::GenerateRequest& request) {
    Context context;
    return Generate(*stub, request, context).status;
  };
  v1::GenerateRequest request = Generation(1);
  request.mutable_options()->mutable_sampling()->set_top_p(0);
  STRCMP_EQUAL("options.sampling.top_p", FieldOf(refused(request)).c_str());
  request = Generation(0);
  STRCMP_EQUAL("options.max_tokens", FieldOf(refused(request)).c_str());
  request = Generation(1);
  request.mutable_prompt()->clear_text();
  STRCMP_EQUAL("prompt", FieldOf(refused(request)).c_str());
  request.mutable_prompt()->mutable_tokens()->add_ids(5);
  request.mutable_prompt()->mutable_tokens()->add_ids(99999);
  STRCMP_EQUAL("prompt.tokens.ids[1]", FieldOf(refused(request)).c_str());
  request = Generation(1);
  request.set_model("../llama");
  CHECK_GRPC(NOT_FOUND, "MODEL_NOT_FOUND", refused(request));
  request.clear_model();
  STRCMP_EQUAL("model", FieldOf(refused(request)).c_str());  // there are three
  request = Generation(100000);
  const grpc::Status too_long = refused(request);
  CHECK_GRPC(OUT_OF_RANGE, "OUT_OF_RANGE", too_long);
  STRCMP_CONTAINS("exceed the context of 2048", too_long.error_message().c_str());
}

TEST(Methods, AdaptersComeByRequest) {
  f.options.models.resize(1);
  f.Start();
  auto stub = f.Inference();
  const auto ask = [&](const std::string& model) {
    v1::GenerateRequest request = Generation(8);
    request.set_model(model);
    Context context;
    return Generate(*stub, request, context);
  };
  const Answer plain = ask("llama"), adapted = ask("llama:llama.lora"), only = ask(":llama.lora");
  CHECK_GRPC_OK(plain.status);
  CHECK_GRPC_OK(adapted.status);
  CHECK_GRPC_OK(only.status);
  STRCMP_EQUAL("llama:llama.lora", adapted.accepted.model().c_str());
  CHECK(plain.text != adapted.text);
  STRCMP_EQUAL(adapted.text.c_str(), only.text.c_str());
  STRCMP_EQUAL(plain.text.c_str(), ask("llama").text.c_str());

  const auto refused = [&](const std::string& model) { return ask(model).status; };
  const grpc::Status missing = refused("llama:nothing");
  CHECK_GRPC(NOT_FOUND, "ADAPTER_NOT_FOUND", missing);
  STRCMP_EQUAL("model", FieldOf(missing).c_str());
  for (const char* path : {"llama:", "llama:../models/llama.lora.gguf", "llama:/etc/passwd"}) {
    const grpc::Status status = refused(path);
    CHECK_GRPC(INVALID_ARGUMENT, "INVALID", status);
    STRCMP_EQUAL("model", FieldOf(status).c_str());
  }
  const grpc::Status foreign = refused("llama:phi3.lora"), no_adapter = refused("llama:qwen2");
  CHECK_GRPC(FAILED_PRECONDITION, "ADAPTER_FAILED", foreign);
  STRCMP_EQUAL("model", FieldOf(foreign).c_str());
  CHECK_GRPC(FAILED_PRECONDITION, "ADAPTER_FAILED", no_adapter);
  CHECK_GRPC(NOT_FOUND, "MODEL_NOT_FOUND", refused("nothing:llama.lora"));
  CHECK_GRPC(NOT_FOUND, "MODEL_NOT_FOUND", refused("llama:llama:llama.lora"));

  // Score goes the same way.
  const auto score = [&](const std::string& model) {
    v1::ScoreRequest request;
    v1::ScoreResponse response;
    request.set_model(model);
    request.mutable_prompt()->set_text("abc");
    request.add_continuations()->set_text("x");
    Context context;
    CHECK_GRPC_OK(stub->Score(&context, request, &response));
    return response.continuations(0).logprob();
  };
  CHECK(score("llama") != score("llama:llama.lora"));
}

TEST(Methods, ServedNamesAreThoseOfFilesAndFolders) {
  STRCMP_EQUAL("llama", service::ParseNamedModel("/a/llama.gguf").name.c_str());
  STRCMP_EQUAL("folder", service::ParseNamedModel("/a/folder").name.c_str());
  STRCMP_EQUAL("folder", service::ParseNamedModel("/a/folder/").name.c_str());
  STRCMP_EQUAL("folder", service::ParseNamedModel("a/folder//./").name.c_str());
  STRCMP_EQUAL("tiny", service::ParseNamedModel("tiny=/a/folder/").name.c_str());
  const std::string here = std::filesystem::current_path().filename().string();
  STRCMP_EQUAL(here.c_str(), service::ParseNamedModel(".").name.c_str());
}

TEST(Methods, ModelsComeAndGo) {
  f.options.models.resize(1);
  f.Start();
  auto stub = f.Models();
  auto health = f.Health();
  const auto serving = [&](const std::string& name) {
    grpc::health::v1::HealthCheckRequest request;
    grpc::health::v1::HealthCheckResponse response;
    request.set_service(name);
    Context context;
    const grpc::Status status = health->Check(&context, request, &response);
    return status.ok() ? static_cast<int>(response.status())
                       : -static_cast<int>(status.error_code());
  };
  const auto load = [&](const std::string& name) {
    v1::LoadRequest request;
    v1::LoadResponse response;
    request.set_name(name);
    Context context;
    return stub->Load(&context, request, &response);
  };
  LONGS_EQUAL(grpc::health::v1::HealthCheckResponse::SERVING, serving("models/llama"));
  LONGS_EQUAL(-grpc::StatusCode::NOT_FOUND, serving("models/qwen2"));
  CHECK_GRPC_OK(load("qwen2"));
  CHECK_GRPC_OK(load("qwen2"));
  LONGS_EQUAL(grpc::health::v1::HealthCheckResponse::SERVING, serving("models/qwen2"));
  CHECK_GRPC(NOT_FOUND, "NOT_FOUND", load("nothing"));
  CHECK_GRPC(INVALID_ARGUMENT, "INVALID", load("../../../etc/passwd"));
  CHECK_GRPC(INVALID_ARGUMENT, "INVALID", load(std::string("a\0b", 3)));
  CHECK_GRPC(FAILED_PRECONDITION, "PRECONDITION", load("llama.lora"));

  v1::ListModelsResponse list;
  Context listing, describing;
  CHECK_GRPC_OK(stub->List(&listing, {}, &list));
  LONGS_EQUAL(3, list.models_size());  // with the one that failed
  v1::DescribeRequest describe;
  v1::DescribeResponse description;
  describe.set_name("qwen2");
  CHECK_GRPC_OK(stub->Describe(&describing, describe, &description));
  STRCMP_EQUAL("qwen2", description.architecture().c_str());
  LONGS_EQUAL(2048, description.context_tokens());
  CHECK(description.weight_bytes() > 0);

  v1::UnloadRequest unload;
  v1::UnloadResponse unloaded;
  unload.set_name("qwen2");
  Context first, second;
  CHECK_GRPC_OK(stub->Unload(&first, unload, &unloaded));
  CHECK_GRPC(NOT_FOUND, "NOT_FOUND", stub->Unload(&second, unload, &unloaded));
  LONGS_EQUAL(-grpc::StatusCode::NOT_FOUND, serving("models/qwen2"));
  CHECK_GRPC_OK(load("qwen2"));
}

TEST(Methods, UnloadWaitsForRequestsOrGivesUp) {
  f.options.models.resize(1);
  f.Start();
  auto inference = f.Inference();
  auto stub = f.Models();
  Context generating, unloading, later;
  auto reader = inference->Generate(&generating, Generation(1500));
  v1::GenerateResponse response;
  CHECK(reader->Read(&response));
  v1::UnloadRequest unload;
  v1::UnloadResponse unloaded;
  unload.set_name("llama");
  Context hasty(0.02);
  const grpc::Status gave_up = stub->Unload(&hasty, unload, &unloaded);
  LONGS_EQUAL(grpc::StatusCode::DEADLINE_EXCEEDED, gave_up.error_code());
  CHECK_GRPC_OK(stub->Unload(&unloading, unload, &unloaded));
  int n = 0;
  while (reader->Read(&response)) n += response.has_finished();
  CHECK_GRPC_OK(reader->Finish());
  LONGS_EQUAL(1, n);  // it was waited for
  CHECK_GRPC(NOT_FOUND, "MODEL_NOT_FOUND", Generate(*inference, Generation(1), later).status);
}

const char* const kPipeline = R"(
  local minnow = require "minnow"
  local slm = minnow.model "demo"
  return minnow.pipeline { name = "kinds", run = function(doc)
    if doc.text == "fail" then error("no such thing") end
    if doc.text == "long" then return slm:generate("a b c", { max_tokens = 900 }) end
    local kind = slm:classify(doc.text, "What kind of document is this?", { "receipt", "letter" })
    return { kind = kind.label, page = doc.meta.page }
  end }
)";

TEST(Methods, PipelinesRunDocuments) {
  const TempDir dir;
  std::ofstream(dir / "kinds.lua") << kPipeline;
  f.options.models = {{"demo", kDemo}};
  f.options.pipelines = {dir / "kinds.lua"};
  f.runtime_options.model_dirs = {InSource("models")};
  std::ofstream(dir / "kinds.lua") << [] {
    std::string text = kPipeline;
    return text.replace(text.find("\"demo\""), 6, "\"minnow-demo\"");
  }();
  f.Start();
  auto stub = f.Pipelines();
  v1::ListPipelinesResponse list;
  Context listing, running, failing, missing, streaming, unloading;
  CHECK_GRPC_OK(stub->List(&listing, {}, &list));
  LONGS_EQUAL(1, list.names_size());
  v1::RunRequest request;
  v1::RunResponse response;
  request.mutable_document()->set_text("Receipt\nMilk 1.20\nTotal 1.20");
  request.mutable_document()->set_meta(R"({"page": 7})");
  CHECK_GRPC_OK(stub->Run(&running, request, &response));
  STRCMP_EQUAL(R"({"kind":"receipt","page":7})", response.result().c_str());
  CHECK(response.usage().prompt_tokens() > 0);
  request.mutable_document()->set_text("fail");
  const grpc::Status failed = stub->Run(&failing, request, &response);
  CHECK_GRPC(INVALID_ARGUMENT, "INVALID", failed);
  STRCMP_CONTAINS("kinds.lua:5: no such thing", failed.error_message().c_str());
  request.set_pipeline("other");
  CHECK_GRPC(NOT_FOUND, "PIPELINE_NOT_FOUND", stub->Run(&missing, request, &response));

  // More documents than the window, read only when all are sent.
  constexpr int kDocuments = 80;
  auto stream = stub->RunStream(&streaming);
  std::thread sender([&] {
    for (int i = 0; i < kDocuments; ++i) {
      v1::RunStreamRequest one;
      if (i == 0) one.set_pipeline("kinds");
      one.mutable_document()->set_id(std::to_string(i));
      one.mutable_document()->set_text(i % 10 == 3 ? "fail" : "Dear Ann, thank you. Yours, Bob");
      if (i == 5) one.mutable_document()->set_meta("[1]");
      stream->Write(one);
    }
    stream->WritesDone();
  });
  std::map<std::string, bool> results;
  v1::RunStreamResponse result;
  while (stream->Read(&result)) {
    CHECK(results.emplace(result.id(), result.has_result()).second);
  }
  sender.join();
  CHECK_GRPC_OK(stream->Finish());
  LONGS_EQUAL(kDocuments, results.size());
  for (const auto& [id, ok] : results) {
    CHECK_TEXT(ok == (std::stoi(id) % 10 != 3 && id != "5"), id.c_str());
  }
  v1::UnloadRequest unload;
  v1::UnloadResponse unloaded;
  unload.set_name("demo");
  CHECK_GRPC(FAILED_PRECONDITION, "PRECONDITION",
             f.Models()->Unload(&unloading, unload, &unloaded));
}

TEST(Methods, ReflectionTellsServicesAndFiles) {
  f.options.models.resize(1);
  f.Start();
  auto stub = grpc::reflection::v1::ServerReflection::NewStub(f.Channel());
  Context context;
  auto stream = stub->ServerReflectionInfo(&context);
  grpc::reflection::v1::ServerReflectionRequest request;
  grpc::reflection::v1::ServerReflectionResponse response;
  request.set_list_services("*");
  CHECK(stream->Write(request) && stream->Read(&response));
  std::vector<std::string> names;
  for (const auto& s : response.list_services_response().service()) names.push_back(s.name());
  for (const char* name : {"minnow.v1.Inference", "minnow.v1.Models", "minnow.v1.Pipelines",
                           "grpc.health.v1.Health"}) {
    CHECK_TEXT(std::find(names.begin(), names.end(), name) != names.end(), name);
  }
  request.set_file_containing_symbol("minnow.v1.Inference.Generate");
  CHECK(stream->Write(request) && stream->Read(&response));
  CHECK(response.file_descriptor_response().file_descriptor_proto_size() >= 4);
  request.set_file_by_filename("nothing.proto");
  CHECK(stream->Write(request) && stream->Read(&response));
  LONGS_EQUAL(grpc::StatusCode::NOT_FOUND, response.error_response().error_code());
  stream->WritesDone();
  CHECK(!stream->Read(&response));
  CHECK_GRPC_OK(stream->Finish());
}

}  // namespace
}  // namespace minnow::test
