// The search for the grid entry of one octet of weights in IQ1_S and IQ1_M, over the whole grid.
//
// With a scale s and a shift e an octet decodes to y_i = s v_i, v_i = g_i + e. The error of an entry g is
//
//   sum_i w_i (x_i - y_i)^2 = sum_i w_i x_i^2 + s F(g),   F(g) = sum_i w_i (s v_i^2 - 2 x_i v_i)
//                                                              = constant + sum_i (a_i g_i^2 + b_i g_i),
//   a_i = w_i s, b_i = 2 w_i (s e - x_i), constant = sum_i w_i e (s e - 2 x_i).
//
// F is a sum over weights, so it splits into the two halves of an octet, which can take 81 values each. The
// minimum over the grid is then, for every upper half, the minimum of the lower halves that occur with it:
// one load and one MIN for each of the 2048 entries, in all lanes. Upper halves with equally many lower
// halves follow each other, so that the trip counts of the inner loop are predictable.
//
// As a function of s, the least F is concave (a minimum of linear functions), which iq1_fit-inl.h relies on.
//
// Include once per SIMD target, after tile_encoder-inl.h.

#if defined(TESSERA_CODECS_IQ1_SEARCH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_IQ1_SEARCH_INL_H_
#undef TESSERA_CODECS_IQ1_SEARCH_INL_H_
#else
#define TESSERA_CODECS_IQ1_SEARCH_INL_H_
#endif

#include <hwy/highway.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "foundation/codecs/iq1_grid.h"
#include "foundation/codecs/iq1_search_plan.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

inline constexpr std::size_t kOctet = 8;
inline constexpr float kIq1Shift = 0.125f;

/// One octet to find an entry for.
struct Iq1Query {
  const float* weights;  ///< [8]
  const float* x;        ///< [8][kLanes]
  LaneVector scale;
  LaneVector shift;
};

/// An octet's nearest entry in every lane.
struct Iq1Nearest {
  LaneVector error;  ///< F of the entry, up to rounding by 2^-16
  LaneIntVector number;
};

/// Answers kSearches queries at once: they share the reading of the plan. Four keep the tables within the
/// first cache.
template <std::size_t kSearches>
class Iq1OctetSearch {
 public:
  HWY_INLINE explicit Iq1OctetSearch(const Iq1Query* HWY_RESTRICT queries /*[kSearches]*/) {
    for (std::size_t k = 0; k < kSearches; ++k) {
      const Iq1Query& query = queries[k];
      constant_[k] = hn::Zero(LaneTag());
      tabulate<4, true>(query, 0, k, lower_, constant_[k]);
      tabulate<2, false>(query, 4, k, upper_low_, constant_[k]);
      tabulate<2, false>(query, 6, k, upper_high_, constant_[k]);
    }
  }

  /// The entry of least F of each query. The number of the lower half replaces the last bits of its F, so
  /// that the minimum carries it along.
  HWY_INLINE void nearest(Iq1Nearest* HWY_RESTRICT nearest /*[kSearches]*/) {
    const LaneTag df;
    const LaneIntTag di;
    for (std::size_t k = 0; k < kSearches; ++k) {
      nearest[k] = {hn::Set(df, hwy::HighestValue<float>()), hn::Zero(di)};
    }
    for_each_upper_half([&](std::size_t upper, const LaneVector* lower, const LaneVector* error) HWY_ATTR {
      const auto upper_number = hn::Set(di, static_cast<std::int32_t>(upper * kTernaryHalves));
      for (std::size_t k = 0; k < kSearches; ++k) {
        const auto better = hn::Lt(error[k], nearest[k].error);
        const auto lower_number = hn::And(hn::BitCast(di, lower[k]), hn::Set(di, kNumberMask));
        nearest[k].error = hn::IfThenElse(better, error[k], nearest[k].error);
        nearest[k].number = hn::IfThenElse(hn::RebindMask(di, better), hn::Add(lower_number, upper_number),
                                           nearest[k].number);
      }
    });
    for (std::size_t k = 0; k < kSearches; ++k) nearest[k].error = hn::Add(nearest[k].error, constant_[k]);
  }

 private:
  static constexpr std::int32_t kNumberMask = 127;

  static HWY_INLINE LaneVector load(const float* HWY_RESTRICT table, std::size_t n, std::size_t k) {
    return hn::Load(LaneTag(), table + (n * kSearches + k) * kLanes);
  }
  static HWY_INLINE void store(LaneVector value, float* HWY_RESTRICT table, std::size_t n, std::size_t k) {
    hn::Store(value, LaneTag(), table + (n * kSearches + k) * kLanes);
  }

