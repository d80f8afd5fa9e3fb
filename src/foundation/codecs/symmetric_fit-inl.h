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

/// The weight of largest magnitude of every lane.
template <std::size_t kWeights>
LaneVector extreme_weight(const float* x) {
  const LaneTag d;
  auto low = hn::Load(d, x);
  auto high = low;
  for (std::size_t i = 1; i < kWeights; ++i) {
    const auto value = hn::Load(d, x + i * kLanes);
    low = hn::Min(low, value);
    high = hn::Max(high, value);
  }
  return hn::IfThenElse(hn::Gt(hn::Neg(low), high), low, high);
}

template <int kLow, int kHigh, std::size_t kWeights>
class SymmetricFit {
 public:
  /// `importance` is [kWeights], `x` is [kWeights][kLanes].
  SymmetricFit(const float* importance, const float* x) : importance_(importance) {
    const LaneTag d;
    extreme_ = extreme_weight<kWeights>(x);
    const auto inverse = inverse_or_zero(extreme_);
    energy_ = hn::Zero(d);
    for (std::size_t i = 0; i < kWeights; ++i) {
      const auto u = hn::Mul(hn::Load(d, x + i * kLanes), inverse);
      energy_ = hn::MulAdd(hn::Mul(u, u), hn::Set(d, importance[i]), energy_);
      hn::Store(u, d, relative_ + i * kLanes);
    }
    best_ = {hn::Zero(d), hn::Set(d, kNoCodes)};
  }

  template <std::size_t kCandidates>
  void try_candidates(const std::array<float, kCandidates>& candidates) {
    constexpr std::size_t kBatch = 4;
    static_assert(kCandidates % kBatch == 0);
    for (std::size_t first = 0; first < kCandidates; first += kBatch) {
      std::array<LaneVector, kBatch> factors;
      for (std::size_t k = 0; k < kBatch; ++k) factors[k] = hn::Set(LaneTag(), candidates[first + k]);
      keep_best(factors);
    }
  }

  /// One step of Lloyd's algorithm: rounds under the least-squares scale of the best codes so far.
  void refine() {
    const auto has_codes = hn::Ne(best_.product, hn::Zero(LaneTag()));
    keep_best(std::array{hn::IfThenElseZero(has_codes, hn::Div(best_.square, best_.product))});
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

  template <std::size_t kBatch>
  void keep_best(const std::array<LaneVector, kBatch>& factors) {
    const LaneTag d;
    std::array<Sums, kBatch> sums;
    for (auto& sum : sums) sum = {hn::Zero(d), hn::Zero(d)};
    for (std::size_t i = 0; i < kWeights; ++i) {
      const auto u = hn::Load(d, relative_ + i * kLanes);
      const auto w = hn::Set(d, importance_[i]);
      for (std::size_t k = 0; k < kBatch; ++k) {
        const auto rounded = nearest_product(u, factors[k]);
        const auto q = hn::Clamp(rounded, hn::Set(d, float{kLow}), hn::Set(d, float{kHigh}));
        const auto wq = hn::Mul(w, q);
        sums[k].product = hn::MulAdd(wq, u, sums[k].product);
        sums[k].square = hn::MulAdd(wq, q, sums[k].square);
      }
    }
    for (const auto& sum : sums) {
      // product^2 / square > best.product^2 / best.square, without the divisions.
      const auto left = hn::Mul(hn::Mul(sum.product, sum.product), best_.square);
      const auto right = hn::Mul(hn::Mul(best_.product, best_.product), sum.square);
      const auto better = hn::Gt(left, right);
      best_.product = hn::IfThenElse(better, sum.product, best_.product);
      best_.square = hn::IfThenElse(better, sum.square, best_.square);
    }
  }

  const float* importance_;
  LaneVector extreme_;
  LaneVector energy_;  ///< sum(w u^2)
  Sums best_;
  alignas(64) float relative_[kWeights * kLanes];
};

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
