// minnow repl [--model NAME]
#include "script/repl.h"

#include <histedit.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <clocale>
#include <csignal>
#include <cwchar>
#include <filesystem>
#include <iostream>
#include <optional>

#include "base/cache_dir.h"
#include "base/version.h"
#include "cli/cli.h"
#include "script/engine_models.h"

namespace minnow::cli {

namespace {

constexpr const char* kPrompt = "> ";
constexpr const char* kMorePrompt = ">> ";
constexpr int kHistoryLines = 1000;

// A signal's handler has no argument to find them by.
std::atomic<script::Repl*> interrupted_repl = nullptr;
std::atomic<int> interrupted_fd = -1;

void OnInterrupt(int) {
  if (script::Repl* repl = interrupted_repl) repl->Interrupt();
  const uint64_t one = 1;
  if (::write(interrupted_fd, &one, sizeof one) < 0) return;  // it is told already
}

// SIGINT goes to the session while this lives.
class Interruptible {
 public:
  explicit Interruptible(script::Repl& repl) : fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    interrupted_repl = &repl;
    interrupted_fd = fd_;
    struct sigaction action = {};
    action.sa_handler = OnInterrupt;
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, &before_);
  }
  ~Interruptible() {
    sigaction(SIGINT, &before_, nullptr);
    interrupted_repl = nullptr;
    ::close(fd_);
  }

  int fd() const { return fd_; }  // readable after a SIGINT
  void Clear() const {
    uint64_t count;
    if (::read(fd_, &count, sizeof count) < 0) return;  // there was none
  }

 private:
  const int fd_;
  struct sigaction before_;
};

struct Line {
  std::string text;      // without its end
  bool dropped = false;  // with Ctrl-C, and all that it would have completed
};

class Lines {
 public:
  virtual ~Lines() = default;
  virtual std::optional<Line> Next(const char* prompt) = 0;  // none at the end of the input
};

class PlainLines : public Lines {
 public:
  std::optional<Line> Next(const char*) override {
    Line line;
    if (!std::getline(std::cin, line.text)) return std::nullopt;
    return line;
  }
};

// libedit, which keeps the lines of former sessions beside the other caches.
class EditedLines : public Lines {
 public:
  explicit EditedLines(const Interruptible& interrupts)
      : interrupts_(interrupts),
        history_(history_init()),
        editor_(el_init("minnow", stdin, stdout, stderr)) {
    // What is typed is UTF-8, whatever the locale.
    std::setlocale(LC_CTYPE, "");
    if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
    HistEvent event;
    history(history_, &event, H_SETSIZE, kHistoryLines);
    history(history_, &event, H_SETUNIQUE, 1);
    if (const std::string folder = CacheDirectory(); !folder.empty()) {
      std::error_code error;
      std::filesystem::create_directories(folder, error);
      file_ = folder + "/repl_history";
      history(history_, &event, H_LOAD, file_.c_str());
    }
    el_set(editor_, EL_CLIENTDATA, this);
    el_set(editor_, EL_PROMPT, Prompt);
    el_set(editor_, EL_EDITOR, "emacs");
    el_set(editor_, EL_HIST, history, history_);
    el_set(editor_, EL_GETCFN, ReadCharacter);
    el_source(editor_, nullptr);  // ~/.editrc
  }
  ~EditedLines() override {
    HistEvent event;
    if (!file_.empty()) {
      const mode_t mask = umask(077);
      history(history_, &event, H_SAVE, file_.c_str());
      umask(mask);
    }
    el_end(editor_);
    history_end(history_);
  }

  std::optional<Line> Next(const char* prompt) override {
    prompt_ = prompt;
    dropped_ = false;
    interrupts_.Clear();
    // Before the prompt is shown: a Ctrl-D that answers it at once is then a key, not an end of
    // file that the terminal turns into a NUL.
    el_set(editor_, EL_PREP_TERM, 1);
    int n = 0;
    const char* text = el_gets(editor_, &n);
    if (dropped_) return Line{"", true};
    if (!text || n <= 0) return std::nullopt;
    Line line{std::string(text, static_cast<size_t>(n))};
    if (line.text.ends_with('\n')) line.text.pop_back();
    HistEvent event;
    if (!line.text.empty()) history(history_, &event, H_ENTER, line.text.c_str());
    return line;
  }

