// What a sample of rows says of the error of whole tensors.
#include "stages/sample_errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "foundation/base/counter_random.h"
#include "foundation/base/error.h"
#include "tensor/memory_source.h"

namespace tessera::stages {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

constexpr std::uint64_t kRows = 48;
constexpr std::uint64_t kColumns = 256;
const std::vector<ElementType> kTypes = {ElementType::IQ2_XXS, ElementType::Q2_K, ElementType::Q4_0,
                                         ElementType::Q6_K};

std::vector<double> random_positive(std::size_t count, std::uint64_t seed) {
  std::vector<double> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = -std::log(1 - uniform_at(seed, i, 0));
  return values;
}

TEST(DrawnRows, AreEachDrawnOnceWhenThereAreAsManyDrawsAsRows) {
  std::vector<std::uint64_t> all(kRows);
  std::iota(all.begin(), all.end(), 0u);
  for (const double offset : {0.0, 0.3, 0.999}) {
    EXPECT_EQ(draw_in_proportion(kRows, {}, kRows, offset), all);
    EXPECT_EQ(draw_in_proportion(kRows, std::vector<double>(kRows, 0.25), kRows, offset), all);
  }
}

TEST(DrawnRows, AreEvenlySpacedWhenAllWeighTheSame) {
  EXPECT_THAT(draw_in_proportion(100, {}, 4, 0.0), ElementsAre(0, 25, 50, 75));
  EXPECT_THAT(draw_in_proportion(100, {}, 4, 0.5), ElementsAre(12, 37, 62, 87));
  EXPECT_THAT(draw_in_proportion(2, {}, 4, 0.5), ElementsAre(0, 0, 1, 1));
}

TEST(DrawnRows, NeverHaveWeightZero) {
  std::vector<double> weights(64, 0.0);
  for (const std::size_t row : {5, 6, 40, 63}) weights[row] = 0.1 * static_cast<double>(row);
  for (int i = 0; i < 100; ++i) {
    const auto drawn = draw_in_proportion(64, weights, 7, i / 100.0);
    EXPECT_EQ(drawn.size(), 7u);
    EXPECT_TRUE(std::ranges::is_sorted(drawn));
    for (const auto row : drawn) EXPECT_GT(weights[row], 0) << row;
  }
}

TEST(DrawnRows, ComeAsOftenAsTheirWeightSays) {
  constexpr int kOffsets = 1000;
  constexpr std::size_t kDraws = 10;
  const auto weights = random_positive(20, 3);
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<int> counts(weights.size());
  for (int i = 0; i < kOffsets; ++i) {
    for (const auto row :
         draw_in_proportion(weights.size(), weights, kDraws, static_cast<double>(i) / kOffsets))
      ++counts[row];
  }
  // Evenly spaced offsets miss a row's share by less than one draw at either end of it.
  for (std::size_t row = 0; row < weights.size(); ++row)
    EXPECT_NEAR(counts[row], kOffsets * kDraws * weights[row] / total, 2) << row;
}

TEST(DrawnRows, AreNoneWhenAllWeightsAreZero) {
  EXPECT_THAT(draw_in_proportion(8, std::vector<double>(8, 0.0), 4, 0.5), IsEmpty());
}

class SampleErrors : public ::testing::Test {
 protected:
  SampleErrors() : weights_(testing::normal_weights(kRows * kColumns, 7)) {
    // Rows differ, so that it matters which are drawn.
    for (std::size_t i = 0; i < weights_.size(); ++i)
      weights_[i] *= 1 + static_cast<float>((i / kColumns) % 7);
    source_.add("blk.0.ffn_up.weight", ElementType::F32, {kRows, kColumns}, weights_);
    for (const double value : columns_) importance_.entry.sums.push_back(static_cast<float>(value));
    importance_.entry.columns = kColumns;
    importance_.entry.counts = {1};
  }

  SampledTensor job() const {
    return {.tensor = 0, .types = kTypes, .column_weights = columns_, .importance = &importance_};
  }

  static std::vector<std::vector<double>> errors(const WeightSource& source,
                                                 const std::vector<SampledTensor>& jobs,
                                                 const SampleSettings& settings) {
    SilentProgress silent;
    return sample_errors(source, jobs, settings, silent, StopFlag());
  }

