#include "foundation/codecs/grid_codecs.h"

#include <cctype>
#include <string>

#include "codecs/codec_properties.h"
#include "foundation/codecs/iq2_layouts.h"
#include "foundation/codecs/iq3_layouts.h"
#include "foundation/tensor/float16.h"

namespace tessera::codecs {
namespace {

class GridCodecs : public testing::TestWithParam<const Codec*> {};

TEST_P(GridCodecs, ZerosStayZero) { expect_zeros_stay_zero(*GetParam()); }
/// These formats have no zero, and they weigh columns by a power of their importance: the huge weight is met,
/// though it is in a column of little importance.
TEST_P(GridCodecs, ExtremeRowsGiveSensibleBlocks) {
  expect_extreme_rows_give_sensible_blocks(*GetParam(), 5.0);
}
TEST_P(GridCodecs, ImportanceOfZeroCountsAsNone) { expect_importance_of_zero_counts_as_none(*GetParam()); }
TEST_P(GridCodecs, HolesInTheImportanceAreSurvived) {
  expect_holes_in_the_importance_are_survived(*GetParam());
}
TEST_P(GridCodecs, RowsAreIndependent) { expect_rows_are_independent(*GetParam()); }
TEST_P(GridCodecs, SimdPathsAgree) { expect_simd_paths_agree(*GetParam()); }

/// Not exactly: the shortlists that the scales are chosen from hold few of the codes.
TEST_P(GridCodecs, DecodedWeightsNearlySurviveEncodingAgain) {
  expect_decoded_weights_survive(*GetParam(), 0.02);
}

INSTANTIATE_TEST_SUITE_P(EveryType, GridCodecs, testing::ValuesIn(grid_codecs().begin(), grid_codecs().end()),
                         [](const auto& param) { return codec_name(param.param); });

template <class Layout>
class GridLayouts : public testing::Test {
 protected:
  static constexpr std::size_t kVectors = Layout::kGroupWeights / Layout::kShape.width;
  static constexpr std::size_t kSignBit = kVectors * Layout::kIndexBits;
  static constexpr std::size_t kGroups = Layout::kBlockWeights / Layout::kGroupWeights;

