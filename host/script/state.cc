#include "script/state.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <utility>
#include <vector>

#include "base/log.h"
#include "script/lua_modules.h"
#include "script/lua_values.h"

namespace minnow::script {
namespace {

// Rare enough to cost little: a few nanoseconds of an instruction's 5 to 10. Often enough to stop
// at once a loop whose instructions take a millisecond each, as comparing strings of 30 MB does.
constexpr int kHookInterval = 100;
constexpr size_t kLargeBlock = 64 << 10;     // bytes
constexpr size_t kMaxCalls = 10'000;         // under way at once
constexpr uint64_t kCallInstructions = 500;  // what a call costs the host, in instructions
constexpr double kLongTurn = 0.1;            // seconds

const char kErrorMetatable = 0;  // its address is the registry key

// The innermost line that is the script's and not the library's; false if there is none.
bool FindWhere(lua_State* L, lua_Debug* frame) {
  for (int level = 0; lua_getstack(L, level, frame); ++level) {
    lua_getinfo(L, "Sl", frame);
    if (frame->currentline > 0 && std::strcmp(frame->source, kEmbeddedChunkName) != 0) return true;
  }
  return false;
}

// "triage.lua:12: "
void PushWhere(lua_State* L) {
  lua_Debug frame;
  if (FindWhere(L, &frame)) {
    lua_pushfstring(L, "%s:%d: ", frame.short_src, frame.currentline);
  } else {
    lua_pushliteral(L, "");
  }
}

int ErrorToString(lua_State* L) {
  lua_getfield(L, 1, "where");
  lua_getfield(L, 1, "message");
  lua_concat(L, 2);
  return 1;
}

Code CodeOfName(std::string_view name) {
  for (int code = 1; code <= static_cast<int>(Code::kDeviceLost); ++code) {
    if (name == CodeName(static_cast<Code>(code))) return static_cast<Code>(code);
  }
  return Code::kInvalid;
}

double ThreadSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

Status TokensUsedUp(uint64_t budget) {
  return Error(Code::kExhausted, "the script used up its budget of {} tokens", budget);
}

// A string in a field of the table on top of the stack, or "".
std::string Field(lua_State* L, const char* name) {
  std::string out;
  const int type = PushRawField(L, -1, name);
  if (type == LUA_TSTRING) out = lua_tostring(L, -1);
  if (type != LUA_TNONE) lua_pop(L, 1);
  return out;
}

}  // namespace

// --- Calibrations

Result<const engine::Calibration*> Environment::CalibrationOf(
    const engine::DocumentQuestion& question, const ModelApi& model) {
  if (on_classify || program.calibrations().empty()) return nullptr;
  return program.calibrations().Find(question, [&]() -> Result<std::string> {
    std::string& known = fingerprints[&model];
    if (known.empty()) {
      MNW_ASSIGN(known, model.Fingerprint());
    }
    return known;
  });
}

// --- Making and unmaking

State::State(Environment& environment, std::string label)
    : environment_(environment),
      label_(std::move(label)),
      address_(environment.loop.NewAddress()) {}

Result<std::unique_ptr<State>> State::Create(Environment& environment, std::string label) {
  std::unique_ptr<State> state(new State(environment, std::move(label)));
  lua_State* L = state->L_ = lua_newstate(Allocate, state.get());
  int status = LUA_ERRMEM;
  if (L) {
    *static_cast<State**>(lua_getextraspace(L)) = state.get();
    lua_sethook(L, CountInstructions, LUA_MASKCOUNT, kHookInterval);  // threads inherit it
    lua_pushcfunction(L, Setup);
    status = lua_pcall(L, 0, 0, 0);
  }
  if (status != LUA_OK) {
    return Error(Code::kExhausted, "cannot make a Lua state within {} bytes",
                 environment.budget.memory_bytes);
  }
  return state;
}

int State::Setup(lua_State* L) {
  OpenSandbox(L);
  OpenCoroutine(L);
  lua_newtable(L);
  OpenModel(L);
  OpenTasks(L);
  OpenJson(L);
  OpenInspect(L);
  OpenLog(L);
  OpenPipeline(L);
  OpenContexts(L);
  OpenFiles(L);
  OpenHttp(L);
  OpenRequire(L);

  lua_newtable(L);
  lua_pushcfunction(L, ErrorToString);
  lua_setfield(L, -2, "__tostring");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &kErrorMetatable);

  return AddMain(L);
}

