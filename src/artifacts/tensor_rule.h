// A rule of a profile or a configuration: which tensors, and what the allocation may make of them.
//
// Grammar (YAML or JSON), all keys optional but at least one of the effects:
//
//   tensors: [blk.0.*, output.weight]    exact names or globs (* and ?)
//   layers: [0-2, 5, first 1, last 3]    numbers, closed ranges, a count from either end
//   roles: [attn_v, ffn_down]            as tensor_role.h spells them; or `attention`, `ffn` for all of a kind
//   experts: dense | routed | shared     what a feed-forward tensor belongs to
//   type: Q6_K                           effect: pinned to this type
//   min: 4                               effect: never fewer bits per weight (a number or a type's name)
//   max: Q6_K                            effect: never more
//   keep: true                           effect: excluded, stored as it is
//
// A tensor is selected when all selectors that the rule states hold; within a list one item must. Rules are
// applied in order and later ones win: a `type` or `keep` over earlier limits, a limit over an earlier `type`
// or the same limit.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/tensor/element_type.h"
#include "model/architecture/tensor_role.h"

namespace tessera {

/// A place in a file that a user wrote, for messages about it.
struct SourceLine {
  std::string file;        ///< path, or "profile NAME"
  std::uint32_t line = 0;  ///< from 1; 0: the text has no lines
};

/// Some layers of a model.
struct LayerSelection {
  enum class From { number, first, last };
  From from = From::number;
  std::uint32_t begin = 0;  ///< number: the first layer of the range
  std::uint32_t end = 0;    ///< number: the last one, included; first/last: how many

  bool contains(std::uint32_t layer, std::uint32_t layer_count) const;
};

/// What a feed-forward tensor belongs to.
enum class ExpertKind { dense, routed, shared };

struct TensorSelector {
  std::vector<std::string> tensors;      ///< exact names or globs; empty: any
  std::vector<LayerSelection> layers;    ///< empty: any; a tensor outside of all layers is in none
  std::vector<model::TensorRole> roles;  ///< empty: any
  std::optional<ExpertKind> experts;     ///< set: only feed-forward tensors of this kind

  bool selects(std::string_view tensor_name, std::uint32_t layer_count) const;
};

struct TensorRule {
  TensorSelector selector;
  std::optional<ElementType> type;    ///< pinned
  std::optional<double> min_bits;     ///< bits per weight of the type
  std::optional<double> max_bits;
  bool keep = false;                  ///< excluded from quantization
  SourceLine place;
};

}  // namespace tessera
