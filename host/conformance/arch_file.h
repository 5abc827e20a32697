// The model file that an architecture is shown: a real one's keys and tensors, or made-up ones,
// with changes. It writes down what is asked for.
//
// A made-up file answers the keys that most architectures know (arch_file.cc) by their end,
// whatever the architecture's name, and has the tensors that building it asked for (arch_build.h).
// Threads: one at a time.
#pragma once

#include <minnow/abi/arch.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "graph/builder.h"
#include "model/metadata.h"
#include "model/source.h"

namespace minnow::conformance {

struct OtherType {};  // than any getter can take
struct Elements {     // an array of one number
  double value;
  uint64_t n;
};
using KeyValue = std::variant<OtherType, int64_t, double, std::string, Elements>;

enum class Getter { kI64, kF64, kBool, kString, kElement };

class ArchFile {
 public:
  // `optional`: also tensors that may be absent.
  static ArchFile MadeUp(bool optional);
  static Result<ArchFile> Open(const std::string& path);
  // general.architecture; empty if made up.
  std::string architecture() const;
  std::string Name() const;  // for messages

  bool made_up() const { return !source_; }
  bool has_optional() const { return optional_; }
  // From here on it has what it has.
  void Finish() { finished_ = true; }

  std::vector<graph::TensorInfo> tensors;
  bool HasTensor(std::string_view name) const;
  // Of one that was only asked whether it is there: until weight() tells its shape.
  bool IsGuess(const std::string& name) const { return guesses_.contains(name); }
  // Replaces a guess of this name.
  void AddTensor(graph::TensorInfo tensor);

  void Remove(const std::string& key) { changes_[key] = std::nullopt; }
  void Set(const std::string& key, KeyValue value) { changes_[key] = std::move(value); }

  // Which getters were called for a key, and whether one had an answer.
  struct Asked {
    std::set<Getter> by;
    bool answered = false;
  };
  const std::map<std::string, Asked>& asked() const { return asked_; }

  // Good as long as the file stays where it is.
  mnw_metadata View();

 private:
  struct Calls;
  template <class T, class Base>
  int Answer(Getter getter, const char* key, T* out, Base&& base);

  std::shared_ptr<const model::Source> source_;  // null: made up
  std::shared_ptr<const model::Metadata> metadata_;
  bool optional_ = false, finished_ = false;
  std::set<std::string, std::less<>> guesses_;
  std::map<std::string, std::optional<KeyValue>, std::less<>> changes_;
  std::map<std::string, Asked> asked_;
};

}  // namespace minnow::conformance
