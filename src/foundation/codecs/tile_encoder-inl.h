// How every block format is encoded: tiles of rows in SIMD lanes, scales by `fit`, codes by `round`, bytes by
// `pack`.
//
// A tile is one block of columns of kLanes consecutive rows, transposed: x[column * kLanes + lane]. A lane is
// a row, so formats are written as if for one row, without any horizontal operation; the result of a row is
// the same whatever its neighbours and however wide the vectors are. The importance is the same for all
// lanes, so whatever depends on it alone (for example the importance-weighted norm of each codebook entry) is
// prepared once per block of columns and shared by all rows.
//
// A format is a struct:
//
//   struct Format {
//     static constexpr ElementType kType;
//     static constexpr std::size_t kBlockWeights, kBlockBytes;
//     static constexpr std::size_t kGroupWeights;         // the rounding unit: 1, or 4 or 8 in codebook
//     formats struct Columns;                                     // what the importance of the block's
//     columns determines static void prepare(const float* importance /*[kBlockWeights]*/, Columns& columns);
//     struct Scales;                                      // the scales of a tile, lane-wise
//     // (a) Chooses the scales of the tile under the importance.
//     static void fit(const Columns& columns, const float* x /*[kBlockWeights][kLanes]*/, Scales& scales);
//     // (b) Given the scales, chooses the code of one group for every lane.
//     static void round(const Columns& columns, const Scales& scales, std::size_t group,
//                       const float* x /*[kGroupWeights][kLanes]*/, std::int32_t* code /*[kLanes]*/);
//     // Writes the block of one lane.
//     static void pack(const Scales& scales, const std::int32_t* codes /*[groups][kLanes]*/, std::size_t
//     lane,
//                      std::byte* block /*[kBlockBytes]*/);
//   };
//
// Plain encoding calls fit, then round on every group. Error feedback calls the same two with targets that
// carry the error of the columns already done.
//
// Include once per SIMD target, after hwy/highway.h, inside a file compiled with foreach_target.h.

#if defined(TESSERA_CODECS_TILE_ENCODER_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_TILE_ENCODER_INL_H_
#undef TESSERA_CODECS_TILE_ENCODER_INL_H_
#else
#define TESSERA_CODECS_TILE_ENCODER_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "foundation/codecs/codec.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// One lane per row; at most 16 rows per tile.
using LaneTag = hn::CappedTag<float, 16>;
using LaneIntTag = hn::RebindToSigned<LaneTag>;
using LaneVector = hn::Vec<LaneTag>;
using LaneIntVector = hn::Vec<LaneIntTag>;
inline constexpr std::size_t kLanes = hn::MaxLanes(LaneTag());

/// Copies one block of columns of up to kLanes rows into x[column * kLanes + lane]. Missing rows repeat the
/// last one.
template <std::size_t kBlockWeights>
void transpose_tile(const EncodeInput& input, std::size_t first_row, std::size_t rows,
                    std::size_t first_column, float* HWY_RESTRICT x) {
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    const std::size_t row = first_row + std::min(lane, rows - 1);
    const float* HWY_RESTRICT from = input.weights.data() + row * input.columns + first_column;
    for (std::size_t i = 0; i < kBlockWeights; ++i) x[i * kLanes + lane] = from[i];
  }
}

/// The buffers of one encode call, allocated once and reused for every tile.
template <class Format>
struct TileScratch {
  static constexpr std::size_t kGroups = Format::kBlockWeights / Format::kGroupWeights;
  alignas(64) float x[Format::kBlockWeights * kLanes];
  alignas(64) std::int32_t codes[kGroups * kLanes];
  alignas(64) float importance[Format::kBlockWeights];
  typename Format::Columns columns;
  typename Format::Scales scales;
};

/// Encodes one tile and writes the blocks of its real rows, `row_stride` bytes apart.
template <class Format>
void encode_tile(TileScratch<Format>& scratch, std::size_t rows, std::byte* first_block,
                 std::size_t row_stride) {
  using Scratch = TileScratch<Format>;
  Format::fit(scratch.columns, scratch.x, scratch.scales);
  for (std::size_t group = 0; group < Scratch::kGroups; ++group) {
    Format::round(scratch.columns, scratch.scales, group, scratch.x + group * Format::kGroupWeights * kLanes,
                  scratch.codes + group * kLanes);
  }
  for (std::size_t lane = 0; lane < rows; ++lane) {
    Format::pack(scratch.scales, scratch.codes, lane, first_block + lane * row_stride);
  }
}

/// Encodes all rows of `input`. Blocks of columns are the outer loop, so each is prepared once.
template <class Format>
void encode_rows(const EncodeInput& input, std::byte* out) {
  const std::size_t rows = input.rows();
  const std::size_t blocks = input.columns / Format::kBlockWeights;
  const std::size_t row_stride = blocks * Format::kBlockBytes;
  const auto scratch = std::make_unique<TileScratch<Format>>();
  for (std::size_t block = 0; block < blocks; ++block) {
    const std::size_t first_column = block * Format::kBlockWeights;
    if (block == 0 || !input.importance.empty()) {
      for (std::size_t i = 0; i < Format::kBlockWeights; ++i) {
        scratch->importance[i] = input.importance.empty() ? 1.0f : input.importance[first_column + i];
      }
      Format::prepare(scratch->importance, scratch->columns);
    }
    for (std::size_t row = 0; row < rows; row += kLanes) {
      const std::size_t count = std::min(kLanes, rows - row);
      transpose_tile<Format::kBlockWeights>(input, row, count, first_column, scratch->x);
      encode_tile(*scratch, count, out + row * row_stride + block * Format::kBlockBytes, row_stride);
    }
  }
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
