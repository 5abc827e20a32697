// The published test suite of JSON Schema 2020-12, where its package is installed: every schema is
// either enforced, its valid instances accepted and its invalid ones not, or refused by name.
//
// An instance is accepted if it is with its properties in some order, its numbers written by
// decimal digits and integers without a fraction: what we write is one of many ways to write it.
// Left out are instances that no bounded digits can write (kTooLong).
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "base/json.h"
#include "build_paths.h"
#include "constrain/json_schema.h"
#include "constrain/json_schema_numbers.h"
#include "constrain/json_text.h"
#include "test_util.h"

namespace minnow::constrain {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kSuite[] =
    "/usr/share/perl5/auto/share/dist/Test-JSON-Schema-Acceptance/tests/draft2020-12";
const std::string kTable = minnow::test::InSource("docs/json_schema_keywords.md");
// Those of the formats that are enforced.
constexpr const char* kFormats[] = {"date", "time", "date-time", "duration", "email",
                                    "uri",  "uuid", "ipv4",      "ipv6",     "hostname"};
constexpr size_t kTooLong = 19;  // digits before the dot

struct Row {
  size_t groups = 0, enforced = 0, empty = 0, instances = 0, left_out = 0;
  std::map<std::string, size_t> refused;  // by keyword
};

// What is left of `state` after the value, its properties in any order that is accepted; calls
// `end` with each until it returns true.
template <class End>
bool Walk(Terms& terms, Term state, const Json& value, const End& end) {
  if (state == kNever) return false;
  if (value.is_array()) {
    const std::function<bool(Term, size_t)> items = [&](Term t, size_t i) -> bool {
      if (t == kNever) return false;
      if (i == value.size()) return end(terms.Derive(t, "]"));
      const Term item = i == 0 ? t : terms.Derive(t, ", ");
      return Walk(terms, item, value[i],
                  std::function<bool(Term)>([&](Term next) { return items(next, i + 1); }));
    };
    return items(terms.Derive(state, "["), 0);
  }
  if (value.is_object()) {
    std::vector<bool> used(value.size());
    const std::function<bool(Term, size_t)> members = [&](Term t, size_t n) -> bool {
      if (t == kNever) return false;
      if (n == value.size()) return end(terms.Derive(t, "}"));
      size_t i = 0;
      for (auto it = value.begin(); it != value.end(); ++it, ++i) {
        if (used[i]) continue;
        used[i] = true;
        const Term name = terms.Derive(t, (n == 0 ? "" : ", ") + JsonQuote(it.key()) + ": ");
        const bool found =
            Walk(terms, name, it.value(),
                 std::function<bool(Term)>([&](Term next) { return members(next, n + 1); }));
        used[i] = false;
        if (found) return true;
      }
      return false;
    };
    return members(terms.Derive(state, "{"), 0);
  }
  std::string text = value.dump();
  if (value.is_string()) text = JsonQuote(value.get_ref<const std::string&>());
  if (value.is_number()) text = ParseDecimal(text).value_or(Decimal{}).Text();
  return end(terms.Derive(state, text));
}

bool Accepted(Terms& terms, Term root, const Json& value) {
  return Walk(terms, root, value,
              std::function<bool(Term)>([&](Term t) { return t != kNever && terms.Nullable(t); }));
}

bool TooLong(const Json& value) {
  if (value.is_structured()) return std::any_of(value.begin(), value.end(), TooLong);
  if (!value.is_number()) return false;
  const auto number = ParseDecimal(value.dump());
  return !number || number->whole.size() > kTooLong;
}

void CheckGroup(const std::string& file, const Json& group, bool formats, Row* row,
                std::vector<std::string>* wrong) {
  const std::string name = file + ": " + group["description"].get<std::string>();
  ++row->groups;
  JsonSchemaOptions options;
  options.open_objects = true;
  options.assert_formats = formats;
  Terms terms;
  JsonSchemaReport report;
  const Result<Term> root = CompileJsonSchema(terms, group["schema"], options, &report);
  const auto valid = [](const Json& t) { return t["valid"].get<bool>(); };
  if (!root.ok()) {
    const auto refused = std::find_if(report.begin(), report.end(), [](const JsonSchemaNote& n) {
      return n.kind == JsonSchemaNote::Kind::kRefused;
    });
    const std::string message = root.status().message();
    if (refused != report.end()) {
      const std::string named = "#" + refused->pointer + ": " + refused->text;
      if (!message.starts_with(named)) wrong->push_back(name + ": " + message);
      ++row->refused[refused->keyword.empty() ? "itself" : refused->keyword];
      return;
    }
    if (!message.starts_with("no value obeys the schema: #") ||
        std::any_of(group["tests"].begin(), group["tests"].end(), valid)) {
      wrong->push_back(name + ": " + message);
    }
    row->instances += group["tests"].size();
    ++row->empty;
    return;
  }
  if (const Status sealed = terms.Seal(); !sealed.ok()) {
    wrong->push_back(name + ": " + sealed.message());
    return;
  }
  ++row->enforced;
  for (const Json& test : group["tests"]) {
    if (TooLong(test["data"])) {
      ++row->left_out;
      continue;
    }
    ++row->instances;
    const bool accepted = Accepted(terms, *root, test["data"]);
    if (accepted == valid(test)) continue;
    wrong->push_back(name + ": " + test["description"].get<std::string>() + ": " +
                     test["data"].dump() + (accepted ? " is" : " is not") + " accepted");
  }
  if (!terms.status().ok()) wrong->push_back(name + ": " + terms.status().message());
}

std::map<std::string, Row> RunSuite(std::vector<std::string>* wrong) {
  std::map<std::string, Row> rows;
  const auto run = [&](const std::string& name, const std::string& path, bool formats) {
    std::ifstream in(path);
    std::stringstream text;
    text << in.rdbuf();
    const Result<Json> groups = ParseJson(text.str());
    CHECK_OK(groups.status());
    for (const Json& group : *groups) CheckGroup(name, group, formats, &rows[name], wrong);
  };
  for (const auto& entry : std::filesystem::directory_iterator(kSuite)) {
    if (entry.path().extension() == ".json") run(entry.path().stem(), entry.path(), false);
  }
  for (const char* format : kFormats) {
    run(std::string("format: ") + format, fmt::format("{}/optional/format/{}.json", kSuite, format),
        true);
  }
  return rows;
}

std::string Table(const std::map<std::string, Row>& rows) {
  std::string out =
      "# JSON Schema keywords\n\n"
      "Written by `build/dev/bin/constrain_test -g JsonSchemaSuite` (with `MINNOW_WRITE_DOCS=1`) "
      "from its run\n"
      "over the published test suite of draft 2020-12. Each row is a file of the suite: its "
      "groups, each one\n"
      "schema, and its instances. A schema is enforced when all its valid instances can be written "
      "and none of\n"
      "the invalid ones; else it is refused by the keyword that could not be held.\n\n"
      "| file | groups | enforced | no value is possible | instances | refused by keyword |\n"
      "|---|---|---|---|---|---|\n";
  Row all;
  for (const auto& [name, row] : rows) {
    std::string refused;
    size_t n = 0;
    for (const auto& [keyword, count] : row.refused) {
      refused += fmt::format("{}`{}` {}", refused.empty() ? "" : ", ", keyword, count);
      n += count;
    }
    out += fmt::format("| {} | {} | {} | {} | {} | {} |\n", name, row.groups, row.enforced,
                       row.empty, row.instances, refused);
    all.groups += row.groups;
    all.enforced += row.enforced;
    all.empty += row.empty;
    all.instances += row.instances;
    all.left_out += row.left_out;
    all.refused["all"] += n;
  }
  return out + fmt::format("| **all** | {} | {} | {} | {} | {} |\n", all.groups, all.enforced,
                           all.empty, all.instances, all.refused["all"]);
}

// A document as a model without sense writes it: any byte that may come next, and after a while, or
// now and then, one that leads to the end.
std::string RandomDocument(Terms& terms, Term root, std::mt19937& random) {
  std::string document;
  Term state = root;
  for (;;) {
    const ByteSet first = terms.First(state);
    if (first.empty() || (terms.Nullable(state) && random() % 4 == 0)) return document;
    std::vector<uint8_t> bytes;
    for (unsigned b = 0; b < 256; ++b) {
      if (first.Has(static_cast<uint8_t>(b))) bytes.push_back(static_cast<uint8_t>(b));
    }
    uint8_t byte = bytes[random() % bytes.size()];
    if (document.size() > 100 || random() % 16 == 0) {
      byte = *std::ranges::min_element(
          bytes, {}, [&](uint8_t b) { return terms.Cost(terms.Derive(state, b)); });
    }
    document += static_cast<char>(byte);
    state = terms.Derive(state, byte);
  }
}

}  // namespace

