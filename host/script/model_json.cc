#include "script/model_json.h"

#include <bit>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <type_traits>
#include <utility>

#include "text/utf8.h"

namespace minnow::script {
namespace {

using Json = nlohmann::ordered_json;

// --- The fields of each record, once for both directions

template <class R, class T>
concept Is = std::same_as<std::remove_const_t<R>, T>;

template <class F, Is<engine::Sampling> R>
void Fields(F& f, R& r) {
  f("temperature", r.temperature);
  f("top_k", r.top_k);
  f("top_p", r.top_p);
  f("min_p", r.min_p);
  f("seed", r.seed);
}

template <class F, Is<constrain::Constraint> R>
void Fields(F& f, R& r) {
  f("kind", r.kind);
  f("source", r.source);
  f("document", r.document);
}

template <class F, Is<engine::GenerateRequest> R>
void Fields(F& f, R& r) {
  f("prompt", r.prompt);
  f("max_tokens", r.max_tokens);
  f("sampling", r.sampling);
  f("n_logprobs", r.n_logprobs);
  f("stop", r.stop);
  f("ignore_end", r.ignore_end);
  f("constraint", r.constraint);
  f("speculate", r.speculate);
  f("priority", r.priority);
  f("deadline", r.deadline);
}

template <class F, Is<engine::LabelQuestion> R>
void Fields(F& f, R& r) {
  f("prompt", r.prompt);
  f("labels", r.labels);
  f("prior_prompt", r.prior_prompt);
}

template <class F, Is<engine::ClassifyRequest> R>
void Fields(F& f, R& r) {
  f("questions", r.questions);
  f("priority", r.priority);
  f("deadline", r.deadline);
}

template <class F, Is<engine::ContinuationsRequest> R>
void Fields(F& f, R& r) {
  f("prompt", r.prompt);
  f("continuations", r.continuations);
  f("priority", r.priority);
  f("deadline", r.deadline);
}

template <class F, Is<engine::EmbedRequest> R>
void Fields(F& f, R& r) {
  f("tokens", r.tokens);
  f("priority", r.priority);
  f("deadline", r.deadline);
}

template <class F, Is<engine::TokenLogprob> R>
void Fields(F& f, R& r) {
  f("token", r.token);
  f("logprob", r.logprob);
}

template <class F, Is<engine::GeneratedToken> R>
void Fields(F& f, R& r) {
  f("token", r.token);
  f("logprob", r.logprob);
  f("top", r.top);
  f("forced", r.forced);
}

template <class F, Is<engine::Usage> R>
void Fields(F& f, R& r) {
  f("prompt_tokens", r.prompt_tokens);
  f("cached_tokens", r.cached_tokens);
  f("completion_tokens", r.completion_tokens);
  f("drafted_tokens", r.drafted_tokens);
  f("accepted_tokens", r.accepted_tokens);
  f("queue_seconds", r.queue_seconds);
  f("prefill_seconds", r.prefill_seconds);
  f("decode_seconds", r.decode_seconds);
}

template <class F, Is<engine::GenerateResult> R>
void Fields(F& f, R& r) {
  f("status", r.status);
  f("finish_reason", r.finish_reason);
  f("text", r.text);
  f("tokens", r.tokens);
  f("stop_string", r.stop_string);
  f("fingerprint", r.fingerprint);
  f("usage", r.usage);
}

template <class F, Is<engine::LabelScore> R>
void Fields(F& f, R& r) {
  f("label", r.label);
  f("logprob", r.logprob);
  f("n_tokens", r.n_tokens);
  f("prior_logprob", r.prior_logprob);
}

template <class F, Is<engine::ClassifyResult> R>
void Fields(F& f, R& r) {
  f("status", r.status);
  f("answers", r.answers);
  f("fingerprint", r.fingerprint);
  f("usage", r.usage);
}

template <class F, Is<engine::ContinuationScore> R>
void Fields(F& f, R& r) {
  f("logprob", r.logprob);
  f("tokens", r.tokens);
  f("token_logprobs", r.token_logprobs);
}

template <class F, Is<engine::ScoreResult> R>
void Fields(F& f, R& r) {
  f("status", r.status);
  f("continuations", r.continuations);
  f("fingerprint", r.fingerprint);
  f("usage", r.usage);
}

template <class F, Is<engine::ExtractRequest> R>
void Fields(F& f, R& r) {
  f("prompt", r.prompt);
  f("schema", r.schema);
  f("document", r.document);
  f("max_tokens", r.max_tokens);
  f("sampling", r.sampling);
  f("speculate", r.speculate);
  f("priority", r.priority);
  f("deadline", r.deadline);
}

template <class F, Is<engine::SourceSpan> R>
void Fields(F& f, R& r) {
  f("begin", r.begin);
  f("end", r.end);
  f("line", r.line);
}

template <class F, Is<engine::ExtractedField> R>
void Fields(F& f, R& r) {
  f("pointer", r.pointer);
  f("confidence", r.confidence);
  f("spans", r.spans);
  f("normalized", r.normalized);
}

template <class F, Is<engine::ExtractResult> R>
void Fields(F& f, R& r) {
  f("status", r.status);
  f("json", r.json);
  f("fields", r.fields);
  f("fingerprint", r.fingerprint);
  f("usage", r.usage);
}

template <class F, Is<EmbedResult> R>
void Fields(F& f, R& r) {
  f("status", r.status);
  f("embedding", r.embedding);
  f("usage", r.usage);
}

template <class F, Is<StepUsage> R>
void Fields(F& f, R& r) {
  f("calls", r.calls);
  f("prompt_tokens", r.prompt_tokens);
  f("cached_tokens", r.cached_tokens);
  f("completion_tokens", r.completion_tokens);
}

struct NamedStep {
  std::string step;
  StepUsage usage;
};

template <class F, Is<NamedStep> R>
void Fields(F& f, R& r) {
  f("step", r.step);
  f("usage", r.usage);
}

template <class F, Is<Budget> R>
void Fields(F& f, R& r) {
  f("memory_bytes", r.memory_bytes);
  f("instructions", r.instructions);
  f("lua_seconds", r.lua_seconds);
  f("seconds", r.seconds);
  f("tokens", r.tokens);
  f("output_bytes", r.output_bytes);
}

// Names of enumerators, in the order of their values.
constexpr const char* kPriorities[] = {"interactive", "batch"};
constexpr const char* kFinishReasons[] = {"stop", "length", "cancelled", "error"};
constexpr const char* kConstraints[] = {"none", "json_schema", "regex",     "gbnf",
                                        "lark", "choice",      "tool_calls"};

template <class Float>
using BitsOf = std::conditional_t<sizeof(Float) == 4, uint32_t, uint64_t>;

// --- Writing

struct Writer;

template <class R>
requires requires(Writer& w, const R& r) { Fields(w, r); }
Json Write(const R& record);

template <std::integral T>
Json Write(T value) {
  return Json(value);
}

template <std::floating_point T>
Json Write(T value) {
  if (std::isfinite(value)) return Json(value);
  return Json(fmt::format("{:0{}x}", std::bit_cast<BitsOf<T>>(value), 2 * sizeof value));
}

Json Write(const std::string& text) { return TextToJson(text); }
Json Write(const Status& status) {
  if (status.ok()) return nullptr;
  return Json{{"code", CodeName(status.code())}, {"message", TextToJson(status.message())}};
}
Json Write(engine::Priority priority) { return kPriorities[static_cast<size_t>(priority)]; }
Json Write(engine::FinishReason reason) { return kFinishReasons[static_cast<size_t>(reason)]; }
Json Write(constrain::Constraint::Kind kind) { return kConstraints[static_cast<size_t>(kind)]; }
Json Write(engine::Deadline deadline) {
  if (deadline == engine::kNoDeadline) return nullptr;
  return std::chrono::nanoseconds(deadline.time_since_epoch()).count();
}

template <class T>
Json Write(const std::vector<T>& list) {
  Json json = Json::array();
  for (const T& item : list) json.push_back(Write(item));
  return json;
}

struct Writer {
  Json json = Json::object();

