// The importance of the input columns of every tensor of a plan, checked against the tensors.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "artifacts/quant_plan.h"
#include "foundation/formats/imatrix/imatrix_file.h"

namespace tessera {

/// Importance of one tensor: a row of weights per matrix (one for a dense tensor, one per expert for a
/// stacked one).
struct TensorImportance {
  imatrix::Entry entry;  ///< fitted: experts() matrices of `columns` values

  std::vector<std::uint64_t> unseen_experts() const {
    std::vector<std::uint64_t> unseen;
    for (std::uint64_t expert = 0; expert < entry.experts(); ++expert) {
      if (entry.counts[expert] == 0) unseen.push_back(expert);
    }
    return unseen;
  }
};

/// What the calibration behind the importance was: goes into the output's metadata.
struct ImportanceOrigin {
  std::string file;  ///< path as given
  std::vector<std::string> datasets;
  std::uint32_t chunk_count = 0;
  std::uint32_t entry_count = 0;
};

/// Importance for the tensors of a plan, by index in the plan; empty: encode every column alike.
struct PlanImportance {
  std::optional<ImportanceOrigin> origin;  ///< empty when there is no importance matrix
  std::vector<std::optional<TensorImportance>> tensors;
};

/// As an importance matrix that other programs read too, by the names of the plan's tensors.
imatrix::ImatrixFile to_importance_file(const PlanImportance& importance, const QuantPlan& plan);

}  // namespace tessera
