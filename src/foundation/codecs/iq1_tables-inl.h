// The errors of one octet of weights over the whole grid of IQ1_S and IQ1_M, in an order that is quick to
// search.
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

#if defined(TESSERA_CODECS_IQ1_TABLES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_IQ1_TABLES_INL_H_
#undef TESSERA_CODECS_IQ1_TABLES_INL_H_
#else
#define TESSERA_CODECS_IQ1_TABLES_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "foundation/codecs/iq1_grid.h"
#include "foundation/codecs/iq1_search_plan.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

inline constexpr std::size_t kOctet = 8;
inline constexpr float kIq1Shift = 0.125f;

/// One octet to search the grid for.
struct Iq1Query {
  const float* weights;  ///< [8]
  const float* x;        ///< [8][kLanes]
  LaneVector scale;
  LaneVector shift;
};

/// What a weight adds to F when its digit is -1, and when it is 1.
template <class D>
struct Iq1Term {
  hn::Vec<D> minus, plus;
};

/// The term of weight i of a query; its share of the constant is added to `constant`.
HWY_INLINE Iq1Term<LaneTag> iq1_term(const Iq1Query& query, std::size_t i, LaneVector& constant) {
  const LaneTag df;
  const auto w = hn::Set(df, query.weights[i]);
  const auto x = hn::Load(df, query.x + i * kLanes);
  const auto off = hn::Sub(hn::Mul(query.scale, query.shift), x);
  const auto a = hn::Mul(w, query.scale);
  const auto b = hn::Mul(hn::Add(w, w), off);
  constant = hn::MulAdd(hn::Mul(w, query.shift), hn::Sub(off, x), constant);
  return {hn::Sub(a, b), hn::Add(a, b)};
}

/// F less its constant, for kSearches vectors of queries, which share the reading of the plan.
template <class D, std::size_t kSearches>
class Iq1Tables {
 public:
  using Vector = hn::Vec<D>;

  /// Fills one vector of queries: term(i) is that of weight i, asked for once and in order; `finish(F,
  /// number)` is what is kept of a lower half.
  template <class Term, class Finish>
  HWY_INLINE void fill(std::size_t k, const Term& term, const Finish& finish) {
    const auto keep = [](Vector sum, std::size_t) HWY_ATTR { return sum; };
    tabulate<0, 4>(k, term, finish, lower_);
    tabulate<4, 2>(k, term, keep, upper_low_);
    tabulate<6, 2>(k, term, keep, upper_high_);
  }

  /// Calls visit(upper half, its best lower halves [kSearches], the sums of both halves' F [kSearches]).
  /// Once.
  template <class Visit>
  HWY_INLINE void for_each_upper_half(const Visit& visit) {
    constexpr std::size_t kChunk = Iq1SearchPlan::kChunk;
    const Iq1SearchPlan& plan = iq1_search_plan();
    share_pairs(plan);
    const std::uint8_t* HWY_RESTRICT next = plan.elements.data();
    for (const auto& run : plan.runs) {
      // Several minima side by side hide the latency of MIN where there are few queries.
      Vector least[kChunk][kSearches], error[kSearches];
      for (std::size_t j = 0; j < kChunk; ++j) {
        for (std::size_t k = 0; k < kSearches; ++k) least[j][k] = load(lower_, next[j], k);
      }
      next += kChunk;
      for (std::size_t chunk = 1; chunk < run.chunks; ++chunk, next += kChunk) {
        for (std::size_t j = 0; j < kChunk; ++j) {
          for (std::size_t k = 0; k < kSearches; ++k)
            least[j][k] = hn::Min(least[j][k], load(lower_, next[j], k));
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

 private:
  using Element = hn::TFromD<D>;
  static constexpr std::size_t kWidth = hn::MaxLanes(D());

  static HWY_INLINE Vector load(const Element* HWY_RESTRICT table, std::size_t n, std::size_t k) {
    return hn::Load(D(), table + (n * kSearches + k) * kWidth);
  }
  static HWY_INLINE void store(Vector value, Element* HWY_RESTRICT table, std::size_t n, std::size_t k) {
    hn::Store(value, D(), table + (n * kSearches + k) * kWidth);
  }

  /// F of all ternary vectors of kCount weights from kFirst on. Adds the weights one by one: after i of them
  /// the first 3^i numbers hold their sums.
  template <std::size_t kFirst, std::size_t kCount, class Term, class Finish>
  static HWY_INLINE void tabulate(std::size_t k, const Term& term, const Finish& finish,
                                  Element* HWY_RESTRICT table) {
    store(hn::Zero(D()), table, 0, k);
    std::size_t size = 1;
    for (std::size_t i = 0; i < kCount; ++i, size *= 3) {
      const bool is_last = i + 1 == kCount;
      const Iq1Term<D> its_term = term(kFirst + i);
      for (std::size_t n = 0; n < size; ++n) {
        const auto sum = load(table, n, k);
        const Vector sums[3] = {hn::Add(sum, its_term.minus), sum, hn::Add(sum, its_term.plus)};
        for (std::size_t digit = 0; digit < 3; ++digit) {
          const std::size_t number = n + digit * size;
          store(is_last ? finish(sums[digit], number) : sums[digit], table, number, k);
        }
      }
    }
  }

  HWY_INLINE void share_pairs(const Iq1SearchPlan& plan) {
    for (std::size_t i = 0; i < plan.pairs.size(); ++i) {
      const auto pair = plan.pairs[i];
      for (std::size_t k = 0; k < kSearches; ++k) {
        const auto least = hn::Min(load(lower_, pair.first, k), load(lower_, pair.second, k));
        store(least, lower_, kTernaryHalves + i, k);
      }
    }
  }

  alignas(64) Element lower_[Iq1SearchPlan::kElements * kSearches * kWidth];  ///< weights 0 to 3, then pairs
  alignas(64) Element upper_low_[9 * kSearches * kWidth];                     ///< weights 4 and 5
  alignas(64) Element upper_high_[9 * kSearches * kWidth];                    ///< weights 6 and 7
};

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
