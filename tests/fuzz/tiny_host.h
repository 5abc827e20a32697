// All of a host that a model file meets: the build tree's plugins, a CPU device, an executor, and a
// memory budget.
//
// LoadAndGenerate takes a file through everything that reads it: load, place, a prompt through the
// chat template, a few tokens. For tests and fuzzers, which want nothing but a Status back.
// Threads: one caller.
#pragma once

#include <future>
#include <memory>
#include <string>

#include "engine/engine.h"
#include "model/instance.h"
#include "model/model.h"
#include "plugins/registry.h"

namespace minnow::test {

class TinyHost {
 public:
  // The registry outlives the host.
  static Result<std::unique_ptr<TinyHost>> Create(plugins::Registry& registry) {
    MNW_ASSIGN(plugins::Device device, registry.OpenDevice("cpu", 1));
    return std::unique_ptr<TinyHost>(new TinyHost(registry, std::move(device)));
  }

  // Ok if the model answered.
  Status LoadAndGenerate(const std::string& path) {
    MNW_ASSIGN(std::shared_ptr<const model::Model> model, model::Model::Load(path, registry_));
    std::unique_ptr<model::Instance> instance;
    MNW_TRY(Open(model, &instance));
    const Status status = Generate(*instance);
    executor_.Call([&] { instance.reset(); });
    return status;
  }

 private:
  static constexpr uint64_t kBudget = 64 << 20;

  TinyHost(plugins::Registry& registry, plugins::Device device)
      : registry_(registry), device_(std::move(device)) {}

  Status Open(std::shared_ptr<const model::Model> model, std::unique_ptr<model::Instance>* out) {
    model::InstanceOptions options;
    options.max_tokens = 8;
    options.max_seqs = 2;
    options.max_out = 2;
    options.memory_bytes = kBudget;
    Status status;
    executor_.Call([&] {
      plugins::Device* const devices[] = {&device_};
      auto made = model::Instance::Create(std::move(model), devices, options);
      if (made.ok()) {
        *out = *std::move(made);
      } else {
        status = std::move(made).status();
      }
    });
    return status;
  }

  Status Generate(model::Instance& instance) {
    engine::Engine engine(executor_, instance);
    engine::GenerateRequest request;
    MNW_ASSIGN(request.prompt, instance.model().chat_template()
                                   ? instance.model().EncodeTurn("ab a")
                                   : instance.model().EncodeText("ab a"));
    if (request.prompt.size() > kMaxPrompt) request.prompt.resize(kMaxPrompt);
    request.max_tokens = 3;
    std::promise<Status> done;
    request.on_done = [&](engine::GenerateResult result) {
      done.set_value(std::move(result.status));
    };
    MNW_TRY(engine.Generate(std::move(request)).status());
    return done.get_future().get();
  }

  static constexpr size_t kMaxPrompt = 40;  // a template may say much; time is the limit here

  plugins::Registry& registry_;
  plugins::Device device_;
  engine::Executor executor_{{.max_queued = 4, .step_tokens = 8}};
};

}  // namespace minnow::test
