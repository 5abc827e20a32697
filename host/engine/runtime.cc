#include "engine/runtime.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/cache_dir.h"
#include "engine/fingerprint.h"
#include "model/content_hash.h"

namespace minnow::engine {

namespace fs = std::filesystem;

namespace {

// Rows of logits in a step: twenty questions of five labels of two tokens each take 220, and fit.
constexpr uint32_t kOutRows = 256;

// One name for a file, however it was spelled.
std::string Identity(const std::string& path) {
  std::error_code ec;
  const fs::path canonical = fs::canonical(path, ec);
  return ec ? path : canonical.string();
}

// A folder of Hugging Face's: a model, or an adapter as PEFT writes it.
bool IsModelFolder(const fs::path& path) {
  std::error_code ec;
  return fs::exists(path / "config.json", ec) || fs::exists(path / "adapter_config.json", ec);
}

}  // namespace

struct Runtime::OpenModel {
  explicit OpenModel(Executor& e) : executor(e) {}
  ~OpenModel() {
    adapters.reset();
    engine.reset();
    executor.Call([this] {
      draft.reset();
      instance.reset();
    });
  }

  Executor& executor;
  std::mutex opening;  // held while the model loads; a failed load leaves the place empty
  std::unique_ptr<model::Instance> instance, draft;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<AdapterTable> adapters;
};

Runtime::Runtime(const RuntimeOptions& options, plugins::Registry registry)
    : options_(options), registry_(std::move(registry)), executor_(options.engine) {}

Runtime::~Runtime() = default;

Result<std::unique_ptr<Runtime>> Runtime::Create(const RuntimeOptions& options) {
  if (options.engine.step_tokens == 0)
    return Error(Code::kInvalid, "step_tokens must be at least 1");
  std::unique_ptr<Runtime> runtime(new Runtime(
      options,
      plugins::Registry::Scan(plugins::RegistryOptions::FromEnvironment(options.plugin_dirs))));
  for (const auto& [model, draft] : options.drafts) {
    MNW_ASSIGN(const std::string path, runtime->Resolve(model, "model"));
    MNW_ASSIGN(const std::string draft_path, runtime->Resolve(draft, "draft model"));
    if (Identity(path) == Identity(draft_path)) {
      return Error(
          Code::kInvalid,
          "'{}' cannot draft for itself: a guess would take as long as what it saves; name "
          "a smaller model",
          model);
    }
    runtime->drafts_[Identity(path)] = draft_path;
  }
  std::vector<std::string> names = options.devices;
  if (names.empty()) names.push_back("cpu");
  for (const std::string& name : names) {
    MNW_ASSIGN(plugins::Device device, runtime->registry_.OpenDevice(name, options.n_threads));
    runtime->devices_.push_back(std::make_unique<plugins::Device>(std::move(device)));
  }
  return runtime;
}

Result<Engine*> Runtime::Open(const std::string& name) {
  MNW_ASSIGN(const std::string path, Resolve(name, "model"));
  const std::string identity = Identity(path);
  OpenModel* open = nullptr;
  {
    const std::lock_guard lock(mutex_);
    std::unique_ptr<OpenModel>& place = models_[identity];
    if (place == nullptr) place = std::make_unique<OpenModel>(executor_);
    open = place.get();
  }
  const std::lock_guard lock(open->opening);
  if (open->engine == nullptr) {
    MNW_TRY(Load(path, *open));
    const std::lock_guard opened_lock(mutex_);
    opened_[open->engine.get()] = identity;
  }
  return open->engine.get();
}

Status Runtime::Load(const std::string& path, OpenModel& open) {
  model::InstanceOptions options = options_.instance;
  options.max_out = std::max(options.max_out, kOutRows);
  MNW_ASSIGN(open.instance, Place(path, options));
  std::unique_ptr<ModelDraft> draft;
  if (const auto found = drafts_.find(Identity(path)); found != drafts_.end()) {
    const Status status = LoadDraft(found->second, open, &draft);
    if (!status.ok()) {
      executor_.Call([&] {
        open.draft.reset();
        open.instance.reset();
      });
      return status;
    }
  }
  open.engine = std::make_unique<Engine>(executor_, *open.instance, std::move(draft));
  open.adapters = std::make_unique<AdapterTable>(*open.engine);
  return Status();
}

Status Runtime::LoadDraft(const std::string& path, OpenModel& open,
                          std::unique_ptr<ModelDraft>* draft) {
  model::InstanceOptions options = options_.instance;
  options.adapter_slots = 0;
  MNW_ASSIGN(open.draft, Place(path, options));
  ModelDraft::Options draft_options;
  draft_options.step_tokens = options_.engine.step_tokens;
  draft_options.prefix_cache_bytes = options_.engine.prefix_cache_bytes;
  MNW_ASSIGN(*draft, ModelDraft::Create(*open.instance, *open.draft, draft_options));
  return Status();
}

Result<std::unique_ptr<model::Instance>> Runtime::Place(const std::string& path,
                                                        const model::InstanceOptions& options) {
  MNW_ASSIGN(std::shared_ptr<const model::Model> model,
             model::Model::Load(path, registry_, options_.load));
  std::vector<plugins::Device*> devices;
  for (const auto& device : devices_) devices.push_back(device.get());
  Result<std::unique_ptr<model::Instance>> instance = std::unique_ptr<model::Instance>();
  executor_.Call([&] { instance = model::Instance::Create(std::move(model), devices, options); });
  return instance;
}

Status Runtime::Identify(Engine& engine) {
  if (!engine.identity(0).empty()) return Status();
  MNW_ASSIGN(const std::string hash,
             model::ContentHash(engine.model().source().files(), CacheDirectory()));
  engine.SetIdentity(0, Identity(engine.instance(), hash, options_.devices));
  return Status();
}

AdapterTable& Runtime::AdaptersOf(const Engine& engine) {
  const std::lock_guard lock(mutex_);
  return *models_.at(opened_.at(&engine))->adapters;
}

Result<AdapterHold> Runtime::OpenAdapter(Engine& engine, const std::string& name, float scale) {
  MNW_ASSIGN(const std::string path, Resolve(name, "adapter"));
  return AdaptersOf(engine).Open(Identity(path), scale);
}

AdapterHold Runtime::FindAdapter(Engine& engine, const std::string& path, float scale) {
  return AdaptersOf(engine).Find(Identity(path), scale);
}

Status Runtime::CloseAdapter(Engine& engine, const std::string& name) {
  const auto path = Resolve(name, "adapter");  // the file may be gone
  if (AdaptersOf(engine).Close(path.ok() ? Identity(*path) : name)) return Status();
  return Error(Code::kNotFound, "adapter '{}' is not loaded", name);
}

std::vector<AdapterStatus> Runtime::Adapters(Engine& engine) { return AdaptersOf(engine).List(); }

void Runtime::Close(Engine& engine) {
  std::unique_ptr<OpenModel> closed;  // goes without the lock: others may open models meanwhile
  const std::lock_guard lock(mutex_);
  const auto model = models_.find(opened_.extract(&engine).mapped());
  closed = std::move(model->second);
  models_.erase(model);
}

// The path as it was given: behind a link, the parts of a split model have other names.
Result<std::string> Runtime::Resolve(const std::string& name, const char* kind) const {
  std::error_code ec;
  // Whatever is there that is no model is refused by who opens it, with what it is.
  if (fs::exists(name, ec) &&
      (!fs::is_directory(name, ec) || name.find('/') != std::string::npos || IsModelFolder(name))) {
    return fs::absolute(name, ec).string();
  }
  if (name.find('/') != std::string::npos || name.empty()) {
    return Error(Code::kNotFound, "there is no {} file '{}'", kind, name);
  }
  return FindInFolders(name, kind);
}

Result<std::string> Runtime::FindInFolders(const std::string& name, const char* kind) const {
  const bool plain = std::all_of(name.begin(), name.end(),
                                 [](unsigned char c) { return c >= ' ' && c != '/' && c != 0x7f; });
  if (!plain || name.empty())
    return Error(Code::kInvalid, "that is no name: the {} must be called by printable characters",
                 kind);
  std::error_code ec;
  std::vector<std::string> dirs;
  if (const char* env = std::getenv("MINNOW_MODELS")) dirs.emplace_back(env);
  dirs.insert(dirs.end(), options_.model_dirs.begin(), options_.model_dirs.end());
  std::string searched;
  for (const std::string& dir : dirs) {
    std::vector<std::string> fits;
    for (const auto& entry : fs::directory_iterator(dir, ec)) {
      const std::string file = entry.path().filename().string();
      std::string stem;
      const int part = formats::GgufPartOfName(file, &stem);
      if (part > 1) continue;  // the first stands for all
      const std::string whole = part == 1 ? stem + ".gguf" : file;
      if (whole == name || whole == name + ".gguf" || file == name) return entry.path().string();
      if (whole.starts_with(name + ".") && whole.ends_with(".gguf"))
        fits.push_back(entry.path().string());
    }
    if (fits.size() == 1) return fits[0];
    if (fits.size() > 1) {
      return Error(Code::kInvalid,
                   "{} '{}' may be any of {} files in '{}'; give the whole file name", kind, name,
                   fits.size(), dir);
    }
    searched += (searched.empty() ? "" : ", ") + dir;
  }
  return Error(Code::kNotFound,
               "there is no {} '{}' ({}); give the path of a GGUF file or of a Hugging Face "
               "folder, or put what holds it into MINNOW_MODELS",
               kind, name, searched.empty() ? "no model folder is set" : "searched " + searched);
}

}  // namespace minnow::engine
