#include "base/sqlite.h"

#include <sqlite3.h>

namespace minnow {

namespace {

Status Failed(sqlite3* db) {
  const int code = sqlite3_errcode(db);
  const char* path = sqlite3_db_filename(db, "main");
  const std::string what =
      fmt::format("database '{}': {}", path && *path ? path : ":memory:", sqlite3_errmsg(db));
  switch (code & 0xff) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      return Status(Code::kCorrupt, what);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Status(Code::kUnavailable, what + "; another process uses it");
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_NOMEM:
      return Status(Code::kExhausted, what);
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return Status(Code::kInvalid, what);
    default:
      return Status(Code::kInternal, what);
  }
}

}  // namespace

void SqliteStatement::Finalize::operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
void Sqlite::Close::operator()(sqlite3* db) const { sqlite3_close(db); }

SqliteStatement& SqliteStatement::Bind(int parameter, int64_t value) {
  const int code = sqlite3_bind_int64(statement_.get(), parameter, value);
  if (code != SQLITE_OK) bind_failure_ = code;
  return *this;
}

SqliteStatement& SqliteStatement::Bind(int parameter, std::string_view text) {
  const int code = sqlite3_bind_text64(statement_.get(), parameter, text.data() ? text.data() : "",
                                       text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (code != SQLITE_OK) bind_failure_ = code;
  return *this;
}

Status SqliteStatement::Failure() {
  const Status status = Failed(sqlite3_db_handle(statement_.get()));
  Reset();
  return status;
}

Result<bool> SqliteStatement::Step() {
  if (bind_failure_ != SQLITE_OK) return Failure();
  switch (sqlite3_step(statement_.get())) {
    case SQLITE_ROW:
      return true;
    case SQLITE_DONE:
      Reset();
      return false;
    default:
      return Failure();
  }
}

Status SqliteStatement::Run() {
  for (;;) {
    MNW_ASSIGN(const bool row, Step());
    if (!row) return Status();
  }
}

void SqliteStatement::Reset() {
  bind_failure_ = SQLITE_OK;
  sqlite3_reset(statement_.get());
}

int64_t SqliteStatement::Int(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::string SqliteStatement::Text(int column) const {
  const unsigned char* text = sqlite3_column_text(statement_.get(), column);
  if (!text) return "";
  return {reinterpret_cast<const char*>(text),
          static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

bool SqliteStatement::IsNull(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

Result<std::unique_ptr<Sqlite>> Sqlite::Open(const std::string& path, int wait_ms) {
  std::unique_ptr<Sqlite> sqlite(new Sqlite());
  sqlite3* db = nullptr;
  const int code = sqlite3_open_v2(
      path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  sqlite->db_.reset(db);
  if (code != SQLITE_OK) {
    if (!db) return Error(Code::kExhausted, "database '{}': no memory", path);
    return Failed(db).Annotate(path);
  }
  sqlite3_extended_result_codes(db, 1);
  sqlite3_busy_timeout(db, wait_ms);
  return sqlite;
}

Status Sqlite::Execute(const char* sql) {
  return sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr) == SQLITE_OK ? Status()
                                                                              : Failed(db_.get());
}

Result<SqliteStatement> Sqlite::Prepare(std::string_view sql) {
  SqliteStatement statement;
  sqlite3_stmt* prepared = nullptr;
  if (sqlite3_prepare_v3(db_.get(), sql.data(), static_cast<int>(sql.size()),
                         SQLITE_PREPARE_PERSISTENT, &prepared, nullptr) != SQLITE_OK) {
    return Failed(db_.get());
  }
  statement.statement_.reset(prepared);
  return statement;
}

int64_t Sqlite::changes() const { return sqlite3_changes64(db_.get()); }

}  // namespace minnow
