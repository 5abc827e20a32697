// The methods of Python's str. Results keep the origin of every byte they take from their input.
#include <algorithm>

#include "text/jinja_builtins.h"
#include "text/jinja_ops.h"
#include "text/jinja_print.h"

namespace minnow::text::jinja {
namespace {

const Text& Self(const Invocation& call) { return *call.self.text(); }

Result<Value> Slice(const Invocation& call, size_t begin, size_t end) {
  MNW_TRY(call.meter().Text(end - begin));
  return Value::Str(Self(call).Slice(begin, end));
}

Result<Value> Finish(TextBuilder& out) {
  MNW_ASSIGN(Text text, out.Finish());
  return Value::Str(std::move(text));
}

// What a method would have to escape where Markup does.
Status RefuseMarkup(const Invocation& call, const char* method) {
  if (!Self(call).markup()) return {};
  return Error(Code::kUnsupported, "{}() of a string marked safe is not supported", method);
}

bool Given(const Invocation& call, size_t index) {
  return call.params[index] && !call.params[index]->Is<None>();
}

Result<Value> MapText(const Invocation& call, Text (*map)(const Text&)) {
  MNW_TRY(call.meter().Text(Self(call).size()));
  return Value::Str(map(Self(call)));
}
Result<Value> Upper(const Invocation& call) { return MapText(call, ToUpper); }
Result<Value> Lower(const Invocation& call) { return MapText(call, ToLower); }
Result<Value> StrCapitalize(const Invocation& call) { return MapText(call, Capitalize); }
Result<Value> Title(const Invocation& call) { return MapText(call, TitleCase); }

Result<Value> StripSides(const Invocation& call, bool left, bool right) {
  std::string_view chars;
  if (Given(call, 0)) {
    MNW_ASSIGN(const Text* text, TextParam(call, 0));
    chars = text->view();
    MNW_TRY(call.meter().Step(chars.size() / 32 * (Self(call).size() / 32)));
  }
  const Bounds b = StripBounds(Self(call).view(), Given(call, 0) ? &chars : nullptr, left, right);
  return Slice(call, b.begin, b.end);
}
Result<Value> Strip(const Invocation& call) { return StripSides(call, true, true); }
Result<Value> LStrip(const Invocation& call) { return StripSides(call, true, false); }
Result<Value> RStrip(const Invocation& call) { return StripSides(call, false, true); }

// The part of the text that `start` and `stop` (parameters 1 and 2) select, in bytes.
Result<Bounds> Window(const Invocation& call) {
  const auto length = static_cast<int64_t>(CharCount(Self(call).view()));
  MNW_TRY(call.meter().Bytes(Self(call).size()));
  const auto bound = [&](size_t index, int64_t fallback) -> Result<int64_t> {
    if (!Given(call, index)) return fallback;
    MNW_ASSIGN(const int64_t n, IntParam(call, index, fallback));
    return n < 0 ? std::max<int64_t>(n < -length ? 0 : n + length, 0) : n;
  };
  MNW_ASSIGN(const int64_t start, bound(1, 0));
  MNW_ASSIGN(const int64_t stop, bound(2, length));
  if (start > length || stop < start) return Bounds{1, 0};  // holds nothing, not even ""
  return Bounds{CharToByte(Self(call).view(), static_cast<size_t>(start)),
                CharToByte(Self(call).view(), static_cast<size_t>(std::min(stop, length)))};
}

Result<Value> Affix(const Invocation& call, bool at_end) {
  MNW_ASSIGN(const Bounds w, Window(call));
  MNW_TRY(CheckDefined(*call.params[0]));
  std::vector<Value> affixes = {*call.params[0]};
  const Sequence* tuple = call.params[0]->sequence();
  if (tuple && tuple->kind == Sequence::Kind::kTuple) affixes = tuple->items;
  bool found = false;
  for (const Value& affix : affixes) {
    if (!affix.text()) {
      return Error(Code::kInvalid, "startswith/endswith: expected a string or a tuple of strings");
    }
    if (w.begin > w.end || found) continue;
    const std::string_view part = Self(call).view().substr(w.begin, w.end - w.begin);
    found = at_end ? part.ends_with(affix.text()->view()) : part.starts_with(affix.text()->view());
  }
  return Value::Bool(found);
}
Result<Value> StartsWith(const Invocation& call) { return Affix(call, false); }
Result<Value> EndsWith(const Invocation& call) { return Affix(call, true); }

// rfind may compare the needle at every byte.
Status PayForReverseSearch(const Invocation& call, const Text& needle) {
  return call.meter().Step(Self(call).size() / 32 * (needle.size() / 32 + 1));
}

// The index of the first or last occurrence in characters, or -1.
Result<int64_t> Locate(const Invocation& call, bool last) {
  MNW_ASSIGN(const Text* needle, TextParam(call, 0));
  MNW_ASSIGN(const Bounds w, Window(call));
  if (w.begin > w.end) return -1;
  const std::string_view part = Self(call).view().substr(w.begin, w.end - w.begin);
  if (last) MNW_TRY(PayForReverseSearch(call, *needle));
  const size_t at = last ? part.rfind(needle->view()) : FindText(part, needle->view());
  if (at == std::string_view::npos) return -1;
  return static_cast<int64_t>(CharCount(Self(call).view().substr(0, w.begin + at)));
}

Result<Value> FindIn(const Invocation& call, bool last, bool must_exist) {
  MNW_ASSIGN(const int64_t index, Locate(call, last));
  if (index < 0 && must_exist) return Error(Code::kInvalid, "index(): substring not found");
  return Value::Int(index);
}
Result<Value> Find(const Invocation& call) { return FindIn(call, false, false); }
Result<Value> RFind(const Invocation& call) { return FindIn(call, true, false); }
Result<Value> Index(const Invocation& call) { return FindIn(call, false, true); }
Result<Value> RIndex(const Invocation& call) { return FindIn(call, true, true); }

Result<Value> Count(const Invocation& call) {
  MNW_ASSIGN(const Text* needle, TextParam(call, 0));
  MNW_ASSIGN(const Bounds w, Window(call));
  if (w.begin > w.end) return Value::Int(0);
  const std::string_view part = Self(call).view().substr(w.begin, w.end - w.begin);
  if (needle->empty()) return Value::Int(static_cast<int64_t>(CharCount(part)) + 1);
  int64_t count = 0;
  for (size_t at = FindText(part, needle->view()); at != std::string_view::npos;
       at = FindText(part, needle->view(), at + needle->size())) {
    ++count;
  }
  return Value::Int(count);
}

Result<Value> Replace(const Invocation& call) {
  MNW_TRY(RefuseMarkup(call, "replace"));
  MNW_ASSIGN(const Text* old, TextParam(call, 0));
  MNW_ASSIGN(const Text* fresh, TextParam(call, 1));
  MNW_ASSIGN(int64_t left, IntParam(call, 2, -1));
  const Text& text = Self(call);
  TextBuilder out(call.meter());
  size_t pos = 0;
  for (; left != 0; --left) {
    const size_t at = FindText(text.view(), old->view(), pos);
    if (at == std::string_view::npos) break;
    MNW_TRY(call.meter().Step());
    MNW_TRY(out.AppendSlice(text, pos, at));
    MNW_TRY(out.Append(*fresh));
    pos = at + old->size();
    if (!old->empty()) continue;
    // "" stands before every character and at the end.
    if (pos >= text.size()) break;
    const size_t next = CharAt(text.view(), pos).end;
    MNW_TRY(out.AppendSlice(text, pos, next));
    pos = next;
  }
  MNW_TRY(out.AppendSlice(text, pos, text.size()));
  return Finish(out);
}

Result<Value> RemovePrefix(const Invocation& call) {
  MNW_ASSIGN(const Text* prefix, TextParam(call, 0));
  const bool match = Self(call).view().starts_with(prefix->view());
  return Slice(call, match ? prefix->size() : 0, Self(call).size());
}

Result<Value> RemoveSuffix(const Invocation& call) {
  MNW_ASSIGN(const Text* suffix, TextParam(call, 0));
  const bool match = Self(call).view().ends_with(suffix->view());
  return Slice(call, 0, Self(call).size() - (match ? suffix->size() : 0));
}

// Collects the pieces of a split, given by their ends in the text.
class Pieces {
 public:
  explicit Pieces(const Invocation& call) : call_(call) {}

