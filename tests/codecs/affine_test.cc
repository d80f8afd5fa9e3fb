#include "foundation/codecs/affine.h"

#include "codecs/codec_properties.h"

namespace tessera::codecs {
namespace {

class Affine : public testing::TestWithParam<const Codec*> {};

TEST_P(Affine, ZerosStayZero) { expect_zeros_stay_zero(*GetParam()); }
TEST_P(Affine, ExtremeRowsGiveSensibleBlocks) { expect_extreme_rows_give_sensible_blocks(*GetParam()); }
TEST_P(Affine, ImportanceOfZeroCountsAsNone) { expect_importance_of_zero_counts_as_none(*GetParam()); }
TEST_P(Affine, HolesInTheImportanceAreSurvived) { expect_holes_in_the_importance_are_survived(*GetParam()); }
TEST_P(Affine, RowsAreIndependent) { expect_rows_are_independent(*GetParam()); }
TEST_P(Affine, SimdPathsAgree) { expect_simd_paths_agree(*GetParam()); }
TEST_P(Affine, DecodedWeightsNearlySurviveEncodingAgain) {
  expect_decoded_weights_survive(*GetParam(), 1e-5);
}

TEST_P(Affine, WeightsOnTheWholeGridAreExact) {
  const std::size_t columns = 32;
  const int codes = GetParam()->type() == ElementType::Q4_1 ? 16 : 32;
  std::vector<float> weights(columns);
  for (std::size_t i = 0; i < columns; ++i) {
    weights[i] = 0.125f * static_cast<float>(static_cast<int>(i) * 7 % codes) - 0.75f;
  }
  EXPECT_EQ(reconstruct(*GetParam(), {weights, columns, typical_importance(columns)}), weights);
}

TEST_P(Affine, EqualWeightsBecomeTheNearestHalf) {
  const std::vector<float> weights(32, 0.1f);
  for (const float value : reconstruct(*GetParam(), {weights, 32, {}})) EXPECT_EQ(value, 0.0999755859375f);
}

TEST_P(Affine, ANarrowRangeFarFromZeroIsKept) {
  auto weights = typical_weights(32);
  for (float& weight : weights) weight += 8.0f;  // the nearest halves around the offset are 2^-7 apart
  const auto decoded = reconstruct(*GetParam(), {weights, 32, {}});
  EXPECT_LT(weighted_squared_error(weights, decoded, 32, {}), 32 * 0.005 * 0.005);
}

INSTANTIATE_TEST_SUITE_P(EveryType, Affine, testing::ValuesIn(affine_codecs().begin(), affine_codecs().end()),
                         [](const auto& param) { return codec_name(param.param); });

}  // namespace
}  // namespace tessera::codecs
