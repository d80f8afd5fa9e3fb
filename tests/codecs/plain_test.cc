#include <gtest/gtest.h>

#include "foundation/tensor/float16.h"

namespace tessera {
namespace {

TEST(Float16, EveryFiniteHalfSurvivesTheRoundTripThroughFloat) {
  for (std::uint32_t half = 0; half < 0x10000u; ++half) {
    if ((half & 0x7C00u) == 0x7C00u) continue;
    EXPECT_EQ(half_from_float(float_from_half(static_cast<std::uint16_t>(half))), half);
  }
}

}  // namespace
}  // namespace tessera
