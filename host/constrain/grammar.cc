#include "constrain/grammar.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

namespace minnow::constrain {

namespace {

constexpr size_t kLongestForced = 4096;  // bytes at once
constexpr size_t kManyTokens = 1000;  // below one node: it is worth a look what they have in common
constexpr size_t kSomeTokens = 100;   // all derivatives at once cost less than most of them

void Set(MaskWords* mask, TokenId token) {
  const auto id = static_cast<size_t>(token);
  (*mask)[id / 32] |= uint32_t{1} << id % 32;
}

void Clear(MaskWords* mask, TokenId token) {
  const auto id = static_cast<size_t>(token);
  (*mask)[id / 32] &= ~(uint32_t{1} << id % 32);
}

// As the tree of tokens knows them; `beyond`: with the characters beyond ASCII.
Letters LettersOf(const ByteSet& bytes, bool beyond) {
  Letters letters;
  for (size_t i = 0; i < 2; ++i) letters.words[i] = bytes.words[i];
  letters.words[1] &= ~(uint64_t{1} << 63);
  if (bytes.Has(0x7F)) letters.Add(Letters::kBroken);
  if (beyond) letters.Add(Letters::kBeyond);
  return letters;
}

bool IsBeyond(uint8_t byte) { return byte >= 0x80; }

// Reads the written form of a document along the token tree, from many places at once: those that
// have come to the same node go on together, so that the tree is asked once for all of them.
class SpanReader {
 public:
  SpanReader(const TokenTrie& trie, const DocumentSpans& spans, uint32_t state)
      : trie_(trie), spans_(spans), is_start_(state == DocumentSpans::kStart) {}

  void Add(uint32_t at, uint32_t limit) { places_.push_back({at, limit}); }
  void Read(MaskWords* words, std::vector<uint32_t>* ends) {
    words->assign(trie_.n_words(), 0);
    words_ = words;
    ends_ = ends;
    Read(TokenTrie::kNoNode, 0);
    std::sort(ends->begin(), ends->end());
    ends->erase(std::unique(ends->begin(), ends->end()), ends->end());
  }

 private:
  static constexpr size_t kFew = 16;  // places that are read one by one
  struct Place {
    uint32_t at, limit;
  };

  // The places from `first` on stand at `node`; they are gone afterwards.
  void Read(uint32_t node, size_t first) {
    const std::string& written = spans_.written();
    const bool begun = node != TokenTrie::kNoNode || !is_start_;
    const size_t last = places_.size();
    std::array<uint32_t, 256> count{};
    bool ends = false;
    for (size_t i = first; i < last; ++i) {
      const Place place = places_[i];
      ends |= begun && spans_.MayEnd(place.at);
      if (place.at < written.size()) ++count[static_cast<uint8_t>(written[place.at])];
      if (!begun) continue;
      // Not counted where it stands: those of one space come last.
      if (const DocumentSpans::Space run = spans_.SpaceAt(place.at); run.end > 0)
        joined_.push_back({run.end, place.limit + run.gain});
    }
    if (ends) ends_->push_back(node);
    const std::vector<Place> joined = std::exchange(joined_, {});
    // By the next byte, as far as a token goes on with it.
    std::array<uint32_t, 256> begin{};
    uint32_t kept = 0;
    std::vector<std::pair<uint8_t, uint32_t>> kids;  // in order
    for (unsigned b = 0; b < 256; ++b) {
      if (count[b] == 0 && !(b == ' ' && !joined.empty())) continue;
      const uint32_t kid = trie_.Child(node, static_cast<uint8_t>(b));
      if (kid == TokenTrie::kNoNode) {
        count[b] = 0;
        continue;
      }
      kids.emplace_back(static_cast<uint8_t>(b), kid);
      begin[b] = kept;
      kept += count[b];
    }
    std::vector<Place> next(kept);
    std::array<uint32_t, 256> used{};
    for (size_t i = first; i < last; ++i) {
      const Place place = places_[i];
      if (place.at >= written.size()) continue;
      const auto byte = static_cast<uint8_t>(written[place.at]);
      if (count[byte] == 0 || !spans_.Within(place.at + 1, place.limit)) continue;
      next[begin[byte] + used[byte]++] = {place.at + 1, place.limit};
    }
    places_.resize(first);
    for (const auto& [byte, kid] : kids) {
      for (uint32_t i = 0; i < used[byte]; ++i) places_.push_back(next[begin[byte] + i]);
      for (size_t i = 0; byte == ' ' && i < joined.size(); ++i) {
        if (spans_.Within(joined[i].at, joined[i].limit)) places_.push_back(joined[i]);
      }
      if (places_.size() == first) continue;
      if (trie_.nodes()[kid].token != text::kNoToken) Set(words_, trie_.nodes()[kid].token);
      if (places_.size() - first <= kFew) {
        for (; places_.size() > first; places_.pop_back()) ReadOne(kid, places_.back());
      } else {
        Read(kid, first);
      }
    }
  }

