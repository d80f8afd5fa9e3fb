// Q6_K: 256 weights in 210 bytes, 6.5625 bits per weight (BLOCKS.md section 6).
//
//   y = (d * sc[s]) * q,  s = 0..15 sub-blocks of 16 weights, q in -32..31, sc in -128..127
//
//   0    low nibbles: byte 64 * n + 32 * (r % 2) + l, low for r = 0, 1 and high for r = 2, 3, of weight 128 *
//   n + 32 * r + l 128  the high two bits: bits 2r, 2r + 1 of byte 32 * n + l, same weight 192  signed byte
//   s: sc[s] 208  half d
//
// Codes are stored as q + 32.

#include <array>
#include <cstring>

#include "foundation/codecs/block_fields.h"
#include "foundation/codecs/function_codec.h"
#include "foundation/codecs/k_quants.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/codecs/q6_k.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/codecs/signed_super_block-inl.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

struct Q6KSpec {
  static constexpr std::size_t kSubBlocks = 16, kSubBlockWeights = 16;
  using Levels = IntegerLevels<-32, 31>;
  static constexpr float kMinScale = -128, kMaxScale = 127;
  static constexpr std::array<float, 12> kStarts{-32.4f, -32.0f, -31.5f, -31.0f, -30.5f, -30.0f,
                                                 31.4f,  31.0f,  30.5f,  30.0f,  29.5f,  29.0f};
  static constexpr std::array<float, 8> kUnitSteps{-128, -127, -126, -125, -124, -123, -122, -121};
  static constexpr int kAlternations = 2, kSweeps = 2, kReach = 1;
  static constexpr bool kTryMirrored = false;
};

struct Q6K : SignedFormat<Q6KSpec> {
  static constexpr ElementType kType = ElementType::Q6_K;
  static constexpr std::size_t kBlockBytes = 210;

  static void pack(const Scales& scales, const std::int32_t* codes, std::size_t lane, std::byte* block) {
    std::uint8_t bytes[kBlockBytes] = {};
    for (std::size_t j = 0; j < kBlockWeights; ++j) {
      const std::size_t n = j / 128, r = j % 128 / 32, l = j % 32;
      const int code = codes[j * kLanes + lane] + 32;
      bytes[64 * n + 32 * (r % 2) + l] |= static_cast<std::uint8_t>((code & 15) << (r / 2 * 4));
      bytes[128 + 32 * n + l] |= static_cast<std::uint8_t>((code >> 4) << (2 * r));
    }
    for (std::size_t s = 0; s < kSubBlocks; ++s) {
      bytes[192 + s] = static_cast<std::uint8_t>(static_cast<int>(scales.integers.scale[s][lane]));
    }
    store_half(scales.integers.d.bits[lane], bytes + 208);
    std::memcpy(block, bytes, kBlockBytes);
  }
};

void decode_q6_k(const std::byte* blocks, float* weights, std::size_t count) {
  const auto* block = reinterpret_cast<const std::uint8_t*>(blocks);
  for (std::size_t b = 0; b < count; ++b, block += Q6K::kBlockBytes, weights += Q6K::kBlockWeights) {
    const float d = load_half(block + 208);
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

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::codecs {

HWY_EXPORT(decode_q6_k);
HWY_EXPORT(encode_q6_k);

const Codec& q6_k_codec() {
  static const FunctionCodec codec(
      ElementType::Q6_K,
      [](const std::byte* blocks, float* weights, std::size_t count) {
        HWY_DYNAMIC_DISPATCH(decode_q6_k)(blocks, weights, count);
      },
      [](const EncodeInput& input, std::byte* blocks) { HWY_DYNAMIC_DISPATCH(encode_q6_k)
                                                        (input, blocks); });
  return codec;
}

}  // namespace tessera::codecs
#endif  // HWY_ONCE
