// Whether a file may become part of this process.
//
// A plugin runs with all our rights, so it must lie where nobody but root or the current user can
// put or change it: an absolute path whose directory and file they own, not world-writable, not
// reached through a symlink that leaves the directory, and not below a directory where others may
// rename. The working directory is never a plugin directory, whatever the configuration says.
// Group-writable files pass only in a build tree, which CMake marks with kBuildTreeMarker.
// Threads: any.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace minnow::plugins {

inline constexpr std::string_view kBuildTreeMarker = ".minnow-build-tree";

// Of a directory that plugins are searched in.
Status CheckTrustedDirectory(const std::string& path);

// Of a file directly in a directory that CheckTrustedDirectory accepts.
Status CheckTrustedFile(const std::string& path);

}  // namespace minnow::plugins
