#include "constrain/tool_calls.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/json.h"
#include "constrain/json_schema.h"
#include "constrain/json_text.h"

namespace minnow::constrain {
namespace {

using Json = nlohmann::ordered_json;
using text::ToolCallFormat;

constexpr size_t kMaxTools = 1000;
constexpr size_t kMaxBytes = 1 << 20;  // as JSON, all tools together
constexpr uint32_t kMaxCalls = 16;     // of one answer
constexpr uint32_t kMaxSpace = 8;      // before a call, where it need not be one
constexpr std::string_view kOpen = "<tool_call>", kClose = "</tool_call>";

struct Tool {
  std::string name;
  Json parameters;  // a schema of objects
};

// The member, if it is there and not null.
const Json* Find(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

Result<Tool> ReadTool(const Json& tool, const std::string& place) {
  const Json* type = tool.is_object() ? Find(tool, "type") : nullptr;
  if (!type || *type != "function") {
    return Error(Code::kInvalid,
                 "{}: a tool is {{\"type\": \"function\", \"function\": {{\"name\": ...}}}}",
                 place);
  }
  const Json* function = Find(tool, "function");
  if (!function || !function->is_object()) {
    return Error(Code::kInvalid, "{}/function: an object with the tool's name belongs here", place);
  }
  const Json* name = Find(*function, "name");
  if (!name || !name->is_string() || name->get_ref<const std::string&>().empty()) {
    return Error(Code::kInvalid, "{}/function/name: the tool's name belongs here", place);
  }
  Tool out{name->get<std::string>(), {{"type", "object"}, {"properties", Json::object()}}};
  const Json* parameters = Find(*function, "parameters");
  if (!parameters || (parameters->is_object() && parameters->empty())) return out;
  if (!parameters->is_object()) {
    return Error(Code::kInvalid, "{}/function/parameters: a JSON Schema of an object belongs here",
                 place);
  }
  out.parameters = *parameters;
  Json& of = out.parameters["type"];
  if (!of.is_null() && of != "object") {
    return Error(Code::kInvalid,
                 "{}/function/parameters/type: arguments are an object: write \"object\"", place);
  }
  of = "object";
  return out;
}

Result<std::vector<Tool>> ReadTools(const Json& tools, std::string_view choice) {
  if (!tools.is_array() || tools.empty() || tools.size() > kMaxTools) {
    return Error(Code::kInvalid, "tools are a list of 1 to {} tools", kMaxTools);
  }
  if (tools.dump(-1, ' ', false, Json::error_handler_t::replace).size() > kMaxBytes) {
    return Error(Code::kInvalid, "the tools are too long: {} bytes at most, as JSON", kMaxBytes);
  }
  std::vector<Tool> out;
  std::set<std::string_view> names;
  for (size_t i = 0; i < tools.size(); ++i) {
    const std::string place = fmt::format("/{}", i);
    MNW_ASSIGN(out.emplace_back(), ReadTool(tools[i], place));
    if (!names.insert(tools[i]["function"]["name"].get_ref<const std::string&>()).second) {
      return Error(Code::kInvalid,
                   "{}/function/name: a tool before it is called \"{}\" too; names must differ",
                   place, out.back().name.substr(0, 60));
    }
  }
  const bool is_word = choice == "required" || choice == "auto";
  if (is_word && names.contains(choice)) {
    return Error(Code::kInvalid,
                 "the choice \"{}\" is a tool's name as well: give the tool another", choice);
  }
  if (!is_word && !names.contains(choice)) {
    return Error(Code::kInvalid,
                 "the choice \"{}\" is no tool: there are \"required\", \"auto\" and the names of "
                 "the tools",
                 choice.substr(0, 60));
  }
  return out;
}

Term Spaces(Terms& terms, uint32_t max) {
  ByteSet spaces;
  for (const char c : {' ', '\t', '\r', '\n'}) spaces.Add(static_cast<uint8_t>(c));
  return terms.Repeat(terms.Bytes(spaces), 0, max);
}

// An answer in words. Its parts are few states, whatever stands behind it.
Term Words(Terms& terms) {
  const CharRange all[] = {{0, 0x10FFFF}};
  const Term rest = terms.Repeat(terms.Bytes(ByteSet::Range(0, 255)), 0, kUnbounded);
  const Term begins[] = {Spaces(terms, kUnbounded), terms.Literal("{"), rest};
  const Term has[] = {rest, terms.Literal(kOpen), rest};
  return terms.And(terms.Repeat(terms.Chars(all), 0, kUnbounded),
                   terms.Not(terms.Or(terms.Concat(begins), terms.Concat(has))));
}

}  // namespace

Result<Constraint> ToolCallsConstraint(const Json& tools, std::string_view choice,
                                       std::string_view format) {
  ToolCalls calls{tools, std::string(choice), text::ToolCallFormatOf(format)};
  if (!calls.format && format != "auto") {
    return Error(Code::kInvalid,
                 "\"{}\" is no format of tool calls: there are auto, json, hermes and llama3",
                 format.substr(0, 60));
  }
  MNW_TRY(ReadTools(tools, choice).status());
  return Constraint{Constraint::Kind::kToolCalls, ToolCallsSource(calls), ""};
}

std::string ToolCallsSource(const ToolCalls& calls) {
  const Json source = {{"tools", calls.tools},
                       {"choice", calls.choice},
                       {"format", calls.format ? ToolCallFormatName(*calls.format) : "auto"}};
  return source.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<ToolCalls> ReadToolCalls(const std::string& source) {
  MNW_ASSIGN(Json json, ParseJson(source));
  const auto text = [&](const char* name) {
    return json.is_object() && json.contains(name) && json[name].is_string()
               ? json[name].get<std::string>()
               : "";
  };
  const std::string format = text("format");
  if (!json.is_object() || !json.contains("tools")) {
    return Error(Code::kInvalid, "calls of tools are {{\"tools\", \"choice\", \"format\"}}");
  }
  return ToolCalls{std::move(json["tools"]), text("choice"), text::ToolCallFormatOf(format)};
}

Result<Term> CompileToolCalls(Terms& terms, const ToolCalls& calls) {
  MNW_ASSIGN(const std::vector<Tool> tools, ReadTools(calls.tools, calls.choice));
  const bool may_talk = calls.choice == "auto";
  const bool any = may_talk || calls.choice == "required";
  const ToolCallFormat format = calls.format.value_or(ToolCallFormat::kJson);
  const char* const key = format == ToolCallFormat::kLlama3 ? "parameters" : "arguments";
  std::vector<Term> ones;
  for (size_t i = 0; i < tools.size(); ++i) {
    if (!any && tools[i].name != calls.choice) continue;
    auto schema = CompileJsonSchema(terms, tools[i].parameters);
    if (!schema.ok()) {  // it begins with the pointer of the keyword: "#/properties/..."
      const Status status = std::move(schema).status();
      const bool points = status.message().starts_with('#');
      return Status(status.code(),
                    fmt::format("/{}/function/parameters{}", i,
                                points ? status.message().substr(1) : ": " + status.message()));
    }
    const std::string head = fmt::format("{}, \"{}\": ", JsonQuote(tools[i].name), key);
    ones.push_back(terms.Concat(terms.Literal(head), *schema));
  }
  // What all begin with is written once: no byte of it is looked at once for each tool.
  const Term parts[] = {terms.Literal("{\"name\": "), terms.Or(ones), terms.Literal("}")};
  Term call = terms.Concat(parts);
  if (format == ToolCallFormat::kHermes) {
    const Term marked[] = {terms.Literal(fmt::format("{}\n", kOpen)), call,
                           terms.Literal(fmt::format("\n{}", kClose))};
    call = terms.Concat(marked);
    const Term more = terms.Concat(terms.Literal("\n"), call);
    if (any) call = terms.Concat(call, terms.Repeat(more, 0, kMaxCalls - 1));
  }
  if (may_talk) {
    const Term words = Words(terms);
    const Term before = format == ToolCallFormat::kHermes ? words : Spaces(terms, kMaxSpace);
    call = terms.Or(words, terms.Concat(before, call));
  }
  MNW_TRY(terms.status());
  return call;
}

Result<std::vector<ToolCall>> CallsOf(std::string_view answer) {
  const auto read = [](std::string_view text) -> Result<ToolCall> {
    MNW_ASSIGN(Json json, ParseJson(text));
    const Json* name = json.is_object() ? Find(json, "name") : nullptr;
    const Json* arguments = nullptr;
    for (const char* key : {"arguments", "parameters"}) {
      if (name && !arguments) arguments = Find(json, key);
    }
    if (!arguments || !name->is_string()) return Error(Code::kInvalid, "it is no call of a tool");
    return ToolCall{name->get<std::string>(), *arguments};
  };
  std::vector<ToolCall> calls;
  const size_t first = answer.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return calls;
  if (answer[first] == '{') {
    MNW_ASSIGN(calls.emplace_back(), read(answer));
    return calls;
  }
  // JSON has no line breaks here, not even in its strings: a call is a line.
  for (size_t at = answer.find(kOpen); at != std::string_view::npos;) {
    at += kOpen.size() + 1;
    const std::string_view line = answer.substr(std::min(at, answer.size()));
    MNW_ASSIGN(calls.emplace_back(), read(line.substr(0, line.find('\n'))));
    at = line.find('\n') == line.npos ? line.npos : answer.find(kOpen, at + line.find('\n'));
  }
  return calls;
}

}  // namespace minnow::constrain
