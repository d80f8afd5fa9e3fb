#include "stages/encode_feedback.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "foundation/base/error.h"
#include "foundation/codecs/codec.h"
#include "tensor/memory_source.h"

namespace tessera::stages {
namespace {

constexpr std::size_t kColumns = 256;
constexpr std::size_t kWeightRows = 150;
constexpr std::size_t kTokens = 1024;
constexpr std::size_t kSomeTokens = 512;

std::vector<float> normal_values(std::size_t count, unsigned seed, float scale = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

/// Inputs whose neighbours resemble each other, [kTokens, kColumns].
std::vector<float> inputs() {
  auto x = normal_values(kTokens * kColumns, 3);
  for (std::size_t t = 0; t < kTokens; ++t) {
    for (std::size_t c = 1; c < kColumns; ++c) x[t * kColumns + c] += 0.9f * x[t * kColumns + c - 1];
  }
  return x;
}

/// Over the first `tokens`.
std::vector<float> mean_product(const std::vector<float>& a, const std::vector<float>& b,
                                std::size_t tokens = kTokens) {
  std::vector<float> result(kColumns * kColumns);
  for (std::size_t i = 0; i < kColumns; ++i) {
    for (std::size_t j = 0; j < kColumns; ++j) {
      double sum = 0;
      for (std::size_t t = 0; t < tokens; ++t) sum += double{a[t * kColumns + i]} * b[t * kColumns + j];
      result[i * kColumns + j] = static_cast<float>(sum / static_cast<double>(tokens));
    }
  }
  return result;
}

/// A tensor and the inputs that it reads: x, and r of the original model.
class EncodedWithFeedback : public ::testing::Test {
 protected:
  EncodedWithFeedback() : r_(inputs()), x_(r_) {
    const auto noise = normal_values(r_.size(), 5, 0.3f);
    for (std::size_t i = 0; i < x_.size(); ++i) x_[i] += noise[i];
    second_ = mean_product(x_, x_);
    std::vector<float> difference(r_.size());
    for (std::size_t i = 0; i < r_.size(); ++i) difference[i] = r_[i] - x_[i];
    drift_ = mean_product(difference, x_);
    drift_of_some_ = mean_product(difference, x_, kSomeTokens);
    second_of_some_ = mean_product(x_, x_, kSomeTokens);
    weights_ = normal_values(kWeightRows * kColumns, 9, 0.05f);
  }

  struct Result {
    FeedbackOutcome outcome;
    std::vector<std::byte> blocks;
    std::vector<float> decoded;
  };

  Result encode(ElementType type, bool with_drift, const FeedbackEncodeSettings& settings = {.threads = 2},
                std::uint64_t rows_together = kWeightRows) const {
    tessera::testing::MemorySource source;
    source.add("w", ElementType::F32, {kWeightRows, kColumns}, weights_);
    InputMoments moments{.columns = kColumns, .tokens = kTokens, .second = second_};
    if (with_drift) moments.drift = drift_;
    if (with_drift && of_some_) {
      moments.drift = drift_of_some_;
      moments.paired_second = second_of_some_;
    }
    const FeedbackEncoder encoder(std::move(moments), rows_together, settings);
    Result result;
    const std::size_t row_size = row_bytes(type, kColumns);
    result.blocks.resize(kWeightRows * row_size);
    result.decoded.resize(weights_.size());
    result.outcome = encoder.encode(
        source, {0, {0, kWeightRows}}, type,
        [&](const EncodedRows& rows) {
          std::ranges::copy(rows.blocks, result.blocks.begin() + rows.rows.first * row_size);
          std::ranges::copy(rows.decoded, result.decoded.begin() + rows.rows.first * kColumns);
        },
        never_);
    return result;
  }

  /// Under the diagonal of H.
  Result encode_plainly(ElementType type) const {
    std::vector<float> importance(kColumns);
    for (std::size_t c = 0; c < kColumns; ++c) importance[c] = second_[c * kColumns + c];
    Result result;
    result.blocks.resize(kWeightRows * row_bytes(type, kColumns));
    result.decoded.resize(weights_.size());
    codecs::codec_for(type).encode({weights_, kColumns, importance}, result.blocks);
    codecs::codec_for(type).decode(result.blocks, result.decoded);
    return result;
  }

  /// Of each row, e H e^T with e = w - q.
  std::vector<double> output_errors(const std::vector<float>& decoded) const {
    std::vector<double> errors(kWeightRows);
    for (std::size_t row = 0; row < kWeightRows; ++row) {
      const auto error = [&](std::size_t c) {
        return double{weights_[row * kColumns + c]} - double{decoded[row * kColumns + c]};
      };
      for (std::size_t i = 0; i < kColumns; ++i) {
        for (std::size_t j = 0; j < kColumns; ++j)
          errors[row] += error(i) * error(j) * second_[i * kColumns + j];
      }
    }
    return errors;
  }

  /// Mean over tokens of |W r - Q x|^2.
  double output_distance(const std::vector<float>& decoded) const {
    double sum = 0;
    for (std::size_t t = 0; t < kTokens; t += 4) {
      for (std::size_t row = 0; row < kWeightRows; ++row) {
        double difference = 0;
        for (std::size_t c = 0; c < kColumns; ++c) {
          difference += double{weights_[row * kColumns + c]} * r_[t * kColumns + c] -
                        double{decoded[row * kColumns + c]} * x_[t * kColumns + c];
        }
        sum += difference * difference;
      }
    }
    return sum / (kTokens / 4.0);
  }

  std::vector<float> r_, x_, second_, drift_, second_of_some_, drift_of_some_, weights_;
  bool of_some_ = false;  ///< whether drift is that of kSomeTokens
  StopFlag never_;
};

TEST_F(EncodedWithFeedback, RowsHandedOverAreTheBlocksDecoded) {
  const auto result = encode(ElementType::Q3_K, true);
  std::vector<float> decoded(weights_.size());
  codecs::codec_for(ElementType::Q3_K).decode(result.blocks, decoded);
  EXPECT_EQ(decoded, result.decoded);
}

TEST_F(EncodedWithFeedback, ComesMuchNearerToTheOutputsThanPlainEncoding) {
  for (const auto type : {ElementType::IQ2_XS, ElementType::Q2_K, ElementType::Q4_0}) {
    const auto outcome = encode(type, false).outcome;
    EXPECT_LT(outcome.ratio(), 0.6) << name_of(type);
    EXPECT_GT(outcome.ratio(), 0);
  }
}

TEST_F(EncodedWithFeedback, WithDriftCorrectsForOtherInputs) {
  const double corrected = output_distance(encode(ElementType::Q4_K, true).decoded);
  const double uncorrected = output_distance(encode(ElementType::Q4_K, false).decoded);
  EXPECT_LT(corrected, 0.8 * uncorrected);
}

TEST_F(EncodedWithFeedback, SolvingAheadLeadsToNearlyTheSame) {
  const auto by_row = encode(ElementType::Q4_K, true, {.threads = 2}, kWeightRows);
  const auto ahead = encode(ElementType::Q4_K, true, {.threads = 2}, 100 * kColumns);
  EXPECT_NEAR(output_distance(ahead.decoded) / output_distance(by_row.decoded), 1, 0.01);
}

TEST_F(EncodedWithFeedback, IsTheSameForAnyNumberOfThreads) {
  for (const std::uint64_t together : {std::uint64_t{kWeightRows}, std::uint64_t{100 * kColumns}}) {
    EXPECT_EQ(encode(ElementType::IQ3_XXS, true, {.threads = 1}, together).blocks,
              encode(ElementType::IQ3_XXS, true, {.threads = 3}, together).blocks);
  }
}

TEST_F(EncodedWithFeedback, RowsAloneAreWhatTheyAreAmongAll) {
  const auto type = ElementType::IQ3_XXS;
  const auto whole = encode(type, true);
  const RowRange range{37, 60};
  tessera::testing::MemorySource source;
  source.add("w", ElementType::F32, {kWeightRows, kColumns}, weights_);
  InputMoments moments{.columns = kColumns, .tokens = kTokens, .second = second_, .drift = drift_};
  const FeedbackEncoder encoder(std::move(moments), kWeightRows, {.threads = 2});
  const std::size_t row_size = row_bytes(type, kColumns);
  std::vector<std::byte> blocks(range.count * row_size);
  const auto outcome = encoder.encode(
      source, {0, range}, type,
      [&](const EncodedRows& rows) {
        std::ranges::copy(rows.blocks, blocks.begin() + (rows.rows.first - range.first) * row_size);
      },
      never_);
  EXPECT_EQ(outcome.rows, range.count);
  EXPECT_TRUE(std::ranges::equal(
      blocks, std::span(whole.blocks).subspan(range.first * row_size, range.count * row_size)));
}

TEST_F(EncodedWithFeedback, ReportsTheErrorsAtTheOutput) {
  const auto result = encode(ElementType::Q3_K, false);
  const auto errors = output_errors(result.decoded),
             plain = output_errors(encode_plainly(ElementType::Q3_K).decoded);
  const auto sum = [](const std::vector<double>& values, std::size_t rows) {
    return std::accumulate(values.begin(), values.begin() + rows, 0.0);
  };
  EXPECT_NEAR(result.outcome.output_error / sum(errors, kWeightRows), 1, 1e-3);
  EXPECT_NEAR(result.outcome.sampled_output_error / sum(errors, codecs::kFeedbackRows), 1, 1e-3);
  EXPECT_NEAR(result.outcome.plain_output_error / sum(plain, codecs::kFeedbackRows), 1, 1e-3);
  EXPECT_EQ(result.outcome.rows, kWeightRows);
}

TEST_F(EncodedWithFeedback, IsInNoRowWorseAtTheOutputThanPlainEncoding) {
  // Damped until next to nothing is fed back, so that chance decides: some rows are better off without.
  for (const auto type : {ElementType::Q8_0, ElementType::Q2_K, ElementType::IQ3_XXS}) {
    SCOPED_TRACE(name_of(type));
    const auto result = encode(type, false, {.sweeps = 0, .damping = 1000, .threads = 2});
    const auto plain = encode_plainly(type);
    const auto errors = output_errors(result.decoded), plain_errors = output_errors(plain.decoded);
    const std::size_t row_size = row_bytes(type, kColumns);
    std::size_t plain_rows = 0;
    for (std::size_t row = 0; row < kWeightRows; ++row) {
      ASSERT_LE(errors[row], plain_errors[row] * 1.001) << row;
      if (std::equal(result.blocks.begin() + row * row_size, result.blocks.begin() + (row + 1) * row_size,
                     plain.blocks.begin() + row * row_size)) {
        ++plain_rows;
      }
    }
    EXPECT_GT(result.outcome.plain_rows, 0u);
    EXPECT_LT(result.outcome.plain_rows, kWeightRows);
    EXPECT_GE(plain_rows, result.outcome.plain_rows);
  }
}

TEST_F(EncodedWithFeedback, IsInNoTypeWorseAtTheOutputThanPlainEncoding) {
  for (const auto type : {ElementType::IQ1_S, ElementType::IQ2_S, ElementType::TQ2_0, ElementType::Q3_K,
                          ElementType::IQ4_XS, ElementType::Q6_K, ElementType::Q8_0}) {
    const auto errors = output_errors(encode(type, false).decoded),
               plain = output_errors(encode_plainly(type).decoded);
    EXPECT_LT(std::accumulate(errors.begin(), errors.end(), 0.0),
              std::accumulate(plain.begin(), plain.end(), 0.0))
        << name_of(type);
  }
}

TEST_F(EncodedWithFeedback, ComparesRowsOutsideTheSampleThatStandOut) {
  // Of a row with one weight among zeros the plain encoding makes no error, and none comes under its half.
  for (const std::size_t row : {3u, 140u}) {
    std::fill_n(weights_.begin() + row * kColumns, kColumns, 0.0f);
    weights_[row * kColumns + 5] = 1;
  }
  const auto errors = output_errors(encode(ElementType::Q4_0, false).decoded);
  EXPECT_EQ(errors[3], 0);
  EXPECT_EQ(errors[140], 0);
}

TEST_F(EncodedWithFeedback, WithDriftOfSomeTokensCorrectsForOtherInputs) {
  const double uncorrected = output_distance(encode(ElementType::Q4_K, false).decoded);
  of_some_ = true;
  const double corrected = output_distance(encode(ElementType::Q4_K, true).decoded);
  EXPECT_LT(corrected, 0.9 * uncorrected);
}

TEST_F(EncodedWithFeedback, RefusesDamagedWeightsNamingTheirPlace) {
  weights_[140 * kColumns + 17] = std::numeric_limits<float>::quiet_NaN();
  try {
    encode(ElementType::Q4_0, false);
    FAIL();
  } catch (const BadFileError& error) {
    EXPECT_EQ(error.place().tensor, "w");
    EXPECT_NE(std::string(error.what()).find("row 140, column 17"), std::string::npos) << error.what();
  }
}

TEST_F(EncodedWithFeedback, CountsDampingThatWasNeeded) {
  std::ranges::fill(second_, 1.0f);  // rank 1
  const auto outcome = encode(ElementType::Q4_0, false, {.damping = 1e-6, .threads = 1}).outcome;
  EXPECT_GE(outcome.damping, 1e-6);
  EXPECT_TRUE(std::isfinite(outcome.output_error));
}

}  // namespace
}  // namespace tessera::stages