int State::AddMain(lua_State* L) {
  State& state = From(L);
  state.main_ = lua_newthread(L);
  state.tasks_.emplace(state.main_, Task{luaL_ref(L, LUA_REGISTRYINDEX), 0});
  return 0;
}

void State::ForgetAll() {
  while (!calls_.empty()) Forget(calls_.begin()->first);
  while (!pins_.empty()) DropPin(pins_.begin()->first);
}

int64_t State::AddPin(ModelApi& model, engine::RequestId hold) {
  pins_.emplace(++last_pin_, std::pair(&model, hold));
  return last_pin_;
}

engine::RequestId State::FindPin(int64_t pin) const {
  const auto found = pins_.find(pin);
  return found == pins_.end() ? 0 : found->second.second;
}

void State::DropPin(int64_t pin) {
  const auto node = pins_.extract(pin);
  if (node) node.mapped().first->Cancel(node.mapped().second);
}

State::~State() {
  environment_.loop.Retire(address_);
  environment_.loop.Cancel(deadline_);
  ForgetAll();
  if (L_) lua_close(L_);
}

// --- Errors

bool State::Try(Status status) {
  if (status.ok()) return true;
  error_ = std::move(status);
  return false;
}

//---What kind of failure it is. `minnow batch` writes it into the record, gRPC has codes of its own
//---for it.
//---@alias minnow.ErrorCode
//---| "invalid"  # an argument or an option is wrong
//---| "not_found"  # no such model, file or module
//---| "out_of_range"  # beyond a limit, such as the context length
//---| "precondition"  # not here, not now, or not with this model
//---| "unsupported"  # nothing here can do it
//---| "exhausted"  # a budget, the memory or a queue
//---| "deadline"  # it took longer than it was given
//---| "cancelled"  # ended from outside
//---| "unavailable"  # for the moment
//---| "corrupt"  # a file or message that is not what it claims to be
//---| "device_lost"  # the device is gone, and with it all requests
//---| "internal"  # a mistake of the program or of a plugin

//---What the functions of the library raise. tostring gives the message with its place before it.
//---@class minnow.Error
//---@field code minnow.ErrorCode
//---@field message string
//---@field where string  -- "triage.lua:12: ", or "" where no line of the script is known

int State::Raise(lua_State* L) {
  lua_createtable(L, 0, 3);
  lua_pushstring(L, CodeName(error_.code()));
  lua_setfield(L, -2, "code");
  lua_pushlstring(L, error_.message().data(), error_.message().size());
  lua_setfield(L, -2, "message");
  PushWhere(L);
  lua_setfield(L, -2, "where");
  lua_rawgetp(L, LUA_REGISTRYINDEX, &kErrorMetatable);
  lua_setmetatable(L, -2);
  return lua_error(L);
}

Status State::ErrorAt(lua_State* L) const {
  // The function that failed may have left no room above its own variables.
  if (!lua_checkstack(L, LUA_MINSTACK)) {
    return Error(Code::kExhausted, "the script failed, and there is no memory for its error");
  }
  if (lua_type(L, -1) == LUA_TSTRING) return Error(Code::kInvalid, "{}", lua_tostring(L, -1));
  if (lua_istable(L, -1)) {
    const std::string message = Field(L, "message");
    if (!message.empty()) {
      return Error(CodeOfName(Field(L, "code")), "{}{}", Field(L, "where"), message);
    }
  }
  return Error(Code::kInvalid, "the script failed with an error that is a {}",
               luaL_typename(L, -1));
}

// --- Tasks

Status State::Restart() {
  if (breached()) ForgetAll();
  for (auto& [id, call] : calls_) call.waiter = nullptr;
  for (const auto& [thread, task] : tasks_) luaL_unref(L_, LUA_REGISTRYINDEX, task.reference);
  tasks_.clear();
  waiting_.clear();
  ready_.clear();
  environment_.loop.Cancel(deadline_);
  breach_ = end_status_ = Status();
  instructions_ = tokens_ = output_bytes_ = 0;
  run_seconds_ = 0;
  told_of_delay_ = ended_ = system_had_none_ = false;
  lua_pushcfunction(L_, AddMain);
  if (lua_pcall(L_, 0, 0, 0) == LUA_OK) return {};
  lua_pop(L_, 1);
  ended_ = true;
  return Error(Code::kExhausted, "the memory budget of {} bytes is used up",
               environment_.budget.memory_bytes);
}

void State::Stop(Status why) {
  if (ended_) return;
  ForgetAll();
  breach_ = std::move(why);
  RunReady();
}

