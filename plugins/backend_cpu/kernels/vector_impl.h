// The bodies of VectorKernels, over a 16-lane vector type V that the including file defines in its
// own ISA namespace (ref, avx2, avx512vnni, neon). No include guard and no headers that emit code: each
// ISA file includes this once, so that nothing compiled for a newer CPU can be linked into a path
// of an older one.
//
// V: Load, Store, LoadPartial(p, n) (rest 0), StorePartial(p, n), Set, Add, Sub, Mul, Div, Fma(a,
// b, c), Max(a, b) = a > b ? a : b, Min(a, b) = a < b ? a : b (so b passes when a lane is NaN),
// Sqrt, Round (to even), Pow2(n) (2^n of an integral lane in [-126, 127]), SelectGt(a, b, x, y) = a
// > b ? x : y, SumLanes and MaxLanes (the fixed tree), FromHalf(p) (16 F16), FromInt8(p) (16 int8).
//
// Reductions: element i of a row goes to lane i % 16, in ascending order; then lanes l and l+8
// join, l and l+4, l and l+2, l and l+1.
//
// Sources: exp and tanh, polynomials of the Cephes library (S. L. Moshier); attention in blocks
// with a running maximum, arXiv:1805.02867 and arXiv:2205.14135.

template <class F>
inline void ForEach16(int64_t n, F body) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) body(i, int64_t{16});
  if (i < n) body(i, n - i);
}

inline V LoadN(const float* p, int64_t n) { return n == 16 ? V::Load(p) : V::LoadPartial(p, n); }
inline void StoreN(V v, float* p, int64_t n) {
  if (n == 16) {
    v.Store(p);
  } else {
    v.StorePartial(p, n);
  }
}

// Relative error below 2e-7 for results in the normal range; 0 below -104, inf above 88.73.
inline V Exp(V x) {
  x = V::Min(V::Set(89.0f), V::Max(V::Set(-104.0f), x));
  const V n = V::Round(V::Mul(x, V::Set(1.44269504088896341f)));
  V r = V::Fma(n, V::Set(-0.693359375f), x);
  r = V::Fma(n, V::Set(2.12194440e-4f), r);
  V p = V::Set(1.9875691500e-4f);
  p = V::Fma(p, r, V::Set(1.3981999507e-3f));
  p = V::Fma(p, r, V::Set(8.3334519073e-3f));
  p = V::Fma(p, r, V::Set(4.1665795894e-2f));
  p = V::Fma(p, r, V::Set(1.6666665459e-1f));
  p = V::Fma(p, r, V::Set(5.0000001201e-1f));
  p = V::Fma(p, V::Mul(r, r), V::Add(r, V::Set(1.0f)));
  // In two factors, since 2^n alone leaves the range of f32 where the result does not.
  const V half = V::Round(V::Mul(n, V::Set(0.5f)));
  return V::Mul(V::Mul(p, V::Pow2(half)), V::Pow2(V::Sub(n, half)));
}

inline V Sigmoid(V x) {
  const V one = V::Set(1.0f);
  return V::Div(one, V::Add(one, Exp(V::Sub(V::Set(0.0f), x))));
}

inline V Tanh(V x) {
  const V zero = V::Set(0.0f), one = V::Set(1.0f);
  const V abs = V::Max(V::Sub(zero, x), x);
  const V z = V::Mul(x, x);
  V p = V::Set(-5.70498872745e-3f);
  p = V::Fma(p, z, V::Set(2.06390887954e-2f));
  p = V::Fma(p, z, V::Set(-5.37397155531e-2f));
  p = V::Fma(p, z, V::Set(1.33314422036e-1f));
  p = V::Fma(p, z, V::Set(-3.33332819422e-1f));
  const V small = V::Fma(V::Mul(p, z), x, x);
  const V big = V::Sub(one, V::Div(V::Set(2.0f), V::Add(Exp(V::Add(abs, abs)), one)));
  const V signed_big = V::SelectGt(zero, x, V::Sub(zero, big), big);
  return V::SelectGt(abs, V::Set(0.625f), signed_big, small);
}

