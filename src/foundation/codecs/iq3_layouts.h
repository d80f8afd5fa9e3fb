// IQ3_XXS and IQ3_S: quads of magnitudes from a codebook, with signs (BLOCKS.md section 7).
//
// A super-block has 256 weights in 64 quads, and d, a half. Weight = scale * magnitude * sign, with a
// sub-scale s of 4 bits per 32 weights: scale = d * (0.5 + s) / 2 in IQ3_XXS, d * (1 + 2 s) in IQ3_S. In
// IQ3_XXS two quads share a sign field of 7 bits: the signs of the first seven weights of the octet, whose
// number of minus signs is even. All fields are little-endian; g = 0..7 counts groups of 32 weights, p = 0..3
// their octets, f = 0..63 the quads.
//
//   IQ3_XXS,  98 bytes: d; u8 index[64]; u32 words[8]: sign field p at bit 7 p, sub-scale at bit 28
//   IQ3_S,   110 bytes: d; u8 index_low[64]; u8 index_high[8]: bit f % 8 of byte f / 8; u8 signs[32];
//                       u8 sub_scales[4]: even g in the low nibble
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "foundation/codecs/codebooks_iq3.h"
#include "foundation/codecs/grid_block.h"
#include "foundation/codecs/split_codebook.h"
#include "foundation/tensor/element_type.h"

namespace tessera::codecs {

/// What both formats have in common.
struct Iq3Layout {
  static constexpr std::size_t kBlockWeights = 256;
  static constexpr std::size_t kSubBlockWeights = 32;
  static constexpr CodebookShape kShape = {.width = 4, .level_bits = 3, .levels = 8};
};

struct Iq3XxsLayout : Iq3Layout {
  static constexpr ElementType kType = ElementType::IQ3_XXS;
  static constexpr std::size_t kBlockBytes = 98;
  static constexpr std::size_t kGroupWeights = 8;  // two quads, for they share the sign field
  static constexpr float kScaleUnit = 0.25f;
  static constexpr std::size_t kIndexBits = 8;
  static constexpr const auto& kLevels = kIq3XxsLevels;
  static constexpr const auto& kEntries = kIq3XxsCodebook;
  static constexpr bool kEvenSigns = true;
  static constexpr std::size_t kSamples = 8;
  static constexpr float kLargestSample = 1.15f, kSampleRatio = 0.89f;

  static void write(const GridBlock& block, std::byte* bytes) {
    std::memcpy(bytes, &block.half_scale, 2);
    for (std::size_t g = 0; g < 8; ++g) {
      std::uint32_t word = std::uint32_t{block.sub_scales[g]} << 28;
      for (std::size_t p = 0; p < 4; ++p) {
        const std::uint32_t code = block.codes[4 * g + p];
        bytes[2 + 8 * g + 2 * p] = static_cast<std::byte>(code & 255u);
        bytes[3 + 8 * g + 2 * p] = static_cast<std::byte>((code >> 8) & 255u);
        word |= ((code >> 16) & 127u) << (7 * p);
      }
      std::memcpy(bytes + 66 + 4 * g, &word, 4);
    }
  }
  static void read(const std::byte* bytes, GridBlock& block) {
    std::memcpy(&block.half_scale, bytes, 2);
    for (std::size_t g = 0; g < 8; ++g) {
      std::uint32_t word;
      std::memcpy(&word, bytes + 66 + 4 * g, 4);
      block.sub_scales[g] = static_cast<std::uint8_t>(word >> 28);
      for (std::size_t p = 0; p < 4; ++p) {
        std::uint16_t indices;
        std::memcpy(&indices, bytes + 2 + 8 * g + 2 * p, 2);
        block.codes[4 * g + p] = indices | even_signs((word >> (7 * p)) & 127u) << 16;
      }
    }
  }
};

struct Iq3SLayout : Iq3Layout {
  static constexpr ElementType kType = ElementType::IQ3_S;
  static constexpr std::size_t kBlockBytes = 110;
  static constexpr std::size_t kGroupWeights = 4;
  static constexpr float kScaleUnit = 1.0f;
  static constexpr std::size_t kIndexBits = 9;
  static constexpr const auto& kLevels = kIq3SLevels;
  static constexpr const auto& kEntries = kIq3SCodebook;
  static constexpr bool kEvenSigns = false;
  // Twice as many searches find an error 0.6 % smaller: half of the encoding time for too little.
  static constexpr std::size_t kSamples = 4;
  static constexpr float kLargestSample = 1.1f, kSampleRatio = 0.82f;

  static void write(const GridBlock& block, std::byte* bytes) {
    std::memset(bytes, 0, kBlockBytes);
    std::memcpy(bytes, &block.half_scale, 2);
    for (std::size_t f = 0; f < 64; ++f) {
      const std::uint32_t code = block.codes[f];
      bytes[2 + f] = static_cast<std::byte>(code & 255u);
      bytes[66 + f / 8] |= static_cast<std::byte>(((code >> 8) & 1u) << (f % 8));
      bytes[74 + f / 2] |= static_cast<std::byte>(((code >> 9) & 15u) << (4 * (f % 2)));
    }
    for (std::size_t g = 0; g < 8; ++g) {
      bytes[106 + g / 2] |= static_cast<std::byte>(block.sub_scales[g] << (4 * (g % 2)));
    }
  }
  static void read(const std::byte* bytes, GridBlock& block) {
    std::memcpy(&block.half_scale, bytes, 2);
    for (std::size_t f = 0; f < 64; ++f) {
      const std::uint32_t low = std::to_integer<std::uint32_t>(bytes[2 + f]);
      const std::uint32_t high = std::to_integer<std::uint32_t>(bytes[66 + f / 8]) >> (f % 8);
      const std::uint32_t signs = std::to_integer<std::uint32_t>(bytes[74 + f / 2]) >> (4 * (f % 2));
      block.codes[f] = low | (high & 1u) << 8 | (signs & 15u) << 9;
    }
    for (std::size_t g = 0; g < 8; ++g) {
      block.sub_scales[g] = std::to_integer<std::uint8_t>(bytes[106 + g / 2] >> (4 * (g % 2))) & 15u;
    }
  }
};

}  // namespace tessera::codecs
