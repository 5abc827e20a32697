// Answers that are kept, and given again without a model.
#include "script/recorded_models.h"

#include <fstream>
#include <sstream>

#include "script/script_fixture.h"
#include "script/test_file.h"

using minnow::Code;
using minnow::Status;
using minnow::script::Recording;
using minnow::script::RecordModels;
using minnow::script::ReplayedModels;
using minnow::script::TestFile;
using minnow::test::ScriptFixture;

namespace {

constexpr const char* kAll =
    "local minnow = require 'minnow' local m = minnow.model 'fake' it('asks', function() "
    "local function show(x) return minnow.json.encode(x) end "
    "local pieces = {} for piece in m:stream 'abc' do pieces[#pieces + 1] = piece end "
    "local l = m:adapter('lora', { scale = 0.5 }) "
    "local seen = show { m.name, l.name, m:generate('abc', { logprobs = 2, max_tokens = 3 }), "
    "m:chat { { role = 'user', content = 'x' } }, m:chat({ { role = 'user', content = 'x' } }, { "
    "tools "
    "= '[{\"type\":\"function\",\"function\":{\"name\":\"now\"}}]' }), m:classify('a letter', "
    "'what?', { 'invoice', "
    "'letter' }), m:score('p', { 'a', 'bc' }), "
    "m:extract('a letter', '{}'), m:generate('abc', { choice = { 'x' } }), m:embed 'v',"
    " m:count 'four', l:generate('q').text, "
    "table.concat(pieces, '|'), pcall(m.generate, m, 'fail now'), "
    "select(2, pcall(m.generate, m, 'refuse')).message, pcall(minnow.model, 'none') } "
    "assert.equal(SEEN, seen) end)";

}  // namespace

