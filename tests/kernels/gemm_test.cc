// Matrix products against sums in float64, in every layout and both precisions.
#include "foundation/kernels/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace tessera::kernels {
namespace {

std::vector<float> random_values(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

/// `values` as a matrix holds them: [rows, columns], or stored the other way round.
Matrix stored(std::vector<float>& values, std::size_t rows, std::size_t columns, bool transposed,
              Precision precision) {
  Matrix matrix(precision, transposed ? columns : rows, transposed ? rows : columns);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; ++c) {
      float& value = values[r * columns + c];
      const auto [row, column] = transposed ? std::pair(c, r) : std::pair(r, c);
      matrix.store(row, column, std::span(&value, 1));
      load_elements(precision, matrix.row(row) + column * element_bytes(precision), std::span(&value, 1));
    }
  }
  return matrix;
}

void expect_exact_product(const ProductShape& shape) {
  auto a = random_values(shape.m * shape.k, 1);
  auto b = random_values(shape.k * shape.n, 2);
  const Matrix stored_a = stored(a, shape.m, shape.k, shape.a_transposed, shape.precision);
  const Matrix stored_b = stored(b, shape.k, shape.n, shape.b_transposed, shape.precision);
  const auto before = random_values(shape.m * shape.n, 3);
  auto c = before;
  MatrixProducts products;
  products.multiply(shape, stored_a.data(), stored_b.data(), c.data());
  for (std::size_t i = 0; i < shape.m; ++i) {
    for (std::size_t j = 0; j < shape.n; ++j) {
      double expected = shape.accumulate ? before[i * shape.n + j] : 0;
      double magnitude = std::abs(expected);
      for (std::size_t k = 0; k < shape.k; ++k) {
        const double term = double{a[i * shape.k + k]} * double{b[k * shape.n + j]};
        expected += term;
        magnitude += std::abs(term);
      }
      ASSERT_NEAR(c[i * shape.n + j], expected, 1e-6 * magnitude + 1e-30)
          << "row " << i << ", column " << j << " of " << shape.m << "x" << shape.n << "x" << shape.k;
    }
  }
}

TEST(MatrixProduct, EqualsTheSumOfProductsInEveryLayoutAndPrecision) {
  for (const auto precision : available_precisions()) {
    for (const bool a_transposed : {false, true}) {
      for (const bool b_transposed : {false, true}) {
        for (const bool accumulate : {false, true}) {
          for (const auto& [m, n, k] : {std::tuple<std::size_t, std::size_t, std::size_t>{1, 1, 1},
                                        {3, 5, 7},
                                        {17, 64, 96},
                                        {64, 33, 130},
                                        {1, 200, 64}}) {
            expect_exact_product({m, n, k, precision, a_transposed, b_transposed, accumulate});
          }
        }
      }
    }
  }
}

TEST(MatrixProduct, GivesTheSameBitsEveryTime) {
  for (const auto precision : available_precisions()) {
    auto a = random_values(std::size_t{40} * 96, 1);
    auto b = random_values(std::size_t{96} * 48, 2);
    const Matrix stored_a = stored(a, 40, 96, false, precision);
    const Matrix stored_b = stored(b, 96, 48, true, precision);
    std::vector<float> whole(std::size_t{40} * 48);
    MatrixProducts products;
    products.multiply({.m = 40, .n = 48, .k = 96, .precision = precision, .b_transposed = true},
                      stored_a.data(), stored_b.data(), whole.data());
    auto again = whole;
    products.multiply({.m = 40, .n = 48, .k = 96, .precision = precision, .b_transposed = true},
                      stored_a.data(), stored_b.data(), again.data());
    EXPECT_EQ(again, whole);
  }
}

TEST(Matrix, ReturnsWhatWasStoredRoundedToItsPrecision) {
  const std::vector<float> values = {1.0f, -2.5f, 1.00390625f, 3.0e38f};
  std::vector<float> loaded(4);
  Matrix exact(Precision::f32, 2, 4);
  exact.store(1, values);
  exact.load(1, loaded);
  EXPECT_EQ(loaded, values);
  Matrix rounded(Precision::bf16, 2, 4);
  rounded.store(1, values);
  rounded.load(1, loaded);
  EXPECT_EQ(loaded[0], 1.0f);
  EXPECT_EQ(loaded[2], 1.0f);  // halfway between 1 and the next bfloat16: to even
  rounded.load(0, loaded);
  EXPECT_EQ(loaded, std::vector<float>(4, 0.0f));
}

}  // namespace
}  // namespace tessera::kernels
