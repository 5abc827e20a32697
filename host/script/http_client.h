// HTTP requests of scripts.
//
// Redirects are not followed: where they lead may not be granted. Threads: any; `on_done` is called
// on the client's thread and returns at once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "script/grants.h"

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

  virtual ~HttpClient() = default;  // ends what is under way, without a word
  // kInvalid: no URL; kPrecondition: not granted.
  virtual Result<Id> Start(HttpRequest request, OnDone on_done) = 0;
  virtual void Cancel(Id id) = 0;  // on_done may still come, or not
};

// By libcurl, on a thread of its own. Null in the process of untrusted scripts, which may ask
// nobody and starts sooner without libcurl: untrusted/main.cc has one in the place of this.
std::unique_ptr<HttpClient> MakeHttpClient(const Grants& grants);

// Whether http and https requests to this URL are granted, as libcurl reads it.
Status CheckGrantedUrl(const Grants& grants, const std::string& url);

}  // namespace minnow::script
