// kv_write and attention: against softmax(Q K^T) V in double precision, and bit by bit between the
// ways a host may feed the same tokens.
#include <CppUTest/TestHarness.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "attention_fixture.h"

using namespace minnow;
using namespace minnow::cpu::test;

namespace {

// What the state holds of a sequence, by position.
struct Held {
  std::vector<std::vector<float>> keys, values;
};
Held Read(const AttentionShape& s, const State& state, const Sequence& sequence) {
  Held held;
  for (size_t p = 0; p < sequence.tokens.size(); ++p) {
    const std::vector<float> page = state.Export(0, static_cast<uint32_t>(sequence.pages[p / 32]));
    const size_t nk = s.kv_heads * s.k_dim, nv = s.kv_heads * s.v_dim;
    const float *k = &page[p % 32 * nk], *v = &page[32 * nk + p % 32 * nv];
    held.keys.emplace_back(k, k + nk);
    held.values.emplace_back(v, v + nv);
  }
  return held;
}

// The cache keeps what its type can: F16 to half an ulp, Q8 to half a step of each 32 values.
void CheckHeld(const AttentionShape& s, const std::vector<float>& made,
               const std::vector<float>& held) {
  for (size_t i = 0; i < made.size(); ++i) {
    float largest = 0;
    for (size_t j = i / 32 * 32; j < std::min(i / 32 * 32 + 32, made.size()); ++j) {
      largest = std::max(largest, std::fabs(made[j]));
    }
    const float bound = s.type == MNW_TYPE_F32   ? 0
                        : s.type == MNW_TYPE_F16 ? std::fabs(made[i]) * 0x1p-11f + 0x1p-25f
                                                 : largest / 254 * 1.0001f;
    CHECK_TRUE(std::fabs(made[i] - held[i]) <= bound);
  }
}

std::vector<int32_t> Pages(int32_t first, int32_t n, int32_t step = 1) {
  std::vector<int32_t> pages;
  for (int32_t i = 0; i < n; ++i) pages.push_back(first + i * step);
  return pages;
}

// A prefill of n tokens and three single ones, on every level with one and three threads; every
// `stride`th row is compared with the naive sum.
void CheckShape(const AttentionShape& shape, int64_t n, size_t stride) {
  const AttentionModel m(shape, 24, 24);
  const std::vector<int32_t> tokens = Document(1, n + 3);
  const std::string what =
      fmt::format("{} heads, {} key heads, dims {} and {}, type {}, window {}", shape.heads,
                  shape.kv_heads, shape.k_dim, shape.v_dim, int{shape.type}, shape.params.window);
  std::vector<Words> first;
  for (const std::string& level : Levels()) {
    for (const uint32_t n_threads : {1u, 3u}) {
      Engine engine(m, level, n_threads);
      Sequence s{{}, Pages(20, 20, -1)};
      Step prefill;
      Append(prefill, s, Document(1, n));
      std::vector<Words> out = engine.Run(prefill);
      for (int64_t i = n; i < n + 3; ++i) {
        Step decode;
        Append(decode, s, {tokens[static_cast<size_t>(i)]});
        out.push_back(engine.Run(decode)[0]);
      }
      if (!first.empty()) {
        for (size_t i = 0; i < out.size(); ++i) {
          CheckSameBits(first[i], out[i], what + ", " + level);
        }
        continue;
      }
      first = out;
      const Held held = Read(shape, engine.state(), s);
      for (size_t p = 0; p < tokens.size(); ++p) {
        CheckHeld(shape, TokenValues('k', tokens[p], shape.kv_heads * shape.k_dim), held.keys[p]);
        CheckHeld(shape, TokenValues('v', tokens[p], shape.kv_heads * shape.v_dim), held.values[p]);
      }
      for (size_t p = (out.size() - 1) % stride; p < out.size(); p += stride) {
        const std::vector<int32_t> prefix(tokens.begin(), tokens.begin() + static_cast<int>(p) + 1);
        CheckClose(NaiveAttention(m, prefix, held.keys, held.values), ToFloats(out[p]), 1e-5, 0,
                   fmt::format("{}: row {}", what, p));
      }
    }
  }
}

// Feeds `tokens` in steps of the given sizes (the last repeated) and returns all rows.
std::vector<Words> Feed(Engine& engine, Sequence& s, const std::vector<int32_t>& tokens,
                        const std::vector<size_t>& chunks) {
  std::vector<Words> out;
  for (size_t at = 0, i = 0; at < tokens.size(); ++i) {
    const size_t n = std::min(chunks[std::min(i, chunks.size() - 1)], tokens.size() - at);
    Step step;
    Append(step, s,
           {tokens.begin() + static_cast<int>(at), tokens.begin() + static_cast<int>(at + n)});
    for (const Words& row : engine.Run(step)) out.push_back(row);
    at += n;
  }
  return out;
}

void CheckSameRows(const std::vector<Words>& want, const std::vector<Words>& got,
                   const std::string& what) {
  LONGS_EQUAL(want.size(), got.size());
  for (size_t i = 0; i < want.size(); ++i) {
    CheckSameBits(want[i], got[i], fmt::format("{}: row {}", what, i));
  }
}

constexpr mnw_type kKvTypes[] = {MNW_TYPE_F32, MNW_TYPE_F16, MNW_TYPE_Q8_0};

}  // namespace

