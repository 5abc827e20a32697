/* SPDX-License-Identifier: MIT
 * The one symbol a plugin exports, and the services it gets.
 *
 * A plugin links nothing of the host: no Lua, libuv, gRPC or protobuf. Beside lib.so lies its manifest
 * lib.minnow.json, read before the library is opened: id, kind, ABI, OS, CPU features, sha256. */
#ifndef MINNOW_ABI_PLUGIN_H_
#define MINNOW_ABI_PLUGIN_H_

#include "arch.h"
#include "backend.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mnw_host {
  uint32_t size;
  void* self;
  void (*log)(void* self, int level, const char* message); /* [any]; 0 debug, 1 info, 2 warning */
  /* The reference meaning of every tensor type: n elements (a multiple of the block) to f32. [any] */
  int (*to_f32)(void* self, int32_t type, const void* src, float* dst, int64_t n);
  const void* (*extension)(void* self, const char* id); /* [any] NULL if unknown */
};

typedef struct mnw_plugin {
  uint32_t size;
  uint32_t abi_major, abi_minor; /* of the headers it was built with */
  const char* id;                /* "minnow.cpu" */
  const char* version;
  const char* license;           /* SPDX */
  const mnw_backend* (*backend)(uint32_t host_minor);     /* NULL entry or result: none */
  const mnw_arch_list* (*archs)(uint32_t host_minor);     /* NULL entry or result: none */
} mnw_plugin;

typedef const mnw_plugin* (*mnw_plugin_entry_fn)(void);
#define MNW_PLUGIN_ENTRY_NAME "mnw_plugin_entry"

#if defined(__GNUC__)
#define MNW_EXPORT __attribute__((visibility("default")))
#else
#define MNW_EXPORT
#endif

#ifdef __cplusplus
}
#endif

#endif /* MINNOW_ABI_PLUGIN_H_ */
