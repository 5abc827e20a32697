#include "script/run.h"

#include "script/script_fixture.h"

using minnow::Code;
using minnow::Result;
using minnow::script::RunScript;
using minnow::script::ScriptEnd;
using minnow::test::ScriptFixture;

TEST_GROUP(RunScript) {
  ScriptFixture f;

  Result<ScriptEnd> Run(const char* source, std::vector<std::string> arguments = {}) {
    return RunScript(f.Write("script.lua", source), arguments, f.models, *f.loop);
  }
};

TEST(RunScript, WaitsAtItsTopLevel) {
  const auto end =
      Run("local m = require('minnow').model 'fake' assert(m:generate('a').text == '<a>')");
  CHECK_OK(end.status());
  CHECK(*end == ScriptEnd::kDone);
}

TEST(RunScript, GetsItsArguments) {
  CHECK_OK(Run("local a, b = ... assert(select('#', ...) == 2 and a == 'x' and b == 'y z')",
               {"x", "y z"})
               .status());
}

TEST(RunScript, FailsWithTheLineOfTheError) {
  CHECK_ERROR(Code::kInvalid, "script.lua:2: no", Run("\nerror 'no'").status());
  CHECK_ERROR(Code::kNotFound, "script.lua:1: no model 'missing'",
              Run("require('minnow').model 'missing'").status());
}

TEST(RunScript, TellsWhenTheFileIsAPipeline) {
  const auto end = Run("return require('minnow').pipeline { name = 'p', run = print }");
  CHECK_OK(end.status());
  CHECK(*end == ScriptEnd::kPipeline);
}

TEST(RunScript, SkipsAFirstLineForTheShell) {
  CHECK_ERROR(Code::kInvalid, "script.lua:2: x", Run("#!/usr/bin/env minnow\nerror 'x'").status());
}