inline V Gelu(V x) {
  const V cube = V::Mul(V::Mul(x, x), x);
  const V inner = V::Mul(V::Set(0.79788456080286536f), V::Fma(V::Set(0.044715f), cube, x));
  return V::Mul(V::Mul(V::Set(0.5f), x), V::Add(V::Set(1.0f), Tanh(inner)));
}

// Functions of libm, lane by lane: rare, and the same on every level.
template <class F>
inline V Lanewise(V x, F f) {
  float lane[16];
  x.Store(lane);
  for (float& l : lane) l = f(l);
  return V::Load(lane);
}

inline V ApplyUnary(Unary op, V x) {
  const V zero = V::Set(0.0f);
  switch (op) {
    case Unary::kSilu:
      return V::Mul(x, Sigmoid(x));
    case Unary::kGelu:
      return Gelu(x);
    case Unary::kGeluErf:
      return Lanewise(x,
                      [](float v) { return 0.5f * v * (1.0f + erff(v * 0.70710678118654752f)); });
    case Unary::kRelu:
      return V::Max(zero, x);
    case Unary::kSigmoid:
      return Sigmoid(x);
    case Unary::kTanh:
      return Tanh(x);
    case Unary::kExp:
      return Exp(x);
    case Unary::kSoftplus:
      return V::SelectGt(x, V::Set(20.0f), x, Lanewise(Exp(x), [](float v) { return log1pf(v); }));
    case Unary::kNeg:
      return V::Mul(V::Set(-1.0f), x);
    case Unary::kSqr:
      return V::Mul(x, x);
    case Unary::kSqrt:
      return V::Sqrt(x);
  }
  return x;
}

inline V ApplyBinary(Binary op, V a, V b) {
  switch (op) {
    case Binary::kAdd:
      return V::Add(a, b);
    case Binary::kSub:
      return V::Sub(a, b);
    case Binary::kMul:
      return V::Mul(a, b);
    case Binary::kDiv:
      return V::Div(a, b);
  }
  return a;
}

void UnaryRow(Unary op, const float* x, int64_t n, float* y) {
  ForEach16(n, [=](int64_t i, int64_t m) { StoreN(ApplyUnary(op, LoadN(x + i, m)), y + i, m); });
}

void BinaryRow(Binary op, const float* a, const float* b, int64_t n, float* y) {
  ForEach16(n, [=](int64_t i, int64_t m) {
    StoreN(ApplyBinary(op, LoadN(a + i, m), LoadN(b + i, m)), y + i, m);
  });
}

void BinaryScalarRow(Binary op, const float* a, float b, int64_t n, float* y) {
  ForEach16(n, [=](int64_t i, int64_t m) {
    StoreN(ApplyBinary(op, LoadN(a + i, m), V::Set(b)), y + i, m);
  });
}

void ScaleRow(const float* x, float scale, float bias, int64_t n, float* y) {
  ForEach16(n, [=](int64_t i, int64_t m) {
    StoreN(V::Fma(LoadN(x + i, m), V::Set(scale), V::Set(bias)), y + i, m);
  });
}

void ClampRow(const float* x, float lo, float hi, int64_t n, float* y) {
  ForEach16(n, [=](int64_t i, int64_t m) {
    StoreN(V::Min(V::Set(hi), V::Max(V::Set(lo), LoadN(x + i, m))), y + i, m);
  });
}

inline V Softcap(V x, float cap) { return V::Mul(V::Set(cap), Tanh(V::Div(x, V::Set(cap)))); }

void SoftcapRow(const float* x, float cap, int64_t n, float* y) {
  ForEach16(n, [=](int64_t i, int64_t m) { StoreN(Softcap(LoadN(x + i, m), cap), y + i, m); });
}