  /// Draws every row the same number of times when rows weigh the same.
  static SampleSettings every_row() { return {.draws = 2 * kRows, .threads = 1}; }

  /// By encoding and comparing everything: the mean over rows drawn with these weights.
  static double exact_error(std::span<const float> weights, ElementType type,
                            std::span<const double> row_weights, std::span<const double> column_weights,
                            std::span<const float> importance) {
    const auto& codec = codecs::codec_for(type);
    std::vector<std::byte> blocks(weights.size() / kColumns * row_bytes(type, kColumns));
    codec.encode({weights, kColumns, importance}, blocks);
    std::vector<float> decoded(weights.size());
    codec.decode(blocks, decoded);
    double error = 0;
    double total = 0;
    for (std::size_t row = 0; row < weights.size() / kColumns; ++row) {
      const double weight = row_weights.empty() ? 1 : row_weights[row];
      total += weight;
      for (std::size_t column = 0; column < kColumns; ++column) {
        const double difference =
            double{weights[row * kColumns + column]} - double{decoded[row * kColumns + column]};
        error += weight * (column_weights.empty() ? 1 : column_weights[column]) * difference * difference;
      }
    }
    return error / total;
  }

  std::vector<float> weights_;
  testing::MemorySource source_;
  std::vector<double> columns_ = random_positive(kColumns, 11);
  TensorImportance importance_;
};

TEST_F(SampleErrors, AreExactWhenEveryRowIsDrawn) {
  const auto found = errors(source_, {job()}, every_row()).front();
  ASSERT_EQ(found.size(), kTypes.size());
  for (std::size_t i = 0; i < kTypes.size(); ++i) {
    const double expected = exact_error(weights_, kTypes[i], {}, columns_, importance_.entry.sums);
    EXPECT_NEAR(found[i], expected, 1e-5 * expected) << name_of(kTypes[i]);
  }
}

TEST_F(SampleErrors, CountColumnsAlikeWithoutWeightsAndEncodeWithoutImportance) {
  const SampledTensor plain{.tensor = 0, .types = {ElementType::Q2_K, ElementType::Q8_0}};
  const auto found = errors(source_, {plain}, every_row()).front();
  for (std::size_t i = 0; i < plain.types.size(); ++i) {
    const double expected = exact_error(weights_, plain.types[i], {}, {}, {});
    EXPECT_NEAR(found[i], expected, 1e-5 * expected) << name_of(plain.types[i]);
  }
}

TEST_F(SampleErrors, AreRightOnAverageWithFewDraws) {
  constexpr int kSeeds = 400;
  const auto rows = random_positive(kRows, 13);
  auto weighted = job();
  weighted.types = {ElementType::Q4_0};
  weighted.row_weights = rows;
  double mean = 0;
  for (int seed = 0; seed < kSeeds; ++seed) {
    const SampleSettings few{.draws = 6, .seed = static_cast<std::uint64_t>(seed), .threads = 1};
    mean += errors(source_, {weighted}, few).front().front() / kSeeds;
  }
  const double expected = exact_error(weights_, ElementType::Q4_0, rows, columns_, importance_.entry.sums);
  EXPECT_NEAR(mean, expected, 0.05 * expected);
}

TEST_F(SampleErrors, AreRightOnAverageOverTheSegmentsOfLongRows) {
  constexpr int kSeeds = 600;
  constexpr std::uint64_t kSegments = 3;
  const auto rows = random_positive(kRows / kSegments, 13);
  auto columns = random_positive(kSegments * kColumns, 19);
  for (std::size_t c = 0; c < kColumns; ++c) columns[c] *= 20;  // one segment matters most
  testing::MemorySource wide;
  wide.add("blk.0.ffn_down.weight", ElementType::F32, {kRows / kSegments, kSegments * kColumns}, weights_);
  const SampledTensor wanted{
      .tensor = 0, .types = {ElementType::Q4_0}, .row_weights = rows, .column_weights = columns};
  double mean = 0;
  for (int seed = 0; seed < kSeeds; ++seed) {
    const SampleSettings few{.draws = 6, .seed = static_cast<std::uint64_t>(seed), .threads = 1};
    mean += errors(wide, {wanted}, few).front().front() / kSeeds;
  }
  double expected = 0;
  const double all_rows = std::accumulate(rows.begin(), rows.end(), 0.0);
  std::vector<std::byte> blocks(row_bytes(ElementType::Q4_0, kSegments * kColumns));
  std::vector<float> decoded(kSegments * kColumns);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const auto weights = std::span(weights_).subspan(row * decoded.size(), decoded.size());
    codecs::codec_for(ElementType::Q4_0).encode({weights, decoded.size(), {}}, blocks);
    codecs::codec_for(ElementType::Q4_0).decode(blocks, decoded);
    for (std::size_t c = 0; c < decoded.size(); ++c) {
      const double difference = double{weights[c]} - double{decoded[c]};
      expected += rows[row] / all_rows * columns[c] * difference * difference;
    }
  }
  EXPECT_NEAR(mean, expected, 0.05 * expected);
}

