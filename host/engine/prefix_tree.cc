#include "engine/prefix_tree.h"

#include <algorithm>
#include <iterator>

namespace minnow::engine {

namespace {

constexpr size_t kTokens = model::kPageTokens;

size_t CommonLength(std::span<const TokenId> a, std::span<const TokenId> b) {
  const size_t n = std::min(a.size(), b.size());
  return static_cast<size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(n), b.begin()).first - a.begin());
}

}  // namespace

PrefixTree::~PrefixTree() { DropAll(); }

PrefixTree::Node& PrefixTree::Root(AdapterId adapter) {
  std::unique_ptr<Node>& root = roots_[adapter];
  if (!root) root = std::make_unique<Node>();
  return *root;
}

void PrefixTree::Touch(Node& node) {
  for (Node* n = &node; n->parent; n = n->parent) uses_.splice(uses_.begin(), uses_, n->use);
}

// Nodes for the longest common beginning, and its length: the last node may fit in part.
void PrefixTree::Walk(Node& root, std::span<const TokenId> tokens, std::vector<Node*>* path,
                      size_t* length) const {
  Node* node = &root;
  for (;;) {
    const auto rest = tokens.subspan(*length, std::min(kTokens, tokens.size() - *length));
    if (rest.empty()) return;
    const Chunk chunk(rest.begin(), rest.end());
    const auto after = node->children.lower_bound(chunk);
    Node* best = nullptr;
    size_t most = 0;
    const auto consider = [&](Children::iterator it) {
      const size_t n = CommonLength(it->first, chunk);
      if (n <= most) return;
      most = n;
      best = it->second.get();
    };
    if (after != node->children.end()) consider(after);
    if (after != node->children.begin()) consider(std::prev(after));
    if (!best) return;
    path->push_back(best);
    *length += most;
    if (most < kTokens) return;
    node = best;
  }
}

// The first column that the token after `length` others reads.
size_t PrefixTree::FirstColumn(uint32_t group, size_t length) const {
  const size_t window = pool_.window(group);
  return window == 0 || length + 1 <= window ? 0 : (length + 1 - window) / kTokens;
}

bool PrefixTree::Usable(const std::vector<Node*>& path, size_t length) const {
  const size_t columns = (length + kTokens - 1) / kTokens;
  for (uint32_t g = 0; g < pool_.n_groups(); ++g) {
    for (size_t c = FirstColumn(g, length); c < columns; ++c) {
      if (path[c]->pages[g] < 0) return false;
    }
  }
  return true;
}

PrefixTree::Match PrefixTree::Find(AdapterId adapter, std::span<const TokenId> tokens) {
  Match match;
  const auto root = roots_.find(adapter);
  if (root == roots_.end()) return match;
  std::vector<Node*> path;
  size_t length = 0;
  Walk(*root->second, tokens, &path, &length);
  while (length > 0 && !Usable(path, length)) length = (length - 1) / kTokens * kTokens;
  if (length == 0) return match;
  const size_t columns = (length + kTokens - 1) / kTokens;
  Touch(*path[columns - 1]);
  match.length = length;
  match.pages.assign(pool_.n_groups(), std::vector<int32_t>(columns, -1));
  for (uint32_t g = 0; g < pool_.n_groups(); ++g) {
    for (size_t c = FirstColumn(g, length); c < columns; ++c) {
      match.pages[g][c] = path[c]->pages[g];
    }
  }
  return match;
}

PrefixTree::Node& PrefixTree::Grow(Node& parent, std::span<const TokenId> chunk,
                                   std::span<const int32_t> pages) {
  auto node = std::make_unique<Node>();
  Node& made = *node;
  made.parent = &parent;
  made.pages.assign(pages.begin(), pages.end());
  for (uint32_t g = 0; g < pages.size(); ++g) {
    if (pages[g] >= 0) pool_.Keep(g, pages[g]);
  }
  made.self = parent.children.emplace(Chunk(chunk.begin(), chunk.end()), std::move(node)).first;
  made.use = uses_.insert(uses_.begin(), &made);
  return made;
}

