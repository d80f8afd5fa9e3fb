#include "foundation/kernels/tiled_products.h"

#include <gtest/gtest.h>

#include "kernels/kernel_testing.h"

namespace tessera::kernels {
namespace {

Matrix random_matrix(Precision precision, std::size_t rows, std::size_t columns, unsigned seed) {
  Matrix matrix(precision, rows, columns);
  matrix.store(0, random_values(rows * columns, seed));
  return matrix;
}

std::vector<double> scalar_product(const InputRows& rows, const Matrix& weight) {
  const std::size_t columns = weight.columns();
  std::vector<float> x(columns);
  std::vector<float> w(columns);
  std::vector<double> result;
  for (std::size_t row = 0; row < rows.count; ++row) {
    rows.matrix.load(rows.first + row, x);
    for (std::size_t output = 0; output < weight.rows(); ++output) {
      weight.load(output, w);
      double sum = 0;
      for (std::size_t i = 0; i < columns; ++i) sum += double{x[i]} * double{w[i]};
      result.push_back(sum);
    }
  }
  return result;
}

class TiledProductsTest : public testing::TestWithParam<Precision> {};

TEST_P(TiledProductsTest, EqualsItsScalarTwinForWholeAndBrokenTilesAndSlices) {
  for (const std::size_t outputs : {1u, 255u, 256u, 300u, 600u}) {
    const auto weight = random_matrix(GetParam(), outputs, 96, 1);
    for (const std::size_t count : {1u, 5u, 16u, 17u, 40u}) {
      const auto input = random_matrix(GetParam(), count + 3, 96, 2);
      const InputRows rows{input, 2, count};
      TiledProducts products(2);
      std::vector<float> result(count * outputs);
      products.multiply(rows, weight, false, result);
      const auto expected = scalar_product(rows, weight);
      for (std::size_t i = 0; i < result.size(); ++i) ASSERT_NEAR(result[i], expected[i], 1e-4);
      products.multiply(rows, weight, true, result);
      for (std::size_t i = 0; i < result.size(); ++i) ASSERT_NEAR(result[i], 2 * expected[i], 2e-4);
    }
  }
}

TEST_P(TiledProductsTest, ARowHasTheSameBitsAloneAmongOthersAndForAnyNumberOfThreads) {
  constexpr std::size_t kOutputs = 2000;  // enough for several threads to take part
  constexpr std::size_t kCount = 40;
  const auto weight = random_matrix(GetParam(), kOutputs, 352, 3);
  const auto input = random_matrix(GetParam(), kCount, 352, 4);
  std::vector<float> together(kCount * kOutputs);
  TiledProducts(3).multiply({input, 0, kCount}, weight, false, together);
  TiledProducts one_thread(1);
  for (std::size_t row = 0; row < kCount; ++row) {
    std::vector<float> alone(kOutputs);
    one_thread.multiply({input, row, 1}, weight, false, alone);
    for (std::size_t i = 0; i < kOutputs; ++i) ASSERT_EQ(alone[i], together[row * kOutputs + i]) << row;
  }
}

INSTANTIATE_TEST_SUITE_P(Float32, TiledProductsTest, testing::Values(Precision::f32));
INSTANTIATE_TEST_SUITE_P(Fastest, TiledProductsTest, testing::Values(fastest_precision()));

}  // namespace
}  // namespace tessera::kernels
