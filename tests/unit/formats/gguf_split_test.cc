// Models split over several files.
#include <fstream>

#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "test_util.h"

namespace minnow::formats {
namespace {

// One part, as llama-gguf-split writes it, and the lies a part can tell.
struct Part {
  int number;  // from 0
  int count = 3;
  int n_tensors = 4;
  std::vector<std::string> tensors;
  std::string name = "";  // general.name
};

TEST_GROUP(GgufSplit) {
  test::TempDir dir;

  std::string PathOf(int number, int count = 3) {
    return dir / fmt::format("m-{:05}-of-{:05}.gguf", number + 1, count);
  }
  void Write(const Part& part, const std::string& path) {
    static constexpr float kOne[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    GgufWriter writer;
    if (part.number == 0) writer.SetString("general.architecture", "llama");
    if (!part.name.empty()) writer.SetString("general.name", part.name);
    const auto set_u16 = [&](const char* key, int value) {
      const auto narrow = static_cast<uint16_t>(value);
      writer.Set({key, false, GgufType::kU16, 1, std::as_bytes(std::span(&narrow, 1))});
    };
    set_u16("split.no", part.number);
    set_u16("split.count", part.count);
    writer.SetI32("split.tensors.count", part.n_tensors);
    for (const std::string& name : part.tensors) {
      writer.AddTensor(name, MNW_TYPE_F32, {8}, std::as_bytes(std::span(kOne)));
    }
    CHECK_OK(writer.Write(path));
  }
  void WriteAll() {
    Write({0, 3, 4, {"a", "b"}}, PathOf(0));
    Write({1, 3, 4, {"c"}}, PathOf(1));
    Write({2, 3, 4, {"d"}}, PathOf(2));
  }
  Status Refusal(int number = 0) { return GgufReader::Open(PathOf(number)).status(); }
};

TEST(GgufSplit, AnyPartOpensAll) {
  WriteAll();
  for (int number = 0; number < 3; ++number) {
    const auto reader = GgufReader::Open(PathOf(number));
    CHECK_OK(reader.status());
    LONGS_EQUAL(3, reader->files().size());
    LONGS_EQUAL(4, reader->tensors().size());
    STRCMP_EQUAL(PathOf(0).c_str(), reader->path().c_str());
    CHECK(*reader->FindString("general.architecture") == "llama");
    for (const char* name : {"a", "b", "c", "d"}) {
      const GgufTensor* tensor = reader->FindTensor(name);
      CHECK(tensor != nullptr);
      LONGS_EQUAL(32, tensor->data.size());
      reader->Release(tensor->data);
      LONGS_EQUAL(0x41000000, *reinterpret_cast<const int32_t*>(tensor->data.data() + 28));
    }
  }
}

TEST(GgufSplit, OnePartOfOneIsAWholeModel) {
  Write({0, 1, 9, {"a"}}, dir / "any-name.gguf");
  CHECK_OK(GgufReader::Open(dir / "any-name.gguf").status());
}

TEST(GgufSplit, RefusesAMissingPartByName) {
  WriteAll();
  std::filesystem::remove(PathOf(1));
  for (const int any : {0, 2}) {
    CHECK_ERROR(Code::kNotFound,
                ("part 2 of 3 is missing: there is no '" + PathOf(1) + "'").c_str(), Refusal(any));
  }
}

TEST(GgufSplit, RefusesACopyOfAnotherPart) {
  WriteAll();
  std::filesystem::copy_file(PathOf(1), PathOf(2),
                             std::filesystem::copy_options::overwrite_existing);
  CHECK_ERROR(Code::kCorrupt, (PathOf(2) + "': part 2 under the name of part 3").c_str(),
              Refusal());
  CHECK_ERROR(Code::kInvalid, "must be named like 'NAME-00002-of-00003.gguf'", Refusal(2));
}

TEST(GgufSplit, RefusesPartsWhoseNamesSayNothing) {
  Write({0, 3, 4, {"a"}}, dir / "model.gguf");
  CHECK_ERROR(Code::kInvalid, "must be named like 'NAME-00001-of-00003.gguf'",
              GgufReader::Open(dir / "model.gguf").status());
}

TEST(GgufSplit, RefusesPartsThatDisagreeOnCounts) {
  WriteAll();
  Write({1, 4, 4, {"c"}}, PathOf(1));
  CHECK_ERROR(Code::kCorrupt, (PathOf(1) + "': one of 4 parts").c_str(), Refusal());
  Write({1, 3, 5, {"c"}}, PathOf(1));
  CHECK_ERROR(Code::kCorrupt, (PathOf(1) + "': one of 3 parts with 5 tensors in all").c_str(),
              Refusal());
  Write({1, 3, 4, {"c", "e"}}, PathOf(1));
  CHECK_ERROR(Code::kCorrupt, "3 parts hold 5 tensors, split.tensors.count is 4", Refusal());
  GgufWriter plain;
  CHECK_OK(plain.Write(PathOf(1)));
  CHECK_ERROR(Code::kCorrupt, (PathOf(1) + "': one of 1 parts").c_str(), Refusal());
}

TEST(GgufSplit, RefusesAPartOfAnotherModel) {
  WriteAll();
  Write({2, 3, 4, {"a"}}, PathOf(2));
  CHECK_ERROR(Code::kCorrupt, (PathOf(2) + "': tensor 'a' is in an earlier part").c_str(),
              Refusal());
  Write({2, 3, 4, {"d"}, "stranger"}, PathOf(2));
  CHECK_ERROR(Code::kCorrupt, "general.name is 'stranger'", Refusal());
}

TEST(GgufSplit, RefusesAPartThatIsDamagedByItsName) {
  WriteAll();
  LONGS_EQUAL(0, ::truncate(PathOf(1).c_str(), 20));
  const std::string expected = "'" + PathOf(1) + "': file ends inside";
  CHECK_ERROR(Code::kCorrupt, expected.c_str(), Refusal());
  LONGS_EQUAL(0, Refusal().message().find(expected));
}

TEST(GgufSplit, RefusesANumberOutsideTheCount) {
  Write({3, 3, 4, {"a"}}, PathOf(2));
  CHECK_ERROR(Code::kCorrupt, "without a valid split.no", Refusal(2));
}

TEST(GgufSplit, ReadsThePartFromAName) {
  std::string stem;
  LONGS_EQUAL(2, GgufPartOfName("x/m-00002-of-00003.gguf", &stem));
  STRCMP_EQUAL("x/m", stem.c_str());
  for (const char* name :
       {"m.gguf", "m-00004-of-00003.gguf", "m-00000-of-00003.gguf", "m-0002-of-0003.gguf",
        "m-00002-of-0000x.gguf", "-00001-of-00003.gguf", "m-00002-of-00003.bin"}) {
    LONGS_EQUAL_TEXT(0, GgufPartOfName(name), name);
  }
}

}  // namespace
}  // namespace minnow::formats
