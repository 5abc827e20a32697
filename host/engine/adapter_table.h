// The adapters of one open model, by file and scale.
//
// Whoever uses one holds it. One that nobody holds keeps its place, so that the next request finds
// it there, until another wants the place: then the one that was asked for longest ago goes, but
// none through which a context is pinned. Threads: any. Open waits for the file, for a step, and
// for others who open.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"

namespace minnow::engine {

// An adapter in its place, which it has as long as somebody holds this. REQUIRES: the engine lives.
class LoadedAdapter {
 public:
  LoadedAdapter(Engine& engine, AdapterId id, std::string path, uint32_t rank)
      : engine_(engine), id_(id), path_(std::move(path)), rank_(rank) {}
  // Requests that are under way run to their ends. Does not wait: the last hold may go anywhere.
  ~LoadedAdapter() { engine_.UnloadAdapterSoon(id_); }
  LoadedAdapter(const LoadedAdapter&) = delete;
  LoadedAdapter& operator=(const LoadedAdapter&) = delete;

  AdapterId id() const { return id_; }
  const std::string& path() const { return path_; }
  uint32_t rank() const { return rank_; }  // the largest of its matrices

 private:
  Engine& engine_;
  const AdapterId id_;
  const std::string path_;
  const uint32_t rank_;
};
using AdapterHold = std::shared_ptr<const LoadedAdapter>;

struct AdapterStatus {
  std::string path;
  float scale;
  uint32_t rank;
  uint64_t bytes;     // of the backends' memory
  uint32_t requests;  // that go through it, from submission to end
};

class AdapterTable {
 public:
  explicit AdapterTable(Engine& engine) : engine_(engine) {}

  // Loads it if it is not there. kUnavailable: all places are held, at this moment, by requests or
  // pinned contexts; kExhausted: no memory.
  Result<AdapterHold> Open(const std::string& path, float scale);
  AdapterHold Find(const std::string& path, float scale);  // null: it would have to be loaded
  // Forgets it, at whatever scales it is loaded: who opens it next gets what the file then is.
  // Those who hold it go on; when nobody does, its memory is free when this returns. What is pinned
  // through it is given up then. False: not loaded.
  bool Close(const std::string& path);
  std::vector<AdapterStatus> List() const;

 private:
  struct Entry {
    AdapterHold adapter;
    uint64_t last_use = 0;
  };
  using Entries = std::map<std::pair<std::string, float>, Entry>;

  bool HasPlace();           // for one more, perhaps that of one which nobody holds
  Entries::iterator Idle();  // under mutex_: the one to give up, or end
  bool GiveUpOne();

  Engine& engine_;
  std::mutex loading_;  // one opens or closes at a time
  mutable std::mutex mutex_;
  Entries entries_;      // guarded by mutex_
  uint64_t n_uses_ = 0;  // guarded by mutex_
};

}  // namespace minnow::engine
