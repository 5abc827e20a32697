// How long llama.cpp's grammars take where mask_bench.cc times Minnow's, for
// compare_constraints.py.
//
//   llama_masks VOCABULARY.gguf FILE.jsonl
//
// The file is mask_bench's. At every place of an answer the grammar's sampler goes over all tokens,
// as it does where what was drawn is not allowed. Prints JSON: seconds of processor time of the
// grammar with its first mask, and of each further mask; how many schemas were refused, how many
// valid answers rejected and invalid ones accepted. Built by hand, against a checkout that has been
// built in its folder build:
//
//   c++ -O2 -std=c++20 -o llama_masks llama_masks.cc -I$L/include -I$L/ggml/include -I$L/common
//     -I$L/vendor -L$L/build/bin -Wl,-rpath,$L/build/bin -lllama-common -lllama -lggml -lggml-base
#include <cmath>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "json-schema-to-grammar.h"
#include "llama.h"

namespace {

using Json = nlohmann::ordered_json;

double Now() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

using Sampler = std::unique_ptr<llama_sampler, decltype(&llama_sampler_free)>;

Sampler Grammar(const llama_vocab* vocab, const std::string& schema) try {
  const std::string grammar = json_schema_to_grammar(Json::parse(schema));
  return {llama_sampler_init_grammar(vocab, grammar.c_str(), "root"), &llama_sampler_free};
} catch (const std::exception& e) {
  std::fprintf(stderr, "refused: %s: %s\n", schema.c_str(), e.what());
  return {nullptr, &llama_sampler_free};
}

std::vector<llama_token> Tokenize(const llama_vocab* vocab, const std::string& text) {
  std::vector<llama_token> tokens(text.size() + 1);
  const int n = llama_tokenize(vocab, text.data(), static_cast<int>(text.size()), tokens.data(),
                               static_cast<int>(tokens.size()), false, false);
  tokens.resize(static_cast<size_t>(n));
  return tokens;
}

void Run(const llama_vocab* vocab, const char* file) {
  const auto n = static_cast<size_t>(llama_vocab_n_tokens(vocab));
  std::vector<llama_token_data> all(n);
  std::vector<double> firsts, masks, accepts;
  char piece[1024];
  size_t refused = 0, rejected_valid = 0, accepted_invalid = 0;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const Json record = Json::parse(line);
    const std::vector<llama_token> tokens = Tokenize(vocab, record.value("text", ""));
    const double start = Now();
    const Sampler sampler = Grammar(vocab, record.value("source", ""));
    double spent = Now() - start;
    if (!sampler) {
      ++refused;
      continue;
    }
    bool ok = true;
    size_t taken = 0;
    for (size_t i = 0; i <= tokens.size() && ok; ++i) {
      for (size_t k = 0; k < n; ++k) all[k] = {static_cast<llama_token>(k), 0, 0};
      llama_token_data_array candidates = {all.data(), n, -1, false};
      const double at = Now();
      llama_sampler_apply(sampler.get(), &candidates);
      spent += Now() - at;
      (i == 0 ? firsts : masks).push_back(spent);
      spent = 0;
      const llama_token next = i == tokens.size() ? llama_vocab_eos(vocab) : tokens[i];
      ok = std::isfinite(all[static_cast<size_t>(next)].logit);
      if (!ok || i == tokens.size()) break;
      const double then = Now();
      llama_sampler_accept(sampler.get(), next);
      accepts.push_back(Now() - then);
      taken += static_cast<size_t>(llama_token_to_piece(vocab, next, piece, sizeof piece, 0, true));
    }
    if (ok == record.value("valid", true)) continue;
    ++(ok ? accepted_invalid : rejected_valid);
    std::fprintf(stderr, "%s after '%s': %s\n", ok ? "accepted" : "rejected",
                 record.value("text", "").substr(0, taken).c_str(), line.c_str());
  }
  std::printf("%s\n", Json{{"firsts", firsts},
                           {"masks", masks},
                           {"accepts", accepts},
                           {"refused", refused},
                           {"rejected_valid", rejected_valid},
                           {"accepted_invalid", accepted_invalid}}
                          .dump()
                          .c_str());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: llama_masks VOCABULARY.gguf FILE.jsonl\n");
    return 2;
  }
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  llama_model_params params = llama_model_default_params();
  params.vocab_only = true;
  llama_model* model = llama_model_load_from_file(argv[1], params);
  if (!model) {
    std::fprintf(stderr, "cannot read %s\n", argv[1]);
    return 1;
  }
  Run(llama_model_get_vocab(model), argv[2]);
  llama_model_free(model);
  return 0;
}
