// Load on `minnow serve`: how much is answered, and how fast it says no to the rest.
//
//   serve_load --to 127.0.0.1:50051 --model M closed 32        32 calls at a time
//   serve_load --to 127.0.0.1:50051 --model M open 200         200 calls a second, whatever comes
//   back
//   ... --idle 10000                                           and connections that say nothing
//   ... --server PID                                           and what the server's process used
//
// One line of JSON. Goodput counts answers that came whole; a refusal is RESOURCE_EXHAUSTED, and
// its time is from the call's start to its status.
#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <thread>

#include "minnow/v1/inference.grpc.pb.h"

namespace {

using Clock = std::chrono::steady_clock;
namespace v1 = minnow::v1;

double Seconds(Clock::duration d) { return std::chrono::duration<double>(d).count(); }

struct Options {
  std::string to = "127.0.0.1:50051", model, prompt = "The quick brown fox", loop = "closed";
  double amount = 8, seconds = 10, deadline = 30;
  uint32_t tokens = 64;
  int channels = 8, idle = 0, server = 0;
};

// What came of all calls.
struct Totals {
  std::mutex mutex;
  std::condition_variable ended;
  size_t open = 0, answered = 0, tokens = 0;
  std::map<std::string, size_t> failed;
  std::vector<double> first, whole, refusal;  // seconds
};

class OneCall final : public grpc::ClientReadReactor<v1::GenerateResponse> {
 public:
  OneCall(v1::Inference::Stub& stub, const v1::GenerateRequest& request, double deadline,
          Totals& totals, std::function<void()> next)
      : totals_(totals), next_(std::move(next)) {
    context_.set_deadline(std::chrono::system_clock::now() +
                          std::chrono::microseconds(static_cast<int64_t>(deadline * 1e6)));
    stub.async()->Generate(&context_, &request, this);
    StartRead(&response_);
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    if (response_.has_chunk()) {
      if (n_++ == 0) first_ = Clock::now();
    }
    StartRead(&response_);
  }

  void OnDone(const grpc::Status& status) override {
    const auto now = Clock::now();
    {
      const std::lock_guard lock(totals_.mutex);
      if (status.ok()) {
        ++totals_.answered;
        totals_.tokens += n_;
        totals_.first.push_back(Seconds(first_ - begun_));
        totals_.whole.push_back(Seconds(now - begun_));
      } else if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED) {
        totals_.refusal.push_back(Seconds(now - begun_));
      } else {
        ++totals_.failed[std::to_string(status.error_code()) + " " + status.error_message()];
      }
    }
    if (next_) next_();
    // Then all that is of this call goes, since the program may end with the last one.
    Totals& totals = totals_;
    delete this;
    // After the next has begun: between two calls it may not look as if all had ended.
    const std::lock_guard lock(totals.mutex);
    --totals.open;
    totals.ended.notify_all();
  }

 private:
  Totals& totals_;
  const std::function<void()> next_;
  grpc::ClientContext context_;
  v1::GenerateResponse response_;
  const Clock::time_point begun_ = Clock::now();
  Clock::time_point first_;
  size_t n_ = 0;
};

double Quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  const auto at = values.begin() + static_cast<ptrdiff_t>(q * (values.size() - 1) + 0.5);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

nlohmann::ordered_json Milliseconds(const std::vector<double>& values) {
  return {{"p50", Quantile(values, 0.5) * 1e3},
          {"p99", Quantile(values, 0.99) * 1e3},
          {"max", Quantile(values, 1) * 1e3}};
}

// Connections that have said hello in HTTP/2 and then nothing.
std::vector<int> OpenIdle(const Options& o) {
  std::vector<int> sockets;
  sockaddr_in name{};
  name.sin_family = AF_INET;
  const size_t colon = o.to.rfind(':');
  name.sin_port = htons(static_cast<uint16_t>(std::stoi(o.to.substr(colon + 1))));
  inet_pton(AF_INET, o.to.substr(0, colon).c_str(), &name.sin_addr);
  const std::string hello("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
  for (int i = 0; i < o.idle; ++i) {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || ::connect(fd, reinterpret_cast<sockaddr*>(&name), sizeof name) != 0) break;
    if (::send(fd, hello.data(), hello.size(), MSG_NOSIGNAL) < 0) break;
    sockets.push_back(fd);
  }
  return sockets;
}

