// minnow schema check FILE [--open-objects] [--json]
#include "base/json.h"
#include "cli/cli.h"
#include "constrain/json_schema.h"

namespace minnow::cli {

namespace {

struct Options {
  std::string action, file = "-";
  bool open_objects = false, json = false;
};

using constrain::JsonSchemaNote;

void PrintReport(const constrain::JsonSchemaReport& report, const Status& status) {
  size_t widths[2] = {0, 0};
  for (const JsonSchemaNote& note : report) {
    widths[0] = std::max(widths[0], std::string_view(NoteKindName(note.kind)).size());
    widths[1] = std::max(widths[1], note.pointer.size() + 1);
  }
  for (const JsonSchemaNote& note : report) {
    Print(fmt::format("{:<{}}  {:<{}}  {}\n", NoteKindName(note.kind), widths[0],
                      "#" + note.pointer, widths[1], note.text));
  }
  Print(status.ok() ? "answers can be held to this schema\n" : status.message() + "\n");
}

VerbResult Run(const Options& o) {
  MNW_ASSIGN(const std::string text, ReadInput(o.file));
  auto schema = ParseJson(text);
  if (!schema.ok()) return std::move(schema).status().Annotate(o.file);
  constrain::Terms terms;
  constrain::JsonSchemaOptions options;
  options.open_objects = o.open_objects;
  // Whether a document is there is said with the request.
  options.any_document = true;
  constrain::JsonSchemaReport report;
  const Result<constrain::Term> root =
      constrain::CompileJsonSchema(terms, *schema, options, &report);
  Status status = root.status();
  if (status.ok()) status = terms.Seal();
  if (status.ok() && terms.First(*root).empty() && !terms.Nullable(*root)) {
    status =
        Error(Code::kInvalid, "no value obeys the schema: every one would have to go on for ever");
  }
  if (o.json) {
    auto notes = nlohmann::ordered_json::array();
    for (const JsonSchemaNote& note : report) {
      notes.push_back({{"pointer", note.pointer},
                       {"keyword", note.keyword},
                       {"status", NoteKindName(note.kind)},
                       {"text", note.text}});
    }
    PrintJson({{"ok", status.ok()}, {"error", status.message()}, {"keywords", notes}});
  } else {
    PrintReport(report, status);
  }
  return status.ok() ? kExitOk : kExitSomeFailed;
}

}  // namespace

void AddSchema(CommandLine& line) {
  auto o = std::make_shared<Options>();
  Verb verb = line.AddVerb("schema", "What of a JSON Schema answers are held to, and how",
                           [o] { return Run(*o); });
  verb.Add("action", o->action, "check: each keyword, and what becomes of it")
      .OneOf({"check"})
      .Required();
  verb.Add("file", o->file, "The schema; - or nothing reads stdin");
  verb.AddFlag(
      "--open-objects", o->open_objects,
      "Objects may have properties that the schema does not name, unless it says otherwise");
  verb.AddFlag("--json", o->json, "One JSON object");
}

}  // namespace minnow::cli
