#include "foundation/codecs/iq4.h"

#include "codecs/codec_properties.h"

namespace tessera::codecs {
namespace {

class Iq4 : public testing::TestWithParam<const Codec*> {};

TEST_P(Iq4, ZerosStayZero) { expect_zeros_stay_zero(*GetParam()); }
TEST_P(Iq4, ExtremeRowsGiveSensibleBlocks) { expect_extreme_rows_give_sensible_blocks(*GetParam()); }
TEST_P(Iq4, ImportanceOfZeroCountsAsNone) { expect_importance_of_zero_counts_as_none(*GetParam()); }
TEST_P(Iq4, HolesInTheImportanceAreSurvived) { expect_holes_in_the_importance_are_survived(*GetParam()); }
TEST_P(Iq4, RowsAreIndependent) { expect_rows_are_independent(*GetParam()); }
TEST_P(Iq4, SimdPathsAgree) { expect_simd_paths_agree(*GetParam()); }
TEST_P(Iq4, DecodedWeightsSurviveEncodingAgain) { expect_decoded_weights_survive(*GetParam(), 1e-6); }

INSTANTIATE_TEST_SUITE_P(EveryType, Iq4, testing::ValuesIn(iq4_codecs().begin(), iq4_codecs().end()),
                         [](const auto& param) { return codec_name(param.param); });

}  // namespace
}  // namespace tessera::codecs
