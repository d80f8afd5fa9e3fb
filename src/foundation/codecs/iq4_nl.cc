// IQ4_NL: 32 weights, half scale d, 4-bit codes into 16 levels K: y = d K[q] (BLOCKS.md section 5).
//
//   block = d:half code:16 bytes; byte i holds weight i in its low nibble and weight i + 16 in its high
//   nibble

#include "foundation/codecs/iq4.h"

#include <cstring>

#include "foundation/codecs/block_codec.h"
#include "foundation/tensor/float16.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/codecs/iq4_nl.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/codecs/feedback-inl.h"
#include "foundation/codecs/half-inl.h"
#include "foundation/codecs/iq4_search-inl.h"
#include "foundation/codecs/lane_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

struct Iq4NlFormat : OneScale {
  static constexpr ElementType kType = ElementType::IQ4_NL;
  static constexpr std::size_t kBlockWeights = 32;
  static constexpr std::size_t kBlockBytes = 18;
  static constexpr std::size_t kGroupWeights = 1;

  struct Columns {
    float weights[kBlockWeights];
  };
  static void prepare(const float* importance, Columns& columns) {
    std::memcpy(columns.weights, importance, sizeof(columns.weights));
  }

  struct Scales {
    alignas(64) float scale[kLanes];  ///< d
    alignas(64) float inverse[kLanes];
  };
  static void fit(const Columns& columns, const float* HWY_RESTRICT x, Scales& scales) {
    const LaneTag df;
    alignas(64) float in_range[kBlockWeights * kLanes];
    const auto range = power_of_two_below(largest_magnitude(x, kBlockWeights));
    scale_lanes(x, kBlockWeights, range.reciprocal, in_range);
    const auto d = round_to_half(df, hn::Mul(best_iq4_scale(columns.weights, in_range).scale, range.value));
    hn::Store(d, df, scales.scale);
    hn::Store(inverse_or_zero(d), df, scales.inverse);
  }

  static void round(const Columns&, const Scales& scales, std::size_t, const float* HWY_RESTRICT x,
                    std::int32_t* HWY_RESTRICT code) {
    const LaneTag df;
    const auto t = hn::Mul(hn::Load(df, x), hn::Load(df, scales.inverse));
    hn::Store(level_code(nearest_level(t)), LaneIntTag(), code);
  }

  static LaneVector nearest_unit_to(LaneVector exact) { return nearest_unit(exact); }
  static void values(const Scales&, std::size_t, const std::int32_t* code, float* v) {
    hn::Store(level_of_code(hn::Load(LaneIntTag(), code)), LaneTag(), v);
  }

  static void pack(const Scales& scales, const std::int32_t* codes, std::size_t lane, std::byte* block) {
    const std::uint16_t d = half_from_float(scales.scale[lane]);
    std::memcpy(block, &d, 2);
    for (std::size_t i = 0; i < 16; ++i) {
      block[2 + i] = static_cast<std::byte>(codes[i * kLanes + lane] | codes[(i + 16) * kLanes + lane] << 4);
    }
  }
};

void encode_iq4_nl(const EncodeInput& input, std::byte* out) { encode_rows<Iq4NlFormat>(input, out); }
void feedback_iq4_nl(const FeedbackInput& input, kernels::MatrixProducts& products, std::byte* out) {
  encode_rows_with_feedback<Iq4NlFormat>(input, products, out);
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::codecs {
namespace {

HWY_EXPORT(encode_iq4_nl);
HWY_EXPORT(feedback_iq4_nl);

void decode_iq4_nl(std::span<const std::byte> blocks, std::span<float> weights) {
  const std::byte* block = blocks.data();
  for (float* y = weights.data(); y != weights.data() + weights.size(); y += 32, block += 18) {
    std::uint16_t half;
    std::memcpy(&half, block, 2);
    const float d = float_from_half(half);
    for (std::size_t i = 0; i < 16; ++i) {
      const auto codes = std::to_integer<std::uint8_t>(block[2 + i]);
      y[i] = d * static_cast<float>(kIq4Levels[codes & 15u]);
      y[i + 16] = d * static_cast<float>(kIq4Levels[codes >> 4]);
    }
  }
}

void encode(const EncodeInput& input, std::span<std::byte> blocks) {
  HWY_DYNAMIC_DISPATCH(encode_iq4_nl)(input, blocks.data());
}

void feedback(const FeedbackInput& input, kernels::MatrixProducts& products, std::span<std::byte> blocks) {
  HWY_DYNAMIC_DISPATCH(feedback_iq4_nl)(input, products, blocks.data());
}

}  // namespace

const Codec& iq4_nl_codec() {
  static const BlockCodec codec(ElementType::IQ4_NL, decode_iq4_nl, encode, feedback);
  return codec;
}

}  // namespace tessera::codecs
#endif  // HWY_ONCE
