#include "script/script_host.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/json.h"
#include "base/log.h"
#include "formats/printable.h"
#include "script/model_json.h"

namespace minnow::script {
namespace {

constexpr size_t kReadAtOnce = 1 << 16;   // so that no process keeps the others from their turns
constexpr size_t kMostUnread = 1 << 20;   // bytes it has not taken, beyond which it is not read
constexpr size_t kMaxWorking = 16;        // a process asks from two threads
constexpr double kTellBurst = 256 << 10;  // bytes of lines for people
constexpr double kTellPerSecond = 16 << 10;
constexpr size_t kMaxLine = 8 << 10;
constexpr int kWaitMs = 50;
constexpr double kSilence = 10;  // of wall time, in multiples of the processor time it may take

Status Violation(const char* what) { return Status(Code::kCorrupt, what); }

Result<uint64_t> NumberAt(const nlohmann::ordered_json& message, const char* name) {
  const auto field = message.find(name);
  if (field == message.end() || !field->is_number_unsigned()) {
    return Error(Code::kCorrupt, "a message without a good '{}'", name);
  }
  return field->get<uint64_t>();
}

template <class T>
Status ReadField(const nlohmann::ordered_json& message, const char* name, T* out) {
  const auto field = message.find(name);
  if (field == message.end()) return Error(Code::kCorrupt, "a message without '{}'", name);
  return FromJson(*field, out).Annotate(name);
}

bool IsOneOf(std::string_view type, std::initializer_list<std::string_view> types) {
  return std::find(types.begin(), types.end(), type) != types.end();
}

}  // namespace

// --- Sources

Result<Sources::Source> KeptSources::Read(const std::string& module) {
  const auto found = kept_.find(module);
  if (found != kept_.end()) return found->second;
  MNW_ASSIGN(Sources::Source source, sources_->Read(module));
  return kept_.emplace(module, std::move(source)).first->second;
}

std::string KeptSources::main_sha256() const {
  const auto main = kept_.find("");
  return main == kept_.end() ? "" : main->second.sha256;
}

std::vector<std::pair<std::string, std::string>> KeptSources::modules() const {
  std::vector<std::pair<std::string, std::string>> all;
  for (const auto& [name, source] : kept_) {
    if (!name.empty() && !source.sha256.empty()) all.emplace_back(name, source.sha256);
  }
  return all;
}

// --- Life and death

ScriptHost::ScriptHost(ScriptSupply& supply, Loop& loop, const ChildLimits& limits, Events events)
    : supply_(supply),
      loop_(loop),
      limits_(limits),
      events_(std::move(events)),
      address_(loop.NewAddress()),
      may_tell_bytes_(kTellBurst),
      told_at_(uv_hrtime()) {}

Result<std::unique_ptr<ScriptHost>> ScriptHost::Start(ScriptSupply& supply, Loop& loop,
                                                      const ChildLimits& limits, Json start,
                                                      Events events) {
  std::unique_ptr<ScriptHost> host(new ScriptHost(supply, loop, limits, std::move(events)));
  MNW_ASSIGN(host->process_, ChildProcess::Start(limits));
  start["type"] = "start";
  start["path"] = TextToJson(supply.sources.path());
  host->Send(start);
  return host;
}

ScriptHost::~ScriptHost() {
  loop_.Retire(address_);
  if (poll_) {
    uv_poll_stop(poll_);
    uv_close(reinterpret_cast<uv_handle_t*>(poll_),
             [](uv_handle_t* handle) { delete reinterpret_cast<uv_poll_t*>(handle); });
  }
  for (const auto& [id, request] : requests_) request.model->Cancel(request.id);
  if (n_untold_ > 0) TellUntold();
}

void ScriptHost::Kill(Code code, std::string why, uint64_t culprit) {
  if (!dead_) Die(code, std::move(why), culprit);
}

void ScriptHost::Die(Code code, std::string what, uint64_t culprit) {
  dead_ = true;
  const uint64_t running = culprit ? culprit : process_->watch().running.load();
  const std::string end = process_->End();
  Death death{code, what.empty() ? end : std::move(what), running};
  if (!poll_) return events_.died(std::move(death));
  uv_poll_stop(poll_);
  loop_.Post(address_, [this, death = std::move(death)] {
    const auto died = std::move(events_.died);
    died(death);  // destroys this
  });
}

// --- Bytes

void ScriptHost::ServeOnLoop() {
  poll_ = new uv_poll_t;
  uv_poll_init(loop_.uv(), poll_, process_->socket());
  poll_->data = this;
  watched_ = 0;
  Listen();
}

void ScriptHost::Listen() {
  if (!poll_ || dead_) return;
  const size_t unread = out_.size() - written_;
  const int events =
      (unread > 0 ? UV_WRITABLE : 0) | (unread <= kMostUnread ? UV_READABLE : 0) | UV_DISCONNECT;
  if (events == watched_) return;
  watched_ = events;
  uv_poll_start(poll_, events, [](uv_poll_t* poll, int status, int happened) {
    auto* host = static_cast<ScriptHost*>(poll->data);
    if (happened & UV_WRITABLE) host->Write();
    if (!host->dead_ && (status < 0 || happened & (UV_READABLE | UV_DISCONNECT))) host->Read();
    host->watched_ = status < 0 ? 0 : host->watched_;  // libuv has stopped then
    host->Listen();
  });
}

void ScriptHost::Send(const Json& message) {
  if (dead_) return;
  out_ += Frame(message);
  Write();
  Listen();
}

void ScriptHost::Write() {
  while (written_ < out_.size()) {
    const ssize_t n =
        ::send(process_->socket(), out_.data() + written_, out_.size() - written_, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;  // not now, or never again: then reading tells
    written_ += static_cast<size_t>(n);
  }
  if (written_ == out_.size()) {
    out_.clear();
    written_ = 0;
  } else if (written_ > kMostUnread) {
    out_.erase(0, std::exchange(written_, 0));
  }
}

void ScriptHost::Read() {
  char buffer[kReadAtOnce];
  ssize_t n;
  do {
    n = ::read(process_->socket(), buffer, sizeof buffer);
  } while (n < 0 && (errno == EINTR || errno == ECONNRESET));  // after which comes what it sent
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return Die(Code::kExhausted, "");
  in_.Add({buffer, static_cast<size_t>(n)});
  while (!dead_) {
    auto message = in_.Next();
    if (message.ok() && !*message) return;
    Status status = message.ok() ? Take(**message) : std::move(message).status();
    if (!status.ok()) {
      Die(Code::kExhausted,
          fmt::format("broke the protocol: {}", formats::Printable(status.message(), 200)));
    }
  }
}

void ScriptHost::Wait(const std::function<bool()>& done, double cpu_seconds) {
  uint64_t heard = uv_hrtime();
  while (!dead_ && !done()) {
    const bool writes = written_ < out_.size();
    struct pollfd wanted = {process_->socket(), static_cast<short>(POLLIN | (writes ? POLLOUT : 0)),
                            0};
    ::poll(&wanted, 1, kWaitMs);
    if (wanted.revents & POLLOUT) Write();
    if (wanted.revents & (POLLIN | POLLHUP | POLLERR)) {
      Read();
      heard = uv_hrtime();  // after what it asked for was done
    }
    const double silent = static_cast<double>(uv_hrtime() - heard) * 1e-9;
    if (process_->cpu_seconds() > cpu_seconds || silent > kSilence * cpu_seconds) {
      Kill(Code::kExhausted, "took too long to load");
    }
  }
}

// --- Messages. A failure is a violation, and ends the process.

Status ScriptHost::Take(const Json& message) {
  const std::string& type = message["type"].get_ref<const std::string&>();
  if (IsOneOf(type, {"encode", "source", "open", "adapter", "fingerprint", "longest"})) {
    return TakeQuestion(type, message);
  }
  if (IsOneOf(type, {"generate", "classify", "score", "extract", "embed", "forget"})) {
    return TakeRequest(type, message);
  }
  return TakeNews(type, message);
}

// The process may call its steps what it likes, so they are few, short and printable.
Result<StepUsages> ScriptHost::TakeSteps(const Json& message) {
  constexpr size_t kMostSteps = 64, kMostBytes = 200;
  StepUsages told, steps;
  MNW_TRY(ReadField(message, "steps", &told));
  for (const auto& [name, usage] : told) {
    std::string step = formats::Printable(name, kMostBytes);
    if (!steps_.contains(step) && steps_.size() >= kMostSteps) step = "others";
    steps_.insert(step);
    steps[step].Add(usage);
  }
  return steps;
}

Result<ModelApi*> ScriptHost::ModelOf(const Json& message) const {
  MNW_ASSIGN(const uint64_t number, NumberAt(message, "model"));
  if (number < models_.size()) return models_[number];
  return Violation("a model that was not opened");
}

void ScriptHost::Answer(uint64_t id, Result<Json> value) {
  Json message = {{"type", "answer"}, {"id", id}, {"status", ToJson(value.status())}};
  if (value.ok()) message["value"] = *std::move(value);
  Send(message);
}

// On the pool where the loop serves: what takes as long as reading files must keep nobody waiting.
// This may be gone when `work` runs, but not when what it returns does.
void ScriptHost::Later(std::function<std::function<void()>()> work) {
  if (!poll_) return work()();
  ++n_working_;
  loop_.Work(
      [this, work = std::move(work)]() -> Loop::Function {
        return [this, then = work()] {
          --n_working_;
          then();
        };
      },
      address_);
}

void ScriptHost::AnswerOpen(uint64_t id, const std::string& key, Result<ModelApi*> opened) {
  if (!opened.ok()) return Answer(id, std::move(opened).status());
  supply_.open_models[key] = *opened;
  const auto found = std::find(models_.begin(), models_.end(), *opened);
  const auto number = static_cast<uint64_t>(found - models_.begin());
  if (found == models_.end()) models_.push_back(*opened);
  Answer(id, Json{{"model", number}, {"name", TextToJson((*opened)->name())}});
}

Status ScriptHost::TakeQuestion(const std::string& type, const Json& message) {
  MNW_ASSIGN(const uint64_t id, NumberAt(message, "id"));
  if (n_working_ >= kMaxWorking) return Violation("too many questions at once");
  if (type == "source") {
    std::string name;
    MNW_TRY(ReadField(message, "name", &name));
    auto source = supply_.sources.Read(name);
    Answer(id, source.ok() ? Result<Json>(Json{{"text", TextToJson(source->text)},
                                               {"chunk_name", TextToJson(source->chunk_name)}})
                           : Result<Json>(source.status()));
    return {};
  }
  if (type == "open") {
    std::string name;
    MNW_TRY(ReadField(message, "name", &name));
    Later([this, &models = supply_.models, id, name]() -> std::function<void()> {
      return [this, id, name, opened = models.Open(name)] { AnswerOpen(id, name, opened); };
    });
    return {};
  }
  MNW_ASSIGN(ModelApi * model, ModelOf(message));
  if (type == "encode") {
    MNW_ASSIGN(Json tokens, Encode(*model, message));
    if (tokens.is_array()) {
      Answer(id, std::move(tokens));
    } else {
      Status refusal;
      MNW_TRY(FromJson(tokens, &refusal));
      Answer(id, refusal);
    }
    return {};
  }
  if (type == "longest") {
    const auto longest = model->Longest();
    Answer(id, longest.ok() ? Result<Json>(Json(*longest)) : Result<Json>(longest.status()));
    return {};
  }
  if (type == "fingerprint") {
    Later([this, id, model]() -> std::function<void()> {
      auto fingerprint = model->Fingerprint();
      return [this, id, fingerprint = std::move(fingerprint)] {
        Answer(id, fingerprint.ok() ? Result<Json>(Json(*fingerprint))
                                    : Result<Json>(fingerprint.status()));
      };
    });
    return {};
  }
  std::string name;
  float scale = 1;
  MNW_TRY(ReadField(message, "name", &name));
  MNW_TRY(ReadField(message, "scale", &scale));
  const std::string key = AdapterKey(supply_.open_models, *model, name, scale);
  Later([this, &models = supply_.models, id, model, name, scale, key]() -> std::function<void()> {
    return [this, id, key, opened = models.OpenAdapter(*model, name, scale)] {
      AnswerOpen(id, key, opened);
    };
  });
  return {};
}

// Tokens, or the model's refusal; a failure is a violation.
Result<nlohmann::ordered_json> ScriptHost::Encode(const ModelApi& model,
                                                  const Json& message) const {
  std::string what, text;
  MNW_TRY(ReadField(message, "what", &what));
  MNW_TRY(ReadField(message, "text", &text));
  const auto encode = [&]() -> Result<std::vector<engine::TokenId>> {
    if (what == "text") return model.EncodeText(text);
    if (what == "continuation") return model.EncodeContinuation(text);
    MNW_ASSIGN(const Json parsed, ParseJson(text));
    Json chat;
    MNW_TRY(ValueFromJson(parsed, &chat));
    // As lua_model.h has it: what templates and models count on.
    const bool has_tools =
        chat.is_object() && chat.contains("messages") && chat.value("tools", Json()).is_array();
    const Json& messages = has_tools ? chat["messages"] : chat;
    bool good = messages.is_array() && !messages.empty();
    for (const Json& m : messages) {
      good = good && m.is_object() && m.contains("role") && m["role"].is_string();
    }
    if (!good) return Error(Code::kInvalid, "messages should be a list of objects with roles");
    return model.EncodeChat(chat);
  };
  const auto tokens = encode();
  return tokens.ok() ? ToJson(*tokens) : ToJson(tokens.status());
}

Status ScriptHost::TakeRequest(const std::string& type, const Json& message) {
  MNW_ASSIGN(const uint64_t id, NumberAt(message, "id"));
  if (type == "forget") {
    const auto request = requests_.extract(id);
    if (request) request.mapped().model->Cancel(request.mapped().id);
    return {};
  }
  MNW_ASSIGN(ModelApi * model, ModelOf(message));
  if (requests_.contains(id)) return Violation("a request's number is used twice");
  if (type == "generate") {
    return Submit(id, message, *model, engine::GenerateRequest(), &ModelApi::Generate);
  }
  if (type == "classify") {
    return Submit(id, message, *model, engine::ClassifyRequest(), &ModelApi::Classify);
  }
  if (type == "score") {
    return Submit(id, message, *model, engine::ContinuationsRequest(), &ModelApi::Score);
  }
  if (type == "extract") {
    return Submit(id, message, *model, engine::ExtractRequest(), &ModelApi::Extract);
  }
  return Submit(id, message, *model, engine::EmbedRequest(), &ModelApi::Embed);
}

template <class RequestOf>
Status ScriptHost::Submit(uint64_t id, const Json& message, ModelApi& model, RequestOf request,
                          Result<engine::RequestId> (ModelApi::*submit)(RequestOf)) {
  MNW_TRY(ReadField(message, "request", &request));
  const std::string type = message["type"].get<std::string>();
  if (interactive_.empty() && supply_.priority == engine::Priority::kBatch) {
    request.priority = engine::Priority::kBatch;
  }
  // On the model's thread, when this may be gone; the rest is done on the loop's, when it is not.
  const auto post = [this, loop = &loop_, to = address_, id](auto result) {
    loop->Post(to,
               [this, id, result = std::move(result)] { Done(id, result.status, ToJson(result)); });
  };
  if constexpr (std::is_same_v<RequestOf, engine::EmbedRequest>) {
    request.on_done = [post](Status status, std::vector<float> embedding, engine::Usage usage) {
      post(EmbedResult{std::move(status), std::move(embedding), usage});
    };
  } else {
    request.on_done = post;
  }
  if constexpr (std::is_same_v<RequestOf, engine::GenerateRequest>) {
    const auto stream = message.find("stream");
    if (stream == message.end() || !stream->is_boolean()) return Violation("no good 'stream'");
    if (stream->get<bool>()) {
      request.on_token = [this, loop = &loop_, to = address_, id](
                             std::string_view text, const engine::GeneratedToken& token) {
        loop->Post(to, [this, id, text = std::string(text), token] {
          if (!requests_.contains(id)) return;  // forgotten
          Send({{"type", "piece"},
                {"id", id},
                {"text", TextToJson(text)},
                {"token", ToJson(token)}});
        });
      };
    }
  }
  if (requests_.size() >= limits_.max_requests) {
    Refuse(type, id,
           Error(Code::kExhausted, "the script has {} requests under way", limits_.max_requests));
    return {};
  }
  auto submitted = (model.*submit)(std::move(request));
  if (submitted.ok()) {
    requests_[id] = {&model, *submitted};
  } else {
    Refuse(type, id, std::move(submitted).status());
  }
  return {};
}

void ScriptHost::Refuse(const std::string& type, uint64_t id, const Status& status) {
  const auto failed = [&](auto result) {
    result.status = status;
    return ToJson(result);
  };
  Json result = type == "generate"   ? failed(engine::GenerateResult())
                : type == "classify" ? failed(engine::ClassifyResult())
                : type == "score"    ? failed(engine::ScoreResult())
                : type == "extract"  ? failed(engine::ExtractResult())
                                     : failed(EmbedResult());
  Send({{"type", "done"}, {"id", id}, {"result", std::move(result)}});
}

void ScriptHost::Done(uint64_t id, const Status& status, Json result) {
  device_lost_ |= status.code() == Code::kDeviceLost;
  if (requests_.erase(id) == 0) return;  // forgotten
  Send({{"type", "done"}, {"id", id}, {"result", std::move(result)}});
}

Status ScriptHost::TakeNews(const std::string& type, const Json& message) {
  if (type == "print" || type == "log") {
    std::string text;
    MNW_TRY(ReadField(message, "text", &text));
    if (type == "print") {
      Print(text);
      return {};
    }
    MNW_ASSIGN(const uint64_t level, NumberAt(message, "level"));
    if (level >= static_cast<uint64_t>(LogLevel::kError)) return Violation("no such level of log");
    LogLine(static_cast<int>(level), text);
    return {};
  }
  if (type == "result") {
    MNW_ASSIGN(const uint64_t run, NumberAt(message, "run"));
    if (run == 0 || run > last_run_) return Violation("the result of no document");
    DocumentResult result;
    std::string value;
    MNW_TRY(ReadField(message, "status", &result.status));
    MNW_TRY(ReadField(message, "value", &value));
    MNW_ASSIGN(result.prompt_tokens, NumberAt(message, "prompt_tokens"));
    MNW_ASSIGN(result.completion_tokens, NumberAt(message, "completion_tokens"));
    MNW_ASSIGN(result.steps, TakeSteps(message));
    auto parsed = ParseJson(value);
    if (!parsed.ok()) return Violation("a result that is no JSON");
    result.value = *std::move(parsed);
    if (result.status.code() == Code::kDeviceLost && !device_lost_) {
      result.status = Status(Code::kInternal, result.status.message());
    }
    interactive_.erase(run);
    if (events_.result) events_.result(run, std::move(result));
    return {};
  }
  Status status;
  if (type == "loaded" && events_.loaded) {
    std::string name;
    MNW_TRY(ReadField(message, "status", &status));
    MNW_TRY(ReadField(message, "name", &name));
    // Once: it is asked for once.
    std::exchange(events_.loaded, nullptr)(std::move(status), std::move(name));
    return {};
  }
  if (type == "ended" && events_.ended) {
    MNW_TRY(ReadField(message, "status", &status));
    const auto pipeline = message.find("pipeline");
    if (pipeline == message.end() || !pipeline->is_boolean())
      return Violation("no good 'pipeline'");
    const ScriptEnd end = pipeline->get<bool>() ? ScriptEnd::kPipeline : ScriptEnd::kDone;
    std::exchange(events_.ended, nullptr)(status.ok() ? Result<ScriptEnd>(end)
                                                      : Result<ScriptEnd>(std::move(status)));
    return {};
  }
  return Violation("an unknown message");
}

// --- What people see

bool ScriptHost::MayTell(size_t bytes) {
  const uint64_t now = uv_hrtime();
  may_tell_bytes_ = std::min(
      kTellBurst, may_tell_bytes_ + kTellPerSecond * static_cast<double>(now - told_at_) * 1e-9);
  told_at_ = now;
  if (may_tell_bytes_ < static_cast<double>(bytes)) {
    ++n_untold_;
    return false;
  }
  may_tell_bytes_ -= static_cast<double>(bytes);
  if (n_untold_ > 0) TellUntold();
  return true;
}

void ScriptHost::TellUntold() {
  LogWarning("{}: wrote too many lines; {} are left out", supply_.sources.path(),
             std::exchange(n_untold_, 0));
}

void ScriptHost::LogLine(int level, const std::string& text) {
  if (MayTell(std::min(text.size(), kMaxLine))) {
    Log(static_cast<LogLevel>(level), formats::Printable(text, kMaxLine));
  }
}

void ScriptHost::Print(const std::string& text) {
  if (supply_.prints_data) {
    std::fwrite(text.data(), 1, text.size(), supply_.print_to);
    return;
  }
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    if (!MayTell(std::min(line.size(), kMaxLine) + 1)) continue;
    for (size_t from = 0; from <= line.size();) {  // the tabs are print's own
      const size_t to = std::min(line.find('\t', from), line.size());
      const std::string printable = formats::Printable(line.substr(from, to - from), kMaxLine);
      std::fputs(printable.c_str(), supply_.print_to);
      std::fputc(to < line.size() ? '\t' : '\n', supply_.print_to);
      from = to + 1;
    }
  }
}

// --- Documents

uint64_t ScriptHost::Run(const Document& document) {
  ++last_run_;
  if (document.priority == engine::Priority::kInteractive) interactive_.insert(last_run_);
  Send({{"type", "run"},
        {"run", last_run_},
        {"priority", ToJson(document.priority)},
        {"id", TextToJson(document.id)},
        {"path", TextToJson(document.path)},
        {"text", TextToJson(document.text)},
        {"meta", document.meta.dump(-1, ' ', false, Json::error_handler_t::replace)}});
  return last_run_;
}

void ScriptHost::CancelRun(uint64_t run) {
  interactive_.erase(run);
  Send({{"type", "cancel"}, {"run", run}});
}

}  // namespace minnow::script
