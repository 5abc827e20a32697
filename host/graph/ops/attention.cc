// kv_write, attention, seq_attention.
#include "graph/op_rules.h"

namespace minnow::graph {
namespace {

Status CheckHeads(const ShapeCall& c) {
  if (c.Bound("H") % c.Bound("Hkv") != 0) {
    return c.Refuse("{} query heads share {} key heads", c.Bound("H"), c.Bound("Hkv"));
  }
  return {};
}

}  // namespace

template <>
Status Shape<MNW_OP_kv_write>(ShapeCall& c) {
  return c.Match("k[T,Hkv,Dk] v[T,Hkv,Dv] state@[Hkv,Dv,Dk] slots:i32[T] -> state@[Hkv,Dv,Dk]");
}

std::string Describe(const mnw_attention_params& p) {
  std::string text = fmt::format("scale {}", p.scale);
  if (p.window) text += fmt::format(", window {}", p.window);
  if (p.softcap > 0) text += fmt::format(", softcap {}", p.softcap);
  if (p.alibi_max_bias > 0) text += fmt::format(", alibi {}", p.alibi_max_bias);
  return text;
}

template <>
Status Shape<MNW_OP_attention>(ShapeCall& c) {
  MNW_TRY(
      c.Match("q[T,H,Dk] state@[Hkv,Dv,Dk] positions:i32[T] seq:i32[T] parent:i32[T] seq_len:i32[S]"
              " pages:i32[S,P] sinks*?[H] -> [T,H,Dv]"));
  return CheckHeads(c);
}

template <>
Status Shape<MNW_OP_seq_attention>(ShapeCall& c) {
  MNW_TRY(c.Match("q[T,H,Dk] k[T,Hkv,Dk] v[T,Hkv,Dv] seq:i32[T] -> [T,H,Dv]"));
  return CheckHeads(c);
}

}  // namespace minnow::graph
