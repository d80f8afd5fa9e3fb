// Tensor names with the index of a layer in them: "blk.{}.attn_q.weight" with layer 3 is
// "blk.3.attn_q.weight".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tessera::model {

/// The layer that makes `pattern` equal to `name`; 0 for a pattern without "{}" that equals it; empty
/// otherwise.
std::optional<std::uint32_t> layer_of(std::string_view pattern, std::string_view name);

/// `pattern` with its "{}", if any, replaced by `layer`.
std::string with_layer(std::string_view pattern, std::uint32_t layer);

/// Whether the pattern has one tensor per layer.
bool is_per_layer(std::string_view pattern);

}  // namespace tessera::model