  void ReadOne(uint32_t node, Place place) {
    const std::string& written = spans_.written();
    for (;;) {
      if (spans_.MayEnd(place.at)) ends_->push_back(node);
      if (const DocumentSpans::Space run = spans_.SpaceAt(place.at); run.end > 0) {
        const uint32_t kid = trie_.Child(node, ' ');
        const Place joined = {run.end, place.limit + run.gain};
        if (kid != TokenTrie::kNoNode && spans_.Within(joined.at, joined.limit)) {
          if (trie_.nodes()[kid].token != text::kNoToken) Set(words_, trie_.nodes()[kid].token);
          ReadOne(kid, joined);
        }
      }
      if (place.at == written.size()) return;
      node = trie_.Child(node, static_cast<uint8_t>(written[place.at++]));
      if (node == TokenTrie::kNoNode || !spans_.Within(place.at, place.limit)) return;
      if (trie_.nodes()[node].token != text::kNoToken) Set(words_, trie_.nodes()[node].token);
    }
  }

  const TokenTrie& trie_;
  const DocumentSpans& spans_;
  const bool is_start_;
  MaskWords* words_ = nullptr;
  std::vector<uint32_t>* ends_ = nullptr;
  std::vector<Place> places_, joined_;
};

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
  starts_.clear();
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
  if (nodes.empty() || state == kNever) return;
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
    if (terms_->Cost(next) > limit) continue;
    Note(next, mask);
    Set(&mask->words, node.token);
  }
}

void Grammar::Note(Term after, Mask* mask) {
  mask->worst = std::max(mask->worst, terms_->Cost(after));
  mask->length = std::max(mask->length, terms_->BeginLength(after));
}

void Grammar::NoteText(const Terms::Loop& loop, Mask* mask) {
  const uint32_t rest = loop.beyond ? 3 : 0;  // perhaps in the middle of a character
  mask->worst = std::max(mask->worst, loop.cost + rest);
  if (loop.length > 0) mask->length = std::max(mask->length, loop.length + rest);
}

// The state that most tokens lead to or stay in, if they do so through its loop; else kNever.
Term Grammar::FindText(Term state) {
  const Terms::Loop& own = terms_->LoopOf(state);
  if (own.beyond || own.stay.Count() >= 2) return state;
  const ByteSet first = terms_->PossibleFirst(state);
  terms_->DeriveAll(state);
  std::vector<std::pair<Term, size_t>> weights;
  for (uint32_t i = 0; i < trie_->nodes().size(); i = trie_->nodes()[i].skip) {
    const uint8_t byte = trie_->nodes()[i].byte;
    if (IsBeyond(byte) || !first.Has(byte)) continue;
    const Term next = terms_->Derive(state, byte);
    if (next == kNever) continue;
    auto it = std::ranges::find(weights, next, &std::pair<Term, size_t>::first);
    if (it == weights.end()) it = weights.insert(it, {next, 0});
    it->second += trie_->Tokens(i).size();
  }
  const auto most = std::ranges::max_element(weights, {}, &std::pair<Term, size_t>::second);
  if (most == weights.end() || most->second < kManyTokens) return kNever;
  return terms_->LoopOf(most->first).empty() ? kNever : most->first;
}