  Status Add(size_t begin, size_t end) {
    MNW_TRY(call_.meter().Text(end - begin));
    items_.push_back(Value::Str(Self(call_).Slice(begin, end)));
    return {};
  }
  Result<Value> Finish(bool reversed) {
    if (reversed) std::reverse(items_.begin(), items_.end());
    return MakeList(std::move(items_), call_.meter());
  }

 private:
  const Invocation& call_;
  std::vector<Value> items_;
};

// split() and rsplit() without separator: at runs of white space.
Result<Value> SplitAtSpace(const Invocation& call, int64_t left, bool from_right) {
  const std::string_view s = Self(call).view();
  Pieces pieces(call);
  Bounds rest = StripBounds(s, nullptr, true, true);
  while (rest.begin < rest.end) {
    size_t begin = rest.begin, end = rest.end;
    if (left == 0) {
      // The rest is one piece; its outer blanks are gone on the side that was split.
      if (from_right) begin = 0;
      if (!from_right) end = s.size();
      MNW_TRY(pieces.Add(begin, end));
      break;
    }
    if (from_right) {
      begin = end;
      while (begin > rest.begin) {
        const size_t last = LastCharBegin(s.substr(0, begin));
        if (IsSpace(CharAt(s, last).code)) break;
        begin = last;
      }
      MNW_TRY(pieces.Add(begin, end));
      rest.end = StripBounds(s.substr(0, begin), nullptr, false, true).end;
    } else {
      end = begin;
      while (end < rest.end && !IsSpace(CharAt(s, end).code)) end = CharAt(s, end).end;
      MNW_TRY(pieces.Add(begin, end));
      rest.begin = end + StripBounds(s.substr(end), nullptr, true, false).begin;
    }
    --left;
  }
  return pieces.Finish(from_right);
}

Result<Value> SplitAny(const Invocation& call, bool from_right) {
  MNW_ASSIGN(int64_t left, IntParam(call, 1, -1));
  if (!Given(call, 0)) return SplitAtSpace(call, left, from_right);
  MNW_ASSIGN(const Text* separator, TextParam(call, 0));
  if (separator->empty()) return Error(Code::kInvalid, "split(): the separator is empty");
  const std::string_view s = Self(call).view(), sep = separator->view();
  MNW_TRY(call.meter().Bytes(s.size()));
  if (from_right) MNW_TRY(PayForReverseSearch(call, *separator));
  Pieces pieces(call);
  size_t begin = 0, end = s.size();
  for (; left != 0; --left) {
    const std::string_view part = s.substr(begin, end - begin);
    const size_t at = from_right ? part.rfind(sep) : FindText(part, sep);
    if (at == std::string_view::npos) break;
    if (from_right) {
      MNW_TRY(pieces.Add(begin + at + sep.size(), end));
      end = begin + at;
    } else {
      MNW_TRY(pieces.Add(begin, begin + at));
      begin += at + sep.size();
    }
  }
  MNW_TRY(pieces.Add(begin, end));
  return pieces.Finish(from_right);
}
Result<Value> Split(const Invocation& call) { return SplitAny(call, false); }
Result<Value> RSplit(const Invocation& call) { return SplitAny(call, true); }

Result<Value> SplitLines(const Invocation& call) {
  const std::string_view s = Self(call).view();
  Pieces pieces(call);
  for (size_t begin = 0; begin < s.size();) {
    size_t end = begin;
    while (end < s.size() && !IsLineBreak(CharAt(s, end).code)) end = CharAt(s, end).end;
    size_t next = end < s.size() ? CharAt(s, end).end : end;
    if (s.substr(end).starts_with("\r\n")) next = end + 2;
    MNW_TRY(pieces.Add(begin, BoolParam(call, 0) ? next : end));
    begin = next;
  }
  return pieces.Finish(false);
}

Result<Value> PartitionAt(const Invocation& call, bool last) {
  MNW_ASSIGN(const Text* separator, TextParam(call, 0));
  if (separator->empty()) return Error(Code::kInvalid, "partition(): the separator is empty");
  const Text& text = Self(call);
  if (last) MNW_TRY(PayForReverseSearch(call, *separator));
  const size_t at =
      last ? text.view().rfind(separator->view()) : FindText(text.view(), separator->view());
  size_t first_end = at, last_begin = at + separator->size();
  if (at == std::string_view::npos) first_end = last_begin = last ? 0 : text.size();
  MNW_TRY(call.meter().Text(text.size()));
  return MakeSequence(
      Sequence::Kind::kTuple,
      {Value::Str(text.Slice(0, first_end)), Value::Str(text.Slice(first_end, last_begin)),
       Value::Str(text.Slice(last_begin, text.size()))},
      call.meter());
}
Result<Value> Partition(const Invocation& call) { return PartitionAt(call, false); }
Result<Value> RPartition(const Invocation& call) { return PartitionAt(call, true); }

Result<Value> Join(const Invocation& call) {
  MNW_TRY(RefuseMarkup(call, "join"));
  MNW_ASSIGN(const std::vector<Value> items, Iterate(*call.params[0], call.meter()));
  TextBuilder out(call.meter());
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) MNW_TRY(out.Append(Self(call)));
    if (!items[i].text()) {
      return Error(Code::kInvalid, "join(): expected strings, not {}", TypeName(items[i]));
    }
    MNW_TRY(out.Append(*items[i].text()));
  }
  return Finish(out);
}

