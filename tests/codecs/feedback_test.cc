#include "foundation/codecs/feedback.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "codecs/codec_properties.h"
#include "codecs/feedback_testing.h"
#include "foundation/base/error.h"

namespace tessera::codecs {
namespace {

constexpr double kDamping = 0.02;

class Feedback : public testing::TestWithParam<const Codec*> {
 protected:
  const Codec& codec() const { return *GetParam(); }
  bool is_narrow() const { return 96 % info(codec().type()).block_weights == 0; }
  /// Columns that are not whole panels, where the format allows it.
  std::size_t ragged_columns() const { return is_narrow() ? 288 : 512; }
};

TEST_P(Feedback, DiagonalHessianGivesThePlainBytes) {
  const std::size_t columns = ragged_columns(), rows = 37;
  const auto weights = typical_weights(rows * columns);
  const auto importance = typical_importance(columns);
  std::vector<float> hessian(columns * columns);
  double mean = 0;
  for (std::size_t i = 0; i < columns; ++i) {
    hessian[i * columns + i] = importance[i];
    mean += importance[i] / static_cast<double>(columns);
  }
  std::vector<float> damped = importance;
  for (float& value : damped) value += static_cast<float>(kDamping * mean);
  for (const kernels::Precision precision : kernels::available_precisions()) {
    const FeedbackMetric metric(hessian, columns, {.damping = kDamping, .precision = precision});
    ASSERT_EQ(std::vector(metric.diagonal().begin(), metric.diagonal().end()), damped);
    EXPECT_EQ(encode_with_feedback(codec(), weights, metric),
              encode_rows_of(codec(), {weights, columns, damped}));
  }
}

/// The limits are about a fifth above the worst of all types: .43 of neighbours, .13 of low rank, .75 of
/// weakly correlated ones.
TEST_P(Feedback, CostsClearlyLessThanPlainEncodingWhereInputsAreCorrelated) {
  struct Case {
    std::size_t columns, rows;
    Inputs inputs;
    double limit;
  };
  std::vector<Case> cases{{256, 16, Inputs::neighbours, 0.55},
                          {256, 150, Inputs::low_rank, 0.17},
                          {512, 37, Inputs::neighbours, 0.55},
                          {512, 1, Inputs::low_rank, 0.2},
                          {512, 128, Inputs::weakly_correlated, 0.9}};
  if (is_narrow()) {
    cases.push_back({96, 16, Inputs::low_rank, 0.2});
    cases.push_back({288, 37, Inputs::neighbours, 0.55});
  }
  for (const auto& [columns, rows, inputs, limit] : cases) {
    SCOPED_TRACE(testing::Message() << rows << " x " << columns << ", inputs " << static_cast<int>(inputs));
    const auto weights = typical_weights(rows * columns);
    const auto& hessian = hessian_of(inputs, columns);
    const FeedbackMetric metric(hessian, columns, {.damping = kDamping});
    const auto plain = reconstruct(codec(), {weights, columns, diagonal_of(hessian)});
    const auto decoded = reconstruct_with_feedback(codec(), weights, metric);
    EXPECT_LE(cost(weights, decoded, hessian), limit * cost(weights, plain, hessian));
  }
}

TEST_P(Feedback, MoreSweepsNeverRaiseTheCost) {
  const std::size_t columns = ragged_columns(), rows = 20;
  for (const Inputs inputs : {Inputs::neighbours, Inputs::low_rank}) {
    const auto weights = typical_weights(rows * columns);
    const auto& hessian = hessian_of(inputs, columns);
    const FeedbackMetric metric(hessian, columns, {.damping = kDamping});
    const auto damped = damped_hessian(metric);
    double before = std::numeric_limits<double>::infinity();
    for (const int sweeps : {0, 1, 2, 4}) {
      const double now = cost(weights, reconstruct_with_feedback(codec(), weights, metric, sweeps), damped);
      EXPECT_LE(now, before * (1 + 1e-6)) << sweeps << " sweeps";
      before = now;
    }
  }
}

TEST_P(Feedback, BytesDoNotDependOnTheDivisionIntoCalls) {
  const std::size_t columns = is_narrow() ? 288 : 256, rows = 2 * kFeedbackRows + 21;
  const auto weights = typical_weights(rows * columns);
  for (const kernels::Precision precision : kernels::available_precisions()) {
    const FeedbackMetric metric(hessian_of(Inputs::neighbours, columns), columns,
                                {.damping = kDamping, .precision = precision});
    constexpr int kSweeps = 1;
    const auto together = encode_with_feedback(codec(), weights, metric, kSweeps);
    std::vector<std::byte> divided;
    for (const auto& [first, count] :
         {std::pair{std::size_t{0}, kFeedbackRows}, {kFeedbackRows, rows - kFeedbackRows}}) {
      const auto part = encode_with_feedback(
          codec(), std::span(weights).subspan(first * columns, count * columns), metric, kSweeps);
      divided.insert(divided.end(), part.begin(), part.end());
    }
    EXPECT_EQ(divided, together);
  }
}

TEST_P(Feedback, Bfloat16CostsLittleMoreThanFloat32) {
  if (kernels::available_precisions().back() != kernels::Precision::bf16) {
    GTEST_SKIP() << "this machine has no bf16 products";
  }
  const std::size_t columns = 512, rows = 64;
  const auto weights = typical_weights(rows * columns);
  const auto& hessian = hessian_of(Inputs::neighbours, columns);
  double costs[2];
  for (const kernels::Precision precision : kernels::available_precisions()) {
    const FeedbackMetric metric(hessian, columns, {.damping = kDamping, .precision = precision});
    costs[precision == kernels::Precision::bf16] =
        cost(weights, reconstruct_with_feedback(codec(), weights, metric), hessian);
  }
  EXPECT_LE(costs[1], 1.03 * costs[0]);
}

TEST_P(Feedback, SimdPathsAgree) {
  const std::size_t columns = 256, rows = 16;
  const auto weights = typical_weights(rows * columns);
  const auto& hessian = hessian_of(Inputs::neighbours, columns);
  const FeedbackMetric metric(hessian, columns, {.damping = kDamping});
  double lowest = std::numeric_limits<double>::infinity(), highest = 0;
  for (const std::int64_t target : runnable_targets()) {
    const ForcedTarget forced(target);
    const double now = cost(weights, reconstruct_with_feedback(codec(), weights, metric), hessian);
    lowest = std::min(lowest, now);
    highest = std::max(highest, now);
  }
  EXPECT_LE(highest, 1.05 * lowest);
}

TEST_P(Feedback, AnyFiniteHessianGivesFiniteWeights) {
  const std::size_t columns = ragged_columns(), rows = 20;
  const auto weights = typical_weights(rows * columns);
  for (const auto& [name, hessian] : degenerate_hessians(columns)) {
    SCOPED_TRACE(name);
    const FeedbackMetric metric(hessian, columns, {.damping = kDamping});
    EXPECT_GE(metric.damping(), kDamping);
    EXPECT_LE(metric.damping(), 0.2 + 1e-6);
    const auto decoded = reconstruct_with_feedback(codec(), weights, metric);
    for (const float value : decoded) ASSERT_TRUE(std::isfinite(value));
    const auto damped = damped_hessian(metric);
    // Where one column has all the energy, how luckily its own scale rounds is all there is.
    const auto plain = reconstruct(codec(), {weights, columns, metric.diagonal()});
    EXPECT_LE(cost(weights, decoded, damped), 1.02 * cost(weights, plain, damped));
  }
}

/// Columns that calibration never saw still cost the damping.
TEST_P(Feedback, DeadColumnsAreRoundedSensibly) {
  const std::size_t columns = 512, rows = 37;
  const auto weights = typical_weights(rows * columns);
  const auto hessian = with_dead_columns(hessian_of(Inputs::neighbours, columns), columns, 5);
  const FeedbackMetric metric(hessian, columns, {.damping = kDamping});
  std::vector<float> is_dead(columns);
  for (std::size_t c = 0; c < columns; c += 5) is_dead[c] = 1;
  const auto error = [&](std::span<const float> decoded) {
    return weighted_squared_error(weights, decoded, columns, is_dead);
  };
  const double feedback = error(reconstruct_with_feedback(codec(), weights, metric));
  EXPECT_LE(feedback, 2.2 * error(reconstruct(codec(), {weights, columns, metric.diagonal()})));
  EXPECT_LE(feedback, 0.85 * error(std::vector<float>(weights.size())));
}

TEST_P(Feedback, ZerosStayZero) {
  const std::size_t columns = 512, rows = 3;
  const std::vector<float> zeros(rows * columns);
  const FeedbackMetric metric(hessian_of(Inputs::neighbours, columns), columns, {.damping = kDamping});
  for (const float value : reconstruct_with_feedback(codec(), zeros, metric)) ASSERT_EQ(value, 0.0f);
}

TEST_P(Feedback, RowsOutsideTheRangeOfScalesAreFiniteAndLeaveOthersAlone) {
  const std::size_t columns = 256;
  const FeedbackMetric metric(hessian_of(Inputs::neighbours, columns), columns, {.damping = kDamping});
  const std::vector<float> magnitudes{1.0f, 1e30f, 1e-30f, 3e38f, 1e-42f};
  const auto typical = typical_weights(magnitudes.size() * columns);
  auto weights = typical;
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] *= magnitudes[i / columns];
  const auto blocks = encode_with_feedback(codec(), weights, metric);
  const auto row_size = static_cast<std::ptrdiff_t>(row_bytes(codec().type(), columns));
  const auto expected = encode_with_feedback(codec(), std::span(typical).first(columns), metric);
  EXPECT_TRUE(std::equal(blocks.begin(), blocks.begin() + row_size, expected.begin()));
  std::vector<float> decoded(weights.size());
  codec().decode(blocks, decoded);
  for (std::size_t i = 0; i < decoded.size(); ++i) {
    ASSERT_TRUE(std::isfinite(decoded[i])) << "row " << i / columns;
  }
}

TEST_P(Feedback, OutliersAreSurvived) {
  const std::size_t columns = 256, rows = 5;
  const auto& hessian = hessian_of(Inputs::neighbours, columns);
  const FeedbackMetric metric(hessian, columns, {.damping = kDamping});
  for (const float outlier : {4.0f, 1000.0f, 1e30f}) {
    SCOPED_TRACE(outlier);
    auto weights = typical_weights(rows * columns);
    for (std::size_t row = 0; row < rows; ++row) weights[row * columns + 50 * row + 3] = outlier;
    const auto decoded = reconstruct_with_feedback(codec(), weights, metric);
    for (const float value : decoded) ASSERT_TRUE(std::isfinite(value));
    // Most of the error is how luckily the scale of the outlier's block rounds.
    const auto plain = reconstruct(codec(), {weights, columns, diagonal_of(hessian)});
    EXPECT_LE(cost(weights, decoded, hessian), 2 * cost(weights, plain, hessian));
  }
}

/// Scales that nothing moves go through a sweep as they are, at the ends of their range too.
TEST_P(Feedback, SweepsDoNotHarmTinyWeights) {
  const std::size_t columns = 256, rows = 4;
  const auto& hessian = hessian_of(Inputs::neighbours, columns);
  const FeedbackMetric metric(hessian, columns, {.damping = kDamping});
  auto weights = typical_weights(rows * columns);
  for (float& weight : weights) weight *= 1e-34f;
  const double before = cost(weights, reconstruct_with_feedback(codec(), weights, metric, 0), hessian);
  const double after = cost(weights, reconstruct_with_feedback(codec(), weights, metric, 1), hessian);
  EXPECT_LE(after, before * (1 + 1e-6));
}

INSTANTIATE_TEST_SUITE_P(EveryType, Feedback, testing::ValuesIn(block_codecs()),
                         [](const auto& param) { return codec_name(param.param); });

TEST(FeedbackOfPlainTypes, IsPlainEncoding) {
  const std::size_t columns = 64;
  const auto weights = typical_weights(3 * columns);
  const FeedbackMetric metric(hessian_of(Inputs::neighbours, columns), columns, {.damping = kDamping});
  for (const Codec* codec : all_codecs()) {
    if (info(codec->type()).block_weights > 1) continue;
    EXPECT_EQ(encode_with_feedback(*codec, weights, metric), encode_rows_of(*codec, {weights, columns, {}}))
        << codec_name(codec);
  }
}

TEST(FeedbackMetric, RefusesWhatIsNotFinite) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    for (const std::size_t place : {std::size_t{0}, std::size_t{7}, std::size_t{33}}) {
      std::vector<float> hessian(32 * 32);
      for (std::size_t i = 0; i < 32; ++i) hessian[i * 33] = 1;
      hessian[place] = bad;
      EXPECT_THROW(FeedbackMetric(hessian, 32, {.damping = kDamping}), Error);
    }
  }
}

