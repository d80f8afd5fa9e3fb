// The scales of a super-block of IQ1_S or IQ1_M: a half d, and for each sub-block an odd multiple m of 1..15.
//
// The least error of a sub-block as a function of its scale s, over the whole grid, is C + s F(s) with F
// concave and smooth to the eye (iq1_tables-inl.h). So each sub-block's F is sampled exactly at a few scales
// around a first estimate and interpolated by a polynomial; then d and all m are chosen on the curves, at
// next to no cost for each d tried. After that an exact search decides between each sub-block's two best
// choices, and d becomes the weighted least-squares one.
//
// Two corrections keep the least error from being the wrong aim at so few bits (measured by KL divergence on
// a model, where the first halves it):
// - Least squares shrinks: what the codes do not explain of x is missing from every output of the layer, and
//   such errors add up over inputs and layers where random ones average out. So the stored d is larger than
//   the one that codes are chosen with (gain_correction-inl.h). At this many bits four fifths of the
//   correction are best.
// - Importance is only the diagonal of the inputs' second moments, and from a sample; it enters with an
//   exponent below 1.
//
// Include once per SIMD target, after tile_encoder-inl.h.

#if defined(TESSERA_CODECS_IQ1_FIT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_IQ1_FIT_INL_H_
#undef TESSERA_CODECS_IQ1_FIT_INL_H_
#else
#define TESSERA_CODECS_IQ1_FIT_INL_H_
#endif

#include <hwy/highway.h>

#include <cmath>
#include <cstddef>

#include "foundation/codecs/gain_correction-inl.h"
#include "foundation/codecs/half-inl.h"
#include "foundation/codecs/iq1_curve-inl.h"
#include "foundation/codecs/iq1_minima-inl.h"
#include "foundation/codecs/iq1_search-inl.h"
#include "foundation/codecs/lane_math-inl.h"
#include "foundation/codecs/lane_range-inl.h"
#include "foundation/codecs/lane_scales-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

inline constexpr std::size_t kIq1BlockWeights = 256;
inline constexpr std::size_t kIq1BlockOctets = kIq1BlockWeights / kOctet;
inline constexpr int kIq1Multiples = 8;  ///< 1, 3, ... 15

inline constexpr float kIq1ImportancePower = 0.8f;

/// Takes the lowest ternary digit off `number`; returns its value, -1, 0 or 1.
HWY_INLINE LaneVector next_digit(LaneIntVector& number) {
  const LaneIntTag di;
  // Division by three for numbers below 2^13.
  const auto quotient = hn::ShiftRight<16>(hn::Mul(number, hn::Set(di, 21846)));
  const auto digit = hn::Sub(number, hn::Add(quotient, hn::Add(quotient, quotient)));
  number = quotient;
  return hn::ConvertTo(LaneTag(), hn::Sub(digit, hn::Set(di, 1)));
}

/// What error feedback asks of both formats, beside their scales (lane_scales-inl.h).
struct Iq1Feedback {
  static constexpr ScaleFreedom kFreedom{.unit = true, .multiples = true};
  static LaneVector nearest_unit_to(LaneVector exact) { return nearest_positive_half(exact); }
  /// 1, 3, .. 15.
  static LaneVector nearest_multiple_to(LaneVector exact) {
    const LaneTag df;
    const auto pairs = round_and_clamp(hn::MulSub(exact, hn::Set(df, 0.5f), hn::Set(df, 0.5f)), 0.0f, 7.0f);
    return hn::MulAdd(pairs, hn::Set(df, 2.0f), hn::Set(df, 1.0f));
  }
  /// The ternary vector of that number, plus `shift`.
  static void octet_values(LaneIntVector number, LaneVector shift, float* v) {
    for (std::size_t i = 0; i < kOctet; ++i) {
      hn::Store(hn::Add(next_digit(number), shift), LaneTag(), v + i * kLanes);
    }
  }
};

