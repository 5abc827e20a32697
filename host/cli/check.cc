// minnow check PLUGIN.so: the program minnow-check beside us (host/check), with our arguments.
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "cli/cli.h"

namespace minnow::cli {

namespace {

VerbResult Run(const std::vector<std::string>& arguments) {
  const std::filesystem::path probe =
      plugins::RegistryOptions::FromEnvironment().loader.probe.program;
  const std::string program = probe.parent_path() / "minnow-check";
  std::vector<char*> argv = {const_cast<char*>("minnow check")};
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  return Error(Code::kUnavailable, "the program '{}' does not start: {}", program,
               std::strerror(errno));
}

}  // namespace

void AddCheck(CommandLine& line) {
  line.AddForeignVerb("check", "What is wrong with a plugin, told to its author (check --help)",
                      Run);
}

}  // namespace minnow::cli