void State::Start(lua_CFunction main, void* argument, OnEnd on_end) {
  on_end_ = std::move(on_end);
  const double seconds = environment_.budget.seconds;
  if (std::isfinite(seconds)) {
    deadline_ = environment_.loop.After(seconds, address_, [this, seconds] {
      breach_ = Error(Code::kDeadline, "the script took longer than its budget of {} s", seconds);
      RunReady();
    });
  }
  lua_pushcfunction(main_, main);
  lua_pushlightuserdata(main_, argument);
  ready_.push_back(main_);
  RunReady();
}

void State::Spawn(lua_State* L, CallId group) {
  lua_State* thread = lua_newthread(L);
  lua_insert(L, -2);
  lua_xmove(L, thread, 1);
  tasks_.emplace(thread, Task{luaL_ref(L, LUA_REGISTRYINDEX), group});
  ++Find(group)->unfinished;
  ready_.push_back(thread);
}

void State::Wake(Call& call) {
  if (call.waiter) ready_.push_back(std::exchange(call.waiter, nullptr));
}

void State::RunReady() {
  if (!breach_.ok() && !ended_) End(breach_);
  while (!ready_.empty() && !ended_) {
    lua_State* next = ready_.front();
    ready_.pop_front();
    Resume(next);
  }
  if (!ended_ || !on_end_) return;
  const OnEnd on_end = std::exchange(on_end_, nullptr);
  on_end(end_status_, main_);  // may destroy this
}

void State::Resume(lua_State* thread) {
  Task& task = tasks_.at(thread);
  const int n_arguments = task.started ? 0 : lua_gettop(thread) - 1;
  task.started = true;
  can_wait_ = true;
  yields_to_host_ = false;
  BeginTurn(thread);
  int n_results;
  const int status = lua_resume(thread, nullptr, n_arguments, &n_results);
  const double before = run_seconds_;
  EndTurn();
  const bool is_alone = std::isinf(environment_.budget.lua_seconds);  // a script of the user's own
  if (run_seconds_ - before > kLongTurn && !is_alone && !told_of_delay_) {
    told_of_delay_ = true;
    LogWarning("{}: {:.2f} s of Lua without waiting for anything, which holds up all others",
               label_, run_seconds_ - before);
  }

  if (Breached(status)) return End(breach_);
  if (status == LUA_YIELD) return;
  if (status != LUA_OK) return End(ErrorAt(thread));
  if (thread == main_) return End({});
  const Task ended = tasks_.extract(thread).mapped();
  luaL_unref(L_, LUA_REGISTRYINDEX, ended.reference);
  Call& group = *Find(ended.group);
  group.done = --group.unfinished == 0;
  if (group.done) Wake(group);
}

void State::End(Status status) {
  ended_ = true;
  end_status_ = std::move(status);
}

// --- Coroutines of the script's

int State::ResumeCoroutine(lua_State* L, lua_State* coroutine, int n_arguments, int* n_results) {
  waiting_.erase(coroutine);
  const bool could_wait = std::exchange(can_wait_, can_wait_ && lua_isyieldable(L));
  yields_to_host_ = false;
  const int status = lua_resume(coroutine, L, n_arguments, n_results);
  can_wait_ = could_wait;
  return status == LUA_YIELD && yields_to_host_ ? kWaits : status;
}

int State::PassWaitOn(lua_State* L, lua_State* coroutine, lua_KContext context,
                      lua_KFunction then) {
  waiting_.emplace(coroutine, current_);
  yields_to_host_ = true;
  return lua_yieldk(L, 0, context, then);
}

// --- Calls

void State::RequireWait(lua_State* L, const char* what) {
  if (can_wait_ && lua_isyieldable(L)) return;
  Try(Error(Code::kPrecondition,
            "{} has to wait, and nothing can wait here: Lua forbids it inside a callback of "
            "string.gsub or table.sort, and at the top level of a module or pipeline file. Call it "
            "before and use the result here, or call it from run",
            what));
  Raise(L);
}

State::CallId State::NewCall(lua_State* L, const char* what) {
  if (calls_.size() >= kMaxCalls && breach_.ok()) {
    breach_ =
        Error(Code::kExhausted, "the script has more than {} calls under way at once", kMaxCalls);
  }
  Charge(L, kCallInstructions);
  Call& call = calls_[++last_call_];
  lua_Debug frame;
  if (what && FindWhere(L, &frame)) {
    call.step = fmt::format("{}:{} {}", frame.short_src, frame.currentline, what);
  }
  return last_call_;
}

