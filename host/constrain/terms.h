// Languages of byte strings, written as expressions: what an answer may be.
//
// A term is an expression over bytes, concatenation, choice, counted repetition, intersection,
// complement and named rules, which may be recursive. Equal terms are one number. What may follow
// after a byte is again a term, its derivative (Brzozowski 1964; Owens, Reppy, Turon 2009), so a
// term is also the state of whoever reads or writes an answer: a rule that stands at the front is
// replaced by its body, what stands behind it is the stack. No term that is reached is a dead end:
// kNever is the only one without a string.
//
// Intersection and complement are of terms without rules, and of any that have none inside.
// Everything is bounded: work beyond the limits makes status() fail for good, and from then on
// every new term is kNever; whoever builds or derives looks at it at the end.
//
// Threads: one at a time; not even the const methods run beside others.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "constrain/byte_set.h"

namespace minnow::constrain {

using Term = uint32_t;
using RuleId = uint32_t;

inline constexpr Term kNever = 0;  // no string at all
inline constexpr Term kEmpty = 1;  // the empty string, and only it
inline constexpr uint32_t kUnbounded = std::numeric_limits<uint32_t>::max();

struct CharRange {  // of Unicode scalar values, both included; surrogates in between are left out
  char32_t first, last;
};

// How many tokens a literal takes at least; null where there is no vocabulary: one for each byte.
class TokenCounter {
 public:
  virtual ~TokenCounter() = default;
  virtual uint32_t CountTokens(std::string_view bytes) const = 0;
};

// A language given by states and what bytes do to them, for what no expression describes well: the
// spans of a document. Every state has a way to its end.
class Automaton {
 public:
  static constexpr uint32_t kDead = std::numeric_limits<uint32_t>::max();
  virtual ~Automaton() = default;
  virtual uint32_t Next(uint32_t state, uint8_t byte) = 0;  // kDead: not that byte
  virtual bool Accepts(uint32_t state) = 0;
  virtual ByteSet First(uint32_t state) = 0;      // the bytes whose Next is not kDead
  virtual uint32_t Distance(uint32_t state) = 0;  // bytes to the nearest end, as Cost below
  virtual Status status() const = 0;  // not ok: kDead may be for want of memory; that of the terms
  virtual size_t bytes() const = 0;   // of memory, about
};

struct TermLimits {
  size_t max_terms = 1'000'000;  // in all, those met while answering too
  size_t max_nesting = 400;      // of terms in terms at the front of one
  size_t max_explored = 50'000;  // states looked at to find whether one intersection has a string
  size_t max_work = 2'000'000;   // steps of derivation from one Rest to the next
};

class Terms {
 public:
  explicit Terms(const TokenCounter* counter = nullptr, TermLimits limits = {});
  ~Terms();
  Terms(const Terms&) = delete;
  Terms& operator=(const Terms&) = delete;

  // --- building ---
  Term Bytes(const ByteSet& set);                 // any one of them
  Term Literal(std::string_view bytes);           // exactly this
  Term Chars(std::span<const CharRange> ranges);  // one character, as UTF-8
  Term Concat(Term first, Term second);
  Term Concat(std::span<const Term> parts);
  Term Or(Term a, Term b);
  Term Or(std::span<const Term> alternatives);
  Term And(Term a, Term b);
  Term Not(Term a);                                 // every byte string but these
  Term Repeat(Term a, uint32_t min, uint32_t max);  // max may be kUnbounded
  Term Optional(Term a) { return Repeat(a, 0, 1); }
  // `t` without what may be left out at its end, or beginning: of t's that are made of characters,
  // and have any text behind, or before, them, the same.
  Term TrimEnd(Term t);
  Term TrimBegin(Term t);
  Term Strings(std::span<const std::string> strings);  // one of them; thousands are cheap
  // Decimal digits, and dots, which are passed over, whose number is a multiple of `divisor` (not
  // 0, below 2^32); at least one digit.
  Term Multiple(uint32_t divisor);
  Term States(std::shared_ptr<Automaton> automaton, uint32_t start);
  // A rule is declared, used in terms, and defined once.
  RuleId Declare(std::string name);
  Term Rule(RuleId rule);
  void Define(RuleId rule, Term body);
  // After all rules are defined: those without any string become kNever in effect, and those that
  // can begin with themselves are refused by name. Nothing may be derived before it.
  Status Seal();

