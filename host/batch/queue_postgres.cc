// Many workers, one run: the documents and what came of them in a PostgreSQL database.
//
// A claim is a lease by the database's own clock, with a token from a sequence. A record is stored
// together with the end of its claim, in one command, and only while the token is the document's
// last: a worker that slept beyond its lease finds its token void, so no document has two records.
// The process that has the input feeds the documents in, the one that has the output takes the
// records out; each holds an advisory lock for that, which ends with its connection.
#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <set>
#include <thread>

#include "base/crash_point.h"
#include "base/json.h"
#include "base/log.h"
#include "base/postgres.h"
#include "batch/queue.h"

namespace minnow::batch {

namespace {

using Clock = std::chrono::steady_clock;
using Parameters = std::vector<std::string>;

constexpr size_t kFeedChunk = 500, kFeedAtOnce = 4 * kFeedChunk;
constexpr int kTakeAtOnce = 256;
constexpr auto kTakeEvery = std::chrono::milliseconds(100);
constexpr auto kReconnectFor = std::chrono::seconds(60);
// The two locks of a run, beside the one that makes the tables.
constexpr const char* kFeeds = "1";
constexpr const char* kWrites = "2";

constexpr const char* kSchema = R"sql(
  BEGIN;
  SELECT pg_advisory_xact_lock(7236837, 0);
  CREATE TABLE IF NOT EXISTS minnow_run(
    run SERIAL PRIMARY KEY, name TEXT NOT NULL UNIQUE, identity TEXT NOT NULL,
    fed BOOLEAN NOT NULL DEFAULT false,
    settled_records BIGINT NOT NULL DEFAULT 0, settled_bytes BIGINT NOT NULL DEFAULT 0);
  CREATE TABLE IF NOT EXISTS minnow_part(
    run INTEGER NOT NULL REFERENCES minnow_run ON DELETE CASCADE, name TEXT NOT NULL,
    value TEXT NOT NULL, PRIMARY KEY (run, name));
  CREATE TABLE IF NOT EXISTS minnow_document(
    run INTEGER NOT NULL REFERENCES minnow_run ON DELETE CASCADE, number BIGINT NOT NULL,
    digest BIGINT NOT NULL, document BYTEA NOT NULL, state SMALLINT NOT NULL DEFAULT 0,
    token BIGINT NOT NULL DEFAULT 0, lease_until TIMESTAMPTZ, strikes INTEGER NOT NULL DEFAULT 0,
    failed BOOLEAN NOT NULL DEFAULT false, record TEXT, PRIMARY KEY (run, number));
  CREATE INDEX IF NOT EXISTS minnow_document_open ON minnow_document(run, number) WHERE state < 2;
  CREATE SEQUENCE IF NOT EXISTS minnow_token;
  COMMIT;
)sql";

// A document as bytes: its fields, each after its length. PostgreSQL's text takes no NUL and no
// broken UTF-8; documents hold both.
std::string Pack(const SourceItem& item) {
  const script::Document& d = item.document;
  std::string packed;
  const auto add = [&](std::string_view field) {
    packed += fmt::format("{}:", field.size());
    packed += field;
  };
  for (const std::string* field : {&d.id, &d.path, &d.text}) add(*field);
  add(d.meta.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  add(std::to_string(static_cast<int>(item.status.code())));
  add(item.status.message());
  return packed;
}

Result<SourceItem> Unpack(std::string_view packed) {
  std::string fields[6];
  for (std::string& field : fields) {
    const size_t colon = packed.find(':');
    const size_t n = colon == packed.npos
                         ? packed.npos
                         : std::strtoull(std::string(packed.substr(0, colon)).c_str(), nullptr, 10);
    if (n > packed.size() || n + colon + 1 > packed.size()) {
      return Error(Code::kCorrupt, "a document in the database is damaged");
    }
    field = packed.substr(colon + 1, n);
    packed.remove_prefix(colon + 1 + n);
  }
  SourceItem item;
  item.document.id = fields[0];
  item.document.path = fields[1];
  item.document.text = fields[2];
  MNW_ASSIGN(item.document.meta, ParseJson(fields[3]));
  const auto code = static_cast<Code>(std::atoi(fields[4].c_str()));
  item.status = Status(code, fields[5]);
  return item;
}

class PostgresQueue final : public Queue {
 public:
  PostgresQueue(std::unique_ptr<Postgres> db, const PostgresOptions& options, Source* source)
      : db_(std::move(db)), options_(options), source_(source) {}

  Status Prepare(const Identity& identity) {
    MNW_TRY(db_->Execute(kSchema));
    if (options_.anew)
      MNW_TRY(Query("DELETE FROM minnow_run WHERE name = $1", {options_.run}).status());
    if (source_) {
      MNW_TRY(Query("INSERT INTO minnow_run(name, identity) VALUES ($1, $2) "
                    "ON CONFLICT (name) DO NOTHING",
                    {options_.run, IdentityText(identity)})
                  .status());
    }
    MNW_ASSIGN(const PostgresRows run,
               Query("SELECT run, identity, settled_records, settled_bytes, fed FROM minnow_run "
                     "WHERE name = $1",
                     {options_.run}));
    if (run.size() == 0) {
      return Error(Code::kNotFound,
                   "the database has no run '{}'; start it with --input and --output first",
                   options_.run);
    }
    run_ = run.Text(0, 0);
    MNW_ASSIGN(Identity was, ParseIdentity(run.Text(0, 1)));
    // What a mere worker does not know cannot differ.
    std::erase_if(was, [&](const auto& entry) {
      return !source_ && std::none_of(identity.begin(), identity.end(),
                                      [&](const auto& e) { return e.first == entry.first; });
    });
    if (const std::string d = Difference(was, identity); !d.empty()) return OtherRun(d);
    settled_ = {static_cast<uint64_t>(run.Int(0, 2)), static_cast<uint64_t>(run.Int(0, 3))};
    taken_ = settled_.records;
    fed_ = run.Bool(0, 4);
    MNW_TRY(TakeLocks());
    return CountResumed();
  }

  Result<std::vector<Task>> Claim(size_t n) override {
    MNW_TRY(Feed());
    MNW_ASSIGN(
        const PostgresRows rows,
        Query("WITH c AS (SELECT number, state FROM minnow_document WHERE run = $1 AND "
              "  (state = 0 OR (state = 1 AND lease_until < now())) ORDER BY number LIMIT $2 "
              "  FOR UPDATE SKIP LOCKED) "
              "UPDATE minnow_document d SET state = 1, token = nextval('minnow_token'), "
              "  lease_until = now() + $3::float8 * interval '1 second', "
              "  strikes = d.strikes + c.state "
              "FROM c WHERE d.run = $1 AND d.number = c.number "
              "RETURNING d.number, d.token, d.strikes, d.document",
              {run_, std::to_string(n), std::to_string(options_.lease_seconds)}));
    std::vector<Task> tasks;
    for (size_t i = 0; i < rows.size(); ++i) {
      Task task{static_cast<uint64_t>(rows.Int(i, 0)),
                static_cast<uint64_t>(rows.Int(i, 1)),
                static_cast<uint32_t>(rows.Int(i, 2)),
                {}};
      MNW_ASSIGN(task.item, Unpack(FromBytea(rows.Text(i, 3))));
      claims_.insert(task.token);
      tasks.push_back(std::move(task));
    }
    std::sort(tasks.begin(), tasks.end(),
              [](const Task& a, const Task& b) { return a.number < b.number; });
    MNW_CRASH_POINT("batch.claimed");
    if (tasks.empty()) MNW_TRY(LookForMore());
    return tasks;
  }

  bool waiting() const override { return waiting_; }

  Status Release(const Task& task) override {
    claims_.erase(task.token);
    return Query(
               "UPDATE minnow_document SET state = 0 WHERE run = $1 AND number = $2 AND token = $3 "
               "AND state = 1",
               {run_, std::to_string(task.number), std::to_string(task.token)})
        .status();
  }

  // Twice is as good as once, so a lost connection does no harm.
  Result<bool> Complete(const Task& task, bool failed, const std::string& record) override {
    claims_.erase(task.token);
    MNW_ASSIGN(const PostgresRows rows,
               Query("UPDATE minnow_document SET state = 2, failed = $4, record = $5 "
                     "WHERE run = $1 AND number = $2 AND token = $3 AND state IN (1, 2)",
                     {run_, std::to_string(task.number), std::to_string(task.token),
                      failed ? "true" : "false", record}));
    MNW_CRASH_POINT("batch.completed");
    if (rows.changed() == 1) return true;
    LogWarning("document '{}' was taken over by another worker; its record here is dropped",
               task.item.document.id);
    return false;
  }

  Status Note(const std::string& name, const std::string& value) override {
    MNW_TRY(Query("INSERT INTO minnow_part VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                  {run_, name, value})
                .status());
    MNW_ASSIGN(const PostgresRows rows,
               Query("SELECT value FROM minnow_part WHERE run = $1 AND name = $2", {run_, name}));
    const std::string before = rows.size() ? rows.Text(0, 0) : "";
    return before == value ? Status() : OtherRun(Difference({{name, before}}, {{name, value}}));
  }

  Status KeepAlive() override {
    MNW_TRY(Feed());
    if (claims_.empty()) return Status();
    return Query(
               "UPDATE minnow_document SET lease_until = now() + $3::float8 * interval '1 second' "
               "WHERE run = $1 AND state = 1 AND token = ANY($2::bigint[])",
               {run_, fmt::format("{{{}}}", fmt::join(claims_, ",")),
                std::to_string(options_.lease_seconds)})
        .status();
  }

  Result<std::optional<std::string>> Take() override {
    if (!options_.writes) return std::optional<std::string>();
    if (ready_.empty()) MNW_TRY(FetchRecords());
    if (ready_.empty()) return std::optional<std::string>();
    std::optional<std::string> record = std::move(ready_.front());
    ready_.pop_front();
    ++taken_;
    return record;
  }

  Status Settle(const Position& position) override {
    if (!options_.writes || position.records == settled_.records) return Status();
    // One command is one transaction.
    MNW_TRY(Query("WITH r AS (UPDATE minnow_run SET settled_records = $2, settled_bytes = $3 "
                  "  WHERE run = $1) "
                  "UPDATE minnow_document SET record = '' "
                  "WHERE run = $1 AND number >= $4 AND number < $2::bigint",
                  {run_, std::to_string(position.records), std::to_string(position.bytes),
                   std::to_string(settled_.records)})
                .status());
    settled_ = position;
    MNW_CRASH_POINT("batch.settled");
    return Status();
  }

  Position settled() const override { return settled_; }
  Resumed resumed() const override { return resumed_; }
  std::optional<uint64_t> count() const override {
    return source_ ? std::optional<uint64_t>(source_->count()) : std::nullopt;
  }

 private:
  // Repeats what a lost connection left open, for a while.
  Result<PostgresRows> Query(const char* sql, const Parameters& parameters) {
    const auto deadline = Clock::now() + kReconnectFor;
    auto pause = std::chrono::milliseconds(100);
    for (;;) {
      auto rows = db_->Query(sql, parameters);
      if (rows.ok() || rows.status().code() != Code::kUnavailable) return rows;
      if (Clock::now() > deadline) return rows;
      LogWarning("{}; trying again", rows.status().message());
      std::this_thread::sleep_for(pause);
      pause = std::min<std::chrono::milliseconds>(2 * pause, std::chrono::seconds(2));
      if (db_->Reconnect().ok() && !run_.empty()) MNW_TRY(TakeLocks());
    }
  }

  Status TakeLocks() {
    feeds_ = false;
    if (source_ && !fed_) {
      MNW_ASSIGN(feeds_, TryLock(kFeeds));
    }
    if (!options_.writes) return Status();
    MNW_ASSIGN(const bool mine, TryLock(kWrites));
    if (mine) return Status();
    return Error(Code::kPrecondition,
                 "another process writes the output of the run '{}'; --worker helps it",
                 options_.run);
  }

  Result<bool> TryLock(const char* which) {
    const Parameters parameters = {run_, which};
    MNW_ASSIGN(const PostgresRows rows,
               db_->Query("SELECT pg_try_advisory_lock(7236837 # $1::int, $2::int)", parameters));
    return rows.Bool(0, 0);
  }

  Status CountResumed() {
    MNW_ASSIGN(const PostgresRows rows,
               Query("SELECT count(*) FILTER (WHERE state = 2), count(*) FILTER (WHERE failed), "
                     "coalesce(max(number) + 1, 0) FROM minnow_document WHERE run = $1",
                     {run_}));
    resumed_ = {static_cast<uint64_t>(rows.Int(0, 0)), static_cast<uint64_t>(rows.Int(0, 1))};
    known_ = static_cast<uint64_t>(rows.Int(0, 2));
    return Status();
  }

  // Brings some of the input into the database. What is there already must be the same.
  Status Feed() {
    for (size_t fed = 0; feeds_ && fed < kFeedAtOnce; fed += kFeedChunk) {
      nlohmann::json chunk = nlohmann::json::array();
      bool end = false;
      while (chunk.size() < kFeedChunk && !end) {
        if (std::optional<SourceItem> item = source_->Next()) {
          chunk.push_back({{"number", next_++},
                           {"digest", static_cast<int64_t>(Digest(*item))},
                           {"document", ToBytea(Pack(*item))}});
        } else {
          end = true;
        }
      }
      MNW_TRY(FeedChunk(chunk.dump()));
      if (!end) continue;
      if (next_ < known_) {
        return Error(Code::kPrecondition,
                     "the input has {} documents, and had {} when this run began", next_, known_);
      }
      MNW_TRY(Query("UPDATE minnow_run SET fed = true WHERE run = $1", {run_}).status());
      fed_ = true;
      feeds_ = false;
    }
    return Status();
  }

  Status FeedChunk(const std::string& chunk) {
    MNW_TRY(Query("INSERT INTO minnow_document(run, number, digest, document) "
                  "SELECT $1::int, number, digest, document::bytea FROM "
                  "json_to_recordset($2::json) AS x(number bigint, digest bigint, document text) "
                  "ON CONFLICT DO NOTHING",
                  {run_, chunk})
                .status());
    MNW_CRASH_POINT("batch.fed");
    MNW_ASSIGN(const PostgresRows changed,
               Query("SELECT d.number FROM minnow_document d JOIN "
                     "json_to_recordset($2::json) AS x(number bigint, digest bigint) "
                     "ON d.number = x.number WHERE d.run = $1 AND d.digest <> x.digest LIMIT 1",
                     {run_, chunk}));
    if (changed.size() == 0) return Status();
    return Error(Code::kPrecondition,
                 "document number {} is not what it was when this run began; restore the input, or "
                 "--overwrite to start anew",
                 changed.Int(0, 0) + 1);
  }

  // Nothing could be claimed: is it over, or may others still fail, or is the input still coming?
  Status LookForMore() {
    MNW_ASSIGN(const PostgresRows rows,
               Query("SELECT fed, EXISTS (SELECT 1 FROM minnow_document WHERE run = $1 AND state < "
                     "2) FROM minnow_run WHERE run = $1",
                     {run_}));
    waiting_ = rows.size() == 1 && (!rows.Bool(0, 0) || rows.Bool(0, 1));
    if (!waiting_) fetched_ = {};  // the last records may be fetched at once
    // Whoever fed the input may be gone before it was done.
    if (waiting_ && source_ && !fed_ && !feeds_) {
      MNW_ASSIGN(feeds_, TryLock(kFeeds));
    }
    return Status();
  }

  Status FetchRecords() {
    const auto now = Clock::now();
    if (now - fetched_ < kTakeEvery) return Status();
    MNW_ASSIGN(const PostgresRows rows,
               Query("SELECT number, record FROM minnow_document WHERE run = $1 AND number >= $2 "
                     "AND number < $2::bigint + $3::bigint AND state = 2 ORDER BY number",
                     {run_, std::to_string(taken_), std::to_string(kTakeAtOnce)}));
    for (size_t i = 0; i < rows.size() && rows.Int(i, 0) == static_cast<int64_t>(taken_ + i); ++i) {
      ready_.push_back(rows.Text(i, 1));
    }
    if (ready_.size() < kTakeAtOnce) fetched_ = now;
    return Status();
  }

  std::unique_ptr<Postgres> db_;
  const PostgresOptions options_;
  Source* const source_;
  std::string run_;  // its number
  bool feeds_ = false, fed_ = false, waiting_ = true;
  uint64_t next_ = 0, known_ = 0, taken_ = 0;
  std::set<uint64_t> claims_;
  std::deque<std::string> ready_;
  Clock::time_point fetched_{};
  Position settled_;
  Resumed resumed_;
};

}  // namespace

Result<std::unique_ptr<Queue>> OpenPostgresQueue(const PostgresOptions& options,
                                                 const Identity& identity, Source* source) {
  MNW_ASSIGN(std::unique_ptr<Postgres> db, Postgres::Connect(options.url));
  auto queue = std::make_unique<PostgresQueue>(std::move(db), options, source);
  MNW_TRY(queue->Prepare(identity));
  return std::unique_ptr<Queue>(std::move(queue));
}

}  // namespace minnow::batch
