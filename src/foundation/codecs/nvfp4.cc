// NVFP4: 64 weights, an E4M3 scale for every 16, FP4 codes: y = F[q] s(v) (BLOCKS.md section 5).
//
//   block = v:u8[4] code:32 bytes; sub-block t has 8 bytes, byte i of them holds its weight i in the low
//   nibble and its weight i + 8 in the high nibble
//
// Scale bytes count up in steps of an eighth of an octave, so fitting tries the bytes around the one that
// brings the largest magnitude to the largest level, and keeps the one with the least error.

#include <array>
#include <bit>
#include <cstring>

#include "foundation/codecs/block_codec.h"
#include "foundation/codecs/fp4.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/codecs/nvfp4.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/codecs/feedback-inl.h"
#include "foundation/codecs/fp4_round-inl.h"
#include "foundation/codecs/lane_math-inl.h"
#include "foundation/codecs/lane_scales-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {
namespace {

constexpr std::size_t kSubBlock = 16;

/// Offsets tried from the byte at which the largest magnitude meets level 12: down to clipping it by 1.7, up
/// to where it meets level 6, beyond which the upper levels are wasted.
constexpr std::int32_t kFirstOffset = -6;
constexpr std::int32_t kLastOffset = 9;

/// Bytes written: 0 and 127 mean a zero scale.
constexpr std::int32_t kLeastScaleByte = 1;
constexpr std::int32_t kLargestScaleByte = 126;

/// The first byte of the normal range, and where it is in float's exponent range: s(8) = 2^-7 = float
/// exponent 120.
constexpr std::int32_t kFirstNormal = 8;
constexpr std::int32_t kExponentOffset = 119;

/// s(byte) for bytes 1..126.
LaneVector scale_of(LaneIntVector byte) {
  const LaneTag df;
  const LaneIntTag di;
  const auto subnormal = hn::Mul(hn::ConvertTo(df, byte), hn::Set(df, 0x1p-10f));
  const auto normal = hn::Add(hn::ShiftLeft<20>(byte), hn::Set(di, kExponentOffset << 23));
  const auto is_subnormal = hn::RebindMask(df, hn::Lt(byte, hn::Set(di, kFirstNormal)));
  return hn::IfThenElse(is_subnormal, subnormal, hn::BitCast(df, normal));
}

LaneIntVector clamp_byte(LaneIntVector byte) {
  const LaneIntTag di;
  return hn::Min(hn::Max(byte, hn::Set(di, kLeastScaleByte)), hn::Set(di, kLargestScaleByte));
}

/// The byte whose scale is nearest to a positive value.
LaneIntVector byte_near(LaneVector scale) {
  const LaneTag df;
  const LaneIntTag di;
  const auto bounded = hn::Min(scale, hn::Set(df, 256.0f));
  const auto subnormal = hn::NearestInt(hn::Mul(bounded, hn::Set(df, 0x1p10f)));
  const auto rounded = hn::Add(hn::BitCast(di, bounded), hn::Set(di, 1 << 19));
  const auto normal = hn::ShiftRight<20>(hn::Sub(rounded, hn::Set(di, kExponentOffset << 23)));
  const auto is_subnormal = hn::RebindMask(di, hn::Lt(bounded, hn::Set(df, 0x1p-7f)));
  return clamp_byte(hn::IfThenElse(is_subnormal, subnormal, normal));
}

}  // namespace

struct Nvfp4Format {
  static constexpr ElementType kType = ElementType::NVFP4;
  static constexpr std::size_t kBlockWeights = 64;
  static constexpr std::size_t kBlockBytes = 36;
  static constexpr std::size_t kGroupWeights = 1;
  static constexpr std::size_t kSubBlocks = 4;

  struct Columns {
    float weights[kBlockWeights];
  };
  static void prepare(const float* importance, Columns& columns) {
    std::memcpy(columns.weights, importance, sizeof(columns.weights));
  }

  struct Scales {
    alignas(64) std::int32_t byte[kSubBlocks * kLanes];
    alignas(64) float inverse[kSubBlocks * kLanes];
  };
  static void fit(const Columns& columns, const float* HWY_RESTRICT x, Scales& scales) {
    for (std::size_t t = 0; t < kSubBlocks; ++t) {
      const auto byte = best_byte(columns.weights + t * kSubBlock, x + t * kSubBlock * kLanes);
      hn::Store(byte, LaneIntTag(), scales.byte + t * kLanes);
      hn::Store(inverse_or_zero(scale_of(byte)), LaneTag(), scales.inverse + t * kLanes);
    }
  }

