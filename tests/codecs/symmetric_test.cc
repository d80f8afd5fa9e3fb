#include "foundation/codecs/symmetric.h"

#include "codecs/codec_properties.h"

namespace tessera::codecs {
namespace {

class Symmetric : public testing::TestWithParam<const Codec*> {};

TEST_P(Symmetric, ZerosStayZero) { expect_zeros_stay_zero(*GetParam()); }
TEST_P(Symmetric, ExtremeRowsGiveSensibleBlocks) { expect_extreme_rows_give_sensible_blocks(*GetParam()); }
TEST_P(Symmetric, ImportanceOfZeroCountsAsNone) { expect_importance_of_zero_counts_as_none(*GetParam()); }
TEST_P(Symmetric, HolesInTheImportanceAreSurvived) {
  expect_holes_in_the_importance_are_survived(*GetParam());
}
TEST_P(Symmetric, RowsAreIndependent) { expect_rows_are_independent(*GetParam()); }
TEST_P(Symmetric, SimdPathsAgree) { expect_simd_paths_agree(*GetParam()); }
TEST_P(Symmetric, DecodedWeightsSurviveEncodingAgain) { expect_decoded_weights_survive(*GetParam(), 0); }

TEST_P(Symmetric, MultiplesOfTheSmallestHalfAreExact) {
  const std::size_t columns = info(GetParam()->type()).block_weights;
  std::vector<float> weights(columns);
  for (std::size_t i = 0; i < columns; ++i) weights[i] = (static_cast<float>(i % 4) - 1) * 0x1p-24f;
  EXPECT_EQ(reconstruct(*GetParam(), {weights, columns, {}}), weights);
}

TEST_P(Symmetric, ASingleWeightAmongZerosIsExact) {
  const std::size_t columns = info(GetParam()->type()).block_weights;
  for (const float value : {1.0f, -1.0f, 0.75f}) {
    std::vector<float> weights(columns);
    weights[5] = value;
    EXPECT_EQ(reconstruct(*GetParam(), {weights, columns, {}}), weights) << value;
  }
}

TEST_P(Symmetric, ImportanceLowersTheErrorWhereItLies) {
  const std::size_t columns = info(GetParam()->type()).block_weights, rows = 16;
  const auto weights = typical_weights(rows * columns);
  const auto importance = typical_importance(columns);
  const auto with = reconstruct(*GetParam(), {weights, columns, importance});
  const auto without = reconstruct(*GetParam(), {weights, columns, {}});
  EXPECT_LT(weighted_squared_error(weights, with, columns, importance),
            weighted_squared_error(weights, without, columns, importance));
  EXPECT_LT(weighted_squared_error(weights, without, columns, {}),
            weighted_squared_error(weights, with, columns, {}));
}

INSTANTIATE_TEST_SUITE_P(EveryType, Symmetric,
                         testing::ValuesIn(symmetric_codecs().begin(), symmetric_codecs().end()),
                         [](const auto& param) { return codec_name(param.param); });

}  // namespace
}  // namespace tessera::codecs
