// The state of the fake backend: pages that hold token ids where a real one holds keys and values.
//
// Every cell also keeps its position and a digest of all tokens (and the adapter) up to it, since
// that is what keys and values depend on. A step that reads a cell which was never written, belongs
// to another position, or was computed behind another prefix is caught, as is every breach of what
// ops.h says of the inputs. Threads: one at a time.
#pragma once

#include <minnow/abi/backend.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace minnow::test {

// The inputs of one step. Empty spans stand for inputs that the graph does not have.
struct StepInputs {
  struct Group {
    std::span<const int32_t> pages;  // [S,P]
    std::span<const int32_t> slots;  // [T]
  };
  std::span<const int32_t> tokens, positions, seq, parent, seq_len, out_rows, adapter, out_adapter;
  std::map<uint32_t, Group> groups;  // by number of the state group
  uint32_t n_seqs = 0;
};

using Tokens = std::vector<int32_t>;

class FakeState {
 public:
  FakeState() = default;  // of a graph without state
  explicit FakeState(const mnw_state_spec& spec);

  // These return "" or what is wrong; then the state is as it was.

  // Checks the step and stores its rows. contexts[i]: all tokens that out row i stands on, itself
  // last; in a graph without out rows, those of sequence i. A token that no group keeps any more is
  // -1.
  std::string Step(const StepInputs& in, std::vector<Tokens>* contexts);
  std::string Edit(const mnw_page_edit& edit);
  std::string Commit(uint32_t group, std::span<const int32_t> rows, std::span<const int32_t> slots);
  std::string Export(uint32_t layer, uint32_t page, float* out) const;
  std::string Import(uint32_t layer, uint32_t page, const float* in);

  // The host's allocator took the page back: reading its old contents is an error from now on.
  void Forget(uint32_t group, uint32_t page);
  // Pages that hold something.
  uint32_t PagesHeld(uint32_t group) const;

 private:
  struct Cell {
    bool written = false;
    int32_t token = 0, position = 0, adapter = -1;
    uint64_t digest = 0;  // of the tokens 0..position
  };
  struct Group {
    mnw_state_group spec;
    std::vector<Cell> cells;     // KV: n_pages * page_tokens
    std::vector<Tokens> blocks;  // recurrent: what each block has seen
  };
  struct Row {
    Cell cell;
    int32_t seq = 0, parent = -1;
  };
  struct Sequence {  // what is committed
    Tokens tokens;
    uint64_t digest;
    int32_t adapter;
  };
  using Writes = std::map<int32_t, size_t>;  // slot -> row

  std::string CheckShapes(const StepInputs& in) const;
  std::string CheckWrites(const StepInputs& in, uint32_t g, Writes* writes) const;
  std::string ReadPages(const StepInputs& in, uint32_t g, size_t s, const Writes& writes,
                        Sequence* sequence) const;
  std::string ReadBlock(const StepInputs& in, uint32_t g, size_t s, Sequence* sequence) const;
  std::string MakeRows(const StepInputs& in, const std::vector<Sequence>& sequences,
                       std::vector<Row>* rows) const;

  static Tokens Context(int32_t row, const std::vector<Row>& rows,
                        const std::vector<Sequence>& sequences);

  std::vector<Group> groups_;
  std::vector<mnw_state_layer> layers_;
  std::vector<Row> last_rows_;
};

}  // namespace minnow::test
