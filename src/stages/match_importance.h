// Matches an importance matrix with the tensors of a plan, and checks that it satisfies the types' demands.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "artifacts/importance_matrix.h"
#include "artifacts/quant_plan.h"
#include "foundation/base/progress.h"

namespace tessera::stages {

/// The importance of each tensor that will be encoded. An entry of the wrong size is an error, except for the
/// token embedding, where it is ignored (shared/formats/BLOCKS.md section 2). Warns of experts that
/// calibration never saw: their columns all count the same. Throws BadFileError, naming file and tensor, for
/// entries of the wrong size and for a matrix that knows none of the tensors.
PlanImportance match_importance(const QuantPlan& plan, const imatrix::ImatrixFile& matrix,
                                const std::string& file, ProgressObserver& progress);

/// The same before there is a plan: of the tensors that are `wanted`, [tensors].
PlanImportance match_importance(std::span<const TensorDescriptor> tensors, const std::vector<bool>& wanted,
                                const imatrix::ImatrixFile& matrix, const std::string& file,
                                ProgressObserver& progress);

/// Refuses types that are unusable without importance, for tensors that have none. Token embedding and output
/// matrix are exempt: calibration does not observe them. `recipe_insists`: the recipe's own type counts as
/// such a type. Throws UsageError without an importance matrix, BadFileError when the matrix lacks a tensor.
void require_importance(const QuantPlan& plan, const PlanImportance& importance,
                        std::optional<ElementType> recipe_insists);

}  // namespace tessera::stages
