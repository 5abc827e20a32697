// SQLite with our errors: a database, and statements that are prepared once.
//
// The first failure of a statement is kept until Run or Step tells it, so that binding needs no
// checks. Threads: one at a time for each database.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

struct sqlite3;
struct sqlite3_stmt;

namespace minnow {

class SqliteStatement {
 public:
  SqliteStatement() = default;

  // Parameters are numbered from 1. Text is copied.
  SqliteStatement& Bind(int parameter, int64_t value);
  SqliteStatement& Bind(int parameter, std::string_view text);

  Status Run();         // to its end; ready for other parameters then
  Result<bool> Step();  // true: a row is there; false: the end, ready for other parameters

  // Of the row that is there; columns are numbered from 0. NULL is 0 and "".
  int64_t Int(int column) const;
  std::string Text(int column) const;
  bool IsNull(int column) const;
  void Reset();  // before the end

 private:
  friend class Sqlite;
  struct Finalize {
    void operator()(sqlite3_stmt* s) const;
  };
  Status Failure();

  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int bind_failure_ = 0;
};

class Sqlite {
 public:
  // Creates the file if it is not there. ":memory:" is a database of this process's own. kCorrupt
  // for a file that is no database; kUnavailable when another process holds it for longer than
  // wait_ms, here and in every later call.
  static Result<std::unique_ptr<Sqlite>> Open(const std::string& path, int wait_ms = 10'000);

  Status Execute(const char* sql);  // one or several statements
  // REQUIRES: gone before the database is.
  Result<SqliteStatement> Prepare(std::string_view sql);
  int64_t changes() const;  // rows that the last statement changed

 private:
  struct Close {
    void operator()(sqlite3* db) const;
  };
  Sqlite() = default;
  std::unique_ptr<sqlite3, Close> db_;
};

}  // namespace minnow
