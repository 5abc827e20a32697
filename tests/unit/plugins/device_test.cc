#include "plugins/device.h"

#include <CppUTest/TestHarness.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cfenv>
#include <clocale>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>

#include "fake_step.h"

using minnow::Code;
using minnow::plugins::Device;
using minnow::plugins::FromPlugin;
using minnow::plugins::HostServices;

namespace {

// A table whose entries the tests replace one by one; what it makes is one static byte.
char g_thing;
void* Thing() { return &g_thing; }

mnw_backend MinimalTable() {
  mnw_backend t = {};
  t.size =
      offsetof(mnw_backend, state_create);  // of a backend that ends with the mandatory entries
  t.device_count = [] { return 1u; };
  t.device_info = [](uint32_t, mnw_device_info* out, mnw_error*) -> int {
    out->id = "mini";
    return MNW_OK;
  };
  t.open = [](uint32_t, const mnw_host*, const mnw_context_options*, mnw_context** out,
              mnw_error*) -> int {
    *out = static_cast<mnw_context*>(Thing());
    return MNW_OK;
  };
  t.close = [](mnw_context*) {};
  t.claim = [](mnw_context*, const mnw_graph*, mnw_claim*, mnw_error*) -> int { return MNW_OK; };
  t.load_weights = [](mnw_context*, const mnw_graph*, const mnw_weight_source*, uint32_t, uint32_t,
                      mnw_weight*, mnw_error*) -> int { return MNW_OK; };
  t.free_weights = [](mnw_context*, const mnw_weight*, uint32_t) {};
  t.plan = [](mnw_context*, const mnw_plan_request*, mnw_plan**, mnw_error*) -> int {
    return MNW_OK;
  };
  t.free_plan = [](mnw_plan*) {};
  t.run = [](mnw_plan*, const mnw_run_args*, mnw_error*) -> int { return MNW_OK; };
  return t;
}

}  // namespace

TEST_GROUP(Device) {
  mnw_backend table = MinimalTable();
  mnw_node node = {};
  mnw_graph graph = {sizeof graph, 0, 1, sizeof(mnw_value), sizeof(mnw_node), nullptr, &node};

  minnow::Result<Device> Open() { return Device::Open(table, 0, HostServices(), {}); }
};

TEST(Device, CopiesTheMessageOfAFailure) {
  mnw_error error = {};
  error.node = 7;
  std::strcpy(error.message, "no \x1b[31mluck");
  CHECK_ERROR(Code::kUnsupported, "cpu: plan: no \\x1b[31mluck (node 7)",
              FromPlugin("cpu: plan", MNW_UNSUPPORTED, &error));
  error.node = -1;
  error.bytes_needed = 5;
  CHECK_ERROR(Code::kExhausted, "(5 bytes needed)", FromPlugin("x", MNW_OUT_OF_MEMORY, &error));
  std::memset(error.message, 'x', sizeof error.message);  // without a terminating NUL
  CHECK_ERROR(Code::kInternal, "xxx", FromPlugin("x", MNW_INTERNAL, &error));
  CHECK_ERROR(Code::kInternal, "failed with code 4711 and no message",
              FromPlugin("x", 4711, nullptr));
  CHECK_OK(FromPlugin("x", MNW_OK, nullptr));
}

TEST(Device, RefusesADeviceWithoutAUsableName) {
  for (const char* id : {"", "a:b", "a,b", "a=b"}) {
    static const char* s_id;
    s_id = id;
    table.device_info = [](uint32_t, mnw_device_info* out, mnw_error*) -> int {
      out->id = s_id;
      return MNW_OK;
    };
    CHECK_ERROR(Code::kInternal, "no usable id", Open().status());
  }
  table.device_info = [](uint32_t, mnw_device_info*, mnw_error*) -> int { return MNW_OK; };
  CHECK_ERROR(Code::kInternal, "no usable id", Open().status());
}

