// One document's (or one script's) Lua: a state of its own, its budgets, and the calls it waits
// for.
//
// A state takes some 40 µs to make, a small part of any model call, so none is used twice: what
// one document leaves behind, no other can find. Inside a state run *tasks*, coroutines that the
// bridge resumes: the script itself, and one for each worker of minnow.map. A function that has to
// wait starts a *call*, yields its task (through the script's own coroutines, pcalls, metamethods
// and iterators), and is continued when the call's result has come to the loop. A budget that is
// used up (budget.h) ends the state: no pcall sees it (sandbox.cc).
//
// A Lua error is a longjmp. A C++ function that Lua calls therefore holds no object with a
// destructor while it uses a part of Lua's API that may raise. The pattern: Try() keeps the failure
// of a function that has such objects and cannot raise, Raise() raises it after they are gone, and
// what is to be pushed waits in text() and value(). Threads: the loop's; completions come through
// Loop::Post, and those for a state that is gone are dropped.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdio>
#include <deque>
#include <functional>
#include <lua.hpp>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>

#include "engine/request.h"
#include "script/budget.h"
#include "script/grants.h"
#include "script/http_client.h"
#include "script/loop.h"
#include "script/model_api.h"
#include "script/program.h"
#include "script/step_usage.h"

namespace minnow::script {

// Which state's Lua runs, for somebody who watches from another process.
struct Watch {
  std::atomic<uint64_t> running{0};  // its tag; 0: none
  std::atomic<uint64_t> turns{0};    // how often one has begun to run
};

// What all states of one program share. Outlives them.
struct Environment {
  Loop& loop;
  Models& models;
  Program& program;
  Budget budget;
  Grants grants{};
  engine::Priority priority = engine::Priority::kBatch;
  std::FILE* print_to = stderr;
  Watch* watch = nullptr;
  bool may_block = false;                          // models are opened in place
  const std::atomic<bool>* interrupted = nullptr;  // true: what runs ends with kCancelled
  OpenModels open_models{};
  std::unique_ptr<HttpClient> http{};  // from the first request on

  // Who wants to know what the labels of each question scored; nothing is calibrated then.
  struct ClassifyEvent {
    uint64_t tag;  // of the state
    const std::string& step;
    const engine::DocumentQuestion* question;
    const ModelApi* model;
    const std::vector<double>* scores;
  };
  std::function<void(const ClassifyEvent&)> on_classify{};
  std::map<const ModelApi*, std::string> fingerprints{};  // of those that calibrated questions ask

  // Null: the question was not calibrated.
  Result<const engine::Calibration*> CalibrationOf(const engine::DocumentQuestion& question,
                                                   const ModelApi& model);
};

class State {
 public:
  // `label` names the document in logs. Fails when the memory budget is too small for the
  // libraries.
  static Result<std::unique_ptr<State>> Create(Environment& environment, std::string label);
  ~State();  // cancels the requests that are under way
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  // Runs `main` as the first task; it finds `argument` as a light userdata. `on_end` is called
  // once, maybe before Start returns, with main's results as all that is on the stack of `L`, and
  // may destroy the state.
  using OnEnd = std::function<void(Status status, lua_State* L)>;
  void Start(lua_CFunction main, void* argument, OnEnd on_end);
  // After main has ended: another may be started, which finds its globals and streams. Of one that
  // a budget or Stop has ended, globals alone. kExhausted: there is no memory for it.
  Status Restart();
  // Ends main, which waits, with this failure. REQUIRES: called from a turn of the loop's own.
  void Stop(Status why);

  // --- For functions that Lua calls
  static State& From(lua_State* L) { return **static_cast<State**>(lua_getextraspace(L)); }
  Environment& environment() { return environment_; }
  const std::string& label() const { return label_; }
  void set_tag(uint64_t tag) { tag_ = tag; }  // what Watch calls it
  uint64_t tag() const { return tag_; }
  const engine::Usage& usage() const { return usage_; }
  engine::Priority priority() const { return priority_; }
  void set_priority(engine::Priority priority) { priority_ = priority; }

  bool Try(Status status);  // false: keeps the failure, for Raise
  int Raise(lua_State* L);  // a table with code, message and where
  std::string& text() { return text_; }
  nlohmann::ordered_json& value() { return value_; }

  // --- Calls
  using CallId = uint64_t;  // never reused
  struct Call {
    lua_State* waiter = nullptr;   // the task to resume when something has come
    std::function<void()> cancel;  // what is under way; may be null
    Loop::TimerId timer = 0;       // goes with the call
    bool done = false;
    Status status;                   // of the whole, when done
    nlohmann::ordered_json value;    // the result, when done
    std::deque<std::string> pieces;  // of a stream: not yet taken
    size_t unfinished = 0;           // tasks of a group
    std::string step;                // where the script calls a model; see StepUsage
  };
  // Raises unless `L` may wait here: not in callbacks of Lua's own C functions, not at a module's
  // top.
  void RequireWait(lua_State* L, const char* what);
  // Raises when too many are under way. `what`: the method, of a call of a model.
  CallId NewCall(lua_State* L, const char* what = nullptr);
  Call* Find(CallId id);
  void Submitted(CallId id, ModelApi& model, engine::RequestId request);
  void Submitted(CallId id, ModelApi& model, std::vector<engine::RequestId> requests);
  // A whole function that waits: `start` reads the arguments and sees to it that the call will be
  // complete, raising nothing; the result is the call's value.
  using StartCall = Status (*)(lua_State* L, State& state, CallId id);
  int CallAndWait(lua_State* L, const char* what, StartCall start);
  void Forget(CallId id);  // cancels its request
  // Yields until something has come for the call, then goes on in `then` with the id as its
  // context.
  int Wait(lua_State* L, CallId id, lua_KFunction then);
  // Of a call that is done; forgets it.
  Status Take(CallId id, nlohmann::ordered_json& value);
  // Ends a group and all its tasks, cancelling what they wait for; who waits for it gets `status`.
  // REQUIRES: called from a turn of the loop's own.
  void GiveUp(CallId group, Status status);
  void Complete(CallId id, Result<nlohmann::ordered_json> result);
  void AddPiece(CallId id, std::string piece);
  // Before a request is submitted: takes its tokens from the budget, and from `max_new`, if it is
  // there, what would be more than the budget allows.
  Status ReserveTokens(size_t n_tokens, uint32_t* max_new = nullptr);
  void CountUsage(CallId id, const engine::Usage& usage);
  const StepUsages& steps() const { return steps_; }

