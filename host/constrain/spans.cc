#include "constrain/spans.h"

#include <algorithm>
#include <bit>

#include "constrain/cuts.h"
#include "constrain/json_text.h"

namespace minnow::constrain {
namespace {

constexpr size_t kBlock = 4096;              // places in a block of lists
constexpr size_t kMaxWritten = 0x7FFF'FFFF;  // twice that is still an offset
constexpr size_t kBytesPerWritten = 17;      // written_, characters_, reach_, distance_, begins_

__extension__ typedef unsigned __int128 Wide;

// A rolling hash of a window over symbols, modulo the prime 2^61 - 1: equal windows have equal
// values, and different ones have different values but by an accident of one in 2^40 or less, which
// takes a span away and never lets a false one in.
class RollingHash {
 public:
  RollingHash() : inverse_(Power(kBase, kPrime - 2)) {}
  uint64_t value() const { return value_; }
  void Append(uint64_t symbol) {
    value_ = Reduce(Multiply(value_, kBase) + symbol);
    power_ = Multiply(power_, kBase);
  }
  void RemoveFirst(uint64_t symbol) {
    power_ = Multiply(power_, inverse_);
    value_ = Reduce(value_ + kPrime - Multiply(symbol, power_));
  }

 private:
  static constexpr uint64_t kPrime = (uint64_t{1} << 61) - 1;
  static constexpr uint64_t kBase = 0x0D6E'8FEB'8665'9FD9;
  static uint64_t Reduce(uint64_t x) { return x >= kPrime ? x - kPrime : x; }
  static uint64_t Multiply(uint64_t a, uint64_t b) {
    const Wide product = Wide{a} * b;
    return Reduce((static_cast<uint64_t>(product) & kPrime) + static_cast<uint64_t>(product >> 61));
  }
  static uint64_t Power(uint64_t base, uint64_t exponent) {
    uint64_t power = 1;
    for (; exponent != 0; exponent >>= 1, base = Multiply(base, base)) {
      if (exponent & 1) power = Multiply(power, base);
    }
    return power;
  }

  const uint64_t inverse_;
  uint64_t value_ = 0, power_ = 1;  // kBase to the number of symbols
};

// A set of numbers below 2^61, for as many as `capacity`.
class NumberSet {
 public:
  explicit NumberSet(size_t capacity) : slots_(std::bit_ceil(2 * capacity + 1), kFree) {}
  bool Insert(uint64_t number) {  // false: it was there
    size_t at = (number ^ number >> 29) & (slots_.size() - 1);
    for (; slots_[at] != kFree; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at] == number) return false;
    }
    slots_[at] = number;
    return true;
  }

 private:
  static constexpr uint64_t kFree = UINT64_MAX;
  std::vector<uint64_t> slots_;
};

}  // namespace

Result<std::shared_ptr<DocumentSpans>> DocumentSpans::Create(std::string_view document,
                                                             const SpanOptions& options) {
  const auto too_large = [&](size_t written) {
    return Error(Code::kExhausted,
                 "the document, {} bytes, would take {} bytes to copy spans from; at most {} are "
                 "allowed: split it, or raise the limit",
                 document.size(), written * kBytesPerWritten, options.max_bytes);
  };
  const size_t allowed = std::min(options.max_bytes / kBytesPerWritten, kMaxWritten);
  if (document.size() > allowed) return too_large(document.size());
  const Cuts cuts = FindCuts(document, options.whole_words);
  if (cuts.ill_formed != SIZE_MAX) {
    return Error(Code::kInvalid,
                 "the document is not valid UTF-8 at byte {}: spans are copied from text only; "
                 "convert it, or replace these bytes, first",
                 cuts.ill_formed);
  }
  std::shared_ptr<DocumentSpans> spans(new DocumentSpans(options));
  spans->Write(document, cuts.marks);
  if (spans->written_.size() > allowed) return too_large(spans->written_.size());
  spans->MeasureDistances();
  std::erase_if(spans->begins_, [&](uint32_t b) {
    return spans->reach_[b + 1] > spans->characters_[b] + spans->max_characters_;
  });
  spans->DropRepeats();
  spans->AddStart();
  return spans;
}

