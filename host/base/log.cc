#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>

namespace minnow {

void InitLog(int verbosity) {
  auto logger = spdlog::stderr_color_mt("minnow");
  logger->set_pattern("minnow: %^%l%$: %v");
  logger->set_level(verbosity < 0    ? spdlog::level::err
                    : verbosity == 0 ? spdlog::level::warn
                                     : spdlog::level::debug);
  spdlog::set_default_logger(logger);
}

}  // namespace minnow
