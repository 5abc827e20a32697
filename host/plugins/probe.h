// Opens an untried library in a child process, which may crash, exit or hang instead of us.
//
// The child is the program minnow-probe (host/probe): own process group, stdin and stderr
// /dev/null, no other descriptors, a time limit, a bounded answer of one line of JSON on stdout.
// Threads: any; one child per call.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace minnow::plugins {

struct ProbeOptions {
  std::string program;  // absolute path of minnow-probe
  int limit_ms = 5000;
};

// Ok, or why the library must not be opened: "constructor crashed with signal SIGSEGV", "did not
// answer within 5 s". kUnavailable means that the probe program itself could not be run, which says
// nothing about the library.
Status Probe(const std::string& library_path, const ProbeOptions& options);

// The child's side: opens the library, asks it for its devices and returns the line to print.
std::string ProbeAnswer(const std::string& library_path);

}  // namespace minnow::plugins
