// A codec made of two functions, for families whose loops live in per-target namespaces.
#pragma once

#include <cstddef>
#include <span>

#include "foundation/codecs/codec.h"

namespace tessera::codecs {

class FunctionCodec final : public Codec {
 public:
  /// Decodes `count` blocks.
  using DecodeFunction = void (*)(const std::byte* blocks, float* weights, std::size_t count);
  using EncodeFunction = void (*)(const EncodeInput& input, std::byte* blocks);

  FunctionCodec(ElementType type, DecodeFunction decoder, EncodeFunction encoder)
      : type_(type), decode_(decoder), encode_(encoder) {}

  ElementType type() const override { return type_; }
  void decode(std::span<const std::byte> blocks, std::span<float> weights) const override {
    decode_(blocks.data(), weights.data(), weights.size() / info(type_).block_weights);
  }
  void encode(const EncodeInput& input, std::span<std::byte> blocks) const override {
    encode_(input, blocks.data());
  }

 private:
  ElementType type_;
  DecodeFunction decode_;
  EncodeFunction encode_;
};

}  // namespace tessera::codecs