/// `kSubBlockOctets` octets share a multiple; they share the shift too, unless `kOctetShift`: then each octet
/// has its own.
template <std::size_t kSubBlockOctets, bool kOctetShift>
class Iq1Fit {
 public:
  static constexpr std::size_t kSubBlocks = kIq1BlockOctets / kSubBlockOctets;
  static constexpr std::size_t kSubBlockWeights = kSubBlockOctets * kOctet;

  /// `weights` is [256], `x` [256][kLanes].
  Iq1Fit(const float* HWY_RESTRICT weights, const float* HWY_RESTRICT x) : weights_(weights) {
    range_ = power_of_two_below(largest_magnitude(x, kIq1BlockWeights));
    scale_lanes(x, kIq1BlockWeights, range_.reciprocal, x_);
    estimate_scales();
    for (std::size_t b = 0; b < kSubBlocks; ++b) sample(b);
    search_d();
    refine();
  }

  /// The d that codes are chosen with.
  LaneVector code_d() const { return hn::Mul(d_, range_.value); }

  /// The d to store and to decode with, a half.
  LaneVector stored_d() const {
    const LaneTag df;
    auto energy = hn::Zero(df);
    for (std::size_t i = 0; i < kIq1BlockWeights; ++i) {
      const auto x = hn::Load(df, x_ + i * kLanes);
      energy = hn::MulAdd(hn::Mul(x, x), hn::Set(df, weights_[i]), energy);
    }
    const auto error = hn::NegMulAdd(product_, d_, energy);
    return round_to_half(df, hn::Mul(code_d(), gain_correction(energy, error, kGainRestoration)));
  }

  LaneVector multiple(std::size_t b) const { return hn::Load(LaneTag(), multiple_ + b * kLanes); }
  LaneVector shift(std::size_t b) const { return hn::Load(LaneTag(), shift_ + b * kLanes); }

 private:
  static constexpr std::size_t kCurves = kOctetShift ? 1 : 2;
  static constexpr int kEstimates = 12;
  static constexpr float kEstimateRatio = 0.82f;
  static constexpr float kLeastEstimate = 1.0f / 20;
  static constexpr int kSuperScales = 40;
  static constexpr float kFirstSuperScale = 1.0f / 7;
  static constexpr float kSuperScaleRatio = 0.97f;
  static constexpr GainRestoration kGainRestoration{.share = 0.8f, .largest_loss = 1.0f / 3};

  /// Each sub-block's best scale if all ternary vectors were in the grid, and the shift did nothing but to
  /// displace.
  void estimate_scales() {
    const LaneTag df;
    largest_estimate_ = hn::Zero(df);
    for (std::size_t b = 0; b < kSubBlocks; ++b) {
      const auto scale = ternary_scale(weights_ + b * kSubBlockWeights, x_ + b * kSubBlockWeights * kLanes);
      hn::Store(scale, df, estimate_ + b * kLanes);
      largest_estimate_ = hn::Max(largest_estimate_, scale);
    }
    const auto least = hn::Mul(largest_estimate_, hn::Set(df, kLeastEstimate));
    for (std::size_t b = 0; b < kSubBlocks; ++b) {
      hn::Store(hn::Max(hn::Load(df, estimate_ + b * kLanes), least), df, estimate_ + b * kLanes);
    }
  }

