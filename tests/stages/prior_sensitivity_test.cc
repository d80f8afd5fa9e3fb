#include "stages/prior_sensitivity.h"

#include <gtest/gtest.h>

#include <cmath>

namespace tessera::stages {
namespace {

using enum ElementType;

const std::vector<ElementType> kTypes = {IQ1_S, IQ2_XXS, Q3_K, Q4_K, Q6_K};

/// The loss of one tensor in Q4_K, among others of its kind.
double loss_of_one(const std::string& name, const model::ModelFacts& facts,
                   std::vector<std::uint64_t> shape = {256, 256}) {
  const std::vector<PriorCandidates> tensors = {{{name, BF16, std::move(shape)}, {Q4_K}},
                                                {{"blk.2.attn_q.weight", BF16, {4096, 4096}}, {Q4_K}}};
  return loss_of(prior_sensitivity(tensors, facts), name, Q4_K).value();
}

const model::ModelFacts kDense{"llama", 8, 8, 8, 0, true};

TEST(PriorSensitivity, LossFallsWithEveryBit) {
  const std::vector<PriorCandidates> tensors = {{{"blk.3.ffn_up.weight", BF16, {256, 256}}, kTypes}};
  const auto sensitivity = prior_sensitivity(tensors, kDense);
  EXPECT_EQ(sensitivity.method, SensitivityMethod::prior);
  const auto& losses = sensitivity.tensors.at(0).candidates;
  ASSERT_EQ(losses.size(), kTypes.size());
  for (std::size_t i = 1; i < losses.size(); ++i) EXPECT_LT(losses[i].loss, losses[i - 1].loss);
  EXPECT_GT(losses.back().loss, 0);
}

TEST(PriorSensitivity, GrowsWithTheTensorsShare) {
  EXPECT_NEAR(loss_of_one("blk.3.ffn_up.weight", kDense, {512, 256}) /
                  loss_of_one("blk.3.ffn_up.weight", kDense, {256, 256}),
              2, 0.02);
}

TEST(PriorSensitivity, RaisesSensitiveRolesAndTheFirstAndLastLayers) {
  EXPECT_GT(loss_of_one("blk.3.ffn_down.weight", kDense), loss_of_one("blk.3.ffn_up.weight", kDense));
  EXPECT_GT(loss_of_one("blk.3.attn_v.weight", kDense), loss_of_one("blk.3.ffn_down.weight", kDense));
  EXPECT_GT(loss_of_one("output.weight", kDense), loss_of_one("token_embd.weight", kDense));
  EXPECT_GT(loss_of_one("blk.0.ffn_up.weight", kDense), loss_of_one("blk.1.ffn_up.weight", kDense));
  EXPECT_GT(loss_of_one("blk.1.ffn_up.weight", kDense), loss_of_one("blk.2.ffn_up.weight", kDense));
  EXPECT_GT(loss_of_one("blk.7.ffn_up.weight", kDense), loss_of_one("blk.6.ffn_up.weight", kDense));
}

TEST(PriorSensitivity, ATiedEmbeddingPaysForTheOutputToo) {
  auto tied = kDense;
  tied.has_output = false;
  EXPECT_DOUBLE_EQ(loss_of_one("token_embd.weight", tied),
                   loss_of_one("token_embd.weight", kDense) + loss_of_one("output.weight", kDense));
}

TEST(PriorSensitivity, WeightsOfRoutedExpertsCountAsOftenAsTheyAreUsed) {
  auto mixture = kDense;
  mixture.experts = 64;
  mixture.experts_used = 4;
  // Small beside the rest of the model, so that the sum of the shares hardly moves.
  const double all = loss_of_one("blk.3.ffn_up_shexp.weight", mixture, {64, 64, 256});
  EXPECT_NEAR(loss_of_one("blk.3.ffn_up_exps.weight", mixture, {64, 64, 256}) / all, 4.0 / 64, 0.005);
}

TEST(PriorSensitivity, GivesTheSameTwice) {
  const std::vector<PriorCandidates> tensors = {{{"blk.3.ffn_up.weight", BF16, {256, 256}}, kTypes}};
  const auto first = prior_sensitivity(tensors, kDense);
  const auto second = prior_sensitivity(tensors, kDense);
  for (std::size_t i = 0; i < kTypes.size(); ++i)
    EXPECT_EQ(first.tensors[0].candidates[i].loss, second.tensors[0].candidates[i].loss);
}

TEST(RelativeError, IsThatOfNormalWeights) {
  // The least possible at b bits is 4^-b (rate-distortion bound of a normal source).
  for (const auto type : kTypes) {
    const double bound = std::pow(4, -info(type).bits_per_weight());
    EXPECT_GT(relative_error_of(type), bound) << name_of(type);
    EXPECT_LT(relative_error_of(type), 4 * bound) << name_of(type);
  }
  EXPECT_LT(relative_error_of(F16), 1e-6);
}

}  // namespace
}  // namespace tessera::stages
