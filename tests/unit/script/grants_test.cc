// What scripts reach beyond their models: what was granted, by whatever way it is named.
#include "script/grants.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "script/http_client.h"
#include "script/script_fixture.h"

using minnow::Code;
using minnow::script::CheckGrantedUrl;
using minnow::script::Grants;
using minnow::script::ReadGrants;
using minnow::test::ScriptFixture;
using minnow::test::TempDir;

namespace fs = std::filesystem;

namespace {

// Answers each connection with the same bytes, or with none until it is closed.
class TinyServer {
 public:
  explicit TinyServer(std::string answer) : answer_(std::move(answer)) {
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    listen(listener_, 8);
    thread_ = std::thread([this] { Serve(); });
  }
  ~TinyServer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  std::string url(const std::string& path = "/") const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  std::string host() const { return "127.0.0.1:" + std::to_string(port_); }
  std::string asked() const {  // once it has been answered
    std::lock_guard lock(mutex_);
    return asked_;
  }

 private:
  void Serve() {
    for (int fd; (fd = accept(listener_, nullptr, nullptr)) >= 0; close(fd)) {
      char bytes[4096];
      std::string head;
      while (head.find("\r\n\r\n") == std::string::npos) {
        const ssize_t n = read(fd, bytes, sizeof bytes);
        if (n <= 0) break;
        head.append(bytes, static_cast<size_t>(n));
      }
      {
        std::lock_guard lock(mutex_);
        asked_ = head;
      }
      if (answer_.empty()) {
        while (read(fd, bytes, sizeof bytes) > 0) {
        }
      } else if (write(fd, answer_.data(), answer_.size()) < 0) {
        continue;
      }
    }
  }

