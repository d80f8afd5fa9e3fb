// Q3_K: 256 weights in 110 bytes, 3.4375 bits per weight (BLOCKS.md section 6).
//
//   y = (d * sc[s]) * q,  s = 0..15 sub-blocks of 16 weights, q in -4..3, sc in -32..31
//
//   0    32 bytes: bit 4n + r of byte l is the high bit of the code of weight 128n + 32r + l
//   32   64 bytes: bits 2r, 2r + 1 of byte 32n + l are the low bits of the code of weight 128n + 32r + l
//   96   8 bytes: low nibbles of the scale codes, sub-block s low and s + 8 high in byte s
//   104  4 bytes: bits 2m, 2m + 1 of byte i are the high bits of the scale code of sub-block i + 4m
//   108  half d
//
// The code of a weight is q + 4, that of a scale sc + 32.

#include <array>

#include "foundation/codecs/block_codec.h"
#include "foundation/codecs/k_quants.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/codecs/q3_k.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/codecs/decode_lanes-inl.h"
#include "foundation/codecs/feedback-inl.h"
#include "foundation/codecs/k_words-inl.h"
#include "foundation/codecs/signed_super_block_format-inl.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

struct Q3KSpec {
  static constexpr std::size_t kSubBlocks = 16, kSubBlockWeights = 16;
  static constexpr int kMinCode = -4, kMaxCode = 3;
  static constexpr float kMinScale = -32, kMaxScale = 31;
  static constexpr std::array<float, 14> kStarts{-5.0f, -4.6f, -4.2f, -3.8f, -3.4f, -3.0f, -2.5f,
                                                 2.0f,  2.4f,  2.8f,  3.2f,  3.6f,  4.0f,  4.5f};
  static constexpr std::array<float, 16> kUnitSteps{-32, -31, -30, -29, -28, -27, -26, -25,
                                                    31,  30,  29,  28,  27,  26,  25,  24};
  static constexpr int kAlternations = 1, kSweeps = 1;
};

struct Q3K : SignedSuperBlockFormat<Q3KSpec> {
  static constexpr ElementType kType = ElementType::Q3_K;
  static constexpr std::size_t kBlockBytes = 110;

  static void pack_words(const Scales& scales, const std::int32_t* codes, std::uint32_t* words) {
    for (std::size_t k = 0; k < 8; ++k) store_word(one_bit_word<2>(codes, k), k, words);
    for (std::size_t k = 0; k < 16; ++k) store_word(two_bit_word<0>(codes, k), 8 + k, words);
    const std::int32_t* scale = scales.scale_code;
    auto high = hn::Zero(WordTag());
    for (std::size_t s = 16; s > 0; s -= 4)
      high = hn::Or(hn::ShiftLeft<2>(high), bits_of_four<4, 2>(scale, s - 4));
    for (std::size_t s = 0; s < 8; s += 4) {
      const auto above = hn::ShiftLeft<4>(bits_of_four<0, 4>(scale, 8 + s));
      store_word(hn::Or(bits_of_four<0, 4>(scale, s), above), 24 + s / 4, words);
    }
    store_word(high, 26, words);
    store_word(half_bits(LaneTag(), hn::Load(LaneTag(), scales.d)), 27, words);
  }
};

void decode_q3_k(const std::byte* blocks, float* weights, std::size_t count) {
  for (std::size_t b = 0; b < count; ++b, blocks += Q3K::kBlockBytes, weights += Q3K::kBlockWeights) {
    const auto* block = reinterpret_cast<const std::uint8_t*>(blocks);
    const float d = load_half(blocks + 108);
    for (std::size_t s = 0; s < Q3K::kSubBlocks; ++s) {
      const int low = (block[96 + s % 8] >> (s / 8 * 4)) & 15, high = (block[104 + s % 4] >> (s / 4 * 2)) & 3;
      const float scale = d * static_cast<float>((low | (high << 4)) - 32);
      const std::uint8_t *high_bits = block + 16 * (s % 2),
                         *low_bits = block + 32 + 32 * (s / 8) + 16 * (s % 2);
      for (std::size_t i = 0; i < 16; ++i) {
        const int code = ((low_bits[i] >> (s % 8 / 2 * 2)) & 3) | (((high_bits[i] >> (s / 2)) & 1) << 2);
        weights[16 * s + i] = scale * static_cast<float>(code - 4);
      }
    }
  }
}

void encode_q3_k(const EncodeInput& input, std::byte* blocks) { encode_rows<Q3K>(input, blocks); }
void feedback_q3_k(const FeedbackInput& input, kernels::MatrixProducts& products, std::byte* out) {
  encode_rows_with_feedback<Q3K>(input, products, out);
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::codecs {

HWY_EXPORT(decode_q3_k);
HWY_EXPORT(encode_q3_k);
HWY_EXPORT(feedback_q3_k);

const Codec& q3_k_codec() {
  static const BlockCodec codec(
      ElementType::Q3_K,
      [](std::span<const std::byte> blocks, std::span<float> weights) {
        HWY_DYNAMIC_DISPATCH(decode_q3_k)(blocks.data(), weights.data(), weights.size() / 256);
      },
      [](const EncodeInput& input, std::span<std::byte> blocks) {
        HWY_DYNAMIC_DISPATCH(encode_q3_k)(input, blocks.data());
      },
      [](const FeedbackInput& input, kernels::MatrixProducts& products, std::span<std::byte> out) {
        HWY_DYNAMIC_DISPATCH(feedback_q3_k)
        (input, products, out.data());
      });
  return codec;
}

}  // namespace tessera::codecs
#endif  // HWY_ONCE
