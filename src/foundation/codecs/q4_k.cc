// Q4_K: 256 weights in 144 bytes, 4.5 bits per weight (BLOCKS.md section 6).
//
//   y = (d * sc[s]) * q - dmin * mn[s],  s = 0..7 sub-blocks of 32 weights, q in 0..15
//
//   0    half d          4     six-bit pairs (sc, mn) of the sub-blocks
//   2    half dmin       16    codes: byte 32 * n + l holds weight 64 * n + l low and weight 64 * n + 32 + l
//   high

#include <array>
#include <cstring>

#include "foundation/codecs/block_fields.h"
#include "foundation/codecs/function_codec.h"
#include "foundation/codecs/k_quants.h"
#include "foundation/codecs/six_bit_pairs.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/codecs/q4_k.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/codecs/affine_super_block-inl.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

struct Q4KSpec {
  static constexpr std::size_t kSubBlocks = 8, kSubBlockWeights = 32;
  static constexpr int kMaxCode = 15, kMaxScale = 63;
  static constexpr std::array<float, 8> kUnitSteps{63, 62, 61, 60, 59, 58, 57, 56};
  static constexpr auto kStarts = affine_starts<4>(-0.3f, 0.5f);
  static constexpr auto kPerturbations = affine_starts<4>(-0.45f, 0.3f);
  static constexpr int kAlternations = 2, kSweeps = 2, kReach = 1;
};

struct Q4K : AffineFormat<Q4KSpec> {
  static constexpr ElementType kType = ElementType::Q4_K;
  static constexpr std::size_t kBlockBytes = 144;

  static void pack(const Scales& scales, const std::int32_t* codes, std::size_t lane, std::byte* block) {
    std::uint8_t bytes[kBlockBytes];
    store_half(scales.integers.d.bits[lane], bytes);
    store_half(scales.integers.dmin.bits[lane], bytes + 2);
    pack_six_bit_pairs(pairs_of_lane(scales.integers, lane), bytes + 4);
    for (std::size_t n = 0; n < 4; ++n) {
      for (std::size_t l = 0; l < 32; ++l) {
        const std::int32_t* low = codes + (64 * n + l) * kLanes + lane;
        bytes[16 + 32 * n + l] = static_cast<std::uint8_t>(low[0] | (low[32 * kLanes] << 4));
      }
    }
    std::memcpy(block, bytes, kBlockBytes);
  }
};

void decode_q4_k(const std::byte* blocks, float* weights, std::size_t count) {
  const auto* block = reinterpret_cast<const std::uint8_t*>(blocks);
  for (std::size_t b = 0; b < count; ++b, block += Q4K::kBlockBytes, weights += Q4K::kBlockWeights) {
    const float d = load_half(block), dmin = load_half(block + 2);
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

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::codecs {

HWY_EXPORT(decode_q4_k);
HWY_EXPORT(encode_q4_k);

const Codec& q4_k_codec() {
  static const FunctionCodec codec(
      ElementType::Q4_K,
      [](const std::byte* blocks, float* weights, std::size_t count) {
        HWY_DYNAMIC_DISPATCH(decode_q4_k)(blocks, weights, count);
      },
      [](const EncodeInput& input, std::byte* blocks) { HWY_DYNAMIC_DISPATCH(encode_q4_k)
                                                        (input, blocks); });
  return codec;
}

}  // namespace tessera::codecs
#endif  // HWY_ONCE
