// A prompt's beginning, computed for its place in the cache alone.
#include <utility>

#include "engine/job.h"

namespace minnow::engine {

namespace {

class HoldJob final : public Job {
 public:
  explicit HoldJob(HoldRequest request)
      : Job(std::move(request.tokens), request.priority, 0), request_(std::move(request)) {}

  bool finished() const override { return committed == tokens.size(); }
  bool holds() const override { return true; }

  void End(Status status) override {
    StopClock();
    if (request_.on_done) request_.on_done(std::move(status), id, usage);
  }

 private:
  HoldRequest request_;
};

}  // namespace

std::unique_ptr<Job> MakeHoldJob(HoldRequest request) {
  return std::make_unique<HoldJob>(std::move(request));
}

}  // namespace minnow::engine
