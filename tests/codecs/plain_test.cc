#include "foundation/codecs/plain.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <random>

#include "codecs/codec_testing.h"
#include "foundation/tensor/float16.h"

namespace tessera::codecs {
namespace {

TEST(Float16, EveryFiniteHalfSurvivesTheRoundTripThroughFloat) {
  for (std::uint32_t half = 0; half < 0x10000u; ++half) {
    if ((half & 0x7C00u) == 0x7C00u) continue;
    EXPECT_EQ(half_from_float(float_from_half(static_cast<std::uint16_t>(half))), half);
  }
}

/// Floats at, just below and just above every half and every tie between two halves, infinities, NaNs and
/// random bits; an odd number, so that SIMD loops leave a tail.
std::vector<float> awkward_floats() {
  std::vector<float> values;
  for (std::uint32_t half = 0; half < 0x10000u; ++half) {
    const auto bits = std::bit_cast<std::uint32_t>(float_from_half(static_cast<std::uint16_t>(half)));
    for (const std::uint32_t offset :
         {0u, 1u, 0xFFFu, 0x1000u, 0x1001u, 0x7FFFu, 0x8000u, 0x8001u, 0xFFFFFFFFu}) {
      values.push_back(std::bit_cast<float>(bits + offset));
    }
  }
  std::mt19937 random(4);
  for (int i = 0; i < 10001; ++i)
    values.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(random())));
  values.resize(values.size() | 1, 0.0f);
  return values;
}

void expect_encodes_like(std::uint16_t (*convert)(float), const Codec& codec) {
  const auto values = awkward_floats();
  for (const std::int64_t target : runnable_targets()) {
    const ForcedTarget forced(target);
    std::vector<std::byte> encoded(2 * values.size());
    codec.encode({values, values.size(), {}}, encoded);
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::uint16_t found;
      std::memcpy(&found, encoded.data() + 2 * i, 2);
      ASSERT_EQ(found, convert(values[i])) << hwy::TargetName(target) << ": " << std::hexfloat << values[i];
    }
  }
}

TEST(Plain, F16EncodesAsItsScalarTwinOnEverySimdPath) {
  expect_encodes_like(half_from_float, codec_for(ElementType::F16));
}

TEST(Plain, Bf16EncodesAsItsScalarTwinOnEverySimdPath) {
  expect_encodes_like(bfloat16_from_float, codec_for(ElementType::BF16));
}

}  // namespace
}  // namespace tessera::codecs
