// The formats whose codes are codebook entries with signs: scales, codes and bytes, from the description of a
// layout.
//
//   struct Layout {
//     static constexpr ElementType kType;
//     static constexpr std::size_t kBlockWeights, kBlockBytes;
//     // Weights of a code: one octet or, signs being free, one quad.
//     static constexpr std::size_t kGroupWeights;
//     // Weights of a sub-scale.
//     static constexpr std::size_t kSubBlockWeights;
//     // The scale of a sub-block is d * kScaleUnit * (2 * sub_scale + 1).
//     static constexpr float kScaleUnit;
//     static constexpr CodebookShape kShape;
//     // Array of the magnitudes of the levels, ascending.
//     static constexpr kLevels;
//     // The packed codebook.
//     static constexpr const auto& kEntries;
//     static constexpr std::size_t kIndexBits;
//     // Whether the signs of an octet have even parity.
//     static constexpr bool kEvenSigns;
//     // The scales searched at for the shortlists: from kLargestSample down, each kSampleRatio of the one
//     // before. 1 is the scale at which the largest weight has the largest magnitude of the codebook.
//     static constexpr std::size_t kSamples;
//     static constexpr float kLargestSample, kSampleRatio;
//     static void write(const GridBlock& block, std::byte* bytes);
//     static void read(const std::byte* bytes, GridBlock& block);
//   };
//
// A code is the indices of the group's codebook vectors, kIndexBits each, then one sign bit per weight.
//
// Include once per SIMD target.

#if defined(TESSERA_CODECS_GRID_FORMAT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_CODECS_GRID_FORMAT_INL_H_
#undef TESSERA_CODECS_GRID_FORMAT_INL_H_
#else
#define TESSERA_CODECS_GRID_FORMAT_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "foundation/codecs/grid_block.h"
#include "foundation/codecs/grid_scales-inl.h"
#include "foundation/codecs/grid_search-inl.h"
#include "foundation/codecs/lane_scales-inl.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

template <class Layout>
struct GridFormat : Layout {
  using Sizes = GridSizes<Layout>;
  using Columns = GridColumns<Layout>;
  using Scales = GridScales<Layout>;
  static constexpr float kImportancePower = kGridImportancePower;

  static void prepare(const float* importance, Columns& columns) {
    prepare_columns<Layout>(importance, columns);
  }
  static void fit(const Columns& columns, const float* x, Scales& scales) {
    fit_scales<Layout>(columns, x, scales);
  }

  static void round(const Columns& columns, const Scales& scales, std::size_t group, const float* x,
                    std::int32_t* code) {
    round_groups<1>(columns, scales, group, x, code);
  }
  static void round_tile(const Columns& columns, const Scales& scales, const float* x, std::int32_t* codes) {
    constexpr std::size_t kAtOnce = Layout::kEvenSigns ? 1 : kSearchesAtOnce;
    for (std::size_t group = 0; group < Sizes::kGroups; group += kAtOnce) {
      round_groups<kAtOnce>(columns, scales, group, x + group * Layout::kGroupWeights * kLanes,
                            codes + group * kLanes);
    }
  }

  static void pack(const Scales& scales, const std::int32_t* codes, std::size_t lane, std::byte* block) {
    GridBlock unpacked;
    unpacked.half_scale = static_cast<std::uint16_t>(scales.half_scale[lane]);
    for (std::size_t i = 0; i < Sizes::kSubBlocks; ++i) {
      unpacked.sub_scales[i] = static_cast<std::uint8_t>(scales.sub_scales[i][lane]);
    }
    for (std::size_t i = 0; i < Sizes::kGroups; ++i) {
      unpacked.codes[i] = static_cast<std::uint32_t>(codes[i * kLanes + lane]);
    }
    Layout::write(unpacked, block);
  }

