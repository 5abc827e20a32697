#include "base/status.h"

#include "test_util.h"

namespace minnow {
namespace {

Result<int> Half(int n) {
  if (n % 2) return Error(Code::kInvalid, "{} is odd", n);
  return n / 2;
}

Result<int> Quarter(int n) {
  MNW_ASSIGN(const int half, Half(n));
  return Half(half);
}

TEST_GROUP(Status) {};

TEST(Status, IsOkByDefaultAndHasNoMessage) {
  const Status s;
  CHECK(s.ok());
  STRCMP_EQUAL("", s.message().c_str());
}

TEST(Status, AnnotatePutsContextInFront) {
  CHECK_ERROR(Code::kNotFound, "model 'x': no such file",
              Error(Code::kNotFound, "no such file").Annotate("model 'x'"));
}

TEST(Status, AssignReturnsTheFirstFailure) {
  LONGS_EQUAL(2, *Quarter(8));
  CHECK_ERROR(Code::kInvalid, "3 is odd", Quarter(6).status());
}

TEST(Status, CopyIsIndependent) {
  Status a = Error(Code::kInternal, "a");
  Status b = a;
  a = Status();
  CHECK(a.ok());
  STRCMP_EQUAL("a", b.message().c_str());
}

}  // namespace
}  // namespace minnow
