// `minnow repl`: Lua lines, run one after another in one state, each of which may wait for models.
//
// What a line leaves in globals, the next one finds. A line that uses up the memory budget takes
// the state with it. Threads: the loop's, which Run runs; Interrupt from any thread, also from a
// signal's handler.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "script/run.h"
#include "script/state.h"

namespace minnow::script {

class Repl {
 public:
  // `model`, unless it is empty, is what the global `slm` will be.
  static Result<std::unique_ptr<Repl>> Create(Models& models, Loop& loop, const std::string& model,
                                              const Budget& budget = ScriptBudget(),
                                              const Grants& grants = {});
  ~Repl();

  struct Outcome {
    Status status;
    std::string values;       // a line for each value of an expression
    bool incomplete = false;  // nothing was run: it goes on in a further line
  };
  // Runs an expression or statements. `is_last`: no further line comes, so an incomplete one is a
  // mistake.
  Outcome Run(const std::string& lines, bool is_last);

  // Ends what runs with kCancelled, also what waits for a model, or is about to begin.
  void Interrupt();
  void ClearInterrupt() { interrupted_ = false; }

 private:
  Repl(Program program, Models& models, Loop& loop, std::string model, const Budget& budget,
       const Grants& grants);
  Status Begin();
  Outcome Evaluate(lua_CFunction main, void* argument);

  Program program_;
  const std::string model_;
  std::atomic<bool> interrupted_ = false;
  uv_async_t wake_{};
  Environment environment_;
  std::unique_ptr<State> state_;
};

}  // namespace minnow::script
