#include "foundation/kernels/vector_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <span>
#include <vector>

#include "kernels/kernel_testing.h"

namespace tessera::kernels {
namespace {

class VectorMathTest : public EveryTarget {};

TEST_P(VectorMathTest, AddEqualsAPlainLoopAndStaysInItsRow) {
  for (const std::size_t count : kRowSizes) {
    const auto x = random_values(count, 1);
    auto y = random_values(count + 1, 2);
    auto expected = y;
    for (std::size_t i = 0; i < count; ++i) expected[i] += x[i];
    add(x, std::span(y).first(count));
    EXPECT_EQ(y, expected);
  }
}

TEST_P(VectorMathTest, AddToRowsEqualsAPlainLoop) {
  for (const std::size_t count : kRowSizes) {
    if (count == 0) continue;
    const auto x = random_values(count, 1);
    auto y = random_values(3 * count, 2);
    auto expected = y;
    for (std::size_t i = 0; i < y.size(); ++i) expected[i] += x[i % count];
    add_to_rows(x, y);
    EXPECT_EQ(y, expected);
  }
}

TEST_P(VectorMathTest, SquareAndEnergyEqualAPlainLoop) {
  for (const std::size_t count : kRowSizes) {
    auto x = random_values(count + 1, 1);
    auto expected = x;
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i) {
      expected[i] *= expected[i];
      sum += expected[i];
    }
    EXPECT_NEAR(energy(std::span(x).first(count)), sum, 1e-6 * sum);
    square(std::span(x).first(count));
    EXPECT_EQ(x, expected);
  }
}

TEST_P(VectorMathTest, AddScaledAndDotAreNearAPlainLoopAndStayInTheirRow) {
  for (const std::size_t count : kRowSizes) {
    const auto x = random_values(count, 1);
    auto y = random_values(count + 1, 2);
    const auto before = y;
    double sum = 0;
    double magnitude = 0;
    for (std::size_t i = 0; i < count; ++i) {
      sum += double{x[i]} * double{y[i]};
      magnitude += std::abs(double{x[i]} * double{y[i]});
    }
    EXPECT_NEAR(dot(x, std::span(y).first(count)), sum, 1e-6 * magnitude);
    add_scaled(x, 0.75f, std::span(y).first(count));
    for (std::size_t i = 0; i < count; ++i)
      EXPECT_NEAR(y[i], before[i] + 0.75f * x[i], 1e-6f * (std::abs(before[i]) + std::abs(x[i])));
    EXPECT_EQ(y[count], before[count]);
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, VectorMathTest, all_targets(), target_name);

}  // namespace
}  // namespace tessera::kernels
