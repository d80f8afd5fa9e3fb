#include "model/text/sentencepiece_vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "foundation/base/error.h"
#include "pipeline/small_model.h"

namespace tessera::model {
namespace {

using ::testing::ElementsAre;

/// A length-delimited protobuf field.
std::string field(int number, const std::string& content) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(content.size())} + content;
}

/// A piece: text, float32 score (as its four bytes), type.
std::string piece(const std::string& text, const std::string& score, int type) {
  return field(
      1, field(1, text) + std::string("\x15", 1) + score + std::string{'\x18', static_cast<char>(type)});
}

const std::string kZero(4, '\0');
const std::string kMinusTwo("\x00\x00\x00\xC0", 4);
const std::string kNaN("\x00\x00\xC0\x7F", 4);

/// trainer_spec with model_type.
std::string trainer(int model_type) { return field(2, std::string{'\x18', static_cast<char>(model_type)}); }

const std::string kModel = piece("<unk>", kZero, 2) + piece("<s>", kZero, 3) + piece("<0x0A>", kZero, 6) +
                           piece("▁a", kMinusTwo, 1) + piece("<user>", kZero, 4) + piece("old", kZero, 5) +
                           trainer(2);

Vocabulary parse(const std::string& bytes, std::uint32_t size) {
  return parse_sentencepiece_model(std::as_bytes(std::span(bytes)), "tokenizer.model", size);
}

TEST(SentencepieceVocabulary, PiecesKeepTextScoreAndType) {
  const Vocabulary vocabulary = parse(kModel, 6);
  EXPECT_THAT(vocabulary.tokens, ElementsAre("<unk>", "<s>", "<0x0A>", "▁a", "<user>", "old"));
  EXPECT_EQ(vocabulary.scores[3], -2.0f);
  EXPECT_THAT(vocabulary.types, ElementsAre(TokenType::unknown, TokenType::control, TokenType::byte,
                                            TokenType::normal, TokenType::normal, TokenType::unused));
}

TEST(SentencepieceVocabulary, SizeIsTheEmbeddings) {
  EXPECT_EQ(parse(kModel, 2).tokens.size(), 2u);
  const Vocabulary padded = parse(kModel, 8);
  EXPECT_EQ(padded.tokens[7], "[PAD7]");
  EXPECT_EQ(padded.types[7], TokenType::unused);
}

TEST(SentencepieceVocabulary, AddedTokensOverrideInTheOrderOfTheFiles) {
  testing::ScratchFolder folder;
  testing::write_whole(folder / "tokenizer.model", kModel);
  testing::write_whole(folder / "added_tokens.json", R"({"<x>": 6, "<y>": 7, "<beyond>": 9})");
  testing::write_whole(folder / "tokenizer_config.json", R"({"added_tokens_decoder": {
      "7": {"content": "<z>", "special": true}, "8": {"content": "▁w", "special": false},
      "100": {"content": "beyond", "special": true}}})");
  const Vocabulary vocabulary = read_sentencepiece_vocabulary(folder.path(), 9);
  EXPECT_EQ(vocabulary.tokens[6], "<x>");
  EXPECT_EQ(vocabulary.types[6], TokenType::user_defined);
  EXPECT_EQ(vocabulary.tokens[7], "<z>");
  EXPECT_EQ(vocabulary.types[7], TokenType::control);
  EXPECT_EQ(vocabulary.tokens[8], " w");
  EXPECT_EQ(vocabulary.scores[8], -1000.0f);
}

TEST(SentencepieceVocabulary, GarbageIsRefused) {
  const std::string cut = kModel.substr(0, kModel.size() - 1);
  for (const std::string& bytes :
       {std::string(), std::string("version https://git-lfs.github.com/spec/v1"), cut,
        std::string(1000, '\xFF'), trainer(2), kModel + trainer(3), piece("", kZero, 1), piece("x", kNaN, 1),
        std::string("\x0A\xFF\xFF\xFF\xFF\x0F")}) {
    EXPECT_THROW(parse(bytes, 4), BadFileError) << bytes;
  }
}

TEST(SentencepieceVocabulary, BadAddedTokensAreRefused) {
  for (const char* text : {R"({"<x>": "6"})", R"({"<x>": -1})", R"({"<x>": 1.5})", "[]", "{"}) {
    testing::ScratchFolder folder;
    testing::write_whole(folder / "tokenizer.model", kModel);
    testing::write_whole(folder / "added_tokens.json", text);
    EXPECT_THROW(read_sentencepiece_vocabulary(folder.path(), 6), BadFileError) << text;
  }
  for (const char* text :
       {R"({"added_tokens_decoder": []})", R"({"added_tokens_decoder": {"x": {"content": "y"}}})",
        R"({"added_tokens_decoder": {"1": {}}})", R"({"added_tokens_decoder": {"-1": {"content": "y"}}})"}) {
    testing::ScratchFolder folder;
    testing::write_whole(folder / "tokenizer.model", kModel);
    testing::write_whole(folder / "tokenizer_config.json", text);
    EXPECT_THROW(read_sentencepiece_vocabulary(folder.path(), 6), BadFileError) << text;
  }
}

}  // namespace
}  // namespace tessera::model
