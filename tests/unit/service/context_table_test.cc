// Contexts by id: how long they live, and how many there may be.
#include "service/context_table.h"

#include "test_util.h"

namespace minnow::test {
namespace {

using service::ContextTable;
using service::Failure;
using std::chrono::seconds;

TEST_GROUP(ContextTable) {
  ContextTable table;
  ContextTable::Clock::time_point start;

  std::string Add(std::string document, int ttl, int at) {
    std::string id;
    const Failure failure = table.Add(
        {"model", "model:adapter", std::make_shared<const std::string>(std::move(document))},
        seconds(ttl), start + seconds(at), &id);
    CHECK_OK(failure.status);
    return id;
  }
  bool Has(const std::string& id, int at) {
    ContextTable::Context context;
    return table.Find(id, start + seconds(at), &context);
  }
};

TEST(ContextTable, AContextLivesItsTimeAfterEachUse) {
  const std::string id = Add("text", 10, 0);
  CHECK(Has(id, 9));
  CHECK(Has(id, 18));
  CHECK(!Has(id, 28));
  CHECK(!Has(id, 0));
}

TEST(ContextTable, GivesBackWhatItWasGiven) {
  const std::string one = Add("one", 10, 0), two = Add("two", 10, 0);
  CHECK(one != two);
  ContextTable::Context context;
  CHECK(table.Find(two, start, &context));
  STRCMP_EQUAL("two", context.document->c_str());
  STRCMP_EQUAL("model", context.model.c_str());
  STRCMP_EQUAL("model:adapter", context.full_name.c_str());
  CHECK(table.Remove(two));
  CHECK(!table.Remove(two));
  CHECK(!Has(two, 0));
  CHECK(Has(one, 0));
}

TEST(ContextTable, RefusesMoreThanItKeepsAndSaysWhenThereIsRoom) {
  const std::string large = Add(std::string(ContextTable::kMaxBytes - 1, 'x'), 30, 0);
  Add("y", 40, 0);
  std::string id;
  const auto more = std::make_shared<const std::string>("z");
  const Failure refused =
      table.Add({"model", "model:adapter", more}, seconds(1), start + seconds(10), &id);
  CHECK_ERROR(Code::kExhausted, "delete some", refused.status);
  STRCMP_EQUAL("TOO_MANY_CONTEXTS", refused.reason);
  DOUBLES_EQUAL(20, refused.retry_seconds, 1e-9);
  CHECK(Has(large, 10));  // nothing went for it
  CHECK_OK(
      table.Add({"model", "model:adapter", more}, seconds(1), start + seconds(50), &id).status);
}

TEST(ContextTable, KeepsSoManyAndNoMore) {
  for (size_t i = 0; i < ContextTable::kMaxContexts; ++i) Add("", 10, 0);
  std::string id;
  CHECK_ERROR(Code::kExhausted, "10000 contexts",
              table
                  .Add({"model", "model:adapter", std::make_shared<const std::string>()},
                       seconds(1), start, &id)
                  .status);
}

}  // namespace
}  // namespace minnow::test
