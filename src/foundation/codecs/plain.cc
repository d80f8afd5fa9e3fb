// F32, F16 and BF16 rows. SIMD conversions with the scalar ones of float16.h as their twins (the tails use
// them).

#include "foundation/codecs/plain.h"

#include <array>
#include <cstring>

#include "foundation/tensor/float16.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/codecs/plain.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/codecs/half-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F32Tag = hn::ScalableTag<float>;

void decode_f16(const std::byte* from, float* to, std::size_t count) {
  const F32Tag d;
  const hn::Rebind<hwy::float16_t, F32Tag> d16;
  const hn::Rebind<std::uint16_t, F32Tag> bits;
  const auto* halves = reinterpret_cast<const std::uint16_t*>(from);
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    hn::StoreU(hn::PromoteTo(d, hn::BitCast(d16, hn::LoadU(bits, halves + i))), d, to + i);
  }
  for (; i < count; ++i) {
    std::uint16_t half;
    std::memcpy(&half, from + 2 * i, 2);
    to[i] = float_from_half(half);
  }
}

void decode_bf16(const std::byte* from, float* to, std::size_t count) {
  const F32Tag d;
  const hn::RebindToUnsigned<F32Tag> d32;
  const hn::Rebind<std::uint16_t, F32Tag> d16;
  const auto* source = reinterpret_cast<const std::uint16_t*>(from);
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const auto wide = hn::ShiftLeft<16>(hn::PromoteTo(d32, hn::LoadU(d16, source + i)));
    hn::StoreU(hn::BitCast(d, wide), d, to + i);
  }
  for (; i < count; ++i) {
    std::uint16_t value;
    std::memcpy(&value, from + 2 * i, 2);
    to[i] = float_from_bfloat16(value);
  }
}

void encode_f16(const float* from, std::byte* to, std::size_t count) {
  const F32Tag d;
  const hn::RebindToSigned<F32Tag> d32;
  const hn::Rebind<std::uint16_t, F32Tag> d16;
  auto* halves = reinterpret_cast<std::uint16_t*>(to);
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const auto half = hn::BitCast(d32, half_bits(d, hn::LoadU(d, from + i)));
    hn::StoreU(hn::DemoteTo(d16, half), d16, halves + i);
  }
  for (; i < count; ++i) {
    const std::uint16_t half = half_from_float(from[i]);
    std::memcpy(to + 2 * i, &half, 2);
  }
}

void encode_bf16(const float* from, std::byte* to, std::size_t count) {
  const F32Tag d;
  const hn::RebindToUnsigned<F32Tag> du;
  const hn::RebindToSigned<F32Tag> d32;
  const hn::Rebind<std::uint16_t, F32Tag> d16;
  auto* target = reinterpret_cast<std::uint16_t*>(to);
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= count; i += hn::Lanes(d)) {
    const auto value = hn::LoadU(d, from + i);
    const auto bits = hn::BitCast(du, value);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
    const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, odd), hn::Set(du, 0x7FFFu)));
    const auto quiet = hn::Or(hn::ShiftRight<16>(bits), hn::Set(du, 64u));
    const auto result = hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(value)), quiet, rounded);
    hn::StoreU(hn::DemoteTo(d16, hn::BitCast(d32, result)), d16, target + i);
  }
  for (; i < count; ++i) {
    const std::uint16_t rounded = bfloat16_from_float(from[i]);
    std::memcpy(to + 2 * i, &rounded, 2);
  }
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::codecs {
namespace {

HWY_EXPORT(decode_f16);
HWY_EXPORT(decode_bf16);
HWY_EXPORT(encode_f16);
HWY_EXPORT(encode_bf16);

class F32Codec final : public Codec {
 public:
  ElementType type() const override { return ElementType::F32; }
  void decode(std::span<const std::byte> blocks, std::span<float> weights) const override {
    std::memcpy(weights.data(), blocks.data(), weights.size_bytes());
  }
  void encode(const EncodeInput& input, std::span<std::byte> blocks) const override {
    std::memcpy(blocks.data(), input.weights.data(), input.weights.size_bytes());
  }
  void encode_with_feedback(const FeedbackInput& input, kernels::MatrixProducts&,
                            std::span<std::byte> blocks) const override {
    encode({input.weights, input.columns(), {}}, blocks);
  }
};

class F16Codec final : public Codec {
 public:
  ElementType type() const override { return ElementType::F16; }
  void decode(std::span<const std::byte> blocks, std::span<float> weights) const override {
    HWY_DYNAMIC_DISPATCH(decode_f16)(blocks.data(), weights.data(), weights.size());
  }
  void encode(const EncodeInput& input, std::span<std::byte> blocks) const override {
    HWY_DYNAMIC_DISPATCH(encode_f16)(input.weights.data(), blocks.data(), input.weights.size());
  }
  void encode_with_feedback(const FeedbackInput& input, kernels::MatrixProducts&,
                            std::span<std::byte> blocks) const override {
    encode({input.weights, input.columns(), {}}, blocks);
  }
};

class Bf16Codec final : public Codec {
 public:
  ElementType type() const override { return ElementType::BF16; }
  void decode(std::span<const std::byte> blocks, std::span<float> weights) const override {
    HWY_DYNAMIC_DISPATCH(decode_bf16)(blocks.data(), weights.data(), weights.size());
  }
  void encode(const EncodeInput& input, std::span<std::byte> blocks) const override {
    HWY_DYNAMIC_DISPATCH(encode_bf16)(input.weights.data(), blocks.data(), input.weights.size());
  }
  void encode_with_feedback(const FeedbackInput& input, kernels::MatrixProducts&,
                            std::span<std::byte> blocks) const override {
    encode({input.weights, input.columns(), {}}, blocks);
  }
};

}  // namespace

std::span<const Codec* const> plain_codecs() {
  static const F32Codec f32;
  static const F16Codec f16;
  static const Bf16Codec bf16;
  static const std::array<const Codec*, 3> all{&f32, &f16, &bf16};
  return all;
}

}  // namespace tessera::codecs
#endif  // HWY_ONCE
