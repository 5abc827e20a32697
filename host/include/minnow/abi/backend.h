/* SPDX-License-Identifier: MIT
 * A backend: devices, contexts and the order of events
 *
 *   claim(graph) -> load_weights(sources) -> plan(graph, weights, state)     cold
 *   run(plan, symbols, this step's inputs)                                   hot
 *
 * The unit is a prepared plan, not an op: fusion, memory planning, kernel choice and work partition are
 * decided in plan(). run() is asynchronous by contract: it enqueues, and `done` is called once when the
 * step's outputs may be read; a synchronous backend calls it before it returns. What is called on a context takes
 * effect in the order of the calls: an edit or a commit of state after run() finds what that run wrote. */
#ifndef MINNOW_ABI_BACKEND_H_
#define MINNOW_ABI_BACKEND_H_

#include "graph.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mnw_host mnw_host;       /* services of the host, plugin.h */
typedef struct mnw_context mnw_context; /* a device opened with options: owns scratch, threads, queue */
typedef struct mnw_plan mnw_plan;
typedef struct mnw_state mnw_state;     /* KV pages and recurrent state of one model */
typedef struct mnw_adapters mnw_adapters;
typedef struct mnw_buffer mnw_buffer;

/* ---- devices ------------------------------------------------------------------------------------ */

enum {
  MNW_DEVICE_HOST_MEMORY = 1, /* bindings are plain host pointers */
};

typedef struct mnw_device_info {
  uint32_t size;
  uint32_t flags;
  const char* id;          /* "cpu", "cuda0": what device lists name */
  const char* description; /* "AMD EPYC, 2 cores, AVX-512 VNNI" */
  uint64_t memory_total, memory_free; /* bytes, 0 unknown */
  /* 'A': a row's bits do not depend on neighbours and batch size. 'B': nor on chunking, caching,
   * preemption and speculation. 0: neither. */
  uint32_t repeatability;
} mnw_device_info;

typedef struct mnw_context_options {
  uint32_t size;
  uint32_t n_threads; /* 0: the backend's choice */
  const char* config; /* "key=value,key=value" of this backend, or NULL; unknown keys are MNW_INVALID */
} mnw_context_options;

/* ---- claims ------------------------------------------------------------------------------------- */

/* One per node. Frozen. A claim is a promise: claimed nodes must plan and run. */
typedef struct mnw_claim {
  uint32_t group;     /* 0: not claimed; nodes of equal group run as one */
  float cost;         /* estimated microseconds in a step of one row, compared between a node and its
                         decomposition, between backends, and with what copies cost; 0: no estimate,
                         taken as free */
  const char* reason; /* why not, a static string; NULL when claimed */
} mnw_claim;

/* ---- weights ------------------------------------------------------------------------------------ */

/* The bytes lie in the file's canonical layout in the host's mapping, read-only. */
typedef struct mnw_weight_source {
  uint32_t size;
  mnw_id value; /* in the graph, where all its uses stand */
  const void* data;
  uint64_t n_bytes;
} mnw_weight_source;

typedef enum mnw_residency {
  MNW_BORROWED = 1, /* the mapping must outlive the handle */
  MNW_OWNED = 2     /* copied, repacked or uploaded: the host drops the mapped pages at once */
} mnw_residency;

/* Frozen. Several sources may get one joint handle; its bytes then count at the first. */
typedef struct mnw_weight {
  void* handle;
  uint64_t n_bytes; /* memory of the backend's own, 0 when borrowed */
  uint32_t residency;
  uint32_t reserved;
} mnw_weight;

/* ---- state -------------------------------------------------------------------------------------- */

typedef enum mnw_state_kind {
  MNW_STATE_KV = 1,       /* pages of keys and values; `window` 0: all positions stay readable */
  MNW_STATE_RECURRENT = 2 /* one fixed-size block per sequence; a page is a sequence's block, a slot
                             its number. No window, no page table; commit is never called: what must
                             not last runs on a copied block */
} mnw_state_kind;

typedef struct mnw_state_group {
  uint32_t size;
  uint32_t kind;
  uint32_t window;
  uint32_t page_tokens; /* 32 */
  uint32_t n_pages;
} mnw_state_group;

