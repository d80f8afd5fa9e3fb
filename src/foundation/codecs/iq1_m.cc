// IQ1_M: 256 weights, half scale d; each 16 weights have a multiple m = 1, 3, .. 15, each octet a shift e =
// +-1/8 and an entry g of a grid of 2048 ternary vectors: y = d m (g + e) (BLOCKS.md section 7).
//
//   block = index_low:32 bytes octet:nibble[32] scales:u16[4]
//   octet = bits 0-2: the high three bits of its index; 3: e is negative
//   scales = bits 0-11: (m - 1) / 2 of four sub-blocks; 12-15: four bits of d, the lowest in the first word

#include <cstring>

#include "foundation/codecs/block_codec.h"
#include "foundation/codecs/iq1.h"
#include "foundation/codecs/iq1_decode.h"
#include "foundation/tensor/float16.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/codecs/iq1_m.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/codecs/feedback-inl.h"
#include "foundation/codecs/iq1_fit-inl.h"
#include "foundation/codecs/lane_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

struct Iq1MFormat : Iq1Feedback {
  static constexpr ElementType kType = ElementType::IQ1_M;
  static constexpr std::size_t kBlockWeights = kIq1BlockWeights;
  static constexpr std::size_t kBlockBytes = 56;
  static constexpr std::size_t kGroupWeights = kOctet;
  static constexpr std::size_t kSubBlocks = 16;
  static constexpr std::int32_t kNegativeShift = 1 << 13;  ///< beside the ternary number in a code

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
    alignas(
        64) float inverse[kSubBlocks * kLanes];  ///< 1 / (d multiple), with the d that codes are chosen with
  };
  static void fit(const Columns& columns, const float* x, Scales& scales) {
    const LaneTag df;
    const Iq1Fit<2, true> result(columns.weights, x);
    hn::Store(result.stored_d(), df, scales.d);
    for (std::size_t b = 0; b < kSubBlocks; ++b) {
      hn::Store(result.multiple(b), df, scales.multiple + b * kLanes);
      hn::Store(inverse_or_zero(hn::Mul(result.code_d(), result.multiple(b))), df,
                scales.inverse + b * kLanes);
    }
  }

  /// The code is the number of the ternary vector, not yet its grid index, with kNegativeShift.
  static void round(const Columns& columns, const Scales& scales, std::size_t octet, const float* x,
                    std::int32_t* code) {
    round_octets<1>(columns, scales, octet, x, code);
  }
  static void round_tile(const Columns& columns, const Scales& scales, const float* x, std::int32_t* codes) {
    for (std::size_t octet = 0; octet < kIq1BlockOctets; octet += 2) {
      round_octets<2>(columns, scales, octet, x + octet * kOctet * kLanes, codes + octet * kLanes);
    }
  }

  template <std::size_t kCount>
  static void round_octets(const Columns& columns, const Scales& scales, std::size_t octet, const float* x,
                           std::int32_t* codes) {
    const LaneTag df;
    const LaneIntTag di;
    alignas(64) float scaled[kCount * kOctet * kLanes];
    scale_lanes(x, kCount * kOctet, hn::Load(df, scales.inverse + octet / 2 * kLanes), scaled);
    Iq1Entry entries[kCount];
    nearest_entries<kCount, true>(columns.weights + octet * kOctet, scaled, hn::Set(df, 1.0f), hn::Zero(df),
                                  entries);
    for (std::size_t i = 0; i < kCount; ++i) {
      const auto is_negative = hn::RebindMask(di, hn::Lt(entries[i].shift, hn::Zero(df)));
      const auto shift = hn::IfThenElseZero(is_negative, hn::Set(di, kNegativeShift));
      hn::Store(hn::Add(entries[i].number, shift), di, codes + i * kLanes);
    }
  }

  static void get_scales(const Scales& scales, LaneScales<kSubBlocks>& result) {
    get_units(scales.d, scales.multiple, result);
  }
  static void set_scales(const LaneScales<kSubBlocks>& from, Scales& scales) {
    set_units(from, scales.d, scales.multiple, scales.inverse);
  }
  static void values(const Scales&, std::size_t, const std::int32_t* code, float* v) {
    const LaneTag df;
    const LaneIntTag di;
    const auto codes = hn::Load(di, code);
    const auto negative = hn::TestBit(codes, hn::Set(di, kNegativeShift));
    const auto shift =
        hn::IfThenElse(hn::RebindMask(df, negative), hn::Set(df, -kIq1Shift), hn::Set(df, kIq1Shift));
    octet_values(hn::And(codes, hn::Set(di, kNegativeShift - 1)), shift, v);
  }

  static void pack(const Scales& scales, const std::int32_t* codes, std::size_t lane, std::byte* block) {
    std::uint32_t nibbles[32];
    for (std::size_t octet = 0; octet < 32; ++octet) {
      const std::int32_t code = codes[octet * kLanes + lane];
      const std::uint32_t index = iq1_index(static_cast<std::size_t>(code & (kNegativeShift - 1)));
      block[octet] = static_cast<std::byte>(index & 255u);
      nibbles[octet] = index >> 8 | (code & kNegativeShift ? 8u : 0u);
    }
    for (std::size_t i = 0; i < 16; ++i) {
      block[32 + i] = static_cast<std::byte>(nibbles[2 * i] | nibbles[2 * i + 1] << 4);
    }
    const std::uint32_t d = half_from_float(scales.d[lane]);
    for (std::size_t k = 0; k < 4; ++k) {
      std::uint32_t word = ((d >> (4 * k)) & 15u) << 12;
      for (std::size_t t = 0; t < 4; ++t) {
        word |= static_cast<std::uint32_t>(scales.multiple[(4 * k + t) * kLanes + lane]) / 2 << (3 * t);
      }
      std::memcpy(block + 48 + 2 * k, &word, 2);
    }
  }
};

