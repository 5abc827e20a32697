// Reads the golden files of tests/golden/templates and renders their inputs.
#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "build_paths.h"
#include "test_util.h"
#include "text/chat_template.h"

namespace minnow::text::test {

using Json = nlohmann::ordered_json;

inline std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline Json ReadGolden(const std::string& name) {
  return Json::parse(ReadText(minnow::test::InSource("tests/golden/templates/") + name));
}

// 2024-07-26 12:00:00 UTC, as in oracle.py.
inline ChatInput MakeInput(const Json& json) {
  ::setenv("TZ", "UTC", 1);
  ChatInput input;
  input.now = 1721995200;
  input.messages = json.value("messages", Json::array());
  if (json.contains("tools")) input.tools = json["tools"];
  input.add_generation_prompt = json.value("add_generation_prompt", true);
  if (json.contains("bos_token")) input.bos_token = json["bos_token"].get<std::string>();
  if (json.contains("eos_token")) input.eos_token = json["eos_token"].get<std::string>();
  input.variables = json.value("variables", Json::object());
  return input;
}

inline Result<std::string> RenderOnce(const std::string& source, const ChatInput& input,
                                      TemplateLimits limits = {}) {
  MNW_ASSIGN(const ChatTemplate chat, ChatTemplate::Compile(source, limits));
  return chat.RenderText(input);
}

}  // namespace minnow::text::test
