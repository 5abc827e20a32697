// What models were asked and what they answered, kept in a file, so that tests of scripts run
// without the models.
//
// Each model has a line with its name and the hash of its files, and a line for each prompt: how it
// was put, its tokens, and the calls made with it. Lines are sorted, so that two recordings of
// the same answers are the same file. Priorities, deadlines and times are no part of a question or
// an answer. Threads: any, but for Load and Save, which stand alone.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <tuple>
#include <vector>

#include "script/model_api.h"

namespace minnow::script {

class Recording {
 public:
  using Json = nlohmann::ordered_json;
  using Tokens = std::vector<engine::TokenId>;

  // A file that is not there holds nothing. kCorrupt: with the line.
  Status Load(const std::string& path);
  // Replaces the file at once, or removes it when there is nothing to keep.
  Status Save(const std::string& path) const;

  // A model's line: {"name", "fingerprint"}, or {"refused": {...}} if it could not be opened.
  void AddModel(const std::string& model, Json line);
  const Json* FindModel(const std::string& model) const;

  // How a prompt was put, {"chat": [...]}, {"text": "..."} or {"continuation": "..."}, and what
  // came of it: {"tokens": [...]} or {"error": {...}}. The first answer stays.
  void AddPrompt(const std::string& model, const Json& prompt, Json answer);
  const Json* FindPrompt(const std::string& model, const Json& prompt) const;

  // {"classify": {...}} about a prompt, and its answer.
  void AddCall(const std::string& model, const Tokens& prompt, const Json& call, Json answer);
  const Json* FindCall(const std::string& model, const Tokens& prompt, const Json& call) const;
  // How the prompt with these tokens was put; null if nobody put one.
  Json PromptOf(const std::string& model, const Tokens& tokens) const;

 private:
  Status AddLine(const Json& line);

  mutable std::mutex mutex_;  // guards all below; what is found stays where it is
  std::map<std::string, Json> models_;
  std::map<std::pair<std::string, std::string>, Json> prompts_;  // by model and how it was put
  std::map<std::tuple<std::string, Tokens, std::string>, Json> calls_;
};

// Asks `models`, which outlive this as the recording does, and writes down what they answer.
std::unique_ptr<Models> RecordModels(Models& models, Recording& recording);

// Answers from the recording alone. What is not in it fails with kNotFound, names the call and
// `remedy`, and is kept for TakeMissing.
class ReplayedModels : public Models {
 public:
  ReplayedModels(const Recording& recording, std::string remedy);
  ~ReplayedModels() override;

  Result<ModelApi*> Open(const std::string& name) override;
  Result<ModelApi*> OpenAdapter(ModelApi& model, const std::string& name, float scale) override;

  // What was asked since the last time and had no answer, also where the script caught the failure.
  std::vector<std::string> TakeMissing();

 private:
  class Model;
  Result<ModelApi*> Find(const std::string& key);
  Status Missing(const std::string& what);

  const Recording& recording_;
  const std::string remedy_;
  std::mutex mutex_;  // guards all below
  std::map<std::string, std::unique_ptr<Model>> models_;
  std::vector<std::string> missing_;
};

}  // namespace minnow::script
