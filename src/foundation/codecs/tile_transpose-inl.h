// Transpositions between rows in memory and columns in SIMD lanes, four columns at a time in registers.
//
// A vector is filled with one 16-byte piece of every fourth row, so that a 4x4 transposition inside each
// 16-byte block of four such vectors (two rounds of interleaving) finishes the work for every vector width.
//
// Include once per SIMD target, after hwy/highway.h, inside a file compiled with foreach_target.h.

#if defined(TESSERA_CODECS_TILE_TRANSPOSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_TILE_TRANSPOSE_INL_H_
#undef TESSERA_CODECS_TILE_TRANSPOSE_INL_H_
#else
#define TESSERA_CODECS_TILE_TRANSPOSE_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

/// x[i] = rows[0][i] for i in [0, kColumns): with one lane nothing is transposed.
template <std::size_t kColumns, class D>
void transpose_rows(D, const float* const* rows, float* HWY_RESTRICT x) {
  std::memcpy(x, rows[0], kColumns * sizeof(float));
}

/// Writes the first kBytes bytes of the only lane's little-endian words.
template <std::size_t kBytes, class D>
void store_lane_words(D, const std::uint32_t* HWY_RESTRICT words, std::size_t, std::byte* out, std::size_t) {
  std::memcpy(out, words, kBytes);
}

#else

/// Transposes the 4x4 matrix of 32-bit values in each 16-byte block of four vectors.
template <class D>
void transpose_blocks(D d, std::array<hn::Vec<D>, 4>& v) {
  const hn::RepartitionToWide<hn::RebindToUnsigned<D> > wide;
  const auto low01 = hn::BitCast(wide, hn::InterleaveLower(d, v[0], v[1]));
  const auto low23 = hn::BitCast(wide, hn::InterleaveLower(d, v[2], v[3]));
  const auto high01 = hn::BitCast(wide, hn::InterleaveUpper(d, v[0], v[1]));
  const auto high23 = hn::BitCast(wide, hn::InterleaveUpper(d, v[2], v[3]));
  v[0] = hn::BitCast(d, hn::InterleaveLower(wide, low01, low23));
  v[1] = hn::BitCast(d, hn::InterleaveUpper(wide, low01, low23));
  v[2] = hn::BitCast(d, hn::InterleaveLower(wide, high01, high23));
  v[3] = hn::BitCast(d, hn::InterleaveUpper(wide, high01, high23));
}

/// Block b of the result is rows[4 * b][column .. column + 3].
template <class D>
hn::Vec<D> load_every_fourth_row(D d, const float* const* rows, std::size_t column) {
  if constexpr (hn::MaxLanes(D()) == 4) {
    return hn::LoadU(d, rows[0] + column);
  } else {
    const hn::Half<D> half;
    constexpr std::size_t kHalf = hn::MaxLanes(hn::Half<D>());
    return hn::Combine(d, load_every_fourth_row(half, rows + kHalf, column),
                       load_every_fourth_row(half, rows, column));
  }
}

/// x[i * lanes + lane] = rows[lane][i] for i in [0, kColumns).
template <std::size_t kColumns, class D>
void transpose_rows(D d, const float* const* rows, float* HWY_RESTRICT x) {
  constexpr std::size_t kWidth = hn::MaxLanes(D());
  static_assert(kColumns % 4 == 0);
  for (std::size_t column = 0; column < kColumns; column += 4) {
    std::array<hn::Vec<D>, 4> v{
        load_every_fourth_row(d, rows + 0, column), load_every_fourth_row(d, rows + 1, column),
        load_every_fourth_row(d, rows + 2, column), load_every_fourth_row(d, rows + 3, column)};
    transpose_blocks(d, v);
    for (std::size_t i = 0; i < 4; ++i) hn::Store(v[i], d, x + (column + i) * kWidth);
  }
}

/// Writes the first kBytes bytes of every lane's little-endian words[word * lanes + lane] to out + lane *
/// stride, for the first `count` lanes.
template <std::size_t kBytes, class D>
void store_lane_words(D d, const std::uint32_t* HWY_RESTRICT words, std::size_t count, std::byte* out,
                      std::size_t stride) {
  constexpr std::size_t kWidth = hn::MaxLanes(D());
  constexpr std::size_t kWords = kBytes / 16 * 4;
  alignas(64) std::uint32_t pieces[4 * kWidth];
  for (std::size_t word = 0; word < kWords; word += 4) {
    std::array<hn::Vec<D>, 4> v{hn::Load(d, words + word * kWidth), hn::Load(d, words + (word + 1) * kWidth),
                                hn::Load(d, words + (word + 2) * kWidth),
                                hn::Load(d, words + (word + 3) * kWidth)};
    transpose_blocks(d, v);
    for (std::size_t i = 0; i < 4; ++i) hn::Store(v[i], d, pieces + i * kWidth);
    for (std::size_t lane = 0; lane < count; ++lane) {
      std::memcpy(out + lane * stride + word * 4, pieces + (lane % 4) * kWidth + lane / 4 * 4, 16);
    }
  }
  for (std::size_t byte = kWords * 4; byte < kBytes; byte += 4) {
    for (std::size_t lane = 0; lane < count; ++lane) {
      std::memcpy(out + lane * stride + byte, words + byte / 4 * kWidth + lane,
                  std::min<std::size_t>(4, kBytes - byte));
    }
  }
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
