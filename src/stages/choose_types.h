// Chooses the type of every tensor: descriptors, facts about the model, a recipe and the user's options in, a
// plan out. Pure: no files, no weights.
//
// Order of decision for one tensor, as llama-quantize has it (observed on 0.7.0 by dry runs):
//   1. tensors that are never quantized keep their type (kept_tensors.h)
//   2. --token-embedding-type, then --output-tensor-type for their tensors
//   3. the first --tensor-type whose pattern is found in the name
//   4. --pure: the recipe's type; else the first rule of the recipe that applies, else the recipe's type
//   5. a row length that is no multiple of the block width takes the type's fallback, or F16 where that does
//   not fit
//      either (shared/formats/BLOCKS.md section 3)
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "artifacts/quant_plan.h"
#include "artifacts/recipe.h"
#include "model/architecture/model_facts.h"

namespace tessera::stages {

/// --tensor-type PATTERN=TYPE
struct TensorTypeOverride {
  std::string pattern;  ///< ECMAScript regular expression, searched in the tensor name, case ignored
  ElementType type = ElementType::F16;
};

struct TypeChoice {
  Recipe recipe;
  /// Set with --pure: this type for every weight matrix, whatever the recipe's rules say.
  std::optional<ElementType> pure_type = std::nullopt;
  std::optional<ElementType> output_type = std::nullopt;
  std::optional<ElementType> token_embedding_type = std::nullopt;
  std::vector<TensorTypeOverride> overrides = {};
  bool leave_output = false;
  bool has_importance = false;  ///< whether there is an importance matrix
};

/// Throws UsageError: a pattern is no regular expression, or a row length fits neither the type wanted nor a
/// fallback (the tensor is named).
QuantPlan choose_types(std::span<const TensorDescriptor> tensors, const model::ModelFacts& facts,
                       const TypeChoice& choice);

/// Throws UsageError, naming the first such tensor, when already quantized tensors would be encoded anew.
void refuse_requantization(const QuantPlan& plan);

/// The same before there is a plan: for any matrix that already is quantized.
void refuse_quantized_source(std::span<const TensorDescriptor> tensors);

}  // namespace tessera::stages
