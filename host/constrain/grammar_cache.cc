#include "constrain/grammar_cache.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/json.h"
#include "constrain/gbnf.h"
#include "constrain/json_schema.h"
#include "constrain/lark.h"
#include "constrain/regex.h"
#include "constrain/tool_calls.h"

namespace minnow::constrain {

namespace {

Result<Term> WriteChoice(Terms& terms, const std::string& source) {
  MNW_ASSIGN(const nlohmann::json list, ParseJson(source));
  const bool is_list = list.is_array() && !list.empty() &&
                       std::ranges::all_of(list, [](const auto& s) { return s.is_string(); });
  if (!is_list) return Error(Code::kInvalid, "a choice is a list of at least one string");
  return terms.Strings(list.get<std::vector<std::string>>());
}

Result<Term> WriteSchema(Terms& terms, const Constraint& constraint) {
  MNW_ASSIGN(const nlohmann::ordered_json schema, ParseJson(constraint.source));
  return CompileJsonSchema(
      terms, schema, {.document = constraint.document.empty() ? nullptr : &constraint.document});
}

Result<Term> WriteToolCalls(Terms& terms, const std::string& source) {
  MNW_ASSIGN(const ToolCalls calls, ReadToolCalls(source));
  return CompileToolCalls(terms, calls);
}

}  // namespace

Result<Term> WriteConstraint(Terms& terms, const Constraint& constraint) {
  switch (constraint.kind) {
    case Constraint::Kind::kChoice:
      return WriteChoice(terms, constraint.source);
    case Constraint::Kind::kJsonSchema:
      return WriteSchema(terms, constraint);
    case Constraint::Kind::kRegex:
      return CompileRegex(terms, constraint.source, WriteRaw);
    case Constraint::Kind::kGbnf:
      return CompileGbnf(terms, constraint.source);
    case Constraint::Kind::kLark:
      return CompileLark(terms, constraint.source);
    case Constraint::Kind::kToolCalls:
      return WriteToolCalls(terms, constraint.source);
    default:
      break;
  }
  return Error(Code::kUnsupported, "no grammar of kind {}", KindName(constraint.kind));
}

Result<std::shared_ptr<Grammar>> GrammarCache::Get(const Constraint& constraint) {
  std::shared_ptr<const TokenTrie> trie;
  {
    const std::lock_guard lock(mutex_);
    if (!trie_) trie_ = std::make_shared<TokenTrie>(tokenizer_.vocabulary());
    trie = trie_;
    const auto it = std::ranges::find(entries_, constraint, &Entry::constraint);
    if (it != entries_.end()) {
      entries_.splice(entries_.begin(), entries_, it);
      return entries_.front().grammar;
    }
  }
  // Others need not wait meanwhile; who asks for the same at once makes it twice.
  MNW_ASSIGN(std::shared_ptr<Grammar> grammar,
             Grammar::Create(std::move(trie), tokenizer_, [constraint](Terms& terms) {
               return WriteConstraint(terms, constraint);
             }));
  const std::lock_guard lock(mutex_);
  entries_.push_front({constraint, grammar});
  size_t bytes = 0, n = 0;
  for (auto it = entries_.begin(); it != entries_.end();) {
    bytes += it->grammar->bytes() + it->constraint.source.size() + it->constraint.document.size();
    const bool is_kept = ++n == 1 || (n <= kMost && bytes <= kMaxBytes);
    it = is_kept ? std::next(it) : entries_.erase(it);
  }
  return grammar;
}

}  // namespace minnow::constrain
