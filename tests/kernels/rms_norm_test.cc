#include "foundation/kernels/rms_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <span>
#include <vector>

#include "kernels/kernel_testing.h"

namespace tessera::kernels {
namespace {

class RmsNormTest : public EveryTarget {};

using Row = std::vector<double>;

Row scalar_rms_norm(std::span<const double> x, std::span<const float> weight, double epsilon) {
  double energy = 0;
  for (const double value : x) energy += value * value;
  const double scale = 1 / std::sqrt(energy / static_cast<double>(x.size()) + epsilon);
  Row y;
  for (std::size_t i = 0; i < x.size(); ++i) y.push_back(x[i] * scale * weight[i]);
  return y;
}

Row as_double(std::span<const float> values) { return {values.begin(), values.end()}; }

TEST_P(RmsNormTest, EqualsItsScalarTwin) {
  constexpr float kEpsilon = 1e-5f;
  for (const std::size_t count : kRowSizes) {
    const auto x = random_values(count, 1, 3.0f);
    const auto weight = random_values(count, 2);
    const auto expected = scalar_rms_norm(as_double(x), weight, kEpsilon);
    std::vector<float> y(count + 1, -7.0f);
    rms_norm(x, weight, kEpsilon, std::span(y).first(count));
    for (std::size_t i = 0; i < count; ++i) EXPECT_NEAR(y[i], expected[i], 1e-6 * std::fabs(expected[i]));
    EXPECT_EQ(y[count], -7.0f);
  }
}

TEST_P(RmsNormTest, MayWorkInPlaceAndNeedsNoEnergy) {
  auto x = random_values(77, 1);
  const auto weight = random_values(77, 2);
  std::vector<float> y(77);
  rms_norm(x, weight, 1e-6f, y);
  rms_norm(x, weight, 1e-6f, x);
  EXPECT_EQ(x, y);
  std::vector<float> zeros(77, 0.0f);
  rms_norm(zeros, weight, 1e-6f, zeros);
  EXPECT_EQ(zeros, std::vector<float>(77, 0.0f));
}

TEST_P(RmsNormTest, BackwardAddsTheGradient) {
  constexpr double kEpsilon = 1e-3;
  constexpr double kStep = 1e-6;
  const std::size_t count = 45;
  const auto x = random_values(count, 1, 2.0f);
  const auto weight = random_values(count, 2);
  const auto dy = random_values(count, 3);
  std::vector<float> dx(count, 5.0f);
  rms_norm_backward(x, weight, static_cast<float>(kEpsilon), dy, dx);
  for (std::size_t i = 0; i < count; ++i) {
    auto above = as_double(x);
    auto below = above;
    above[i] += kStep;
    below[i] -= kStep;
    const auto y_above = scalar_rms_norm(above, weight, kEpsilon);
    const auto y_below = scalar_rms_norm(below, weight, kEpsilon);
    double difference = 0;
    for (std::size_t j = 0; j < count; ++j) difference += dy[j] * (y_above[j] - y_below[j]);
    EXPECT_NEAR(dx[i] - 5.0, difference / (2 * kStep), 2e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, RmsNormTest, all_targets(), target_name);

}  // namespace
}  // namespace tessera::kernels
