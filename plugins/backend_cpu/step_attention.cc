// kv_write and attention.
//
// Attention walks the positions of a row in blocks of 256 that lie at absolute multiples of 256;
// each gives a partial (maximum, sum, out), merged in ascending order. Where a key comes from (a
// committed page, or a row of this step) does not show in the result, so prefill, decode, chunks
// and drafts give the same bits.
//
// Rows of one sequence that follow one another are worked on together (a tile), since they read the
// same pages: a page of one key head is converted to f32 once and used by all query heads of its
// group.
#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <utility>

#include "plan.h"

namespace minnow::cpu {

namespace {

constexpr float kMinusInf = -std::numeric_limits<float>::infinity();
// (row, head) pairs of a tile: their scores for a block (32 x 256 floats) take 32 KiB, an L1's
// worth.
constexpr int64_t kTilePairs = 32;

class KvWriteStep final : public Step {
 public:
  // Reserves what a step may stage: running out of memory in the middle of a step would leave a
  // state that no longer matches what the host knows of it.
  KvWriteStep(PlanBuilder& b, const mnw_node& node) : node_(node) {
    mnw_state& state = *b.plan().state;
    mnw_state::Layer& l = state.layers[b.plan().value(node.in[2]).index];
    const auto rows = static_cast<size_t>(b.plan().max[MNW_SYM_N_TOKENS]);
    state.groups[l.spec.group].slots.reserve(rows);
    const size_t row = rows * l.spec.n_kv_heads * sizeof(float);
    for (const auto& [buffer, dim] :
         {std::pair(&l.staged_k, l.spec.k_dim), std::pair(&l.staged_v, l.spec.v_dim)}) {
      if (buffer->size() < row * dim && !buffer->Allocate(row * dim)) throw std::bad_alloc();
    }
  }

  void Run(const mnw_plan& plan, int ith) const override {
    const Tensor k = plan.tensor(node_.in[0]), v = plan.tensor(node_.in[1]);
    const int32_t* slots = plan.tensor(node_.in[3]).i32();
    mnw_state& state = *plan.state;
    mnw_state::Layer& l = state.layers[plan.value(node_.in[2]).index];
    mnw_state::Group& group = state.groups[l.spec.group];
    const int64_t n_rows = k.dim[2], heads = l.spec.n_kv_heads;
    if (ith == 0) {
      group.slots.assign(slots, slots + n_rows);
    }
    plan.context->team.Barrier();
    const Range r = Share(n_rows, ith, plan.context->team.size());
    for (int64_t t = r.begin; t < r.end; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        const float *kr = k.row(t * heads + h), *vr = v.row(t * heads + h);
        if (slots[t] >= 0) {
          const int64_t page = slots[t] / kPageTokens, offset = slots[t] % kPageTokens;
          StoreK(l.type, kr, l.spec.k_dim, offset, state.HeadK(l, page, h));
          StoreV(l.type, vr, l.spec.v_dim, offset, state.HeadV(l, page, h));
        } else {
          RoundToKv(l.type, kr, l.spec.k_dim, l.StagedK(t, h));
          RoundToKv(l.type, vr, l.spec.v_dim, l.StagedV(t, h));
        }
      }
    }
  }

 private:
  const mnw_node& node_;
};

// Scratch of one thread.
struct Work {
  std::vector<AttentionPair> pairs;
  std::vector<float> q, scores, partial, page, max, sum;
  std::vector<int32_t> chain;  // rows of this step by position - seq_len
};

struct Shape {
  int64_t heads, kv_heads, k_dim, v_dim;
  int64_t group() const { return heads / kv_heads; }
};

class AttentionStep final : public Step {
 public:
  AttentionStep(PlanBuilder& b, const mnw_node& node)
      : node_(node),
        params_(Params<mnw_attention_params>(node)),
        work_(b.plan().context->team.size()) {}

  void Run(const mnw_plan& plan, int ith) const override {
    const Inputs in(plan, node_);
    Work& work = work_[static_cast<size_t>(ith)];
    // A task is a tile of rows and a key head; tasks are dealt round, so that the long late tiles
    // of a prefill spread evenly.
    int64_t task = 0;
    const int nth = plan.context->team.size();
    const int64_t tile_rows = std::max<int64_t>(1, kTilePairs / in.shape.group());
    for (int64_t t = 0; t < in.n_rows;) {
      int64_t end = t + 1;
      while (end < in.n_rows && end - t < tile_rows && in.parent[end] == end - 1) ++end;
      for (int64_t h = 0; h < in.shape.kv_heads; ++h, ++task) {
        if (task % nth == ith) Tile(plan, in, t, end, h, work);
      }
      t = end;
    }
  }

