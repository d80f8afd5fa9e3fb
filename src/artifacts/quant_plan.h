// What a quantization run is going to make of every tensor: from which type to which, and why.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "foundation/tensor/tensor_descriptor.h"
#include "model/architecture/tensor_role.h"

namespace tessera {

/// What decided a tensor's type.
enum class ChoiceReason {
  kept,                   ///< never quantized: a vector, a norm, a router, not a weight
  kept_output,            ///< --leave-output-tensor
  recipe_default,         ///< no rule of the recipe applies
  recipe_rule,            ///< a rule of the recipe
  pure,                   ///< --pure
  tensor_type_option,     ///< --tensor-type
  output_type_option,     ///< --output-tensor-type
  embedding_type_option,  ///< --token-embedding-type
  allocated,              ///< chosen by sensitivity and size
  pinned,                 ///< a rule of the profile or the configuration
  excluded,               ///< a rule that keeps it
  plan_file,              ///< --plan
  super_weights,          ///< --protect-super-weights
};

std::string_view name_of(ChoiceReason reason);

struct PlannedTensor {
  TensorDescriptor source;
  model::TensorPlace place;
  ElementType target = ElementType::F16;
  ChoiceReason reason = ChoiceReason::kept;
  /// The type that was chosen first, when the row length is no multiple of its block width and `target`
  /// replaces it.
  std::optional<ElementType> wanted = std::nullopt;
  /// Mean KL divergence that this tensor's type alone is expected to cost, nats per token.
  std::optional<double> predicted_loss = std::nullopt;

  TensorDescriptor output() const { return {source.name, target, source.shape}; }
  bool is_copied() const { return source.type == target; }
};

struct QuantPlan {
  std::string recipe;           ///< name, as general.file_type means it
  std::uint32_t file_type = 0;  ///< general.file_type
  std::vector<PlannedTensor> tensors;
  std::vector<std::string> unmatched_patterns;  ///< of --tensor-type; they name no tensor
};

/// Sizes of a set of tensors, before and after.
struct PlanSize {
  std::uint64_t weights = 0;
  std::uint64_t source_bytes = 0;
  std::uint64_t target_bytes = 0;

  double source_bpw() const {
    return weights == 0 ? 0 : 8.0 * static_cast<double>(source_bytes) / static_cast<double>(weights);
  }
  double target_bpw() const {
    return weights == 0 ? 0 : 8.0 * static_cast<double>(target_bytes) / static_cast<double>(weights);
  }
};

/// What is written, in the plan's order.
std::vector<TensorDescriptor> outputs_of(const QuantPlan& plan);

/// Of all tensors of the plan.
PlanSize size_of(const QuantPlan& plan);

/// Sum over the tensors, or empty when none has a prediction.
std::optional<double> predicted_loss_of(const QuantPlan& plan);

/// Sets recipe and file type to those of the type in which most weights are.
void name_after_largest_part(QuantPlan& plan);

/// The plan as a report lists it.
nlohmann::json to_json(const QuantPlan& plan);

}  // namespace tessera
