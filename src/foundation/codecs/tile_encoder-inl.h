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
//     // Optional: what round does to every group of the tile, where several groups at once are cheaper.
//     static void round_tile(const Columns& columns, const Scales& scales, const float* x
//     /*[kBlockWeights][kLanes]*/,
//                            std::int32_t* codes /*[groups][kLanes]*/);
//     // Writes the block of one lane.
//     static void pack(const Scales& scales, const std::int32_t* codes /*[groups][kLanes]*/, std::size_t
//     lane,
//                      std::byte* block /*[kBlockBytes]*/);
//     // Or, instead of pack and without a loop over lanes: the blocks of all lanes as little-endian 32-bit
//     words. Pays
//     // where encoding is so light that packing would be the larger part of it.
//     static void pack_words(const Scales& scales, const std::int32_t* codes /*[groups][kLanes]*/,
//                            std::uint32_t* words /*[(kBlockBytes + 3) / 4][kLanes]*/);
//   };
//
// The importance that `prepare` gets has mean 1 over the block and is nowhere zero (normalize_importance).
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
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "foundation/codecs/codec.h"
#include "foundation/codecs/tile_transpose-inl.h"

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
  const float* lane_rows[kLanes];
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    const std::size_t row = first_row + std::min(lane, rows - 1);
    lane_rows[lane] = input.weights.data() + row * input.columns + first_column;
  }
  transpose_rows<kBlockWeights>(LaneTag(), lane_rows, x);
}

/// The importance of one block of columns as formats want it: mean 1, so that its unit cannot overflow a sum,
/// and nowhere zero, so that columns that calibration never saw still get a sensible code. Absent or all
/// zero: all 1.
inline void normalize_importance(std::span<const float> importance, std::span<float> normalized) {
  constexpr float kSmallestShare = 1e-6f;
  double sum = 0;
  for (const float value : importance) sum += value;
  if (sum == 0) {
    std::ranges::fill(normalized, 1.0f);
    return;
  }
  const double mean = sum / static_cast<double>(importance.size());
  for (std::size_t i = 0; i < importance.size(); ++i) {
    normalized[i] = std::max(static_cast<float>(importance[i] / mean), kSmallestShare);
  }
}

/// Formats of few bits count importance less than it is: Format::kImportancePower.
template <class Format>
void temper_importance(float* importance /*[kBlockWeights]*/) {
  if constexpr (requires { Format::kImportancePower; }) {
    for (std::size_t i = 0; i < Format::kBlockWeights; ++i) {
      importance[i] = std::pow(importance[i], Format::kImportancePower);
    }
  }
}

/// The buffers of one encode call, allocated once and reused for every tile.
template <class Format>
struct TileScratch {
  static constexpr std::size_t kGroups = Format::kBlockWeights / Format::kGroupWeights;
  alignas(64) float x[Format::kBlockWeights * kLanes];
  alignas(64) std::int32_t codes[kGroups * kLanes];
  typename Format::Scales scales;
};

/// Writes the blocks of the first `rows` lanes of a tile, `row_stride` bytes apart.
template <class Format>
void pack_tile(const typename Format::Scales& scales, const std::int32_t* codes, std::size_t rows,
               std::byte* first_block, std::size_t row_stride) {
  constexpr std::size_t kBlockWords = (Format::kBlockBytes + 3) / 4;
  if constexpr (requires(std::uint32_t * words) { Format::pack_words(scales, codes, words); }) {
    alignas(64) std::uint32_t words[kBlockWords * kLanes];
    Format::pack_words(scales, codes, words);
    store_lane_words<Format::kBlockBytes>(hn::RebindToUnsigned<LaneTag>(), words, rows, first_block,
                                          row_stride);
  } else {
    for (std::size_t lane = 0; lane < rows; ++lane) {
      Format::pack(scales, codes, lane, first_block + lane * row_stride);
    }
  }
}

/// Encodes one tile and writes the blocks of its real rows, `row_stride` bytes apart.
template <class Format>
void encode_tile(const typename Format::Columns& columns, TileScratch<Format>& scratch, std::size_t rows,
                 std::byte* first_block, std::size_t row_stride) {
  Format::fit(columns, scratch.x, scratch.scales);
  if constexpr (requires { Format::round_tile(columns, scratch.scales, scratch.x, scratch.codes); }) {
    Format::round_tile(columns, scratch.scales, scratch.x, scratch.codes);
  } else {
    for (std::size_t group = 0; group < TileScratch<Format>::kGroups; ++group) {
      Format::round(columns, scratch.scales, group, scratch.x + group * Format::kGroupWeights * kLanes,
                    scratch.codes + group * kLanes);
    }
  }
  pack_tile<Format>(scratch.scales, scratch.codes, rows, first_block, row_stride);
}

/// Prepares blocks [first, first + columns.size()); without importance they are all alike and one is enough.
template <class Format>
void prepare_blocks(const EncodeInput& input, std::size_t first,
                    std::span<typename Format::Columns> columns) {
  alignas(64) float importance[Format::kBlockWeights];
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (input.importance.empty()) {
      std::ranges::fill(importance, 1.0f);
    } else {
      normalize_importance(
          input.importance.subspan((first + i) * Format::kBlockWeights, Format::kBlockWeights), importance);
    }
    temper_importance<Format>(importance);
    Format::prepare(importance, columns[i]);
  }
}

/// Encodes all rows of `input`, a panel of blocks of columns at a time: as many as can stay prepared in the
/// cache.
template <class Format>
void encode_rows(const EncodeInput& input, std::byte* out) {
  constexpr std::size_t kPanelBytes = 64 * 1024;
  const std::size_t rows = input.rows();
  const std::size_t blocks = input.columns / Format::kBlockWeights;
  const std::size_t row_stride = blocks * Format::kBlockBytes;
  const bool alike = input.importance.empty();
  const std::size_t panel =
      alike ? blocks : std::clamp<std::size_t>(kPanelBytes / sizeof(typename Format::Columns), 1, blocks);
  std::vector<typename Format::Columns> columns(alike ? 1 : panel);
  const auto scratch = std::make_unique<TileScratch<Format>>();
  for (std::size_t first = 0; first < blocks; first += panel) {
    const std::size_t end = std::min(first + panel, blocks);
    prepare_blocks<Format>(input, first, std::span(columns).first(alike ? 1 : end - first));
    for (std::size_t row = 0; row < rows; row += kLanes) {
      const std::size_t count = std::min(kLanes, rows - row);
      for (std::size_t block = first; block < end; ++block) {
        transpose_tile<Format::kBlockWeights>(input, row, count, block * Format::kBlockWeights, scratch->x);
        encode_tile(columns[alike ? 0 : block - first], *scratch, count,
                    out + row * row_stride + block * Format::kBlockBytes, row_stride);
      }
    }
  }
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
