#include "model/text/prompt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/source/open_model.h"

namespace tessera::model {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Prompt : public ::testing::Test {
 protected:
  OpenedModel opened = open_model(TESSERA_TESTDATA "/demo-model");
  gguf::Metadata& metadata = opened.metadata;

  std::unique_ptr<Tokenizer> tokenizer() const { return make_tokenizer(metadata, "demo"); }
};

TEST_F(Prompt, BeginsWithTheBeginningTokenAndDoesNotEnd) {
  metadata.set("tokenizer.ggml.add_bos_token", true);
  metadata.set("tokenizer.ggml.add_eos_token", true);
  const auto with_both = tokenizer();
  auto expected = with_both->encode("The house");
  ASSERT_EQ(expected.back(), *with_both->eos());
  expected.pop_back();
  EXPECT_EQ(encode_prompt(*with_both, "The house"), expected);
  EXPECT_THAT(encode_prompt(*with_both, ""), ElementsAre(*with_both->bos()));
}

TEST_F(Prompt, OfNothingIsEmptyWithoutABeginningToken) {
  metadata.set("tokenizer.ggml.add_bos_token", false);
  EXPECT_THAT(encode_prompt(*tokenizer(), ""), IsEmpty());
}

TEST_F(Prompt, EndTokensAreThoseThatMetadataName) {
  const TokenId eos = *tokenizer()->eos();
  EXPECT_THAT(end_tokens(*tokenizer(), metadata), ElementsAre(eos));
  metadata.set("tokenizer.ggml.eot_token_id", std::uint32_t{17});
  metadata.set("tokenizer.ggml.eom_token_id", std::uint32_t{9});
  EXPECT_THAT(end_tokens(*tokenizer(), metadata), ElementsAre(eos, 9, 17));
  // Hostile: an id beyond the vocabulary ends nothing.
  metadata.set("tokenizer.ggml.eom_token_id", std::uint32_t{4'000'000'000u});
  EXPECT_THAT(end_tokens(*tokenizer(), metadata), ElementsAre(eos, 17));
}

TEST_F(Prompt, EndTokensAreAlsoThoseSpelledSo) {
  constexpr TokenId kToken = 300;
  const TokenId eos = *tokenizer()->eos();
  auto tokens = *metadata.texts("tokenizer.ggml.tokens");
  tokens[kToken] = "<|im_end|>";
  metadata.set("tokenizer.ggml.tokens", gguf::Array(tokens));
  EXPECT_THAT(end_tokens(*tokenizer(), metadata), ElementsAre(eos, kToken));
}

}  // namespace
}  // namespace tessera::model
