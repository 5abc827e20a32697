// Pages as the host handles them: copying, clearing, export and import, and what is refused.
#include <CppUTest/TestHarness.h>

#include <algorithm>

#include "attention_fixture.h"

using namespace minnow;
using namespace minnow::cpu::test;

namespace {

constexpr mnw_type kKvTypes[] = {MNW_TYPE_F32, MNW_TYPE_F16, MNW_TYPE_Q8_0};

void Prefill(Engine& engine, Sequence& s, const std::vector<int32_t>& tokens) {
  Step step;
  Append(step, s, tokens);
  engine.Run(step);
}

Words Decode(Engine& engine, Sequence& s, int32_t token) {
  Step step;
  Append(step, s, {token});
  return engine.Run(step)[0];
}

// The code and text of a call that fails.
template <class Call>
std::string Refused(int expected, Call call) {
  mnw_error e{};
  LONGS_EQUAL(expected, call(&e));
  return e.message;
}

}  // namespace

TEST_GROUP(State){};

TEST(State, AForkedPageGoesItsOwnWay) {
  for (const mnw_type type : kKvTypes) {
    const AttentionModel m({4, 2, 32, 64, type}, 8, 4);
    Engine straight(m), forked(m);
    Sequence a{{}, {0, 1}};
    Prefill(straight, a, Document(1, 45));
    const Words want = Decode(straight, a, 500);

    Sequence first{{}, {0, 1}};
    Prefill(forked, first, Document(1, 45));
    Sequence second = first;
    second.pages[1] = 6;
    forked.state().Edit({0, 1, 6, 13});
    Decode(forked, first, 999);  // writes where `second` writes too, in its own page
    CheckSameBits(want, Decode(forked, second, 500), "forked");
  }
}

TEST(State, AClearedPageIsZeros) {
  for (const mnw_type type : kKvTypes) {
    const AttentionModel m({4, 2, 32, 32, type}, 3, 3);
    Engine engine(m);
    Sequence s{{}, {0, 1, 2}};
    Prefill(engine, s, Document(1, 96));
    engine.state().Edit({0, -1, 1, 0});
    for (float v : engine.state().Export(0, 1)) DOUBLES_EQUAL(0, v, 0);
    CHECK_FALSE(engine.state().Export(0, 0) == engine.state().Export(0, 1));
  }
}

TEST(State, ExportIsKeysThenValuesByPosition) {
  const AttentionModel m({4, 2, 8, 6}, 3, 3);
  Engine engine(m);
  Sequence s{{}, {2, 0, 1}};
  const std::vector<int32_t> tokens = Document(1, 70);
  Prefill(engine, s, tokens);
  for (int32_t p = 0; p < 70; ++p) {
    const auto page =
        engine.state().Export(0, static_cast<uint32_t>(s.pages[static_cast<size_t>(p / 32)]));
    const std::vector<float> k = TokenValues('k', tokens[static_cast<size_t>(p)], 16),
                             v = TokenValues('v', tokens[static_cast<size_t>(p)], 12);
    CHECK_TRUE(std::equal(k.begin(), k.end(), page.begin() + p % 32 * 16));
    CHECK_TRUE(std::equal(v.begin(), v.end(), page.begin() + 32 * 16 + p % 32 * 12));
  }
}

TEST(State, AnExportedPageComesBackWithAllItsBits) {
  for (const mnw_type type : kKvTypes) {
    const AttentionModel m({4, 2, 64, 32, type}, 6, 3);
    Engine from(m), to(m);
    Sequence s{{}, {0, 1, 2}};
    Prefill(from, s, Document(1, 70));
    Sequence moved = s;
    moved.pages = {5, 3, 4};
    for (size_t i = 0; i < 3; ++i) {
      const auto page = from.state().Export(0, static_cast<uint32_t>(s.pages[i]));
      to.state().Import(0, static_cast<uint32_t>(moved.pages[i]), page);
      CHECK_TRUE(page == to.state().Export(0, static_cast<uint32_t>(moved.pages[i])));
    }
    CheckSameBits(Decode(from, s, 500), Decode(to, moved, 500), "imported");
  }
}

TEST(State, Q8KeepsItsBitsWhenRoundedAgain) {
  const AttentionModel m({1, 1, 32, 32, MNW_TYPE_Q8_0}, 1, 1);
  Engine engine(m);
  Random random(1);
  for (int i = 0; i < 300; ++i) {
    engine.state().Import(0, 0, random.Normals(32 * 64, random.Uniform(1e-3f, 1e3f)));
    const auto once = engine.state().Export(0, 0);
    engine.state().Import(0, 0, once);
    CHECK_TRUE(once == engine.state().Export(0, 0));
  }
}

