// The tokenizer.json of the Hugging Face tokenizers library, for BPE and uncased WordPiece models.
//
// Its normalizers, pre-tokenizers and post-processors are a small language; the sentences of it
// that published models use are understood, anything else is refused by name.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "text/byte_alphabet.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer_files.h"

namespace minnow::text {
namespace {

using nlohmann::json;

// Ids may leave gaps, but a small file must not ask for a large table.
constexpr size_t kMaxIdGap = 65536;
// Before a word piece that does not begin a word.
constexpr std::string_view kGoesOn = "##";

const json& Member(const json& object, const char* key) {
  static const json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

// Empty when absent or no string. The view lives as long as the document.
std::string_view StringMember(const json& object, const char* key) {
  const json& member = Member(object, key);
  return member.is_string() ? std::string_view(member.get_ref<const std::string&>())
                            : std::string_view();
}

// Of a list such as ["[SEP]", 102]; empty if it is none.
std::string_view FirstString(const json& list) {
  if (!list.is_array() || list.empty() || !list[0].is_string()) return {};
  return list[0].get_ref<const std::string&>();
}

bool BoolMember(const json& object, const char* key, bool absent) {
  const json& member = Member(object, key);
  return member.is_boolean() ? member.get<bool>() : absent;
}

Status Unsupported(std::string_view what, const json& value) {
  return Error(Code::kUnsupported, "tokenizer.json: {} {} is not supported", what,
               value.dump(-1, ' ', true, json::error_handler_t::replace));
}

// A component that may be a Sequence of others, as a flat list; null is none.
std::vector<const json*> Steps(const json& component, const char* list_key) {
  if (component.is_null()) return {};
  if (StringMember(component, "type") != "Sequence") return {&component};
  std::vector<const json*> steps;
  for (const json& step : Member(component, list_key)) steps.push_back(&step);
  return steps;
}

class Reader {
 public:
  Reader(const json& document, const json& config) : document_(document), config_(config) {}

  Result<Vocabulary> Read() {
    const json& model = Member(document_, "model");
    const std::string_view type = StringMember(model, "type");
    if (type == "WordPiece") return ReadWordPiece(model);
    if (type != "BPE" && !(type.empty() && Member(model, "merges").is_array())) {
      return Error(Code::kUnsupported,
                   "tokenizer.json: model type '{}' is not supported; known are BPE, WordPiece",
                   type);
    }
    MNW_TRY(ReadNormalizer());
    MNW_TRY(ReadPreTokenizer());
    MNW_TRY(ReadPieces(model));
    MNW_TRY(ReadModel(model));
    MNW_TRY(ReadPostProcessor());
    MNW_TRY(ReadConfig());
    return std::move(v_);
  }

 private:
  // As BERT's uncased models have it, with nothing to choose.
  Result<Vocabulary> ReadWordPiece(const json& model) {
    const json& normalizer = Member(document_, "normalizer");
    const json& accents = Member(normalizer, "strip_accents");  // null: as lowercase
    const bool uncased = StringMember(normalizer, "type") == "BertNormalizer" &&
                         BoolMember(normalizer, "clean_text", true) &&
                         BoolMember(normalizer, "handle_chinese_chars", true) &&
                         BoolMember(normalizer, "lowercase", true) &&
                         (accents.is_null() || accents == true);
    if (!uncased) return Unsupported("the normalizer", normalizer);
    const json& words = Member(document_, "pre_tokenizer");
    if (StringMember(words, "type") != "BertPreTokenizer") {
      return Unsupported("the pre-tokenizer", words);
    }
    const json& prefix = Member(model, "continuing_subword_prefix");
    if (!prefix.is_null() && prefix != kGoesOn) {
      return Unsupported("continuing_subword_prefix", prefix);
    }
    const json& longest = Member(model, "max_input_chars_per_word");
    if (!longest.is_null() && longest != 100) {
      return Unsupported("max_input_chars_per_word", longest);
    }
    v_.kind = TokenizerKind::kWordPiece;
    v_.prefix_space = PrefixSpace::kTextStart;
    MNW_TRY(ReadPieces(model));
    v_.unk = Find(StringMember(model, "unk_token"));
    MNW_TRY(ReadPostProcessor());
    MNW_TRY(ReadConfig());
    return std::move(v_);
  }

  Status ReadNormalizer() {
    for (const json* step : Steps(Member(document_, "normalizer"), "normalizers")) {
      const std::string_view type = StringMember(*step, "type");
      const std::string_view pattern = StringMember(Member(*step, "pattern"), "String");
      if (type == "NFC") {
        v_.normalize_nfc = true;
      } else if (type == "Prepend" && StringMember(*step, "prepend") == "▁") {
        v_.prefix_space = PrefixSpace::kSegment;
      } else if (type == "Replace" && pattern == " " && StringMember(*step, "content") == "▁") {
        sentence_piece_ = true;
      } else {
        return Unsupported("the normalizer", *step);
      }
    }
    return Status();
  }

  Status ReadPreTokenizer() {
    bool byte_level = false;
    for (const json* step : Steps(Member(document_, "pre_tokenizer"), "pretokenizers")) {
      if (byte_level) return Unsupported("a pre-tokenizer after ByteLevel", *step);
      const std::string_view type = StringMember(*step, "type");
      if (type == "ByteLevel") {
        if (BoolMember(*step, "add_prefix_space", true)) {
          return Unsupported("the pre-tokenizer", *step);
        }
        byte_level = true;
        if (BoolMember(*step, "use_regex", true)) v_.word_patterns.emplace_back(kGpt2Words);
      } else if (type == "Metaspace") {
        MNW_TRY(ReadMetaspace(*step));
      } else if (type == "Split") {
        MNW_TRY(ReadSplit(*step));
      } else if (type == "Digits") {
        v_.word_patterns.emplace_back(BoolMember(*step, "individual_digits", false) ? R"(\p{N})"
                                                                                    : R"(\p{N}+)");
      } else if (type == "Punctuation" && StringMember(*step, "behavior") == "Contiguous") {
        v_.word_patterns.emplace_back(kPunctuationRuns);
      } else {
        return Unsupported("the pre-tokenizer", *step);
      }
    }
    if (byte_level == sentence_piece_) {
      return Error(Code::kUnsupported,
                   "tokenizer.json: neither byte-level nor SentencePiece-like BPE");
    }
    v_.kind = byte_level ? TokenizerKind::kByteLevel : TokenizerKind::kSentencePiece;
    const bool mixed = byte_level ? v_.prefix_space != PrefixSpace::kNone
                                  : v_.normalize_nfc || !v_.word_patterns.empty();
    if (mixed) return Unsupported("the pre-tokenizer", Member(document_, "pre_tokenizer"));
    return Status();
  }

  Status ReadMetaspace(const json& step) {
    sentence_piece_ = true;
    // Older files say add_prefix_space instead of prepend_scheme.
    std::string_view scheme = StringMember(step, "prepend_scheme");
    if (scheme.empty()) scheme = BoolMember(step, "add_prefix_space", true) ? "always" : "never";
    if (StringMember(step, "replacement") != "▁") return Unsupported("the pre-tokenizer", step);
    if (scheme == "always") {
      v_.prefix_space = PrefixSpace::kSegment;
    } else if (scheme == "first") {
      v_.prefix_space = PrefixSpace::kTextStart;
    }
    v_.prefix_unless_space = true;
    v_.split_at_spaces = BoolMember(step, "split", true);
    return Status();
  }

  Status ReadSplit(const json& step) {
    const json& pattern = Member(step, "pattern");
    // Spaces are U+2581 by then: nothing is left to split at.
    if (sentence_piece_ && StringMember(pattern, "String") == " ") return Status();
    const std::string_view regex = StringMember(pattern, "Regex");
    const std::string_view behavior = StringMember(step, "behavior");
    const bool invert = BoolMember(step, "invert", false);
    // The patterns of published files match all of a text, so that removing the rest removes
    // nothing.
    const bool cuts_out = (behavior == "Isolated" && !invert) || (behavior == "Removed" && invert);
    if (regex.empty() || !cuts_out) return Unsupported("the pre-tokenizer", step);
    v_.word_patterns.emplace_back(regex);
    return Status();
  }

  // Fills written_ and v_.pieces, added tokens included.
  Status ReadPieces(const json& model) {
    const json& vocab = Member(model, "vocab");
    const json& added = Member(document_, "added_tokens");
    if (!vocab.is_object() || vocab.empty()) {
      return Error(Code::kCorrupt, "tokenizer.json: model.vocab is no object of pieces");
    }
    const size_t max_id = vocab.size() + added.size() + kMaxIdGap;
    const auto place = [&](const json& id, std::string_view text) -> Result<size_t> {
      if (!id.is_number_unsigned() || id.get<uint64_t>() >= max_id) {
        return Error(Code::kCorrupt, "tokenizer.json: the piece '{}' has the id {}", text,
                     id.dump(-1, ' ', true, json::error_handler_t::replace));
      }
      const size_t at = id.get<size_t>();
      if (at >= written_.size()) written_.resize(at + 1);
      written_[at] = text;
      return at;
    };
    for (const auto& [text, id] : vocab.items()) {
      MNW_TRY(place(id, text).status());
    }
    if (!added.is_null() && !added.is_array()) {
      return Error(Code::kCorrupt, "tokenizer.json: added_tokens is no list");
    }
    std::vector<std::pair<size_t, const json*>> added_at;
    for (const json& token : added) {
      MNW_ASSIGN(const size_t at, place(Member(token, "id"), StringMember(token, "content")));
      added_at.emplace_back(at, &token);
    }
    v_.pieces.resize(written_.size());
    const bool byte_fallback = BoolMember(model, "byte_fallback", false);
    for (size_t i = 0; i < written_.size(); ++i) SetOrdinary(i, byte_fallback);
    for (const auto& [at, token] : added_at) MNW_TRY(SetAdded(at, *token));
    return Status();
  }

  void SetOrdinary(size_t at, bool byte_fallback) {
    Piece& piece = v_.pieces[at];
    const std::string_view written = written_[at];
    const int byte = byte_fallback ? ByteOfPiece(written) : -1;
    if (written.empty()) {
      piece.type = PieceType::kUnused;
    } else if (byte >= 0) {
      piece.type = PieceType::kByte;
      piece.bytes.assign(1, static_cast<char>(byte));
    } else if (v_.kind == TokenizerKind::kSentencePiece) {
      piece.bytes = SpacesOfPiece(written);
    } else if (v_.kind == TokenizerKind::kWordPiece) {
      const bool goes_on = written.starts_with(kGoesOn);
      piece.bytes = goes_on ? written.substr(kGoesOn.size()) : std::string(" ").append(written);
    } else {
      piece.bytes = BytesOfLetters(written).value_or(std::string(written));
    }
  }

  Status SetAdded(size_t at, const json& token) {
    if (BoolMember(token, "single_word", false)) return Unsupported("the added token", token);
    Piece& piece = v_.pieces[at];
    piece.bytes = written_[at];
    piece.type =
        BoolMember(token, "special", false) ? PieceType::kControl : PieceType::kUserDefined;
    piece.eats_space_before = BoolMember(token, "lstrip", false);
    piece.eats_space_after = BoolMember(token, "rstrip", false);
    return Status();
  }

  Status ReadModel(const json& model) {
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (!StringMember(model, key).empty()) return Unsupported(key, Member(model, key));
    }
    v_.whole_words_first = BoolMember(model, "ignore_merges", false);
    if (v_.whole_words_first && v_.kind == TokenizerKind::kSentencePiece) {
      return Unsupported("ignore_merges", Member(model, "ignore_merges"));
    }
    const MergeReader reader(written_);
    v_.unk = reader.Find(StringMember(model, "unk_token"));
    const json& merges = Member(model, "merges");
    if (!merges.is_array() || merges.empty()) {
      return Error(Code::kCorrupt, "tokenizer.json: model.merges is no list of merges");
    }
    v_.merges.reserve(merges.size());
    for (const json& entry : merges) {
      const bool pair =
          entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string();
      if (!pair && !entry.is_string()) return Unsupported("the merge", entry);
      MNW_ASSIGN(const Merge merge, pair ? reader.Read(entry[0].get_ref<const std::string&>(),
                                                       entry[1].get_ref<const std::string&>())
                                         : reader.Read(entry.get_ref<const std::string&>()));
      v_.merges.push_back(merge);
    }
    return Status();
  }

  // A template such as "<s> $A" tells what is added round a text.
  Status ReadPostProcessor() {
    for (const json* step : Steps(Member(document_, "post_processor"), "processors")) {
      const std::string_view type = StringMember(*step, "type");
      if (type == "ByteLevel") continue;  // it moves offsets, not ids
      if (type == "BertProcessing") {
        v_.bos = Find(FirstString(Member(*step, "cls")));
        v_.eos = Find(FirstString(Member(*step, "sep")));
        if (v_.bos == kNoToken || v_.eos == kNoToken) {
          return Unsupported("the post-processor", *step);
        }
        v_.add_bos = v_.add_eos = true;
        continue;
      }
      if (type != "TemplateProcessing") return Unsupported("the post-processor", *step);
      bool after_text = false;
      for (const json& part : Member(*step, "single")) {
        if (part.contains("Sequence")) {
          after_text = true;
          continue;
        }
        TokenId& id = after_text ? v_.eos : v_.bos;
        bool& add = after_text ? v_.add_eos : v_.add_bos;
        if (add) return Unsupported("the post-processor", *step);
        id = Find(StringMember(Member(part, "SpecialToken"), "id"));
        if (id == kNoToken) return Unsupported("the post-processor", *step);
        add = true;
      }
    }
    return Status();
  }

  Status ReadConfig() {
    const auto named = [&](const char* key, TokenId& id) {
      const json& token = Member(config_, key);
      const std::string_view text =
          token.is_object() ? StringMember(token, "content") : StringMember(config_, key);
      if (const TokenId found = Find(text); found != kNoToken) id = found;
    };
    named("bos_token", v_.bos);
    named("eos_token", v_.eos);
    named("pad_token", v_.pad);
    v_.add_bos = BoolMember(config_, "add_bos_token", v_.add_bos) && v_.bos != kNoToken;
    v_.add_eos = BoolMember(config_, "add_eos_token", v_.add_eos) && v_.eos != kNoToken;
    return Status();
  }

  TokenId Find(std::string_view written) const {
    if (written.empty()) return kNoToken;
    const auto found = std::find(written_.begin(), written_.end(), written);
    return found == written_.end() ? kNoToken : static_cast<TokenId>(found - written_.begin());
  }

  const json& document_;
  const json& config_;
  bool sentence_piece_ = false;
  std::vector<std::string_view> written_;  // by id; views into the document
  Vocabulary v_;
};

}  // namespace

Result<Vocabulary> ParseTokenizerJson(std::string_view text, std::string_view config_text) {
  // A document is printed where it is refused, and that takes stack for each level.
  for (const std::string_view t : {text, config_text}) MNW_TRY(CheckJsonDepth(t));
  const json document = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) return Error(Code::kCorrupt, "tokenizer.json is no JSON object");
  json config;
  if (!config_text.empty()) {
    config = json::parse(config_text, nullptr, /*allow_exceptions=*/false);
    if (!config.is_object())
      return Error(Code::kCorrupt, "tokenizer_config.json is no JSON object");
  }
  return Reader(document, config).Read();
}

}  // namespace minnow::text
