// Super weights by coverage are those that sorting all scores gives, whatever the threads and the ties.
#include "stages/coverage_scan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "foundation/base/error.h"
#include "tensor/memory_source.h"

namespace tessera::stages {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr std::uint64_t kRows = 96;
constexpr std::uint64_t kColumns = 1024;

struct Model {
  explicit Model(const std::function<void(std::vector<float>&)>& change = [](auto&) {}) {
    for (unsigned tensor = 0; tensor < 2; ++tensor) {
      weights.push_back(testing::normal_weights(kRows * kColumns, tensor));
      change(weights.back());
    }
    source.add("first.weight", ElementType::F32, {kRows, kColumns}, weights[0]);
    source.add("experts.weight", ElementType::F32, {2, kRows / 2, kColumns}, weights[1]);
    for (std::size_t i = 0; i < 3 * kColumns; ++i)
      factors.push_back(std::exp(0.5f * static_cast<float>(i * 37 % 11) - 2));
  }

  CoverageJob job() const {
    return {source,
            {{0, {factors.begin(), factors.begin() + kColumns}},
             {1, {factors.begin() + kColumns, factors.end()}}}};
  }

  /// Score, tensor and index of all weights, best first.
  std::vector<std::tuple<float, std::size_t, std::size_t>> sorted() const {
    std::vector<std::tuple<float, std::size_t, std::size_t>> all;
    for (std::size_t tensor = 0; tensor < 2; ++tensor) {
      for (std::size_t i = 0; i < kRows * kColumns; ++i) {
        const std::size_t matrix = tensor == 0 ? 0 : 1 + i / (kRows / 2 * kColumns);
        all.emplace_back(-std::abs(weights[tensor][i]) * factors[matrix * kColumns + i % kColumns], tensor,
                         i);
      }
    }
    std::ranges::sort(all);
    for (auto& item : all) std::get<0>(item) *= -1;
    return all;
  }

  std::vector<std::vector<float>> weights;
  std::vector<float> factors;
  testing::MemorySource source;
};

CoverageFinding scan(const CoverageJob& job, const CoverageSettings& settings) {
  SilentProgress silent;
  return scan_coverage(job, settings, silent, StopFlag());
}

void expect_best(const Model& model, const CoverageFinding& finding, std::size_t count) {
  const auto all = model.sorted();
  ASSERT_EQ(finding.weights.size(), count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto& [score, tensor, index] = all[i];
    const auto& weight = finding.weights[i];
    ASSERT_EQ(weight.score, score) << i;
    ASSERT_EQ(weight.tensor, model.source.tensors()[tensor].name) << i;
    ASSERT_EQ(weight.row * kColumns + weight.column, index) << i;
    ASSERT_EQ(weight.value, model.weights[tensor][index]) << i;
  }
}

TEST(Coverage, TakesTheBestOfAllWeightsForAnyNumberOfThreads) {
  const Model model;
  for (const double coverage : {1e-9, 1e-4, 0.013, kMostCoverage}) {
    const auto count = std::max<std::size_t>(1, static_cast<std::size_t>(coverage * 2 * kRows * kColumns));
    for (const int threads : {1, 3}) {
      const auto finding =
          scan(model.job(), {.coverage = coverage, .cut_at_fence = false, .threads = threads});
      expect_best(model, finding, count);
      EXPECT_EQ(finding.outcome.threshold, finding.weights.back().score);
      EXPECT_EQ(finding.outcome.considered, 2 * kRows * kColumns);
      EXPECT_EQ(finding.outcome.found, count);
      EXPECT_FALSE(finding.outcome.fence);
    }
  }
}

TEST(Coverage, TakesTheEarlierOfEqualScores) {
  Model model([](std::vector<float>& weights) { std::ranges::fill(weights, -0.25f); });
  std::ranges::fill(model.factors, 2.0f);
  for (const int threads : {1, 3})
    expect_best(model, scan(model.job(), {.coverage = 0.04, .cut_at_fence = false, .threads = threads}),
                static_cast<std::size_t>(0.04 * 2 * kRows * kColumns));
}

TEST(Coverage, HasNoWeightsThatScoreZero) {
  const Model model([](std::vector<float>& weights) { std::fill(weights.begin() + 7, weights.end(), 0.0f); });
  EXPECT_EQ(scan(model.job(), {.coverage = 0.01, .cut_at_fence = false}).weights.size(), 14u);
}

TEST(Coverage, IsCutWhereScoresStopBeingOutliers) {
  const Model model([](std::vector<float>& weights) {
    weights[5 * kColumns + 3] = 2;
    weights[70 * kColumns + 900] = -1;
  });
  CoverageJob job{model.source, {{0, {}}, {1, {}}}};
  const auto finding = scan(job, {.coverage = 0.01});
  EXPECT_EQ(finding.weights.size(), 4u);
  EXPECT_EQ(finding.outcome.found, 4u);
  EXPECT_NEAR(finding.outcome.fence.value(), 5.7 * 0.05, 0.02);
  EXPECT_LT(finding.outcome.threshold, finding.outcome.fence.value());
  EXPECT_EQ(scan(job, {.coverage = 0.01, .cut_at_fence = false}).weights.size(), 1966u);
}

TEST(Coverage, ComparesWeightsWithTheRestOfTheirBlock) {
  std::vector<float> row(80, 0.5f);
  row[40] = -4;
  EXPECT_DOUBLE_EQ(block_ratio(row, 40).value(), 8);
  EXPECT_DOUBLE_EQ(block_ratio(row, 79).value(), 1);
  std::fill(row.begin() + 64, row.end(), 0.0f);
  row[70] = 3;
  EXPECT_FALSE(block_ratio(row, 70));
  EXPECT_EQ(block_ratio(row, 71).value(), 0);
}

TEST(Coverage, GivesAllRowsBack) {
  const Model model;
  scan(model.job(), {});
  EXPECT_GT(model.source.discards(0), 0);
  EXPECT_GT(model.source.discards(1), 0);
}

TEST(Coverage, OutOfRangeIsRefusedSayingWhatToGive) {
  const Model model;
  for (const double coverage : {0.0, -1e-4, 0.0501, 1.0, std::nan("")}) {
    EXPECT_THAT([&] { scan(model.job(), {.coverage = coverage}); },
                ThrowsMessage<UsageError>(AllOf(HasSubstr("out of range"), HasSubstr("0.05"))))
        << coverage;
  }
}

TEST(Coverage, NamesAWeightThatIsNoNumber) {
  const Model model([](std::vector<float>& weights) { weights[2 * kColumns + 9] = NAN; });
  EXPECT_THAT([&] { scan(model.job(), {}); },
              ThrowsMessage<BadFileError>(AllOf(HasSubstr("first.weight"), HasSubstr("row 2, column 9"))));
}

}  // namespace
}  // namespace tessera::stages
