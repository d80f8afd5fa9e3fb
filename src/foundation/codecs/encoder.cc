#include "foundation/codecs/encoder.h"

#include "foundation/codecs/ggml_encoder.h"

namespace tessera::codecs {

std::optional<EncoderKind> encoder_kind_from_name(std::string_view name) {
  if (name == "tessera") return EncoderKind::tessera;
  if (name == "ggml") return EncoderKind::ggml;
  return std::nullopt;
}

std::string_view name_of(EncoderKind kind) { return kind == EncoderKind::ggml ? "ggml" : "tessera"; }

EncodeFunction encoder_for(EncoderKind kind, ElementType type) {
  if (kind == EncoderKind::ggml) return ggml_encoder(type);
  const Codec& codec = codec_for(type);
  return [&codec](const EncodeInput& input, std::span<std::byte> blocks) { codec.encode(input, blocks); };
}

}  // namespace tessera::codecs
