#include "formats/gguf.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <vector>

#include "formats/gguf_writer.h"
#include "formats/printable.h"
#include "test_util.h"

namespace minnow::formats {
namespace {

// A GGUF file byte by byte, so that tests can tell lies that the writer refuses to write.
class Raw {
 public:
  explicit Raw(uint64_t n_tensors, uint64_t n_entries, uint32_t version = 3) {
    bytes_ = "GGUF";
    U32(version).U64(n_tensors).U64(n_entries);
  }
  template <class T>
  Raw& Put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Raw& U32(uint32_t value) { return Put(value); }
  Raw& U64(uint64_t value) { return Put(value); }
  Raw& Text(std::string_view s) {
    U64(s.size());
    bytes_.append(s);
    return *this;
  }
  Raw& Key(std::string_view key, GgufType type) { return Text(key).Put(type); }
  Raw& Tensor(std::string_view name, std::vector<uint64_t> ne, uint32_t type, uint64_t offset) {
    Text(name).U32(static_cast<uint32_t>(ne.size()));
    for (const uint64_t n : ne) U64(n);
    return U32(type).U64(offset);
  }
  // Zeros up to a multiple of 32, then `size` of them.
  Raw& Data(size_t size) {
    bytes_.resize((bytes_.size() + 31) / 32 * 32 + size);
    return *this;
  }
  std::string& bytes() { return bytes_; }

