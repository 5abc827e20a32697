// Waiting for an asynchronous engine call on the main thread.
#pragma once

#include <future>

#include "base/status.h"

namespace minnow::cli {

// Calls submit(done), where done(value) may be called on any thread, and waits for the value.
template <class T, class Submit>
Result<T> Await(Submit submit) {
  std::promise<T> promise;
  auto submitted = submit([&promise](T value) { promise.set_value(std::move(value)); });
  if (!submitted.ok()) return std::move(submitted).status();
  return promise.get_future().get();
}

// The same for calls whose whole outcome is a Status.
template <class Submit>
Status AwaitStatus(Submit submit) {
  struct Outcome {
    Status status;
  };
  MNW_ASSIGN(const Outcome outcome, Await<Outcome>([&](auto done) {
               return submit([done](Status status) { done({std::move(status)}); });
             }));
  return outcome.status;
}

}  // namespace minnow::cli
