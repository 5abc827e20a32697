// SPDX-License-Identifier: MIT
// Writing a model architecture: metadata by key and nodes by op, over minnow/abi/arch.h.
//
// Nothing here needs checking by its caller: the host keeps the first failure, and what follows it
// does nothing. Getters return something harmless then. Threads: one at a time.
#pragma once

#include <minnow/abi/arch.h>

#include <array>
#include <cmath>
#include <initializer_list>
#include <string>

namespace minnow::sdk {

// An id in the graph under construction; MNW_NONE where an optional input is absent.
using Value = mnw_id;

class Builder {
 public:
  Builder(const mnw_builder& builder, const mnw_build_options& options)
      : b_(builder), options_(options) {}

  const mnw_build_options& options() const { return options_; }
  void Fail(int code, const std::string& message) { b_.fail(b_.self, code, message.c_str()); }

  // The layer that the nodes from here on belong to; -1: none.
  void SetLayer(int32_t layer) { layer_ = layer; }

  // Dims innermost first: {in, out} for a matrix. 0 stands for any extent.
  Value Weight(const std::string& name, std::initializer_list<int64_t> dims) {
    return GetWeight(name, dims, 0);
  }
  Value OptionalWeight(const std::string& name, std::initializer_list<int64_t> dims) {
    return GetWeight(name, dims, MNW_WEIGHT_OPTIONAL);
  }
  int64_t Dim(Value value, uint32_t axis) { return b_.dim(b_.self, value, axis); }

  Value Input(mnw_input role, uint32_t group = 0) { return b_.input(b_.self, role, group); }
  uint32_t StateGroup(mnw_state_kind kind, uint32_t window) {
    return b_.state_group(b_.self, kind, window);
  }
  Value State(uint32_t layer, uint32_t group, uint32_t n_kv_heads, uint32_t k_dim, uint32_t v_dim) {
    return b_.state(b_.self, layer, group, n_kv_heads, k_dim, v_dim);
  }
  void Output(Value value, const char* name) { b_.output(b_.self, value, name); }

  // x[T,N] -> [T,n_heads,dim] from element `offset` of each row on.
  Value Heads(Value x, int64_t n_heads, int64_t dim, int64_t offset = 0) {
    const int64_t element = sizeof(float);
    const std::array<int64_t, 3> dims{dim, n_heads, Dim(x, 1)};
    const std::array<int64_t, 3> strides{element, dim * element, Dim(x, 0) * element};
    return b_.view(b_.self, x, 3, dims.data(), strides.data(),
                   static_cast<uint64_t>(offset * element));
  }
  // x[T,H,D] -> [T,H*D]
  Value Flat(Value x) {
    const std::array<int64_t, 2> dims{Dim(x, 0) * Dim(x, 1), Dim(x, 2)};
    return b_.view(b_.self, x, 2, dims.data(), nullptr, 0);
  }

  // x[T,N] -> [T,n] from element `offset` of each row on.
  Value Part(Value x, int64_t n, int64_t offset) {
    const int64_t element = sizeof(float);
    const std::array<int64_t, 2> dims{n, Dim(x, 1)}, strides{element, Dim(x, 0) * element};
    return b_.view(b_.self, x, 2, dims.data(), strides.data(),
                   static_cast<uint64_t>(offset * element));
  }
  // The first n elements of x as one row: a vector that the file keeps as a matrix.
  Value First(Value x, int64_t n) { return b_.view(b_.self, x, 1, &n, nullptr, 0); }

  Value GetRows(Value table, Value ids) { return Emit(MNW_OP_get_rows, {table, ids})[0]; }
  Value Add(Value a, Value b) { return Emit(MNW_OP_add, {a, b})[0]; }
  Value Mul(Value a, Value b) { return Emit(MNW_OP_mul, {a, b})[0]; }
  Value Silu(Value x) { return Emit(MNW_OP_silu, {x})[0]; }
  Value GeluErf(Value x) { return Emit(MNW_OP_gelu_erf, {x})[0]; }
  Value Softplus(Value x) { return Emit(MNW_OP_softplus, {x})[0]; }
  Value Scale(Value x, float scale) {
    return Emit(MNW_OP_scale, {x}, mnw_scale_params{scale, 0})[0];
  }
  Value Softcap(Value x, float cap) {
    return Emit(MNW_OP_softcap, {x}, mnw_softcap_params{cap})[0];
  }

