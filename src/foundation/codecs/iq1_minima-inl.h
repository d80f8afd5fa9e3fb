// The least F of an octet over the whole grid of IQ1_S and IQ1_M, for many scales and shifts at once, without
// the entries: what the curves of iq1_fit-inl.h are sampled from.
//
// The search is that of iq1_search-inl.h, in integers of 16 bits, two queries to a vector. The terms of the
// eight weights are rounded to a 16,000th of the largest |F| that they can add up to, before they are added,
// so that every target finds the same; the error, at most 4 such steps, is small beside what a curve of four
// samples leaves out.
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
#include <limits>

#include "foundation/codecs/iq1_search-inl.h"
#include "foundation/codecs/lane_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// The lanes of as many queries as a vector of 16-bit integers holds.
#if HWY_TARGET == HWY_SCALAR
inline constexpr std::size_t kQueriesOfVector = 1;
using ShortTag = hn::Rebind<std::int16_t, LaneTag>;
#else
inline constexpr std::size_t kQueriesOfVector = 2;
using ShortTag = hn::Repartition<std::int16_t, LaneTag>;
#endif
using ShortVector = hn::Vec<ShortTag>;

template <std::size_t kSearches>
class Iq1Minima {
 public:
  HWY_INLINE explicit Iq1Minima(const Iq1Query* HWY_RESTRICT queries /*[kSearches]*/) {
    for (std::size_t v = 0; v < kVectors; ++v) {
      Terms terms[kQueriesOfVector];
      for (std::size_t q = 0; q < kQueriesOfVector; ++q) {
        const std::size_t k = v * kQueriesOfVector + q;
        terms[q] = terms_of(queries[k], constant_[k], unit_[k]);
      }
      tabulate<4>(terms, 0, v, lower_);
      tabulate<2>(terms, 4, v, upper_low_);
      tabulate<2>(terms, 6, v, upper_high_);
    }
  }

  /// The least F of each query.
  HWY_INLINE void find(LaneVector* HWY_RESTRICT least /*[kSearches]*/) {
    ShortVector best[kVectors];
    search(best);
    for (std::size_t k = 0; k < kSearches; ++k) {
      const auto steps = hn::ConvertTo(LaneTag(), lanes_of(best[k / kQueriesOfVector], k % kQueriesOfVector));
      least[k] = hn::MulAdd(steps, unit_[k], constant_[k]);
    }
  }

 private:
  static constexpr std::size_t kVectors = kSearches / kQueriesOfVector;
  static_assert(kSearches % kQueriesOfVector == 0);
  static constexpr std::size_t kWidth = hn::MaxLanes(ShortTag());
  static constexpr float kSteps = 16000;
  using HalfTag = hn::Rebind<std::int16_t, LaneTag>;

  /// What a weight adds to F when its digit is 1, and when it is -1, in units of the query.
  struct Terms {
    hn::Vec<HalfTag> plus[kOctet], minus[kOctet];
  };

  static HWY_INLINE Terms terms_of(const Iq1Query& query, LaneVector& constant, LaneVector& unit) {
    const LaneTag df;
    const auto shifted = hn::Mul(query.scale, query.shift);
    LaneVector plus[kOctet], minus[kOctet];
    auto extent = hn::Zero(df);
    constant = hn::Zero(df);
    for (std::size_t i = 0; i < kOctet; ++i) {
      const auto w = hn::Set(df, query.weights[i]);
      const auto x = hn::Load(df, query.x + i * kLanes);
      const auto off = hn::Sub(shifted, x);
      const auto a = hn::Mul(w, query.scale);
      const auto b = hn::Mul(hn::Add(w, w), off);
      constant = hn::MulAdd(hn::Mul(w, query.shift), hn::Sub(off, x), constant);
      plus[i] = hn::Add(a, b);
      minus[i] = hn::Sub(a, b);
      extent = hn::Add(extent, hn::Max(hn::Abs(plus[i]), hn::Abs(minus[i])));
    }
    unit = hn::Mul(extent, hn::Set(df, 1 / kSteps));
    const auto inverse = inverse_or_zero(unit);
    Terms terms;
    for (std::size_t i = 0; i < kOctet; ++i) {
      terms.plus[i] = hn::DemoteTo(HalfTag(), hn::NearestInt(hn::Mul(plus[i], inverse)));
      terms.minus[i] = hn::DemoteTo(HalfTag(), hn::NearestInt(hn::Mul(minus[i], inverse)));
    }
    return terms;
  }

#if HWY_TARGET == HWY_SCALAR
  static HWY_INLINE ShortVector join(const hn::Vec<HalfTag>* parts) { return parts[0]; }
  static HWY_INLINE LaneIntVector lanes_of(ShortVector vector, std::size_t) {
    return hn::PromoteTo(LaneIntTag(), vector);
  }
#else
  static HWY_INLINE ShortVector join(const hn::Vec<HalfTag>* parts) {
    return hn::Combine(ShortTag(), parts[1], parts[0]);
  }
  static HWY_INLINE LaneIntVector lanes_of(ShortVector vector, std::size_t q) {
    return hn::PromoteTo(LaneIntTag(),
                         q == 0 ? hn::LowerHalf(HalfTag(), vector) : hn::UpperHalf(HalfTag(), vector));
  }
#endif

