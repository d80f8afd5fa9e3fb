// The two searches IQ4_NL and IQ4_XS share: the nearest of the 16 levels, and the scale of 32 weights.
//
// The scale search minimises sum_i w_i (x_i - s K[q_i])^2 over the scale s and the codes q. For fixed codes
// the best scale is s = sum w x K / sum w K^2 and leaves sum w x^2 - gain, gain = (sum w x K)^2 / sum w K^2.
// Starting scales are spread over the range in which the largest weight meets the outer levels, with both
// signs because the levels are not symmetric; the best few steps then alternate between rounding and the
// least-squares scale (Lloyd's algorithm).
//
// Include once per SIMD target, after tile_encoder-inl.h.

#if defined(TESSERA_CODECS_IQ4_SEARCH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_IQ4_SEARCH_INL_H_
#undef TESSERA_CODECS_IQ4_SEARCH_INL_H_
#else
#define TESSERA_CODECS_IQ4_SEARCH_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>

#include "foundation/codecs/iq4_levels.h"
#include "foundation/codecs/lane_math-inl.h"
#include "foundation/codecs/lane_range-inl.h"
#include "foundation/codecs/lane_scales-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// Weights that share a scale, in both formats.
inline constexpr std::size_t kIq4SubBlock = 32;

/// Lookup tables over a pair of neighbouring levels (0..7), each twice in a row as lookup_8 wants it.
struct Iq4Tables {
  alignas(64) float even[16];            ///< levels 0, 2, 4 ...
  alignas(64) float odd[16];             ///< levels 1, 3, 5 ...
  alignas(64) float within_pair[16];     ///< midpoint between the two levels of a pair
  alignas(64) float within_quarter[16];  ///< midpoint between the two pairs of a quarter, for quarters 0..3
};

inline constexpr float iq4_midpoint(std::size_t below) {
  return 0.5f * static_cast<float>(kIq4Levels[below] + kIq4Levels[below + 1]);
}

inline constexpr Iq4Tables make_iq4_tables() {
  Iq4Tables tables{};
  for (std::size_t i = 0; i < 16; ++i) {
    const std::size_t pair = i % 8;
    tables.even[i] = kIq4Levels[2 * pair];
    tables.odd[i] = kIq4Levels[2 * pair + 1];
    tables.within_pair[i] = iq4_midpoint(2 * pair);
    tables.within_quarter[i] = iq4_midpoint(4 * (i % 4) + 1);
  }
  return tables;
}

inline constexpr Iq4Tables kIq4Tables = make_iq4_tables();

struct NearestLevel {
  LaneIntVector pair;        ///< index of the level / 2
  hn::Mask<LaneTag> is_odd;  ///< the odd level of the pair
};

/// The level nearest to t, by four comparisons with midpoints.
HWY_INLINE NearestLevel nearest_level(LaneVector t) {
  const LaneTag df;
  const LaneIntTag di;
  const auto upper = hn::Ge(t, hn::Set(df, iq4_midpoint(7)));
  const auto upper_quarter =
      hn::Ge(t, hn::IfThenElse(upper, hn::Set(df, iq4_midpoint(11)), hn::Set(df, iq4_midpoint(3))));
  const auto quarter = hn::Add(hn::IfThenElseZero(hn::RebindMask(di, upper), hn::Set(di, 2)),
                               hn::IfThenElseZero(hn::RebindMask(di, upper_quarter), hn::Set(di, 1)));
  const auto upper_pair = hn::Ge(t, lookup_8(kIq4Tables.within_quarter, quarter));
  const auto pair =
      hn::Add(hn::Add(quarter, quarter), hn::IfThenElseZero(hn::RebindMask(di, upper_pair), hn::Set(di, 1)));
  return {pair, hn::Ge(t, lookup_8(kIq4Tables.within_pair, pair))};
}

