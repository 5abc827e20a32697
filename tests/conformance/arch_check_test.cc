// `minnow check` on architectures: each planted fault is found, in the case that it belongs to; our
// own pass, on made-up files and on real ones.
#include <span>

#include "build_paths.h"
#include "check.h"
#include "formats/gguf_writer.h"

namespace minnow::test {
namespace {

const std::string kFaulty = InBuild("tests/plugins/faulty_archs.so");
const std::string kModels = InBuild("plugins/minnow_models.so");
const std::string kGolden = InSource("tests/golden/models/");

void CheckFound(const std::string& fault, const std::string& check, const std::string& words) {
  CheckFails(kFaulty, "arch/" + fault + "/" + check, words);
}

TEST_GROUP(ArchCheck){};
TEST_GROUP(ArchMemoryFaults){};

TEST(ArchCheck, ARightArchitecturePasses) { CheckPasses(kFaulty, {"arch/right/*"}); }

TEST(ArchCheck, OurArchitecturesPass) { CheckPasses(kModels, {}); }

TEST(ArchCheck, OurArchitecturesPassOnRealFiles) {
  for (const std::string file :
       {"llama", "mistral", "qwen2", "phi3_longrope", "gemma2", "mamba2", "bert_mean"}) {
    CheckPasses(kModels, {"arch/*"}, {"--model", kGolden + file + ".gguf"});
  }
}

TEST(ArchCheck, FindsGraphsThatDependOnMoreThanTheFile) {
  CheckFound("other_graph", "repeats", "another graph: '");
  CheckFound("writes_numbers", "repeats", "in another locale");
}

TEST(ArchCheck, FindsKeysThatAreNotLookedAt) {
  CheckFound("missing_key", "keys/missing",
             "crashed with SIGABRT in without key 'missing_key.block_count': build()");
  CheckFound("unnamed_key", "keys/missing", "does not name it");
  CheckFound("unnamed_key", "keys/mistyped", "this is no model of mine");
  CheckFound("any_type", "keys/mistyped", "it was accepted");
}

TEST(ArchMemoryFaults, FindsGraphsThatDependOnTheAllocator) {
  // "built again" or "on other memory": which of the two is first to differ is the allocator's
  // choice.
  CheckFound("other_params", "repeats", ": another graph: '");
}

TEST(ArchMemoryFaults, FindsHarmDoneByAbsurdValues) {
  CheckFound("divides", "keys/absurd",
             "crashed with SIGFPE in with key 'divides.attention.head_count' = 0");
  CheckFound("endless", "keys/absurd", "did not end within 2 s in with key 'endless.block_count'");
  CheckFound("huge", "keys/absurd", "out of host memory");
  CheckFound("truncates", "keys/absurd", "= 1099511627776: it was accepted");
}

TEST(ArchCheck, FindsTensorsThatAreRefusedWithoutTheirName) {
  CheckFound("any_shape", "builds", "linear: input w is f32[80,80], must be [N,K] with K = 64");
  CheckFound("unnamed_tensor", "tensors/missing", "a tensor is missing");
}

TEST(ArchCheck, FindsWrongSitesOfAdapters) {
  CheckFound("no_sites", "adapters", "no adapter, though they are asked for: node 1, ");
  CheckFound("same_sites", "adapters", "site 0 belongs to another matrix");
}

TEST(ArchCheck, FindsWrongInfoAndBadManners) {
  CheckFound("vocabulary", "builds", "n_vocab is 79, output 'logits' is f32[n_out,80]");
  CheckFound("past_info", "builds", "wrote outside of its mnw_model_info");
  CheckFound("newer_info", "host/newer", "wrote fields of a newer mnw_model_info");
  CheckFound("prints", "builds", "printed, which plugins must not: 'building");
  CheckFound("throws", "builds", "build() let an exception escape");
}

TEST(ArchCheck, SaysThatItNeedsARealFileAndUsesIt) {
  CheckFound("other_keys", "builds", "'other_keys.things'");
  CheckFound("other_keys", "adapters", "--model shows it a real one");

  const std::vector<float> zeros(64 * 64);
  const auto bytes = std::as_bytes(std::span(zeros));
  formats::GgufWriter writer;
  writer.SetString("general.architecture", "other_keys");
  writer.SetU32("other_keys.things", 3);
  writer.SetU32("other_keys.block_count", 1);
  writer.SetU32("other_keys.embedding_length", 32);
  writer.AddTensor("token_embd.weight", MNW_TYPE_F32, {32, 40}, bytes.first(32 * 40 * 4));
  writer.AddTensor("blk.0.ffn.weight", MNW_TYPE_F32, {32, 32}, bytes.first(32 * 32 * 4));
  const TempDir folder;
  const std::string file = folder.path() + "/other_keys.gguf";
  CHECK_OK(writer.Write(file));
  CheckPasses(kFaulty, {"arch/other_keys/*"}, {"--model", file});
}

TEST(ArchCheck, RefusesAFileThatIsForAnotherPlugin) {
  CheckFails(kModels, "load", "is for architecture 'starcoder2', which the plugin has not",
             {"--model", InSource("examples/toy_architecture/starcoder2.gguf")});
}

}  // namespace
}  // namespace minnow::test
