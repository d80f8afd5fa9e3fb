// The options around a recipe. Expected answers are those of llama-quantize 0.7.0 in dry runs with the same
// options.
#include "stages/choose_types.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "foundation/base/error.h"

namespace tessera::stages {
namespace {

using enum ElementType;

std::vector<TensorDescriptor> dense_model(bool has_output = true, ElementType type = F16) {
  std::vector<TensorDescriptor> tensors = {{"token_embd.weight", type, {32, 256}},
                                           {"output_norm.weight", F32, {256}}};
  if (has_output) tensors.push_back({"output.weight", type, {32, 256}});
  for (int layer = 0; layer < 4; ++layer) {
    const std::string block = "blk." + std::to_string(layer) + ".";
    for (const char* stem : {"attn_q", "attn_v", "attn_output", "ffn_up"}) {
      tensors.push_back({block + stem + ".weight", type, {256, 256}});
    }
  }
  return tensors;
}

std::map<std::string, ElementType> choose(const TypeChoice& choice,
                                          const std::vector<TensorDescriptor>& tensors = dense_model()) {
  const bool has_output = tensors.size() > 2 && tensors[2].name == "output.weight";
  std::map<std::string, ElementType> types;
  for (const auto& tensor : choose_types(tensors, {"llama", 4, 8, 8, 0, has_output}, choice).tensors) {
    types[tensor.source.name] = tensor.target;
  }
  return types;
}

TypeChoice recipe(const char* name) { return {.recipe = find_recipe(name).value()}; }

TEST(TypeOptions, TheFirstMatchingPatternCounts) {
  auto choice = recipe("Q4_K_M");
  choice.overrides = {{"attn_v", Q8_0}, {"attn", IQ4_NL}};
  auto types = choose(choice);
  EXPECT_EQ(types["blk.1.attn_v.weight"], Q8_0);
  EXPECT_EQ(types["blk.1.attn_q.weight"], IQ4_NL);
  EXPECT_EQ(types["blk.1.ffn_up.weight"], Q4_K);
  choice.overrides = {{"attn", IQ4_NL}, {"attn_v", Q8_0}};
  EXPECT_EQ(choose(choice)["blk.1.attn_v.weight"], IQ4_NL);
}

TEST(TypeOptions, PatternsAreRegularExpressionsAndIgnoreCase) {
  auto choice = recipe("Q4_K_M");
  choice.overrides = {{"BLK\\.[0-1]\\.(ffn_up|attn_q)", Q8_0}};
  auto types = choose(choice);
  EXPECT_EQ(types["blk.0.ffn_up.weight"], Q8_0);
  EXPECT_EQ(types["blk.1.attn_q.weight"], Q8_0);
  EXPECT_EQ(types["blk.2.ffn_up.weight"], Q4_K);
}

TEST(TypeOptions, PatternsDoNotReachTensorsThatAreNeverQuantized) {
  auto choice = recipe("Q4_K_M");
  choice.overrides = {{"norm", Q8_0}};
  EXPECT_EQ(choose(choice)["output_norm.weight"], F32);
}

TEST(TypeOptions, PureMakesEverythingOneTypeButForExplicitRequests) {
  auto choice = recipe("Q4_K_M");
  choice.pure_type = Q4_K;
  choice.overrides = {{"attn_v", Q8_0}};
  auto types = choose(choice);
  EXPECT_EQ(types["output.weight"], Q4_K);
  EXPECT_EQ(types["token_embd.weight"], Q4_K);
  EXPECT_EQ(types["blk.3.attn_v.weight"], Q8_0);
  choice.output_type = Q8_0;
  choice.token_embedding_type = Q2_K;
  types = choose(choice);
  EXPECT_EQ(types["output.weight"], Q8_0);
  EXPECT_EQ(types["token_embd.weight"], Q2_K);
}

TEST(TypeOptions, OutputAndEmbeddingOptionsOutrankPatterns) {
  auto choice = recipe("Q4_K_M");
  choice.output_type = Q8_0;
  choice.token_embedding_type = Q2_K;
  choice.overrides = {{"output", Q5_K}, {"token_embd", Q5_K}};
  auto types = choose(choice);
  EXPECT_EQ(types["output.weight"], Q8_0);
  EXPECT_EQ(types["token_embd.weight"], Q2_K);
  EXPECT_EQ(types["blk.0.attn_output.weight"], Q5_K);
}

TEST(TypeOptions, ATiedEmbeddingTakesTheOutputTypeUnlessItHasItsOwn) {
  const auto tied = dense_model(false);
  auto choice = recipe("Q4_K_M");
  EXPECT_EQ(choose(choice, tied)["token_embd.weight"], Q6_K);
  choice.output_type = Q8_0;
  EXPECT_EQ(choose(choice, tied)["token_embd.weight"], Q8_0);
  choice.token_embedding_type = Q2_K;
  EXPECT_EQ(choose(choice, tied)["token_embd.weight"], Q2_K);
}

TEST(TypeOptions, LeavingTheOutputAloneOutranksItsType) {
  auto choice = recipe("Q4_K_M");
  choice.leave_output = true;
  choice.output_type = Q8_0;
  EXPECT_EQ(choose(choice)["output.weight"], F16);
}

TEST(TypeOptions, RequantizationIsRefusedOnlyWhereATypeChanges) {
  const auto quantized = dense_model(true, Q8_0);
  const model::ModelFacts facts{"llama", 4, 8, 8, 0, true};
  EXPECT_NO_THROW(refuse_requantization(choose_types(quantized, facts, recipe("Q8_0"))));
  EXPECT_THROW(refuse_requantization(choose_types(quantized, facts, recipe("Q4_K_M"))), UsageError);
}

TEST(TypeOptions, FallbacksRememberTheWantedType) {
  const std::vector<TensorDescriptor> tensors = {{"blk.0.attn_q.weight", F16, {32, 160}},
                                                 {"blk.0.attn_k.weight", F16, {32, 48}}};
  const auto plan = choose_types(tensors, {"llama", 1, 8, 8, 0, true}, recipe("Q4_K_M"));
  EXPECT_EQ(plan.tensors[0].target, Q5_0);
  EXPECT_EQ(plan.tensors[1].target, F16);
  for (const auto& tensor : plan.tensors) EXPECT_EQ(tensor.wanted, Q4_K);
}

TEST(LayerIntervals, FractionsRoundDownAndStepsCountFromTheBeginning) {
  const LayerInterval eighth{{0, 0}, LayerBound{1, 8}};
  EXPECT_TRUE(eighth.contains(2, 26));
  EXPECT_FALSE(eighth.contains(3, 26));
  const LayerInterval every_third{{1, 8}, LayerBound{7, 8}, 3, 2};
  EXPECT_TRUE(every_third.contains(6, 32));
  EXPECT_FALSE(every_third.contains(7, 32));
  EXPECT_FALSE(every_third.contains(30, 32));
  const LayerInterval last{{7, 8}, std::nullopt};
  EXPECT_TRUE(last.contains(31, 32));
  EXPECT_FALSE(last.contains(27, 32));
}

}  // namespace
}  // namespace tessera::stages
