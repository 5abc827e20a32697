// A grammar over one vocabulary, and how an answer goes through it.
//
// A Grammar is made once, from whatever writes terms (json_schema.h, regex.h, gbnf.h, ...), and
// shared by all answers that obey it: what one of them learns of its states, the others know. A
// Matcher is one answer on its way: which tokens may come next, such that the rest of the budget
// is enough to end well, and which have to.
//
// The masks of states that look the same as far as a token reaches are computed once. All that is
// remembered is bounded: where it grows beyond its limit it is forgotten and learned again.
// Threads: a Grammar may be used from many at once, a Matcher from one at a time.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "constrain/spans.h"
#include "constrain/terms.h"
#include "constrain/token_trie.h"
#include "text/tokenizer.h"

namespace minnow::constrain {

class Grammar {
 public:
  // Writes the root into the terms, and does not seal them. Called again when what was learned is
  // forgotten, with the same result.
  using Writer = std::function<Result<Term>(Terms&)>;

  // `tokenizer` must be that of the trie and outlive the grammar.
  static Result<std::shared_ptr<Grammar>> Create(std::shared_ptr<const TokenTrie> trie,
                                                 const text::Tokenizer& tokenizer, Writer write);

  // The tokens that the shortest answer takes.
  uint32_t shortest() const { return shortest_; }
  size_t bytes() const;  // of memory, about

 private:
  friend class Matcher;
  struct Mask {
    MaskWords words;        // the tokens that were walked to
    uint32_t worst = 0;     // the highest cost of what comes after an allowed token
    uint32_t deepest = 0;   // bytes of the longest beginning of a token that was walked
    uint32_t length = 0;    // bytes that an intersection may need after an allowed token
    MaskWords text;         // those of the characters of a loop; empty: there is none
    Terms::Loop loop = {};  // of `text`
  };
  static constexpr size_t kMaxBytes = 96 << 20;

  Grammar(std::shared_ptr<const TokenTrie> trie, const text::Tokenizer& tokenizer, Writer write)
      : trie_(std::move(trie)), tokenizer_(tokenizer), write_(std::move(write)) {}
  Status Build();

  // Of a state whose counts are forgotten.
  const Mask& MaskOf(Term open);
  // Adds what a span of a document allows, and what stands behind it.
  void WalkSpans(const DocumentSpans& spans, uint32_t state, Term behind, Mask* mask);
  // The tokens within a span, and the nodes at which it may end.
  struct Reach {
    MaskWords words;
    std::vector<uint32_t> ends;
  };
  Reach ReachOf(const DocumentSpans& spans, uint32_t state) const;
  // Adds the tokens below these nodes that `state` allows and whose cost is at most `limit`.
  void Walk(std::span<const TokenTrie::Node> nodes, Term state, uint32_t limit, Mask* mask);
  // Adds all tokens that `state` allows, those of text without walking to each.
  void AddTokens(Term state, Mask* mask);
  Term FindText(Term state);
  // Adds those at this node of nodes() and below it. On the way through the characters `text` only
  // tokens that `leave` them count, the others are there already.
  void WalkText(uint32_t root, Term state, const Letters& text, const Letters& leave, Mask* mask);
  void Note(Term after, Mask* mask);
  void NoteText(const Terms::Loop& loop, Mask* mask);

  const std::shared_ptr<const TokenTrie> trie_;
  const text::Tokenizer& tokenizer_;
  const Writer write_;
  uint32_t shortest_ = 0;

  mutable std::mutex mutex_;  // guards what follows
  std::unique_ptr<Terms> terms_;
  Term root_ = kNever;
  uint64_t epoch_ = 0;  // how often all was forgotten
  std::unordered_map<Term, Mask> masks_;
  std::unordered_map<const DocumentSpans*, Reach> starts_;  // of whole documents
  size_t mask_bytes_ = 0;
};

class Matcher {
 public:
  explicit Matcher(std::shared_ptr<Grammar> grammar);

  // All budgets are the tokens that the answer may still have, the next one included.

  // May this token come next? An end-of-turn token may where the answer is complete.
  bool Allows(TokenId token, uint32_t budget);
  // All that may, in trie().n_words() words; end-of-turn tokens too. Nothing is allowed only where
  // the budget is below cost().
  Status Allowed(uint32_t budget, MaskWords* mask);
  // REQUIRES: Allows(token). An end-of-turn token changes nothing.
  Status Accept(TokenId token);

  // The tokens that come next whatever the model says.
  struct Forced {
    std::vector<TokenId> certain;
    // After these the grammar leaves no choice either, but a token of the vocabulary could reach
    // beyond: the model says, and will mostly say this.
    std::vector<TokenId> likely;
  };
  Forced Next(uint32_t budget);

  bool complete();  // the answer may end here
  bool finished();  // it has to
  uint32_t cost();  // tokens that suffice to end well
  const std::string& text() const { return text_; }
  const TokenTrie& trie() const { return *grammar_->trie_; }

 private:
  Status Catch();  // up with a grammar that forgot all. REQUIRES: its lock
  Status Check();  // forgets where too much is known. REQUIRES: its lock
  void AllowAny(const Grammar::Mask& open, uint32_t budget, MaskWords* mask);
  bool CanCross(std::string_view end, Term after);

  const std::shared_ptr<Grammar> grammar_;
  std::string text_;
  Term state_ = kNever;
  uint64_t epoch_ = ~uint64_t{0};
};

}  // namespace minnow::constrain
