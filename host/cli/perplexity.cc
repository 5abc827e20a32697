// minnow perplexity -m MODEL -f TEXT -c 512 [--chunks N] [--logits FILE.npy] [--json]
//
// Consecutive chunks of -c tokens; where the model adds a BOS, it stands in place of a chunk's
// first token. The predictions made at positions c/2 .. c-2 of each chunk are scored.
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/await.h"
#include "cli/cli.h"
#include "cli/npy.h"
#include "engine/sampler.h"

namespace minnow::cli {

namespace {

struct Options {
  ModelOptions model;
  std::string file;
  uint32_t chunk = 512;
  uint32_t max_chunks = 0;
  std::string logits;
  bool json = false;
};

struct Sum {
  double negative_logprob = 0;
  uint64_t n = 0;
};

Status ScoreChunk(const OpenedModel& opened, const std::vector<text::TokenId>& tokens, Sum& sum,
                  std::optional<NpyWriter>& npy) {
  const size_t first = tokens.size() / 2, last = tokens.size() - 2;
  engine::LogitsRequest request;
  request.tokens.assign(tokens.begin(), tokens.end() - 1);
  request.n_last = static_cast<uint32_t>(last - first + 1);
  request.adapter = opened.adapter_id();
  Status written;
  request.on_logits = [&](size_t position, std::span<const float> logits) {
    const double total = engine::LogSumExp(logits);
    sum.negative_logprob += total - logits[static_cast<size_t>(tokens[position + 1])];
    ++sum.n;
    if (npy && written.ok()) written = npy->Add(logits);
  };
  MNW_TRY(AwaitStatus([&](auto done) {
    request.on_done = [done](Status s, engine::Usage) { done(std::move(s)); };
    return opened.engine->Logits(std::move(request));
  }));
  return written;
}

VerbResult Run(Options o) {
  if (o.chunk < 4) return Error(Code::kInvalid, "-c must be at least 4");
  MNW_ASSIGN(const std::string text, ReadInput(o.file));
  o.model.n_ctx = o.chunk;
  MNW_ASSIGN(OpenedModel opened, OpenModel(o.model));
  const text::Tokenizer& tokenizer = opened.engine->model().tokenizer();
  const text::Vocabulary& vocabulary = tokenizer.vocabulary();
  MNW_ASSIGN(const std::vector<text::TokenId> tokens, tokenizer.Encode(text, false));
  size_t n_chunks = tokens.size() / o.chunk;
  if (o.max_chunks > 0) n_chunks = std::min<size_t>(n_chunks, o.max_chunks);
  if (n_chunks == 0) {
    return Error(Code::kInvalid, "'{}' has {} tokens; a chunk needs {}", o.file, tokens.size(),
                 o.chunk);
  }
  std::optional<NpyWriter> npy;
  if (!o.logits.empty()) {
    MNW_ASSIGN(npy, NpyWriter::Open(o.logits, opened.engine->instance().n_vocab()));
  }
  Sum sum;
  for (size_t i = 0; i < n_chunks; ++i) {
    const auto begin = tokens.begin() + static_cast<ptrdiff_t>(i * o.chunk);
    std::vector<text::TokenId> chunk(begin, begin + o.chunk);
    if (vocabulary.add_bos) chunk[0] = vocabulary.bos;
    MNW_TRY(ScoreChunk(opened, chunk, sum, npy));
    std::fprintf(stderr, "\rchunk %zu of %zu, perplexity %.4f", i + 1, n_chunks,
                 std::exp(sum.negative_logprob / static_cast<double>(sum.n)));
  }
  std::fputc('\n', stderr);
  if (npy) MNW_TRY(npy->Close());
  const double perplexity = std::exp(sum.negative_logprob / static_cast<double>(sum.n));
  if (o.json) {
    PrintJson({{"perplexity", perplexity}, {"tokens", sum.n}});
  } else {
    Print(fmt::format("perplexity {:.4f} over {} tokens\n", perplexity, sum.n));
  }
  return kExitOk;
}

}  // namespace

void AddPerplexity(CommandLine& line) {
  auto o = std::make_shared<Options>();
  Verb verb =
      line.AddVerb("perplexity", "How well a model predicts a text", [o] { return Run(*o); });
  AddModelOptions(verb, o->model);
  AddLoraOption(verb, o->model);
  verb.Remove("--ctx-size");
  verb.Add("-f,--file", o->file, "The text; - is stdin").Required();
  verb.Add("-c,--ctx-size", o->chunk, "Tokens of a chunk");
  verb.Add("--chunks", o->max_chunks, "Only the first N chunks; 0: all");
  verb.Add("--logits", o->logits, "Write the scored rows' logits to this NumPy file");
  verb.AddFlag("--json", o->json, "One JSON object");
}

}  // namespace minnow::cli