TEST_GROUP(Attention){};

TEST(Attention, IsSoftmaxOfScoresTimesValues) {
  for (const mnw_type type : kKvTypes) {
    for (const uint32_t dim : {32u, 64u, 96u, 128u, 256u})
      CheckShape({2, 1, dim, dim, type}, 38, 5);
    CheckShape({4, 2, 64, 32, type}, 38, 5);
    CheckShape({4, 2, 32, 96, type}, 38, 5);
  }
  for (const mnw_type type : {MNW_TYPE_F32, MNW_TYPE_F16}) {
    for (const uint32_t dim : {8u, 40u, 48u, 80u}) CheckShape({2, 1, dim, dim, type}, 38, 5);
  }
}

TEST(Attention, SharesKeyHeadsAmongQueryHeads) {
  for (const uint32_t ratio : {1u, 2u, 4u, 7u, 40u}) {
    for (const uint32_t kv_heads : {1u, 3u}) CheckShape({ratio * kv_heads, kv_heads}, 35, 6);
  }
}

TEST(Attention, KnowsWindowsSoftCapsAlibiAndSinks) {
  AttentionShape s;
  for (const uint32_t window : {1u, 7u, 32u, 33u}) {
    s.params = {0.2f, 0, 0, window};
    CheckShape(s, 70, 3);
  }
  s.params = {0.2f, 1.5f, 0, 0};
  CheckShape(s, 40, 3);
  s.sinks = true;
  CheckShape(s, 40, 3);
  s.params = {0.2f, 0, 8, 0};
  for (const uint32_t heads : {8u, 12u, 6u}) {
    s.heads = heads;
    CheckShape(s, 40, 3);
  }
  s.params = {0.3f, 4, 8, 20};
  CheckShape(s, 70, 3);
}

TEST(Attention, AddsUpBlocksBehindTheirBorders) {
  CheckShape({2, 1}, 530, 17);
  AttentionShape s{2, 1};
  s.params.window = 270;
  s.sinks = true;
  CheckShape(s, 530, 17);
}

