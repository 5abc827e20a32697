// Joins the rows of running jobs into one step.
//
// Interactive jobs come before batch ones, those that decode (one token to compute) before those
// that prefill, older before younger; prefills share what is left of the step's rows, and of two
// that begin alike the second waits for what the first computes. A job without a page for its next
// token has no rows. An encoder's sequences are never cut: those that no longer fit wait for the
// next step. Drafts come last, from what everybody's own rows leave. Threads: the executor's.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/job.h"
#include "engine/step_limits.h"

namespace minnow::engine {

// Rows of one job in a step.
struct StepPart {
  Job* job;
  size_t first_token, n_tokens;    // of job->tokens, computed and committed by this step
  std::vector<Job::TreeRow> tree;  // rows after them
  size_t first_draft = 0;          // row of the first of job->drafts' nodes
  size_t n_drafts = 0;
};

// A row whose logits come out, in the order of StepInputs::out_rows.
struct OutRow {
  size_t part;
  size_t position;  // of job->tokens, unless
  int32_t node;     // >= 0: a row of the tree, or of the drafts
};

struct Step {
  std::vector<mnw_page_edit> edits;  // before it runs: pages and blocks that are cleared or copied
  model::StepInputs inputs;
  std::vector<StepPart> parts;
  bool has[2];              // rows of a priority
  std::vector<OutRow> out;  // none of an encoder, whose parts each give one embedding

  bool empty() const { return inputs.tokens.empty(); }
};

// `jobs` in order of admission. Takes pages from the cache for the rows it commits. `speculation`:
// null where nothing may be drafted. `draft`: a draft model, which is run if it pays; or null.
void BuildStep(std::span<const std::unique_ptr<Job>> jobs, const model::Instance& instance,
               const StepLimits& limits, KvCache& cache, Speculation* speculation,
               ModelDraft* draft, Step* step);

}  // namespace minnow::engine
