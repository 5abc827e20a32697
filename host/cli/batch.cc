// minnow batch PIPELINE.lua --input DIR|GLOB|FILE.jsonl|FILE.csv|- --output OUT.jsonl[.zst]
#include "batch/batch.h"

#include <csignal>
#include <filesystem>

#include "base/log.h"
#include "base/sha256.h"
#include "base/version.h"
#include "batch/report.h"
#include "batch/supervisor.h"
#include "cli/cli.h"
#include "script/engine_models.h"

namespace minnow::cli {

namespace {

constexpr uint64_t kDryRunDocuments = 16;

struct Options {
  ModelOptions model;
  ScriptOptions script;
  std::string pipeline, input, output, queue, run, shard, report;
  batch::BatchOptions batch;
  batch::Selection selection;
  double lease_seconds = 60;
  bool overwrite = false, dry_run = false, worker = false, untrusted = false;

  bool postgres() const { return queue.starts_with("postgres"); }
};

// The first signal ends the loop, and what is complete is kept; the second ends the process.
class Interrupt {
 public:
  explicit Interrupt(script::Loop& loop) : loop_(loop) {
    for (size_t i = 0; i < std::size(signals_); ++i) {
      uv_signal_init(loop.uv(), &signals_[i]);
      signals_[i].data = this;
      uv_signal_start_oneshot(&signals_[i], Met, i == 0 ? SIGINT : SIGTERM);
    }
  }
  ~Interrupt() {
    for (uv_signal_t& s : signals_) uv_close(reinterpret_cast<uv_handle_t*>(&s), nullptr);
    uv_run(loop_.uv(), UV_RUN_NOWAIT);  // lets libuv forget the handles
  }
  int signal() const { return signal_; }  // 0: none

 private:
  static void Met(uv_signal_t* s, int signal) {
    auto* self = static_cast<Interrupt*>(s->data);
    self->signal_ = signal;
    self->loop_.Stop();
  }

