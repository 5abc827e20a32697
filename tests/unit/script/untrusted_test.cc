// Untrusted scripts in real processes of their own: what they may do they do as in here, and what
// they may not ends them alone.
#include <dirent.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <random>

#include "base/log.h"
#include "build_paths.h"
#include "script/model_json.h"
#include "script/pipeline.h"
#include "script/script_fixture.h"
#include "script/wire.h"

using minnow::Code;
using minnow::Result;
using minnow::Status;
using minnow::script::ChildLimits;
using minnow::script::DocumentResult;
using minnow::script::Frame;
using minnow::script::Pipeline;
using minnow::script::ScriptEnd;
using minnow::script::TextToJson;
using minnow::script::ToJson;
using minnow::test::InBuild;
using minnow::test::ScriptFixture;
using Json = nlohmann::ordered_json;
namespace engine = minnow::engine;

namespace {

const std::string kAttacker = InBuild("bin/minnow-script-attacker");

std::string Hex(const std::string& bytes) {
  std::string hex;
  for (const char c : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return hex;
}

std::string Bytes(const std::string& bytes) { return "attack: bytes " + Hex(bytes); }
std::string Message(const Json& message) { return Bytes(Frame(message)); }

size_t CountOpenFiles() {
  size_t n = 0;
  DIR* dir = ::opendir("/proc/self/fd");
  while (::readdir(dir)) ++n;
  ::closedir(dir);
  return n;
}

bool HasChildren() {
  siginfo_t info = {};
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

std::string Told(const DocumentResult& result) {
  if (result.status.ok()) return result.value.dump();
  return fmt::format("{}: {}", minnow::CodeName(result.status.code()), result.status.message());
}

// Those that a model has answered: a refusal comes later from another process.
Json StepsOf(const DocumentResult& result) {
  auto steps = result.steps;
  std::erase_if(steps, [](const auto& step) { return step.second.prompt_tokens == 0; });
  return ToJson(steps);
}

}  // namespace

TEST_GROUP(Untrusted) {
  ScriptFixture f;
  minnow::LogLevel log_level = minnow::SetLogLevel(minnow::LogLevel::kOff);

  void setup() override { f.options.untrusted.emplace(); }
  void teardown() override { minnow::SetLogLevel(log_level); }

  // A pipeline that returns the text, in a process that does what the text says.
  std::unique_ptr<Pipeline> Attacked(const std::string& body = "return doc.text") {
    f.options.untrusted->program = kAttacker;
    auto pipeline = f.Load(body);
    CHECK_OK(pipeline.status());
    return *std::move(pipeline);
  }

  DocumentResult RunOne(Pipeline & pipeline, const std::string& text) {
    return std::move(f.RunAll(pipeline, {text})[0]);
  }

  // Whether the document's Lua runs when the host sees what the process has done is chance.
  void CheckEnded(Pipeline & pipeline, const std::string& attack, const char* told) {
    const Status status = RunOne(pipeline, attack).status;
    CHECK(status.code() == Code::kExhausted || status.code() == Code::kUnavailable);
    STRCMP_CONTAINS(told, status.message().c_str());
  }

  void CheckLives(Pipeline & pipeline) {
    STRCMP_EQUAL("\"well\"", Told(RunOne(pipeline, "well")).c_str());
  }
};

TEST(Untrusted, AnswersAsInHere) {
  f.Write("fields.lua", "return { name = ..., x = 1.5 }");
  f.Write("broken.lua", "local x = \n\n]");
  const char* const bodies[] = {
      "return { doc.id, doc.path, doc.text, doc.meta.page, 1/3, 1e300, -0.0, 2^53, 1 << 62 }",
      "return m:generate('hello', { max_tokens = 3, logprobs = 2 })",
      "return { m:classify(doc, 'q', { 'text', 'b' }), m:score('p', { 'a', 'bc' }), m:embed('v') }",
      "return { m:count('\\xff\\xfe'), m:tokenize('a\\0b'), m.name }",
      "local all = {} for piece in m:stream('abc') do all[#all + 1] = piece end return all",
      "return minnow.map({ 'a', 'b', 'c' }, function(t) return m:generate(t).text end)",
      "return minnow.model('other'):ask(doc, 'why').text",
      "return m:adapter('lora', { scale = 0.1 }):chat({ { role = 'user', content = 'x' } }).text",
      "return require 'fields'",
      "return require 'broken'",
      "return require '../up'",
      "return m:generate('fail').text",
      "return m:generate('refuse').text",
      "return { pcall(m.generate, m, 'refuse') }",
      "return minnow.model('none')",
      "error('mine')",
      "error { code = 'not_found', message = 'own' }",
      "while true do end",
      "return ('x'):rep(1 << 30)",
      "local t = {} for i = 1, 1e9 do t[i] = ('y'):rep(1000) .. i end",
      "return print",
      "return { os.date('%H:%M', 0), os.time { year = 2001, month = 7, day = 1 } }",
      "return { io == nil, os.getenv == nil, debug == nil, math.random(1000) }",
      "local deep = {} for i = 1, 60 do deep = { deep } end return deep",
      "local deep = {} for i = 1, 70 do deep = { deep } end return deep",
      "return minnow.files.read('/etc/passwd')",
      "return minnow.http.get('http://localhost/')",
  };
  for (const char* body : bodies) {
    auto there = f.Load(body);
    CHECK_OK(there.status());
    const auto limits = std::exchange(f.options.untrusted, std::nullopt);
    auto here = f.Load(body);
    CHECK_OK(here.status());
    f.options.untrusted = limits;
    const std::vector<std::string> texts = {"text", std::string("\xff\0bytes", 7)};
    const auto want = f.RunAll(**here, texts), got = f.RunAll(**there, texts);
    for (size_t i = 0; i < texts.size(); ++i) {
      STRCMP_EQUAL(Told(want[i]).c_str(), Told(got[i]).c_str());
      LONGS_EQUAL(want[i].prompt_tokens, got[i].prompt_tokens);
      LONGS_EQUAL(want[i].completion_tokens, got[i].completion_tokens);
      STRCMP_EQUAL(StepsOf(want[i]).dump().c_str(), StepsOf(got[i]).dump().c_str());
    }
    if (std::string(body).find("broken") != std::string::npos) continue;  // was read all the same
    CHECK(*(*here)->Parts() == *(*there)->Parts());
    LONGS_EQUAL((*here)->n_parts(), (*there)->n_parts());
  }
}

TEST(Untrusted, RefusesFilesAsInHere) {
  const char* const files[] = {"local a\nlocal = 1",
                               "return 1",
                               "error('top')",
                               "require('minnow').model 'missing'",
                               "return require('minnow').pipeline { name = 'x', run = 'y' }",
                               "require('minnow').model('fake'):generate('x')"};
  for (const char* file : files) {
    const Status there = f.LoadFile(file).status();
    const auto limits = std::exchange(f.options.untrusted, std::nullopt);
    const Status here = f.LoadFile(file).status();
    f.options.untrusted = limits;
    STRCMP_EQUAL(here.message().c_str(), there.message().c_str());
    CHECK(here.code() == there.code());
  }
  CHECK_ERROR(Code::kNotFound, "no such file",
              Pipeline::Load("/nowhere.lua", f.models, *f.loop, f.options).status());
}

TEST(Untrusted, RunsManyDocumentsAtTheSameTime) {
  auto pipeline = f.Load("return m:generate(doc.text).text");
  CHECK_OK(pipeline.status());
  f.models.fake().HoldUntil(50);
  std::vector<std::string> texts;
  for (int i = 0; i < 50; ++i) texts.push_back(std::to_string(i));
  const auto results = f.RunAll(**pipeline, texts);
  for (int i = 0; i < 50; ++i) {
    STRCMP_EQUAL(fmt::format("\"<{}>\"", i).c_str(), Told(results[i]).c_str());
  }
}

// Memory that grows and shrinks in every thread of the process needs no forbidden call.
TEST(Untrusted, TakesAndGivesLargeDocuments) {
  auto pipeline = f.Load("return { doc.text, m:count(doc.text) }");
  CHECK_OK(pipeline.status());
  std::vector<std::string> texts;
  for (size_t i = 0; i < 12; ++i) texts.emplace_back(i % 2 ? 2'000'000 : 10, 'x');
  const auto results = f.RunAll(**pipeline, texts);
  for (size_t i = 0; i < texts.size(); ++i) {
    CHECK_OK(results[i].status);
    CHECK(results[i].value[0] == texts[i]);
    LONGS_EQUAL(texts[i].size(), results[i].value[1].get<size_t>());
  }
}

TEST(Untrusted, RefusesAResultThatIsTooLong) {
  auto pipeline = f.Load("return ('x'):rep(17 << 20)");
  CHECK_OK(pipeline.status());
  CHECK_ERROR(Code::kOutOfRange, "more than an untrusted script may hand over at once",
              RunOne(**pipeline, "x").status);
}

TEST(Untrusted, TellsWhenItsProgramIsMissing) {
  f.options.untrusted->program = "/nowhere/minnow-script";
  CHECK_ERROR(Code::kUnavailable, "/nowhere/minnow-script: No such file",
              f.Load("return 1").status());
}

TEST(Untrusted, ScriptsPrintAndEnd) {
  const std::string path = f.Write("s.lua",
                                   "local minnow = require 'minnow'\n"
                                   "local m = minnow.model 'fake'\n"
                                   "print(m:generate('x').text, ..., '\\27[0m')\n"
                                   "if ... == 'fail' then error('so') end\n"
                                   "if ... == 'p' then return minnow.pipeline { name = 'p', run = "
                                   "print } end");
  const auto run = [&](const std::string& argument, std::string& printed) {
    std::FILE* file = std::tmpfile();
    const std::vector<std::string> arguments = {argument};
    auto end = minnow::script::RunUntrustedScript(path, arguments, f.models, *f.loop, {},
                                                  minnow::script::ScriptBudget(), file);
    std::rewind(file);
    char buffer[4096];
    printed.assign(buffer, std::fread(buffer, 1, sizeof buffer, file));
    std::fclose(file);
    return end;
  };
  std::string printed;
  CHECK_OK(run("a", printed).status());
  STRCMP_EQUAL("<x>\ta\t\33[0m\n", printed.c_str());
  CHECK_ERROR(Code::kInvalid, "s.lua:4: so", run("fail", printed).status());
  CHECK(*run("p", printed) == ScriptEnd::kPipeline);
  CHECK_FALSE(HasChildren());
}

// --- What would go on for ever

TEST(Untrusted, EndsWhatNoBudgetSeesAndRunsTheOthersAgain) {
  f.options.budget.lua_seconds = 0.3;
  f.options.untrusted->grace_seconds = 0.1;
  const auto pipeline = Attacked("return m:generate(doc.text).text");
  // Until the one is gone, all that waits for the model waits.
  f.models.fake().HoldUntil(3);
  const auto results = f.RunAll(*pipeline, {"a", "b", "attack: spin", "c"});
  STRCMP_EQUAL("\"<a>\"", Told(results[0]).c_str());
  STRCMP_EQUAL("\"<b>\"", Told(results[1]).c_str());
  STRCMP_EQUAL("\"<c>\"", Told(results[3]).c_str());
  CHECK_ERROR(Code::kExhausted,
              "the script's process was ended: it did not stop at the end of the document's budget "
              "of 0.3 s in Lua",
              results[2].status);
}

TEST(Untrusted, EndsADocumentAtItsTime) {
  f.options.budget.seconds = 0.3;
  auto pipeline = f.Load("return m:generate(doc.text).text");
  CHECK_OK(pipeline.status());
  CHECK_ERROR(Code::kDeadline, "longer than its budget of 0.3 s",
              RunOne(**pipeline, "hang").status);
}

TEST(Untrusted, IsGrantedNothing) {
  f.options.grants.net.push_back("localhost");
  CHECK_ERROR(Code::kInvalid, "can be granted nothing", f.Load("return 1").status());
}

TEST(Untrusted, CancelsTheRequestsOfADocumentThatIsCancelled) {
  auto pipeline = f.Load("return m:generate(doc.text).text");
  CHECK_OK(pipeline.status());
  bool heard = false;
  const auto hanging =
      (*pipeline)->Run({"1", "", "hang"}, [&](const DocumentResult&) { heard = true; });
  (*pipeline)->Run({"2", "", "x"}, [&](const DocumentResult& result) {
    CHECK_OK(result.status);
    (*pipeline)->Cancel(hanging);
    (*pipeline)->Run({"3", "", "y"}, [&](const DocumentResult&) { f.loop->Stop(); });
  });
  f.loop->Run();
  LONGS_EQUAL(1, f.models.fake().cancelled());
  CHECK_FALSE(heard);
}

TEST(Untrusted, APipelineThatGoesTakesItsProcessAlong) {
  auto pipeline = f.Load("return m:generate(doc.text).text");
  CHECK_OK(pipeline.status());
  (*pipeline)->Run({"1", "", "hang"}, [&](const DocumentResult&) { FAIL("heard of"); });
  (*pipeline)->Run({"2", "", "x"}, [&](const DocumentResult&) { f.loop->Stop(); });
  f.loop->Run();
  pipeline->reset();
  LONGS_EQUAL(1, f.models.fake().cancelled());
  CHECK_FALSE(HasChildren());
}

// --- A process that was taken over

TEST(Untrusted, DiesOfEveryForbiddenCall) {
  const auto pipeline = Attacked();
  for (const char* call : {"open",
                           "create",
                           "socket",
                           "connect",
                           "sendmsg",
                           "fork",
                           "clone",
                           "exec",
                           "ptrace",
                           "vm_writev",
                           "kill",
                           "tgkill",
                           "tgkill_other",
                           "rlimit",
                           "prctl",
                           "mmap_code",
                           "mprotect_code",
                           "ioctl",
                           "io_uring",
                           "no_call"
#ifdef __x86_64__
                           ,
                           "x32"
#endif
       }) {
    const DocumentResult result = RunOne(*pipeline, std::string("attack: ") + call);
    if (result.status.ok()) FAIL(fmt::format("{} was let through", call).c_str());
    STRCMP_CONTAINS("tried a forbidden system call", result.status.message().c_str());
  }
  CheckLives(*pipeline);
}

TEST(Untrusted, TellsHowItDied) {
  f.options.untrusted->memory_bytes = size_t{1} << 30;
  const auto pipeline = Attacked();
  const std::pair<const char*, const char*> deaths[] = {
    {"exit", "exited with 3"},
    {"crash", "crashed with SIGABRT"},
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    {"memory", "used up the memory of a process, 1024 MiB"},
#endif
  };
  for (const auto& [death, told] : deaths) {
    CHECK_ERROR(Code::kExhausted, told, RunOne(*pipeline, std::string("attack: ") + death).status);
  }
  CheckEnded(*pipeline, "attack: close", "it ");
  CheckLives(*pipeline);
}

TEST(Untrusted, HasNoDescriptorOfTheHost) {
  int ends[2];
  LONGS_EQUAL(0, ::pipe(ends));  // which a careless host would let it inherit
  const auto pipeline = Attacked();
  CHECK_OK(RunOne(*pipeline, "attack: descriptors").status);
  ::close(ends[1]);
  char byte;
  LONGS_EQUAL(0, ::read(ends[0], &byte, 1));
  ::close(ends[0]);
}

TEST(Untrusted, EndsAProcessThatHidesThatItComputes) {
  f.options.budget.seconds = 0.5;
  f.options.untrusted->grace_seconds = 0.1;
  const auto pipeline = Attacked();
  CHECK_ERROR(Code::kDeadline, "did not stop at the end of the document's budget of 0.5 s",
              RunOne(*pipeline, "attack: hide").status);
}

TEST(Untrusted, BreaksWithAProcessThatBreaksTheProtocol) {
  const auto pipeline = Attacked();
  const Json generate = {{"type", "generate"},
                         {"id", 1000},
                         {"model", 0},
                         {"request", ToJson(engine::GenerateRequest())},
                         {"stream", false}};
  const auto changed = [](Json json, const char* name, const Json& value) {
    json[name] = value;
    return Message(json);
  };
  const std::string too_long = "\xff\xff\xff\x7f";
  for (const std::string& attack : {
           Bytes(too_long),
           Bytes(std::string("\2\0\0\0[]", 6)),
           Bytes(std::string("\1\0\0\0{", 5)),
           Bytes(std::string("\0\0\0\0", 4)),
           Message(Json::object()),
           Message({{"type", 1}}),
           Message({{"type", "nonsense"}}),
           Message({{"type", "start"}}),
           Message({{"type", "loaded"}, {"status", nullptr}, {"name", "again"}}),
           Message({{"type", "ended"}, {"status", nullptr}, {"pipeline", false}}),
           Message({{"type", "open"}, {"id", 1}}),
           Message({{"type", "open"}, {"id", -1}, {"name", "fake"}}),
           Message({{"type", "encode"}, {"id", 1}, {"model", 7}, {"what", "text"}, {"text", "x"}}),
           Message(
               {{"type", "adapter"}, {"id", 1}, {"model", 0}, {"name", "lora"}, {"scale", "x"}}),
           Message({{"type", "result"}, {"run", 0}}),
           Message({{"type", "result"}, {"run", 1000}}),
           Message({{"type", "log"}, {"level", 17}, {"text", "x"}}),
           Message({{"type", "forget"}}),
           changed(generate, "model", 1),
           changed(generate, "model", UINT64_MAX),
           changed(generate, "request", Json::object()),
           changed(generate, "stream", nullptr),
       }) {
    CheckEnded(*pipeline, attack, "it broke the protocol");
  }
  CheckLives(*pipeline);
}

TEST(Untrusted, PinsNothing) {
  const auto pipeline = f.Load("return m:context(doc):pin()");
  CHECK_OK(pipeline.status());
  CHECK_ERROR(Code::kUnsupported, "this script can pin no contexts",
              f.RunAll(**pipeline, {"text"})[0].status);
}

TEST(Untrusted, KeepsWhatAProcessCallsItsStepsShortAndFew) {
  const auto pipeline = Attacked();
  Json steps = Json::array();
  for (int i = 0; i < 1000; ++i) {
    steps.push_back(
        {{"step", std::string(1000, '\033') + std::to_string(i)},
         {"usage",
          {{"calls", 1}, {"prompt_tokens", 2}, {"cached_tokens", 3}, {"completion_tokens", 4}}}});
  }
  for (int i = 0; i < 100; ++i) {
    steps.push_back(steps[0]);
    steps.back()["step"] = std::to_string(i);
  }
  const Json value = {{"type", "result"}, {"run", 1},           {"status", nullptr},
                      {"value", "1"},     {"prompt_tokens", 0}, {"completion_tokens", 0},
                      {"steps", steps}};
  const auto result = RunOne(*pipeline, Message(value));
  CHECK_OK(result.status);
  CHECK(result.steps.size() <= 65);
  uint64_t calls = 0;
  for (const auto& [step, usage] : result.steps) {
    CHECK(step.size() <= 1000);
    CHECK(step.find('\033') == std::string::npos);
    calls += usage.calls;
  }
  CHECK(calls > 0);
}

TEST(Untrusted, LetsAProcessSayWhatHarmsNobody) {
  const auto pipeline = Attacked();
  const Json value = {{"type", "result"},      {"run", 1},           {"status", nullptr},
                      {"value", "1"},          {"prompt_tokens", 0}, {"completion_tokens", 0},
                      {"steps", Json::array()}};
  for (const std::string& attack : {
           Message({{"type", "forget"}, {"id", 123456}}),
           Message({{"type", "source"}, {"id", 123456}, {"name", "../../etc/passwd"}}),
           Message(
               {{"type", "encode"}, {"id", 1}, {"model", 0}, {"what", "chat"}, {"text", "[1]"}}),
           Message({{"type", "encode"}, {"id", 1}, {"model", 0}, {"what", "chat"}, {"text", "{{"}}),
           Message(value),
       }) {
    CHECK_OK(RunOne(*pipeline, attack).status);
  }
  CheckLives(*pipeline);
}

TEST(Untrusted, CannotClaimThatADeviceWasLost) {
  auto pipeline = f.Load("error { code = 'device_lost', message = 'gone' }");
  CHECK_OK(pipeline.status());
  CHECK_ERROR(Code::kInternal, "gone", RunOne(**pipeline, "x").status);
}

TEST(Untrusted, RefusesMoreRequestsThanItMayHave) {
  f.options.untrusted->max_requests = 1000;
  const auto pipeline = Attacked();
  engine::GenerateRequest request;
  for (const char c : std::string("hang")) request.prompt.push_back(c);
  std::string flood;
  for (int i = 0; i < 5000; ++i) {
    flood += Frame({{"type", "generate"},
                    {"id", 100000 + i},
                    {"model", 0},
                    {"request", ToJson(request)},
                    {"stream", true}});
  }
  CHECK_OK(RunOne(*pipeline, Bytes(flood)).status);
  CheckLives(*pipeline);
  CHECK(f.models.fake().cancelled() == 0);
}

TEST(Untrusted, SurvivesFloodsOfMessages) {
  const auto pipeline = Attacked();
  std::string questions, lines;
  for (int i = 0; i < 20000; ++i) {
    questions +=
        Frame({{"type", "encode"}, {"id", 7}, {"model", 0}, {"what", "text"}, {"text", "x"}});
    lines += Frame({{"type", "log"}, {"level", 2}, {"text", "flood"}});
  }
  const auto results = f.RunAll(*pipeline, {"a", Bytes(questions), "b", Bytes(lines), "c"});
  for (const DocumentResult& result : results) CHECK_OK(result.status);
}

TEST(Untrusted, RationsWhatItPrints) {
  auto pipeline = f.Load("for i = 1, 200000 do print('a line of forty bytes, to be left out') end");
  CHECK_OK(pipeline.status());
  std::fflush(stderr);
  const int kept = ::dup(STDERR_FILENO);
  std::FILE* file = std::tmpfile();
  ::dup2(::fileno(file), STDERR_FILENO);
  const DocumentResult result = RunOne(**pipeline, "x");
  std::fflush(stderr);
  ::dup2(kept, STDERR_FILENO);
  ::close(kept);
  std::fseek(file, 0, SEEK_END);
  const long size = std::ftell(file);
  std::fclose(file);
  CHECK_OK(result.status);
  CHECK(size > 100 << 10);  // of 8 MB
  CHECK(size < 4 << 20);
}

// The host reads what a process wrote and somebody has changed, and does neither crash nor hang.
TEST(Untrusted, ReadsChangedConversations) {
  const auto pipeline = Attacked();
  engine::GenerateRequest generate;
  generate.prompt = {'a', 'b'};
  engine::ClassifyRequest classify;
  classify.questions = {{{'x'}, {"x", "y"}, {'z'}}};
  engine::ContinuationsRequest score;
  score.prompt = {'x'};
  score.continuations = {{'a'}, {'b', 'c'}};
  engine::EmbedRequest embed;
  embed.tokens = {'e'};
  const Json conversation[] = {
      {{"type", "open"}, {"id", 901}, {"name", "other"}},
      {{"type", "adapter"}, {"id", 902}, {"model", 0}, {"name", "lora"}, {"scale", 0.5}},
      {{"type", "encode"}, {"id", 903}, {"model", 0}, {"what", "text"}, {"text", "words"}},
      {{"type", "generate"},
       {"id", 904},
       {"model", 0},
       {"request", ToJson(generate)},
       {"stream", true}},
      {{"type", "classify"}, {"id", 905}, {"model", 0}, {"request", ToJson(classify)}},
      {{"type", "score"}, {"id", 906}, {"model", 0}, {"request", ToJson(score)}},
      {{"type", "embed"}, {"id", 907}, {"model", 0}, {"request", ToJson(embed)}},
      {{"type", "fingerprint"}, {"id", 908}, {"model", 0}},
      {{"type", "source"}, {"id", 909}, {"name", "none"}},
      {{"type", "forget"}, {"id", 904}},
      {{"type", "log"}, {"level", 1}, {"text", TextToJson("\xff line")}},
      {{"type", "print"}, {"text", "line\n"}},
  };
  std::string recorded;
  for (const Json& message : conversation) recorded += Frame(message);
  CHECK_OK(RunOne(*pipeline, Bytes(recorded)).status);
  std::mt19937 random(11);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  for (int round = 0; round < 60; ++round) {
    std::string bytes = recorded;
    for (size_t i = 1 + below(4); i > 0; --i) {
      const size_t at = below(bytes.size()), length = 1 + below(40);
      switch (below(5)) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
          break;
        case 2:
          bytes.erase(at, length);
          break;
        case 3:
          bytes.insert(at, bytes.substr(below(bytes.size()), length));
          break;
        case 4:
          bytes.resize(at + 1);
          break;
      }
    }
    // A message that lacks its end gets one, and then there is none that is right.
    CheckEnded(*pipeline, "attack: bytes_and_noise " + Hex(bytes), "it broke the protocol");
  }
  CheckLives(*pipeline);
}

TEST(Untrusted, LeavesNothingBehindAfter200Deaths) {
  const size_t before = CountOpenFiles();
  {
    const auto pipeline = Attacked();
    f.RunAll(*pipeline, {"warm"});
    const size_t with_one = CountOpenFiles();
    for (int i = 0; i < 200; ++i) {
      CHECK_ERROR(Code::kExhausted, "exited with 3", RunOne(*pipeline, "attack: exit").status);
    }
    CheckLives(*pipeline);
    LONGS_EQUAL(with_one, CountOpenFiles());
  }
  LONGS_EQUAL(before, CountOpenFiles());
  CHECK_FALSE(HasChildren());
}
