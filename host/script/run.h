// `minnow run FILE.lua`: a script whose top level may wait for models. Threads: the loop's, which
// it runs until the script has ended.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "script/child_process.h"
#include "script/state.h"

namespace minnow::script {

// A script of one's own may take its time.
constexpr Budget ScriptBudget() {
  Budget budget = Budget::Unlimited();
  budget.memory_bytes = size_t{1} << 30;
  return budget;
}

enum class ScriptEnd {
  kDone,
  kPipeline,  // the file returned a pipeline: it wants documents, which `minnow batch` has
};

// `arguments` are the script's `...`; print writes to stdout.
Result<ScriptEnd> RunScript(const std::string& path, std::span<const std::string> arguments,
                            Models& models, Loop& loop, const Budget& budget = ScriptBudget(),
                            const Grants& grants = {});
Result<ScriptEnd> RunProgram(Program program, std::span<const std::string> arguments,
                             Models& models, Loop& loop, const Budget& budget, const Grants& grants,
                             std::FILE* print_to);
// The same in a process of its own, with no grants. What it prints goes to `print_to`.
Result<ScriptEnd> RunUntrustedScript(const std::string& path,
                                     std::span<const std::string> arguments, Models& models,
                                     Loop& loop, const ChildLimits& limits,
                                     const Budget& budget = ScriptBudget(),
                                     std::FILE* print_to = stdout);

}  // namespace minnow::script