void DocumentSpans::Write(std::string_view document, const std::vector<uint8_t>& marks) {
  written_.reserve(document.size() + document.size() / 16);
  characters_.reserve(written_.capacity() + 1);
  ends_.assign(written_.capacity() / 64 + 1, 0);
  begins_.reserve(document.size());
  uint32_t count = 0;
  bool white = true;  // the character before
  for (size_t at = 0; at < document.size(); ++count) {
    size_t next = at + 1;
    while (!(marks[next] & kCharacter)) ++next;
    const uint32_t place = static_cast<uint32_t>(written_.size());
    const bool now_white = (marks[at] & kWhite) != 0;
    if (marks[at] & kCut) {
      if (!white) MarkEnd(place);
      if (!now_white) begins_.push_back(place);
    }
    if (now_white && !white) runs_.push_back({place, place, 0});
    const unsigned char byte = static_cast<unsigned char>(document[at]);
    if (options_.raw || (byte >= 0x20 && byte != '"' && byte != '\\')) {
      written_.append(document, at, next - at);
    } else {
      written_ += JsonContent(document.substr(at, 1));
    }
    characters_.resize(written_.size(), count);
    if (now_white && !runs_.empty()) {
      runs_.back().end = static_cast<uint32_t>(written_.size());
      ++runs_.back().gain;
    }
    white = now_white;
    at = next;
  }
  characters_.push_back(count);
  ends_.resize(written_.size() / 64 + 1);
  if (!white) MarkEnd(static_cast<uint32_t>(written_.size()));
  max_characters_ = std::min(options_.max_characters, count);
  // One that is a single space already is read as it is.
  std::erase_if(runs_, [&](Run& run) {
    --run.gain;
    return !options_.fuzzy_space || (run.end == run.begin + 1 && written_[run.begin] == ' ');
  });
  runs_.shrink_to_fit();
}

void DocumentSpans::MarkEnd(uint32_t at) {
  if (at >> 6 >= ends_.size()) ends_.resize(at / 32 + 1);
  ends_[at >> 6] |= uint64_t{1} << (at & 63);
}

void DocumentSpans::MeasureDistances() {
  const uint32_t size = static_cast<uint32_t>(written_.size());
  reach_.assign(size + 1, kUnreachable);
  distance_.assign(size + 1, kUnreachable);
  size_t runs = runs_.size();  // that begin before `at`
  for (uint32_t at = size + 1; at-- > 0;) {
    while (runs > 0 && runs_[runs - 1].begin > at) --runs;
    if (MayEnd(at)) {
      reach_[at] = characters_[at];
      distance_[at] = 0;
    }
    // Nothing ends inside white space: whoever may leave it out gets to the next end sooner.
    if (at == size || MayEnd(at)) continue;
    const bool leap = runs > 0 && runs_[runs - 1].begin == at;
    const uint32_t next = leap ? runs_[runs - 1].end : at + 1;
    if (distance_[next] == kUnreachable) continue;
    reach_[at] = reach_[next] - (leap ? runs_[runs - 1].gain : 0);
    distance_[at] = distance_[next] + 1;
    if (reach_[at] - characters_[at] <= max_characters_) {
      farthest_ = std::max(farthest_, distance_[at]);
    }
  }
}

// Of beginnings that are followed by the same for as long as a span may be, one stands for all: of
// 100 kB of one letter 1,000 are left. What follows is the bytes and where a span may end; all else
// is a consequence.
void DocumentSpans::DropRepeats() {
  const uint32_t size = static_cast<uint32_t>(written_.size());
  if (begins_.empty() || max_characters_ == characters_[size]) return;
  RollingHash hash;
  NumberSet seen(begins_.size());
  const auto symbol = [&](uint32_t at) {
    return static_cast<uint8_t>(written_[at]) + 1 + (MayEnd(at + 1) ? 256 : 0);
  };
  // How many characters at least stand in front of an offset: a run of white space that may be one
  // space counts when it is over, and as one.
  std::vector<uint32_t> fuzzy;
  if (!runs_.empty()) {
    fuzzy = characters_;
    uint32_t gain = 0;
    for (size_t r = 0; r < runs_.size(); ++r) {
      const Run& run = runs_[r];
      for (uint32_t at = run.begin; at < run.end; ++at) fuzzy[at] = characters_[run.begin] - gain;
      gain += run.gain;
      const uint32_t end = r + 1 < runs_.size() ? runs_[r + 1].begin : size + 1;
      for (uint32_t at = run.end; at < end; ++at) fuzzy[at] -= gain;
    }
  }
  const std::vector<uint32_t>& count = runs_.empty() ? characters_ : fuzzy;
  uint32_t from = 0, to = 0;  // the window
  std::erase_if(begins_, [&](uint32_t begin) {
    for (; from < begin && from < to; ++from) hash.RemoveFirst(symbol(from));
    from = begin;
    to = std::max(to, from);
    while (to < size && count[to + 1] - count[from] <= max_characters_) hash.Append(symbol(to++));
    return !seen.Insert(hash.value());
  });
  begins_.shrink_to_fit();
}