TEST(Device, RefusesNothingInPlaceOfSomething) {
  auto device = Open();
  CHECK_OK(device.status());
  CHECK_ERROR(Code::kInternal, "mini: plan gave no plan", device->Plan({}).status());
  const mnw_weight_source source = {sizeof source, 0, "x", 1};
  CHECK_ERROR(Code::kInternal, "load_weights gave a null handle",
              device->LoadWeights(graph, {&source, 1}).status());
  table.open = [](uint32_t, const mnw_host*, const mnw_context_options*, mnw_context**,
                  mnw_error*) -> int { return MNW_OK; };
  CHECK_ERROR(Code::kInternal, "open gave no context", Open().status());
}

TEST(Device, RefusesAnUnknownResidency) {
  table.load_weights = [](mnw_context*, const mnw_graph*, const mnw_weight_source*, uint32_t,
                          uint32_t, mnw_weight* out, mnw_error*) -> int {
    *out = {Thing(), 0, 9, 0};
    return MNW_OK;
  };
  auto device = Open();
  const mnw_weight_source source = {sizeof source, 0, "x", 1};
  CHECK_ERROR(Code::kInternal, "unknown residency",
              device->LoadWeights(graph, {&source, 1}).status());
}

TEST(Device, RefusesABufferThatIsNone) {
  table.size = sizeof table;
  table.buffer_create = [](mnw_context*, uint64_t, mnw_buffer**, void**, mnw_error*) -> int {
    return MNW_OK;
  };
  table.buffer_free = [](mnw_buffer*) {};
  auto device = Open();
  CHECK_ERROR(Code::kInternal, "gave no buffer", device->CreateBuffer(8).status());
  static uintptr_t s_address;
  table.buffer_create = [](mnw_context*, uint64_t, mnw_buffer** out, void** address,
                           mnw_error*) -> int {
    *out = static_cast<mnw_buffer*>(Thing());
    *address = reinterpret_cast<void*>(s_address);
    return MNW_OK;
  };
  for (const uintptr_t address : {0, 4, 100}) {
    s_address = address;
    CHECK_ERROR(Code::kInternal, "no multiple of 64", device->CreateBuffer(8).status());
  }
  s_address = 128;
  CHECK_OK(device->CreateBuffer(8).status());
  table.size = offsetof(mnw_backend, buffer_create);
  CHECK_ERROR(Code::kUnsupported, "no buffers", device->CreateBuffer(8).status());
}

TEST(Device, IsNotTouchedOnceItIsLost) {
  static int s_calls;
  s_calls = 0;
  table.claim = [](mnw_context*, const mnw_graph*, mnw_claim*, mnw_error* e) -> int {
    ++s_calls;
    std::strcpy(e->message, "fell off the bus");
    return MNW_DEVICE_LOST;
  };
  auto device = Open();
  CHECK_ERROR(Code::kDeviceLost, "mini: claim: fell off the bus", device->Claim(graph).status());
  CHECK_ERROR(Code::kDeviceLost,
              "mini: claim: refused since the device was lost (claim: fell off the bus)",
              device->Claim(graph).status());
  CHECK_ERROR(Code::kDeviceLost, "mini: run: refused", device->Run(nullptr, {}));
  LONGS_EQUAL(1, s_calls);
}

TEST(Device, RefusesNumbersThatNoMachineHas) {
  table.load_weights = [](mnw_context*, const mnw_graph*, const mnw_weight_source*, uint32_t,
                          uint32_t, mnw_weight* out, mnw_error*) -> int {
    *out = {Thing(), static_cast<uint64_t>(-1), MNW_OWNED, 0};
    return MNW_OK;
  };
  auto device = Open();
  const mnw_weight_source source = {sizeof source, 0, "x", 1};
  CHECK_ERROR(Code::kInternal, "absurd number of bytes",
              device->LoadWeights(graph, {&source, 1}).status());
  table.device_info = [](uint32_t, mnw_device_info* out, mnw_error*) -> int {
    out->id = "mini";
    out->memory_total = 1;
    out->memory_free = 2;
    return MNW_OK;
  };
  CHECK_ERROR(Code::kInternal, "2 bytes free of 1", Open().status());
  table.device_count = [] { return ~0u; };
  CHECK_ERROR(Code::kInternal, "beyond belief", minnow::plugins::CountDevices(table).status());
}

