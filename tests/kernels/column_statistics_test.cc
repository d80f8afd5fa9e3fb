#include "foundation/kernels/column_statistics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "foundation/kernels/bfloat16.h"
#include "kernels/kernel_testing.h"

namespace tessera::kernels {
namespace {

struct Shape {
  std::size_t rows;
  std::size_t columns;
};

/// Fewer and more rows than are added in float32, rests of rows and columns, more columns than a strip.
constexpr Shape kShapes[] = {{1, 1}, {7, 33}, {128, 16}, {301, 77}, {17, 2100}};

class ColumnStatisticsTest : public EveryTarget {
 protected:
  /// `x` is what the kernels saw.
  static void expect_statistics(std::span<const float> x, std::size_t columns, std::span<const double> sums,
                                std::span<const float> maxima) {
    for (std::size_t c = 0; c < columns; ++c) {
      double sum = 2.0;
      float largest = 0.5f;
      for (std::size_t i = c; i < x.size(); i += columns) {
        sum += double{x[i]} * x[i];
        largest = std::max(largest, std::fabs(x[i]));
      }
      EXPECT_NEAR(sums[c], sum, 7.6e-6 * sum);
      EXPECT_EQ(maxima[c], largest);
    }
  }
};

TEST_P(ColumnStatisticsTest, AddToWhatIsThereWithinTheStatedBound) {
  for (const auto [rows, columns] : kShapes) {
    const auto x = random_values(rows * columns, 1, 4.0f);
    std::vector<double> sums(columns, 2.0);
    std::vector<float> maxima(columns, 0.5f);
    add_column_squares(x, columns, sums);
    max_column_magnitudes(x, columns, maxima);
    expect_statistics(x, columns, sums, maxima);
  }
}

TEST_P(ColumnStatisticsTest, Bfloat16RowsAreReadAsTheirValues) {
  for (const auto [rows, columns] : kShapes) {
    auto x = random_values(rows * columns, 1, 4.0f);
    std::vector<std::uint16_t> halves(x.size());
    to_bfloat16(x, halves);
    to_float(halves, x);
    std::vector<double> sums(columns, 2.0);
    std::vector<float> maxima(columns, 0.5f);
    add_column_squares(halves, columns, sums);
    max_column_magnitudes(halves, columns, maxima);
    expect_statistics(x, columns, sums, maxima);
  }
}

TEST_P(ColumnStatisticsTest, RowsGivenInPartsOfTheFloatBlockMakeTheSameBits) {
  constexpr std::size_t kColumns = 77;
  const auto x = random_values(384 * kColumns, 1);
  std::vector<double> whole(kColumns);
  std::vector<double> parts(kColumns);
  add_column_squares(x, kColumns, whole);
  for (std::size_t row = 0; row < 384; row += 128)
    add_column_squares(std::span(x).subspan(row * kColumns, 128 * kColumns), kColumns, parts);
  EXPECT_EQ(whole, parts);
}

TEST_P(ColumnStatisticsTest, NanAndInfinityShow) {
  constexpr std::size_t kColumns = 40;
  for (const std::size_t row : {0u, 7u, 8u, 10u}) {
    auto x = random_values(11 * kColumns, 1);
    x[row * kColumns + 3] = std::numeric_limits<float>::quiet_NaN();
    x[row * kColumns + 38] = -std::numeric_limits<float>::infinity();
    std::vector<double> sums(kColumns);
    std::vector<float> maxima(kColumns);
    add_column_squares(x, kColumns, sums);
    max_column_magnitudes(x, kColumns, maxima);
    EXPECT_TRUE(std::isnan(sums[3]) && std::isnan(maxima[3]));
    EXPECT_TRUE(std::isinf(sums[38]) && std::isinf(maxima[38]));
    EXPECT_TRUE(std::isfinite(sums[4]) && maxima[4] <= 1.0f);
  }
}

TEST_P(ColumnStatisticsTest, WeightedSquaresAndProductsEqualAPlainLoop) {
  for (const auto [rows, columns] : kShapes) {
    const auto x = random_values(rows * columns, 1, 4.0f);
    const auto y = random_values(rows * columns, 2);
    auto row_weights = random_values(rows, 3);
    for (float& weight : row_weights) weight = std::fabs(weight);
    std::vector<double> squares(columns, 2.0);
    std::vector<double> products(columns, 2.0);
    add_weighted_column_squares(x, row_weights, squares);
    add_column_product_magnitudes(x, y, products);
    for (std::size_t c = 0; c < columns; ++c) {
      double square_sum = 2.0;
      double product_sum = 2.0;
      for (std::size_t row = 0; row < rows; ++row) {
        const std::size_t i = row * columns + c;
        square_sum += double{row_weights[row]} * x[i] * x[i];
        product_sum += std::fabs(double{x[i]} * y[i]);
      }
      EXPECT_NEAR(squares[c], square_sum, 7.6e-6 * square_sum);
      EXPECT_NEAR(products[c], product_sum, 7.6e-6 * product_sum);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, ColumnStatisticsTest, all_targets(), target_name);

}  // namespace
}  // namespace tessera::kernels
