// Exhaustive search for the best entry of a codebook of magnitudes, for one group of weights in every lane.
//
// With v_i = w_i |x_i| a codebook vector g at scale s has the weighted squared error
//     sum_i w_i (|x_i| - s g_i)^2  =  const + s^2 (norm_g - t product_g),    t = 2 / s,
//     norm_g = sum_i w_i g_i^2,    product_g = sum_i v_i g_i.
// Norms belong to the importance and products to the weights; neither depends on s. Both are sums over the
// halves of the vector, so tables over the combinations of a half hold them (split_codebook.h), and one
// search at a scale costs one minimum per entry. The combination of the low half travels through the minimum
// in the low mantissa bits of its cost: 7 of 24, far below the differences that matter.
//
// Where the signs of an octet must have even parity, an octet of odd parity pays for one flipped weight:
// product_g - 2 min_i v_i g_i, and entry and flip are chosen together.
//
// `Layout` is the description of a format, see grid_format-inl.h. Include once per SIMD target.

#if defined(TESSERA_CODECS_GRID_SEARCH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_GRID_SEARCH_INL_H_
#undef TESSERA_CODECS_GRID_SEARCH_INL_H_
#else
#define TESSERA_CODECS_GRID_SEARCH_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "foundation/codecs/split_codebook.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// Searches that read the codebook together: as many as keep their running minima in registers.
inline constexpr std::size_t kSearchesAtOnce = 4;

/// Sizes that follow from a layout.
template <class Layout>
struct GridSizes {
  static constexpr std::size_t kWidth = Layout::kShape.width;
  static constexpr std::size_t kHalfWidth = kWidth / 2;
  static constexpr std::size_t kCombinations = Layout::kShape.half_combinations();
  static constexpr std::size_t kVectors = Layout::kGroupWeights / kWidth;  ///< codebook vectors per group
  static constexpr std::size_t kGroups = Layout::kBlockWeights / Layout::kGroupWeights;
  static constexpr std::size_t kSubBlocks = Layout::kBlockWeights / Layout::kSubBlockWeights;
  static constexpr std::size_t kGroupsOfSubBlock = Layout::kSubBlockWeights / Layout::kGroupWeights;
  static_assert(kCombinations <= 128, "the combination of the low half has 7 bits");
};

/// The norms of all combinations of both halves of a group's vectors.
template <class Layout>
struct GroupNorms {
  float of[GridSizes<Layout>::kVectors][2][GridSizes<Layout>::kCombinations];
};

/// The products of the same, and for even parity the cost of the cheapest flip within each combination.
/// [..][lane]
template <class Layout>
struct GroupProducts {
  static constexpr std::size_t kTable = GridSizes<Layout>::kCombinations * kLanes;
  alignas(64) float of[GridSizes<Layout>::kVectors][2][kTable];
  alignas(64) float flip[GridSizes<Layout>::kVectors][2][kTable];
};

/// The entry of each vector of a group, as the combinations of its halves. [vector][lane]
template <class Layout>
struct GroupEntries {
  alignas(64) std::int32_t low[GridSizes<Layout>::kVectors][kLanes];
  alignas(64) std::int32_t high[GridSizes<Layout>::kVectors][kLanes];
};

/// Fills a table over combinations: table[c] = combine over the weights i of `term`(i, level of weight i in
/// c).
template <class Layout, class Term, class Combine>
HWY_INLINE void tabulate(const Term& term, const Combine& combine, float* HWY_RESTRICT table) {
  const LaneTag d;
  constexpr std::size_t kLevels = Layout::kShape.levels;
  for (std::size_t level = 0; level < kLevels; ++level) hn::Store(term(0, level), d, table + level * kLanes);
  std::size_t filled = kLevels;
  for (std::size_t i = 1; i < GridSizes<Layout>::kHalfWidth; ++i) {
    for (std::size_t level = kLevels; level-- > 0;) {  // the lowest level last: it overwrites its own input
      const LaneVector here = term(i, level);
      for (std::size_t c = 0; c < filled; ++c) {
        hn::Store(combine(hn::Load(d, table + c * kLanes), here), d, table + (level * filled + c) * kLanes);
      }
    }
    filled *= kLevels;
  }
}

