// Tokens and errors.
#include <sys/stat.h>

#include <fstream>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "service/server.h"
#include "test_util.h"

namespace minnow::test {
namespace {

using service::Failure;
using service::Tokens;

TEST_GROUP(Tokens){};

TEST(Tokens, AcceptsEachOfItsTokensAndNothingElse) {
  const auto tokens =
      Tokens::Parse("# two of them\nfirst-token-0123456789\n\nsecond-token-012345\r\n");
  CHECK_OK(tokens.status());
  CHECK(tokens->Accepts("Bearer first-token-0123456789"));
  CHECK(tokens->Accepts("bearer second-token-012345"));
  CHECK(!tokens->Accepts("Bearer first-token-012345678"));
  CHECK(!tokens->Accepts("Bearer first-token-01234567890"));
  CHECK(!tokens->Accepts("Bearer "));
  CHECK(!tokens->Accepts("Bearer"));
  CHECK(!tokens->Accepts(""));
  CHECK(!tokens->Accepts("Basic first-token-0123456789"));
  CHECK(!tokens->Accepts("first-token-0123456789"));
  CHECK(!tokens->Accepts("Bearer # two of them"));
}

TEST(Tokens, WithoutTokensEverybodyMay) {
  CHECK(!Tokens().required());
  CHECK(Tokens().Accepts(""));
}

TEST(Tokens, RefusesFilesThatProtectNothing) {
  CHECK_ERROR(Code::kInvalid, "no token", Tokens::Parse("# nothing\n\n").status());
  CHECK_ERROR(Code::kInvalid, "line 2 has fewer than 16", Tokens::Parse("\nshort\n").status());
  const TempDir dir;
  const std::string path = dir / "tokens";
  CHECK_ERROR(Code::kNotFound, "tokens", Tokens::Load(path).status());
  std::ofstream(path) << "token-0123456789abc\n";
  ::chmod(path.c_str(), 0644);
  CHECK_ERROR(Code::kInvalid, "chmod 600", Tokens::Load(path).status());
  ::chmod(path.c_str(), 0600);
  CHECK_OK(Tokens::Load(path).status());
}

TEST_GROUP(Failure){};

google::rpc::Status Parsed(const Failure& failure) {
  google::rpc::Status status;
  CHECK(status.ParseFromString(failure.Details()));
  return status;
}

TEST(Failure, MapsEveryCodeToOneOfGrpc) {
  const std::pair<Code, const char*> kExpected[] = {{Code::kCancelled, "CANCELLED"},
                                                    {Code::kInvalid, "INVALID_ARGUMENT"},
                                                    {Code::kDeadline, "DEADLINE_EXCEEDED"},
                                                    {Code::kNotFound, "NOT_FOUND"},
                                                    {Code::kExhausted, "RESOURCE_EXHAUSTED"},
                                                    {Code::kPrecondition, "FAILED_PRECONDITION"},
                                                    {Code::kOutOfRange, "OUT_OF_RANGE"},
                                                    {Code::kUnsupported, "UNIMPLEMENTED"},
                                                    {Code::kInternal, "INTERNAL"},
                                                    {Code::kUnavailable, "UNAVAILABLE"},
                                                    {Code::kCorrupt, "DATA_LOSS"},
                                                    {Code::kDeviceLost, "UNAVAILABLE"}};
  for (const auto& [code, name] : kExpected) {
    const Failure failure(Status(code, "why"));
    STRCMP_EQUAL(name, service::GrpcCodeName(failure.grpc_code()));
    LONGS_EQUAL(failure.grpc_code(), Parsed(failure).code());
    STRCMP_EQUAL("why", Parsed(failure).message().c_str());
  }
  STRCMP_EQUAL("UNAUTHENTICATED", service::GrpcCodeName(Failure::Unauthenticated().grpc_code()));
}

TEST(Failure, CarriesReasonViolationsAndDelay) {
  Failure failure(std::vector<service::Violation>{{"a.b[2]", "is wrong"}, {"c", "too"}});
  failure.retry_seconds = 1.25;
  STRCMP_EQUAL("a.b[2]: is wrong (and 1 more)", failure.status.message().c_str());
  const google::rpc::Status status = Parsed(failure);
  LONGS_EQUAL(3, status.details_size());
  google::rpc::ErrorInfo info;
  google::rpc::BadRequest bad;
  google::rpc::RetryInfo retry;
  CHECK(status.details(0).UnpackTo(&info));
  CHECK(status.details(1).UnpackTo(&bad));
  CHECK(status.details(2).UnpackTo(&retry));
  STRCMP_EQUAL("INVALID", info.reason().c_str());
  STRCMP_EQUAL("minnow", info.domain().c_str());
  STRCMP_EQUAL("c", bad.field_violations(1).field().c_str());
  LONGS_EQUAL(1, retry.retry_delay().seconds());
  LONGS_EQUAL(250'000'000, retry.retry_delay().nanos());
}

TEST_GROUP(Addresses){};

TEST(Addresses, KnowsWhatOnlyThisMachineReaches) {
  for (const char* local : {"127.0.0.1:1", "127.8.9.1:1", "localhost:1", "[::1]:1", "unix:/x"}) {
    CHECK_TEXT(service::IsLocal(local), local);
  }
  for (const char* open : {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "example.org:1", "128.0.0.1:1"}) {
    CHECK_TEXT(!service::IsLocal(open), open);
  }
}

}  // namespace
}  // namespace minnow::test
