// Where the sources are, and what was built of them. Compiled into one file, so that the objects of
// tests are the same wherever they are built.
#pragma once

#include <string>

namespace minnow::test {

std::string InSource(const std::string& path = "");  // "models/x.gguf" -> /.../models/x.gguf
std::string InBuild(const std::string& path);
std::string ProbePath();

}  // namespace minnow::test
