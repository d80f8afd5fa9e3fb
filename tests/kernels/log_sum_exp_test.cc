#include "foundation/kernels/log_sum_exp.h"

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

class LogSumExpTest : public EveryTarget {};

double scalar_log_sum_exp(std::span<const float> values) {
  const double largest = *std::ranges::max_element(values);
  double sum = 0;
  for (const float value : values) sum += std::exp(value - largest);
  return largest + std::log(sum);
}

TEST_P(LogSumExpTest, PartsMakeTheWholeWhateverTheirOrderAndSize) {
  for (const std::size_t part : {1u, 7u, 64u, 1000u}) {
    auto values = random_values(1000, 1, 30.0f);
    for (const bool rising : {false, true}) {
      if (rising) std::ranges::sort(values);
      LogSumExp sum;
      for (std::size_t first = 0; first < values.size(); first += part)
        sum.add(std::span(values).subspan(first, std::min(part, values.size() - first)));
      EXPECT_NEAR(sum.value(), scalar_log_sum_exp(values), 1e-6);
    }
  }
}

TEST_P(LogSumExpTest, LargeLogitsDoNotOverflowAndNanShows) {
  LogSumExp sum;
  sum.add(std::vector<float>(40, 1e30f));
  EXPECT_NEAR(sum.value(), 1e30, 1e24);
  LogSumExp nothing;
  EXPECT_EQ(nothing.value(), -std::numeric_limits<double>::infinity());
  LogSumExp broken;
  broken.add(std::vector<float>{1.0f, std::numeric_limits<float>::quiet_NaN(), 2.0f});
  EXPECT_TRUE(std::isnan(broken.value()));
}

TEST_P(LogSumExpTest, ProbabilitiesOfAllPartsSumToOne) {
  for (const std::size_t count : kRowSizes) {
    auto values = random_values(count + 1, 1, 10.0f);
    const std::vector<float> logits(values.begin(), values.end() - 1);
    const double log_sum = scalar_log_sum_exp(logits);
    const float beyond = values[count];
    to_probabilities(std::span(values).first(count), static_cast<float>(log_sum));
    double total = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const double expected = std::exp(logits[i] - log_sum);
      EXPECT_NEAR(values[i], expected, 3e-6 * expected);
      total += values[i];
    }
    EXPECT_NEAR(total, 1.0, 2e-6);
    EXPECT_EQ(values[count], beyond);
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, LogSumExpTest, all_targets(), target_name);

}  // namespace
}  // namespace tessera::kernels
