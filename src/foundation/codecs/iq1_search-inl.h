// The nearest grid entries of octets of weights in IQ1_S and IQ1_M, over the whole grid (iq1_tables-inl.h).
//
// Include once per SIMD target, after tile_encoder-inl.h.

#if defined(TESSERA_CODECS_IQ1_SEARCH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_IQ1_SEARCH_INL_H_
#undef TESSERA_CODECS_IQ1_SEARCH_INL_H_
#else
#define TESSERA_CODECS_IQ1_SEARCH_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "foundation/codecs/iq1_tables-inl.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// An octet's nearest entry in every lane.
struct Iq1Nearest {
  LaneVector error;  ///< F of the entry, up to rounding by 2^-16
  LaneIntVector number;
};

/// The entry of least F of each of kSearches queries; four keep the tables within the first cache. The number
/// of the lower half replaces the last bits of its F, so that the minimum carries it along.
template <std::size_t kSearches>
HWY_INLINE void search_nearest(const Iq1Query* HWY_RESTRICT queries /*[kSearches]*/,
                               Iq1Nearest* HWY_RESTRICT nearest /*[kSearches]*/) {
  constexpr std::int32_t kNumberMask = 127;
  const LaneTag df;
  const LaneIntTag di;
  const auto number_it = [&](LaneVector sum, std::size_t number) HWY_ATTR {
    const auto bits = hn::AndNot(hn::Set(di, kNumberMask), hn::BitCast(di, sum));
    return hn::BitCast(df, hn::Or(bits, hn::Set(di, static_cast<std::int32_t>(number))));
  };
  Iq1Tables<LaneTag, kSearches> tables;
  LaneVector constants[kSearches];
  for (std::size_t k = 0; k < kSearches; ++k) {
    constants[k] = hn::Zero(df);
    tables.fill(
        k, [&](std::size_t i) HWY_ATTR { return iq1_term(queries[k], i, constants[k]); }, number_it);
    nearest[k] = {hn::Set(df, hwy::HighestValue<float>()), hn::Zero(di)};
  }
  tables.for_each_upper_half([&](std::size_t upper, const LaneVector* lower,
                                 const LaneVector* error) HWY_ATTR {
    const auto upper_number = hn::Set(di, static_cast<std::int32_t>(upper * kTernaryHalves));
    for (std::size_t k = 0; k < kSearches; ++k) {
      const auto better = hn::Lt(error[k], nearest[k].error);
      const auto lower_number = hn::And(hn::BitCast(di, lower[k]), hn::Set(di, kNumberMask));
      nearest[k].error = hn::IfThenElse(better, error[k], nearest[k].error);
      nearest[k].number =
          hn::IfThenElse(hn::RebindMask(di, better), hn::Add(lower_number, upper_number), nearest[k].number);
    }
  });
  for (std::size_t k = 0; k < kSearches; ++k) nearest[k].error = hn::Add(nearest[k].error, constants[k]);
}

/// `to` = `x` times a factor per lane, over [8][kLanes].
HWY_INLINE void scale_octet(const float* HWY_RESTRICT x, LaneVector factor, float* HWY_RESTRICT to) {
  const LaneTag df;
  for (std::size_t i = 0; i < kOctet * kLanes; i += kLanes) {
    hn::Store(hn::Mul(hn::Load(df, x + i), factor), df, to + i);
  }
}

/// The chosen entry of an octet and its shift.
struct Iq1Entry {
  LaneIntVector number;
  LaneVector shift;
};

/// The better of an octet's nearest entries under both shifts.
HWY_INLINE Iq1Entry better_shift(const Iq1Nearest& below, const Iq1Nearest& above) {
  const LaneTag df;
  const auto better = hn::Lt(above.error, below.error);
  return {hn::IfThenElse(hn::RebindMask(LaneIntTag(), better), above.number, below.number),
          hn::IfThenElse(better, hn::Set(df, kIq1Shift), hn::Set(df, -kIq1Shift))};
}

/// The nearest entries of kCount octets in a row, all at the same scale and, unless kChooseShift, the same
/// given shift.
template <std::size_t kCount, bool kChooseShift>
void nearest_entries(const float* HWY_RESTRICT weights, const float* HWY_RESTRICT x, LaneVector scale,
                     LaneVector shift, Iq1Entry* HWY_RESTRICT entries /*[kCount]*/) {
  constexpr std::size_t kSearches = kChooseShift ? 2 * kCount : kCount;
  const auto below = hn::Set(LaneTag(), -kIq1Shift), above = hn::Set(LaneTag(), kIq1Shift);
  Iq1Query queries[kSearches];
  for (std::size_t i = 0; i < kCount; ++i) {
    const float* octet_weights = weights + i * kOctet;
    const float* octet_x = x + i * kOctet * kLanes;
    queries[i] = {octet_weights, octet_x, scale, kChooseShift ? below : shift};
    if constexpr (kChooseShift) queries[kCount + i] = {octet_weights, octet_x, scale, above};
  }
  Iq1Nearest nearest[kSearches];
  search_nearest<kSearches>(queries, nearest);
  for (std::size_t i = 0; i < kCount; ++i) {
    if constexpr (kChooseShift) {
      entries[i] = better_shift(nearest[i], nearest[kCount + i]);
    } else {
      entries[i] = {nearest[i].number, shift};
    }
  }
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
