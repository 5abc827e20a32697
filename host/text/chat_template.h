// Chat templates: from a conversation to the prompt that a model was trained on.
//
// A model file brings its template as a program in Jinja. Compile parses it once; Render runs it
// over one conversation, with the result that `transformers` gives for the same template and
// input, and nothing else: no files, no clock but ChatInput::now, and limits on what it may
// spend. Where Jinja raises, Render fails; a template that refuses a conversation
// (raise_exception) does so in its own words.
//
// The rendering comes as spans. In a `control` span the template itself speaks, and the
// tokenizer recognizes control tokens; in all others the caller's data speaks, and "<|im_end|>"
// is ten ordinary characters. Roles count as the template's words if they are well known, so
// that '<|' + role + '|>' works; bos_token, eos_token and numbers do as well.
// Threads: a compiled template is immutable; Render may run on many threads at once.
#pragma once

#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "text/jinja_meter.h"

namespace minnow::text {

namespace jinja {
struct Stmt;
}

struct ChatInput {
  nlohmann::ordered_json messages;  // an array of objects: role, content, tool_calls, ...
  std::optional<nlohmann::ordered_json> tools;  // an array of JSON schemas; null: none
  bool add_generation_prompt = true;
  std::optional<std::string> bos_token;  // null: the model has none
  std::optional<std::string> eos_token;
  nlohmann::ordered_json variables = nlohmann::ordered_json::object();  // such as enable_thinking
  std::time_t now = 0;  // what strftime_now tells, in local time
};

class ChatTemplate {
 public:
  static Result<ChatTemplate> Compile(const std::string& source, TemplateLimits limits = {});

  struct Span {
    std::string text;
    bool control;
  };
  Result<std::vector<Span>> Render(const ChatInput& input) const;  // neighbours differ in `control`
  Result<std::string> RenderText(const ChatInput& input) const;

 private:
  ChatTemplate(std::vector<jinja::Stmt> body, TemplateLimits limits);

  std::shared_ptr<const std::vector<jinja::Stmt>> body_;
  TemplateLimits limits_;
};

}  // namespace minnow::text