TEST(FeedbackMetric, RefusesWhatNoDampingMakesDefinite) {
  const std::vector<float> hessian{1, 1e30f, 1e30f, 1};
  EXPECT_THROW(FeedbackMetric(hessian, 2, {.damping = kDamping}), Error);
}

TEST(FeedbackMetric, DampsUntilTheFactorExistsAndSaysHowMuch) {
  // Its eigenvalues are 2.1 and -0.1.
  const std::vector<float> hessian{1, 1.1f, 1.1f, 1};
  const FeedbackMetric metric(hessian, 2, {.damping = kDamping});
  EXPECT_NEAR(metric.damping(), 0.2, 1e-9);
  EXPECT_NEAR(metric.added_to_diagonal(), 0.2, 1e-9);
  EXPECT_NEAR(metric.diagonal()[1], 1.2, 1e-6);
}

TEST(FeedbackMetric, FactorsASingularHessianWithoutDampingAsked) {
  const FeedbackMetric metric(std::vector<float>(64 * 64, 1.0f), 64, {.damping = 0});
  EXPECT_GT(metric.damping(), 0);
  EXPECT_LT(metric.damping(), 1e-3);
}

TEST(FeedbackMetric, CountsMomentsTooSmallForFloatsAsNone) {
  std::vector<float> hessian(32 * 32);
  for (std::size_t i = 0; i < 32; ++i) hessian[i * 33] = 1e-42f;
  const FeedbackMetric metric(hessian, 32, {.damping = kDamping});
  EXPECT_EQ(metric.damping(), kDamping);
  EXPECT_NEAR(metric.diagonal()[0], kDamping, 1e-9);
}

TEST(FeedbackMetric, FactorIsThatOfTheDampedHessian) {
  const std::size_t columns = 288;
  const FeedbackMetric metric(hessian_of(Inputs::low_rank, columns), columns, {.damping = kDamping});
  const auto damped = damped_hessian(metric);
  const auto factor = [&](std::size_t j, std::size_t k) -> double {  // R_jk
    if (j > k) return 0;
    const std::size_t panel = k / FeedbackMetric::kPanelColumns,
                      first = panel * FeedbackMetric::kPanelColumns;
    if (j >= first)
      return metric.factor().within(panel)[(k - first) * metric.panel_columns(panel) + j - first];
    std::vector<float> row(first);
    metric.factor_before(panel).load(k - first, row);
    return row[j];
  };
  for (std::size_t i = 0; i < columns; i += 13) {
    for (std::size_t j = 0; j <= i; j += 17) {
      double sum = 0;
      for (std::size_t k = i; k < columns; ++k) sum += factor(i, k) * factor(j, k);
      EXPECT_NEAR(sum, damped[i * columns + j], 1e-5 * damped[0]) << i << ", " << j;
    }
  }
}

}  // namespace
}  // namespace tessera::codecs
