// A PostgreSQL connection with our errors. Calls wait for the server.
//
// kUnavailable: the connection is lost or cannot be had; Reconnect may bring it back. What a lost
// call did on the server is unknown, so callers repeat only what may be done twice. Threads: one at
// a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/status.h"

struct pg_conn;
struct pg_result;

namespace minnow {

class PostgresRows {
 public:
  size_t size() const;
  bool IsNull(size_t row, int column) const;
  std::string Text(size_t row, int column) const;  // "" for NULL
  int64_t Int(size_t row, int column) const;       // 0 for NULL
  bool Bool(size_t row, int column) const;
  uint64_t changed() const;  // rows that the command changed

 private:
  friend class Postgres;
  struct Clear {
    void operator()(pg_result* r) const;
  };
  std::unique_ptr<pg_result, Clear> result_;
};

class Postgres {
 public:
  // postgres://user@host/database?..., as of libpq. Messages never hold the URL, which may hold a
  // password.
  static Result<std::unique_ptr<Postgres>> Connect(const std::string& url);

  // One command; $1, $2 ... are the parameters, as text.
  Result<PostgresRows> Query(const char* sql, std::span<const std::string> parameters = {});
  Status Execute(const char* sql);  // several commands, without parameters
  Status Reconnect();

 private:
  struct Finish {
    void operator()(pg_conn* c) const;
  };
  Postgres() = default;
  Status Failure(const pg_result* result) const;

  std::unique_ptr<pg_conn, Finish> connection_;
};

// Bytes as PostgreSQL reads them for a bytea, and as it shows one.
std::string ToBytea(std::string_view bytes);
std::string FromBytea(std::string_view text);

}  // namespace minnow
