// The error of every sub-block of a codebook format as a function of its scale, from a few searches.
//
// The error of a group at the scale s is s^2 times the least of the lines norm - t product over the entries
// of the codebook, t = 2 / s (grid_search-inl.h). The winners at a few scales are nearly the whole lower
// envelope of those lines between them, so (norm, product) of each is kept in the group's shortlist: from
// then on the error at ANY scale costs a multiply-add per line instead of a search. The first kSamples lines
// are the winners at scales around the expected one, the last the winner at the scale that the first ones led
// to.
//
// Everything is in units of each lane's largest magnitude, so that neither huge nor tiny weights overflow.
//
// `Layout` is the description of a format, see grid_format-inl.h. Include once per SIMD target.

#if defined(TESSERA_CODECS_GRID_SHORTLISTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_GRID_SHORTLISTS_INL_H_
#undef TESSERA_CODECS_GRID_SHORTLISTS_INL_H_
#else
#define TESSERA_CODECS_GRID_SHORTLISTS_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <limits>

#include "foundation/codecs/grid_columns-inl.h"
#include "foundation/codecs/grid_search-inl.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// The ideal scale of a sub-block is sought among this many scales from the largest sample down, each
/// kCurveRatio of the one before.
inline constexpr std::size_t kCurveSteps = 24;
inline constexpr float kCurveRatio = 0.951f;

template <class Layout>
class Shortlists {
 public:
  using Sizes = GridSizes<Layout>;

  /// `x`: the tile, [kBlockWeights][lane]; it and `columns` must outlive the shortlists.
  Shortlists(const GridColumns<Layout>& columns, const float* x) : columns_(columns), x_(x) {
    LaneVector largest = hn::Zero(kTag);
    for (std::size_t i = 0; i < Layout::kBlockWeights; ++i) {
      largest = hn::Max(largest, hn::Abs(hn::Load(kTag, x + i * kLanes)));
    }
    unit_ = hn::Max(largest, hn::Set(kTag, kLeastUnit));
    inverse_unit_ = hn::Div(hn::Set(kTag, 1.0f), unit_);
  }

  /// Fills the shortlists and finds the ideal scale of every sub-block.
  void sample();
  /// Adds the winners at scales[sub-block] to the shortlists.
  void sample_at(const LaneVector* scales);

  /// What the scales given to and returned by all functions are multiples of.
  LaneVector unit() const { return unit_; }
  LaneVector inverse_unit() const { return inverse_unit_; }
  /// The best scale of a sub-block by itself.
  LaneVector ideal(std::size_t sub_block) const { return hn::Load(kTag, ideal_[sub_block]); }
  /// sum w x^2 over the block.
  LaneVector energy() const;
  /// The error of a sub-block at a scale, less its sum w x^2.
  LaneVector error_at(std::size_t sub_block, LaneVector scale) const;

  struct Line {
    LaneVector norm, product;
  };
  /// The best line of a group at a scale.
  Line best_line(std::size_t group, LaneVector scale) const;

 private:
  /// Blocks of smaller magnitudes have no half scale other than zero anyway.
  static constexpr float kLeastUnit = 1e-20f;
  static constexpr std::size_t kSamples = Layout::kSamples;

  struct Shortlist {
    alignas(64) float norms[kSamples + 1][kLanes];
    alignas(64) float products[kSamples + 1][kLanes];
  };

  /// 2 / scale, finite.
  static LaneVector t_of(LaneVector scale) {
    return hn::Div(hn::Set(kTag, 2.0f), hn::Max(scale, hn::Set(kTag, 1e-12f)));
  }
  void weigh(std::size_t group, float* v) const;
  void sample_sub_block(std::size_t sub_block, LaneVector largest_scale);
  LaneVector find_ideal(std::size_t sub_block, LaneVector largest_scale) const;
  void add_line(std::size_t group, std::size_t at, const GroupEntries<Layout>& entries,
                const GroupProducts<Layout>& products);

  static constexpr LaneTag kTag{};
  static constexpr LaneIntTag kIntTag{};
  const GridColumns<Layout>& columns_;
  const float* x_;
  LaneVector unit_, inverse_unit_;
  std::size_t lines_ = kSamples;  ///< lines in every shortlist
  alignas(64) float ideal_[Sizes::kSubBlocks][kLanes];
  Shortlist shortlists_[Sizes::kGroups];
};

