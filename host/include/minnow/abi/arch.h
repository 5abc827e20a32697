/* SPDX-License-Identifier: MIT
 * A model architecture: a pure function from a file's metadata to a graph. Runs at load time only, sees no
 * weight bytes, no devices and no threads; the same metadata and options give the same graph. */
#ifndef MINNOW_ABI_ARCH_H_
#define MINNOW_ABI_ARCH_H_

#include "backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The file's metadata. Integers and floats of any width convert where the value fits. Each getter returns
 * MNW_OK, MNW_NOT_FOUND, or MNW_INVALID when the key holds another type. Strings live as long as the call
 * of build(). For arrays, `index` picks an element; past the end is MNW_NOT_FOUND. */
typedef struct mnw_metadata {
  uint32_t size;
  const void* self;
  int (*get_i64)(const void* self, const char* key, int64_t* out);
  int (*get_f64)(const void* self, const char* key, double* out);
  int (*get_bool)(const void* self, const char* key, int* out);
  int (*get_string)(const void* self, const char* key, const char** out);
  int (*get_element_i64)(const void* self, const char* key, uint64_t index, int64_t* out);
  int (*get_element_f64)(const void* self, const char* key, uint64_t index, double* out);
  int (*has_tensor)(const void* self, const char* name);
} mnw_metadata;

typedef struct mnw_build_options {
  uint32_t size;
  uint32_t n_ctx;       /* positions a sequence may have */
  uint32_t page_tokens; /* a page table has ceil(n_ctx / page_tokens) columns */
  uint32_t adapters;    /* != 0: give every linear whose rows are those of the step, or its out rows, its site */
} mnw_build_options;

typedef struct mnw_model_info {
  uint32_t size;
  uint32_t n_layers, n_embd, n_heads, n_kv_heads, n_ff, n_vocab;
  uint32_t n_ctx_train;
  uint32_t rope_kind;  /* mnw_rope_kind */
  uint32_t is_encoder; /* one vector per sequence comes out, a sequence is one step: no state, and the
                          output is "embedding" [S,K] instead of "logits" [O,V] */
} mnw_model_info;

enum { MNW_WEIGHT_OPTIONAL = 1 };

/* Services of the host while building. A failing call latches the first error and returns MNW_NONE; later
 * calls that get MNW_NONE as a required input are ignored, so an architecture needs no checks of its own.
 * Dims are innermost first. */
typedef struct mnw_builder {
  uint32_t size;
  void* self;
  /* The tensor of that name; its shape must be `dims`, where 0 stands for any extent (ask dim() for it).
   * MNW_NONE without error if optional and absent. */
  mnw_id (*weight)(void* self, const char* name, uint32_t n_dims, const int64_t* dims, uint32_t flags);
  mnw_id (*input)(void* self, uint32_t role, uint32_t index); /* the same id for the same question */
  uint32_t (*state_group)(void* self, uint32_t kind, uint32_t window);
  /* State `index` of the model, numbered from 0. A layer may have several: a Mamba-2 layer has one for
   * its convolution and one for its scan. */
  mnw_id (*state)(void* self, uint32_t index, uint32_t group, uint32_t n_kv_heads, uint32_t k_dim,
                  uint32_t v_dim);
  /* Appends a node; out shapes follow from the op's shape rule. out[] gets n_out ids. */
  void (*emit)(void* self, uint32_t op, int32_t layer, const mnw_id* in, uint32_t n_in, const void* params,
               uint32_t params_size, mnw_id* out, uint32_t n_out);
  /* Part of a value. strides in bytes, NULL: packed. */
  mnw_id (*view)(void* self, mnw_id of, uint32_t n_dims, const int64_t* dims, const int64_t* strides,
                 uint64_t offset);
  void (*output)(void* self, mnw_id value, const char* name); /* "logits" or "embedding" */
  int64_t (*dim)(void* self, mnw_id value, uint32_t axis);    /* 0 for MNW_NONE */
  void (*fail)(void* self, int code, const char* message);
} mnw_builder;

typedef struct mnw_arch {
  uint32_t size;
  const char* id; /* the value of general.architecture it builds */
  int (*build)(const mnw_metadata* m, const mnw_build_options* o, const mnw_builder* b,
               mnw_model_info* info, mnw_error* e); /* [load] */
} mnw_arch;

/* The architectures of a plugin. */
typedef struct mnw_arch_list {
  uint32_t size;
  uint32_t n;
  const mnw_arch* const* archs;
} mnw_arch_list;

#ifdef __cplusplus
}
#endif

#endif /* MINNOW_ABI_ARCH_H_ */
