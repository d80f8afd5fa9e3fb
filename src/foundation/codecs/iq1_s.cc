// IQ1_S: 256 weights, half scale d; each group of 32 has a multiple m = 1, 3, .. 15 and a shift e = +-1/8,
// each octet an entry g of a grid of 2048 ternary vectors: y = d m (g + e) (BLOCKS.md section 7).
//
//   block = d:half index_low:32 bytes group:u16[8]
//   group = bits 0-11: the high three bits of the indices of its four octets; 12-14: (m - 1) / 2; 15: e is
//   negative

#include <cstring>

#include "foundation/codecs/block_codec.h"
#include "foundation/codecs/iq1.h"
#include "foundation/codecs/iq1_decode.h"
#include "foundation/tensor/float16.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/codecs/iq1_s.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/codecs/feedback-inl.h"
#include "foundation/codecs/iq1_fit-inl.h"
#include "foundation/codecs/lane_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

struct Iq1SFormat : Iq1Feedback {
  static constexpr ElementType kType = ElementType::IQ1_S;
  static constexpr std::size_t kBlockWeights = kIq1BlockWeights;
  static constexpr std::size_t kBlockBytes = 50;
  static constexpr std::size_t kGroupWeights = kOctet;
  static constexpr std::size_t kSubBlocks = 8;

  static constexpr float kImportancePower = kIq1ImportancePower;

  struct Columns {
    float weights[kBlockWeights];
  };
  static void prepare(const float* importance, Columns& columns) {
    std::memcpy(columns.weights, importance, sizeof(columns.weights));
  }

  struct Scales {
    alignas(64) float d[kLanes];
    alignas(64) float multiple[kSubBlocks * kLanes];
    alignas(64) float shift[kSubBlocks * kLanes];
    alignas(
        64) float inverse[kSubBlocks * kLanes];  ///< 1 / (d multiple), with the d that codes are chosen with
  };
  static void fit(const Columns& columns, const float* x, Scales& scales) {
    const LaneTag df;
    const Iq1Fit<4, false> result(columns.weights, x);
    hn::Store(result.stored_d(), df, scales.d);
    for (std::size_t b = 0; b < kSubBlocks; ++b) {
      hn::Store(result.multiple(b), df, scales.multiple + b * kLanes);
      hn::Store(result.shift(b), df, scales.shift + b * kLanes);
      hn::Store(inverse_or_zero(hn::Mul(result.code_d(), result.multiple(b))), df,
                scales.inverse + b * kLanes);
    }
  }

  /// The code is the number of the ternary vector, not yet its grid index.
  static void round(const Columns& columns, const Scales& scales, std::size_t octet, const float* x,
                    std::int32_t* code) {
    round_octets<1>(columns, scales, octet, x, code);
  }
  static void round_tile(const Columns& columns, const Scales& scales, const float* x, std::int32_t* codes) {
    for (std::size_t octet = 0; octet < kIq1BlockOctets; octet += 4) {
      round_octets<4>(columns, scales, octet, x + octet * kOctet * kLanes, codes + octet * kLanes);
    }
  }

  template <std::size_t kCount>
  static void round_octets(const Columns& columns, const Scales& scales, std::size_t octet, const float* x,
                           std::int32_t* codes) {
    const LaneTag df;
    const std::size_t b = octet / 4;
    alignas(64) float scaled[kCount * kOctet * kLanes];
    scale_lanes(x, kCount * kOctet, hn::Load(df, scales.inverse + b * kLanes), scaled);
    Iq1Entry entries[kCount];
    nearest_entries<kCount, false>(columns.weights + octet * kOctet, scaled, hn::Set(df, 1.0f),
                                   hn::Load(df, scales.shift + b * kLanes), entries);
    for (std::size_t i = 0; i < kCount; ++i) hn::Store(entries[i].number, LaneIntTag(), codes + i * kLanes);
  }

  static void get_scales(const Scales& scales, LaneScales<kSubBlocks>& result) {
    get_units(scales.d, scales.multiple, result);
  }
  static void set_scales(const LaneScales<kSubBlocks>& from, Scales& scales) {
    set_units(from, scales.d, scales.multiple, scales.inverse);
  }
  static void values(const Scales& scales, std::size_t octet, const std::int32_t* code, float* v) {
    octet_values(hn::Load(LaneIntTag(), code), hn::Load(LaneTag(), scales.shift + octet / 4 * kLanes), v);
  }

  static void pack(const Scales& scales, const std::int32_t* codes, std::size_t lane, std::byte* block) {
    const std::uint16_t d = half_from_float(scales.d[lane]);
    std::memcpy(block, &d, 2);
    for (std::size_t b = 0; b < kSubBlocks; ++b) {
      std::uint32_t group = static_cast<std::uint32_t>(scales.multiple[b * kLanes + lane]) / 2 << 12;
      if (scales.shift[b * kLanes + lane] < 0.0f) group |= 1u << 15;
      for (std::size_t p = 0; p < 4; ++p) {
        const std::uint32_t index = iq1_index(static_cast<std::size_t>(codes[(4 * b + p) * kLanes + lane]));
        block[2 + 4 * b + p] = static_cast<std::byte>(index & 255u);
        group |= index >> 8 << (3 * p);
      }
      std::memcpy(block + 34 + 2 * b, &group, 2);
    }
  }
};

void encode_iq1_s(const EncodeInput& input, std::byte* out) { encode_rows<Iq1SFormat>(input, out); }
void feedback_iq1_s(const FeedbackInput& input, kernels::MatrixProducts& products, std::byte* out) {
  encode_rows_with_feedback<Iq1SFormat>(input, products, out);
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::codecs {
namespace {

HWY_EXPORT(encode_iq1_s);
HWY_EXPORT(feedback_iq1_s);

void decode_iq1_s(std::span<const std::byte> blocks, std::span<float> weights) {
  const std::byte* block = blocks.data();
  for (float* y = weights.data(); y != weights.data() + weights.size(); block += 50) {
    std::uint16_t half;
    std::memcpy(&half, block, 2);
    const float d = float_from_half(half);
    for (std::size_t b = 0; b < 8; ++b) {
      std::uint16_t group;
      std::memcpy(&group, block + 34 + 2 * b, 2);
      const float scale = d * static_cast<float>(2 * ((group >> 12) & 7) + 1);
      const float shift = group >> 15 ? -0.125f : 0.125f;
      for (std::size_t p = 0; p < 4; ++p, y += 8) {
        const auto low = std::to_integer<std::uint32_t>(block[2 + 4 * b + p]);
        decode_iq1_octet(low + 256u * ((group >> (3 * p)) & 7u), scale, shift, y);
      }
    }
  }
}

void encode(const EncodeInput& input, std::span<std::byte> blocks) {
  HWY_DYNAMIC_DISPATCH(encode_iq1_s)(input, blocks.data());
}

void feedback(const FeedbackInput& input, kernels::MatrixProducts& products, std::span<std::byte> blocks) {
  HWY_DYNAMIC_DISPATCH(feedback_iq1_s)(input, products, blocks.data());
}

}  // namespace

const Codec& iq1_s_codec() {
  static const BlockCodec codec(ElementType::IQ1_S, decode_iq1_s, encode, feedback);
  return codec;
}

}  // namespace tessera::codecs
#endif  // HWY_ONCE
