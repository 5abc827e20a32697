/* What the plugins in this folder share: a backend that has one device and does nothing with it. */
#ifndef MINNOW_TESTS_BAD_PARTS_H_
#define MINNOW_TESTS_BAD_PARTS_H_

#include <minnow/abi/plugin.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
#define PLUGIN_EXPORT extern "C" MNW_EXPORT
#else
#define PLUGIN_EXPORT MNW_EXPORT
#endif

static uint32_t DeviceCount(void) { return 1; }
static int DeviceInfo(uint32_t device, mnw_device_info* out, mnw_error* e) {
  (void)device, (void)e;
  out->id = "test";
  out->description = "a device that does nothing";
  return MNW_OK;
}
/* The config must be empty or "color=blue", to see what reaches a backend. */
static int Open(uint32_t device, const mnw_host* host, const mnw_context_options* options,
                mnw_context** out, mnw_error* e) {
  (void)device, (void)host;
  if (options->config && strcmp(options->config, "color=blue") != 0) {
    strcpy(e->message, "unknown setting");
    return MNW_INVALID;
  }
  if (options->n_threads > 8) {
    strcpy(e->message, "more than 8 threads");
    return MNW_OUT_OF_RANGE;
  }
  *out = (mnw_context*)malloc(1);
  return MNW_OK;
}
static void Close(mnw_context* c) { free(c); }
static int Claim(mnw_context* c, const mnw_graph* g, mnw_claim* out, mnw_error* e) {
  (void)c, (void)g, (void)out, (void)e;
  return MNW_OK;
}
static int LoadWeights(mnw_context* c, const mnw_graph* g, const mnw_weight_source* sources,
                       uint32_t n, uint32_t source_stride, mnw_weight* out, mnw_error* e) {
  (void)c, (void)g, (void)sources, (void)n, (void)source_stride, (void)out, (void)e;
  return MNW_UNSUPPORTED;
}
static void FreeWeights(mnw_context* c, const mnw_weight* weights, uint32_t n) {
  (void)c, (void)weights, (void)n;
}
static int Plan(mnw_context* c, const mnw_plan_request* request, mnw_plan** out, mnw_error* e) {
  (void)c, (void)request, (void)out, (void)e;
  return MNW_UNSUPPORTED;
}
static void FreePlan(mnw_plan* p) { (void)p; }
static int Run(mnw_plan* p, const mnw_run_args* args, mnw_error* e) {
  (void)p, (void)args, (void)e;
  return MNW_UNSUPPORTED;
}

/* Of the mandatory entries only. */
static mnw_backend GoodTable(void) {
  mnw_backend t;
  memset(&t, 0, sizeof t);
  t.size = sizeof t;
  t.device_count = DeviceCount;
  t.device_info = DeviceInfo;
  t.open = Open;
  t.close = Close;
  t.claim = Claim;
  t.load_weights = LoadWeights;
  t.free_weights = FreeWeights;
  t.plan = Plan;
  t.free_plan = FreePlan;
  t.run = Run;
  return t;
}

static const mnw_backend* GoodBackend(uint32_t host_minor) {
  static mnw_backend table;
  (void)host_minor;
  table = GoodTable();
  return &table;
}

/* Initializer of a mnw_plugin that is right in all things. */
#define GOOD_PLUGIN \
  { sizeof(mnw_plugin), MNW_ABI_MAJOR, MNW_ABI_MINOR, "test", "1", "MIT", GoodBackend, NULL }

#endif
