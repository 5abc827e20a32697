// The tokenizer.ggml.* keys of a GGUF file.
#include <algorithm>

#include "base/log.h"
#include "text/byte_alphabet.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer_files.h"

namespace minnow::text {
namespace {

using formats::GgufReader;

constexpr std::string_view kPrefix = "tokenizer.ggml.";
std::string Key(std::string_view name) { return fmt::format("{}{}", kPrefix, name); }

Status SizeMismatch(std::string_view key, size_t size, size_t n_tokens) {
  return Error(Code::kCorrupt, "tokenizer.ggml.{} has {} entries for {} tokens", key, size,
               n_tokens);
}

Result<std::vector<Piece>> ReadPieces(const GgufReader& gguf, TokenizerKind kind,
                                      std::span<const std::string_view> written) {
  MNW_ASSIGN(const auto types, gguf.FindI32s(Key("token_type")));
  MNW_ASSIGN(const auto scores, gguf.FindF32s(Key("scores")));
  if (types && types->size() != written.size()) {
    return SizeMismatch("token_type", types->size(), written.size());
  }
  if (scores && scores->size() != written.size()) {
    return SizeMismatch("scores", scores->size(), written.size());
  }
  std::vector<Piece> pieces(written.size());
  for (size_t i = 0; i < pieces.size(); ++i) {
    Piece& piece = pieces[i];
    const int type = types ? (*types)[i] : 1;
    // 0 is "undefined"; some converters write it for ordinary pieces.
    if (type < 0 || type > 6) {
      return Error(Code::kCorrupt, "token {} has the unknown type {}", i, type);
    }
    piece.type = type == 0 ? PieceType::kNormal : static_cast<PieceType>(type);
    if (scores) piece.score = (*scores)[i];
    piece.bytes = written[i];
    const int byte = kind == TokenizerKind::kSentencePiece ? ByteOfPiece(written[i]) : -1;
    if (byte >= 0) {
      piece.type = PieceType::kByte;
      piece.bytes.assign(1, static_cast<char>(byte));
    } else if (piece.type == PieceType::kByte) {
      return Error(Code::kCorrupt, "token {} is a byte piece but not of the form <0x41>", i);
    } else if (piece.type == PieceType::kNormal) {
      piece.bytes = kind == TokenizerKind::kByteLevel
                        ? BytesOfLetters(written[i]).value_or(piece.bytes)
                        : SpacesOfPiece(written[i]);
    }
  }
  return pieces;
}

// An id past the vocabulary is how some converters say "none".
Status ReadId(const GgufReader& gguf, std::string_view name, size_t n_tokens, TokenId& id) {
  MNW_ASSIGN(const auto value, gguf.FindI64(Key(name)));
  if (!value) return Status();
  if (*value >= 0 && *value < static_cast<int64_t>(n_tokens)) {
    id = static_cast<TokenId>(*value);
  } else {
    LogWarning("{}: tokenizer.ggml.{} = {} is no token; ignored", gguf.path(), name, *value);
  }
  return Status();
}

Status ReadSpecialTokens(const GgufReader& gguf, Vocabulary& v) {
  const size_t n = v.pieces.size();
  MNW_TRY(ReadId(gguf, "bos_token_id", n, v.bos));
  MNW_TRY(ReadId(gguf, "eos_token_id", n, v.eos));
  MNW_TRY(ReadId(gguf, "eot_token_id", n, v.eot));
  MNW_TRY(ReadId(gguf, "unknown_token_id", n, v.unk));
  MNW_TRY(ReadId(gguf, "padding_token_id", n, v.pad));
  if (v.kind == TokenizerKind::kWordPiece) {
    MNW_TRY(ReadId(gguf, "cls_token_id", n, v.bos));
    MNW_TRY(ReadId(gguf, "seperator_token_id", n, v.eos));  // written so
  }
  MNW_ASSIGN(const auto add_bos, gguf.FindBool(Key("add_bos_token")));
  MNW_ASSIGN(const auto add_eos, gguf.FindBool(Key("add_eos_token")));
  v.add_bos = add_bos.value_or(v.add_bos) && v.bos != kNoToken;
  v.add_eos = add_eos.value_or(v.add_eos) && v.eos != kNoToken;
  return Status();
}

Status ReadByteLevel(const GgufReader& gguf, std::span<const std::string_view> written,
                     Vocabulary& v) {
  MNW_ASSIGN(const auto name, gguf.FindString(Key("pre")));
  if (!name) {
    LogWarning(
        "{}: no tokenizer.ggml.pre; words are cut as by 'default', which may not be what "
        "the model was trained with",
        gguf.path());
  }
  MNW_ASSIGN(PreTokenizer pre, FindPreTokenizer(name.value_or("default")));
  v.word_patterns = std::move(pre.patterns);
  v.normalize_nfc = pre.normalize_nfc;
  v.whole_words_first = pre.whole_words_first;
  v.add_bos = pre.add_bos;
  MNW_ASSIGN(const auto merges, gguf.FindStrings(Key("merges")));
  if (!merges || merges->empty()) {
    return Error(Code::kCorrupt, "a byte-level vocabulary without tokenizer.ggml.merges");
  }
  const MergeReader reader(written);
  v.merges.reserve(merges->size());
  for (const std::string_view line : *merges) {
    MNW_ASSIGN(const Merge merge, reader.Read(line));
    v.merges.push_back(merge);
  }
  return Status();
}

Status ReadSentencePiece(const GgufReader& gguf, Vocabulary& v) {
  MNW_ASSIGN(const auto add_space_prefix, gguf.FindBool(Key("add_space_prefix")));
  v.prefix_space = add_space_prefix.value_or(true) ? PrefixSpace::kSegment : PrefixSpace::kNone;
  v.add_bos = true;
  const auto fits = [&](TokenId id) { return static_cast<size_t>(id) < v.pieces.size(); };
  // SentencePiece's own defaults, which files may leave out.
  if (fits(0)) v.unk = 0;
  if (fits(1)) v.bos = 1;
  if (fits(2)) v.eos = 2;
  return Status();
}

Status ReadWordPiece(Vocabulary& v) {
  v.prefix_space = PrefixSpace::kTextStart;
  v.add_bos = v.add_eos = true;
  // The uncased vocabulary's own places, which files may leave out.
  const auto named = [&](size_t id, std::string_view name) {
    return id < v.pieces.size() && v.pieces[id].bytes == name ? static_cast<TokenId>(id) : kNoToken;
  };
  v.unk = named(100, "[UNK]");
  v.bos = named(101, "[CLS]");
  v.eos = named(102, "[SEP]");
  return Status();
}

// Phi-3's published tokenizer lets its turn tokens swallow the white space after them; GGUF has no
// place to say so.
Status ApplyPhi3Rule(const GgufReader& gguf, Vocabulary& v) {
  MNW_ASSIGN(const auto name, gguf.FindString("general.name"));
  std::string lower(name.value_or(""));
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  if (lower.find("phi-3") == std::string::npos && lower.find("phi3") == std::string::npos) {
    return Status();
  }
  for (Piece& piece : v.pieces) {
    const bool added = piece.type == PieceType::kControl || piece.type == PieceType::kUserDefined;
    piece.eats_space_after =
        added && piece.bytes != "<unk>" && piece.bytes != "<s>" && piece.bytes != "<|endoftext|>";
  }
  return Status();
}

}  // namespace

Result<Vocabulary> LoadVocabulary(const GgufReader& gguf) {
  MNW_ASSIGN(const auto model, gguf.FindString(Key("model")));
  if (!model) return Error(Code::kNotFound, "the file has no tokenizer (tokenizer.ggml.model)");
  Vocabulary v;
  if (*model == "gpt2") {
    v.kind = TokenizerKind::kByteLevel;
  } else if (*model == "llama") {
    v.kind = TokenizerKind::kSentencePiece;
  } else if (*model == "bert") {
    v.kind = TokenizerKind::kWordPiece;
  } else {
    return Error(Code::kUnsupported,
                 "tokenizer model '{}' is not supported; known are gpt2, llama, bert", *model);
  }
  MNW_ASSIGN(const auto written, gguf.FindStrings(Key("tokens")));
  if (!written || written->empty()) {
    return Error(Code::kCorrupt, "the file has no tokens (tokenizer.ggml.tokens)");
  }
  MNW_ASSIGN(v.pieces, ReadPieces(gguf, v.kind, *written));
  MNW_TRY(v.kind == TokenizerKind::kByteLevel   ? ReadByteLevel(gguf, *written, v)
          : v.kind == TokenizerKind::kWordPiece ? ReadWordPiece(v)
                                                : ReadSentencePiece(gguf, v));
  MNW_TRY(ReadSpecialTokens(gguf, v));
  MNW_TRY(ApplyPhi3Rule(gguf, v));
  return v;
}

Result<ModelText> LoadText(const GgufReader& gguf) {
  ModelText text;
  MNW_ASSIGN(text.vocabulary, LoadVocabulary(gguf));
  MNW_ASSIGN(const auto source, gguf.FindString("tokenizer.chat_template"));
  if (source) text.chat_template = std::string(*source);
  return text;
}

}  // namespace minnow::text
