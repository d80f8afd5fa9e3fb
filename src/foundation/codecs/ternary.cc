// TQ1_0 and TQ2_0: y = d * q with a half d >= 0 and q in {-1, 0, 1}.
//
// Blocks (BLOCKS.md section 8), all little-endian:
//   TQ1_0: 48 bytes of five base-3 digits q + 1, 4 bytes of four, d.
//   TQ2_0: 64 bytes of four 2-bit codes q + 1, d.

#include "foundation/codecs/ternary.h"

#include <array>
#include <cstring>

#include "foundation/codecs/block_codec.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/codecs/ternary.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/codecs/decode_lanes-inl.h"
#include "foundation/codecs/feedback-inl.h"
#include "foundation/codecs/lane_math-inl.h"
#include "foundation/codecs/lane_scales-inl.h"
#include "foundation/codecs/pack_words-inl.h"
#include "foundation/codecs/ternary_fit-inl.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// What the two formats share: everything but the packing. Codes are q + 1.
struct TernaryFormat : OneScale {
  static constexpr std::size_t kBlockWeights = kTernaryWeights;
  static constexpr std::size_t kGroupWeights = 1;
  struct Columns {
    std::array<float, kBlockWeights> importance;
  };
  struct Scales {
    alignas(64) float scale[kLanes];    ///< as stored
    alignas(64) float inverse[kLanes];  ///< of the scale that codes are rounded under
  };
  /// Two for weights about normal and one each for heavier tails: with two refinements within 0.1 % of the
  /// error of twice as many (tools/choose_candidates.py).
  static constexpr std::array kThresholds{0.65f, 0.85f, 1.2f, 2.4f};

  static void prepare(const float* importance, Columns& columns) {
    std::memcpy(columns.importance.data(), importance, sizeof(columns.importance));
  }

  static void fit(const Columns& columns, const float* x, Scales& scales) {
    const LaneTag d;
    TernaryFit search(columns.importance.data(), x);
    search.try_thresholds(kThresholds);
    search.refine();
    search.refine();
    hn::Store(search.corrected_scale(), d, scales.scale);
    hn::Store(inverse_or_zero(search.scale()), d, scales.inverse);
  }

  static void round(const Columns&, const Scales& scales, std::size_t, const float* x, std::int32_t* code) {
    const LaneTag d;
    const auto value = hn::Mul(hn::Load(d, x), hn::Load(d, scales.inverse));
    const auto q = hn::Clamp(value, hn::Set(d, -1.0f), hn::Set(d, 1.0f));
    const LaneIntTag di;
    hn::Store(hn::Add(hn::NearestInt(q), hn::Set(di, 1)), di, code);
  }

  static LaneVector nearest_unit_to(LaneVector exact) { return nearest_positive_half(exact); }
  static void values(const Scales&, std::size_t, const std::int32_t* code, float* v) {
    integer_values(code, -1.0f, v);
  }

  static void pack_scale(const Scales& scales, std::uint32_t* words) {
    hn::Store(half_bits(LaneTag(), hn::Load(LaneTag(), scales.scale)), WordTag(), words);
  }
};

/// n / 243 = n * kDivideFactor >> kDivideShift for every n that packing TQ1_0 meets.
inline constexpr int kDivideShift = 22;
inline constexpr std::uint32_t kDivideFactor = 17261;
constexpr bool division_is_exact() {
  for (std::uint32_t number = 0; number < 243; ++number) {
    const std::uint32_t numerator = 13 * number + 242;
    if (numerator * kDivideFactor >> kDivideShift != numerator / 243) return false;
  }
  return true;
}
static_assert(division_is_exact());

struct TQ1_0 : TernaryFormat {
  static constexpr ElementType kType = ElementType::TQ1_0;
  static constexpr std::size_t kBlockBytes = 54;

  static void pack_words(const Scales& scales, const std::int32_t* codes, std::uint32_t* words) {
    const WordTag d;
    for (std::size_t k = 0; k < 8; ++k) hn::Store(join_digits<5>(codes, 4 * k, 32), d, words + k * kLanes);
    for (std::size_t k = 0; k < 4; ++k) {
      hn::Store(join_digits<5>(codes, 160 + 4 * k, 16), d, words + (8 + k) * kLanes);
    }
    hn::Store(join_digits<4>(codes, 240, 4), d, words + 12 * kLanes);
    pack_scale(scales, words + 13 * kLanes);
  }

 private:
  /// Four bytes of kDigits base-3 digits, the digits of byte i being codes first + i, first + i + step, ...
  template <int kDigits>
  static WordVector join_digits(const std::int32_t* codes, std::size_t first, std::size_t step) {
    const WordTag d;
    WordVector number = join_codes<8, 4>(codes, first);
    for (std::size_t k = 1; k < 5; ++k) {  // a missing fifth digit counts as 0
      number = hn::Add(hn::Add(number, number), number);
      if (k < kDigits) number = hn::Add(number, join_codes<8, 4>(codes, first + k * step));
    }
    // The decoder reads the digits off the top: byte = ceil(number * 256 / 243) = number + ceil(number * 13 /
    // 243).
    WordVector word = hn::Zero(d);
    for (int byte = 0; byte < 4; ++byte) {
      const auto value = hn::And(number, hn::Set(d, 255u));
      const auto numerator = hn::Add(hn::Mul(value, hn::Set(d, 13u)), hn::Set(d, 242u));
      const auto quotient = hn::ShiftRight<kDivideShift>(hn::Mul(numerator, hn::Set(d, kDivideFactor)));
      // Bytes leave at the bottom and come in at the top; after four of them all are in place.
      word = hn::Or(hn::ShiftRight<8>(word), hn::ShiftLeft<24>(hn::Add(value, quotient)));
      number = hn::ShiftRight<8>(number);
    }
    return word;
  }
};

