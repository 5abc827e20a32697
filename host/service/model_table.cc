#include "service/model_table.h"

#include <algorithm>
#include <filesystem>

namespace minnow::service {

ModelTable::ModelTable(engine::Runtime& runtime, std::function<void(const ModelStatus&)> on_change)
    : runtime_(runtime), on_change_(std::move(on_change)) {}

ModelTable::Use::~Use() {
  adapter_.reset();  // before the model may go
  table_.Release(name_);
}

void ModelTable::Release(const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (--entries_.at(name).uses == 0) released_.notify_all();
}

std::shared_ptr<ModelTable::Use> ModelTable::TakeUse(const std::string& name, Failure* failure) {
  const std::lock_guard lock(mutex_);
  if (name.empty() && entries_.size() != 1) {
    *failure = std::vector<Violation>{
        {"model", fmt::format("must name one of the {} models here", entries_.size())}};
    return nullptr;
  }
  const auto it = name.empty() ? entries_.begin() : entries_.find(name);
  if (it == entries_.end()) {
    *failure = {
        Error(Code::kNotFound, "there is no model '{}'; Models.List has those there are", name),
        "MODEL_NOT_FOUND"};
    return nullptr;
  }
  Entry& entry = it->second;
  switch (entry.status.state) {
    case ModelState::kLoading:
      *failure = {Error(Code::kUnavailable, "model '{}' is loading", it->first), "MODEL_LOADING"};
      failure->retry_seconds = 1;
      return nullptr;
    case ModelState::kDraining:
      *failure = {Error(Code::kUnavailable, "model '{}' is being unloaded", it->first),
                  "MODEL_DRAINING"};
      return nullptr;
    case ModelState::kFailed:
      *failure = {Error(Code::kPrecondition, "model '{}' was not loaded: {}", it->first,
                        entry.status.error),
                  "MODEL_FAILED"};
      return nullptr;
    case ModelState::kReady:
    case ModelState::kGone:
      break;
  }
  ++entry.uses;
  return std::make_shared<Use>(*this, it->first, *entry.engine);
}

ModelTable::Taken ModelTable::Take(const std::string& name) {
  Taken taken;
  taken.use = TakeUse(name, &taken.failure);
  return taken;
}

namespace {

constexpr const char* kAdapterLoading = "ADAPTER_LOADING";

// "model:adapter" as both; without a colon the adapter is empty.
struct Names {
  std::string model, adapter;
  bool both = false;
};

Names Split(const std::string& name) {
  const size_t colon = name.rfind(':');
  if (colon == std::string::npos) return {name, ""};
  return {name.substr(0, colon), name.substr(colon + 1), true};
}

}  // namespace

// Under mutex_.
const ModelTable::Entry::Adapter* ModelTable::FindAdapter(const std::string& model,
                                                          const std::string& adapter) const {
  const auto& adapters = entries_.at(model).adapters;
  const auto it = adapters.find(adapter);
  return it == adapters.end() ? nullptr : &it->second;
}

ModelTable::Taken ModelTable::TakeWithAdapter(const std::string& name) {
  const Names names = Split(name);
  if (!names.both || Find(name).ok()) return Take(name);
  Taken taken;
  const std::shared_ptr<Use> use = TakeUse(names.model, &taken.failure);
  if (!use) return taken;
  {
    const std::lock_guard lock(mutex_);
    if (const Entry::Adapter* known = FindAdapter(use->name(), names.adapter)) {
      use->adapter_ = runtime_.FindAdapter(use->engine_, known->path, known->scale);
    }
  }
  if (use->adapter_) {
    use->adapter_name_ = names.adapter;
    taken.use = use;
    return taken;
  }
  taken.failure = {Error(Code::kUnavailable, "adapter '{}' is not loaded", names.adapter),
                   kAdapterLoading};
  taken.failure.retry_seconds = 1;
  return taken;
}

bool ModelTable::MustLoad(const Failure& failure) { return failure.reason == kAdapterLoading; }

ModelTable::Taken ModelTable::LoadForRequest(const std::string& name) {
  Taken taken = TakeWithAdapter(name);  // it may be there by now
  if (!MustLoad(taken.failure)) return taken;
  const Names names = Split(name);
  taken.failure = {};
  const std::shared_ptr<Use> use = TakeUse(names.model, &taken.failure);
  if (!use) return taken;
  use->adapter_name_ = names.adapter;
  use->adapter_ = OpenAdapter(*use, names.adapter, "", 1, "model", &taken.failure);
  if (!use->adapter_) return taken;
  taken.use = use;
  const std::lock_guard lock(mutex_);
  Entry::Adapter& known = entries_.at(use->name()).adapters[names.adapter];
  if (!known.stays) known = {use->adapter_->path(), 1, nullptr};
  return taken;
}

// Null: see the failure. A name that comes from a stranger stands for files of the model folders
// only.
engine::AdapterHold ModelTable::OpenAdapter(const Use& use, const std::string& name,
                                            const std::string& path, float scale, const char* field,
                                            Failure* failure) {
  const auto refuse = [&](Status status, const char* reason) {
    *failure = Failure(std::move(status), reason);
    failure->violations = {{field, failure->status.message()}};
    return nullptr;
  };
  std::string file = path;
  if (path.empty()) {
    auto found = runtime_.FindInFolders(name, "adapter");
    if (!found.ok() && found.status().code() == Code::kNotFound) {
      return refuse(
          Error(Code::kNotFound, "there is no adapter '{}' in the server's folders", name),
          "ADAPTER_NOT_FOUND");
    }
    if (!found.ok()) {
      *failure = Failure::AtField(field, found.status());
      return nullptr;
    }
    file = *std::move(found);
  }
  auto opened = runtime_.OpenAdapter(use.engine_, file, scale);
  if (opened.ok()) return *std::move(opened);
  const Status& why = opened.status();
  if (why.code() == Code::kUnavailable) {
    *failure = Failure(Status(Code::kExhausted, why.message()), "TOO_MANY_ADAPTERS");
    failure->retry_seconds = 1;  // places that requests use come free
    return nullptr;
  }
  if (why.code() == Code::kExhausted) {
    *failure = why;
    return nullptr;
  }
  return refuse(Error(Code::kPrecondition, "adapter '{}' cannot be used with model '{}': {}", name,
                      use.name(), why.message()),
                "ADAPTER_FAILED");
}

Failure ModelTable::LoadAdapter(const std::string& model, const std::string& adapter, float scale,
                                const std::string& path) {
  Failure failure;
  const std::shared_ptr<const Use> use = TakeUse(model, &failure);
  if (!use) return failure;
  engine::AdapterHold opened = OpenAdapter(*use, adapter, path, scale, "adapter", &failure);
  if (!opened) return failure;
  std::string canonical = opened->path();
  Entry::Adapter before{std::move(canonical), scale, std::move(opened)};
  const std::lock_guard lock(mutex_);
  std::swap(entries_.at(use->name()).adapters[adapter], before);
  return {};
}

Failure ModelTable::UnloadAdapter(const std::string& model, const std::string& adapter) {
  Failure failure;
  const std::shared_ptr<const Use> use = TakeUse(model, &failure);
  if (!use) return failure;
  std::string path;
  for (const AdapterInfo& info : Adapters(*use)) {
    if (info.name == adapter) path = info.status.path;
  }
  if (!path.empty()) {
    {
      const std::lock_guard lock(mutex_);
      std::erase_if(entries_.at(use->name()).adapters,
                    [&](const auto& known) { return known.second.path == path; });
    }
    if (runtime_.CloseAdapter(use->engine(), path).ok()) return {};
  }
  failure = {
      Error(Code::kNotFound, "adapter '{}' of model '{}' is not loaded", adapter, use->name()),
      "ADAPTER_NOT_FOUND"};
  failure.violations = {{"adapter", failure.status.message()}};
  return failure;
}

// A name that it was asked for with, else that of its file.
std::vector<AdapterInfo> ModelTable::Adapters(const Use& use) const {
  std::vector<AdapterInfo> infos;
  const std::lock_guard lock(mutex_);
  const auto& known = entries_.at(use.name()).adapters;
  for (engine::AdapterStatus& status : runtime_.Adapters(use.engine())) {
    AdapterInfo info{ServedName(status.path), false, std::move(status)};
    for (const auto& [name, adapter] : known) {
      if (adapter.path != info.status.path || adapter.scale != info.status.scale) continue;
      info.name = name;
      info.stays = adapter.stays != nullptr;
    }
    infos.push_back(std::move(info));
  }
  return infos;
}

void ModelTable::Announce(const std::string& name) {
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[name];
  entry.status.name = name;
  if (entry.engine == nullptr) Set(entry, ModelState::kLoading);
}

// Answers tell what they depend on.
Result<engine::Engine*> ModelTable::OpenIdentified(const std::string& path) {
  MNW_ASSIGN(engine::Engine * engine, runtime_.Open(path));
  MNW_TRY(runtime_.Identify(*engine));
  return engine;
}

Status ModelTable::Load(const std::string& name, const std::string& path) {
  const std::lock_guard opening(opening_);
  std::string file = path;
  if (path.empty()) {
    auto found = runtime_.FindInFolders(name);
    // The folders' names are nothing for clients.
    if (!found.ok() && found.status().code() == Code::kNotFound) {
      return Error(Code::kNotFound, "there is no model '{}' in the server's folders", name);
    }
    MNW_TRY(found.status());
    file = *std::move(found);
  }
  {
    const std::lock_guard lock(mutex_);
    const auto it = entries_.find(name);
    if (it != entries_.end() && it->second.engine) return Status();
  }
  Announce(name);
  const Result<engine::Engine*> opened = OpenIdentified(file);
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[name];
  if (!opened.ok()) {
    Set(entry, ModelState::kFailed, opened.status().message());
    const Code code = opened.status().code();
    if (code == Code::kExhausted || code == Code::kInternal || !path.empty()) {
      return opened.status();
    }
    // The client's name was right; what is wrong is the file.
    return Status(Code::kPrecondition, opened.status().message());
  }
  if (const Entry* other = FindEngine(*opened)) {
    const std::string taken = other->status.name;
    Set(entry, ModelState::kGone);
    entries_.erase(name);
    return Error(Code::kPrecondition, "the file of '{}' is loaded as '{}'", name, taken);
  }
  entry.engine = *opened;
  Set(entry, ModelState::kReady);
  return Status();
}

Status ModelTable::Unload(const std::string& name, engine::Deadline deadline,
                          const std::atomic<bool>& cancelled) {
  engine::Engine* engine = nullptr;
  std::map<std::string, Entry::Adapter> adapters;
  {
    std::unique_lock lock(mutex_);
    const auto it = entries_.find(name);
    if (it == entries_.end()) return Error(Code::kNotFound, "there is no model '{}'", name);
    Entry& entry = it->second;
    if (entry.pinned) {
      return Error(Code::kPrecondition,
                   "model '{}' is a pipeline's, which would be lost without it", name);
    }
    if (entry.status.state == ModelState::kFailed) {
      Set(entry, ModelState::kGone);
      entries_.erase(it);
      return Status();
    }
    if (entry.status.state != ModelState::kReady) {
      return Error(Code::kUnavailable, "model '{}' is being loaded or unloaded", name);
    }
    Set(entry, ModelState::kDraining);
    while (entry.uses > 0 && engine::Clock::now() < deadline && !cancelled) {
      released_.wait_for(lock, std::chrono::milliseconds(20));
    }
    if (entry.uses > 0) {
      Set(entry, ModelState::kReady);
      return Error(cancelled ? Code::kCancelled : Code::kDeadline,
                   "{} requests were still under way; model '{}' serves on", entry.uses, name);
    }
    engine = entry.engine;
  }
  const std::lock_guard opening(opening_);
  {
    const std::lock_guard lock(mutex_);
    Entry& entry = entries_.at(name);
    if (entry.pinned) {  // a pipeline has opened it meanwhile
      Set(entry, ModelState::kReady);
      return Error(Code::kPrecondition, "model '{}' has become a pipeline's", name);
    }
    adapters = std::move(entry.adapters);
  }
  adapters.clear();  // before their model
  runtime_.Close(*engine);
  const std::lock_guard lock(mutex_);
  Set(entries_.at(name), ModelState::kGone);
  entries_.erase(name);
  return Status();
}

Status ModelTable::Pin(const std::string& path) {
  const std::lock_guard opening(opening_);
  MNW_ASSIGN(engine::Engine * engine, OpenIdentified(path));
  const std::lock_guard lock(mutex_);
  Entry* entry = FindEngine(engine);
  if (entry == nullptr) {
    entry = &entries_[ServedName(path)];
    entry->status.name = ServedName(path);
    entry->engine = engine;
    Set(*entry, ModelState::kReady);
  }
  entry->pinned = true;
  return Status();
}

std::vector<ModelStatus> ModelTable::List() const {
  const std::lock_guard lock(mutex_);
  std::vector<ModelStatus> list;
  for (const auto& [name, entry] : entries_) list.push_back(entry.status);
  return list;
}

Result<ModelStatus> ModelTable::Find(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto it = entries_.find(name);
  if (it == entries_.end()) return Error(Code::kNotFound, "there is no model '{}'", name);
  return it->second.status;
}

ModelTable::Entry* ModelTable::FindEngine(const engine::Engine* engine) {
  for (auto& [name, entry] : entries_) {
    if (entry.engine == engine) return &entry;
  }
  return nullptr;
}

void ModelTable::Set(Entry& entry, ModelState state, std::string error) {
  entry.status.state = state;
  entry.status.error = std::move(error);
  on_change_(entry.status);
}

std::string ServedName(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  fs::path whole = fs::absolute(path, error).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();  // "folder/", "."
  std::string name = whole.filename().string();
  if (name.ends_with(".gguf")) name.resize(name.size() - 5);
  return name;
}

}  // namespace minnow::service
