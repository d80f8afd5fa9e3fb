// IQ4_XS: 256 weights, half super scale d, eight 6-bit sub-scales, 4-bit codes into 16 levels K:
// y = d (u - 32) K[q] (BLOCKS.md section 7).
//
//   block = d:half scale_high:u16 scale_low:4 bytes code:128 bytes
//
// Sub-block g has the low four bits of its u in nibble g of scale_low and the high two in bits 2g of
// scale_high; its 32 codes lie in 16 bytes as in IQ4_NL. Fitting finds each sub-block's own best scale, then
// the d whose multiples come nearest to all eight, then alternates between the integer sub-scales (with their
// neighbours, by exact error) and the least-squares d.

#include <cstring>

#include "foundation/codecs/block_codec.h"
#include "foundation/codecs/iq4.h"
#include "foundation/tensor/float16.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/codecs/iq4_xs.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/codecs/feedback-inl.h"
#include "foundation/codecs/half-inl.h"
#include "foundation/codecs/iq4_search-inl.h"
#include "foundation/codecs/lane_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {
namespace {

constexpr float kLowestSubScale = -32.0f;
constexpr float kHighestSubScale = 31.0f;

/// d candidates: the largest sub-block scale divided by integers and fractions down to half of the range,
/// where coarser steps begin to cost more than a lucky fit gains.
constexpr float kSuperScaleStep = 0.25f;
constexpr int kSuperScaleCandidates = 64;
constexpr int kSuperScaleSweeps = 2;

}  // namespace

struct Iq4XsFormat {
  static constexpr ElementType kType = ElementType::IQ4_XS;
  static constexpr std::size_t kBlockWeights = 256;
  static constexpr std::size_t kBlockBytes = 136;
  static constexpr std::size_t kGroupWeights = 1;
  static constexpr std::size_t kSubBlocks = 8;

  struct Columns {
    float weights[kBlockWeights];
  };
  static void prepare(const float* importance, Columns& columns) {
    std::memcpy(columns.weights, importance, sizeof(columns.weights));
  }

  struct Scales {
    alignas(64) float d[kLanes];
    alignas(64) float sub_scale[kSubBlocks * kLanes];  ///< integers -32..31
    alignas(64) float inverse[kSubBlocks * kLanes];    ///< 1 / (d sub_scale)
  };
  static void fit(const Columns& columns, const float* HWY_RESTRICT x, Scales& scales);

  static void round(const Columns&, const Scales& scales, std::size_t weight, const float* HWY_RESTRICT x,
                    std::int32_t* HWY_RESTRICT code) {
    const LaneTag df;
    const auto inverse = hn::Load(df, scales.inverse + weight / kIq4SubBlock * kLanes);
    hn::Store(level_code(nearest_level(hn::Mul(hn::Load(df, x), inverse))), LaneIntTag(), code);
  }

  static constexpr ScaleFreedom kFreedom{.unit = true, .multiples = true};
  static LaneVector nearest_unit_to(LaneVector exact) { return nearest_unit(exact); }
  static LaneVector nearest_multiple_to(LaneVector exact) {
    return round_and_clamp(exact, kLowestSubScale, kHighestSubScale);
  }
  static void get_scales(const Scales& scales, LaneScales<kSubBlocks>& result) {
    get_units(scales.d, scales.sub_scale, result);
  }
  static void set_scales(const LaneScales<kSubBlocks>& from, Scales& scales) {
    set_units(from, scales.d, scales.sub_scale, scales.inverse);
  }
  static void values(const Scales&, std::size_t, const std::int32_t* code, float* v) {
    hn::Store(level_of_code(hn::Load(LaneIntTag(), code)), LaneTag(), v);
  }

  static void pack(const Scales& scales, const std::int32_t* codes, std::size_t lane, std::byte* block);
};

