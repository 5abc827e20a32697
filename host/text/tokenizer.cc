#include "text/tokenizer.h"

#include <algorithm>
#include <limits>

#include "text/utf8.h"

namespace minnow::text {
namespace {

// Spans as one text, and for each place how far template text goes on without a document's byte.
class JoinedText {
 public:
  explicit JoinedText(std::span<const Span> spans) {
    size_t size = 0;
    for (const Span& span : spans) size += span.text.size();
    text_.reserve(size);
    for (const Span& span : spans) {
      if (span.text.empty()) continue;
      const size_t begin = text_.size();
      text_ += span.text;
      if (!span.control) continue;
      if (!templates_.empty() && templates_.back().end == begin) {
        templates_.back().end = text_.size();
      } else {
        templates_.push_back({begin, text_.size()});
      }
    }
  }

  std::string_view text() const { return text_; }

  // `at` must not go backwards from call to call.
  size_t TemplateEnd(size_t at) {
    while (next_ < templates_.size() && templates_[next_].end <= at) ++next_;
    const bool inside = next_ < templates_.size() && templates_[next_].begin <= at;
    return inside ? templates_[next_].end : at;
  }

 private:
  struct Range {
    size_t begin;
    size_t end;
  };
  std::string text_;
  std::vector<Range> templates_;
  size_t next_ = 0;
};

size_t SkipWhiteSpace(std::string_view text, size_t at) {
  while (at < text.size()) {
    const CodePoint c = DecodeUtf8(text, at);
    if (!IsWhiteSpace(c.value)) break;
    at += c.length;
  }
  return at;
}

// The end of text[begin, end) without the white space at its end.
size_t TrimmedEnd(std::string_view text, size_t begin, size_t end) {
  while (end > begin) {
    size_t last = end - 1;
    while (last > begin && (text[last] & 0xC0) == 0x80) --last;
    if (!IsWhiteSpace(DecodeUtf8(text.substr(0, end), last).value)) break;
    end = last;
  }
  return end;
}

// `begin`: where the segment starts; `after_control`: it is the first since a control token.
bool WantsPrefix(PrefixSpace where, size_t begin, bool after_control) {
  switch (where) {
    case PrefixSpace::kNone:
      return false;
    case PrefixSpace::kTextStart:
      return begin == 0;
    case PrefixSpace::kAfterControl:
      return after_control;
    case PrefixSpace::kSegment:
      return true;
  }
  return false;
}

void AddEnds(const Vocabulary& v, const EncodeOptions& options, std::vector<TokenId>& ids) {
  if (options.add_bos && v.add_bos && (ids.empty() || ids[0] != v.bos)) {
    ids.insert(ids.begin(), v.bos);
  }
  // What stands round a WordPiece text comes whole: nothing is generated after it.
  const bool add_eos = v.kind == TokenizerKind::kWordPiece ? options.add_bos : options.add_eos;
  if (add_eos && v.add_eos && (ids.empty() || ids.back() != v.eos)) ids.push_back(v.eos);
}

}  // namespace

Tokenizer::Tokenizer(Vocabulary vocabulary)
    : vocabulary_(std::move(vocabulary)), added_(vocabulary_.pieces) {}

Result<std::unique_ptr<Tokenizer>> Tokenizer::Create(Vocabulary vocabulary) {
  MNW_TRY(CompleteVocabulary(vocabulary));
  std::unique_ptr<Tokenizer> tokenizer(new Tokenizer(std::move(vocabulary)));
  const Vocabulary& v = tokenizer->vocabulary_;
  auto segments = v.kind == TokenizerKind::kByteLevel   ? MakeByteLevelEncoder(v)
                  : v.kind == TokenizerKind::kWordPiece ? MakeWordPieceEncoder(v)
                                                        : MakeSentencePieceEncoder(v);
  if (!segments.ok()) return std::move(segments).status();
  tokenizer->segments_ = *std::move(segments);
  return tokenizer;
}

bool Tokenizer::IsControl(TokenId id) const {
  return id >= 0 && static_cast<size_t>(id) < size() &&
         vocabulary_.pieces[id].type == PieceType::kControl;
}

bool Tokenizer::EndsTurn(TokenId id) const {
  return std::binary_search(vocabulary_.end_tokens.begin(), vocabulary_.end_tokens.end(), id);
}

std::string_view Tokenizer::TokenBytes(TokenId id) const {
  if (id < 0 || static_cast<size_t>(id) >= size()) return {};
  return vocabulary_.pieces[id].bytes;
}

Result<std::vector<TokenId>> Tokenizer::Encode(std::string_view text, bool parse_special,
                                               const EncodeOptions& options) const {
  const Span span{text, parse_special};
  return Encode(std::span(&span, 1), options);
}

Result<std::vector<TokenId>> Tokenizer::Encode(std::span<const Span> spans,
                                               const EncodeOptions& options) const {
  JoinedText joined(spans);
  const std::string_view text = joined.text();
  if (text.size() > std::numeric_limits<int32_t>::max()) {
    return Error(Code::kOutOfRange, "a text of {} bytes is too long to tokenize; split it",
                 text.size());
  }
  std::vector<TokenId> ids;
  size_t begin = 0;           // of the segment
  bool after_control = true;  // no segment since the last control token, or at all
  const auto encode_segment = [&](size_t end, bool before_user_defined) -> Status {
    const bool prefix = WantsPrefix(vocabulary_.prefix_space, begin, after_control);
    const bool prefix_alone =
        prefix && before_user_defined && vocabulary_.prefix_space == PrefixSpace::kAfterControl;
    if (begin == end && !prefix_alone) return Status();
    after_control = false;
    return segments_->Encode(text.substr(begin, end - begin), prefix, ids);
  };
  for (size_t at = 0; at < text.size();) {
    const auto match = added_.Find(text, at, joined.TemplateEnd(at));
    if (!match) {
      ++at;
      continue;
    }
    const Piece& piece = vocabulary_.pieces[match->id];
    MNW_TRY(encode_segment(piece.eats_space_before ? TrimmedEnd(text, begin, at) : at,
                           match->user_defined));
    if (!match->user_defined) after_control = true;
    ids.push_back(match->id);
    at += match->length;
    if (piece.eats_space_after) at = SkipWhiteSpace(text, at);
    begin = at;
  }
  MNW_TRY(encode_segment(text.size(), false));
  AddEnds(vocabulary_, options, ids);
  return ids;
}

void Tokenizer::AppendText(TokenId id, const DecodeOptions& options, bool& at_prefix,
                           std::string& out) const {
  if (id < 0 || static_cast<size_t>(id) >= size()) return;
  const Piece& piece = vocabulary_.pieces[id];
  switch (piece.type) {
    case PieceType::kControl:
      if (!options.skip_control) out += piece.bytes;
      // A BOS that Encode put there leaves the text at its start.
      at_prefix = vocabulary_.prefix_space == PrefixSpace::kTextStart
                      ? at_prefix && id == vocabulary_.bos
                      : vocabulary_.prefix_space != PrefixSpace::kNone;
      return;
    case PieceType::kUnknown:
      if (!options.skip_control) out += piece.bytes;
      at_prefix = false;
      return;
    case PieceType::kUserDefined:
      out += piece.bytes;
      at_prefix = vocabulary_.prefix_space == PrefixSpace::kSegment;
      return;
    default:
      std::string_view bytes = piece.bytes;
      if (at_prefix && bytes.starts_with(' ')) bytes.remove_prefix(1);
      out += bytes;
      at_prefix = false;
  }
}

std::string Tokenizer::Decode(std::span<const TokenId> ids, const DecodeOptions& options) const {
  std::string out;
  bool at_prefix = vocabulary_.prefix_space != PrefixSpace::kNone;
  for (const TokenId id : ids) AppendText(id, options, at_prefix, out);
  return out;
}

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, const DecodeOptions& options,
                             std::span<const TokenId> context)
    : tokenizer_(&tokenizer),
      options_(options),
      at_prefix_(tokenizer.vocabulary_.prefix_space != PrefixSpace::kNone) {
  std::string ignored;
  for (const TokenId id : context) {
    tokenizer.AppendText(id, options_, at_prefix_, ignored);
    ignored.clear();
  }
}

std::string StreamDecoder::Push(TokenId id) {
  tokenizer_->AppendText(id, options_, at_prefix_, held_);
  return TakeComplete(/*last=*/false);
}

std::string StreamDecoder::Finish() { return TakeComplete(/*last=*/true); }

std::string StreamDecoder::TakeComplete(bool last) {
  std::string out;
  size_t at = 0;
  while (at < held_.size()) {
    const CodePoint c = DecodeUtf8(held_, at);
    if (c.value == kIncomplete && !last) break;
    if (IsCodePoint(c.value)) {
      out += std::string_view(held_).substr(at, c.length);
    } else {
      out += kReplacement;
    }
    at += c.length;
  }
  held_.erase(0, at);
  return out;
}

}  // namespace minnow::text
