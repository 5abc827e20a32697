// Model files that mean harm, or were damaged: each loads and answers, or is refused by name.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>

#include "base/log.h"
#include "build_tree.h"
#include "fuzz/small_model.h"
#include "fuzz/tiny_host.h"

namespace minnow::test {
namespace {

TinyHost& Host() {
  static const std::unique_ptr<TinyHost> host = [] {
    auto made = TinyHost::Create(BuildTreePlugins());
    CHECK_OK(made.status());
    return *std::move(made);
  }();
  return *host;
}

TEST_GROUP(HostileFile) {
  TempDir dir;
  std::string path = dir / "hostile.gguf";
  LogLevel level;

  void setup() override { level = SetLogLevel(LogLevel::kOff); }
  void teardown() override { SetLogLevel(level); }

  // What becomes of a small model after `change`.
  Status After(const std::function<void(SmallModel&)>& change, const char* arch = "llama",
               bool byte_level = false) {
    SmallModel model(arch, byte_level);
    change(model);
    MNW_TRY(model.Write(path));
    return Host().LoadAndGenerate(path);
  }
  std::string SmallFile(size_t * header) {
    const SmallModel model;
    CHECK_OK(model.Write(path));
    std::ifstream in(path, std::ios::binary);
    const std::string bytes(std::istreambuf_iterator<char>(in), {});
    const auto reader = formats::GgufReader::Open(path);
    CHECK_OK(reader.status());
    *header =
        static_cast<size_t>(reader->tensors()[0].data.data() - reader->files()[0].bytes().data());
    return bytes;
  }
};

TEST(HostileFile, UntouchedSmallModelsOfEveryLayoutAnswer) {
  for (const char* arch : {"llama", "qwen2", "phi3", "gemma2"}) {
    for (const bool byte_level : {false, true})
      CHECK_OK(After([](SmallModel&) {}, arch, byte_level));
  }
}

TEST(HostileFile, EveryTruncationIsRefusedByName) {
  size_t header;
  const std::string bytes = SmallFile(&header);
  CHECK_OK(Host().LoadAndGenerate(path));
  for (size_t size = bytes.size(); size-- > 0;) {
    LONGS_EQUAL(0, ::truncate(path.c_str(), static_cast<off_t>(size)));
    const Status status = Host().LoadAndGenerate(path);
    CHECK_TEXT(!status.ok(), fmt::format("accepted {} of {} bytes", size, bytes.size()).c_str());
    STRCMP_CONTAINS("hostile.gguf': ", status.message().c_str());
  }
}

TEST(HostileFile, EveryFlippedBitOfTheHeaderAnswersOrIsRefused) {
  size_t header;
  const std::string bytes = SmallFile(&header);
  CHECK(header <= 4096);
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  size_t answered = 0, refused = 0;
  for (size_t bit = 0; bit < header * 8; ++bit) {
    const auto at = static_cast<off_t>(bit / 8);
    const char flipped = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    LONGS_EQUAL(1, ::pwrite(fd, &flipped, 1, at));
    const Status status = Host().LoadAndGenerate(path);
    ++(status.ok() ? answered : refused);
    CHECK_TEXT(status.ok() || status.message().size() > 20, fmt::format("bit {}", bit).c_str());
    LONGS_EQUAL(1, ::pwrite(fd, &bytes[bit / 8], 1, at));
  }
  ::close(fd);
  CHECK(answered > 500);  // text may be other text
  CHECK(refused > 2000);
}

// --- hyper-parameters

TEST(HostileFile, RefusesHyperparametersThatNoModelHas) {
  const struct {
    const char* key;
    uint32_t value;
    const char* message;
  } kCases[] = {
      {".attention.head_count", 0, "'llama.attention.head_count' is 0, must be 1 to"},
      {".attention.head_count_kv", 0, "'llama.attention.head_count_kv' is 0"},
      {".block_count", 0, "'llama.block_count' is 0"},
      {".block_count", 1u << 31, "'llama.block_count' is 2147483648"},
      {".block_count", 2, "no tensor 'blk.1.attn_norm.weight'"},
      {".attention.key_length", 0, "'llama.attention.key_length' is 0"},
      {".attention.value_length", 1u << 30, "'llama.attention.value_length' is"},
      {".embedding_length", 0, "'llama.embedding_length' is 0"},
      {".embedding_length", 64, "tensor 'token_embd.weight' is [16,32], must be [any,64]"},
      {".feed_forward_length", 64, "tensor 'blk.0.ffn_"},
      {".context_length", 0, "'llama.context_length' is 0"},
      {".context_length", 1u << 31, "'llama.context_length' is 2147483648"},
      {".rope.dimension_count", 32, "rope"},
      {".rope.dimension_count", 3, "rope"},
  };
  for (const auto& c : kCases) {
    const Status status = After([&](SmallModel& m) { m.SetKey(c.key, c.value); });
    CHECK_TEXT(!status.ok(), c.message);
    STRCMP_CONTAINS(c.message, status.message().c_str());
  }
  CHECK_ERROR(Code::kCorrupt, "'llama.context_length' is 1099511627776",
              After([](SmallModel& m) { m.writer.SetU64("llama.context_length", 1ull << 40); }));
  CHECK_ERROR(Code::kInvalid, "'llama.block_count' is no integer",
              After([](SmallModel& m) { m.writer.SetF32("llama.block_count", 1); }));
  CHECK_ERROR(Code::kInvalid, "'llama.attention.layer_norm_rms_epsilon' is no finite number",
              After([](SmallModel& m) {
                m.writer.SetF32("llama.attention.layer_norm_rms_epsilon", std::nanf(""));
              }));
  // Sizes by a missing key: another architecture's prefix.
  CHECK_ERROR(Code::kNotFound, "'qwen2.block_count' is missing",
              After([](SmallModel& m) { m.writer.SetString("general.architecture", "qwen2"); }));
}

TEST(HostileFile, RefusesHeadsThatCannotShareKeys) {
  CHECK_ERROR(Code::kInvalid, "3 query heads share 2 key heads", After([](SmallModel& m) {
                m.SetKey(".attention.head_count", 3);
                m.SetKey(".attention.head_count_kv", 2);
                m.SetKey(".attention.key_length", 32);
                m.SetKey(".attention.value_length", 32);
                const auto resize = [&](const char* name, int64_t in, int64_t out) {
                  SmallTensor& t = m.tensor(name);
                  t.ne = {in, out};
                  t.bytes.resize(static_cast<size_t>(in / 32 * 34 * out));
                };
                resize("blk.0.attn_q.weight", 32, 96);
                resize("blk.0.attn_k.weight", 32, 64);
                resize("blk.0.attn_v.weight", 32, 64);
                resize("blk.0.attn_output.weight", 96, 32);
              }));
}

TEST(HostileFile, RefusesMissingTensorsAndSaysNothingOfMore) {
  CHECK_ERROR(Code::kNotFound, "no tensor 'blk.0.ffn_up.weight', which must be [32,32]",
              After([](SmallModel& m) {
                std::erase_if(m.tensors,
                              [](const auto& t) { return t.name == "blk.0.ffn_up.weight"; });
              }));
  CHECK_OK(After([](SmallModel& m) {
    SmallTensor more = m.tensor("output_norm.weight");
    more.name = "more";
    m.tensors.push_back(more);
  }));
}

// --- vocabulary

TEST(HostileFile, RefusesVocabulariesThatDoNotFitTheModel) {
  const auto tokens = [](const std::vector<std::string>& list) {
    return [list](SmallModel& m) { m.writer.SetStrings("tokenizer.ggml.tokens", list); };
  };
  CHECK_ERROR(Code::kCorrupt, "no tokens", After(tokens({})));
  CHECK_ERROR(Code::kCorrupt, "16 entries for 3 tokens", After(tokens({"a", "b", "c"})));
  CHECK_ERROR(Code::kCorrupt, "the tokenizer has 17 tokens, the model's table 16 rows",
              After([](SmallModel& m) {
                std::vector<std::string> more(17, "x");
                m.writer.SetStrings("tokenizer.ggml.tokens", more);
                m.writer.SetF32s("tokenizer.ggml.scores", std::vector<float>(17));
                m.writer.SetI32s("tokenizer.ggml.token_type", std::vector<int32_t>(17, 1));
              }));
  CHECK_ERROR(Code::kCorrupt, "'tokenizer.ggml.token_type' holds an array of string",
              After([](SmallModel& m) {
                m.writer.SetStrings("tokenizer.ggml.token_type", std::vector<std::string>(16));
              }));
  CHECK_ERROR(Code::kCorrupt, "'tokenizer.ggml.scores' holds an array of i8",
              After([](SmallModel& m) {
                static constexpr std::byte kScores[16] = {};
                m.writer.Set({"tokenizer.ggml.scores", true, formats::GgufType::kI8, 16, kScores});
              }));
  CHECK_ERROR(Code::kCorrupt, "token 0 has the unknown type 7", After([](SmallModel& m) {
                m.writer.SetI32s("tokenizer.ggml.token_type", std::vector<int32_t>(16, 7));
              }));
  CHECK_ERROR(Code::kCorrupt, "score of token 0 is not a number", After([](SmallModel& m) {
                m.writer.SetF32s("tokenizer.ggml.scores", std::vector<float>(16, std::nanf("")));
              }));
}

// One token replaced; the text "ab a" goes through it.
TEST(HostileFile, TakesOrRefusesStrangeTokensAndNeverIndexesByThem) {
  const auto with_token = [](const std::string& token, int type) {
    return [=](SmallModel& m) {
      std::vector<std::string> tokens = {"<unk>", "<s>", "</s>", "",  " ", "a", "b", "ab",
                                         "c",     "d",   "e",    "f", "g", "h", "i", "j"};
      tokens[3] = token;
      std::vector<int32_t> types(16, 1);
      types[3] = type;
      m.writer.SetStrings("tokenizer.ggml.tokens", tokens);
      m.writer.SetI32s("tokenizer.ggml.token_type", types);
    };
  };
  for (const char* token : {"<0x-1>", "<0xZZ>", "<0x100>", "<0x>", "0x41"}) {
    CHECK_ERROR(Code::kCorrupt, "token 3 is a byte piece but not of the form <0x41>",
                After(with_token(token, 6)));
    CHECK_OK(After(with_token(token, 1)));
  }
  for (const char* token : {"", "\xFF\xFE", "\xE2\x96", "a\x80"}) {
    for (const int type : {1, 2, 3, 4, 5}) CHECK_OK(After(with_token(token, type)));
  }
  const std::string huge(1 << 20, 'a');
  for (const int type : {1, 3, 4}) {
    CHECK_ERROR(Code::kUnsupported, "token 3 is 1048576 bytes long; 1024 is the limit",
                After(with_token(huge, type)));
  }
}

TEST(HostileFile, IgnoresSpecialTokensOutsideTheVocabulary) {
  for (const char* name :
       {"bos_token_id", "eos_token_id", "eot_token_id", "unknown_token_id", "padding_token_id"}) {
    for (const uint32_t id : {16u, 1u << 31, ~0u}) {
      CHECK_OK(After(
          [&](SmallModel& m) { m.writer.SetU32(fmt::format("tokenizer.ggml.{}", name), id); }));
    }
  }
  CHECK_ERROR(Code::kCorrupt, "'tokenizer.ggml.bos_token_id' holds f32",
              After([](SmallModel& m) { m.writer.SetF32("tokenizer.ggml.bos_token_id", 1); }));
}

TEST(HostileFile, RefusesMergesOfWhatIsNotThere) {
  const auto merges = [&](const std::vector<std::string>& list) {
    return After([&](SmallModel& m) { m.writer.SetStrings("tokenizer.ggml.merges", list); },
                 "llama", true);
  };
  CHECK_ERROR(Code::kCorrupt, "names a piece that the vocabulary lacks", merges({"a zzz"}));
  CHECK_ERROR(Code::kCorrupt, "names a piece that the vocabulary lacks", merges({"b a"}));
  CHECK_ERROR(Code::kCorrupt, "is not two pieces", merges({"ab"}));
  CHECK_ERROR(Code::kCorrupt, "is not two pieces", merges({""}));
  CHECK_ERROR(Code::kCorrupt, "is not two pieces", merges({"a b c"}));
  CHECK_ERROR(Code::kCorrupt, "without tokenizer.ggml.merges", merges({}));
  CHECK_OK(merges({"a b", "a b", "ab ab"}));  // a merge twice: the first counts
}

// --- chat template

TEST(HostileFile, TemplatesEndAtTheirLimits) {
  const auto with_template = [&](const std::string& source) {
    return After([&](SmallModel& m) { m.writer.SetString("tokenizer.chat_template", source); });
  };
  const auto repeat = [](const std::string& text, int n) {
    std::string all;
    for (int i = 0; i < n; ++i) all += text;
    return all;
  };
  CHECK_OK(with_template("{#" + std::string(10 << 20, 'a') + "#}a"));
  CHECK_ERROR(Code::kExhausted, "nests deeper than", with_template(repeat("{% if 1 %}", 10'000)));
  CHECK_ERROR(Code::kInvalid, "its chat template: template line 1",
              with_template("{% for x in messages %}"));
  CHECK_ERROR(Code::kInvalid, "template line 1", with_template("{{ 'a"));
  CHECK_ERROR(Code::kUnsupported, "the tag 'include' is not supported",
              with_template("{% include '/etc/passwd' %}"));
  CHECK_ERROR(Code::kExhausted, "limit of 20000000 steps (max_steps)",
              with_template("{% for a in range(25000) %}{% for b in range(25000) %}"
                            "{% endfor %}{% endfor %}"));
  CHECK_ERROR(Code::kExhausted, "max_depth",
              with_template("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"));
  CHECK_ERROR(Code::kExhausted, "max_output",
              with_template("{% set n = namespace(x='ab') %}{% for i in range(99) %}"
                            "{% set n.x = n.x ~ n.x %}{% endfor %}"));
  const Status status = with_template("{{ ''.__class__.__mro__ }}");
  CHECK(!status.ok());
}

// --- weights

TEST(HostileFile, WeightsOfNanOrInfinityEndTheFirstAnswerByName) {
  for (const uint16_t scale : {0x7e00, 0x7c00, 0xfc00}) {  // NaN, infinity, -infinity
    for (const char* name : {"token_embd.weight", "blk.0.attn_q.weight", "blk.0.attn_v.weight",
                             "blk.0.ffn_down.weight"}) {
      const Status status = After([&](SmallModel& m) {
        std::vector<std::byte>& bytes = m.tensor(name).bytes;
        for (size_t i = 0; i < bytes.size(); i += 34) std::memcpy(&bytes[i], &scale, 2);
      });
      CHECK_ERROR(Code::kInternal, "the model gave non-finite logits (", status);
    }
  }
  CHECK_ERROR(Code::kInternal, "non-finite logits", After([](SmallModel& m) {
                const float nan = std::nanf("");
                std::memcpy(m.tensor("output_norm.weight").bytes.data(), &nan, 4);
              }));
}

// --- memory

TEST(HostileFile, RefusesAContextThatMemoryCannotHold) {
  CHECK_OK(SmallModel().Write(path));
  auto device = BuildTreePlugins().OpenDevice("cpu", 1);
  CHECK_OK(device.status());
  plugins::Device* const devices[] = {&*device};
  const auto create = [&](uint32_t n_ctx, model::InstanceOptions options) {
    return model::Instance::Create(LoadModel(path, n_ctx), devices, options).status();
  };
  model::InstanceOptions options;
  options.memory_bytes = 16 << 20;
  CHECK_OK(create(1 << 10, options));
  // 64 bytes a position: 16 values each of key and value, of two bytes.
  CHECK_ERROR(Code::kPrecondition,
              "MiB on device 'cpu' (0.0 weights, 1024.0 cache of a context of 16777216, ",
              create(1 << 24, options));
  options.kv_tokens = 1 << 30;
  CHECK_ERROR(Code::kPrecondition, "65536.0 cache of a context of 1024", create(1 << 10, options));
  options = {};
  options.max_tokens = 1 << 30;
  CHECK_ERROR(Code::kPrecondition, "lower --ctx-size or --kv-tokens", create(1 << 10, options));
}

TEST(HostileFile, ASparseFileOf4GiBCostsNothingUntilItIsRead) {
  // A tensor of 4 GiB, all hole, behind a good model: no one uses it.
  SmallModel model;
  static constexpr float kZeros[8] = {};
  const auto zeros = std::as_bytes(std::span(kZeros));
  model.tensors.push_back({"hole", MNW_TYPE_F32, {8}, {zeros.begin(), zeros.end()}});
  CHECK_OK(model.Write(path));
  const auto stretch = [&](const char* name, size_t at_dim, int64_t rows) {
    std::ifstream in(path, std::ios::binary);
    std::string bytes(std::istreambuf_iterator<char>(in), {});
    const size_t found = bytes.find(name) + std::strlen(name) + 4 + 8 * at_dim;
    std::memcpy(&bytes[found], &rows, sizeof rows);
    std::ofstream(path, std::ios::binary) << bytes;
    LONGS_EQUAL(0, ::truncate(path.c_str(), (int64_t{4} << 30) + (1 << 20)));
  };
  stretch("hole", 0, int64_t{1} << 30);
  const int64_t before = ResidentBytes();
  CHECK_OK(Host().LoadAndGenerate(path));
  CHECK(ResidentBytes() - before < (32 << 20));

  // A table of 4 GiB that is used: refused before it is read.
  SmallModel large;
  std::rotate(large.tensors.begin(), large.tensors.begin() + 1, large.tensors.end());
  CHECK_OK(large.Write(path));
  stretch("token_embd.weight", 1, (int64_t{4} << 30) / 34);
  const int64_t again = ResidentBytes();
  CHECK_ERROR(Code::kPrecondition, "MiB on device 'cpu' (4096.", Host().LoadAndGenerate(path));
  CHECK(ResidentBytes() - again < (32 << 20));
}

TEST(HostileFile, AFileThatChangedSinceItWasLoadedIsNotRead) {
  CHECK_OK(SmallModel().Write(path));
  auto device = BuildTreePlugins().OpenDevice("cpu", 1);
  CHECK_OK(device.status());
  plugins::Device* const devices[] = {&*device};
  const auto model = LoadModel(path);
  LONGS_EQUAL(0, ::truncate(path.c_str(), 100));
  CHECK_ERROR(Code::kCorrupt, "hostile.gguf' changed while it was open",
              model::Instance::Create(model, devices, {}).status());
}

}  // namespace
}  // namespace minnow::test
