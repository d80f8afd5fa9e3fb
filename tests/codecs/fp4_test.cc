#include "foundation/codecs/fp4.h"

#include "codecs/codec_properties.h"

namespace tessera::codecs {
namespace {

class Fp4 : public testing::TestWithParam<const Codec*> {};

TEST_P(Fp4, ZerosStayZero) { expect_zeros_stay_zero(*GetParam()); }
TEST_P(Fp4, ExtremeRowsGiveSensibleBlocks) { expect_extreme_rows_give_sensible_blocks(*GetParam()); }
TEST_P(Fp4, ImportanceOfZeroCountsAsNone) { expect_importance_of_zero_counts_as_none(*GetParam()); }
TEST_P(Fp4, HolesInTheImportanceAreSurvived) { expect_holes_in_the_importance_are_survived(*GetParam()); }
TEST_P(Fp4, RowsAreIndependent) { expect_rows_are_independent(*GetParam()); }
TEST_P(Fp4, SimdPathsAgree) { expect_simd_paths_agree(*GetParam()); }
TEST_P(Fp4, DecodedWeightsSurviveExactly) { expect_decoded_weights_survive(*GetParam(), 0.0); }

INSTANTIATE_TEST_SUITE_P(EveryType, Fp4, testing::ValuesIn(fp4_codecs().begin(), fp4_codecs().end()),
                         [](const auto& param) { return codec_name(param.param); });

TEST(Mxfp4, EveryLevelIsMetExactlyAtEveryScaleTheEncoderWrites) {
  constexpr float kLevels[] = {0, 1, 2, 3, 4, 6, 8, 12, -1, -2, -3, -4, -6, -8, -12, 0};
  for (int exponent = -126; exponent <= 124; ++exponent) {
    std::vector<float> weights(32);
    for (std::size_t i = 0; i < 32; ++i) weights[i] = std::ldexp(kLevels[i % 16], exponent);
    EXPECT_EQ(reconstruct(mxfp4_codec(), {weights, 32, {}}), weights) << "scale 2^" << exponent;
  }
}

TEST(Nvfp4, EveryLevelIsMetExactlyAtEveryScaleByte) {
  constexpr float kLevels[] = {0, 1, 2, 3, 4, 6, 8, 12, -1, -2, -3, -4, -6, -8, -12, 0};
  for (std::uint32_t byte = 1; byte <= 126; ++byte) {
    std::vector<std::byte> scaled_one(36, std::byte{0x11});  // every code is 1: decodes to the scale
    std::fill_n(scaled_one.begin(), 4, static_cast<std::byte>(byte));
    std::vector<float> weights(64);
    nvfp4_codec().decode(scaled_one, weights);
    for (std::size_t i = 0; i < 64; ++i) weights[i] *= kLevels[i % 16];
    EXPECT_EQ(reconstruct(nvfp4_codec(), {weights, 64, {}}), weights) << "scale byte " << byte;
  }
}

}  // namespace
}  // namespace tessera::codecs
