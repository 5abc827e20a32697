// minnow embed -m MODEL [--json] [FILE]
//
// One text per line, one vector per line, in the same order. A vector is what the model's pooling
// gives, of length 1. A line that the model cannot take (too long) has an error in its place.
#include <deque>
#include <future>
#include <nlohmann/json.hpp>

#include "cli/cli.h"

namespace minnow::cli {

namespace {

struct Options {
  ModelOptions model;
  std::string file = "-";
  bool json = false;
};

struct Embedding {
  Status status;
  std::vector<float> vector;
  uint32_t n_tokens = 0;
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

Status Submit(engine::Engine& engine, std::string_view line,
              const std::shared_ptr<std::promise<Embedding>>& promise) {
  engine::EmbedRequest request;
  MNW_ASSIGN(request.tokens, engine.model().EncodeText(line));
  request.priority = engine::Priority::kBatch;
  request.on_done = [promise](Status status, std::vector<float> vector, engine::Usage usage) {
    promise->set_value({std::move(status), std::move(vector), usage.prompt_tokens});
  };
  return engine.Embed(std::move(request)).status();
}

std::future<Embedding> Ask(engine::Engine& engine, std::string_view line) {
  const auto promise = std::make_shared<std::promise<Embedding>>();
  Status status = Submit(engine, line, promise);
  if (!status.ok()) promise->set_value({std::move(status), {}});
  return promise->get_future();
}

void Write(const Embedding& e, size_t index, bool json) {
  if (!e.status.ok()) {
    std::fprintf(stderr, "minnow: line %zu: %s\n", index + 1, e.status.message().c_str());
    if (!json) return Print("\n");
    return PrintJson(
        {{"index", index},
         {"error", {{"code", CodeName(e.status.code())}, {"message", e.status.message()}}}});
  }
  // By hand: the shortest digits of a float, where a JSON library would write those of a double.
  const std::string numbers = fmt::format("{}", fmt::join(e.vector, json ? "," : " "));
  Print(json ? fmt::format(R"({{"index":{},"embedding":[{}],"usage":{{"prompt_tokens":{}}}}})",
                           index, numbers, e.n_tokens) +
                   "\n"
             : numbers + "\n");
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
  std::deque<std::future<Embedding>> asked;
  const auto write_first = [&] {
    const Embedding e = asked.front().get();
    asked.pop_front();
    failed |= !e.status.ok();
    Write(e, written++, o.json);
  };
  for (const std::string_view line : Lines(text)) {
    if (asked.size() == kAtOnce) write_first();
    asked.push_back(Ask(*opened.engine, line));
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
  verb.AddFlag("--json", o->json, "One JSON object per line instead of numbers");
}

}  // namespace minnow::cli
