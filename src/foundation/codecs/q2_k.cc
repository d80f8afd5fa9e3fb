// Q2_K: 256 weights in 84 bytes, 2.625 bits per weight (BLOCKS.md section 6).
//
//   y = (d * sc[s]) * q - dmin * mn[s],  s = 0..15 sub-blocks of 16 weights, q in 0..3
//
//   0    byte s: sc[s] low, mn[s] high      80    half d
//   16   codes, two bits each               82    half dmin
//
// Codes: bits 2r, 2r + 1 of byte 32 * n + l hold weight 128 * n + 32 * r + l.

#include <array>
#include <cstring>

#include "foundation/codecs/block_fields.h"
#include "foundation/codecs/function_codec.h"
#include "foundation/codecs/k_quants.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/codecs/q2_k.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/codecs/affine_super_block-inl.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

struct Q2KSpec {
  static constexpr std::size_t kSubBlocks = 16, kSubBlockWeights = 16;
  static constexpr int kMaxCode = 3, kMaxScale = 15;
  static constexpr std::array<float, 8> kUnitSteps{16, 15, 14, 13, 12, 11, 10, 9};
  static constexpr auto kStarts = affine_starts<4>(-0.3f, 0.5f);
  static constexpr auto kPerturbations = affine_starts<4>(-0.45f, 0.3f);
  static constexpr int kAlternations = 2, kSweeps = 2, kReach = 1;
};

struct Q2K : AffineFormat<Q2KSpec> {
  static constexpr ElementType kType = ElementType::Q2_K;
  static constexpr std::size_t kBlockBytes = 84;

  static void pack(const Scales& scales, const std::int32_t* codes, std::size_t lane, std::byte* block) {
    std::uint8_t bytes[kBlockBytes];
    for (std::size_t s = 0; s < kSubBlocks; ++s) {
      const int scale = static_cast<int>(scales.integers.scale[s][lane]);
      const int minimum = static_cast<int>(scales.integers.minimum[s][lane]);
      bytes[s] = static_cast<std::uint8_t>(scale | (minimum << 4));
    }
    for (std::size_t n = 0; n < 2; ++n) {
      for (std::size_t l = 0; l < 32; ++l) {
        const std::int32_t* code = codes + (128 * n + l) * kLanes + lane;
        bytes[16 + 32 * n + l] = static_cast<std::uint8_t>(
            code[0] | (code[32 * kLanes] << 2) | (code[64 * kLanes] << 4) | (code[96 * kLanes] << 6));
      }
    }
    store_half(scales.integers.d.bits[lane], bytes + 80);
    store_half(scales.integers.dmin.bits[lane], bytes + 82);
    std::memcpy(block, bytes, kBlockBytes);
  }
};

void decode_q2_k(const std::byte* blocks, float* weights, std::size_t count) {
  const auto* block = reinterpret_cast<const std::uint8_t*>(blocks);
  for (std::size_t b = 0; b < count; ++b, block += Q2K::kBlockBytes, weights += Q2K::kBlockWeights) {
    const float d = load_half(block + 80), dmin = load_half(block + 82);
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

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::codecs {

HWY_EXPORT(decode_q2_k);
HWY_EXPORT(encode_q2_k);

const Codec& q2_k_codec() {
  static const FunctionCodec codec(
      ElementType::Q2_K,
      [](const std::byte* blocks, float* weights, std::size_t count) {
        HWY_DYNAMIC_DISPATCH(decode_q2_k)(blocks, weights, count);
      },
      [](const EncodeInput& input, std::byte* blocks) { HWY_DYNAMIC_DISPATCH(encode_q2_k)
                                                        (input, blocks); });
  return codec;
}

}  // namespace tessera::codecs
#endif  // HWY_ONCE
