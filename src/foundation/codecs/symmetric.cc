// Q2_0, Q4_0, Q5_0 and Q8_0: y = d * q with a half d of either sign and q in [-1, 2], [-8, 7], [-16, 15],
// [-128, 127].
//
// Blocks (BLOCKS.md section 5), all little-endian:
//   Q2_0: d, 64 codes q + 1 of 2 bits in order.
//   Q4_0: d, 32 codes q + 8 as nibbles (code i below code i + 16).
//   Q5_0: d, the fifth bits of the 32 codes q + 16 in order, their lower four as the nibbles of Q4_0.
//   Q8_0: d, 32 signed bytes.

#include "foundation/codecs/symmetric.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "foundation/codecs/block_codec.h"
#include "foundation/tensor/float16.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/codecs/symmetric.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/codecs/decode_lanes-inl.h"
#include "foundation/codecs/feedback-inl.h"
#include "foundation/codecs/lane_math-inl.h"
#include "foundation/codecs/lane_scales-inl.h"
#include "foundation/codecs/pack_words-inl.h"
#include "foundation/codecs/symmetric_fit-inl.h"
#include "foundation/codecs/tile_encoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// What the four formats share: everything but the candidates and the packing. Codes are q - kLow.
///
/// The candidates of Q4_0 and Q8_0, and those of Q5_0 without importance, were chosen one after the other,
/// each the one that lowers the error of normal weights most (tools/choose_candidates.py). The first is what
/// stays when all are equally good, as for a single weight among zeros: one under which its code is a power
/// of two, so that the half holds its scale.
template <int kLow, int kHigh, std::size_t kWeights>
struct SymmetricFormat : OneScale {
  static constexpr std::size_t kBlockWeights = kWeights;
  static constexpr std::size_t kGroupWeights = 1;
  struct Columns {
    std::array<float, kWeights> importance;
    bool is_uniform;
  };
  struct Scales {
    alignas(64) float scale[kLanes];    ///< as stored
    alignas(64) float inverse[kLanes];  ///< of the scale that codes are rounded under
  };

  static void prepare(const float* importance, Columns& columns) {
    std::memcpy(columns.importance.data(), importance, sizeof(columns.importance));
    columns.is_uniform = std::ranges::all_of(columns.importance, [](float value) { return value == 1.0f; });
  }

  /// `Format` is the one that derives from this; its candidates depend on whether the importance is uniform.
  template <class Format>
  static void fit_candidates(const Columns& columns, const float* x, Scales& scales) {
    if (columns.is_uniform) {
      fit_with<Uniform, typename Format::UniformCandidates>(Uniform{}, x, scales);
    } else {
      fit_with<Weighted, typename Format::WeightedCandidates>(Weighted{columns.importance.data()}, x, scales);
    }
  }

  template <class Importance, class Candidates>
  static void fit_with(const Importance& importance, const float* x, Scales& scales) {
    const LaneTag d;
    SymmetricFit<kLow, kHigh, kWeights, Importance> search(importance, x);
    search.template try_candidates<Candidates>();
    for (int i = 0; i < Candidates::kRefinements; ++i) search.refine();
    hn::Store(search.corrected_scale(), d, scales.scale);
    hn::Store(inverse_or_zero(search.scale()), d, scales.inverse);
  }

  static void round(const Columns&, const Scales& scales, std::size_t, const float* x, std::int32_t* code) {
    const LaneTag d;
    const auto value = hn::Mul(hn::Load(d, x), hn::Load(d, scales.inverse));
    const auto q = hn::Clamp(value, hn::Set(d, float{kLow}), hn::Set(d, float{kHigh}));
    const LaneIntTag di;
    hn::Store(hn::Sub(hn::NearestInt(q), hn::Set(di, kLow)), di, code);
  }

  static LaneVector nearest_unit_to(LaneVector exact) { return nearest_unit(exact); }
  static void values(const Scales&, std::size_t, const std::int32_t* code, float* v) {
    integer_values(code, float{kLow}, v);
  }