  static LaneIntVector best_byte(const float* HWY_RESTRICT weights, const float* HWY_RESTRICT x) {
    const LaneTag df;
    const LaneIntTag di;
    const auto largest = largest_magnitude(x, kSubBlock);
    const auto centre = byte_near(hn::Mul(largest, hn::Set(df, 1.0f / kFp4LargestLevel)));
    const auto centre_inverse = hn::Div(hn::Set(df, 1.0f), scale_of(centre));
    auto least_error = hn::Set(df, hwy::HighestValue<float>());
    auto best = centre;
    for (std::int32_t offset = kFirstOffset; offset <= kLastOffset; ++offset) {
      const auto byte = clamp_byte(hn::Add(centre, hn::Set(di, offset)));
      const auto scale = scale_of(byte);
      // Relative to the centre's scale, so that squares of huge weights stay finite.
      const auto relative = hn::Mul(scale, centre_inverse);
      const auto error = hn::Mul(hn::Mul(relative, relative),
                                 fp4_error(weights, x, kSubBlock, hn::Div(hn::Set(df, 1.0f), scale)));
      const auto better = hn::Lt(error, least_error);
      least_error = hn::IfThenElse(better, error, least_error);
      best = hn::IfThenElse(hn::RebindMask(di, better), byte, best);
    }
    return best;
  }

  static void round(const Columns&, const Scales& scales, std::size_t weight, const float* HWY_RESTRICT x,
                    std::int32_t* HWY_RESTRICT code) {
    const LaneTag df;
    const auto inverse = hn::Load(df, scales.inverse + weight / kSubBlock * kLanes);
    hn::Store(nearest_fp4_code(hn::Mul(hn::Load(df, x), inverse)), LaneIntTag(), code);
  }

  static constexpr ScaleFreedom kFreedom{.multiples = true};
  static LaneVector nearest_multiple_to(LaneVector exact) {
    return scale_of(byte_near(hn::Max(exact, hn::Zero(LaneTag()))));
  }
  static void get_scales(const Scales& scales, LaneScales<kSubBlocks>& result) {
    result.reset();
    for (std::size_t i = 0; i < kSubBlocks * kLanes; i += kLanes) {
      hn::Store(scale_of(hn::Load(LaneIntTag(), scales.byte + i)), LaneTag(), result.multiple + i);
    }
  }
  static void set_scales(const LaneScales<kSubBlocks>& from, Scales& scales) {
    for (std::size_t s = 0; s < kSubBlocks; ++s) {
      hn::Store(byte_near(from.scale(s)), LaneIntTag(), scales.byte + s * kLanes);
      hn::Store(inverse_or_zero(from.scale(s)), LaneTag(), scales.inverse + s * kLanes);
    }
  }
  static void values(const Scales&, std::size_t, const std::int32_t* code, float* v) { fp4_values(code, v); }

  static void pack(const Scales& scales, const std::int32_t* codes, std::size_t lane, std::byte* block) {
    for (std::size_t t = 0; t < kSubBlocks; ++t) {
      block[t] = static_cast<std::byte>(scales.byte[t * kLanes + lane]);
      const std::int32_t* code = codes + t * kSubBlock * kLanes + lane;
      for (std::size_t i = 0; i < 8; ++i) {
        block[kSubBlocks + 8 * t + i] =
            static_cast<std::byte>(code[i * kLanes] | code[(i + 8) * kLanes] << 4);
      }
    }
  }
};

void encode_nvfp4(const EncodeInput& input, std::byte* out) { encode_rows<Nvfp4Format>(input, out); }
void feedback_nvfp4(const FeedbackInput& input, kernels::MatrixProducts& products, std::byte* out) {
  encode_rows_with_feedback<Nvfp4Format>(input, products, out);
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::codecs {
namespace {

HWY_EXPORT(encode_nvfp4);
HWY_EXPORT(feedback_nvfp4);

/// s(byte): half of an unsigned E4M3 number. Bit 7 is ignored, except that only byte 127 itself, not 255,
/// means 0.
constexpr std::array<float, 256> make_scales() {
  std::array<float, 256> scales{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    const std::uint32_t magnitude = byte & 127u;
    scales[byte] = magnitude < 8 ? static_cast<float>(magnitude) * 0x1p-10f
                                 : std::bit_cast<float>((magnitude << 20) + (119u << 23));
  }
  scales[127] = 0.0f;
  return scales;
}

void decode_nvfp4(std::span<const std::byte> blocks, std::span<float> weights) {
  static constexpr std::array<float, 256> kScales = make_scales();
  const std::byte* block = blocks.data();
  for (float* y = weights.data(); y != weights.data() + weights.size(); block += 36) {
    for (std::size_t t = 0; t < 4; ++t, y += 16) {
      const float scale = kScales[std::to_integer<std::uint8_t>(block[t])];
      for (std::size_t i = 0; i < 8; ++i) {
        const auto codes = std::to_integer<std::uint8_t>(block[4 + 8 * t + i]);
        y[i] = kFp4Levels[codes & 15u] * scale;
        y[i + 8] = kFp4Levels[codes >> 4] * scale;
      }
    }
  }
}

void encode(const EncodeInput& input, std::span<std::byte> blocks) {
  HWY_DYNAMIC_DISPATCH(encode_nvfp4)(input, blocks.data());
}

void feedback(const FeedbackInput& input, kernels::MatrixProducts& products, std::span<std::byte> blocks) {
  HWY_DYNAMIC_DISPATCH(feedback_nvfp4)(input, products, blocks.data());
}

}  // namespace

const Codec& nvfp4_codec() {
  static const BlockCodec codec(ElementType::NVFP4, decode_nvfp4, encode, feedback);
  return codec;
}

}  // namespace tessera::codecs
#endif  // HWY_ONCE