  // --- reading ---
  bool Nullable(Term t) const { return nodes_[t].nullable; }  // is the empty string one of it?
  // What may follow; kNever: that byte may not.
  Term Derive(Term t, uint8_t byte) {
    const uint32_t* row = rows_[t];
    return row && row[byte] != kUnbounded ? row[byte] : DeriveNew(t, byte);
  }
  Term Derive(Term t, std::string_view bytes);
  // By all bytes at once, which Derive then knows: those that the term does not tell apart are one.
  // False where an automaton does, and nothing was to be gained.
  bool DeriveAll(Term t);
  // What comes next may take as long as anything (max_work).
  void Rest() { work_ = 0; }
  ByteSet First(Term t) { return FrontBytes(t, true); }  // every byte that may come first
  // The same quickly, and perhaps with some that may not.
  ByteSet PossibleFirst(Term t);
  // Tokens that suffice to get to the end: an upper bound of the shortest way, and one that some
  // next byte makes smaller unless it is 0.
  uint32_t Cost(Term t) { return nodes_[t].cost != kUnbounded ? nodes_[t].cost : NodeCost(t); }

  // The same language at the same cost, but that what repetitions in its first parts may have at
  // most is forgotten, so that many states become one. For whoever reads no more bytes than
  // LeastCount, there is no difference; but an intersection that was begun may need more to come
  // to its end, as many bytes as BeginLength of what follows.
  Term Open(Term t) { return Open(t, true); }
  uint32_t LeastCount(Term t) { return LeastCount(t, true); }
  uint32_t BeginLength(Term t) const;
  // The characters of which any text may come: what most tokens are, where a term is of text. Empty
  // for terms that a few bytes or an automaton begin.
  struct Loop {
    ByteSet stay;         // of ASCII, without NUL and DEL
    bool beyond = false;  // every character beyond ASCII too, but perhaps U+2028 and U+2029
    ByteSet leave;        // at least the other bytes that may come, first or after such text; not
                          // those of U+2028 and U+2029 where `beyond`
    uint32_t cost = 0;    // at most, after it
    uint32_t length = 0;  // bytes that an intersection may need after it, as BeginLength
    Term part = kNever;   // after any such text, all strings of it may come, as before

    bool empty() const { return stay.empty() && !beyond; }
    ByteSet text() const;  // every byte of its characters
  };
  const Loop& LoopOf(Term t);
  // Of text out of the loop of Open(t), and of a first character before it that leads there: what
  // has no more bytes, or no more characters, may come; what has more than `most` characters may
  // not.
  struct Run {
    uint32_t bytes, characters, most;
  };
  Run RunOf(Term t, const Loop& loop);

  // Of a choice, the alternatives that begin with states of an automaton, each with what stands
  // behind them; returns the rest of it.
  struct Front {
    Automaton* automaton;
    uint32_t state;
    Term behind;
  };
  Term SplitStates(Term t, std::vector<Front>* fronts);

  const Status& status() const { return status_; }
  size_t size() const { return nodes_.size(); }
  size_t bytes() const;             // of memory, about
  std::string Print(Term t) const;  // for messages and tests; long ones are cut

 private:
  static constexpr size_t kFirstParts = 6;  // whose counts Open forgets
  static constexpr size_t kRowsPerBlock = 64;
  enum class Kind : uint8_t {
    kNever,
    kEmpty,
    kBytes,
    kLiteral,
    kConcat,
    kOr,
    kAnd,
    kNot,
    kRepeat,
    kRule,
    kMultiple,
    kStates
  };
  enum class Live : uint8_t { kUnknown, kYes, kNo };
  // What a and b are: kBytes, an index into sets_; kLiteral, offset and length in pool_; kConcat,
  // the two; kOr and kAnd, offset and number in lists_; kNot and kRepeat, the term; kRule, the
  // rule; kMultiple, divisor and remainder, and in `min` whether there was a digit; kStates, an
  // index into automata_ and the state.
  struct Node {
    Kind kind;
    bool nullable = false;
    bool has_rule = false;
    Live live = Live::kYes;
    uint16_t height = 0;
    uint32_t a = 0, b = 0, min = 0, max = 0;
    uint32_t cost = kUnbounded;    // kUnbounded: not known yet, or none
    uint32_t length = kUnbounded;  // of an intersection: bytes of one of its strings
  };
  struct RuleInfo {
    std::string name;
    Term body = kNever;
    Term reference = kNever;
    bool defined = false;
  };

