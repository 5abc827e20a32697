#include "script/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

namespace minnow::script {
namespace {

struct Transfer {
  HttpClient::Id id;
  HttpRequest request;
  HttpClient::OnDone on_done;
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

using Url = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

std::string UrlPart(const Url& url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url.get(), part, &text, flags) != CURLUE_OK) return "";
  std::string out = text;
  curl_free(text);
  return out;
}

class CurlClient final : public HttpClient {
 public:
  explicit CurlClient(const Grants& grants)
      : grants_(grants), multi_(curl_multi_init()), thread_([this] { Run(); }) {}
  ~CurlClient() override;
  Result<Id> Start(HttpRequest request, OnDone on_done) override;
  void Cancel(Id id) override;

 private:
  void Run();
  void TakeNew();
  void DropCancelled();
  void FinishDone();

  const Grants grants_;
  CURLM* multi_;
  std::mutex mutex_;
  Id last_id_ = 0;  // this and those below: guarded by mutex_
  std::vector<std::unique_ptr<Transfer>> submitted_;
  std::vector<Id> cancelled_;
  bool stopping_ = false;
  std::map<Id, std::unique_ptr<Transfer>> transfers_;  // the thread's
  std::thread thread_;                                 // last: uses all of the above
};

CurlClient::~CurlClient() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  curl_multi_wakeup(multi_);
  thread_.join();
  transfers_.clear();
  curl_multi_cleanup(multi_);
}

Result<HttpClient::Id> CurlClient::Start(HttpRequest request, OnDone on_done) {
  MNW_TRY(CheckGrantedUrl(grants_, request.url));
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

void CurlClient::Cancel(Id id) {
  {
    std::lock_guard lock(mutex_);
    cancelled_.push_back(id);
  }
  curl_multi_wakeup(multi_);
}

void CurlClient::Run() {
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

void CurlClient::TakeNew() {
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

void CurlClient::DropCancelled() {
  std::vector<Id> cancelled;
  {
    std::lock_guard lock(mutex_);
    cancelled.swap(cancelled_);
  }
  for (const Id id : cancelled) transfers_.erase(id);
}

void CurlClient::FinishDone() {
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

}  // namespace

Status CheckGrantedUrl(const Grants& grants, const std::string& url) {
  const Url parsed(curl_url(), &curl_url_cleanup);
  if (!parsed || curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) {
    return Error(Code::kInvalid, "'{}' is no URL", url);
  }
  const std::string scheme = UrlPart(parsed, CURLUPART_SCHEME);
  const std::string host = UrlPart(parsed, CURLUPART_HOST);
  const std::string port = UrlPart(parsed, CURLUPART_PORT, CURLU_DEFAULT_PORT);
  if (scheme != "http" && scheme != "https") {
    return Error(Code::kInvalid, "'{}': only http and https are there", url);
  }
  const bool is_granted =
      std::any_of(grants.net.begin(), grants.net.end(),
                  [&](const std::string& net) { return net == host || net == host + ":" + port; });
  if (is_granted) return {};
  return Error(Code::kPrecondition,
               "'{}': this script may not reach {}; grant it with --allow net={}", url, host, host);
}

std::unique_ptr<HttpClient> MakeHttpClient(const Grants& grants) {
  return std::make_unique<CurlClient>(grants);
}

}  // namespace minnow::script