State::Call* State::Find(CallId id) {
  const auto found = calls_.find(id);
  return found == calls_.end() ? nullptr : &found->second;
}

void State::Submitted(CallId id, ModelApi& model, engine::RequestId request) {
  Find(id)->cancel = [&model, request] { model.Cancel(request); };
}

void State::Submitted(CallId id, ModelApi& model, std::vector<engine::RequestId> requests) {
  Find(id)->cancel = [&model, requests = std::move(requests)] {
    for (const engine::RequestId request : requests) model.Cancel(request);
  };
}

int State::CallAndWait(lua_State* L, const char* what, StartCall start) {
  RequireWait(L, what);
  const CallId id = NewCall(L, what);
  if (!Try(start(L, *this, id))) {
    Forget(id);
    return Raise(L);
  }
  return Wait(L, id, [](lua_State* L, int, lua_KContext id) {
    State& state = From(L);
    if (!state.Try(state.Take(static_cast<CallId>(id), state.value_))) return state.Raise(L);
    PushJson(L, state.value_);
    return 1;
  });
}

void State::Forget(CallId id) {
  const auto node = calls_.extract(id);
  if (!node) return;
  const Call& call = node.mapped();
  environment_.loop.Cancel(call.timer);
  if (call.cancel && !call.done) call.cancel();
}

int State::Wait(lua_State* L, CallId id, lua_KFunction then) {
  Call& call = *Find(id);
  if (call.waiter) {
    Try(Error(Code::kPrecondition, "another function of minnow.map waits for this already"));
    return Raise(L);
  }
  call.waiter = current_;
  yields_to_host_ = true;
  return lua_yieldk(L, 0, static_cast<lua_KContext>(id), then);
}

Status State::Take(CallId id, nlohmann::ordered_json& value) {
  auto node = calls_.extract(id);
  if (!node) return Error(Code::kCancelled, "what this coroutine waited for was given up");
  environment_.loop.Cancel(node.mapped().timer);
  value = std::move(node.mapped().value);
  return std::move(node.mapped().status);
}

void State::Complete(CallId id, Result<nlohmann::ordered_json> result) {
  Call* call = Find(id);
  if (!call) return;
  call->done = true;
  if (result.ok()) {
    call->value = *std::move(result);
  } else {
    call->status = std::move(result).status();
  }
  Wake(*call);
  RunReady();
}

// A task that is thrown away: what it waits for is cancelled, what it has to close is closed.
void State::Abandon(lua_State* thread) {
  std::vector<CallId> awaited;
  for (const auto& [id, call] : calls_) {
    if (call.waiter == thread) awaited.push_back(id);
  }
  for (const CallId id : awaited) {
    AbandonGroup(id);
    Forget(id);
  }
  std::erase(ready_, thread);
  std::erase_if(waiting_, [&](const auto& entry) { return entry.second == thread; });
  const Task task = tasks_.extract(thread).mapped();
  can_wait_ = false;
  BeginTurn(thread);
  (void)Breached(lua_resetthread(thread));
  EndTurn();
  luaL_unref(L_, LUA_REGISTRYINDEX, task.reference);
}

void State::AbandonGroup(CallId group) {
  std::vector<lua_State*> threads;
  for (const auto& [thread, task] : tasks_) {
    if (task.group == group) threads.push_back(thread);
  }
  for (lua_State* thread : threads) Abandon(thread);
}

void State::GiveUp(CallId group, Status status) {
  AbandonGroup(group);
  Complete(group, std::move(status));
}

void State::AddPiece(CallId id, std::string piece) {
  Call* call = Find(id);
  if (!call || piece.empty()) return;
  call->pieces.push_back(std::move(piece));
  Wake(*call);
  RunReady();
}

Status State::ReserveTokens(size_t n_tokens, uint32_t* max_new) {
  const uint64_t budget = environment_.budget.tokens;
  tokens_ += n_tokens;
  if (tokens_ > budget && breach_.ok()) breach_ = TokensUsedUp(budget);
  const uint64_t left = budget - std::min(budget, tokens_);
  // One more than is left, so that an answer that wants it is seen.
  if (max_new && left < *max_new) *max_new = static_cast<uint32_t>(left) + 1;
  return breach_;
}