 private:
  struct Inputs {
    Inputs(const mnw_plan& plan, const mnw_node& node)
        : q(plan.tensor(node.in[0])),
          out(plan.tensor(node.out[0])),
          positions(plan.tensor(node.in[2]).i32()),
          seq(plan.tensor(node.in[3]).i32()),
          parent(plan.tensor(node.in[4]).i32()),
          seq_len(plan.tensor(node.in[5]).i32()),
          pages(plan.tensor(node.in[6]).i32()),
          page_columns(plan.tensor(node.in[6]).dim[0]),
          sinks(plan.vector(InputOf(node, 7))),
          state(*plan.state),
          layer(state.layers[plan.value(node.in[1]).index]),
          slots(state.groups[layer.spec.group].slots),
          staged(std::any_of(slots.begin(), slots.end(), [](int32_t s) { return s < 0; })),
          n_rows(q.dim[2]),
          shape{q.dim[1], layer.spec.n_kv_heads, layer.spec.k_dim, layer.spec.v_dim} {}

    Tensor q, out;
    const int32_t *positions, *seq, *parent, *seq_len, *pages;
    int64_t page_columns;
    const float* sinks;
    const mnw_state& state;
    const mnw_state::Layer& layer;
    const std::vector<int32_t>& slots;
    bool staged;  // some rows of this step have no slot
    int64_t n_rows;
    Shape shape;
  };

  // Rows [t0,t1), each the child of the one before it, with key head h.
  void Tile(const mnw_plan& plan, const Inputs& in, int64_t t0, int64_t t1, int64_t h,
            Work& w) const {
    const VectorKernels& v = plan.context->vector;
    const Shape& s = in.shape;
    SetPairs(in, t0, t1, h, w);
    SetChain(in, t1 - 1, w);
    const int64_t n = static_cast<int64_t>(w.pairs.size());
    const int64_t first = w.pairs.front().first, last = w.pairs.back().last;
    w.scores.resize(static_cast<size_t>(n * kAttentionBlock));
    w.max.resize(static_cast<size_t>(n));
    w.sum.resize(static_cast<size_t>(n));
    w.page.resize(static_cast<size_t>(kPageTokens * std::max(s.k_dim, s.v_dim)));
    for (int64_t base = first / kAttentionBlock * kAttentionBlock; base < last;
         base += kAttentionBlock) {
      const int64_t begin = std::max(base, first / kPageTokens * kPageTokens);
      const int64_t end = std::min(base + kAttentionBlock, last);
      for (int64_t p = begin; p < end; p += kPageTokens) {
        LoadKeys(plan, in, p, last, in.seq[t0], h, w);
        v.scores(w.pairs.data(), n, w.page.data(), s.k_dim,
                 &w.scores[static_cast<size_t>(p - base)]);
      }
      for (size_t i = 0; i < w.pairs.size(); ++i) {
        w.max[i] = v.softmax_block(w.pairs[i], params_.softcap, base,
                                   &w.scores[i * kAttentionBlock], &w.sum[i]);
      }
      w.partial.assign(static_cast<size_t>(n * s.v_dim), 0.0f);
      for (int64_t p = begin; p < end; p += kPageTokens) {
        LoadValues(plan, in, p, last, in.seq[t0], h, w);
        v.accumulate(n, w.page.data(), s.v_dim, &w.scores[static_cast<size_t>(p - base)],
                     w.partial.data());
      }
      for (size_t i = 0; i < w.pairs.size(); ++i) {
        if (w.max[i] == kMinusInf) continue;
        v.merge(&w.pairs[i], w.max[i], w.sum[i], &w.partial[i * static_cast<size_t>(s.v_dim)],
                s.v_dim);
      }
    }
    Finish(v, in, h, w);
  }

  void SetPairs(const Inputs& in, int64_t t0, int64_t t1, int64_t h, Work& w) const {
    const Shape& s = in.shape;
    w.pairs.clear();
    w.q.resize(static_cast<size_t>((t1 - t0) * s.group() * s.k_dim));
    float* q = w.q.data();
    for (int64_t t = t0; t < t1; ++t) {
      for (int64_t head = h * s.group(); head < (h + 1) * s.group(); ++head, q += s.k_dim) {
        const float* from = in.q.row(t * s.heads + head);
        for (int64_t i = 0; i < s.k_dim; ++i) q[i] = from[i] * params_.scale;
        float* out = in.out.row(t * s.heads + head);
        std::fill_n(out, s.v_dim, 0.0f);
        const int64_t last = in.positions[t] + 1;
        const int64_t first = params_.window > 0 ? std::max<int64_t>(0, last - params_.window) : 0;
        w.pairs.push_back({q, out, first, last, Slope(head, s.heads), kMinusInf, 0.0f});
      }
    }
  }

