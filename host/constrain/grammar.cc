#include "constrain/grammar.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

namespace minnow::constrain {

namespace {

constexpr size_t kLongestForced = 4096;  // bytes at once

void Set(MaskWords* mask, TokenId token) {
  const auto id = static_cast<size_t>(token);
  (*mask)[id / 32] |= uint32_t{1} << id % 32;
}

}  // namespace

Result<std::shared_ptr<Grammar>> Grammar::Create(std::shared_ptr<const TokenTrie> trie,
                                                 const text::Tokenizer& tokenizer, Writer write) {
  std::shared_ptr<Grammar> grammar(new Grammar(std::move(trie), tokenizer, std::move(write)));
  MNW_TRY(grammar->Build());
  grammar->shortest_ = grammar->terms_->Cost(grammar->root_);
  if (grammar->shortest_ == kUnbounded) {
    return Error(Code::kInvalid,
                 "no answer satisfies this schema or grammar; see what contradicts itself");
  }
  return grammar;
}

Status Grammar::Build() {
  masks_.clear();
  mask_bytes_ = 0;
  ++epoch_;
  terms_ = std::make_unique<Terms>(trie_.get());
  MNW_ASSIGN(root_, write_(*terms_));
  return terms_->Seal();
}

size_t Grammar::bytes() const {
  const std::lock_guard lock(mutex_);
  return terms_->bytes() + mask_bytes_;
}

void Grammar::Walk(std::span<const TokenTrie::Node> nodes, Term state, uint32_t limit, Mask* mask) {
  if (nodes.empty()) return;
  // Nodes below another one begin at its depth, and their skips count from the first of all.
  const size_t depth = nodes[0].depth - 1u;
  size_t base = 0;
  if (depth > 0) base = static_cast<size_t>(nodes.data() - trie_->nodes().data());
  std::array<Term, TokenTrie::kLongest + 1> at;
  at[depth] = state;
  for (size_t i = 0; i < nodes.size();) {
    const TokenTrie::Node& node = nodes[i];
    const Term next = terms_->Derive(at[node.depth - 1], node.byte);
    if (next == kNever) {
      i = node.skip - base;
      continue;
    }
    at[node.depth] = next;
    mask->deepest = std::max<uint32_t>(mask->deepest, node.depth);
    ++i;
    if (node.token == text::kNoToken) continue;
    const uint32_t cost = terms_->Cost(next);
    if (cost > limit) continue;
    mask->worst = std::max(mask->worst, cost);
    Set(&mask->words, node.token);
  }
}

const Grammar::Mask& Grammar::MaskOf(Term open) {
  if (const auto it = masks_.find(open); it != masks_.end()) return it->second;
  Mask mask{.words = MaskWords(trie_->n_words())};
  const bool is_wide = terms_->LeadingRepeats(open) > 0;
  if (is_wide) mask.worst = terms_->Cost(open);
  Walk(is_wide ? trie_->narrow_nodes() : trie_->nodes(), open, kUnbounded, &mask);
  trie_->Spread(&mask.words);
  mask_bytes_ += mask.words.size() * sizeof(uint32_t) + sizeof(Mask);
  return masks_.emplace(open, std::move(mask)).first->second;
}

Matcher::Matcher(std::shared_ptr<Grammar> grammar) : grammar_(std::move(grammar)) {}

Status Matcher::Catch() {
  if (epoch_ == grammar_->epoch_) return Status();
  epoch_ = grammar_->epoch_;
  state_ = grammar_->terms_->Derive(grammar_->root_, text_);
  return grammar_->terms_->status();
}

Status Matcher::Check() {
  if (!grammar_->terms_->status().ok() ||
      grammar_->terms_->bytes() + grammar_->mask_bytes_ > Grammar::kMaxBytes)
    MNW_TRY(grammar_->Build());
  return Catch();
}

bool Matcher::Allows(TokenId token, uint32_t budget) {
  const std::lock_guard lock(grammar_->mutex_);
  if (!Check().ok() || budget == 0) return false;
  Terms& terms = *grammar_->terms_;
  if (grammar_->tokenizer_.EndsTurn(token)) return terms.Nullable(state_);
  if (token < 0 || static_cast<size_t>(token) >= trie().n_tokens()) return false;
  const std::string_view bytes = trie().Bytes(token);
  if (bytes.empty()) return false;
  const Term next = terms.Derive(state_, bytes);
  return next != kNever && terms.Cost(next) <= budget - 1;
}

Status Matcher::Allowed(uint32_t budget, MaskWords* mask) {
  const std::lock_guard lock(grammar_->mutex_);
  MNW_TRY(Check());
  Terms& terms = *grammar_->terms_;
  mask->assign(trie().n_words(), 0);
  const bool complete = terms.Nullable(state_);
  if (budget > 0) {
    const Grammar::Mask& open = grammar_->MaskOf(terms.Open(state_));
    if (open.worst <= budget - 1) {
      AllowAny(open, mask);
    } else {
      Grammar::Mask some{.words = std::move(*mask)};
      grammar_->Walk(trie().nodes(), state_, budget - 1, &some);
      trie().Spread(&some.words);
      *mask = std::move(some.words);
    }
  }
  if (complete) {
    for (TokenId token : grammar_->tokenizer_.vocabulary().end_tokens) Set(mask, token);
  }
  return terms.status();
}

// From the mask of the same state without counts: tokens that are longer than a count are looked at
// again.
void Matcher::AllowAny(const Grammar::Mask& open, MaskWords* mask) {
  Terms& terms = *grammar_->terms_;
  *mask = open.words;
  const uint32_t least = terms.LeastCount(state_);
  for (size_t w = 0; open.deepest > least && w < mask->size(); ++w) {
    for (uint32_t bits = (*mask)[w]; bits != 0; bits &= bits - 1) {
      const size_t id = w * 32 + static_cast<size_t>(std::countr_zero(bits));
      const std::string_view bytes = trie().Bytes(static_cast<TokenId>(id));
      if (bytes.size() > least && terms.Derive(state_, bytes) == kNever)
        (*mask)[w] &= ~(uint32_t{1} << id % 32);
    }
  }
  if (const uint32_t wide = terms.LeadingRepeats(state_); wide > 0) trie().AddWide(wide, mask);
}

Status Matcher::Accept(TokenId token) {
  const std::lock_guard lock(grammar_->mutex_);
  MNW_TRY(Check());
  if (grammar_->tokenizer_.EndsTurn(token)) return Status();
  const std::string_view bytes = trie().Bytes(token);
  state_ = grammar_->terms_->Derive(state_, bytes);
  text_ += bytes;
  return grammar_->terms_->status();
}

// Is there a token that begins with `end` and goes on as `after` allows?
bool Matcher::CanCross(std::string_view end, Term after) {
  uint32_t node = TokenTrie::kNoNode;
  for (char c : end) {
    node = trie().Child(node, static_cast<uint8_t>(c));
    if (node == TokenTrie::kNoNode) return false;
  }
  const std::span<const TokenTrie::Node> below = trie().Below(node);
  const uint32_t base = node + 1;  // skips count from the first node of all
  std::array<Term, TokenTrie::kLongest + 1> at;
  at[end.size()] = after;
  for (size_t i = 0; i < below.size();) {
    const Term next = grammar_->terms_->Derive(at[below[i].depth - 1], below[i].byte);
    if (next == kNever) {
      i = below[i].skip - base;
      continue;
    }
    if (below[i].token != text::kNoToken) return true;
    at[below[i].depth] = next;
    ++i;
  }
  return false;
}

Matcher::Forced Matcher::Next(uint32_t budget) {
  const std::lock_guard lock(grammar_->mutex_);
  Forced forced;
  if (!Check().ok()) return forced;
  Terms& terms = *grammar_->terms_;
  std::string run;
  Term after = state_;
  while (!terms.Nullable(after) && run.size() < kLongestForced) {
    const ByteSet first = terms.First(after);
    if (first.Count() != 1) break;
    run += static_cast<char>(first.First());
    after = terms.Derive(after, first.First());
  }
  if (run.empty() || !terms.status().ok()) return forced;

  std::vector<TokenId> tokens;
  if (auto encoded = grammar_->tokenizer_.Encode(run, false, {.add_bos = false}); encoded.ok())
    tokens = *std::move(encoded);
  std::string spelled;
  for (TokenId token : tokens) spelled += trie().Bytes(token);
  if (spelled != run) {  // where the tokenizer puts a space in front, say
    if (trie().CountTokens(run) == kUnbounded) return forced;
    tokens = trie().Spell(run);
  }
  if (tokens.size() + uint64_t{terms.Cost(after)} > budget) return forced;

  size_t certain = tokens.size();
  if (after != kEmpty) {
    size_t end = 0;
    for (size_t i = tokens.size(); i-- > 0 && end <= trie().longest();) {
      end += trie().Bytes(tokens[i]).size();
      if (end < TokenTrie::kLongest &&
          CanCross(std::string_view(run).substr(run.size() - end), after))
        certain = i;
    }
  }
  forced.certain.assign(tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(certain));
  forced.likely.assign(tokens.begin() + static_cast<ptrdiff_t>(certain), tokens.end());
  return forced;
}

bool Matcher::complete() {
  const std::lock_guard lock(grammar_->mutex_);
  return Check().ok() && grammar_->terms_->Nullable(state_);
}

bool Matcher::finished() {
  const std::lock_guard lock(grammar_->mutex_);
  return Check().ok() && grammar_->terms_->Nullable(state_) &&
         grammar_->terms_->First(state_).empty();
}

uint32_t Matcher::cost() {
  const std::lock_guard lock(grammar_->mutex_);
  return Check().ok() ? grammar_->terms_->Cost(state_) : kUnbounded;
}

}  // namespace minnow::constrain