  const std::string answer_;
  int listener_, port_ = 0;
  mutable std::mutex mutex_;
  std::string asked_;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace

TEST_GROUP(Grants) {
  ScriptFixture f;
  TempDir granted, secret;

  void setup() override {
    f.options.untrusted.reset();  // which is granted nothing
    std::ofstream(granted.path() + "/a.txt") << "hello \xff";
    std::ofstream(secret.path() + "/key") << "secret";
    fs::create_directory(granted.path() + "/sub");
    std::ofstream(granted.path() + "/sub/b.txt") << "below";
    fs::create_symlink(secret.path() + "/key", granted.path() + "/link");
    fs::create_symlink(secret.path(), granted.path() + "/folder");
    fs::create_symlink("a.txt", granted.path() + "/inner");
    CHECK(mkfifo((granted.path() + "/pipe").c_str(), 0600) == 0);
    CHECK_OK(ReadGrants("read=" + granted.path(), &f.options.grants));
  }

  minnow::Status Read(const std::string& path) {
    return f.RunToStatus("return require('minnow').files.read('" + path + "')");
  }
};

TEST(Grants, ReadFilesInWhatIsGranted) {
  const std::string minnow = "local files = require('minnow').files ";
  const std::string root = granted.path();
  STRCMP_EQUAL("[7,255,\"below\",\"hello\"]",
               f.RunToJson(minnow + "local a = files.read('" + root +
                           "/a.txt') return { #a, a:byte(-1), files.read('" + root +
                           "/sub/../sub/b.txt'), files.read('" + root + "/inner'):sub(1, 5) }")
                   .c_str());
  STRCMP_EQUAL(R"(["a.txt","folder","inner","link","pipe","sub/"])",
               f.RunToJson(minnow + "return files.list('" + root + "')").c_str());
}

TEST(Grants, ReadNothingElse) {
  for (const std::string& path :
       {secret.path() + "/key", granted.path() + "/link", granted.path() + "/folder/key",
        granted.path() + "/../" + fs::path(secret.path()).filename().string() + "/key",
        std::string("/etc/passwd"), std::string("/proc/self/environ"), secret.path() + "/not there",
        granted.path() + "x/a.txt", std::string("")}) {
    CHECK_ERROR(Code::kPrecondition, "is in no folder that is granted", Read(path));
  }
  CHECK_ERROR(
      Code::kPrecondition, "is in no folder that is granted",
      f.RunToStatus("return require('minnow').files.list('" + granted.path() + "/folder')"));
  CHECK_ERROR(Code::kNotFound, "No such file", Read(granted.path() + "/none"));
  CHECK_ERROR(Code::kInvalid, "is no regular file", Read(granted.path() + "/pipe"));
  CHECK_ERROR(Code::kInvalid, "is no regular file", Read(granted.path() + "/sub"));
  CHECK_ERROR(Code::kInvalid, "Not a directory",
              f.RunToStatus("return require('minnow').files.list('" + granted.path() + "/a.txt')"));
  f.options.budget.memory_bytes = 1 << 20;
  std::ofstream(granted.path() + "/large") << std::string(2 << 20, 'x');
  CHECK_ERROR(Code::kExhausted, "more than the 1048576 bytes", Read(granted.path() + "/large"));
}

TEST(Grants, AreNoneByDefault) {
  f.options.grants = {};
  CHECK_ERROR(Code::kPrecondition, "may read no files; grant a folder with --allow read=DIR",
              Read(granted.path() + "/a.txt"));
  CHECK_ERROR(Code::kPrecondition,
              "'https://example.org/x': this script may reach no host; grant one with --allow "
              "net=HOST",
              f.RunToStatus("require('minnow').http.get('https://example.org/x')"));
}

TEST(Grants, AreReadFromText) {
  Grants grants;
  CHECK_OK(ReadGrants("net=a.org,read=" + granted.path() + ",net=b.org:8080", &grants));
  LONGS_EQUAL(2, grants.net.size());
  STRCMP_EQUAL(fs::canonical(granted.path()).c_str(), grants.read.at(0).c_str());
  for (const char* text : {"", "read", "read=", "net=", "write=/tmp", "read=/tmp,"}) {
    CHECK_ERROR(Code::kInvalid, "should be read=DIR, net=HOST or contexts=DIR",
                ReadGrants(text, &grants));
  }
  CHECK_ERROR(Code::kInvalid, "'/not/there' is no folder", ReadGrants("read=/not/there", &grants));
}

TEST(Grants, HoldForHostsAndPorts) {
  Grants grants;
  CHECK_OK(ReadGrants("net=a.org,net=b.org:8080", &grants));
  for (const char* url : {"http://a.org", "https://a.org/x?y", "http://a.org:81/",
                          "http://b.org:8080/", "http://user:b.org@a.org/"}) {
    CHECK_OK(CheckGrantedUrl(grants, url));
  }
  for (const char* url : {"http://b.org/", "http://a.org.evil.org/", "http://evil.org/a.org",
                          "http://a.org@evil.org/", "http://evil.org#a.org", "http://xa.org/"}) {
    CHECK_ERROR(Code::kPrecondition, "may not reach", CheckGrantedUrl(grants, url));
  }
  for (const char* url : {"file:///etc/passwd", "ftp://a.org/", "gopher://a.org/", "a.org", "",
                          "http://", "http://a.org /"}) {
    CHECK(CheckGrantedUrl(grants, url).code() == Code::kInvalid);
  }
}

TEST(Grants, RequestsGiveStatusHeadersAndBody) {
  const TinyServer server(
      "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nX-A: 1\r\nX-A: 2\r\nConnection: "
      "close\r\n\r\nbody!");
  CHECK_OK(ReadGrants("net=" + server.host(), &f.options.grants));
  STRCMP_EQUAL(
      R"([404,"1, 2","body!"])",
      f.RunToJson("local r = require('minnow').http.get('" + server.url("/p") +
                  "', { headers = 'X-B: 3' }) return { r.status, r.headers['x-a'], r.body }")
          .c_str());
  STRCMP_CONTAINS("GET /p HTTP/1.1", server.asked().c_str());
  STRCMP_CONTAINS("X-B: 3", server.asked().c_str());
  STRCMP_EQUAL("404", f.RunToJson("return require('minnow').http.post('" + server.url() +
                                  "', 'text').status")
                          .c_str());
  STRCMP_CONTAINS("POST / HTTP/1.1", server.asked().c_str());
}

TEST(Grants, RedirectsAreNotFollowed) {
  const TinyServer server(
      "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n"
      "Connection: close\r\n\r\n");
  CHECK_OK(ReadGrants("net=" + server.host(), &f.options.grants));
  STRCMP_EQUAL(
      "302",
      f.RunToJson("return require('minnow').http.get('" + server.url() + "').status").c_str());
}

TEST(Grants, RequestsThatFailSayWhy) {
  CHECK_OK(ReadGrants("net=127.0.0.1", &f.options.grants));
  CHECK_ERROR(Code::kUnavailable, "http: 'http://127.0.0.1:1/'",
              f.RunToStatus("require('minnow').http.get 'http://127.0.0.1:1/'"));
  const TinyServer silent("");
  CHECK_ERROR(
      Code::kDeadline, silent.url().c_str(),
      f.RunToStatus("require('minnow').http.get('" + silent.url() + "', { timeout = 0.05 })"));
  f.options.budget.memory_bytes = 1 << 20;
  const TinyServer large("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" +
                         std::string(2 << 20, 'x'));
  CHECK_ERROR(Code::kExhausted, "has more than 1048576 bytes",
              f.RunToStatus("require('minnow').http.get('" + large.url() + "')"));
  CHECK_ERROR(Code::kInvalid, "a header should be 'Name: value' in one line",
              f.RunToStatus("require('minnow').http.get('" + silent.url() +
                            "', { headers = 'A: b\\r\\nC: d' })"));
  CHECK_ERROR(
      Code::kInvalid, "option 'timeout' should be seconds",
      f.RunToStatus("require('minnow').http.get('" + silent.url() + "', { timeout = -1 })"));
}

TEST(Grants, ARequestEndsWithItsDocument) {
  const TinyServer silent("");
  CHECK_OK(ReadGrants("net=127.0.0.1", &f.options.grants));
  f.options.budget.seconds = 0.05;
  CHECK_ERROR(Code::kDeadline, "budget of 0.05 s",
              f.RunToStatus("require('minnow').http.get('" + silent.url() + "')"));
}