  // Linear, Qkv, GluFfn and LmHead take sites of the adapter pool if the host wants adapters and x
  // has the step's rows or its out rows.
  Value Linear(Value x, Value w, Value bias = MNW_NONE) {
    const Value adapter = Adapter(x);
    return Emit(MNW_OP_linear, {x, w, bias, adapter}, mnw_linear_params{Sites(adapter, 1)})[0];
  }
  struct QkvValues {
    Value q, k, v;
  };
  QkvValues Qkv(Value x, Value wq, Value wk, Value wv, Value bq = MNW_NONE, Value bk = MNW_NONE,
                Value bv = MNW_NONE) {
    const Value adapter = Adapter(x);
    const auto out = Emit(MNW_OP_qkv, {x, wq, wk, wv, bq, bk, bv, adapter},
                          mnw_linear_params{Sites(adapter, 3)});
    return {out[0], out[1], out[2]};
  }
  Value GluFfn(Value x, Value gate, Value up, Value down, mnw_act act) {
    const Value adapter = Adapter(x);
    return Emit(MNW_OP_glu_ffn, {x, gate, up, down, adapter},
                mnw_glu_params{static_cast<uint32_t>(act), Sites(adapter, 3)})[0];
  }

  Value RmsNorm(Value x, Value w, float eps) {
    return Emit(MNW_OP_rms_norm, {x, w}, mnw_norm_params{eps, 0, 0})[0];
  }
  Value LayerNorm(Value x, Value w, Value bias, float eps) {
    return Emit(MNW_OP_layer_norm, {x, w, bias}, mnw_norm_params{eps, 0, 0})[0];
  }
  struct AddNormValues {
    Value sum, norm;
  };
  AddNormValues AddNorm(Value x, Value residual, Value w, float eps) {
    const auto out = Emit(MNW_OP_add_norm, {x, residual, w}, mnw_norm_params{eps, 0, 0});
    return {out[0], out[1]};
  }

  Value Rope(Value x, Value factors, const mnw_rope_params& params) {
    return Emit(MNW_OP_rope, {x, Input(MNW_INPUT_POSITIONS), factors}, params)[0];
  }
  Value KvWrite(Value k, Value v, Value state, uint32_t group) {
    return Emit(MNW_OP_kv_write, {k, v, state, Input(MNW_INPUT_SLOTS, group)})[0];
  }
  Value Attention(Value q, Value state, uint32_t group, const mnw_attention_params& params,
                  Value sinks = MNW_NONE) {
    return Emit(
        MNW_OP_attention,
        {q, state, Input(MNW_INPUT_POSITIONS), Input(MNW_INPUT_SEQ), Input(MNW_INPUT_PARENT),
         Input(MNW_INPUT_SEQ_LEN), Input(MNW_INPUT_PAGES, group), sinks},
        params)[0];
  }
  // Of an encoder: each row reads all rows of its sequence; one vector per sequence.
  Value SeqAttention(Value q, Value k, Value v, const mnw_attention_params& params) {
    return Emit(MNW_OP_seq_attention, {q, k, v, Input(MNW_INPUT_SEQ)}, params)[0];
  }
  Value Pool(Value x, mnw_pool_kind kind, bool l2_normalize) {
    return Emit(MNW_OP_pool, {x, Input(MNW_INPUT_SEQ), Input(MNW_INPUT_SEQ_LEN)},
                mnw_pool_params{static_cast<uint32_t>(kind), l2_normalize})[0];
  }
  // Slots of a recurrent group; a layer may have several states.
  Value ConvStep(Value x, Value state, Value slots, Value w, Value bias) {
    return Emit(MNW_OP_conv_step, {x, state, slots, w, bias})[0];
  }
  Value Scan(Value x, Value dt, Value a, Value b, Value c, Value d, Value state, Value slots) {
    return Emit(MNW_OP_scan, {x, dt, a, b, c, d, state, slots})[0];
  }
  Value LmHead(Value x, Value w, float logit_scale, float softcap) {
    const Value adapter = Adapter(x);
    return Emit(MNW_OP_lm_head, {x, w, adapter},
                mnw_lm_head_params{logit_scale, softcap, Sites(adapter, 1)})[0];
  }

  // Any other op. Unused outputs are MNW_NONE.
  using Outs = std::array<Value, MNW_MAX_OUTPUTS>;
  template <class Params>
  Outs Emit(mnw_op op, std::initializer_list<Value> in, const Params& params) {
    return EmitRaw(op, in, &params, sizeof params);
  }
  Outs Emit(mnw_op op, std::initializer_list<Value> in) { return EmitRaw(op, in, nullptr, 0); }

