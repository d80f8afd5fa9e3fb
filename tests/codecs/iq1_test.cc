#include "foundation/codecs/iq1.h"

#include "codecs/codec_properties.h"
#include "foundation/codecs/iq1_grid.h"

namespace tessera::codecs {
namespace {

class Iq1 : public testing::TestWithParam<const Codec*> {};

TEST_P(Iq1, ZerosStayZero) { expect_zeros_stay_zero(*GetParam()); }
/// These formats have no zero, and weigh columns by less than their importance.
TEST_P(Iq1, ExtremeRowsGiveSensibleBlocks) { expect_extreme_rows_give_sensible_blocks(*GetParam(), 2.0); }
TEST_P(Iq1, ImportanceOfZeroCountsAsNone) { expect_importance_of_zero_counts_as_none(*GetParam()); }
TEST_P(Iq1, HolesInTheImportanceAreSurvived) { expect_holes_in_the_importance_are_survived(*GetParam()); }
TEST_P(Iq1, RowsAreIndependent) { expect_rows_are_independent(*GetParam()); }
TEST_P(Iq1, SimdPathsAgree) { expect_simd_paths_agree(*GetParam()); }

/// Not exactly: the same weights may be met at other scales, and the search for d may settle there.
TEST_P(Iq1, DecodedWeightsNearlySurviveEncodingAgain) { expect_decoded_weights_survive(*GetParam(), 0.02); }

INSTANTIATE_TEST_SUITE_P(EveryType, Iq1, testing::ValuesIn(iq1_codecs().begin(), iq1_codecs().end()),
                         [](const auto& param) { return codec_name(param.param); });

TEST(Iq1Grid, HoldsAsManyVectorsAsThereAreIndices) {
  std::size_t count = 0;
  for (std::size_t number = 0; number < kTernaryVectors; ++number) count += in_iq1_grid(number);
  EXPECT_EQ(count, kIq1GridSize);
}

TEST(Iq1Grid, EqualsTheReferenceTable) {
  std::ifstream file(std::filesystem::path(TESSERA_SHARED) / "formats/codebooks/iq1_grid.txt");
  if (!file) GTEST_SKIP() << "no reference table at " << TESSERA_SHARED;
  std::string header;
  std::getline(file, header);
  for (std::size_t index = 0; index < kIq1GridSize; ++index) {
    int number = 0;
    for (int i = 0, power = 1; i < 8; ++i, power *= 3) {
      int value = 0;
      file >> value;
      number += (value + 1) * power;
    }
    ASSERT_EQ(kIq1Numbers[index], number) << "index " << index;
  }
}

/// Least squares would leave the explained share of the energy, about 0.8; the scale makes up for most of the
/// rest.
TEST_P(Iq1, ScaleMakesUpForMostOfTheShrinkage) {
  const std::size_t columns = 1024, rows = 16;
  const auto weights = typical_weights(rows * columns);
  const auto decoded = reconstruct(*GetParam(), {weights, columns, {}});
  double product = 0, energy = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) product += double{weights[i]} * double{decoded[i]};
  for (const float y : decoded) energy += double{y} * double{y};
  const double kept = product / sum_of_squares(weights), explained = kept * product / energy;
  EXPECT_GT(kept, 1.0 - (1.0 - explained) * 0.4);
  EXPECT_LT(kept, 1.02);
}

/// One octet of the format's own values, at d = 1, m = 1: the search finds an entry that decodes to exactly
/// these.
TEST(Iq1S, EveryGridEntryIsFoundAgain) {
  for (std::size_t index = 0; index < kIq1GridSize; index += 7) {
    std::vector<std::byte> block(50);
    block[1] = std::byte{0x3C};  // d = 1
    for (std::size_t octet = 0; octet < 32; ++octet) {
      const std::size_t entry = (index + 61 * octet) % kIq1GridSize;
      block[2 + octet] = static_cast<std::byte>(entry & 255u);
      block[34 + octet / 4 * 2 + octet % 4 * 3 / 8] |=
          static_cast<std::byte>((entry >> 8) << (octet % 4 * 3 % 8));
      if (octet % 4 == 2) block[35 + octet / 4 * 2] |= static_cast<std::byte>((entry >> 8) >> 2);
    }
    std::vector<float> weights(256);
    iq1_s_codec().decode(block, weights);
    const auto again = reconstruct(iq1_s_codec(), {weights, 256, {}});
    for (std::size_t i = 0; i < 256; ++i) ASSERT_NEAR(again[i], weights[i], 0.002f) << "index " << index;
  }
}

}  // namespace
}  // namespace tessera::codecs
