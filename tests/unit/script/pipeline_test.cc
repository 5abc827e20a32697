#include "script/pipeline.h"

#include "script/script_fixture.h"

using minnow::Code;
using minnow::Status;
using minnow::script::DocumentResult;
using minnow::test::ScriptFixture;

TEST_GROUP(Pipeline) { ScriptFixture f; };

TEST(Pipeline, HasTheNameOfItsFile) {
  auto pipeline = f.Load("return 1");
  CHECK_OK(pipeline.status());
  STRCMP_EQUAL("test", (*pipeline)->name().c_str());
}

TEST(Pipeline, GivesRunTheDocument) {
  auto pipeline = f.Load("return { doc.id, doc.path, doc.text, doc.meta.page, doc.other == nil }");
  CHECK_OK(pipeline.status());
  DocumentResult result;
  (*pipeline)->Run({"7", "in/7.txt", "body", {{"page", 3}}}, [&](DocumentResult r) {
    result = std::move(r);
    f.loop->Stop();
  });
  f.loop->Run();
  CHECK_OK(result.status);
  STRCMP_EQUAL(R"(["7","in/7.txt","body",3,true])", result.value.dump().c_str());
}

TEST(Pipeline, AsksModelsWithThePriorityOfTheDocument) {
  auto pipeline = f.Load("return m:generate('p', { max_tokens = 1 }).text");
  CHECK_OK(pipeline.status());
  const auto asked = [&](std::optional<minnow::engine::Priority> priority) {
    minnow::script::Document document;
    document.priority = priority;
    (*pipeline)->Run(std::move(document), [&](DocumentResult) { f.loop->Stop(); });
    f.loop->Run();
    return f.models.fake().last_request().priority;
  };
  CHECK(asked({}) == minnow::engine::Priority::kBatch);
  CHECK(asked(minnow::engine::Priority::kInteractive) == minnow::engine::Priority::kInteractive);
  CHECK(asked({}) == minnow::engine::Priority::kBatch);
}

TEST(Pipeline, KnowsTheFilesThatItWasMadeOfAlsoWhenItFails) {
  using minnow::script::Program;
  f.Write("part.lua", "return 1");
  const std::string whole = f.Write("whole.lua", "require 'part'\nrequire 'missing'");
  Program::Files files;
  const auto failed = minnow::script::Pipeline::Load(whole, f.models, *f.loop, f.options, &files);
  CHECK_ERROR(Code::kNotFound, "no module 'missing'", failed.status());
  LONGS_EQUAL(4, files.size());
  for (const auto& [path, sha256] : files) {
    STRCMP_EQUAL(sha256.c_str(), Program::HashOf(path).c_str());
    CHECK(sha256.empty() ==
          (path.ends_with("missing.lua") || path.ends_with("whole.calibration.json")));
  }
  CHECK(!minnow::script::Pipeline::Load("/nowhere.lua", f.models, *f.loop, f.options, &files).ok());
  CHECK(files == (Program::Files{{"/nowhere.lua", ""}}));
}

TEST(Pipeline, RefusesAFileThatIsNotThere) {
  CHECK_ERROR(Code::kNotFound, "no such file",
              minnow::script::Pipeline::Load("/nowhere.lua", f.models, *f.loop).status());
}

TEST(Pipeline, TellsTheLineOfASyntaxError) {
  CHECK_ERROR(Code::kInvalid, "test.lua:2: <name> expected near '='",
              f.LoadFile("local a\nlocal = 1").status());
}

TEST(Pipeline, RefusesAFileThatReturnsSomethingElse) {
  CHECK_ERROR(Code::kInvalid, "a pipeline file returns minnow.pipeline{ ... }, got nil",
              f.LoadFile("local x = 1").status());
  CHECK_ERROR(Code::kInvalid, "got table", f.LoadFile("return { run = print }").status());
}

TEST(Pipeline, RefusesWrongPipelines) {
  const auto load = [&](const char* spec) -> Status {
    return f.LoadFile(std::string("return require('minnow').pipeline ") + spec).status();
  };
  CHECK_ERROR(Code::kInvalid, "'run' is missing", load("{ name = 'x' }"));
  CHECK_ERROR(Code::kInvalid, "'name' is missing", load("{ run = print }"));
  CHECK_ERROR(Code::kInvalid, "'run' is a string", load("{ name = 'x', run = 'y' }"));
  CHECK_ERROR(Code::kInvalid, "test.lua:1: pipeline: unknown option 'on_done' (known: name, run)",
              load("{ name = 'x', run = print, on_done = print }"));
}

