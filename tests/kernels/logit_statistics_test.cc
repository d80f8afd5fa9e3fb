#include "foundation/kernels/logit_statistics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "kernels/kernel_testing.h"

namespace tessera::kernels {
namespace {

class LogitStatisticsTest : public EveryTarget {};

/// The scalar twin, in float64 throughout.
LogitStatistics scalar_statistics(std::span<const float> logits, std::size_t target) {
  const auto largest = std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(double{logit} - *largest);
  const double log_sum_exp = *largest + std::log(sum);
  return {log_sum_exp, logits[target] - log_sum_exp, static_cast<std::size_t>(largest - logits.begin())};
}

double scalar_divergence(std::span<const float> original, std::span<const float> quantized) {
  const double p_sum = scalar_statistics(original, 0).log_sum_exp;
  const double q_sum = scalar_statistics(quantized, 0).log_sum_exp;
  double divergence = 0;
  for (std::size_t i = 0; i < original.size(); ++i) {
    const double log_p = original[i] - p_sum;
    divergence += std::exp(log_p) * (log_p - (quantized[i] - q_sum));
  }
  return divergence;
}

void expect_near(const LogitStatistics& ours, const LogitStatistics& expected) {
  EXPECT_NEAR(ours.log_sum_exp, expected.log_sum_exp, 3e-6);
  EXPECT_NEAR(ours.target_log_probability, expected.target_log_probability, 3e-6);
  EXPECT_EQ(ours.top, expected.top);
}

std::vector<float> moved(std::span<const float> logits, float largest) {
  auto result = random_values(logits.size(), 9, largest);
  for (std::size_t i = 0; i < logits.size(); ++i) result[i] += logits[i];
  return result;
}

TEST_P(LogitStatisticsTest, RowEqualsItsScalarTwin) {
  for (const std::size_t count : kRowSizes) {
    for (const float largest : {0.1f, 5.0f, 80.0f}) {
      const auto logits = random_values(count, 1, largest);
      expect_near(logit_statistics(logits, count / 2), scalar_statistics(logits, count / 2));
    }
  }
}

TEST_P(LogitStatisticsTest, PairEqualsItsScalarTwinAtEveryDistance) {
  for (const std::size_t count : {2u, 31u, 336u, 5000u}) {
    for (const float distance : {0.01f, 0.3f, 3.0f, 50.0f}) {
      const auto p = random_values(count, 1, 6.0f);
      const auto q = moved(p, distance);
      const auto pair = compare_logits(p, q, 1);
      expect_near(pair.original, scalar_statistics(p, 1));
      expect_near(pair.quantized, scalar_statistics(q, 1));
      const double expected = scalar_divergence(p, q);
      EXPECT_NEAR(pair.kl_divergence, expected, 1e-5 * expected) << count << " tokens, " << distance;
    }
  }
}

TEST_P(LogitStatisticsTest, SmallDivergencesKeepTheirDigits) {
  const auto p = random_values(1000, 1, 6.0f);
  const auto q = moved(p, 1e-4f);
  const double expected = scalar_divergence(p, q);
  ASSERT_LT(expected, 1e-8);
  EXPECT_NEAR(compare_logits(p, q, 0).kl_divergence, expected, 1e-3 * expected);
}

TEST_P(LogitStatisticsTest, DivergenceOfARowFromItselfIsNothing) {
  const auto p = random_values(1000, 1, 20.0f);
  auto shifted = p;
  for (float& logit : shifted) logit += 8.0f;  // the same probabilities, but for rounding
  EXPECT_EQ(compare_logits(p, p, 0).kl_divergence, 0.0);
  EXPECT_LT(compare_logits(p, shifted, 0).kl_divergence, 1e-11);
}

TEST_P(LogitStatisticsTest, MassThatTheOriginalDoesNotHaveCounts) {
  const std::vector<float> p = {100.0f, 0.0f, 0.0f};
  const std::vector<float> q = {0.0f, 100.0f, 0.0f};
  EXPECT_NEAR(compare_logits(p, q, 0).kl_divergence, 100.0, 1e-4);
}

TEST_P(LogitStatisticsTest, FirstOfEqualLogitsIsOnTop) {
  std::vector<float> logits(100, 1.0f);
  for (const std::size_t place : {97u, 64u, 40u, 3u}) {
    logits[place] = 2.0f;
    EXPECT_EQ(logit_statistics(logits, 0).top, place);
  }
}

TEST_P(LogitStatisticsTest, BadLogitsShowInTheSum) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const std::size_t place : {0u, 17u, 40u, 44u}) {
      auto logits = random_values(45, 1);
      logits[place] = bad;
      EXPECT_FALSE(std::isfinite(logit_statistics(logits, 1).log_sum_exp)) << place;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, LogitStatisticsTest, all_targets(), target_name);

}  // namespace
}  // namespace tessera::kernels
