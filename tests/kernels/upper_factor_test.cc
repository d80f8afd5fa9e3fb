#include "foundation/kernels/upper_factor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace tessera::kernels {
namespace {

/// X X^T of random X, plus a diagonal.
std::vector<float> positive_definite(std::size_t size) {
  std::mt19937 generator(static_cast<unsigned>(size));
  std::normal_distribution<float> normal;
  std::vector<float> x(size * size), matrix(size * size);
  for (float& value : x) value = normal(generator);
  for (std::size_t i = 0; i < size; ++i) {
    for (std::size_t j = 0; j < size; ++j) {
      double sum = i == j ? 0.5 : 0;
      for (std::size_t k = 0; k < size; ++k)
        sum += double{x[i * size + k]} * x[j * size + k] / static_cast<double>(size);
      matrix[i * size + j] = static_cast<float>(sum);
    }
  }
  return matrix;
}

/// R_jk, from the panels.
float element(const UpperFactor& factor, std::size_t j, std::size_t k) {
  const std::size_t panel = k / UpperFactor::kPanelColumns, first = panel * UpperFactor::kPanelColumns;
  if (j >= first) return factor.within(panel)[(k - first) * factor.panel_columns(panel) + j - first];
  std::vector<float> row(first);
  factor.before(panel).load(k - first, row);
  return row[j];
}

class UpperFactorOfSize : public ::testing::TestWithParam<std::size_t> {};

TEST_P(UpperFactorOfSize, TimesItsTransposeIsTheMatrix) {
  const std::size_t size = GetParam();
  const auto matrix = positive_definite(size);
  const auto factor = UpperFactor::of(matrix, size);
  ASSERT_TRUE(factor);
  std::vector<double> upper(size * size);
  for (std::size_t j = 0; j < size; ++j) {
    for (std::size_t k = j; k < size; ++k) upper[j * size + k] = element(*factor, j, k);
  }
  for (std::size_t i = 0; i < size; i += 7) {
    for (std::size_t j = 0; j < size; ++j) {
      double sum = 0;
      for (std::size_t k = std::max(i, j); k < size; ++k) sum += upper[i * size + k] * upper[j * size + k];
      ASSERT_NEAR(sum, matrix[i * size + j], 1e-4) << i << " " << j;
    }
  }
}

TEST_P(UpperFactorOfSize, KeepsZerosBelowItsDiagonal) {
  const auto factor = UpperFactor::of(positive_definite(GetParam()), GetParam());
  ASSERT_TRUE(factor);
  const std::size_t width = factor->panel_columns(0);
  for (std::size_t k = 0; k < width; ++k) {
    for (std::size_t j = k + 1; j < width; ++j) ASSERT_EQ(factor->within(0)[k * width + j], 0.0f);
  }
}

TEST_P(UpperFactorOfSize, SolvesRows) {
  const std::size_t size = GetParam();
  const auto matrix = positive_definite(size);
  const auto factor = UpperFactor::of(matrix, size);
  ASSERT_TRUE(factor);
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  std::vector<float> rows(size * UpperFactor::kRows);
  for (float& value : rows) value = normal(generator);
  auto solved = rows;
  MatrixProducts products;
  factor->solve(solved, products);
  for (std::size_t row = 0; row < UpperFactor::kRows; row += 37) {
    for (std::size_t c = 0; c < size; ++c) {
      double sum = 0;
      for (std::size_t k = 0; k < size; ++k) {
        sum += double{solved[k * UpperFactor::kRows + row]} * matrix[k * size + c];
      }
      ASSERT_NEAR(sum, rows[c * UpperFactor::kRows + row], 2e-3) << row << " " << c;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, UpperFactorOfSize, ::testing::Values(1, 32, 256, 300, 576),
                         ::testing::PrintToStringParamName());

TEST(UpperFactor, IsTheSameBitsForAnyNumberOfThreads) {
  const std::size_t size = 800;
  const auto matrix = positive_definite(size);
  const auto one = UpperFactor::of(matrix, size, 1), three = UpperFactor::of(matrix, size, 3);
  ASSERT_TRUE(one && three);
  for (std::size_t k = 0; k < size; ++k) {
    for (std::size_t j = 0; j <= k; j += 7)
      ASSERT_EQ(element(*one, j, k), element(*three, j, k)) << j << " " << k;
  }
}

TEST(UpperFactor, OfAMatrixThatIsNotPositiveDefiniteIsEmpty) {
  EXPECT_FALSE(UpperFactor::of(std::vector<float>{1, 2, 2, 1}, 2));
  EXPECT_FALSE(UpperFactor::of(std::vector<float>{0, 0, 0, 0}, 2));
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(UpperFactor::of(std::vector<float>{1, 0, 0, kNan}, 2));
  EXPECT_FALSE(UpperFactor::of(std::vector<float>{1, kNan, kNan, 1}, 2));
}

}  // namespace
}  // namespace tessera::kernels
