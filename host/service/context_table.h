// Documents that a client sends once and asks about several times, by an id that nobody guesses.
//
// A context goes when it was not used for its time to live. All of them together are bounded; none
// is thrown away before its time, so a client that was given one may rely on it. Threads: any.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "engine/request.h"
#include "service/errors.h"

namespace minnow::service {

class ContextTable {
 public:
  using Clock = engine::Clock;
  static constexpr size_t kMaxBytes = 256 << 20;
  static constexpr size_t kMaxContexts = 10'000;

  // Gives a context's place in the model's cache up when the last that has it is gone.
  class Pin {
   public:
    Pin(engine::RequestId hold, std::function<void()> give_up)
        : hold_(hold), give_up_(std::move(give_up)) {}
    ~Pin() { give_up_(); }
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;
    engine::RequestId hold() const { return hold_; }

   private:
    const engine::RequestId hold_;
    const std::function<void()> give_up_;
  };

  struct Context {
    std::string model;      // the one it was made for,
    std::string full_name;  // and with the adapter
    std::shared_ptr<const std::string> document;
    std::shared_ptr<const Pin> pin{};  // null: it is not pinned
  };

  // The id. Fails, with the time after which it may succeed, when there is no room.
  Failure Add(Context context, std::chrono::seconds ttl, Clock::time_point now, std::string* id);
  // Lives its whole time again from now on. False: there is none, or no more.
  bool Find(const std::string& id, Clock::time_point now, Context* context);
  bool Remove(const std::string& id);

 private:
  struct Entry {
    Context context;
    std::chrono::seconds ttl;
    Clock::time_point expires;
  };
  void DropExpired(Clock::time_point now);  // under mutex_

  std::mutex mutex_;  // guards all below
  std::map<std::string, Entry> entries_;
  size_t n_bytes_ = 0;
};

}  // namespace minnow::service
