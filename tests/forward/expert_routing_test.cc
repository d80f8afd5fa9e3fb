// Choosing experts and gathering their rows, by hand.
#include "model/forward/expert_routing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

namespace tessera::model {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;

struct Choice {
  std::vector<std::uint32_t> experts;
  std::vector<float> weights;
};

Choice choose(const MixtureConfig& config, std::vector<float> scores) {
  Choice choice{std::vector<std::uint32_t>(config.used), std::vector<float>(config.used)};
  choose_experts(config, scores, choice.experts, choice.weights);
  return choice;
}

TEST(ExpertRouting, ChoosesTheLargestAndTheFirstOfEquals) {
  const MixtureConfig config{.experts = 5, .used = 3, .normalized = false};
  EXPECT_THAT(choose(config, {0, 2, 1, 2, 1}).experts, ElementsAre(1, 3, 2));
}

TEST(ExpertRouting, WeightsAreTheSoftmaxOverAllOrNormalized) {
  const std::vector<float> scores{std::log(1.0f), std::log(2.0f), std::log(5.0f)};
  const auto as_they_are = choose({.experts = 3, .used = 2, .normalized = false}, scores);
  EXPECT_THAT(as_they_are.weights, ElementsAre(FloatNear(0.625f, 1e-6f), FloatNear(0.25f, 1e-6f)));
  const auto normalized = choose({.experts = 3, .used = 2, .normalized = true}, scores);
  EXPECT_THAT(normalized.weights, ElementsAre(FloatNear(5.0f / 7, 1e-6f), FloatNear(2.0f / 7, 1e-6f)));
}

TEST(ExpertRouting, NanStillGivesDistinctExperts) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto choice = choose({.experts = 3, .used = 3}, {nan, 1, nan});
  EXPECT_THAT(choice.experts, ::testing::UnorderedElementsAre(0, 1, 2));
}

TEST(ExpertGroups, HoldEachRowUnderItsExpertsInOrder) {
  const std::array<std::uint32_t, 6> chosen{2, 0, 0, 3, 2, 3};
  const std::array<float, 6> weights{.6f, .4f, .7f, .3f, .8f, .2f};
  const ExpertGroups groups(4, 2, chosen, weights);
  EXPECT_EQ(groups.experts(), 4u);
  EXPECT_THAT(groups.rows(0), ElementsAre(0, 1));
  EXPECT_THAT(groups.weights(0), ElementsAre(.4f, .7f));
  EXPECT_EQ(groups.count(1), 0u);
  EXPECT_THAT(groups.rows(2), ElementsAre(0, 2));
  EXPECT_THAT(groups.rows(3), ElementsAre(1, 2));
  EXPECT_THAT(groups.weights(3), ElementsAre(.3f, .2f));
}

}  // namespace
}  // namespace tessera::model
