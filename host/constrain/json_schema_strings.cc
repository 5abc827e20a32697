// Strings: lengths, patterns, formats.
#include <algorithm>

#include "constrain/json_schema_compiler.h"
#include "constrain/json_text.h"
#include "constrain/regex.h"
#include "constrain/spans.h"

namespace minnow::constrain {

namespace {

// Source: RFC 3339. There is no year 0.
constexpr char kDate[] =
    "(?:(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
    "-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    "|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    "|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-02-29)";
constexpr char kTime[] =
    "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?"
    "(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";
constexpr char kLeapSecondInUtc[] = "23:59:60(?:\\.[0-9]{1,9})?[Zz]";
constexpr char kSecondFraction[] = "(?:\\.[0-9]{1,9})?";
// Source: RFC 3339, appendix A.
constexpr char kDuration[] =
    "P(?:N{1,9}W|(?:N{1,9}D|N{1,9}M(?:N{1,9}D)?|N{1,9}Y(?:N{1,9}M(?:N{1,9}D)?)?)(?:T#)?|T#)";
constexpr char kDurationTime[] = "(?:N{1,9}H(?:N{1,9}M(?:N{1,9}S)?)?|N{1,9}M(?:N{1,9}S)?|N{1,9}S)";
// Source: RFC 3986, section 3.2.2.
constexpr char kByte[] = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
// Source: RFC 1123.
constexpr char kLabel[] = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
constexpr char kUuid[] =
    "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}";

std::string Replaced(std::string text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
  return text;
}

std::string Ipv4() { return fmt::format("(?:{0}\\.{0}\\.{0}\\.{0})", kByte); }

// `::` stands for at least one group of zeros.
std::string Ipv6() {
  const std::string h = "[0-9A-Fa-f]{1,4}";
  const std::string last = fmt::format("(?:{0}:{0}|{1})", h, Ipv4());  // 32 bits
  std::string all = fmt::format("(?:(?:{}:){{6}}{}", h, last);
  for (int behind = 5; behind >= 0; --behind) {  // groups between :: and the last 32 bits
    const int before = 5 - behind;               // at most, in front of ::
    const std::string front =
        before == 0 ? "" : fmt::format("(?:(?:{0}:){{0,{1}}}{0})?", h, before - 1);
    all += fmt::format("|{}::(?:{}:){{{}}}{}", front, h, behind, last);
  }
  all += fmt::format("|(?:(?:{0}:){{0,5}}{0})?::{0}|(?:(?:{0}:){{0,6}}{0})?::)", h);
  return all;
}

std::string Hostname() { return fmt::format("(?:{0}(?:\\.{0})*)", kLabel); }

// Source: RFC 5321, section 4.1.2.
std::string Email() {
  const std::string atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+";
  return "(?:" + atom + "(?:\\." + atom + ")*|\"(?:[ !#-\\[\\]-~]|\\\\[ -~])*\")@(?:" + Hostname() +
         "|\\[(?:" + Ipv4() + "|IPv6:" + Ipv6() + ")\\])";
}

// Source: RFC 3986, appendix A.
std::string Uri() {
  const std::string plain = "A-Za-z0-9._~!$&'()*+,;=\\-";
  const std::string percent = "%[0-9A-Fa-f]{2}";
  const std::string pchar = "(?:[" + plain + ":@]|" + percent + ")";
  const std::string authority = "(?:(?:[" + plain + ":]|" + percent + ")*@)?(?:\\[(?:" + Ipv6() +
                                "|v[0-9A-Fa-f]+\\.[" + plain + ":]+)\\]|(?:[" + plain + "]|" +
                                percent + ")*)(?::[0-9]*)?";
  const std::string path = "(?:/" + pchar + "*)*";
  const std::string more = "(?:" + pchar + "|[/?])*";
  return "[A-Za-z][A-Za-z0-9+.-]*:(?://" + authority + path + "|/?" + pchar + "+" + path +
         "|/)?(?:\\?" + more + ")?(?:#" + more + ")?";
}

// 23:59:60 in UTC, by a clock with an offset.
Term LeapSeconds(Terms& terms, Term fraction) {
  const auto clock = [](int minutes) {
    return fmt::format("{:02}:{:02}", minutes / 60, minutes % 60);
  };
  std::vector<Term> hours;
  for (int hour = 0; hour < 24; ++hour) {
    std::vector<Term> minutes;
    for (int minute = 0; minute < 60; ++minute) {
      const int local = hour * 60 + minute;
      const Term parts[] = {terms.Literal(fmt::format("{:02}:60", minute)), fraction,
                            terms.Or(terms.Literal("+" + clock((local + 1) % 1440)),
                                     terms.Literal("-" + clock(1439 - local)))};
      minutes.push_back(terms.Concat(parts));
    }
    hours.push_back(terms.Concat(terms.Literal(fmt::format("{:02}:", hour)), terms.Or(minutes)));
  }
  return terms.Or(hours);
}

}  // namespace

Term SchemaCompiler::Format(std::string_view name) {
  const auto [known, fresh] = formats_.try_emplace(std::string(name), kNever);
  if (!fresh) return known->second;
  const auto regex = [&](const std::string& pattern) {
    const Result<Term> term = CompileRegex(terms_, "^(?:" + pattern + ")$", JsonChars);
    return term.ok() ? *term : kNever;
  };
  const auto at_most = [&](Term term, uint32_t n) {
    return terms_.And(term, terms_.Repeat(any_char_, 0, n));
  };
  const auto time = [&] {
    const Term all[] = {regex(kTime), regex(kLeapSecondInUtc),
                        LeapSeconds(terms_, regex(kSecondFraction))};
    return terms_.Or(all);
  };
  Term term = kNever;
  if (name == "date") {
    term = regex(kDate);
  } else if (name == "time") {
    term = time();
  } else if (name == "date-time") {
    const Term parts[] = {regex(kDate), regex("[Tt]"), time()};
    term = terms_.Concat(parts);
  } else if (name == "duration") {
    term = regex(Replaced(Replaced(kDuration, "#", kDurationTime), "N", "[0-9]"));
  } else if (name == "email") {
    term = at_most(regex(Email()), 254);
  } else if (name == "hostname") {
    term = at_most(regex(Hostname()), 253);
  } else if (name == "ipv4") {
    term = regex(Ipv4());
  } else if (name == "ipv6") {
    term = regex(Ipv6());
  } else if (name == "uri") {
    term = at_most(regex(Uri()), options_.max_string);
  } else if (name == "uuid") {
    term = regex(kUuid);
  }
  return formats_[std::string(name)] = term;
}

// The default bound is for strings of which nothing was said: a pattern says what it wants, and
// counting beside it would make its every state thousands.
Term SchemaCompiler::Strings(const Facts& f) {
  if (f.length.empty()) return kNever;
  const bool counted = f.length.min > 0 || f.length.max;
  const auto most = static_cast<uint32_t>(
      f.length.max.value_or(std::max<uint64_t>(options_.max_string, f.length.min)));
  std::vector<Term> parts = f.contents;
  if (f.from_source) parts.push_back(Spans(f, false));  // no longer than may be
  if (f.from_source ? f.length.min > 1 : counted || parts.empty())
    parts.push_back(terms_.Repeat(any_char_, static_cast<uint32_t>(f.length.min), most));
  Term contents = parts[0];
  for (size_t i = 1; i < parts.size(); ++i) contents = terms_.And(contents, parts[i]);
  return contents;
}

Term SchemaCompiler::Spans(const Facts& f, bool raw) {
  if (options_.any_document) return terms_.Repeat(any_char_, 1, kUnbounded);
  if (!options_.document) return kNever;
  SpanOptions options = {.raw = raw, .whole_words = raw, .fuzzy_space = f.fuzzy_space};
  if (f.length.max) {
    options.max_characters =
        static_cast<uint32_t>(std::min<uint64_t>(options.max_characters, *f.length.max));
  }
  const auto [known, fresh] =
      spans_.try_emplace({raw, options.fuzzy_space, options.max_characters}, kNever);
  if (!fresh) return known->second;
  const auto spans = DocumentSpans::Create(*options_.document, options);
  if (!spans.ok()) {
    Refuse(f.places.back().schema, "x-from-source", spans.status().message());
    return kNever;
  }
  return known->second = SpanTerm(terms_, *spans);
}

// Any other string than these.
Term SchemaCompiler::Others(Term contents) {
  return terms_.And(terms_.Repeat(any_char_, 0, kUnbounded), terms_.Not(contents));
}

// The strings, without their quotation marks, of which all this holds.
Term SchemaCompiler::Strings(const Conjunction& all) {
  std::vector<Term> ways;
  const Leaves leaves = Flat(all);
  for (const Facts& f : *leaves) {
    if (f.values) {
      std::vector<std::string> strings;
      for (const Json* value : *f.values) {
        if (value->is_string() && Holds(f, *value)) {
          strings.push_back(JsonContent(value->get_ref<const std::string&>()));
        }
      }
      ways.push_back(terms_.Strings(strings));
    } else if (f.types & kTypeString) {
      ways.push_back(Strings(f));
    }
  }
  return terms_.Or(ways);
}

}  // namespace minnow::constrain
