// Runs a command with text on its stdin and keeps what it says.
#pragma once

#include <string>
#include <vector>

namespace minnow::test {

struct CommandResult {
  int exit_code;  // 128 + signal if one ended it
  std::string out, err;
};

// arguments[0] is looked up in PATH unless it is a path.
CommandResult RunCommand(const std::vector<std::string>& arguments, const std::string& input = "");

}  // namespace minnow::test
