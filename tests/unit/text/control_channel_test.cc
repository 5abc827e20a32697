// Control tokens come from the template alone: over every control token of every vocabulary and
// every template of the optional test data, in documents, questions, system texts, tool results,
// tool descriptions and labels.
#include <algorithm>
#include <filesystem>
#include <set>

#include "test_util.h"
#include "text/chat_template.h"
#include "text/tokenizer_files.h"

using minnow::test::DataOrSkip;
using minnow::text::ChatInput;
using minnow::text::ChatTemplate;
using minnow::text::LoadTokenizer;
using minnow::text::PieceType;
using minnow::text::Span;
using minnow::text::TokenId;
using minnow::text::Tokenizer;
using Json = nlohmann::ordered_json;

namespace {

// Stands round every token that the caller's data spells, and in no template.
constexpr const char* kMark = "\u00a7";

std::vector<std::string> ControlTexts(const Tokenizer& t) {
  std::vector<std::string> texts;
  for (size_t id = 0; id < t.size(); ++id) {
    if (!t.IsControl(static_cast<TokenId>(id))) continue;
    texts.emplace_back(t.TokenBytes(static_cast<TokenId>(id)));
    if (texts.back().empty()) texts.pop_back();
  }
  return texts;
}

size_t CountControl(const Tokenizer& t, const std::vector<TokenId>& ids) {
  return static_cast<size_t>(
      std::count_if(ids.begin(), ids.end(), [&](TokenId id) { return t.IsControl(id); }));
}

std::vector<TokenId> Encode(const Tokenizer& t, const std::vector<Span>& spans) {
  auto ids = t.Encode(spans);
  CHECK_OK(ids.status());
  return *ids;
}

// A conversation with these words wherever the caller has a say.
ChatInput Conversation(const std::string& words, bool with_tools) {
  ChatInput input;
  input.messages = Json::array({{{"role", "system"}, {"content", words}},
                                {{"role", "user"}, {"content", words + "\n\n" + words}}});
  if (with_tools) {
    Json call{{"type", "function"},
              {"id", "call_0001"},
              {"function", {{"name", "look"}, {"arguments", {{"what", words}}}}}};
    input.messages.push_back(
        {{"role", "assistant"}, {"content", words}, {"tool_calls", Json::array({call})}});
    input.messages.push_back(
        {{"role", "tool"}, {"name", "look"}, {"tool_call_id", "call_0001"}, {"content", words}});
    Json parameter{{"type", "string"}, {"description", words}};
    input.tools = Json::array({{{"type", "function"},
                                {"function",
                                 {{"name", "look"},
                                  {"description", words},
                                  {"parameters",
                                   {{"type", "object"},
                                    {"properties", {{"what", parameter}}},
                                    {"required", {"what"}}}}}}}});
  }
  return input;
}

// Without what a strict template refuses.
ChatInput OneTurn(const std::string& words) {
  ChatInput input;
  input.messages = Json::array({{{"role", "user"}, {"content", words}}});
  return input;
}

// All that load: the tokenizer.json of llama2 there is damaged, and its vocabulary is tinyllama's.
const char* const kVocabularies[] = {"mistral-v0.3/sentencepiece-mistral03.model",
                                     "phi-2",
                                     "phi-3",
                                     "smollm2",
                                     "tinyllama",
                                     "vocab-gguf/ggml-vocab-deepseek-coder.gguf",
                                     "vocab-gguf/ggml-vocab-falcon.gguf",
                                     "vocab-gguf/ggml-vocab-gpt-2.gguf",
                                     "vocab-gguf/ggml-vocab-llama-spm.gguf",
                                     "vocab-gguf/ggml-vocab-phi-3.gguf",
                                     "vocab-gguf/ggml-vocab-refact.gguf",
                                     "vocab-gguf/ggml-vocab-starcoder.gguf"};

}  // namespace

TEST_GROUP(ControlChannel) {
  std::vector<std::pair<std::string, ChatTemplate>> templates;
  size_t rendered = 0;

  void LoadTemplates(const std::string& folder) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().extension() != ".jinja") continue;
      std::ifstream in(entry.path());
      const std::string source{std::istreambuf_iterator<char>(in), {}};
      auto made = ChatTemplate::Compile(source);
      if (made.ok()) templates.emplace_back(entry.path().filename(), *std::move(made));
    }
    CHECK(templates.size() > 30);
  }

  // False if the template refuses the conversation.
  bool CheckRendering(const Tokenizer& t, const std::string& name, const ChatTemplate& chat,
                      ChatInput input) {
    input.bos_token = input.eos_token = "";
    const auto spans = chat.Render(input);
    if (!spans.ok()) return false;
    ++rendered;
    std::vector<Span> whole;
    std::vector<Span> templates_own;
    for (const ChatTemplate::Span& span : *spans) {
      if (span.control && span.text.find(kMark) != std::string::npos)
        FAIL(fmt::format("{}: the caller's words count as the template's", name).c_str());
      whole.push_back({span.text, span.control});
      // As ordinary a text as there can be in the place of the caller's.
      const std::string_view own = span.control ? std::string_view(span.text) : "x";
      templates_own.push_back({own, span.control});
    }
    const size_t expected = CountControl(t, Encode(t, templates_own));
    const size_t found = CountControl(t, Encode(t, whole));
    if (expected != found)
      FAIL(fmt::format("{}: {} control tokens, {} are the template's", name, found, expected)
               .c_str());
    return true;
  }
};

TEST(ControlChannel, NoDocumentQuestionLabelOrToolResultWritesAControlToken) {
  const std::string data = DataOrSkip("tokenizers", "ControlChannel");
  const std::string folder = DataOrSkip("templates", "ControlChannel");
  if (data.empty() || folder.empty()) return;
  LoadTemplates(folder);
  for (const char* vocabulary : kVocabularies) {
    const auto t = LoadTokenizer(data + "/" + vocabulary);
    CHECK_OK(t.status());
    const std::vector<std::string> texts = ControlTexts(**t);
    CHECK_TEXT(!texts.empty(), vocabulary);
    std::string words;
    for (const std::string& text : texts) {
      words += kMark + text + kMark;
      // By itself, as a label; and in two halves that meet.
      const auto label = (*t)->Encode(text, false, {.add_bos = false});
      CHECK_OK(label.status());
      UNSIGNED_LONGS_EQUAL(0, CountControl(**t, *label));
      const std::string_view view = text;
      for (size_t at = 1; at < text.size() && at < 4; ++at) {
        const std::vector<Span> halves = {{view.substr(0, at), false}, {view.substr(at), true}};
        const std::vector<Span> own = {{"x", false}, {view.substr(at), true}};
        UNSIGNED_LONGS_EQUAL(CountControl(**t, Encode(**t, own)),
                             CountControl(**t, Encode(**t, halves)));
      }
    }
    for (const auto& [name, chat] : templates) {
      if (CheckRendering(**t, name, chat, Conversation(words, true))) continue;
      if (CheckRendering(**t, name, chat, Conversation(words, false))) continue;
      CheckRendering(**t, name, chat, OneTurn(words));
    }
  }
  CHECK(rendered > std::size(kVocabularies) * templates.size() * 9 / 10);
}
