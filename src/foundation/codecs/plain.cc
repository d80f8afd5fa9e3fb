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

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::codecs {
namespace {

HWY_EXPORT(decode_f16);
HWY_EXPORT(decode_bf16);

template <auto convert>
void encode_16(std::span<const float> weights, std::byte* out) {
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const std::uint16_t value = convert(weights[i]);
    std::memcpy(out + 2 * i, &value, 2);
  }
}

class F32Codec final : public Codec {
 public:
  ElementType type() const override { return ElementType::F32; }
  void decode(std::span<const std::byte> blocks, std::span<float> weights) const override {
    std::memcpy(weights.data(), blocks.data(), weights.size_bytes());
  }
  void encode(const EncodeInput& input, std::span<std::byte> blocks) const override {
    std::memcpy(blocks.data(), input.weights.data(), input.weights.size_bytes());
  }
};

class F16Codec final : public Codec {
 public:
  ElementType type() const override { return ElementType::F16; }
  void decode(std::span<const std::byte> blocks, std::span<float> weights) const override {
    HWY_DYNAMIC_DISPATCH(decode_f16)(blocks.data(), weights.data(), weights.size());
  }
  void encode(const EncodeInput& input, std::span<std::byte> blocks) const override {
    encode_16<half_from_float>(input.weights, blocks.data());
  }
};

class Bf16Codec final : public Codec {
 public:
  ElementType type() const override { return ElementType::BF16; }
  void decode(std::span<const std::byte> blocks, std::span<float> weights) const override {
    HWY_DYNAMIC_DISPATCH(decode_bf16)(blocks.data(), weights.data(), weights.size());
  }
  void encode(const EncodeInput& input, std::span<std::byte> blocks) const override {
    encode_16<bfloat16_from_float>(input.weights, blocks.data());
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
