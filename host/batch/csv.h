// Rows of a CSV file (RFC 4180): fields in quotes may hold commas, line ends and doubled quotes; a
// line ends with LF or CRLF. Threads: one at a time.
#pragma once

#include <istream>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace minnow::batch {

// The next row; none at the end. kCorrupt for a quote that is not closed or stands inside a field,
// kOutOfRange for a row beyond max_bytes. A failed row is read to its end, so the next one may do.
Result<std::optional<std::vector<std::string>>> ReadCsvRow(std::istream& in, size_t max_bytes);

}  // namespace minnow::batch
