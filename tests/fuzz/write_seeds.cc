// Writes the seeds of the corpora that are small models or vocabularies: write_fuzz_seeds FOLDER.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "fuzz/small_model.h"

using minnow::Status;
using minnow::test::SmallModel;

namespace {

// A tokenizer's input is kind 0 (GGUF), then the text and the file without its tensors.
void WriteTokenizerSeed(const SmallModel& model, const std::string& path) {
  const std::string text = "ab abuser <s>\xC3\xA9 \xFF";
  const minnow::Status status = model.writer.Write(path);
  std::ifstream in(path, std::ios::binary);
  const std::string file(std::istreambuf_iterator<char>(in), {});
  std::ofstream(path, std::ios::binary) << '\0' << static_cast<char>(text.size()) << text << file;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::filesystem::path root(argv[1]);
  for (const char* arch : {"llama", "qwen2", "phi3", "gemma2"}) {
    for (const bool byte_level : {false, true}) {
      const std::string name =
          fmt::format("{}_{}.gguf", arch, byte_level ? "byte_level" : "sentencepiece");
      const SmallModel model(arch, byte_level);
      const Status status = model.Write((root / "gguf" / name).string());
      if (!status.ok()) {
        std::fprintf(stderr, "%s\n", status.message().c_str());
        return 1;
      }
      if (arch == std::string("llama")) {
        WriteTokenizerSeed(model, (root / "tokenizer" / name).string());
      }
    }
  }
  return 0;
}