void Grammar::AddTokens(Term state, Mask* mask) {
  if (state == kNever) return;
  const Term text = FindText(state);
  const ByteSet first = terms_->PossibleFirst(state);
  if (text == kNever) {
    for (uint32_t i = 0; i < trie_->nodes().size(); i = trie_->nodes()[i].skip) {
      if (first.Has(trie_->nodes()[i].byte)) WalkText(i, state, {}, {}, mask);
    }
    return;
  }
  const Terms::Loop loop = terms_->LoopOf(text);
  const Letters letters = LettersOf(loop.stay, loop.beyond);
  // Do the characters beyond ASCII lead from `state` where they do in text?
  bool all = loop.beyond;
  for (unsigned b = 0xC2; state != text && all && b <= 0xF4; ++b) {
    const auto byte = static_cast<uint8_t>(b);
    all = terms_->Derive(state, byte) == terms_->Derive(text, byte);
  }
  mask->loop = loop;
  mask->text = trie_->TokensOf(letters);
  NoteText(loop, mask);
  const bool only_quotes = (loop.leave & ~TokenTrie::Quoted()).empty();
  Letters leave = LettersOf(loop.leave, !(loop.leave & ByteSet::Range(0x80, 0xFF)).empty());
  if (loop.beyond) leave.Add(Letters::kBroken);
  for (uint32_t i = 0; i < trie_->nodes().size(); i = trie_->nodes()[i].skip) {
    const uint8_t byte = trie_->nodes()[i].byte;
    const bool leads = IsBeyond(byte) ? all
                                      : loop.stay.Has(byte) &&
                                            (state == text || terms_->Derive(state, byte) == text);
    if (leads) {
      if (!only_quotes) WalkText(i, state, letters, leave, mask);
      continue;
    }
    if (letters.Has(Letters::Of(byte))) {
      for (TokenId token : trie_->Tokens(i)) Clear(&mask->text, token);
    }
    if (first.Has(byte)) WalkText(i, state, {}, {}, mask);
  }
  if (only_quotes) Walk(trie_->quoted_nodes(), state, kUnbounded, mask);
}

void Grammar::WalkText(uint32_t root, Term state, const Letters& text, const Letters& leave,
                       Mask* mask) {
  const std::span<const TokenTrie::Node> nodes = trie_->nodes();
  struct Step {
    Term state;
    bool is_text;             // all so far
    const Terms::Loop* loop;  // where many tokens are below and there is one; else null
    Letters letters;          // its
  };
  std::array<Step, TokenTrie::kLongest + 1> at;
  at[0] = {state, true, nullptr, {}};
  Term noted = kNever;
  for (uint32_t i = root; i < nodes[root].skip;) {
    const TokenTrie::Node& node = nodes[i];
    const Step& above = at[node.depth - 1u];
    const bool is_text = above.is_text && text.Has(Letters::Of(node.byte));
    if (is_text && !trie_->letters(i).Meets(leave)) {
      i = node.skip;
      continue;
    }
    if (above.loop != nullptr && trie_->letters(i).Within(above.letters)) {
      for (TokenId token : trie_->Tokens(i)) Set(&mask->words, token);
      mask->deepest = std::max(mask->deepest, trie_->deepest(i));
      NoteText(*above.loop, mask);
      i = node.skip;
      continue;
    }
    const Term next = terms_->Derive(above.state, node.byte);
    if (next == kNever) {
      i = node.skip;
      continue;
    }
    Step& step = at[node.depth];
    step = {next, is_text, nullptr, {}};
    const size_t n_tokens = trie_->Tokens(i).size();
    if (n_tokens >= kSomeTokens) terms_->DeriveAll(next);
    if (!is_text && n_tokens >= kManyTokens) {
      const Terms::Loop& loop = terms_->LoopOf(next);
      step.loop = loop.empty() ? nullptr : &loop;
      step.letters = LettersOf(loop.stay, loop.beyond);
    }
    mask->deepest = std::max<uint32_t>(mask->deepest, node.depth);
    ++i;
    if (node.token == text::kNoToken) continue;
    if (std::exchange(noted, next) != next) Note(next, mask);
    Set(&mask->words, node.token);
  }
}

