// Which super weights go into a sidecar, and which tensors are promoted for them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stages/plan_sidecar.h"
#include "stages/promote_tensors.h"

namespace tessera::stages {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::size_t kEmbedding = 0, kDown = 1, kUp = 2, kExperts = 3, kOutput = 4;

std::vector<TensorDescriptor> tensors() {
  return {{"token_embd.weight", ElementType::F16, {512, 256}},
          {"blk.0.ffn_down.weight", ElementType::F16, {256, 512}},
          {"blk.0.ffn_up.weight", ElementType::F16, {512, 256}},
          {"blk.1.ffn_down_exps.weight", ElementType::F16, {4, 256, 512}},
          {"output.weight", ElementType::F16, {512, 256}}};
}

/// A list with the tensors of its weights.
struct Found {
  void add(std::size_t tensor, std::uint64_t row, std::uint64_t column, double score,
           SuperWeightNotion notion = SuperWeightNotion::coverage) {
    SuperWeight weight;
    weight.tensor = tensors()[tensor].name;
    weight.row = row;
    weight.column = column;
    weight.value = static_cast<float>(row) + 0.5f;
    weight.score = score;
    weight.notion = notion;
    list.weights.push_back(weight);
    places.push_back(tensor);
  }
  /// With scores that are worth any bytes.
  Sidecar sidecar(const SidecarSettings& settings) {
    list.coverage.emplace().fence = 1e-9;
    return plan_sidecar(list, places, tensors(), "llama", settings);
  }