TEST_GROUP(JsonSchemaSuite){};

// For tests/golden/json_schema_samples.py, which has another validator look at them.
TEST(JsonSchemaSuite, SamplesAreWrittenForAnotherValidator) {
  const char* path = ::getenv("MINNOW_SAMPLES");
  if (!path || !std::filesystem::exists(kSuite)) return;
  const char* number = ::getenv("MINNOW_SAMPLES_EACH");
  const int each = number ? ::atoi(number) : 40;
  std::ofstream out(path);
  std::mt19937 random(1);
  const auto write = [&](const std::string& file, bool formats) {
    std::ifstream in(file);
    std::stringstream text;
    text << in.rdbuf();
    const Result<Json> groups = ParseJson(text.str());
    CHECK_OK(groups.status());
    for (const Json& group : *groups) {
      Terms terms;
      JsonSchemaOptions options;
      options.open_objects = true;
      options.assert_formats = formats;
      const Result<Term> root = CompileJsonSchema(terms, group["schema"], options);
      if (!root.ok()) continue;
      CHECK_OK(terms.Seal());
      Json line = {
          {"group", group["description"]}, {"schema", group["schema"]}, {"formats", formats}};
      for (int i = 0; i < each; ++i) {
        line["documents"].push_back(RandomDocument(terms, *root, random));
      }
      CHECK_OK(terms.status());
      out << line.dump() << "\n";
    }
  };
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(kSuite)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const std::string& file : files) write(file, false);
  for (const char* format : kFormats) {
    write(fmt::format("{}/optional/format/{}.json", kSuite, format), true);
  }
}

TEST(JsonSchemaSuite, EverySchemaIsEnforcedOrRefusedByName) {
  if (!std::filesystem::exists(kSuite)) {
    std::printf("\nskipped JsonSchemaSuite: no %s (package libtest-json-schema-acceptance-perl)\n",
                kSuite);
    return;
  }
  std::vector<std::string> wrong;
  const std::map<std::string, Row> rows = RunSuite(&wrong);
  CHECK_TEXT(wrong.empty(), fmt::format("{}", fmt::join(wrong, "\n")).c_str());
  size_t groups = 0, refused = 0;
  for (const auto& [name, row] : rows) {
    groups += row.groups;
    refused += row.groups - row.enforced - row.empty;
  }
  CHECK_TRUE(groups >= 350);
  CHECK_TEXT(refused * 4 <= groups, fmt::format("{} of {} refused", refused, groups).c_str());
  const std::string table = Table(rows);
  if (getenv("MINNOW_WRITE_DOCS")) std::ofstream(kTable) << table;
  std::ifstream in(kTable);
  std::stringstream kept;
  kept << in.rdbuf();
  STRCMP_EQUAL(table.c_str(), kept.str().c_str());
}

}  // namespace minnow::constrain
