// Q4_1 and Q5_1: y = d * q + m with halves d and m and q in [0, 15] or [0, 31].
//
// Blocks (BLOCKS.md section 5), all little-endian:
//   Q4_1: d, m, 32 codes as nibbles (code i below code i + 16).
//   Q5_1: d, m, the fifth bits of the 32 codes in order, their lower four as the nibbles of Q4_1.

#include "foundation/codecs/affine.h"

#include <array>
#include <cstring>

#include "foundation/codecs/block_codec.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/codecs/affine.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/codecs/affine_fit-inl.h"
#include "foundation/codecs/decode_lanes-inl.h"
#include "foundation/codecs/feedback-inl.h"
#include "foundation/codecs/lane_math-inl.h"
#include "foundation/codecs/lane_scales-inl.h"
#include "foundation/codecs/pack_words-inl.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// What the two formats share: everything but the packing.
template <int kLevels>
struct AffineFormat {
  static constexpr std::size_t kBlockWeights = 32;
  static constexpr std::size_t kGroupWeights = 1;
  struct Columns {
    std::array<float, kBlockWeights> importance;
  };
  struct Scales {
    alignas(64) float scale[kLanes];
    alignas(64) float inverse[kLanes];
    alignas(64) float offset[kLanes];
  };

  static void prepare(const float* importance, Columns& columns) {
    std::memcpy(columns.importance.data(), importance, sizeof(columns.importance));
  }

  static void fit(const Columns& columns, const float* x, Scales& scales) {
    constexpr float kTop = kLevels;
    // Ends that fall outside the range of codes are clipped, those inside leave codes unused.
    constexpr std::array kEnds{0.0f, -0.6f, -1.3f, -2.0f, 0.5f, 1.0f};
    constexpr auto kCandidates = [&] {
      std::array<AffineCandidate, kEnds.size() * kEnds.size()> all{};
      for (std::size_t i = 0; i < all.size(); ++i) {
        all[i] = {kEnds[i / kEnds.size()], kTop - kEnds[i % kEnds.size()]};
      }
      return all;
    }();
    const LaneTag d;
    AffineFit<kLevels, kBlockWeights> search(columns.importance.data(), x);
    search.try_candidates(kCandidates);
    search.refine();
    const auto scale = search.scale();
    hn::Store(scale, d, scales.scale);
    hn::Store(inverse_or_zero(scale), d, scales.inverse);
    hn::Store(search.offset(scale), d, scales.offset);
  }

  static void round(const Columns&, const Scales& scales, std::size_t, const float* x, std::int32_t* code) {
    const LaneTag d;
    const auto distance = hn::Sub(hn::Load(d, x), hn::Load(d, scales.offset));
    const auto value = hn::Mul(distance, hn::Load(d, scales.inverse));
    const auto q = hn::Clamp(value, hn::Zero(d), hn::Set(d, float{kLevels}));
    hn::Store(hn::NearestInt(q), LaneIntTag(), code);
  }

  static constexpr std::size_t kSubBlocks = 1;
  static constexpr ScaleFreedom kFreedom{.unit = true, .minimum_unit = true};
  static LaneVector nearest_unit_to(LaneVector exact) { return nearest_positive_half(exact); }
  static LaneVector nearest_minimum_unit_to(LaneVector exact) { return round_to_half(LaneTag(), exact); }
  static void get_scales(const Scales& scales, LaneScales<1>& result) {
    const LaneTag d;
    result.reset();
    hn::Store(hn::Load(d, scales.scale), d, result.unit);
    hn::Store(hn::Neg(hn::Load(d, scales.offset)), d, result.minimum_unit);
    hn::Store(hn::Set(d, 1.0f), d, result.minimum);
  }
  static void set_scales(const LaneScales<1>& from, Scales& scales) {
    const LaneTag d;
    hn::Store(hn::Load(d, from.unit), d, scales.scale);
    hn::Store(inverse_or_zero(from.scale(0)), d, scales.inverse);
    hn::Store(hn::Neg(hn::Load(d, from.minimum_unit)), d, scales.offset);
  }
  static void values(const Scales&, std::size_t, const std::int32_t* code, float* v) {
    integer_values(code, 0.0f, v);
  }

  static WordVector scale_and_offset_bits(const Scales& scales) {
    const LaneTag d;
    const auto offset = half_bits(d, hn::Load(d, scales.offset));
    return hn::Or(half_bits(d, hn::Load(d, scales.scale)), hn::ShiftLeft<16>(offset));
  }

  static void pack_nibbles(const std::int32_t* codes, std::uint32_t* words) {
    for (std::size_t k = 0; k < 4; ++k) hn::Store(join_nibbles(codes, k), WordTag(), words + k * kLanes);
  }
};

struct Q4_1 : AffineFormat<15> {
  static constexpr ElementType kType = ElementType::Q4_1;
  static constexpr std::size_t kBlockBytes = 20;

