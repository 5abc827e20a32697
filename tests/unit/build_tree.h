// The build tree's own plugins, and models opened with them.
#pragma once

#include <algorithm>
#include <memory>
#include <string>

#include "build_paths.h"
#include "engine/engine.h"
#include "fake_backend/far_backend.h"
#include "model/instance.h"
#include "model/model.h"
#include "plugins/host_services.h"
#include "plugins/registry.h"
#include "test_util.h"

namespace minnow::test {

// Scanned once per program: each scan starts the probe for every library.
inline plugins::Registry& BuildTreePlugins() {
  static plugins::Registry registry = [] {
    plugins::RegistryOptions options;
    options.directories = {InBuild("plugins")};
    options.loader.probe.program = ProbePath();
    options.loader.probe.limit_ms = 60000;  // sanitizers and busy machines take their time
    return plugins::Registry::Scan(options);
  }();
  return registry;
}

inline std::string GoldenPath(const std::string& name) {
  return InSource("tests/golden/models/") + name;
}

// n_ctx 0: what the file says.
inline std::shared_ptr<const model::Model> LoadModel(const std::string& path, uint32_t n_ctx = 0) {
  auto model = model::Model::Load(path, BuildTreePlugins(), {n_ctx});
  CHECK_OK(model.status());
  return *std::move(model);
}

struct CpuOptions {
  std::string device = "cpu";
  uint32_t n_threads = 1;
  model::InstanceOptions instance;
  engine::EngineOptions engine;
  std::shared_ptr<const model::Model> draft;  // null: none
  engine::ModelDraft::Options draft_options;
};

// The CPU backend's table, for those who put something between it and the host.
inline const mnw_backend& CpuTable() {
  static const plugins::LoadedPlugin loaded = [] {
    plugins::LoaderOptions options;
    options.probe.program = ProbePath();
    options.probe.limit_ms = 60000;
    const auto candidate = plugins::Examine(InBuild("plugins/minnow_backend_cpu.so"), options);
    CHECK_OK(candidate.status());
    auto library = plugins::OpenLibrary(*candidate);
    CHECK_OK(library.status());
    return *std::move(library);
  }();
  return *loaded.backend;
}

// A model on the CPU backend, with an engine; far away if MINNOW_TEST_DEVICE says so.
class CpuEngine {
 public:
  explicit CpuEngine(std::shared_ptr<const model::Model> model, const CpuOptions& options = {})
      : executor_(options.engine) {
    auto device = Open(options);
    CHECK_OK(device.status());
    device_ = std::make_unique<plugins::Device>(*std::move(device));
    plugins::Device* const devices[] = {device_.get()};
    auto instance = model::Instance::Create(std::move(model), devices, options.instance);
    CHECK_OK(instance.status());
    instance_ = *std::move(instance);
    std::unique_ptr<engine::ModelDraft> draft;
    if (options.draft) {
      auto placed = model::Instance::Create(options.draft, devices, options.instance);
      CHECK_OK(placed.status());
      draft_instance_ = *std::move(placed);
      auto created =
          engine::ModelDraft::Create(*instance_, *draft_instance_, options.draft_options);
      CHECK_OK(created.status());
      draft = *std::move(created);
    }
    engine_ = std::make_unique<engine::Engine>(executor_, *instance_, std::move(draft));
  }

  engine::Engine& engine() { return *engine_; }
  engine::Executor& executor() { return executor_; }

 private:
  Result<plugins::Device> Open(const CpuOptions& options) {
    const auto far = FarOptions::FromEnvironment();
    if (!far) return BuildTreePlugins().OpenDevice(options.device, options.n_threads);
    far_ = std::make_unique<FarBackend>(CpuTable(), *far);
    const size_t colon = std::min(options.device.find(':'), options.device.size() - 1);
    return plugins::Device::Open(*far_->table(), 0, plugins::HostServices(),
                                 {options.n_threads, options.device.substr(colon + 1)});
  }

  std::unique_ptr<FarBackend> far_;
  std::unique_ptr<plugins::Device> device_;
  std::unique_ptr<model::Instance> instance_, draft_instance_;
  engine::Executor executor_;
  std::unique_ptr<engine::Engine> engine_;
};

}  // namespace minnow::test
