// Crossings of spikes of a down projection, token by token.
#include "stages/spike_observer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "foundation/base/error.h"
#include "foundation/kernels/vector_math.h"
#include "tensor/memory_source.h"

namespace tessera::stages {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr std::size_t kIn = 96;
constexpr std::size_t kOut = 64;
constexpr std::size_t kTokens = 5;

class Spikes : public ::testing::Test {
 protected:
  Spikes()
      : weights(testing::normal_weights(2 * kOut * kIn, 4)),
        inputs(testing::normal_weights(kTokens * kIn, 8)) {}

  /// Shows the tokens to the given expert of a layer of two, or to a layer that has none.
  std::vector<Spike> find(std::optional<std::size_t> expert = std::nullopt, const char* role = "ffn_down") {
    testing::MemorySource source;
    source.add("blk.0.ffn_up.weight", ElementType::F32, {kOut, kIn}, std::vector<float>(kOut * kIn));
    const std::vector<float> dense(weights.begin(), weights.begin() + kOut * kIn);
    const std::string name = std::string("blk.0.") + role + (expert ? "_exps.weight" : ".weight");
    if (expert) {
      source.add(name, ElementType::F32, {2, kOut, kIn}, weights);
    } else {
      source.add(name, ElementType::F32, {kOut, kIn}, dense);
    }
    kernels::Matrix rows(kernels::Precision::f32, kTokens, kIn);
    rows.store(0, inputs);
    std::vector<float> outputs(kTokens * kOut);
    for (std::size_t t = 0; t < kTokens; ++t) {
      for (std::size_t r = 0; r < kOut; ++r)
        outputs[t * kOut + r] = kernels::dot(
            kernels::row_of(std::span<const float>(inputs), t, kIn),
            kernels::row_of(std::span<const float>(weights), expert.value_or(0) * kOut + r, kIn));
    }
    SpikeObserver observer(source, {.input_ratio = 30, .output_ratio = 30}, 2);
    const std::size_t tensor = 1;
    observer.linear_input({std::span(&tensor, 1), rows, 0, kTokens, {.lane = 1}, expert});
    observer.linear_output({tensor, outputs, {.lane = 1}, expert});
    return observer.collect();
  }

  float& weight(std::size_t row, std::size_t column) { return weights[row * kIn + column]; }
  float& input(std::size_t token, std::size_t column) { return inputs[token * kIn + column]; }

  std::vector<float> weights, inputs;
};

TEST_F(Spikes, AreNotInOrdinaryLayers) { EXPECT_TRUE(find().empty()); }

TEST_F(Spikes, CrossAtTheWeightThatMakesThem) {
  input(2, 70) = 20;
  input(4, 70) = 30;
  weight(9, 70) = -3;
  const auto spikes = find();
  ASSERT_EQ(spikes.size(), 1u);
  EXPECT_EQ(spikes[0].row, 9u);
  EXPECT_EQ(spikes[0].column, 70u);
  EXPECT_EQ(spikes[0].value, -3);
  EXPECT_GT(spikes[0].score, 30);
}

TEST_F(Spikes, OfOneColumnCrossSeveralRows) {
  input(2, 70) = 20;
  weight(9, 70) = -3;
  weight(50, 70) = 4;
  EXPECT_EQ(find().size(), 2u);
}

TEST_F(Spikes, OfTheOutputAloneAreNone) {
  weight(9, 70) = 400;
  EXPECT_TRUE(find().empty());
}

TEST_F(Spikes, OfTheInputThatAllRowsShareAreNone) {
  input(2, 70) = 2000;
  EXPECT_TRUE(find().empty());
}

TEST_F(Spikes, ThatOtherColumnsMakeTogetherAreNone) {
  input(2, 70) = 20;
  for (std::size_t c = 0; c < kIn; ++c) weight(9, c) = c == 70 ? 0.001f : 30 * input(2, c) / 0.05f;
  EXPECT_TRUE(find().empty());
}

TEST_F(Spikes, OfExpertsCountRowsOfAllExperts) {
  input(2, 70) = 20;
  weight(kOut + 9, 70) = -3;
  EXPECT_TRUE(find(0).empty());
  const auto spikes = find(1);
  ASSERT_EQ(spikes.size(), 1u);
  EXPECT_EQ(spikes[0].row, kOut + 9);
}

TEST_F(Spikes, OfOtherLinearsAreNone) {
  input(2, 70) = 20;
  weight(9, 70) = -3;
  EXPECT_TRUE(find(std::nullopt, "attn_output").empty());
}

TEST(SpikeSettings, OutOfRangeAreRefused) {
  for (const double ratio : {0.0, 1.0, -3.0, static_cast<double>(INFINITY), std::nan("")}) {
    EXPECT_THAT([&] { require_spike_settings({.input_ratio = ratio}); },
                ThrowsMessage<UsageError>(HasSubstr("above 1")));
    EXPECT_THAT([&] { require_spike_settings({.output_ratio = ratio}); },
                ThrowsMessage<UsageError>(HasSubstr("above 1")));
  }
}

TEST(Level, IsTheMedianMagnitudeWithoutZeros) {
  std::vector<float> scratch;
  EXPECT_EQ(level_of(std::vector<float>{0, -3, 0, 1, 2, 0}, scratch), 2);
  EXPECT_EQ(level_of(std::vector<float>{0, 0}, scratch), 0);
}

}  // namespace
}  // namespace tessera::stages
