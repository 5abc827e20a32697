/* SPDX-License-Identifier: MIT
 * Minnow plugin contract: codes, errors, types and the rules that every header here keeps.
 *
 * 1. A struct that may grow starts with `size`, set by whoever fills it; a field exists if and only
 *    if `size` covers it (MNW_HAS). Append only; enum values are explicit and never renumbered.
 *    Structs marked "frozen" never grow. Arrays of growing structs come with a byte stride.
 * 2. A NULL optional entry means the host's default, for ever.
 * 3. Nothing is freed across the line: the creator's table destroys what it made.
 * 4. No exception, longjmp, exit, signal handler or write to stdout/stderr crosses the line.
 * 5. Strings are UTF-8 with a terminating NUL and live as long as the object they came with.
 * 6. Thread tags: [any] any thread, concurrently; [ctx] at most one call per context at a time, from
 *    any thread; [load] only while plugins and models are loaded, one call at a time.
 *
 * A version of this major number only appends: a host takes plugins of every minor version, older or newer. */
#ifndef MINNOW_ABI_BASE_H_
#define MINNOW_ABI_BASE_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MNW_ABI_MAJOR 1u
#define MNW_ABI_MINOR 0u

/* True if the struct *p, filled by someone with perhaps another header, has the field f. */
#define MNW_HAS(p, T, f) ((p)->size >= offsetof(T, f) + sizeof((p)->f))

/* Every call that can fail returns one of these. Numbers follow gRPC's status codes. */
typedef enum mnw_code {
  MNW_OK = 0,
  MNW_CANCELLED = 1,
  MNW_INVALID = 3,        /* the caller's arguments are wrong */
  MNW_NOT_FOUND = 5,
  MNW_OUT_OF_MEMORY = 8,  /* mnw_error.bytes_needed tells how much was asked for */
  MNW_PRECONDITION = 9,
  MNW_OUT_OF_RANGE = 11,
  MNW_UNSUPPORTED = 12,
  MNW_INTERNAL = 13,
  MNW_CORRUPT = 15,
  MNW_DEVICE_LOST = 64    /* sticky: every later call on the context fails the same way */
} mnw_code;

/* Caller-owned, so that it survives a dying plugin and nothing is freed. The callee writes it only
 * when it returns a code other than MNW_OK; the host copies the message at once. Frozen. */
typedef struct mnw_error {
  int32_t node;           /* the graph node concerned, or -1 */
  uint32_t reserved;
  uint64_t bytes_needed;
  char message[240];      /* names the thing and the remedy */
} mnw_error;

typedef enum mnw_type {
#define MNW_TYPE(name, id, block_elements, block_bytes) MNW_TYPE_##name = id,
#include "types.def"
#undef MNW_TYPE
  MNW_TYPE_NONE = -1
} mnw_type;

#ifdef __cplusplus
}
#endif

#endif /* MINNOW_ABI_BASE_H_ */
