// Progress and diagnostics for people, on stderr; data goes to stdout and never through here.
// Threads: any.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <string_view>
#include <utility>

namespace minnow {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };

void Log(LogLevel level, std::string_view text);

template <class... Args>
void LogInfo(fmt::format_string<Args...> format, Args&&... args) {
  Log(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void LogWarning(fmt::format_string<Args...> format, Args&&... args) {
  Log(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void LogError(fmt::format_string<Args...> format, Args&&... args) {
  Log(LogLevel::kError, fmt::format(format, std::forward<Args>(args)...));
}

// Where all lines go from now on, whatever their level. To be set before there are threads that
// log.
void SetLogSink(std::function<void(LogLevel level, std::string_view text)> sink);

// The least that is shown. Returns what it was.
LogLevel SetLogLevel(LogLevel level);

// Sends the default logger to stderr in one short form. -1 quiet (errors only), 0 normal, 1
// verbose.
void InitLog(int verbosity);

}  // namespace minnow
