// minnow.http: requests to the hosts that were granted.
#include <algorithm>
#include <memory>

#include "script/lua_modules.h"
#include "script/lua_values.h"
#include "script/state.h"

namespace minnow::script {
namespace {

using Json = nlohmann::ordered_json;

//---Requests to the hosts that were granted (`--allow net=HOST`), and to no others. Redirects are
//---not followed.
//---minnow.http = {}

//---@class minnow.HttpResponse
//---@field status integer
//---@field headers table<string, string>  -- names in lower case
//---@field body string  -- 16 MiB at most

Result<Json> ResponseJson(const Result<HttpResponse>& response) {
  if (!response.ok()) return response.status();
  Json headers = Json::object();
  for (const auto& [name, value] : response->headers) {
    const bool is_there = headers.contains(name);
    headers[name] = is_there ? headers[name].get<std::string>() + ", " + value : value;
  }
  return Json{
      {"status", response->status}, {"headers", std::move(headers)}, {"body", response->body}};
}

Status Start(State& state, State::CallId id, HttpRequest request) {
  Environment& environment = state.environment();
  if (environment.grants.net.empty()) {
    return Error(Code::kPrecondition,
                 "'{}': this script may reach no host; grant one with --allow net=HOST",
                 request.url);
  }
  request.max_bytes = std::min(request.max_bytes, environment.budget.memory_bytes);
  if (!environment.http) environment.http = MakeHttpClient(environment.grants);
  MNW_ASSIGN(const HttpClient::Id transfer,
             environment.http->Start(
                 std::move(request),
                 state.Receiver<Result<HttpResponse>>(
                     id, [](State& state, State::CallId id, Result<HttpResponse> response) {
                       state.Complete(id, ResponseJson(response));
                     })));
  state.Find(id)->cancel = [&environment, transfer] { environment.http->Cancel(transfer); };
  return {};
}

bool IsOneLine(const std::string& text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos;
}

//---@class minnow.HttpOptions
//---@field headers? string|string[]  -- "Name: value"
//---@field timeout? number  -- seconds for all of it, 30

Status ReadRequestOptions(lua_State* L, int index, std::string_view call, HttpRequest& request) {
  float timeout = static_cast<float>(request.timeout_seconds);
  std::vector<std::string> headers;
  MNW_TRY(ReadOptions(L, index, call, {{"headers", &headers}, {"timeout", &timeout}}));
  if (!(timeout > 0 && timeout <= 3600)) {
    return Error(Code::kInvalid, "{}: option 'timeout' should be seconds from 0 to 3600", call);
  }
  request.timeout_seconds = timeout;
  for (const std::string& header : headers) {
    const size_t colon = header.find(':');
    if (colon == 0 || colon == std::string::npos || !IsOneLine(header)) {
      return Error(Code::kInvalid, "{}: a header should be 'Name: value' in one line, got '{}'",
                   call, header);
    }
    request.headers.emplace_back(
        header.substr(0, colon),
        header.substr(std::min(header.find_first_not_of(' ', colon + 1), header.size())));
  }
  return {};
}

Status StartGet(lua_State* L, State& state, State::CallId id) {
  HttpRequest request;
  MNW_ASSIGN(request.url, ReadString(L, 1, "http.get: the URL"));
  MNW_TRY(ReadRequestOptions(L, 2, "http.get", request));
  return Start(state, id, std::move(request));
}

Status StartPost(lua_State* L, State& state, State::CallId id) {
  HttpRequest request;
  request.method = "POST";
  MNW_ASSIGN(request.url, ReadString(L, 1, "http.post: the URL"));
  MNW_ASSIGN(request.body, ReadString(L, 2, "http.post: the body"));
  MNW_TRY(ReadRequestOptions(L, 3, "http.post", request));
  return Start(state, id, std::move(request));
}

//---Waits. Any status of the answer is a result; what gives no answer is raised.
//---@param url string
//---@param options? minnow.HttpOptions
//---@return minnow.HttpResponse
//---function minnow.http.get(url, options)
int Get(lua_State* L) { return State::From(L).CallAndWait(L, "http.get", StartGet); }
//---As minnow.http.get, with a body.
//---@param url string
//---@param body string
//---@param options? minnow.HttpOptions
//---@return minnow.HttpResponse
//---function minnow.http.post(url, body, options)
int Post(lua_State* L) { return State::From(L).CallAndWait(L, "http.post", StartPost); }

}  // namespace

void OpenHttp(lua_State* L) {
  constexpr luaL_Reg kFunctions[] = {{"get", Get}, {"post", Post}, {nullptr, nullptr}};
  luaL_newlib(L, kFunctions);
  lua_setfield(L, -2, "http");
}

}  // namespace minnow::script
