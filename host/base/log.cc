#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace minnow {

namespace {

// spdlog costs every file that includes it seconds of compile time, so only this one does.
constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info,
                                                 spdlog::level::warn, spdlog::level::err,
                                                 spdlog::level::off};

std::function<void(LogLevel, std::string_view)>& Sink() {
  static std::function<void(LogLevel, std::string_view)> sink;
  return sink;
}

}  // namespace

void SetLogSink(std::function<void(LogLevel level, std::string_view text)> sink) {
  Sink() = std::move(sink);
}

void Log(LogLevel level, std::string_view text) {
  if (Sink()) return Sink()(level, text);
  spdlog::log(kLevels[static_cast<int>(level)], spdlog::string_view_t(text.data(), text.size()));
}

LogLevel SetLogLevel(LogLevel level) {
  const auto before = spdlog::get_level();
  spdlog::set_level(kLevels[static_cast<int>(level)]);
  int i = 0;
  while (kLevels[i] < before) ++i;
  return static_cast<LogLevel>(i);
}

void InitLog(int verbosity) {
  auto logger = spdlog::stderr_color_mt("minnow");
  logger->set_pattern("minnow: %^%l%$: %v");
  spdlog::set_default_logger(logger);
  SetLogLevel(verbosity < 0    ? LogLevel::kError
              : verbosity == 0 ? LogLevel::kWarning
                               : LogLevel::kDebug);
}

}  // namespace minnow