void encode_iq1_m(const EncodeInput& input, std::byte* out) { encode_rows<Iq1MFormat>(input, out); }
void feedback_iq1_m(const FeedbackInput& input, kernels::MatrixProducts& products, std::byte* out) {
  encode_rows_with_feedback<Iq1MFormat>(input, products, out);
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::codecs {
namespace {

HWY_EXPORT(encode_iq1_m);
HWY_EXPORT(feedback_iq1_m);

void decode_iq1_m(std::span<const std::byte> blocks, std::span<float> weights) {
  const std::byte* block = blocks.data();
  for (float* y = weights.data(); y != weights.data() + weights.size(); block += 56) {
    std::uint16_t words[4];
    std::memcpy(words, block + 48, sizeof(words));
    std::uint32_t half = 0;
    for (std::size_t k = 0; k < 4; ++k) half |= std::uint32_t{words[k]} >> 12 << (4 * k);
    const float d = float_from_half(static_cast<std::uint16_t>(half));
    for (std::size_t octet = 0; octet < 32; ++octet, y += 8) {
      const std::size_t t = octet / 2;
      const float scale = d * static_cast<float>(2 * ((words[t / 4] >> (3 * (t % 4))) & 7) + 1);
      const std::uint32_t nibble = std::to_integer<std::uint32_t>(block[32 + t]) >> (4 * (octet % 2)) & 15u;
      const auto low = std::to_integer<std::uint32_t>(block[octet]);
      decode_iq1_octet(low + 256u * (nibble & 7u), scale, nibble & 8u ? -0.125f : 0.125f, y);
    }
  }
}

void encode(const EncodeInput& input, std::span<std::byte> blocks) {
  HWY_DYNAMIC_DISPATCH(encode_iq1_m)(input, blocks.data());
}

void feedback(const FeedbackInput& input, kernels::MatrixProducts& products, std::span<std::byte> blocks) {
  HWY_DYNAMIC_DISPATCH(feedback_iq1_m)(input, products, blocks.data());
}

}  // namespace

const Codec& iq1_m_codec() {
  static const BlockCodec codec(ElementType::IQ1_M, decode_iq1_m, encode, feedback);
  return codec;
}

}  // namespace tessera::codecs
#endif  // HWY_ONCE