  static constexpr std::size_t kSubBlocks = Sizes::kSubBlocks;
  static constexpr ScaleFreedom kFreedom{.unit = true, .multiples = true};
  static LaneVector nearest_unit_to(LaneVector exact) { return nearest_positive_half(exact); }
  /// kScaleUnit * 1, 3, .. 31.
  static LaneVector nearest_multiple_to(LaneVector exact) {
    const LaneTag d;
    const LaneVector pairs = hn::MulSub(exact, hn::Set(d, 0.5f / Layout::kScaleUnit), hn::Set(d, 0.5f));
    const LaneVector sub_scale = round_and_clamp(pairs, 0.0f, 15.0f);
    return hn::MulAdd(sub_scale, hn::Set(d, 2 * Layout::kScaleUnit), hn::Set(d, Layout::kScaleUnit));
  }
  static void get_scales(const Scales& scales, LaneScales<kSubBlocks>& result) {
    const LaneTag d;
    result.reset();
    hn::Store(half_to_float(d, hn::Load(hn::RebindToUnsigned<LaneTag>(), scales.half_scale)), d, result.unit);
    for (std::size_t s = 0; s < kSubBlocks; ++s) {
      const LaneVector sub_scale = hn::ConvertTo(d, hn::Load(LaneIntTag(), scales.sub_scales[s]));
      hn::Store(hn::MulAdd(sub_scale, hn::Set(d, 2 * Layout::kScaleUnit), hn::Set(d, Layout::kScaleUnit)), d,
                result.multiple + s * kLanes);
    }
  }
  static void set_scales(const LaneScales<kSubBlocks>& from, Scales& scales) {
    const LaneTag d;
    hn::Store(half_bits(d, hn::Load(d, from.unit)), hn::RebindToUnsigned<LaneTag>(), scales.half_scale);
    for (std::size_t s = 0; s < kSubBlocks; ++s) {
      const LaneVector pairs = hn::MulSub(hn::Load(d, from.multiple + s * kLanes),
                                          hn::Set(d, 0.5f / Layout::kScaleUnit), hn::Set(d, 0.5f));
      hn::Store(hn::NearestInt(pairs), LaneIntTag(), scales.sub_scales[s]);
      hn::Store(inverse_or_zero(from.scale(s)), d, scales.inverse[s]);
    }
  }
  static void values(const Scales&, std::size_t, const std::int32_t* code, float* v) {
    const LaneTag d;
    const LaneIntTag di;
    const LaneIntVector codes = hn::Load(di, code);
    const LaneIntVector signs = hn::ShiftRight<Layout::kIndexBits * Sizes::kVectors>(codes);
    constexpr std::int32_t kIndexMask = (1 << Layout::kIndexBits) - 1;
    for (std::size_t i = 0; i < Layout::kGroupWeights; ++i) {
      const int shift = static_cast<int>(i / Sizes::kWidth * Layout::kIndexBits);
      const auto index = hn::And(hn::ShiftRightSame(codes, shift), hn::Set(di, kIndexMask));
      const auto place = hn::Add(hn::Mul(index, hn::Set(di, Sizes::kWidth)),
                                 hn::Set(di, static_cast<std::int32_t>(i % Sizes::kWidth)));
      const LaneVector magnitude = hn::GatherIndex(d, codebook_magnitudes<Layout>().data(), place);
      const auto negative = hn::And(hn::ShiftRightSame(signs, static_cast<int>(i)), hn::Set(di, 1));
      const auto sign = hn::BitCast(d, hn::ShiftLeft<31>(negative));
      hn::Store(hn::Xor(magnitude, sign), d, v + i * kLanes);
    }
  }

 private:
  /// The codes of kCount groups from `first_group` on; x and codes are theirs.
  template <std::size_t kCount>
  static void round_groups(const Columns& columns, const Scales& scales, std::size_t first_group,
                           const float* x, std::int32_t* codes) {
    static_assert(kCount == 1 || !Layout::kEvenSigns);
    const LaneTag d;
    alignas(64) float v[kCount][Layout::kGroupWeights * kLanes];
    GroupProducts<Layout> products[kCount];
    GroupTables<Layout> tables[kCount];
    GroupEntries<Layout> entries[kCount][1];
    LaneIntVector signs[kCount];
    LaneVector t[kCount][1];
    for (std::size_t k = 0; k < kCount; ++k) {
      const std::size_t group = first_group + k;
      const LaneVector inverse = hn::Load(d, scales.inverse[group / Sizes::kGroupsOfSubBlock]);
      signs[k] = weigh_group<Layout>(columns.importance + group * Layout::kGroupWeights,
                                     x + k * Layout::kGroupWeights * kLanes, inverse, v[k]);
      tabulate_products<Layout, Layout::kEvenSigns>(v[k], products[k]);
      tables[k] = {&columns.norms[group], &products[k]};
      t[k][0] = hn::Set(d, 2.0f);  // v is in units of the scale
    }
    if constexpr (Layout::kEvenSigns) {
      const LaneVector odd = hn::ConvertTo(d, parity_of(signs[0]));
      search_even_group(split_codebook<Layout>(), tables[0], t[0][0], odd, entries[0][0]);
    } else {
      search_groups<Layout, kCount, 1>(split_codebook<Layout>(), tables, t, entries);
    }
    for (std::size_t k = 0; k < kCount; ++k) store_code(entries[k][0], signs[k], v[k], codes + k * kLanes);
  }