  static WordVector scale_bits(const Scales& scales) {
    return half_bits(LaneTag(), hn::Load(LaneTag(), scales.scale));
  }
};

struct Q2_0 : SymmetricFormat<-1, 2, 64> {
  static constexpr ElementType kType = ElementType::Q2_0;
  static constexpr std::size_t kBlockBytes = 18;
  struct WeightedCandidates {
    static constexpr std::array kCodes{1.0f,  1.3f,  1.6f,  2.0f,  2.4f,  2.9f,  3.5f,  4.5f,
                                       -1.0f, -1.3f, -1.6f, -2.0f, -2.4f, -2.9f, -3.5f, -4.5f};
    static constexpr int kRefinements = 2;
  };
  using UniformCandidates = WeightedCandidates;

  static void fit(const Columns& columns, const float* x, Scales& scales) {
    fit_candidates<Q2_0>(columns, x, scales);
  }
  static void pack_words(const Scales& scales, const std::int32_t* codes, std::uint32_t* words) {
    const std::array parts{join_codes<2, 16>(codes, 0), join_codes<2, 16>(codes, 16),
                           join_codes<2, 16>(codes, 32), join_codes<2, 16>(codes, 48)};
    write_after_16_bits(scale_bits(scales), parts, words);
  }
};

struct Q4_0 : SymmetricFormat<-8, 7, 32> {
  static constexpr ElementType kType = ElementType::Q4_0;
  static constexpr std::size_t kBlockBytes = 18;
  struct WeightedCandidates {
    static constexpr std::array kCodes{-8.25f, -7.75f, -7.25f, -6.75f, -6.25f, -8.75f,
                                       -9.25f, -9.75f, -10.5f, -12.0f, 8.75f,  9.75f};
    static constexpr int kRefinements = 1;
  };
  struct UniformCandidates {
    static constexpr std::array kCodes{-8.25f, -7.75f, -7.25f, -8.75f};
    static constexpr int kRefinements = 1;
  };

  static void fit(const Columns& columns, const float* x, Scales& scales) {
    fit_candidates<Q4_0>(columns, x, scales);
  }
  static void pack_words(const Scales& scales, const std::int32_t* codes, std::uint32_t* words) {
    const std::array parts{join_nibbles(codes, 0), join_nibbles(codes, 1), join_nibbles(codes, 2),
                           join_nibbles(codes, 3)};
    write_after_16_bits(scale_bits(scales), parts, words);
  }
};

struct Q5_0 : SymmetricFormat<-16, 15, 32> {
  static constexpr ElementType kType = ElementType::Q5_0;
  static constexpr std::size_t kBlockBytes = 22;
  struct WeightedCandidates {
    static constexpr std::array kCodes{-20.0f, -18.5f, -17.5f, -16.7f, -16.0f, -15.5f, -15.0f, -14.5f,
                                       -14.0f, -13.0f, -12.0f, -11.0f, -10.0f, 15.0f,  13.5f,  12.0f};
    static constexpr int kRefinements = 1;
  };
  struct UniformCandidates {
    static constexpr std::array kCodes{-16.0f, -15.75f, -15.25f, -15.0f, -14.75f, -14.0f, -16.25f, -16.5f};
    static constexpr int kRefinements = 1;
  };

  static void fit(const Columns& columns, const float* x, Scales& scales) {
    fit_candidates<Q5_0>(columns, x, scales);
  }
  static void pack_words(const Scales& scales, const std::int32_t* codes, std::uint32_t* words) {
    const std::array parts{join_fifth_bits(codes), join_nibbles(codes, 0), join_nibbles(codes, 1),
                           join_nibbles(codes, 2), join_nibbles(codes, 3)};
    write_after_16_bits(scale_bits(scales), parts, words);
  }
};

