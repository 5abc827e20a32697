// Untrusted scripts and the machine around them: processes that are killed from outside, memory
// that ends, and systems that confine this program already.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

#include "base/log.h"
#include "build_paths.h"
#include "script/script_fixture.h"

using minnow::Code;
using minnow::Result;
using minnow::script::DocumentResult;
using minnow::script::Pipeline;
using minnow::test::InBuild;
using minnow::test::ScriptFixture;

namespace {

namespace fs = std::filesystem;

const std::string kAttacker = InBuild("bin/minnow-script-attacker");

// The fields of /proc/PID/stat from the state on; none if there is no such process.
std::vector<std::string> StatOf(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  std::istringstream fields(text.substr(std::min(text.size(), text.rfind(')') + 1)));
  return {std::istream_iterator<std::string>(fields), {}};
}

std::vector<pid_t> Children() {
  std::vector<pid_t> all;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const pid_t pid = static_cast<pid_t>(std::atoi(entry.path().filename().c_str()));
    if (pid <= 0) continue;
    const auto stat = StatOf(pid);
    if (stat.size() > 1 && stat[1] == std::to_string(::getpid())) all.push_back(pid);
  }
  return all;
}

// Its first thread, which runs Lua, sleeps, and not only for a moment.
void WaitUntilIdle(pid_t pid) {
  for (int looks = 0; looks < 5; ++looks) {
    const auto stat = StatOf(pid);
    if (!stat.empty() && stat[0] != "S") looks = 0;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void KillChildren() {
  for (const pid_t pid : Children()) ::kill(pid, SIGKILL);
}

// Models of which "deadly" has the process killed that asks for it, as often as it says.
class DeadlyModels : public minnow::script::Models {
 public:
  explicit DeadlyModels(minnow::test::FakeModels& models) : models_(models) {}

  Result<minnow::script::ModelApi*> Open(const std::string& name) override {
    if (name != "deadly") return models_.Open(name);
    ++n_opened;
    if (n_deaths-- > 0) {
      const std::vector<pid_t> children = Children();
      for (const pid_t pid : children) WaitUntilIdle(pid);  // else its document would be to blame
      KillChildren();
      // Until the host has seen it, where it is not the host's own thread that waits here.
      for (const pid_t pid : children) {
        while (waits && !StatOf(pid).empty()) std::this_thread::yield();
      }
    }
    return models_.Open("fake");
  }
  Result<minnow::script::ModelApi*> OpenAdapter(minnow::script::ModelApi& model,
                                                const std::string& name, float scale) override {
    return models_.OpenAdapter(model, name, scale);
  }

  std::atomic<int> n_deaths{1}, n_opened{0};
  bool waits = true;

 private:
  minnow::test::FakeModels& models_;
};

const char* const kOpensLate =
    "local minnow = require 'minnow' return minnow.pipeline { name = 'test', run = function(doc) "
    "  return minnow.model(doc.text):generate('x').text end }";
const char* const kOpensFirst =
    "local minnow = require 'minnow' local m = minnow.model 'deadly' "
    "return minnow.pipeline { name = 'test', run = function() return m:generate('x').text end }";

}  // namespace

TEST_GROUP(UntrustedSystem) {
  ScriptFixture f;
  DeadlyModels models{f.models};
  minnow::LogLevel log_level = minnow::SetLogLevel(minnow::LogLevel::kOff);

  void setup() override { f.options.untrusted.emplace(); }
  void teardown() override { minnow::SetLogLevel(log_level); }

  std::unique_ptr<Pipeline> Load(const char* source) {
    auto pipeline = Pipeline::Load(f.Write("test.lua", source), models, *f.loop, f.options);
    CHECK_OK(pipeline.status());
    return *std::move(pipeline);
  }
  std::string RunOne(Pipeline & pipeline, const std::string& text) {
    const DocumentResult result = std::move(f.RunAll(pipeline, {text})[0]);
    CHECK_OK(result.status);
    return result.value.dump();
  }
};

// --- Killed while a model is loading

TEST(UntrustedSystem, ADocumentWhoseModelLoadsIsRunAgainWhenTheProcessIsKilled) {
  const auto pipeline = Load(kOpensLate);
  const auto results = f.RunAll(*pipeline, {"fake", "deadly", "other"});
  for (const DocumentResult& result : results) {
    CHECK_OK(result.status);
    STRCMP_EQUAL("\"<x>\"", result.value.dump().c_str());
  }
  LONGS_EQUAL(2, models.n_opened);
  LONGS_EQUAL(1, Children().size());
}

TEST(UntrustedSystem, ButNotForEver) {
  models.n_deaths = 100;
  const auto pipeline = Load(kOpensLate);
  CHECK_ERROR(Code::kUnavailable, "was ended 2 times while this document was in it",
              f.RunAll(*pipeline, {"deadly"})[0].status);
  LONGS_EQUAL(2, models.n_opened);
  STRCMP_EQUAL("\"<x>\"", RunOne(*pipeline, "fake").c_str());
}

TEST(UntrustedSystem, LoadingAPipelineFailsWhenItsProcessIsKilledMeanwhile) {
  models.waits = false;  // its model is loaded on this thread
  CHECK_ERROR(
      Code::kExhausted, "was killed, or closed its connection",
      Pipeline::Load(f.Write("test.lua", kOpensFirst), models, *f.loop, f.options).status());
  LONGS_EQUAL(0, Children().size());
  STRCMP_EQUAL("\"<x>\"", RunOne(*Load(kOpensFirst), "y").c_str());
}

TEST(UntrustedSystem, APipelineThatIsKilledIdleStartsAgain) {
  models.n_deaths = 0;
  const auto pipeline = Load(kOpensFirst);
  for (int i = 0; i < 3; ++i) {
    KillChildren();
    STRCMP_EQUAL("\"<x>\"", RunOne(*pipeline, "y").c_str());
  }
}

// As the system does it when memory is short: at any moment, and without a word.
TEST(UntrustedSystem, WhoComputedWhenTheSystemKilledTheProcessIsToBlame) {
  f.options.untrusted->program = kAttacker;
  f.options.budget.lua_seconds = f.options.budget.seconds = 600;
  auto pipeline = f.Load("return m:generate(doc.text).text");
  CHECK_OK(pipeline.status());
  std::thread killer([] {
    for (;;) {
      for (const pid_t pid : Children()) {
        const auto stat = StatOf(pid);
        if (stat.size() > 11 && std::stoul(stat[11]) > 50) return KillChildren();  // it spins
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
  const auto results = f.RunAll(**pipeline, {"a", "attack: spin", "b"});
  killer.join();
  STRCMP_EQUAL("\"<a>\"", results[0].value.dump().c_str());
  CHECK_ERROR(Code::kExhausted, "was killed", results[1].status);
  STRCMP_EQUAL("\"<b>\"", results[2].value.dump().c_str());
}

// --- Memory of the process, beyond which no budget of a document helps

TEST(UntrustedSystem, DocumentsThatTogetherNeedTooMuchMemoryFailAndTheOthersDoNot) {
  f.options.untrusted->memory_bytes = size_t{300} << 20;
  auto pipeline = f.Load(
      "local t = {} for i = 1, tonumber(doc.text) do t[i] = ('x'):rep(1 << 20) end "
      "minnow.sleep(0.3) return #t");
  CHECK_OK(pipeline.status());
  const auto results = f.RunAll(**pipeline, std::vector<std::string>(12, "40"));
  size_t n_failed = 0;
  for (const DocumentResult& result : results) {
    if (result.status.ok()) {
      STRCMP_EQUAL("40", result.value.dump().c_str());
      continue;
    }
    ++n_failed;
    CHECK(result.status.code() == Code::kExhausted || result.status.code() == Code::kUnavailable);
    STRCMP_CONTAINS("memory", result.status.message().c_str());
    CHECK(result.status.message().find("budget") == std::string::npos);  // which it kept
  }
  CHECK(n_failed > 0 && n_failed < results.size());
  STRCMP_EQUAL("1", f.RunAll(**pipeline, {"1"})[0].value.dump().c_str());
}

// --- In a container, which confines what runs in it by a filter of its own

namespace {

// For the calling thread, and the processes that it starts.
bool ForbidHere(std::initializer_list<uint32_t> calls) {
  std::vector<struct sock_filter> f = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
  for (const uint32_t call : calls) {
    f.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1));
    f.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM));
  }
  f.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const struct sock_fprog program = {static_cast<unsigned short>(f.size()), f.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

template <class Function>
void InContainer(std::initializer_list<uint32_t> forbidden, Function function) {
  bool confined = false;
  std::thread thread([&] {
    confined = ForbidHere(forbidden);
    if (confined) function();
  });
  thread.join();
  CHECK(confined);
}

}  // namespace

TEST(UntrustedSystem, AFilterThatIsThereAlreadyStays) {
  std::vector<DocumentResult> results;
  // What Docker's default profile forbids.
  InContainer({__NR_ptrace, __NR_mount, __NR_keyctl, __NR_bpf, __NR_unshare, __NR_setns,
               __NR_add_key, __NR_perf_event_open, __NR_userfaultfd, __NR_kexec_load},
              [&] {
                ScriptFixture there;
                there.options.untrusted.emplace();
                there.options.untrusted->program = kAttacker;
                auto pipeline = there.Load("return m:generate(doc.text).text");
                if (!pipeline.ok()) return;
                for (const char* text : {"a", "attack: open", "b", "attack: socket", "c"}) {
                  results.push_back(std::move(there.RunAll(**pipeline, {text})[0]));
                }
              });
  LONGS_EQUAL(5, results.size());
  for (size_t i = 0; i < results.size(); i += 2) CHECK_OK(results[i].status);
  STRCMP_EQUAL("\"<c>\"", results[4].value.dump().c_str());
  CHECK_ERROR(Code::kExhausted, "tried a forbidden system call", results[1].status);
  CHECK_ERROR(Code::kExhausted, "tried a forbidden system call", results[3].status);
}

// What the outer filter answers with an error first is never seen by ours; it is refused all the
// same.
TEST(UntrustedSystem, TheStricterOfTwoFiltersCounts) {
  DocumentResult result;
  InContainer({__NR_ptrace}, [&] {
    ScriptFixture there;
    there.options.untrusted.emplace();
    there.options.untrusted->program = kAttacker;
    auto pipeline = there.Load("return doc.text");
    if (pipeline.ok()) result = std::move(there.RunAll(**pipeline, {"attack: ptrace"})[0]);
  });
  CHECK_ERROR(Code::kExhausted, "tried a forbidden system call", result.status);
}

TEST(UntrustedSystem, WhereNoFilterCanBeSetNothingRuns) {
  minnow::Status status;
  bool ran = false;
  // A filter that forbids seccomp can be set once.
  InContainer({__NR_seccomp}, [&] {
    ScriptFixture there;
    there.options.untrusted.emplace();
    auto pipeline = there.Load("return 1");
    status = pipeline.status();
    ran = true;
  });
  CHECK(ran);
  CHECK_ERROR(Code::kExhausted, "could not be confined", status);
  LONGS_EQUAL(0, Children().size());
}