  /// F of all ternary vectors of kCount weights from `first` on. Adds the weights one by one: after i of them
  /// the first 3^i numbers hold their sums. `kNumbered`: the number replaces the last bits of the final sums.
  template <std::size_t kCount, bool kNumbered>
  static HWY_INLINE void tabulate(const Iq1Query& query, std::size_t first, std::size_t k,
                                  float* HWY_RESTRICT table, LaneVector& constant) {
    const LaneTag df;
    store(hn::Zero(df), table, 0, k);
    const auto shifted = hn::Mul(query.scale, query.shift);
    std::size_t size = 1;
    for (std::size_t i = first; i < first + kCount; ++i, size *= 3) {
      const auto w = hn::Set(df, query.weights[i]);
      const auto x = hn::Load(df, query.x + i * kLanes);
      const auto off = hn::Sub(shifted, x);
      const auto a = hn::Mul(w, query.scale);
      const auto b = hn::Mul(hn::Add(w, w), off);
      constant = hn::MulAdd(hn::Mul(w, query.shift), hn::Sub(off, x), constant);
      const auto plus = hn::Add(a, b), minus = hn::Sub(a, b);
      const bool numbers = kNumbered && i + 1 == first + kCount;
      for (std::size_t n = 0; n < size; ++n) {
        const auto sum = load(table, n, k);
        const LaneVector sums[3] = {hn::Add(sum, minus), sum, hn::Add(sum, plus)};
        for (std::size_t digit = 0; digit < 3; ++digit) {
          const std::size_t number = n + digit * size;
          store(numbers ? numbered(sums[digit], number) : sums[digit], table, number, k);
        }
      }
    }
  }

  static HWY_INLINE LaneVector numbered(LaneVector value, std::size_t number) {
    const LaneIntTag di;
    const auto bits = hn::AndNot(hn::Set(di, kNumberMask), hn::BitCast(di, value));
    return hn::BitCast(LaneTag(), hn::Or(bits, hn::Set(di, static_cast<std::int32_t>(number))));
  }

  HWY_INLINE void share_pairs(const Iq1SearchPlan& plan) {
    for (std::size_t i = 0; i < plan.pairs.size(); ++i) {
      const auto pair = plan.pairs[i];
      for (std::size_t k = 0; k < kSearches; ++k) {
        store(hn::Min(load(lower_, pair.first, k), load(lower_, pair.second, k)), lower_, kTernaryHalves + i,
              k);
      }
    }
  }

  /// Calls visit(upper half, its best lower halves' F [kSearches], the sums of both halves' F [kSearches]).
  template <class Visit>
  HWY_INLINE void for_each_upper_half(const Visit& visit) {
    constexpr std::size_t kChunk = Iq1SearchPlan::kChunk;
    const Iq1SearchPlan& plan = iq1_search_plan();
    share_pairs(plan);
    const std::uint8_t* HWY_RESTRICT next = plan.elements.data();
    for (const auto& run : plan.runs) {
      // Several minima side by side hide the latency of MIN where there are few queries.
      LaneVector least[kChunk][kSearches], error[kSearches];
      for (std::size_t j = 0; j < kChunk; ++j) {
        for (std::size_t k = 0; k < kSearches; ++k) least[j][k] = load(lower_, next[j], k);
      }
      next += kChunk;
      for (std::size_t chunk = 1; chunk < run.chunks; ++chunk, next += kChunk) {
        for (std::size_t j = 0; j < kChunk; ++j) {
          for (std::size_t k = 0; k < kSearches; ++k) {
            least[j][k] = hn::Min(least[j][k], load(lower_, next[j], k));
          }
        }
      }
      for (std::size_t k = 0; k < kSearches; ++k) {
        for (std::size_t j = 1; j < kChunk; ++j) least[0][k] = hn::Min(least[0][k], least[j][k]);
        const auto upper = hn::Add(load(upper_low_, run.upper % 9u, k), load(upper_high_, run.upper / 9u, k));
        error[k] = hn::Add(least[0][k], upper);
      }
      visit(run.upper, least[0], error);
    }
  }

  alignas(
      64) float lower_[Iq1SearchPlan::kElements * kSearches * kLanes];  ///< weights 0 to 3, then shared pairs
  alignas(64) float upper_low_[9 * kSearches * kLanes];                 ///< weights 4 and 5
  alignas(64) float upper_high_[9 * kSearches * kLanes];                ///< weights 6 and 7
  LaneVector constant_[kSearches];
};

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
  Iq1OctetSearch<kSearches>(queries).nearest(nearest);
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
