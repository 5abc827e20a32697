// Whether a file may become part of this process.
//
// A plugin runs with all our rights, so it must lie where nobody but root or the current user can
// put or change it: an absolute path whose directory and file they own, not world-writable, not
// reached through a symlink that leaves the directory, and not below a directory where others may
// rename: one that a third user owns, or that all may write (a sticky one excepted, and root's
// groups, such as Debian's /usr/local). The working directory is never a plugin directory, whatever
// the configuration says. Group-writable files pass only in a build tree, which CMake marks with
// kBuildTreeMarker. Threads: any.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace minnow::plugins {

inline constexpr std::string_view kBuildTreeMarker = ".minnow-build-tree";

// A directory that plugins are searched in: its path without links, which is the one to use from
// here on, since links may lie where others can change them.
Result<std::string> TrustedDirectory(const std::string& path);

// Of a file directly in a directory that TrustedDirectory gave.
Status CheckTrustedFile(const std::string& path);

}  // namespace minnow::plugins
