#include "engine/model_draft.h"

#include <algorithm>

#include "base/log.h"

namespace minnow::engine {

namespace {

// Whoever was asked for so lately keeps its pages: it would be computed again at once.
constexpr uint64_t kIdleCalls = 16;
// Who has no more than this to catch up with comes first, whatever it may have.
constexpr size_t kLittle = model::kPageTokens;

// For messages; tests have models without files.
std::string NameOf(const model::Instance& instance) {
  return instance.has_model() ? instance.model().path() : "(no file)";
}

// Bytes of a token, as far as they can be shown.
std::string Shown(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    if (c >= ' ' && c <= '~' && c != '\'' && c != '\\') {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

Status CheckVocabulary(const model::Instance& target, const model::Instance& draft) {
  const auto refuse = [&](const std::string& what) {
    return Error(Code::kUnsupported,
                 "'{}' cannot draft for '{}': {}; a draft needs the same vocabulary", NameOf(draft),
                 NameOf(target), what);
  };
  if (!draft.has_model() || !target.has_model()) {
    if (draft.n_vocab() == target.n_vocab()) return Status();
    return refuse(
        fmt::format("it has {} tokens and the model {}", draft.n_vocab(), target.n_vocab()));
  }
  const auto& theirs = draft.model().tokenizer().vocabulary().pieces;
  const auto& ours = target.model().tokenizer().vocabulary().pieces;
  const size_t common = std::min(theirs.size(), ours.size());
  for (size_t i = 0; i < common; ++i) {
    if (theirs[i].bytes == ours[i].bytes) continue;
    return refuse(fmt::format("its token {} is '{}' and the model's '{}'", i,
                              Shown(theirs[i].bytes), Shown(ours[i].bytes)));
  }
  const auto& longer = theirs.size() > ours.size() ? theirs : ours;
  for (size_t i = common; i < longer.size(); ++i) {
    if (longer[i].type == text::PieceType::kUnused) continue;
    return refuse(
        fmt::format("its tokenizer has {} tokens and the model's {}, and token {} is '{}', which "
                    "is no padding",
                    theirs.size(), ours.size(), i, Shown(longer[i].bytes)));
  }
  return Status();
}

bool IsRecurrent(const model::Instance& instance) {
  for (uint32_t g = 0; g < instance.n_groups(); ++g) {
    if (instance.recurrent(g)) return true;
  }
  return false;
}

}  // namespace

DraftSequence::DraftSequence(ModelDraft& draft, const Sampling& sampling)
    : draft_(draft), sampling_(sampling) {
  draft_.sequences_.push_back(this);
  draft_.cache_.Begin(0, &pages_);
}

DraftSequence::~DraftSequence() {
  draft_.cache_.Release(&pages_);
  std::erase(draft_.sequences_, this);
}

// A request that has a row in the draft's step, and the guess that grows with it.
struct ModelDraft::Going {
  const Ask* ask;
  size_t first;  // tokens that were there before
  size_t most;   // tokens of its guess; 0: it only catches up
};

Result<std::unique_ptr<ModelDraft>> ModelDraft::Create(const model::Instance& target,
                                                       model::Instance& draft,
                                                       const Options& options) {
  const auto refuse = [&](const char* why) {
    return Error(Code::kUnsupported, "'{}' cannot draft for '{}': {}", NameOf(draft),
                 NameOf(target), why);
  };
  if (draft.is_encoder()) return refuse("it is an encoder and generates nothing");
  if (IsRecurrent(draft)) {
    return refuse("its recurrent state cannot take back what was guessed wrong");
  }
  if (target.is_encoder()) return refuse("the model is an encoder and generates nothing");
  if (!target.can_speculate()) {
    return refuse(
        "the model cannot check guesses, since its state is recurrent or its device does not "
        "repeat bits (level B)");
  }
  MNW_TRY(CheckVocabulary(target, draft));
  return std::unique_ptr<ModelDraft>(new ModelDraft(target, draft, options));
}

ModelDraft::ModelDraft(const model::Instance& target, model::Instance& draft,
                       const Options& options)
    : instance_(draft),
      n_proposed_(std::min(target.n_vocab(), draft.n_vocab())),
      options_(options),
      cache_(draft, options.step_tokens, options.prefix_cache_bytes) {
  in_.pages.resize(draft.n_groups());
  in_.slots.resize(draft.n_groups());
}

ModelDraft::~ModelDraft() = default;

ModelDraft::Standing ModelDraft::Look(DraftSequence& s, std::span<const TokenId> tokens) {
  if (failed_ || tokens.size() > instance_.n_ctx()) return {};
  // The last token's row is always computed, for its logits.
  size_t n = s.confirmed_;
  while (n < std::min(s.tokens_.size(), tokens.size() - 1) && s.tokens_[n] == tokens[n]) ++n;
  if (n == tokens.size()) --n;  // the same tokens again
  s.tokens_.resize(n);
  s.confirmed_ = n;
  cache_.Trim(&s.pages_, n);
  const auto is_unknown = [&](TokenId t) {
    return static_cast<uint32_t>(t) >= instance_.n_vocab();
  };
  if (std::any_of(tokens.begin() + static_cast<ptrdiff_t>(n), tokens.end(), is_unknown)) return {};
  const std::span<const TokenId> wanted = tokens.first(tokens.size() - 1);
  if (wanted.size() - n > model::kPageTokens && s.shared_at_ != inserted_) {
    s.shared_ = cache_.Known(0, wanted);
    s.shared_at_ = inserted_;
  }
  return {std::min(options_.most, instance_.n_ctx() - tokens.size() + 1),
          tokens.size() - std::max(n, std::min(s.shared_, wanted.size()))};
}

void ModelDraft::Forget(DraftSequence& s) {
  cache_.Release(&s.pages_);
  cache_.Begin(0, &s.pages_);
  s.tokens_.clear();
  s.confirmed_ = 0;
}

bool ModelDraft::Fits(const DraftSequence& s, size_t length) const {
  for (uint32_t g = 0; g < cache_.n_groups(); ++g) {
    if (cache_.Missing(s.pages_, g, s.tokens_.size(), length) > cache_.available(g)) return false;
  }
  return true;
}

// Of those that have pages: who was not asked for longest, else the last of those that come later
// in this call. Null if there is nobody.
DraftSequence* ModelDraft::LeastUseful(std::span<const Ask* const> later) const {
  DraftSequence* idle = nullptr;
  for (DraftSequence* s : sequences_) {
    if (s->tokens_.empty() || s->asked_ + kIdleCalls > calls_) continue;
    if (!idle || s->asked_ < idle->asked_) idle = s;
  }
  if (idle) return idle;
  for (auto ask = later.rbegin(); ask != later.rend(); ++ask) {
    if (!(*ask)->sequence->tokens_.empty()) return (*ask)->sequence;
  }
  return nullptr;
}

bool ModelDraft::MakeRoom(const DraftSequence& s, size_t length,
                          std::span<const Ask* const> later) {
  while (!Fits(s, length)) {
    DraftSequence* victim = LeastUseful(later);
    if (!victim) return false;
    Forget(*victim);
  }
  return true;
}

// The first rows of a request in this call: its tokens that are not in the cache, as far as there
// are rows. It has pages for all of its tokens and the guess, or none: two that each had a part of
// what they need would wait for one another for ever.
void ModelDraft::Begin(const Ask& ask, std::span<const Ask* const> later, size_t* rows_left,
                       std::vector<Going>* going) {
  DraftSequence& s = *ask.sequence;
  const Standing now = Look(s, ask.tokens);
  if (now.most == 0 || in_.seq_len.size() == instance_.options().max_seqs ||
      in_.out_rows.size() == instance_.options().max_out) {
    return;
  }
  if (now.behind > 1 && cache_.shares()) {
    const std::span<const TokenId> wanted = ask.tokens.first(ask.tokens.size() - 1);
    const size_t known = cache_.Attach(0, wanted, s.tokens_.size(), &s.pages_, &edits_);
    s.tokens_.assign(wanted.begin(), wanted.begin() + static_cast<ptrdiff_t>(known));
    s.confirmed_ = known;
  }
  const size_t most = std::min(ask.most, now.most), length = ask.tokens.size() + most - 1;
  if (!MakeRoom(s, length, later)) return Forget(s);
  const size_t first = s.tokens_.size();
  const size_t pending = ask.tokens.size() - first;
  const size_t n = std::min({pending, *rows_left, std::max(ask.rows, kLittle)});
  if (n == 0) return;
  const bool guesses = n == pending;
  if (cache_.Extend(&s.pages_, first, guesses ? length - first : n) < n) return Forget(s);
  AddRows(s, ask.tokens.subspan(first, n), guesses);
  s.tokens_.insert(s.tokens_.end(), ask.tokens.begin() + static_cast<ptrdiff_t>(first),
                   ask.tokens.begin() + static_cast<ptrdiff_t>(first + n));
  s.confirmed_ = s.tokens_.size();
  *rows_left -= n;
  going->push_back({&ask, first, guesses ? most : 0});
}

void ModelDraft::AddRows(const DraftSequence& s, std::span<const TokenId> tokens, bool logits) {
  const auto seq = static_cast<int32_t>(in_.seq_len.size());
  in_.seq_len.push_back(static_cast<int32_t>(s.tokens_.size()));
  for (size_t i = 0; i < tokens.size(); ++i) {
    const size_t position = s.tokens_.size() + i;
    in_.parent.push_back(i == 0 ? -1 : static_cast<int32_t>(in_.tokens.size()) - 1);
    in_.tokens.push_back(tokens[i]);
    in_.positions.push_back(static_cast<int32_t>(position));
    in_.seq.push_back(seq);
    in_.adapter.push_back(-1);
    for (uint32_t g = 0; g < instance_.n_groups(); ++g) {
      in_.slots[g].push_back(cache_.Slot(s.pages_, g, position));
    }
  }
  for (uint32_t g = 0; g < instance_.n_groups(); ++g) {
    in_.pages[g].insert(in_.pages[g].end(), s.pages_.pages[g].begin(), s.pages_.pages[g].end());
    in_.pages[g].resize(in_.seq_len.size() * instance_.page_columns(), -1);
  }
  if (!logits) return;
  in_.out_rows.push_back(static_cast<int32_t>(in_.tokens.size()) - 1);
  in_.out_adapter.push_back(-1);
}

void ModelDraft::ClearStep() {
  edits_.clear();
  for (auto* v : {&in_.tokens, &in_.positions, &in_.seq, &in_.parent, &in_.adapter, &in_.seq_len,
                  &in_.out_rows, &in_.out_adapter})
    v->clear();
  for (auto& v : in_.pages) v.clear();
  for (auto& v : in_.slots) v.clear();
}

// After a failure the pages may hold anything.
bool ModelDraft::RunStep(std::span<const float>* logits) {
  const auto run = [&]() -> Status {
    if (!edits_.empty()) MNW_TRY(instance_.EditPages(edits_));
    if (in_.tokens.empty()) return Status();
    MNW_TRY(instance_.Start(in_));
    MNW_ASSIGN(*logits, instance_.Wait());
    ++steps_;
    return Status();
  };
  const Status status = run();
  if (status.ok()) return true;
  LogWarning("a step of the draft '{}' failed, it is not used any more: {}", NameOf(instance_),
             status.message());
  failed_ = true;
  for (DraftSequence* s : sequences_) Forget(*s);
  cache_.DropPrefixes();
  return false;
}

// Makes known what was computed of the requests' own tokens, page by page.
void ModelDraft::Share(std::span<const Going> going) {
  for (const Going& g : going) {
    DraftSequence& s = *g.ask->sequence;
    if (g.first / model::kPageTokens == s.confirmed_ / model::kPageTokens) continue;
    cache_.Insert(0, std::span(s.tokens_).first(s.confirmed_), &s.pages_);
    ++inserted_;
  }
}

// The next token of each guess. Those that have no row in the next step leave.
void ModelDraft::Draw(std::span<const float> logits, std::vector<Going>* going) {
  const size_t width = instance_.output_width();
  std::erase_if(*going, [](const Going& g) { return g.most == 0; });
  size_t row = 0;
  std::erase_if(*going, [&](const Going& g) {
    const DraftSequence& s = *g.ask->sequence;
    std::vector<DraftNode>& nodes = *g.ask->nodes;
    const auto choice = Choose(logits.subspan(row++ * width, n_proposed_), s.sampling_,
                               s.tokens_.size(), 0, scratch_);
    if (!choice.ok()) return true;
    nodes.push_back({static_cast<int32_t>(nodes.size()) - 1, choice->token, DraftKind::kModel});
    return nodes.size() == g.most;
  });
}

// What the step took that began then, with what was made of it.
void ModelDraft::Charge(Clock::time_point begin) {
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  seconds_ += seconds;
  if (!in_.tokens.empty()) cost_.Observe(static_cast<uint32_t>(in_.tokens.size()), seconds);
}

void ModelDraft::Propose(std::span<const Ask> asks) {
  Clock::time_point begin = Clock::now();
  std::vector<const Ask*> order;
  ++calls_;
  for (const Ask& ask : asks) {
    ask.nodes->clear();
    ask.sequence->asked_ = calls_;
    order.push_back(&ask);
  }
  std::stable_partition(order.begin(), order.end(), [&](const Ask* ask) {
    return Look(*ask->sequence, ask->tokens).behind <= kLittle;
  });
  std::vector<Going> going;
  std::span<const float> logits;
  ClearStep();
  size_t rows_left = std::min(options_.step_tokens, instance_.options().max_tokens);
  for (size_t i = 0; i < order.size(); ++i) {
    Begin(*order[i], std::span(order).subspan(i + 1), &rows_left, &going);
  }
  bool ok = RunStep(&logits);
  if (ok) Share(going);
  while (ok) {
    Draw(logits, &going);
    Charge(begin);
    if (going.empty()) return;
    begin = Clock::now();
    ClearStep();
    for (const Going& g : going) {
      DraftSequence& s = *g.ask->sequence;
      const TokenId token = g.ask->nodes->back().token;
      AddRows(s, std::span(&token, 1), true);
      s.tokens_.push_back(token);
    }
    ok = RunStep(&logits);
  }
  for (const Ask& ask : asks) ask.nodes->clear();
}

}  // namespace minnow::engine