void GatedRow(Unary act, const float* gate, const float* up, int64_t n, float* y) {
  ForEach16(n, [=](int64_t i, int64_t m) {
    StoreN(V::Mul(ApplyUnary(act, LoadN(gate + i, m)), LoadN(up + i, m)), y + i, m);
  });
}

float SumRow(const float* x, int64_t k) {
  V acc = V::Set(0.0f);
  ForEach16(k, [&](int64_t i, int64_t m) { acc = V::Add(acc, LoadN(x + i, m)); });
  return acc.SumLanes();
}

float MaxRow(const float* x, int64_t k) {
  V acc = V::Set(x[0]);
  ForEach16(k, [&](int64_t i, int64_t m) {
    if (m == 16) {
      acc = V::Max(acc, V::Load(x + i));
    } else {
      for (int64_t j = i; j < i + m; ++j) acc = V::Max(acc, V::Set(x[j]));
    }
  });
  return acc.MaxLanes();
}

float SumOfSquares(const float* x, int64_t k, float mean) {
  V acc = V::Set(0.0f);
  ForEach16(k, [&](int64_t i, int64_t m) {
    // The lanes past the end must stay 0, not become (0 - mean)^2.
    float lane[16] = {};
    const V centered = V::Sub(LoadN(x + i, m), V::Set(mean));
    StoreN(centered, lane, m);
    const V v = m == 16 ? centered : V::Load(lane);
    acc = V::Fma(v, v, acc);
  });
  return acc.SumLanes();
}

// y = (x - mean) * inv * (w + offset) + b
void NormRow(const float* x, float mean, float inv, const float* w, const float* b,
             float weight_offset, int64_t k, float* y) {
  ForEach16(k, [=](int64_t i, int64_t m) {
    V v = V::Mul(V::Sub(LoadN(x + i, m), V::Set(mean)), V::Set(inv));
    if (w) v = V::Mul(v, V::Add(LoadN(w + i, m), V::Set(weight_offset)));
    if (b) v = V::Add(v, LoadN(b + i, m));
    StoreN(v, y + i, m);
  });
}

void RmsNormRow(const float* x, const float* w, float weight_offset, float eps, int64_t k,
                float* y) {
  const float mean_square = SumOfSquares(x, k, 0.0f) / static_cast<float>(k);
  NormRow(x, 0.0f, 1.0f / sqrtf(mean_square + eps), w, nullptr, weight_offset, k, y);
}

void LayerNormRow(const float* x, const float* w, const float* b, float weight_offset, float eps,
                  int64_t k, float* y) {
  const float mean = SumRow(x, k) / static_cast<float>(k);
  const float variance = SumOfSquares(x, k, mean) / static_cast<float>(k);
  NormRow(x, mean, 1.0f / sqrtf(variance + eps), w, b, weight_offset, k, y);
}

void L2NormRow(const float* x, float eps, int64_t k, float* y) {
  const float norm = sqrtf(SumOfSquares(x, k, 0.0f));
  NormRow(x, 0.0f, 1.0f / (norm > eps ? norm : eps), nullptr, nullptr, 0.0f, k, y);
}

void SoftmaxRow(const float* x, int64_t k, float* y) {
  const V max = V::Set(MaxRow(x, k));
  ForEach16(k, [=](int64_t i, int64_t m) { StoreN(Exp(V::Sub(LoadN(x + i, m), max)), y + i, m); });
  const V sum = V::Set(SumRow(y, k));
  ForEach16(k, [=](int64_t i, int64_t m) { StoreN(V::Div(LoadN(y + i, m), sum), y + i, m); });
}