typedef struct mnw_state_layer {
  uint32_t size;
  uint32_t group;
  uint32_t n_kv_heads, k_dim, v_dim; /* per head; a recurrent block is n_kv_heads * k_dim * v_dim f32 */
  int32_t type;                      /* of keys and values: F32, F16 or Q8_0 */
} mnw_state_layer;

typedef struct mnw_state_spec {
  uint32_t size;
  uint32_t n_groups, n_layers;
  uint32_t group_stride, layer_stride;
  const void* groups;
  const void* layers; /* by the `index` of STATE values; n_kv_heads 0: no state here */
} mnw_state_spec;

/* Frozen. Copy-on-write and clearing, by the host's policy. */
typedef struct mnw_page_edit {
  uint32_t group;
  int32_t src; /* page to copy from, or -1: fill with zeros */
  int32_t dst;
  uint32_t n_tokens; /* how many leading positions of the page count; of a block all do */
} mnw_page_edit;

/* ---- plan and run ------------------------------------------------------------------------------- */

typedef struct mnw_plan_request {
  uint32_t size;
  const mnw_graph* graph;
  void* const* weights;     /* by value id; NULL where the value is no weight of this backend */
  mnw_state* state;         /* NULL when the graph has no state */
  mnw_adapters* adapters;   /* NULL when no node has an adapter */
  int64_t max[MNW_MAX_SYMBOLS]; /* the range of each symbol is 0..max */
} mnw_plan_request;

/* Frozen. Host pointer, or buffer address on devices without MNW_DEVICE_HOST_MEMORY. */
typedef struct mnw_binding {
  mnw_id value;
  uint32_t reserved;
  void* data;
} mnw_binding;

/* Called once per successful run(), from any thread, perhaps before run() returns. `error` is read during
 * the call only. May not call back into the backend. */
typedef void (*mnw_done_fn)(void* arg, int code, const mnw_error* error);

typedef struct mnw_run_args {
  uint32_t size;
  uint32_t n_bindings;
  int64_t symbols[MNW_MAX_SYMBOLS];
  const mnw_binding* bindings; /* every INPUT and OUTPUT of the graph; valid until done */
  mnw_done_fn done;
  void* done_arg;
} mnw_run_args;

/* ---- sampling ----------------------------------------------------------------------------------- */

/* One row of logits to choose from. Steps, in this order: bias and penalties, mask, temperature, top_k,
 * top_p, min_p; then the largest of logit/temperature + noise. The noise of token i is the Gumbel variate
 * of the counter (seed, position, i), see engine/noise.h, so a row's choice depends on nothing else.
 * temperature 0: the largest logit, the smallest id among equals. */
typedef struct mnw_sample_row {
  uint32_t size;
  uint32_t row;             /* of the logits */
  float temperature, top_p, min_p; /* top_p 1, min_p 0: off */
  uint32_t top_k;           /* 0: off */
  uint64_t seed;            /* already mixed with the sequence's own number */
  uint64_t position;
  const uint32_t* mask;     /* bit i set: token i allowed; NULL: all */
  const int32_t* bias_ids;
  const float* bias_values;
  uint32_t n_bias;
  uint32_t n_top;           /* how many log-probabilities to return */
  /* results */
  int32_t token;
  float logprob;            /* natural log of softmax over all tokens, before mask and temperature */
  int32_t* top_ids;         /* [n_top], caller's memory */
  float* top_logprobs;      /* [n_top] */
} mnw_sample_row;

/* ---- the table ---------------------------------------------------------------------------------- */

