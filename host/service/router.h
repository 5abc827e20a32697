// The methods of the server, by path.
//
// Services add their methods here; server.cc looks them up. What a method takes is read from its
// descriptor, so a handler of the wrong type is found when the server starts. Threads: add first,
// then share.
#pragma once

#include <google/protobuf/message.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "service/call.h"

namespace minnow::service {

// What takes the messages of a stream of requests, one at a time: the next comes after ReadNext.
class Requests {
 public:
  virtual ~Requests() = default;
  virtual void OnMessage(const google::protobuf::Message& message) = 0;
  virtual void OnHalfClose() = 0;  // the client sends no more
};

// How a method is treated when the server is full or going down.
enum class Kind {
  kWork,    // counted and limited; refused while draining
  kAdmin,   // always answered
  kHealth,  // likewise; and without a token if the server is told so
};

struct Method {
  Kind kind = Kind::kWork;
  const google::protobuf::Message* prototype = nullptr;  // of requests
  // One of the two. A Failure that is returned ends the call.
  std::function<Failure(const CallPtr&, const google::protobuf::Message&)> one;
  std::function<std::shared_ptr<Requests>(const CallPtr&)> many;
};

class Router {
 public:
  // handle(const CallPtr&, const Request&) -> Failure, for a method that takes one request.
  template <class Request, class Handle>
  void Add(const std::string& service, const std::string& method, Kind kind, Handle handle) {
    Method m;
    m.kind = kind;
    m.prototype = &Request::default_instance();
    m.one = [handle = std::move(handle)](const CallPtr& call,
                                         const google::protobuf::Message& message) -> Failure {
      return handle(call, static_cast<const Request&>(message));
    };
    Insert(service, method, std::move(m));
  }
  // open(const CallPtr&) -> std::shared_ptr<Requests>, for a stream of requests.
  template <class Request, class Open>
  void AddStream(const std::string& service, const std::string& method, Kind kind, Open open) {
    Method m;
    m.kind = kind;
    m.prototype = &Request::default_instance();
    m.many = std::move(open);
    Insert(service, method, std::move(m));
  }

  const Method* Find(std::string_view path) const;
  // Names of the services that have methods here.
  std::vector<std::string> services() const;
  // kInternal if a method of these services has no handler.
  Status CheckComplete() const;

 private:
  void Insert(const std::string& service, const std::string& method, Method m);

  std::map<std::string, Method, std::less<>> methods_;
  Status wrong_;  // the first handler that fits no method
};

}  // namespace minnow::service