void RopeHead(const float* x, const float* cos, const float* sin, int64_t n_dims, int64_t d,
              bool neox, float* y) {
  const int64_t half = n_dims / 2;
  if (neox) {
    ForEach16(half, [=](int64_t i, int64_t m) {
      const V a = LoadN(x + i, m), b = LoadN(x + half + i, m), c = LoadN(cos + i, m),
              s = LoadN(sin + i, m);
      const V minus_bs = V::Mul(V::Sub(V::Set(0.0f), b), s);
      StoreN(V::Fma(a, c, minus_bs), y + i, m);
      StoreN(V::Fma(a, s, V::Mul(b, c)), y + half + i, m);
    });
  } else {
    for (int64_t i = 0; i < half; ++i) {
      const float a = x[2 * i], b = x[2 * i + 1];
      y[2 * i] = __builtin_fmaf(a, cos[i], -(b * sin[i]));
      y[2 * i + 1] = __builtin_fmaf(a, sin[i], b * cos[i]);
    }
  }
  for (int64_t i = n_dims; i < d; ++i) y[i] = x[i];
}

// ---- attention
// ------------------------------------------------------------------------------------

// `n` elements in the order of the page, with a scale per (group of 32 rows, column) or (row, group
// of 32 columns): `columns` elements in a row, scale index given by `scale_of(row, column)`.
template <class ScaleOf>
inline void LoadPage(KvType type, const void* page, int64_t rows, int64_t columns, float* out,
                     ScaleOf scale_of) {
  const int64_t n = rows * columns;
  if (type == KvType::kF32) {
    __builtin_memcpy(out, page, static_cast<size_t>(n) * sizeof(float));
  } else if (type == KvType::kF16) {
    const uint16_t* half = static_cast<const uint16_t*>(page);
    for (int64_t i = 0; i < n; i += 16) V::FromHalf(half + i).Store(out + i);
  } else {
    const int8_t* q = static_cast<const int8_t*>(page);
    const float* scales = reinterpret_cast<const float*>(q + n);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; c += 16) {
        V::Mul(V::FromInt8(q + r * columns + c), scale_of(scales, r, c))
            .Store(out + r * columns + c);
      }
    }
  }
}

void LoadK(KvType type, const void* page, int64_t k_dim, float* out) {
  LoadPage(type, page, k_dim, kPageTokens, out, [](const float* scales, int64_t r, int64_t c) {
    return V::Load(scales + r / 32 * kPageTokens + c);
  });
}

void LoadV(KvType type, const void* page, int64_t v_dim, float* out) {
  LoadPage(type, page, kPageTokens, v_dim, out, [v_dim](const float* scales, int64_t r, int64_t c) {
    return V::Set(scales[r * (v_dim / 32) + c / 32]);
  });
}

// P pairs at once: two vectors of 16 positions each stay in registers, so P = 4 uses 8
// accumulators.
template <int P>
inline void ScorePairs(const AttentionPair* pairs, const float* k, int64_t k_dim, float* scores) {
  V acc[P][2];
  for (auto& a : acc) a[0] = a[1] = V::Set(0.0f);
  for (int64_t d = 0; d < k_dim; ++d) {
    const V k0 = V::Load(k + d * kPageTokens), k1 = V::Load(k + d * kPageTokens + 16);
    for (int p = 0; p < P; ++p) {
      const V q = V::Set(pairs[p].q[d]);
      acc[p][0] = V::Fma(q, k0, acc[p][0]);
      acc[p][1] = V::Fma(q, k1, acc[p][1]);
    }
  }
  for (int p = 0; p < P; ++p) {
    acc[p][0].Store(scores + p * kAttentionBlock);
    acc[p][1].Store(scores + p * kAttentionBlock + 16);
  }
}

void Scores(const AttentionPair* pairs, int64_t n_pairs, const float* k, int64_t k_dim,
            float* scores) {
  int64_t p = 0;
  for (; p + 4 <= n_pairs; p += 4) ScorePairs<4>(pairs + p, k, k_dim, scores + p * kAttentionBlock);
  for (; p < n_pairs; ++p) ScorePairs<1>(pairs + p, k, k_dim, scores + p * kAttentionBlock);
}