/// Tabulates products for v[kGroupWeights][lane]; `with_flips` also the costs of flips.
template <class Layout, bool with_flips>
void tabulate_products(const float* HWY_RESTRICT v, GroupProducts<Layout>& products) {
  const LaneTag d;
  using Sizes = GridSizes<Layout>;
  for (std::size_t half = 0; half < 2 * Sizes::kVectors; ++half) {
    const float* HWY_RESTRICT from = v + half * Sizes::kHalfWidth * kLanes;
    const auto term = [&](std::size_t i, std::size_t level) {
      return hn::Mul(hn::Load(d, from + i * kLanes), hn::Set(d, Layout::kLevels[level]));
    };
    const auto sum = [](LaneVector a, LaneVector b) { return hn::Add(a, b); };
    const auto least = [](LaneVector a, LaneVector b) { return hn::Min(a, b); };
    tabulate<Layout>(term, sum, products.of[half / 2][half % 2]);
    if constexpr (with_flips) tabulate<Layout>(term, least, products.flip[half / 2][half % 2]);
  }
}

/// Puts the number of the combination into the low mantissa bits of its cost.
HWY_INLINE LaneVector tag_cost(LaneVector cost, std::size_t combination) {
  const LaneIntTag di;
  const LaneTag d;
  const auto tag = hn::Set(di, static_cast<std::int32_t>(combination));
  return hn::BitCast(d, hn::OrAnd(tag, hn::BitCast(di, cost), hn::Set(di, ~127)));
}

/// The best entry so far of one vector, in every lane.
struct BestEntry {
  LaneVector cost;
  LaneVector low;  ///< a tagged cost
  LaneIntVector high;

  static HWY_INLINE BestEntry none() {
    const LaneTag d;
    return {hn::Set(d, std::numeric_limits<float>::max()), hn::Zero(d), hn::Zero(LaneIntTag())};
  }

  HWY_INLINE void offer(LaneVector offered, LaneVector its_low, std::size_t its_high) {
    const auto better = hn::Lt(offered, cost);
    const auto its_high_lanes = hn::Set(LaneIntTag(), static_cast<std::int32_t>(its_high));
    low = hn::IfThenElse(better, its_low, low);
    high = hn::IfThenElse(hn::RebindMask(LaneIntTag(), better), its_high_lanes, high);
    cost = hn::Min(cost, offered);
  }
  HWY_INLINE void store(std::int32_t* low_out, std::int32_t* high_out) const {
    const LaneIntTag di;
    hn::Store(hn::And(hn::BitCast(di, low), hn::Set(di, 127)), di, low_out);
    hn::Store(high, di, high_out);
  }
};

/// One vector of a group: what its searches read.
struct VectorTables {
  const float *low_norms, *high_norms;        // [combination]
  const float *low_products, *high_products;  // [combination][lane]
  const float *low_flips, *high_flips;        // [combination][lane]
};

/// The tables of one group, for a search.
template <class Layout>
struct GroupTables {
  const GroupNorms<Layout>* norms;
  const GroupProducts<Layout>* products;

  VectorTables of(std::size_t vector) const {
    return {norms->of[vector][0],    norms->of[vector][1],      products->of[vector][0],
            products->of[vector][1], products->flip[vector][0], products->flip[vector][1]};
  }
};

/// Costs of low halves: of all combinations, then of the pairs.
template <std::size_t kCombinations>
struct LowCosts {
  alignas(64) float of[(kCombinations + SplitCodebook::kPairs) * kLanes];

  HWY_INLINE void share_pairs(const SplitCodebook& codebook) {
    const LaneTag d;
    float* HWY_RESTRICT shared = of + kCombinations * kLanes;
    for (const SharedPairs::Pair pair : codebook.pairs()) {
      hn::Store(hn::Min(hn::Load(d, of + pair.first), hn::Load(d, of + pair.second)), d, shared);
      shared += kLanes;
    }
  }
};

