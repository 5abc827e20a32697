#include "formats/safetensors.h"

#include <cstring>
#include <fstream>

#include "test_util.h"

namespace minnow::formats {
namespace {

using test::TempDir;

// A file of this header and so many bytes of data.
std::string File(std::string_view header, size_t data_bytes) {
  const uint64_t size = header.size();
  std::string file(reinterpret_cast<const char*>(&size), sizeof size);
  file += header;
  for (size_t i = 0; i < data_bytes; ++i) file += static_cast<char>(i);
  return file;
}

Result<std::vector<SafetensorsTensor>> Parse(const std::string& file) {
  return SafetensorsReader::Parse(std::as_bytes(std::span(file)));
}

Status Refusal(std::string_view header, size_t data_bytes) {
  return Parse(File(header, data_bytes)).status();
}

void Write(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

constexpr std::string_view kTwo =
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F16","shape":[2,3],"data_offsets":[4,16]},)"
    R"("a":{"data_offsets":[0,4],"shape":[1],"dtype":"F32"}}   )";

}  // namespace

TEST_GROUP(Safetensors){};

TEST(Safetensors, ReadsTensorsInTheOrderOfTheirBytes) {
  const std::string file = File(kTwo, 16);
  const auto tensors = Parse(file);
  CHECK_OK(tensors.status());
  UNSIGNED_LONGS_EQUAL(2, tensors->size());
  const SafetensorsTensor &a = (*tensors)[0], &b = (*tensors)[1];
  STRCMP_EQUAL("a", a.name.c_str());
  LONGS_EQUAL(MNW_TYPE_F32, a.type);
  LONGS_EQUAL(1, a.n_dims);
  STRCMP_EQUAL("b", b.name.c_str());
  LONGS_EQUAL(MNW_TYPE_F16, b.type);
  LONGS_EQUAL(2, b.n_dims);
  LONGS_EQUAL(2, b.shape[0]);
  LONGS_EQUAL(3, b.shape[1]);
  LONGS_EQUAL(1, b.shape[2]);
  UNSIGNED_LONGS_EQUAL(12, b.data.size());
  POINTERS_EQUAL(file.data() + 8 + kTwo.size() + 4, b.data.data());
}

TEST(Safetensors, ScalarsAndTypesWithoutRealsAreListed) {
  const auto tensors = Parse(File(R"({"s":{"dtype":"BF16","shape":[],"data_offsets":[0,2]},)"
                                  R"("m":{"dtype":"BOOL","shape":[3],"data_offsets":[2,5]}})",
                                  5));
  CHECK_OK(tensors.status());
  LONGS_EQUAL(0, (*tensors)[0].n_dims);
  UNSIGNED_LONGS_EQUAL(2, (*tensors)[0].data.size());
  LONGS_EQUAL(MNW_TYPE_NONE, (*tensors)[1].type);
}

TEST(Safetensors, AFileCutAtAnyByteIsRefused) {
  const std::string file = File(kTwo, 16);
  for (size_t n = 0; n < file.size(); ++n) {
    // An allocation of exactly this size, so that a sanitizer sees a read behind it.
    const std::vector<char> cut(file.begin(), file.begin() + static_cast<ptrdiff_t>(n));
    const auto refused = SafetensorsReader::Parse(std::as_bytes(std::span(cut)));
    CHECK_ERROR(Code::kCorrupt, "", refused.status());
  }
}

TEST(Safetensors, NoFlippedBitOfTheHeaderReadsOutsideTheFile) {
  const std::string file = File(kTwo, 16);
  for (size_t bit = 0; bit < 8 * (8 + kTwo.size()); ++bit) {
    std::vector<char> flipped(file.begin(), file.end());
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
    const auto tensors = SafetensorsReader::Parse(std::as_bytes(std::span(flipped)));
    if (!tensors.ok()) continue;
    for (const SafetensorsTensor& t : *tensors) {
      for (const std::byte b : t.data) CHECK(static_cast<int>(b) < 16);
    }
  }
}

TEST(Safetensors, RefusesALengthThatCannotBe) {
  std::string file = File(kTwo, 16);
  const uint64_t huge = UINT64_MAX;
  std::memcpy(file.data(), &huge, sizeof huge);
  CHECK_ERROR(Code::kCorrupt, "claims a header of 18446744073709551615 bytes",
              Parse(file).status());
  CHECK_ERROR(Code::kCorrupt, "file ends inside the length", Parse("GGUF").status());
}

TEST(Safetensors, RefusesHeadersThatAreNotOfTheFormat) {
  const struct {
    std::string_view header, message;
  } kCases[] = {
      {"", "no JSON"},
      {"[]", "an array where its object"},
      {"{} {}", "no JSON"},
      {"[[[[[[[[", "an array where"},
      {R"({"a":1})", "tensor 'a' is described by a number"},
      {R"({"a":null})", "null"},
      {R"({"a":{"a":{"a":{}}}})", "a field 'a'"},
      {R"({"__metadata__":{"a":[1]}})", "a string of __metadata__"},
      {R"({"__metadata__":7})", "a string of __metadata__"},
      {R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "a string"},
      {R"({"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}})", "an array"},
      {R"({"a":{"dtype":"F32","shape":[1]}})", "has no data_offsets"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", "has no data_offsets"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}})", "a number"},
      {R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", "has no shape"},
      {R"({"a":{"shape":[1],"data_offsets":[0,4]}})", "has no dtype"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "a negative number"},
      {R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})", "a fraction"},
      {R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})", "a dimension of 0"},
      {R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", "an array"},
      {R"({"":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "a name of 0 bytes"},
  };
  for (const auto& c : kCases) CHECK_ERROR(Code::kCorrupt, c.message.data(), Refusal(c.header, 4));
  CHECK_ERROR(Code::kUnsupported, "'a' has the dtype 'F8_E4M3'",
              Refusal(R"({"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}})", 1));
  CHECK_ERROR(Code::kUnsupported, "more than 4 dimensions",
              Refusal(R"({"a":{"dtype":"F32","shape":[1,1,1,1,1],"data_offsets":[0,4]}})", 4));
}

