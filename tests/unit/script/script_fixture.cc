#include "script/script_fixture.h"

#include <cstdlib>
#include <fstream>

namespace minnow::test {

ScriptFixture::ScriptFixture() {
  loop = std::move(*script::Loop::Create());
  if (std::getenv("MINNOW_TEST_UNTRUSTED")) options.untrusted.emplace();
}

std::string ScriptFixture::Write(const std::string& name, const std::string& source) const {
  const std::filesystem::path path = dir / name;
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path) << source;
  return path.string();
}

Result<std::unique_ptr<script::Pipeline>> ScriptFixture::LoadFile(const std::string& source) {
  return script::Pipeline::Load(Write("test.lua", source), models, *loop, options);
}

Result<std::unique_ptr<script::Pipeline>> ScriptFixture::Load(const std::string& run_body) {
  return LoadFile(
      "local minnow = require 'minnow'; local m = minnow.model 'fake'; "
      "return minnow.pipeline { name = 'test', run = function(doc)\n" +
      run_body + "\nend }");
}

std::vector<script::DocumentResult> ScriptFixture::RunAll(script::Pipeline& pipeline,
                                                          const std::vector<std::string>& texts) {
  std::vector<script::DocumentResult> results(texts.size());
  size_t missing = texts.size();
  for (size_t i = 0; i < texts.size(); ++i) {
    pipeline.Run({std::to_string(i), "", texts[i], {}}, [&, i](script::DocumentResult result) {
      results[i] = std::move(result);
      if (--missing == 0) loop->Stop();
    });
  }
  loop->Run();
  return results;
}

script::DocumentResult ScriptFixture::Run(const std::string& run_body) {
  auto pipeline = Load(run_body);
  CHECK_OK(pipeline.status());
  return std::move(RunAll(**pipeline, {"text"})[0]);
}

std::string ScriptFixture::RunToJson(const std::string& run_body) {
  const script::DocumentResult result = Run(run_body);
  CHECK_OK(result.status);
  return result.value.dump();
}

}  // namespace minnow::test
