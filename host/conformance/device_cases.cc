// What a backend says of itself, what it refuses, and that it leaves the process as it was.

#include "conformance/manners.h"
#include "conformance/play.h"

namespace minnow::conformance {

namespace {

// The info as far as a host of that age knows it.
Verdict CheckInfo(const Env& env, HostAge age) {
  const Subject& s = env.subject;
  const size_t size = age == HostAge::kOlder   ? offsetof(mnw_device_info, repeatability)
                      : age == HostAge::kNewer ? sizeof(mnw_device_info) + 40
                                               : sizeof(mnw_device_info);
  const Guarded memory{Bytes(size)};
  auto* info = reinterpret_cast<mnw_device_info*>(memory.data());
  info->size = static_cast<uint32_t>(size);
  MNW_TRY(
      s.Call("device_info", [&](mnw_error* e) { return s.table->device_info(s.device, info, e); }));
  if (const std::string at = memory.Breach(); !at.empty()) {
    return Error(Code::kInternal, "device_info() wrote beyond the host's struct of {} bytes, {}",
                 size, at);
  }
  if (info->size != size) {
    return Error(Code::kInternal,
                 "device_info() changed `size`, which is the host's, from {} to {}", size,
                 info->size);
  }
  if (!info->id || !*info->id || !info->description) {
    return Error(Code::kInternal, "device_info() gave no id or no description");
  }
  return std::string();
}

Status MustRefuse(const Subject& s, const char* what, uint32_t device, const char* config) {
  const mnw_context_options options = {sizeof options, 1, config};
  mnw_context* context = nullptr;
  const Status status = s.Call(
      "open", [&](mnw_error* e) { return s.table->open(device, s.host, &options, &context, e); });
  if (status.ok()) return Error(Code::kInternal, "open() accepted {}", what);
  return status.code() == Code::kInternal ? status : Status();
}

Verdict CheckRefusals(const Env& env) {
  MNW_TRY(MustRefuse(env.subject, "a device beyond its last", 10'000, nullptr));
  MNW_TRY(MustRefuse(env.subject, "the unknown setting 'no_such_setting=1'", env.subject.device,
                     "no_such_setting=1"));
  return std::string();
}

// Around a life with the first recipe that is claimed.
Verdict CheckManners(const Env& env) {
  for (const Recipe& recipe : FirstOfEachOp()) {
    MNW_ASSIGN(const auto written, Write(recipe, env.seed));
    const Manners before = Manners::Now();
    {
      MNW_ASSIGN(const auto context, Context::Open(env.subject));
      MNW_ASSIGN(const std::string refusal, Refusal(*context, written->sketch));
      if (!refusal.empty()) continue;
      MNW_TRY(Play(*context, written->sketch, written->tellings[0]).status());
      MNW_TRY(Manners::Now().Compare(before));
    }
    MNW_TRY(Manners::Now().Compare(before));
    return std::string();
  }
  return std::string("it claims nothing");
}

}  // namespace

void AddDeviceCases(std::vector<Case>& cases) {
  cases.push_back({"device/info", [](const Env& env) { return CheckInfo(env, HostAge::kSame); }});
  cases.push_back({"device/refusals", CheckRefusals});
  cases.push_back({"device/manners", CheckManners});
  cases.push_back(
      {"host/newer/device_info", [](const Env& env) { return CheckInfo(env, HostAge::kNewer); }});
  cases.push_back(
      {"host/older/device_info", [](const Env& env) { return CheckInfo(env, HostAge::kOlder); }});
}

std::vector<Case> BackendCases() {
  std::vector<Case> cases;
  AddDeviceCases(cases);
  AddRecipeCases(cases);
  AddStateCases(cases);
  AddMemoryCases(cases);
  AddModelCases(cases);
  return cases;
}

}  // namespace minnow::conformance