/// v of a group; where parity must be even and is odd, the least v is negated: nearly always the flip to be
/// made.
template <class Layout>
void Shortlists<Layout>::weigh(std::size_t group, float* v) const {
  constexpr std::size_t kWeights = Layout::kGroupWeights;
  const LaneIntVector signs = weigh_group<Layout>(columns_.importance + group * kWeights,
                                                  x_ + group * kWeights * kLanes, inverse_unit_, v);
  if constexpr (Layout::kEvenSigns) {
    const auto odd = hn::Ne(parity_of(signs), hn::Zero(kIntTag));
    LaneVector least = hn::Load(kTag, v);
    for (std::size_t i = 1; i < kWeights; ++i) least = hn::Min(least, hn::Load(kTag, v + i * kLanes));
    auto pending = hn::RebindMask(kTag, odd);
    for (std::size_t i = 0; i < kWeights; ++i) {
      const LaneVector here = hn::Load(kTag, v + i * kLanes);
      const auto flip = hn::And(pending, hn::Eq(here, least));
      hn::Store(hn::IfThenElse(flip, hn::Neg(here), here), kTag, v + i * kLanes);
      pending = hn::AndNot(flip, pending);
    }
  }
}

template <class Layout>
void Shortlists<Layout>::add_line(std::size_t group, std::size_t at, const GroupEntries<Layout>& entries,
                                  const GroupProducts<Layout>& products) {
  LaneVector norm = hn::Zero(kTag), product = hn::Zero(kTag);
  const auto lane = hn::Iota(kIntTag, 0);
  for (std::size_t vector = 0; vector < Sizes::kVectors; ++vector) {
    for (std::size_t half = 0; half < 2; ++half) {
      const auto combination = hn::Load(kIntTag, half == 0 ? entries.low[vector] : entries.high[vector]);
      norm = hn::Add(norm, hn::GatherIndex(kTag, columns_.norms[group].of[vector][half], combination));
      const auto place =
          hn::Add(hn::Mul(combination, hn::Set(kIntTag, static_cast<std::int32_t>(kLanes))), lane);
      product = hn::Add(product, hn::GatherIndex(kTag, products.of[vector][half], place));
    }
  }
  hn::Store(norm, kTag, shortlists_[group].norms[at]);
  hn::Store(product, kTag, shortlists_[group].products[at]);
}

template <class Layout>
void Shortlists<Layout>::sample_sub_block(std::size_t sub_block, LaneVector largest_scale) {
  static_assert(kSamples % kSearchesAtOnce == 0);
  alignas(64) float v[Layout::kGroupWeights * kLanes];
  GroupProducts<Layout> products;
  GroupEntries<Layout> entries[1][kSearchesAtOnce];
  for (std::size_t i = 0; i < Sizes::kGroupsOfSubBlock; ++i) {
    const std::size_t group = sub_block * Sizes::kGroupsOfSubBlock + i;
    weigh(group, v);
    tabulate_products<Layout, false>(v, products);
    const GroupTables<Layout> tables{&columns_.norms[group], &products};
    LaneVector scale = largest_scale;
    for (std::size_t at = 0; at < kSamples; at += kSearchesAtOnce) {
      LaneVector t[1][kSearchesAtOnce];
      for (LaneVector& its_t : t[0]) {
        its_t = t_of(scale);
        scale = hn::Mul(scale, hn::Set(kTag, Layout::kSampleRatio));
      }
      search_groups<Layout, 1>(split_codebook<Layout>(), &tables, t, entries);
      for (std::size_t k = 0; k < kSearchesAtOnce; ++k) add_line(group, at + k, entries[0][k], products);
    }
  }
}

template <class Layout>
LaneVector Shortlists<Layout>::find_ideal(std::size_t sub_block, LaneVector largest_scale) const {
  LaneVector scale = largest_scale, ideal = largest_scale;
  LaneVector least = hn::Set(kTag, std::numeric_limits<float>::max());
  for (std::size_t step = 0; step < kCurveSteps; ++step) {
    const LaneVector error = error_at(sub_block, scale);
    ideal = hn::IfThenElse(hn::Lt(error, least), scale, ideal);
    least = hn::Min(error, least);
    scale = hn::Mul(scale, hn::Set(kTag, kCurveRatio));
  }
  return ideal;
}