  template <class T>
  void operator()(const char* name, const T& value) {
    json[name] = Write(value);
  }
};

template <class R>
requires requires(Writer& w, const R& r) { Fields(w, r); }
Json Write(const R& record) {
  Writer writer;
  Fields(writer, record);
  return std::move(writer.json);
}

// --- Reading

Status Mistyped(const char* wanted, const Json& json) {
  return Error(Code::kCorrupt, "should be {}, is {} {}", wanted,
               json.is_object() || json.is_array() ? "an" : "a", json.type_name());
}

struct FieldReader;

template <class R>
requires requires(FieldReader& f, R& r) { Fields(f, r); }
Status Read(const Json& json, R* out);

Status Read(const Json& json, bool* out) {
  if (!json.is_boolean()) return Mistyped("true or false", json);
  *out = json.get<bool>();
  return {};
}

template <std::integral T>
Status Read(const Json& json, T* out) {
  if (!json.is_number_integer()) return Mistyped("an integer", json);
  const bool fits = json.is_number_unsigned() ? std::in_range<T>(json.get<uint64_t>())
                                              : std::in_range<T>(json.get<int64_t>());
  if (!fits) {
    return Error(Code::kCorrupt, "should be an integer from {} to {}",
                 std::numeric_limits<T>::min(), std::numeric_limits<T>::max());
  }
  *out = json.is_number_unsigned() ? static_cast<T>(json.get<uint64_t>())
                                   : static_cast<T>(json.get<int64_t>());
  return {};
}

template <std::floating_point T>
Status Read(const Json& json, T* out) {
  if (json.is_string()) {
    const std::string& digits = json.get_ref<const std::string&>();
    BitsOf<T> bits = 0;
    const char* end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, bits, 16);
    *out = std::bit_cast<T>(bits);
    if (error == std::errc() && stop == end && digits.size() == 2 * sizeof(T) &&
        !std::isfinite(*out)) {
      return {};
    }
    return Error(Code::kCorrupt, "should be a number, or the bits of one that is not finite");
  }
  if (!json.is_number()) return Mistyped("a number", json);
  const double value = json.get<double>();
  if (!(std::abs(value) <= static_cast<double>(std::numeric_limits<T>::max()))) {
    return Error(Code::kCorrupt, "is a number too large for its field");
  }
  *out = static_cast<T>(value);
  return {};
}

Status Read(const Json& json, std::string* out) {
  if (json.is_string()) {
    *out = json.get_ref<const std::string&>();
    return {};
  }
  const auto hex = json.is_object() && json.size() == 1 ? json.find("hex") : json.end();
  if (hex == json.end() || !hex->is_string()) return Mistyped("a text", json);
  const std::string& digits = hex->get_ref<const std::string&>();
  out->assign(digits.size() / 2, '\0');
  bool good = digits.size() % 2 == 0;
  for (size_t i = 0; good && i < out->size(); ++i) {
    unsigned char byte = 0;
    const char* end = &digits[2 * i] + 2;
    good = std::from_chars(&digits[2 * i], end, byte, 16).ptr == end;
    (*out)[i] = static_cast<char>(byte);
  }
  if (good) return {};
  return Error(Code::kCorrupt, "hex: should be two hexadecimal digits for each byte");
}

template <class Enum, size_t kN>
Status ReadName(const Json& json, const char* const (&names)[kN], Enum* out) {
  for (size_t i = 0; json.is_string() && i < kN; ++i) {
    if (json.get_ref<const std::string&>() != names[i]) continue;
    *out = static_cast<Enum>(i);
    return {};
  }
  return Error(Code::kCorrupt, "should be one of {}", fmt::join(names, ", "));
}

Status Read(const Json& json, engine::Priority* out) { return ReadName(json, kPriorities, out); }
Status Read(const Json& json, engine::FinishReason* out) {
  return ReadName(json, kFinishReasons, out);
}
Status Read(const Json& json, constrain::Constraint::Kind* out) {
  return ReadName(json, kConstraints, out);
}

Status Read(const Json& json, engine::Deadline* out) {
  *out = engine::kNoDeadline;
  if (json.is_null()) return {};
  int64_t nanoseconds = 0;
  MNW_TRY(Read(json, &nanoseconds));
  *out = engine::Deadline(std::chrono::nanoseconds(nanoseconds));
  return {};
}

Status Read(const Json& json, Status* out);

template <class T>
Status Read(const Json& json, std::vector<T>* out) {
  if (!json.is_array()) return Mistyped("a list", json);
  out->clear();
  out->reserve(json.size());
  for (const Json& item : json) {
    if (Status status = Read(item, &out->emplace_back()); !status.ok()) {
      return std::move(status).Annotate(fmt::format("[{}]", out->size() - 1));
    }
  }
  return {};
}

struct FieldReader {
  const Json& json;  // an object
  size_t n = 0;
  Status status{};