struct Q8_0 : SymmetricFormat<-128, 127, 32> {
  static constexpr ElementType kType = ElementType::Q8_0;
  static constexpr std::size_t kBlockBytes = 34;
  struct WeightedCandidates {
    static constexpr std::array kCodes{-128.0f, -127.0f, -126.0f, -125.0f,
                                       -124.0f, -123.0f, -122.0f, -120.0f};
    static constexpr int kRefinements = 0;
  };
  struct UniformCandidates {
    static constexpr std::array kCodes{-128.0f, -127.0f, -126.0f, -125.0f};
    static constexpr int kRefinements = 0;
  };

  static void fit(const Columns& columns, const float* x, Scales& scales) {
    fit_candidates<Q8_0>(columns, x, scales);
  }
  static void pack_words(const Scales& scales, const std::int32_t* codes, std::uint32_t* words) {
    std::array<WordVector, 8> parts;
    // Codes are offset by 128, which in a byte is the sign bit.
    const auto signs = hn::Set(WordTag(), 0x80808080u);
    for (std::size_t k = 0; k < parts.size(); ++k) parts[k] = hn::Xor(join_codes<8, 4>(codes, 4 * k), signs);
    write_after_16_bits(scale_bits(scales), parts, words);
  }
};

void encode_q2_0(const EncodeInput& input, std::byte* out) { encode_rows<Q2_0>(input, out); }
void feedback_q2_0(const FeedbackInput& input, kernels::MatrixProducts& products, std::byte* out) {
  encode_rows_with_feedback<Q2_0>(input, products, out);
}
void encode_q4_0(const EncodeInput& input, std::byte* out) { encode_rows<Q4_0>(input, out); }
void feedback_q4_0(const FeedbackInput& input, kernels::MatrixProducts& products, std::byte* out) {
  encode_rows_with_feedback<Q4_0>(input, products, out);
}
void encode_q5_0(const EncodeInput& input, std::byte* out) { encode_rows<Q5_0>(input, out); }
void feedback_q5_0(const FeedbackInput& input, kernels::MatrixProducts& products, std::byte* out) {
  encode_rows_with_feedback<Q5_0>(input, products, out);
}
void encode_q8_0(const EncodeInput& input, std::byte* out) { encode_rows<Q8_0>(input, out); }
void feedback_q8_0(const FeedbackInput& input, kernels::MatrixProducts& products, std::byte* out) {
  encode_rows_with_feedback<Q8_0>(input, products, out);
}

void decode_q2_0(const std::byte* block, float* y, std::size_t count) {
  for (std::size_t j = 0; j < count; j += 64, block += 18, y += 64) {
    const float scale = load_half(block);
    for (std::size_t i = 0; i < 64; i += 16) {
      const auto word = load_u32(block + 2 + i / 4);
      for (std::size_t k = 0; k < 16; k += kDecodeLanes) {
        store_scaled(hn::Sub(field_of_lane<2>(word, k), hn::Set(CodeTag(), 1)), scale, y + i + k);
      }
    }
  }
}

void decode_q4_0(const std::byte* block, float* y, std::size_t count) {
  for (std::size_t j = 0; j < count; j += 32, block += 18, y += 32) {
    const float scale = load_half(block);
    const auto zero = hn::Set(CodeTag(), 8);
    for (std::size_t i = 0; i < 16; i += kDecodeLanes) {
      const auto pair = load_bytes(block + 2 + i);
      store_scaled(hn::Sub(low_nibble(pair), zero), scale, y + i);
      store_scaled(hn::Sub(high_nibble(pair), zero), scale, y + i + 16);
    }
  }
}

void decode_q5_0(const std::byte* block, float* y, std::size_t count) {
  for (std::size_t j = 0; j < count; j += 32, block += 22, y += 32) {
    const float scale = load_half(block);
    const std::uint32_t fifth = load_u32(block + 2);
    const auto zero = hn::Set(CodeTag(), 16);
    for (std::size_t i = 0; i < 16; i += kDecodeLanes) {
      const auto pair = load_bytes(block + 6 + i);
      store_scaled(hn::Sub(hn::Or(low_nibble(pair), fifth_bits(fifth, i)), zero), scale, y + i);
      store_scaled(hn::Sub(hn::Or(high_nibble(pair), fifth_bits(fifth, i + 16)), zero), scale, y + i + 16);
    }
  }
}

