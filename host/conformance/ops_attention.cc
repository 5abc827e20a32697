// kv_write and attention over a paged cache: grouped heads, windows, soft caps, ALiBi, sinks,
// types.
#include <algorithm>

#include "conformance/story.h"

namespace minnow::conformance {

namespace {

struct Shape {
  std::string name;
  uint32_t heads = 4, kv_heads = 2, k_dim = 32, v_dim = 32;
  mnw_type type = MNW_TYPE_F16;
  mnw_attention_params params = {0.2f, 0, 0, 0};
  bool sinks = false;
  int32_t length = 70;  // of the longest document
};

constexpr int32_t kPages = 90;

void Write(Sketch& s, const Shape& shape) {
  const int64_t k_dim = shape.k_dim, v_dim = shape.v_dim, kv_heads = shape.kv_heads;
  const int64_t columns = (shape.length + kPageTokens - 1) / kPageTokens + 1;
  const uint32_t group = s.Group(MNW_STATE_KV, kPages, shape.params.window);
  const std::vector<float> later;  // steps bring their own
  const auto q = s.InputOf({k_dim, int64_t{shape.heads}, kTokens, 1}, later);
  const auto k = s.InputOf({k_dim, kv_heads, kTokens, 1}, later);
  const auto v = s.InputOf({v_dim, kv_heads, kTokens, 1}, later);
  const auto positions = s.StepInput(MNW_INPUT_POSITIONS, {}), seq = s.StepInput(MNW_INPUT_SEQ, {});
  const auto parent = s.StepInput(MNW_INPUT_PARENT, {}), len = s.StepInput(MNW_INPUT_SEQ_LEN, {});
  const auto slots = s.StepInput(MNW_INPUT_SLOTS, {}, group);
  const auto pages = s.StepInput(MNW_INPUT_PAGES, {}, group, columns);
  const auto before = s.State(0, group, shape.kv_heads, shape.k_dim, shape.v_dim, shape.type);
  const auto sinks =
      shape.sinks ? s.Weight(MNW_TYPE_F32, {int64_t{shape.heads}, 1, 1, 1}) : MNW_NONE;
  const auto after = s.Emit(MNW_OP_kv_write, {k, v, before, slots});
  s.Output(s.Emit(MNW_OP_attention, {q, after, positions, seq, parent, len, pages, sinks},
                  shape.params)[0]);
}

// Three documents and their pages, told in every way that a host may feed them.
class Tellings {
 public:
  Tellings(const Sketch& sketch, uint64_t seed, const Shape& shape)
      : sketch_(sketch), seed_(seed), shape_(shape) {}

  std::vector<Telling> Make() {
    return {AtOnce(), Alone(), Among(), TokenByToken(), InChunks(), AsDrafts(), Copied()};
  }

 private:
  std::vector<Document> Documents(int32_t first_page, int32_t step) const {
    std::vector<Document> documents;
    int32_t page = first_page;
    for (int32_t i = 0; i < 3; ++i) {
      Document d{i, 0, {}};
      for (int32_t p = 0; p * static_cast<int32_t>(kPageTokens) < Length(i); ++p) {
        d.pages.push_back(page);
        page += step;
      }
      documents.push_back(std::move(d));
    }
    return documents;
  }
  int32_t Length(int32_t i) const { return i == 0 ? shape_.length : i == 1 ? 33 : 5; }
  Story Begin(const char* name, char level) const {
    return Story(sketch_, seed_, name, level, shape_.params.window);
  }

  Telling AtOnce() const {
    Story story = Begin("at once", 'A');
    for (Document& d : Documents(0, 1)) story.Add(d, Length(d.number));
    story.EndStep();
    return story.Finish();
  }

  Telling Alone() const {
    Story story = Begin("each document alone", 'A');
    for (Document& d : Documents(20, -1)) {
      story.Add(d, Length(d.number));
      story.EndStep();
    }
    return story.Finish();
  }

