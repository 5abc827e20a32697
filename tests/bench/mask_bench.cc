// How long the masks of constrained answers take.
//
//   mask_bench TOKENIZER FILE.jsonl
//
// Each line is {"kind": "json_schema", "source": TEXT, "text": TEXT, "valid": BOOLEAN}: the answer
// goes through the grammar token by token, as the tokenizer writes it, until it is rejected, and at
// every place the whole mask is made, also where a generation would not need one. Grammars are made
// anew for each line, as for a schema that nobody has asked for before.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>

#include "base/json.h"
#include "bench.h"
#include "constrain/grammar_cache.h"
#include "text/tokenizer_files.h"

namespace minnow::bench {
namespace {

Result<std::unique_ptr<text::Tokenizer>> Open(const std::string& path) {
  MNW_ASSIGN(text::ModelText loaded, text::LoadTokenizerJson(path));
  return text::Tokenizer::Create(std::move(loaded.vocabulary));
}

void Print(const char* what, const std::vector<double>& seconds) {
  if (seconds.empty()) return;
  double sum = 0;
  for (double s : seconds) sum += s;
  std::printf("| %s | %zu | %.1f | %.1f | %.1f | %.1f | %.1f |\n", what, seconds.size(),
              1e6 * sum / static_cast<double>(seconds.size()), 1e6 * Median(seconds),
              1e6 * Quantile(seconds, 0.99), 1e6 * Quantile(seconds, 0.999),
              1e6 * *std::max_element(seconds.begin(), seconds.end()));
}

Status Run(const char* tokenizer_path, const char* file) {
  MNW_ASSIGN(const std::unique_ptr<text::Tokenizer> tokenizer, Open(tokenizer_path));
  const double before = Now(true);
  const auto trie = std::make_shared<constrain::TokenTrie>(tokenizer->vocabulary());
  std::printf("%zu tokens, tree made in %.1f ms\n\n", tokenizer->size(),
              1e3 * (Now(true) - before));
  std::ifstream in(file);
  std::vector<double> masks, firsts, accepts;
  size_t refused = 0, wrong = 0;
  for (std::string line; std::getline(in, line);) {
    MNW_ASSIGN(const nlohmann::ordered_json record, ParseJson(line));
    MNW_ASSIGN(const constrain::Constraint::Kind kind, constrain::KindOf(record.value("kind", "")));
    const constrain::Constraint constraint = {
        .kind = kind, .source = record.value("source", ""), .document = ""};
    const double start = Now(true);
    auto grammar = constrain::Grammar::Create(trie, *tokenizer, [&](constrain::Terms& terms) {
      return constrain::WriteConstraint(terms, constraint);
    });
    if (!grammar.ok()) {
      std::fprintf(stderr, "refused: %s\n", grammar.status().message().c_str());
      ++refused;
      continue;
    }
    constrain::Matcher matcher(*grammar);
    constrain::MaskWords mask;
    MNW_ASSIGN(const std::vector<text::TokenId> tokens,
               tokenizer->Encode(record.value("text", ""), false, {.add_bos = false}));
    bool is_accepted = true;
    for (size_t i = 0; i <= tokens.size(); ++i) {
      const double at = Now(true);
      MNW_TRY(matcher.Allowed(100'000, &mask));
      (i == 0 ? firsts : masks).push_back(Now(true) - (i == 0 ? start : at));
      if (i == tokens.size()) break;
      const auto id = static_cast<size_t>(tokens[i]);
      if (!(mask[id / 32] >> id % 32 & 1)) {
        is_accepted = false;
        break;
      }
      const double then = Now(true);
      MNW_TRY(matcher.Accept(tokens[i]));
      accepts.push_back(Now(true) - then);
    }
    is_accepted = is_accepted && matcher.complete();
    if (is_accepted == record.value("valid", true)) continue;
    std::fprintf(stderr, "%s after '%s': %s\n", is_accepted ? "accepted" : "rejected",
                 matcher.text().c_str(), line.c_str());
    ++wrong;
  }
  std::printf(
      "| µs of | n | mean | median | p99 | p99.9 | most |\n|---|---|---|---|---|---|---|\n");
  Print("grammar and first mask", firsts);
  Print("mask", masks);
  Print("token taken", accepts);
  std::printf("\n%zu refused, %zu wrong\n", refused, wrong);
  return Status();
}

}  // namespace
}  // namespace minnow::bench

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: mask_bench TOKENIZER.json FILE.jsonl\n");
    return 2;
  }
  return minnow::bench::ExitCode(minnow::bench::Run(argv[1], argv[2]));
}
