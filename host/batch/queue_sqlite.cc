// The journal: one row for each document, its record until the output holds it.
//
// synchronous = NORMAL in WAL mode: what is committed survives the process at once, and the machine
// once it is settled. After a power cut the journal is as it was at some earlier moment, the output
// at least as long as it says there: what came later is run again.
#include <unistd.h>

#include <cerrno>

#include "base/crash_point.h"
#include "base/sqlite.h"
#include "batch/queue.h"

namespace minnow::batch {

namespace {

// A journal is one process's for all of its life; a child that was killed lets go of it at once.
constexpr int kWaitMs = 500;

constexpr const char* kSchema = R"sql(
  PRAGMA locking_mode = EXCLUSIVE;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  CREATE TABLE IF NOT EXISTS run(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS document(
    number INTEGER PRIMARY KEY, digest INTEGER NOT NULL, strikes INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0, record TEXT);
)sql";

class SqliteQueue final : public Queue {
 public:
  SqliteQueue(std::unique_ptr<Sqlite> db, bool in_memory, Source& source)
      : db_(std::move(db)), in_memory_(in_memory), source_(source) {}

  Status Prepare(const Identity& identity) {
    MNW_ASSIGN(find_, db_->Prepare("SELECT digest, record IS NULL, strikes FROM document "
                                   "WHERE number = ?"));
    MNW_ASSIGN(begin_, db_->Prepare("INSERT INTO document(number, digest) VALUES (?, ?)"));
    MNW_ASSIGN(complete_, db_->Prepare("UPDATE document SET failed = ?, record = ? "
                                       "WHERE number = ? AND record IS NULL"));
    MNW_ASSIGN(take_, db_->Prepare("SELECT record FROM document WHERE number = ?"));
    MNW_ASSIGN(settle_, db_->Prepare("UPDATE document SET record = '' "
                                     "WHERE number >= ? AND number < ?"));
    MNW_ASSIGN(set_, db_->Prepare("INSERT OR REPLACE INTO run VALUES (?, ?)"));
    MNW_TRY(CheckIdentity(identity));
    MNW_ASSIGN(settled_.records, Number("settled_records"));
    MNW_ASSIGN(settled_.bytes, Number("settled_bytes"));
    taken_ = settled_.records;
    MNW_ASSIGN(SqliteStatement counts,
               db_->Prepare("SELECT count(record), sum(failed), max(number) FROM document"));
    MNW_TRY(counts.Step().status());
    resumed_ = {static_cast<uint64_t>(counts.Int(0)), static_cast<uint64_t>(counts.Int(1))};
    known_ = counts.IsNull(2) ? 0 : static_cast<uint64_t>(counts.Int(2)) + 1;
    return Status();
  }

  Result<std::vector<Task>> Claim(size_t n) override {
    std::vector<Task> tasks;
    while (tasks.size() < n && !exhausted_) {
      std::optional<SourceItem> item = source_.Next();
      if (!item) {
        MNW_TRY(CheckAllSeen());
        exhausted_ = true;
        break;
      }
      MNW_ASSIGN(const std::optional<uint32_t> strikes, Begin(next_, *item));
      if (strikes) tasks.push_back({next_, 0, *strikes, *std::move(item)});
      ++next_;
    }
    MNW_CRASH_POINT("batch.claimed");
    return tasks;
  }

  bool waiting() const override { return false; }

  Result<bool> Complete(const Task& task, bool failed, const std::string& record) override {
    MNW_TRY(complete_.Bind(1, int64_t{failed})
                .Bind(2, record)
                .Bind(3, static_cast<int64_t>(task.number))
                .Run());
    MNW_CRASH_POINT("batch.completed");
    return true;
  }

  Status Note(const std::string& name, const std::string& value) override {
    const std::string key = "part " + name;
    MNW_ASSIGN(const std::string before, Get(key.c_str()));
    if (before == value) return Status();
    if (before.empty()) return Set(key.c_str(), value);
    return OtherRun(Difference({{name, before}}, {{name, value}}));
  }

  Result<std::optional<std::string>> Take() override {
    MNW_ASSIGN(const bool there, take_.Bind(1, static_cast<int64_t>(taken_)).Step());
    if (!there) return std::optional<std::string>();
    std::optional<std::string> record;
    if (!take_.IsNull(0)) record = take_.Text(0);
    take_.Reset();
    if (record) ++taken_;
    return record;
  }