  Telling Among() const {
    Story story = Begin("among 64 sequences", 'A');
    for (int32_t i = 0; i < 61; ++i) {
      Document other{10 + i, 0, {kPages - 1 - i}};
      story.Add(other, 1);
    }
    for (Document& d : Documents(0, 1)) story.Add(d, Length(d.number));
    story.EndStep();
    return story.Finish();
  }

  Telling TokenByToken() const {
    Story story = Begin("token by token", 'B');
    std::vector<Document> documents = Documents(0, 1);
    for (int32_t i = 0; i < shape_.length; ++i) {
      for (Document& d : documents) {
        if (i < Length(d.number)) story.Add(d, 1);
      }
      story.EndStep();
    }
    return story.Finish();
  }

  Telling InChunks() const {
    Story story = Begin("in chunks", 'B');
    std::vector<Document> documents = Documents(1, 2);
    for (int32_t size = 1, left = shape_.length; left > 0; left -= size, size = size * 2 + 1) {
      for (Document& d : documents) {
        const int32_t n = std::min(size, Length(d.number) - d.length);
        if (n > 0) story.Add(d, n);
      }
      story.EndStep();
    }
    return story.Finish();
  }

  Telling AsDrafts() const {
    Story story = Begin("as drafts, then committed", 'B');
    for (Document& d : Documents(0, 1)) {
      while (d.length < Length(d.number)) {
        if (d.length % 2 == 0) story.AddStray(d);
        story.Add(d, std::min(9, Length(d.number) - d.length), true);
        story.EndStep();
      }
    }
    return story.Finish();
  }

  // The second page of the first document is copied when it is half full, and spoilt.
  Telling Copied() const {
    Story story = Begin("with a page copied on the way", 'B');
    const int32_t n = 45;
    std::vector<Document> documents = Documents(0, 1);
    for (Document& d : documents) {
      story.Add(d, std::min(n, Length(d.number)));
      story.EndStep();
    }
    Document& d = documents[0];
    const int32_t old = std::exchange(d.pages[1], 70);
    story.Edit({0, old, 70, n % kPageTokens});
    story.Edit({0, -1, old, kPageTokens});
    story.Add(d, Length(0) - n);
    story.EndStep();
    return story.Finish();
  }

  const Sketch& sketch_;
  const uint64_t seed_;
  const Shape& shape_;
};

}  // namespace

void AddAttention(Recipes& recipes) {
  const Shape shapes[] = {
      {.name = "f32", .type = MNW_TYPE_F32},
      {.name = "f16"},
      {.name = "q8_0", .type = MNW_TYPE_Q8_0},
      {.name = "f16/one-key-head", .heads = 6, .kv_heads = 1, .k_dim = 64, .v_dim = 64},
      {.name = "f16/own-key-heads", .heads = 3, .kv_heads = 3, .k_dim = 80, .v_dim = 48},
      {.name = "f16/long", .heads = 2, .kv_heads = 1, .length = 300},
      {.name = "f16/softcap", .params = {0.2f, 2, 0, 0}},
      {.name = "f16/alibi", .heads = 12, .kv_heads = 4, .params = {0.2f, 0, 8, 0}},
      {.name = "f16/window", .params = {0.2f, 0, 0, 20}},
      {.name = "f16/sinks", .sinks = true},
  };
  for (const Shape& shape : shapes) {
    // Q8: keys and values may be rounded to other neighbours.
    const Bound bound = shape.type == MNW_TYPE_Q8_0 ? Nmse(2e-4) : Close(5e-4, 5e-4);
    recipes.push_back(
        {"attention/" + shape.name,
         {},
         bound,
         Unit::kNone,
         [shape](Sketch& s) { Write(s, shape); },
         [shape](const Sketch& s, uint64_t seed) { return Tellings(s, seed, shape).Make(); }});
  }
}

}  // namespace minnow::conformance
