// SentencePiece .model files: a protocol buffer of which few fields matter, read by hand.
#include <bit>
#include <cstdint>

#include "formats/printable.h"
#include "text/tokenizer_files.h"

namespace minnow::text {
namespace {

struct Field {
  uint32_t number;
  uint64_t value;          // of a varint or a fixed-width field
  std::string_view bytes;  // of a length-delimited field
};

// Reads one message field by field; a field that does not fit into the message is a failure.
class Message {
 public:
  explicit Message(std::string_view bytes) : rest_(bytes) {}
  bool done() const { return rest_.empty(); }

  Result<Field> Next() {
    MNW_ASSIGN(const uint64_t tag, Varint());
    Field field{static_cast<uint32_t>(tag >> 3), 0, {}};
    switch (tag & 7) {
      case 0: {
        MNW_ASSIGN(field.value, Varint());
        return field;
      }
      case 1: {
        MNW_ASSIGN(field.value, Fixed(8));
        return field;
      }
      case 2: {
        MNW_ASSIGN(const uint64_t length, Varint());
        if (length > rest_.size()) return Truncated();
        field.bytes = rest_.substr(0, length);
        rest_.remove_prefix(length);
        return field;
      }
      case 5: {
        MNW_ASSIGN(field.value, Fixed(4));
        return field;
      }
      default:
        return Error(Code::kCorrupt, "not a SentencePiece model: wire type {}", tag & 7);
    }
  }

 private:
  static Status Truncated() {
    return Error(Code::kCorrupt, "not a SentencePiece model: a field runs past its message");
  }

  Result<uint64_t> Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) return Truncated();
      const auto byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    return Error(Code::kCorrupt, "not a SentencePiece model: a number without end");
  }

  Result<uint64_t> Fixed(size_t size) {
    if (rest_.size() < size) return Truncated();
    uint64_t value = 0;
    for (size_t i = 0; i < size; ++i) {
      value |= static_cast<uint64_t>(static_cast<unsigned char>(rest_[i])) << (8 * i);
    }
    rest_.remove_prefix(size);
    return value;
  }

  std::string_view rest_;
};

Result<Piece> ReadPiece(std::string_view bytes) {
  Piece piece;
  for (Message message(bytes); !message.done();) {
    MNW_ASSIGN(const Field field, message.Next());
    if (field.number == 1) piece.bytes = field.bytes;
    if (field.number == 2) piece.score = std::bit_cast<float>(static_cast<uint32_t>(field.value));
    if (field.number == 3) {
      if (field.value < 1 || field.value > 6) {
        return Error(Code::kCorrupt, "the piece '{}' has the unknown type {}",
                     formats::Printable(piece.bytes), field.value);
      }
      piece.type = static_cast<PieceType>(field.value);
    }
  }
  if (piece.type == PieceType::kByte) {
    const int byte = ByteOfPiece(piece.bytes);
    if (byte < 0) {
      return Error(Code::kCorrupt, "the byte piece '{}' is not of the form <0x41>",
                   formats::Printable(piece.bytes));
    }
    piece.bytes.assign(1, static_cast<char>(byte));
  } else if (piece.type != PieceType::kControl && piece.type != PieceType::kUnknown) {
    piece.bytes = SpacesOfPiece(piece.bytes);
  }
  return piece;
}

Status ReadTrainerSpec(std::string_view bytes, Vocabulary& v) {
  constexpr const char* kModelTypes[] = {"?", "unigram", "BPE", "word", "char"};
  uint64_t model_type = 1;
  bool space_after = false;
  for (Message message(bytes); !message.done();) {
    MNW_ASSIGN(const Field field, message.Next());
    // Ids of absent tokens are -1, which a varint holds as 2^64 - 1.
    const auto id = static_cast<TokenId>(static_cast<int64_t>(field.value));
    if (field.number == 3) model_type = field.value;
    if (field.number == 24) space_after = field.value != 0;
    if (field.number == 40) v.unk = id;
    if (field.number == 41) v.bos = id;
    if (field.number == 42) v.eos = id;
    if (field.number == 43) v.pad = id;
  }
  if (model_type != 2) {
    return Error(Code::kUnsupported, "SentencePiece model type '{}' is not supported; BPE is",
                 model_type < 5 ? kModelTypes[model_type] : "?");
  }
  if (space_after) {
    return Error(Code::kUnsupported,
                 "SentencePiece option treat_whitespace_as_suffix is not supported");
  }
  return Status();
}

Status ReadNormalizerSpec(std::string_view bytes, Vocabulary& v) {
  std::string_view name;
  std::string_view rules;
  bool escape_spaces = true;
  for (Message message(bytes); !message.done();) {
    MNW_ASSIGN(const Field field, message.Next());
    if (field.number == 1) name = field.bytes;
    if (field.number == 2) rules = field.bytes;
    if (field.number == 3) {
      v.prefix_space = field.value ? PrefixSpace::kAfterControl : PrefixSpace::kNone;
    }
    if (field.number == 4) v.trim_spaces = field.value != 0;
    if (field.number == 5) escape_spaces = field.value != 0;
  }
  if (!rules.empty()) {
    return Error(Code::kUnsupported,
                 "SentencePiece normalization '{}' is not supported; identity is", name);
  }
  if (!escape_spaces) {
    return Error(Code::kUnsupported,
                 "SentencePiece option escape_whitespaces=false is not supported");
  }
  return Status();
}

}  // namespace

Result<Vocabulary> ParseSentencePiece(std::string_view file) {
  Vocabulary v;
  v.kind = TokenizerKind::kSentencePiece;
  // What a file leaves out, by the format's own defaults.
  v.unk = 0;
  v.bos = 1;
  v.eos = 2;
  v.prefix_space = PrefixSpace::kAfterControl;
  v.trim_spaces = true;
  std::string_view trainer;
  std::string_view normalizer;
  for (Message message(file); !message.done();) {
    MNW_ASSIGN(const Field field, message.Next());
    if (field.number == 1) {
      MNW_ASSIGN(Piece piece, ReadPiece(field.bytes));
      v.pieces.push_back(std::move(piece));
    }
    if (field.number == 2) trainer = field.bytes;
    if (field.number == 3) normalizer = field.bytes;
  }
  MNW_TRY(ReadTrainerSpec(trainer, v));
  MNW_TRY(ReadNormalizerSpec(normalizer, v));
  v.add_bos = v.bos != kNoToken;
  return v;
}

}  // namespace minnow::text