/// Several searches at once, signs free: with each of kTables tables one at each of its t[kScales], t = 2 /
/// scale. Reading the codebook, whose loads are half of those of a lone search, serves them all.
template <std::size_t kCombinations, std::size_t kTables, std::size_t kScales>
void search_entries(const SplitCodebook& codebook, const VectorTables* tables, const LaneVector (*t)[kScales],
                    BestEntry (*best)[kScales]) {
  const LaneTag d;
  LowCosts<kCombinations> low_costs[kTables][kScales];
  for (std::size_t table = 0; table < kTables; ++table) {
    for (std::size_t c = 0; c < kCombinations; ++c) {
      const LaneVector product = hn::Load(d, tables[table].low_products + c * kLanes);
      const LaneVector norm = hn::Set(d, tables[table].low_norms[c]);
      for (std::size_t k = 0; k < kScales; ++k) {
        const LaneVector cost = tag_cost(hn::NegMulAdd(t[table][k], product, norm), c);
        hn::Store(cost, d, low_costs[table][k].of + c * kLanes);
      }
    }
    for (std::size_t k = 0; k < kScales; ++k) {
      low_costs[table][k].share_pairs(codebook);
      best[table][k] = BestEntry::none();
    }
  }
  const std::uint16_t* HWY_RESTRICT lows = codebook.lows();
  for (const SplitCodebook::Run run : codebook.runs()) {
    LaneVector low[kTables * kScales];
    for (std::size_t k = 0; k < kTables * kScales; ++k) {
      low[k] = hn::Load(d, low_costs[k / kScales][k % kScales].of + lows[run.begin]);
    }
    for (std::size_t i = run.begin + 1u; i < run.end; ++i) {
      const std::size_t place = lows[i];
      for (std::size_t k = 0; k < kTables * kScales; ++k) {
        low[k] = hn::Min(low[k], hn::Load(d, low_costs[k / kScales][k % kScales].of + place));
      }
    }
    for (std::size_t table = 0; table < kTables; ++table) {
      const LaneVector product = hn::Load(d, tables[table].high_products + run.high * kLanes);
      const LaneVector norm = hn::Set(d, tables[table].high_norms[run.high]);
      for (std::size_t k = 0; k < kScales; ++k) {
        const LaneVector its_low = low[table * kScales + k];
        const LaneVector cost = hn::Add(its_low, hn::NegMulAdd(t[table][k], product, norm));
        best[table][k].offer(cost, its_low, run.high);
      }
    }
  }
}

/// The best entry together with one flipped weight, which costs `flip_price` times its product (2 t, or 0 in
/// lanes that need no flip). The flip is in the low half or in the high half: two sums, the better one
/// counts.
template <std::size_t kCombinations>
BestEntry search_flipped_entries(const SplitCodebook& codebook, const VectorTables& tables, LaneVector t,
                                 LaneVector flip_price) {
  const LaneTag d;
  LowCosts<kCombinations> low_costs, flipped_low_costs;
  for (std::size_t c = 0; c < kCombinations; ++c) {
    const LaneVector product = hn::Load(d, tables.low_products + c * kLanes);
    const LaneVector cost = hn::NegMulAdd(t, product, hn::Set(d, tables.low_norms[c]));
    const LaneVector flipped = hn::MulAdd(flip_price, hn::Load(d, tables.low_flips + c * kLanes), cost);
    hn::Store(tag_cost(cost, c), d, low_costs.of + c * kLanes);
    hn::Store(tag_cost(flipped, c), d, flipped_low_costs.of + c * kLanes);
  }
  low_costs.share_pairs(codebook);
  flipped_low_costs.share_pairs(codebook);
  const std::uint16_t* HWY_RESTRICT lows = codebook.lows();
  BestEntry best = BestEntry::none();
  for (const SplitCodebook::Run run : codebook.runs()) {
    LaneVector low = hn::Load(d, low_costs.of + lows[run.begin]);
    LaneVector flipped_low = hn::Load(d, flipped_low_costs.of + lows[run.begin]);
    for (std::size_t i = run.begin + 1u; i < run.end; ++i) {
      low = hn::Min(low, hn::Load(d, low_costs.of + lows[i]));
      flipped_low = hn::Min(flipped_low, hn::Load(d, flipped_low_costs.of + lows[i]));
    }
    const std::size_t high = run.high * kLanes;
    const LaneVector cost =
        hn::NegMulAdd(t, hn::Load(d, tables.high_products + high), hn::Set(d, tables.high_norms[run.high]));
    const LaneVector flipped = hn::MulAdd(flip_price, hn::Load(d, tables.high_flips + high), cost);
    best.offer(hn::Add(flipped_low, cost), flipped_low, run.high);
    best.offer(hn::Add(low, flipped), low, run.high);
  }
  return best;
}

