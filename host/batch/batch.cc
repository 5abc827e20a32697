#include "batch/batch.h"

#include <cerrno>
#include <cstring>
#include <utility>

namespace minnow::batch {

namespace {

// Records that may wait for an earlier document, in multiples of `jobs`.
constexpr size_t kWindow = 4;

std::string Record(const std::string& id, const script::DocumentResult& result) {
  nlohmann::ordered_json record{{"id", id}};
  if (result.status.ok()) {
    record["result"] = result.value;
  } else {
    record["error"] = {{"code", CodeName(result.status.code())},
                       {"message", result.status.message()}};
  }
  record["usage"] = {{"prompt_tokens", result.prompt_tokens},
                     {"completion_tokens", result.completion_tokens}};
  return record.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace

Batch::Batch(script::Pipeline& pipeline, Source& source, std::FILE* out, size_t jobs,
             Progress& progress)
    : pipeline_(pipeline), source_(source), out_(out), jobs_(jobs), progress_(progress) {}

void Batch::Start(std::function<void(Summary)> on_end) {
  on_end_ = std::move(on_end);
  Fill();
}

void Batch::Fill() {
  while (!exhausted_ && running_ < jobs_ && started_ - written_ < kWindow * jobs_) {
    std::optional<SourceItem> item = source_.Next();
    if (!item) {
      exhausted_ = true;
      break;
    }
    const size_t number = started_++;
    const std::string id = item->document.id;
    ++running_;
    if (!item->status.ok()) {
      Finished(number, id, {.status = std::move(item->status)});
      continue;
    }
    pipeline_.Run(std::move(item->document), [this, number, id](script::DocumentResult result) {
      Finished(number, id, std::move(result));
      Fill();
    });
  }
  if (on_end_ && (!summary_.status.ok() || (exhausted_ && written_ == started_))) {
    std::exchange(on_end_, nullptr)(summary_);
  }
}

void Batch::Finished(size_t number, const std::string& id, script::DocumentResult result) {
  --running_;
  ++summary_.documents;
  summary_.failed += !result.status.ok();
  progress_.Count(!result.status.ok(), result.prompt_tokens + result.completion_tokens);
  ready_.emplace(number, Record(id, result));
  WriteReady();
}

void Batch::WriteReady() {
  const bool had_any = !ready_.empty() && ready_.begin()->first == written_;
  while (!ready_.empty() && ready_.begin()->first == written_ && summary_.status.ok()) {
    const std::string record = std::move(ready_.begin()->second);
    ready_.erase(ready_.begin());
    ++written_;
    if (std::fwrite(record.data(), 1, record.size(), out_) != record.size()) {
      summary_.status =
          Error(Code::kExhausted, "cannot write the output: {}", std::strerror(errno));
    }
  }
  if (had_any && summary_.status.ok() && std::fflush(out_) != 0) {
    summary_.status = Error(Code::kExhausted, "cannot write the output: {}", std::strerror(errno));
  }
  if (!summary_.status.ok()) exhausted_ = true;
}

}  // namespace minnow::batch
