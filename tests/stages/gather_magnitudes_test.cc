// Magnitudes of columns against all values sorted.
#include "stages/gather_magnitudes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "foundation/base/error.h"

namespace tessera::stages {
namespace {

using kernels::Matrix;
using kernels::Precision;

constexpr std::size_t kColumns = 300;
constexpr std::size_t kTokens = 500;
const std::vector<std::string> kReaders = {"blk.0.ffn_gate.weight", "blk.0.ffn_up.weight"};

/// [kTokens, kColumns], with a few large values.
std::vector<float> inputs() {
  std::mt19937 random(3);
  std::student_t_distribution<float> heavy_tailed(3);
  std::vector<float> x(kTokens * kColumns);
  for (float& value : x) value = heavy_tailed(random);
  return x;
}

/// Shows `x` in batches of so many rows.
InputMagnitudes gather(const std::vector<float>& x, std::size_t batch_rows, const MagnitudeSettings& settings,
                       Precision precision = Precision::f32) {
  MagnitudeGatherer gatherer(kColumns, kTokens, settings);
  for (std::size_t first = 0; first < kTokens; first += batch_rows) {
    const std::size_t count = std::min(batch_rows, kTokens - first);
    Matrix batch(precision, count + 1, kColumns);  // rows behind the valid ones
    batch.store(0, std::span(x).subspan(first * kColumns, count * kColumns));
    batch.store(count, std::vector<float>(kColumns, 1e9f));
    gatherer.add(batch, count);
  }
  return gatherer.take("model.gguf", kReaders);
}

std::vector<float> sorted_magnitudes(const std::vector<float>& x, std::size_t column) {
  std::vector<float> values;
  for (std::size_t t = 0; t < kTokens; ++t) values.push_back(std::abs(x[t * kColumns + column]));
  std::ranges::sort(values);
  return values;
}

TEST(GatheredMagnitudes, AreThePercentileOfAllTokensExactly) {
  const auto x = inputs();
  for (const double percentile : {100.0, 99.9, 99.0, 95.0}) {
    const auto maxima = gather(x, 64, {.percentile = percentile}).maxima;
    const auto rank = static_cast<std::size_t>(std::ceil(percentile / 100 * kTokens));
    for (std::size_t c = 0; c < kColumns; ++c)
      ASSERT_EQ(maxima[c], sorted_magnitudes(x, c)[rank - 1]) << percentile << " % of column " << c;
  }
}

TEST(GatheredMagnitudes, DependNeitherOnBatchesNorOnThreads) {
  const auto x = inputs();
  const auto expected = gather(x, kTokens, {.percentile = 99, .threads = 1});
  for (const std::size_t rows : {1, 7, 128}) {
    const auto other = gather(x, rows, {.percentile = 99, .threads = 3});
    EXPECT_EQ(other.maxima, expected.maxima);
    std::vector<float> row(kColumns), expected_row(kColumns);
    for (std::size_t r = 0; r < expected.rows.rows(); ++r) {
      other.rows.load(r, row);
      expected.rows.load(r, expected_row);
      ASSERT_EQ(row, expected_row);
    }
  }
}

TEST(GatheredMagnitudes, SampleRowsEvenlyFromTheFirstOn) {
  const auto x = inputs();
  const auto rows = gather(x, 33, {.sampled_rows = 100}).rows;
  ASSERT_EQ(rows.rows(), 100u);
  std::vector<float> row(kColumns);
  for (std::size_t r = 0; r < 100; ++r) {
    rows.load(r, row);
    ASSERT_TRUE(std::ranges::equal(row, std::span(x).subspan(r * 5 * kColumns, kColumns))) << r;
  }
  EXPECT_EQ(gather(x, 33, {.sampled_rows = 2 * kTokens}).rows.rows(), kTokens);
}

TEST(GatheredMagnitudes, ReadBothPrecisions) {
  const auto maxima = gather(inputs(), 100, {}, Precision::bf16).maxima;
  const auto exact = gather(inputs(), 100, {}).maxima;
  for (std::size_t c = 0; c < kColumns; ++c) EXPECT_NEAR(maxima[c], exact[c], exact[c] / 256);
}

TEST(GatheredMagnitudes, RefuseNaNAndInfinityByColumn) {
  for (const float bad : {std::nanf(""), -std::numeric_limits<float>::infinity()}) {
    auto x = inputs();
    x[77 * kColumns + 5] = bad;
    for (const double percentile : {100.0, 95.0}) {
      try {
        gather(x, 64, {.percentile = percentile});
        ADD_FAILURE() << "it was accepted";
      } catch (const BadFileError& error) {
        EXPECT_THAT(error.what(), ::testing::HasSubstr("column 5"));
        EXPECT_THAT(error.what(), ::testing::HasSubstr("blk.0.ffn_gate.weight, blk.0.ffn_up.weight"));
      }
    }
  }
}

}  // namespace
}  // namespace tessera::stages
