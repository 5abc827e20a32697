#include "base/json.h"

#include <fstream>

#include "test_util.h"

using namespace minnow;

TEST_GROUP(Json) {
  test::TempDir dir;
  Result<nlohmann::ordered_json> Read(const std::string& text, size_t most = 1000) {
    std::ofstream(dir / "a.json", std::ios::binary) << text;
    return ReadJsonFile(dir / "a.json", most);
  }
};

TEST(Json, DepthCountsBracketsOutsideStrings) {
  const auto nested = [](int n) { return std::string(n, '[') + std::string(n, ']'); };
  CHECK_OK(ParseJson(nested(64)).status());
  CHECK_ERROR(Code::kInvalid, "nested deeper than 64 levels", ParseJson(nested(65)).status());
  CHECK_OK(ParseJson("[\"" + nested(65) + "\\\"[\"]").status());
  CHECK_ERROR(Code::kInvalid, "64 levels", CheckJsonDepth(std::string(1 << 20, '{')));
}

TEST(Json, PythonsNumbersThatAreNoneBecomeNull) {
  const auto value = Read(R"({"NaN": [NaN, Infinity, -Infinity, 1], "Infinity": "-Infinity"})");
  CHECK_OK(value.status());
  STRCMP_EQUAL(R"({"NaN":[null,null,null,1],"Infinity":"-Infinity"})", value->dump().c_str());
}

TEST(Json, FailuresNameTheFile) {
  CHECK_ERROR(Code::kCorrupt, "a.json: is no JSON", Read("{\"a\":").status());
  CHECK_ERROR(Code::kCorrupt, "a.json: is no JSON", Read("").status());
  CHECK_ERROR(Code::kCorrupt, "a.json: has 5 bytes, at most 4", Read("[1,2]", 4).status());
  CHECK_OK(Read("[1]").status());
  CHECK_ERROR(Code::kCorrupt, "a.json: is no JSON object",
              ReadJsonObject(dir / "a.json", 1000).status());
  CHECK_ERROR(Code::kNotFound, "absent", ReadJsonFile(dir / "absent", 1000).status());
}