typedef struct mnw_backend {
  uint32_t size;
  uint32_t (*device_count)(void);                                                        /* [load] */
  int (*device_info)(uint32_t device, mnw_device_info* out, mnw_error* e);               /* [load] */
  int (*open)(uint32_t device, const mnw_host* host, const mnw_context_options* options,
              mnw_context** out, mnw_error* e);                                          /* [load] */
  void (*close)(mnw_context* c);                                                         /* [load] */

  int (*claim)(mnw_context* c, const mnw_graph* g, mnw_claim* out, mnw_error* e);        /* [ctx] */
  /* Called once per group of weights that one node (or several, for a shared weight) uses; `g` tells the
   * uses. Each source is handed over exactly once. */
  int (*load_weights)(mnw_context* c, const mnw_graph* g, const mnw_weight_source* sources, uint32_t n,
                      uint32_t source_stride, mnw_weight* out, mnw_error* e);            /* [ctx] */
  void (*free_weights)(mnw_context* c, const mnw_weight* weights, uint32_t n);           /* [ctx] */
  int (*plan)(mnw_context* c, const mnw_plan_request* request, mnw_plan** out, mnw_error* e); /* [ctx] */
  void (*free_plan)(mnw_plan* p);                                                        /* [ctx] */
  int (*run)(mnw_plan* p, const mnw_run_args* args, mnw_error* e);                       /* [ctx] */

  /* -- optional from here -- */

  /* State. NULL: this backend claims no STATE op. commit writes rows of the last step that had no slot:
   * row rows[i] to slots[i] of the group. Export gives one page of one layer in the canonical form:
   * f32, keys [page_tokens, n_kv_heads, k_dim], then values [page_tokens, n_kv_heads, v_dim]; of a
   * recurrent block [n_kv_heads, v_dim, k_dim]. `layer` is the `index` of the STATE value. */
  int (*state_create)(mnw_context* c, const mnw_state_spec* spec, mnw_state** out, mnw_error* e);
  void (*state_free)(mnw_state* s);
  int (*state_edit)(mnw_state* s, const mnw_page_edit* edits, uint32_t n, mnw_error* e);
  int (*state_commit)(mnw_state* s, uint32_t group, const int32_t* rows, const int32_t* slots, uint32_t n,
                      mnw_error* e);
  int (*state_export)(mnw_state* s, uint32_t layer, uint32_t page, float* out, mnw_error* e);
  int (*state_import)(mnw_state* s, uint32_t layer, uint32_t page, const float* in, mnw_error* e);
  uint64_t (*state_bytes)(mnw_context* c, const mnw_state_spec* spec); /* what state_create will take */

  /* Adapters (LoRA, arXiv:2106.09685). A pool serves the plans of one graph. It has n_slots slots, each of
   * which may hold, for every site of the graph, a delta of at most max_rank; all are empty at first.
   * adapters_set copies a [rank,K] and b [N,rank], f32, for the runs that are enqueued from then on; rank 0
   * empties the slot's site, and so does a failure. It is not called on a slot that a run in flight has rows
   * of; other slots may be in use. adapters_bytes: memory of the backend's own that the pool takes now.
   * create NULL: the backend claims no node with an adapter. */
  int (*adapters_create)(mnw_context* c, const mnw_graph* g, uint32_t n_slots, uint32_t max_rank,
                         mnw_adapters** out, mnw_error* e);
  int (*adapters_set)(mnw_adapters* a, uint32_t slot, uint32_t site, uint32_t rank, const float* lora_a,
                      const float* lora_b, float scale, mnw_error* e);
  void (*adapters_free)(mnw_adapters* a);
  uint64_t (*adapters_bytes)(mnw_adapters* a);

  /* Device memory for inputs, boundaries and outputs, at addresses that are multiples of 64. NULL: host memory,
   * so a device without MNW_DEVICE_HOST_MEMORY needs all four. read and write come between runs. */
  int (*buffer_create)(mnw_context* c, uint64_t n_bytes, mnw_buffer** out, void** address, mnw_error* e);
  void (*buffer_free)(mnw_buffer* b);
  int (*buffer_read)(mnw_buffer* b, uint64_t offset, void* dst, uint64_t n_bytes, mnw_error* e);
  int (*buffer_write)(mnw_buffer* b, uint64_t offset, const void* src, uint64_t n_bytes, mnw_error* e);

  /* Sampling where the logits lie. NULL: the host samples from host memory. */
  int (*sample)(mnw_context* c, const void* logits, uint32_t n_vocab, mnw_sample_row* rows, uint32_t n,
                uint32_t row_stride, mnw_done_fn done, void* done_arg, mnw_error* e);

  const void* (*extension)(const char* id); /* "com.acme.x/1", or NULL */
} mnw_backend;

#ifdef __cplusplus
}
#endif

#endif /* MINNOW_ABI_BACKEND_H_ */