float SoftmaxBlock(const AttentionPair& pair, float softcap, int64_t base, float* scores,
                   float* sum) {
  const float minus_inf = -__builtin_inff();
  const int64_t begin = pair.first > base ? pair.first - base : 0;
  const int64_t end = pair.last - base < kAttentionBlock ? pair.last - base : kAttentionBlock;
  if (begin >= end) return minus_inf;
  V max = V::Set(minus_inf);
  for (int64_t i = 0; i < kAttentionBlock; i += 16) {
    if (i + 16 <= begin || i >= end) {
      V::Set(minus_inf).Store(scores + i);
      continue;
    }
    V s = V::Load(scores + i);
    if (softcap > 0) s = Softcap(s, softcap);
    if (pair.slope != 0) {
      float distance[16];
      for (int64_t l = 0; l < 16; ++l)
        distance[l] = static_cast<float>(pair.last - 1 - (base + i + l));
      s = V::Fma(V::Set(-pair.slope), V::Load(distance), s);
    }
    s.Store(scores + i);
    for (int64_t l = i; l < begin; ++l) scores[l] = minus_inf;
    for (int64_t l = end > i ? end : i; l < i + 16; ++l) scores[l] = minus_inf;
    max = V::Max(V::Load(scores + i), max);
  }
  const float m = max.MaxLanes();
  V acc = V::Set(0.0f);
  for (int64_t i = 0; i < kAttentionBlock; i += 16) {
    if (i + 16 <= begin || i >= end) {
      V::Set(0.0f).Store(scores + i);
      continue;
    }
    const V e = Exp(V::Sub(V::Load(scores + i), V::Set(m)));
    e.Store(scores + i);
    acc = V::Add(acc, e);
  }
  *sum = acc.SumLanes();
  return m;
}

// P pairs times D vectors of the value's dimensions: P * D accumulators.
template <int P, int D>
inline void AccumulateTile(const float* v, int64_t v_dim, const float* scores, float* partial) {
  V acc[P][D];
  for (int p = 0; p < P; ++p) {
    for (int d = 0; d < D; ++d) acc[p][d] = V::Load(partial + p * v_dim + 16 * d);
  }
  for (int64_t j = 0; j < kPageTokens; ++j) {
    V row[D];
    for (int d = 0; d < D; ++d) row[d] = V::Load(v + j * v_dim + 16 * d);
    for (int p = 0; p < P; ++p) {
      const V w = V::Set(scores[p * kAttentionBlock + j]);
      for (int d = 0; d < D; ++d) acc[p][d] = V::Fma(w, row[d], acc[p][d]);
    }
  }
  for (int p = 0; p < P; ++p) {
    for (int d = 0; d < D; ++d) acc[p][d].Store(partial + p * v_dim + 16 * d);
  }
}

template <int P>
inline void AccumulatePairs(const float* v, int64_t v_dim, const float* scores, float* partial) {
  int64_t d = 0;
  for (; d + 64 <= v_dim; d += 64) AccumulateTile<P, 4>(v + d, v_dim, scores, partial + d);
  for (; d + 16 <= v_dim; d += 16) AccumulateTile<P, 1>(v + d, v_dim, scores, partial + d);
  for (; d < v_dim; ++d) {
    for (int p = 0; p < P; ++p) {
      float acc = partial[p * v_dim + d];
      for (int64_t j = 0; j < kPageTokens; ++j) {
        acc = __builtin_fmaf(scores[p * kAttentionBlock + j], v[j * v_dim + d], acc);
      }
      partial[p * v_dim + d] = acc;
    }
  }
}

void Accumulate(int64_t n_pairs, const float* v, int64_t v_dim, const float* scores,
                float* partial) {
  int64_t p = 0;
  for (; p + 4 <= n_pairs; p += 4) {
    AccumulatePairs<4>(v, v_dim, scores + p * kAttentionBlock, partial + p * v_dim);
  }
  for (; p < n_pairs; ++p) {
    AccumulatePairs<1>(v, v_dim, scores + p * kAttentionBlock, partial + p * v_dim);
  }
}