  // A function for any thread: on the loop, `arrive` gets what it was called with, unless the state
  // is gone by then.
  template <class T>
  std::function<void(T)> Receiver(CallId id, void (*arrive)(State&, CallId, T)) {
    return [loop = &environment_.loop, to = address_, state = this, id, arrive](T value) {
      loop->Post(to, [state, id, arrive, value = std::move(value)]() mutable {
        arrive(*state, id, std::move(value));
      });
    };
  }
  Loop::Address address() const { return address_; }

  // --- Pinned contexts: holds of a model's, which end with the state if not before
  int64_t AddPin(ModelApi& model, engine::RequestId hold);
  engine::RequestId FindPin(int64_t pin) const;  // 0: there is none
  void DropPin(int64_t pin);

  // --- Tasks and coroutines
  // The function on top of `L` becomes a task of the call, which is done when all of its tasks are.
  void Spawn(lua_State* L, CallId group);
  bool IsTask(lua_State* L) const { return tasks_.contains(L); }
  // Resumes a coroutine of the script's for `L`. When it waits for a call, so must L: kWaits.
  static constexpr int kWaits = -1;
  int ResumeCoroutine(lua_State* L, lua_State* coroutine, int n_arguments, int* n_results);
  int PassWaitOn(lua_State* L, lua_State* coroutine, lua_KContext context, lua_KFunction then);
  bool IsWaiting(lua_State* coroutine) const { return waiting_.contains(coroutine); }

  // --- Budgets
  // To be called with every status that a protected call gave; true: let the error through.
  bool Breached(int lua_status);
  // Counts what a function does beyond the one instruction that called it, 10 ns each. False: a
  // budget is used up.
  bool Spend(uint64_t instructions);
  void Charge(lua_State* L, uint64_t instructions);  // raises instead
  // True: so many bytes may be printed or logged. What goes beyond the budget is to be dropped.
  bool MayWrite(size_t n_bytes);
  bool breached() const { return !breach_.ok(); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Task {
    int reference;  // keeps the thread from Lua's collector
    CallId group;   // 0: the main task
    bool started = false;
  };

  State(Environment& environment, std::string label);
  static int Setup(lua_State* L);
  static int AddMain(lua_State* L);
  static void* Allocate(void* self, void* block, size_t old_size, size_t new_size);
  static void CountInstructions(lua_State* L, lua_Debug*);

  void BeginTurn(lua_State* thread);
  void EndTurn();
  void CheckTime();
  void Abandon(lua_State* thread);
  void AbandonGroup(CallId group);
  void ForgetAll();
  void Wake(Call& call);
  void RunReady();
  void Resume(lua_State* thread);
  void End(Status status);
  Status ErrorAt(lua_State* L) const;

  Environment& environment_;
  const std::string label_;
  const Loop::Address address_;
  uint64_t tag_ = 0;
  size_t memory_ = 0;
  bool system_had_none_ = false;  // memory within the budget
  uint64_t instructions_ = 0;
  uint64_t tokens_ = 0;
  StepUsages steps_;
  size_t output_bytes_ = 0;
  double run_seconds_ = 0;  // before the present turn
  Clock::time_point resumed_at_;
  double resumed_cpu_ = 0;
  bool told_of_delay_ = false;
  Loop::TimerId deadline_ = 0;
  Status breach_;
  engine::Usage usage_;
  engine::Priority priority_ = environment_.priority;  // of the requests to come

  Status error_;
  std::string text_;
  nlohmann::ordered_json value_;

  lua_State* L_ = nullptr;
  lua_State* main_ = nullptr;     // the first task
  lua_State* current_ = nullptr;  // the task that runs
  bool can_wait_ = true;          // no C function stands between the task and the running coroutine
  bool yields_to_host_ = false;   // the yield under way is a wait, not the script's own
  std::unordered_map<lua_State*, Task> tasks_;
  std::unordered_map<lua_State*, lua_State*> waiting_;  // the script's coroutines: for which task
  std::deque<lua_State*> ready_;
  std::unordered_map<CallId, Call> calls_;
  CallId last_call_ = 0;
  std::map<int64_t, std::pair<ModelApi*, engine::RequestId>> pins_;
  int64_t last_pin_ = 0;
  OnEnd on_end_;
  bool ended_ = false;
  Status end_status_;
};

}  // namespace minnow::script
