#include "foundation/kernels/int8_products.h"

#include <cmath>
#include <limits>

#include "foundation/kernels/int8_codes.h"
#include "kernels/kernel_testing.h"

namespace tessera::kernels {
namespace {

Int8Matrix random_weight(std::size_t outputs, std::size_t inputs, std::optional<float> input_scale = {}) {
  Int8Matrix weight(random_values(outputs, 1), inputs, input_scale);
  std::vector<std::int8_t> codes;
  for (const float value : random_values(outputs * inputs, 2, 127.0f))
    codes.push_back(static_cast<std::int8_t>(value));
  weight.store(0, codes);
  return weight;
}

Matrix random_input(Precision precision, std::size_t rows, std::size_t columns) {
  Matrix matrix(precision, rows, columns);
  matrix.store(0, random_values(rows * columns, 3, 2.0f));
  return matrix;
}

std::vector<float> scalar_product(const InputRows& rows, const Int8Matrix& weight,
                                  const std::vector<float>& before) {
  const std::size_t columns = weight.columns();
  std::vector<float> x(columns);
  std::vector<std::int8_t> codes(columns);
  std::vector<float> result = before;
  for (std::size_t row = 0; row < rows.count; ++row) {
    rows.matrix.load(rows.first + row, x);
    const float scale = weight.input_scale().value_or(symmetric_scale(x));
    quantize_row(x, scale, codes);
    for (std::size_t output = 0; output < weight.rows(); ++output) {
      std::int32_t sum = 0;
      for (std::size_t i = 0; i < columns; ++i) sum += codes[i] * weight.row(output)[i];
      result[row * weight.rows() + output] += static_cast<float>(sum) * scale * weight.scales()[output];
    }
  }
  return result;
}

TEST(Int8Products, EqualTheirScalarTwinBitForBitWithDynamicAndStaticScales) {
  for (const Precision precision : available_precisions()) {
    for (const std::optional<float> input_scale : {std::optional<float>(), std::optional(0.01f)}) {
      for (const std::size_t outputs : {1u, 255u, 300u}) {
        const auto weight = random_weight(outputs, 96, input_scale);
        for (const std::size_t count : {1u, 5u, 16u, 64u, 65u, 100u}) {
          const auto input = random_input(precision, count + 3, 96);
          const InputRows rows{input, 2, count};
          Int8Products products(2);
          std::vector<float> result(count * outputs, 7.0f);
          products.multiply(rows, weight, false, result);
          ASSERT_EQ(result, scalar_product(rows, weight, std::vector<float>(result.size())));
          const auto before = result;
          products.multiply(rows, weight, true, result);
          ASSERT_EQ(result, scalar_product(rows, weight, before));
        }
      }
    }
  }
}

TEST(Int8Products, ARowHasTheSameBitsAloneAmongOthersAndForAnyNumberOfThreads) {
  constexpr std::size_t kOutputs = 2000;  // enough for several threads to take part
  constexpr std::size_t kCount = 100;
  const auto weight = random_weight(kOutputs, 352);
  const auto input = random_input(Precision::f32, kCount, 352);
  std::vector<float> together(kCount * kOutputs);
  Int8Products(3).multiply({input, 0, kCount}, weight, false, together);
  Int8Products one_thread(1);
  for (std::size_t row = 0; row < kCount; row += 11) {
    std::vector<float> alone(kOutputs);
    one_thread.multiply({input, row, 1}, weight, false, alone);
    for (std::size_t i = 0; i < kOutputs; ++i) ASSERT_EQ(alone[i], together[row * kOutputs + i]) << row;
  }
}

TEST(Int8Products, AZeroRowGivesZerosAndANaNShowsInItsRowAlone) {
  for (const std::optional<float> input_scale : {std::optional<float>(), std::optional(0.01f)}) {
    const auto weight = random_weight(40, 64, input_scale);
    Matrix input = random_input(Precision::f32, 3, 64);
    input.store(0, std::vector<float>(64));
    const float nan = std::numeric_limits<float>::quiet_NaN();
    input.store(1, 17, std::span(&nan, 1));
    std::vector<float> result(std::size_t{3} * 40);
    Int8Products(1).multiply({input, 0, 3}, weight, false, result);
    for (std::size_t i = 0; i < 40; ++i) {
      EXPECT_EQ(result[i], 0.0f);
      EXPECT_TRUE(std::isnan(result[40 + i]));
      EXPECT_TRUE(std::isfinite(result[80 + i]));
    }
  }
}

}  // namespace
}  // namespace tessera::kernels