  static void store_code(const GroupEntries<Layout>& entries, LaneIntVector signs, const float* v,
                         std::int32_t* code) {
    const LaneIntTag di;
    LaneIntVector indices[Sizes::kVectors];
    LaneIntVector bits = hn::Zero(di);
    for (std::size_t vector = 0; vector < Sizes::kVectors; ++vector) {
      const auto low = hn::Mul(hn::Load(di, entries.low[vector]), hn::Set(di, Sizes::kCombinations));
      const auto place = hn::Add(low, hn::Load(di, entries.high[vector]));
      indices[vector] = hn::GatherIndex(di, split_codebook<Layout>().indices(), place);
      bits = hn::Or(bits, hn::ShiftLeftSame(indices[vector], static_cast<int>(vector * Layout::kIndexBits)));
    }
    if constexpr (Layout::kEvenSigns) {
      const LaneIntVector odd = parity_of(signs);
      signs = hn::Xor(signs, hn::And(cheapest_flip(v, indices), hn::Neg(odd)));
    }
    hn::Store(hn::Or(bits, hn::ShiftLeft<Layout::kIndexBits * Sizes::kVectors>(signs)), di, code);
  }

  /// The sign bit of the weight whose flip costs least, given the entries.
  static LaneIntVector cheapest_flip(const float* v, const LaneIntVector* indices) {
    const LaneTag d;
    const LaneIntTag di;
    LaneIntVector flip = hn::Set(di, 1);
    LaneVector least = hn::Set(d, std::numeric_limits<float>::max());
    for (std::size_t i = 0; i < Layout::kGroupWeights; ++i) {
      const auto first = hn::Mul(indices[i / Sizes::kWidth], hn::Set(di, Sizes::kWidth));
      const auto place = hn::Add(first, hn::Set(di, static_cast<std::int32_t>(i % Sizes::kWidth)));
      const LaneVector magnitude = hn::GatherIndex(d, codebook_magnitudes<Layout>().data(), place);
      const LaneVector price = hn::Mul(magnitude, hn::Load(d, v + i * kLanes));
      const auto better = hn::RebindMask(di, hn::Lt(price, least));
      flip = hn::IfThenElse(better, hn::Set(di, 1 << i), flip);
      least = hn::Min(least, price);
    }
    return flip;
  }
};

/// Writes scale * magnitudes[i], negative where bit i of `signs` is set.
template <std::size_t kWidth>
HWY_INLINE void decode_vector(const float* HWY_RESTRICT magnitudes, float scale, std::uint32_t signs,
                              float* HWY_RESTRICT weights) {
  const hn::CappedTag<float, kWidth> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  alignas(32) static constexpr std::uint32_t kBits[8] = {1, 2, 4, 8, 16, 32, 64, 128};
  for (std::size_t i = 0; i < kWidth; i += hn::Lanes(d)) {
    const auto weight = hn::Mul(hn::Set(d, scale), hn::LoadU(d, magnitudes + i));
    const auto negative = hn::RebindMask(d, hn::TestBit(hn::Set(du, signs), hn::Load(du, kBits + i)));
    hn::StoreU(hn::IfThenElse(negative, hn::Neg(weight), weight), d, weights + i);
  }
}

/// Decodes whole blocks of any number of rows.
template <class Layout>
void decode_blocks(const std::byte* blocks, std::size_t count, float* HWY_RESTRICT weights) {
  using Sizes = GridSizes<Layout>;
  constexpr std::uint32_t kIndexMask = (1u << Layout::kIndexBits) - 1u;
  const float* HWY_RESTRICT magnitudes = codebook_magnitudes<Layout>().data();
  GridBlock unpacked;
  for (std::size_t block = 0; block < count; ++block, weights += Layout::kBlockWeights) {
    Layout::read(blocks + block * Layout::kBlockBytes, unpacked);
    const float unit = float_from_half(unpacked.half_scale) * Layout::kScaleUnit;
    for (std::size_t group = 0; group < Sizes::kGroups; ++group) {
      const float scale =
          unit * static_cast<float>(2 * unpacked.sub_scales[group / Sizes::kGroupsOfSubBlock] + 1);
      const std::uint32_t code = unpacked.codes[group];
      for (std::size_t part = 0; part < Sizes::kVectors; ++part) {
        const std::uint32_t index = (code >> (part * Layout::kIndexBits)) & kIndexMask;
        const std::uint32_t signs = code >> (Sizes::kVectors * Layout::kIndexBits + part * Sizes::kWidth);
        decode_vector<Sizes::kWidth>(magnitudes + index * Sizes::kWidth, scale, signs,
                                     weights + group * Layout::kGroupWeights + part * Sizes::kWidth);
      }
    }
  }
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
