// Which implementation encodes blocks: Tessera's own codecs, or those of a system libggml.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string_view>

#include "foundation/codecs/codec.h"

namespace tessera::codecs {

enum class EncoderKind { tessera, ggml };

/// "tessera" or "ggml"; empty for anything else.
std::optional<EncoderKind> encoder_kind_from_name(std::string_view name);
std::string_view name_of(EncoderKind kind);

/// Encodes whole rows, as Codec::encode does. Callable from several threads.
using EncodeFunction = std::function<void(const EncodeInput& input, std::span<std::byte> blocks)>;

/// The encoder of `type`. Throws UsageError when this build does not have encoders of that kind.
EncodeFunction encoder_for(EncoderKind kind, ElementType type);

}  // namespace tessera::codecs
