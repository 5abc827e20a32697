// The models of a server, by name: what is loaded, loading, draining, or failed.
//
// A request holds its model by a ModelUse; a model is unloaded only when nobody holds it, so nobody
// ever sees one go. Pipelines hold theirs for ever. Threads: any; Load and Unload wait.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/runtime.h"
#include "script/engine_models.h"
#include "service/errors.h"

namespace minnow::service {

enum class ModelState { kLoading, kReady, kDraining, kFailed, kGone };  // kGone: only told

struct ModelStatus {
  std::string name;
  ModelState state = ModelState::kLoading;
  std::string error;  // of kFailed
};

class ModelTable {
 public:
  // `on_change`: a state is another; on any thread, not to call back in.
  ModelTable(engine::Runtime& runtime, std::function<void(const ModelStatus&)> on_change);

  class Use {
   public:
    Use(ModelTable& table, std::string name, engine::Engine& engine)
        : table_(table), name_(std::move(name)), engine_(engine) {}
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    const std::string& name() const { return name_; }
    std::string full_name() const {  // with the adapter's
      return adapter_ == 0 ? name_ : name_ + ":" + adapter_name_;
    }
    engine::AdapterId adapter() const { return adapter_; }
    engine::Engine& engine() const { return engine_; }
    const model::Model& model() const { return engine_.model(); }

   private:
    friend ModelTable;
    ModelTable& table_;
    const std::string name_;
    engine::Engine& engine_;
    std::string adapter_name_;
    engine::AdapterId adapter_ = 0;
  };

  struct Taken {
    Failure failure;
    std::shared_ptr<const Use> use;  // null: see the failure
  };
  // The model of this name, or the only one for an empty name. kNotFound, kUnavailable (loading or
  // draining), kPrecondition (it failed to load).
  Taken Take(const std::string& name);
  // Also "model:adapter", for an adapter of the model folders, which stays as long as the model;
  // may take as long as reading it does. kNotFound, kPrecondition (it does not fit the model, or is
  // broken), kExhausted (all its places are taken).
  Taken TakeWithAdapter(const std::string& name);

  // Says that a model is to come, so that callers are told to wait and not that there is none.
  void Announce(const std::string& name);
  // Opens a model under a name. `path`: a file, or a name of one; empty: the name, which then comes
  // from a client and stands for files in the model folders only.
  Status Load(const std::string& name, const std::string& path = "");
  // kDeadline: requests were under way still, and the model serves on; kPrecondition: it is pinned.
  // kCancelled: `cancelled` became true meanwhile, likewise.
  Status Unload(const std::string& name, engine::Deadline deadline,
                const std::atomic<bool>& cancelled);
  // A model that a pipeline names: loaded if it is not, and never unloaded.
  Status Pin(const std::string& path);

  std::vector<ModelStatus> List() const;
  Result<ModelStatus> Find(const std::string& name) const;  // kNotFound

 private:
  struct Entry {
    ModelStatus status;
    engine::Engine* engine = nullptr;
    uint32_t uses = 0;
    bool pinned = false;
  };
  Result<engine::Engine*> OpenIdentified(const std::string& path);
  Failure OpenAdapter(Use& use, const std::string& name);
  std::shared_ptr<Use> TakeUse(const std::string& name, Failure* failure);
  Entry* FindEngine(const engine::Engine* engine);
  void Set(Entry& entry, ModelState state, std::string error = "");
  void Release(const std::string& name);

  engine::Runtime& runtime_;
  const std::function<void(const ModelStatus&)> on_change_;
  std::mutex opening_;  // one opens or closes at a time
  mutable std::mutex mutex_;
  std::condition_variable released_;
  std::map<std::string, Entry> entries_;  // guarded by mutex_
};

// The name that a model is served under: that of its file, without folder and .gguf.
std::string ServedName(const std::string& path);

// The models of pipelines: as the runtime's, but the table knows of them.
class PipelineModels final : public script::Models {
 public:
  PipelineModels(engine::Runtime& runtime, ModelTable& table) : models_(runtime), table_(table) {}

  Result<script::ModelApi*> Open(const std::string& name) override {
    MNW_TRY(table_.Pin(name));
    return models_.Open(name);
  }
  Result<script::ModelApi*> OpenAdapter(script::ModelApi& model, const std::string& name,
                                        float scale) override {
    return models_.OpenAdapter(model, name, scale);
  }

 private:
  script::EngineModels models_;
  ModelTable& table_;
};

}  // namespace minnow::service
