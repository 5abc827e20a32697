// seq_attention: what step_attention.cc does over pages, in both directions and without a cache.
//
// Keys and values of 32 rows of a sequence at a time are laid out as a page of f32, and blocks of
// 256 are merged in ascending order, so encoders have the recipe and the speed of decoders.
#include <algorithm>
#include <limits>

#include "plan.h"

namespace minnow::cpu {

namespace {

constexpr float kMinusInf = -std::numeric_limits<float>::infinity();
constexpr size_t kTilePairs = 32;

class SeqAttentionStep final : public Step {
 public:
  SeqAttentionStep(PlanBuilder& b, const mnw_node& node)
      : node_(node),
        scale_(Params<mnw_attention_params>(node).scale),
        work_(static_cast<size_t>(b.plan().context->team.size())) {
    const auto& plan = b.plan();
    const auto k_dim = static_cast<size_t>(plan.value(node.in[0]).dim[0]);
    const auto v_dim = static_cast<size_t>(plan.value(node.in[2]).dim[0]);
    const auto group =
        static_cast<size_t>(plan.value(node.in[0]).dim[1] / plan.value(node.in[1]).dim[1]);
    const size_t pairs = TileRows(group) * group;
    for (Work& w : work_) {
      w.rows.reserve(static_cast<size_t>(plan.max[MNW_SYM_N_TOKENS]));
      w.pairs.reserve(pairs);
      w.q.resize(pairs * k_dim);
      w.scores.resize(pairs * kAttentionBlock);
      w.partial.resize(pairs * v_dim);
      w.max.resize(pairs);
      w.sum.resize(pairs);
      w.page.resize(kPageTokens * std::max(k_dim, v_dim));
    }
  }

  void Run(const mnw_plan& plan, int ith) const override {
    const Inputs in(plan, node_);
    Work& w = work_[static_cast<size_t>(ith)];
    const size_t tile = TileRows(static_cast<size_t>(in.group));
    int64_t task = 0;
    for (int32_t s = 0; s < plan.symbols[MNW_SYM_N_SEQS]; ++s) {
      w.rows.clear();
      for (int32_t t = 0; t < in.q.dim[2]; ++t) {
        if (in.seq[t] == s) w.rows.push_back(t);
      }
      for (size_t first = 0; first < w.rows.size(); first += tile) {
        const size_t last = std::min(first + tile, w.rows.size());
        for (int64_t h = 0; h < in.k.dim[1]; ++h, ++task) {
          if (task % plan.context->team.size() == ith) {
            Tile(plan.context->vector, in, first, last, h, w);
          }
        }
      }
    }
  }

 private:
  struct Inputs {
    Inputs(const mnw_plan& plan, const mnw_node& node)
        : q(plan.tensor(node.in[0])),
          k(plan.tensor(node.in[1])),
          v(plan.tensor(node.in[2])),
          y(plan.tensor(node.out[0])),
          seq(plan.tensor(node.in[3]).i32()),
          group(q.dim[1] / k.dim[1]) {}
    Tensor q, k, v, y;
    const int32_t* seq;
    int64_t group;  // query heads of a key head
  };
  // Scratch of one thread.
  struct Work {
    std::vector<int32_t> rows;  // of the sequence
    std::vector<AttentionPair> pairs;
    std::vector<float> q, scores, partial, page, max, sum;
  };

  static size_t TileRows(size_t group) { return std::max<size_t>(1, kTilePairs / group); }

  // Rows [first, last) of the sequence with key head h.
  void Tile(const VectorKernels& kernels, const Inputs& in, size_t first, size_t last, int64_t h,
            Work& w) const {
    SetPairs(in, first, last, h, w);
    const auto n_pairs = static_cast<int64_t>(w.pairs.size());
    const int64_t n = static_cast<int64_t>(w.rows.size()), v_dim = in.v.dim[0];
    for (int64_t base = 0; base < n; base += kAttentionBlock) {
      const int64_t end = std::min(base + kAttentionBlock, n);
      for (int64_t p = base; p < end; p += kPageTokens) {
        LoadKeys(in, p, h, w);
        kernels.scores(w.pairs.data(), n_pairs, w.page.data(), in.k.dim[0], &w.scores[p - base]);
      }
      for (int64_t i = 0; i < n_pairs; ++i) {
        w.max[i] = kernels.softmax_block(w.pairs[i], 0.0f, base, &w.scores[i * kAttentionBlock],
                                         &w.sum[i]);
      }
      std::fill(w.partial.begin(), w.partial.end(), 0.0f);
      for (int64_t p = base; p < end; p += kPageTokens) {
        LoadValues(in, p, h, w);
        kernels.accumulate(n_pairs, w.page.data(), v_dim, &w.scores[p - base], w.partial.data());
      }
      for (int64_t i = 0; i < n_pairs; ++i) {
        kernels.merge(&w.pairs[i], w.max[i], w.sum[i], &w.partial[i * v_dim], v_dim);
      }
    }
    for (const AttentionPair& pair : w.pairs) {
      kernels.binary_scalar(Binary::kDiv, pair.out, pair.sum, v_dim, pair.out);
    }
  }

  void SetPairs(const Inputs& in, size_t first, size_t last, int64_t h, Work& w) const {
    const int64_t k_dim = in.q.dim[0], heads = in.q.dim[1];
    const auto n = static_cast<int64_t>(w.rows.size());
    w.pairs.clear();
    float* q = w.q.data();
    for (size_t r = first; r < last; ++r) {
      for (int64_t head = h * in.group; head < (h + 1) * in.group; ++head, q += k_dim) {
        const int64_t row = w.rows[r] * heads + head;
        for (int64_t i = 0; i < k_dim; ++i) q[i] = in.q.row(row)[i] * scale_;
        float* out = in.y.row(row);
        std::fill_n(out, in.v.dim[0], 0.0f);
        w.pairs.push_back({q, out, 0, n, 0.0f, kMinusInf, 0.0f});
      }
    }
  }

  // 32 rows from the sequence's row p on, those past its end zero: the layouts of kernels/vector.h.
  static void LoadKeys(const Inputs& in, int64_t p, int64_t h, Work& w) {
    const int64_t n = std::min(kPageTokens, static_cast<int64_t>(w.rows.size()) - p);
    if (n < kPageTokens) std::fill(w.page.begin(), w.page.end(), 0.0f);
    for (int64_t j = 0; j < n; ++j) {
      const float* k = in.k.row(w.rows[p + j] * in.k.dim[1] + h);
      for (int64_t i = 0; i < in.k.dim[0]; ++i) w.page[i * kPageTokens + j] = k[i];
    }
  }
  static void LoadValues(const Inputs& in, int64_t p, int64_t h, Work& w) {
    const int64_t n = std::min(kPageTokens, static_cast<int64_t>(w.rows.size()) - p);
    const int64_t v_dim = in.v.dim[0];
    if (n < kPageTokens) std::fill(w.page.begin(), w.page.end(), 0.0f);
    for (int64_t j = 0; j < n; ++j) {
      std::copy_n(in.v.row(w.rows[p + j] * in.v.dim[1] + h), v_dim, &w.page[j * v_dim]);
    }
  }

  const mnw_node& node_;
  const float scale_;
  mutable std::vector<Work> work_;  // by thread
};

}  // namespace

std::unique_ptr<Step> MakeSeqAttentionStep(PlanBuilder& b, const mnw_node& node) {
  if (node.op != MNW_OP_seq_attention) return nullptr;
  return std::make_unique<SeqAttentionStep>(b, node);
}

}  // namespace minnow::cpu
