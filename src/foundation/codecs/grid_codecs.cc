// IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS and IQ3_S as codecs: each layout, instantiated for every SIMD target.

#include "foundation/codecs/grid_codecs.h"

#include <array>
#include <cassert>

#include "foundation/codecs/iq2_layouts.h"
#include "foundation/codecs/iq3_layouts.h"
#include "foundation/tensor/float16.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "foundation/codecs/grid_codecs.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "foundation/codecs/feedback-inl.h"
#include "foundation/codecs/grid_format-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::codecs::HWY_NAMESPACE {

/// Calls function(GridFormat) with the format of `type`.
template <class Function>
void with_format(ElementType type, const Function& function) {
  switch (type) {
    case ElementType::IQ2_XXS:
      return function(GridFormat<Iq2XxsLayout>());
    case ElementType::IQ2_XS:
      return function(GridFormat<Iq2XsLayout>());
    case ElementType::IQ2_S:
      return function(GridFormat<Iq2SLayout>());
    case ElementType::IQ3_XXS:
      return function(GridFormat<Iq3XxsLayout>());
    case ElementType::IQ3_S:
      return function(GridFormat<Iq3SLayout>());
    default:
      assert(false);
  }
}

void encode_grid_rows(ElementType type, const EncodeInput& input, std::byte* out) {
  with_format(type, [&](auto format) { encode_rows<decltype(format)>(input, out); });
}

void feedback_grid_rows(ElementType type, const FeedbackInput& input, kernels::MatrixProducts& products,
                        std::byte* out) {
  with_format(type, [&](auto format) { encode_rows_with_feedback<decltype(format)>(input, products, out); });
}

void decode_grid_blocks(ElementType type, const std::byte* blocks, float* weights, std::size_t count) {
  with_format(type, [&](auto format) {
    using Format = decltype(format);
    decode_blocks<Format>(blocks, count / Format::kBlockWeights, weights);
  });
}

}  // namespace tessera::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::codecs {
namespace {

HWY_EXPORT(encode_grid_rows);
HWY_EXPORT(feedback_grid_rows);
HWY_EXPORT(decode_grid_blocks);

class GridCodec final : public Codec {
 public:
  explicit GridCodec(ElementType type) : type_(type) {}
  ElementType type() const override { return type_; }
  void decode(std::span<const std::byte> blocks, std::span<float> weights) const override {
    HWY_DYNAMIC_DISPATCH(decode_grid_blocks)(type_, blocks.data(), weights.data(), weights.size());
  }
  void encode(const EncodeInput& input, std::span<std::byte> blocks) const override {
    HWY_DYNAMIC_DISPATCH(encode_grid_rows)(type_, input, blocks.data());
  }
  void encode_with_feedback(const FeedbackInput& input, kernels::MatrixProducts& products,
                            std::span<std::byte> blocks) const override {
    HWY_DYNAMIC_DISPATCH(feedback_grid_rows)(type_, input, products, blocks.data());
  }

 private:
  ElementType type_;
};

}  // namespace

std::span<const Codec* const> grid_codecs() {
  static const GridCodec iq2_xxs(ElementType::IQ2_XXS), iq2_xs(ElementType::IQ2_XS),
      iq2_s(ElementType::IQ2_S), iq3_xxs(ElementType::IQ3_XXS), iq3_s(ElementType::IQ3_S);
  static const std::array<const Codec*, 5> all{&iq2_xxs, &iq2_xs, &iq2_s, &iq3_xxs, &iq3_s};
  return all;
}

}  // namespace tessera::codecs
#endif  // HWY_ONCE
