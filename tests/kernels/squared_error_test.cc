#include "foundation/kernels/squared_error.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/kernel_testing.h"

namespace tessera::kernels {
namespace {

class SquaredErrorTest : public EveryTarget {};

TEST_P(SquaredErrorTest, SumsEqualThoseOfAPlainLoop) {
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

TEST_P(SquaredErrorTest, FirstNanOrInfinityIsFoundWhereverItIs) {
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

INSTANTIATE_TEST_SUITE_P(Targets, SquaredErrorTest, all_targets(), target_name);

}  // namespace
}  // namespace tessera::kernels