void DocumentSpans::AddStart() {
  Node start;
  start.list = begins_.data();
  start.count = static_cast<uint32_t>(begins_.size());
  if (!begins_.empty()) start.place = begins_[0];
  start.distance = kUnreachable;
  start.first = 0;
  ByteSet first;
  for (uint32_t begin : begins_) {
    start.distance = std::min(start.distance, distance_[begin + 1] + 1);
    first.Add(static_cast<uint8_t>(written_[begin]));
  }
  nodes_.push_back(start);
  firsts_.push_back(first);
}

DocumentSpans::Space DocumentSpans::SpaceAt(uint32_t at) const {
  if (runs_.empty() || at >= written_.size()) return {};
  // How white space begins, raw or escaped.
  const uint8_t byte = static_cast<uint8_t>(written_[at]);
  if (byte > ' ' && byte != '\\' && byte < 0xC2) return {};
  const auto run = std::lower_bound(runs_.begin(), runs_.end(), at,
                                    [](const Run& r, uint32_t value) { return r.begin < value; });
  return run != runs_.end() && run->begin == at ? Space{run->end, run->gain} : Space{};
}

ByteSet DocumentSpans::First(uint32_t state) {
  Node& node = nodes_[state];
  if (node.first != kUnknown) return firsts_[node.first];
  ByteSet first;
  const uint32_t room = max_characters_ - node.used;
  for (uint32_t place : Places(node)) {
    if (place == written_.size()) continue;
    const uint32_t limit = characters_[place] + room;
    if (Within(place + 1, limit)) first.Add(static_cast<uint8_t>(written_[place]));
    if (const Space space = SpaceAt(place);
        space.end != 0 && Within(space.end, limit + space.gain)) {
      first.Add(' ');
    }
  }
  if (node.count > 1) {
    node.first = static_cast<uint32_t>(firsts_.size());
    firsts_.push_back(first);
  }
  return first;
}

uint32_t DocumentSpans::Next(uint32_t state, uint8_t byte) {
  const Node& node = nodes_[state];
  if (node.count == 1 && runs_.empty()) {
    if (node.child == kDead && node.place < written_.size() &&
        static_cast<uint8_t>(written_[node.place]) == byte) {
      const uint32_t child = Child(state, byte);
      nodes_[state].child = child;
      return child;
    }
    return node.child != kDead && static_cast<uint8_t>(written_[node.place]) == byte ? node.child
                                                                                     : kDead;
  }
  if (!First(state).Has(byte)) return kDead;
  const uint64_t key = uint64_t{state} << 8 | byte;
  if (const uint32_t child = FindEdge(key); child != kDead) return child;
  const uint32_t child = Child(state, byte);
  if (child != kDead) AddEdge(key, child);
  return child;
}

