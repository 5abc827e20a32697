// The runtime: plugins, devices and the models that are open, passed down to whoever needs them.
//
// A model is opened once, however many scripts and commands name it, and has one engine.
// Threads: all methods from any thread; opening a model blocks its caller and those who ask for the
// same model.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "engine/adapter_table.h"
#include "engine/engine.h"
#include "plugins/registry.h"

namespace minnow::engine {

struct RuntimeOptions {
  std::vector<std::string> plugin_dirs;  // absolute; before the default ones
  std::vector<std::string> model_dirs;   // where names are looked up, after MINNOW_MODELS
  std::vector<std::string> devices;      // in order of preference, "cpu:isa=avx2"; empty: the CPU
  uint32_t n_threads = 0;                // 0: one per core
  // A model, and what drafts for it wherever it is opened (model_draft.h); names as Open takes
  // them.
  std::vector<std::pair<std::string, std::string>> drafts;
  model::LoadOptions load;
  model::InstanceOptions instance;
  EngineOptions engine;
};

class Runtime {
 public:
  static Result<std::unique_ptr<Runtime>> Create(const RuntimeOptions& options);
  ~Runtime();

  // `name`: the path of a GGUF file or of a Hugging Face folder, or the name of one in the model
  // directories (a file's with or without .gguf, and without a quantization suffix where only one
  // fits). The engine lives until it is closed, or as long as the runtime. A name that fits nothing
  // fails with the directories that were searched.
  Result<Engine*> Open(const std::string& name);
  // The file that a name stands for in the model folders; no path and no file outside them, so
  // that a name may come from a stranger. kInvalid: no plain name; kNotFound.
  Result<std::string> FindInFolders(const std::string& name, const char* kind = "model") const;
  // Closes an open model: requests that are left end with kUnavailable, and its memory is free
  // when this returns. REQUIRES: nobody uses the engine any more or opens the same model meanwhile.
  void Close(Engine& engine);

  // Has the engine tell with each answer what it depends on (fingerprint.h). Reads the model's
  // files where they were never seen before, at some GiB a second. Adapters that are opened later
  // are told too.
  Status Identify(Engine& engine);

  // Loads an adapter beside an open model, once for each scale; `name` as of a model. It has its
  // place as long as it is held, and afterwards until another needs the place. kUnavailable: all
  // places are held. Holds go before the model is closed.
  Result<AdapterHold> OpenAdapter(Engine& engine, const std::string& name, float scale = 1);
  // The same without reading anything: null if it is not loaded. `path`: as of Resolve.
  AdapterHold FindAdapter(Engine& engine, const std::string& path, float scale = 1);
  // `name`: also an AdapterStatus's path. The next one who opens it gets what the file then is.
  // Those who hold it go on; then, or at once if nobody does, its place, its memory and what is
  // cached of its prompts are free. kNotFound: it is not loaded.
  Status CloseAdapter(Engine& engine, const std::string& name);
  std::vector<AdapterStatus> Adapters(Engine& engine);

  // The file that Open or OpenAdapter takes for this name. `kind`, for messages: "model" or
  // "adapter".
  Result<std::string> Resolve(const std::string& name, const char* kind) const;

  plugins::Registry& registry() { return registry_; }

 private:
  struct OpenModel;
  Runtime(const RuntimeOptions& options, plugins::Registry registry);
  Status Load(const std::string& path, OpenModel& open);
  Status LoadDraft(const std::string& path, OpenModel& open, std::unique_ptr<ModelDraft>* draft);
  Result<std::unique_ptr<model::Instance>> Place(const std::string& path,
                                                 const model::InstanceOptions& options);
  AdapterTable& AdaptersOf(const Engine& engine);

  RuntimeOptions options_;
  std::map<std::string, std::string> drafts_;  // paths, by the model's canonical one
  plugins::Registry registry_;
  // Destroyed from the last to the first: engines leave the executor before it and the devices go.
  std::vector<std::unique_ptr<plugins::Device>> devices_;
  Executor executor_;
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<OpenModel>> models_;  // by canonical path
  std::map<const Engine*, std::string> opened_;               // to their canonical paths
};

}  // namespace minnow::engine
