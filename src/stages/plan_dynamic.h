// The plan of a dynamic quantization: tensors, a policy, losses and a number of bytes in, a type for every
// tensor out. Pure: no files, no weights.
//
// Order of decision for one tensor:
//   1. tensors that are never quantized keep their type (kept_tensors.h), and so do those that a rule keeps
//   2. a type that a rule pins, or its fallback where its blocks do not fit the rows
//   3. of the policy's candidates that the tensor can take (candidate_types.h) those within the limits of the
//      rules; where there is none, the smallest one above the lower limit
//   4. among what is left, the allocation of least loss that fits the bytes (allocate.h)
// A token embedding that serves as the output matrix too obeys the rules for both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "artifacts/quant_config.h"
#include "artifacts/quant_plan.h"
#include "artifacts/sensitivity.h"
#include "artifacts/size_point.h"
#include "model/architecture/model_facts.h"

namespace tessera::stages {

struct DynamicPlanInput {
  std::span<const TensorDescriptor> tensors;  ///< all of the model, in the order of the file
  const model::ModelFacts& facts;
  const QuantPolicy& policy;
  /// Of every tensor that may be quantized, in every type that candidate_types() gives for it. A pinned type
  /// without a loss counts as 0.
  const Sensitivity& sensitivity;
  std::uint64_t budget_bytes = 0;    ///< most bytes of all tensors' data together
  std::vector<bool> has_importance;  ///< by tensor
  std::size_t curve_points = 40;     ///< of the curve, at least 2
};

struct DynamicPlanResult {
  QuantPlan plan;                  ///< recipe "dynamic", file type that of the type with most weights
  double predicted_loss = 0;       ///< sum over the tensors, nats per token
  std::vector<SizePoint> curve;    ///< best allocations under the rules, from the smallest to the largest
  std::vector<std::string> notes;  ///< for the user: limits not met, a target above the largest size
};

/// Throws UsageError when the budget is below the least size that the rules allow, naming that size and the
/// rules that cost most; BadFileError, naming the rule, when a tensor cannot take its pinned type or no
/// candidate reaches its lower limit; UsageError when a loss is missing.
DynamicPlanResult plan_dynamic(const DynamicPlanInput& input);

}  // namespace tessera::stages