// Processor seconds of this process.
double OwnCpu() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](timeval t) { return static_cast<double>(t.tv_sec) + t.tv_usec * 1e-6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Of another; with its resident MiB.
std::pair<double, double> CpuAndMemory(int pid) {
  const std::string proc = "/proc/" + std::to_string(pid);
  std::string text;
  std::getline(std::ifstream(proc + "/stat"), text);
  std::istringstream fields(text.substr(std::min(text.size(), text.rfind(')') + 2)));
  std::vector<std::string> all(std::istream_iterator<std::string>(fields), {});
  if (all.size() < 22) return {};
  const double ticks = std::stod(all[11]) + std::stod(all[12]);
  return {ticks / static_cast<double>(::sysconf(_SC_CLK_TCK)),
          std::stod(all[21]) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1 << 20)};
}

class Load {
 public:
  explicit Load(const Options& o) : o_(o) {
    for (int i = 0; i < o.channels; ++i) {
      grpc::ChannelArguments arguments;
      arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
      stubs_.push_back(v1::Inference::NewStub(
          grpc::CreateCustomChannel(o.to, grpc::InsecureChannelCredentials(), arguments)));
    }
    request_.set_model(o.model);
    request_.mutable_prompt()->set_text(o.prompt);
    request_.mutable_options()->set_max_tokens(o.tokens);
    request_.mutable_options()->set_ignore_end(true);
  }

  void Run() {
    begun_ = Clock::now();
    if (o_.loop == "closed") {
      for (int i = 0; i < static_cast<int>(o_.amount); ++i) Closed();
    } else {
      Open();
    }
    std::unique_lock lock(totals_.mutex);
    totals_.ended.wait(lock, [this] { return totals_.open == 0; });
    seconds_ = Seconds(Clock::now() - begun_);
  }

  nlohmann::ordered_json Report() const {
    return {{"loop", o_.loop},
            {"amount", o_.amount},
            {"seconds", seconds_},
            {"calls_per_second", static_cast<double>(started_) / o_.seconds},
            {"answers_per_second", static_cast<double>(totals_.answered) / seconds_},
            {"tokens_per_second", static_cast<double>(totals_.tokens) / seconds_},
            {"answered", totals_.answered},
            {"refused", totals_.refusal.size()},
            {"failed", totals_.failed},
            {"first_token_ms", Milliseconds(totals_.first)},
            {"answer_ms", Milliseconds(totals_.whole)},
            {"refusal_ms", Milliseconds(totals_.refusal)}};
  }

 private:
  bool InTime() const { return Seconds(Clock::now() - begun_) < o_.seconds; }

  void Start(std::function<void()> next) {
    v1::Inference::Stub& stub = *stubs_[started_++ % stubs_.size()];
    {
      const std::lock_guard lock(totals_.mutex);
      ++totals_.open;
    }
    new OneCall(stub, request_, o_.deadline, totals_, std::move(next));
  }

  void Closed() {
    Start([this] {
      if (InTime()) Closed();
    });
  }

  // Arrivals as of many who know nothing of each other.
  void Open() {
    std::mt19937 random(1);
    std::exponential_distribution<double> gap(o_.amount);
    double at = 0;
    while ((at += gap(random)) < o_.seconds) {
      std::this_thread::sleep_until(
          begun_ + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(at)));
      Start({});
    }
  }

  const Options& o_;
  std::vector<std::unique_ptr<v1::Inference::Stub>> stubs_;
  v1::GenerateRequest request_;
  Totals totals_;
  std::atomic<size_t> started_ = 0;
  Clock::time_point begun_;
  double seconds_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app{"Load on minnow serve"};
  app.add_option("--to", o.to, "HOST:PORT");
  app.add_option("--model", o.model, "Its name at the server");
  app.add_option("--prompt", o.prompt, "Of every call");
  app.add_option("--tokens", o.tokens, "Of every answer");
  app.add_option("--seconds", o.seconds, "In which calls are started");
  app.add_option("--deadline", o.deadline, "Of every call, seconds");
  app.add_option("--channels", o.channels, "Connections");
  app.add_option("--idle", o.idle, "Further connections without calls");
  app.add_option("--server", o.server, "Its process, whose processor time and memory are told");
  app.add_option("loop", o.loop, "closed or open")->check(CLI::IsMember({"closed", "open"}));
  app.add_option("amount", o.amount, "Calls at a time, or a second");
  CLI11_PARSE(app, argc, argv);
  const std::vector<int> idle = OpenIdle(o);
  Load load(o);
  const double own = OwnCpu(), server = CpuAndMemory(o.server).first;
  load.Run();
  auto report = load.Report();
  report["generator_cpu_seconds"] = OwnCpu() - own;
  if (o.server > 0) {
    const auto [cpu, memory] = CpuAndMemory(o.server);
    report["server_cpu_seconds"] = cpu - server;
    report["server_resident_mib"] = memory;
  }
  if (o.idle > 0) report["idle_connections"] = idle.size();
  std::printf("%s\n", report.dump().c_str());
  return 0;
}
