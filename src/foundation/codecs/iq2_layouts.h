// IQ2_XXS, IQ2_XS and IQ2_S: octets of magnitudes from a codebook, with signs (BLOCKS.md section 7).
//
// A super-block has 256 weights in 32 octets, and d, a half. Weight = d * (0.5 + s) / 4 * magnitude * sign,
// where s is the sub-scale of 4 bits. The sign field of 7 bits holds the signs of the first seven weights of
// an octet; the number of minus signs of an octet is even. All fields are little-endian; g = 0..7 counts
// groups of 32 weights, p = 0..3 the octets of a group, o = 4 g + p those of the block.
//
//   IQ2_XXS, 66 bytes: d; 8 groups of { u8 index[4]; u32 word: sign field p at bit 7 p, sub-scale at bit 28 }
//   IQ2_XS,  74 bytes: d; 32 octets of { u16: index of 9 bits, sign field of 7 }; u8 sub_scales[8]
//   IQ2_S,   82 bytes: d; u8 index_low[32]; u8 signs[32]; u8 index_high[8]: 2 bits at 2 p; u8 sub_scales[8]
//
// In sub_scales[g] the low nibble belongs to the first 16 weights of the group, the high nibble to the
// others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "foundation/codecs/codebooks_iq2.h"
#include "foundation/codecs/grid_block.h"
#include "foundation/codecs/split_codebook.h"
#include "foundation/tensor/element_type.h"

namespace tessera::codecs {

/// What the three formats have in common.
struct Iq2Layout {
  static constexpr std::size_t kBlockWeights = 256;
  static constexpr std::size_t kGroupWeights = 8;
  static constexpr float kScaleUnit = 0.125f;
  static constexpr CodebookShape kShape = {.width = 8, .level_bits = 2, .levels = 3};
  static constexpr std::size_t kSamples = 8;
  static constexpr float kLargestSample = 1.15f, kSampleRatio = 0.89f;
  static constexpr const auto& kLevels = kIq2Levels;

 protected:
  static void write_nibbles(const GridBlock& block, std::byte* bytes) {
    for (std::size_t g = 0; g < 8; ++g) {
      bytes[g] = static_cast<std::byte>(block.sub_scales[2 * g] | block.sub_scales[2 * g + 1] << 4);
    }
  }
  static void read_nibbles(const std::byte* bytes, GridBlock& block) {
    for (std::size_t g = 0; g < 8; ++g) {
      block.sub_scales[2 * g] = std::to_integer<std::uint8_t>(bytes[g] & std::byte{15});
      block.sub_scales[2 * g + 1] = std::to_integer<std::uint8_t>(bytes[g] >> 4);
    }
  }
};

struct Iq2XxsLayout : Iq2Layout {
  static constexpr ElementType kType = ElementType::IQ2_XXS;
  static constexpr std::size_t kBlockBytes = 66;
  static constexpr std::size_t kSubBlockWeights = 32;
  static constexpr std::size_t kIndexBits = 8;
  static constexpr const auto& kEntries = kIq2XxsCodebook;
  static constexpr bool kEvenSigns = true;

  static void write(const GridBlock& block, std::byte* bytes) {
    std::memcpy(bytes, &block.half_scale, 2);
    for (std::size_t g = 0; g < 8; ++g) {
      std::uint32_t word = std::uint32_t{block.sub_scales[g]} << 28;
      for (std::size_t p = 0; p < 4; ++p) {
        const std::uint32_t code = block.codes[4 * g + p];
        bytes[2 + 8 * g + p] = static_cast<std::byte>(code & 255u);
        word |= ((code >> 8) & 127u) << (7 * p);
      }
      std::memcpy(bytes + 6 + 8 * g, &word, 4);
    }
  }
  static void read(const std::byte* bytes, GridBlock& block) {
    std::memcpy(&block.half_scale, bytes, 2);
    for (std::size_t g = 0; g < 8; ++g) {
      std::uint32_t word;
      std::memcpy(&word, bytes + 6 + 8 * g, 4);
      block.sub_scales[g] = static_cast<std::uint8_t>(word >> 28);
      for (std::size_t p = 0; p < 4; ++p) {
        const std::uint32_t index = std::to_integer<std::uint32_t>(bytes[2 + 8 * g + p]);
        block.codes[4 * g + p] = index | even_signs((word >> (7 * p)) & 127u) << 8;
      }
    }
  }
};

struct Iq2XsLayout : Iq2Layout {
  static constexpr ElementType kType = ElementType::IQ2_XS;
  static constexpr std::size_t kBlockBytes = 74;
  static constexpr std::size_t kSubBlockWeights = 16;
  static constexpr std::size_t kIndexBits = 9;
  static constexpr const auto& kEntries = kIq2XsCodebook;
  static constexpr bool kEvenSigns = true;

  static void write(const GridBlock& block, std::byte* bytes) {
    std::memcpy(bytes, &block.half_scale, 2);
    for (std::size_t o = 0; o < 32; ++o) {
      const auto word = static_cast<std::uint16_t>(block.codes[o]);  // drops the sign of weight 7
      std::memcpy(bytes + 2 + 2 * o, &word, 2);
    }
    write_nibbles(block, bytes + 66);
  }
  static void read(const std::byte* bytes, GridBlock& block) {
    std::memcpy(&block.half_scale, bytes, 2);
    for (std::size_t o = 0; o < 32; ++o) {
      std::uint16_t word;
      std::memcpy(&word, bytes + 2 + 2 * o, 2);
      block.codes[o] = (word & 511u) | even_signs(word >> 9) << 9;
    }
    read_nibbles(bytes + 66, block);
  }
};

struct Iq2SLayout : Iq2Layout {
  static constexpr ElementType kType = ElementType::IQ2_S;
  static constexpr std::size_t kBlockBytes = 82;
  static constexpr std::size_t kSubBlockWeights = 16;
  static constexpr std::size_t kIndexBits = 10;
  static constexpr const auto& kEntries = kIq2SCodebook;
  static constexpr bool kEvenSigns = false;

  static void write(const GridBlock& block, std::byte* bytes) {
    std::memcpy(bytes, &block.half_scale, 2);
    for (std::size_t g = 0; g < 8; ++g) {
      std::uint32_t high = 0;
      for (std::size_t p = 0; p < 4; ++p) {
        const std::uint32_t code = block.codes[4 * g + p];
        bytes[2 + 4 * g + p] = static_cast<std::byte>(code & 255u);
        bytes[34 + 4 * g + p] = static_cast<std::byte>((code >> 10) & 255u);
        high |= ((code >> 8) & 3u) << (2 * p);
      }
      bytes[66 + g] = static_cast<std::byte>(high);
    }
    write_nibbles(block, bytes + 74);
  }
  static void read(const std::byte* bytes, GridBlock& block) {
    std::memcpy(&block.half_scale, bytes, 2);
    for (std::size_t o = 0; o < 32; ++o) {
      const std::uint32_t high = std::to_integer<std::uint32_t>(bytes[66 + o / 4]) >> (2 * (o % 4));
      const std::uint32_t index = std::to_integer<std::uint32_t>(bytes[2 + o]) | (high & 3u) << 8;
      block.codes[o] = index | std::to_integer<std::uint32_t>(bytes[34 + o]) << 10;
    }
    read_nibbles(bytes + 74, block);
  }
};

}  // namespace tessera::codecs
