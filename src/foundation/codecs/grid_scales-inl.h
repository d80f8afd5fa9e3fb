// The scales of a block of a codebook format: the super-block scale d and one sub-scale of 4 bits per
// sub-block.
//
// 1. Shortlists. For every group the exhaustive search (grid_search-inl.h) runs at kSamples scales around the
//    expected one and keeps the (norm, product) of each winner. The error of a group as a function of t = 2 /
//    s is the lower envelope of lines norm - t product, so the winners at a few scales are nearly the whole
//    envelope between them: from here on the error of a sub-block at ANY scale costs kSamples multiply-adds
//    instead of a search.
// 2. Over a grid of kDCandidates values of d, each sub-block takes the better of the two sub-scales around
// its ideal
//    scale; the d with the least error of the block wins. Then d is fitted by weighted least squares to the
//    codes chosen, twice, and rounded to half.
// 3. The search runs once more at the scales found, d is fitted to its winners, and the sub-scales are chosen
// anew.
// 4. The d that is stored is larger, by gain_correction-inl.h's factor; codes are rounded at the scale of
// least
//    squares. (Mean KL divergence of a llama of 27 M weights in IQ2_XXS: 0.066 without, 0.046 with it.)
//
// Everything is done in units of each lane's largest magnitude, so that neither huge nor tiny weights
// overflow.
//
// `Layout` is the description of a format, see grid_format-inl.h. Include once per SIMD target.

#if defined(TESSERA_CODECS_GRID_SCALES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_GRID_SCALES_INL_H_
#undef TESSERA_CODECS_GRID_SCALES_INL_H_
#else
#define TESSERA_CODECS_GRID_SCALES_INL_H_
#endif

#include <hwy/highway.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "foundation/codecs/gain_correction-inl.h"
#include "foundation/codecs/grid_columns-inl.h"
#include "foundation/codecs/grid_search-inl.h"
#include "foundation/codecs/half-inl.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

template <class Layout>
struct GridScales {
  alignas(64) std::uint32_t half_scale[kLanes];                                ///< d as a half
  alignas(64) std::int32_t sub_scales[GridSizes<Layout>::kSubBlocks][kLanes];  ///< 0..15
  alignas(64) float inverse[GridSizes<Layout>::kSubBlocks][kLanes];            ///< 1 / scale of the sub-block
};

/// The scales tried for the shortlists of a sub-block: from kLargestSample down, each kSampleRatio of the one
/// before. 1 is the scale at which the largest weight has the largest magnitude of the codebook.
inline constexpr std::size_t kSamples = 8;
inline constexpr std::size_t kScalesAtOnce = 4;
inline constexpr float kLargestSample = 1.15f;
inline constexpr float kSampleRatio = 0.89f;
/// The ideal scale of a sub-block is sought with this finer step.
inline constexpr float kCurveRatio = 0.951f;
/// The values of d tried. 1 is the d that gives the largest ideal scale the largest sub-scale.
inline constexpr std::size_t kDCandidates = 24;
inline constexpr float kLargestD = 1.6f;
inline constexpr float kDRatio = 0.968f;

/// Codes found for one group: the lines norm - t * product.
struct Shortlist {
  alignas(64) float norms[kSamples + 1][kLanes];
  alignas(64) float products[kSamples + 1][kLanes];
};

template <class Layout>
class ScaleFit {
 public:
  using Sizes = GridSizes<Layout>;

  ScaleFit(const GridColumns<Layout>& columns, const float* x) : columns_(columns), x_(x) {
    LaneVector largest = hn::Zero(d_);
    for (std::size_t i = 0; i < Layout::kBlockWeights; ++i) {
      largest = hn::Max(largest, hn::Abs(hn::Load(d_, x + i * kLanes)));
    }
    unit_ = hn::Max(largest, hn::Set(d_, kLeastUnit));
    inverse_unit_ = hn::Div(hn::Set(d_, 1.0f), unit_);
  }

  void fit(GridScales<Layout>& scales) {
    sample();
    LaneVector d = best_of_grid();
    for (int i = 0; i < 2; ++i) d = refit(d);
    choose_sub_scales(d);
    sample_chosen(d);
    d = refit(d);
    const LaneVector factor = gain(d);
    const LaneVector stored = round_to_half(d_, hn::Mul(hn::Mul(d, factor), unit_));
    hn::Store(half_bits(d_, stored), hn::RebindToUnsigned<LaneTag>(), scales.half_scale);
    d = hn::Div(hn::Mul(stored, inverse_unit_), factor);
    choose_sub_scales(d);
    store(d, scales);
  }

 private:
  /// Blocks of smaller magnitudes have no half scale other than zero anyway.
  static constexpr float kLeastUnit = 1e-20f;

