// `minnow check --json` run from a test, and what it said.
#pragma once

#include <CppUTest/UtestMacros.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "../e2e/command.h"
#include "build_paths.h"
#include "test_util.h"

namespace minnow::test {

inline const std::string kMinnow = InBuild("bin/minnow");

struct Checked {
  int exit_code;
  std::vector<nlohmann::json> failed;
  nlohmann::json summary;
};

inline Checked Check(const std::string& library, const std::vector<std::string>& cases,
                     const std::vector<std::string>& more = {}) {
  std::vector<std::string> line = {kMinnow, "check", library, "--json"};
  for (const std::string& c : cases) line.insert(line.end(), {"--case", c});
  line.insert(line.end(), more.begin(), more.end());
  const CommandResult r = RunCommand(line);
  Checked checked{r.exit_code, {}, {}};
  std::istringstream in(r.out);
  for (std::string text; std::getline(in, text);) {
    nlohmann::json j = nlohmann::json::parse(text);
    if (!j.contains("case")) {
      checked.summary = j;
    } else if (j["outcome"] == "failed") {
      checked.failed.push_back(j);
    }
  }
  if (r.exit_code != 0 && r.exit_code != 1) FAIL(r.err.c_str());
  return checked;
}

inline void CheckPasses(const std::string& library, const std::vector<std::string>& cases,
                        const std::vector<std::string>& more = {}) {
  const Checked checked = Check(library, cases, more);
  for (const nlohmann::json& j : checked.failed) UT_PRINT(j.dump().c_str());
  LONGS_EQUAL(0, checked.exit_code);
  CHECK(checked.summary["ok"].get<int>() > 0);
}

// The case fails with these words, and tells how to repeat it.
inline void CheckFails(const std::string& library, const std::string& in_case,
                       const std::string& words, const std::vector<std::string>& more = {}) {
  std::vector<std::string> options = more;
  options.insert(options.end(), {"--time-limit", "2"});
  const Checked checked = Check(library, {in_case}, options);
  LONGS_EQUAL_TEXT(1, checked.exit_code, (in_case + ": " + words).c_str());
  std::string seen;
  for (const nlohmann::json& j : checked.failed) {
    const std::string message = j["message"];
    seen += j["case"].get<std::string>() + ": " + message + "\n";
    if (j["case"] == in_case && message.find(words) != std::string::npos) {
      std::string repeat = "--case '" + in_case + "' --seed 1";
      if (!more.empty()) repeat += " " + more[0] + " '" + more[1] + "'";
      STRCMP_CONTAINS(repeat.c_str(), j["repeat"].get<std::string>().c_str());
      return;
    }
  }
  FAIL(("not found in " + in_case + ":\n" + seen).c_str());
}

}  // namespace minnow::test