 private:
  Outs EmitRaw(mnw_op op, std::initializer_list<Value> in, const void* params, uint32_t size) {
    Outs out;
    b_.emit(b_.self, op, layer_, in.begin(), static_cast<uint32_t>(in.size()), params, size,
            out.data(), MNW_MAX_OUTPUTS);
    return out;
  }
  Value GetWeight(const std::string& name, std::initializer_list<int64_t> dims, uint32_t flags) {
    return b_.weight(b_.self, name.c_str(), static_cast<uint32_t>(dims.size()), dims.begin(),
                     flags);
  }
  // The slots of x's rows.
  Value Adapter(Value x) {
    const int64_t rows = options_.adapters ? Dim(x, 1) : 0;
    if (rows == MNW_DIM(MNW_SYM_N_TOKENS)) return Input(MNW_INPUT_ADAPTER);
    if (rows == MNW_DIM(MNW_SYM_N_OUT)) return Input(MNW_INPUT_OUT_ADAPTER);
    return MNW_NONE;
  }
  uint32_t Sites(Value adapter, uint32_t n) {
    if (adapter == MNW_NONE) return MNW_NONE;
    n_sites_ += n;
    return n_sites_ - n;
  }

  const mnw_builder& b_;
  const mnw_build_options& options_;
  int32_t layer_ = -1;
  uint32_t n_sites_ = 0;
};

// The file's metadata, keys given without the prefix "<arch>.". A getter with a fallback returns it
// where the key is absent; a key of another type or out of range fails in any case.
class Meta {
 public:
  Meta(const mnw_metadata& metadata, Builder& builder, const std::string& arch)
      : m_(metadata), b_(builder), prefix_(arch + ".") {}

  uint32_t Count(const char* key, uint32_t min, uint32_t max) {
    return GetCount(key, min, max, nullptr);
  }
  uint32_t Count(const char* key, uint32_t min, uint32_t max, uint32_t fallback) {
    return GetCount(key, min, max, &fallback);
  }

  float Float(const char* key) { return GetFloat(key, nullptr); }
  float Float(const char* key, float fallback) { return GetFloat(key, &fallback); }

  float Positive(const char* key, float fallback) {
    const float x = Float(key, fallback);
    if (x > 0) return x;
    Bad(key, "is " + std::to_string(x) + ", must be positive");
    return 1;
  }

  std::string String(const char* key, const char* fallback) {
    const char* text = nullptr;
    const int code = m_.get_string(m_.self, (prefix_ + key).c_str(), &text);
    if (code == MNW_OK && text) return text;
    if (code != MNW_NOT_FOUND) Bad(key, "is no string");
    return fallback;
  }

  bool HasTensor(const std::string& name) { return m_.has_tensor(m_.self, name.c_str()) != 0; }

  // "key 'llama.block_count' ..."
  void Bad(const char* key, const std::string& what, int code = MNW_INVALID) {
    b_.Fail(code, "key '" + prefix_ + key + "' " + what);
  }

 private:
  uint32_t GetCount(const char* key, uint32_t min, uint32_t max, const uint32_t* fallback) {
    int64_t n = 0;
    const int code = m_.get_i64(m_.self, (prefix_ + key).c_str(), &n);
    if (code == MNW_OK && n >= min && n <= max) return static_cast<uint32_t>(n);
    if (code == MNW_NOT_FOUND && fallback) return *fallback;
    const std::string range = std::to_string(min) + " to " + std::to_string(max);
    if (code == MNW_OK) {
      Bad(key, "is " + std::to_string(n) + ", must be " + range);
    } else if (code == MNW_NOT_FOUND) {
      Bad(key, "is missing, must be " + range, MNW_NOT_FOUND);
    } else {
      Bad(key, "is no integer");
    }
    return 1;
  }

  float GetFloat(const char* key, const float* fallback) {
    double x = 0;
    const int code = m_.get_f64(m_.self, (prefix_ + key).c_str(), &x);
    if (code == MNW_OK && std::isfinite(static_cast<float>(x))) return static_cast<float>(x);
    if (code == MNW_NOT_FOUND && fallback) return *fallback;
    if (code == MNW_NOT_FOUND) {
      Bad(key, "is missing, must be a number", MNW_NOT_FOUND);
    } else {
      Bad(key, "is no finite number");
    }
    return 1;
  }

  const mnw_metadata& m_;
  Builder& b_;
  const std::string prefix_;
};

}  // namespace minnow::sdk