 private:
  std::string bytes_;
};

TEST_GROUP(Gguf) {
  test::TempDir dir;

  Result<GgufReader> Open(const std::string& bytes) {
    const std::string path = dir / "model.gguf";
    std::ofstream(path, std::ios::binary) << bytes;
    return GgufReader::Open(path);
  }
  Status Refusal(const std::string& bytes) { return Open(bytes).status(); }
  Status Refusal(Raw & raw) { return Open(raw.bytes()).status(); }

  Result<GgufReader> Reopen(const GgufWriter& writer) {
    const std::string path = dir / "written.gguf";
    MNW_TRY(writer.Write(path));
    return GgufReader::Open(path);
  }
};

std::vector<std::byte> Counting(size_t n) {
  std::vector<std::byte> out(n);
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<std::byte>(i);
  return out;
}

// --- what is written is read back

TEST(Gguf, ReadsBackEveryKindOfValue) {
  GgufWriter writer;
  writer.SetU32("a.u32", 4000000000u);
  writer.SetI32("a.i32", -7);
  writer.SetU64("a.u64", 1ull << 60);
  writer.SetF32("a.f32", 0.5f);
  writer.SetBool("a.bool", true);
  writer.SetString("a.string", std::string("x\0y", 3));
  writer.SetStrings("a.strings", {"", "caf\xc3\xa9", "\xff"});
  writer.SetF32s("a.f32s", {1.0f, -2.0f});
  writer.SetI32s("a.i32s", {1, 2, -3});
  writer.SetI32s("a.empty", {});
  const auto reader = Reopen(writer);
  CHECK_OK(reader.status());
  LONGS_EQUAL(3, reader->version());
  LONGS_EQUAL(10, reader->metadata().size());
  STRCMP_EQUAL("a.u32", std::string(reader->metadata()[0].key).c_str());
  CHECK(*reader->FindU64("a.u32") == 4000000000u);
  CHECK(*reader->FindI64("a.u32") == 4000000000);
  CHECK(*reader->FindI64("a.i32") == -7);
  CHECK(*reader->FindU64("a.u64") == 1ull << 60);
  CHECK(*reader->FindF64("a.f32") == 0.5);
  CHECK(*reader->FindBool("a.bool") == true);
  CHECK(*reader->FindString("a.string") == std::string_view("x\0y", 3));
  const std::vector<std::string_view> strings = {"", "caf\xc3\xa9", "\xff"};
  CHECK(*reader->FindStrings("a.strings") == strings);
  CHECK((*reader->FindF32s("a.f32s") == std::vector<float>{1, -2}));
  CHECK((*reader->FindI32s("a.i32s") == std::vector<int32_t>{1, 2, -3}));
  CHECK(reader->FindI32s("a.empty")->value().empty());
}

TEST(Gguf, ReadsBackTensorsWithTheirShapesAndBytes) {
  const std::vector<std::byte> q8 = Counting(2 * 3 * 34), f32 = Counting(4 * 5);
  GgufWriter writer;
  writer.AddTensor("blk.0.w", MNW_TYPE_Q8_0, {64, 3}, q8);
  writer.AddTensor("norm", MNW_TYPE_F32, {5}, f32);
  const auto reader = Reopen(writer);
  CHECK_OK(reader.status());
  LONGS_EQUAL(2, reader->tensors().size());
  const GgufTensor* w = reader->FindTensor("blk.0.w");
  CHECK(w == &reader->tensors()[0]);
  LONGS_EQUAL(MNW_TYPE_Q8_0, w->type);
  LONGS_EQUAL(2, w->n_dims);
  CHECK((w->ne == std::array<int64_t, 4>{64, 3, 1, 1}));
  LONGS_EQUAL(q8.size(), w->data.size());
  MEMCMP_EQUAL(q8.data(), w->data.data(), q8.size());
  const GgufTensor* norm = reader->FindTensor("norm");
  MEMCMP_EQUAL(f32.data(), norm->data.data(), f32.size());
  LONGS_EQUAL(0, (norm->data.data() - reader->files()[0].bytes().data()) % 32);
  POINTERS_EQUAL(nullptr, reader->FindTensor("absent"));
}

TEST(Gguf, CopiesMetadataFromOneFileToAnother) {
  GgufWriter first;
  first.SetU32("general.alignment", 64);
  first.SetStrings("tokens", {"a", "b"});
  first.SetU32("general.file_type", 1);
  const auto source = Reopen(first);
  CHECK_OK(source.status());
  GgufWriter second;
  for (const GgufEntry& entry : source->metadata()) second.Set(entry);
  second.SetU32("general.file_type", 7);
  const std::vector<std::byte> data = Counting(4);
  second.AddTensor("a", MNW_TYPE_F32, {1}, data);
  second.AddTensor("b", MNW_TYPE_F32, {1}, data);
  CHECK_OK(second.Write(dir / "second.gguf"));
  const auto copy = GgufReader::Open(dir / "second.gguf");
  CHECK_OK(copy.status());
  LONGS_EQUAL(3, copy->metadata().size());
  CHECK(*copy->FindU64("general.file_type") == 7u);
  CHECK(copy->FindStrings("tokens")->value()[1] == "b");
  LONGS_EQUAL(64, copy->tensors()[1].data.data() - copy->tensors()[0].data.data());
}

TEST(Gguf, ReadsVersion2) {
  const auto reader = Open(Raw(0, 1, 2).Key("k", GgufType::kU8).Put<uint8_t>(9).bytes());
  CHECK_OK(reader.status());
  LONGS_EQUAL(2, reader->version());
  CHECK(*reader->FindU64("k") == 9u);
}

TEST(Gguf, StaysValidWhenMoved) {
  GgufWriter writer;
  writer.SetString("k", "value");
  auto reader = Reopen(writer);
  CHECK_OK(reader.status());
  const GgufReader moved = *std::move(reader);
  CHECK(*moved.FindString("k") == "value");
}

// --- typed access

TEST(Gguf, AbsentKeysAreNotErrors) {
  const auto reader = Reopen(GgufWriter());
  CHECK_OK(reader.status());
  CHECK(*reader->FindU64("k") == std::nullopt);
  CHECK(*reader->FindF64("k") == std::nullopt);
  CHECK(*reader->FindString("k") == std::nullopt);
  CHECK(!reader->FindStrings("k")->has_value());
  POINTERS_EQUAL(nullptr, reader->Find("k"));
}

TEST(Gguf, IntegersOfAnyWidthAreTakenWhereTheyFit) {
  Raw raw(0, 4);
  raw.Key("i8", GgufType::kI8).Put<int8_t>(-1);
  raw.Key("u16", GgufType::kU16).Put<uint16_t>(65535);
  raw.Key("u64", GgufType::kU64).U64(std::numeric_limits<uint64_t>::max());
  raw.Key("u64s", GgufType::kArray).Put(GgufType::kU64).U64(2).U64(3).U64(1ull << 33);
  const auto reader = Open(raw.bytes());
  CHECK_OK(reader.status());
  CHECK(*reader->FindI64("i8") == -1);
  CHECK(*reader->FindU64("u16") == 65535u);
  CHECK(*reader->FindU64("u64") == std::numeric_limits<uint64_t>::max());
  CHECK_ERROR(Code::kCorrupt, "'i8' holds -1, which does not fit an unsigned integer",
              reader->FindU64("i8").status());
  CHECK_ERROR(Code::kCorrupt, "'u64' holds 18446744073709551615", reader->FindI64("u64").status());
  CHECK_ERROR(Code::kCorrupt, "'u64s' holds 8589934592", reader->FindU32s("u64s").status());
}

TEST(Gguf, ValuesOfAnotherTypeAreErrorsThatNameTheKey) {
  GgufWriter writer;
  writer.SetF32("f", 1.0f);
  writer.SetString("s", "1");
  writer.SetBool("b", true);
  writer.SetI32s("is", {1});
  writer.SetF32s("fs", {1});
  writer.SetStrings("ss", {"1"});
  const auto reader = Reopen(writer);
  CHECK_OK(reader.status());
  CHECK_ERROR(Code::kCorrupt, "'f' holds f32, expected an unsigned integer",
              reader->FindU64("f").status());
  CHECK_ERROR(Code::kCorrupt, "'s' holds string", reader->FindU64("s").status());
  CHECK_ERROR(Code::kCorrupt, "'b' holds bool", reader->FindI64("b").status());
  CHECK_ERROR(Code::kCorrupt, "'is' holds an array of i32", reader->FindI64("is").status());
  CHECK_ERROR(Code::kCorrupt, "'is' holds an array of i32, expected an array of f32",
              reader->FindF32s("is").status());
  CHECK_ERROR(Code::kCorrupt, "'fs' holds an array of f32", reader->FindI32s("fs").status());
  CHECK_ERROR(Code::kCorrupt, "'ss' holds an array of string", reader->FindI32s("ss").status());
  CHECK_ERROR(Code::kCorrupt, "'is' holds an array of i32", reader->FindStrings("is").status());
  CHECK_ERROR(Code::kCorrupt, "'ss' holds an array of string", reader->FindString("ss").status());
  CHECK_ERROR(Code::kCorrupt, "'f' holds f32", reader->FindI32s("f").status());
  CHECK_ERROR(Code::kCorrupt, "'is' holds an array of i32", reader->FindBytes("is").status());
  CHECK_ERROR(Code::kCorrupt, "'is' holds an array of i32", reader->FindBools("is").status());
  CHECK_ERROR(Code::kCorrupt, "'s' holds string", reader->FindBool("s").status());
  CHECK_ERROR(Code::kCorrupt, "'s' holds string", reader->FindF64("s").status());
}

TEST(Gguf, ReadsBytesAndBoolsFromArrays) {
  Raw raw(0, 2);
  raw.Key("map", GgufType::kArray).Put(GgufType::kU8).U64(3).Put<uint8_t>(1).Put<uint16_t>(0x302);
  raw.Key("pattern", GgufType::kArray).Put(GgufType::kBool).U64(2).Put<uint8_t>(1).Put<uint8_t>(0);
  const auto reader = Open(raw.bytes());
  CHECK_OK(reader.status());
  const auto map = reader->FindBytes("map");
  LONGS_EQUAL(3, (*map)->size());
  LONGS_EQUAL(2, static_cast<int>((**map)[1]));
  CHECK((*reader->FindBools("pattern") == std::vector<bool>{true, false}));
}

TEST(Gguf, TextOfValuesIsShortAndEscaped) {
  GgufWriter writer;
  writer.SetString("name", "caf\xc3\xa9\x1b[31m\xff");
  writer.SetString("long", std::string(5000, 'x'));
  writer.SetI32s("types", std::vector<int32_t>(1000, 1));
  writer.SetStrings("tokens", {"a", "b\n"});
  writer.SetBool("flag", false);
  writer.SetF32("eps", 1e-5f);
  const auto reader = Reopen(writer);
  CHECK_OK(reader.status());
  const auto text = [&](const char* key) { return GgufValueText(*reader->Find(key)); };
  STRCMP_EQUAL("\"caf\xc3\xa9\\x1b[31m\\xff\"", text("name").c_str());
  CHECK(text("long").size() < 120);
  STRCMP_EQUAL("[1, 1, 1, 1, 1, 1, ...] (1000)", text("types").c_str());
  STRCMP_EQUAL("[\"a\", \"b\\x0a\"] (2)", text("tokens").c_str());
  STRCMP_EQUAL("false", text("flag").c_str());
  STRCMP_EQUAL("1e-05", text("eps").c_str());
}

TEST(Gguf, PrintableKeepsWholeCharactersAndEscapesTheRest) {
  STRCMP_EQUAL("\xe2\x82\xac\xf0\x9f\x90\x9f", Printable("\xe2\x82\xac\xf0\x9f\x90\x9f").c_str());
  STRCMP_EQUAL("\xe2\x82\xac...", Printable("\xe2\x82\xac\xe2\x82\xac", 5).c_str());
  STRCMP_EQUAL("\\xc0\\x80", Printable("\xc0\x80").c_str());           // overlong
  STRCMP_EQUAL("\\xed\\xa0\\x80", Printable("\xed\xa0\x80").c_str());  // surrogate
  STRCMP_EQUAL("\\xf4\\x90\\x80\\x80", Printable("\xf4\x90\x80\x80").c_str());
  STRCMP_EQUAL("\\xc2\\x9b", Printable("\xc2\x9b").c_str());  // a C1 control
  STRCMP_EQUAL("\\xe2\\x82", Printable("\xe2\x82").c_str());  // cut short
}

// --- refusals

TEST(Gguf, RefusesWhatIsNotAGgufFile) {
  CHECK_ERROR(Code::kCorrupt, "ends inside the GGUF header, at byte 0", Refusal(""));
  CHECK_ERROR(Code::kCorrupt, "ends inside the GGUF header", Refusal("GGU"));
  CHECK_ERROR(Code::kCorrupt, "ends inside the GGUF header",
              Refusal(Raw(0, 0).bytes().substr(0, 23)));
  CHECK_ERROR(Code::kCorrupt, "starts with 'PK\\x03\\x04', expected 'GGUF'",
              Refusal("PK\x03\x04" + std::string(60, ' ')));
  CHECK_ERROR(Code::kNotFound, "cannot open", GgufReader::Open(dir / "absent").status());
  CHECK_ERROR(Code::kInvalid, "not a regular file", GgufReader::Open(dir.path()).status());
}

TEST(Gguf, RefusesAFifoWithoutWaiting) {
  const std::string path = dir / "fifo";
  LONGS_EQUAL(0, ::mkfifo(path.c_str(), 0600));
  CHECK_ERROR(Code::kInvalid, "not a regular file", GgufReader::Open(path).status());
}

TEST(Gguf, RefusesOtherVersionsAndByteOrders) {
  for (const uint32_t version : {0u, 1u, 4u, 99u}) {
    CHECK_ERROR(Code::kUnsupported, fmt::format("version {}, expected 2 or 3", version).c_str(),
                Refusal(Raw(0, 0, version).bytes()));
  }
  CHECK_ERROR(Code::kUnsupported, "big-endian", Refusal(Raw(0, 0, 0x03000000).bytes()));
}

TEST(Gguf, RefusesCountsThatCannotFitWithoutReservingMemory) {
  for (const uint64_t count : {1ull << 60, 1ull << 61, 1ull << 63, ~0ull, 1ull}) {
    CHECK_ERROR(Code::kCorrupt, fmt::format("claims {} metadata entries", count).c_str(),
                Refusal(Raw(0, count).bytes()));
    CHECK_ERROR(Code::kCorrupt, fmt::format("claims {} tensors", count).c_str(),
                Refusal(Raw(count, 0).bytes()));
  }
}

TEST(Gguf, RefusesAbsurdCountsInASparseFile) {
  const std::string path = dir / "sparse.gguf";
  std::ofstream(path, std::ios::binary) << Raw(0, 100'000'000).bytes();
  LONGS_EQUAL(0, ::truncate(path.c_str(), 4ll << 30));
  CHECK_ERROR(Code::kCorrupt, "100000000 metadata entries, at most",
              GgufReader::Open(path).status());
}

TEST(Gguf, RefusesStringsLongerThanTheFile) {
  for (const uint64_t length : {1ull << 63, ~0ull, 1ull << 30, 6ull}) {
    CHECK_ERROR(Code::kCorrupt, "ends inside metadata key 0",
                Refusal(Raw(0, 1).U64(length).Put<uint8_t>(0).U32(0)));
    CHECK_ERROR(Code::kCorrupt, "ends inside the value of 'k'",
                Refusal(Raw(0, 1).Key("k", GgufType::kString).U64(length).U32(0)));
    CHECK_ERROR(Code::kCorrupt, "ends inside the value of 'k'",
                Refusal(Raw(0, 1)
                            .Key("k", GgufType::kArray)
                            .Put(GgufType::kString)
                            .U64(2)
                            .Text("")
                            .U64(length)));
  }
}

TEST(Gguf, RefusesArraysLargerThanTheFileOrTheLimit) {
  const auto array = [](GgufType type, uint64_t count) {
    return Raw(0, 1).Key("k", GgufType::kArray).Put(type).U64(count).U64(0).bytes();
  };
  for (const GgufType type : {GgufType::kU8, GgufType::kF64, GgufType::kString}) {
    CHECK_ERROR(Code::kCorrupt, "'k' claims 1152921504606846976 elements",
                Refusal(array(type, 1ull << 60)));
    CHECK_ERROR(Code::kCorrupt, "ends inside the value of 'k'", Refusal(array(type, 9)));
  }
}

TEST(Gguf, RefusesUnknownAndNestedValueTypes) {
  CHECK_ERROR(Code::kUnsupported, "'k' is a value of type 13",
              Refusal(Raw(0, 1).Key("k", static_cast<GgufType>(13)).U64(0)));
  CHECK_ERROR(Code::kUnsupported, "'k' is an array of type 99",
              Refusal(Raw(0, 1).Key("k", GgufType::kArray).U32(99).U64(0)));
  CHECK_ERROR(Code::kUnsupported, "'k' is an array of type 9 (array)",
              Refusal(Raw(0, 1).Key("k", GgufType::kArray).Put(GgufType::kArray).U64(0)));
}

TEST(Gguf, RefusesBoolsThatAreNeitherTrueNorFalse) {
  CHECK_ERROR(Code::kCorrupt, "'k' holds a bool of value 2",
              Refusal(Raw(0, 1).Key("k", GgufType::kBool).Put<uint8_t>(2)));
}

TEST(Gguf, RefusesDuplicateKeysAndNames) {
  Raw keys(0, 2);
  keys.Key("same", GgufType::kU32).U32(1).Key("same", GgufType::kU32).U32(2);
  CHECK_ERROR(Code::kCorrupt, "key 'same' appears twice", Refusal(keys));
  Raw names(2, 0);
  names.Tensor("same", {8}, MNW_TYPE_F32, 0).Tensor("same", {8}, MNW_TYPE_F32, 32).Data(64);
  CHECK_ERROR(Code::kCorrupt, "tensor 'same' appears twice", Refusal(names));
}

TEST(Gguf, RefusesNamesThatAreTooLongEmptyOrHoldNul) {
  const auto named = [](std::string_view name) {
    return Raw(1, 0).Tensor(name, {8}, MNW_TYPE_F32, 0).Data(32).bytes();
  };
  CHECK_OK(Refusal(named(std::string(63, 'n'))));
  CHECK_ERROR(Code::kCorrupt, "has 64 bytes", Refusal(named(std::string(64, 'n'))));
  CHECK_ERROR(Code::kCorrupt, "has 0 bytes", Refusal(named("")));
  CHECK_ERROR(Code::kCorrupt, "'a\\x00b'", Refusal(named(std::string_view("a\0b", 3))));
  CHECK_ERROR(Code::kCorrupt, "at most 65535",
              Refusal(Raw(0, 1).Key(std::string(65536, 'k'), GgufType::kU32).U32(0)));
}

TEST(Gguf, RefusesAlignmentsThatAreNotPowersOfTwo) {
  const auto aligned = [](uint32_t alignment) {
    return Raw(0, 1).Key("general.alignment", GgufType::kU32).U32(alignment).bytes();
  };
  for (const uint32_t good : {8u, 32u, 4096u, 1u << 20}) CHECK_OK(Refusal(aligned(good)));
  for (const uint32_t bad : {0u, 1u, 3u, 48u, (1u << 20) + 1, 1u << 21, 1u << 31}) {
    CHECK_ERROR(Code::kCorrupt, fmt::format("general.alignment is {},", bad).c_str(),
                Refusal(aligned(bad)));
  }
  CHECK_ERROR(Code::kCorrupt, "'general.alignment' holds string",
              Refusal(Raw(0, 1).Key("general.alignment", GgufType::kString).Text("32")));
}

TEST(Gguf, RefusesTensorTypesItDoesNotReadByNameAndNumber) {
  const auto typed = [](uint32_t type) {
    return Raw(1, 0).Tensor("blk.0.w", {256}, type, 0).Data(4096).bytes();
  };
  CHECK_ERROR(Code::kUnsupported, "tensor 'blk.0.w' has type 31 (Q4_0_4_4)", Refusal(typed(31)));
  CHECK_ERROR(Code::kUnsupported, "tensor 'blk.0.w' has type 9 (Q8_1)", Refusal(typed(9)));
  CHECK_ERROR(Code::kUnsupported, "type 4 (unknown)", Refusal(typed(4)));
  CHECK_ERROR(Code::kUnsupported, "type 4294967295 (unknown)", Refusal(typed(0xffffffff)));
}

TEST(Gguf, RefusesImpossibleShapes) {
  const auto shaped = [](std::vector<uint64_t> ne, uint32_t type) {
    return Raw(1, 0).Tensor("w", ne, type, 0).Data(4096).bytes();
  };
  CHECK_ERROR(Code::kCorrupt, "'w' has 0 dimensions", Refusal(shaped({}, MNW_TYPE_F32)));
  CHECK_ERROR(Code::kCorrupt, "'w' has 5 dimensions",
              Refusal(shaped({1, 1, 1, 1, 1}, MNW_TYPE_F32)));
  CHECK_ERROR(Code::kCorrupt, "'w' has a dimension of 0", Refusal(shaped({4, 0}, MNW_TYPE_F32)));
  CHECK_ERROR(Code::kCorrupt, "'w' has a dimension of -1",
              Refusal(shaped({4, ~0ull}, MNW_TYPE_F32)));
  CHECK_ERROR(Code::kCorrupt, "not a multiple of Q8_0's block of 32",
              Refusal(shaped({33}, MNW_TYPE_Q8_0)));
  CHECK_ERROR(Code::kCorrupt, "exceeds 63 bits",
              Refusal(shaped({1 << 21, (1ull << 42) + 1}, MNW_TYPE_F32)));
  CHECK_ERROR(Code::kCorrupt, "exceeds 63 bits", Refusal(shaped({1ull << 61}, MNW_TYPE_F32)));
  CHECK_ERROR(Code::kCorrupt, "exceeds 63 bits",
              Refusal(shaped({32, 1ull << 31, 1ull << 31, 2}, MNW_TYPE_Q4_0)));
}

TEST(Gguf, RefusesTensorPastEndOfFile) {
  const auto at = [](uint64_t offset, uint64_t ne) {
    return Raw(1, 0).Tensor("w", {ne}, MNW_TYPE_F32, offset).Data(64).bytes();
  };
  CHECK_OK(Refusal(at(0, 16)));
  CHECK_OK(Refusal(at(32, 8)));
  CHECK_ERROR(Code::kCorrupt, "'w' (68 bytes at offset 0 of the data)", Refusal(at(0, 17)));
  CHECK_ERROR(Code::kCorrupt, "'w' (36 bytes at offset 32", Refusal(at(32, 9)));
  CHECK_ERROR(Code::kCorrupt, "may be incomplete", Refusal(at(1ull << 62, 8)));
  CHECK_ERROR(Code::kCorrupt, "may be incomplete", Refusal(at(~0ull - 31, 16)));
  std::string short_file = at(0, 16);
  short_file.pop_back();
  CHECK_ERROR(Code::kCorrupt, "may be incomplete", Refusal(short_file));
}

TEST(Gguf, RefusesTensorsThatAreUnalignedOverlapOrGoBackwards) {
  const auto at = [](uint64_t first, uint64_t second) {
    return Raw(2, 0)
        .Tensor("a", {9}, MNW_TYPE_F32, first)
        .Tensor("b", {8}, MNW_TYPE_F32, second)
        .Data(128)
        .bytes();
  };
  CHECK_OK(Refusal(at(0, 64)));
  CHECK_OK(Refusal(at(32, 96)));
  CHECK_ERROR(Code::kCorrupt, "'b' begins at offset 72, not a multiple of 32", Refusal(at(0, 72)));
  CHECK_ERROR(Code::kCorrupt, "'b' at offset 32 begins before 'a' ends, at 36", Refusal(at(0, 32)));
  CHECK_ERROR(Code::kCorrupt, "'b' at offset 0 begins before 'a' ends", Refusal(at(64, 0)));
}

TEST(Gguf, WriterRefusesWhatTheReaderWould) {
  const std::vector<std::byte> data = Counting(64);
  const auto refusal = [&](std::string_view name, std::vector<int64_t> ne) {
    GgufWriter writer;
    writer.AddTensor(name, MNW_TYPE_F32, std::move(ne), data);
    return writer.Write(dir / "out.gguf");
  };
  CHECK_OK(refusal("w", {16}));
  CHECK_ERROR(Code::kInvalid, "'w' needs 60 bytes and was given 64", refusal("w", {15}));
  CHECK_ERROR(Code::kCorrupt, "'w' has 0 dimensions", refusal("w", {}));
  CHECK_ERROR(Code::kCorrupt, "has 64 bytes", refusal(std::string(64, 'x'), {16}));
  GgufWriter twice;
  twice.AddTensor("w", MNW_TYPE_F32, {16}, data);
  twice.AddTensor("w", MNW_TYPE_F32, {16}, data);
  CHECK_ERROR(Code::kInvalid, "'w' was added twice", twice.Write(dir / "out.gguf"));
  GgufWriter unaligned;
  unaligned.SetU32("general.alignment", 3);
  CHECK_ERROR(Code::kCorrupt, "general.alignment is 3", unaligned.Write(dir / "out.gguf"));
  CHECK_ERROR(Code::kInvalid, "cannot write", GgufWriter().Write(dir / "no/such/folder"));
  CHECK_FALSE(std::filesystem::exists(dir / "out.gguf.partial"));
}

// --- robustness

// A small model with every kind of metadata, whose last tensor ends at the end of the file.
std::string SmallModel(const std::string& path) {
  const std::vector<std::byte> q8 = Counting(34 * 2), f32 = Counting(64);
  GgufWriter writer;
  writer.SetString("general.architecture", "llama");
  writer.SetU32("general.alignment", 32);
  writer.SetU64("n", 7);
  writer.SetF32("eps", 1e-5f);
  writer.SetBool("flag", true);
  writer.SetStrings("tokens", {"<s>", "a", ""});
  writer.SetF32s("scores", {0, -1, -2});
  writer.SetI32s("types", {3, 1, 1});
  writer.AddTensor("w", MNW_TYPE_Q8_0, {32, 2}, q8);
  writer.AddTensor("norm", MNW_TYPE_F32, {16}, f32);
  CHECK_OK(writer.Write(path));
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Uses all that an opened file offers; sanitizers watch.
int Touch(const GgufReader& reader) {
  int sum = 0;
  for (const GgufEntry& entry : reader.metadata()) {
    sum += static_cast<int>(GgufValueText(entry).size());
    sum += reader.FindStrings(entry.key).ok() + reader.FindF32s(entry.key).ok() +
           reader.FindI32s(entry.key).ok() + reader.FindU64(entry.key).ok() +
           reader.FindString(entry.key).ok() + reader.FindBytes(entry.key).ok();
  }
  for (const GgufTensor& tensor : reader.tensors()) {
    for (const std::byte b : tensor.data) sum += static_cast<int>(b);
  }
  return sum;
}

TEST(Gguf, RefusesEveryTruncationOfAValidFile) {
  const std::string path = dir / "small.gguf";
  const std::string bytes = SmallModel(path);
  CHECK_OK(GgufReader::Open(path).status());
  for (size_t size = bytes.size(); size-- > 0;) {
    LONGS_EQUAL(0, ::truncate(path.c_str(), static_cast<off_t>(size)));
    const Status status = GgufReader::Open(path).status();
    CHECK_TEXT(!status.ok(), fmt::format("accepted {} of {} bytes", size, bytes.size()).c_str());
    STRCMP_CONTAINS("small.gguf': ", status.message().c_str());
  }
}

TEST(Gguf, EveryFlippedHeaderBitIsReadOrRefusedByName) {
  const std::string path = dir / "small.gguf";
  const std::string bytes = SmallModel(path);
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  size_t opened = 0, refused = 0;
  const size_t header = bytes.size() - 96 - 64;  // the tensors' data, padded
  for (size_t bit = 0; bit < header * 8; ++bit) {
    const char flipped = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    LONGS_EQUAL(1, ::pwrite(fd, &flipped, 1, static_cast<off_t>(bit / 8)));
    const auto reader = GgufReader::Open(path);
    if (reader.ok()) {
      ++opened;
      CHECK(Touch(*reader) != 0);
    } else {
      ++refused;
      CHECK(reader.status().message().size() > 20);
    }
    LONGS_EQUAL(1, ::pwrite(fd, &bytes[bit / 8], 1, static_cast<off_t>(bit / 8)));
  }
  ::close(fd);
  CHECK(opened > 500);  // text and numbers may be other text and numbers
  CHECK(refused > 500);
}

TEST(Gguf, SurvivesAFileThatShrinksItsStringsWhileOpen) {
  GgufWriter writer;
  writer.SetStrings("tokens", {"aaaa", "bbbb"});
  const std::string path = dir / "changing.gguf";
  CHECK_OK(writer.Write(path));
  const auto reader = GgufReader::Open(path);
  CHECK_OK(reader.status());
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  const uint64_t huge = 1ull << 40;
  const auto offset = reader->Find("tokens")->value.data() - reader->files()[0].bytes().data();
  LONGS_EQUAL(8, ::pwrite(fd, &huge, 8, offset));
  ::close(fd);
  CHECK_ERROR(Code::kCorrupt, "changed while the file was open",
              reader->FindStrings("tokens").status());
}

TEST(Gguf, OpensAVocabularyOf256kInUnder60Milliseconds) {
  GgufWriter writer;
  std::vector<std::string> tokens;
  for (int i = 0; i < 256 * 1024; ++i) tokens.push_back(fmt::format("token{}", i));
  writer.SetStrings("tokenizer.ggml.tokens", tokens);
  CHECK_OK(writer.Write(dir / "vocab.gguf"));
  double best = 1e9;
  for (int round = 0; round < 5; ++round) {
    const auto start = std::chrono::steady_clock::now();
    const auto reader = GgufReader::Open(dir / "vocab.gguf");
    CHECK_OK(reader.status());
    LONGS_EQUAL(tokens.size(), reader->FindStrings("tokenizer.ggml.tokens")->value().size());
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    best = std::min(best, took.count());
  }
  CHECK_TEXT(best < 60, fmt::format("{:.1f} ms", best).c_str());
}

// --- files of others

TEST(Gguf, ReadsATrainedModel) {
  const std::string path = test::DataOrSkip("models/tinystories-656k/TinyStories-656K-Q8_0.gguf",
                                            "Gguf.ReadsATrainedModel");
  if (path.empty()) return;
  const auto reader = GgufReader::Open(path);
  CHECK_OK(reader.status());
  CHECK(*reader->FindString("general.architecture") == "llama");
  CHECK(*reader->FindU64("llama.embedding_length") == 128u);
  CHECK(*reader->FindU64("llama.block_count") == 2u);
  LONGS_EQUAL(2048, reader->FindStrings("tokenizer.ggml.tokens")->value().size());
  const GgufTensor* embedding = reader->FindTensor("token_embd.weight");
  CHECK(embedding != nullptr);
  CHECK((embedding->ne == std::array<int64_t, 4>{128, 2048, 1, 1}));
}

TEST(Gguf, ReadsAVocabularyOnlyFile) {
  const std::string path = test::DataOrSkip("tokenizers/vocab-gguf/ggml-vocab-gpt-2.gguf",
                                            "Gguf.ReadsAVocabularyOnlyFile");
  if (path.empty()) return;
  const auto reader = GgufReader::Open(path);
  CHECK_OK(reader.status());
  LONGS_EQUAL(0, reader->tensors().size());
  LONGS_EQUAL(50257, reader->FindStrings("tokenizer.ggml.tokens")->value().size());
  LONGS_EQUAL(50000, reader->FindStrings("tokenizer.ggml.merges")->value().size());
}

}  // namespace
}  // namespace minnow::formats
