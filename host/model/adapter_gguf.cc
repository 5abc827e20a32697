#include <cmath>
#include <map>
#include <vector>

#include "formats/gguf.h"
#include "formats/printable.h"
#include "model/adapter_file.h"

namespace minnow::model {
namespace {

using formats::GgufReader;

std::string Quoted(std::string_view name) { return formats::Printable(name, 100); }

Status CheckKind(const GgufReader& file, const AdapterTarget& target) {
  const auto expect = [&](const char* key, std::string_view want, Code code) -> Status {
    MNW_ASSIGN(const auto found, file.FindString(key));
    if (!found) return Error(Code::kCorrupt, "it has no '{}': is it an adapter?", key);
    if (*found == want) return Status();
    return Error(code, "'{}' is '{}', must be '{}'", key, Quoted(*found), want);
  };
  MNW_TRY(expect("general.type", "adapter", Code::kCorrupt));
  MNW_TRY(expect("adapter.type", "lora", Code::kUnsupported));
  MNW_TRY(expect("general.architecture", target.architecture, Code::kPrecondition));
  const char* const activated = "adapter.alora.invocation_tokens";
  if (!file.Find(activated)) return Status();
  return Error(Code::kUnsupported,
               "it acts only after certain tokens ('{}'), which is not supported", activated);
}

// 0: the product stays as it is, as in files without alpha.
Result<double> ReadAlpha(const GgufReader& file) {
  MNW_ASSIGN(const auto alpha, file.FindF64("adapter.lora.alpha"));
  if (alpha && !std::isfinite(*alpha)) {
    return Error(Code::kCorrupt, "'adapter.lora.alpha' is no number");
  }
  return alpha.value_or(0);
}

Result<std::vector<AdapterPair>> CollectPairs(const GgufReader& file, double alpha) {
  constexpr std::string_view kA = ".lora_a", kB = ".lora_b";
  std::map<std::string_view, AdapterPair> pairs;
  for (const formats::GgufTensor& t : file.tensors()) {
    const bool is_a = t.name.ends_with(kA);
    if (!is_a && !t.name.ends_with(kB)) {
      return Error(Code::kUnsupported, "tensor '{}' is no lora_a and no lora_b", Quoted(t.name));
    }
    const std::string_view matrix = t.name.substr(0, t.name.size() - kA.size());
    AdapterPair& pair = pairs[matrix];
    pair.matrix = matrix;
    // Not in one: GCC 12 with sanitizers then fails at a list assigned to a conditional.
    auto& half = is_a ? pair.a : pair.b;
    half = {std::string(t.name), t.type, t.ne, t.data};
    if (is_a && alpha != 0) pair.scale = alpha / static_cast<double>(t.ne[1]);
  }
  std::vector<AdapterPair> list;
  for (auto& [name, pair] : pairs) list.push_back(std::move(pair));
  return list;
}

}  // namespace

Result<Adapter> LoadGgufAdapter(const std::string& path, const AdapterTarget& target,
                                float strength) {
  MNW_ASSIGN(const GgufReader file, GgufReader::Open(path));
  MNW_TRY(CheckKind(file, target));
  MNW_ASSIGN(const double alpha, ReadAlpha(file));
  MNW_ASSIGN(const auto pairs, CollectPairs(file, alpha));
  return FitAdapter(pairs, target, strength);
}

}  // namespace minnow::model
