#include "batch/queue.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "test_util.h"

namespace minnow::batch {
namespace {

using test::TempDir;

// Documents "0", "1", ... whose text is `prefix` and their number.
class Numbers final : public Source {
 public:
  Numbers(size_t n, std::string prefix = "") : n_(n), prefix_(std::move(prefix)) {}
  std::optional<SourceItem> Next() override {
    if (next_ == n_) return std::nullopt;
    SourceItem item;
    item.document.id = std::to_string(next_);
    item.document.text = prefix_ + std::to_string(next_);
    ++next_;
    return item;
  }
  std::optional<size_t> count() const override { return n_; }

 private:
  size_t n_, next_ = 0;
  std::string prefix_;
};

TEST_GROUP(SqliteQueue) {
  TempDir dir;
  const Identity identity = {{"pipeline", "p1"}, {"input", "in"}};

  std::unique_ptr<Queue> Open(Source & source) {
    auto queue = OpenSqliteQueue(dir / "journal", identity, source);
    CHECK_OK(queue.status());
    return *std::move(queue);
  }
  std::vector<Task> Claim(Queue & queue, size_t n) {
    auto tasks = queue.Claim(n);
    CHECK_OK(tasks.status());
    return *std::move(tasks);
  }
  void Complete(Queue & queue, const Task& task) {
    auto done = queue.Complete(task, false, "record " + task.item.document.id);
    CHECK_OK(done.status());
    CHECK(*done);
  }
  std::string Take(Queue & queue) {
    auto record = queue.Take();
    CHECK_OK(record.status());
    return record->value_or("-");
  }
};

TEST(SqliteQueue, GivesRecordsInTheOrderOfTheInput) {
  Numbers source(3);
  const auto queue = Open(source);
  const std::vector<Task> tasks = Claim(*queue, 10);
  LONGS_EQUAL(3, tasks.size());
  LONGS_EQUAL(0, Claim(*queue, 1).size());
  Complete(*queue, tasks[2]);
  STRCMP_EQUAL("-", Take(*queue).c_str());
  Complete(*queue, tasks[0]);
  STRCMP_EQUAL("record 0", Take(*queue).c_str());
  STRCMP_EQUAL("-", Take(*queue).c_str());
  Complete(*queue, tasks[1]);
  STRCMP_EQUAL("record 1", Take(*queue).c_str());
  STRCMP_EQUAL("record 2", Take(*queue).c_str());
}

TEST(SqliteQueue, HandsOutAgainWhatWasNotCompleted) {
  {
    Numbers source(4);
    const auto queue = Open(source);
    const std::vector<Task> tasks = Claim(*queue, 3);
    Complete(*queue, tasks[0]);
    Complete(*queue, tasks[2]);
    STRCMP_EQUAL("record 0", Take(*queue).c_str());
    CHECK_OK(queue->Settle({1, 9}));
  }
  Numbers source(4);
  const auto queue = Open(source);
  LONGS_EQUAL(1, queue->settled().records);
  LONGS_EQUAL(9, queue->settled().bytes);
  LONGS_EQUAL(2, queue->resumed().documents);
  const std::vector<Task> tasks = Claim(*queue, 10);
  LONGS_EQUAL(2, tasks.size());
  LONGS_EQUAL(1, tasks[0].number);
  LONGS_EQUAL(3, tasks[1].number);
  Complete(*queue, tasks[0]);
  STRCMP_EQUAL("record 1", Take(*queue).c_str());
  STRCMP_EQUAL("record 2", Take(*queue).c_str());  // of the process before
}

TEST(SqliteQueue, CountsTheDeathsOfItsProcesses) {
  {
    Numbers source(2);
    const auto queue = Open(source);
    Complete(*queue, Claim(*queue, 2)[0]);
  }
  for (int i = 0; i < 2; ++i) {
    auto struck = StrikeUnfinished(dir / "journal");
    CHECK_OK(struck.status());
    LONGS_EQUAL(1, *struck);
  }
  Numbers source(2);
  const auto queue = Open(source);
  const std::vector<Task> tasks = Claim(*queue, 2);
  LONGS_EQUAL(1, tasks.size());
  LONGS_EQUAL(2, tasks[0].strikes);
  LONGS_EQUAL(0, *StrikeUnfinished(dir / "nowhere"));
}

TEST(SqliteQueue, RefusesAnotherRunByWhatDiffers) {
  Numbers source(1);
  Open(source);
  CHECK_ERROR(
      Code::kPrecondition, "pipeline is 'p2' now and was 'p1'",
      OpenSqliteQueue(dir / "journal", {{"pipeline", "p2"}, {"input", "in"}}, source).status());
  CHECK_ERROR(Code::kPrecondition, "input was 'in' and is nothing now",
              OpenSqliteQueue(dir / "journal", {{"pipeline", "p1"}}, source).status());
}

TEST(SqliteQueue, RefusesWhatShowsLaterToBeAnother) {
  Numbers source(1);
  {
    const auto queue = Open(source);
    CHECK_OK(queue->Note("model m", "h1"));
    CHECK_OK(queue->Note("model m", "h1"));
  }
  CHECK_ERROR(Code::kPrecondition, "model m is 'h2' now and was 'h1'",
              Open(source)->Note("model m", "h2"));
}

TEST(SqliteQueue, RefusesInputThatChanged) {
  {
    Numbers source(3);
    Claim(*Open(source), 3);
  }
  Numbers other(3, "x"), fewer(2);
  CHECK_ERROR(Code::kPrecondition, "document '0' (number 1) is not what it was",
              Open(other)->Claim(3).status());
  CHECK_ERROR(Code::kPrecondition, "the input has 2 documents, and had at least 3",
              Open(fewer)->Claim(3).status());
  Numbers more(5);
  LONGS_EQUAL(5, Claim(*Open(more), 9).size());
}

TEST(SqliteQueue, RefusesWhatIsNoJournal) {
  std::ofstream(dir / "journal") << std::string(5000, 'x');
  Numbers source(1);
  CHECK_ERROR(Code::kCorrupt, "journal",
              OpenSqliteQueue(dir / "journal", identity, source).status());
}

TEST(SqliteQueue, IsOneProcesss) {
  Numbers source(1), second(1);
  const auto queue = Open(source);
  Claim(*queue, 1);
  CHECK_ERROR(Code::kUnavailable, "another process",
              OpenSqliteQueue(dir / "journal", identity, second).status());
}

TEST_GROUP(Digest){};

TEST(Digest, IsOfAllThatADocumentIs) {
  SourceItem item;
  item.document.id = "a";
  item.document.text = "bc";
  const uint64_t one = Digest(item);
  item.document.id = "ab";
  item.document.text = "c";
  CHECK(one != Digest(item));
  const uint64_t two = Digest(item);
  item.document.meta["page"] = 1;
  CHECK(two != Digest(item));
  item.document.text = "\xff\xfe";
  CHECK(Digest(item) == Digest(item));
}

TEST_GROUP(Select){};

TEST(Select, DividesTheDocumentsAmongShards) {
  for (uint64_t shard : {1, 2, 3}) {
    const auto part = Select(std::make_unique<Numbers>(10), {.shard = shard, .shards = 3});
    LONGS_EQUAL(shard == 1 ? 4 : 3, *part->count());
    for (uint64_t n = shard - 1; n < 10; n += 3) {
      STRCMP_EQUAL(std::to_string(n).c_str(), part->Next()->document.id.c_str());
    }
    CHECK_FALSE(part->Next().has_value());
  }
}

TEST(Select, TakesASampleByNumberAlone) {
  std::string first;
  for (int round = 0; round < 2; ++round) {
    std::string ids;
    const auto part = Select(std::make_unique<Numbers>(10000), {.sample = 0.1});
    size_t n = 0;
    while (const auto item = part->Next()) {
      ids += item->document.id + " ";
      ++n;
    }
    LONGS_EQUAL(n, *part->count());
    CHECK(n > 800 && n < 1200);
    if (round == 0) first = ids;
    CHECK(first == ids);
  }
}

TEST(Select, EndsAtTheLimit) {
  const auto part = Select(std::make_unique<Numbers>(10), {.shards = 2, .limit = 3});
  LONGS_EQUAL(3, *part->count());
  for (const char* id : {"0", "2", "4"}) STRCMP_EQUAL(id, part->Next()->document.id.c_str());
  CHECK_FALSE(part->Next().has_value());
}

}  // namespace
}  // namespace minnow::batch
