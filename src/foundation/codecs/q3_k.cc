// Q3_K: 256 weights in 110 bytes, 3.4375 bits per weight (BLOCKS.md section 6).
//
//   y = (d * sc[s]) * q,  s = 0..15 sub-blocks of 16 weights, q in -4..3, sc in -32..31
//
//   0    bit 4n + r of byte l: the high bit of the code of weight 128 * n + 32 * r + l
//   32   the low two bits: bits 2r, 2r + 1 of byte 32 * n + l, same weight
//   96   scales: low nibbles of s = 0..7 low and s = 8..15 high in 8 bytes, then bits 4, 5 of s in bits 2 *
//   (s / 4) and
//        2 * (s / 4) + 1 of byte 8 + s % 4
//   108  half d
//
// Codes are stored as q + 4, scales as sc + 32.

#include <array>
#include <cstring>

#include "foundation/codecs/block_fields.h"
#include "foundation/codecs/function_codec.h"
#include "foundation/codecs/k_quants.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/codecs/q3_k.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/codecs/signed_super_block-inl.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

struct Q3KSpec {
  static constexpr std::size_t kSubBlocks = 16, kSubBlockWeights = 16;
  using Levels = IntegerLevels<-4, 3>;
  static constexpr float kMinScale = -32, kMaxScale = 31;
  static constexpr std::array<float, 14> kStarts{-5.0f, -4.6f, -4.2f, -3.8f, -3.4f, -3.0f, -2.5f,
                                                 2.0f,  2.4f,  2.8f,  3.2f,  3.6f,  4.0f,  4.5f};
  static constexpr std::array<float, 16> kUnitSteps{-32, -31, -30, -29, -28, -27, -26, -25,
                                                    31,  30,  29,  28,  27,  26,  25,  24};
  static constexpr int kAlternations = 2, kSweeps = 2, kReach = 1;
  static constexpr bool kTryMirrored = true;
};

struct Q3K : SignedFormat<Q3KSpec> {
  static constexpr ElementType kType = ElementType::Q3_K;
  static constexpr std::size_t kBlockBytes = 110;

  static void pack(const Scales& scales, const std::int32_t* codes, std::size_t lane, std::byte* block) {
    std::uint8_t bytes[kBlockBytes] = {};
    for (std::size_t j = 0; j < kBlockWeights; ++j) {
      const std::size_t n = j / 128, r = j % 128 / 32, l = j % 32;
      const int code = codes[j * kLanes + lane] + 4;
      bytes[l] |= static_cast<std::uint8_t>((code >> 2) << (4 * n + r));
      bytes[32 + 32 * n + l] |= static_cast<std::uint8_t>((code & 3) << (2 * r));
    }
    for (std::size_t s = 0; s < kSubBlocks; ++s) {
      const int scale = static_cast<int>(scales.integers.scale[s][lane]) + 32;
      bytes[96 + s % 8] |= static_cast<std::uint8_t>((scale & 15) << (s / 8 * 4));
      bytes[104 + s % 4] |= static_cast<std::uint8_t>((scale >> 4) << (s / 4 * 2));
    }
    store_half(scales.integers.d.bits[lane], bytes + 108);
    std::memcpy(block, bytes, kBlockBytes);
  }
};

void decode_q3_k(const std::byte* blocks, float* weights, std::size_t count) {
  const auto* block = reinterpret_cast<const std::uint8_t*>(blocks);
  for (std::size_t b = 0; b < count; ++b, block += Q3K::kBlockBytes, weights += Q3K::kBlockWeights) {
    const float d = load_half(block + 108);
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

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::codecs {

HWY_EXPORT(decode_q3_k);
HWY_EXPORT(encode_q3_k);

const Codec& q3_k_codec() {
  static const FunctionCodec codec(
      ElementType::Q3_K,
      [](const std::byte* blocks, float* weights, std::size_t count) {
        HWY_DYNAMIC_DISPATCH(decode_q3_k)(blocks, weights, count);
      },
      [](const EncodeInput& input, std::byte* blocks) { HWY_DYNAMIC_DISPATCH(encode_q3_k)
                                                        (input, blocks); });
  return codec;
}

}  // namespace tessera::codecs
#endif  // HWY_ONCE
