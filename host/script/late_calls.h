// Calls through adapters that have lost their places: they wait here until theirs is loaded again.
//
// A thread of its own tries them in turn, so that none waits for another but while a file is read.
// One whose adapter finds no place within a minute, since others use them all, is refused. Threads:
// any.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "engine/runtime.h"

namespace minnow::script {

inline constexpr std::chrono::seconds kAdapterPatience{60};

class LateCalls {
 public:
  explicit LateCalls(engine::Runtime& runtime) : runtime_(runtime) {}
  ~LateCalls();  // the rest fails with kUnavailable

  struct Call {
    engine::Engine& engine;
    std::string path;  // of the adapter
    float scale;
    // Hands it to the engine, whose on_done then calls `ended` first.
    std::function<Result<engine::RequestId>(engine::AdapterHold, std::function<void()> ended)> send;
    std::function<void(Status)> fail;  // if it is not sent
  };
  engine::RequestId Add(Call call);
  // False: not one of these.
  bool Cancel(engine::RequestId id);

 private:
  struct Waiting {
    engine::RequestId id;
    Call call;
    engine::Clock::time_point until;
  };
  struct State {
    engine::Engine* engine = nullptr;
    engine::RequestId sent = 0;  // the engine's number, 0: not yet
    bool cancelled = false;
  };
  // Outlives this with what is sent.
  struct Calls {
    std::mutex mutex;
    std::map<engine::RequestId, State> states;  // guarded by mutex
  };
  void Work();
  bool Try(Waiting& waiting, bool stop);  // false: once more

  engine::Runtime& runtime_;
  const std::shared_ptr<Calls> calls_ = std::make_shared<Calls>();
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Waiting> waiting_;    // guarded by mutex_
  engine::RequestId next_id_ = 1;  // guarded by mutex_
  bool stop_ = false;              // guarded by mutex_
  std::thread thread_;             // begins with the first call
};

}  // namespace minnow::script
