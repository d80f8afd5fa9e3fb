// MXFP4: 32 weights, power-of-two scale, FP4 codes: y = F[q] 2^(e - 128) (BLOCKS.md section 5; OCP
// Microscaling Formats v1.0).
//
//   block = e:u8 code:16 bytes; byte i holds weight i in its low nibble and weight i + 16 in its high nibble

#include <array>
#include <bit>
#include <cstring>

#include "foundation/codecs/block_codec.h"
#include "foundation/codecs/fp4.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/codecs/mxfp4.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/codecs/feedback-inl.h"
#include "foundation/codecs/fp4_round-inl.h"
#include "foundation/codecs/lane_scales-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {
namespace {

/// The largest magnitude, between 2^E and 2^(E+1), is scaled into [2^k, 2^(k+1)) for each k of this range:
/// from a whole octave below the largest level (12) to clipping it by almost a factor of three.
constexpr int kFirstOctave = 2;
constexpr int kLastOctave = 4;

/// Scale bytes written: above 252 the largest codes overflow float, below 2 the scale is subnormal.
constexpr std::int32_t kLeastScaleByte = 2;
constexpr std::int32_t kLargestScaleByte = 252;

}  // namespace

struct Mxfp4Format {
  static constexpr ElementType kType = ElementType::MXFP4;
  static constexpr std::size_t kBlockWeights = 32;
  static constexpr std::size_t kBlockBytes = 17;
  static constexpr std::size_t kGroupWeights = 1;

  struct Columns {
    float weights[kBlockWeights];
  };
  static void prepare(const float* importance, Columns& columns) {
    std::memcpy(columns.weights, importance, sizeof(columns.weights));
  }

  struct Scales {
    alignas(64) std::int32_t byte[kLanes];
    alignas(64) float inverse[kLanes];
  };
  static void fit(const Columns& columns, const float* HWY_RESTRICT x, Scales& scales) {
    const LaneTag df;
    const LaneIntTag di;
    const auto exponent = hn::ShiftRight<23>(hn::BitCast(di, largest_magnitude(x, kBlockWeights)));
    auto least_error = hn::Set(df, hwy::HighestValue<float>());
    auto best_byte = hn::Zero(di);
    for (int octave = kFirstOctave; octave <= kLastOctave; ++octave) {
      const auto byte =
          hn::Min(hn::Max(hn::Sub(exponent, hn::Set(di, octave - 1)), hn::Set(di, kLeastScaleByte)),
                  hn::Set(di, kLargestScaleByte));
      // Errors come in units of the squared scale; only its ratio to the first candidate's counts.
      const auto unit = hn::Set(df, 1.0f / static_cast<float>(1 << (2 * (octave - kFirstOctave))));
      const auto error = hn::Mul(unit, fp4_error(columns.weights, x, kBlockWeights, inverse_of(byte)));
      const auto better = hn::Lt(error, least_error);
      least_error = hn::IfThenElse(better, error, least_error);
      best_byte = hn::IfThenElse(hn::RebindMask(di, better), byte, best_byte);
    }
    hn::Store(best_byte, di, scales.byte);
    hn::Store(inverse_of(best_byte), df, scales.inverse);
  }

  /// 2^(128 - byte)
  static LaneVector inverse_of(LaneIntVector byte) {
    const LaneIntTag di;
    return hn::BitCast(LaneTag(), hn::ShiftLeft<23>(hn::Sub(hn::Set(di, 255), byte)));
  }

  static void round(const Columns&, const Scales& scales, std::size_t, const float* HWY_RESTRICT x,
                    std::int32_t* HWY_RESTRICT code) {
    const LaneTag df;
    hn::Store(nearest_fp4_code(hn::Mul(hn::Load(df, x), hn::Load(df, scales.inverse))), LaneIntTag(), code);
  }

