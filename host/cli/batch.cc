// minnow batch PIPELINE.lua --input DIR|GLOB|FILE.jsonl|- --output OUT.jsonl [--jobs N]
#include "batch/batch.h"

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "cli/cli.h"
#include "script/engine_models.h"

namespace minnow::cli {

namespace {

struct Options {
  ModelOptions model;
  std::string pipeline, input, output;
  size_t jobs = 32;
  bool overwrite = false;
};

struct CloseFile {
  void operator()(std::FILE* f) const {
    if (f != stdout) std::fclose(f);
  }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

Result<File> OpenOutput(const Options& o) {
  if (o.output == "-") return File(stdout);
  // "x": results of hours of work must not vanish because a command was repeated.
  std::FILE* f = std::fopen(o.output.c_str(), o.overwrite ? "wb" : "wbx");
  if (f) return File(f);
  if (errno == EEXIST) {
    return Error(Code::kInvalid,
                 "'{}' exists; give another --output, or --overwrite to lose what is in it",
                 o.output);
  }
  return Error(Code::kInvalid, "cannot write '{}': {}", o.output, std::strerror(errno));
}

// Interrupts end the loop; what is written stays.
class Interrupt {
 public:
  explicit Interrupt(script::Loop& loop) : loop_(loop) {
    uv_signal_init(loop.uv(), &signal_);
    signal_.data = this;
    uv_signal_start(
        &signal_,
        [](uv_signal_t* s, int) {
          auto* self = static_cast<Interrupt*>(s->data);
          self->met_ = true;
          self->loop_.Stop();
        },
        SIGINT);
  }
  ~Interrupt() {
    uv_close(reinterpret_cast<uv_handle_t*>(&signal_), nullptr);
    uv_run(loop_.uv(), UV_RUN_NOWAIT);  // lets libuv forget the handle
  }
  bool met() const { return met_; }

 private:
  script::Loop& loop_;
  uv_signal_t signal_;
  bool met_ = false;
};

VerbResult Run(const Options& o) {
  if (o.jobs == 0) return Error(Code::kInvalid, "--jobs must be at least 1");
  MNW_ASSIGN(const std::unique_ptr<batch::Source> source, batch::OpenSource(o.input));
  MNW_ASSIGN(const std::unique_ptr<script::Loop> loop, script::Loop::Create());
  MNW_ASSIGN(const engine::RuntimeOptions runtime_options, ToRuntimeOptions(o.model));
  MNW_ASSIGN(const std::unique_ptr<engine::Runtime> runtime,
             engine::Runtime::Create(runtime_options));
  script::EngineModels models(*runtime);
  MNW_ASSIGN(const std::unique_ptr<script::Pipeline> pipeline,
             script::Pipeline::Load(o.pipeline, models, *loop));
  MNW_ASSIGN(const File out, OpenOutput(o));
  batch::Progress progress(source->count());
  batch::Batch batch(*pipeline, *source, out.get(), o.jobs, progress);
  batch::Summary summary;
  Interrupt interrupt(*loop);
  batch.Start([&](batch::Summary s) {
    summary = std::move(s);
    loop->Stop();
  });
  loop->Run();
  progress.Finish();
  if (interrupt.met()) return kExitInterrupted;
  MNW_TRY(summary.status);
  return summary.failed > 0 ? kExitSomeFailed : kExitOk;
}

}  // namespace

void AddBatch(CLI::App& app) {
  auto o = std::make_shared<Options>();
  CLI::App* verb = AddVerb(app, "batch", "A pipeline over many documents, one JSON line for each",
                           [o] { return Run(*o); });
  AddRuntimeOptions(*verb, o->model);
  verb->add_option("pipeline", o->pipeline, "The Lua file that returns minnow.pipeline{...}")
      ->required();
  verb->add_option("--input", o->input,
                   "Folder, glob, text file, FILE.jsonl, or - for JSON lines from stdin")
      ->required();
  verb->add_option("--output", o->output, "JSON lines, in the order of the input; - is stdout")
      ->required();
  verb->add_option("--jobs", o->jobs, "Documents under way at the same time");
  verb->add_flag("--overwrite", o->overwrite, "Replace the output if it exists");
}

}  // namespace minnow::cli
