#include "plugins/manifest.h"

#include <CppUTest/TestHarness.h>
#include <minnow/abi/base.h>

#include <nlohmann/json.hpp>

#include "plugins/cpu_features.h"
#include "test_util.h"

using minnow::Code;
using minnow::plugins::CheckFitsHost;
using minnow::plugins::Manifest;
using minnow::plugins::ParseManifest;

TEST_GROUP(Manifest) {
  nlohmann::json good = {{"id", "minnow.cpu"},
                         {"kind", "backend"},
                         {"abi", "1.0"},
                         {"os", "linux"},
                         {"arch", "x86_64"},
                         {"cpu_features", {"avx2", "fma"}},
                         {"sha256", std::string(64, 'a')}};

  minnow::Status Parse() { return ParseManifest(good.dump(), "m").status(); }
};

TEST(Manifest, ReadsEveryField) {
  const auto m = ParseManifest(good.dump(), "m");
  CHECK_OK(m.status());
  STRCMP_EQUAL("minnow.cpu", m->id.c_str());
  STRCMP_EQUAL("backend", m->kind.c_str());
  UNSIGNED_LONGS_EQUAL(1, m->abi_major);
  UNSIGNED_LONGS_EQUAL(0, m->abi_minor);
  STRCMP_EQUAL("linux", m->os.c_str());
  STRCMP_EQUAL("x86_64", m->arch.c_str());
  UNSIGNED_LONGS_EQUAL(2, m->cpu_features.size());
  STRCMP_EQUAL("fma", m->cpu_features[1].c_str());
}

TEST(Manifest, NamesTheMissingField) {
  for (const char* field : {"id", "kind", "abi", "os", "arch", "sha256"}) {
    nlohmann::json less = good;
    less.erase(field);
    CHECK_ERROR(Code::kCorrupt, fmt::format("field '{}' is missing", field).c_str(),
                ParseManifest(less.dump(), "m").status());
  }
}

TEST(Manifest, NeedsNoCpuFeatures) {
  good.erase("cpu_features");
  CHECK_OK(Parse());
}

TEST(Manifest, NamesTheFieldOfTheWrongType) {
  good["os"] = 7;
  CHECK_ERROR(Code::kCorrupt, "field 'os'", Parse());
}

TEST(Manifest, RefusesNamesThatCouldHideInAMessage) {
  good["id"] = "a\nb";
  CHECK_ERROR(Code::kCorrupt, "field 'id'", Parse());
  good["id"] = "";
  CHECK_ERROR(Code::kCorrupt, "field 'id'", Parse());
  good["id"] = std::string(129, 'x');
  CHECK_ERROR(Code::kCorrupt, "field 'id'", Parse());
}

TEST(Manifest, RefusesAnUnknownKind) {
  good["kind"] = "codec";
  CHECK_ERROR(Code::kCorrupt, "'codec'", Parse());
}

TEST(Manifest, RefusesAnUnknownField) {
  good["signature"] = "x";
  CHECK_ERROR(Code::kCorrupt, "unknown field 'signature'", Parse());
}

TEST(Manifest, RefusesAFieldThatStandsThereTwice) {
  std::string text = good.dump();
  text.insert(1, "\"arch\": \"vax\", ");
  CHECK_ERROR(Code::kCorrupt, "field 'arch' stands there twice", ParseManifest(text, "m").status());
}

TEST(Manifest, RefusesAVersionThatIsNone) {
  for (const char* abi : {"1", "0.", ".1", "0.1.2", "0.-1", "0.1x", "99999999999.0"}) {
    good["abi"] = abi;
    CHECK_ERROR(Code::kCorrupt, "field 'abi'", Parse());
  }
}

TEST(Manifest, RefusesAChecksumThatIsNone) {
  for (const std::string& sha :
       {std::string(63, 'a'), std::string(64, 'A'), std::string(64, 'g')}) {
    good["sha256"] = sha;
    CHECK_ERROR(Code::kCorrupt, "field 'sha256'", Parse());
  }
}

TEST(Manifest, RefusesWhatIsNoObject) {
  for (const char* text : {"", "[]", "{", "null", "\"x\"", "{\"id\": }"}) {
    CHECK_ERROR(Code::kCorrupt, "not a JSON object", ParseManifest(text, "m").status());
  }
}

TEST(Manifest, RefusesDepthAndSize) {
  CHECK_ERROR(
      Code::kCorrupt, "nested too deeply",
      ParseManifest("{\"id\":" + std::string(20000, '[') + std::string(20000, ']') + "}", "m")
          .status());
  CHECK_ERROR(Code::kCorrupt, "a manifest has at most",
              ParseManifest(std::string(70000, ' '), "m").status());
  good["cpu_features"] = std::vector<std::string>(65, "avx2");
  CHECK_ERROR(Code::kCorrupt, "field 'cpu_features'", Parse());
}

TEST(Manifest, LiesBesideItsLibrary) {
  STRCMP_EQUAL("/d/x.minnow.json", minnow::plugins::ManifestPath("/d/x.so").c_str());
}

TEST_GROUP(FitsHost) {
  Manifest m;
  void setup() override {
    m.abi_major = MNW_ABI_MAJOR;
    m.abi_minor = MNW_ABI_MINOR;
    m.os = minnow::plugins::kHostOs;
    m.arch = minnow::plugins::kHostArch;
  }
};

TEST(FitsHost, AcceptsItsOwnKind) { CHECK_OK(CheckFitsHost(m)); }

TEST(FitsHost, RefusesAnotherAbiOsOrArch) {
  Manifest other = m;
  other.abi_major += 1;
  CHECK_ERROR(Code::kUnsupported, "rebuild the plugin", CheckFitsHost(other));
  other = m;
  other.os = "plan9";
  CHECK_ERROR(Code::kUnsupported, "built for plan9", CheckFitsHost(other));
  other = m;
  other.arch = "vax";
  CHECK_ERROR(Code::kUnsupported, "built for vax", CheckFitsHost(other));
}

TEST(FitsHost, TakesEveryMinorVersionOfItsMajorOne) {
  for (const uint32_t minor : {0u, MNW_ABI_MINOR, MNW_ABI_MINOR + 1, 99u}) {
    m.abi_minor = minor;
    CHECK_OK(CheckFitsHost(m));
  }
  for (const uint32_t major : {MNW_ABI_MAJOR - 1, MNW_ABI_MAJOR + 1}) {
    m.abi_major = major;
    CHECK_ERROR(Code::kUnsupported, "rebuild the plugin", CheckFitsHost(m));
  }
}

TEST(FitsHost, RefusesACpuFeatureNobodyHas) {
  m.cpu_features = {"avx9000"};
  CHECK_ERROR(Code::kUnsupported, "'avx9000', which this host does not know", CheckFitsHost(m));
}

// The kernel's list is an independent reading of CPUID and XGETBV under the same names.
TEST(FitsHost, AgreesWithTheKernelOnCpuFeatures) {
#if defined(__x86_64__)
  std::FILE* file = std::fopen("/proc/cpuinfo", "r");
  if (!file) return;
  std::string text(1 << 16, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  for (const char* name :
       {"ssse3", "sse4_1", "sse4_2", "popcnt", "avx", "f16c", "fma", "bmi2", "avx2", "avx512f",
        "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "avx512_bf16"}) {
    const bool listed = text.find(fmt::format(" {} ", name)) != text.npos;
    CHECK_TEXT(
        listed == (minnow::plugins::FindCpuFeature(name) == minnow::plugins::CpuFeature::kPresent),
        name);
  }
#endif
}
