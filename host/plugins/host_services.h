// The mnw_host table that plugins get: a log that ends in the host's, and the reference meaning of
// tensor types. Threads: any.
#pragma once

#include <minnow/abi/plugin.h>

namespace minnow::plugins {

const mnw_host& HostServices();

}  // namespace minnow::plugins