  template <class T>
  void operator()(const char* name, T& value) {
    ++n;
    if (!status.ok()) return;
    const auto field = json.find(name);
    status = field == json.end() ? Error(Code::kCorrupt, "is missing") : Read(*field, &value);
    status = std::move(status).Annotate(name);
  }

  Status End() && {
    if (status.ok() && json.size() != n) {
      return Error(Code::kCorrupt, "has {} fields, should have {}", json.size(), n);
    }
    return std::move(status);
  }
};

template <class R>
requires requires(FieldReader& f, R& r) { Fields(f, r); }
Status Read(const Json& json, R* out) {
  if (!json.is_object()) return Mistyped("an object", json);
  FieldReader reader{json};
  Fields(reader, *out);
  return std::move(reader).End();
}

Status Read(const Json& json, Status* out) {
  *out = Status();
  if (json.is_null()) return {};
  if (!json.is_object()) return Mistyped("null or an object", json);
  std::string name, message;
  FieldReader reader{json};
  reader("code", name);
  reader("message", message);
  MNW_TRY(std::move(reader).End());
  for (int i = 1; i <= static_cast<int>(Code::kDeviceLost); ++i) {
    const auto code = static_cast<Code>(i);
    if (name != CodeName(code) || name == "unknown") continue;
    *out = Status(code, std::move(message));
    return {};
  }
  return Error(Code::kCorrupt, "code: '{}' is none", name);
}

bool IsWrapper(const std::string& name) { return name == "hex" || name == "object"; }

}  // namespace

