// Q1_0: y = d or -d with a half d >= 0.
//
// Block (BLOCKS.md section 5): d, then one bit per weight in order, set for +d.
//
// The best code is the weight's sign whatever the scale, and the best scale is then the weighted mean
// magnitude.

#include "foundation/codecs/binary.h"

#include <array>
#include <cstring>

#include "foundation/codecs/block_codec.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/codecs/binary.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/codecs/decode_lanes-inl.h"
#include "foundation/codecs/feedback-inl.h"
#include "foundation/codecs/half-inl.h"
#include "foundation/codecs/lane_scales-inl.h"
#include "foundation/codecs/pack_words-inl.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

struct Q1_0 : OneScale {
  static constexpr ElementType kType = ElementType::Q1_0;
  static constexpr std::size_t kBlockWeights = 128;
  static constexpr std::size_t kBlockBytes = 18;
  static constexpr std::size_t kGroupWeights = 1;
  struct Columns {
    std::array<float, kBlockWeights> importance;
  };
  struct Scales {
    alignas(64) float scale[kLanes];
  };

  static void prepare(const float* importance, Columns& columns) {
    std::memcpy(columns.importance.data(), importance, sizeof(columns.importance));
  }

  static void fit(const Columns& columns, const float* x, Scales& scales) {
    const LaneTag d;
    auto sum = hn::Zero(d);
    for (std::size_t i = 0; i < kBlockWeights; ++i) {
      sum = hn::MulAdd(hn::Set(d, columns.importance[i]), hn::Abs(hn::Load(d, x + i * kLanes)), sum);
    }
    // The importance has mean 1. A sum that overflows ends at the largest half.
    hn::Store(round_to_half(d, hn::Mul(sum, hn::Set(d, 1.0f / kBlockWeights))), d, scales.scale);
  }

  static void round(const Columns&, const Scales&, std::size_t, const float* x, std::int32_t* code) {
    const LaneTag d;
    const LaneIntTag di;
    const auto positive = hn::RebindMask(di, hn::Ge(hn::Load(d, x), hn::Zero(d)));
    hn::Store(hn::IfThenElseZero(positive, hn::Set(di, 1)), di, code);
  }

  static LaneVector nearest_unit_to(LaneVector exact) { return nearest_positive_half(exact); }
  static void values(const Scales&, std::size_t, const std::int32_t* code, float* v) {
    const LaneTag d;
    const auto bit = hn::ConvertTo(d, hn::Load(LaneIntTag(), code));
    hn::Store(hn::Sub(hn::Add(bit, bit), hn::Set(d, 1.0f)), d, v);
  }

  static void pack_words(const Scales& scales, const std::int32_t* codes, std::uint32_t* words) {
    const std::array parts{join_codes<1, 32>(codes, 0), join_codes<1, 32>(codes, 32),
                           join_codes<1, 32>(codes, 64), join_codes<1, 32>(codes, 96)};
    write_after_16_bits(half_bits(LaneTag(), hn::Load(LaneTag(), scales.scale)), parts, words);
  }
};

void encode_q1_0(const EncodeInput& input, std::byte* out) { encode_rows<Q1_0>(input, out); }
void feedback_q1_0(const FeedbackInput& input, kernels::MatrixProducts& products, std::byte* out) {
  encode_rows_with_feedback<Q1_0>(input, products, out);
}

void decode_q1_0(const std::byte* block, float* y, std::size_t count) {
  const CodeTag di;
  for (std::size_t j = 0; j < count; j += 128, block += 18, y += 128) {
    const float scale = load_half(block);
    for (std::size_t i = 0; i < 128; i += 32) {
      const std::uint32_t word = load_u32(block + 2 + i / 8);
      for (std::size_t k = 0; k < 32; k += kDecodeLanes) {
        const auto bit = field_of_lane<1>(word, k);
        store_scaled(hn::Sub(hn::Add(bit, bit), hn::Set(di, 1)), scale, y + i + k);
      }
    }
  }
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::codecs {
namespace {

HWY_EXPORT(encode_q1_0);
HWY_EXPORT(feedback_q1_0);
HWY_EXPORT(decode_q1_0);

const BlockCodec kQ1_0(
    ElementType::Q1_0,
    [](std::span<const std::byte> blocks, std::span<float> y) {
      HWY_DYNAMIC_DISPATCH(decode_q1_0)(blocks.data(), y.data(), y.size());
    },
    [](const EncodeInput& input, std::span<std::byte> out) {
      HWY_DYNAMIC_DISPATCH(encode_q1_0)(input, out.data());
    },
    [](const FeedbackInput& input, kernels::MatrixProducts& products, std::span<std::byte> out) {
      HWY_DYNAMIC_DISPATCH(feedback_q1_0)
      (input, products, out.data());
    });

}  // namespace

std::span<const Codec* const> binary_codecs() {
  static constexpr std::array<const Codec*, 1> kAll{&kQ1_0};
  return kAll;
}

}  // namespace tessera::codecs
#endif  // HWY_ONCE
