// What the importance and the codebook determine for a block of columns, and the weighing of a group of
// weights.
//
// `Layout` is the description of a format, see grid_format-inl.h. Include once per SIMD target.

#if defined(TESSERA_CODECS_GRID_COLUMNS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_GRID_COLUMNS_INL_H_
#undef TESSERA_CODECS_GRID_COLUMNS_INL_H_
#else
#define TESSERA_CODECS_GRID_COLUMNS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "foundation/codecs/grid_search-inl.h"
#include "foundation/codecs/split_codebook.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

template <class Layout>
const SplitCodebook& split_codebook() {
  static const SplitCodebook codebook(Layout::kShape, Layout::kEntries, kLanes);
  return codebook;
}

template <class Layout>
const std::vector<float>& codebook_magnitudes() {
  static const std::vector<float> all = magnitudes(Layout::kShape, Layout::kEntries, Layout::kLevels);
  return all;
}

template <class Layout>
struct GridColumns {
  float importance[Layout::kBlockWeights];  ///< as the search weighs it
  GroupNorms<Layout> norms[GridSizes<Layout>::kGroups];
};

/// The search weighs columns by this power of their importance. With the importance itself a block of two or
/// three bits gives up its unimportant columns, and the KL divergence on text unlike the calibration text is
/// the worse for it: models/small in IQ2_XXS, 0.046 with power 1, 0.039 with 0.7, 0.035 with 0.5 (0.039:
/// ggml).
inline constexpr float kGridImportancePower = 0.55f;

template <class Layout>
void prepare_columns(const float* importance, GridColumns<Layout>& columns) {
  using Sizes = GridSizes<Layout>;
  for (std::size_t i = 0; i < Layout::kBlockWeights; ++i) {
    columns.importance[i] = importance[i];
  }
  for (std::size_t half = 0; half < 2 * Sizes::kVectors * Sizes::kGroups; ++half) {
    const float* w = columns.importance + half * Sizes::kHalfWidth;
    GroupNorms<Layout>& norms = columns.norms[half / (2 * Sizes::kVectors)];
    float* of_half = norms.of[half / 2 % Sizes::kVectors][half % 2];
    for (std::size_t c = 0; c < Sizes::kCombinations; ++c) {
      float norm = 0.0f;
      std::size_t digits = c;
      for (std::size_t i = 0; i < Sizes::kHalfWidth; ++i, digits /= Layout::kShape.levels) {
        const float level = Layout::kLevels[digits % Layout::kShape.levels];
        norm += w[i] * level * level;
      }
      of_half[c] = norm;
    }
  }
}

/// Writes v = importance * |x| * unit of one group, [kGroupWeights][lane], and returns its sign bits.
template <class Layout>
HWY_INLINE LaneIntVector weigh_group(const float* importance, const float* x, LaneVector unit, float* v) {
  const LaneTag d;
  const LaneIntTag di;
  LaneIntVector signs = hn::Zero(di);
  for (std::size_t i = 0; i < Layout::kGroupWeights; ++i) {
    const LaneVector weight = hn::Load(d, x + i * kLanes);
    const LaneVector magnitude = hn::Mul(hn::Abs(weight), unit);
    hn::Store(hn::Mul(magnitude, hn::Set(d, importance[i])), d, v + i * kLanes);
    const auto negative = hn::RebindMask(di, hn::Lt(weight, hn::Zero(d)));
    signs = hn::Or(signs, hn::IfThenElseZero(negative, hn::Set(di, 1 << i)));
  }
  return signs;
}

/// 1 where the number of sign bits is odd, else 0; at most 8 bits are set.
HWY_INLINE LaneIntVector parity_of(LaneIntVector signs) {
  signs = hn::Xor(signs, hn::ShiftRight<4>(signs));
  signs = hn::Xor(signs, hn::ShiftRight<2>(signs));
  signs = hn::Xor(signs, hn::ShiftRight<1>(signs));
  return hn::And(signs, hn::Set(LaneIntTag(), 1));
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
