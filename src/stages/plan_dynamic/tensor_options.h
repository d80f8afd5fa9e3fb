// Among which types the allocation may choose for one tensor, under the rules of a policy.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "artifacts/quant_config.h"
#include "artifacts/quant_plan.h"
#include "artifacts/tensor_rule.h"
#include "model/architecture/model_facts.h"

namespace tessera::stages {

struct TensorOptions {
  std::vector<ElementType> types;  ///< at least one, in order of bits per weight
  ChoiceReason reason = ChoiceReason::allocated;
  /// The pinned type, when its blocks do not fit the rows and its fallback stands in `types`.
  std::optional<ElementType> wanted = std::nullopt;
  /// The fewest bytes without rules, and the rule that asks for more.
  std::uint64_t least_bytes = 0;
  std::optional<SourceLine> raised_by = std::nullopt;
  /// The rule whose upper limit the tensor cannot keep: it takes no type that small.
  std::optional<SourceLine> over = std::nullopt;
};

/// A policy for one model.
class OptionRules {
 public:
  OptionRules(const QuantPolicy& policy, const model::ModelFacts& facts);

  /// Throws BadFileError naming the rule: a pinned type that the tensor cannot take, no candidate that
  /// reaches the lower limit, limits that contradict.
  TensorOptions options_of(const TensorDescriptor& tensor, bool has_importance) const;

 private:
  TensorOptions pinned(const TensorDescriptor& tensor, const TensorLimits& limits, bool has_importance) const;
  TensorOptions limited(const TensorDescriptor& tensor, const TensorLimits& limits,
                        std::span<const ElementType> usable) const;

  std::vector<ElementType> candidates_;
  std::uint32_t layer_count_;
  std::vector<TensorRule> rules_;
  std::vector<TensorRule> embedding_rules_;  ///< of the token embedding
};

}  // namespace tessera::stages
