// Contexts that are pinned, saved and restored, and the fingerprints of answers about them.
#include <filesystem>
#include <fstream>

#include "build_paths.h"
#include "formats/gguf_writer.h"
#include "service/service_fixture.h"

namespace minnow::test {
namespace {

TEST_GROUP(Contexts) {
  ServiceFixture f;
  TempDir dir;
  const std::string document =
      "Receipt\nMilk 1.20\nBread 2.10\nTotal 3.30\nThank you for your visit";

  void setup() override {
    f.options.models = {{"llama", kGolden + "llama.gguf"}, {"demo", kDemo}};
    f.options.context_dir = dir / "contexts";
    std::filesystem::create_directory(f.options.context_dir);
  }

  v1::Context Create(v1::Inference::Stub & stub, bool pin) {
    v1::CreateContextRequest create;
    create.set_model("demo");
    create.set_document(document);
    create.set_pin(pin);
    v1::Context made;
    Context call;
    CHECK_GRPC_OK(stub.CreateContext(&call, create, &made));
    CHECK_EQUAL(pin, made.pinned());
    return made;
  }

  v1::ClassifyResponse Classify(v1::Inference::Stub & stub, const std::string& id) {
    v1::ClassifyRequest classify;
    classify.set_context(id);
    classify.set_question("What kind of document is this?");
    for (const char* label : {"contract", "receipt", "letter"}) classify.add_labels(label);
    v1::ClassifyResponse response;
    Context call;
    CHECK_GRPC_OK(stub.Classify(&call, classify, &response));
    return response;
  }

  grpc::Status Save(v1::Inference::Stub & stub, const std::string& id, const std::string& name) {
    v1::SaveContextRequest save;
    save.set_id(id);
    save.set_name(name);
    v1::SaveContextResponse saved;
    Context call;
    return stub.SaveContext(&call, save, &saved);
  }

  grpc::Status Restore(v1::Inference::Stub & stub, const std::string& name, v1::Context* restored,
                       const std::string& model = "demo") {
    v1::RestoreContextRequest restore;
    restore.set_model(model);
    restore.set_name(name);
    Context call;
    return stub.RestoreContext(&call, restore, restored);
  }

  uint32_t PagesUsed() {
    v1::DescribeRequest describe;
    describe.set_name("demo");
    v1::DescribeResponse response;
    Context call;
    CHECK_GRPC_OK(f.Models()->Describe(&call, describe, &response));
    return response.load().pages_used();
  }

  // The executor gives pages back after it has said that a request is over.
  void CheckPagesUsed(uint32_t pages) {
    for (int i = 0; i < 1000 && PagesUsed() != pages; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    LONGS_EQUAL(pages, PagesUsed());
  }
};

TEST(Contexts, APinnedOneKeepsItsPagesUntilItIsDeleted) {
  f.Start();
  auto stub = f.Inference();
  const v1::Context loose = Create(*stub, false);
  CheckPagesUsed(0);
  const v1::Context pinned = Create(*stub, true);
  CheckPagesUsed((pinned.document_tokens() + 31) / 32);
  const v1::ClassifyResponse answer = Classify(*stub, pinned.id());
  CHECK(answer.usage().cached_tokens() >= pinned.document_tokens());
  v1::DeleteContextRequest remove;
  remove.set_id(pinned.id());
  v1::DeleteContextResponse removed;
  Context call;
  CHECK_GRPC_OK(stub->DeleteContext(&call, remove, &removed));
  CheckPagesUsed(0);
}

TEST(Contexts, OneIsSavedAndComesBackInAnotherServer) {
  f.Start();
  v1::ClassifyResponse before;
  {
    auto stub = f.Inference();
    const v1::Context pinned = Create(*stub, true);
    before = Classify(*stub, pinned.id());
    CHECK_GRPC_OK(Save(*stub, pinned.id(), "receipt-1"));
  }
  f.Stop();
  f.Start();
  auto stub = f.Inference();
  v1::Context restored;
  CHECK_GRPC_OK(Restore(*stub, "receipt-1", &restored));
  CHECK(restored.pinned());
  const v1::ClassifyResponse after = Classify(*stub, restored.id());
  CHECK(after.usage().cached_tokens() >= 32);
  CHECK(before.fingerprint().size() == 16);
  STRCMP_EQUAL(before.fingerprint().c_str(), after.fingerprint().c_str());
  for (int i = 0; i < 3; ++i) {
    DOUBLES_EQUAL(before.labels(i).logprob(), after.labels(i).logprob(), 0);
  }
}

TEST(Contexts, WhatCannotBeSavedOrRestoredIsRefusedByName) {
  f.Start();
  auto stub = f.Inference();
  const v1::Context loose = Create(*stub, false), pinned = Create(*stub, true);
  CHECK_GRPC(FAILED_PRECONDITION, "CONTEXT_NOT_PINNED", Save(*stub, loose.id(), "x"));
  CHECK_GRPC(NOT_FOUND, "CONTEXT_NOT_FOUND", Save(*stub, std::string(32, '0'), "x"));
  for (const char* name : {"../x", "a/b", ".hidden", "a b"}) {
    CHECK_EQUAL(grpc::StatusCode::INVALID_ARGUMENT, Save(*stub, pinned.id(), name).error_code());
  }
  v1::Context restored;
  CHECK_EQUAL(grpc::StatusCode::NOT_FOUND, Restore(*stub, "none", &restored).error_code());
  CHECK_GRPC_OK(Save(*stub, pinned.id(), "x"));
  CHECK_EQUAL(grpc::StatusCode::FAILED_PRECONDITION,
              Restore(*stub, "x", &restored, "llama").error_code());
  std::filesystem::resize_file(f.options.context_dir + "/x.ctx", 1000);
  CHECK_EQUAL(grpc::StatusCode::DATA_LOSS, Restore(*stub, "x", &restored).error_code());
}

TEST(Contexts, WithoutAFolderNothingIsSaved) {
  f.options.context_dir.clear();
  f.Start();
  auto stub = f.Inference();
  const v1::Context pinned = Create(*stub, true);
  CHECK_GRPC(FAILED_PRECONDITION, "NO_CONTEXT_FOLDER", Save(*stub, pinned.id(), "x"));
}

TEST(Contexts, PinsTakeHalfTheCacheAndNoMore) {
  f.runtime_options.instance.kv_tokens = 512;
  f.Start();
  auto stub = f.Inference();
  grpc::Status status;
  int pinned = 0;
  while (status.ok() && pinned < 20) {
    v1::CreateContextRequest create;
    create.set_model("demo");
    create.set_document(fmt::format("{} {}", ++pinned, document));
    create.set_pin(true);
    v1::Context made;
    Context call;
    status = stub->CreateContext(&call, create, &made);
  }
  CHECK(pinned > 2);
  CHECK_GRPC(RESOURCE_EXHAUSTED, "TOO_MANY_PINS", status);
}

TEST(Contexts, AModelIsUnloadedThoughContextsOfItArePinned) {
  f.options.models = {{"llama", kGolden + "llama.gguf"}};
  f.runtime_options.model_dirs = {InSource("models")};
  f.Start();
  v1::LoadRequest load;
  load.set_name("minnow-demo");
  v1::LoadResponse loaded;
  Context first, second, third;
  CHECK_GRPC_OK(f.Models()->Load(&first, load, &loaded));
  auto stub = f.Inference();
  v1::CreateContextRequest create;
  create.set_model("minnow-demo");
  create.set_document(document);
  create.set_pin(true);
  v1::Context made;
  CHECK_GRPC_OK(stub->CreateContext(&second, create, &made));
  v1::UnloadRequest unload;
  unload.set_name("minnow-demo");
  v1::UnloadResponse unloaded;
  CHECK_GRPC_OK(f.Models()->Unload(&third, unload, &unloaded));
}

// One for the demo, of numbers that only have to be something.
void WriteAdapter(const std::string& path) {
  std::vector<float> values(8 * 256);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = 0.02f * static_cast<float>(static_cast<int>(i * 7919 % 201) - 100);
  }
  formats::GgufWriter writer;
  writer.SetString("general.architecture", "llama");
  writer.SetString("general.type", "adapter");
  writer.SetString("adapter.type", "lora");
  writer.SetF32("adapter.lora.alpha", 8);
  const auto bytes = std::as_bytes(std::span(values));
  writer.AddTensor("blk.0.attn_output.weight.lora_a", MNW_TYPE_F32, {256, 8}, bytes);
  writer.AddTensor("blk.0.attn_output.weight.lora_b", MNW_TYPE_F32, {8, 256}, bytes);
  CHECK_OK(writer.Write(path));
}

TEST(Contexts, ThroughAnAdapterOneIsPinnedSavedAndRestored) {
  const TempDir folder;
  WriteAdapter(folder / "tuned.gguf");
  WriteAdapter(folder / "other.gguf");
  f.runtime_options.model_dirs = {folder.path()};
  f.runtime_options.instance.adapter_slots = 1;
  f.Start();
  auto stub = f.Inference();
  v1::CreateContextRequest create;
  create.set_model("demo:tuned");
  create.set_document(document);
  create.set_pin(true);
  v1::Context made, restored;
  Context first, second, third;
  CHECK_GRPC_OK(stub->CreateContext(&first, create, &made));
  STRCMP_EQUAL("demo:tuned", made.model().c_str());
  // Calls that name no model go through the adapter, and find what is pinned.
  const v1::ClassifyResponse tuned = Classify(*stub, made.id());
  CHECK(tuned.usage().cached_tokens() >= made.document_tokens());
  const v1::Context plain = Create(*stub, true);
  const v1::ClassifyResponse base = Classify(*stub, plain.id());
  CHECK(base.labels(0).logprob() != tuned.labels(0).logprob());
  // No other adapter takes its place.
  v1::GenerateRequest generate = Generation(2);
  generate.set_model("demo:other");
  CHECK_GRPC(RESOURCE_EXHAUSTED, "TOO_MANY_ADAPTERS", Generate(*stub, generate, second).status);

  CHECK_GRPC_OK(Save(*stub, made.id(), "tuned"));
  CHECK_EQUAL(grpc::StatusCode::FAILED_PRECONDITION,
              Restore(*stub, "tuned", &restored, "demo").error_code());
  CHECK_GRPC_OK(Restore(*stub, "tuned", &restored, "demo:tuned"));
  STRCMP_EQUAL("demo:tuned", restored.model().c_str());
  DOUBLES_EQUAL(tuned.labels(0).logprob(), Classify(*stub, restored.id()).labels(0).logprob(), 0);

  // Unloaded, it takes what is pinned through it along; the context reads its document again.
  v1::UnloadAdapterRequest unload;
  unload.set_model("demo");
  unload.set_adapter("tuned");
  v1::UnloadAdapterResponse unloaded;
  CHECK_GRPC_OK(f.Models()->UnloadAdapter(&third, unload, &unloaded));
  CheckPagesUsed((plain.document_tokens() + 31) / 32);
  CHECK_EQUAL(grpc::StatusCode::NOT_FOUND, Save(*stub, made.id(), "tuned").error_code());
  const v1::ClassifyResponse again = Classify(*stub, made.id());
  LONGS_EQUAL(0, again.usage().cached_tokens());
  DOUBLES_EQUAL(tuned.labels(0).logprob(), again.labels(0).logprob(), 0);
}

TEST(Contexts, WhatOfADocumentIsKeptIsTold) {
  f.runtime_options.load.n_ctx = 128;
  f.Start();
  auto stub = f.Inference();
  v1::ClassifyRequest classify;
  classify.set_model("demo");
  for (int i = 0; i < 30; ++i) classify.mutable_document()->append(document + "\n");
  classify.set_question("What kind of document is this?");
  for (const char* label : {"contract", "receipt", "letter"}) classify.add_labels(label);
  v1::ClassifyResponse response;
  Context call;
  CHECK_EQUAL(grpc::StatusCode::OUT_OF_RANGE,
              stub->Classify(&call, classify, &response).error_code());
  for (const v1::OnOverflow how : {v1::ON_OVERFLOW_HEAD, v1::ON_OVERFLOW_TAIL,
                                   v1::ON_OVERFLOW_MIDDLE, v1::ON_OVERFLOW_CHUNK}) {
    classify.set_on_overflow(how);
    Context again;
    CHECK_GRPC_OK(stub->Classify(&again, classify, &response));
    CHECK_EQUAL(how, response.overflow().on_overflow());
    LONGS_EQUAL(classify.document().size(), response.overflow().document_bytes());
    double sum = 0;
    for (const v1::LabelScore& label : response.labels()) sum += label.probability();
    DOUBLES_EQUAL(1, sum, 1e-9);
    if (how != v1::ON_OVERFLOW_CHUNK) continue;
    CHECK(response.overflow().kept_size() > 5);
    CHECK(response.usage().prompt_tokens() > 1000);
    uint64_t at = 0;
    for (const v1::ByteSpan& span : response.overflow().kept()) {
      LONGS_EQUAL(at, span.begin());
      at = span.end();
    }
    LONGS_EQUAL(classify.document().size(), at);
  }
  classify.set_document(document);
  Context whole;
  CHECK_GRPC_OK(stub->Classify(&whole, classify, &response));
  CHECK(!response.has_overflow());
}

TEST(Contexts, AChatTellsWhatItKeptBeforeItAnswers) {
  f.runtime_options.load.n_ctx = 128;
  f.Start();
  auto stub = f.Inference();
  v1::CreateContextRequest create;
  create.set_model("demo");
  for (int i = 0; i < 30; ++i) create.mutable_document()->append(document + "\n");
  v1::Context made;
  Context first, second, third, fourth, fifth;
  CHECK_GRPC_OK(stub->CreateContext(&first, create, &made));
  v1::ChatRequest chat;
  chat.set_context(made.id());
  chat.mutable_options()->set_max_tokens(8);
  v1::Message* message = chat.add_messages();
  message->set_role("user");
  message->set_content("What is the total?");
  CHECK_EQUAL(grpc::StatusCode::OUT_OF_RANGE, Chat(*stub, chat, second).status.error_code());
  chat.set_on_overflow(v1::ON_OVERFLOW_MIDDLE);
  const Answer answer = Chat(*stub, chat, third);
  CHECK_GRPC_OK(answer.status);
  LONGS_EQUAL(2, answer.accepted.overflow().kept_size());
  CHECK(answer.accepted.prompt_tokens() <= 120);
  CHECK(answer.accepted.prompt_tokens() >= 110);
  chat.set_on_overflow(v1::ON_OVERFLOW_CHUNK);
  CHECK_GRPC(INVALID_ARGUMENT, "INVALID", Chat(*stub, chat, fourth).status);
  // Without a context the last user's message is what is cut.
  chat.set_on_overflow(v1::ON_OVERFLOW_TAIL);
  chat.clear_context();
  chat.set_model("demo");
  message = chat.add_messages();
  message->set_role("user");
  message->set_content(create.document());
  const Answer cut = Chat(*stub, chat, fifth);
  CHECK_GRPC_OK(cut.status);
  LONGS_EQUAL(create.document().size(), cut.accepted.overflow().document_bytes());
  LONGS_EQUAL(1, cut.accepted.overflow().kept_size());
  LONGS_EQUAL(create.document().size(), cut.accepted.overflow().kept(0).end());
  CHECK(cut.accepted.prompt_tokens() <= 120 && cut.accepted.prompt_tokens() >= 110);
  chat.mutable_messages(0)->set_role("system");
  chat.mutable_messages(1)->set_role("assistant");
  Context sixth;
  CHECK_GRPC(INVALID_ARGUMENT, "INVALID", Chat(*stub, chat, sixth).status);
}

TEST(Contexts, APromptThatIsTooLongIsCutWhereThatIsAskedFor) {
  f.runtime_options.load.n_ctx = 128;
  f.Start();
  auto stub = f.Inference();
  std::string prompt;
  for (int i = 0; i < 30; ++i) prompt += document + "\n";
  v1::GenerateRequest request = Generation(8, prompt);
  request.set_model("demo");
  Context first, second, third, fourth;
  CHECK_EQUAL(grpc::StatusCode::OUT_OF_RANGE, Generate(*stub, request, first).status.error_code());
  request.set_on_overflow(v1::ON_OVERFLOW_MIDDLE);
  const Answer answer = Generate(*stub, request, second);
  CHECK_GRPC_OK(answer.status);
  LONGS_EQUAL(2, answer.accepted.overflow().kept_size());
  LONGS_EQUAL(prompt.size(), answer.accepted.overflow().document_bytes());
  CHECK(answer.accepted.prompt_tokens() <= 120 && answer.accepted.prompt_tokens() >= 110);
  request.set_on_overflow(v1::ON_OVERFLOW_CHUNK);
  STRCMP_EQUAL("on_overflow", FieldOf(Generate(*stub, request, third).status).c_str());
  request.set_on_overflow(v1::ON_OVERFLOW_HEAD);
  request.mutable_prompt()->mutable_tokens()->add_ids(5);
  STRCMP_EQUAL("on_overflow", FieldOf(Generate(*stub, request, fourth).status).c_str());
}

TEST(Contexts, AnswersTellWhatTheyDependOn) {
  f.Start();
  auto stub = f.Inference();
  v1::GenerateRequest request = Generation(4);
  const auto fingerprint = [&] {
    Context call;
    const Answer answer = Generate(*stub, request, call);
    CHECK_GRPC_OK(answer.status);
    return answer.finished.fingerprint();
  };
  const std::string greedy = fingerprint();
  STRCMP_EQUAL(greedy.c_str(), fingerprint().c_str());
  LONGS_EQUAL(16 + 1 + 8, greedy.size());
  request.mutable_options()->mutable_sampling()->set_temperature(1);
  const std::string sampled = fingerprint();
  STRCMP_EQUAL(greedy.substr(0, 17).c_str(), sampled.substr(0, 17).c_str());
  CHECK(greedy != sampled);
  request.mutable_options()->set_speculate(false);  // no part of it: the answer is the same
  STRCMP_EQUAL(sampled.c_str(), fingerprint().c_str());
  v1::DescribeRequest describe;
  describe.set_name("llama");
  v1::DescribeResponse response;
  Context call;
  CHECK_GRPC_OK(f.Models()->Describe(&call, describe, &response));
  STRCMP_EQUAL(greedy.substr(0, 16).c_str(), response.fingerprint().c_str());
}

}  // namespace
}  // namespace minnow::test