struct TQ2_0 : TernaryFormat {
  static constexpr ElementType kType = ElementType::TQ2_0;
  static constexpr std::size_t kBlockBytes = 66;

  static void pack_words(const Scales& scales, const std::int32_t* codes, std::uint32_t* words) {
    for (std::size_t k = 0; k < 16; ++k) {
      const std::size_t first = k / 8 * 128 + k % 8 * 4;
      WordVector word = join_codes<8, 4>(codes, first + 96);
      for (std::size_t r = 3; r-- > 0;) {
        word = hn::Or(hn::ShiftLeft<2>(word), join_codes<8, 4>(codes, first + 32 * r));
      }
      hn::Store(word, WordTag(), words + k * kLanes);
    }
    pack_scale(scales, words + 16 * kLanes);
  }
};

void encode_tq1_0(const EncodeInput& input, std::byte* out) { encode_rows<TQ1_0>(input, out); }
void feedback_tq1_0(const FeedbackInput& input, kernels::MatrixProducts& products, std::byte* out) {
  encode_rows_with_feedback<TQ1_0>(input, products, out);
}
void encode_tq2_0(const EncodeInput& input, std::byte* out) { encode_rows<TQ2_0>(input, out); }
void feedback_tq2_0(const FeedbackInput& input, kernels::MatrixProducts& products, std::byte* out) {
  encode_rows_with_feedback<TQ2_0>(input, products, out);
}

/// Decodes kDecodeLanes bytes of five digits each; digit k of lane i goes to y[i + k * step].
inline void store_digits(CodeVector bytes, float scale, std::size_t step, float* y) {
  const CodeTag d;
  for (std::size_t k = 0; k < 5; ++k) {
    const auto tripled = hn::Add(hn::Add(bytes, bytes), bytes);
    store_scaled(hn::Sub(hn::ShiftRight<8>(tripled), hn::Set(d, 1)), scale, y + k * step);
    bytes = hn::And(tripled, hn::Set(d, 255));
  }
}

void decode_tq1_0(const std::byte* block, float* y, std::size_t count) {
  constexpr std::array<std::uint8_t, 4> kPowers{1, 3, 9, 27};
  for (std::size_t j = 0; j < count; j += 256, block += 54, y += 256) {
    const float scale = load_half(block + 52);
    for (std::size_t i = 0; i < 32; i += kDecodeLanes) store_digits(load_bytes(block + i), scale, 32, y + i);
    for (std::size_t i = 0; i < 16; i += kDecodeLanes) {
      store_digits(load_bytes(block + 32 + i), scale, 16, y + 160 + i);
    }
    for (std::size_t i = 0; i < 16; ++i) {
      const auto byte = static_cast<std::uint8_t>(std::to_integer<int>(block[48 + i % 4]) * kPowers[i / 4]);
      y[240 + i] = static_cast<float>((byte * 3 >> 8) - 1) * scale;
    }
  }
}

void decode_tq2_0(const std::byte* block, float* y, std::size_t count) {
  const CodeTag d;
  for (std::size_t j = 0; j < count; j += 256, block += 66, y += 256) {
    const float scale = load_half(block + 64);
    for (std::size_t i = 0; i < 64; i += kDecodeLanes) {
      auto bytes = load_bytes(block + i);
      float* const first = y + i / 32 * 128 + i % 32;
      for (std::size_t r = 0; r < 4; ++r) {
        store_scaled(hn::Sub(hn::And(bytes, hn::Set(d, 3)), hn::Set(d, 1)), scale, first + 32 * r);
        bytes = hn::ShiftRight<2>(bytes);
      }
    }
  }
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::codecs {
namespace {

HWY_EXPORT(encode_tq1_0);
HWY_EXPORT(feedback_tq1_0);
HWY_EXPORT(encode_tq2_0);
HWY_EXPORT(feedback_tq2_0);
HWY_EXPORT(decode_tq1_0);
HWY_EXPORT(decode_tq2_0);

using Blocks = std::span<const std::byte>;
using Weights = std::span<float>;
using Out = std::span<std::byte>;

const BlockCodec kTQ1_0(
    ElementType::TQ1_0,
    [](Blocks blocks, Weights y) {
      HWY_DYNAMIC_DISPATCH(decode_tq1_0)
      (blocks.data(), y.data(), y.size());
    },
    [](const EncodeInput& input, Out out) {
      HWY_DYNAMIC_DISPATCH(encode_tq1_0)
      (input, out.data());
    },
    [](const FeedbackInput& input, kernels::MatrixProducts& products, std::span<std::byte> out) {
      HWY_DYNAMIC_DISPATCH(feedback_tq1_0)
      (input, products, out.data());
    });
const BlockCodec kTQ2_0(
    ElementType::TQ2_0,
    [](Blocks blocks, Weights y) {
      HWY_DYNAMIC_DISPATCH(decode_tq2_0)
      (blocks.data(), y.data(), y.size());
    },
    [](const EncodeInput& input, Out out) {
      HWY_DYNAMIC_DISPATCH(encode_tq2_0)
      (input, out.data());
    },
    [](const FeedbackInput& input, kernels::MatrixProducts& products, std::span<std::byte> out) {
      HWY_DYNAMIC_DISPATCH(feedback_tq2_0)
      (input, products, out.data());
    });

}  // namespace

std::span<const Codec* const> ternary_codecs() {
  static constexpr std::array<const Codec*, 2> kAll{&kTQ1_0, &kTQ2_0};
  return kAll;
}

}  // namespace tessera::codecs
#endif  // HWY_ONCE
