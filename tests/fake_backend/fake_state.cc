#include "fake_backend/fake_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>

namespace minnow::test {
namespace {

constexpr uint64_t kEmptyDigest = 0x9e3779b97f4a7c15;

// An exported cell: written, token, position, adapter, and the digest in four pieces, since a float
// holds integers below 2^24 only. They stand where the first keys of the position would.
constexpr size_t kCellFloats = 8;

uint64_t Extend(uint64_t digest, int32_t token, int32_t adapter) {
  digest ^=
      static_cast<uint32_t>(token) + (static_cast<uint64_t>(static_cast<uint32_t>(adapter)) << 32);
  digest *= 0xbf58476d1ce4e5b9;
  return digest ^ (digest >> 29);
}

int32_t At(std::span<const int32_t> values, size_t i, int32_t absent) {
  return values.empty() ? absent : values[i];
}

}  // namespace

FakeState::FakeState(const mnw_state_spec& spec) {
  for (uint32_t i = 0; i < spec.n_groups; ++i) {
    const auto* group = reinterpret_cast<const mnw_state_group*>(
        static_cast<const char*>(spec.groups) + size_t{i} * spec.group_stride);
    Group& g = groups_.emplace_back(Group{*group, {}, {}});
    if (group->kind == MNW_STATE_KV) {
      g.cells.resize(size_t{group->n_pages} * group->page_tokens);
    } else {
      g.blocks.resize(group->n_pages);
    }
  }
  for (uint32_t i = 0; i < spec.n_layers; ++i) {
    layers_.push_back(*reinterpret_cast<const mnw_state_layer*>(
        static_cast<const char*>(spec.layers) + size_t{i} * spec.layer_stride));
  }
}

std::string FakeState::CheckShapes(const StepInputs& in) const {
  const size_t n = in.tokens.size();
  if (n == 0 || in.n_seqs == 0) return "a step without rows or sequences";
  std::vector<bool> has_rows(in.n_seqs);
  for (size_t t = 0; t < n; ++t) {
    const int32_t s = At(in.seq, t, 0);
    if (s < 0 || static_cast<uint32_t>(s) >= in.n_seqs) {
      return fmt::format("row {}: sequence {} of {}", t, s, in.n_seqs);
    }
    has_rows[static_cast<size_t>(s)] = true;
    if (in.tokens[t] < 0) return fmt::format("row {}: token {}", t, in.tokens[t]);
    const int32_t parent = At(in.parent, t, -1);
    if (parent < -1 || parent >= static_cast<int32_t>(t)) {
      return fmt::format("row {}: parent {} is no earlier row", t, parent);
    }
    if (parent >= 0 && At(in.seq, static_cast<size_t>(parent), 0) != s) {
      return fmt::format("row {}: its parent {} is of another sequence", t, parent);
    }
  }
  for (size_t s = 0; s < in.n_seqs; ++s) {
    if (!has_rows[s]) return fmt::format("sequence {} has no rows in this step", s);
    if (At(in.seq_len, s, 0) < 0) return fmt::format("sequence {}: length {}", s, in.seq_len[s]);
  }
  for (int32_t row : in.out_rows) {
    if (row < 0 || static_cast<size_t>(row) >= n) {
      return fmt::format("out row {} of {} rows", row, n);
    }
  }
  for (size_t i = 0; i < in.out_adapter.size(); ++i) {
    const int32_t of_row = At(in.adapter, static_cast<size_t>(in.out_rows[i]), -1);
    if (in.out_adapter[i] != of_row) {
      return fmt::format("out row {}: adapter {}, its row has {}", i, in.out_adapter[i], of_row);
    }
  }
  for (const auto& [g, inputs] : in.groups) {
    if (g >= groups_.size()) return fmt::format("state group {} is not in the state", g);
    if (in.positions.size() != n || inputs.slots.size() != n) {
      return "a state without positions or slots";
    }
  }
  return "";
}

// The slots of one KV group: in range, at the right offset, where the page table will look for
// them, and in nobody else's way.
std::string FakeState::CheckWrites(const StepInputs& in, uint32_t g, Writes* writes) const {
  const Group& group = groups_[g];
  const auto& inputs = in.groups.at(g);
  const auto page_tokens = static_cast<int32_t>(group.spec.page_tokens);
  const size_t columns = inputs.pages.size() / in.n_seqs;
  std::map<int32_t, int32_t> page_writer;
  for (size_t t = 0; t < inputs.slots.size(); ++t) {
    const int32_t slot = inputs.slots[t];
    if (slot == -1) continue;
    const auto where = fmt::format("row {}: slot {} of group {}", t, slot, g);
    if (slot < 0 || static_cast<size_t>(slot) >= group.cells.size()) {
      return where + " is out of range";
    }
    if (slot % page_tokens != in.positions[t] % page_tokens) {
      return fmt::format("{} does not fit position {}", where, in.positions[t]);
    }
    if (!writes->emplace(slot, t).second) return where + " is written twice in this step";
    const int32_t s = At(in.seq, t, 0), page = slot / page_tokens;
    if (const auto [it, fresh] = page_writer.emplace(page, s); !fresh && it->second != s) {
      return fmt::format("{}: sequences {} and {} write one page", where, it->second, s);
    }
    const size_t column = static_cast<size_t>(in.positions[t] / page_tokens);
    if (column >= columns) {
      return fmt::format("{}: position {} has no page", where, in.positions[t]);
    }
    const int32_t listed = inputs.pages[static_cast<size_t>(s) * columns + column];
    if (listed != page) {
      return fmt::format("{}: the page table of its sequence says page {}", where, listed);
    }
  }
  return "";
}

std::string FakeState::ReadPages(const StepInputs& in, uint32_t g, size_t s, const Writes& writes,
                                 Sequence* sequence) const {
  const Group& group = groups_[g];
  const auto& inputs = in.groups.at(g);
  const size_t columns = inputs.pages.size() / in.n_seqs;
  const size_t page_tokens = group.spec.page_tokens, length = sequence->tokens.size();
  // Rows without a parent stand at position `length` and read the positions above length - window.
  const size_t window = group.spec.window;
  const size_t first = window && length + 1 > window ? length + 1 - window : 0;
  const Cell* before = nullptr;
  for (size_t p = first; p < length; ++p) {
    const auto where = fmt::format("sequence {}, group {}, position {}", s, g, p);
    if (p / page_tokens >= columns) return where + " is beyond the page table";
    const int32_t page = inputs.pages[s * columns + p / page_tokens];
    if (page < 0 || static_cast<uint32_t>(page) >= group.spec.n_pages) {
      return fmt::format("{}: page {} is out of range", where, page);
    }
    const size_t slot = static_cast<size_t>(page) * page_tokens + p % page_tokens;
    const Cell& cell = group.cells[slot];
    if (!cell.written) return fmt::format("{}: page {} was never written there", where, page);
    if (writes.count(static_cast<int32_t>(slot))) {
      return where + " is overwritten in the step that reads it";
    }
    if (cell.position != static_cast<int32_t>(p)) {
      return fmt::format("{}: page {} holds position {} there", where, page, cell.position);
    }
    if (cell.adapter != sequence->adapter) {
      return fmt::format("{}: computed with adapter {}, read with {}", where, cell.adapter,
                         sequence->adapter);
    }
    const uint64_t prefix = p == 0 ? kEmptyDigest : before ? before->digest : 0;
    if ((p == 0 || before) && cell.digest != Extend(prefix, cell.token, cell.adapter)) {
      return fmt::format("{}: page {} was computed behind another prefix", where, page);
    }
    if (sequence->tokens[p] != -1 && sequence->tokens[p] != cell.token) {
      return fmt::format("{}: groups disagree on the token, {} and {}", where, sequence->tokens[p],
                         cell.token);
    }
    sequence->tokens[p] = cell.token;
    before = &cell;
  }
  if (before) sequence->digest = before->digest;
  return "";
}

std::string FakeState::ReadBlock(const StepInputs& in, uint32_t g, size_t s,
                                 Sequence* sequence) const {
  const auto& slots = in.groups.at(g).slots;
  int32_t block = -1, last_row = -1;
  for (size_t t = 0; t < slots.size(); ++t) {
    const bool mine = At(in.seq, t, 0) == static_cast<int32_t>(s);
    if (mine && (slots[t] < 0 || static_cast<size_t>(slots[t]) >= groups_[g].blocks.size())) {
      return fmt::format("row {}: block {} of group {} is out of range", t, slots[t], g);
    }
    if (mine && block >= 0 && slots[t] != block) {
      return fmt::format("sequence {} uses blocks {} and {} of group {}", s, block, slots[t], g);
    }
    if (mine && At(in.parent, t, last_row) != last_row) {
      return fmt::format("row {}: a recurrent state cannot branch", t);
    }
    if (mine) {
      block = slots[t];
      last_row = static_cast<int32_t>(t);
    }
  }
  for (size_t t = 0; t < slots.size(); ++t) {
    if (slots[t] == block && At(in.seq, t, 0) != static_cast<int32_t>(s)) {
      return fmt::format("row {}: block {} of group {} is sequence {}'s", t, block, g, s);
    }
  }
  const Tokens& seen = groups_[g].blocks[static_cast<size_t>(block)];
  if (seen.size() != sequence->tokens.size()) {
    return fmt::format("sequence {} has {} positions, its block {} of group {} has seen {}", s,
                       sequence->tokens.size(), block, g, seen.size());
  }
  for (size_t p = 0; p < seen.size(); ++p) {
    int32_t& known = sequence->tokens[p];
    if (known != -1 && known != seen[p]) {
      return fmt::format("sequence {}: block {} of group {} is another sequence's", s, block, g);
    }
    known = seen[p];
  }
  return "";
}

std::string FakeState::MakeRows(const StepInputs& in, const std::vector<Sequence>& sequences,
                                std::vector<Row>* rows) const {
  std::vector<int32_t> last_of(in.n_seqs,
                               -1);  // an encoder has no parents: rows follow one another
  for (size_t t = 0; t < in.tokens.size(); ++t) {
    Row row;
    row.seq = At(in.seq, t, 0);
    const auto s = static_cast<size_t>(row.seq);
    row.parent = At(in.parent, t, last_of[s]);
    last_of[s] = static_cast<int32_t>(t);
    const Row* parent = row.parent < 0 ? nullptr : &(*rows)[static_cast<size_t>(row.parent)];
    const int32_t position =
        parent ? parent->cell.position + 1 : static_cast<int32_t>(sequences[s].tokens.size());
    if (At(in.positions, t, position) != position) {
      return fmt::format("row {}: position {}, it follows {}", t, in.positions[t], position - 1);
    }
    const int32_t adapter = At(in.adapter, t, -1);
    if (adapter != sequences[s].adapter) {
      return fmt::format("row {}: two adapters in one sequence", t);
    }
    const uint64_t digest = parent ? parent->cell.digest : sequences[s].digest;
    row.cell = {true, in.tokens[t], position, adapter, Extend(digest, in.tokens[t], adapter)};
    rows->push_back(row);
  }
  return "";
}

Tokens FakeState::Context(int32_t row, const std::vector<Row>& rows,
                          const std::vector<Sequence>& sequences) {
  const Tokens& committed =
      sequences[static_cast<size_t>(rows[static_cast<size_t>(row)].seq)].tokens;
  Tokens context;
  for (int32_t t = row; t >= 0; t = rows[static_cast<size_t>(t)].parent) {
    context.push_back(rows[static_cast<size_t>(t)].cell.token);
  }
  context.insert(context.end(), committed.rbegin(), committed.rend());
  std::reverse(context.begin(), context.end());
  return context;
}

std::string FakeState::Step(const StepInputs& in, std::vector<Tokens>* contexts) {
  if (std::string wrong = CheckShapes(in); !wrong.empty()) return wrong;
  std::map<uint32_t, Writes> writes;
  for (const auto& [g, inputs] : in.groups) {
    if (groups_[g].spec.kind != MNW_STATE_KV) continue;
    if (std::string wrong = CheckWrites(in, g, &writes[g]); !wrong.empty()) return wrong;
  }

  std::vector<Sequence> sequences;
  for (size_t s = 0; s < in.n_seqs; ++s) {
    const auto row =
        std::find(in.seq.begin(), in.seq.end(), static_cast<int32_t>(s)) - in.seq.begin();
    Sequence sequence = {Tokens(static_cast<size_t>(At(in.seq_len, s, 0)), -1), kEmptyDigest,
                         At(in.adapter, static_cast<size_t>(row), -1)};
    for (const auto& [g, inputs] : in.groups) {
      std::string wrong = groups_[g].spec.kind == MNW_STATE_KV
                              ? ReadPages(in, g, s, writes[g], &sequence)
                              : ReadBlock(in, g, s, &sequence);
      if (!wrong.empty()) return wrong;
    }
    sequences.push_back(std::move(sequence));
  }
  std::vector<Row> rows;
  if (std::string wrong = MakeRows(in, sequences, &rows); !wrong.empty()) return wrong;

  std::vector<int32_t> last_row(in.n_seqs);
  for (size_t t = 0; t < rows.size(); ++t) {
    last_row[static_cast<size_t>(rows[t].seq)] = static_cast<int32_t>(t);
  }
  std::vector<Tokens> whole;
  for (int32_t row : last_row) whole.push_back(Context(row, rows, sequences));
  contexts->clear();
  for (int32_t row : in.out_rows) contexts->push_back(Context(row, rows, sequences));

  for (const auto& [g, of_group] : writes) {
    for (const auto& [slot, t] : of_group)
      groups_[g].cells[static_cast<size_t>(slot)] = rows[t].cell;
  }
  for (const auto& [g, inputs] : in.groups) {
    if (groups_[g].spec.kind == MNW_STATE_KV) continue;
    for (size_t t = 0; t < rows.size(); ++t) {
      groups_[g].blocks[static_cast<size_t>(inputs.slots[t])] =
          whole[static_cast<size_t>(rows[t].seq)];
    }
  }
  if (in.out_rows.empty()) *contexts = std::move(whole);
  last_rows_ = std::move(rows);
  return "";
}

std::string FakeState::Edit(const mnw_page_edit& edit) {
  if (edit.group >= groups_.size()) return fmt::format("page edit in group {}", edit.group);
  Group& group = groups_[edit.group];
  const auto pages = static_cast<int32_t>(group.spec.n_pages);
  if (edit.dst < 0 || edit.dst >= pages || edit.src < -1 || edit.src >= pages ||
      edit.src == edit.dst) {
    return fmt::format("page edit from {} to {} of {} pages", edit.src, edit.dst, pages);
  }
  if (edit.n_tokens > group.spec.page_tokens) {
    return fmt::format("page edit of {} tokens", edit.n_tokens);
  }
  if (group.spec.kind != MNW_STATE_KV) {
    auto& blocks = group.blocks;
    blocks[static_cast<size_t>(edit.dst)] =
        edit.src < 0 ? Tokens() : blocks[static_cast<size_t>(edit.src)];
    return "";
  }
  Forget(edit.group, static_cast<uint32_t>(edit.dst));
  if (edit.src >= 0) {
    const auto n = static_cast<ptrdiff_t>(group.spec.page_tokens);
    std::copy_n(group.cells.begin() + edit.src * n, edit.n_tokens,
                group.cells.begin() + edit.dst * n);
  }
  return "";
}

std::string FakeState::Commit(uint32_t g, std::span<const int32_t> rows,
                              std::span<const int32_t> slots) {
  if (g >= groups_.size() || groups_[g].spec.kind != MNW_STATE_KV) {
    return fmt::format("commit to group {}", g);
  }
  Group& group = groups_[g];
  const auto page_tokens = static_cast<int32_t>(group.spec.page_tokens);
  std::set<int32_t> seen;
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto where = fmt::format("commit of row {} to slot {} of group {}", rows[i], slots[i], g);
    if (rows[i] < 0 || static_cast<size_t>(rows[i]) >= last_rows_.size()) {
      return where + ": no such row";
    }
    if (slots[i] < 0 || static_cast<size_t>(slots[i]) >= group.cells.size()) {
      return where + ": no such slot";
    }
    if (!seen.insert(slots[i]).second) return where + ": written twice";
    if (last_rows_[static_cast<size_t>(rows[i])].cell.position % page_tokens !=
        slots[i] % page_tokens) {
      return fmt::format("{} does not fit position {}", where,
                         last_rows_[static_cast<size_t>(rows[i])].cell.position);
    }
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    group.cells[static_cast<size_t>(slots[i])] = last_rows_[static_cast<size_t>(rows[i])].cell;
  }
  return "";
}

