// The scale of a block whose weights decode to scale * q, q an integer of [kLow, kHigh].
//
// For any scale the codes follow by rounding, and for any codes q the best scale is the weighted
// least-squares one, d = sum(w x q) / sum(w q^2), which leaves the error sum(w x^2) - sum(w x q)^2 / sum(w
// q^2). So: round under a list of candidate scales, keep the codes with the largest sum(w x q)^2 / sum(w
// q^2), and alternate between the two steps from there (Lloyd's algorithm on one parameter; the error never
// grows).
//
// A candidate is given as the real-valued code on which the weight of largest magnitude falls: -8 means
// that it is at the low end of Q4_0's range, exactly. Working relative to that weight also keeps every sum in
// range.
//
// Include once per SIMD target, after hwy/highway.h, inside a file compiled with foreach_target.h.

#if defined(TESSERA_CODECS_SYMMETRIC_FIT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_SYMMETRIC_FIT_INL_H_
#undef TESSERA_CODECS_SYMMETRIC_FIT_INL_H_
#else
#define TESSERA_CODECS_SYMMETRIC_FIT_INL_H_
#endif

#include <hwy/highway.h>

#include <array>
#include <cstddef>
#include <limits>

#include "foundation/codecs/gain_correction-inl.h"
#include "foundation/codecs/half-inl.h"
#include "foundation/codecs/lane_math-inl.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// The integers nearest to value and to value * factor, as floats, ties to even, below 2^22: beyond 2^23 a
/// float has no fraction, so adding 1.5 * 2^23 rounds. Cheaper than hn::Round, and free to follow a product.
inline constexpr float kRoundingShift = 0x1.8p23f;
inline LaneVector nearest_integer(LaneVector value) {
  const auto shift = hn::Set(LaneTag(), kRoundingShift);
  return hn::Sub(hn::Add(value, shift), shift);
}
inline LaneVector nearest_product(LaneVector value, LaneVector factor) {
  const auto shift = hn::Set(LaneTag(), kRoundingShift);
  return hn::Sub(hn::MulAdd(value, factor, shift), shift);
}

/// The scale to store: the nearest finite half, but not zero while `extreme`, the weight of largest
/// magnitude, is nearer to the smallest half than to zero.
inline LaneVector stored_scale(LaneVector scale, LaneVector extreme) {
  const LaneTag d;
  const auto magnitude = hn::Max(hn::Abs(scale), hn::Set(d, kSmallestHalf));
  const auto matters = hn::Gt(hn::Abs(extreme), hn::Set(d, kSmallestHalf / 2));
  return hn::IfThenElseZero(matters, round_to_half(d, hn::CopySign(magnitude, scale)));
}

/// Sums over a block run in this many chains: a single chain of additions would wait for the latency of each.
inline constexpr std::size_t kChains = 4;

/// kSums sums over a block. Together they are kChains chains: a sum by itself has one for every fourth
/// weight.
template <std::size_t kSums>
class ChainedSums {
 public:
  static constexpr std::size_t kParts = kChains / kSums;  ///< chains of a sum
  static_assert(kParts == 1 || kParts == 4);

  ChainedSums() { chains_.fill(hn::Zero(LaneTag())); }
  LaneVector& of(std::size_t sum, std::size_t part) { return chains_[sum * kParts + part]; }
  LaneVector total(std::size_t sum) const {
    const auto* const parts = &chains_[sum * kParts];
    if constexpr (kParts == 1) return parts[0];
    return hn::Add(hn::Add(parts[0], parts[1 % kParts]), hn::Add(parts[2 % kParts], parts[3 % kParts]));
  }

 private:
  std::array<LaneVector, kChains> chains_;
};

/// The weight of largest magnitude of every lane.
template <std::size_t kWeights>
LaneVector extreme_weight(const float* x) {
  const LaneTag d;
  std::array<LaneVector, kChains> low, high;
  for (std::size_t chain = 0; chain < kChains; ++chain)
    low[chain] = high[chain] = hn::Load(d, x + chain * kLanes);
  for (std::size_t i = kChains; i < kWeights; i += kChains) {
    for (std::size_t chain = 0; chain < kChains; ++chain) {
      const auto value = hn::Load(d, x + (i + chain) * kLanes);
      low[chain] = hn::Min(low[chain], value);
      high[chain] = hn::Max(high[chain], value);
    }
  }
  const auto lowest = hn::Min(hn::Min(low[0], low[1]), hn::Min(low[2], low[3]));
  const auto highest = hn::Max(hn::Max(high[0], high[1]), hn::Max(high[2], high[3]));
  return hn::IfThenElse(hn::Gt(hn::Neg(lowest), highest), lowest, highest);
}

/// The importance of a block: of its own for every column, or 1 for all, which saves the multiplications.
struct Weighted {
  const float* importance;
  LaneVector times(LaneVector value, std::size_t column) const {
    return hn::Mul(hn::Set(LaneTag(), importance[column]), value);
  }
};
struct Uniform {
  static LaneVector times(LaneVector value, std::size_t) { return value; }
};