  void sample();
  void sample_chosen(LaneVector d);
  void add_line(std::size_t group, std::size_t at, const GroupEntries<Layout>& entries,
                const GroupProducts<Layout>& products);
  void weigh(std::size_t group, float* v) const;

  /// 2 / scale, finite.
  static LaneVector t_of(LaneVector scale) {
    return hn::Div(hn::Set(d_, 2.0f), hn::Max(scale, hn::Set(d_, 1e-12f)));
  }
  LaneVector scale_of(LaneVector d, LaneIntVector sub_scale) const {
    const LaneVector odd_multiple =
        hn::ConvertTo(d_, hn::Add(hn::Add(sub_scale, sub_scale), hn::Set(di_, 1)));
    return hn::Mul(d, hn::Mul(odd_multiple, hn::Set(d_, Layout::kScaleUnit)));
  }
  LaneVector ideal_multiple(LaneVector d, std::size_t sub_block) const {
    const LaneVector ratio =
        hn::Div(hn::Load(d_, ideal_[sub_block]), hn::Mul(d, hn::Set(d_, 2 * Layout::kScaleUnit)));
    return hn::Sub(ratio, hn::Set(d_, 0.5f));
  }

  LaneVector error_at(std::size_t sub_block, LaneVector scale) const;
  LaneVector best_of_grid() const;
  void choose_sub_scales(LaneVector d);
  LaneVector refit(LaneVector d);
  LaneVector gain(LaneVector d) const;
  void store(LaneVector d, GridScales<Layout>& scales) const;

  static constexpr LaneTag d_{};
  static constexpr LaneIntTag di_{};
  const GridColumns<Layout>& columns_;
  const float* x_;
  LaneVector unit_, inverse_unit_;
  LaneVector products_;                                 ///< of the codes of the last refit, at d = 1
  std::size_t lines_ = kSamples;                        ///< lines in every shortlist
  alignas(64) float ideal_[Sizes::kSubBlocks][kLanes];  ///< the best scale of each sub-block by itself
  alignas(64) std::int32_t sub_scales_[Sizes::kSubBlocks][kLanes];
  Shortlist shortlists_[Sizes::kGroups];
};

/// v of a group; where parity must be even and is odd, the least v is negated: nearly always the flip to be
/// made.
template <class Layout>
void ScaleFit<Layout>::weigh(std::size_t group, float* v) const {
  constexpr std::size_t kWeights = Layout::kGroupWeights;
  const LaneIntVector signs = weigh_group<Layout>(columns_.importance + group * kWeights,
                                                  x_ + group * kWeights * kLanes, inverse_unit_, v);
  if constexpr (Layout::kEvenSigns) {
    const auto odd = hn::Ne(parity_of(signs), hn::Zero(di_));
    LaneVector least = hn::Load(d_, v);
    for (std::size_t i = 1; i < kWeights; ++i) least = hn::Min(least, hn::Load(d_, v + i * kLanes));
    auto pending = hn::RebindMask(d_, odd);
    for (std::size_t i = 0; i < kWeights; ++i) {
      const LaneVector here = hn::Load(d_, v + i * kLanes);
      const auto flip = hn::And(pending, hn::Eq(here, least));
      hn::Store(hn::IfThenElse(flip, hn::Neg(here), here), d_, v + i * kLanes);
      pending = hn::AndNot(flip, pending);
    }
  }
}

template <class Layout>
void ScaleFit<Layout>::add_line(std::size_t group, std::size_t at, const GroupEntries<Layout>& entries,
                                const GroupProducts<Layout>& products) {
  LaneVector norm = hn::Zero(d_), product = hn::Zero(d_);
  const auto lane = hn::Iota(di_, 0);
  for (std::size_t vector = 0; vector < Sizes::kVectors; ++vector) {
    for (std::size_t half = 0; half < 2; ++half) {
      const auto combination = hn::Load(di_, half == 0 ? entries.low[vector] : entries.high[vector]);
      norm = hn::Add(norm, hn::GatherIndex(d_, columns_.norms[group].of[vector][half], combination));
      const auto place = hn::Add(hn::Mul(combination, hn::Set(di_, static_cast<std::int32_t>(kLanes))), lane);
      product = hn::Add(product, hn::GatherIndex(d_, products.of[vector][half], place));
    }
  }
  hn::Store(norm, d_, shortlists_[group].norms[at]);
  hn::Store(product, d_, shortlists_[group].products[at]);
}