Result<Value> Format(const Invocation& call) {
  MNW_ASSIGN(Text text, FormatFields(Self(call), call.args, call.meter()));
  return Value::Str(std::move(text));
}

// Fills up to a width: ljust, rjust, center.
Result<Value> Justify(const Invocation& call, bool left_fill, bool right_fill) {
  MNW_TRY(RefuseMarkup(call, "justifying"));
  MNW_ASSIGN(const int64_t width, IntParam(call, 0, 0));
  Text fill(" ", Origin::kTemplate);
  if (call.params[1]) {
    MNW_ASSIGN(const Text* given, TextParam(call, 1));
    if (CharCount(given->view()) != 1) return Error(Code::kInvalid, "the fill must be a character");
    fill = *given;
  }
  const auto length = static_cast<int64_t>(CharCount(Self(call).view()));
  const int64_t space = std::max<int64_t>(width - length, 0);
  int64_t left = left_fill ? space : 0;
  if (left_fill && right_fill) left = space / 2 + (space & width & 1);
  TextBuilder out(call.meter());
  for (int64_t i = 0; i < left; ++i) MNW_TRY(out.Append(fill));
  MNW_TRY(out.Append(Self(call)));
  for (int64_t i = left; i < space; ++i) MNW_TRY(out.Append(fill));
  return Finish(out);
}
Result<Value> LJust(const Invocation& call) { return Justify(call, false, true); }
Result<Value> RJust(const Invocation& call) { return Justify(call, true, false); }
Result<Value> Center(const Invocation& call) { return Justify(call, true, true); }