uint32_t DocumentSpans::Child(uint32_t state, uint8_t byte) {
  if (!status_.ok()) return kDead;
  const Node& node = nodes_[state];
  const uint32_t room = max_characters_ - node.used;
  scratch_.clear();
  bool leapt = false;
  for (uint32_t place : Places(node)) {
    if (place == written_.size()) continue;
    const uint32_t limit = characters_[place] + room;
    if (static_cast<uint8_t>(written_[place]) == byte && Within(place + 1, limit)) {
      scratch_.push_back(place + 1);
    }
    if (byte != ' ') continue;
    if (const Space space = SpaceAt(place);
        space.end != 0 && Within(space.end, limit + space.gain)) {
      scratch_.push_back(space.end);
      leapt = true;
    }
  }
  if (scratch_.empty()) return kDead;
  if (leapt) {
    std::sort(scratch_.begin(), scratch_.end());
    scratch_.erase(std::unique(scratch_.begin(), scratch_.end()), scratch_.end());
  }
  // Characters end at the same bytes of what was written, wherever it stands.
  const bool complete = characters_[scratch_[0]] != characters_[scratch_[0] - 1];
  return AddNode(scratch_, node.used + (complete ? 1 : 0));
}

uint32_t DocumentSpans::AddNode(std::span<const uint32_t> places, uint32_t used) {
  const size_t list = places.size() > 1 ? places.size() * sizeof(uint32_t) : 0;
  if (bytes() + list > options_.max_bytes || nodes_.size() >= kDead) {
    status_ = Error(Code::kExhausted,
                    "spans of the document: {} states take the {} bytes that are allowed: ask for "
                    "shorter spans (max_characters), whole words, or raise the limit",
                    nodes_.size(), options_.max_bytes);
    return kDead;
  }
  Node node;
  node.count = static_cast<uint32_t>(places.size());
  node.used = used;
  node.distance = kUnreachable;
  for (uint32_t place : places) node.distance = std::min(node.distance, distance_[place]);
  if (list == 0) {
    node.place = places[0];
  } else {
    node.list = KeepList(places);
  }
  nodes_.push_back(node);
  return static_cast<uint32_t>(nodes_.size() - 1);
}

const uint32_t* DocumentSpans::KeepList(std::span<const uint32_t> places) {
  if (places.size() > block_left_) {
    const size_t size = std::max(places.size(), kBlock);
    blocks_.push_back(std::make_unique_for_overwrite<uint32_t[]>(size));
    list_bytes_ += size * sizeof(uint32_t);
    // A long list has a block of its own, and the one that was begun goes on.
    if (places.size() >= kBlock) {
      std::copy(places.begin(), places.end(), blocks_.back().get());
      return blocks_.back().get();
    }
    block_ = blocks_.back().get();
    block_left_ = size;
  }
  uint32_t* list = block_;
  std::copy(places.begin(), places.end(), list);
  block_ += places.size();
  block_left_ -= places.size();
  return list;
}

uint32_t DocumentSpans::FindEdge(uint64_t key) const {
  if (edges_.empty()) return kDead;
  const Edge& edge = edges_[EdgeSlot(key)];
  return edge.key == key ? edge.child : kDead;
}

size_t DocumentSpans::EdgeSlot(uint64_t key) const {
  size_t at = (key * 0x9E37'79B9'7F4A'7C15) >> 20 & (edges_.size() - 1);
  while (edges_[at].key != kNoEdge && edges_[at].key != key) at = (at + 1) & (edges_.size() - 1);
  return at;
}

void DocumentSpans::AddEdge(uint64_t key, uint32_t child) {
  if (edges_.size() < 2 * (edge_count_ + 1)) {
    std::vector<Edge> old(std::max<size_t>(64, 2 * edges_.size()));
    old.swap(edges_);
    for (const Edge& edge : old) {
      if (edge.key != kNoEdge) edges_[EdgeSlot(edge.key)] = edge;
    }
  }
  edges_[EdgeSlot(key)] = {key, child};
  ++edge_count_;
}

size_t DocumentSpans::bytes() const {
  const size_t words = characters_.capacity() + reach_.capacity() + distance_.capacity() +
                       begins_.capacity() + scratch_.capacity();
  return written_.capacity() + words * sizeof(uint32_t) + ends_.capacity() * sizeof(uint64_t) +
         runs_.capacity() * sizeof(Run) + nodes_.capacity() * sizeof(Node) +
         edges_.capacity() * sizeof(Edge) + firsts_.capacity() * sizeof(ByteSet) + list_bytes_;
}

Term SpanTerm(Terms& terms, const std::shared_ptr<DocumentSpans>& spans) {
  return spans->empty() ? kNever : terms.States(spans, DocumentSpans::kStart);
}

}  // namespace minnow::constrain