TEST(Safetensors, RefusesTensorsThatDoNotCoverTheDataOnce) {
  const auto two = [](std::string_view a, std::string_view b) {
    return Refusal(fmt::format(R"({{"a":{{"dtype":"F32","shape":[1],"data_offsets":{}}},)"
                               R"("b":{{"dtype":"F32","shape":[1],"data_offsets":{}}}}})",
                               a, b),
                   8);
  };
  CHECK_OK(two("[4,8]", "[0,4]"));
  CHECK_ERROR(Code::kCorrupt, "'b' overlaps", two("[0,4]", "[2,6]"));
  CHECK_ERROR(Code::kCorrupt, "'a' leaves a hole of 4 bytes",
              Refusal(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8));
  CHECK_ERROR(Code::kCorrupt, "but its shape takes 4", two("[0,4]", "[4,7]"));
  CHECK_ERROR(Code::kCorrupt, "but its shape takes 4", two("[0,4]", "[8,4]"));
  CHECK_ERROR(Code::kCorrupt, "4 bytes behind its last tensor",
              Refusal(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 8));
  CHECK_ERROR(Code::kCorrupt, "the file is cut off",
              Refusal(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4));
  CHECK_ERROR(Code::kCorrupt, "more bytes than 63 bits",
              Refusal(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],)"
                      R"("data_offsets":[0,4]}})",
                      4));
  CHECK_ERROR(Code::kCorrupt, "tensor 'a' appears twice",
              Refusal(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                      R"("a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                      8));
}

TEST(Safetensors, AFolderMayHoldOneFileOrShards) {
  const TempDir dir;
  const std::string a = File(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4);
  const std::string b = File(R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4);
  CHECK_ERROR(Code::kNotFound, "model.safetensors",
              SafetensorsReader::OpenFolder(dir.path()).status());
  Write(dir / "model.safetensors", a);
  UNSIGNED_LONGS_EQUAL(1, SafetensorsReader::OpenFolder(dir.path())->size());

  Write(dir / "x.safetensors", a);
  Write(dir / "y.safetensors", b);
  const auto with_index = [&](const std::string& map) {
    Write(dir / "model.safetensors.index.json", R"({"metadata":{},"weight_map":)" + map + "}");
    return SafetensorsReader::OpenFolder(dir.path());
  };
  const auto shards = with_index(R"({"a":"x.safetensors","b":"y.safetensors"})");
  CHECK_OK(shards.status());
  UNSIGNED_LONGS_EQUAL(2, shards->size());

  CHECK_ERROR(Code::kCorrupt, "lacks tensor 'b'",
              with_index(R"({"a":"x.safetensors","b":"x.safetensors"})").status());
  Write(dir / "y.safetensors", a);
  CHECK_ERROR(Code::kCorrupt, "tensor 'a' is in another shard too",
              with_index(R"({"a":"x.safetensors","b":"y.safetensors"})").status());
  CHECK_ERROR(Code::kNotFound, "z.safetensors", with_index(R"({"a":"z.safetensors"})").status());
  for (const char* outside : {"../x.safetensors", "/x.safetensors", "x.bin", ""}) {
    CHECK_ERROR(Code::kCorrupt, "does not name a .safetensors file beside it for tensor 'a'",
                with_index(fmt::format(R"({{"a":"{}"}})", outside)).status());
  }
  CHECK_ERROR(Code::kCorrupt, "no weight_map", with_index("[]").status());
  CHECK_ERROR(Code::kCorrupt, "no weight_map", with_index("{}").status());
  CHECK_ERROR(Code::kCorrupt, "index.json: is no JSON", with_index("{").status());
}

}  // namespace minnow::formats