  script::Loop& loop_;
  uv_signal_t signals_[2];
  int signal_ = 0;
};

// Only a regular file can be gone on with.
bool KeepsRecords(const Options& o) {
  std::error_code error;
  return o.output != "-" && !o.dry_run && !o.worker &&
         (!std::filesystem::exists(o.output, error) ||
          std::filesystem::is_regular_file(o.output, error));
}

std::string JournalPath(const Options& o) {
  constexpr std::string_view kSqlite = "sqlite:";
  if (!KeepsRecords(o)) return ":memory:";
  return o.queue.empty() ? o.output + ".journal" : o.queue.substr(kSqlite.size());
}

// What decides an answer, beside the files that Pipeline::Parts tells.
batch::Identity SettingsOf(const Options& o) {
  batch::Identity settings = {{"the context size", std::to_string(o.model.n_ctx)},
                              {"the cache's type", o.model.kv_type},
                              {"the devices", fmt::format("{}", fmt::join(o.model.devices, ", "))}};
  if (!o.script.budget.empty()) settings.emplace_back("the budget", o.script.budget);
  if (o.batch.timings) settings.emplace_back("timings", "yes");
  return settings;
}

// And what decides which answers a run gives; a mere worker knows of no input.
batch::Identity IdentityOf(const Options& o) {
  const batch::Selection& s = o.selection;
  batch::Identity identity = SettingsOf(o);
  if (o.worker) return identity;
  identity.emplace_back("the input", o.input);
  identity.emplace_back("the selection",
                        fmt::format("shard {}/{}, sample {}, limit {}", s.shard, s.shards, s.sample,
                                    s.limit == UINT64_MAX ? "none" : std::to_string(s.limit)));
  return identity;
}

Result<std::string> Fingerprint(const Options& o, const script::Pipeline& pipeline) {
  MNW_ASSIGN(const auto parts, pipeline.Parts());
  return Sha256Hex(fmt::format("{}\n{}\n{}", kVersion, batch::IdentityText(SettingsOf(o)),
                               batch::IdentityText(parts)))
      .substr(0, 16);
}

Status ParseShard(Options* o) {
  if (o->shard.empty()) return Status();
  batch::Selection& s = o->selection;
  int end = 0;
  const int n = std::sscanf(o->shard.c_str(), "%lu/%lu%n", &s.shard, &s.shards, &end);
  if (n == 2 && o->shard[static_cast<size_t>(end)] == '\0' && s.shard >= 1 && s.shard <= s.shards) {
    return Status();
  }
  return Error(Code::kInvalid, "--shard is '{}', must be I/N with I from 1 to N", o->shard);
}

Result<uint64_t> CountDocuments(const Options& o) {
  MNW_ASSIGN(const std::unique_ptr<batch::Source> source, batch::OpenSource(o.input));
  if (const auto n = source->count()) return static_cast<uint64_t>(*n);
  uint64_t n = 0;
  while (source->Next()) ++n;
  return n;
}

// What a whole run would take, by what a few documents took.
void PrintEstimate(const Options& o, const batch::Progress& progress) {
  const double rate =
      static_cast<double>(progress.documents()) / std::max(progress.seconds(), 1e-9);
  Print(fmt::format("{} documents took {:.1f} s: {:.2f} documents/s\n", progress.documents(),
                    progress.seconds(), rate));
  if (o.input == "-" || rate <= 0) return;
  if (const auto n = CountDocuments(o); n.ok()) {
    const auto seconds = static_cast<uint64_t>(static_cast<double>(*n) / rate);
    Print(fmt::format("all {} would take about {} h {:02} min {:02} s\n", *n, seconds / 3600,
                      seconds / 60 % 60, seconds % 60));
  }
}

Result<std::unique_ptr<batch::Queue>> OpenQueue(const Options& o, const batch::Identity& identity,
                                                const std::string& name, batch::Source* source) {
  if (!o.postgres()) return batch::OpenSqliteQueue(JournalPath(o), identity, *source);
  return batch::OpenPostgresQueue({.url = o.queue,
                                   .run = o.run.empty() ? name : o.run,
                                   .lease_seconds = o.lease_seconds,
                                   .writes = !o.worker,
                                   .anew = o.overwrite},
                                  identity, source);
}

VerbResult RunHere(const Options& o) {
  std::unique_ptr<batch::Source> source;
  if (!o.worker) {
    MNW_ASSIGN(source, batch::OpenSource(o.input));
    source = batch::Select(std::move(source), o.selection);
  }
  MNW_ASSIGN(const std::unique_ptr<script::Loop> loop, script::Loop::Create());
  MNW_ASSIGN(const engine::RuntimeOptions runtime_options, ToRuntimeOptions(o.model));
  MNW_ASSIGN(const std::unique_ptr<engine::Runtime> runtime,
             engine::Runtime::Create(runtime_options));
  script::EngineModels models(*runtime);
  script::FolderModels folder_models(models, *runtime);
  script::Models& granted = o.untrusted ? static_cast<script::Models&>(folder_models) : models;
  script::PipelineOptions pipeline_options;
  MNW_TRY(ReadScriptOptions(o.script, &pipeline_options.budget, &pipeline_options.grants));
  if (o.untrusted) pipeline_options.untrusted.emplace();
  MNW_ASSIGN(const std::unique_ptr<script::Pipeline> pipeline,
             script::Pipeline::Load(o.pipeline, granted, *loop, pipeline_options));

  const batch::Identity identity = IdentityOf(o);
  batch::BatchOptions options = o.batch;
  MNW_ASSIGN(options.fingerprint, Fingerprint(o, *pipeline));
  MNW_ASSIGN(const std::unique_ptr<batch::Queue> queue,
             OpenQueue(o, identity, pipeline->name(), source.get()));
  const std::string path = o.dry_run || o.worker ? "/dev/null" : o.output;
  // With a journal, what is in the file and not settled is this run's own.
  const bool replace = o.overwrite || o.dry_run || o.worker || KeepsRecords(o);
  MNW_ASSIGN(const std::unique_ptr<batch::Output> output,
             batch::Output::Open(path, queue->settled(), replace));
  batch::Progress progress(queue->count(), queue->resumed().documents, queue->resumed().failed);
  batch::Batch batch(*pipeline, *queue, *output, *loop, options, progress);
  batch::Summary summary;
  Interrupt interrupt(*loop);
  batch.Start([&](batch::Summary s) {
    summary = std::move(s);
    loop->Stop();
  });
  loop->Run();
  const Status settled = batch.Settle();
  progress.Finish();
  if (interrupt.signal()) return 128 + interrupt.signal();
  if (summary.status.code() == Code::kDeviceLost) {
    LogError("{}", summary.status.message());
    return batch::kExitDeviceLost;
  }
  MNW_TRY(std::move(summary.status));
  MNW_TRY(settled);
  if (o.dry_run) PrintEstimate(o, progress);
  if (!o.report.empty()) {
    batch::Identity whole = identity;
    MNW_ASSIGN(const auto parts, pipeline->Parts());
    whole.insert(whole.end(), parts.begin(), parts.end());
    MNW_TRY(batch::WriteReport({o.output, pipeline->name(), whole, progress.seconds(),
                                progress.documents(), progress.tokens(), progress.steps()},
                               o.report));
  }
  return summary.failed > 0 ? kExitSomeFailed : kExitOk;
}

// A run that is begun anew leaves nothing of the one before.
Status RemoveJournal(const std::string& path) {
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::error_code error;
    std::filesystem::remove(path + suffix, error);
    if (error)
      return Error(Code::kInvalid, "cannot remove '{}{}': {}", path, suffix, error.message());
  }
  return Status();
}

// The database knows who died: their leases end.
VerbResult RunPostgres(const Options& o) {
  if (o.batch.max_strikes == 0) return RunHere(o);
  return batch::Supervise({.may_restart = o.input != "-"}, [&] { return ExitCodeOf(RunHere(o)); });
}

VerbResult Run(Options& o) {
  std::signal(SIGPIPE, SIG_IGN);  // an output that nobody reads is a failure to write it
  if (o.batch.jobs == 0) return Error(Code::kInvalid, "--jobs must be at least 1");
  MNW_TRY(ParseShard(&o));
  if (o.dry_run) o.selection.limit = std::min<uint64_t>(o.selection.limit, kDryRunDocuments);
  if (!o.queue.empty() && !o.postgres() && !o.queue.starts_with("sqlite:")) {
    return Error(Code::kInvalid, "--queue must be sqlite:PATH or postgres://HOST/DATABASE");
  }
  if (o.worker && !o.postgres()) {
    return Error(Code::kInvalid, "--worker needs a --queue that many may share, postgres://...");
  }
  if (!o.worker && (o.input.empty() || o.output.empty())) {
    return Error(Code::kInvalid, "--input and --output are needed, except with --worker");
  }
  if (!o.report.empty() && (!KeepsRecords(o))) {
    return Error(Code::kInvalid, "--report needs an --output that is a file");
  }
  if (o.postgres()) return RunPostgres(o);
  const std::string journal = JournalPath(o);
  std::error_code error;
  if (journal != ":memory:") {
    if (o.overwrite) MNW_TRY(RemoveJournal(journal));
    // Tells before any work what Output::Open would tell after the model was loaded.
    if (!o.overwrite && !std::filesystem::exists(journal, error) &&
        std::filesystem::exists(o.output, error)) {
      return Error(Code::kInvalid,
                   "'{}' exists and has no journal; give another --output, or --overwrite to lose "
                   "what is in it",
                   o.output);
    }
  }
  if (journal == ":memory:" || o.batch.max_strikes == 0) return RunHere(o);
  return batch::Supervise({.journal = journal, .may_restart = o.input != "-"},
                          [&] { return ExitCodeOf(RunHere(o)); });
}

}  // namespace

