#include "engine/prefix_state.h"

#include <algorithm>
#include <utility>

#include "engine/holds.h"
#include "engine/model_queue.h"

namespace minnow::engine {

namespace {

constexpr size_t kTokens = model::kPageTokens;

// The first column that a token after `n_tokens` others reads.
size_t FirstColumn(const model::Instance& instance, uint32_t group, size_t n_tokens) {
  const size_t window = instance.window(group);
  return window == 0 || n_tokens < window ? 0 : (n_tokens - window + 1) / kTokens;
}

size_t RowsOf(size_t column, size_t n_tokens) {
  return std::min(kTokens, n_tokens - column * kTokens);
}

// Calls `each(layer, floats of its page)` for those of a column, which lie behind one another in
// `values`, without the positions that the prefix does not have.
template <class Each>
Status ForPages(const model::Instance& instance, size_t n_tokens, size_t column,
                std::span<float> values, Each each) {
  const size_t rows = RowsOf(column, n_tokens);
  for (const model::StateLayer& layer : instance.state_layers()) {
    if (column < FirstColumn(instance, layer.group, n_tokens)) continue;
    const size_t n = rows * (layer.key_floats + layer.value_floats);
    MNW_TRY(each(layer, values.first(n)));
    values = values.subspan(n);
  }
  return Status();
}

// Between a page, which has 32 positions, and the part of it that is kept.
struct PageParts {
  PageParts(const model::StateLayer& layer, std::span<float> page, std::span<float> kept)
      : page_keys(page.first(kTokens * layer.key_floats)),
        page_values(page.subspan(page_keys.size())),
        kept_keys(
            kept.first(kept.size() / (layer.key_floats + layer.value_floats) * layer.key_floats)),
        kept_values(kept.subspan(kept_keys.size())) {}

  std::span<float> page_keys, page_values, kept_keys, kept_values;
};

std::vector<float> PageOf(const model::StateLayer& layer) {
  return std::vector<float>(kTokens * (layer.key_floats + layer.value_floats), 0.0f);
}

}  // namespace

Status HoldGivenUp() {
  return Error(Code::kNotFound,
               "the pinned context is gone: it was unpinned, a request needed its memory, or its "
               "adapter was unloaded; ask about it again");
}

std::vector<size_t> ColumnSizes(const model::Instance& instance, size_t n_tokens) {
  std::vector<size_t> sizes((n_tokens + kTokens - 1) / kTokens);
  for (size_t c = 0; c < sizes.size(); ++c) {
    for (const model::StateLayer& layer : instance.state_layers()) {
      if (c < FirstColumn(instance, layer.group, n_tokens)) continue;
      sizes[c] += RowsOf(c, n_tokens) * (layer.key_floats + layer.value_floats);
    }
  }
  return sizes;
}

Result<Held> FindHeld(Executor& executor, ModelQueue& queue, RequestId hold) {
  Result<Held> found = HoldGivenUp();
  executor.Call([&] {
    const auto held = queue.held.find(hold);
    if (held == queue.held.end()) return;
    const HeldPrefix& prefix = held->second;
    found = Held{prefix.tokens, prefix.adapter ? prefix.adapter->id : 0};
  });
  return found;
}

Status ExportColumn(Executor& executor, ModelQueue& queue, RequestId hold, size_t column,
                    std::span<float> out) {
  Status status = HoldGivenUp();
  executor.Call([&] {
    const auto held = queue.held.find(hold);
    if (held == queue.held.end()) return;
    const HeldPrefix& prefix = held->second;
    status = ForPages(queue.instance, prefix.tokens.size(), column, out,
                      [&](const model::StateLayer& layer, std::span<float> kept) {
                        const int32_t page = prefix.pages.pages[layer.group][column];
                        std::vector<float> whole = PageOf(layer);
                        MNW_TRY(queue.instance.ExportPage(layer, page, whole));
                        const PageParts parts(layer, whole, kept);
                        std::copy_n(parts.page_keys.begin(), parts.kept_keys.size(),
                                    parts.kept_keys.begin());
                        std::copy_n(parts.page_values.begin(), parts.kept_values.size(),
                                    parts.kept_values.begin());
                        return Status();
                      });
  });
  return status;
}

Result<RequestId> ImportPrefix(Executor& executor, ModelQueue& queue, std::vector<TokenId> tokens,
                               AdapterId adapter, const ReadColumn& read) {
  HeldPrefix prefix;
  prefix.tokens = std::move(tokens);
  MNW_ASSIGN(const RequestId id, executor.Register(&queue, adapter, &prefix.adapter));
  const size_t n = prefix.tokens.size();
  const std::vector<size_t> sizes = ColumnSizes(queue.instance, n);
  Status status;
  executor.Call([&] {
    status = MayHold(queue, n);
    if (status.ok()) queue.cache.Begin(0, &prefix.pages);
  });
  for (size_t c = 0; c < sizes.size() && status.ok(); ++c) {
    std::vector<float> values(sizes[c]);
    status = read(c, values);
    if (!status.ok()) break;
    executor.Call([&] {
      const size_t rows = RowsOf(c, n);
      if (queue.cache.Extend(&prefix.pages, c * kTokens, rows) < rows) {
        status =
            Error(Code::kExhausted, "the cache has no room for {} tokens now; try again later", n);
        return;
      }
      status = ForPages(
          queue.instance, n, c, values, [&](const model::StateLayer& layer, std::span<float> kept) {
            std::vector<float> whole = PageOf(layer);
            const PageParts parts(layer, whole, kept);
            std::ranges::copy(parts.kept_keys, parts.page_keys.begin());
            std::ranges::copy(parts.kept_values, parts.page_values.begin());
            return queue.instance.ImportPage(layer, prefix.pages.pages[layer.group][c], whole);
          });
      queue.cache.Trim(&prefix.pages, c * kTokens + rows);
    });
  }
  executor.Call([&] {
    if (status.ok()) status = MayHold(queue, n);  // others may have come in between
    if (!status.ok()) return queue.cache.Release(&prefix.pages);
    queue.cache.Insert(adapter, prefix.tokens, &prefix.pages);
    Hold(queue, id, std::move(prefix));
  });
  MNW_TRY(std::move(status));
  return id;
}

}  // namespace minnow::engine
