// Where a batch's documents come from: a folder, a glob, a JSONL or CSV file, one text file, or
// stdin (JSONL).
//
// Documents are read one at a time, in a fixed order (names sorted byte by byte; lines as they
// stand), so memory does not grow with their number. A document that cannot be read is a failure in
// its place, not the end of the batch. Threads: one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "script/pipeline.h"

namespace minnow::batch {

inline constexpr size_t kMaxDocumentBytes = size_t{64} << 20;

struct SourceItem {
  script::Document document;  // its id is set even if the rest could not be read
  Status status;
};

class Source {
 public:
  virtual ~Source() = default;
  virtual std::optional<SourceItem> Next() = 0;  // nullopt at the end
  virtual std::optional<size_t> count()
      const = 0;  // of all documents, where it is known beforehand
};

// A folder (its files, those of subfolders too, hidden ones left out; ids are paths below it),
// FILE.jsonl or "-" (lines {"id", "text" or "path", ...}; other members become `meta`), FILE.csv
// (columns of these names), a pattern with * ? [ ], or a text file.
Result<std::unique_ptr<Source>> OpenSource(const std::string& input);

// A part of the documents: of every `shards` successive ones the `shard`-th (from 1), of those a
// `sample` chosen by their number alone, of those the first `limit`.
struct Selection {
  uint64_t shard = 1, shards = 1;
  double sample = 1;
  uint64_t limit = UINT64_MAX;

  bool all() const { return shards == 1 && sample >= 1 && limit == UINT64_MAX; }
};
std::unique_ptr<Source> Select(std::unique_ptr<Source> source, const Selection& selection);

}  // namespace minnow::batch
