// The host's models and sources, as a confined process sees them. Threads: as of Models; the link
// outlives them.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "script/child_link.h"
#include "script/model_api.h"
#include "script/program.h"

namespace minnow::script {

class RemoteModels : public Models {
 public:
  explicit RemoteModels(ChildLink& link);
  ~RemoteModels() override;

  Result<ModelApi*> Open(const std::string& name) override;
  Result<ModelApi*> OpenAdapter(ModelApi& model, const std::string& name, float scale) override;

 private:
  class RemoteModel;
  Result<ModelApi*> AskFor(nlohmann::ordered_json question);

  ChildLink& link_;
  std::mutex mutex_;
  std::map<uint64_t, std::unique_ptr<RemoteModel>> models_;  // guarded by mutex_
};

std::unique_ptr<Sources> MakeRemoteSources(ChildLink& link, std::string path);

}  // namespace minnow::script
