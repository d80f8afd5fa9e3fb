// Q6_K: 256 weights in 210 bytes, 6.5625 bits per weight (BLOCKS.md section 6).
//
//   y = (d * sc[s]) * q,  s = 0..15 sub-blocks of 16 weights, q in -32..31, sc in -128..127
//
//   0    128 bytes: low nibbles, of weight 128n + l low and of weight 128n + 64 + l high in byte 64n + l
//   128  64 bytes: bits 2r, 2r + 1 of byte 32n + l are the high bits of the code of weight 128n + 32r + l
//   192  16 signed bytes: sc
//   208  half d
//
// The code of a weight is q + 32.

#include <array>

#include "foundation/codecs/block_codec.h"
#include "foundation/codecs/k_quants.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/codecs/q6_k.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/codecs/decode_lanes-inl.h"
#include "foundation/codecs/feedback-inl.h"
#include "foundation/codecs/k_words-inl.h"
#include "foundation/codecs/signed_super_block_format-inl.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

struct Q6KSpec {
  static constexpr std::size_t kSubBlocks = 16, kSubBlockWeights = 16;
  static constexpr int kMinCode = -32, kMaxCode = 31;
  static constexpr float kMinScale = -128, kMaxScale = 127;
  static constexpr std::array<float, 12> kStarts{-32.4f, -32.0f, -31.5f, -31.0f, -30.5f, -30.0f,
                                                 31.4f,  31.0f,  30.5f,  30.0f,  29.5f,  29.0f};
  static constexpr std::array<float, 8> kUnitSteps{-128, -127, -126, -125, -124, -123, -122, -121};
  static constexpr int kAlternations = 2, kSweeps = 2;
};

struct Q6K : SignedSuperBlockFormat<Q6KSpec> {
  static constexpr ElementType kType = ElementType::Q6_K;
  static constexpr std::size_t kBlockBytes = 210;

  static void pack_words(const Scales& scales, const std::int32_t* codes, std::uint32_t* words) {
    for (std::size_t k = 0; k < 32; ++k) {
      store_word(spread_bits<0, 4, 2, 2>(codes, 128 * (k / 16) + 4 * (k % 16)), k, words);
    }
    for (std::size_t k = 0; k < 16; ++k) store_word(two_bit_word<4>(codes, k), 32 + k, words);
    const auto signs =
        hn::Set(WordTag(), 0x80808080u);  // scale codes are offset by 128, in a byte the sign bit
    for (std::size_t k = 0; k < 4; ++k) {
      store_word(hn::Xor(join_codes<8, 4>(scales.scale_code, 4 * k), signs), 48 + k, words);
    }
    store_word(half_bits(LaneTag(), hn::Load(LaneTag(), scales.d)), 52, words);
  }
};

void decode_q6_k(const std::byte* blocks, float* weights, std::size_t count) {
  for (std::size_t b = 0; b < count; ++b, blocks += Q6K::kBlockBytes, weights += Q6K::kBlockWeights) {
    const auto* block = reinterpret_cast<const std::uint8_t*>(blocks);
    const float d = load_half(blocks + 208);
    for (std::size_t s = 0; s < Q6K::kSubBlocks; ++s) {
      const std::size_t n = s / 8, r = s % 8 / 2, first = 16 * (s % 2);
      const float scale = d * static_cast<float>(static_cast<std::int8_t>(block[192 + s]));
      const std::uint8_t *low_bits = block + 64 * n + 32 * (r % 2) + first,
                         *high_bits = block + 128 + 32 * n + first;
      for (std::size_t i = 0; i < 16; ++i) {
        const int code = ((low_bits[i] >> (r / 2 * 4)) & 15) | (((high_bits[i] >> (2 * r)) & 3) << 4);
        weights[16 * s + i] = scale * static_cast<float>(code - 32);
      }
    }
  }
}

void encode_q6_k(const EncodeInput& input, std::byte* blocks) { encode_rows<Q6K>(input, blocks); }
void feedback_q6_k(const FeedbackInput& input, kernels::MatrixProducts& products, std::byte* out) {
  encode_rows_with_feedback<Q6K>(input, products, out);
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::codecs {

HWY_EXPORT(decode_q6_k);
HWY_EXPORT(encode_q6_k);
HWY_EXPORT(feedback_q6_k);

const Codec& q6_k_codec() {
  static const BlockCodec codec(
      ElementType::Q6_K,
      [](std::span<const std::byte> blocks, std::span<float> weights) {
        HWY_DYNAMIC_DISPATCH(decode_q6_k)(blocks.data(), weights.data(), weights.size() / 256);
      },
      [](const EncodeInput& input, std::span<std::byte> blocks) {
        HWY_DYNAMIC_DISPATCH(encode_q6_k)(input, blocks.data());
      },
      [](const FeedbackInput& input, kernels::MatrixProducts& products, std::span<std::byte> out) {
        HWY_DYNAMIC_DISPATCH(feedback_q6_k)
        (input, products, out.data());
      });
  return codec;
}

}  // namespace tessera::codecs
#endif  // HWY_ONCE
