// A model in parts is the model in one file, bit for bit.
#include <cstring>

#include "build_tree.h"
#include "engine/answer.h"
#include "formats/gguf_writer.h"
#include "fuzz/small_model.h"

namespace minnow::test {
namespace {

constexpr uint16_t kParts = 3;

// Part `number` of the model, with every third tensor.
Status WritePart(const SmallModel& model, uint16_t number, const std::string& path) {
  formats::GgufWriter part;
  if (number == 0) part = model.writer;
  const auto set_u16 = [&](const char* key, const uint16_t& value) {
    part.Set({key, false, formats::GgufType::kU16, 1, std::as_bytes(std::span(&value, 1))});
  };
  set_u16("split.no", number);
  set_u16("split.count", kParts);
  part.SetI32("split.tensors.count", static_cast<int32_t>(model.tensors.size()));
  for (size_t i = number; i < model.tensors.size(); i += kParts) {
    const SmallTensor& t = model.tensors[i];
    part.AddTensor(t.name, t.type, t.ne, t.bytes);
  }
  return part.Write(path);
}

std::vector<float> Logits(const std::string& path) {
  CpuOptions options;
  options.instance.max_out = 8;
  CpuEngine cpu(LoadModel(path), options);
  return LogitsOf(cpu.engine(), {1, 5, 7, 8, 6, 4, 9, 10}, 8);
}

TEST_GROUP(SplitModel){};

TEST(SplitModel, AnyPartGivesTheLogitsOfTheWholeFileBitForBit) {
  const TempDir dir;
  const SmallModel model;
  CHECK_OK(model.Write(dir / "whole.gguf"));
  const std::vector<float> whole = Logits(dir / "whole.gguf");
  const auto path = [&](int number) {
    return dir / fmt::format("parts-{:05}-of-{:05}.gguf", number + 1, kParts);
  };
  for (uint16_t number = 0; number < kParts; ++number) {
    CHECK_OK(WritePart(model, number, path(number)));
  }
  for (int number = 0; number < kParts; ++number) {
    const std::vector<float> parts = Logits(path(number));
    LONGS_EQUAL(whole.size(), parts.size());
    MEMCMP_EQUAL(whole.data(), parts.data(), whole.size() * sizeof(float));
  }
}

}  // namespace
}  // namespace minnow::test