Result<Value> ZFill(const Invocation& call) {
  MNW_TRY(RefuseMarkup(call, "zfill"));
  MNW_ASSIGN(const int64_t width, IntParam(call, 0, 0));
  const Text& text = Self(call);
  const size_t sign = text.view().starts_with('+') || text.view().starts_with('-');
  TextBuilder out(call.meter());
  MNW_TRY(out.AppendSlice(text, 0, sign));
  for (auto n = static_cast<int64_t>(CharCount(text.view())); n < width; ++n) {
    MNW_TRY(out.Append("0", Origin::kTemplate));
  }
  MNW_TRY(out.AppendSlice(text, sign, text.size()));
  return Finish(out);
}

// Whether there are characters and all of them are of a kind.
Result<Value> All(const Invocation& call, bool (*kind)(uint32_t)) {
  const std::string_view s = Self(call).view();
  MNW_TRY(call.meter().Bytes(s.size()));
  for (size_t pos = 0; pos < s.size();) {
    const Char c = CharAt(s, pos);
    if (!kind(c.code)) return Value::Bool(false);
    pos = c.end;
  }
  return Value::Bool(!s.empty());
}

bool IsDigit(uint32_t c) {  // decimals, superscripts and subscripts
  return IsDecimal(c) || c == 0xB2 || c == 0xB3 || c == 0xB9 || c == 0x2070 ||
         (c >= 0x2074 && c <= 0x2079) || (c >= 0x2080 && c <= 0x2089);
}

