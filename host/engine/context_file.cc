#include "engine/context_file.h"

#include <minnow/sdk/half.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/json.h"
#include "base/sha256.h"
#include "base/write_file.h"
#include "engine/classify.h"
#include "engine/prefix_state.h"
#include "plugins/files.h"

namespace minnow::engine {

namespace {

static_assert(std::endian::native == std::endian::little);

using Json = nlohmann::ordered_json;

constexpr std::string_view kMagic = "MNWCTX1\n";
constexpr size_t kDigest = 32, kFixed = kMagic.size() + 2 * sizeof(uint64_t);

size_t ElementBytes(const model::Instance& instance) {
  return instance.options().kv_type == MNW_TYPE_F16 ? 2 : 4;
}

void AppendFloats(std::span<const float> values, size_t element, std::string* out) {
  for (const float x : values) {
    const uint16_t half = F32ToF16(x);
    out->append(
        element == 2 ? reinterpret_cast<const char*>(&half) : reinterpret_cast<const char*>(&x),
        element);
  }
}

void ReadFloats(std::string_view bytes, size_t element, std::span<float> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    uint16_t half = 0;
    if (element == 4) {
      std::memcpy(&out[i], &bytes[4 * i], 4);
    } else {
      std::memcpy(&half, &bytes[2 * i], 2);
      out[i] = F16ToF32(half);
    }
  }
}

std::string Number(uint64_t n) { return std::string(reinterpret_cast<const char*>(&n), sizeof n); }

uint64_t NumberAt(std::string_view bytes, size_t at) {
  uint64_t n = 0;
  std::memcpy(&n, &bytes[at], sizeof n);
  return n;
}

std::string Digest(std::string_view bytes) {
  const auto digest = Sha256(bytes);
  return std::string(digest.begin(), digest.end());
}

struct Contents {
  std::string identity, model, document;
  std::vector<TokenId> tokens;
  std::string_view state;
};

// What the file is, whatever it is of.
Result<Contents> Parse(std::string_view file) {
  const auto corrupt = [](const char* what) { return Error(Code::kCorrupt, "{}", what); };
  if (!file.starts_with(kMagic)) return corrupt("this is no saved context");
  if (file.size() < kFixed + kDigest) return corrupt("the file was cut");
  if (NumberAt(file, kMagic.size()) != file.size()) {
    return Error(Code::kCorrupt,
                 "the file has {} bytes and says that it has {}: it was cut or changed",
                 file.size(), NumberAt(file, kMagic.size()));
  }
  const std::string_view covered = file.substr(0, file.size() - kDigest);
  if (Digest(covered) != file.substr(covered.size())) {
    return corrupt("the checksum is wrong: the file was changed");
  }
  const uint64_t header_bytes = NumberAt(file, kMagic.size() + sizeof(uint64_t));
  if (header_bytes > covered.size() - kFixed) return corrupt("the header does not fit");
  MNW_ASSIGN(const Json header, ParseJson(covered.substr(kFixed, header_bytes)));
  Contents c;
  c.state = covered.substr(kFixed + header_bytes);
  try {
    c.identity = header.at("identity").get<std::string>();
    c.model = header.at("model").get<std::string>();
    c.document = header.at("document").get<std::string>();
    for (const Json& token : header.at("tokens")) {
      const auto id = token.get<int64_t>();
      if (id < 0 || id > INT32_MAX) return corrupt("the header has a token that is none");
      c.tokens.push_back(static_cast<TokenId>(id));
    }
  } catch (const Json::exception&) {
    return corrupt("the header lacks what it should have");
  }
  return c;
}

Status CheckFits(const Engine& engine, AdapterId adapter, const Contents& c) {
  const std::string here = engine.identity(adapter);
  if (c.identity != here) {
    return Error(
        Code::kPrecondition,
        "it was saved by '{}' as {}, and this is '{}' as {}: another model, adapter, build, "
        "device or type of cache; save it anew",
        c.model, c.identity, engine.model().name(), here);
  }
  const model::Instance& instance = engine.instance();
  if (c.tokens.empty() || c.tokens.size() > instance.n_ctx()) {
    return Error(Code::kOutOfRange, "its {} tokens exceed the context of {}; raise --ctx-size",
                 c.tokens.size(), instance.n_ctx());
  }
  const std::vector<size_t> sizes = ColumnSizes(instance, c.tokens.size());
  const size_t floats = std::accumulate(sizes.begin(), sizes.end(), size_t{0});
  if (c.state.size() == floats * ElementBytes(instance)) return Status();
  return Error(Code::kCorrupt, "the state has {} bytes, should have {}", c.state.size(),
               floats * ElementBytes(instance));
}

Result<std::string> ReadWhole(const std::string& path) {
  MNW_ASSIGN(const plugins::OpenFile file, plugins::OpenFile::Open(path));
  return file.Read(static_cast<size_t>(file.stat().st_size));
}

}  // namespace