  static LaneVector ternary_scale(const float* HWY_RESTRICT weights, const float* HWY_RESTRICT x) {
    const LaneTag df;
    auto threshold = hn::Mul(largest_magnitude(x, kSubBlockWeights), hn::Set(df, 0.5f));
    float sum_of_weights = 0.0f;
    for (std::size_t j = 0; j < kSubBlockWeights; ++j) sum_of_weights += weights[j];
    const auto displaced = hn::Set(df, kIq1Shift * kIq1Shift * sum_of_weights);
    auto best_gain = hn::Zero(df), best = hn::Zero(df);
    for (int i = 0; i < kEstimates; ++i, threshold = hn::Mul(threshold, hn::Set(df, kEstimateRatio))) {
      auto product = hn::Zero(df), square = displaced;
      for (std::size_t j = 0; j < kSubBlockWeights; ++j) {
        const auto magnitude = hn::Abs(hn::Load(df, x + j * kLanes));
        const auto w = hn::IfThenElseZero(hn::Gt(magnitude, threshold), hn::Set(df, weights[j]));
        product = hn::MulAdd(w, magnitude, product);
        square = hn::Add(square, w);
      }
      const auto scale = hn::Div(product, square);
      const auto gain = hn::Mul(scale, product);
      const auto better = hn::Gt(gain, best_gain);
      best_gain = hn::IfThenElse(better, gain, best_gain);
      best = hn::IfThenElse(better, scale, best);
    }
    return best;
  }

  void sample(std::size_t b) {
    const LaneTag df;
    constexpr std::size_t kSamples = Iq1Curve::kSamples;
    LaneVector samples[2][kSamples];
    for (auto& curve : samples) {
      for (auto& sample : curve) sample = hn::Zero(df);
    }
    const auto estimate = hn::Load(df, estimate_ + b * kLanes);
    for (std::size_t octet = b * kSubBlockOctets; octet < (b + 1) * kSubBlockOctets; ++octet) {
      const float* weights = weights_ + octet * kOctet;
      const float* x = x_ + octet * kOctet * kLanes;
      Iq1Query queries[2 * kSamples];
      for (std::size_t k = 0; k < 2 * kSamples; ++k) {
        const auto scale = hn::Mul(estimate, hn::Set(df, Iq1Curve::kNodes[k / 2]));
        queries[k] = {weights, x, scale, hn::Set(df, k % 2 ? kIq1Shift : -kIq1Shift)};
      }
      LaneVector least[2 * kSamples];
      search_minima<2 * kSamples>(queries, least);
      for (std::size_t j = 0; j < kSamples; ++j) {
        if constexpr (kOctetShift) {
          samples[0][j] = hn::Add(samples[0][j], hn::Min(least[2 * j], least[2 * j + 1]));
        } else {
          samples[0][j] = hn::Add(samples[0][j], least[2 * j]);
          samples[1][j] = hn::Add(samples[1][j], least[2 * j + 1]);
        }
      }
    }
    for (std::size_t c = 0; c < kCurves; ++c) curves_[b][c].set(samples[c]);
  }

  /// A multiple and shift of a sub-block, and s F(s).
  struct Choice {
    LaneVector error, multiple, shift;

    HWY_INLINE void replace_where(hn::Mask<LaneTag> where, const Choice& other) {
      error = hn::IfThenElse(where, other.error, error);
      multiple = hn::IfThenElse(where, other.multiple, multiple);
      shift = hn::IfThenElse(where, other.shift, shift);
    }
  };
  struct BestTwo {
    Choice first, second;
  };

  /// The best choices of a sub-block at a given d, by its curves.
  HWY_INLINE BestTwo choose(std::size_t b, LaneVector d) const {
    const LaneTag df;
    const auto d_per_estimate = hn::Mul(d, inverse_or_zero(hn::Load(df, estimate_ + b * kLanes)));
    const Choice none{hn::Set(df, hwy::HighestValue<float>()), hn::Set(df, 1.0f), hn::Set(df, kIq1Shift)};
    BestTwo best{none, none};
    for (int i = 0; i < kIq1Multiples; ++i) {
      const auto multiple = hn::Set(df, static_cast<float>(2 * i + 1));
      for (std::size_t c = 0; c < kCurves; ++c) {
        const auto least = curves_[b][c].at(hn::Mul(multiple, d_per_estimate));
        const Choice choice{hn::Mul(hn::Mul(multiple, d), least), multiple,
                            hn::Set(df, c == 0 ? -kIq1Shift : kIq1Shift)};
        const auto beats_first = hn::Lt(choice.error, best.first.error);
        best.second.replace_where(hn::Lt(choice.error, best.second.error), choice);
        best.second.replace_where(beats_first, best.first);
        best.first.replace_where(beats_first, choice);
      }
    }
    return best;
  }