  SuperWeightList list;
  std::vector<std::size_t> places;
};

/// Bytes as bits for every weight of the model.
SidecarSettings settings_of(std::uint64_t bytes, std::uint32_t max_rank = 32) {
  double weights = 0;
  for (const auto& tensor : tensors()) weights += static_cast<double>(tensor.weights());
  SidecarSettings settings;
  settings.max_rank = max_rank;
  settings.max_bits_per_weight = 8 * (static_cast<double>(bytes) + 0.5) / weights;
  return settings;
}

constexpr std::uint64_t kLine = 2 * (256 + 512);

TEST(PlanSidecar, TakesLinesWithMostScoreFirst) {
  Found found;
  found.add(kDown, 3, 7, 1);
  found.add(kDown, 5, 9, 4);
  found.add(kUp, 5, 1, 2);
  const auto sidecar = found.sidecar(settings_of(2 * kLine));
  ASSERT_EQ(sidecar.tensors.size(), 2u);
  EXPECT_EQ(sidecar.tensors[0].name, "blk.0.ffn_down.weight");
  EXPECT_THAT(sidecar.tensors[0].weights, ElementsAre(SidecarWeight{5, 9, 5.5f, 0}));
  EXPECT_THAT(sidecar.tensors[1].weights, ElementsAre(SidecarWeight{5, 1, 5.5f, 0}));
}

TEST(PlanSidecar, TakesSpikesBeforeAnyScore) {
  Found found;
  found.add(kDown, 3, 7, 1e6);
  found.add(kUp, 5, 1, 1e-6, SuperWeightNotion::activation_spike);
  const auto sidecar = found.sidecar(settings_of(kLine));
  ASSERT_EQ(sidecar.tensors.size(), 1u);
  EXPECT_EQ(sidecar.tensors[0].name, "blk.0.ffn_up.weight");
}

TEST(PlanSidecar, TakesLinesThatAreWorthTheirBytesOrHaveSpikes) {
  Found found;
  found.add(kDown, 3, 7, 130);
  found.add(kDown, 5, 9, 131);
  found.list.coverage.emplace().fence = 5.7;  // a root mean square of 1: 16 ln 2 * 1536 = 130.5^2
  const auto plan = [&] {
    return plan_sidecar(found.list, found.places, tensors(), "llama", settings_of(100 * kLine));
  };
  ASSERT_EQ(plan().weights(), 1u);
  EXPECT_EQ(plan().tensors[0].weights[0].row, 5u);
  found.list.coverage->fence.reset();
  EXPECT_THAT(plan().tensors, IsEmpty());
  found.add(kUp, 1, 1, 0, SuperWeightNotion::activation_spike);
  EXPECT_EQ(plan().tensors.at(0).name, "blk.0.ffn_up.weight");
}

TEST(PlanSidecar, TakesOfTheOutputNothingButSpikes) {
  Found found;
  found.add(kOutput, 3, 7, 1e9);
  EXPECT_THAT(found.sidecar(settings_of(100 * kLine)).tensors, IsEmpty());
  found.add(kOutput, 4, 7, 1, SuperWeightNotion::activation_spike);
  EXPECT_EQ(found.sidecar(settings_of(100 * kLine)).tensors.at(0).name, "output.weight");
}

TEST(PlanSidecar, CountsWeightsOfOneLineTogetherInTheDirectionWithFewerLines) {
  Found found;
  for (const std::uint64_t row : {1, 2, 3, 4}) found.add(kDown, row, 100, 1);
  found.add(kDown, 1, 50, 3.9 / 2);
  found.add(kUp, 9, 9, 1.9);
  const auto sidecar = found.sidecar(settings_of(kLine));
  ASSERT_EQ(sidecar.tensors.size(), 1u);
  EXPECT_THAT(sidecar.tensors[0].weights,
              ElementsAre(SidecarWeight{1, 100, 1.5f, 0}, SidecarWeight{2, 100, 2.5f, 0},
                          SidecarWeight{3, 100, 3.5f, 0}, SidecarWeight{4, 100, 4.5f, 0}));
}

TEST(PlanSidecar, PassesOverLinesBeyondTheRank) {
  Found found;
  for (std::uint64_t row = 0; row < 5; ++row) found.add(kDown, row, row, 1 + static_cast<double>(row));
  const auto sidecar = found.sidecar(settings_of(100 * kLine, 2));
  EXPECT_THAT(lines_of(sidecar.tensors.front()).lines, ElementsAre(3, 4));
}

TEST(PlanSidecar, LeavesOutEmbeddingsAndStackedExperts) {
  Found found;
  found.add(kEmbedding, 0, 0, 1);
  found.add(kExperts, 600, 3, 1);
  EXPECT_THAT(found.sidecar(settings_of(100 * kLine)).tensors, IsEmpty());
}

TEST(PlanSidecar, HasAWeightThatBothNotionsFoundOnce) {
  Found found;
  found.add(kDown, 3, 7, 1);
  found.add(kDown, 3, 7, 9, SuperWeightNotion::activation_spike);
  EXPECT_EQ(found.sidecar(settings_of(kLine)).weights(), 1u);
}

TEST(PromoteTensors, TakesThoseWithSpikesAndThenTheDensestUntilTheyHaveTheShare) {
  Found found;
  found.add(kDown, 1, 1, 1);
  found.add(kDown, 2, 1, 1);
  found.add(kUp, 1, 1, 1.2);
  found.add(kExperts, 1, 1, 0, SuperWeightNotion::activation_spike);
  PromotionSettings settings;
  settings.weights = 1;
  settings.mass = 0.5;
  EXPECT_THAT(tensors_to_promote(found.list, found.places, tensors(), settings),
              ElementsAre(kDown, kExperts));
  settings.mass = 0.9;
  EXPECT_THAT(tensors_to_promote(found.list, found.places, tensors(), settings),
              ElementsAre(kDown, kUp, kExperts));
}

TEST(PromoteTensors, SkipsTensorsThatWouldTakeTooManyWeightsUnlessTheyHaveSpikes) {
  Found found;
  found.add(kDown, 1, 1, 1);
  PromotionSettings settings;
  settings.weights = 0.01;
  EXPECT_THAT(tensors_to_promote(found.list, found.places, tensors(), settings), IsEmpty());
  found.add(kDown, 1, 1, 1, SuperWeightNotion::activation_spike);
  EXPECT_THAT(tensors_to_promote(found.list, found.places, tensors(), settings), ElementsAre(kDown));
}

TEST(PromoteTensors, TakesCrowdedTensorsWhateverTheirScores) {
  Found found;
  PromotionSettings settings;
  const auto blocks = 256 * 512 / 32;
  for (int i = 0; i < blocks / 10; ++i)
    found.add(kUp, static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(i) % 8 * 32, 0);
  found.add(kDown, 1, 1, 1e9);
  EXPECT_THAT(crowded_tensors(found.list, found.places, tensors(), settings), ElementsAre(kUp));
}

TEST(PromoteTensors, RaisesTypesAndNeverLowersThem) {
  QuantPlan plan;
  for (const auto& tensor : tensors()) plan.tensors.push_back({tensor, {}, ElementType::Q4_K});
  plan.tensors[kUp].target = ElementType::F16;
  plan.tensors[kExperts].source.shape.back() = 40;  // no multiple of a block
  plan.tensors[kExperts].target = ElementType::IQ4_NL;
  const std::vector<std::size_t> wanted = {kDown, kUp, kExperts};
  EXPECT_THAT(promote(wanted, ElementType::Q8_0, plan), ElementsAre(kDown, kExperts));
  EXPECT_EQ(plan.tensors[kDown].target, ElementType::Q8_0);
  EXPECT_EQ(plan.tensors[kDown].reason, ChoiceReason::super_weights);
  EXPECT_EQ(plan.tensors[kUp].target, ElementType::F16);
  EXPECT_EQ(plan.tensors[kExperts].target, ElementType::F16);
  EXPECT_EQ(plan.tensors[kEmbedding].target, ElementType::Q4_K);
}

}  // namespace
}  // namespace tessera::stages
