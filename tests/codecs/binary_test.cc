#include "foundation/codecs/binary.h"

#include "codecs/codec_properties.h"

namespace tessera::codecs {
namespace {

class Binary : public testing::TestWithParam<const Codec*> {};

TEST_P(Binary, ZerosStayZero) { expect_zeros_stay_zero(*GetParam()); }
TEST_P(Binary, ImportanceOfZeroCountsAsNone) { expect_importance_of_zero_counts_as_none(*GetParam()); }
TEST_P(Binary, HolesInTheImportanceAreSurvived) { expect_holes_in_the_importance_are_survived(*GetParam()); }
TEST_P(Binary, RowsAreIndependent) { expect_rows_are_independent(*GetParam()); }
TEST_P(Binary, SimdPathsAgree) { expect_simd_paths_agree(*GetParam()); }
TEST_P(Binary, WeightsOfOneMagnitudeAreExact) {
  std::vector<float> weights(128);
  for (std::size_t i = 0; i < weights.size(); ++i)
    weights[i] = i * i % 7 < 3 ? 0.0123291015625f : -0.0123291015625f;
  EXPECT_EQ(reconstruct(*GetParam(), {weights, 128, {}}), weights);
  EXPECT_EQ(reconstruct(*GetParam(), {weights, 128, typical_importance(128)}), weights);
}

TEST_P(Binary, WeightsFarOutsideTheRangeOfHalvesStayFiniteAndKeepTheirSign) {
  auto weights = typical_weights(128);
  for (float& weight : weights) weight *= 1e30f;
  const auto decoded = reconstruct(*GetParam(), {weights, 128, {}});
  for (std::size_t i = 0; i < weights.size(); ++i) EXPECT_EQ(decoded[i], std::copysign(65504.0f, weights[i]));
}

INSTANTIATE_TEST_SUITE_P(EveryType, Binary, testing::ValuesIn(binary_codecs().begin(), binary_codecs().end()),
                         [](const auto& param) { return codec_name(param.param); });

}  // namespace
}  // namespace tessera::codecs
