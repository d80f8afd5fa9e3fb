// Quantiles from counts equal those of sorted values, to the upper 16 bits.
#include "foundation/kernels/score_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "tensor/memory_source.h"

namespace tessera::kernels {
namespace {

float cut(float value) { return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) & 0xFFFF0000u); }

TEST(ScoreHistogram, RanksAsSortingDoes) {
  auto values = testing::normal_weights(5000, 9);
  for (float& value : values) value = std::abs(value);
  values.insert(values.end(), {1e-30f, 3e38f, 1.0f, 1.0f});
  ScoreHistogram first, second;
  first.add(std::span(values).first(1700));
  second.add(std::span(values).subspan(1700));
  first += second;
  std::ranges::sort(values);
  ASSERT_EQ(first.total(), values.size());
  for (std::size_t rank = 0; rank < values.size(); ++rank)
    ASSERT_EQ(first.ranked(rank), cut(values[rank])) << rank;
}

TEST(ScoreHistogram, PassesOverZerosAlone) {
  const std::vector<float> values = {0, 1e-44f, 0, 2, 0};
  ScoreHistogram histogram;
  histogram.add(values);
  EXPECT_EQ(histogram.total(), 2u);
  EXPECT_EQ(histogram.ranked(0), 0);
  EXPECT_EQ(histogram.ranked(1), 2);
}

}  // namespace
}  // namespace tessera::kernels
