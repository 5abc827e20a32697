// Embedding: the whole text in one step, one vector comes out.
#include <cmath>

#include "engine/job.h"

namespace minnow::engine {

namespace {

class EmbedJob final : public Job {
 public:
  explicit EmbedJob(EmbedRequest request)
      : Job(std::move(request.tokens), request.priority, 0), request_(std::move(request)) {}

  Status OnEmbedding(std::span<const float> embedding) override {
    for (const float x : embedding) {
      if (!std::isfinite(x)) return Error(Code::kInternal, "the model gave no finite embedding");
    }
    embedding_.assign(embedding.begin(), embedding.end());
    return Status();
  }

  bool finished() const override { return !embedding_.empty(); }

  void End(Status status) override {
    StopClock();
    if (request_.on_done) request_.on_done(std::move(status), std::move(embedding_), usage);
  }

 private:
  EmbedRequest request_;
  std::vector<float> embedding_;
};

}  // namespace

std::unique_ptr<Job> MakeEmbedJob(EmbedRequest request) {
  return std::make_unique<EmbedJob>(std::move(request));
}

}  // namespace minnow::engine