TEST(Attention, ARowsBitsDependOnNoChunkAndNoNeighbour) {
  std::vector<AttentionShape> shapes;
  for (const mnw_type type : kKvTypes) shapes.push_back({14, 2, 32, 32, type});
  shapes.push_back({2, 2, 48, 48});
  shapes.push_back({4, 1, 32, 32, MNW_TYPE_F16, {0.2f, 0, 0, 40}});
  for (const AttentionShape& shape : shapes) {
    const AttentionModel m(shape, 64, 12);
    const std::vector<int32_t> tokens = Document(1, 100);
    Engine alone(m);
    Sequence one{{}, Pages(0, 4)};
    const std::vector<Words> want = Feed(alone, one, tokens, {1});

    for (const std::vector<size_t>& chunks :
         std::vector<std::vector<size_t>>{{100}, {7, 33, 60}, {32, 32, 1, 1}, {99, 1}}) {
      Engine engine(m, "", 2);
      Sequence s{{}, {9, 3, 40, 5}};
      CheckSameRows(want, Feed(engine, s, tokens, chunks), "chunks");
    }

    // Among others that prefill and decode before and behind it.
    Engine engine(m);
    Sequence s{{}, {9, 3, 40, 5}}, before{{}, Pages(10, 10)}, behind{{}, Pages(50, 10)};
    std::vector<Words> got;
    for (size_t at = 0; at < 100; at += 20) {
      Step step;
      Append(step, before, Document(2 + static_cast<int32_t>(at), at == 0 ? 50 : 1));
      const size_t row = step.rows.size();
      Append(step, s,
             {tokens.begin() + static_cast<int>(at), tokens.begin() + static_cast<int>(at) + 20});
      Append(step, behind, Document(300 + static_cast<int32_t>(at), 31));
      const std::vector<Words> out = engine.Run(step);
      got.insert(got.end(), out.begin() + static_cast<int>(row),
                 out.begin() + static_cast<int>(row) + 20);
    }
    CheckSameRows(want, got, "neighbours");
  }
}

TEST(Attention, ChunksMeetAtBlockBorders) {
  const AttentionModel m({2, 1}, 20, 20);
  const std::vector<int32_t> tokens = Document(1, 520);
  Engine whole(m), parts(m);
  Sequence a{{}, Pages(0, 17)}, b{{}, Pages(19, 17, -1)};
  CheckSameRows(Feed(whole, a, tokens, {520}), Feed(parts, b, tokens, {250, 4, 1, 1, 1, 1, 250, 1}),
                "around 256 and 512");
}

TEST(Attention, RowsWithoutSlotReadTheirAncestorsOnly) {
  for (const mnw_type type : kKvTypes) {
    const AttentionShape shape{4, 2, 32, 32, type};
    const AttentionModel m(shape, 40, 12);
    for (const int64_t length : {0, 5, 31, 32, 63, 254, 255, 256, 300}) {
      const std::string what = fmt::format("type {}, {} committed", int{type}, length);
      const std::vector<int32_t> head = Document(1, length);
      // a - b - c, a - d - e - f; and another root g.
      enum { kA = 900001, kB, kC, kD, kE, kF, kG };
      const std::vector<std::vector<int32_t>> paths = {{kA, kB, kC}, {kA, kD, kE, kF}, {kG}};
      std::map<int32_t, Words> want;
      Words after;
      for (const auto& path : paths) {
        Engine engine(m);
        Sequence s{{}, Pages(0, 12)};
        if (length > 0) Feed(engine, s, head, {128});
        const std::vector<Words> rows = Feed(engine, s, path, {1});
        for (size_t i = 0; i < path.size(); ++i) want[path[i]] = rows[i];
        if (path.back() == kF) after = Feed(engine, s, {777}, {1})[0];
      }

      Engine engine(m, "", 2);
      Sequence s{{}, Pages(30, 12, -1)}, other{{}, Pages(31, 3)};
      if (length > 0) Feed(engine, s, head, {100});
      Step step;
      Append(step, other, Document(5, 40));
      const auto l = static_cast<int32_t>(length), r = static_cast<int32_t>(step.rows.size());
      step.seq_len.push_back(l);
      step.pages.push_back(s.pages);
      step.rows.push_back({1, kA, l, -1});
      step.rows.push_back({1, kB, l + 1, r});
      step.rows.push_back({1, kC, l + 2, r + 1});
      step.rows.push_back({1, kD, l + 1, r});
      step.rows.push_back({1, kG, l, -1});
      step.rows.push_back({1, kE, l + 2, r + 3});
      step.rows.push_back({1, kF, l + 3, r + 5});
      const std::vector<Words> out = engine.Run(step);
      for (size_t i = static_cast<size_t>(r); i < out.size(); ++i) {
        CheckSameBits(want[step.rows[i].token], out[i], what);
      }

      // Accepted: what follows reads them as if they had been written at once.
      std::vector<int32_t> slots;
      for (int32_t i = 0; i < 4; ++i) slots.push_back(s.Slot(l + i));
      engine.state().Commit(0, {r, r + 3, r + 5, r + 6}, slots);
      s.tokens.insert(s.tokens.end(), {kA, kD, kE, kF});
      CheckSameBits(after, Feed(engine, s, {777}, {1})[0], what + ", after commit");
    }
  }
}