  static constexpr std::size_t kSubBlocks = 1;
  static constexpr ScaleFreedom kFreedom{.unit = true};
  /// The nearest power of two, by ratio.
  static LaneVector nearest_unit_to(LaneVector exact) {
    return hn::Div(hn::Set(LaneTag(), 1.0f), inverse_of(byte_near(exact)));
  }
  static LaneIntVector byte_near(LaneVector scale) {
    const LaneTag df;
    const LaneIntTag di;
    const auto above = hn::Mul(hn::Max(scale, hn::Set(df, 0x1p-126f)), hn::Set(df, 1.41421356f));
    const auto exponent = hn::ShiftRight<23>(hn::BitCast(di, above));
    return hn::Min(hn::Max(hn::Add(exponent, hn::Set(di, 1)), hn::Set(di, kLeastScaleByte)),
                   hn::Set(di, kLargestScaleByte));
  }
  static void get_scales(const Scales& scales, LaneScales<1>& result) {
    const LaneTag df;
    result.reset();
    const auto inverse = inverse_of(hn::Load(LaneIntTag(), scales.byte));
    hn::Store(hn::Div(hn::Set(df, 1.0f), inverse), df, result.unit);
  }
  static void set_scales(const LaneScales<1>& from, Scales& scales) {
    const auto byte = byte_near(hn::Load(LaneTag(), from.unit));
    hn::Store(byte, LaneIntTag(), scales.byte);
    hn::Store(inverse_of(byte), LaneTag(), scales.inverse);
  }
  static void values(const Scales&, std::size_t, const std::int32_t* code, float* v) { fp4_values(code, v); }

  static void pack(const Scales& scales, const std::int32_t* codes, std::size_t lane, std::byte* block) {
    block[0] = static_cast<std::byte>(scales.byte[lane]);
    for (std::size_t i = 0; i < 16; ++i) {
      block[1 + i] = static_cast<std::byte>(codes[i * kLanes + lane] | codes[(i + 16) * kLanes + lane] << 4);
    }
  }
};

void encode_mxfp4(const EncodeInput& input, std::byte* out) { encode_rows<Mxfp4Format>(input, out); }
void feedback_mxfp4(const FeedbackInput& input, kernels::MatrixProducts& products, std::byte* out) {
  encode_rows_with_feedback<Mxfp4Format>(input, products, out);
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::codecs {
namespace {

HWY_EXPORT(encode_mxfp4);
HWY_EXPORT(feedback_mxfp4);

/// 2^(byte - 128); bytes 0 and 1 are subnormal floats.
constexpr float mxfp4_scale(std::uint8_t byte) {
  return std::bit_cast<float>(byte < 2 ? 0x00200000u << byte : std::uint32_t{byte - 1u} << 23);
}

void decode_mxfp4(std::span<const std::byte> blocks, std::span<float> weights) {
  const std::byte* block = blocks.data();
  for (float* y = weights.data(); y != weights.data() + weights.size(); y += 32, block += 17) {
    const float scale = mxfp4_scale(std::to_integer<std::uint8_t>(block[0]));
    for (std::size_t i = 0; i < 16; ++i) {
      const auto codes = std::to_integer<std::uint8_t>(block[1 + i]);
      y[i] = kFp4Levels[codes & 15u] * scale;
      y[i + 16] = kFp4Levels[codes >> 4] * scale;
    }
  }
}

void encode(const EncodeInput& input, std::span<std::byte> blocks) {
  HWY_DYNAMIC_DISPATCH(encode_mxfp4)(input, blocks.data());
}

void feedback(const FeedbackInput& input, kernels::MatrixProducts& products, std::span<std::byte> blocks) {
  HWY_DYNAMIC_DISPATCH(feedback_mxfp4)(input, products, blocks.data());
}

}  // namespace

const Codec& mxfp4_codec() {
  static const BlockCodec codec(ElementType::MXFP4, decode_mxfp4, encode, feedback);
  return codec;
}

}  // namespace tessera::codecs
#endif  // HWY_ONCE