// One page of two with the same tokens is enough.
void PrefixTree::Adopt(Node& node, size_t column, PageTable* table) {
  for (uint32_t g = 0; g < pool_.n_groups(); ++g) {
    if (column >= table->pages[g].size() || table->pages[g][column] < 0) continue;
    int32_t& own = table->pages[g][column];
    int32_t& kept = node.pages[g];
    if (kept < 0) {
      kept = own;
      pool_.Keep(g, kept);
    } else if (kept != own) {
      pool_.Share(g, kept);
      pool_.GiveUp(g, own);
      own = kept;
    }
  }
}

void PrefixTree::Insert(AdapterId adapter, std::span<const TokenId> tokens, PageTable* table) {
  if (tokens.empty()) return;
  Node* node = &Root(adapter);
  for (size_t c = 0; c * kTokens < tokens.size(); ++c) {
    const auto rest = tokens.subspan(c * kTokens, std::min(kTokens, tokens.size() - c * kTokens));
    const Chunk chunk(rest.begin(), rest.end());
    const auto at = node->children.lower_bound(chunk);
    if (at != node->children.end() && CommonLength(at->first, chunk) == chunk.size()) {
      // It is there, perhaps with more behind it.
      Node& there = *at->second;
      if (chunk.size() == kTokens) Adopt(there, c, table);
      node = &there;
      continue;
    }
    // A leaf that ends earlier says nothing that the new one does not.
    if (at != node->children.begin()) {
      const auto before = std::prev(at);
      if (CommonLength(before->first, chunk) == before->first.size()) Remove(*before->second);
    }
    std::vector<int32_t> pages(pool_.n_groups(), -1);
    for (uint32_t g = 0; g < pool_.n_groups(); ++g) {
      if (c < table->pages[g].size()) pages[g] = table->pages[g][c];
    }
    node = &Grow(*node, chunk, pages);
  }
  Touch(*node);
}

void PrefixTree::Remove(Node& node) {
  for (uint32_t g = 0; g < node.pages.size(); ++g) {
    if (node.pages[g] >= 0) pool_.Drop(g, node.pages[g]);
  }
  uses_.erase(node.use);
  node.parent->children.erase(node.self);
}

bool PrefixTree::NobodyElseOwns(const Node& node) const {
  for (uint32_t g = 0; g < node.pages.size(); ++g) {
    if (node.pages[g] >= 0 && !pool_.OnlyKept(g, node.pages[g])) return false;
  }
  return true;
}

bool PrefixTree::Evict(uint32_t group) {
  if (pool_.only_kept(group) == 0) return false;
  for (auto it = uses_.rbegin(); it != uses_.rend(); ++it) {
    Node& node = **it;
    if (node.pages[group] < 0 || !pool_.OnlyKept(group, node.pages[group])) continue;
    if (node.children.empty() && NobodyElseOwns(node)) {
      Remove(node);
      return true;
    }
    if (pool_.window(group) == 0) continue;
    pool_.Drop(group, node.pages[group]);
    node.pages[group] = -1;
    return true;
  }
  return false;
}

void PrefixTree::Clear(Node& root) {
  Node* node = &root;
  for (;;) {
    while (!node->children.empty()) node = node->children.begin()->second.get();
    if (node == &root) return;
    Node* parent = node->parent;
    Remove(*node);
    node = parent;
  }
}

void PrefixTree::Drop(AdapterId adapter) {
  const auto root = roots_.find(adapter);
  if (root == roots_.end()) return;
  Clear(*root->second);
  roots_.erase(root);
}

void PrefixTree::DropAll() {
  for (const auto& [adapter, root] : roots_) Clear(*root);
  roots_.clear();
}

}  // namespace minnow::engine
