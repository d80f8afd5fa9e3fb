#include "foundation/kernels/softmax.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "kernels/kernel_testing.h"

namespace tessera::kernels {
namespace {

class SoftmaxTest : public EveryTarget {};

std::vector<double> scalar_softmax(std::span<const float> scores, double scale, std::size_t first,
                                   std::size_t last) {
  std::vector<double> result(scores.size());
  double largest = -std::numeric_limits<double>::infinity();
  for (std::size_t i = first; i < last; ++i) largest = std::max(largest, double{scores[i]});
  for (std::size_t i = first; i < last; ++i) result[i] = std::exp(scale * (scores[i] - largest));
  const double sum = std::accumulate(result.begin(), result.end(), 0.0);
  for (std::size_t i = first; i < last; ++i) result[i] /= sum;
  return result;
}

struct Range {
  std::size_t first;
  std::size_t last;
};

/// Causal prefixes, sliding windows, single keys and the whole row.
std::vector<Range> ranges(std::size_t count) {
  return {{0, count}, {0, (count + 1) / 2}, {count / 3, count}, {count / 2, count / 2 + 1}, {count, count}};
}

TEST_P(SoftmaxTest, EqualsItsScalarTwinInTheRangeAndIsZeroOutside) {
  constexpr float kScale = 0.125f;
  for (const std::size_t count : kRowSizes) {
    for (const auto [first, last] : ranges(count)) {
      auto scores = random_values(count + 1, 1, 50.0f);
      const auto expected = scalar_softmax(std::span(scores).first(count), kScale, first, last);
      scores[count] = -7.0f;
      masked_softmax(std::span(scores).first(count), kScale, first, last);
      for (std::size_t i = 0; i < count; ++i) EXPECT_NEAR(scores[i], expected[i], 3e-6 * expected[i]) << i;
      EXPECT_EQ(scores[count], -7.0f);
    }
  }
}

TEST_P(SoftmaxTest, ExponentialsAreExactToTwoUnitsInTheLastPlace) {
  constexpr std::size_t kCount = 4001;
  std::vector<float> scores(kCount);
  for (std::size_t i = 0; i < kCount; ++i) scores[i] = -69.2f * static_cast<float>(i) / (kCount - 1);
  const auto exponents = scores;
  masked_softmax(scores, 1.0f, 0, kCount);
  for (std::size_t i = 0; i < kCount; ++i) {
    const double expected = std::exp(double{exponents[i]}) * scores[0];
    EXPECT_NEAR(scores[i], expected, 3 * 0x1p-24 * expected) << exponents[i];
  }
}

TEST_P(SoftmaxTest, NegligibleProbabilitiesAreZeroAndNeverSubnormal) {
  std::vector<float> scores = {
      0.0f, -69.0f, -70.0f, -88.0f, -103.0f, -1e30f, -std::numeric_limits<float>::infinity()};
  masked_softmax(scores, 1.0f, 0, scores.size());
  EXPECT_EQ(scores[0], 1.0f);
  EXPECT_NEAR(scores[1], std::exp(-69.0), 1e-6 * std::exp(-69.0));
  for (std::size_t i = 2; i < scores.size(); ++i) EXPECT_EQ(scores[i], 0.0f);
}

TEST_P(SoftmaxTest, NanIsNotHidden) {
  for (const std::size_t place : {0u, 5u, 32u, 39u}) {
    auto scores = random_values(40, 1);
    scores[place] = std::numeric_limits<float>::quiet_NaN();
    masked_softmax(scores, 1.0f, 0, 40);
    EXPECT_TRUE(std::isnan(scores[7])) << place;
  }
}

TEST_P(SoftmaxTest, BackwardIsTheGradient) {
  constexpr float kScale = 0.3f;
  for (const std::size_t count : {5u, 16u, 45u}) {
    for (const auto [first, last] : ranges(count)) {
      const auto scores = random_values(count, 1, 3.0f);
      const auto upstream = random_values(count, 2);
      auto probabilities = scores;
      masked_softmax(probabilities, kScale, first, last);
      auto gradient = upstream;
      masked_softmax_backward(probabilities, gradient, kScale, first, last);
      for (std::size_t i = 0; i < count; ++i) {
        constexpr float kStep = 0x1p-10f;
        auto above = scores;
        auto below = scores;
        above[i] += kStep;
        below[i] -= kStep;
        const auto p_above = scalar_softmax(above, kScale, first, last);
        const auto p_below = scalar_softmax(below, kScale, first, last);
        double difference = 0;
        for (std::size_t j = first; j < last; ++j) difference += upstream[j] * (p_above[j] - p_below[j]);
        EXPECT_NEAR(gradient[i], difference / (double{above[i]} - below[i]), 1e-6);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, SoftmaxTest, all_targets(), target_name);

}  // namespace
}  // namespace tessera::kernels