namespace {

LaneVector nearest_sub_scale(LaneVector ratio) {
  const LaneTag df;
  return hn::Clamp(hn::Round(ratio), hn::Set(df, kLowestSubScale), hn::Set(df, kHighestSubScale));
}

/// The d whose integer multiples come nearest to the sub-blocks' own scales, each weighted by its curvature.
LaneVector choose_super_scale(const Iq4Scale* fits /*[Iq4XsFormat::kSubBlocks]*/) {
  const LaneTag df;
  auto extreme = hn::Zero(df);
  for (std::size_t b = 0; b < Iq4XsFormat::kSubBlocks; ++b) {
    extreme = hn::IfThenElse(hn::Gt(hn::Abs(fits[b].scale), hn::Abs(extreme)), fits[b].scale, extreme);
  }
  auto least_error = hn::Set(df, hwy::HighestValue<float>());
  auto best = hn::Zero(df);
  const auto consider = [&](float multiple) HWY_ATTR {
    const auto d = hn::Mul(extreme, hn::Set(df, 1.0f / multiple));
    const auto inverse = inverse_or_zero(d);
    auto error = hn::Zero(df);
    for (std::size_t b = 0; b < Iq4XsFormat::kSubBlocks; ++b) {
      const auto off = hn::NegMulAdd(d, nearest_sub_scale(hn::Mul(fits[b].scale, inverse)), fits[b].scale);
      error = hn::MulAdd(hn::Mul(off, off), fits[b].curvature, error);
    }
    const auto better = hn::Lt(error, least_error);
    least_error = hn::IfThenElse(better, error, least_error);
    best = hn::IfThenElse(better, d, best);
  };
  for (int i = 0; i < kSuperScaleCandidates; ++i) {
    const float steps = kSuperScaleStep * static_cast<float>(i);
    consider(kLowestSubScale + steps);
    if (kHighestSubScale - steps > 0.0f) consider(kHighestSubScale - steps);
  }
  return best;
}

/// Tries the integers around a sub-block's own scale at a given d; returns the best and adds its share of the
/// least-squares sums of d.
LaneVector choose_sub_scale(const float* HWY_RESTRICT weights, const float* HWY_RESTRICT x, LaneVector d,
                            LaneVector own_scale, Iq4Sums& d_sums) {
  const LaneTag df;
  const auto centre = nearest_sub_scale(hn::Mul(own_scale, inverse_or_zero(d)));
  auto least_error = hn::Set(df, hwy::HighestValue<float>());
  auto best = hn::Zero(df);
  Iq4Sums best_sums{hn::Zero(df), hn::Zero(df)};
  for (const float offset : {0.0f, -1.0f, 1.0f}) {
    const auto sub_scale = nearest_sub_scale(hn::Add(centre, hn::Set(df, offset)));
    const auto scale = hn::Mul(d, sub_scale);
    const auto sums = iq4_sums(weights, x, inverse_or_zero(scale));
    const auto error = hn::Mul(scale, hn::MulSub(scale, sums.kk, hn::Add(sums.xk, sums.xk)));
    const auto better = hn::Lt(error, least_error);
    least_error = hn::IfThenElse(better, error, least_error);
    best = hn::IfThenElse(better, sub_scale, best);
    best_sums.xk = hn::IfThenElse(better, hn::Mul(sub_scale, sums.xk), best_sums.xk);
    best_sums.kk = hn::IfThenElse(better, hn::Mul(hn::Mul(sub_scale, sub_scale), sums.kk), best_sums.kk);
  }
  d_sums.xk = hn::Add(d_sums.xk, best_sums.xk);
  d_sums.kk = hn::Add(d_sums.kk, best_sums.kk);
  return best;
}

}  // namespace

void Iq4XsFormat::fit(const Columns& columns, const float* HWY_RESTRICT x, Scales& scales) {
  const LaneTag df;
  alignas(64) float in_range[kBlockWeights * kLanes];
  const auto range = power_of_two_below(largest_magnitude(x, kBlockWeights));
  scale_lanes(x, kBlockWeights, range.reciprocal, in_range);
  Iq4Scale fits[kSubBlocks];
  for (std::size_t b = 0; b < kSubBlocks; ++b) {
    fits[b] = best_iq4_scale(columns.weights + b * kIq4SubBlock, in_range + b * kIq4SubBlock * kLanes);
  }
  auto d = choose_super_scale(fits);
  const auto to_half = [&](LaneVector value) HWY_ATTR {
    return hn::Mul(round_to_half(df, hn::Mul(value, range.value)), range.reciprocal);
  };
  for (int sweep = 0; sweep <= kSuperScaleSweeps; ++sweep) {
    d = to_half(d);
    Iq4Sums d_sums{hn::Zero(df), hn::Zero(df)};
    for (std::size_t b = 0; b < kSubBlocks; ++b) {
      const auto sub_scale = choose_sub_scale(columns.weights + b * kIq4SubBlock,
                                              in_range + b * kIq4SubBlock * kLanes, d, fits[b].scale, d_sums);
      hn::Store(sub_scale, df, scales.sub_scale + b * kLanes);
    }
    if (sweep < kSuperScaleSweeps) {
      d = hn::IfThenZeroElse(hn::Eq(d_sums.kk, hn::Zero(df)), hn::Div(d_sums.xk, d_sums.kk));
    }
  }
  d = hn::Mul(d, range.value);
  hn::Store(d, df, scales.d);
  for (std::size_t i = 0; i < kSubBlocks * kLanes; i += kLanes) {
    hn::Store(inverse_or_zero(hn::Mul(d, hn::Load(df, scales.sub_scale + i))), df, scales.inverse + i);
  }
}

