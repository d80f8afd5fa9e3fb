// Tensor names with the index of a layer in them, or of a layer and an expert: "blk.{}.attn_q.weight" with
// layer 3 is "blk.3.attn_q.weight"; in "model.layers.{}.mlp.experts.{}.up_proj.weight" the expert comes
// second.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tessera::model {

/// What stands for the first and the second "{}"; 0 where there is none.
struct NameIndices {
  std::uint32_t layer = 0;
  std::uint32_t expert = 0;

  bool operator==(const NameIndices&) const = default;
};

/// The indices that make `pattern` equal to `name`; empty where none do.
std::optional<NameIndices> indices_of(std::string_view pattern, std::string_view name);

/// `pattern` with each "{}" replaced by its index.
std::string with_indices(std::string_view pattern, const NameIndices& indices);

/// Whether the pattern has one tensor per layer.
bool is_per_layer(std::string_view pattern);
/// Whether it has one per layer and expert.
bool is_per_expert(std::string_view pattern);

}  // namespace tessera::model
