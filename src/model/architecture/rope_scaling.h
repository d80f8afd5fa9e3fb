// Rotary position embedding: its base and how a model stretches it beyond the context it was first trained
// on.
//
// config.json says it in one of two ways: a "rope_theta" beside a "rope_scaling" object (or null), or a
// "rope_parameters" object that holds both. The kind is "rope_type", formerly "type". In GGUF, linear and
// YaRN scaling are metadata; Llama 3's scaling is a tensor, rope_freqs.weight, that divides each frequency.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "foundation/formats/gguf/metadata.h"
#include "foundation/formats/json/json_object.h"
#include "model/architecture/metadata_reader.h"

namespace tessera::model {

/// Where a model does not say its base.
inline constexpr double kDefaultRopeBase = 10000;

struct RopeScaling {
  double base = 0;  ///< rope_theta
  /// Keys below "ARCHITECTURE.rope.scaling." with their values, in the order to be written.
  std::vector<std::pair<std::string_view, gguf::Value>> metadata;
  /// Llama 3 scaling: the divisor of each of the head_size / 2 frequencies; empty for all other kinds.
  std::vector<float> frequency_divisors;
};

/// Reads it from config.json. `context` is max_position_embeddings, `head_size` the rotated dimensions of a
/// head, `default_base` the "rope_theta" where none is given. Throws BadFileError when the kind is
/// unsupported or a number is missing or impossible.
RopeScaling read_rope_scaling(const json::JsonObject& config, std::uint32_t context, std::uint32_t head_size,
                              double default_base = kDefaultRopeBase);

/// The inverse: sets the "rope_theta" and, where there is scaling, the "rope_scaling" object of a config.json
/// that reads to what the metadata of a GGUF file say below "ARCHITECTURE.rope.", and to `divisors`, the
/// values of rope_freqs.weight (empty: there is none). Llama 3's settings are found from them: the published
/// ones are tried and must give the same bits. Throws BadFileError: a kind or divisors that config.json
/// cannot say.
void add_rope_settings(const MetadataReader& metadata, std::uint32_t context, std::uint32_t head_size,
                       std::span<const float> divisors, json::Value& config);

}  // namespace tessera::model
