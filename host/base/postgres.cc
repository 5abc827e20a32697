#include "base/postgres.h"

#include <libpq-fe.h>

#include <cstdlib>
#include <cstring>
#include <vector>

namespace minnow {

namespace {

std::string Trimmed(const char* message) {
  std::string text = message ? message : "";
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

}  // namespace

void PostgresRows::Clear::operator()(pg_result* r) const { PQclear(r); }
void Postgres::Finish::operator()(pg_conn* c) const { PQfinish(c); }

size_t PostgresRows::size() const { return static_cast<size_t>(PQntuples(result_.get())); }

bool PostgresRows::IsNull(size_t row, int column) const {
  return PQgetisnull(result_.get(), static_cast<int>(row), column) != 0;
}

std::string PostgresRows::Text(size_t row, int column) const {
  const int r = static_cast<int>(row);
  return {PQgetvalue(result_.get(), r, column),
          static_cast<size_t>(PQgetlength(result_.get(), r, column))};
}

int64_t PostgresRows::Int(size_t row, int column) const {
  return std::strtoll(Text(row, column).c_str(), nullptr, 10);
}

bool PostgresRows::Bool(size_t row, int column) const { return Text(row, column) == "t"; }

uint64_t PostgresRows::changed() const {
  return std::strtoull(PQcmdTuples(result_.get()), nullptr, 10);
}

Result<std::unique_ptr<Postgres>> Postgres::Connect(const std::string& url) {
  std::unique_ptr<Postgres> postgres(new Postgres());
  // Defaults that the URL may change: a server that is gone is noticed within seconds.
  const char* const names[] = {"connect_timeout",
                               "keepalives_idle",
                               "tcp_user_timeout",
                               "dbname",
                               "client_encoding",
                               "application_name",
                               nullptr};
  const char* const values[] = {"10", "10", "30000", url.c_str(), "UTF8", "minnow", nullptr};
  postgres->connection_.reset(PQconnectdbParams(names, values, /*expand_dbname=*/1));
  if (PQstatus(postgres->connection_.get()) != CONNECTION_OK) return postgres->Failure(nullptr);
  return postgres;
}

Status Postgres::Reconnect() {
  PQreset(connection_.get());
  return PQstatus(connection_.get()) == CONNECTION_OK ? Status() : Failure(nullptr);
}

Status Postgres::Failure(const pg_result* result) const {
  if (PQstatus(connection_.get()) != CONNECTION_OK) {
    return Error(Code::kUnavailable, "PostgreSQL: {}", Trimmed(PQerrorMessage(connection_.get())));
  }
  const std::string text = Trimmed(PQresultErrorMessage(result));
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  // Classes of SQLSTATE: 53 insufficient resources, 42501 and 28 no right, 57P0x shutting down.
  if (state && std::strncmp(state, "53", 2) == 0) {
    return Error(Code::kExhausted, "PostgreSQL: {}", text);
  }
  if (state && std::strncmp(state, "57P0", 4) == 0) {
    return Error(Code::kUnavailable, "PostgreSQL: {}", text);
  }
  const bool no_right =
      state && (std::strcmp(state, "42501") == 0 || !std::strncmp(state, "28", 2));
  return Status(no_right ? Code::kInvalid : Code::kInternal, "PostgreSQL: " + text);
}

Result<PostgresRows> Postgres::Query(const char* sql, std::span<const std::string> parameters) {
  std::vector<const char*> values;
  for (const std::string& p : parameters) values.push_back(p.c_str());
  PostgresRows rows;
  rows.result_.reset(PQexecParams(connection_.get(), sql, static_cast<int>(values.size()), nullptr,
                                  values.data(), nullptr, nullptr, 0));
  const ExecStatusType status = PQresultStatus(rows.result_.get());
  if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) return rows;
  return Failure(rows.result_.get());
}

Status Postgres::Execute(const char* sql) {
  PostgresRows rows;
  rows.result_.reset(PQexec(connection_.get(), sql));
  const ExecStatusType status = PQresultStatus(rows.result_.get());
  return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK ? Status()
                                                                 : Failure(rows.result_.get());
}

std::string ToBytea(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text = "\\x";
  text.reserve(2 + 2 * bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::string FromBytea(std::string_view text) {
  const auto value = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::string bytes;
  for (size_t i = 2; i + 1 < text.size(); i += 2) {
    bytes += static_cast<char>(value(text[i]) << 4 | value(text[i + 1]));
  }
  return bytes;
}

}  // namespace minnow
