// The plan of a 671-billion-parameter mixture of experts at the size of the published 1.58-bit DeepSeek-R1,
// against the shape of that recipe (unsloth.ai/blog/deepseekr1-dynamic).
//
// Its "131GB" are 131 x 2^30 bytes: of 131 x 10^9 the routed experts alone take 127.7 x 10^9 in IQ1_S, the
// smallest type, and what is left is 1.5 bits for each of the other 17 billion weights, not the 4 to 6 of the
// recipe.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "artifacts/candidate_types.h"
#include "foundation/base/error.h"
#include "model/architecture/kept_tensors.h"
#include "stages/deepseek_shapes.h"
#include "stages/plan_dynamic.h"
#include "stages/prior_sensitivity.h"

namespace tessera::stages {
namespace {

using ::testing::AllOf;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Le;
using enum ElementType;
using model::TensorRole;

constexpr std::uint64_t kPublishedBytes = std::uint64_t{131} << 30;

DynamicPlanResult plan_deepseek(std::uint64_t budget) {
  const auto tensors = tessera::testing::deepseek_v3_tensors();
  const auto facts = tessera::testing::deepseek_v3_facts();
  const auto policy = find_profile("compression-max");
  std::vector<PriorCandidates> candidates;
  for (const auto& tensor : tensors) {
    if (model::may_be_quantized(tensor))
      candidates.push_back({tensor, candidate_types(policy.candidates, tensor, true)});
  }
  const auto sensitivity = prior_sensitivity(candidates, facts);
  return plan_dynamic({.tensors = tensors,
                       .facts = facts,
                       .policy = policy,
                       .sensitivity = sensitivity,
                       .budget_bytes = budget,
                       .has_importance = std::vector<bool>(tensors.size(), true)});
}

double bits_of(const PlannedTensor& tensor) { return info(tensor.target).bits_per_weight(); }

TEST(DeepSeekPlan, HasTheParametersThatArePublished) {
  std::uint64_t weights = 0;
  for (const auto& tensor : tessera::testing::deepseek_v3_tensors()) weights += tensor.weights();
  EXPECT_NEAR(static_cast<double>(weights), 671.03e9, 0.01e9);
}

TEST(DeepSeekPlan, MeetsThePublishedSize) {
  const auto bytes = size_of(plan_deepseek(kPublishedBytes).plan).target_bytes;
  EXPECT_LE(bytes, kPublishedBytes);
  EXPECT_GE(static_cast<double>(bytes), 0.995 * static_cast<double>(kPublishedBytes));
}

TEST(DeepSeekPlan, HasTheShapeOfThePublishedRecipe) {
  std::uint64_t routed = 0;
  std::uint64_t routed_at_one_bit = 0;
  for (const auto& tensor : plan_deepseek(kPublishedBytes).plan.tensors) {
    const auto& name = tensor.source.name;
    if (!model::may_be_quantized(tensor.source)) continue;
    const auto role = tensor.place.role;
    const auto experts = expert_kind_of(name);
    if (name == "token_embd.weight") {
      EXPECT_EQ(tensor.target, Q4_K);
    } else if (name == "output.weight") {
      EXPECT_EQ(tensor.target, Q6_K);
    } else if (experts == ExpertKind::routed && role == TensorRole::ffn_down && tensor.place.layer < 9) {
      EXPECT_EQ(tensor.target, IQ2_XXS) << name;
    } else if (experts == ExpertKind::routed) {
      routed += tensor.source.weights();
      if (tensor.target == IQ1_S || tensor.target == IQ1_M) routed_at_one_bit += tensor.source.weights();
    } else {
      EXPECT_THAT(bits_of(tensor), AllOf(Ge(4.0), Le(6.6))) << name;
    }
  }
  EXPECT_GE(static_cast<double>(routed_at_one_bit), 0.98 * static_cast<double>(routed));
}

TEST(DeepSeekPlan, ASmallerSizeThanTheProfileCanHaveNamesItsRules) {
  try {
    plan_deepseek(std::uint64_t{131'000'000'000});
    FAIL() << "no error";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("profile compression-max"));
  }
}

}  // namespace
}  // namespace tessera::stages