std::string FakeState::Export(uint32_t layer, uint32_t page, float* out) const {
  if (layer >= layers_.size() || layers_[layer].group >= groups_.size()) {
    return "export of an unknown layer";
  }
  const mnw_state_layer& l = layers_[layer];
  const Group& group = groups_[l.group];
  const size_t keys = size_t{l.n_kv_heads} * l.k_dim;
  if (group.cells.empty() || page >= group.spec.n_pages || keys < kCellFloats) {
    return "export of no such page";
  }
  const size_t n = group.spec.page_tokens;
  std::fill_n(out, n * (keys + size_t{l.n_kv_heads} * l.v_dim), 0.0f);
  for (size_t i = 0; i < n; ++i) {
    const Cell& c = group.cells[page * n + i];
    const auto piece = [&](int k) { return static_cast<float>(c.digest >> (16 * k) & 0xffff); };
    const float floats[kCellFloats] = {c.written ? 1.0f : 0.0f,
                                       static_cast<float>(c.token),
                                       static_cast<float>(c.position),
                                       static_cast<float>(c.adapter),
                                       piece(0),
                                       piece(1),
                                       piece(2),
                                       piece(3)};
    std::copy_n(floats, kCellFloats, out + i * keys);
  }
  return "";
}

std::string FakeState::Import(uint32_t layer, uint32_t page, const float* in) {
  if (layer >= layers_.size() || layers_[layer].group >= groups_.size()) {
    return "import of an unknown layer";
  }
  const mnw_state_layer& l = layers_[layer];
  Group& group = groups_[l.group];
  const size_t keys = size_t{l.n_kv_heads} * l.k_dim;
  if (group.cells.empty() || page >= group.spec.n_pages || keys < kCellFloats) {
    return "import of no such page";
  }
  for (size_t i = 0; i < group.spec.page_tokens; ++i) {
    const float* f = in + i * keys;
    uint64_t digest = 0;
    for (int k = 0; k < 4; ++k) digest |= static_cast<uint64_t>(f[4 + k]) << (16 * k);
    group.cells[page * size_t{group.spec.page_tokens} + i] = {f[0] != 0, static_cast<int32_t>(f[1]),
                                                              static_cast<int32_t>(f[2]),
                                                              static_cast<int32_t>(f[3]), digest};
  }
  return "";
}

void FakeState::Forget(uint32_t group, uint32_t page) {
  Group& g = groups_[group];
  if (g.spec.kind != MNW_STATE_KV) {
    g.blocks[page].clear();
    return;
  }
  std::fill_n(g.cells.begin() + static_cast<ptrdiff_t>(page) * g.spec.page_tokens,
              g.spec.page_tokens, Cell());
}

uint32_t FakeState::PagesHeld(uint32_t group) const {
  const Group& g = groups_[group];
  uint32_t held = 0;
  for (const Tokens& block : g.blocks) held += !block.empty();
  for (size_t i = 0; i < g.cells.size(); i += g.spec.page_tokens) {
    held += std::any_of(g.cells.begin() + static_cast<ptrdiff_t>(i),
                        g.cells.begin() + static_cast<ptrdiff_t>(i + g.spec.page_tokens),
                        [](const Cell& c) { return c.written; });
  }
  return held;
}

}  // namespace minnow::test
