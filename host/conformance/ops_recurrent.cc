// conv_step and scan over the blocks of a recurrent state.
#include <algorithm>
#include <cmath>

#include "conformance/story.h"

namespace minnow::conformance {

namespace {

constexpr int32_t kLengths[] = {21, 9, 1};

// Documents that begin in cleared blocks.
std::vector<Document> Begin(Story& story, int32_t first_block) {
  std::vector<Document> documents;
  for (int32_t i = 0; i < 3; ++i) {
    documents.push_back({i, 0, {first_block + 2 * i}});
    story.Edit({0, -1, first_block + 2 * i, 1});
  }
  return documents;
}

std::vector<Telling> TellBlocks(const Sketch& sketch, uint64_t seed) {
  std::vector<Telling> tellings;
  const auto tell = [&](const char* name, char level, const auto& body) {
    Story story(sketch, seed, name, level);
    body(story);
    tellings.push_back(story.Finish());
  };
  tell("at once", 'A', [](Story& story) {
    for (Document& d : Begin(story, 0)) story.Add(d, kLengths[d.number]);
    story.EndStep();
  });
  tell("each document alone", 'A', [](Story& story) {
    for (Document& d : Begin(story, 1)) {
      story.Add(d, kLengths[d.number]);
      story.EndStep();
    }
  });
  tell("token by token", 'B', [](Story& story) {
    std::vector<Document> documents = Begin(story, 0);
    for (int32_t i = 0; i < kLengths[0]; ++i) {
      for (Document& d : documents) {
        if (i < kLengths[d.number]) story.Add(d, 1);
      }
      story.EndStep();
    }
  });
  tell("with a block copied on the way", 'B', [](Story& story) {
    std::vector<Document> documents = Begin(story, 0);
    for (Document& d : documents) {
      story.Add(d, std::min(4, kLengths[d.number]));
      story.EndStep();
    }
    for (Document& d : documents) {
      const int32_t left = kLengths[d.number] - d.length;
      if (left == 0) continue;
      const int32_t old = std::exchange(d.pages[0], d.pages[0] + 1);
      story.Edit({0, old, d.pages[0], 1});
      story.Edit({0, -1, old, 1});
      story.Add(d, left);
      story.EndStep();
    }
  });
  return tellings;
}

void WriteConv(Sketch& s, mnw_type type, int64_t width, bool bias) {
  const int64_t channels = 37;
  const uint32_t group = s.Group(MNW_STATE_RECURRENT, 8);
  const std::vector<float> later;
  const auto x = s.InputOf({channels, kTokens, 1, 1}, later);
  const auto slots = s.StepInput(MNW_INPUT_SLOTS, {}, group);
  const auto w = s.Weight(type, {width, channels, 1, 1});
  const auto b = bias ? s.Weight(MNW_TYPE_F32, {channels, 1, 1, 1}) : MNW_NONE;
  const auto state = s.State(0, group, 1, static_cast<uint32_t>(width - 1), channels);
  s.Output(s.Emit(MNW_OP_conv_step, {x, state, slots, w, b}));
}

void WriteScan(Sketch& s) {
  const int64_t heads = 6, dim = 5, groups = 2, n = 9;
  const uint32_t group = s.Group(MNW_STATE_RECURRENT, 8);
  const std::vector<float> later;
  const auto x = s.InputOf({dim, heads, kTokens, 1}, later);
  const auto dt = s.InputOf({heads, kTokens, 1, 1}, later);
  const auto b = s.InputOf({n, groups, kTokens, 1}, later);
  const auto c = s.InputOf({n, groups, kTokens, 1}, later);
  const auto slots = s.StepInput(MNW_INPUT_SLOTS, {}, group);
  // Steps are any normal numbers: they are squashed, as models do it.
  const auto positive = s.Emit(MNW_OP_sigmoid, {dt});
  std::vector<float> decay = s.random().Normals(heads);
  for (float& v : decay) v = -std::fabs(v);
  const auto a = s.WeightOf(MNW_TYPE_F32, {heads, 1, 1, 1}, decay);
  const auto d = s.Weight(MNW_TYPE_F32, {heads, 1, 1, 1});
  const auto state = s.State(0, group, heads, n, dim);
  s.Output(s.Emit(MNW_OP_scan, {x, positive, a, b, c, d, state, slots}));
}

}  // namespace

void AddRecurrent(Recipes& recipes) {
  const Bound bound = Close(1e-4, 1e-4);
  for (const int64_t width : {2, 4}) {
    recipes.push_back({fmt::format("conv_step/{}", width),
                       {},
                       bound,
                       Unit::kNone,
                       [=](Sketch& s) { WriteConv(s, MNW_TYPE_F32, width, true); },
                       TellBlocks});
  }
  recipes.push_back({"conv_step/f16",
                     {},
                     bound,
                     Unit::kNone,
                     [](Sketch& s) { WriteConv(s, MNW_TYPE_F16, 4, false); },
                     TellBlocks});
  recipes.push_back({"scan/6x5x9", {}, bound, Unit::kNone, WriteScan, TellBlocks});
}

}  // namespace minnow::conformance
