// HTTP requests of scripts, by libcurl, on a thread of its own that begins with the first request.
//
// Redirects are not followed: where they lead may not be granted. Threads: any; `on_done` is called
// on the client's thread and returns at once.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/status.h"

namespace minnow::script {

struct HttpRequest {
  std::string method = "GET", url, body;
  std::vector<std::pair<std::string, std::string>> headers;
  double timeout_seconds = 30;
  size_t max_bytes = 16 << 20;  // of the answer's body
};

struct HttpResponse {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
};

class HttpClient {
 public:
  using OnDone = std::function<void(Result<HttpResponse>)>;
  using Id = uint64_t;  // never reused

  HttpClient();
  ~HttpClient();  // ends what is under way, without a word
  Id Start(HttpRequest request, OnDone on_done);
  void Cancel(Id id);  // on_done may still come, or not

 private:
  struct Transfer;
  void Run();
  void TakeNew();
  void DropCancelled();
  void FinishDone();

  void* multi_;  // CURLM
  std::mutex mutex_;
  Id last_id_ = 0;  // this and those below: guarded by mutex_
  std::vector<std::unique_ptr<Transfer>> submitted_;
  std::vector<Id> cancelled_;
  bool stopping_ = false;
  std::map<Id, std::unique_ptr<Transfer>> transfers_;  // the thread's
  std::thread thread_;                                 // last: uses all of the above
};

}  // namespace minnow::script
