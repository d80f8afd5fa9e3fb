#include "model/text/sentencepiece_model_writer.h"

#include <cstdint>

#include "model/text/hf_tokenizer_model.h"
#include "model/text/sentencepiece_model.pb.h"
#include "model/text/sentencepiece_vocabulary.h"

namespace tessera::model {
namespace {

sentencepiece::Piece::Type type_of(TokenType type) {
  switch (type) {
    case TokenType::unknown:
      return sentencepiece::Piece::UNKNOWN;
    case TokenType::control:
      return sentencepiece::Piece::CONTROL;
    case TokenType::user_defined:
      return sentencepiece::Piece::USER_DEFINED;
    case TokenType::unused:
      return sentencepiece::Piece::UNUSED;
    case TokenType::byte:
      return sentencepiece::Piece::BYTE;
    case TokenType::normal:
      break;
  }
  return sentencepiece::Piece::NORMAL;
}

/// Ids up to the last that the model must hold.
TokenId count_pieces(const TokenTable& tokens) {
  auto count = static_cast<TokenId>(tokens.size());
  while (count > 1 && (is_padding(tokens, count - 1) || is_added_to_sentencepiece(tokens, count - 1)))
    --count;
  return count;
}

}  // namespace

bool is_added_to_sentencepiece(const TokenTable& tokens, TokenId token) {
  const TokenType type = tokens.type(token);
  return type == TokenType::user_defined ||
         (type == TokenType::control && tokens.score(token) == kAddedScore);
}

std::string sentencepiece_model(const gguf::Metadata& metadata, const Tokenizer& tokenizer) {
  constexpr std::int32_t kNone = -1;
  const TokenTable& tokens = tokenizer.table();
  const TokenId count = count_pieces(tokens);
  sentencepiece::Model model;
  bool falls_back = false;
  for (TokenId id = 0; id < count; ++id) {
    auto& piece = *model.add_pieces();
    piece.set_piece(tokens.text(id));
    piece.set_score(tokens.score(id));
    piece.set_type(type_of(tokens.type(id)));
    falls_back = falls_back || tokens.type(id) == TokenType::byte;
  }
  const auto place = [&](std::optional<TokenId> id) { return id && *id < count ? *id : kNone; };
  auto& trainer = *model.mutable_trainer_spec();
  trainer.set_model_type(sentencepiece::TrainerSpec::BPE);
  trainer.set_vocab_size(count);
  trainer.set_byte_fallback(falls_back);
  trainer.set_unk_id(place(tokens.unknown()));
  trainer.set_bos_id(place(tokens.bos()));
  trainer.set_eos_id(place(tokens.eos()));
  trainer.set_pad_id(kNone);
  auto& normalizer = *model.mutable_normalizer_spec();
  normalizer.set_name("identity");
  normalizer.set_add_dummy_prefix(metadata.boolean("tokenizer.ggml.add_space_prefix").value_or(true));
  normalizer.set_remove_extra_whitespaces(false);
  normalizer.set_escape_whitespaces(true);
  return model.SerializeAsString();
}

}  // namespace tessera::model
