// The prefixes that are in the cache, by their tokens.
//
// A node is a page: its tokens continue those of its parent. Inner nodes are full; a leaf may hold
// less. A sequence that begins as another did stands on the other's full pages and copies the part
// of the page in which they come apart, so what is found is exact to the token. Pages are found
// while the sequence that computes them still runs, and kept when it is gone until their place is
// needed: the least recently used go first.
//
// One tree for each adapter, since keys and values depend on it; a model has one rope setting, and
// a tree of its own. In a group with a window a node's page may be gone while the node stays: a
// prefix can be used where the window before its end is there. Threads: the executor's.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "engine/page_pool.h"
#include "engine/request.h"

namespace minnow::engine {

class PrefixTree {
 public:
  explicit PrefixTree(PagePool& pool) : pool_(pool) {}
  ~PrefixTree();
  PrefixTree(const PrefixTree&) = delete;
  PrefixTree& operator=(const PrefixTree&) = delete;

  // The longest prefix of `tokens` that can be used. By group and position / 32, the pages of what
  // its next token reads, -1 before that; of the last one, if the length is no multiple of 32, only
  // the first length % 32 positions count. The pages stay the tree's.
  struct Match {
    size_t length = 0;
    std::vector<std::vector<int32_t>> pages;
  };
  Match Find(AdapterId adapter, std::span<const TokenId> tokens);

  // Keeps the pages of these tokens, all in the cache. Where the tree has a full page of them
  // already, the table gets that one for its own.
  void Insert(AdapterId adapter, std::span<const TokenId> tokens, PageTable* table);

  // Drops what has a page of the group that nobody else owns, least recently used first. False if
  // there is none.
  bool Evict(uint32_t group);
  void Drop(AdapterId adapter);
  void DropAll();

 private:
  using Chunk = std::vector<TokenId>;
  struct Node;
  // In lexicographic order, so that the longest common beginning is a neighbour's.
  using Children = std::map<Chunk, std::unique_ptr<Node>>;
  struct Node {
    Node* parent = nullptr;  // null of a root
    Children::iterator self;
    Children children;
    std::vector<int32_t> pages;  // by group, -1: none
    std::list<Node*>::iterator use;
  };

  Node& Root(AdapterId adapter);
  void Touch(Node& node);  // and all above it, which so stay the more recent
  void Walk(Node& root, std::span<const TokenId> tokens, std::vector<Node*>* path,
            size_t* length) const;
  bool Usable(const std::vector<Node*>& path, size_t length) const;
  size_t FirstColumn(uint32_t group, size_t length) const;
  Node& Grow(Node& parent, std::span<const TokenId> chunk, std::span<const int32_t> pages);
  void Adopt(Node& node, size_t column, PageTable* table);
  void Remove(Node& node);  // REQUIRES: a leaf
  void Clear(Node& root);
  bool NobodyElseOwns(const Node& node) const;

  PagePool& pool_;
  std::map<AdapterId, std::unique_ptr<Node>> roots_;
  std::list<Node*> uses_;  // most recent first; children after their parents
};

}  // namespace minnow::engine
