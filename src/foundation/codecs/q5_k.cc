// Q5_K: 256 weights in 176 bytes, 5.5 bits per weight (BLOCKS.md section 6).
//
//   y = (d * sc[s]) * q - dmin * mn[s],  s = 0..7 sub-blocks of 32 weights, q in 0..31
//
//   0    half d          16    bit s of byte l: the high bit of weight 32 * s + l
//   2    half dmin       48    low nibbles: byte 32 * n + l holds weight 64 * n + l low and weight 64 * n +
//   32 + l high 4    six-bit pairs (sc, mn) of the sub-blocks

#include <array>
#include <cstring>

#include "foundation/codecs/block_fields.h"
#include "foundation/codecs/function_codec.h"
#include "foundation/codecs/k_quants.h"
#include "foundation/codecs/six_bit_pairs.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/codecs/q5_k.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/codecs/affine_super_block-inl.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

struct Q5KSpec {
  static constexpr std::size_t kSubBlocks = 8, kSubBlockWeights = 32;
  static constexpr int kMaxCode = 31, kMaxScale = 63;
  static constexpr std::array<float, 8> kUnitSteps{63, 62, 61, 60, 59, 58, 57, 56};
  static constexpr auto kStarts = affine_starts<4>(-0.3f, 0.5f);
  static constexpr auto kPerturbations = affine_starts<4>(-0.45f, 0.3f);
  static constexpr int kAlternations = 2, kSweeps = 2, kReach = 1;
};

struct Q5K : AffineFormat<Q5KSpec> {
  static constexpr ElementType kType = ElementType::Q5_K;
  static constexpr std::size_t kBlockBytes = 176;

  static void pack(const Scales& scales, const std::int32_t* codes, std::size_t lane, std::byte* block) {
    std::uint8_t bytes[kBlockBytes] = {};
    store_half(scales.integers.d.bits[lane], bytes);
    store_half(scales.integers.dmin.bits[lane], bytes + 2);
    pack_six_bit_pairs(pairs_of_lane(scales.integers, lane), bytes + 4);
    for (std::size_t s = 0; s < 8; ++s) {
      for (std::size_t l = 0; l < 32; ++l) {
        const std::int32_t code = codes[(32 * s + l) * kLanes + lane];
        bytes[16 + l] |= static_cast<std::uint8_t>((code >> 4) << s);
        bytes[48 + 32 * (s / 2) + l] |= static_cast<std::uint8_t>((code & 15) << (s % 2 * 4));
      }
    }
    std::memcpy(block, bytes, kBlockBytes);
  }
};

void decode_q5_k(const std::byte* blocks, float* weights, std::size_t count) {
  const auto* block = reinterpret_cast<const std::uint8_t*>(blocks);
  for (std::size_t b = 0; b < count; ++b, block += Q5K::kBlockBytes, weights += Q5K::kBlockWeights) {
    const float d = load_half(block), dmin = load_half(block + 2);
    const SixBitPairs pairs = unpack_six_bit_pairs(block + 4);
    for (std::size_t s = 0; s < 8; ++s) {
      const std::uint8_t *high_bits = block + 16, *codes = block + 48 + 32 * (s / 2);
      const float scale = d * pairs.scale[s], minimum = dmin * pairs.minimum[s];
      for (std::size_t l = 0; l < 32; ++l) {
        const int code = ((codes[l] >> (s % 2 * 4)) & 15) | (((high_bits[l] >> s) & 1) << 4);
        weights[32 * s + l] = scale * static_cast<float>(code) - minimum;
      }
    }
  }
}

void encode_q5_k(const EncodeInput& input, std::byte* blocks) { encode_rows<Q5K>(input, blocks); }

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::codecs {

HWY_EXPORT(decode_q5_k);
HWY_EXPORT(encode_q5_k);

const Codec& q5_k_codec() {
  static const FunctionCodec codec(
      ElementType::Q5_K,
      [](const std::byte* blocks, float* weights, std::size_t count) {
        HWY_DYNAMIC_DISPATCH(decode_q5_k)(blocks, weights, count);
      },
      [](const EncodeInput& input, std::byte* blocks) { HWY_DYNAMIC_DISPATCH(encode_q5_k)
                                                        (input, blocks); });
  return codec;
}

}  // namespace tessera::codecs
#endif  // HWY_ONCE
