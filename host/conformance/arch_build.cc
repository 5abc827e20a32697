#include "conformance/arch_build.h"

#include <cstring>
#include <utility>

#include "model/instance.h"
#include "plugins/device.h"

namespace minnow::conformance {

namespace {

constexpr int64_t kAnyExtent = 80;       // of a tensor whose extent is left open
constexpr size_t kMostTensors = 10'000;  // of a made-up file

// The host's builder, looked over the shoulder.
struct Recorder {
  const graph::Builder& builder;
  const mnw_builder& host;
  const ArchFile& file;
  BuildEnd& end;

  static mnw_id Weight(void* self, const char* name, uint32_t n_dims, const int64_t* dims,
                       uint32_t flags) {
    const auto& r = *static_cast<const Recorder*>(self);
    // After a failure extents are what dim() makes of nothing.
    if (name && dims && n_dims <= 4 && r.builder.status().ok()) {
      r.Note({name, {dims, dims + n_dims}}, flags);
    }
    return r.host.weight(r.host.self, name, n_dims, dims, flags);
  }

  void Note(WantedTensor wanted, uint32_t flags) const {
    if (file.HasTensor(wanted.name) && !file.IsGuess(wanted.name)) {
      end.asked[wanted.name] = wanted.dims;
    } else if (!end.missing && (file.has_optional() || !(flags & MNW_WEIGHT_OPTIONAL))) {
      end.missing = std::move(wanted);
    }
  }
};

// An entry of the builder that goes to the host's as it is.
template <auto Entry>
struct Pass;
template <class R, class... Args, R (*mnw_builder::*Entry)(void*, Args...)>
struct Pass<Entry> {
  static R Call(void* self, Args... args) {
    const mnw_builder& host = static_cast<const Recorder*>(self)->host;
    return (host.*Entry)(host.self, args...);
  }
};

mnw_builder TableOf(Recorder& recorder) {
  mnw_builder b{};
  b.size = sizeof b;
  b.self = &recorder;
  b.weight = &Recorder::Weight;
  b.input = &Pass<&mnw_builder::input>::Call;
  b.state_group = &Pass<&mnw_builder::state_group>::Call;
  b.state = &Pass<&mnw_builder::state>::Call;
  b.emit = &Pass<&mnw_builder::emit>::Call;
  b.view = &Pass<&mnw_builder::view>::Call;
  b.output = &Pass<&mnw_builder::output>::Call;
  b.dim = &Pass<&mnw_builder::dim>::Call;
  b.fail = &Pass<&mnw_builder::fail>::Call;
  return b;
}

// What build() may write to.
struct Written {
  Guarded info, error;

  static constexpr size_t kInfo = sizeof(mnw_model_info);
  explicit Written(HostAge age)
      : info(HostStruct(mnw_model_info{}, age)), error(std::vector<std::byte>(sizeof(mnw_error))) {}

  mnw_model_info* model_info() const { return reinterpret_cast<mnw_model_info*>(info.data()); }
  mnw_error* model_error() const { return reinterpret_cast<mnw_error*>(error.data()); }

  Status Check(HostAge age) const {
    for (const Guarded* g : {&info, &error}) {
      if (const std::string at = g->Breach(); !at.empty()) {
        return Error(Code::kInternal, "build() wrote outside of its {}, {}",
                     g == &info ? "mnw_model_info" : "mnw_error", at);
      }
    }
    if (model_info()->size != SizeFor(age, kInfo, kInfo)) {
      return Error(Code::kInternal, "build() changed the `size` of mnw_model_info, the host's");
    }
    for (const std::byte b : info.bytes().subspan(kInfo)) {
      if (b != kUnknown) {
        return Error(Code::kInternal, "build() wrote fields of a newer mnw_model_info");
      }
    }
    return Status();
  }
};

// A failure that build() answered with rather than through the builder.
Status Failure(int code, const mnw_error& error) {
  if (std::memchr(error.message, '\0', sizeof error.message) == nullptr) {
    return Error(Code::kInternal, "build() wrote an error message without its terminating NUL");
  }
  if (error.message[0] == '\0') {
    return Error(Code::kInternal, "build() failed with code {} and wrote no message", code);
  }
  return Status();
}

}  // namespace

Result<BuildEnd> Build(const mnw_arch& arch, ArchFile& file, const BuildOptions& options,
                       Trace& trace) {
  BuildEnd end;
  const mnw_build_options plain{sizeof plain, options.n_ctx, model::kPageTokens, options.adapters};
  // Those that has_tensor() makes up while building come too late for this builder.
  const std::vector<graph::TensorInfo> tensors = file.tensors;
  graph::Builder builder(plain, tensors);
  Recorder recorder{builder, *builder.abi(), file, end};
  Guarded metadata = HostStruct(file.View(), options.age);
  Guarded given = HostStruct(plain, options.age),
          table = HostStruct(TableOf(recorder), options.age);
  for (Guarded* g : {&metadata, &given, &table}) g->MakeReadOnly();
  const Written written(options.age);
  trace.Say("build()");
  int code = MNW_OK;
  try {
    code = arch.build(reinterpret_cast<const mnw_metadata*>(metadata.data()),
                      reinterpret_cast<const mnw_build_options*>(given.data()),
                      reinterpret_cast<const mnw_builder*>(table.data()), written.model_info(),
                      written.model_error());
  } catch (...) {
    return Error(Code::kInternal, "build() let an exception escape");
  }
  trace.Say("the host's part");
  MNW_TRY(written.Check(options.age));
  if (!builder.status().ok()) {
    end.refusal = builder.status();
    return end;
  }
  if (code != MNW_OK) {
    MNW_TRY(Failure(code, *written.model_error()));
    end.refusal = plugins::FromPlugin("build()", code, written.model_error());
    return end;
  }
  mnw_model_info info = *written.model_info();
  info.size = sizeof info;
  auto built = builder.Finish(info);
  if (built.ok()) {
    end.graph.emplace(std::move(built->graph));
  } else {
    end.refusal = std::move(built).status();
  }
  return end;
}

Result<ArchFile> MakeUpFile(const mnw_arch& arch, bool optional, Trace& trace) {
  ArchFile file = ArchFile::MadeUp(optional);
  while (file.tensors.size() < kMostTensors) {
    MNW_ASSIGN(BuildEnd end, Build(arch, file, {}, trace));
    if (!end.missing) {
      file.Finish();
      if (end.graph) return file;
      return std::move(end.refusal).Annotate(file.Name());
    }
    graph::TensorInfo tensor{end.missing->name, MNW_TYPE_F32, {1, 1, 1, 1}};
    for (size_t i = 0; i < end.missing->dims.size(); ++i) {
      tensor.ne[i] = end.missing->dims[i] ? end.missing->dims[i] : kAnyExtent;
    }
    file.AddTensor(std::move(tensor));
  }
  return Error(Code::kUnsupported, "{}: it wants more than {} tensors", file.Name(), kMostTensors);
}

}  // namespace minnow::conformance
