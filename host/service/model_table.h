// The models of a server, by name: what is loaded, loading, draining, or failed.
//
// A request holds its model by a ModelUse; a model is unloaded only when nobody holds it, so nobody
// ever sees one go. Pipelines hold theirs for ever. An adapter has its place while a request holds
// it, and those of LoadAdapter until they are unloaded; others give theirs up when it is wanted.
// Threads: any; what loads and unloads waits.
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
#include "service/workers.h"

namespace minnow::service {

enum class ModelState { kLoading, kReady, kDraining, kFailed, kGone };  // kGone: only told

struct ModelStatus {
  std::string name;
  ModelState state = ModelState::kLoading;
  std::string error;  // of kFailed
};

struct AdapterInfo {
  std::string name;
  bool stays = false;  // LoadAdapter's
  engine::AdapterStatus status;
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
      return adapter_ ? name_ + ":" + adapter_name_ : name_;
    }
    engine::AdapterId adapter() const { return adapter_ ? adapter_->id() : 0; }
    engine::Engine& engine() const { return engine_; }
    const model::Model& model() const { return engine_.model(); }

   private:
    friend ModelTable;
    ModelTable& table_;
    const std::string name_;
    engine::Engine& engine_;
    std::string adapter_name_;
    engine::AdapterHold adapter_;  // null: none
  };

  struct Taken {
    Failure failure;
    std::shared_ptr<const Use> use;  // null: see the failure
  };
  // The model of this name, or the only one for an empty name. kNotFound, kUnavailable (loading or
  // draining), kPrecondition (it failed to load).
  Taken Take(const std::string& name);
  // Also "model:adapter". Reads nothing: an adapter that is not loaded is refused, and the failure
  // MustLoad.
  Taken TakeWithAdapter(const std::string& name);
  static bool MustLoad(const Failure& failure);
  // As TakeWithAdapter, but loads the adapter, which is one of the model folders. kNotFound,
  // kPrecondition (it does not fit the model, or is broken), kExhausted (all places are in use).
  Taken LoadForRequest(const std::string& name);
  // Loads an adapter, to stay until it is unloaded; "model:adapter" then is it at this scale, and
  // who came before goes on through what he began with. `path` as of Load; empty: one of the model
  // folders. Failures as of LoadForRequest, at the fields of a LoadAdapterRequest.
  Failure LoadAdapter(const std::string& model, const std::string& adapter, float scale,
                      const std::string& path = "");
  // Whoever loaded it; requests that go through it run to their ends. The next one who asks for it
  // gets what the file then is. kNotFound.
  Failure UnloadAdapter(const std::string& model, const std::string& adapter);
  std::vector<AdapterInfo> Adapters(const Use& use) const;
  // What reads adapters runs there, one after the other.
  Workers& adapter_loader() { return adapter_loader_; }

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
    struct Adapter {
      std::string path;
      float scale = 1;
      engine::AdapterHold stays;  // null: came with a request
    };
    std::map<std::string, Adapter> adapters{};  // by the names they were asked for with
  };
  Result<engine::Engine*> OpenIdentified(const std::string& path);
  // The one it was asked for by a name, null: none.
  const Entry::Adapter* FindAdapter(const std::string& model, const std::string& adapter) const;
  engine::AdapterHold OpenAdapter(const Use& use, const std::string& name, const std::string& path,
                                  float scale, const char* field, Failure* failure);
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
  Workers adapter_loader_{1};
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
