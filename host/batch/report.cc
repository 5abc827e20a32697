#include "batch/report.h"

#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>

#include "base/json.h"
#include "batch/progress.h"

namespace minnow::batch {

namespace {

constexpr size_t kShownFailures = 50;

struct Failure {
  std::string id, message;
};

struct Totals {
  uint64_t documents = 0, prompt_tokens = 0, completion_tokens = 0;
  std::map<std::string, uint64_t> failed;  // by code
  std::vector<Failure> failures;           // the first ones

  uint64_t n_failed() const {
    uint64_t n = 0;
    for (const auto& [code, count] : failed) n += count;
    return n;
  }

  void Add(std::string_view line) {
    const auto record = ParseJson(line);
    if (!record.ok() || !record->is_object()) return;
    ++documents;
    const auto usage = record->find("usage");
    if (usage != record->end() && usage->is_object()) {
      prompt_tokens += usage->value("prompt_tokens", uint64_t{0});
      completion_tokens += usage->value("completion_tokens", uint64_t{0});
    }
    const auto error = record->find("error");
    if (error == record->end() || !error->is_object()) return;
    ++failed[error->value("code", std::string("?"))];
    if (failures.size() < kShownFailures) {
      failures.push_back(
          {record->value("id", std::string("?")), error->value("message", std::string("?"))});
    }
  }
};

// The lines of a file that is plain or made of zstd frames, in constant memory.
class Lines {
 public:
  explicit Lines(const std::string& path) : in_(path, std::ios::binary) {
    if (path.ends_with(".zst")) context_.reset(ZSTD_createDCtx());
  }

  template <class F>
  Status ForEach(F&& line) {
    if (!in_) return Error(Code::kInvalid, "cannot read it: {}", std::strerror(errno));
    std::string raw(ZSTD_DStreamInSize(), '\0'), text(ZSTD_DStreamOutSize(), '\0'), rest;
    while (in_) {
      in_.read(raw.data(), static_cast<std::streamsize>(raw.size()));
      ZSTD_inBuffer from = {raw.data(), static_cast<size_t>(in_.gcount()), 0};
      while (from.pos < from.size) {
        if (context_) {
          ZSTD_outBuffer to = {text.data(), text.size(), 0};
          const size_t code = ZSTD_decompressStream(context_.get(), &to, &from);
          if (ZSTD_isError(code)) return Error(Code::kCorrupt, "{}", ZSTD_getErrorName(code));
          rest.append(text.data(), to.pos);
        } else {
          rest.append(raw.data(), from.size);
          from.pos = from.size;
        }
        size_t begin = 0;
        for (size_t end; (end = rest.find('\n', begin)) != rest.npos; begin = end + 1) {
          line(std::string_view(rest).substr(begin, end - begin));
        }
        rest.erase(0, begin);
      }
    }
    return Status();
  }

 private:
  struct Free {
    void operator()(ZSTD_DCtx* c) const { ZSTD_freeDCtx(c); }
  };
  std::ifstream in_;
  std::unique_ptr<ZSTD_DCtx, Free> context_;
};

std::string Escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string Row(std::string_view name, std::string_view value) {
  return fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", Escaped(name), Escaped(value));
}

std::string Page(const ReportInput& input, const Totals& totals) {
  const double seconds = std::max(input.seconds, 1e-9);
  std::string page = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{0}</title>\n"
      "<style>body{{font:15px/1.5 sans-serif;margin:2em auto;max-width:60em;padding:0 1em}}"
      "table{{border-collapse:collapse;margin:1em 0}}th,td{{text-align:left;padding:.2em 1em .2em "
      "0;border-bottom:1px solid #ddd;vertical-align:top;overflow-wrap:anywhere}}"
      "th{{font-weight:600;white-space:nowrap}}</style>\n<h1>{0}</h1>\n<table>\n",
      Escaped(input.name));
  page += Row("documents", fmt::format("{}", totals.documents));
  page += Row("failed", fmt::format("{}", totals.n_failed()));
  page += Row("tokens",
              fmt::format("{} read, {} written", totals.prompt_tokens, totals.completion_tokens));
  page +=
      Row("last run", fmt::format("{} documents in {:.1f} s: {:.1f} documents/s, {:.0f} tokens/s",
                                  input.documents, input.seconds,
                                  static_cast<double>(input.documents) / seconds,
                                  static_cast<double>(input.tokens) / seconds));
  page += Row("output", input.output);
  page += "</table>\n";
  if (!totals.failed.empty()) {
    page += "<h2>Failures</h2>\n<table>\n";
    for (const auto& [code, count] : totals.failed) page += Row(code, fmt::format("{}", count));
    page += "</table>\n<table>\n";
    for (const Failure& f : totals.failures) page += Row(f.id, f.message);
    page += "</table>\n";
    if (totals.n_failed() > totals.failures.size()) {
      page +=
          fmt::format("<p>The first {} of {}.</p>\n", totals.failures.size(), totals.n_failed());
    }
  }
  if (!input.steps.empty()) {
    page += "<h2>Calls of models in the last run</h2>\n<table>\n";
    for (const auto& [step, usage] : input.steps) page += Row(step, Describe(usage));
    page += "</table>\n";
  }
  page += "<h2>What was run</h2>\n<table>\n";
  for (const auto& [name, value] : input.identity) page += Row(name, value);
  return page + "</table>\n</html>\n";
}

}  // namespace

Status WriteReport(const ReportInput& input, const std::string& path) {
  Totals totals;
  Lines lines(input.output);
  if (Status status = lines.ForEach([&](std::string_view line) { totals.Add(line); });
      !status.ok()) {
    return std::move(status).Annotate(fmt::format("report on '{}'", input.output));
  }
  std::ofstream out(path, std::ios::binary);
  out << Page(input, totals);
  out.close();
  if (!out) return Error(Code::kExhausted, "cannot write the report '{}'", path);
  return Status();
}

}  // namespace minnow::batch