void State::CountUsage(CallId id, const engine::Usage& usage) {
  if (const Call* call = Find(id); call && !call->step.empty()) {
    steps_[call->step].Add({1, usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens});
  }
  usage_.prompt_tokens += usage.prompt_tokens;
  usage_.completion_tokens += usage.completion_tokens;
  const uint64_t budget = environment_.budget.tokens;
  tokens_ += usage.completion_tokens;
  if (tokens_ > budget && breach_.ok()) breach_ = TokensUsedUp(budget);
}

// --- Budgets

bool State::Breached(int lua_status) {
  if (lua_status == LUA_ERRMEM && breach_.ok()) {
    breach_ = system_had_none_
                  ? Error(Code::kExhausted, "the script's process has no memory left")
                  : Error(Code::kExhausted, "the script used up its memory budget of {} bytes",
                          environment_.budget.memory_bytes);
  }
  return !breach_.ok();
}

void* State::Allocate(void* self, void* block, size_t old_size, size_t new_size) {
  State& state = *static_cast<State*>(self);
  if (!block) old_size = 0;  // Lua passes a type there
  if (new_size == 0) {
    std::free(block);
    state.memory_ -= old_size;
    return nullptr;
  }
  const size_t others = state.memory_ - old_size;
  // Shrinking may not fail.
  if (new_size > old_size && (new_size > state.environment_.budget.memory_bytes ||
                              others > state.environment_.budget.memory_bytes - new_size)) {
    return nullptr;
  }
  // Strings that are joined or repeated are large blocks, in which no instruction ends.
  if (new_size > old_size && new_size >= kLargeBlock && state.current_ &&
      !state.Spend(new_size / 32)) {
    return nullptr;
  }
  void* moved = std::realloc(block, new_size);
  if (moved) state.memory_ = others + new_size;
  state.system_had_none_ |= !moved;
  return moved;
}

void State::BeginTurn(lua_State* thread) {
  current_ = thread;
  if (Watch* const watch = environment_.watch) {
    ++watch->turns;
    watch->running = tag_;
  }
  resumed_at_ = Clock::now();
  resumed_cpu_ = ThreadSeconds();
}

void State::EndTurn() {
  run_seconds_ += ThreadSeconds() - resumed_cpu_;
  current_ = nullptr;
  if (environment_.watch) environment_.watch->running = 0;
}

// A document does not pay for what else the machine does. But the processor's time costs a system
// call, so it is asked for when the clock says that it may be too much.
void State::CheckTime() {
  const std::atomic<bool>* interrupted = environment_.interrupted;
  if (interrupted && *interrupted && breach_.ok()) {
    breach_ = Error(Code::kCancelled, "interrupted");
  }
  const double budget = environment_.budget.lua_seconds;
  const double at_most =
      run_seconds_ + std::chrono::duration<double>(Clock::now() - resumed_at_).count();
  if (!current_ || at_most <= budget || !breach_.ok()) return;
  if (run_seconds_ + ThreadSeconds() - resumed_cpu_ <= budget) return;
  breach_ = Error(Code::kExhausted, "the script used up its budget of {} s in Lua", budget);
}

bool State::Spend(uint64_t instructions) {
  const uint64_t budget = environment_.budget.instructions;
  instructions_ =
      instructions > UINT64_MAX - instructions_ ? UINT64_MAX : instructions_ + instructions;
  if (instructions_ > budget && breach_.ok()) {
    breach_ = Error(Code::kExhausted, "the script used up its budget of {} instructions", budget);
  }
  if (instructions > kHookInterval) CheckTime();
  return breach_.ok();
}

// The message is for message handlers; the document ends with breach_.
void State::Charge(lua_State* L, uint64_t instructions) {
  if (!Spend(instructions)) luaL_error(L, "%s", breach_.message().c_str());
}

// The interval stays what it is: a change of it walks over all calls that the script is in.
void State::CountInstructions(lua_State* L, lua_Debug*) {
  State& state = From(L);
  state.CheckTime();
  state.Charge(L, kHookInterval);
}

bool State::MayWrite(size_t n_bytes) {
  const size_t budget = environment_.budget.output_bytes;
  const bool was_full = output_bytes_ > budget;
  output_bytes_ = n_bytes > SIZE_MAX - output_bytes_ ? SIZE_MAX : output_bytes_ + n_bytes;
  if (output_bytes_ <= budget) return true;
  if (!was_full) {
    LogWarning("{}: it has printed and logged {} bytes; the rest is dropped", label_, budget);
  }
  return false;
}

}  // namespace minnow::script
