#include "foundation/codecs/ternary.h"

#include "codecs/codec_properties.h"

namespace tessera::codecs {
namespace {

class Ternary : public testing::TestWithParam<const Codec*> {};

TEST_P(Ternary, ZerosStayZero) { expect_zeros_stay_zero(*GetParam()); }
TEST_P(Ternary, ExtremeRowsGiveSensibleBlocks) { expect_extreme_rows_give_sensible_blocks(*GetParam()); }
TEST_P(Ternary, ImportanceOfZeroCountsAsNone) { expect_importance_of_zero_counts_as_none(*GetParam()); }
TEST_P(Ternary, HolesInTheImportanceAreSurvived) { expect_holes_in_the_importance_are_survived(*GetParam()); }
TEST_P(Ternary, RowsAreIndependent) { expect_rows_are_independent(*GetParam()); }
TEST_P(Ternary, SimdPathsAgree) { expect_simd_paths_agree(*GetParam()); }

/// -scale, 0 or scale, about half of them 0.
std::vector<float> ternary_weights(std::size_t count, float scale) {
  std::mt19937 random(3);
  std::vector<float> weights(count);
  for (float& weight : weights)
    weight = scale * (static_cast<float>(random() % 2) - static_cast<float>(random() % 2));
  return weights;
}

TEST_P(Ternary, TernaryWeightsAreExact) {
  const std::size_t columns = 256, rows = 5;
  auto importance = typical_importance(columns);
  std::fill_n(importance.begin(), 100, 0.0f);
  for (const float scale : {1.0f, 0.0123291015625f, 0x1p-24f, 0x1.8p-20f, 65504.0f}) {
    const auto weights = ternary_weights(rows * columns, scale);
    EXPECT_EQ(reconstruct(*GetParam(), {weights, columns, {}}), weights) << scale;
    EXPECT_EQ(reconstruct(*GetParam(), {weights, columns, importance}), weights) << scale;
  }
}

TEST_P(Ternary, SparseTernaryWeightsAreExact) {
  std::vector<float> weights(256, 0.0f);
  weights[200] = -0.5f;
  EXPECT_EQ(reconstruct(*GetParam(), {weights, 256, typical_importance(256)}), weights);
  std::vector<float> importance(256, 1.0f);
  importance[200] = 0.0f;
  EXPECT_EQ(reconstruct(*GetParam(), {weights, 256, importance}), weights);
}

TEST_P(Ternary, FullTernaryWeightsAreExact) {
  std::vector<float> weights(256, 0.25f);
  weights[17] = -0.25f;
  EXPECT_EQ(reconstruct(*GetParam(), {weights, 256, {}}), weights);
}

/// The optimum for normal weights removes 81% of their energy (a threshold of 0.61 and a scale of 1.22
/// deviations).
TEST_P(Ternary, TypicalWeightsKeepMostOfTheirEnergy) {
  const auto weights = typical_weights(16 * 256);
  const auto decoded = reconstruct(*GetParam(), {weights, 256, {}});
  EXPECT_LT(weighted_squared_error(weights, decoded, 256, {}), 0.4 * sum_of_squares(weights));
}

INSTANTIATE_TEST_SUITE_P(EveryType, Ternary,
                         testing::ValuesIn(ternary_codecs().begin(), ternary_codecs().end()),
                         [](const auto& param) { return codec_name(param.param); });

}  // namespace
}  // namespace tessera::codecs
