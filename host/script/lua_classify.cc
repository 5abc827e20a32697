// Model:classify: questions about a document whose answers are labels.
#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>

#include "engine/document_questions.h"
#include "script/classify_json.h"
#include "script/lua_model.h"
#include "script/lua_values.h"

namespace minnow::script {
namespace {

using Json = nlohmann::ordered_json;

// --- What is asked

//---@class minnow.ClassifyOptions
//---@field top_k? integer  -- 0: all; of how many labels the probabilities are told, the likeliest
//---@field abstain? number  -- 0; below this probability of the likeliest there is no label
//---@field multi? boolean  -- false; each label by itself: the question has {label} where it goes
//---@field threshold? number  -- 0.5; with multi, the probability from which on a label is one
//---@field length? "whole"|"mean"  -- "whole"; labels by their log-probability, or by its mean by token
//---@field prior? boolean  -- false; divides by the probabilities that labels have about no document
//---@field on_overflow? "error"|"head"|"tail"|"middle"|"chunk"  -- "error"; what to keep of a document
//---that is too long: its head, its tail, both without the middle, or all of it in parts, whose
//---probabilities are averaged

Status ReadAsked(lua_State* L, int index, const std::string& call, engine::DocumentQuestion& asked,
                 std::string* on_overflow) {
  engine::ChoiceOptions& o = asked.options;
  if (on_overflow) {
    return ReadOptions(L, index, call,
                       {{"top_k", &o.top_k},
                        {"abstain", &o.abstain},
                        {"multi", &o.multi},
                        {"threshold", &o.threshold},
                        {"length", &o.length},
                        {"prior", &o.prior},
                        {"on_overflow", on_overflow}});
  }
  return ReadOptions(L, index, call,
                     {{"question", &asked.question},
                      {"labels", &asked.labels},
                      {"top_k", &o.top_k},
                      {"abstain", &o.abstain},
                      {"multi", &o.multi},
                      {"threshold", &o.threshold},
                      {"length", &o.length},
                      {"prior", &o.prior}});
}

struct AskedAll {
  std::vector<engine::DocumentQuestion> questions;
  bool is_list = false;
  std::string on_overflow = "error";
};

//---One question of several about a document. Its options come before those of the call.
//---@class minnow.LabelQuestion
//---@field question string
//---@field labels string[]
//---@field top_k? integer
//---@field abstain? number
//---@field multi? boolean
//---@field threshold? number
//---@field length? "whole"|"mean"
//---@field prior? boolean

// classify(model, document, question, labels, options) or (model, document, questions, options)
Result<AskedAll> ReadAll(lua_State* L) {
  AskedAll all;
  engine::DocumentQuestion first;
  all.is_list = lua_istable(L, 3);
  if (!all.is_list) {
    MNW_ASSIGN(first.question, ReadString(L, 3, "classify: the question"));
    MNW_ASSIGN(first.labels, ReadStrings(L, 4, "classify: labels"));
    MNW_TRY(ReadAsked(L, 5, "classify", first, &all.on_overflow));
    all.questions.push_back(std::move(first));
    return all;
  }
  MNW_TRY(ReadAsked(L, 4, "classify", first, &all.on_overflow));
  const auto n = static_cast<lua_Integer>(lua_rawlen(L, 3));
  for (lua_Integer i = 1; i <= n; ++i) {
    const std::string call = fmt::format("classify: question {}", i);
    if (lua_rawgeti(L, 3, i) != LUA_TTABLE) {
      return Error(Code::kInvalid,
                   "{} should be a table like {{ question = \"...\", labels = {{ ... }} }}, got {}",
                   call, luaL_typename(L, -1));
    }
    MNW_TRY(ReadAsked(L, -1, call, all.questions.emplace_back(first), nullptr));
    lua_pop(L, 1);
    const engine::DocumentQuestion& asked = all.questions.back();
    if (asked.question.empty() || asked.labels.empty()) {
      return Error(Code::kInvalid, "{} has no {}", call,
                   asked.question.empty() ? "question" : "labels");
    }
  }
  return all;
}

// --- What comes back

//---@class minnow.RankedLabel
//---@field label string
//---@field probability number

//---@class minnow.Classification
//---@field label? string  -- the likeliest; nil if it abstains, and with multi
//---@field abstained? boolean  -- true if the likeliest was below the option's abstain
//---@field probability? number  -- of the likeliest, among the labels; nil with multi
//---@field labels? string[]  -- with multi: those that it says yes to
//---@field probabilities table<string, number>  -- they sum to 1; with multi each is by itself
//---@field ranking minnow.RankedLabel[]  -- the likeliest first
//---@field fingerprint string  -- as of an answer
//---@field overflow? minnow.Overflow  -- if not all of the document fitted

// The parts' answers, as they come.
struct Classified {
  AskedAll asked;
  ModelApi* model = nullptr;
  std::vector<const engine::Calibration*> calibrations;
  std::vector<double> weights;
  Json overflow;
  std::vector<engine::ClassifyResult> parts;
};

Result<Json> AnswerJson(State& state, State::CallId id, const Classified& c) {
  MNW_ASSIGN(const engine::Answers answers,
             engine::ReadAnswers(c.asked.questions, c.parts, c.weights, c.calibrations));
  Json list = Json::array();
  for (size_t i = 0; i < c.asked.questions.size(); ++i) {
    const engine::DocumentQuestion& question = c.asked.questions[i];
    const State::Call* const call = state.Find(id);
    if (call && state.environment().on_classify && !answers.scores.empty()) {
      state.environment().on_classify(
          {state.tag(), call->step, &question, c.model, &answers.scores[i]});
    }
    Json& json = list.emplace_back(ToJson(question, answers.choices[i]));
    json["fingerprint"] = c.parts[0].fingerprint;
    if (!c.overflow.is_null()) json["overflow"] = c.overflow;
  }
  return c.asked.is_list ? std::move(list) : std::move(list[0]);
}

void Arrive(State& state, State::CallId id, Classified classified) {
  state.CountUsage(id, engine::UsageOfParts(classified.parts));
  state.Complete(id, AnswerJson(state, id, classified));
}

// Tokens that the requests add to the model's, each prompt's beginning counted once.
size_t CountTokens(const std::vector<std::vector<engine::LabelQuestion>>& requests) {
  size_t n = 0;
  for (const auto& questions : requests) {
    const std::vector<engine::TokenId>& first = questions[0].prompt;
    n += first.size();
    for (size_t i = 1; i < questions.size(); ++i) {
      const std::vector<engine::TokenId>& prompt = questions[i].prompt;
      n += static_cast<size_t>(prompt.end() - std::ranges::mismatch(prompt, first).in1);
    }
  }
  return n;
}

struct Gathering {
  std::mutex mutex;  // guards all below
  size_t left;
  Classified classified;
  std::function<void(Classified)> receive;

