// A pattern or a grammar of a stranger. The first byte chooses the notation (0 a pattern for the
// whole text, 1 one to be searched for, 2 GBNF, 3 Lark's) and a way through the language; the rest
// is the source.
//
// What was compiled must be a language that can be written: from every state that is reached some
// byte leads on or the text may end, and the end is nearer by some byte unless it is there.
#include <cstdlib>
#include <string_view>

#include "constrain/gbnf.h"
#include "constrain/lark.h"
#include "constrain/regex.h"

namespace {

using namespace minnow::constrain;

minnow::Result<Term> Compile(Terms& terms, unsigned notation, std::string_view source) {
  if (notation < 2) return CompileRegex(terms, source, WriteRaw, {.search = notation == 1});
  return notation == 2 ? CompileGbnf(terms, source) : CompileLark(terms, source);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  Terms terms(nullptr, {.max_terms = 50'000, .max_explored = 2'000});
  const std::string_view source(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto root = Compile(terms, data[0] & 3, source);
  if (!root.ok()) {
    if (root.status().message().empty()) std::abort();
    return 0;
  }
  if (!terms.Seal().ok()) return 0;
  Term state = *root;
  if (terms.First(state).empty() && !terms.Nullable(state)) return 0;  // no string at all
  uint32_t way = data[0] >> 2;
  for (int step = 0; step < 40; ++step) {
    const ByteSet first = terms.First(state);
    if (!terms.status().ok()) return 0;
    if (first.empty()) {
      if (!terms.Nullable(state)) std::abort();
      return 0;
    }
    const uint32_t cost = terms.Cost(state);
    bool nearer = cost == 0;
    Term next = kNever;
    for (unsigned b = 0; b < 256; ++b) {
      if (!first.Has(static_cast<uint8_t>(b))) continue;
      const Term t = terms.Derive(state, static_cast<uint8_t>(b));
      if (!terms.status().ok()) return 0;
      if (t == kNever) std::abort();
      nearer |= terms.Cost(t) < cost;
      way = way * 1103515245 + 12345;
      if (next == kNever || way >> 16 & 1) next = t;
    }
    if (!terms.status().ok()) return 0;
    if (!nearer) std::abort();
    state = next;
  }
  return 0;
}