const Grammar::Mask& Grammar::MaskOf(Term open) {
  if (const auto it = masks_.find(open); it != masks_.end()) return it->second;
  Mask mask;
  mask.words.assign(trie_->n_words(), 0);
  std::vector<Terms::Front> fronts;
  const Term rest = terms_->SplitStates(open, &fronts);
  for (const Terms::Front& front : fronts) {
    if (const auto* spans = dynamic_cast<const DocumentSpans*>(front.automaton))
      WalkSpans(*spans, front.state, front.behind, &mask);
  }
  AddTokens(rest, &mask);
  trie_->Spread(&mask.words);
  if (!mask.text.empty()) trie_->Spread(&mask.text);
  mask_bytes_ += (mask.words.size() + mask.text.size()) * sizeof(uint32_t) + sizeof(Mask);
  return masks_.emplace(open, std::move(mask)).first->second;
}

void Grammar::WalkSpans(const DocumentSpans& spans, uint32_t state, Term behind, Mask* mask) {
  // A span has to be brought to an end too.
  mask->worst = std::max(mask->worst, terms_->Cost(behind) + spans.farthest());
  Reach fresh;
  const Reach* reach = &fresh;
  if (state == DocumentSpans::kStart) {
    auto [it, is_new] = starts_.try_emplace(&spans);
    if (is_new) {
      it->second = ReachOf(spans, state);
      mask_bytes_ +=
          it->second.words.size() * sizeof(uint32_t) + it->second.ends.size() * sizeof(uint32_t);
    }
    reach = &it->second;
  } else {
    fresh = ReachOf(spans, state);
  }
  for (size_t i = 0; i < mask->words.size(); ++i) mask->words[i] |= reach->words[i];
  const ByteSet first = terms_->First(behind);
  for (uint32_t node : reach->ends) {
    const std::span<const TokenTrie::Node> below = trie_->Below(node);
    if (below.empty()) continue;
    // A literal stands behind most spans: then there is one child to look at.
    if (node != TokenTrie::kNoNode && first.Count() == 1 &&
        trie_->Child(node, first.First()) == TokenTrie::kNoNode)
      continue;
    Walk(below, behind, kUnbounded, mask);
  }
}

Grammar::Reach Grammar::ReachOf(const DocumentSpans& spans, uint32_t state) const {
  SpanReader reader(*trie_, spans, state);
  spans.ForEachPlace(state, [&](uint32_t place, uint32_t limit) { reader.Add(place, limit); });
  Reach reach;
  reader.Read(&reach.words, &reach.ends);
  return reach;
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
  grammar_->terms_->Rest();
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
      AllowAny(open, budget, mask);
    } else {
      Grammar::Mask some;
      some.words = std::move(*mask);
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
// again. REQUIRES: the budget is enough for what comes after any of the others.
void Matcher::AllowAny(const Grammar::Mask& open, uint32_t budget, MaskWords* mask) {
  Terms& terms = *grammar_->terms_;
  const auto look = [&](const MaskWords& words, uint32_t bytes, MaskWords* at) {
    trie().ForEachLonger(words, bytes, [&](TokenId token) {
      const Term next = terms.Derive(state_, trie().Bytes(token));
      if (next == kNever || terms.Cost(next) > budget - 1) Clear(at, token);
    });
  };
  *mask = open.words;
  const uint32_t least = terms.LeastCount(state_);
  if (uint64_t{open.deepest} + open.length > least)
    look(open.words, least - std::min(least, open.length), mask);
  if (open.text.empty()) return;
  const Terms::Run run = terms.RunOf(state_, open.loop);
  const uint32_t longest = trie().longest();
  if (std::max(run.bytes, run.characters) >= longest) {
    for (size_t w = 0; w < mask->size(); ++w) (*mask)[w] |= open.text[w];
    return;
  }
  MaskWords text = open.text;
  if (run.most < longest) trie().KeepShort(run.most, &text);
  for (size_t w = 0; w < mask->size(); ++w) (*mask)[w] |= text[w];
  if (run.characters >= run.most) return;
  if (run.characters > 0) {
    MaskWords sure = text;
    trie().KeepShort(run.characters, &sure);
    for (size_t w = 0; w < text.size(); ++w) text[w] &= ~sure[w];
  }
  look(text, run.bytes, mask);
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