template <int kLow, int kHigh, std::size_t kWeights, class Importance>
class SymmetricFit {
 public:
  /// `x` is [kWeights][kLanes].
  SymmetricFit(const Importance& importance, const float* x) : importance_(importance) {
    const LaneTag d;
    extreme_ = extreme_weight<kWeights>(x);
    const auto inverse = inverse_or_zero(extreme_);
    ChainedSums<1> energy;
    for (std::size_t i = 0; i < kWeights; i += kChains) {
      for (std::size_t chain = 0; chain < kChains; ++chain) {
        const auto u = hn::Mul(hn::Load(d, x + (i + chain) * kLanes), inverse);
        energy.of(0, chain) = hn::MulAdd(importance_.times(u, i + chain), u, energy.of(0, chain));
        hn::Store(u, d, relative_ + (i + chain) * kLanes);
      }
    }
    energy_ = energy.total(0);
    best_ = {hn::Zero(d), hn::Set(d, kNoCodes)};
  }

  /// Tries all of Candidates::kCodes.
  template <class Candidates, std::size_t kFirst = 0>
  void try_candidates() {
    constexpr auto& kAll = Candidates::kCodes;
    static_assert(kAll.size() % kChains == 0);
    std::array<LaneVector, kChains> factors;
    for (std::size_t k = 0; k < kChains; ++k) factors[k] = hn::Set(LaneTag(), kAll[kFirst + k]);
    keep_best<Batch<Candidates, kFirst>>(factors);
    if constexpr (kFirst + kChains < kAll.size()) try_candidates<Candidates, kFirst + kChains>();
  }

  /// One step of Lloyd's algorithm: rounds under the least-squares scale of the best codes so far.
  void refine() {
    const auto has_codes = hn::Ne(best_.product, hn::Zero(LaneTag()));
    keep_best<AnyFactor>(std::array{hn::IfThenElseZero(has_codes, hn::Div(best_.square, best_.product))});
  }

  /// The best scale found, rounded to half: the one to round codes under.
  LaneVector scale() const { return stored_scale(hn::Mul(relative_scale(), extreme_), extreme_); }

  /// The same with the gain restored, rounded to half: the one to store.
  LaneVector corrected_scale() const {
    const auto error = hn::Sub(energy_, hn::Mul(relative_scale(), best_.product));
    return stored_scale(hn::Mul(hn::Mul(relative_scale(), extreme_), gain_correction(energy_, error)),
                        extreme_);
  }

 private:
  /// sum(w u q) and sum(w q^2) of one rounding, u the weights relative to the extreme one.
  struct Sums {
    LaneVector product, square;
  };
  /// The sum of squares before any candidate: not zero, so that it can be divided by.
  static constexpr float kNoCodes = 1e-30f;

  LaneVector relative_scale() const { return hn::Div(best_.product, best_.square); }

  /// The largest code, before clamping, that the kth factor of a batch gives.
  template <class Candidates, std::size_t kFirst>
  struct Batch {
    static constexpr float largest_code(std::size_t k) {
      const float code = Candidates::kCodes[kFirst + k];
      return code < 0 ? -code : code;
    }
  };
  struct AnyFactor {
    static constexpr float largest_code(std::size_t) { return std::numeric_limits<float>::infinity(); }
  };

  template <class Factors, std::size_t kBatch>
  void keep_best(const std::array<LaneVector, kBatch>& factors) {
    const LaneTag d;
    constexpr std::size_t kParts = ChainedSums<kBatch>::kParts;
    ChainedSums<kBatch> products, squares;
    for (std::size_t i = 0; i < kWeights; i += kParts) {
      for (std::size_t part = 0; part < kParts; ++part) {
        const auto u = hn::Load(d, relative_ + (i + part) * kLanes);
        for (std::size_t k = 0; k < kBatch; ++k) {
          auto q = nearest_product(u, factors[k]);
          if (Factors::largest_code(k) > -kLow) q = hn::Max(q, hn::Set(d, float{kLow}));
          if (Factors::largest_code(k) > kHigh) q = hn::Min(q, hn::Set(d, float{kHigh}));
          const auto wq = importance_.times(q, i + part);
          products.of(k, part) = hn::MulAdd(wq, u, products.of(k, part));
          squares.of(k, part) = hn::MulAdd(wq, q, squares.of(k, part));
        }
      }
    }
    for (std::size_t k = 0; k < kBatch; ++k) {
      const Sums sum{products.total(k), squares.total(k)};
      // product^2 / square > best.product^2 / best.square, without the divisions.
      const auto left = hn::Mul(hn::Mul(sum.product, sum.product), best_.square);
      const auto right = hn::Mul(hn::Mul(best_.product, best_.product), sum.square);
      const auto better = hn::Gt(left, right);
      best_.product = hn::IfThenElse(better, sum.product, best_.product);
      best_.square = hn::IfThenElse(better, sum.square, best_.square);
    }
  }

  const Importance importance_;
  LaneVector extreme_;
  LaneVector energy_;  ///< sum(w u^2)
  Sums best_;
  alignas(64) float relative_[kWeights * kLanes];
};

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
