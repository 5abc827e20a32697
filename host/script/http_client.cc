#include "script/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <string_view>

namespace minnow::script {

struct HttpClient::Transfer {
  Id id;
  HttpRequest request;
  OnDone on_done;
  HttpResponse response;
  CURL* easy = nullptr;
  CURLM* multi = nullptr;
  curl_slist* headers = nullptr;
  bool is_too_long = false;
  char error[CURL_ERROR_SIZE] = "";

  ~Transfer() {
    if (easy) {
      curl_multi_remove_handle(multi, easy);
      curl_easy_cleanup(easy);
    }
    curl_slist_free_all(headers);
  }

  static size_t OnBody(char* data, size_t, size_t size, void* self) {
    auto* transfer = static_cast<Transfer*>(self);
    transfer->is_too_long = size > transfer->request.max_bytes - transfer->response.body.size();
    if (transfer->is_too_long) return 0;
    transfer->response.body.append(data, size);
    return size;
  }

  static size_t OnHeader(char* data, size_t, size_t size, void* self) {
    auto* transfer = static_cast<Transfer*>(self);
    std::string_view line(data, size);
    while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back()))) {
      line.remove_suffix(1);
    }
    const size_t colon = line.find(':');
    if (line.starts_with("HTTP/")) transfer->response.headers.clear();  // after a 100 Continue
    if (colon == std::string_view::npos) return size;
    std::string name(line.substr(0, colon));
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const size_t value = std::min(line.find_first_not_of(" \t", colon + 1), line.size());
    transfer->response.headers.emplace_back(std::move(name), line.substr(value));
    return size;
  }

  bool Open(CURLM* to) {
    easy = curl_easy_init();
    if (!easy) return false;
    multi = to;
    for (const auto& [name, value] : request.headers) {
      headers = curl_slist_append(headers, (name + ": " + value).c_str());
    }
    curl_easy_setopt(easy, CURLOPT_PRIVATE, this);
    curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    curl_easy_setopt(easy, CURLOPT_NOBODY, request.method == "HEAD" ? 1L : 0L);
    if (!request.body.empty()) {
      curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                       static_cast<curl_off_t>(request.body.size()));
      curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.data());
    }
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout_seconds * 1000));
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, OnBody);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, OnHeader);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
    return curl_multi_add_handle(multi, easy) == CURLM_OK;
  }

  void Finish(CURLcode code) {
    if (is_too_long) {
      return on_done(Error(Code::kExhausted, "http: the answer of '{}' has more than {} bytes",
                           request.url, request.max_bytes));
    }
    if (code != CURLE_OK) {
      const Code kind = code == CURLE_OPERATION_TIMEDOUT ? Code::kDeadline : Code::kUnavailable;
      return on_done(
          Error(kind, "http: '{}': {}", request.url, *error ? error : curl_easy_strerror(code)));
    }
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    response.status = static_cast<int>(status);
    on_done(std::move(response));
  }
};

HttpClient::HttpClient() : multi_(curl_multi_init()), thread_([this] { Run(); }) {}

HttpClient::~HttpClient() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  curl_multi_wakeup(multi_);
  thread_.join();
  transfers_.clear();
  curl_multi_cleanup(multi_);
}

HttpClient::Id HttpClient::Start(HttpRequest request, OnDone on_done) {
  auto transfer = std::make_unique<Transfer>();
  transfer->request = std::move(request);
  transfer->on_done = std::move(on_done);
  Id id;
  {
    std::lock_guard lock(mutex_);
    id = transfer->id = ++last_id_;
    submitted_.push_back(std::move(transfer));
  }
  curl_multi_wakeup(multi_);
  return id;
}

void HttpClient::Cancel(Id id) {
  {
    std::lock_guard lock(mutex_);
    cancelled_.push_back(id);
  }
  curl_multi_wakeup(multi_);
}

void HttpClient::Run() {
  for (;;) {
    {
      std::lock_guard lock(mutex_);
      if (stopping_) return;
    }
    TakeNew();
    DropCancelled();
    int n_running = 0;
    curl_multi_perform(multi_, &n_running);
    FinishDone();
    constexpr int kMilliseconds = 60'000;
    curl_multi_poll(multi_, nullptr, 0, kMilliseconds, nullptr);
  }
}

void HttpClient::TakeNew() {
  std::vector<std::unique_ptr<Transfer>> taken;
  {
    std::lock_guard lock(mutex_);
    taken.swap(submitted_);
  }
  for (auto& transfer : taken) {
    if (transfer->Open(multi_)) {
      transfers_.emplace(transfer->id, std::move(transfer));
    } else {
      transfer->Finish(CURLE_FAILED_INIT);
    }
  }
}

void HttpClient::DropCancelled() {
  std::vector<Id> cancelled;
  {
    std::lock_guard lock(mutex_);
    cancelled.swap(cancelled_);
  }
  for (const Id id : cancelled) transfers_.erase(id);
}

void HttpClient::FinishDone() {
  int n_left;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &n_left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode code = message->data.result;
    Transfer* transfer;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    transfer->Finish(code);
    transfers_.erase(transfer->id);
  }
}

}  // namespace minnow::script