void decode_q8_0(const std::byte* block, float* y, std::size_t count) {
  for (std::size_t j = 0; j < count; j += 32, block += 34, y += 32) {
    const float scale = load_half(block);
    for (std::size_t i = 0; i < 32; i += kDecodeLanes)
      store_scaled(load_signed_bytes(block + 2 + i), scale, y + i);
  }
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::codecs {
namespace {

HWY_EXPORT(encode_q2_0);
HWY_EXPORT(feedback_q2_0);
HWY_EXPORT(encode_q4_0);
HWY_EXPORT(feedback_q4_0);
HWY_EXPORT(encode_q5_0);
HWY_EXPORT(feedback_q5_0);
HWY_EXPORT(encode_q8_0);
HWY_EXPORT(feedback_q8_0);
HWY_EXPORT(decode_q2_0);
HWY_EXPORT(decode_q4_0);
HWY_EXPORT(decode_q5_0);
HWY_EXPORT(decode_q8_0);

using Blocks = std::span<const std::byte>;
using Weights = std::span<float>;
using Out = std::span<std::byte>;

const BlockCodec kQ2_0(
    ElementType::Q2_0,
    [](Blocks blocks, Weights y) {
      HWY_DYNAMIC_DISPATCH(decode_q2_0)
      (blocks.data(), y.data(), y.size());
    },
    [](const EncodeInput& input, Out out) {
      HWY_DYNAMIC_DISPATCH(encode_q2_0)
      (input, out.data());
    },
    [](const FeedbackInput& input, kernels::MatrixProducts& products, std::span<std::byte> out) {
      HWY_DYNAMIC_DISPATCH(feedback_q2_0)
      (input, products, out.data());
    });
const BlockCodec kQ4_0(
    ElementType::Q4_0,
    [](Blocks blocks, Weights y) {
      HWY_DYNAMIC_DISPATCH(decode_q4_0)
      (blocks.data(), y.data(), y.size());
    },
    [](const EncodeInput& input, Out out) {
      HWY_DYNAMIC_DISPATCH(encode_q4_0)
      (input, out.data());
    },
    [](const FeedbackInput& input, kernels::MatrixProducts& products, std::span<std::byte> out) {
      HWY_DYNAMIC_DISPATCH(feedback_q4_0)
      (input, products, out.data());
    });
const BlockCodec kQ5_0(
    ElementType::Q5_0,
    [](Blocks blocks, Weights y) {
      HWY_DYNAMIC_DISPATCH(decode_q5_0)
      (blocks.data(), y.data(), y.size());
    },
    [](const EncodeInput& input, Out out) {
      HWY_DYNAMIC_DISPATCH(encode_q5_0)
      (input, out.data());
    },
    [](const FeedbackInput& input, kernels::MatrixProducts& products, std::span<std::byte> out) {
      HWY_DYNAMIC_DISPATCH(feedback_q5_0)
      (input, products, out.data());
    });
const BlockCodec kQ8_0(
    ElementType::Q8_0,
    [](Blocks blocks, Weights y) {
      HWY_DYNAMIC_DISPATCH(decode_q8_0)
      (blocks.data(), y.data(), y.size());
    },
    [](const EncodeInput& input, Out out) {
      HWY_DYNAMIC_DISPATCH(encode_q8_0)
      (input, out.data());
    },
    [](const FeedbackInput& input, kernels::MatrixProducts& products, std::span<std::byte> out) {
      HWY_DYNAMIC_DISPATCH(feedback_q8_0)
      (input, products, out.data());
    });

}  // namespace

std::span<const Codec* const> symmetric_codecs() {
  static constexpr std::array<const Codec*, 4> kAll{&kQ2_0, &kQ4_0, &kQ5_0, &kQ8_0};
  return kAll;
}

}  // namespace tessera::codecs
#endif  // HWY_ONCE