Json TextToJson(std::string_view text) {
  if (text::WellFormedLength(text, 0) == text.size()) return Json(text);
  std::string hex;
  hex.reserve(2 * text.size());
  for (const char c : text) fmt::format_to(std::back_inserter(hex), "{:02x}", uint8_t(c));
  return Json{{"hex", std::move(hex)}};
}

Json ValueToJson(const Json& value) {
  if (value.is_string()) return TextToJson(value.get_ref<const std::string&>());
  if (!value.is_structured()) return value;
  Json out = value.is_array() ? Json::array() : Json::object();
  for (const auto& [name, item] : value.items()) {
    if (value.is_array()) {
      out.push_back(ValueToJson(item));
    } else {
      out[name] = ValueToJson(item);
    }
  }
  const bool is_wrapped = out.is_object() && out.size() == 1 && IsWrapper(out.begin().key());
  return is_wrapped ? Json{{"object", std::move(out)}} : out;
}

Status ValueFromJson(const Json& json, Json* out) {
  *out = json;
  if (!json.is_structured()) return {};
  if (json.is_array()) {
    for (size_t i = 0; i < json.size(); ++i) MNW_TRY(ValueFromJson(json[i], &(*out)[i]));
    return {};
  }
  const Json* members = &json;
  if (json.size() == 1 && json.begin().key() == "hex") {
    std::string text;
    MNW_TRY(Read(json, &text));
    *out = std::move(text);
    return {};
  }
  if (json.size() == 1 && json.begin().key() == "object") members = &json.begin().value();
  if (!members->is_object()) return Mistyped("an object", *members);
  *out = Json::object();
  for (const auto& [name, item] : members->items()) MNW_TRY(ValueFromJson(item, &(*out)[name]));
  return {};
}