TEST(Device, RefusesADescriptionWithoutAnEnd) {
  table.device_info = [](uint32_t, mnw_device_info* out, mnw_error*) -> int {
    static char endless[2000];
    std::memset(endless, 'x', sizeof endless);
    out->id = "mini";
    out->description = endless;
    return MNW_OK;
  };
  CHECK_ERROR(Code::kInternal, "description does not end", Open().status());
}

TEST(Device, PutsBackWhatACallChanges) {
  static const auto change = [] {
    std::fesetround(FE_DOWNWARD);
    ::umask(0);
    std::setlocale(LC_ALL, "C.UTF-8");
    ::signal(SIGUSR2, SIG_IGN);
    return ::chdir("/") == 0 ? int{MNW_OK} : int{MNW_INTERNAL};
  };
  const auto where = std::filesystem::current_path();
  const auto check = [&](const char* call) {
    LONGS_EQUAL_TEXT(FE_TONEAREST, std::fegetround(), call);
    CHECK_TEXT(::signal(SIGUSR2, SIG_DFL) == SIG_DFL, call);
    STRCMP_EQUAL_TEXT("C", std::setlocale(LC_ALL, nullptr), call);
    const mode_t mask = ::umask(022);
    ::umask(mask);
    CHECK_TEXT(mask != 0, call);
    CHECK_TEXT(where == std::filesystem::current_path(), call);
  };
  table.device_count = [] { return change() == MNW_OK ? 1u : 0u; };
  table.open = [](uint32_t, const mnw_host*, const mnw_context_options*, mnw_context** out,
                  mnw_error*) -> int {
    *out = static_cast<mnw_context*>(Thing());
    return change();
  };
  table.claim = [](mnw_context*, const mnw_graph*, mnw_claim*, mnw_error*) { return change(); };
  table.plan = [](mnw_context*, const mnw_plan_request*, mnw_plan** out, mnw_error*) -> int {
    *out = static_cast<mnw_plan*>(Thing());
    return change();
  };
  table.run = [](mnw_plan*, const mnw_run_args*, mnw_error*) -> int {
    return std::fesetround(FE_UPWARD);
  };
  table.free_plan = [](mnw_plan*) { change(); };
  table.close = [](mnw_context*) { change(); };

  CHECK_OK(minnow::plugins::CountDevices(table).status());
  check("device_count");
  {
    auto device = Open();
    CHECK_OK(device.status());
    check("open");
    CHECK_OK(device->Claim(graph).status());
    check("claim");
    const auto plan = device->Plan({});
    CHECK_OK(plan.status());
    check("plan");
    CHECK_OK(device->Run(plan->get(), {}));
    LONGS_EQUAL(FE_TONEAREST, std::fegetround());
  }
  check("free_plan and close");
}

TEST(Device, SurvivesFreesThatThrow) {
  table.close = [](mnw_context*) { throw 1; };
  table.plan = [](mnw_context*, const mnw_plan_request*, mnw_plan** out, mnw_error*) -> int {
    *out = static_cast<mnw_plan*>(Thing());
    return MNW_OK;
  };
  table.free_plan = [](mnw_plan*) { throw 1; };
  auto device = Open();
  CHECK_OK(device->Plan({}).status());
}

TEST(Device, RefusesEveryCallAfterOneThatThrew) {
  table.plan = [](mnw_context*, const mnw_plan_request*, mnw_plan**, mnw_error*) -> int {
    throw "no luck";
  };
  auto device = Open();
  CHECK_ERROR(Code::kInternal, "mini: plan: threw an exception", device->Plan({}).status());
  CHECK_ERROR(Code::kInternal, "refused since the plugin threw", device->Claim(graph).status());
  CHECK_ERROR(Code::kInternal, "refused since the plugin threw", device->Run(nullptr, {}));
}