  void Add(size_t part, engine::ClassifyResult result) {
    const std::lock_guard lock(mutex);
    classified.parts[part] = std::move(result);
    if (--left == 0) receive(std::move(classified));
  }
};

Status StartClassify(lua_State* L, State& state, State::CallId id) {
  MNW_ASSIGN(ModelApi * model, ReadModel(L, "classify"));
  MNW_ASSIGN(const std::string_view document, ReadString(L, 2, "classify: the document"));
  const auto gathering = std::make_shared<Gathering>();
  Classified& c = gathering->classified;
  c.model = model;
  MNW_ASSIGN(c.asked, ReadAll(L));
  MNW_ASSIGN(const engine::OnOverflow how, engine::ReadOnOverflow(c.asked.on_overflow));
  // The document is tokenized with each question.
  for (const engine::DocumentQuestion& question : c.asked.questions) {
    const size_t n = question.options.multi ? question.labels.size() : 1;
    if (!state.Spend(10 * document.size() * n)) {
      return Error(Code::kExhausted, "the budget is used up");
    }
  }
  const engine::QuestionEncoder encoder{
      [model](std::string_view d, std::string_view q) { return EncodeQuestion(*model, d, q); },
      [model](std::string_view label) { return model->EncodeContinuation(label); },
      [model] { return model->Longest(); }};
  auto prepared = engine::PrepareQuestions(document, how, c.asked.questions, encoder);
  if (prepared.status().code() == Code::kInvalid) {
    return std::move(prepared).status().Annotate("classify");
  }
  MNW_TRY(prepared.status());
  for (const engine::DocumentQuestion& question : c.asked.questions) {
    MNW_ASSIGN(c.calibrations.emplace_back(), state.environment().CalibrationOf(question, *model));
  }
  c.overflow = OverflowJson(c.asked.on_overflow, document.size(), prepared->kept);
  c.weights = prepared->weights;
  MNW_TRY(state.ReserveTokens(CountTokens(prepared->requests)));
  gathering->left = prepared->requests.size();
  c.parts.resize(gathering->left);
  gathering->receive = state.Receiver<Classified>(id, Arrive);
  std::vector<engine::RequestId> submitted;
  for (size_t i = 0; i < prepared->requests.size(); ++i) {
    engine::ClassifyRequest request;
    request.questions = std::move(prepared->requests[i]);
    request.priority = state.priority();
    request.on_done = [gathering, i](engine::ClassifyResult result) {
      gathering->Add(i, std::move(result));
    };
    const auto one = model->Classify(std::move(request));
    if (!one.ok()) {
      for (const engine::RequestId other : submitted) model->Cancel(other);
      return one.status();
    }
    submitted.push_back(*one);
  }
  state.Submitted(id, *model, std::move(submitted));
  return {};
}

//---Gives the probability of each label as the whole answer to a question about a document. Waits.
//---With a list of questions in place of one and its labels it gives a list of answers: all of them
//---go through the model together. Raises precondition when the question was calibrated for other
//---labels or another model.
//---@param document string|minnow.Document
//---@param question string
//---@param labels string[]  -- at least two, all different, none empty; with multi at least one
//---@param options? minnow.ClassifyOptions
//---@return minnow.Classification
//---@overload fun(self: minnow.Model, document: string|minnow.Document, questions: minnow.LabelQuestion[], options?: minnow.ClassifyOptions): minnow.Classification[]
//---function Model:classify(document, question, labels, options)
int Classify(lua_State* L) {
  lua_settop(L, 5);
  TextOfDocument(L);
  return CallModel(L, "classify", StartClassify);
}

}  // namespace

void OpenClassify(lua_State* L) {
  lua_pushcfunction(L, Classify);
  lua_setfield(L, -2, "classify");
}

}  // namespace minnow::script
