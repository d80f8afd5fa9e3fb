#include "foundation/kernels/bfloat16.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "foundation/tensor/float16.h"
#include "kernels/kernel_testing.h"

namespace tessera::kernels {
namespace {

class Bfloat16Test : public EveryTarget {};

/// Every upper half with lower halves on all sides of the rounding boundary: subnormals, infinities and NaN
/// of both signs are among them.
std::vector<float> all_kinds_of_values() {
  std::vector<float> values;
  for (std::uint32_t upper = 0; upper < 0x10000u; ++upper) {
    for (const std::uint32_t lower : {0u, 1u, 0x7FFFu, 0x8000u, 0x8001u, 0xFFFFu})
      values.push_back(std::bit_cast<float>((upper << 16) | lower));
  }
  return values;
}

TEST_P(Bfloat16Test, RoundingEqualsTheScalarConversionBitForBit) {
  const auto values = all_kinds_of_values();
  std::vector<std::uint16_t> result(values.size());
  to_bfloat16(values, result);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < values.size(); ++i)
    wrong += result[i] != bfloat16_from_float(values[i]) ? 1 : 0;
  EXPECT_EQ(wrong, 0u);
}

TEST_P(Bfloat16Test, NanStaysNanAndOverflowIsInfinity) {
  const float bare_nan = std::bit_cast<float>(0x7F800001u);  // truncating it would make infinity
  std::vector<float> values(40, bare_nan);
  values[3] = std::numeric_limits<float>::max();
  std::vector<std::uint16_t> halves(values.size());
  std::vector<float> back(values.size());
  to_bfloat16(values, halves);
  to_float(halves, back);
  for (std::size_t i = 0; i < back.size(); ++i)
    EXPECT_TRUE(i == 3 ? std::isinf(back[i]) : std::isnan(back[i]));
}

TEST_P(Bfloat16Test, EveryBfloat16ComesBack) {
  std::vector<std::uint16_t> halves(0x10000u - 5);  // not whole vectors
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i);
  std::vector<float> values(halves.size());
  to_float(halves, values);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < halves.size(); ++i)
    wrong += std::bit_cast<std::uint32_t>(values[i]) != std::uint32_t{halves[i]} << 16 ? 1 : 0;
  EXPECT_EQ(wrong, 0u);
}

TEST_P(Bfloat16Test, NothingBeyondTheRowIsWritten) {
  for (const std::size_t count : kRowSizes) {
    const auto values = random_values(count, 1);
    std::vector<std::uint16_t> halves(count + 1, 0xABCD);
    std::vector<float> back(count + 1, -7.0f);
    to_bfloat16(values, std::span(halves).first(count));
    to_float(std::span(halves).first(count), std::span(back).first(count));
    EXPECT_EQ(halves[count], 0xABCD);
    EXPECT_EQ(back[count], -7.0f);
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, Bfloat16Test, all_targets(), target_name);

}  // namespace
}  // namespace tessera::kernels