TEST_GROUP(RecordedModels) {
  ScriptFixture f;
  const std::string path = f.dir / "answers.jsonl";

  Status RunTest(const std::string& source, minnow::script::Models& models) {
    auto file = TestFile::Load(f.Write("x_test.lua", source), "", models, *f.loop);
    if (!file.ok()) return file.status();
    return (*file)->Run((*file)->tests()[0]);
  }

  // The answers of the fake model to this test, in a file.
  Status Record(const std::string& source) {
    Recording recording;
    const auto models = RecordModels(f.models, recording);
    const Status status = RunTest(source, *models);
    CHECK_OK(recording.Save(path));
    return status;
  }

  Status Replay(const std::string& source, size_t* missing = nullptr) {
    Recording recording;
    MNW_TRY(recording.Load(path));
    ReplayedModels models(recording, "record it");
    const Status status = RunTest(source, models);
    if (missing) *missing = models.TakeMissing().size();
    return status;
  }

  std::string Answers() const {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
};

TEST(RecordedModels, GiveTheSameAnswersWithoutTheModel) {
  // What the model says is not known here; the first run tells, the replay has to repeat it.
  const Status recorded = Record(std::string("SEEN = 'nothing' ") + kAll);
  const std::string& message = recorded.message();
  const size_t from = message.find("got:      \"");
  CHECK(from != std::string::npos);
  const std::string seen = message.substr(from + 10);
  size_t missing = 1;
  CHECK_OK(Replay("SEEN = " + seen + " " + kAll, &missing));
  LONGS_EQUAL(0, missing);
  STRCMP_CONTAINS("the queue is full", seen.c_str());
}

TEST(RecordedModels, ThatAreOlderThanConstraintsAreRead) {
  constexpr const char* kAsk =
      "it('asks', function() local m = require('minnow').model 'fake' "
      "assert.equal('<ab', m:generate('abc', { max_tokens = 3 }).text) end)";
  std::ofstream(path)
      << R"({"model":"fake","name":"fake","fingerprint":"fake fake","longest":1048576})"
      << "\n"
      << R"({"model":"fake","text":"abc","tokens":[97,98,99],"calls":[{"generate":{"max_tokens":3,)"
      << R"("sampling":{"temperature":0.0,"top_k":0,"top_p":1.0,"min_p":0.0,"seed":0},)"
      << R"("n_logprobs":0,"stop":[],"ignore_end":false},"answer":{"status":null,)"
      << R"("finish_reason":"length","text":"<ab","tokens":[{"token":60,"logprob":-0.5,"top":[]}],)"
      << R"("stop_string":"","usage":{"prompt_tokens":3,"completion_tokens":3},"pieces":[1,1,1]}}]})"
      << "\n";
  CHECK_OK(Replay(kAsk));
  CHECK_OK(Record(kAsk));
  CHECK(Answers().find("forced") == std::string::npos);
  CHECK(Answers().find("constraint") == std::string::npos);
}

TEST(RecordedModels, KeepWhatAnAnswerHadToBeAndTheHashOfItsDocument) {
  constexpr const char* kAsk =
      "it('asks', function() local m = require('minnow').model 'fake' local r = m:extract('a long "
      "document', OF, { instruction = 'go' }) assert.equal('[user]a long document\\n\\ngo', "
      "r.value.z) "
      "assert.equal('<p>', m:generate('p', { regex = '<p>' }).text) end)";
  const std::string schema = "OF = '{}' ";
  CHECK_OK(Record(schema + kAsk));
  CHECK_OK(Replay(schema + kAsk));
  STRCMP_CONTAINS(R"("kind":"regex","source":"<p>")", Answers().c_str());
  CHECK(Answers().find(R"("document":"a long)") == std::string::npos);
  CHECK_ERROR(Code::kNotFound, "{\"extract\":", Replay(std::string("OF = '{\"a\":1}' ") + kAsk));
}

TEST(RecordedModels, AreTheSameFileEachTime) {
  (void)Record(std::string("SEEN = '' ") + kAll);
  const std::string first = Answers();
  (void)Record(std::string("SEEN = '' ") + kAll);
  STRCMP_EQUAL(first.c_str(), Answers().c_str());
  STRCMP_CONTAINS(R"({"model":"fake","name":"fake","fingerprint":"fake fake",)", first.c_str());
  CHECK(first.find("seconds") == std::string::npos);
  CHECK(first.find("deadline") == std::string::npos);
}

TEST(RecordedModels, NameTheQuestionThatHasNoAnswer) {
  constexpr const char* kAsk =
      "it('asks', function() local m = require('minnow').model 'fake' m:generate('abc', { "
      "max_tokens = MAX }) end)";
  CHECK_OK(Record(std::string("MAX = 5 ") + kAsk));
  size_t missing = 0;
  const Status status = Replay(std::string("MAX = 6 ") + kAsk, &missing);
  CHECK_ERROR(Code::kNotFound, "no recorded answer: 'fake' was not asked {\"generate\":", status);
  CHECK_ERROR(Code::kNotFound, "about {\"text\":\"abc\"}; record it", status);
  LONGS_EQUAL(1, missing);
  CHECK_ERROR(Code::kNotFound, "'fake' was not asked {\"text\":\"other\"}",
              Replay("it('x', function() require('minnow').model('fake'):generate 'other' end)"));
  CHECK_ERROR(Code::kNotFound, "model 'other' was not opened",
              Replay("it('x', function() require('minnow').model 'other' end)"));
}

TEST(RecordedModels, RememberQuestionsWhoseFailureWasCaught) {
  size_t missing = 0;
  CHECK_OK(Replay("it('x', function() pcall(require('minnow').model, 'fake') end)", &missing));
  LONGS_EQUAL(1, missing);
}

TEST(RecordedModels, TellDocumentsApartThatDifferInBytesThatAreNoUtf8) {
  constexpr const char* kAsk =
      "it('asks', function() local m = require('minnow').model 'fake' for b = 254, 255 do "
      "assert.equal(b, m:ask(string.char(b), '?').text:byte(8)) "
      "assert.equal(b, m:generate(string.char(b)).text:byte(2)) end end)";
  CHECK_OK(Record(kAsk));
  CHECK_OK(Replay(kAsk));
}

TEST(RecordedModels, RefuseFilesThatAreNoRecording) {
  for (const char* line : {"{", "[]", "1", "{}", R"({"model":1,"name":"a","fingerprint":"b"})",
                           R"({"model":"a","text":"b"})", R"({"model":"a","name":"b"})",
                           R"({"model":"a","text":"b","tokens":[1],"calls":[{"x":1}]})",
                           R"({"model":"a","text":"b","tokens":["x"],"calls":[{"answer":1}]})"}) {
    std::ofstream(path) << "{\"model\":\"m\",\"name\":\"n\",\"fingerprint\":\"f\",\"longest\":9}\n"
                        << line << "\n";
    CHECK_ERROR(Code::kCorrupt, "answers.jsonl:2: ", Recording().Load(path));
  }
}

TEST(RecordedModels, RefuseAnswersThatAreNone) {
  std::ofstream(path)
      << R"({"model":"fake","name":"n","fingerprint":"f","longest":9})"
      << "\n"
      << R"({"model":"fake","text":"a","tokens":[1],"calls":[{"embed":{},"answer":{"usage":7}}]})"
      << "\n";
  CHECK_ERROR(Code::kCorrupt, "",
              Replay("it('x', function() require('minnow').model('fake'):embed 'a' end)"));
}

TEST(RecordedModels, RemoveAFileWithoutAnswers) {
  CHECK_OK(Record("it('x', function() require('minnow').model 'fake' end)"));
  CHECK(std::filesystem::exists(path));
  CHECK_OK(Record("it('x', function() end)"));
  CHECK(!std::filesystem::exists(path));
}