/// Fills the shortlists, and the ideal scale of every sub-block from them.
template <class Layout>
void ScaleFit<Layout>::sample() {
  alignas(64) float v[Layout::kGroupWeights * kLanes];
  GroupProducts<Layout> products;
  GroupEntries<Layout> entries[kScalesAtOnce];
  for (std::size_t sub_block = 0; sub_block < Sizes::kSubBlocks; ++sub_block) {
    LaneVector largest = hn::Set(d_, 1e-6f);
    for (std::size_t i = 0; i < Layout::kSubBlockWeights; ++i) {
      const LaneVector weight = hn::Load(d_, x_ + (sub_block * Layout::kSubBlockWeights + i) * kLanes);
      largest = hn::Max(largest, hn::Mul(hn::Abs(weight), inverse_unit_));
    }
    const LaneVector largest_scale = hn::Mul(largest, hn::Set(d_, kLargestSample / Layout::kLevels.back()));
    for (std::size_t i = 0; i < Sizes::kGroupsOfSubBlock; ++i) {
      const std::size_t group = sub_block * Sizes::kGroupsOfSubBlock + i;
      weigh(group, v);
      tabulate_products<Layout, false>(v, products);
      LaneVector scale = largest_scale;
      for (std::size_t at = 0; at < kSamples; at += kScalesAtOnce) {
        LaneVector t[kScalesAtOnce];
        for (LaneVector& its_t : t) {
          its_t = t_of(scale);
          scale = hn::Mul(scale, hn::Set(d_, kSampleRatio));
        }
        search_group<Layout, kScalesAtOnce>(split_codebook<Layout>(), columns_.norms[group], products, t,
                                            entries);
        for (std::size_t k = 0; k < kScalesAtOnce; ++k) add_line(group, at + k, entries[k], products);
      }
    }
    LaneVector scale = largest_scale, ideal = largest_scale;
    LaneVector least = hn::Set(d_, std::numeric_limits<float>::max());
    for (std::size_t at = 0; at < 3 * kSamples; ++at) {
      const LaneVector error = error_at(sub_block, scale);
      ideal = hn::IfThenElse(hn::Lt(error, least), scale, ideal);
      least = hn::Min(error, least);
      scale = hn::Mul(scale, hn::Set(d_, kCurveRatio));
    }
    hn::Store(ideal, d_, ideal_[sub_block]);
  }
}

/// One more line in every shortlist: the winner at the scale chosen.
template <class Layout>
void ScaleFit<Layout>::sample_chosen(LaneVector d) {
  alignas(64) float v[Layout::kGroupWeights * kLanes];
  GroupProducts<Layout> products;
  GroupEntries<Layout> entries;
  for (std::size_t group = 0; group < Sizes::kGroups; ++group) {
    const LaneVector scale = scale_of(d, hn::Load(di_, sub_scales_[group / Sizes::kGroupsOfSubBlock]));
    const LaneVector t = t_of(scale);
    weigh(group, v);
    tabulate_products<Layout, false>(v, products);
    search_group<Layout, 1>(split_codebook<Layout>(), columns_.norms[group], products, &t, &entries);
    add_line(group, kSamples, entries, products);
  }
  lines_ = kSamples + 1;
}

/// The error of a sub-block at a scale, up to a constant: sum over groups of min over lines of s^2 norm - 2 s
/// product.
template <class Layout>
LaneVector ScaleFit<Layout>::error_at(std::size_t sub_block, LaneVector scale) const {
  const LaneVector t = t_of(scale);
  LaneVector sum = hn::Zero(d_);
  for (std::size_t i = 0; i < Sizes::kGroupsOfSubBlock; ++i) {
    const Shortlist& list = shortlists_[sub_block * Sizes::kGroupsOfSubBlock + i];
    LaneVector least = hn::NegMulAdd(t, hn::Load(d_, list.products[0]), hn::Load(d_, list.norms[0]));
    for (std::size_t at = 1; at < lines_; ++at) {
      least = hn::Min(least, hn::NegMulAdd(t, hn::Load(d_, list.products[at]), hn::Load(d_, list.norms[at])));
    }
    sum = hn::Add(sum, least);
  }
  return hn::Mul(sum, hn::Mul(scale, scale));
}

template <class Layout>
LaneVector ScaleFit<Layout>::best_of_grid() const {
  LaneVector largest = hn::Zero(d_);
  for (std::size_t i = 0; i < Sizes::kSubBlocks; ++i) largest = hn::Max(largest, hn::Load(d_, ideal_[i]));
  LaneVector d = hn::Mul(largest, hn::Set(d_, kLargestD / (31.0f * Layout::kScaleUnit)));
  LaneVector best = d, least = hn::Set(d_, std::numeric_limits<float>::max());
  for (std::size_t candidate = 0; candidate < kDCandidates; ++candidate) {
    LaneVector error = hn::Zero(d_);
    for (std::size_t i = 0; i < Sizes::kSubBlocks; ++i) {
      const LaneVector ideal = hn::Floor(ideal_multiple(d, i));
      const LaneVector below = hn::Min(hn::Max(ideal, hn::Zero(d_)), hn::Set(d_, 14.0f));
      const LaneIntVector sub_scale = hn::ConvertTo(di_, below);
      const LaneVector lower = error_at(i, scale_of(d, sub_scale));
      error = hn::Add(error, hn::Min(lower, error_at(i, scale_of(d, hn::Add(sub_scale, hn::Set(di_, 1))))));
    }
    best = hn::IfThenElse(hn::Lt(error, least), d, best);
    least = hn::Min(error, least);
    d = hn::Mul(d, hn::Set(d_, kDRatio));
  }
  return best;
}