  static HWY_INLINE ShortVector load(const std::int16_t* HWY_RESTRICT table, std::size_t n, std::size_t v) {
    return hn::Load(ShortTag(), table + (n * kVectors + v) * kWidth);
  }
  static HWY_INLINE void store(ShortVector value, std::int16_t* HWY_RESTRICT table, std::size_t n,
                               std::size_t v) {
    hn::Store(value, ShortTag(), table + (n * kVectors + v) * kWidth);
  }

  /// F of all ternary vectors of kCount weights from `first` on, as in Iq1OctetSearch.
  template <std::size_t kCount>
  static HWY_INLINE void tabulate(const Terms* terms, std::size_t first, std::size_t v,
                                  std::int16_t* HWY_RESTRICT table) {
    store(hn::Zero(ShortTag()), table, 0, v);
    std::size_t size = 1;
    for (std::size_t i = first; i < first + kCount; ++i, size *= 3) {
      hn::Vec<HalfTag> plus[kQueriesOfVector], minus[kQueriesOfVector];
      for (std::size_t q = 0; q < kQueriesOfVector; ++q) {
        plus[q] = terms[q].plus[i];
        minus[q] = terms[q].minus[i];
      }
      const auto up = join(plus), down = join(minus);
      for (std::size_t n = 0; n < size; ++n) {
        const auto sum = load(table, n, v);
        store(hn::Add(sum, down), table, n, v);
        store(sum, table, n + size, v);
        store(hn::Add(sum, up), table, n + 2 * size, v);
      }
    }
  }

  /// The plan of Iq1OctetSearch, for minima alone.
  HWY_INLINE void search(ShortVector* HWY_RESTRICT best /*[kVectors]*/) {
    constexpr std::size_t kChunk = Iq1SearchPlan::kChunk;
    const Iq1SearchPlan& plan = iq1_search_plan();
    for (std::size_t i = 0; i < plan.pairs.size(); ++i) {
      const auto pair = plan.pairs[i];
      for (std::size_t v = 0; v < kVectors; ++v) {
        store(hn::Min(load(lower_, pair.first, v), load(lower_, pair.second, v)), lower_, kTernaryHalves + i,
              v);
      }
    }
    for (std::size_t v = 0; v < kVectors; ++v) {
      best[v] = hn::Set(ShortTag(), std::numeric_limits<std::int16_t>::max());
    }
    const std::uint8_t* HWY_RESTRICT next = plan.elements.data();
    for (const auto& run : plan.runs) {
      ShortVector least[kChunk][kVectors];
      for (std::size_t j = 0; j < kChunk; ++j) {
        for (std::size_t v = 0; v < kVectors; ++v) least[j][v] = load(lower_, next[j], v);
      }
      next += kChunk;
      for (std::size_t chunk = 1; chunk < run.chunks; ++chunk, next += kChunk) {
        for (std::size_t j = 0; j < kChunk; ++j) {
          for (std::size_t v = 0; v < kVectors; ++v)
            least[j][v] = hn::Min(least[j][v], load(lower_, next[j], v));
        }
      }
      for (std::size_t v = 0; v < kVectors; ++v) {
        for (std::size_t j = 1; j < kChunk; ++j) least[0][v] = hn::Min(least[0][v], least[j][v]);
        const auto upper = hn::Add(load(upper_low_, run.upper % 9u, v), load(upper_high_, run.upper / 9u, v));
        best[v] = hn::Min(best[v], hn::Add(least[0][v], upper));
      }
    }
  }

  alignas(64) std::int16_t lower_[Iq1SearchPlan::kElements * kVectors * kWidth];
  alignas(64) std::int16_t upper_low_[9 * kVectors * kWidth];
  alignas(64) std::int16_t upper_high_[9 * kVectors * kWidth];
  LaneVector constant_[kSearches];
  LaneVector unit_[kSearches];  ///< of F, per step
};

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