TEST(Attention, RowsWithoutSlotMayStandBehindThePageTable) {
  const AttentionModel m({}, 4, 1), wide({}, 4, 2);
  std::vector<Words> want;
  for (const AttentionModel* model : {&wide, &m}) {
    Engine engine(*model);
    Sequence s{{}, {2}};
    Feed(engine, s, Document(1, 32), {32});
    Step step;
    step.seq_len = {32};
    step.pages = {s.pages};
    step.rows = {{0, 50, 32, -1}, {0, 51, 33, 0}};
    const std::vector<Words> out = engine.Run(step);
    if (want.empty()) want = out;
    CheckSameRows(want, out, "behind the table");
  }
}

TEST(Attention, PagesOutsideTheWindowMayBeGone) {
  const AttentionShape shape{4, 2, 32, 32, MNW_TYPE_F16, {0.2f, 0, 0, 40}};
  const AttentionModel m(shape, 16, 12);
  const std::vector<int32_t> tokens = Document(1, 300);
  Engine all(m), window(m);
  Sequence a{{}, Pages(0, 10)}, b{{}, Pages(3, 10)};
  const std::vector<Words> want = Feed(all, a, tokens, {1});
  std::vector<Words> got = Feed(window, b, Document(1, 100), {50});
  for (size_t at = 100; at < 300; ++at) {
    // Row `at` reads positions at - 39 and up.
    for (size_t page = 0; 32 * page + 32 <= at - 39; ++page) b.pages[page] = -1;
    Step step;
    Append(step, b, {tokens[at]});
    got.push_back(window.Run(step)[0]);
  }
  CheckSameRows(want, got, "window");
}

TEST(Attention, WhatAPageHeldBeforeDoesNotMatter) {
  for (const mnw_type type : kKvTypes) {
    const AttentionModel m({4, 2, 32, 32, type}, 4, 4);
    Engine clean(m), used(m);
    for (uint32_t page = 0; page < 4; ++page) {
      used.state().Import(0, page, std::vector<float>(32 * 2 * 64, NAN));
    }
    Sequence a{{}, Pages(0, 3)}, b{{}, Pages(0, 3)};
    CheckSameRows(Feed(clean, a, Document(1, 70), {33, 1}), Feed(used, b, Document(1, 70), {33, 1}),
                  "NaN before");
    Step step;
    for (Sequence* s : {&a, &b}) {
      step = {};
      step.seq_len = {70};
      step.pages = {s->pages};
      step.rows = {{0, 60, 70, -1}, {0, 61, 71, 0}};
    }
    CheckSameRows(clean.Run(step), used.Run(step), "NaN before, without slot");
  }
}

TEST(Attention, ManySequencesDecodeTogether) {
  const AttentionModel m({}, 64, 4);
  std::vector<Words> want;
  for (int32_t i = 0; i < 12; ++i) {
    Engine engine(m);
    Sequence s{{}, Pages(4 * i, 4)};
    Feed(engine, s, Document(i, 10 * i + 1), {1000});
    want.push_back(Feed(engine, s, {5555 + i}, {1})[0]);
  }
  Engine engine(m, "", 3);
  std::vector<Sequence> sequences;
  for (int32_t i = 0; i < 12; ++i) sequences.push_back({{}, Pages(4 * (11 - i), 4)});
  Step prefill, decode;
  for (int32_t i = 0; i < 12; ++i)
    Append(prefill, sequences[static_cast<size_t>(i)], Document(i, 10 * i + 1));
  engine.Run(prefill);
  for (int32_t i = 0; i < 12; ++i) Append(decode, sequences[static_cast<size_t>(i)], {5555 + i});
  CheckSameRows(want, engine.Run(decode), "together");
}

