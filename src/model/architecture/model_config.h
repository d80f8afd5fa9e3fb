// The config.json of a Hugging Face folder, read by the tables of its family and checked.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "foundation/formats/gguf/metadata.h"
#include "foundation/formats/json/json_object.h"
#include "model/architecture/family.h"
#include "model/architecture/int8_scheme.h"
#include "model/architecture/rope_scaling.h"

namespace tessera::model {

struct ModelConfig {
  const Family* family = nullptr;
  std::array<std::uint32_t, kQuantities> sizes{};  ///< by Quantity
  std::array<bool, kQuantities> given{};           ///< whether config.json itself says it
  RopeScaling rope;
  double norm_epsilon = 0;
  bool tied_embeddings = false;  ///< the output matrix is the token embedding
  /// Tokens that a token attends to, itself included, by layer; 0: all before it. Empty: 0 for all.
  std::vector<std::uint32_t> attention_windows;
  /// How linears are quantized; empty: none is.
  std::optional<Int8Scheme> int8 = std::nullopt;

  std::uint32_t operator[](Quantity quantity) const { return sizes[static_cast<std::size_t>(quantity)]; }
};

/// Reads and checks `config`. Throws BadFileError: an unsupported family (with the list of supported ones),
/// a model quantized in a way that is not supported, missing or impossible sizes, an unsupported kind of RoPE
/// scaling.
ModelConfig read_model_config(const json::JsonObject& config);

/// Adds the family's metadata keys, in their order; general.file_type gets `file_type`.
void add_architecture_metadata(const ModelConfig& config, std::uint32_t file_type, gguf::Metadata& metadata);

}  // namespace tessera::model
