// Quantization of rows and the scaling of sums against scalar twins, bit for bit, on every SIMD target.
#include "foundation/kernels/int8_codes.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/kernel_testing.h"

namespace tessera::kernels {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

float scalar_scale(std::span<const float> x) {
  float largest = 0;
  for (const float value : x) largest = std::max(largest, std::abs(value));
  return largest / 127.0f;
}

std::int8_t scalar_code(float x, float scale) {
  return static_cast<std::int8_t>(std::nearbyint(std::clamp(x / scale, -128.0f, 127.0f)));
}

class Int8CodesTest : public EveryTarget {};

TEST_P(Int8CodesTest, CodesAndScalesEqualTheirScalarTwins) {
  for (const std::size_t size : kRowSizes) {
    const auto x = random_values(size, static_cast<unsigned>(size), 3.0f);
    const float scale = symmetric_scale(x);
    EXPECT_EQ(scale, scalar_scale(x));
    for (const float each : {scale, 0.01f, 1e-30f}) {  // the last two clamp
      std::vector<std::int8_t> codes(size);
      quantize_row(x, each, codes);
      for (std::size_t i = 0; i < size; ++i) ASSERT_EQ(codes[i], scalar_code(x[i], each)) << size << " " << i;
    }
  }
}

TEST_P(Int8CodesTest, HalvesGoToTheEvenCodeAndTheLargestValueTo127) {
  const std::vector<float> x = {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 127.0f, -127.0f, 200.0f, -200.0f};
  std::vector<std::int8_t> codes(x.size());
  quantize_row(x, 1.0f, codes);
  EXPECT_EQ(codes, (std::vector<std::int8_t>{0, 2, 2, 0, -2, -2, 127, -127, 127, -128}));
  const std::vector<float> largest = {-0.3f, 0.1f};
  quantize_row(largest, symmetric_scale(largest), std::span(codes).first(2));
  EXPECT_EQ(codes[0], -127);
}

TEST_P(Int8CodesTest, ARowOfZerosAndASubnormalRowHaveCodesWithoutDividingByZero) {
  const std::vector<float> zeros(77, 0.0f);
  std::vector<std::int8_t> codes(zeros.size(), 5);
  EXPECT_EQ(symmetric_scale(zeros), 0.0f);
  quantize_row(zeros, 0.0f, codes);
  EXPECT_EQ(codes, std::vector<std::int8_t>(zeros.size(), 0));
  const std::vector<float> tiny(77, std::numeric_limits<float>::denorm_min());
  EXPECT_EQ(symmetric_scale(tiny), 0.0f);
}

TEST_P(Int8CodesTest, NaNAndInfinityShowInTheScaleWhereverTheyStand) {
  for (const std::size_t size : kRowSizes) {
    for (const std::size_t place : {std::size_t{0}, size / 2, size - 1}) {
      auto x = random_values(size, 1);
      x[place] = kInfinity;
      EXPECT_EQ(symmetric_scale(x), kInfinity);
      x[place] = -kNaN;
      EXPECT_TRUE(std::isnan(symmetric_scale(x)));
      std::vector<std::int8_t> codes(size, 1);
      quantize_row(x, symmetric_scale(x), codes);
      EXPECT_EQ(codes, std::vector<std::int8_t>(size, 0));
    }
  }
}

TEST_P(Int8CodesTest, ScaledSumsEqualTheirScalarTwin) {
  for (const std::size_t size : kRowSizes) {
    const auto scales = random_values(size, 1);
    const auto before = random_values(size, 2, 1000.0f);
    std::vector<std::int32_t> sums;
    for (const float value : random_values(size, 3, 2.0e9f)) sums.push_back(static_cast<std::int32_t>(value));
    std::vector<float> plain(size);
    auto added = before;
    scale_sums(sums, 0.037f, scales, false, plain);
    scale_sums(sums, 0.037f, scales, true, added);
    for (std::size_t i = 0; i < size; ++i) {
      const float expected = static_cast<float>(sums[i]) * 0.037f * scales[i];
      ASSERT_EQ(plain[i], expected);
      ASSERT_EQ(added[i], before[i] + expected);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, Int8CodesTest, all_targets(), target_name);

}  // namespace
}  // namespace tessera::kernels
