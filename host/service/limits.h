// Checks a request against the limits that proto/minnow/v1 gives beside its fields.
//
// Whatever a handler looks at has been through here, so handlers check only what one field cannot
// say. All breaches are found, up to 16. Threads: pure.
#pragma once

#include <vector>

#include "service/errors.h"

namespace google::protobuf {
class Message;
}

namespace minnow::service {

std::vector<Violation> CheckLimits(const google::protobuf::Message& request);

}  // namespace minnow::service
