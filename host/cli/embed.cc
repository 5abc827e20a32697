// minnow embed -m MODEL [--json] [FILE]
//
// One text per line, one vector per line, in the same order. A vector is what the model's pooling
// gives, of length 1. A line that the model cannot take (too long, and --on-overflow does not say
// what to keep of it) has an error in its place.
#include <deque>
#include <future>
#include <nlohmann/json.hpp>

#include "cli/cli.h"

namespace minnow::cli {

namespace {

struct Options {
  ModelOptions model;
  std::string file = "-", on_overflow = "error";
  bool json = false;
};

struct Embedding {
  Status status;
  std::vector<float> vector;
  uint32_t n_tokens = 0;
};

// A line that is under way, in parts where it is too long for one.
struct Asked {
  std::vector<std::future<Embedding>> parts;
  std::vector<engine::ByteSpan> kept;  // of the line; empty: all of it, in one
  size_t n_bytes;

  Embedding Wait() {
    Embedding whole;
    std::vector<std::vector<float>> vectors;
    for (auto& part : parts) {
      Embedding e = part.get();
      if (whole.status.ok()) whole.status = std::move(e.status);
      vectors.push_back(std::move(e.vector));
      whole.n_tokens += e.n_tokens;
    }
    if (whole.status.ok()) whole.vector = engine::MeanOfParts(vectors, kept);
    return whole;
  }
};

std::vector<std::string_view> Lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.push_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::future<Embedding> Submit(engine::Engine& engine, std::vector<engine::TokenId> tokens) {
  const auto promise = std::make_shared<std::promise<Embedding>>();
  engine::EmbedRequest request;
  request.tokens = std::move(tokens);
  request.priority = engine::Priority::kBatch;
  request.on_done = [promise](Status status, std::vector<float> vector, engine::Usage usage) {
    promise->set_value({std::move(status), std::move(vector), usage.prompt_tokens});
  };
  Status status = engine.Embed(std::move(request)).status();
  if (!status.ok()) promise->set_value({std::move(status), {}});
  return promise->get_future();
}

Status SubmitParts(engine::Engine& engine, std::string_view line, engine::OnOverflow how,
                   Asked* asked) {
  const auto encode = [&](std::string_view part) { return engine.model().EncodeText(part); };
  if (how != engine::OnOverflow::kChunk) {
    MNW_ASSIGN(engine::Fitted fitted, engine::FitDocument(line, how, engine.longest(), encode));
    asked->kept = std::move(fitted.kept);
    asked->parts.push_back(Submit(engine, std::move(fitted.prompt)));
    return Status();
  }
  MNW_ASSIGN(asked->kept, engine::ChunkDocument(line, engine.longest(), encode));
  for (const engine::ByteSpan& span : asked->kept) {
    MNW_ASSIGN(std::vector<engine::TokenId> tokens,
               encode(line.substr(span.begin, span.end - span.begin)));
    asked->parts.push_back(Submit(engine, std::move(tokens)));
  }
  if (asked->kept.size() == 1) asked->kept.clear();
  return Status();
}

Asked Ask(engine::Engine& engine, std::string_view line, engine::OnOverflow how) {
  Asked asked{{}, {}, line.size()};
  Status status = SubmitParts(engine, line, how, &asked);
  if (!status.ok()) {
    std::promise<Embedding> failed;
    failed.set_value({std::move(status), {}});
    asked.parts.push_back(failed.get_future());
  }
  return asked;
}

void Write(const Asked& asked, const Embedding& e, size_t index, const Options& o) {
  if (!e.status.ok()) {
    std::fprintf(stderr, "minnow: line %zu: %s\n", index + 1, e.status.message().c_str());
    if (!o.json) return Print("\n");
    return PrintJson(
        {{"index", index},
         {"error", {{"code", CodeName(e.status.code())}, {"message", e.status.message()}}}});
  }
  // By hand: the shortest digits of a float, where a JSON library would write those of a double.
  const std::string numbers = fmt::format("{}", fmt::join(e.vector, o.json ? "," : " "));
  if (!o.json) return Print(numbers + "\n");
  const auto overflow = OverflowJson(o.on_overflow, asked.n_bytes, asked.kept);
  Print(fmt::format(R"({{"index":{},"embedding":[{}],"usage":{{"prompt_tokens":{}}}{}}})", index,
                    numbers, e.n_tokens,
                    overflow.is_null() ? "" : R"(,"overflow":)" + overflow.dump()) +
        "\n");
}

VerbResult Run(const Options& o) {
  MNW_ASSIGN(const std::string text, ReadInput(o.file));
  MNW_ASSIGN(OpenedModel opened, OpenModel(o.model));
  if (!opened.engine->instance().is_encoder()) {
    return Error(Code::kUnsupported,
                 "model '{}' generates text and has no embedding; use an encoder, such as BERT's",
                 opened.engine->model().name());
  }
  constexpr size_t kAtOnce = 256;  // enough to fill any step
  bool failed = false;
  size_t written = 0;
  MNW_ASSIGN(const engine::OnOverflow how, engine::ReadOnOverflow(o.on_overflow));
  std::deque<Asked> asked;
  const auto write_first = [&] {
    const Embedding e = asked.front().Wait();
    failed |= !e.status.ok();
    Write(asked.front(), e, written++, o);
    asked.pop_front();
  };
  for (const std::string_view line : Lines(text)) {
    if (asked.size() == kAtOnce) write_first();
    asked.push_back(Ask(*opened.engine, line, how));
  }
  while (!asked.empty()) write_first();
  return failed ? kExitSomeFailed : kExitOk;
}

}  // namespace

void AddEmbed(CommandLine& line) {
  auto o = std::make_shared<Options>();
  Verb verb = line.AddVerb("embed", "A vector for each line of a text", [o] { return Run(*o); });
  AddModelOptions(verb, o->model);
  verb.Add("file", o->file, "The texts, one per line; - or nothing reads stdin");
  AddOverflowOption(verb, o->on_overflow, std::size(engine::kOnOverflowNames),
                    "What to keep of a line that is too long: its head, its tail, both without the "
                    "middle, or chunk: all, in parts, of whose vectors the mean is taken");
  verb.AddFlag("--json", o->json, "One JSON object per line instead of numbers");
}

}  // namespace minnow::cli