  static void pack_words(const Scales& scales, const std::int32_t* codes, std::uint32_t* words) {
    hn::Store(scale_and_offset_bits(scales), WordTag(), words);
    pack_nibbles(codes, words + kLanes);
  }
};

struct Q5_1 : AffineFormat<31> {
  static constexpr ElementType kType = ElementType::Q5_1;
  static constexpr std::size_t kBlockBytes = 24;

  static void pack_words(const Scales& scales, const std::int32_t* codes, std::uint32_t* words) {
    hn::Store(scale_and_offset_bits(scales), WordTag(), words);
    hn::Store(join_fifth_bits(codes), WordTag(), words + kLanes);
    pack_nibbles(codes, words + 2 * kLanes);
  }
};

void encode_q4_1(const EncodeInput& input, std::byte* out) { encode_rows<Q4_1>(input, out); }
void feedback_q4_1(const FeedbackInput& input, kernels::MatrixProducts& products, std::byte* out) {
  encode_rows_with_feedback<Q4_1>(input, products, out);
}
void encode_q5_1(const EncodeInput& input, std::byte* out) { encode_rows<Q5_1>(input, out); }
void feedback_q5_1(const FeedbackInput& input, kernels::MatrixProducts& products, std::byte* out) {
  encode_rows_with_feedback<Q5_1>(input, products, out);
}

/// y = code * scale + offset, two roundings as ggml's (the product is exact, so one in effect).
inline void store_affine(CodeVector code, float scale, float offset, float* y) {
  const DecodeTag d;
  const auto scaled = hn::Mul(hn::ConvertTo(d, code), hn::Set(d, scale));
  hn::StoreU(hn::Add(scaled, hn::Set(d, offset)), d, y);
}

void decode_q4_1(const std::byte* block, float* y, std::size_t count) {
  for (std::size_t j = 0; j < count; j += 32, block += 20, y += 32) {
    const float scale = load_half(block);
    const float offset = load_half(block + 2);
    for (std::size_t i = 0; i < 16; i += kDecodeLanes) {
      const auto pair = load_bytes(block + 4 + i);
      store_affine(low_nibble(pair), scale, offset, y + i);
      store_affine(high_nibble(pair), scale, offset, y + i + 16);
    }
  }
}

void decode_q5_1(const std::byte* block, float* y, std::size_t count) {
  for (std::size_t j = 0; j < count; j += 32, block += 24, y += 32) {
    const float scale = load_half(block);
    const float offset = load_half(block + 2);
    const std::uint32_t fifth = load_u32(block + 4);
    for (std::size_t i = 0; i < 16; i += kDecodeLanes) {
      const auto pair = load_bytes(block + 8 + i);
      store_affine(hn::Or(low_nibble(pair), fifth_bits(fifth, i)), scale, offset, y + i);
      store_affine(hn::Or(high_nibble(pair), fifth_bits(fifth, i + 16)), scale, offset, y + i + 16);
    }
  }
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::codecs {
namespace {

HWY_EXPORT(encode_q4_1);
HWY_EXPORT(feedback_q4_1);
HWY_EXPORT(encode_q5_1);
HWY_EXPORT(feedback_q5_1);
HWY_EXPORT(decode_q4_1);
HWY_EXPORT(decode_q5_1);

using Blocks = std::span<const std::byte>;
using Weights = std::span<float>;
using Out = std::span<std::byte>;

const BlockCodec kQ4_1(
    ElementType::Q4_1,
    [](Blocks blocks, Weights y) {
      HWY_DYNAMIC_DISPATCH(decode_q4_1)
      (blocks.data(), y.data(), y.size());
    },
    [](const EncodeInput& input, Out out) {
      HWY_DYNAMIC_DISPATCH(encode_q4_1)
      (input, out.data());
    },
    [](const FeedbackInput& input, kernels::MatrixProducts& products, std::span<std::byte> out) {
      HWY_DYNAMIC_DISPATCH(feedback_q4_1)
      (input, products, out.data());
    });
const BlockCodec kQ5_1(
    ElementType::Q5_1,
    [](Blocks blocks, Weights y) {
      HWY_DYNAMIC_DISPATCH(decode_q5_1)
      (blocks.data(), y.data(), y.size());
    },
    [](const EncodeInput& input, Out out) {
      HWY_DYNAMIC_DISPATCH(encode_q5_1)
      (input, out.data());
    },
    [](const FeedbackInput& input, kernels::MatrixProducts& products, std::span<std::byte> out) {
      HWY_DYNAMIC_DISPATCH(feedback_q5_1)
      (input, products, out.data());
    });

}  // namespace

std::span<const Codec* const> affine_codecs() {
  static constexpr std::array<const Codec*, 2> kAll{&kQ4_1, &kQ5_1};
  return kAll;
}

}  // namespace tessera::codecs
#endif  // HWY_ONCE