  // Head h's slope of ALiBi (arXiv:2108.12409): a geometric sequence, with every second term of the
  // next finer one for counts that are no power of two.
  float Slope(int64_t head, int64_t heads) const {
    if (params_.alibi_max_bias <= 0) return 0;
    int64_t pow2 = 1;
    while (pow2 * 2 <= heads) pow2 *= 2;
    const double step = params_.alibi_max_bias / static_cast<double>(pow2);
    return static_cast<float>(
        head < pow2 ? std::pow(2.0, -step * static_cast<double>(head + 1))
                    : std::pow(2.0, -step / 2 * static_cast<double>(2 * (head - pow2) + 1)));
  }

  // The ancestors of row t in this step, by their distance from the committed length.
  static void SetChain(const Inputs& in, int64_t t, Work& w) {
    w.chain.clear();
    for (int64_t r = t; r >= 0; r = in.parent[r]) w.chain.push_back(static_cast<int32_t>(r));
    std::reverse(w.chain.begin(), w.chain.end());
  }

  // The page of position p, or -1. Rows without a slot may stand behind the end of the table.
  static int64_t PageOf(const Inputs& in, int64_t p, int32_t seq) {
    const int64_t column = p / kPageTokens;
    return column < in.page_columns ? in.pages[seq * in.page_columns + column] : -1;
  }

  // The 32 positions from p as a page of f32 in w.page. Positions at or past `last` may be
  // anything: their scores are masked.
  void LoadKeys(const mnw_plan& plan, const Inputs& in, int64_t p, int64_t last, int32_t seq,
                int64_t h, Work& w) const {
    const int64_t page = PageOf(in, p, seq);
    const int64_t kd = in.shape.k_dim;
    if (page >= 0) {
      plan.context->vector.load_k(in.layer.type, in.state.HeadK(in.layer, page, h), kd,
                                  w.page.data());
    } else {
      std::fill(w.page.begin(), w.page.end(), 0.0f);
    }
    ForStaged(in, p, last, seq, w, [&](int64_t row, int64_t j) {
      const float* k = in.layer.StagedK(row, h);
      for (int64_t i = 0; i < kd; ++i) w.page[static_cast<size_t>(i * kPageTokens + j)] = k[i];
    });
  }

  // The same for values, but 0 at or past `last`: what an earlier owner of the page left may be
  // NaN, and a weight of 0 does not hide that.
  void LoadValues(const mnw_plan& plan, const Inputs& in, int64_t p, int64_t last, int32_t seq,
                  int64_t h, Work& w) const {
    const int64_t page = PageOf(in, p, seq);
    const int64_t vd = in.shape.v_dim;
    if (page >= 0) {
      plan.context->vector.load_v(in.layer.type, in.state.HeadV(in.layer, page, h), vd,
                                  w.page.data());
    } else {
      std::fill(w.page.begin(), w.page.end(), 0.0f);
    }
    ForStaged(in, p, last, seq, w, [&](int64_t row, int64_t j) {
      const float* v = in.layer.StagedV(row, h);
      std::copy_n(v, vd, &w.page[static_cast<size_t>(j * vd)]);
    });
    for (int64_t j = last - p; j < kPageTokens; ++j) {
      std::fill_n(&w.page[static_cast<size_t>(j * vd)], vd, 0.0f);
    }
  }

  // body(row, offset in the page) for each staged ancestor among the 32 positions from p.
  template <class Body>
  static void ForStaged(const Inputs& in, int64_t p, int64_t last, int32_t seq, const Work& w,
                        Body body) {
    if (!in.staged) return;
    const int64_t committed = in.seq_len[seq];
    for (int64_t j = std::max(p, committed); j < std::min(p + kPageTokens, last); ++j) {
      const int32_t row = w.chain[static_cast<size_t>(j - committed)];
      if (in.slots[static_cast<size_t>(row)] < 0) body(row, j - p);
    }
  }

  void Finish(const VectorKernels& v, const Inputs& in, int64_t h, Work& w) const {
    const int64_t group = in.shape.group();
    for (size_t i = 0; i < w.pairs.size(); ++i) {
      AttentionPair& pair = w.pairs[i];
      if (in.sinks) {
        const float sink = in.sinks[h * group + static_cast<int64_t>(i) % group];
        v.merge(&pair, sink, 1.0f, nullptr, in.shape.v_dim);
      }
      v.binary_scalar(Binary::kDiv, pair.out, pair.sum, in.shape.v_dim, pair.out);
    }
  }

  const mnw_node& node_;
  mnw_attention_params params_;
  mutable std::vector<Work> work_;  // by thread
};

}  // namespace

std::unique_ptr<Step> MakeAttentionStep(PlanBuilder& b, const mnw_node& node) {
  switch (node.op) {
    case MNW_OP_kv_write:
      return std::make_unique<KvWriteStep>(b, node);
    case MNW_OP_attention:
      return std::make_unique<AttentionStep>(b, node);
  }
  return nullptr;
}

}  // namespace minnow::cpu
