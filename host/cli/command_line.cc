#include "cli/command_line.h"

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <iostream>

namespace minnow::cli {

namespace {

int CodeOf(const Status& status) {
  switch (status.code()) {
    case Code::kInvalid:
    case Code::kNotFound:
    case Code::kOutOfRange:
      return kExitUsage;
    case Code::kCancelled:
      return kExitInterrupted;
    default:
      return kExitModel;
  }
}

// How a verb's exit code leaves CLI11.
void Leave(const VerbResult& result) {
  if (const int code = ExitCodeOf(result); code != kExitOk) throw CLI::RuntimeError(code);
}

template <class T>
constexpr bool kIsList = false;
template <class T>
constexpr bool kIsList<std::vector<T>> = true;

}  // namespace

int ExitCodeOf(const VerbResult& result) {
  if (result.ok()) return *result;
  std::fprintf(stderr, "minnow: %s\n", result.status().message().c_str());
  return CodeOf(result.status());
}

Option Option::Required(bool required) {
  option_->required(required);
  return *this;
}

Option Option::Excludes(const std::string& other) {
  option_->excludes(other);
  return *this;
}

Option Option::OneOf(std::vector<std::string> values) {
  option_->check(CLI::IsMember(std::move(values)));
  return *this;
}

template <class T>
Option Option::InRange(T least, T most) {
  option_->check(CLI::Range(least, most));
  return *this;
}
template Option Option::InRange(double, double);
template Option Option::InRange(uint32_t, uint32_t);
template Option Option::InRange(uint64_t, uint64_t);

Option Option::Bytes() {
  option_->transform(CLI::AsSizeValue(false));
  return *this;
}

Option Option::CommaSeparated() {
  option_->delimiter(',');
  return *this;
}

template <class T>
Option Verb::Add(const std::string& names, T& target, const std::string& what) {
  CLI::Option* const option = app_->add_option(names, target, what);
  // An option that took all that follows would take the arguments too.
  if (kIsList<T> && !option->get_positional()) option->allow_extra_args(false);
  return Option(option);
}
template Option Verb::Add(const std::string&, std::string&, const std::string&);
template Option Verb::Add(const std::string&, double&, const std::string&);
template Option Verb::Add(const std::string&, float&, const std::string&);
template Option Verb::Add(const std::string&, uint32_t&, const std::string&);
template Option Verb::Add(const std::string&, uint64_t&, const std::string&);
template Option Verb::Add(const std::string&, std::vector<std::string>&, const std::string&);
template Option Verb::Add(const std::string&, std::vector<uint32_t>&, const std::string&);

Option Verb::AddFlag(const std::string& names, bool& target, const std::string& what) {
  return Option(app_->add_flag(names, target, what));
}

void Verb::Remove(const std::string& name) { app_->remove_option(app_->get_option(name)); }

void Verb::ArgumentsEndOptions() { app_->positionals_at_end(); }

void Verb::Footer(const std::string& text) { app_->footer(text); }

CommandLine::CommandLine(const std::string& name, const std::string& what,
                         const std::string& version)
    : app_(std::make_unique<CLI::App>(what, name)) {
  app_->set_version_flag("--version", version);
  app_->require_subcommand(1);
  app_->fallthrough();
}

CommandLine::~CommandLine() = default;

void CommandLine::AddFlag(const std::string& names, bool& target, const std::string& what) {
  app_->add_flag(names, target, what);
}

Verb CommandLine::AddVerb(const std::string& name, const std::string& what,
                          std::function<VerbResult()> run) {
  CLI::App* const verb = app_->add_subcommand(name, what);
  verb->callback([run = std::move(run)] { Leave(run()); });
  return Verb(verb);
}

void CommandLine::AddForeignVerb(
    const std::string& name, const std::string& what,
    std::function<VerbResult(const std::vector<std::string>& arguments)> run) {
  CLI::App* const verb = app_->add_subcommand(name, what);
  verb->callback([verb, run = std::move(run)] { Leave(run(verb->remaining())); });
  verb->prefix_command()->fallthrough(false)->set_help_flag();
}

int CommandLine::Run(int argc, char** argv, const std::function<void()>& parsed) {
  app_->parse_complete_callback(parsed);
  try {
    app_->parse(argc, argv);
  } catch (const CLI::RuntimeError& e) {  // a verb's exit code
    return e.get_exit_code();
  } catch (const CLI::ParseError& e) {
    return app_->exit(e, std::cout, std::cerr) == 0 ? kExitOk : kExitUsage;
  }
  return kExitOk;
}

}  // namespace minnow::cli
