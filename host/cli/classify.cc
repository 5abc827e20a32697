// minnow classify -m MODEL (--labels a,b,c [--question Q] | --questions FILE) [--json] < DOC
#include "engine/classify.h"

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "cli/await.h"
#include "cli/cli.h"
#include "engine/document_questions.h"
#include "script/classify_json.h"

namespace minnow::cli {

namespace {

using Json = nlohmann::ordered_json;

struct Options {
  ModelOptions model;
  engine::DocumentQuestion asked{"What kind of document is this?", {}, {}};
  std::string questions;
  std::string file = "-", context, on_overflow = "error";
  bool json = false;
};

struct Asked {
  engine::Answers answers;
  engine::Usage usage;
  std::string fingerprint;
  std::vector<engine::ByteSpan> kept;  // of the document; empty: all of it, in one
};

// REQUIRES: a caller that catches what Json throws.
Status ReadMember(const std::string& name, const Json& value, engine::DocumentQuestion& out) {
  engine::ChoiceOptions& o = out.options;
  if (name == "question") {
    out.question = value.get<std::string>();
  } else if (name == "labels") {
    out.labels = value.get<std::vector<std::string>>();
  } else if (name == "length") {
    o.length = value.get<std::string>();
  } else if (name == "prior") {
    o.prior = value.get<bool>();
  } else if (name == "multi") {
    o.multi = value.get<bool>();
  } else if (name == "top_k" && value.is_number_unsigned()) {
    o.top_k = value.get<uint32_t>();
  } else if (name == "abstain") {
    o.abstain = value.get<float>();
  } else if (name == "threshold") {
    o.threshold = value.get<float>();
  } else {
    return Error(Code::kInvalid,
                 "unknown or mistyped '{}' (known: question, labels, length, prior, multi, top_k, "
                 "abstain, threshold)",
                 name);
  }
  return {};
}

// A list of objects, whose members come before the options of the command line.
Result<std::vector<engine::DocumentQuestion>> ReadQuestions(const Options& o) {
  if (o.questions.empty()) return std::vector{o.asked};
  MNW_ASSIGN(const std::string text, ReadInput(o.questions));
  const Result<Json> parsed = ParseJson(text);
  if (!parsed.ok()) return parsed.status().Annotate(o.questions);
  const Json& list = *parsed;
  std::vector<engine::DocumentQuestion> questions;
  if (!list.is_array()) return Error(Code::kInvalid, "{}: should be a list", o.questions);
  for (const Json& json : list) {
    Status status = json.is_object() ? Status() : Error(Code::kInvalid, "should be an object");
    engine::DocumentQuestion& question = questions.emplace_back(o.asked);
    try {
      for (const auto& [name, value] : json.items()) {
        if (status.ok()) status = ReadMember(name, value, question);
      }
    } catch (const Json::exception& e) {
      status = Error(Code::kInvalid, "{}", e.what());
    }
    if (status.ok() && question.labels.empty()) status = Error(Code::kInvalid, "has no labels");
    if (status.ok()) continue;
    return std::move(status).Annotate(
        fmt::format("{}: question {}", o.questions, questions.size()));
  }
  return questions;
}

// About the document, or about what of it fits.
Result<Asked> Ask(const OpenedModel& opened, std::string_view document, const Options& o,
                  std::span<const engine::DocumentQuestion> questions) {
  const model::Model& model = opened.engine->model();
  MNW_ASSIGN(const engine::OnOverflow how, engine::ReadOnOverflow(o.on_overflow));
  const engine::QuestionEncoder encoder{
      [&](std::string_view part, std::string_view question) {
        return model.EncodeTurn(engine::DocumentTurn(part, question));
      },
      [&](std::string_view label) { return model.EncodeContinuation(label); },
      [&]() -> Result<uint32_t> { return opened.engine->longest(); }};
  MNW_ASSIGN(engine::QuestionParts parts,
             engine::PrepareQuestions(document, how, questions, encoder));
  std::vector<engine::ClassifyResult> results;
  for (std::vector<engine::LabelQuestion>& part : parts.requests) {
    engine::ClassifyRequest request;
    request.questions = std::move(part);
    request.adapter = opened.adapter_id();
    MNW_ASSIGN(results.emplace_back(), Await<engine::ClassifyResult>([&](auto done) {
                 request.on_done = done;
                 return engine::Classify(*opened.engine, std::move(request));
               }));
  }
  Asked asked;
  MNW_ASSIGN(asked.answers, engine::ReadAnswers(questions, results, parts.weights));
  asked.usage = engine::UsageOfParts(results);
  asked.fingerprint = results[0].fingerprint;
  asked.kept = std::move(parts.kept);
  return asked;
}

void PrintTable(const engine::DocumentQuestion& question, const engine::LabelChoice& choice,
                bool ranked) {
  std::vector<size_t> order = choice.ranking;
  if (!ranked) std::sort(order.begin(), order.end());
  for (const size_t i : order) {
    Print(fmt::format("{:8.4f}  {}\n", choice.probabilities[i], question.labels[i]));
  }
  if (!question.options.multi && !choice.label) Print("abstained\n");
}

VerbResult Run(const Options& o) {
  const bool saved = !o.context.empty();
  if (saved && o.file != "-") {
    return Error(Code::kInvalid, "'{}' and --context: a context has its document in it", o.file);
  }
  if (o.asked.labels.empty() == o.questions.empty()) {
    return Error(Code::kInvalid, "give --labels of one question, or --questions FILE");
  }
  MNW_ASSIGN(const std::vector<engine::DocumentQuestion> questions, ReadQuestions(o));
  std::string document;
  if (!saved) {
    MNW_ASSIGN(document, ReadInput(o.file));
    if (document.empty()) return Error(Code::kInvalid, "the document is empty");
  }
  MNW_ASSIGN(OpenedModel opened, OpenModel(o.model, o.json || saved));
  if (saved) {
    MNW_ASSIGN(document, RestoreDocument(opened, o.context));
  }
  MNW_ASSIGN(const Asked asked, Ask(opened, document, o, questions));
  const std::vector<engine::LabelChoice>& choices = asked.answers.choices;
  if (!o.json) {
    for (size_t i = 0; i < questions.size(); ++i) {
      if (!o.questions.empty()) Print(questions[i].question + "\n");
      PrintTable(questions[i], choices[i], questions[i].options.top_k > 0);
    }
    return kExitOk;
  }
  Json out = Json::object();
  if (o.questions.empty()) {
    out = script::ToJson(questions[0], choices[0]);
  } else {
    for (size_t i = 0; i < questions.size(); ++i) {
      Json answer = {{"question", questions[i].question}};
      answer.update(script::ToJson(questions[i], choices[i]));
      out["answers"].push_back(std::move(answer));
    }
  }
  out["usage"] = {{"prompt_tokens", asked.usage.prompt_tokens},
                  {"cached_tokens", asked.usage.cached_tokens}};
  out["fingerprint"] = asked.fingerprint;
  if (!asked.kept.empty()) {
    out["overflow"] = OverflowJson(o.on_overflow, document.size(), asked.kept);
  }
  PrintJson(out);
  return kExitOk;
}

}  // namespace

void AddClassify(CommandLine& line) {
  auto o = std::make_shared<Options>();
  Verb verb = line.AddVerb("classify", "The probability of each label for a document",
                           [o] { return Run(*o); });
  AddModelOptions(verb, o->model);
  AddLoraOption(verb, o->model);
  verb.Add("--labels", o->asked.labels, "The labels, separated by commas").CommaSeparated();
  verb.Add("--question", o->asked.question, "What is asked of the document");
  verb.Add("--questions", o->questions,
           "A JSON file with a list of questions, which are asked together: "
           "[{\"question\": ..., \"labels\": [...]}, ...], each with options of its own");
  verb.Add("file", o->file, "The document; - or nothing reads stdin");
  verb.Add("--top-k", o->asked.options.top_k, "Tell the K likeliest labels; 0: all");
  verb.Add("--abstain", o->asked.options.abstain,
           "No label if the likeliest has a lower probability");
  verb.AddFlag("--multi", o->asked.options.multi,
               "Each label by itself, yes or no; the question has {label} where it goes");
  verb.Add("--threshold", o->asked.options.threshold,
           "With --multi, the probability from which on a label is one");
  verb.Add("--length", o->asked.options.length,
           "Labels by their whole log-probability, or by the mean of their tokens'")
      .OneOf({"whole", "mean"});
  verb.AddFlag("--prior", o->asked.options.prior,
               "Correct for what the question alone makes likely");
  AddOverflowOption(
      verb, o->on_overflow, std::size(engine::kOnOverflowNames),
      "What to keep of a document that is too long: its head, its tail, both without the "
      "middle, or chunk: all, in parts, whose probabilities are averaged");
  verb.Add("--context", o->context, "A file of `minnow context`, instead of a document");
  verb.AddFlag("--json", o->json, "One JSON object instead of a table");
}

}  // namespace minnow::cli
