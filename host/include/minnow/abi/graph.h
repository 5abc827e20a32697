/* SPDX-License-Identifier: MIT
 * The graph: flat arrays of values and nodes, immutable, valid until the last plan made from it is freed.
 *
 * Nodes stand in order of execution. Every value has one producer: a node, the file (WEIGHT), the step
 * (INPUT), or another value (VIEW). Views cost nothing and are never nodes. Nothing per-token lives here:
 * positions, slots, page tables, lengths, parent rows and adapter ids are inputs of the step, so one graph
 * serves every step. */
#ifndef MINNOW_ABI_GRAPH_H_
#define MINNOW_ABI_GRAPH_H_

#include "ops.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef uint32_t mnw_id; /* index into the graph's arrays */
#define MNW_NONE 0xffffffffu
#define MNW_MAX_INPUTS 16
#define MNW_MAX_OUTPUTS 4

/* A dim >= 0 is a constant; MNW_DIM(symbol) stands for a number known at run. Only the outermost used
 * dim of a value may be a symbol, so strides are always constants. */
typedef enum mnw_symbol {
  MNW_SYM_N_TOKENS = 0, /* rows of this step */
  MNW_SYM_N_SEQS = 1,   /* sequences that have rows in this step */
  MNW_SYM_N_OUT = 2,    /* rows whose logits (or vectors) are wanted */
  MNW_N_SYMBOLS = 3
} mnw_symbol;
#define MNW_MAX_SYMBOLS 8 /* room in structs; what is behind the symbols that the host knows is 0 */
#define MNW_DIM(symbol) (-(int64_t)(symbol)-1)
#define MNW_DIM_SYMBOL(dim) (-(dim)-1)

typedef enum mnw_kind {
  MNW_KIND_TEMP = 0,   /* made by a node, read by later nodes */
  MNW_KIND_INPUT = 1,  /* bound at run: `role` tells which */
  MNW_KIND_OUTPUT = 2, /* made by a node, bound at run */
  MNW_KIND_WEIGHT = 3, /* from the file, handed over once */
  MNW_KIND_STATE = 4,  /* state `index` of the model, before or after a write; no bytes of the host's:
                          type NONE, dims k_dim, v_dim, n_kv_heads, strides 0 */
  MNW_KIND_VIEW = 5    /* part of `view_of`, which is no view, from view_offset with its own dims and
                          strides. Of a weight too: uses of the view are uses of the weight */
} mnw_kind;

/* What an input holds; i32 but for BOUNDARY. See ops.h for their meaning in attention. */
typedef enum mnw_input {
  MNW_INPUT_TOKENS = 0,    /* [T] token ids */
  MNW_INPUT_POSITIONS = 1, /* [T] */
  MNW_INPUT_SEQ = 2,       /* [T] index of the row's sequence in this step */
  MNW_INPUT_PARENT = 3,    /* [T] row of the preceding token in this step, or -1 */
  MNW_INPUT_SEQ_LEN = 4,   /* [S] positions committed before this step */
  MNW_INPUT_OUT_ROWS = 5,  /* [O] */
  MNW_INPUT_ADAPTER = 6,   /* [T] adapter slot, or -1 */
  MNW_INPUT_PAGES = 7,     /* [S,P] page table of state group `index` */
  MNW_INPUT_SLOTS = 8,     /* [T] where to write in state group `index`, or -1 */
  MNW_INPUT_BOUNDARY = 9,  /* a value another partition made */
  MNW_INPUT_OUT_ADAPTER = 10 /* [O] adapter slot of the out rows, or -1 */
} mnw_input;

typedef struct mnw_value {
  uint32_t size;
  int32_t type;        /* mnw_type */
  int64_t dim[4];      /* innermost first; unused ones are 1 */
  int64_t stride[4];   /* bytes, by block for quantized types: stride[0] is the bytes of a block */
  uint32_t kind;       /* mnw_kind */
  uint32_t role;       /* mnw_input, for inputs */
  uint32_t index;      /* state group of an input, number of a state */
  mnw_id view_of;
  uint64_t view_offset; /* bytes */
  const char* name;     /* for people; the tensor's name for weights */
} mnw_value;

typedef struct mnw_node {
  uint32_t size;
  uint32_t op; /* mnw_op */
  mnw_id in[MNW_MAX_INPUTS];
  mnw_id out[MNW_MAX_OUTPUTS];
  uint16_t n_in, n_out;
  int32_t layer; /* -1: none */
  uint32_t params_size;
  const void* params;
} mnw_node;

typedef struct mnw_graph {
  uint32_t size;
  uint32_t n_values, n_nodes;
  uint32_t value_stride, node_stride; /* bytes between elements: never index with your own sizeof */
  const void* values;
  const void* nodes;
} mnw_graph;

static inline const mnw_value* mnw_value_at(const mnw_graph* g, mnw_id i) {
  return (const mnw_value*)((const char*)g->values + (size_t)i * g->value_stride);
}
static inline const mnw_node* mnw_node_at(const mnw_graph* g, mnw_id i) {
  return (const mnw_node*)((const char*)g->nodes + (size_t)i * g->node_stride);
}

#ifdef __cplusplus
}
#endif

#endif /* MINNOW_ABI_GRAPH_H_ */
