#include "model/text/sentencepiece_vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "foundation/base/error.h"
#include "foundation/base/mapped_file.h"
#include "foundation/formats/json/json_object.h"
#include "model/text/added_tokens.h"
#include "model/text/sentencepiece_model.pb.h"

namespace tessera::model {
namespace {

sentencepiece::Model parse_message(std::span<const std::byte> bytes, const std::string& file) {
  sentencepiece::Model model;
  const bool parsed = bytes.size() <= std::numeric_limits<int>::max() &&
                      model.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  if (!parsed || model.pieces().empty()) {
    throw BadFileError({.file = file}, "this is not a SentencePiece model; is it a Git LFS pointer?");
  }
  const auto kind = model.trainer_spec().model_type();
  if (kind != sentencepiece::TrainerSpec::BPE && kind != sentencepiece::TrainerSpec::UNIGRAM) {
    throw BadFileError({.file = file},
                       "the SentencePiece model is of the kind WORD or CHAR, not BPE or unigram");
  }
  return model;
}

TokenType type_of(const sentencepiece::Piece& piece) {
  switch (piece.type()) {
    case sentencepiece::Piece::UNKNOWN:
      return TokenType::unknown;
    case sentencepiece::Piece::CONTROL:
      return TokenType::control;
    case sentencepiece::Piece::UNUSED:
      return TokenType::unused;
    case sentencepiece::Piece::BYTE:
      return TokenType::byte;
    // SentencePiece's user-defined pieces are normal tokens in GGUF; "user defined" there are the added
    // tokens.
    case sentencepiece::Piece::USER_DEFINED:
    case sentencepiece::Piece::NORMAL:
      break;
  }
  return TokenType::normal;
}

void add_pieces(const sentencepiece::Model& model, const std::string& file, Vocabulary& vocabulary) {
  const auto count = std::min(vocabulary.tokens.size(), static_cast<std::size_t>(model.pieces_size()));
  for (std::size_t id = 0; id < count; ++id) {
    const auto& piece = model.pieces(static_cast<int>(id));
    if (piece.piece().empty() || !std::isfinite(piece.score())) {
      throw BadFileError({.file = file}, fmt::format("piece {} has no text or no finite score", id));
    }
    vocabulary.tokens[id] = piece.piece();
    vocabulary.scores[id] = piece.score();
    vocabulary.types[id] = type_of(piece);
  }
}

void add_token(const AddedToken& token, bool special, Vocabulary& vocabulary) {
  if (token.id >= vocabulary.tokens.size()) return;  // beyond the embedding: the model has no such token
  const auto id = static_cast<std::size_t>(token.id);
  vocabulary.tokens[id] = token.content;
  vocabulary.scores[id] = kAddedScore;
  vocabulary.types[id] = special ? TokenType::control : TokenType::user_defined;
}

}  // namespace

Vocabulary parse_sentencepiece_model(std::span<const std::byte> bytes, const std::string& file,
                                     std::uint32_t size) {
  Vocabulary vocabulary = padded_vocabulary(size);
  vocabulary.model = "llama";
  vocabulary.pre = "default";
  vocabulary.scores.assign(size, kPaddingScore);
  add_pieces(parse_message(bytes, file), file, vocabulary);
  return vocabulary;
}

Vocabulary read_sentencepiece_vocabulary(const std::filesystem::path& folder, std::uint32_t size) {
  const MappedFile file(folder / "tokenizer.model");
  Vocabulary vocabulary = parse_sentencepiece_model(file.bytes(), file.path(), size);
  const auto added_file = json::read_json_object_if_present(folder / "added_tokens.json");
  for (const AddedToken& token : added_tokens_of_added_tokens_file(added_file)) {
    add_token(token, false, vocabulary);
  }
  const auto config = json::read_json_object_if_present(folder / "tokenizer_config.json");
  for (AddedToken& token : added_tokens_of_tokenizer_config(config)) {
    const bool special = token.special || looks_special(token.content);
    if (!special) token.content = user_defined_spelling(token.content);
    add_token(token, special, vocabulary);
  }
  return vocabulary;
}

}  // namespace tessera::model
