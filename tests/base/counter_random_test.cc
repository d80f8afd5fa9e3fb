#include "foundation/base/counter_random.h"

#include <gtest/gtest.h>

#include <array>
#include <set>

namespace tessera {
namespace {

// The first outputs of SplitMix64 from state 0, as its authors' program gives them: each output mixes a state
// that has grown by the same constant, which mix_bits adds itself.
TEST(CounterRandom, MixesAsSplitMix64Does) {
  constexpr std::uint64_t kStep = 0x9E3779B97F4A7C15u;
  EXPECT_EQ(mix_bits(0), 0xE220A8397B1DCDAFu);
  EXPECT_EQ(mix_bits(kStep), 0x6E789E6AA1B965F4u);
  EXPECT_EQ(mix_bits(2 * kStep), 0x06C45D188009454Fu);
}

TEST(CounterRandom, GivesTheSameNumberEverywhereAndAlways) {
  static_assert(uniform_at(1, 2, 3) == uniform_at(1, 2, 3));
  EXPECT_DOUBLE_EQ(uniform_at(0, 0, 0), 0.13870941014555427);
  EXPECT_DOUBLE_EQ(uniform_at(1, 2, 3), 0.814259011529328);
  EXPECT_DOUBLE_EQ(uniform_at(42, 7, 1000000), 0.9318201552843262);
}

TEST(CounterRandom, TellsSeedAndCoordinatesApart) {
  const std::set<double> numbers = {uniform_at(1, 2, 3), uniform_at(1, 3, 2), uniform_at(2, 1, 3),
                                    uniform_at(2, 3, 1), uniform_at(3, 1, 2), uniform_at(3, 2, 1)};
  EXPECT_EQ(numbers.size(), 6u);
}

TEST(CounterRandom, IsUniformFromZeroUpToButNotOne) {
  constexpr int kNumbers = 100'000;
  constexpr int kBins = 10;
  std::array<int, kBins> counts = {};
  for (std::uint64_t i = 0; i < kNumbers; ++i) {
    const double number = uniform_at(5, i, i % 3);
    ASSERT_GE(number, 0);
    ASSERT_LT(number, 1);
    ++counts[static_cast<std::size_t>(number * kBins)];
  }
  // Six standard deviations of a binomial count.
  for (const int count : counts) EXPECT_NEAR(count, kNumbers / kBins, 6 * 95);
}

}  // namespace
}  // namespace tessera