 private:
  static EditedLines& Of(EditLine* editor) {
    void* self = nullptr;
    el_get(editor, EL_CLIENTDATA, &self);
    return *static_cast<EditedLines*>(self);
  }
  static char* Prompt(EditLine* editor) { return const_cast<char*>(Of(editor).prompt_); }

  // One character, unless Ctrl-C comes first, which drops the line.
  static int ReadCharacter(EditLine* editor, wchar_t* character) {
    EditedLines& self = Of(editor);
    std::mbstate_t state{};
    for (;;) {
      pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {self.interrupts_.fd(), POLLIN, 0}};
      if (::poll(fds, 2, -1) < 0) continue;  // a signal
      self.dropped_ = fds[1].revents != 0;
      if (self.dropped_) return -1;
      char byte;
      const ssize_t n = ::read(STDIN_FILENO, &byte, 1);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return static_cast<int>(n);
      const size_t length = std::mbrtowc(character, &byte, 1, &state);
      if (length == static_cast<size_t>(-2)) continue;  // the character is not complete
      if (length == static_cast<size_t>(-1)) *character = 0xFFFD;
      return 1;
    }
  }

  const Interruptible& interrupts_;
  History* const history_;
  EditLine* const editor_;
  std::string file_;
  const char* prompt_ = kPrompt;
  bool dropped_ = false;
};

struct Options {
  ModelOptions model;
  ScriptOptions script;
};

void Greet(const Options& o) {
  std::fprintf(
      stderr,
      "Minnow %s, Lua 5.4. minnow is there%s%s. Ctrl-C ends what runs, Ctrl-D the session.\n"
      "A local is gone after its line: leave the word away to keep a value.\n",
      kVersion, o.model.model.empty() ? "" : ", and slm: ", o.model.model.c_str());
}

// Without a terminal, a line that failed shows in the exit code.
VerbResult ReadAndRun(script::Repl& repl, Lines& lines, bool interactive) {
  std::string text;
  int code = kExitOk;
  for (bool at_end = false; !at_end;) {
    const std::optional<Line> line = lines.Next(text.empty() ? kPrompt : kMorePrompt);
    at_end = !line;
    if (interactive && (at_end || line->dropped)) {
      Print("\n");
      text.clear();
      continue;
    }
    if (at_end && text.empty()) break;
    if (line) text += (text.empty() ? "" : "\n") + line->text;
    repl.ClearInterrupt();
    const script::Repl::Outcome outcome = repl.Run(text, at_end);
    if (outcome.incomplete) continue;
    text.clear();
    Print(outcome.values);
    std::fflush(stdout);
    if (outcome.status.ok()) continue;
    std::fprintf(stderr, "%s\n", outcome.status.message().c_str());
    if (!interactive) code = kExitSomeFailed;
  }
  return code;
}

VerbResult Run(const Options& o) {
  MNW_ASSIGN(const std::unique_ptr<script::Loop> loop, script::Loop::Create());
  MNW_ASSIGN(const engine::RuntimeOptions runtime_options, ToRuntimeOptions(o.model));
  MNW_ASSIGN(const std::unique_ptr<engine::Runtime> runtime,
             engine::Runtime::Create(runtime_options));
  script::EngineModels models(*runtime);
  script::Budget budget = script::ScriptBudget();
  script::Grants grants;
  MNW_TRY(ReadScriptOptions(o.script, &budget, &grants));
  MNW_ASSIGN(const std::unique_ptr<script::Repl> repl,
             script::Repl::Create(models, *loop, o.model.model, budget, grants));
  if (!isatty(STDIN_FILENO)) {
    PlainLines lines;
    return ReadAndRun(*repl, lines, false);
  }
  const Interruptible interruptible(*repl);
  Greet(o);
  EditedLines lines(interruptible);
  return ReadAndRun(*repl, lines, true);
}

}  // namespace

void AddRepl(CommandLine& line) {
  auto o = std::make_shared<Options>();
  Verb verb = line.AddVerb("repl", "Lua line by line: values are shown, calls wait",
                           [o] { return Run(*o); });
  verb.Add("-m,--model", o->model.model,
           "The global slm: GGUF file, Hugging Face folder, or a name in a model folder");
  AddRuntimeOptions(verb, o->model);
  AddScriptOptions(verb, o->script);
  verb.Footer(
      "A line is an expression or statements; one that is not complete goes on in the next. A\n"
      "local is gone after its line: leave the word away to keep a value. Without a terminal the\n"
      "lines come from stdin, and the exit code is 1 when one failed.");
}

}  // namespace minnow::cli
