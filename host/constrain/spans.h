// The spans of a document: what a value may be that is copied from it, byte for byte.
//
// A span is not empty, begins and ends between characters as a reader sees them (cuts.h), and has
// no white space at its ends. It is written raw or as the content of a JSON string (json_text.h).
// A state is what was written so far, and stands for the places in the document where that ends;
// the states form a trie that grows as it is asked for. Where the same text comes again for
// max_characters and more, one of its beginnings stands for all: FindSpan finds the others.
//
// Token masks need no states: the *written form* of the whole document is kept once, and a span is
// a piece of it. From each of a state's places the tokens that may follow are those that are read
// along the written form:
//
//   spans.ForEachPlace(state, [&](uint32_t place, uint32_t limit) {
//     node = root of the token trie; at = place;
//     for (;;) {
//       if (at > place || state != DocumentSpans::kStart) and spans.MayEnd(at):
//         what stands behind the span (a quotation mark, say) may go on from `node`;
//       if at == spans.written().size(): break;
//       node = child of node for spans.written()[at]; if none: break;
//       ++at;
//       if (!spans.Within(at, limit)) break;     // no end within max_characters from there
//       the token of `node`, if there is one, is allowed;
//     }
//   });
//
// With fuzzy_space a single space may stand for a whole run of white space: where at > place or
// the state is not kStart, and spans.SpaceAt(at) gives a run, the same walk also goes on with ' '
// from run.end with limit + run.gain. (A run that is written " " gives none: it is read as it is.)
// A place may come more than once where the walk forks; it does no harm.
//
// Memory: about 17 bytes for each byte of the written form, and the states; past max_bytes
// status() fails for good, and states that were not there yet are not made.
// Threads: one at a time, not even const methods run beside others.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "constrain/byte_set.h"
#include "constrain/terms.h"

namespace minnow::constrain {

struct SpanOptions {
  bool raw = false;                // else as the content of a JSON string
  bool whole_words = false;        // words and numbers are not cut: FindCuts
  bool fuzzy_space = false;        // a run of white space as it is, or as one space
  uint32_t max_characters = 1000;  // code points of the value
  size_t max_bytes = size_t{64} << 20;
};

class DocumentSpans : public Automaton {
 public:
  static constexpr uint32_t kStart = 0;

  // kInvalid with the offset where `document` is no UTF-8; kExhausted where it is too large.
  static Result<std::shared_ptr<DocumentSpans>> Create(std::string_view document,
                                                       const SpanOptions& options = {});

  bool empty() const { return begins_.empty(); }  // nothing but white space: no span at all

  uint32_t Next(uint32_t state, uint8_t byte) override;
  bool Accepts(uint32_t state) override { return nodes_[state].distance == 0; }
  ByteSet First(uint32_t state) override;
  uint32_t Distance(uint32_t state) override { return nodes_[state].distance; }

  Status status() const override { return status_; }
  size_t bytes() const override;
  size_t states() const { return nodes_.size(); }

  // --- for token masks ---
  struct Space {
    uint32_t end = 0;   // 0: no run of white space begins here that one space may stand for
    uint32_t gain = 0;  // characters saved by it
  };

  const std::string& written() const { return written_; }
  bool MayEnd(uint32_t at) const { return ends_[at >> 6] >> (at & 63) & 1; }
  bool Within(uint32_t at, uint32_t limit) const { return reach_[at] <= limit; }
  uint32_t farthest() const { return farthest_; }  // no state is farther from its end, in bytes
  Space SpaceAt(uint32_t at) const;
  size_t CountPlaces(uint32_t state) const {
    return state == kStart ? begins_.size() : nodes_[state].count;
  }
  // f(place, limit): kStart's places are where spans may begin.
  template <class F>
  void ForEachPlace(uint32_t state, F f) const {
    const Node& node = nodes_[state];
    const uint32_t room = max_characters_ - node.used;
    for (uint32_t place : Places(node)) f(place, characters_[place] + room);
  }

 private:
  struct Node {
    const uint32_t* list = nullptr;  // of places, ascending; null where there is one
    uint32_t place = 0;
    uint32_t count = 0;
    uint32_t used = 0;          // characters that are complete
    uint32_t distance = 0;      // bytes to the nearest end
    uint32_t child = kDead;     // of one place: its only child, where it is known
    uint32_t first = kUnknown;  // of more places: an index into firsts_
  };
  struct Edge {
    uint64_t key = kNoEdge;
    uint32_t child = 0;
  };
  struct Run {
    uint32_t begin, end, gain;
  };
  static constexpr uint32_t kUnknown = UINT32_MAX, kUnreachable = UINT32_MAX;
  static constexpr uint64_t kNoEdge = UINT64_MAX;

  explicit DocumentSpans(const SpanOptions& options) : options_(options) {}
  void Write(std::string_view document, const std::vector<uint8_t>& marks);
  void MarkEnd(uint32_t at);
  void MeasureDistances();
  void DropRepeats();
  void AddStart();
  std::span<const uint32_t> Places(const Node& node) const {
    return node.count == 1 ? std::span(&node.place, 1) : std::span(node.list, node.count);
  }
  uint32_t Child(uint32_t state, uint8_t byte);
  uint32_t AddNode(std::span<const uint32_t> places, uint32_t used);
  const uint32_t* KeepList(std::span<const uint32_t> places);
  size_t EdgeSlot(uint64_t key) const;
  uint32_t FindEdge(uint64_t key) const;  // kDead: there is none
  void AddEdge(uint64_t key, uint32_t child);

  const SpanOptions options_;
  Status status_;
  uint32_t max_characters_ = 0;  // of the options, but no more than the document has
  std::string written_;
  std::vector<uint64_t> ends_;        // by offset in written_: whether a span may end there
  std::vector<uint32_t> characters_;  // that are complete before it
  std::vector<uint32_t> reach_;       // the same of the nearest end, as a fuzzy reader counts it
  std::vector<uint32_t> distance_;    // bytes to the nearest end
  uint32_t farthest_ = 0;
  std::vector<Run> runs_;  // that one space may stand for, ascending
  std::vector<uint32_t> begins_;

  std::vector<Node> nodes_;
  std::vector<Edge> edges_;  // open addressing
  size_t edge_count_ = 0;
  std::vector<ByteSet> firsts_;
  std::vector<std::unique_ptr<uint32_t[]>> blocks_;  // of lists
  uint32_t* block_ = nullptr;                        // what is free of the one that was begun
  size_t block_left_ = 0, list_bytes_ = 0;
  std::vector<uint32_t> scratch_;
};

// All spans; kNever where the document has none.
Term SpanTerm(Terms& terms, const std::shared_ptr<DocumentSpans>& spans);

struct SpanPlace {
  size_t begin, end;    // bytes of the document
  size_t line, column;  // of its beginning, from 1; a column is a code point
};

// Every place where `value` (as text, not as JSON writes it) is a span of the document, by the same
// whole_words and fuzzy_space, in the document's order; they may overlap.
std::vector<SpanPlace> FindSpan(std::string_view document, std::string_view value,
                                const SpanOptions& options = {});

}  // namespace minnow::constrain