TEST_F(SampleErrors, FollowTheSeedAndNotTheThreads) {
  for (const char* name : {"blk.1.ffn_up.weight", "blk.2.ffn_up.weight", "blk.3.ffn_up.weight"})
    source_.add(name, ElementType::F32, {kRows, kColumns}, weights_);
  std::vector<SampledTensor> jobs;
  for (std::size_t tensor = 0; tensor < 4; ++tensor) {
    jobs.push_back(job());
    jobs.back().tensor = tensor;
  }
  const SampleSettings one{.draws = 5, .seed = 3, .threads = 1};
  auto four = one;
  four.threads = 4;
  const auto expected = errors(source_, jobs, one);
  EXPECT_EQ(errors(source_, jobs, four), expected);
  auto other = one;
  other.seed = 4;
  EXPECT_NE(errors(source_, jobs, other), expected);
}

TEST_F(SampleErrors, OfStackedExpertsTakeEachOnesImportance) {
  testing::MemorySource experts;
  experts.add("blk.0.ffn_up_exps.weight", ElementType::F32, {2, kRows / 2, kColumns}, weights_);
  const auto second = random_positive(kColumns, 17);
  for (const double value : second) importance_.entry.sums.push_back(static_cast<float>(value));
  importance_.entry.counts = {1, 1};
  auto plain = job();
  plain.column_weights = {};
  const auto found = errors(experts, {plain}, every_row()).front();
  const std::span<const float> all(weights_);
  const auto half = all.size() / 2;
  for (std::size_t i = 0; i < kTypes.size(); ++i) {
    const auto first_error = exact_error(all.first(half), kTypes[i], {}, {}, importance_.entry.importance(0));
    const auto second_error = exact_error(all.last(half), kTypes[i], {}, {}, importance_.entry.importance(1));
    const double expected = (first_error + second_error) / 2;
    EXPECT_NEAR(found[i], expected, 1e-5 * expected) << name_of(kTypes[i]);
  }
}

TEST_F(SampleErrors, AreZeroWhenNoRowWeighsAnything) {
  const std::vector<double> none(kRows, 0.0);
  auto weightless = job();
  weightless.row_weights = none;
  EXPECT_THAT(errors(source_, {weightless}, every_row()).front(), ElementsAre(0, 0, 0, 0));
}

TEST_F(SampleErrors, NameThePlaceOfAWeightThatIsNoNumber) {
  weights_[3 * kColumns + 17] = std::numeric_limits<float>::quiet_NaN();
  testing::MemorySource damaged;
  damaged.add("blk.0.ffn_up.weight", ElementType::F32, {kRows, kColumns}, weights_);
  for (const int threads : {1, 4}) {
    auto settings = every_row();
    settings.threads = threads;
    EXPECT_THAT([&] { errors(damaged, {job()}, settings); },
                ThrowsMessage<BadFileError>(AllOf(HasSubstr("blk.0.ffn_up.weight"), HasSubstr("row 3"),
                                                  HasSubstr("column 17"), HasSubstr("nan"))));
  }
}

TEST_F(SampleErrors, StopWhenAsked) {
  StopFlag stop;
  stop.request();
  SilentProgress silent;
  const std::vector jobs = {job()};
  EXPECT_THROW(sample_errors(source_, jobs, every_row(), silent, stop), InterruptedError);
}

}  // namespace
}  // namespace tessera::stages
