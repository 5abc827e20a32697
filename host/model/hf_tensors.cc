#include "model/hf_tensors.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <new>
#include <optional>
#include <vector>

#include "base/tensor_type.h"
#include "formats/printable.h"
#include "quant/quant.h"

namespace minnow::model {
namespace {

using Form = HfForm;

template <size_t N, size_t M>
constexpr std::array<HfTensorRule, N + M> operator+(const std::array<HfTensorRule, N>& a,
                                                    const std::array<HfTensorRule, M>& b) {
  std::array<HfTensorRule, N + M> all{};
  std::copy(a.begin(), a.end(), all.begin());
  std::copy(b.begin(), b.end(), all.begin() + N);
  return all;
}

constexpr std::array kDecoder = {
    HfTensorRule{"model.embed_tokens.weight", "token_embd.weight"},
    HfTensorRule{"lm_head.weight", "output.weight", Form::kSame, true},
    HfTensorRule{"model.layers.#.self_attn.o_proj.weight", "blk.#.attn_output.weight"},
    HfTensorRule{"model.layers.#.mlp.down_proj.weight", "blk.#.ffn_down.weight"},
    // Of the rope's base alone; old files keep it.
    HfTensorRule{"model.layers.#.self_attn.rotary_emb.inv_freq", "", Form::kUnused, true},
};

constexpr std::array kTwoNorms = {
    HfTensorRule{"model.norm.weight", "output_norm.weight"},
    HfTensorRule{"model.layers.#.input_layernorm.weight", "blk.#.attn_norm.weight"},
    HfTensorRule{"model.layers.#.post_attention_layernorm.weight", "blk.#.ffn_norm.weight"},
};

constexpr std::array kFourNormsLessOne = {
    HfTensorRule{"model.norm.weight", "output_norm.weight", Form::kPlusOne},
    HfTensorRule{"model.layers.#.input_layernorm.weight", "blk.#.attn_norm.weight", Form::kPlusOne},
    HfTensorRule{"model.layers.#.post_attention_layernorm.weight",
                 "blk.#.post_attention_norm.weight", Form::kPlusOne},
    HfTensorRule{"model.layers.#.pre_feedforward_layernorm.weight", "blk.#.ffn_norm.weight",
                 Form::kPlusOne},
    HfTensorRule{"model.layers.#.post_feedforward_layernorm.weight", "blk.#.post_ffw_norm.weight",
                 Form::kPlusOne},
};

constexpr std::array kGateAndUp = {
    HfTensorRule{"model.layers.#.mlp.gate_proj.weight", "blk.#.ffn_gate.weight"},
    HfTensorRule{"model.layers.#.mlp.up_proj.weight", "blk.#.ffn_up.weight"},
};

template <Form query, Form key>
constexpr std::array kQkv = {
    HfTensorRule{"model.layers.#.self_attn.q_proj.weight", "blk.#.attn_q.weight", query},
    HfTensorRule{"model.layers.#.self_attn.k_proj.weight", "blk.#.attn_k.weight", key},
    HfTensorRule{"model.layers.#.self_attn.v_proj.weight", "blk.#.attn_v.weight"},
};

template <Form query, Form key, bool optional>
constexpr std::array kQkvBias = {
    HfTensorRule{"model.layers.#.self_attn.q_proj.bias", "blk.#.attn_q.bias", query, optional},
    HfTensorRule{"model.layers.#.self_attn.k_proj.bias", "blk.#.attn_k.bias", key, optional},
    HfTensorRule{"model.layers.#.self_attn.v_proj.bias", "blk.#.attn_v.bias", Form::kSame,
                 optional},
};

constexpr std::array kOutputBias = {
    HfTensorRule{"model.layers.#.self_attn.o_proj.bias", "blk.#.attn_output.bias", Form::kSame,
                 true},
};

constexpr std::array kFused = {
    HfTensorRule{"model.layers.#.self_attn.qkv_proj.weight", "blk.#.attn_qkv.weight"},
    HfTensorRule{"model.layers.#.mlp.gate_up_proj.weight", "blk.#.ffn_up.weight"},
};

constexpr auto kLlama = kDecoder + kTwoNorms + kGateAndUp + kQkv<Form::kQueryRows, Form::kKeyRows> +
                        kQkvBias<Form::kQueryRows, Form::kKeyRows, true> + kOutputBias;
constexpr auto kQwen2 = kDecoder + kTwoNorms + kGateAndUp + kQkv<Form::kSame, Form::kSame> +
                        kQkvBias<Form::kSame, Form::kSame, false>;
constexpr auto kPhi3 = kDecoder + kTwoNorms + kFused;
constexpr auto kGemma2 = kDecoder + kFourNormsLessOne + kGateAndUp + kQkv<Form::kSame, Form::kSame>;

constexpr std::array kMamba2 = {
    HfTensorRule{"backbone.embeddings.weight", "token_embd.weight"},
    HfTensorRule{"backbone.norm_f.weight", "output_norm.weight"},
    HfTensorRule{"lm_head.weight", "output.weight", Form::kSame, true},
    HfTensorRule{"backbone.layers.#.norm.weight", "blk.#.attn_norm.weight"},
    HfTensorRule{"backbone.layers.#.mixer.in_proj.weight", "blk.#.ssm_in.weight"},
    HfTensorRule{"backbone.layers.#.mixer.conv1d.weight", "blk.#.ssm_conv1d.weight", Form::kConv},
    HfTensorRule{"backbone.layers.#.mixer.conv1d.bias", "blk.#.ssm_conv1d.bias"},
    HfTensorRule{"backbone.layers.#.mixer.dt_bias", "blk.#.ssm_dt.bias"},
    HfTensorRule{"backbone.layers.#.mixer.A_log", "blk.#.ssm_a", Form::kNegExp},
    HfTensorRule{"backbone.layers.#.mixer.D", "blk.#.ssm_d", Form::kColumn},
    HfTensorRule{"backbone.layers.#.mixer.norm.weight", "blk.#.ssm_norm.weight", Form::kGroups},
    HfTensorRule{"backbone.layers.#.mixer.out_proj.weight", "blk.#.ssm_out.weight"},
};

constexpr std::array kBert = {
    HfTensorRule{"embeddings.word_embeddings.weight", "token_embd.weight"},
    HfTensorRule{"embeddings.token_type_embeddings.weight", "token_types.weight", Form::kF32},
    HfTensorRule{"embeddings.position_embeddings.weight", "position_embd.weight", Form::kF32},
    HfTensorRule{"embeddings.LayerNorm.weight", "token_embd_norm.weight"},
    HfTensorRule{"embeddings.LayerNorm.bias", "token_embd_norm.bias"},
    HfTensorRule{"encoder.layer.#.attention.self.query.weight", "blk.#.attn_q.weight"},
    HfTensorRule{"encoder.layer.#.attention.self.query.bias", "blk.#.attn_q.bias"},
    HfTensorRule{"encoder.layer.#.attention.self.key.weight", "blk.#.attn_k.weight"},
    HfTensorRule{"encoder.layer.#.attention.self.key.bias", "blk.#.attn_k.bias"},
    HfTensorRule{"encoder.layer.#.attention.self.value.weight", "blk.#.attn_v.weight"},
    HfTensorRule{"encoder.layer.#.attention.self.value.bias", "blk.#.attn_v.bias"},
    HfTensorRule{"encoder.layer.#.attention.output.dense.weight", "blk.#.attn_output.weight"},
    HfTensorRule{"encoder.layer.#.attention.output.dense.bias", "blk.#.attn_output.bias"},
    HfTensorRule{"encoder.layer.#.attention.output.LayerNorm.weight",
                 "blk.#.attn_output_norm.weight"},
    HfTensorRule{"encoder.layer.#.attention.output.LayerNorm.bias", "blk.#.attn_output_norm.bias"},
    HfTensorRule{"encoder.layer.#.intermediate.dense.weight", "blk.#.ffn_up.weight"},
    HfTensorRule{"encoder.layer.#.intermediate.dense.bias", "blk.#.ffn_up.bias"},
    HfTensorRule{"encoder.layer.#.output.dense.weight", "blk.#.ffn_down.weight"},
    HfTensorRule{"encoder.layer.#.output.dense.bias", "blk.#.ffn_down.bias"},
    HfTensorRule{"encoder.layer.#.output.LayerNorm.weight", "blk.#.layer_output_norm.weight"},
    HfTensorRule{"encoder.layer.#.output.LayerNorm.bias", "blk.#.layer_output_norm.bias"},
    // The positions' numbers, and the head of the task before sentences.
    HfTensorRule{"embeddings.position_ids", "", Form::kUnused, true},
    HfTensorRule{"pooler.dense.weight", "", Form::kUnused, true},
    HfTensorRule{"pooler.dense.bias", "", Form::kUnused, true},
};

// The digits in the place of a pattern's '#'; nullopt if the name is none of the pattern.
std::optional<std::string_view> LayerIn(std::string_view pattern, std::string_view name) {
  const size_t mark = pattern.find('#');
  if (mark == std::string_view::npos) {
    return name == pattern ? std::optional(std::string_view()) : std::nullopt;
  }
  const std::string_view before = pattern.substr(0, mark), after = pattern.substr(mark + 1);
  if (!name.starts_with(before) || name.size() <= before.size() + after.size() ||
      !name.ends_with(after)) {
    return std::nullopt;
  }
  const auto layer = name.substr(before.size(), name.size() - before.size() - after.size());
  const bool number = std::ranges::all_of(layer, [](char c) { return c >= '0' && c <= '9'; });
  return number ? std::optional(layer) : std::nullopt;
}

std::string Filled(std::string_view pattern, std::string_view layer) {
  std::string name(pattern);
  if (const size_t mark = name.find('#'); mark != std::string::npos) name.replace(mark, 1, layer);
  return name;
}

int64_t HeadsOf(HfForm form, const HfSizes& sizes) {
  return form == Form::kQueryRows ? sizes.n_heads : form == Form::kKeyRows ? sizes.n_kv_heads : 0;
}

bool InF32(const formats::SafetensorsTensor& t, HfForm form) {
  return t.n_dims == 1 || (form != Form::kSame && HeadsOf(form, {}) == 0);
}

int64_t Elements(const formats::SafetensorsTensor& t) {
  return t.shape[0] * t.shape[1] * t.shape[2] * t.shape[3];
}

Result<std::unique_ptr<std::byte[]>> Allocate(size_t n_bytes) {
  std::unique_ptr<std::byte[]> memory(new (std::nothrow) std::byte[n_bytes]);
  if (!memory) return Error(Code::kExhausted, "no memory for a tensor of {} bytes", n_bytes);
  return memory;
}

}  // namespace

std::span<const HfTensorRule> HfTensorRules(std::string_view architecture) {
  if (architecture == "llama") return kLlama;
  if (architecture == "qwen2") return kQwen2;
  if (architecture == "phi3") return kPhi3;
  if (architecture == "gemma2") return kGemma2;
  if (architecture == "mamba2") return kMamba2;
  if (architecture == "bert") return kBert;
  return {};
}

HfMapped MapHfTensor(std::span<const HfTensorRule> rules, std::string_view theirs) {
  for (const HfTensorRule& rule : rules) {
    if (const auto layer = LayerIn(rule.theirs, theirs)) return {&rule, Filled(rule.ours, *layer)};
  }
  return {};
}

std::string HfNameAt(std::string_view pattern, int64_t layer) {
  return Filled(pattern, std::to_string(layer));
}

Result<graph::TensorInfo> HfTensorInfo(const formats::SafetensorsTensor& t, std::string name,
                                       HfForm form, const HfSizes& sizes) {
  const auto refuse = [&](Code code, const std::string& what) {
    return Error(code, "tensor '{}' {}", formats::Printable(t.name), what);
  };
  if (t.type != MNW_TYPE_F32 && t.type != MNW_TYPE_F16 && t.type != MNW_TYPE_BF16) {
    return refuse(Code::kUnsupported, "is neither F32 nor F16 nor BF16");
  }
  const bool vector = form == Form::kNegExp || form == Form::kColumn || form == Form::kGroups;
  const int n_dims = vector ? 1 : form == Form::kConv ? 3 : 0;  // 0: any
  if (t.n_dims == 0 || (n_dims != 0 && t.n_dims != n_dims)) {
    return refuse(Code::kCorrupt, fmt::format("has {} dimensions", t.n_dims));
  }
  graph::TensorInfo info;
  info.name = std::move(name);
  info.type = InF32(t, form) ? MNW_TYPE_F32 : t.type;
  for (int i = 0; i < t.n_dims; ++i) {
    info.ne[static_cast<size_t>(i)] = t.shape[static_cast<size_t>(t.n_dims - 1 - i)];
  }
  if (const int64_t heads = HeadsOf(form, sizes); heads > 0 && t.shape[0] % (2 * heads) != 0) {
    return refuse(Code::kCorrupt,
                  fmt::format("has {} rows, which are not pairs for {} heads", t.shape[0], heads));
  }
  if (form == Form::kNegExp || form == Form::kColumn) {
    info.ne = {1, t.shape[0], 1, 1};
  } else if (form == Form::kGroups) {
    if (t.shape[0] % sizes.n_groups != 0) {
      return refuse(Code::kCorrupt, fmt::format("has {} elements, which are not {} equal groups",
                                                t.shape[0], sizes.n_groups));
    }
    info.ne = {t.shape[0] / sizes.n_groups, sizes.n_groups, 1, 1};
  } else if (form == Form::kConv) {
    if (t.shape[1] != 1) return refuse(Code::kCorrupt, "is no convolution channel by channel");
    info.ne = {t.shape[2], t.shape[0], 1, 1};
  }
  return info;
}

Result<TensorBytes> HfTensorBytes(const formats::SafetensorsTensor& t, HfForm form,
                                  const HfSizes& sizes) {
  const mnw_type type = InF32(t, form) ? MNW_TYPE_F32 : t.type;
  const int64_t heads = HeadsOf(form, sizes), n = Elements(t), rows = t.shape[0];
  const auto element_bytes = static_cast<uintptr_t>(RowBytes(type, 1));
  const bool aligned = reinterpret_cast<uintptr_t>(t.data.data()) % element_bytes == 0;
  const bool changes = heads > 0 || form == Form::kPlusOne || form == Form::kNegExp;
  if (type == t.type && aligned && !changes) return TensorBytes{t.data, nullptr};

  std::vector<float> widened;
  std::span<const std::byte> from = t.data;
  if (type != t.type) {
    widened.resize(static_cast<size_t>(n));
    MNW_TRY(quant::ToF32(t.type, t.data, widened));
    from = std::as_bytes(std::span(widened));
  }
  MNW_ASSIGN(auto made, Allocate(from.size()));
  if (heads > 0) {
    PairRows(from.data(), rows, static_cast<int64_t>(from.size()) / rows, heads, made.get());
  } else {
    std::memcpy(made.get(), from.data(), from.size());
  }
  if (form == Form::kPlusOne || form == Form::kNegExp) {
    auto* x = reinterpret_cast<float*>(made.get());
    std::transform(x, x + n, x,
                   [form](float v) { return form == Form::kPlusOne ? v + 1 : -std::exp(v); });
  }
  const std::span<const std::byte> bytes(made.get(), from.size());
  return TensorBytes{bytes, std::move(made)};
}

void PairRows(const std::byte* from, int64_t rows, int64_t row_bytes, int64_t heads,
              std::byte* to) {
  const int64_t half = rows / heads / 2;
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t head = row / (2 * half), in_half = row % (2 * half) / 2, which = row % 2;
    const int64_t source = (2 * head + which) * half + in_half;
    std::memcpy(to + row * row_bytes, from + source * row_bytes, static_cast<size_t>(row_bytes));
  }
}

}  // namespace minnow::model
