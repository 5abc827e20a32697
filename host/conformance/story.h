// Documents fed to ops on a state, step by step, as a scheduler does it.
//
// A token of a document has values of its own, whatever step it comes in: so the same documents can
// be told in chunks, as drafts or in other pages, and must give the same rows. Threads: one at a
// time.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "conformance/recipe.h"

namespace minnow::conformance {

inline constexpr int64_t kVocabulary = 96;  // tokens, where a graph begins with them

struct Document {
  int32_t number;
  int32_t length = 0;          // committed so far
  std::vector<int32_t> pages;  // of a recurrent group: its one block
};

class Story {
 public:
  // `window` of the group: pages that no row may read any more are told as -1.
  Story(const Sketch& sketch, uint64_t seed, std::string name, char level, uint32_t window = 0);

  // Appends the document's next n tokens to the current step. Drafts have no slot until EndStep
  // commits them.
  void Add(Document& document, int32_t n, bool drafts = false);
  // A row that no later one stands on: a draft instead of the token that comes next.
  void AddStray(const Document& document);
  void Edit(const mnw_page_edit& edit) { edits_.push_back(edit); }
  void EndStep();

  Telling Finish() { return std::move(telling_); }

 private:
  struct Row {
    int32_t key;  // number and position; -1: stray
    uint64_t token;
    int32_t seq, position, parent, slot;
  };
  // Every other position is one whose logits are wanted.
  static bool IsOut(const Row& row) { return row.position % 2 == 0; }
  Bytes Values(mnw_id input) const;
  std::vector<int32_t> Ints(mnw_input role) const;

  const Sketch& sketch_;
  const uint64_t seed_;
  const uint32_t window_;
  Telling telling_;
  std::vector<Row> rows_;
  std::vector<Document> seqs_;  // as they were before the step
  std::vector<mnw_page_edit> edits_;
  Commit commit_{};
};

}  // namespace minnow::conformance
