// What runs in the process of an untrusted script: the same states as anywhere, over models and
// sources that are asked from the host (script_host.h), after the process has confined itself
// (lockdown.h).
//
//   host's socket --> reader thread --> results of models --> Loop::Post --> state
//                          |----------> answers to questions, for which a thread waits
//
// Threads: the main thread runs the loop; one reads the socket, one is libuv's for opening models.
#pragma once

#include <functional>
#include <string>

#include "script/state.h"

namespace minnow::script {

// The whole of minnow-script: serves the host that started it, and returns when it is no longer
// wanted. `before`, for tests, is called with each document's text when all restrictions are on, as
// if it were the document's Lua.
int ServeHost(int argc, char** argv,
              const std::function<void(const std::string& text, Watch& watch)>& before = {});

}  // namespace minnow::script
