// The least F of an octet over the whole grid of IQ1_S and IQ1_M (iq1_tables-inl.h), for many scales and
// shifts at once, without the entries: what the curves of iq1_fit-inl.h are sampled from.
//
// In integers of 16 bits, two queries to a vector. The terms of the eight weights are rounded to a 16,000th
// of the largest |F| that they can add up to, before they are added, so that every target finds the same; the
// error is at most 4 such steps. Against curves in float32 the mean KL divergence of a model of 27 M weights
// stayed within 0.3 %.
//
// Include once per SIMD target, after tile_encoder-inl.h.

#if defined(TESSERA_CODECS_IQ1_MINIMA_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_IQ1_MINIMA_INL_H_
#undef TESSERA_CODECS_IQ1_MINIMA_INL_H_
#else
#define TESSERA_CODECS_IQ1_MINIMA_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "foundation/codecs/iq1_tables-inl.h"
#include "foundation/codecs/lane_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// The lanes of one query as 16-bit integers, and of as many as a vector holds.
using ShortLaneTag = hn::Rebind<std::int16_t, LaneTag>;
using ShortLanes = hn::Vec<ShortLaneTag>;
#if HWY_TARGET == HWY_SCALAR
inline constexpr std::size_t kQueriesOfVector = 1;
using ShortTag = ShortLaneTag;
HWY_INLINE ShortLanes join_queries(const ShortLanes* queries) { return queries[0]; }
HWY_INLINE ShortLanes lanes_of_query(ShortLanes vector, std::size_t) { return vector; }
#else
inline constexpr std::size_t kQueriesOfVector = 2;
using ShortTag = hn::Repartition<std::int16_t, LaneTag>;
HWY_INLINE hn::Vec<ShortTag> join_queries(const ShortLanes* queries) {
  return hn::Combine(ShortTag(), queries[1], queries[0]);
}
HWY_INLINE ShortLanes lanes_of_query(hn::Vec<ShortTag> vector, std::size_t query) {
  return query == 0 ? hn::LowerHalf(ShortLaneTag(), vector) : hn::UpperHalf(ShortLaneTag(), vector);
}
#endif

/// A query in steps of `unit`.
struct Iq1ShortQuery {
  LaneVector constant, unit;
  Iq1Term<ShortLaneTag> terms[kOctet];

  HWY_INLINE void set(const Iq1Query& query) {
    constexpr float kSteps = 16000;
    const LaneTag df;
    Iq1Term<LaneTag> exact[kOctet];
    constant = hn::Zero(df);
    auto extent = hn::Zero(df);
    for (std::size_t i = 0; i < kOctet; ++i) {
      exact[i] = iq1_term(query, i, constant);
      extent = hn::Add(extent, hn::Max(hn::Abs(exact[i].minus), hn::Abs(exact[i].plus)));
    }
    unit = hn::Mul(extent, hn::Set(df, 1 / kSteps));
    const auto inverse = inverse_or_zero(unit);
    for (std::size_t i = 0; i < kOctet; ++i)
      terms[i] = {in_steps(exact[i].minus, inverse), in_steps(exact[i].plus, inverse)};
  }

 private:
  static HWY_INLINE ShortLanes in_steps(LaneVector exact, LaneVector steps_per_one) {
    return hn::DemoteTo(ShortLaneTag(), hn::NearestInt(hn::Mul(exact, steps_per_one)));
  }
};

/// The least F of each query.
template <std::size_t kSearches>
HWY_INLINE void search_minima(const Iq1Query* HWY_RESTRICT queries /*[kSearches]*/,
                              LaneVector* HWY_RESTRICT least /*[kSearches]*/) {
  constexpr std::size_t kVectors = kSearches / kQueriesOfVector;
  static_assert(kSearches % kQueriesOfVector == 0);
  using ShortVector = hn::Vec<ShortTag>;
  Iq1Tables<ShortTag, kVectors> tables;
  LaneVector constants[kSearches], units[kSearches];
  ShortVector best[kVectors];
  for (std::size_t v = 0; v < kVectors; ++v) {
    Iq1ShortQuery parts[kQueriesOfVector];
    for (std::size_t q = 0; q < kQueriesOfVector; ++q) {
      const std::size_t k = v * kQueriesOfVector + q;
      parts[q].set(queries[k]);
      constants[k] = parts[q].constant;
      units[k] = parts[q].unit;
    }
    const auto term = [&](std::size_t i) HWY_ATTR {
      ShortLanes minus[kQueriesOfVector], plus[kQueriesOfVector];
      for (std::size_t q = 0; q < kQueriesOfVector; ++q) {
        minus[q] = parts[q].terms[i].minus;
        plus[q] = parts[q].terms[i].plus;
      }
      return Iq1Term<ShortTag>{join_queries(minus), join_queries(plus)};
    };
    tables.fill(v, term, [](ShortVector sum, std::size_t) HWY_ATTR { return sum; });
    best[v] = hn::Set(ShortTag(), hwy::HighestValue<std::int16_t>());
  }
  tables.for_each_upper_half([&](std::size_t, const ShortVector*, const ShortVector* error) HWY_ATTR {
    for (std::size_t v = 0; v < kVectors; ++v) best[v] = hn::Min(best[v], error[v]);
  });
  for (std::size_t k = 0; k < kSearches; ++k) {
    const auto lanes = lanes_of_query(best[k / kQueriesOfVector], k % kQueriesOfVector);
    const auto steps = hn::ConvertTo(LaneTag(), hn::PromoteTo(LaneIntTag(), lanes));
    least[k] = hn::MulAdd(steps, units[k], constants[k]);
  }
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