  std::string_view Text(const Node& n) const { return std::string_view(pool_).substr(n.a, n.b); }
  std::span<const Term> List(const Node& n) const {
    return std::span<const Term>(lists_).subspan(n.a, n.b);
  }
  bool Dead(Term t) const { return t == kNever || nodes_[t].live == Live::kNo; }
  uint64_t Hash(const Node& n, std::string_view text, std::span<const Term> list) const;
  bool Same(const Node& n, const Node& o, std::string_view text, std::span<const Term> list) const;
  Term Intern(Node node, std::string_view text = {}, std::span<const Term> list = {});
  void Grow();
  Term Fail(Code code, std::string message);

  Term LiteralTail(Term literal);
  Term ConcatTwo(Term first, Term second);
  Term RawAnd(std::vector<Term> parts);  // may be without a string: its liveness is not known
  Term Checked(Term t);
  bool IsLive(Term root);
  bool Shortest(Term t, std::string* out);
  uint32_t Length(Term t);             // bytes of some string of it
  bool OfStates(const Node& n) const;  // an intersection with states of an automaton?
  ByteSet FrontBytes(Term t, bool exact);
  // Bytes of one group have the same derivative.
  struct Groups {
    std::array<uint8_t, 256> of = {};
    std::vector<uint8_t> first;  // a byte of each
  };
  Groups GroupsOf(Term root) const;
  bool CollectSets(Term t, std::vector<ByteSet>* sets) const;
  Loop Explore(Term t);
  bool LoopsBeyond(Term t, Term to);
  Loop Choose(Term choice);
  Loop Join(Term intersection);
  Loop Followed(const Loop& head, Term rest);
  Loop Repeated(Term repeat);
  void NoteLoop(Term t, const Loop& loop);
  ByteSet Leaving(Term root, const Loop& loop);
  bool MayBeText(Term t, const ByteSet& text, uint32_t depth) const;
  uint32_t LeastBytes(Term t);
  bool Opens(const Node& repeat, bool at_front);
  Term Open(Term t, bool at_front);
  uint32_t LeastCount(Term t, bool at_front);
  uint32_t TextBegin(Term t, const Loop& loop) const;
  bool HasAnd(Term t) const;
  bool Meets(Term t, const Loop& loop);
  uint32_t FrontLeast(Term t, const Loop& loop, size_t* left);
  Run RunOfHead(Term t, const Loop& loop, size_t* left);
  const Loop& Alone(Term t);
  uint32_t* Row(Term t);  // of derivatives
  Term DeriveNew(Term t, uint8_t byte);
  Term Compute(Term t, uint8_t byte, bool raw);
  Term DeriveConcat(Term t, uint8_t byte, bool raw);
  uint32_t CostNow(const Node& n);  // of what its parts cost
  uint32_t NodeCost(Term t);
  void CollectHeads(Term t, std::vector<RuleId>* heads) const;
  void SolveRules();
  Status RefuseLeftRecursion() const;

  const TokenCounter* counter_;
  const TermLimits limits_;
  Status status_;
  bool sealed_ = false;
  std::vector<Node> nodes_;
  std::vector<uint32_t*> rows_;  // by term; null: nothing derived yet
  std::vector<std::unique_ptr<uint32_t[]>> row_blocks_;
  size_t rows_used_ = 0;
  std::vector<bool> all_derived_;
  std::vector<uint32_t> table_;  // open addressing over nodes_
  std::string pool_;
  std::vector<Term> lists_;
  std::vector<ByteSet> sets_;
  std::vector<RuleInfo> rules_;
  std::vector<std::shared_ptr<Automaton>> automata_;
  std::array<std::unordered_map<Term, Term>, 2> opened_;  // by whether text may begin with it
  std::array<std::unordered_map<Term, uint32_t>, 2> least_counts_;
  std::unordered_map<Term, ByteSet> possible_;
  std::unordered_map<Term, uint32_t> least_bytes_;
  std::unordered_map<Term, Loop> loops_, alone_;
  size_t depth_ = 0;  // of Compute
  size_t work_ = 0;   // since Rest
};

}  // namespace minnow::constrain