Result<std::vector<TokenId>> DocumentPrefix(const model::Model& model, std::string_view document) {
  std::vector<TokenId> common;
  for (const char* question : {"What", "1", "?"}) {
    MNW_ASSIGN(std::vector<TokenId> tokens, model.EncodeTurn(DocumentTurn(document, question)));
    if (common.empty()) common = tokens;
    const auto end = std::ranges::mismatch(common, tokens).in1;
    common.erase(end, common.end());
  }
  return common;
}

Result<std::string> ContextPath(const std::string& folder, std::string_view name) {
  const auto plain = [](unsigned char c) {
    return std::isalnum(c) || c == '-' || c == '_' || c == '.';
  };
  if (name.empty() || name[0] == '.' || name.size() > 128 || !std::ranges::all_of(name, plain)) {
    return Error(Code::kInvalid,
                 "a context's name has letters, digits, and -_. inside of it, at most 128 of them");
  }
  return fmt::format("{}/{}.ctx", folder, name);
}

Status SaveContext(Engine& engine, RequestId hold, std::string_view document,
                   const std::string& path) {
  MNW_ASSIGN(const Held held, engine.FindHeld(hold));
  const std::vector<TokenId>& tokens = held.tokens;
  const std::string identity = engine.identity(held.adapter);
  if (held.adapter != 0 && identity.empty()) return HoldGivenUp();  // the adapter goes just now
  const Json header = {{"identity", identity},
                       {"model", engine.model().name()},
                       {"document", document},
                       {"tokens", tokens}};
  const std::string head = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  const std::vector<size_t> sizes = ColumnSizes(engine.instance(), tokens.size());
  const size_t element = ElementBytes(engine.instance());
  const size_t state_bytes = std::accumulate(sizes.begin(), sizes.end(), size_t{0}) * element;
  std::string file;
  file.reserve(kFixed + head.size() + state_bytes + kDigest);
  file += kMagic;
  file += Number(kFixed + head.size() + state_bytes + kDigest);
  file += Number(head.size());
  file += head;
  for (size_t column = 0; column < sizes.size(); ++column) {
    std::vector<float> values(sizes[column]);
    MNW_TRY(engine.ExportColumn(hold, column, values));
    AppendFloats(values, element, &file);
  }
  file += Digest(file);
  return WriteWholeFile(path, file);
}

Result<RestoredContext> RestoreContext(Engine& engine, AdapterId adapter, const std::string& path) {
  const auto restore = [&]() -> Result<RestoredContext> {
    const Result<std::string> file = ReadWhole(path);
    MNW_TRY(file.status());
    MNW_ASSIGN(const Contents c, Parse(*file));
    MNW_TRY(CheckFits(engine, adapter, c));
    const size_t element = ElementBytes(engine.instance());
    std::string_view rest = c.state;
    MNW_ASSIGN(const RequestId hold,
               engine.ImportPrefix(c.tokens, adapter, [&](size_t, std::span<float> out) {
                 ReadFloats(rest, element, out);
                 rest.remove_prefix(out.size() * element);
                 return Status();
               }));
    return RestoredContext{c.document, static_cast<uint32_t>(c.tokens.size()), hold};
  };
  auto restored = restore();
  if (!restored.ok()) return Status(restored.status()).Annotate(fmt::format("context '{}'", path));
  return restored;
}

}  // namespace minnow::engine
