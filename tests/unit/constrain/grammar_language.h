// What tests of grammars in a notation ask of them.
#pragma once

#include <CppUTest/TestHarness.h>

#include <ctime>
#include <string>
#include <vector>

#include "constrain/terms.h"
#include "test_util.h"

namespace minnow::constrain {

// `Compile`: from the source to the root, as CompileGbnf.
template <auto Compile>
class GrammarLanguage {
 public:
  explicit GrammarLanguage(const std::string& grammar) {
    const auto root = Compile(terms_, grammar);
    CHECK_OK(root.status());
    CHECK_OK(terms_.Seal());
    root_ = *root;
  }
  bool Has(const std::string& text) {
    const Term rest = terms_.Derive(root_, text);
    CHECK_OK(terms_.status());
    return terms_.Nullable(rest);
  }
  bool HasAll(const std::vector<std::string>& texts) {
    for (const auto& text : texts) {
      if (!Has(text)) FAIL(("refused: " + text).c_str());
    }
    return true;
  }
  bool HasNone(const std::vector<std::string>& texts) {
    for (const auto& text : texts) {
      if (Has(text)) FAIL(("accepted: " + text).c_str());
    }
    return true;
  }

 private:
  Terms terms_;
  Term root_ = kNever;
};

template <auto Compile>
Status Refusal(const std::string& grammar) {
  Terms terms;
  const auto root = Compile(terms, grammar);
  return root.ok() ? terms.Seal() : root.status();
}

inline std::string Times(size_t n, const std::string& text) {
  std::string out;
  for (size_t i = 0; i < n; ++i) out += text;
  return out;
}

// Of this process: others may have the processor meanwhile.
template <auto Compile>
double SecondsOf(const std::string& grammar) {
  const std::clock_t start = std::clock();
  (void)Refusal<Compile>(grammar);
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

}  // namespace minnow::constrain
