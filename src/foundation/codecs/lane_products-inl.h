// Products of a small matrix, the same for all lanes, with vectors of lanes: what carries errors between the
// columns of a panel. Columns of lanes are kLanes apart.
//
// Include once per SIMD target, after tile_encoder-inl.h.

#if defined(TESSERA_CODECS_LANE_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_LANE_PRODUCTS_INL_H_
#undef TESSERA_CODECS_LANE_PRODUCTS_INL_H_
#else
#define TESSERA_CODECS_LANE_PRODUCTS_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>

#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// Columns whose changes are gathered before they are spread over the rest of a panel.
inline constexpr std::size_t kStripColumns = 16;

/// target[k] += sum_j coefficients[k, j] change[j] for k in [begin, end): `coefficients` points at the
/// first of kStripColumns columns j, its rows are `stride` apart.
HWY_INLINE void spread_changes(const float* HWY_RESTRICT coefficients, std::size_t stride,
                               const float* HWY_RESTRICT changes, std::size_t begin, std::size_t end,
                               float* HWY_RESTRICT target) {
  const LaneTag tag;
  LaneVector change[kStripColumns];
  for (std::size_t j = 0; j < kStripColumns; ++j) change[j] = hn::Load(tag, changes + j * kLanes);
  std::size_t k = begin;
  for (; k + 4 <= end; k += 4) {
    const float* HWY_RESTRICT c = coefficients + k * stride;
    float* HWY_RESTRICT t = target + k * kLanes;
    auto sum0 = hn::Load(tag, t), sum1 = hn::Load(tag, t + kLanes), sum2 = hn::Load(tag, t + 2 * kLanes),
         sum3 = hn::Load(tag, t + 3 * kLanes);
    for (std::size_t j = 0; j < kStripColumns; ++j) {
      sum0 = hn::MulAdd(hn::Set(tag, c[j]), change[j], sum0);
      sum1 = hn::MulAdd(hn::Set(tag, c[stride + j]), change[j], sum1);
      sum2 = hn::MulAdd(hn::Set(tag, c[2 * stride + j]), change[j], sum2);
      sum3 = hn::MulAdd(hn::Set(tag, c[3 * stride + j]), change[j], sum3);
    }
    hn::Store(sum0, tag, t);
    hn::Store(sum1, tag, t + kLanes);
    hn::Store(sum2, tag, t + 2 * kLanes);
    hn::Store(sum3, tag, t + 3 * kLanes);
  }
  for (; k < end; ++k) {
    auto sum = hn::Load(tag, target + k * kLanes);
    for (std::size_t j = 0; j < kStripColumns; ++j) {
      sum = hn::MulAdd(hn::Set(tag, coefficients[k * stride + j]), change[j], sum);
    }
    hn::Store(sum, tag, target + k * kLanes);
  }
}

/// z with z R = a for `size` columns: z_k = (a_k - sum_{j < k} z_j R_jk) / R_kk.
inline void solve(const float* factor, std::size_t stride, std::size_t size, const float* a, float* z) {
  const LaneTag tag;
  for (std::size_t k = 0; k < size; ++k) {
    auto even = hn::Load(tag, a + k * kLanes), odd = hn::Zero(tag);
    std::size_t j = 0;
    for (; j + 2 <= k; j += 2) {
      even = hn::NegMulAdd(hn::Set(tag, factor[k * stride + j]), hn::Load(tag, z + j * kLanes), even);
      odd = hn::NegMulAdd(hn::Set(tag, factor[k * stride + j + 1]), hn::Load(tag, z + (j + 1) * kLanes), odd);
    }
    if (j < k)
      even = hn::NegMulAdd(hn::Set(tag, factor[k * stride + j]), hn::Load(tag, z + j * kLanes), even);
    hn::Store(hn::Mul(hn::Add(even, odd), hn::Set(tag, 1.0f / factor[k * stride + k])), tag, z + k * kLanes);
  }
}

/// result[k] = sum_j matrix[k, j] x[j] for j in [begin, end); rows of the matrix are `stride` apart.
HWY_INLINE LaneVector row_product(const float* HWY_RESTRICT row, const float* HWY_RESTRICT x,
                                  std::size_t begin, std::size_t end) {
  const LaneTag tag;
  auto even = hn::Zero(tag), odd = hn::Zero(tag);
  std::size_t j = begin;
  for (; j + 2 <= end; j += 2) {
    even = hn::MulAdd(hn::Set(tag, row[j]), hn::Load(tag, x + j * kLanes), even);
    odd = hn::MulAdd(hn::Set(tag, row[j + 1]), hn::Load(tag, x + (j + 1) * kLanes), odd);
  }
  if (j < end) even = hn::MulAdd(hn::Set(tag, row[j]), hn::Load(tag, x + j * kLanes), even);
  return hn::Add(even, odd);
}

/// Rows that row_products takes together: their sums do not wait for each other.
inline constexpr std::size_t kProductRows = 4;

/// The same for kProductRows rows that follow each other, to the bit; j in steps of 2.
HWY_INLINE void row_products(const float* HWY_RESTRICT rows, std::size_t stride, const float* HWY_RESTRICT x,
                             std::size_t begin, std::size_t end,
                             float* HWY_RESTRICT result /*[kProductRows][kLanes]*/) {
  const LaneTag tag;
  const float* HWY_RESTRICT const row0 = rows;
  const float* HWY_RESTRICT const row1 = rows + stride;
  const float* HWY_RESTRICT const row2 = rows + 2 * stride;
  const float* HWY_RESTRICT const row3 = rows + 3 * stride;
  auto even0 = hn::Zero(tag), even1 = even0, even2 = even0, even3 = even0;
  auto odd0 = even0, odd1 = even0, odd2 = even0, odd3 = even0;
  for (std::size_t j = begin; j < end; j += 2) {
    const auto first = hn::Load(tag, x + j * kLanes), second = hn::Load(tag, x + (j + 1) * kLanes);
    even0 = hn::MulAdd(hn::Set(tag, row0[j]), first, even0);
    even1 = hn::MulAdd(hn::Set(tag, row1[j]), first, even1);
    even2 = hn::MulAdd(hn::Set(tag, row2[j]), first, even2);
    even3 = hn::MulAdd(hn::Set(tag, row3[j]), first, even3);
    odd0 = hn::MulAdd(hn::Set(tag, row0[j + 1]), second, odd0);
    odd1 = hn::MulAdd(hn::Set(tag, row1[j + 1]), second, odd1);
    odd2 = hn::MulAdd(hn::Set(tag, row2[j + 1]), second, odd2);
    odd3 = hn::MulAdd(hn::Set(tag, row3[j + 1]), second, odd3);
  }
  hn::Store(hn::Add(even0, odd0), tag, result);
  hn::Store(hn::Add(even1, odd1), tag, result + kLanes);
  hn::Store(hn::Add(even2, odd2), tag, result + 2 * kLanes);
  hn::Store(hn::Add(even3, odd3), tag, result + 3 * kLanes);
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
