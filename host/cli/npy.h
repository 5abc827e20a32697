// Writes float32 rows as a NumPy file while they come. Source: the NPY format, version 1.0 (NEP 1).
// Threads: one at a time.
#pragma once

#include <cstdio>
#include <memory>
#include <span>
#include <string>

#include "base/status.h"

namespace minnow::cli {

class NpyWriter {
 public:
  static Result<NpyWriter> Open(const std::string& path, size_t columns);
  Status Add(std::span<const float> row);  // REQUIRES: row.size() == columns
  Status Close();                          // writes the number of rows into the header

 private:
  struct CloseFile {
    void operator()(std::FILE* f) const { std::fclose(f); }
  };
  NpyWriter(std::FILE* file, std::string path, size_t columns)
      : file_(file), path_(std::move(path)), columns_(columns) {}
  Status WriteHeader();

  std::unique_ptr<std::FILE, CloseFile> file_;
  std::string path_;
  size_t columns_;
  size_t rows_ = 0;
};

}  // namespace minnow::cli
