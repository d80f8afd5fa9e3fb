// A Codec made of a type and its two functions, for formats that need nothing more.
#pragma once

#include "foundation/codecs/codec.h"

namespace tessera::codecs {

class BlockCodec final : public Codec {
 public:
  using Decode = void (*)(std::span<const std::byte> blocks, std::span<float> weights);
  using Encode = void (*)(const EncodeInput& input, std::span<std::byte> blocks);
  using Feedback = void (*)(const FeedbackInput& input, kernels::MatrixProducts& products,
                            std::span<std::byte> blocks);

  constexpr BlockCodec(ElementType type, Decode decoder, Encode encoder, Feedback feedback)
      : type_(type), decode_(decoder), encode_(encoder), feedback_(feedback) {}

  ElementType type() const override { return type_; }
  void decode(std::span<const std::byte> blocks, std::span<float> weights) const override {
    decode_(blocks, weights);
  }
  void encode(const EncodeInput& input, std::span<std::byte> blocks) const override {
    encode_(input, blocks);
  }
  void encode_with_feedback(const FeedbackInput& input, kernels::MatrixProducts& products,
                            std::span<std::byte> blocks) const override {
    feedback_(input, products, blocks);
  }

 private:
  ElementType type_;
  Decode decode_;
  Encode encode_;
  Feedback feedback_;
};

}  // namespace tessera::codecs
