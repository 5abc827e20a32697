// Verbs and their options, over CLI11, which command_line.cc alone sees: its headers take seconds
// to compile. Threads: the main thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace minnow::cli {

inline constexpr int kExitOk = 0, kExitSomeFailed = 1, kExitUsage = 2, kExitModel = 3,
                     kExitInterrupted = 130;

// What a verb's function returns: an exit code, or a Status that becomes a message and exit code 2
// or 3.
using VerbResult = Result<int>;
int ExitCodeOf(const VerbResult& result);  // after a message, if it is a failure

// Names what is added to a Verb, to say more of it.
class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}

  Option Required(bool required = true);
  Option Excludes(const std::string& other);  // an option added before
  Option OneOf(std::vector<std::string> values);
  template <class T>  // double, uint32_t, uint64_t: the target's type, which the help names
  Option InRange(T least, T most);
  Option Bytes();           // "4K" is 4096
  Option CommaSeparated();  // a list's values

 private:
  CLI::Option* option_;
};

// Names a verb of a CommandLine, to add to it.
class Verb {
 public:
  explicit Verb(CLI::App* app) : app_(app) {}

  // `names` is such as "-n,--tokens", or "file" for an argument that its place tells. `target` is
  // set before the verb runs, and keeps its value when the option is not given. It is a
  // std::string, double, float, uint32_t, uint64_t, or a list of std::string or uint32_t, to which
  // an option adds each time it is given, and an argument all that is left.
  template <class T>
  Option Add(const std::string& names, T& target, const std::string& what);
  Option AddFlag(const std::string& names, bool& target, const std::string& what);
  void Remove(const std::string& name);  // what was added before
  // From the first argument on all is arguments, whatever it looks like.
  void ArgumentsEndOptions();
  void Footer(const std::string& text);  // of --help

 private:
  CLI::App* app_;
};

class CommandLine {
 public:
  CommandLine(const std::string& name, const std::string& what, const std::string& version);
  ~CommandLine();

  void AddFlag(const std::string& names, bool& target, const std::string& what);  // for all verbs
  // `run` is called after the options are parsed.
  Verb AddVerb(const std::string& name, const std::string& what, std::function<VerbResult()> run);
  // A verb of another program: `run` gets all that follows, be it --help.
  void AddForeignVerb(const std::string& name, const std::string& what,
                      std::function<VerbResult(const std::vector<std::string>& arguments)> run);

  // Calls `parsed`, then the verb. The exit code, be it of a wrong line.
  int Run(int argc, char** argv, const std::function<void()>& parsed);

 private:
  const std::unique_ptr<CLI::App> app_;
};

}  // namespace minnow::cli
