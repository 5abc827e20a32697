#include "script/classify_json.h"

namespace minnow::script {

nlohmann::ordered_json ToJson(const engine::DocumentQuestion& question,
                              const engine::LabelChoice& choice) {
  using Json = nlohmann::ordered_json;
  const auto& labels = question.labels;
  Json json = Json::object();
  if (question.options.multi) {
    json["labels"] = Json::array();
    for (const size_t i : choice.yes) json["labels"].push_back(labels[i]);
  } else {
    const size_t best = choice.ranking[0];
    if (choice.label) {
      json["label"] = labels[best];
    } else {
      json["abstained"] = true;
    }
    json["probability"] = choice.probabilities[best];
  }
  Json probabilities = Json::object(), ranking = Json::array();
  std::vector<bool> told(labels.size(), false);
  for (const size_t i : choice.ranking) {
    told[i] = true;
    ranking.push_back({{"label", labels[i]}, {"probability", choice.probabilities[i]}});
  }
  for (size_t i = 0; i < labels.size(); ++i) {
    if (told[i]) probabilities[labels[i]] = choice.probabilities[i];
  }
  json["probabilities"] = std::move(probabilities);
  json["ranking"] = std::move(ranking);
  return json;
}

}  // namespace minnow::script