/// The best entries of each group at each of its t[kScales] = 2 / scale, signs free.
template <class Layout, std::size_t kGroups, std::size_t kScales>
void search_groups(const SplitCodebook& codebook, const GroupTables<Layout>* groups,
                   const LaneVector (*t)[kScales], GroupEntries<Layout> (*entries)[kScales]) {
  using Sizes = GridSizes<Layout>;
  for (std::size_t vector = 0; vector < Sizes::kVectors; ++vector) {
    VectorTables tables[kGroups];
    for (std::size_t group = 0; group < kGroups; ++group) tables[group] = groups[group].of(vector);
    BestEntry best[kGroups][kScales];
    search_entries<Sizes::kCombinations, kGroups, kScales>(codebook, tables, t, best);
    for (std::size_t k = 0; k < kGroups * kScales; ++k) {
      GroupEntries<Layout>& its_entries = entries[k / kScales][k % kScales];
      best[k / kScales][k % kScales].store(its_entries.low[vector], its_entries.high[vector]);
    }
  }
}

/// The best entries of a group of which one weight is flipped in the lanes of `odd` (0 or 1).
template <class Layout>
void search_even_group(const SplitCodebook& codebook, const GroupTables<Layout>& group, LaneVector t,
                       LaneVector odd, GroupEntries<Layout>& entries) {
  using Sizes = GridSizes<Layout>;
  static_assert(Sizes::kVectors <= 2);
  const LaneVector flip_price = hn::Mul(odd, hn::Add(t, t));
  BestEntry flipped[Sizes::kVectors], plain[Sizes::kVectors][1];
  const LaneVector only_t[1][1] = {{t}};
  for (std::size_t vector = 0; vector < Sizes::kVectors; ++vector) {
    const VectorTables tables = group.of(vector);
    flipped[vector] = search_flipped_entries<Sizes::kCombinations>(codebook, tables, t, flip_price);
    if constexpr (Sizes::kVectors == 2) {
      search_entries<Sizes::kCombinations, 1, 1>(codebook, &tables, only_t, plain + vector);
    }
  }
  if constexpr (Sizes::kVectors == 2) {
    // In even lanes both hold the same cost and either choice is right.
    const auto first =
        hn::Le(hn::Add(flipped[0].cost, plain[1][0].cost), hn::Add(plain[0][0].cost, flipped[1].cost));
    const auto first_int = hn::RebindMask(LaneIntTag(), first);
    flipped[0].low = hn::IfThenElse(first, flipped[0].low, plain[0][0].low);
    flipped[0].high = hn::IfThenElse(first_int, flipped[0].high, plain[0][0].high);
    flipped[1].low = hn::IfThenElse(first, plain[1][0].low, flipped[1].low);
    flipped[1].high = hn::IfThenElse(first_int, plain[1][0].high, flipped[1].high);
  }
  for (std::size_t vector = 0; vector < Sizes::kVectors; ++vector) {
    flipped[vector].store(entries.low[vector], entries.high[vector]);
  }
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
