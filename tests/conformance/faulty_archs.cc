// Architectures with one fault each, which is their name; "right" has none. They build a decoder
// without attention. Each fault is what the test of the same name looks for.
#include <minnow/abi/plugin.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <minnow/sdk/arch.hpp>
#include <minnow/sdk/plugin.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

using minnow::sdk::Builder;
using minnow::sdk::Fail;
using minnow::sdk::Guard;
using minnow::sdk::Meta;
using minnow::sdk::Value;

namespace {

constexpr const char* kNames[] = {
    "right",          "other_graph", "other_params", "writes_numbers", "missing_key", "unnamed_key",
    "any_type",       "divides",     "endless",      "huge",           "truncates",   "any_shape",
    "unnamed_tensor", "no_sites",    "same_sites",   "vocabulary",     "newer_info",  "past_info",
    "prints",         "other_keys",  "throws"};

class Model {
 public:
  Model(const char* fault, const mnw_metadata& m, const mnw_build_options& o, const mnw_builder& b)
      : fault_(fault), m_(m), b_(b, o), meta_(m, b_, fault) {}

  int Build(mnw_model_info* info, mnw_error* e) {
    if (Is("prints")) std::puts("building");
    n_embd_ = meta_.Count("embedding_length", 1, 1u << 20);
    const auto n_heads = static_cast<uint32_t>(Read("attention.head_count", 1));
    if ((n_heads > 0 || Is("divides")) && n_embd_ % n_heads != 0) {
      meta_.Bad("attention.head_count", "does not divide embedding_length");
    }
    if (Is("other_keys")) meta_.Count("things", 1, 100);
    const int64_t n_layers = CountLayers();
    if (Is("unnamed_tensor") && !meta_.HasTensor("blk.0.ffn.weight")) {
      return Fail(e, MNW_NOT_FOUND, "a tensor is missing");
    }
    const Value embedding = b_.Weight("token_embd.weight", {n_embd_, 0});
    Value x = b_.GetRows(embedding, b_.Input(MNW_INPUT_TOKENS));
    for (int64_t layer = 0; layer < n_layers; ++layer) {
      x = b_.Add(x, Feed(x, layer));
    }
    static int calls = 0;
    if (Is("other_graph") && ++calls % 3 == 0) x = b_.Silu(x);
    x = Scale(b_.GetRows(x, b_.Input(MNW_INPUT_OUT_ROWS)));
    b_.Output(b_.LmHead(x, embedding, 1, 0), "logits");
    if (Is("throws")) throw 1;
    info->n_layers = static_cast<uint32_t>(n_layers);
    info->n_embd = n_embd_;
    info->n_vocab = static_cast<uint32_t>(b_.Dim(embedding, 1)) - Is("vocabulary");
    info->n_ctx_train = 100;
    if (Is("past_info") || (Is("newer_info") && info->size > sizeof *info)) {
      std::memset(info + 1, 0, 4);
    }
    return MNW_OK;
  }

 private:
  bool Is(const char* fault) const { return std::strcmp(fault_, fault) == 0; }

  // A key without the checks of sdk::Meta, but for its type.
  int64_t Read(const char* key, int64_t fallback, int* code = nullptr) {
    int64_t n = fallback;
    int ignored = 0;
    if (!code) code = &ignored;
    *code = m_.get_i64(m_.self, (std::string(fault_) + "." + key).c_str(), &n);
    if (*code == MNW_INVALID && !Is("any_type")) meta_.Bad(key, "is no integer");
    if (Is("divides")) return n;
    if (n >= 0 && n <= 1000) return n;
    meta_.Bad(key, "is out of range");
    return fallback;
  }

  int64_t CountLayers() {
    int code = MNW_OK;
    const char* const key = "block_count";
    if (Is("missing_key")) {
      const int64_t n = Read(key, 0, &code);
      if (code == MNW_NOT_FOUND) std::abort();
      return n;
    }
    if (Is("any_type")) return Read(key, 1);
    if (Is("unnamed_key") || Is("endless") || Is("huge") || Is("truncates")) {
      int64_t n = 0;
      code = m_.get_i64(m_.self, (std::string(fault_) + ".block_count").c_str(), &n);
      if (code != MNW_OK && Is("unnamed_key")) b_.Fail(MNW_INVALID, "this is no model of mine");
      if (code != MNW_OK || n < 1) meta_.Bad(key, "is wrong");
      if (Is("huge") && n > 0) std::vector<char>(static_cast<size_t>(n) * 64).data()[0] = 1;
      return Is("truncates") ? static_cast<uint8_t>(n) | 1 : Is("endless") ? n : n % 1000;
    }
    return meta_.Count(key, 1, 100);
  }

  Value Feed(Value x, int64_t layer) {
    std::ostringstream name;
    name << "blk." << layer + (Is("writes_numbers") ? 1000 : 0) << ".ffn.weight";
    const int64_t extent = Is("any_shape") ? 0 : n_embd_;
    const Value w = b_.Weight(name.str(), {extent, extent});
    if (Is("no_sites")) return b_.Emit(MNW_OP_linear, {x, w}, mnw_linear_params{MNW_NONE})[0];
    if (!Is("same_sites") || !b_.options().adapters) return b_.Linear(x, w);
    const Value slots = b_.Input(MNW_INPUT_ADAPTER);
    return b_.Emit(MNW_OP_linear, {x, w, MNW_NONE, slots}, mnw_linear_params{0})[0];
  }

  Value Scale(Value x) {
    struct Memory {
      char before[48];  // malloc writes to the beginning of what is freed
      mnw_scale_params params;
    };
    auto* memory = static_cast<Memory*>(std::malloc(sizeof(Memory)));
    memory->params.scale = 2;
    if (!Is("other_params")) memory->params.bias = 0;
    const Value y = b_.Emit(MNW_OP_scale, {x}, memory->params)[0];
    std::free(memory);
    return y;
  }

  const char* const fault_;
  const mnw_metadata& m_;
  Builder b_;
  Meta meta_;
  uint32_t n_embd_ = 0;
};

template <size_t I>
int Build(const mnw_metadata* m, const mnw_build_options* o, const mnw_builder* b,
          mnw_model_info* info, mnw_error* e) {
  return Model(kNames[I], *m, *o, *b).Build(info, e);
}

constexpr size_t kCount = std::size(kNames);
constexpr size_t kThrows = kCount - 1;

template <size_t... I>
constexpr std::array<mnw_arch, kCount> MakeArchs(std::index_sequence<I...>) {
  return {
      mnw_arch{sizeof(mnw_arch), kNames[I], I == kThrows ? &Build<I> : &Guard<&Build<I>>::Call}...};
}
constexpr std::array<mnw_arch, kCount> kArchs = MakeArchs(std::make_index_sequence<kCount>());

const mnw_arch_list* Archs(uint32_t) {
  static const std::array<const mnw_arch*, kCount> pointers = [] {
    std::array<const mnw_arch*, kCount> p{};
    for (size_t i = 0; i < kCount; ++i) p[i] = &kArchs[i];
    return p;
  }();
  static const mnw_arch_list list = {sizeof list, kCount, pointers.data()};
  return &list;
}

constexpr mnw_plugin kPlugin = {
    sizeof(mnw_plugin), MNW_ABI_MAJOR, MNW_ABI_MINOR, "test.faulty_archs", "0.1.0",
    "Apache-2.0",       nullptr,       Archs};

}  // namespace

extern "C" MNW_EXPORT const mnw_plugin* mnw_plugin_entry(void) { return &kPlugin; }
