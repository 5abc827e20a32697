// minnow.v1.Inference.Classify: about a whole document, or about its parts.
#include "engine/classify.h"

#include <algorithm>
#include <set>

#include "service/inference_work.h"

namespace minnow::service {

namespace {

using engine::TokenId;

// The parts of a document that was asked about in parts, or all of it as one.
struct Parts {
  std::vector<std::vector<TokenId>> prompts;
  std::vector<engine::ByteSpan> kept;  // empty: all of the document, in one
};

Result<Parts> FitForLabels(const ModelTable::Use& use, std::string_view document,
                           const v1::ClassifyRequest& request) {
  const engine::OnOverflow how = ToOnOverflow(request.on_overflow());
  const auto encode = [&](std::string_view part) {
    return use.model().EncodeTurn(engine::DocumentTurn(part, request.question()));
  };
  size_t room = 0;
  if (how != engine::OnOverflow::kError) {
    const std::vector<std::string> labels(request.labels().begin(), request.labels().end());
    MNW_ASSIGN(const uint32_t longest, engine::LongestLabel(use.model(), labels));
    room = RoomBeside(use.engine(), longest);
  }
  Parts parts;
  if (how != engine::OnOverflow::kChunk) {
    MNW_ASSIGN(engine::Fitted fitted, engine::FitDocument(document, how, room, encode));
    parts.prompts.push_back(std::move(fitted.prompt));
    parts.kept = std::move(fitted.kept);
    return parts;
  }
  MNW_ASSIGN(parts.kept, engine::ChunkDocument(document, room, encode));
  for (const engine::ByteSpan& span : parts.kept) {
    MNW_ASSIGN(parts.prompts.emplace_back(),
               encode(document.substr(span.begin, span.end - span.begin)));
  }
  if (parts.kept.size() == 1) parts.kept.clear();
  return parts;
}

v1::ClassifyResponse ToResponse(const engine::ClassifyResult& result) {
  v1::ClassifyResponse response;
  response.set_label(result.labels[result.best].label);
  for (const engine::LabelScore& l : result.labels) {
    v1::LabelScore* out = response.add_labels();
    out->set_label(l.label);
    out->set_probability(l.probability);
    out->set_logprob(l.logprob);
  }
  Fill(result.usage, response.mutable_usage());
  Fill(result.usage, response.mutable_timings());
  response.set_fingerprint(result.fingerprint);
  return response;
}

// The answers about the parts of one document, as they come.
struct PartAnswers {
  explicit PartAnswers(size_t n) : results(n), left(n) {}
  std::mutex mutex;
  std::vector<engine::ClassifyResult> results;
  size_t left;
};

}  // namespace

Failure Classify(ModelTable& models, Metrics& metrics, ContextTable& contexts, const CallPtr& call,
                 const v1::ClassifyRequest& request) {
  if (request.document().empty() == request.context().empty()) {
    return std::vector<Violation>{{"document", "must be there, or a context: one of the two"}};
  }
  const About taken = TakeAbout(models, contexts, request.context(), request.model());
  if (!taken.use) return taken.failure;
  std::set<std::string_view> seen;
  for (int i = 0; i < request.labels_size(); ++i) {
    if (seen.insert(request.labels(i)).second) continue;
    return std::vector<Violation>{
        {fmt::format("labels[{}]", i), fmt::format("'{}' is given twice", request.labels(i))}};
  }
  const std::string& document = taken.document ? *taken.document : request.document();
  auto parts = FitForLabels(*taken.use, document, request);
  if (!parts.ok() && parts.status().code() == Code::kOutOfRange) return parts.status();
  if (!parts.ok()) return Failure::AtField("document", parts.status());
  engine::ClassifyRequest ask;
  ask.labels.assign(request.labels().begin(), request.labels().end());
  ask.priority = ToPriority(request.priority());
  ask.deadline = call->info().deadline;
  ask.adapter = taken.use->adapter();
  v1::Overflow overflow;
  if (!parts->kept.empty()) Fill(request.on_overflow(), document.size(), parts->kept, &overflow);
  std::vector<double> weights;
  for (const engine::ByteSpan& span : parts->kept) {
    weights.push_back(static_cast<double>(span.end - span.begin));
  }
  weights.resize(parts->prompts.size(), 1);
  const auto work = std::make_shared<Work>(call, taken.use, ask.priority, metrics);
  const auto answers = std::make_shared<PartAnswers>(parts->prompts.size());
  const auto end_one = [work, answers, weights, overflow](size_t part,
                                                          engine::ClassifyResult result) {
    {
      const std::lock_guard lock(answers->mutex);
      answers->results[part] = std::move(result);
      if (--answers->left > 0) return;
    }
    const engine::ClassifyResult mean = engine::MeanOfParts(answers->results, weights);
    if (!mean.status.ok()) {
      return work->Finish(Refused(work->rate, work->use->engine(), mean.status), mean.usage);
    }
    v1::ClassifyResponse response = ToResponse(mean);
    if (overflow.kept_size() > 0) *response.mutable_overflow() = overflow;
    work->call->Send(response);
    work->Finish({}, mean.usage);
  };
  if (parts->prompts.size() == 1) {
    ask.prompt = std::move(parts->prompts[0]);
    ask.on_done = [end_one](engine::ClassifyResult result) { end_one(0, std::move(result)); };
    return Taken(work, taken.use, engine::Classify(taken.use->engine(), std::move(ask)));
  }
  std::vector<engine::RequestId> ids;
  Status refused;
  for (size_t i = 0; i < parts->prompts.size(); ++i) {
    engine::ClassifyRequest one = ask;
    one.prompt = std::move(parts->prompts[i]);
    one.on_done = [end_one, i](engine::ClassifyResult result) { end_one(i, std::move(result)); };
    const auto id = refused.ok() ? engine::Classify(taken.use->engine(), std::move(one)) : refused;
    if (id.ok()) {
      ids.push_back(*id);
      continue;
    }
    if (refused.ok()) {  // all or none: what was taken is not wanted any more
      refused = id.status();
      for (const engine::RequestId taken_id : ids) taken.use->engine().Cancel(taken_id);
    }
    engine::ClassifyResult result;
    result.status = refused;
    end_one(i, std::move(result));
  }
  call->CancelWith([use = taken.use, ids] {
    for (const engine::RequestId id : ids) use->engine().Cancel(id);
  });
  return {};
}

}  // namespace minnow::service