template <class Layout>
void Shortlists<Layout>::sample() {
  for (std::size_t sub_block = 0; sub_block < Sizes::kSubBlocks; ++sub_block) {
    LaneVector largest = hn::Set(kTag, 1e-6f);
    for (std::size_t i = 0; i < Layout::kSubBlockWeights; ++i) {
      const LaneVector weight = hn::Load(kTag, x_ + (sub_block * Layout::kSubBlockWeights + i) * kLanes);
      largest = hn::Max(largest, hn::Mul(hn::Abs(weight), inverse_unit_));
    }
    const LaneVector largest_scale =
        hn::Mul(largest, hn::Set(kTag, Layout::kLargestSample / Layout::kLevels.back()));
    sample_sub_block(sub_block, largest_scale);
    hn::Store(find_ideal(sub_block, largest_scale), kTag, ideal_[sub_block]);
  }
}

template <class Layout>
void Shortlists<Layout>::sample_at(const LaneVector* scales) {
  static_assert(Sizes::kGroups % kSearchesAtOnce == 0);
  alignas(64) float v[Layout::kGroupWeights * kLanes];
  GroupProducts<Layout> products[kSearchesAtOnce];
  GroupTables<Layout> tables[kSearchesAtOnce];
  GroupEntries<Layout> entries[kSearchesAtOnce][1];
  LaneVector t[kSearchesAtOnce][1];
  for (std::size_t first = 0; first < Sizes::kGroups; first += kSearchesAtOnce) {
    for (std::size_t k = 0; k < kSearchesAtOnce; ++k) {
      const std::size_t group = first + k;
      t[k][0] = t_of(scales[group / Sizes::kGroupsOfSubBlock]);
      weigh(group, v);
      tabulate_products<Layout, false>(v, products[k]);
      tables[k] = {&columns_.norms[group], &products[k]};
    }
    search_groups<Layout, kSearchesAtOnce>(split_codebook<Layout>(), tables, t, entries);
    for (std::size_t k = 0; k < kSearchesAtOnce; ++k)
      add_line(first + k, kSamples, entries[k][0], products[k]);
  }
  lines_ = kSamples + 1;
}

template <class Layout>
LaneVector Shortlists<Layout>::energy() const {
  LaneVector energy = hn::Zero(kTag);
  for (std::size_t i = 0; i < Layout::kBlockWeights; ++i) {
    const LaneVector x = hn::Mul(hn::Load(kTag, x_ + i * kLanes), inverse_unit_);
    energy = hn::MulAdd(hn::Mul(x, x), hn::Set(kTag, columns_.importance[i]), energy);
  }
  return energy;
}

template <class Layout>
LaneVector Shortlists<Layout>::error_at(std::size_t sub_block, LaneVector scale) const {
  const LaneVector t = t_of(scale);
  LaneVector sum = hn::Zero(kTag);
  for (std::size_t i = 0; i < Sizes::kGroupsOfSubBlock; ++i) {
    const Shortlist& list = shortlists_[sub_block * Sizes::kGroupsOfSubBlock + i];
    LaneVector least = hn::NegMulAdd(t, hn::Load(kTag, list.products[0]), hn::Load(kTag, list.norms[0]));
    for (std::size_t at = 1; at < lines_; ++at) {
      least =
          hn::Min(least, hn::NegMulAdd(t, hn::Load(kTag, list.products[at]), hn::Load(kTag, list.norms[at])));
    }
    sum = hn::Add(sum, least);
  }
  return hn::Mul(sum, hn::Mul(scale, scale));
}

template <class Layout>
auto Shortlists<Layout>::best_line(std::size_t group, LaneVector scale) const -> Line {
  const Shortlist& list = shortlists_[group];
  LaneVector least = hn::Set(kTag, std::numeric_limits<float>::max());
  Line best{hn::Zero(kTag), hn::Zero(kTag)};
  for (std::size_t at = 0; at < lines_; ++at) {
    const Line line{hn::Load(kTag, list.norms[at]), hn::Load(kTag, list.products[at])};
    const LaneVector error = hn::NegMulAdd(hn::Set(kTag, 2.0f), line.product, hn::Mul(scale, line.norm));
    const auto better = hn::Lt(error, least);
    best.norm = hn::IfThenElse(better, line.norm, best.norm);
    best.product = hn::IfThenElse(better, line.product, best.product);
    least = hn::Min(error, least);
  }
  return best;
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