void Iq4XsFormat::pack(const Scales& scales, const std::int32_t* codes, std::size_t lane, std::byte* block) {
  const std::uint16_t d = half_from_float(scales.d[lane]);
  std::memcpy(block, &d, 2);
  std::uint16_t high = 0;
  std::uint32_t low = 0;
  for (std::size_t b = 0; b < kSubBlocks; ++b) {
    const auto u = static_cast<std::uint32_t>(scales.sub_scale[b * kLanes + lane] - kLowestSubScale);
    low |= (u & 15u) << (4 * b);
    high = static_cast<std::uint16_t>(high | (u >> 4) << (2 * b));
  }
  std::memcpy(block + 2, &high, 2);
  std::memcpy(block + 4, &low, 4);
  for (std::size_t b = 0; b < kSubBlocks; ++b) {
    const std::int32_t* code = codes + b * kIq4SubBlock * kLanes + lane;
    for (std::size_t i = 0; i < 16; ++i) {
      block[8 + 16 * b + i] = static_cast<std::byte>(code[i * kLanes] | code[(i + 16) * kLanes] << 4);
    }
  }
}

void encode_iq4_xs(const EncodeInput& input, std::byte* out) { encode_rows<Iq4XsFormat>(input, out); }
void feedback_iq4_xs(const FeedbackInput& input, kernels::MatrixProducts& products, std::byte* out) {
  encode_rows_with_feedback<Iq4XsFormat>(input, products, out);
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::codecs {
namespace {

HWY_EXPORT(encode_iq4_xs);
HWY_EXPORT(feedback_iq4_xs);

void decode_iq4_xs(std::span<const std::byte> blocks, std::span<float> weights) {
  const std::byte* block = blocks.data();
  for (float* y = weights.data(); y != weights.data() + weights.size(); y += 256, block += 136) {
    std::uint16_t half, high;
    std::uint32_t low;
    std::memcpy(&half, block, 2);
    std::memcpy(&high, block + 2, 2);
    std::memcpy(&low, block + 4, 4);
    for (std::size_t b = 0; b < 8; ++b) {
      const std::uint32_t u = ((low >> (4 * b)) & 15u) | (((high >> (2 * b)) & 3u) << 4);
      const float scale = float_from_half(half) * static_cast<float>(static_cast<int>(u) - 32);
      for (std::size_t i = 0; i < 16; ++i) {
        const auto codes = std::to_integer<std::uint8_t>(block[8 + 16 * b + i]);
        y[32 * b + i] = scale * static_cast<float>(kIq4Levels[codes & 15u]);
        y[32 * b + i + 16] = scale * static_cast<float>(kIq4Levels[codes >> 4]);
      }
    }
  }
}

void encode(const EncodeInput& input, std::span<std::byte> blocks) {
  HWY_DYNAMIC_DISPATCH(encode_iq4_xs)(input, blocks.data());
}

void feedback(const FeedbackInput& input, kernels::MatrixProducts& products, std::span<std::byte> blocks) {
  HWY_DYNAMIC_DISPATCH(feedback_iq4_xs)(input, products, blocks.data());
}

}  // namespace

const Codec& iq4_xs_codec() {
  static const BlockCodec codec(ElementType::IQ4_XS, decode_iq4_xs, encode, feedback);
  return codec;
}

}  // namespace tessera::codecs
#endif  // HWY_ONCE