Result<Value> IsAscii(const Invocation& call) {
  const std::string_view s = Self(call).view();
  return Value::Bool(std::all_of(s.begin(), s.end(), [](unsigned char c) { return c < 0x80; }));
}

Result<Value> IsCase(const Invocation& call, const char* test) {
  MNW_ASSIGN(const bool is, ApplyTest(test, call.runtime, call.self, {}));
  return Value::Bool(is);
}

constexpr Builtin kMethods[] = {
    {"capitalize", "", StrCapitalize},
    {"center", "_width _fill?", Center},
    {"count", "_sub _start? _end?", Count},
    {"endswith", "_suffix _start? _end?", EndsWith},
    {"find", "_sub _start? _end?", Find},
    {"format", "*", Format},
    {"index", "_sub _start? _end?", Index},
    {"isalnum", "", [](const Invocation& call) { return All(call, IsAlphanumeric); }},
    {"isalpha", "", [](const Invocation& call) { return All(call, IsAlphabetic); }},
    {"isascii", "", IsAscii},
    {"isdecimal", "", [](const Invocation& call) { return All(call, IsDecimal); }},
    {"isdigit", "", [](const Invocation& call) { return All(call, IsDigit); }},
    {"islower", "", [](const Invocation& call) { return IsCase(call, "lower"); }},
    {"isnumeric", "", [](const Invocation& call) { return All(call, IsNumeric); }},
    {"isspace", "", [](const Invocation& call) { return All(call, IsSpace); }},
    {"isupper", "", [](const Invocation& call) { return IsCase(call, "upper"); }},
    {"join", "_iterable", Join},
    {"ljust", "_width _fill?", LJust},
    {"lower", "", Lower},
    {"lstrip", "_chars?", LStrip},
    {"partition", "_sep", Partition},
    {"removeprefix", "_prefix", RemovePrefix},
    {"removesuffix", "_suffix", RemoveSuffix},
    {"replace", "_old _new _count?", Replace},
    {"rfind", "_sub _start? _end?", RFind},
    {"rindex", "_sub _start? _end?", RIndex},
    {"rjust", "_width _fill?", RJust},
    {"rpartition", "_sep", RPartition},
    {"rsplit", "sep? maxsplit?", RSplit},
    {"rstrip", "_chars?", RStrip},
    {"split", "sep? maxsplit?", Split},
    {"splitlines", "keepends?", SplitLines},
    {"startswith", "_prefix _start? _end?", StartsWith},
    {"strip", "_chars?", Strip},
    {"title", "", Title},
    {"upper", "", Upper},
    {"zfill", "_width", ZFill},
};

}  // namespace

std::span<const Builtin> StringMethods() { return kMethods; }

}  // namespace minnow::text::jinja