TEST(Pipeline, OpensItsModelsWhenItIsLoaded) {
  CHECK_ERROR(Code::kNotFound, "test.lua:1: no model 'missing'",
              f.LoadFile("require('minnow').model 'missing'").status());
}

TEST(Pipeline, RefusesModelCallsAtItsTopLevel) {
  CHECK_ERROR(Code::kPrecondition, "top level of a module or pipeline file",
              f.LoadFile("require('minnow').model('fake'):generate('x')").status());
  CHECK_ERROR(
      Code::kPrecondition, "generate has to wait",
      f.LoadFile("coroutine.wrap(function() require('minnow').model('fake'):generate('x') end)()")
          .status());
}

TEST(Pipeline, RequiresModulesBesideTheFile) {
  f.Write("fields.lua", "return { name = ..., helper = require 'lib.helper' }");
  f.Write("lib/helper.lua", "return 'help'");
  STRCMP_EQUAL(R"({"helper":"help","name":"fields"})",
               f.RunToJson("return require 'fields'").c_str());
}

TEST(Pipeline, RunsAModuleOncePerDocument) {
  f.Write("counter.lua", "count = (count or 0) + 1 return {}");
  STRCMP_EQUAL("[true,1]",
               f.RunToJson("return { require 'counter' == require 'counter', count }").c_str());
}

TEST(Pipeline, RequiresNothingFromElsewhere) {
  for (const char* name :
       {"../outside", "..outside", "/etc/passwd", "a/b", "a..b", ".a", "a.", ""}) {
    CHECK_ERROR(Code::kInvalid, "is no module's name",
                f.RunToStatus(std::string("return require '") + name + "'"));
  }
  CHECK_ERROR(Code::kNotFound, "no module 'os.execute'",
              f.RunToStatus("return require 'os.execute'"));
  std::filesystem::create_symlink("/etc", f.dir / "etc");
  CHECK_ERROR(Code::kNotFound, "no module 'etc.hosts'",
              f.RunToStatus("return require 'etc.hosts'"));
}

TEST(Pipeline, TellsTheLineOfAnErrorInAModule) {
  f.Write("broken.lua", "local x = \n\n]");
  CHECK_ERROR(Code::kInvalid, "broken.lua:3:", f.RunToStatus("return require 'broken'"));
}

TEST(Pipeline, RefusesModulesThatRequireEachOther) {
  f.Write("a.lua", "return require 'b'");
  f.Write("b.lua", "return require 'a'");
  CHECK_ERROR(Code::kInvalid, "'a' requires itself", f.RunToStatus("return require 'a'"));
}

TEST(Pipeline, GoesOnFromOnDoneWithoutBuildingAStack) {
  auto pipeline = f.Load("return doc.text");
  CHECK_OK(pipeline.status());
  int left = 3000;
  std::function<void(DocumentResult)> next = [&](DocumentResult) {
    if (--left == 0) return f.loop->Stop();
    (*pipeline)->Run({"", "", "x", {}}, next);
  };
  (*pipeline)->Run({"", "", "x", {}}, next);
  f.loop->Run();
  LONGS_EQUAL(0, left);
}

TEST(Pipeline, ADocumentThatIsCancelledIsHeardOfNoMore) {
  auto pipeline = f.Load("return m:generate(doc.text)");
  CHECK_OK(pipeline.status());
  int heard = 0;
  const auto done = [&](DocumentResult) { ++heard; };
  const auto hanging = (*pipeline)->Run({"1", "", "hang"}, done);
  const auto not_begun = (*pipeline)->Run({"2", "", "hang"}, done);
  (*pipeline)->Cancel(not_begun);
  (*pipeline)->Run({"3", "", "x"}, [&](DocumentResult result) {
    CHECK_OK(result.status);
    (*pipeline)->Cancel(hanging);
    (*pipeline)->Cancel(hanging);
    // Where the Lua is in another process, it hears of that before it hears of this.
    (*pipeline)->Run({"4", "", "y"}, [&](DocumentResult) { f.loop->Stop(); });
  });
  f.loop->Run();
  LONGS_EQUAL(1, f.models.fake().cancelled());
  LONGS_EQUAL(0, heard);
}