TEST_GROUP(SeqAttention){};

TEST(SeqAttention, ReadsAllRowsOfTheSequenceInBothDirections) {
  Random random(3);
  struct Shape {
    int64_t heads, kv_heads, k_dim, v_dim;
  };
  for (const Shape& s : {Shape{4, 4, 32, 32}, Shape{6, 2, 48, 20}, Shape{7, 1, 16, 33}}) {
    const std::vector<int32_t> seq = {0, 1, 1, 0, 2, 1, 0, 0, 3, 1, 0,
                                      0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    const auto n = static_cast<int64_t>(seq.size());
    const std::vector<float> q = random.Normals(s.heads * s.k_dim * n),
                             k = random.Normals(s.kv_heads * s.k_dim * n),
                             v = random.Normals(s.kv_heads * s.v_dim * n);
    Model m;
    const mnw_id qi = m.Input({s.k_dim, s.heads, kTokens, 1}),
                 ki = m.Input({s.k_dim, s.kv_heads, kTokens, 1}),
                 vi = m.Input({s.v_dim, s.kv_heads, kTokens, 1}), si = m.StepInput(MNW_INPUT_SEQ);
    m.Output(
        m.Emit(MNW_OP_seq_attention, {qi, ki, vi, si}, mnw_attention_params{0.2f, 0, 0, 0})[0]);
    m.Finish();
    const Inputs inputs = {
        {qi, ToWords(q)}, {ki, ToWords(k)}, {vi, ToWords(v)}, {si, ToWords(seq)}};
    const Words out = RunEverywhere(m, {n, 4, 0}, inputs)[0];
    std::vector<double> want;
    for (int64_t i = 0; i < n * s.heads; ++i) {
      const int64_t t = i / s.heads, h = i % s.heads / (s.heads / s.kv_heads);
      std::vector<double> sum(static_cast<size_t>(s.v_dim));
      double total = 0;
      for (int64_t u = 0; u < n; ++u) {
        if (seq[static_cast<size_t>(u)] != seq[static_cast<size_t>(t)]) continue;
        double dot = 0;
        for (int64_t d = 0; d < s.k_dim; ++d) {
          dot += double{q[static_cast<size_t>(i * s.k_dim + d)]} *
                 k[static_cast<size_t>((u * s.kv_heads + h) * s.k_dim + d)];
        }
        const double weight = std::exp(dot * 0.2f);
        total += weight;
        for (int64_t d = 0; d < s.v_dim; ++d) {
          sum[static_cast<size_t>(d)] +=
              weight * v[static_cast<size_t>((u * s.kv_heads + h) * s.v_dim + d)];
        }
      }
      for (double y : sum) want.push_back(y / total);
    }
    CheckClose(want, ToFloats(out), 3e-6, 0, "seq_attention");

    // Sequence 1 alone, without the rows between its own.
    std::vector<float> q1, k1, v1;
    Words want1;
    for (int64_t t = 0; t < n; ++t) {
      if (seq[static_cast<size_t>(t)] != 1) continue;
      const auto take = [t](std::vector<float>& to, const std::vector<float>& from, int64_t width) {
        to.insert(to.end(), from.begin() + t * width, from.begin() + (t + 1) * width);
      };
      take(q1, q, s.heads * s.k_dim);
      take(k1, k, s.kv_heads * s.k_dim);
      take(v1, v, s.kv_heads * s.v_dim);
      const int64_t width = s.heads * s.v_dim;
      want1.insert(want1.end(), out.begin() + t * width, out.begin() + (t + 1) * width);
    }
    const Words alone = RunEverywhere(
        m, {4, 1, 0}, {{qi, ToWords(q1)}, {ki, ToWords(k1)}, {vi, ToWords(v1)}, {si, Words(4)}})[0];
    CheckSameBits(want1, alone, "a sequence alone");
  }
}