inline float ExpScalar(float x) {
  float lane[16];
  Exp(V::Set(x)).Store(lane);
  return lane[0];
}

void Merge(AttentionPair* pair, float max, float sum, const float* partial, int64_t v_dim) {
  const float m = pair->max > max ? pair->max : max;
  const float keep = ExpScalar(pair->max - m), add = ExpScalar(max - m);
  pair->max = m;
  pair->sum = __builtin_fmaf(pair->sum, keep, sum * add);
  ForEach16(v_dim, [=](int64_t i, int64_t n) {
    const V old = V::Mul(LoadN(pair->out + i, n), V::Set(keep));
    const V part = partial ? LoadN(partial + i, n) : V::Set(0.0f);
    StoreN(V::Fma(part, V::Set(add), old), pair->out + i, n);
  });
}

void Conv(const float* x, const float* w, const float* bias, int64_t width, int64_t stride,
          int64_t n, float* past, float* y) {
  ForEach16(n, [=](int64_t i, int64_t m) {
    const V in = LoadN(x + i, m);
    V sum = bias ? LoadN(bias + i, m) : V::Set(0.0f);
    for (int64_t k = 0; k + 1 < width; ++k) {
      float* at = past + k * stride + i;
      sum = V::Fma(LoadN(at, m), LoadN(w + k * stride + i, m), sum);
      StoreN(k + 2 < width ? LoadN(at + stride, m) : in, at, m);
    }
    StoreN(V::Fma(in, LoadN(w + (width - 1) * stride + i, m), sum), y + i, m);
  });
}

// D vectors of 16 dimensions, the last with `last` of them.
template <int D>
inline void ScanTile(const float* x, const float* b, const float* c, float step, V decay, V skip,
                     int64_t n, int64_t d, int64_t last, float* state, float* y) {
  const auto lanes = [last](int i) { return i + 1 < D ? int64_t{16} : last; };
  V in[D], acc[D];
  for (int i = 0; i < D; ++i) {
    in[i] = V::Mul(V::Set(step), LoadN(x + 16 * i, lanes(i)));
    acc[i] = V::Set(0.0f);
  }
  for (int64_t j = 0; j < n; ++j) {
    const V bj = V::Set(b[j]), cj = V::Set(c[j]);
    for (int i = 0; i < D; ++i) {
      float* at = state + j * d + 16 * i;
      const V s = V::Fma(LoadN(at, lanes(i)), decay, V::Mul(in[i], bj));
      StoreN(s, at, lanes(i));
      acc[i] = V::Fma(s, cj, acc[i]);
    }
  }
  for (int i = 0; i < D; ++i) {
    StoreN(V::Fma(skip, LoadN(x + 16 * i, lanes(i)), acc[i]), y + 16 * i, lanes(i));
  }
}

void Scan(const float* x, const float* b, const float* c, float step, float decay, float skip,
          int64_t n, int64_t d, float* state, float* y) {
  const V decays = V::Set(decay), skips = V::Set(skip);
  int64_t i = 0;
  for (; i + 32 <= d; i += 32) {
    ScanTile<2>(x + i, b, c, step, decays, skips, n, d, 16, state + i, y + i);
  }
  for (; i < d; i += 16) {
    const int64_t last = d - i < 16 ? d - i : 16;
    ScanTile<1>(x + i, b, c, step, decays, skips, n, d, last, state + i, y + i);
  }
}

const VectorKernels kVector = {
    UnaryRow,   BinaryRow,    BinaryScalarRow, ScaleRow,     ClampRow,   SoftcapRow, GatedRow,
    RmsNormRow, LayerNormRow, L2NormRow,       SoftmaxRow,   SumRow,     MaxRow,     RopeHead,
    LoadK,      LoadV,        Scores,          SoftmaxBlock, Accumulate, Merge,
    Conv,       Scan,
};