  /// Every index of the codebook occurs for some `seed`.
  static GridBlock varied_block(std::size_t seed) {
    GridBlock block;
    block.half_scale = half_from_float(1.0f);
    for (std::size_t i = 0; i < Layout::kBlockWeights / Layout::kSubBlockWeights; ++i) {
      block.sub_scales[i] = static_cast<std::uint8_t>((5 * i + seed) % 16);
    }
    for (std::size_t group = 0; group < kGroups; ++group) {
      std::uint32_t code = 0;
      for (std::size_t vector = 0; vector < kVectors; ++vector) {
        const std::size_t index = (kGroups * seed + group + 97 * vector) % Layout::kEntries.size();
        code |= static_cast<std::uint32_t>(index << (vector * Layout::kIndexBits));
      }
      const auto signs = static_cast<std::uint32_t>((37 * group + 11 * seed) % (1u << Layout::kGroupWeights));
      block.codes[group] = code | (Layout::kEvenSigns ? even_signs(signs & 127u) : signs) << kSignBit;
    }
    return block;
  }
};

using Layouts = testing::Types<Iq2XxsLayout, Iq2XsLayout, Iq2SLayout, Iq3XxsLayout, Iq3SLayout>;
TYPED_TEST_SUITE(GridLayouts, Layouts);

TYPED_TEST(GridLayouts, WhatIsWrittenIsReadBack) {
  for (std::size_t seed = 0; seed < 40; ++seed) {
    const GridBlock block = this->varied_block(seed);
    std::vector<std::byte> bytes(TypeParam::kBlockBytes, std::byte{0xA5});
    TypeParam::write(block, bytes.data());
    GridBlock again;
    TypeParam::read(bytes.data(), again);
    EXPECT_EQ(again.half_scale, block.half_scale);
    EXPECT_EQ(again.sub_scales, block.sub_scales);
    EXPECT_EQ(again.codes, block.codes);
  }
}

TYPED_TEST(GridLayouts, EveryCodebookEntryDecodesToItsMagnitudesAndSigns) {
  for (std::size_t seed = 0; seed < 40; ++seed) {
    const GridBlock block = this->varied_block(seed);
    std::vector<std::byte> bytes(TypeParam::kBlockBytes);
    TypeParam::write(block, bytes.data());
    std::vector<float> decoded(TypeParam::kBlockWeights);
    codec_for(TypeParam::kType).decode(bytes, decoded);
    constexpr std::size_t kWidth = TypeParam::kShape.width;
    for (std::size_t j = 0; j < TypeParam::kBlockWeights; ++j) {
      const std::uint32_t code = block.codes[j / TypeParam::kGroupWeights];
      const std::size_t in_group = j % TypeParam::kGroupWeights;
      const std::size_t index =
          (code >> (in_group / kWidth * TypeParam::kIndexBits)) % (1u << TypeParam::kIndexBits);
      const std::size_t level = (TypeParam::kEntries[index] >> (j % kWidth * TypeParam::kShape.level_bits)) %
                                (1u << TypeParam::kShape.level_bits);
      const bool negative = ((code >> (this->kSignBit + in_group)) & 1u) != 0;
      const auto odd_multiple = static_cast<float>(2 * block.sub_scales[j / TypeParam::kSubBlockWeights] + 1);
      const float magnitude = TypeParam::kScaleUnit * odd_multiple * TypeParam::kLevels[level];
      ASSERT_EQ(decoded[j], negative ? -magnitude : magnitude) << "seed " << seed << ", weight " << j;
    }
  }
}

TYPED_TEST(GridLayouts, CodebookEqualsTheReferenceTable) {
  std::string name(name_of(TypeParam::kType));
  std::erase(name, '_');
  for (char& c : name) c = static_cast<char>(std::tolower(c));
  std::ifstream file(std::filesystem::path(TESSERA_SHARED) / "formats/codebooks" / (name + "_grid.txt"));
  if (!file) GTEST_SKIP() << "no reference table at " << TESSERA_SHARED;
  std::string header;
  std::getline(file, header);
  for (const std::uint16_t entry : TypeParam::kEntries) {
    for (std::size_t i = 0; i < TypeParam::kShape.width; ++i) {
      float magnitude = 0;
      file >> magnitude;
      const std::size_t level =
          (entry >> (i * TypeParam::kShape.level_bits)) % (1u << TypeParam::kShape.level_bits);
      ASSERT_EQ(TypeParam::kLevels[level], magnitude);
    }
  }
}

/// The search at one scale is exhaustive: no other entry, and with even signs no other flip, is closer.
TYPED_TEST(GridLayouts, CodesAreTheBestAtTheScalesOfTheBlock) {
  if constexpr (TypeParam::kGroupWeights == TypeParam::kShape.width) {
    const auto weights = typical_weights(TypeParam::kBlockWeights);
    std::vector<std::byte> bytes(TypeParam::kBlockBytes);
    codec_for(TypeParam::kType).encode({weights, TypeParam::kBlockWeights, {}}, bytes);
    GridBlock block;
    TypeParam::read(bytes.data(), block);
    std::vector<float> decoded(TypeParam::kBlockWeights);
    codec_for(TypeParam::kType).decode(bytes, decoded);
    // The stored d is larger than the one the codes were chosen at, by a factor near the inverse of this
    // gain.
    double products = 0;
    for (std::size_t j = 0; j < weights.size(); ++j) products += double{weights[j]} * double{decoded[j]};
    const double gain = products / sum_of_squares(decoded);
    const double d = double{float_from_half(block.half_scale)} * gain * double{TypeParam::kScaleUnit};
    double chosen_errors = 0, best_errors = 0;
    for (std::size_t group = 0; group < this->kGroups; ++group) {
      const std::size_t first = group * TypeParam::kGroupWeights;
      const double scale = d * (2 * block.sub_scales[first / TypeParam::kSubBlockWeights] + 1);
      double best = std::numeric_limits<double>::infinity();
      for (std::size_t index = 0; index < TypeParam::kEntries.size(); ++index) {
        double error = 0, flip = std::numeric_limits<double>::infinity();
        bool odd = false;
        for (std::size_t i = 0; i < TypeParam::kGroupWeights; ++i) {
          const std::size_t level = (TypeParam::kEntries[index] >> (i * TypeParam::kShape.level_bits)) %
                                    (1u << TypeParam::kShape.level_bits);
          const double x = std::abs(double{weights[first + i]}),
                       y = scale * double{TypeParam::kLevels[level]};
          error += (x - y) * (x - y);
          flip = std::min(flip, 4 * x * y);
          odd ^= weights[first + i] < 0;
        }
        best = std::min(best, error + (TypeParam::kEvenSigns && odd ? flip : 0.0));
      }
      best_errors += best;
      for (std::size_t i = 0; i < TypeParam::kGroupWeights; ++i) {
        const double difference = double{weights[first + i]} - gain * double{decoded[first + i]};
        chosen_errors += difference * difference;
      }
    }
    EXPECT_LE(chosen_errors, best_errors * 1.0005);
  }
}

}  // namespace
}  // namespace tessera::codecs