/// For every sub-block the best of the three or four sub-scales nearest to its ideal scale.
template <class Layout>
void ScaleFit<Layout>::choose_sub_scales(LaneVector d) {
  for (std::size_t i = 0; i < Sizes::kSubBlocks; ++i) {
    const LaneVector nearest = hn::Floor(ideal_multiple(d, i));
    const LaneVector first =
        hn::Min(hn::Max(hn::Sub(nearest, hn::Set(d_, 1.0f)), hn::Zero(d_)), hn::Set(d_, 12.0f));
    LaneIntVector sub_scale = hn::ConvertTo(di_, first), best = sub_scale;
    LaneVector least = hn::Set(d_, std::numeric_limits<float>::max());
    for (int offset = 0; offset < 4; ++offset) {
      const LaneVector error = error_at(i, scale_of(d, sub_scale));
      best = hn::IfThenElse(hn::RebindMask(di_, hn::Lt(error, least)), sub_scale, best);
      least = hn::Min(error, least);
      sub_scale = hn::Add(sub_scale, hn::Set(di_, 1));
    }
    hn::Store(best, di_, sub_scales_[i]);
  }
}

/// Weighted least squares: d for the codes that are best at the present d.
template <class Layout>
LaneVector ScaleFit<Layout>::refit(LaneVector d) {
  choose_sub_scales(d);
  const LaneVector one = hn::Set(d_, 1.0f);
  LaneVector norms = hn::Set(d_, 1e-30f), products = hn::Zero(d_);
  for (std::size_t group = 0; group < Sizes::kGroups; ++group) {
    const LaneIntVector sub_scale = hn::Load(di_, sub_scales_[group / Sizes::kGroupsOfSubBlock]);
    const LaneVector multiple = scale_of(one, sub_scale);
    const LaneVector scale = hn::Mul(multiple, d);
    const Shortlist& list = shortlists_[group];
    LaneVector least = hn::Set(d_, std::numeric_limits<float>::max()), norm = hn::Zero(d_), product = norm;
    for (std::size_t at = 0; at < lines_; ++at) {
      const LaneVector its_norm = hn::Load(d_, list.norms[at]), its_product = hn::Load(d_, list.products[at]);
      const LaneVector error = hn::NegMulAdd(hn::Add(one, one), its_product, hn::Mul(scale, its_norm));
      const auto better = hn::Lt(error, least);
      norm = hn::IfThenElse(better, its_norm, norm);
      product = hn::IfThenElse(better, its_product, product);
      least = hn::Min(error, least);
    }
    norms = hn::MulAdd(hn::Mul(multiple, multiple), norm, norms);
    products = hn::MulAdd(multiple, product, products);
  }
  products_ = products;
  return hn::Max(hn::Div(products, norms), hn::Zero(d_));
}

/// The factor that undoes the shrinking of least squares; sum w (x - y)^2 = sum w x^2 - d products at its
/// solution.
template <class Layout>
LaneVector ScaleFit<Layout>::gain(LaneVector d) const {
  LaneVector energy = hn::Zero(d_);
  for (std::size_t i = 0; i < Layout::kBlockWeights; ++i) {
    const LaneVector x = hn::Mul(hn::Load(d_, x_ + i * kLanes), inverse_unit_);
    energy = hn::MulAdd(hn::Mul(x, x), hn::Set(d_, columns_.importance[i]), energy);
  }
  return gain_correction(energy, hn::NegMulAdd(d, products_, energy));
}

template <class Layout>
void ScaleFit<Layout>::store(LaneVector d, GridScales<Layout>& scales) const {
  const LaneVector zero = hn::Zero(d_);
  for (std::size_t i = 0; i < Sizes::kSubBlocks; ++i) {
    const LaneIntVector sub_scale = hn::Load(di_, sub_scales_[i]);
    const LaneVector scale = hn::Mul(scale_of(d, sub_scale), unit_);
    const auto positive = hn::Gt(scale, zero);
    hn::Store(hn::IfThenElse(positive, hn::Div(hn::Set(d_, 1.0f), scale), zero), d_, scales.inverse[i]);
    hn::Store(sub_scale, di_, scales.sub_scales[i]);
  }
}

template <class Layout>
void fit_scales(const GridColumns<Layout>& columns, const float* x, GridScales<Layout>& scales) {
  ScaleFit<Layout>(columns, x).fit(scales);
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