TEST(Device, RefusesACostThatIsNoNumber) {
  table.claim = [](mnw_context*, const mnw_graph*, mnw_claim* out, mnw_error*) -> int {
    *out = {1, std::numeric_limits<float>::quiet_NaN(), nullptr};
    return MNW_OK;
  };
  auto device = Open();
  CHECK_ERROR(Code::kInternal, "cost", device->Claim(graph).status());
}

TEST(Device, TakesAShortTableAsOneWithoutState) {
  // Beyond its size there is garbage, as in a table of an older header.
  table.state_create = reinterpret_cast<decltype(table.state_create)>(Thing());
  auto device = Open();
  CHECK(!device->has_state());
  CHECK_ERROR(Code::kUnsupported, "mini: the backend has no state",
              device->CreateState({}).status());
  CHECK_ERROR(Code::kUnsupported, "no state_edit", device->EditState(nullptr, {}));
  CHECK_ERROR(Code::kUnsupported, "no state_commit", device->CommitState(nullptr, 0, {}, {}));
  CHECK_ERROR(Code::kUnsupported, "no state_export", device->ExportPage(nullptr, 0, 0, {}));
  CHECK_ERROR(Code::kUnsupported, "no state_import", device->ImportPage(nullptr, 0, 0, {}));
  UNSIGNED_LONGS_EQUAL(0, device->StateBytes({}));
}

TEST(Device, MovesAndClosesOnce) {
  static int s_closed;
  s_closed = 0;
  table.close = [](mnw_context*) { ++s_closed; };
  {
    auto device = Open();
    CHECK_OK(device.status());
    const Device moved = *std::move(device);
    STRCMP_EQUAL("mini", moved.info().id.c_str());
    LONGS_EQUAL(0, s_closed);
  }
  LONGS_EQUAL(1, s_closed);
}

TEST(Device, FreesWhatItHandedOut) {
  minnow::test::FakeBackend backend;
  {
    auto device = Device::Open(*backend.table(), 0, HostServices(), {});
    CHECK_OK(device.status());
    const auto model = minnow::test::MakeFakeModel();
    CHECK_OK(model.status());
    const mnw_weight_source source = {sizeof source, model->graph.weights()[0], "x", 1};
    auto weights = device->LoadWeights(*model->graph.view(), {&source, 1});
    CHECK_OK(weights.status());
    const minnow::plugins::WeightHandles moved = *std::move(weights);
    UNSIGNED_LONGS_EQUAL(1, backend.counters().weights);
  }
  UNSIGNED_LONGS_EQUAL(0, backend.counters().weights);
  UNSIGNED_LONGS_EQUAL(0, backend.counters().contexts);
  CHECK(backend.violations().empty());
}

TEST(Device, ClaimsAFakeModelWhole) {
  minnow::test::FakeSession session;
  const auto claims = session.device().Claim(*session.graph().view());
  CHECK_OK(claims.status());
  UNSIGNED_LONGS_EQUAL(session.graph().nodes().size(), claims->size());
  for (const mnw_claim& claim : *claims) CHECK(claim.group != 0);
}

TEST_GROUP(HostServices){};

TEST(HostServices, TellTheMeaningOfTensorTypes) {
  const mnw_host& host = HostServices();
  const uint16_t halves[] = {0x3c00, 0xc000};
  float out[2] = {};
  LONGS_EQUAL(MNW_OK, host.to_f32(host.self, MNW_TYPE_F16, halves, out, 2));
  DOUBLES_EQUAL(1.0, out[0], 0);
  DOUBLES_EQUAL(-2.0, out[1], 0);
  LONGS_EQUAL(MNW_INVALID, host.to_f32(host.self, 9999, halves, out, 2));
  LONGS_EQUAL(MNW_INVALID, host.to_f32(host.self, MNW_TYPE_Q8_0, halves, out, 31));
  host.log(host.self, 0, nullptr);
  POINTERS_EQUAL(nullptr, host.extension(host.self, "com.acme.x/1"));
}
