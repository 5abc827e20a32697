// Runs pipelines and scripts over the fake model.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "script/fake_model.h"
#include "script/pipeline.h"
#include "script/run.h"
#include "test_util.h"

namespace minnow::test {

struct ScriptFixture {
  TempDir dir;
  std::unique_ptr<script::Loop> loop;
  FakeModels models;  // gone before the loop
  script::PipelineOptions options;

  ScriptFixture();

  // Writes a file beside the pipeline.
  std::string Write(const std::string& name, const std::string& source) const;

  // A file with this body of run(doc), where `minnow` and `m`, the fake model, are there.
  Result<std::unique_ptr<script::Pipeline>> Load(const std::string& run_body);
  Result<std::unique_ptr<script::Pipeline>> LoadFile(const std::string& source);

  // The results of the documents with these texts, in order.
  std::vector<script::DocumentResult> RunAll(script::Pipeline& pipeline,
                                             const std::vector<std::string>& texts);

  // The result of one document whose text is "text".
  script::DocumentResult Run(const std::string& run_body);
  std::string RunToJson(const std::string& run_body);  // fails the test if the document fails
  Status RunToStatus(const std::string& run_body) { return Run(run_body).status; }
};

}  // namespace minnow::test