HWY_INLINE LaneVector level_value(const NearestLevel& level) {
  return hn::IfThenElse(level.is_odd, lookup_8(kIq4Tables.odd, level.pair),
                        lookup_8(kIq4Tables.even, level.pair));
}

HWY_INLINE LaneIntVector level_code(const NearestLevel& level) {
  const LaneIntTag di;
  return hn::Add(hn::Add(level.pair, level.pair),
                 hn::IfThenElseZero(hn::RebindMask(di, level.is_odd), hn::Set(di, 1)));
}

/// The level that a code stands for.
HWY_INLINE LaneVector level_of_code(LaneIntVector code) {
  const LaneIntTag di;
  const auto odd = hn::TestBit(code, hn::Set(di, 1));
  return level_value({hn::ShiftRight<1>(code), hn::RebindMask(LaneTag(), odd)});
}

/// sum w x K and sum w K^2 of the codes that a scale leads to.
struct Iq4Sums {
  LaneVector xk;
  LaneVector kk;
};

/// `x` is [kIq4SubBlock][kLanes], `weights` [kIq4SubBlock], `inverse_scale` 1 / s.
HWY_INLINE Iq4Sums iq4_sums(const float* HWY_RESTRICT weights, const float* HWY_RESTRICT x,
                            LaneVector inverse_scale) {
  const LaneTag df;
  Iq4Sums sums{hn::Zero(df), hn::Zero(df)};
  for (std::size_t i = 0; i < kIq4SubBlock; ++i) {
    const auto value = hn::Load(df, x + i * kLanes);
    const auto level = level_value(nearest_level(hn::Mul(value, inverse_scale)));
    const auto weighted = hn::Mul(level, hn::Set(df, weights[i]));
    sums.xk = hn::MulAdd(weighted, value, sums.xk);
    sums.kk = hn::MulAdd(weighted, level, sums.kk);
  }
  return sums;
}

/// The levels the largest weight is made to meet in turn: beyond the outermost (-127), so that it may be
/// clipped, and within, so that it may be overshot.
inline constexpr float kIq4FirstTarget = 84.0f;
inline constexpr float kIq4TargetStep = 4.0f;
inline constexpr int kIq4Targets = 20;
inline constexpr int kIq4Refinements = 3;

/// A scale and how much the error grows away from it: by curvature (s - scale)^2 while the codes stay.
struct Iq4Scale {
  LaneVector scale;
  LaneVector curvature;
};

/// The scale that leaves the least error over 32 weights; 0 where they are all zero. `x` is within +-2.
HWY_INLINE Iq4Scale best_iq4_scale(const float* HWY_RESTRICT weights, const float* HWY_RESTRICT x) {
  const LaneTag df;
  const auto largest = largest_magnitude(x, kIq4SubBlock);
  const auto per_target = inverse_or_zero(largest);
  auto best_gain = hn::Zero(df);
  Iq4Scale best{hn::Zero(df), hn::Zero(df)};
  const auto consider = [&](LaneVector inverse_scale) HWY_ATTR {
    const auto sums = iq4_sums(weights, x, inverse_scale);
    const auto scale = hn::Div(sums.xk, sums.kk);
    const auto gain = hn::Mul(sums.xk, scale);
    const auto better = hn::Gt(gain, best_gain);
    best_gain = hn::IfThenElse(better, gain, best_gain);
    best.scale = hn::IfThenElse(better, scale, best.scale);
    best.curvature = hn::IfThenElse(better, sums.kk, best.curvature);
  };
  for (int i = 0; i < kIq4Targets; ++i) {
    const float target = kIq4FirstTarget + kIq4TargetStep * static_cast<float>(i);
    consider(hn::Mul(per_target, hn::Set(df, target)));
    consider(hn::Mul(per_target, hn::Set(df, -target)));
  }
  for (int i = 0; i < kIq4Refinements; ++i) consider(inverse_or_zero(best.scale));
  return best;
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
