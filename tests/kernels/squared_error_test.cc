#include "foundation/kernels/squared_error.h"

#include <gtest/gtest.h>

#include <hwy/targets.h>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace tessera::kernels {
namespace {

std::vector<float> random_values(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::vector<float> values(count);
  for (float& value : values) value = uniform(generator);
  return values;
}

/// Runs the test on each SIMD target that this machine offers, the emulated scalar one included.
class EveryTarget : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }
};

std::vector<int64_t> targets() { return hwy::SupportedAndGeneratedTargets(); }

TEST_P(EveryTarget, SumsEqualThoseOfAPlainLoop) {
  constexpr std::size_t kRows = 5;
  constexpr std::size_t kColumns = 77;  // whole vectors and a tail
  const auto x = random_values(kRows * kColumns, 1);
  const auto y = random_values(kRows * kColumns, 2);
  auto w = random_values(kColumns, 3);
  for (float& value : w) value = std::fabs(value);
  ErrorSums expected;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double squared_error = (double{x[i]} - y[i]) * (double{x[i]} - y[i]);
    expected += {squared_error, double{x[i]} * x[i], w[i % kColumns] * squared_error,
                 double{w[i % kColumns]} * x[i] * x[i]};
  }
  const auto sums = sum_squared_error(x, y, kColumns, w);
  EXPECT_NEAR(sums.error, expected.error, 1e-5 * expected.error);
  EXPECT_NEAR(sums.energy, expected.energy, 1e-5 * expected.energy);
  EXPECT_NEAR(sums.weighted_error, expected.weighted_error, 1e-5 * expected.weighted_error);
  EXPECT_NEAR(sums.weighted_energy, expected.weighted_energy, 1e-5 * expected.weighted_energy);
  const auto plain = sum_squared_error(x, y, kColumns, {});
  EXPECT_NEAR(plain.error, expected.error, 1e-5 * expected.error);
  EXPECT_NEAR(plain.energy, expected.energy, 1e-5 * expected.energy);
  EXPECT_EQ(plain.weighted_error, 0);
}

TEST_P(EveryTarget, FirstNanOrInfinityIsFoundWhereverItIs) {
  for (std::size_t count : {1u, 15u, 64u, 77u}) {
    auto values = random_values(count, 4);
    EXPECT_EQ(find_non_finite(values), std::nullopt);
    for (std::size_t place = 0; place < count; ++place) {
      auto bad = values;
      bad[place] =
          place % 2 == 0 ? std::numeric_limits<float>::quiet_NaN() : -std::numeric_limits<float>::infinity();
      EXPECT_EQ(find_non_finite(bad), place);
    }
  }
  EXPECT_EQ(find_non_finite({}), std::nullopt);
}

INSTANTIATE_TEST_SUITE_P(Targets, EveryTarget, testing::ValuesIn(targets()),
                         [](const auto& target) { return std::string(hwy::TargetName(target.param)); });

}  // namespace
}  // namespace tessera::kernels
