// Opens an untried library in a child process, which may crash, exit or hang instead of us.
//
// The child is the program minnow-probe (host/probe): own process group, stdin and stderr
// /dev/null, no other descriptors, a time limit, the first to go when memory runs out, a bounded
// answer on stdout: the word "loaded" once the tables are checked, then one line {"ok": true} or
// {"ok": false, "reason": "..."}. Threads: any; one child per call.
#pragma once

#include <string>

#include "base/status.h"

namespace minnow::plugins {

struct ProbeOptions {
  std::string program;  // absolute path of minnow-probe
  int limit_ms = 5000;
  int devices_limit_ms = 30000;  // once it is loaded: drivers of several GPUs take their time
};

// Ok, or why the library must not be opened here:
// kInternal: the child died of it ("crashed with signal SIGSEGV while loading", "did not answer
// within 5 s"). kUnavailable: the probe program could not be run, which says nothing about the
// library. Others: the child's own orderly words.
Status Probe(const std::string& library_path, const ProbeOptions& options);

// The child's side: opens the library, asks it for its devices, answers and leaves the process.
[[noreturn]] void AnswerProbe(const std::string& library_path);

}  // namespace minnow::plugins