Json FloatToJson(float number) { return Write(number); }

Json ToJson(const engine::GenerateRequest& request) { return Write(request); }
Json ToJson(const engine::ClassifyRequest& request) { return Write(request); }
Json ToJson(const engine::ContinuationsRequest& request) { return Write(request); }
Json ToJson(const engine::ExtractRequest& request) { return Write(request); }
Json ToJson(const engine::EmbedRequest& request) { return Write(request); }
Json ToJson(const engine::GeneratedToken& token) { return Write(token); }
Json ToJson(const engine::GenerateResult& result) { return Write(result); }
Json ToJson(const engine::ClassifyResult& result) { return Write(result); }
Json ToJson(const engine::ScoreResult& result) { return Write(result); }
Json ToJson(const engine::ExtractResult& result) { return Write(result); }
Json ToJson(const EmbedResult& result) { return Write(result); }
Json ToJson(const engine::Usage& usage) { return Write(usage); }
Json ToJson(const StepUsages& steps) {
  std::vector<NamedStep> list;
  for (const auto& [step, usage] : steps) list.push_back({step, usage});
  return Write(list);
}
Json ToJson(const Budget& budget) { return Write(budget); }
Json ToJson(const std::optional<engine::Priority>& priority) {
  return priority ? Write(*priority) : Json();
}
Json ToJson(const Status& status) { return Write(status); }
Json ToJson(const std::vector<engine::TokenId>& tokens) { return Write(tokens); }

Status FromJson(const Json& json, StepUsages* out) {
  std::vector<NamedStep> list;
  MNW_TRY(Read(json, &list));
  out->clear();
  for (const NamedStep& step : list) (*out)[step.step].Add(step.usage);
  return {};
}
Status FromJson(const Json& json, engine::GenerateRequest* out) { return Read(json, out); }
Status FromJson(const Json& json, engine::ClassifyRequest* out) { return Read(json, out); }
Status FromJson(const Json& json, engine::ContinuationsRequest* out) { return Read(json, out); }
Status FromJson(const Json& json, engine::ExtractRequest* out) { return Read(json, out); }
Status FromJson(const Json& json, engine::EmbedRequest* out) { return Read(json, out); }
Status FromJson(const Json& json, engine::GeneratedToken* out) { return Read(json, out); }
Status FromJson(const Json& json, engine::GenerateResult* out) { return Read(json, out); }
Status FromJson(const Json& json, engine::ExtractResult* out) { return Read(json, out); }
Status FromJson(const Json& json, EmbedResult* out) { return Read(json, out); }
Status FromJson(const Json& json, engine::ScoreResult* out) { return Read(json, out); }
Status FromJson(const Json& json, engine::ClassifyResult* out) { return Read(json, out); }
Status FromJson(const Json& json, engine::Usage* out) { return Read(json, out); }
Status FromJson(const Json& json, Budget* out) { return Read(json, out); }
Status FromJson(const Json& json, std::optional<engine::Priority>* out) {
  out->reset();
  return json.is_null() ? Status() : Read(json, &out->emplace());
}
Status FromJson(const Json& json, Status* out) { return Read(json, out); }
Status FromJson(const Json& json, std::vector<engine::TokenId>* out) { return Read(json, out); }
Status FromJson(const Json& json, std::string* out) { return Read(json, out); }
Status FromJson(const Json& json, float* out) { return Read(json, out); }
Status FromJson(const Json& json, uint32_t* out) { return Read(json, out); }

}  // namespace minnow::script
