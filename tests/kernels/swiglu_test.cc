#include "foundation/kernels/swiglu.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "kernels/kernel_testing.h"

namespace tessera::kernels {
namespace {

class SwigluTest : public EveryTarget {};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

TEST_P(SwigluTest, EqualsItsScalarTwin) {
  for (const std::size_t count : kRowSizes) {
    const auto gate = random_values(count, 1, 20.0f);
    const auto up = random_values(count, 2);
    std::vector<float> result(count + 1, -7.0f);
    swiglu(gate, up, std::span(result).first(count));
    for (std::size_t i = 0; i < count; ++i) {
      const double expected = gate[i] * sigmoid(gate[i]) * up[i];
      EXPECT_NEAR(result[i], expected, 5e-7 * std::fabs(expected)) << gate[i];
    }
    EXPECT_EQ(result[count], -7.0f);
  }
}

TEST_P(SwigluTest, ExtremeGatesSaturateAndNanIsNotHidden) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> gate = {1e6f, 100.0f, 88.5f, -100.0f, -1e6f, 0.0f, kNan};
  const std::vector<float> ones(gate.size(), 1.0f);
  std::vector<float> result(gate.size());
  swiglu(gate, ones, result);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(result[i], gate[i]);
  for (std::size_t i = 3; i < 6; ++i) EXPECT_NEAR(result[i], 0.0f, 1e-30);
  EXPECT_TRUE(std::isnan(result[6]));
}

TEST_P(SwigluTest, BackwardIsTheGradientAlsoInPlace) {
  const std::size_t count = 77;
  auto gate = random_values(count, 1, 8.0f);
  auto up = random_values(count, 2);
  const auto dresult = random_values(count, 3);
  std::vector<float> dgate(count);
  std::vector<float> dup(count);
  swiglu_backward(gate, up, dresult, dgate, dup);
  for (std::size_t i = 0; i < count; ++i) {
    const double s = sigmoid(gate[i]);
    EXPECT_NEAR(dgate[i], dresult[i] * up[i] * s * (1 + gate[i] * (1 - s)), 1e-6);
    EXPECT_NEAR(dup[i], dresult[i] * gate[i] * s, 1e-6);
  }
  swiglu_backward(gate, up, dresult, gate, up);
  EXPECT_EQ(gate, dgate);
  EXPECT_EQ(up, dup);
}

INSTANTIATE_TEST_SUITE_P(Targets, SwigluTest, all_targets(), target_name);

}  // namespace
}  // namespace tessera::kernels