  Status Settle(const Position& position) override {
    if (position.records == settled_.records) return Status();
    MNW_TRY(db_->Execute("BEGIN IMMEDIATE"));
    const auto settle = [&]() -> Status {
      MNW_TRY(Set("settled_records", std::to_string(position.records)));
      MNW_TRY(Set("settled_bytes", std::to_string(position.bytes)));
      MNW_TRY(settle_.Bind(1, static_cast<int64_t>(settled_.records))
                  .Bind(2, static_cast<int64_t>(position.records))
                  .Run());
      MNW_CRASH_POINT("batch.settling");
      return db_->Execute("COMMIT");
    };
    if (Status status = settle(); !status.ok()) {
      static_cast<void>(db_->Execute("ROLLBACK").ok());  // the failure itself may have done it
      return status;
    }
    settled_ = position;
    MNW_CRASH_POINT("batch.settled");
    return Status();
  }

  Position settled() const override { return settled_; }
  bool in_memory() const override { return in_memory_; }
  Resumed resumed() const override { return resumed_; }
  std::optional<uint64_t> count() const override { return source_.count(); }

 private:
  Status Set(const char* key, const std::string& value) {
    return set_.Bind(1, key).Bind(2, value).Run();
  }

  Result<std::string> Get(const char* key) {
    MNW_ASSIGN(SqliteStatement get, db_->Prepare("SELECT value FROM run WHERE key = ?"));
    MNW_ASSIGN(const bool there, get.Bind(1, key).Step());
    return there ? get.Text(0) : std::string();
  }

  Result<uint64_t> Number(const char* key) {
    MNW_ASSIGN(const std::string text, Get(key));
    return static_cast<uint64_t>(std::strtoull(text.c_str(), nullptr, 10));
  }

  Status CheckIdentity(const Identity& identity) {
    MNW_ASSIGN(const std::string before, Get("identity"));
    if (before.empty()) return Set("identity", IdentityText(identity));
    MNW_ASSIGN(const Identity was, ParseIdentity(before));
    const std::string difference = Difference(was, identity);
    return difference.empty() ? Status() : OtherRun(difference);
  }

  // The strikes of a document that is to be run; none if it was completed before.
  Result<std::optional<uint32_t>> Begin(uint64_t number, const SourceItem& item) {
    const auto digest = static_cast<int64_t>(Digest(item));
    const auto n = static_cast<int64_t>(number);
    if (number < known_) {
      MNW_ASSIGN(const bool there, find_.Bind(1, n).Step());
      if (there) {
        const bool same = find_.Int(0) == digest, unfinished = find_.Int(1) != 0;
        const auto strikes = static_cast<uint32_t>(find_.Int(2));
        find_.Reset();
        if (!same) {
          return Error(Code::kPrecondition,
                       "document '{}' (number {}) is not what it was when this run began; restore "
                       "the input, or --overwrite to start anew",
                       item.document.id, number + 1);
        }
        return unfinished ? std::optional(strikes) : std::nullopt;
      }
    }
    MNW_TRY(begin_.Bind(1, n).Bind(2, digest).Run());
    return std::optional<uint32_t>(0);
  }

  Status CheckAllSeen() const {
    if (next_ >= known_) return Status();
    return Error(Code::kPrecondition,
                 "the input has {} documents, and had at least {} when this run began; restore it, "
                 "or --overwrite to start anew",
                 next_, known_);
  }

  std::unique_ptr<Sqlite> db_;  // outlives the statements
  const bool in_memory_;
  Source& source_;
  SqliteStatement find_, begin_, complete_, take_, settle_, set_;
  uint64_t next_ = 0, taken_ = 0;
  uint64_t known_ = 0;  // documents that the journal knew when it was opened
  bool exhausted_ = false;
  Position settled_;
  Resumed resumed_;
};

}  // namespace

Result<std::unique_ptr<Queue>> OpenSqliteQueue(const std::string& path, const Identity& identity,
                                               Source& source) {
  MNW_ASSIGN(std::unique_ptr<Sqlite> db, Sqlite::Open(path, kWaitMs));
  MNW_TRY(db->Execute(kSchema));
  auto queue = std::make_unique<SqliteQueue>(std::move(db), path == ":memory:", source);
  MNW_TRY(queue->Prepare(identity));
  return std::unique_ptr<Queue>(std::move(queue));
}

Result<uint64_t> StrikeUnfinished(const std::string& path) {
  if (::access(path.c_str(), F_OK) != 0) return uint64_t{0};  // it died before there was a journal
  MNW_ASSIGN(const std::unique_ptr<Sqlite> db, Sqlite::Open(path));
  MNW_TRY(db->Execute(kSchema));
  MNW_TRY(db->Execute("UPDATE document SET strikes = strikes + 1 WHERE record IS NULL"));
  return static_cast<uint64_t>(db->changes());
}

}  // namespace minnow::batch
