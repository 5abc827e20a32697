// A forked child that answers with a text, or does not. Threads: the caller must be the only one.
#pragma once

#include <functional>
#include <span>
#include <string>

namespace minnow::conformance {

// The child's memory shared with its parent.
struct ChildNote {
  char where[512];      // what it is at
  int answer;           // the child's own code, -1: none was given
  char message[16384];  // cut off if longer
};

struct ChildEnd {
  int answer = -1;
  std::string message;  // of the child, or how it died and where it was
  std::string printed;  // to stdout and stderr
  double seconds = 0;
};

// Runs `body` in a child. It gives its answer by returning it and its message.
ChildEnd RunInChild(const std::function<int(std::span<char> where, std::string* message)>& body,
                    int limit_ms);

}  // namespace minnow::conformance