void AddBatch(CommandLine& line) {
  auto o = std::make_shared<Options>();
  Verb verb = line.AddVerb("batch", "A pipeline over many documents, one JSON line for each",
                           [o] { return Run(*o); });
  AddRuntimeOptions(verb, o->model);
  AddDraftsOption(verb, o->model);
  AddScriptOptions(verb, o->script);
  verb.Add("pipeline", o->pipeline, "The Lua file that returns minnow.pipeline{...}").Required();
  verb.Add("--input", o->input,
           "Folder, glob, text file, FILE.jsonl, FILE.csv, or - for JSON lines from stdin");
  verb.Add("--output", o->output,
           "JSON lines in the order of the input, compressed if it ends in .zst; - is "
           "stdout. The same command again goes on where a stopped one was");
  verb.Add("--queue", o->queue,
           "Where the run is kept: sqlite:PATH, or postgres://HOST/DATABASE for many "
           "workers; default: sqlite:OUTPUT.journal");
  verb.AddFlag("--worker", o->worker,
               "Help a run in PostgreSQL that another process feeds and writes");
  verb.Add("--run", o->run, "Its name in PostgreSQL; default: the pipeline's name");
  verb.Add("--lease", o->lease_seconds,
           "Seconds after which a silent worker's documents go to others")
      .InRange(1.0, 86400.0);
  verb.Add("--jobs", o->batch.jobs, "Documents under way at the same time");
  verb.AddFlag("--overwrite", o->overwrite, "Begin anew, whatever the output holds");
  verb.Add("--limit", o->selection.limit, "Only so many documents");
  verb.Add("--sample", o->selection.sample, "Only this part of the documents, such as 0.01")
      .InRange(0.0, 1.0);
  verb.Add("--shard", o->shard, "I/N: only the I-th of every N documents");
  verb.Add("--max-errors", o->batch.max_errors, "Stop when more documents failed");
  verb.Add("--retries", o->batch.retries,
           "Tries more for a document that failed for want of something");
  verb.Add("--max-crashes", o->batch.max_strikes,
           "Set a document aside when the process died so often during it; 0: a crash ends "
           "the batch");
  AddUntrustedOption(verb, o->untrusted);
  verb.AddFlag("--timings", o->batch.timings,
               "Seconds in each record, which then differs from run to run");
  verb.Add("--report", o->report, "A page about the run, for people: FILE.html");
  verb.AddFlag("--dry-run", o->dry_run,
               "Run up to 16 documents, write nothing, and estimate the time of all");
}

}  // namespace minnow::cli
