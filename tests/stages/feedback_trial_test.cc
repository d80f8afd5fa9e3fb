// What trying error feedback on some rows says of a tensor.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "foundation/base/error.h"
#include "stages/encode_feedback.h"
#include "tensor/memory_source.h"

namespace tessera::stages {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using enum ElementType;

constexpr std::uint64_t kRows = 200;
constexpr std::uint64_t kColumns = 256;

/// Neighbouring columns are correlated.
InputMoments moments() {
  InputMoments moments{.columns = kColumns, .tokens = 1000};
  for (std::size_t i = 0; i < kColumns; ++i) {
    for (std::size_t j = 0; j < kColumns; ++j)
      moments.second.push_back(std::pow(0.9f, std::abs(static_cast<float>(i) - static_cast<float>(j))));
  }
  return moments;
}

class FeedbackTrials : public ::testing::Test {
 protected:
  FeedbackTrials() {
    source_.add("blk.0.ffn_up.weight", F32, {kRows, kColumns}, testing::normal_weights(kRows * kColumns, 7));
  }

  std::vector<FeedbackOutcome> outcomes(const std::vector<FeedbackTrial>& trials, int threads = 2) const {
    return FeedbackEncoder(moments(), 0, {.threads = threads}).try_rows(source_, trials, StopFlag());
  }

  static std::vector<std::uint64_t> rows(std::uint64_t first, std::uint64_t end) {
    std::vector<std::uint64_t> rows(end - first);
    std::iota(rows.begin(), rows.end(), first);
    return rows;
  }

  testing::MemorySource source_;
};

TEST_F(FeedbackTrials, OfAllRowsGiveWhatEncodingTheTensorGives) {
  const auto first = rows(0, codecs::kFeedbackRows);
  const auto rest = rows(codecs::kFeedbackRows, kRows);
  for (const auto type : {IQ2_XXS, Q2_K, Q4_K}) {
    const FeedbackEncoder encoder(moments(), 0, {.threads = 2});
    const auto whole = encoder.encode(
        source_, {0, {0, kRows}}, type, [](const EncodedRows&) {}, StopFlag());
    const auto parts = outcomes({{0, first, type}, {0, rest, type}});
    EXPECT_EQ(parts[0].output_error + parts[1].output_error, whole.output_error) << name_of(type);
    EXPECT_EQ(parts[0].sampled_output_error, whole.sampled_output_error);  // the first panel is the sample
    EXPECT_EQ(parts[0].plain_output_error, whole.plain_output_error);
    EXPECT_EQ(parts[0].rows + parts[1].rows, whole.rows);
    EXPECT_EQ(parts[0].plain_rows + parts[1].plain_rows, whole.plain_rows);
    EXPECT_LT(whole.ratio(), 0.9) << name_of(type);
  }
}

TEST_F(FeedbackTrials, CountARowAsOftenAsItStands) {
  const std::vector<std::uint64_t> once = {17};
  const std::vector<std::uint64_t> thrice = {17, 17, 17};
  const auto found = outcomes({{0, once, Q2_K}, {0, thrice, Q2_K}});
  EXPECT_EQ(found[1].rows, 3u);
  EXPECT_NEAR(found[1].output_error, 3 * found[0].output_error, 1e-6 * found[1].output_error);
  EXPECT_NEAR(found[1].plain_output_error, 3 * found[0].plain_output_error, 1e-6 * found[1].output_error);
}

TEST_F(FeedbackTrials, DoNotDependOnThreadsNorOnTheTrialsBefore) {
  const auto many = rows(3, 120);
  const std::vector<std::uint64_t> few = {5, 90, 199};
  const auto alone = outcomes({{0, few, IQ3_XXS}}, 1).front();
  const auto after = outcomes({{0, many, Q3_K}, {0, few, IQ3_XXS}}, 1).back();
  EXPECT_EQ(after.output_error, alone.output_error);
  EXPECT_EQ(after.plain_output_error, alone.plain_output_error);
  const auto together = outcomes({{0, many, Q3_K}, {0, few, IQ3_XXS}}, 3).back();
  EXPECT_EQ(together.output_error, alone.output_error);
}

TEST_F(FeedbackTrials, RefuseDamagedWeights) {
  auto weights = testing::normal_weights(kRows * kColumns, 8);
  weights[150 * kColumns + 3] = std::numeric_limits<float>::quiet_NaN();
  source_.add("blk.1.ffn_up.weight", F32, {kRows, kColumns}, weights);
  const std::vector<std::uint64_t> damaged = {150};
  EXPECT_THAT(
      [&] {
        outcomes({{1, damaged, Q4_K}});
      },
      ThrowsMessage<BadFileError>(HasSubstr("blk.1.ffn_up.weight")));
}

}  // namespace
}  // namespace tessera::stages
