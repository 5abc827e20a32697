#include "model/hf_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "formats/printable.h"

namespace minnow::model {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kMaxCount = 1 << 30;
constexpr int64_t kMaxHeadDim = 1 << 14;
constexpr int64_t kEndlessContext = 1 << 20;  // of a recurrent model, as converters write it
constexpr int64_t kGemma2LayersOf27B = 46;

// Null where there is none.
const Json& Member(const Json& object, const char* key) {
  static const Json kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

std::string Text(const Json& value) { return formats::Printable(value.dump(), 100); }

class Translator {
 public:
  explicit Translator(const Json& config) : config_(config) {}

  Result<HfConfig> Translate() {
    const Layout* layout = FindLayout();
    if (layout) {
      out_.architecture = layout->architecture;
      (this->*layout->translate)();
      Set("vocab_size", Count("vocab_size"));
      Tied();
    }
    if (!status_.ok()) return std::move(status_).Annotate("config.json");
    return std::move(out_);
  }

 private:
  struct Layout {
    std::string_view model_class;
    const char* architecture;
    void (Translator::*translate)();
  };
  static constexpr size_t kLayouts = 7;
  static const Layout kLayout[kLayouts];

  const Layout* FindLayout();

  void Llama();
  void Mistral();
  void Qwen2();
  void Phi3();
  void Gemma2();
  void Mamba2();
  void Bert();

  void Tied();
  void Decoder();
  void Window(std::optional<int64_t> absent);
  void Rope(int64_t head_dim);
  void Yarn(const Json& rope);
  void Llama3(const Json& rope, int64_t n_dims, double base);
  void LongRope(const Json& rope);
  std::vector<float> Factors(const Json& rope, const char* key);

  // The first failure is kept, and what follows it does not count.
  template <class... Args>
  void Fail(Code code, fmt::format_string<Args...> format, Args&&... args) {
    if (status_.ok()) status_ = Error(code, format, std::forward<Args>(args)...);
  }
  void Set(std::string_view key, HfValue value) {
    out_.values.insert_or_assign(fmt::format("{}.{}", out_.architecture, key), std::move(value));
  }

  // A key of `object`; null counts as absent.
  int64_t CountOf(const Json& object, const char* key, std::optional<int64_t> absent = {},
                  int64_t most = kMaxCount);
  int64_t Count(const char* key, std::optional<int64_t> absent = {}, int64_t most = kMaxCount) {
    return CountOf(config_, key, absent, most);
  }
  double RealOf(const Json& object, const char* key, std::optional<double> absent = {});
  double Real(const char* key, std::optional<double> absent = {}) {
    return RealOf(config_, key, absent);
  }
  void MustBe(const char* key, const Json& want);
  void CheckKeys(const Json& rope, std::string_view type);

  const Json& config_;
  HfConfig out_;
  Status status_;
};

const Translator::Layout Translator::kLayout[kLayouts] = {
    {"LlamaForCausalLM", "llama", &Translator::Llama},
    {"MistralForCausalLM", "llama", &Translator::Mistral},
    {"Qwen2ForCausalLM", "qwen2", &Translator::Qwen2},
    {"Phi3ForCausalLM", "phi3", &Translator::Phi3},
    {"Gemma2ForCausalLM", "gemma2", &Translator::Gemma2},
    {"Mamba2ForCausalLM", "mamba2", &Translator::Mamba2},
    {"BertModel", "bert", &Translator::Bert},
};

const Translator::Layout* Translator::FindLayout() {
  if (!Member(config_, "quantization_config").is_null()) {
    Fail(Code::kUnsupported,
         "the weights are quantized ('quantization_config'); only F32, F16 and BF16 are read from "
         "folders: take the unquantized model, or one in GGUF");
    return nullptr;
  }
  const Json& classes = Member(config_, "architectures");
  const bool named = classes.is_array() && classes.size() == 1 && classes[0].is_string();
  const std::string name = named ? classes[0].get<std::string>() : std::string();
  const auto* found = std::find_if(kLayout, kLayout + kLayouts,
                                   [&](const Layout& l) { return l.model_class == name; });
  if (found != kLayout + kLayouts) return found;
  std::string known;
  for (const Layout& l : kLayout) known.append(known.empty() ? "" : ", ").append(l.model_class);
  Fail(Code::kUnsupported, "'architectures' is {}; known are {}", Text(classes), known);
  return nullptr;
}

int64_t Translator::CountOf(const Json& object, const char* key, std::optional<int64_t> absent,
                            int64_t most) {
  const Json& value = Member(object, key);
  if (value.is_null() && absent) return *absent;
  if (value.is_number_unsigned()) {
    const uint64_t n = value.get<uint64_t>();
    if (n >= 1 && n <= static_cast<uint64_t>(most)) return static_cast<int64_t>(n);
  }
  Fail(Code::kCorrupt, "'{}' is {}, must be an integer from 1 to {}", key,
       value.is_null() ? "missing" : Text(value), most);
  return 1;
}

double Translator::RealOf(const Json& object, const char* key, std::optional<double> absent) {
  const Json& value = Member(object, key);
  if (value.is_null() && absent) return *absent;
  if (value.is_number() && std::isfinite(value.get<float>())) return value.get<double>();
  Fail(Code::kCorrupt, "'{}' is {}, must be a number", key,
       value.is_null() ? "missing" : Text(value));
  return 1;
}

// For what changes the graph and has one value in the graphs that there are.
void Translator::MustBe(const char* key, const Json& want) {
  const Json& value = Member(config_, key);
  if (value.is_null() || value == want) return;
  Fail(Code::kUnsupported, "'{}' is {}; only {} is supported", key, Text(value), Text(want));
}

void Translator::Tied() {
  const Json& tied = Member(config_, "tie_word_embeddings");
  if (tied.is_boolean()) {
    out_.tied = tied.get<bool>();
  } else if (!tied.is_null()) {
    Fail(Code::kCorrupt, "'tie_word_embeddings' is {}, must be true or false", Text(tied));
  }
}

// --- decoders

void Translator::Decoder() {
  const int64_t width = Count("hidden_size"), heads = Count("num_attention_heads");
  const int64_t kv_heads = Count("num_key_value_heads", heads);
  if (width % heads != 0 && Member(config_, "head_dim").is_null()) {
    Fail(Code::kCorrupt, "'num_attention_heads' {} does not divide 'hidden_size' {}", heads, width);
  }
  const int64_t head_dim = Count("head_dim", std::max<int64_t>(1, width / heads), kMaxHeadDim);
  Set("embedding_length", width);
  Set("block_count", Count("num_hidden_layers"));
  Set("feed_forward_length", Count("intermediate_size"));
  Set("context_length", Count("max_position_embeddings"));
  Set("attention.head_count", heads);
  Set("attention.head_count_kv", kv_heads);
  Set("attention.key_length", head_dim);
  Set("attention.value_length", head_dim);
  Set("attention.layer_norm_rms_epsilon", Real("rms_norm_eps"));
  out_.sizes.n_heads = heads;
  out_.sizes.n_kv_heads = kv_heads;
  Rope(head_dim);
}

void Translator::Window(std::optional<int64_t> absent) {
  const bool none =
      config_.contains("sliding_window") ? Member(config_, "sliding_window").is_null() : !absent;
  Set("attention.sliding_window", none ? 0 : Count("sliding_window", absent));
}

void Translator::Llama() {
  MustBe("hidden_act", "silu");
  MustBe("mlp_bias", false);
  Decoder();
}

void Translator::Mistral() {
  MustBe("hidden_act", "silu");
  Decoder();
  Window(4096);
}

void Translator::Qwen2() {
  MustBe("hidden_act", "silu");
  MustBe("use_sliding_window", false);
  Decoder();
}

void Translator::Phi3() {
  MustBe("hidden_act", "silu");
  Decoder();
  Window({});
}

void Translator::Gemma2() {
  MustBe("hidden_activation", "gelu_pytorch_tanh");
  MustBe("attention_bias", false);
  MustBe("use_bidirectional_attention", false);
  Decoder();
  Window(4096);
  for (const auto& [theirs, ours] :
       {std::pair("attn_logit_softcapping", "attn_logit_softcapping"),
        std::pair("final_logit_softcapping", "final_logit_softcapping")}) {
    if (config_.contains(theirs)) Set(ours, Real(theirs, 0));  // null: no cap
  }
  const Json& kinds = Member(config_, "layer_types");
  for (size_t l = 0; l < kinds.size(); ++l) {
    const char* const want = l % 2 == 0 ? "sliding_attention" : "full_attention";
    if (kinds[l] == want) continue;
    Fail(Code::kUnsupported, "'layer_types' has {} at layer {}; only '{}' is supported there",
         Text(kinds[l]), l, want);
  }
  // GGUF has no key for it: the graph takes the head's size, and the embedding's share for the 27B.
  const bool is_27b = Count("num_hidden_layers") == kGemma2LayersOf27B;
  const int64_t want =
      is_27b ? Count("hidden_size") / out_.sizes.n_heads : Count("head_dim", {}, kMaxHeadDim);
  if (Real("query_pre_attn_scalar") != static_cast<double>(want)) {
    Fail(Code::kUnsupported, "'query_pre_attn_scalar' is {}; only {} is supported for this size",
         Text(Member(config_, "query_pre_attn_scalar")), want);
  }
}

// --- rope

// A key that is not understood would change every answer.
void Translator::CheckKeys(const Json& rope, std::string_view type) {
  static const std::map<std::string_view, std::vector<std::string_view>> kKnown = {
      {"default", {}},
      {"linear", {"factor"}},
      {"yarn",
       {"factor", "original_max_position_embeddings", "attention_factor", "beta_fast",
        "beta_slow"}},
      {"llama3",
       {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}},
      {"longrope",
       {"factor", "short_factor", "long_factor", "attention_factor",
        "original_max_position_embeddings"}},
  };
  const auto known = kKnown.find(type);
  if (known == kKnown.end()) {
    return Fail(Code::kUnsupported,
                "rope of type '{}' is not supported; known are default, linear, yarn, llama3, "
                "longrope",
                formats::Printable(type));
  }
  for (const auto& [key, value] : rope.items()) {
    const bool common = key == "type" || key == "rope_type" || key == "rope_theta" ||
                        key == "partial_rotary_factor";
    if (common || value.is_null() || std::ranges::find(known->second, key) != known->second.end()) {
      continue;
    }
    Fail(Code::kUnsupported, "'{}' is not supported for rope of type '{}'", formats::Printable(key),
         type);
  }
}

// Older files have rope_theta at the top and rope_scaling for what is not plain.
void Translator::Rope(int64_t head_dim) {
  static const Json kPlain = Json::object();
  const Json* rope = &kPlain;
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const Json& value = Member(config_, key);
    if (value.is_object()) {
      rope = &value;
    } else if (!value.is_null()) {
      Fail(Code::kCorrupt, "'{}' is {}, must be an object", key, Text(value));
    }
  }
  std::string type = "default";
  for (const char* key : {"type", "rope_type"}) {
    if (Member(*rope, key).is_string()) type = Member(*rope, key).get<std::string>();
  }
  if (type == "su") type = "longrope";  // as it was first called
  CheckKeys(*rope, type);

  const double base = RealOf(*rope, "rope_theta", Real("rope_theta", 10000));
  const double share = RealOf(*rope, "partial_rotary_factor", Real("partial_rotary_factor", 1));
  const auto n_dims = static_cast<int64_t>(static_cast<double>(head_dim) * share);
  if (out_.architecture == "phi3" ? !(share > 0 && share <= 1) : share != 1) {
    Fail(Code::kUnsupported, "'partial_rotary_factor' {} is not supported here", share);
  }
  if (!(base > 1)) Fail(Code::kCorrupt, "'rope_theta' is {}, must be above 1", base);
  Set("rope.freq_base", base);
  Set("rope.dimension_count", n_dims);
  if (!status_.ok() || type == "default") return;
  if (type == "llama3") return Llama3(*rope, n_dims, base);
  if (type == "longrope") return LongRope(*rope);
  Set("rope.scaling.type", type);
  Set("rope.scaling.factor", RealOf(*rope, "factor"));
  if (type == "yarn") Yarn(*rope);
}

void Translator::Yarn(const Json& rope) {
  const double factor = RealOf(rope, "factor");
  const double usual = factor > 1 ? 0.1 * std::log(factor) + 1 : 1;  // comes in of itself
  Set("rope.scaling.attn_factor", RealOf(rope, "attention_factor", usual) / usual);
  Set("rope.scaling.yarn_beta_fast", RealOf(rope, "beta_fast", 32));
  Set("rope.scaling.yarn_beta_slow", RealOf(rope, "beta_slow", 1));
  Set("rope.scaling.original_context_length",
      CountOf(rope, "original_max_position_embeddings", Count("max_position_embeddings")));
}

// Divisors of the frequencies: 1 for waves that are short beside the original context, `factor` for
// long ones, a blend of the two between.
void Translator::Llama3(const Json& rope, int64_t n_dims, double base) {
  const double factor = RealOf(rope, "factor"), low = RealOf(rope, "low_freq_factor"),
               high = RealOf(rope, "high_freq_factor");
  const auto context = static_cast<double>(CountOf(rope, "original_max_position_embeddings"));
  if (!(factor > 0 && low > 0 && high > low)) {
    return Fail(Code::kCorrupt,
                "llama3 rope needs factor > 0 and high_freq_factor > "
                "low_freq_factor > 0");
  }
  std::vector<float>& divisors = out_.rope_factors["rope_freqs.weight"];
  for (int64_t i = 0; i < n_dims; i += 2) {
    const double frequency = std::pow(base, -static_cast<double>(i) / static_cast<double>(n_dims));
    const double waves = context * frequency / (2 * std::numbers::pi);  // in the original context
    const double blend = std::clamp((waves - low) / (high - low), 0.0, 1.0);
    divisors.push_back(static_cast<float>(1 / ((1 - blend) / factor + blend)));
  }
}

void Translator::LongRope(const Json& rope) {
  const int64_t original =
      CountOf(rope, "original_max_position_embeddings",
              Count("original_max_position_embeddings", Count("max_position_embeddings")));
  const auto context = static_cast<double>(Count("max_position_embeddings"));
  const double factor = RealOf(rope, "factor", context / static_cast<double>(original));
  const double usual =
      factor > 1 && original > 1
          ? std::sqrt(1 + std::log(factor) / std::log(static_cast<double>(original)))
          : 1;
  Set("rope.scaling.attn_factor", RealOf(rope, "attention_factor", usual));
  Set("rope.scaling.original_context_length", original);
  out_.rope_factors["rope_factors_short.weight"] = Factors(rope, "short_factor");
  out_.rope_factors["rope_factors_long.weight"] = Factors(rope, "long_factor");
}

std::vector<float> Translator::Factors(const Json& rope, const char* key) {
  const Json& list = Member(rope, key);
  std::vector<float> factors;
  for (const Json& f : list) {
    const float x = f.is_number() ? f.get<float>() : 0;
    if (!(x > 0 && std::isfinite(x))) break;
    factors.push_back(x);
  }
  if (!list.is_array() || list.empty() || factors.size() != list.size()) {
    Fail(Code::kCorrupt, "'{}' is {}, must be a list of positive numbers", key,
         list.is_null() ? "missing" : Text(list));
  }
  return factors;
}

// --- others

void Translator::Mamba2() {
  MustBe("hidden_act", "silu");
  MustBe("use_bias", false);
  MustBe("use_conv_bias", true);
  MustBe("rms_norm", true);
  const Json& limit = Member(config_, "time_step_limit");
  const bool endless = limit.is_array() && limit.size() == 2 && limit[0] == 0 &&
                       (limit[1].is_null() || limit[1] == Json{{"__float__", "Infinity"}});
  if (!limit.is_null() && !endless) {
    Fail(Code::kUnsupported, "'time_step_limit' is {}; only from 0 without end is supported",
         Text(limit));
  }
  const int64_t width = Count("hidden_size"), heads = Count("num_heads");
  const int64_t inner = width * Count("expand", {}, 64);
  if (inner != heads * Count("head_dim")) {
    Fail(Code::kCorrupt, "'num_heads' * 'head_dim' is not 'expand' * 'hidden_size'");
  }
  Set("embedding_length", width);
  Set("block_count", Count("num_hidden_layers"));
  Set("context_length", kEndlessContext);
  Set("attention.layer_norm_rms_epsilon", Real("layer_norm_epsilon"));
  Set("ssm.inner_size", inner);
  Set("ssm.time_step_rank", heads);
  Set("ssm.group_count", out_.sizes.n_groups = Count("n_groups"));
  Set("ssm.state_size", Count("state_size"));
  Set("ssm.conv_kernel", Count("conv_kernel"));
}

void Translator::Bert() {
  MustBe("hidden_act", "gelu");
  MustBe("position_embedding_type", "absolute");
  MustBe("is_decoder", false);
  MustBe("add_cross_attention", false);
  Set("embedding_length", Count("hidden_size"));
  Set("block_count", Count("num_hidden_layers"));
  Set("attention.head_count", Count("num_attention_heads"));
  Set("feed_forward_length", Count("intermediate_size"));
  Set("context_length", Count("max_position_embeddings"));
  Set("attention.layer_norm_epsilon", Real("layer_norm_eps"));
}

}  // namespace

Result<HfConfig> TranslateHfConfig(const Json& config) { return Translator(config).Translate(); }

}  // namespace minnow::model
