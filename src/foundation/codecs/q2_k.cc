// Q2_K: 256 weights in 84 bytes, 2.625 bits per weight (BLOCKS.md section 6).
//
//   y = (d * sc[s]) * q - dmin * mn[s],  s = 0..15 sub-blocks of 16 weights, q in 0..3
//
//   0    16 bytes: byte s holds sc[s] low and mn[s] high
//   16   64 bytes: bits 2r, 2r + 1 of byte 32n + l are the code of weight 128n + 32r + l
//   80   half d
//   82   half dmin

#include <array>

#include "foundation/codecs/block_codec.h"
#include "foundation/codecs/k_quants.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/codecs/q2_k.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/codecs/affine_super_block_format-inl.h"
#include "foundation/codecs/decode_lanes-inl.h"
#include "foundation/codecs/feedback-inl.h"
#include "foundation/codecs/k_words-inl.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

struct Q2KSpec {
  static constexpr std::size_t kSubBlocks = 16, kSubBlockWeights = 16;
  static constexpr int kMaxCode = 3, kMaxScale = 15;
  static constexpr std::array<float, 8> kUnitSteps{16, 15, 14, 13, 12, 11, 10, 9};
  static constexpr auto kStarts = affine_starts<4>(-0.3f, 0.5f);
  static constexpr auto kPerturbations = affine_starts<2>(-0.2f, 0.4f);
  static constexpr int kAlternations = 2, kSweeps = 2;
};

struct Q2K : AffineSuperBlockFormat<Q2KSpec> {
  static constexpr ElementType kType = ElementType::Q2_K;
  static constexpr std::size_t kBlockBytes = 84;

  static void pack_words(const Scales& scales, const std::int32_t* codes, std::uint32_t* words) {
    for (std::size_t k = 0; k < 4; ++k) {
      const auto scale = bits_of_four<0, 4>(scales.scale_code, 4 * k);
      const auto minimum = bits_of_four<0, 4>(scales.minimum_code, 4 * k);
      store_word(hn::Or(scale, hn::ShiftLeft<4>(minimum)), k, words);
    }
    for (std::size_t k = 0; k < 16; ++k) store_word(two_bit_word<0>(codes, k), 4 + k, words);
    store_word(two_halves(scales.d, scales.dmin), 20, words);
  }
};

void decode_q2_k(const std::byte* blocks, float* weights, std::size_t count) {
  for (std::size_t b = 0; b < count; ++b, blocks += Q2K::kBlockBytes, weights += Q2K::kBlockWeights) {
    const auto* block = reinterpret_cast<const std::uint8_t*>(blocks);
    const float d = load_half(blocks + 80), dmin = load_half(blocks + 82);
    for (std::size_t s = 0; s < Q2K::kSubBlocks; ++s) {
      const float scale = d * static_cast<float>(block[s] & 15),
                  minimum = dmin * static_cast<float>(block[s] >> 4);
      const std::uint8_t* codes = block + 16 + 32 * (s / 8) + 16 * (s % 2);
      for (std::size_t i = 0; i < 16; ++i) {
        weights[16 * s + i] = scale * static_cast<float>((codes[i] >> (s % 8 / 2 * 2)) & 3) - minimum;
      }
    }
  }
}

void encode_q2_k(const EncodeInput& input, std::byte* blocks) { encode_rows<Q2K>(input, blocks); }
void feedback_q2_k(const FeedbackInput& input, kernels::MatrixProducts& products, std::byte* out) {
  encode_rows_with_feedback<Q2K>(input, products, out);
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::codecs {

HWY_EXPORT(decode_q2_k);
HWY_EXPORT(encode_q2_k);
HWY_EXPORT(feedback_q2_k);

const Codec& q2_k_codec() {
  static const BlockCodec codec(
      ElementType::Q2_K,
      [](std::span<const std::byte> blocks, std::span<float> weights) {
        HWY_DYNAMIC_DISPATCH(decode_q2_k)(blocks.data(), weights.data(), weights.size() / 256);
      },
      [](const EncodeInput& input, std::span<std::byte> blocks) {
        HWY_DYNAMIC_DISPATCH(encode_q2_k)(input, blocks.data());
      },
      [](const FeedbackInput& input, kernels::MatrixProducts& products, std::span<std::byte> out) {
        HWY_DYNAMIC_DISPATCH(feedback_q2_k)
        (input, products, out.data());
      });
  return codec;
}

}  // namespace tessera::codecs
#endif  // HWY_ONCE
