// A recipe says which type each tensor of a model gets: ordered rules, the first that applies decides.
//
// Recipes are data files (data/recipes/*.yaml, embedded into the library). Their grammar:
//
//   name: Q4_K_M                      what the user types; case does not matter
//   aliases: [Q4_K]                   optional
//   about: 4.9 bits per weight        one line for --help
//   file_type: 15                     GGUF's general.file_type (shared/formats/GGUF.md section 3)
//   type: Q4_K                        for all tensors to which no rule applies; all tensors with --pure
//   needs_imatrix: true               optional: refuse to run without an importance matrix
//   rules:                            optional
//     - {role: attn_v, layers: ["0..1/8", "7/8.."], type: Q6_K}
//
// A rule applies when all conditions that it states hold:
//
//   role          tensor role(s), as tensor_role.h spells them; a token embedding that serves as the output
//   matrix too
//                 counts as `output`
//   layers        layer interval(s) "BEGIN..END" with optional " every N from K"; BEGIN and END are a layer
//   number or a
//                 fraction of the layer count, rounded down; a missing END is the last layer; "every N from
//                 K" takes layers BEGIN+K, BEGIN+K+N, ... One interval must contain the layer
//   layer_count   exact number of layers
//   min_gqa       least number of query heads per key/value head
//   experts       exact number of experts (0: dense)
//   min_experts   least number of experts
//   stacked       whether the tensor stacks several matrices (3-D expert tensors)
//   imatrix       whether there is an importance matrix
//   fits          whether the row length is a multiple of the block width of the recipe's `type`
//   architecture  general.architecture, or a list of them
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/tensor/element_type.h"
#include "model/architecture/tensor_role.h"

namespace tessera {

/// A place among the layers: `numerator/denominator` of the count, or, with denominator 0, the layer
/// `numerator`.
struct LayerBound {
  std::uint32_t numerator = 0;
  std::uint32_t denominator = 0;

  std::uint32_t resolve(std::uint32_t layer_count) const;
};

struct LayerInterval {
  LayerBound begin;
  std::optional<LayerBound> end;  ///< exclusive; empty: up to the last layer
  std::uint32_t every = 1;
  std::uint32_t from = 0;

  bool contains(std::uint32_t layer, std::uint32_t layer_count) const;
};

struct RecipeRule {
  ElementType type = ElementType::F16;
  std::vector<model::TensorRole> roles;    ///< empty: any
  std::vector<LayerInterval> layers;       ///< empty: any
  std::vector<std::string> architectures;  ///< empty: any
  std::optional<std::uint32_t> layer_count;
  std::optional<std::uint32_t> min_gqa;
  std::optional<std::uint32_t> experts;
  std::optional<std::uint32_t> min_experts;
  std::optional<bool> stacked;
  std::optional<bool> imatrix;
  std::optional<bool> fits;
};

struct Recipe {
  std::string name;
  std::vector<std::string> aliases;
  std::string about;
  std::uint32_t file_type = 0;
  ElementType type = ElementType::F16;
  bool needs_imatrix = false;
  std::vector<RecipeRule> rules;
};

/// Parses one recipe. `origin` names it in errors. Throws BadFileError: unknown keys, roles or types, missing
/// fields.
Recipe parse_recipe(std::string_view yaml, const std::string& origin);

/// The recipes that come with Tessera, ordered by file type.
std::vector<Recipe> built_in_recipes();

/// The built-in recipe of this name or alias, case-insensitively; empty when there is none.
std::optional<Recipe> find_recipe(std::string_view name);

}  // namespace tessera
