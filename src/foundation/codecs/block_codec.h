// A Codec made of a type and its two functions, for formats that need nothing more.
#pragma once

#include "foundation/codecs/codec.h"

namespace tessera::codecs {

class BlockCodec final : public Codec {
 public:
  using Decode = void (*)(std::span<const std::byte> blocks, std::span<float> weights);
  using Encode = void (*)(const EncodeInput& input, std::span<std::byte> blocks);

  constexpr BlockCodec(ElementType type, Decode decoder, Encode encoder)
      : type_(type), decode_(decoder), encode_(encoder) {}

  ElementType type() const override { return type_; }
  void decode(std::span<const std::byte> blocks, std::span<float> weights) const override {
    decode_(blocks, weights);
  }
  void encode(const EncodeInput& input, std::span<std::byte> blocks) const override {
    encode_(input, blocks);
  }

 private:
  ElementType type_;
  Decode decode_;
  Encode encode_;
};

}  // namespace tessera::codecs
