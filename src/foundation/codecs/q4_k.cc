// Q4_K: 256 weights in 144 bytes, 4.5 bits per weight (BLOCKS.md section 6).
//
//   y = (d * sc[s]) * q - dmin * mn[s],  s = 0..7 sub-blocks of 32 weights, q in 0..15
//
//   0    half d
//   2    half dmin
//   4    12 bytes: the pairs (sc, mn), see six_bit_pairs.h
//   16   128 bytes: byte 32n + l holds the code of weight 64n + l low and of weight 64n + 32 + l high

#include <array>

#include "foundation/codecs/block_codec.h"
#include "foundation/codecs/k_quants.h"
#include "foundation/codecs/six_bit_pairs.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/codecs/q4_k.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/codecs/affine_super_block_format-inl.h"
#include "foundation/codecs/decode_lanes-inl.h"
#include "foundation/codecs/feedback-inl.h"
#include "foundation/codecs/k_words-inl.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

struct Q4KSpec {
  static constexpr std::size_t kSubBlocks = 8, kSubBlockWeights = 32;
  static constexpr int kMaxCode = 15, kMaxScale = 63;
  static constexpr std::array<float, 8> kUnitSteps{63, 62, 61, 60, 59, 58, 57, 56};
  static constexpr auto kStarts = affine_starts<4>(-0.3f, 0.5f);
  static constexpr auto kPerturbations = affine_starts<4>(-0.45f, 0.3f);
  static constexpr int kAlternations = 2, kSweeps = 2;
};

struct Q4K : AffineSuperBlockFormat<Q4KSpec> {
  static constexpr ElementType kType = ElementType::Q4_K;
  static constexpr std::size_t kBlockBytes = 144;

  static void pack_words(const Scales& scales, const std::int32_t* codes, std::uint32_t* words) {
    store_word(two_halves(scales.d, scales.dmin), 0, words);
    store_six_bit_pairs(scales.scale_code, scales.minimum_code, 1, words);
    for (std::size_t k = 0; k < 32; ++k) {
      store_word(spread_bits<0, 4, 2>(codes, 64 * (k / 8) + 4 * (k % 8)), 4 + k, words);
    }
  }
};

void decode_q4_k(const std::byte* blocks, float* weights, std::size_t count) {
  for (std::size_t b = 0; b < count; ++b, blocks += Q4K::kBlockBytes, weights += Q4K::kBlockWeights) {
    const auto* block = reinterpret_cast<const std::uint8_t*>(blocks);
    const float d = load_half(blocks), dmin = load_half(blocks + 2);
    const SixBitPairs pairs = unpack_six_bit_pairs(block + 4);
    for (std::size_t s = 0; s < 8; ++s) {
      const std::uint8_t* codes = block + 16 + 32 * (s / 2);
      const float scale = d * pairs.scale[s], minimum = dmin * pairs.minimum[s];
      for (std::size_t l = 0; l < 32; ++l) {
        weights[32 * s + l] = scale * static_cast<float>((codes[l] >> (s % 2 * 4)) & 15) - minimum;
      }
    }
  }
}

void encode_q4_k(const EncodeInput& input, std::byte* blocks) { encode_rows<Q4K>(input, blocks); }
void feedback_q4_k(const FeedbackInput& input, kernels::MatrixProducts& products, std::byte* out) {
  encode_rows_with_feedback<Q4K>(input, products, out);
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::codecs {

HWY_EXPORT(decode_q4_k);
HWY_EXPORT(encode_q4_k);
HWY_EXPORT(feedback_q4_k);

const Codec& q4_k_codec() {
  static const BlockCodec codec(
      ElementType::Q4_K,
      [](std::span<const std::byte> blocks, std::span<float> weights) {
        HWY_DYNAMIC_DISPATCH(decode_q4_k)(blocks.data(), weights.data(), weights.size() / 256);
      },
      [](const EncodeInput& input, std::span<std::byte> blocks) {
        HWY_DYNAMIC_DISPATCH(encode_q4_k)(input, blocks.data());
      },
      [](const FeedbackInput& input, kernels::MatrixProducts& products, std::span<std::byte> out) {
        HWY_DYNAMIC_DISPATCH(feedback_q4_k)
        (input, products, out.data());
      });
  return codec;
}

}  // namespace tessera::codecs
#endif  // HWY_ONCE
