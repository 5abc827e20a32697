// The grammars of constraints.
//
// Threads: a GrammarCache may be used from many at once.
#pragma once

#include <list>
#include <memory>
#include <mutex>

#include "base/status.h"
#include "constrain/constraint.h"
#include "constrain/grammar.h"

namespace minnow::constrain {

// Writes it into the terms; the messages of refusals name the place.
Result<Term> WriteConstraint(Terms& terms, const Constraint& constraint);

// The grammars of one vocabulary, kept for those who ask for the same again, the latest used first,
// within a limit of memory.
class GrammarCache {
 public:
  // The tokenizer must outlive the cache and its grammars.
  explicit GrammarCache(const text::Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  // REQUIRES: constraint is one.
  Result<std::shared_ptr<Grammar>> Get(const Constraint& constraint);

 private:
  static constexpr size_t kMost = 64;
  static constexpr size_t kMaxBytes = 256 << 20;
  struct Entry {
    Constraint constraint;
    std::shared_ptr<Grammar> grammar;
  };

  const text::Tokenizer& tokenizer_;
  std::mutex mutex_;
  std::shared_ptr<const TokenTrie> trie_;  // made when it is first wanted
  std::list<Entry> entries_;               // the latest used first
};

}  // namespace minnow::constrain