  void search_d() {
    const LaneTag df;
    auto d = hn::Mul(largest_estimate_, hn::Set(df, kFirstSuperScale));
    auto least_error = hn::Set(df, hwy::HighestValue<float>());
    d_ = d;
    for (int i = 0; i < kSuperScales; ++i, d = hn::Mul(d, hn::Set(df, kSuperScaleRatio))) {
      auto error = hn::Zero(df);
      for (std::size_t b = 0; b < kSubBlocks; ++b) {
        error = hn::Add(error, choose(b, d).first.error);
      }
      const auto better = hn::Lt(error, least_error);
      least_error = hn::IfThenElse(better, error, least_error);
      d_ = hn::IfThenElse(better, d, d_);
    }
  }

  /// sum w x y and sum w y^2 over y = m (g + e): what the least-squares d needs.
  struct Sums {
    LaneVector product, square;
  };

  /// The exact result of one choice for a sub-block.
  Sums try_choice(std::size_t b, const Choice& choice) const {
    const LaneTag df;
    const float* weights = weights_ + b * kSubBlockWeights;
    const float* x = x_ + b * kSubBlockWeights * kLanes;
    Iq1Entry entries[kSubBlockOctets];
    nearest_entries<kSubBlockOctets, kOctetShift>(weights, x, hn::Mul(d_, choice.multiple), choice.shift,
                                                  entries);
    Sums sums{hn::Zero(df), hn::Zero(df)};
    for (std::size_t i = 0; i < kSubBlockWeights; ++i) {
      Iq1Entry& entry = entries[i / kOctet];
      const auto value = hn::Mul(choice.multiple, hn::Add(next_digit(entry.number), entry.shift));
      const auto weighted = hn::Mul(value, hn::Set(df, weights[i]));
      sums.product = hn::MulAdd(weighted, hn::Load(df, x + i * kLanes), sums.product);
      sums.square = hn::MulAdd(weighted, value, sums.square);
    }
    return sums;
  }

  LaneVector error_at(LaneVector d, const Sums& sums) const {
    return hn::Mul(d, hn::MulSub(d, sums.square, hn::Add(sums.product, sums.product)));
  }

  /// Chooses multiples, shifts and codes under the present d and moves d to their least-squares value.
  void refine() {
    const LaneTag df;
    Sums total{hn::Zero(df), hn::Zero(df)};
    for (std::size_t b = 0; b < kSubBlocks; ++b) {
      auto [choice, other] = choose(b, d_);
      const Sums sums = try_choice(b, choice), other_sums = try_choice(b, other);
      const auto other_is_better = hn::Lt(error_at(d_, other_sums), error_at(d_, sums));
      choice.replace_where(other_is_better, other);
      hn::Store(choice.multiple, df, multiple_ + b * kLanes);
      hn::Store(choice.shift, df, shift_ + b * kLanes);
      total.product =
          hn::Add(total.product, hn::IfThenElse(other_is_better, other_sums.product, sums.product));
      total.square = hn::Add(total.square, hn::IfThenElse(other_is_better, other_sums.square, sums.square));
    }
    product_ = total.product;
    d_ = hn::IfThenElse(hn::Gt(total.square, hn::Zero(df)),
                        hn::Max(hn::Div(total.product, total.square), hn::Zero(df)), d_);
  }

  const float* weights_;
  PowerOfTwo range_;
  LaneVector largest_estimate_;
  LaneVector d_;
  LaneVector product_;  ///< sum w x y / d
  Iq1Curve curves_[kSubBlocks][kCurves];
  alignas(64) float x_[kIq1BlockWeights * kLanes];  ///< divided by range_
  alignas(64) float estimate_[kSubBlocks * kLanes];
  alignas(64) float multiple_[kSubBlocks * kLanes];
  alignas(64) float shift_[kSubBlocks * kLanes];
};

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
