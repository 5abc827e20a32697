/* SPDX-License-Identifier: MIT
 * The smallest backend that is right: it adds and multiplies, the other devices do the rest. */
#include <minnow/abi/plugin.h>
#include <stdlib.h>
#include <string.h>

struct mnw_context {
  int nothing; /* neither threads nor scratch: one serves all */
};
struct mnw_plan {
  const mnw_graph* graph;
  char* data[]; /* by value id; the plan's own temporaries lie behind */
};

static int Fail(mnw_error* e, int code, uint64_t bytes_needed, const char* message) {
  *e = (mnw_error){.node = -1, .bytes_needed = bytes_needed};
  strncpy(e->message, message, sizeof e->message - 1);
  return code;
}

static uint32_t DeviceCount(void) { return 1; }
static int DeviceInfo(uint32_t device, mnw_device_info* out, mnw_error* e) {
  out->flags = MNW_DEVICE_HOST_MEMORY;
  out->id = "toy";
  out->description = "adds and multiplies";
  /* An element depends on two elements and on nothing else. An older host does not ask. */
  if (MNW_HAS(out, mnw_device_info, repeatability)) out->repeatability = 'B';
  return MNW_OK;
}

static int Open(uint32_t device, const mnw_host* host, const mnw_context_options* options,
                mnw_context** out, mnw_error* e) {
  static mnw_context context;
  if (device != 0 || (MNW_HAS(options, mnw_context_options, config) && options->config))
    return Fail(e, MNW_INVALID, 0, "toy: there is one device, without settings");
  return *out = &context, MNW_OK;
}
static void Close(mnw_context* c) {}

/* Each node alone, without an estimate of its cost. */
static int Claim(mnw_context* c, const mnw_graph* g, mnw_claim* out, mnw_error* e) {
  for (uint32_t i = 0; i < g->n_nodes; ++i) {
    const uint32_t op = mnw_node_at(g, i)->op; /* of these two all operands are f32 */
    const int mine = op == MNW_OP_add || op == MNW_OP_mul;
    out[i] = (mnw_claim){mine ? i + 1 : 0, 0, mine ? NULL : "toy adds and multiplies only"};
  }
  return MNW_OK;
}

/* An operand may be a weight: its bytes are read where the host has them. */
static int LoadWeights(mnw_context* c, const mnw_graph* g, const mnw_weight_source* sources,
                       uint32_t n, uint32_t source_stride, mnw_weight* out, mnw_error* e) {
  for (size_t i = 0; i < n; ++i) {
    const mnw_weight_source* source = (const void*)((const char*)sources + i * source_stride);
    out[i] = (mnw_weight){.handle = (void*)source->data, .residency = MNW_BORROWED};
  }
  return MNW_OK;
}
static void FreeWeights(mnw_context* c, const mnw_weight* weights, uint32_t n) {}

static size_t Extent(int64_t dim, const int64_t* symbols) {
  return (size_t)(dim < 0 ? symbols[MNW_DIM_SYMBOL(dim)] : dim);
}

static int Plan(mnw_context* c, const mnw_plan_request* r, mnw_plan** out, mnw_error* e) {
  mnw_plan* p = NULL;
  for (int pass = 0; pass < 2; ++pass) { /* measure, then place */
    size_t used = sizeof *p + r->graph->n_values * sizeof p->data[0];
    for (mnw_id i = 0; i < r->graph->n_values; ++i) {
      const mnw_value* v = mnw_value_at(r->graph, i);
      size_t bytes = v->kind == MNW_KIND_TEMP ? sizeof(float) : 0;
      for (int d = 0; d < 4; ++d) bytes *= Extent(v->dim[d], r->max);
      if (p) p->data[i] = v->kind == MNW_KIND_WEIGHT ? r->weights[i] : (char*)p + used;
      used += bytes;
    }
    if (!p && !(p = malloc(used))) return Fail(e, MNW_OUT_OF_MEMORY, used, "toy: out of memory");
  }
  p->graph = r->graph;
  return *out = p, MNW_OK;
}
static void FreePlan(mnw_plan* p) { free(p); }

/* Element i of a value, counted over `shape`, along which dims of 1 repeat. */
static float* At(const mnw_plan* p, mnw_id id, const mnw_value* shape, const int64_t* symbols,
                 size_t i) {
  const mnw_value* v = mnw_value_at(p->graph, id);
  char* at = v->kind == MNW_KIND_VIEW ? p->data[v->view_of] + v->view_offset : p->data[id];
  for (int d = 0; d < 4; i /= Extent(shape->dim[d++], symbols))
    at += v->dim[d] == 1 ? 0 : (int64_t)(i % Extent(shape->dim[d], symbols)) * v->stride[d];
  return (float*)at;
}

static void RunNode(const mnw_plan* p, const mnw_node* node, const int64_t* symbols) {
  const mnw_value* shape = mnw_value_at(p->graph, node->in[0]);
  size_t n = 1;
  for (int d = 0; d < 4; ++d) n *= Extent(shape->dim[d], symbols);
  for (size_t i = 0; i < n; ++i) {
    const float a = *At(p, node->in[0], shape, symbols, i);
    const float b = *At(p, node->in[1], shape, symbols, i);
    *At(p, node->out[0], shape, symbols, i) = node->op == MNW_OP_add ? a + b : a * b;
  }
}

static int Run(mnw_plan* p, const mnw_run_args* args, mnw_error* e) {
  for (uint32_t i = 0; i < args->n_bindings; ++i)
    p->data[args->bindings[i].value] = args->bindings[i].data;
  for (uint32_t i = 0; i < p->graph->n_nodes; ++i)
    RunNode(p, mnw_node_at(p->graph, i), args->symbols);
  args->done(args->done_arg, MNW_OK, NULL);
  return MNW_OK;
}

static const mnw_backend kBackend = {
    sizeof kBackend, DeviceCount, DeviceInfo, Open,     Close, Claim,
    LoadWeights,     FreeWeights, Plan,       FreePlan, Run};
static const mnw_backend* Backend(uint32_t host_minor) { return &kBackend; }

static const mnw_plugin kPlugin = {sizeof kPlugin, MNW_ABI_MAJOR, MNW_ABI_MINOR, "example.toy",
                                   "1.0",          "MIT",         Backend,       NULL};
MNW_EXPORT const mnw_plugin* mnw_plugin_entry(void) { return &kPlugin; }