TEST(State, RefusesPagesRowsAndSlotsThatAreNot) {
  const AttentionModel m({}, 3, 3);
  Engine engine(m);
  mnw_state* s = engine.state().get();
  const mnw_backend& b = Backend();
  std::vector<float> page(32 * 2 * 64);
  const auto edit = [&](mnw_page_edit edit, int code) {
    return Refused(code, [&](mnw_error* e) { return b.state_edit(s, &edit, 1, e); });
  };
  STRCMP_CONTAINS("group", edit({1, 0, 0, 0}, MNW_INVALID).c_str());
  STRCMP_CONTAINS("page", edit({0, 0, 3, 0}, MNW_OUT_OF_RANGE).c_str());
  STRCMP_CONTAINS("page", edit({0, 3, 0, 0}, MNW_OUT_OF_RANGE).c_str());
  STRCMP_CONTAINS("page", edit({0, 0, -1, 0}, MNW_OUT_OF_RANGE).c_str());
  const auto page_of = [&](uint32_t layer, uint32_t index, int code) {
    return Refused(code,
                   [&](mnw_error* e) { return b.state_export(s, layer, index, page.data(), e); });
  };
  STRCMP_CONTAINS("layer", page_of(1, 0, MNW_INVALID).c_str());
  STRCMP_CONTAINS("page", page_of(0, 3, MNW_OUT_OF_RANGE).c_str());

  Sequence sequence{{}, {0, 1, 2}};
  Step step;
  Append(step, sequence, {1});
  step.rows.push_back({0, 2, 1, 0});
  engine.Run(step);
  const auto commit = [&](int32_t row, int32_t slot, int code) {
    return Refused(code, [&](mnw_error* e) { return b.state_commit(s, 0, &row, &slot, 1, e); });
  };
  STRCMP_CONTAINS("row", commit(0, 5, MNW_INVALID).c_str());  // has a slot already
  STRCMP_CONTAINS("row", commit(2, 5, MNW_INVALID).c_str());
  STRCMP_CONTAINS("slot", commit(1, 96, MNW_OUT_OF_RANGE).c_str());
  STRCMP_CONTAINS("slot", commit(1, -1, MNW_OUT_OF_RANGE).c_str());
}

TEST(State, RefusesACacheItCannotKeep) {
  const Context c;
  const auto create = [&](uint32_t page_tokens, uint32_t k_dim, int32_t type, uint32_t group) {
    const mnw_state_group groups[] = {{sizeof groups[0], MNW_STATE_KV, 0, page_tokens, 4}};
    const mnw_state_layer layers[] = {{sizeof layers[0], group, 2, k_dim, 32, type}};
    const mnw_state_spec spec = {sizeof spec,      1,      1,     sizeof groups[0],
                                 sizeof layers[0], groups, layers};
    mnw_state* s = nullptr;
    mnw_error e{};
    const int code = Backend().state_create(c.get(), &spec, &s, &e);
    const bool sized = Backend().state_bytes(c.get(), &spec) > 0;
    CHECK_EQUAL(code == MNW_OK, sized);
    if (code == MNW_OK) Backend().state_free(s);
    return code;
  };
  LONGS_EQUAL(MNW_OK, create(32, 48, MNW_TYPE_F16, 0));
  LONGS_EQUAL(MNW_UNSUPPORTED, create(32, 48, MNW_TYPE_Q8_0, 0));
  LONGS_EQUAL(MNW_UNSUPPORTED, create(16, 32, MNW_TYPE_F16, 0));
  LONGS_EQUAL(MNW_UNSUPPORTED, create(32, 32, MNW_TYPE_Q4_K, 0));
  LONGS_EQUAL(MNW_UNSUPPORTED, create(32, 32, MNW_TYPE_F16, 1));
}

TEST(State, LayersWithoutStateTakeNothing) {
  const Context c;
  const mnw_state_group groups[] = {{sizeof groups[0], MNW_STATE_KV, 0, 32, 4}};
  const mnw_state_layer layers[] = {{sizeof layers[0], 0, 0, 0, 0, MNW_TYPE_F32},
                                    {sizeof layers[0], 0, 2, 32, 32, MNW_TYPE_F32}};
  const mnw_state_spec spec = {sizeof spec,      1,      2,     sizeof groups[0],
                               sizeof layers[0], groups, layers};
  LONGS_EQUAL(4 * 2 * 32 * 64 * 4, Backend().state_bytes(c.get(), &spec));
  mnw_state* s = nullptr;
  mnw_error e{};
  LONGS_EQUAL(MNW_OK, Backend().state_create(c.get(), &spec, &s, &e));
  const mnw_page_edit edit = {0, 1, 2, 32};
  LONGS_EQUAL(MNW_OK, Backend().state_edit(s, &edit, 1, &e));
  float out[1];
  LONGS_EQUAL(MNW_INVALID, Backend().state_export(s, 0, 0, out, &e));
  Backend().state_free(s);
}
