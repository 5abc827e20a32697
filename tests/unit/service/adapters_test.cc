// Adapters of a served model: loaded, used, unloaded, and giving way to each other.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <future>

#include "service/model_table.h"
#include "service/service_fixture.h"

namespace minnow::test {
namespace {

namespace fs = std::filesystem;
using service::ModelTable;

TEST_GROUP(Adapters) {
  ServiceFixture f;
  TempDir dir;  // "a", "b", "c": the same adapter under three names
  std::unique_ptr<v1::Inference::Stub> inference;
  std::unique_ptr<v1::Models::Stub> models;

  void setup() override {
    f.options.models = {{"llama", kGolden + "llama.gguf"}};
    f.runtime_options.model_dirs = {kGolden, dir.path()};
    f.runtime_options.instance.adapter_slots = 2;
    for (const char* name : {"a.gguf", "b.gguf", "c.gguf"}) {
      fs::copy_file(kGolden + "llama.lora.gguf", dir / name);
    }
  }
  void teardown() override { f.Stop(); }
  void Start() {
    f.Start();
    inference = f.Inference();
    models = f.Models();
  }

  Answer Ask(const std::string& model, uint32_t n = 12) {
    v1::GenerateRequest request = Generation(n);
    request.set_model(model);
    Context context;
    return Generate(*inference, request, context);
  }
  grpc::Status Load(const std::string& adapter, float scale = 1, v1::Adapter* loaded = nullptr) {
    v1::LoadAdapterRequest request;
    request.set_model("llama");
    request.set_adapter(adapter);
    if (scale != 1) request.set_scale(scale);
    v1::LoadAdapterResponse response;
    Context context;
    const grpc::Status status = models->LoadAdapter(&context, request, &response);
    if (loaded) *loaded = response.adapter();
    return status;
  }
  grpc::Status Unload(const std::string& adapter) {
    v1::UnloadAdapterRequest request;
    request.set_model("llama");
    request.set_adapter(adapter);
    v1::UnloadAdapterResponse response;
    Context context;
    return models->UnloadAdapter(&context, request, &response);
  }
  v1::DescribeResponse Describe() {
    v1::DescribeResponse response;
    Context context;
    CHECK_GRPC_OK(models->Describe(&context, {}, &response));
    return response;
  }
  std::string Names() {
    std::vector<std::string> names;
    const v1::DescribeResponse description = Describe();
    for (const v1::Adapter& adapter : description.adapters()) names.push_back(adapter.name());
    std::sort(names.begin(), names.end());
    return fmt::format("{}", fmt::join(names, " "));
  }
};

TEST(Adapters, AreLoadedDescribedUsedAndUnloaded) {
  Start();
  const std::string base = Ask("llama").text;
  v1::Adapter loaded;
  CHECK_GRPC_OK(Load("a", 1, &loaded));
  STRCMP_EQUAL("a", loaded.name().c_str());
  CHECK(loaded.rank() > 0 && loaded.bytes() > 0 && loaded.stays());
  DOUBLES_EQUAL(1, loaded.scale(), 0);
  const v1::DescribeResponse description = Describe();
  LONGS_EQUAL(2, description.adapter_places());
  LONGS_EQUAL(1, description.adapters_size());
  STRCMP_EQUAL(loaded.DebugString().c_str(), description.adapters(0).DebugString().c_str());

  const Answer answer = Ask("llama:a");
  CHECK_GRPC_OK(answer.status);
  STRCMP_EQUAL("llama:a", answer.accepted.model().c_str());
  CHECK(answer.text != base);
  STRCMP_EQUAL(base.c_str(), Ask("llama").text.c_str());

  CHECK_GRPC_OK(Unload("a"));
  STRCMP_EQUAL("", Names().c_str());
  CHECK_GRPC(NOT_FOUND, "ADAPTER_NOT_FOUND", Unload("a"));
  STRCMP_EQUAL("adapter", FieldOf(Unload("a")).c_str());
  // Its name still stands for a file: it comes again, as the file then is.
  fs::copy_file(kGolden + "phi3.lora.gguf", dir / "a.gguf", fs::copy_options::overwrite_existing);
  CHECK_GRPC(FAILED_PRECONDITION, "ADAPTER_FAILED", Ask("llama:a").status);
  fs::copy_file(kGolden + "llama.lora.gguf", dir / "a.gguf", fs::copy_options::overwrite_existing);
  STRCMP_EQUAL(answer.text.c_str(), Ask("llama:a").text.c_str());
  CHECK(!Describe().adapters(0).stays());
  fs::remove(dir / "a.gguf");
  STRCMP_EQUAL(answer.text.c_str(), Ask("llama:a").text.c_str());  // it is in memory
  CHECK_GRPC_OK(Unload("a"));
  CHECK_GRPC(NOT_FOUND, "ADAPTER_NOT_FOUND", Ask("llama:a").status);
}

TEST(Adapters, ANameStandsForTheScaleThatItWasLoadedAt) {
  Start();
  const std::string base = Ask("llama").text, whole = Ask("llama:a").text;
  v1::Adapter loaded;
  CHECK_GRPC_OK(Load("a", 0.25f, &loaded));  // takes over from the one that came with the request
  DOUBLES_EQUAL(0.25, loaded.scale(), 0);
  const std::string quarter = Ask("llama:a").text;
  CHECK(quarter != whole);
  CHECK_GRPC_OK(Load("a", 0));
  STRCMP_EQUAL(base.c_str(), Ask("llama:a").text.c_str());
  CHECK_GRPC_OK(Load("a", 0.25f));
  STRCMP_EQUAL(quarter.c_str(), Ask("llama:a").text.c_str());
  CHECK_GRPC_OK(Unload("a"));
  STRCMP_EQUAL("", Names().c_str());  // at any scale
  STRCMP_EQUAL(whole.c_str(), Ask("llama:a").text.c_str());
}

TEST(Adapters, AnUnloadedOneEndsTheStreamsThatItBegan) {
  Start();
  const std::string whole = Ask("llama:a", 800).text;
  Context context;
  v1::GenerateRequest request = Generation(800);
  request.set_model("llama:a");
  auto reader = inference->Generate(&context, request);
  v1::GenerateResponse response;
  CHECK(reader->Read(&response) && response.has_accepted());
  CHECK(reader->Read(&response));  // it runs
  std::string text = response.chunk().text();
  CHECK_GRPC_OK(Unload("a"));
  STRCMP_EQUAL("", Names().c_str());
  CHECK_GRPC_OK(Load("a", 0.5f));
  bool finished = false;
  while (reader->Read(&response)) {
    text += response.chunk().text();
    finished |= response.has_finished();
  }
  CHECK_GRPC_OK(reader->Finish());
  CHECK(finished);
  STRCMP_EQUAL(whole.c_str(), text.c_str());
}

TEST(Adapters, ThoseOfRequestsGiveWayAndLoadedOnesStay) {
  Start();
  CHECK_GRPC_OK(Ask("llama:a").status);
  CHECK_GRPC_OK(Ask("llama:b").status);
  CHECK_GRPC_OK(Ask("llama:a").status);
  CHECK_GRPC_OK(Ask("llama:c").status);
  STRCMP_EQUAL("a c", Names().c_str());
  CHECK_GRPC_OK(Load("a"));
  CHECK_GRPC_OK(Ask("llama:b").status);
  CHECK_GRPC_OK(Ask("llama:c").status);
  STRCMP_EQUAL("a c", Names().c_str());
  CHECK_GRPC_OK(Load("b"));
  STRCMP_EQUAL("a b", Names().c_str());

  const grpc::Status full = Load("c"), on_demand = Ask("llama:c").status;
  CHECK_GRPC(RESOURCE_EXHAUSTED, "TOO_MANY_ADAPTERS", full);
  CHECK_GRPC(RESOURCE_EXHAUSTED, "TOO_MANY_ADAPTERS", on_demand);
  STRCMP_CONTAINS("all 2 places for adapters are in use; unload one", full.error_message().c_str());
  CHECK(DetailOf<google::rpc::RetryInfo>(on_demand).has_retry_delay());
  CHECK_GRPC_OK(Ask("llama").status);
  CHECK_GRPC_OK(Ask("llama:a").status);
  CHECK_GRPC_OK(Unload("b"));
  CHECK_GRPC_OK(Ask("llama:c").status);
}

TEST(Adapters, OneThatIsInUseDoesNotGiveWay) {
  f.runtime_options.instance.adapter_slots = 1;
  Start();
  engine::Engine& engine = **f.runtime->Open(kGolden + "llama.gguf");
  auto hold = *f.runtime->OpenAdapter(engine, "a");  // as a request has it
  const grpc::Status refused = Ask("llama:b").status;
  CHECK_GRPC(RESOURCE_EXHAUSTED, "TOO_MANY_ADAPTERS", refused);
  CHECK(DetailOf<google::rpc::RetryInfo>(refused).has_retry_delay());
  STRCMP_EQUAL("a", Names().c_str());
  hold.reset();
  CHECK_GRPC_OK(Ask("llama:b").status);
  STRCMP_EQUAL("b", Names().c_str());
}

TEST(Adapters, RefusalsSayWhatDiffersAndTheBaseServesOn) {
  std::ofstream(dir / "text.gguf") << "no adapter";
  fs::copy_file(kGolden + "llama.lora.gguf", dir / "cut.gguf");
  fs::resize_file(dir / "cut.gguf", fs::file_size(dir / "cut.gguf") - 1000);
  f.runtime_options.instance.adapter_rank = 1;
  Start();
  const std::string base = Ask("llama").text;
  const auto refused = [&](const char* name, const char* why) {
    for (const grpc::Status& status : {Load(name), Ask(std::string("llama:") + name).status}) {
      CHECK_GRPC(FAILED_PRECONDITION, "ADAPTER_FAILED", status);
      STRCMP_CONTAINS(why, status.error_message().c_str());
    }
    STRCMP_EQUAL("adapter", FieldOf(Load(name)).c_str());
    STRCMP_EQUAL("model", FieldOf(Ask(std::string("llama:") + name).status).c_str());
    STRCMP_EQUAL(base.c_str(), Ask("llama").text.c_str());
  };
  refused("phi3.lora", "phi3");                   // another architecture
  refused("a", "at most 1 is supported");         // rank
  refused("qwen2", "cannot be used with model");  // no adapter
  refused("text", "cannot be used with model");   // nothing
  refused("cut", "cannot be used with model");    // half of one
  CHECK_GRPC(NOT_FOUND, "ADAPTER_NOT_FOUND", Load("nothing"));
  STRCMP_EQUAL("adapter", FieldOf(Load("nothing")).c_str());
  for (const std::string& name :
       {std::string(), std::string("../a"), dir / "a.gguf", std::string("a\0b", 3),
        std::string(200, 'x'), std::string("a\n")}) {
    CHECK_GRPC(INVALID_ARGUMENT, "INVALID", Load(name));
    STRCMP_EQUAL("adapter", FieldOf(Load(name)).c_str());
  }
  for (const float scale : {std::nanf(""), -2000.0f, INFINITY}) {
    CHECK_GRPC(INVALID_ARGUMENT, "INVALID", Load("a", scale));
    STRCMP_EQUAL("scale", FieldOf(Load("a", scale)).c_str());
  }
  v1::LoadAdapterRequest request;
  v1::LoadAdapterResponse response;
  request.set_model("nothing");
  request.set_adapter("a");
  Context context;
  CHECK_GRPC(NOT_FOUND, "MODEL_NOT_FOUND", models->LoadAdapter(&context, request, &response));
  STRCMP_EQUAL("", Names().c_str());
}

TEST(Adapters, TheirModelCanBeUnloadedWithThem) {
  Start();
  CHECK_GRPC_OK(Load("a"));
  CHECK_GRPC_OK(Ask("llama:b").status);
  v1::UnloadRequest request;
  v1::UnloadResponse response;
  request.set_name("llama");
  Context first, second;
  CHECK_GRPC_OK(models->Unload(&first, request, &response));
  CHECK_GRPC(NOT_FOUND, "MODEL_NOT_FOUND", Load("a"));
  v1::LoadRequest load;
  v1::LoadResponse loaded;
  load.set_name("llama");
  CHECK_GRPC_OK(models->Load(&second, load, &loaded));
  STRCMP_EQUAL("", Names().c_str());
  CHECK_GRPC_OK(Ask("llama:a").status);
}

TEST(Adapters, SomeAreThereFromTheStart) {
  f.options.adapters = {{"llama", dir / "a.gguf", 0.25f}};
  f.runtime_options.model_dirs.clear();
  Start();
  STRCMP_EQUAL("a", Names().c_str());
  DOUBLES_EQUAL(0.25, Describe().adapters(0).scale(), 0);
  CHECK(Describe().adapters(0).stays());
  CHECK_GRPC_OK(Ask("llama:a").status);
}

TEST(Adapters, OneThatCannotBeLoadedEndsTheStart) {
  f.options.adapters = {{"llama", "phi3.lora", 1}};
  CHECK_ERROR(Code::kPrecondition, "adapter 'phi3.lora' cannot be used with model 'llama'",
              f.TryStart());
}

TEST(Adapters, ManyClientsLoadUseAndUnloadAtOnce) {
  Start();
  const std::string expected = Ask("llama:a", 6).text;
  std::vector<std::future<void>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::async(std::launch::async, [&, i] {
      const std::string name(1, static_cast<char>('a' + i % 3));
      for (int k = 0; k < 15; ++k) {
        const Answer answer = Ask("llama:" + name, 6);
        const bool full = ReasonOf(answer.status) == "TOO_MANY_ADAPTERS";
        if (!full) CHECK_GRPC_OK(answer.status);
        if (!full) STRCMP_EQUAL(expected.c_str(), answer.text.c_str());
        if (k % 4 == 1) (void)Unload(name);
        if (k % 7 == 3) (void)Load(name);
      }
    }));
  }
  for (auto& client : clients) client.get();
  for (const char* name : {"a", "b", "c"}) (void)Unload(name);
  STRCMP_EQUAL("", Names().c_str());
}

// Threads that may not wait take the model this way.
TEST(Adapters, TakingAModelReadsNoFile) {
  auto runtime = engine::Runtime::Create(f.runtime_options);
  CHECK_OK(runtime.status());
  ModelTable table(**runtime, [](const service::ModelStatus&) {});
  CHECK_OK(table.Load("llama", kGolden + "llama.gguf"));
  for (const char* name : {"llama:a", "llama:nothing"}) {
    const ModelTable::Taken taken = table.TakeWithAdapter(name);
    CHECK(!taken.use && ModelTable::MustLoad(taken.failure));
  }
  CHECK(!ModelTable::MustLoad(table.TakeWithAdapter("nothing:a").failure));
  UNSIGNED_LONGS_EQUAL(0, table.Take("llama").use->engine().stats().adapters);
  {
    const ModelTable::Taken loaded = table.LoadForRequest("llama:a");
    CHECK(loaded.use && loaded.use->adapter() != 0);
  }
  CHECK(table.TakeWithAdapter("llama:a").use != nullptr);
}

}  // namespace
}  // namespace minnow::test
